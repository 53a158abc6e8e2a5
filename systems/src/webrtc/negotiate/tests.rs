use bevy_app::App;
use bevy_ecs::message::Messages;

use super::*;
use crate::tick::TickPlugin;

const SECOND: u64 = 1_000_000_000;

struct Stage {
    app: App,
    now: Mono,
}

impl Stage {
    fn new(sessions: usize) -> Self {
        let plugin = WebRtcPlugin {
            enabled: true,
            sessions,
            offer: Duration::from_secs(10),
            audio: true,
            loudspeaker: true,
            tail: Duration::from_millis(500),
            names: vec![(StreamId(1), "front".to_owned()), (StreamId(2), "cabin".to_owned())],
        };
        let mut app = App::empty();
        app.add_plugins((TickPlugin::default(), plugin)).add_message::<OperatorSaid>();
        app.init_resource::<Switches>();
        for (n, role) in [(1, CameraRole::Front), (2, CameraRole::Cabin)] {
            let camera = Camera { role, geometry: CameraGeometry::default() };
            app.world_mut().spawn((StableId::device(StreamId(n)), camera));
        }
        Self { app, now: Mono(0) }
    }

    /// A tick into which this came. Gives the orders.
    fn tick(&mut self, passed: u64, said: &[(u64, OperatorEvent)]) -> Vec<(u64, OperatorDeed)> {
        self.now = Mono(self.now.0 + passed);
        let world = self.app.world_mut();
        world.resource_mut::<Clock>().now = self.now;
        for (session, event) in said {
            world.write_message(OperatorSaid { session: *session, at: self.now, event: event.clone() });
        }
        world.run_schedule(Sense);
        let messages = world.resource::<Messages<OperatorOrder>>();
        let orders = messages.iter_current_update_messages().map(|order| (order.session, order.deed.clone())).collect();
        let gone: Vec<_> = world
            .query::<(Entity, &OperatorSession)>()
            .iter(world)
            .filter(|(_, session)| session.ended.is_some())
            .map(|(entity, _)| entity)
            .collect();
        for entity in gone {
            world.despawn(entity);
        }
        crate::registry::clear_messages(world);
        world.resource_mut::<Messages<OperatorSaid>>().clear();
        orders
    }

    fn sessions(&mut self) -> Vec<u64> {
        let world = self.app.world_mut();
        let mut numbers: Vec<_> =
            world.query_filtered::<&StableId, With<OperatorSession>>().iter(world).map(|id| id.seq).collect();
        numbers.sort_unstable();
        numbers
    }

    fn talk(&self) -> OperatorTalk {
        *self.app.world().resource::<OperatorTalk>()
    }

    /// Somebody comes and is connected.
    fn arrive(&mut self, session: u64) {
        self.tick(SECOND, &[(session, offer(None))]);
        self.tick(0, &[(session, OperatorEvent::Connected)]);
    }
}

fn offer(camera: Option<&str>) -> OperatorEvent {
    let camera = camera.map(str::to_owned);
    let offer = OperatorOffer { via: Signalling::Http, camera, video: true, audio: true, talk: true, bytes: 4000 };
    OperatorEvent::Offered(offer)
}

fn link(target_bps: u32) -> OperatorEvent {
    OperatorEvent::Link(OperatorLink { target_bps, ..OperatorLink::default() })
}

fn accept(camera: u16) -> OperatorDeed {
    OperatorDeed::Accept { camera: Some(StreamId(camera)), audio: true, talk: true }
}

fn closed(orders: &[(u64, OperatorDeed)]) -> Vec<(u64, &str)> {
    let why = |order: &(u64, OperatorDeed)| matches!(order.1, OperatorDeed::Close(_));
    orders
        .iter()
        .filter(|order| why(order))
        .map(|(session, deed)| match deed {
            OperatorDeed::Close(why) => (*session, why.as_str()),
            _ => (*session, ""),
        })
        .collect()
}

#[test]
fn offers_are_accepted_or_refused_with_a_reason() {
    let mut stage = Stage::new(4);
    assert_eq!(stage.tick(0, &[(1, offer(None))]), [(1, accept(1))]);
    assert_eq!(stage.tick(0, &[(2, offer(Some("cabin")))]), [(2, accept(2))]);
    let refused = stage.tick(0, &[(3, offer(Some("roof")))]);
    assert!(matches!(&refused[..], [(3, OperatorDeed::Refuse(why))] if why.contains("`roof`")), "{refused:?}");
    stage.app.world_mut().resource_mut::<Switches>().privacy = true;
    let refused = stage.tick(0, &[(4, offer(Some("cabin")))]);
    assert!(
        matches!(&refused[..], [(4, OperatorDeed::Refuse(why)), (2, OperatorDeed::Close(end))]
            if why.contains("privacy") && end == why),
        "whoever watches inside does so no longer: {refused:?}"
    );
    assert_eq!(stage.sessions(), [1]);
    let mut off = Stage::new(0);
    assert!(matches!(&off.tick(0, &[(1, offer(None))])[..], [(1, OperatorDeed::Refuse(_))]));
}

#[test]
fn the_newest_takes_the_place_of_the_oldest() {
    let mut stage = Stage::new(2);
    stage.arrive(1);
    stage.arrive(2);
    let orders = stage.tick(SECOND, &[(3, offer(None))]);
    let [(1, why)] = closed(&orders)[..] else { panic!("{orders:?}") };
    assert!(why.contains("somebody else"), "{why}");
    assert_eq!(stage.sessions(), [2, 3]);
    // Two at once.
    stage.tick(SECOND, &[(4, offer(None)), (5, offer(None))]);
    assert_eq!(stage.sessions(), [4, 5]);
    stage.tick(SECOND, &[(6, offer(None)), (7, offer(None)), (8, offer(None))]);
    assert_eq!(stage.sessions().len(), 3, "the first of them is spawned, and expires");
}

#[test]
fn what_is_not_connected_expires_and_who_is_silent_is_gone() {
    let mut stage = Stage::new(4);
    stage.tick(0, &[(1, offer(None))]);
    stage.arrive(2);
    let orders = stage.tick(9 * SECOND, &[(2, link(1_000_000))]);
    let [(1, why)] = closed(&orders)[..] else { panic!("{orders:?}") };
    assert!(why.contains("expired"), "{why}");
    assert_eq!(stage.tick(9 * SECOND, &[]), []);
    let orders = stage.tick(SECOND, &[]);
    assert_eq!(closed(&orders).len(), 1, "{orders:?}");
    stage.arrive(3);
    stage.tick(0, &[(3, OperatorEvent::Gone("it broke".to_owned()))]);
    assert!(stage.sessions().is_empty());
}

#[test]
fn one_at_a_time_is_heard_and_covers_what_the_microphones_hear() {
    let mut stage = Stage::new(4);
    stage.arrive(1);
    stage.arrive(2);
    let before = stage.now;
    assert_eq!(stage.tick(SECOND, &[(1, OperatorEvent::Speaks(-20.0))]), [(1, OperatorDeed::Hear(true))]);
    assert_eq!(stage.tick(SECOND / 2, &[(2, OperatorEvent::Speaks(-10.0))]), [], "the first is heard to the end");
    let talk = stage.talk();
    assert!(talk.covers(stage.now) && talk.covers(Mono(stage.now.0 + SECOND)) && !talk.covers(before));
    assert_eq!(stage.tick(SECOND / 2, &[(1, OperatorEvent::Silent)]), [(1, OperatorDeed::Hear(false))]);
    let ended = stage.now;
    let talk = stage.talk();
    assert!(talk.covers(Mono(ended.0 + SECOND / 3)) && !talk.covers(Mono(ended.0 + SECOND)));
    assert_eq!(stage.tick(SECOND, &[(2, OperatorEvent::Speaks(-10.0))]), [(2, OperatorDeed::Hear(true))]);
    // Whoever is gone talks no longer, and neither does whose voice does not come in.
    stage.tick(0, &[(2, OperatorEvent::Gone(String::new()))]);
    assert_eq!(stage.talk().talker, None);
    stage.tick(0, &[(1, OperatorEvent::Speaks(-10.0))]);
    assert_eq!(stage.tick(3 * SECOND, &[(1, link(1))]), [(1, OperatorDeed::Hear(false))]);
}

#[test]
fn a_slow_link_gets_small_pictures_and_does_not_hold_back_the_others() {
    let mut stage = Stage::new(4);
    stage.arrive(1);
    assert_eq!(stage.tick(0, &[(1, link(300_000))]), [], "alone it holds back nobody");
    stage.arrive(2);
    let small = |size| OperatorDeed::Show(size);
    let orders = stage.tick(SECOND, &[(2, link(2_000_000))]);
    assert_eq!(orders, [(1, small(PictureSize::Small))]);
    assert_eq!(stage.tick(SECOND, &[(1, link(2_000_000)), (2, link(2_000_000))]), [], "not at once");
    for _ in 0..4 {
        stage.tick(4 * SECOND, &[(1, link(2_000_000)), (2, link(2_000_000))]);
    }
    let orders = stage.tick(4 * SECOND, &[(1, link(2_000_000)), (2, link(2_000_000))]);
    assert_eq!(orders, [(1, small(PictureSize::Full))]);
}

#[test]
fn pictures_that_stand_alone_are_sent_once_for_all_and_not_too_often() {
    let mut stage = Stage::new(4);
    stage.arrive(1);
    stage.arrive(2);
    let wanted = OperatorEvent::KeyframeWanted;
    let orders = stage.tick(SECOND, &[(1, wanted.clone()), (2, wanted.clone())]);
    assert_eq!(orders, [(1, OperatorDeed::Keyframe)]);
    assert_eq!(stage.tick(SECOND / 10, &[(2, wanted)]), []);
    assert_eq!(stage.tick(SECOND / 10, &[]), []);
    assert_eq!(stage.tick(SECOND / 5, &[]), [(2, OperatorDeed::Keyframe)], "and not forgotten");
    assert_eq!(stage.tick(SECOND, &[]), []);
}
