//! Health: how each device is, and why, in words that a person can act on.

use std::time::Duration;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::registry::Register;

/// Judges devices by what comes from them.
#[derive(Resource, Clone, Debug)]
pub struct HealthPlugin {
    /// A camera that is connected and has delivered nothing for this long is degraded.
    pub camera_stale: Duration,
    /// Likewise a microphone.
    pub microphone_stale: Duration,
    /// Likewise a satellite receiver; its last fix may be as old.
    pub gps_stale: Duration,
    /// Likewise a range finder.
    pub range_stale: Duration,
    /// Whether frames are looked at.
    pub gate: bool,
    /// Whether lanes are sought by the classical estimator where there is no segmentation model.
    pub classical_lanes: bool,
    /// Names of the streams, for notices.
    pub names: Vec<(StreamId, String)>,
}

impl Plugin for HealthPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<VoiceStatus>();
        app.insert_resource(self.clone()).exempt::<HealthPlugin>("the config, which the session holds");
        let order = (Insight::Lanes, Insight::Boxes, Insight::Ego, Insight::Tracks, Insight::Warnings, Insight::Parked);
        app.configure_sets(Understand, order.chain().after(Freshening));
        // In Understand, which is run in ticks in which nothing comes in, too: those are the ones that matter.
        app.add_systems(Understand, (freshen.in_set(Freshening), assess.after(Obeying).after(Insight::Parked)));
    }
}

impl HealthPlugin {
    fn name(&self, stream: StreamId) -> String {
        self.names
            .iter()
            .find(|(id, _)| *id == stream)
            .map(|(_, name)| name.clone())
            .or_else(|| stream.own_name().map(str::to_owned))
            .unwrap_or_else(|| format!("stream {}", stream.0))
    }
}

/// When something that can be used was last heard of a device, by what it is.
type Heard<'a> = (
    &'a Link,
    &'a Counters,
    Option<(&'a Gate, &'a Sight)>,
    Option<&'a GpsState>,
    Option<&'a RangeState>,
    &'a mut Fresh,
);

/// Says of which devices nothing is to be concluded any more.
pub fn freshen(mut devices: Query<Heard>, plugin: Res<HealthPlugin>, clock: Res<Clock>, parked: Option<Res<Parked>>) {
    let camera_stale = camera_stale(&plugin, parked.as_deref());
    for (link, counters, gate, gps, range, mut fresh) in &mut devices {
        let (last, stale_after) = match (gate, gps, range) {
            (Some((gate, sight)), ..) => (gate.judged_at.filter(|_| sight.fault.is_none()), camera_stale),
            (_, Some(gps), _) => (gps.last_fix, plugin.gps_stale),
            (.., Some(range)) => (range.last_valid, plugin.range_stale),
            _ => (counters.last, plugin.microphone_stale),
        };
        let connected = link.state == LinkState::Connected;
        fresh.set_if_neq(Fresh(connected && last.is_some_and(|last| clock.now.since(last) < stale_after)));
    }
}

/// A camera of a parked vehicle gives a picture a second: that is no silence.
fn camera_stale(plugin: &HealthPlugin, parked: Option<&Parked>) -> Duration {
    let more = if parked.is_some_and(|parked| parked.parked) { PARKED_PICTURES } else { Duration::ZERO };
    plugin.camera_stale.saturating_add(more)
}

/// Time between two pictures of a parked vehicle, and some.
const PARKED_PICTURES: Duration = Duration::from_millis(1200);

/// What is known of a device, for its judgement.
type Device<'a> = (
    &'a StableId,
    &'a Link,
    &'a Counters,
    Option<&'a Camera>,
    Option<(&'a Gate, &'a Sight)>,
    Option<&'a GpsState>,
    Option<&'a RangeState>,
    Option<&'a DriveRecorder>,
    Option<&'a Uplink>,
    Has<Microphone>,
    Option<&'a RemoteApi>,
    Has<Loudspeaker>,
    &'a mut Health,
);

/// Judges every device, and tells the log what has changed.
pub fn assess(
    mut devices: Query<Device>,
    (models, switches, voice): (Res<ModelStatus>, Res<Switches>, Res<VoiceStatus>),
    plugin: Res<HealthPlugin>,
    (clock, parked): (Res<Clock>, Option<Res<Parked>>),
    mut notices: MessageWriter<Notice>,
) {
    let camera_stale = camera_stale(&plugin, parked.as_deref());
    let is_parked = parked.is_some_and(|parked| parked.parked);
    let mut changed = Vec::new();
    for (
        id,
        link,
        counters,
        camera,
        gate,
        gps,
        range,
        recorder,
        uplink,
        is_microphone,
        remote,
        is_speaker,
        mut health,
    ) in &mut devices
    {
        let stale_after = match (camera, gps, range) {
            (Some(_), ..) => camera_stale,
            (_, Some(_), _) => plugin.gps_stale,
            (.., Some(_)) => plugin.range_stale,
            _ => plugin.microphone_stale,
        };
        let inside = is_microphone || camera.is_some_and(|camera| camera.role == CameraRole::Cabin);
        let (state, reason) = recorder
            .map(|_| judge_recorder(link, *switches))
            .or_else(|| uplink.map(|uplink| judge_broker(link, uplink)))
            .or_else(|| remote.map(|remote| judge_remote(link, remote)))
            .or_else(|| is_speaker.then(|| judge_speaker(link)))
            .or_else(|| (inside && switches.privacy).then(|| (FunctionState::Off, "privacy is on".to_owned())))
            .or_else(|| judge_link(link, counters, &clock, stale_after))
            .or_else(|| gate.and_then(|(gate, _)| judge_frames(gate)))
            .or_else(|| gate.and_then(|(_, sight)| judge_sight(sight)))
            .or_else(|| gps.and_then(|gps| judge_gps(gps, &clock, stale_after)))
            .or_else(|| range.and_then(judge_range))
            .or_else(|| if is_microphone { judge_voice(&voice) } else { None })
            .or_else(|| camera.filter(|_| is_parked).map(|_| (FunctionState::Standby, PARKED.to_owned())))
            .or_else(|| camera.filter(|_| !plugin.gate).and_then(judge_unseen))
            .or_else(|| camera.and_then(|camera| judge_models(camera, &models, plugin.classical_lanes)))
            .unwrap_or((FunctionState::Active, String::new()));
        if health.state != state || health.reason != reason {
            changed.push((*id, state, reason.clone()));
            *health = Health { state, reason };
        }
    }
    changed.sort_unstable_by_key(|(id, ..)| *id);
    for (id, state, reason) in changed {
        let level = match state {
            FunctionState::Fault => NoticeLevel::Error,
            FunctionState::Degraded => NoticeLevel::Warning,
            FunctionState::Off | FunctionState::Standby | FunctionState::Active => NoticeLevel::Info,
        };
        let state = format!("{state:?}").to_lowercase();
        let text = if reason.is_empty() { state } else { format!("{state}: {reason}") };
        notices.write(Notice { level, source: plugin.name(id.stream), text });
    }
}

/// What is said of a camera of a parked vehicle.
const PARKED: &str = "parked: one picture a second";

type Judgement = Option<(FunctionState, String)>;

/// A recorder is given nothing by its link: it is asked for no samples.
fn judge_recorder(link: &Link, switches: Switches) -> (FunctionState, String) {
    match &link.state {
        LinkState::Connected if !switches.recording => (FunctionState::Off, "switched off".to_owned()),
        LinkState::Connecting => (FunctionState::Off, "nothing is recorded".to_owned()),
        LinkState::Connected => (FunctionState::Active, String::new()),
        LinkState::Lost(reason) => {
            (FunctionState::Degraded, format!("nothing is recorded, being tried again: {reason}"))
        }
        LinkState::Failed(reason) => (FunctionState::Fault, reason.clone()),
        LinkState::Ended => (FunctionState::Standby, "at its end".to_owned()),
    }
}

/// Nothing need come from a broker.
fn judge_broker(link: &Link, uplink: &Uplink) -> (FunctionState, String) {
    match &link.state {
        LinkState::Connecting => (FunctionState::Standby, "being connected".to_owned()),
        LinkState::Connected if uplink.trouble.is_empty() => (FunctionState::Active, String::new()),
        LinkState::Connected => (FunctionState::Degraded, format!("what waits is not on disk: {}", uplink.trouble)),
        LinkState::Lost(reason) => (FunctionState::Degraded, format!("not reached, being tried again: {reason}")),
        LinkState::Failed(reason) => (FunctionState::Fault, reason.clone()),
        LinkState::Ended => (FunctionState::Standby, "at its end".to_owned()),
    }
}

/// A service is asked, and gives nothing by its link.
fn judge_remote(link: &Link, remote: &RemoteApi) -> (FunctionState, String) {
    let instead = if remote.alone.is_empty() { ": the models on this computer are used" } else { "" };
    match &link.state {
        LinkState::Connecting => (FunctionState::Standby, "not asked yet".to_owned()),
        LinkState::Connected => (FunctionState::Active, String::new()),
        LinkState::Lost(reason) => (FunctionState::Degraded, format!("left alone for a while{instead}: {reason}")),
        LinkState::Failed(reason) => (FunctionState::Fault, reason.clone()),
        LinkState::Ended => (FunctionState::Standby, "at its end".to_owned()),
    }
}

/// A loudspeaker is given sound, and gives none.
fn judge_speaker(link: &Link) -> (FunctionState, String) {
    match &link.state {
        LinkState::Connecting => (FunctionState::Standby, "being opened".to_owned()),
        LinkState::Connected => (FunctionState::Active, String::new()),
        LinkState::Lost(reason) => {
            (FunctionState::Degraded, format!("nobody is heard through it, being tried again: {reason}"))
        }
        LinkState::Failed(reason) => (FunctionState::Fault, reason.clone()),
        LinkState::Ended => (FunctionState::Standby, "at its end".to_owned()),
    }
}

fn judge_link(link: &Link, counters: &Counters, clock: &Clock, stale_after: Duration) -> Judgement {
    match &link.state {
        LinkState::Lost(reason) => Some((FunctionState::Degraded, format!("lost, being tried again: {reason}"))),
        LinkState::Failed(reason) => Some((FunctionState::Fault, reason.clone())),
        LinkState::Ended => Some((FunctionState::Standby, "at its end".to_owned())),
        LinkState::Connecting => Some((FunctionState::Standby, "being opened".to_owned())),
        LinkState::Connected => match counters.last {
            None if clock.now.since(link.since) < stale_after => {
                Some((FunctionState::Standby, "waiting for the first sample".to_owned()))
            }
            None => Some((FunctionState::Degraded, "connected, but nothing has come: check the cable".to_owned())),
            Some(last) if clock.now.since(last) >= stale_after => {
                Some((FunctionState::Degraded, "silent: check the cable and the device".to_owned()))
            }
            Some(_) => None,
        },
    }
}

fn judge_frames(gate: &Gate) -> Judgement {
    // Every frame so far was broken: the camera does not speak JPEG.
    (gate.broken > 0 && gate.judged == 0)
        .then(|| (FunctionState::Fault, "no frame can be decoded: is it set to MJPEG?".to_owned()))
}

fn judge_sight(sight: &Sight) -> Judgement {
    sight.fault.map(|fault| (FunctionState::Degraded, fault.words().to_owned()))
}

fn judge_gps(gps: &GpsState, clock: &Clock, stale_after: Duration) -> Judgement {
    match (gps.last_fix, &gps.binary) {
        (Some(fix), _) if clock.now.since(fix) < stale_after => None,
        (_, Some(protocol)) if gps.good == 0 => {
            Some((FunctionState::Fault, format!("speaks {protocol}: switch it to NMEA")))
        }
        _ if gps.good + gps.ignored == 0 && (gps.bad > MOST_BAD || gps.stray_bytes > MOST_STRAY) => Some((
            FunctionState::Fault,
            "nothing that it says can be read: check the baud rate, and that it speaks NMEA".to_owned(),
        )),
        _ => Some(match (gps.doubt, gps.last_fix) {
            (Some((at, why)), _) if clock.now.since(at) < stale_after => {
                (FunctionState::Degraded, format!("its fixes are not believed: {}", why.words()))
            }
            (_, Some(_)) => (FunctionState::Degraded, "no fix: no view of the sky?".to_owned()),
            (_, None) => (FunctionState::Standby, "no fix yet".to_owned()),
        }),
    }
}

/// Broken sentences or frames, and bytes outside of any, after which something is wrong if nothing else has come.
const MOST_BAD: u64 = 20;
const MOST_STRAY: u64 = 2000;

fn judge_range(range: &RangeState) -> Judgement {
    let read = range.valid + range.invalid;
    (read == 0 && (range.bad > MOST_BAD || range.stray_bytes > MOST_STRAY)).then(|| {
        (FunctionState::Fault, "nothing that it says can be read: check `protocol` and the baud rate".to_owned())
    })
}

fn judge_unseen(camera: &Camera) -> Judgement {
    (camera.role == CameraRole::Front)
        .then(|| (FunctionState::Off, "recorded, not looked at: gate.enabled is false".to_owned()))
}

fn judge_voice(voice: &VoiceStatus) -> Judgement {
    (!voice.instead.is_empty())
        .then(|| (FunctionState::Degraded, format!("{} instead: {}", voice.detector, voice.instead)))
}

fn judge_models(camera: &Camera, models: &ModelStatus, classical_lanes: bool) -> Judgement {
    if camera.role != CameraRole::Front {
        return None;
    }
    let missing: Vec<String> = models
        .roles
        .iter()
        .filter_map(|(role, status)| {
            let reason = status.as_ref().err()?;
            let instead = *role == JobRole::Segmentation && classical_lanes;
            Some(if instead {
                format!("lanes by the classical estimator: {reason}")
            } else {
                format!("no {role}: {reason}")
            })
        })
        .collect();
    (!missing.is_empty()).then(|| (FunctionState::Degraded, missing.join("; ")))
}

#[cfg(test)]
mod tests {
    use bevy_ecs::system::RunSystemOnce;

    use super::*;

    fn at(seconds: f64) -> Mono {
        Mono::from_secs_f64(seconds)
    }

    /// Devices whose last usable sample was at 10 s, one of each kind.
    fn world() -> World {
        let mut world = World::new();
        let second = Duration::from_secs(1);
        world.insert_resource(HealthPlugin {
            camera_stale: second,
            microphone_stale: second,
            gps_stale: second * 3,
            range_stale: second * 2,
            gate: true,
            classical_lanes: true,
            names: Vec::new(),
        });
        world.init_resource::<Clock>();
        let last = Some(at(10.0));
        let camera = Camera { role: CameraRole::Front, geometry: CameraGeometry::default() };
        let id = |stream| StableId::device(StreamId(stream));
        world.spawn((id(1), camera, Gate { judged_at: last, ..Gate::default() }));
        // Pictures that nobody can decode are none, bytes in which is no fix or reading are none.
        let counters = Counters { last: Some(at(100.0)), ..Counters::default() };
        world.spawn((
            id(2),
            GpsReceiver::default(),
            GpsState { last_fix: last, ..GpsState::default() },
            counters.clone(),
        ));
        let protocol = RangeProtocol::Tfmini;
        world.spawn((
            id(3),
            RangeSensor { protocol },
            RangeState { last_valid: last, ..RangeState::default() },
            counters,
        ));
        world.spawn((id(4), Microphone, Counters { last, ..Counters::default() }));
        world
    }

    /// Which are fresh: camera, receiver, range finder, microphone.
    fn fresh(world: &mut World, now: f64, link: LinkState) -> [bool; 4] {
        world.resource_mut::<Clock>().now = at(now);
        for mut own in world.query::<&mut Link>().iter_mut(world) {
            own.state = link.clone();
        }
        world.run_system_once(freshen).unwrap();
        let mut all = world.query::<(&StableId, &Fresh)>();
        let mut all: Vec<_> = all.iter(world).collect();
        all.sort_unstable_by_key(|(id, _)| **id);
        std::array::from_fn(|n| all[n].1.0)
    }

    #[test]
    fn nothing_is_concluded_from_what_is_old_or_was_said_over_a_link_that_is_down() {
        let mut world = world();
        assert_eq!(fresh(&mut world, 10.9, LinkState::Connected), [true; 4]);
        assert_eq!(fresh(&mut world, 11.0, LinkState::Connected), [false, true, true, false]);
        assert_eq!(fresh(&mut world, 12.0, LinkState::Connected), [false, true, false, false]);
        assert_eq!(fresh(&mut world, 13.0, LinkState::Connected), [false; 4]);
        for down in [LinkState::Connecting, LinkState::Lost("EIO".to_owned()), LinkState::Failed(String::new())] {
            assert_eq!(fresh(&mut world, 10.1, down), [false; 4]);
        }
    }

    #[test]
    fn a_camera_of_a_parked_vehicle_may_be_silent_for_a_second_more_and_says_so() {
        let mut world = world();
        world.init_resource::<ModelStatus>();
        world.init_resource::<Switches>();
        world.init_resource::<VoiceStatus>();
        world.init_resource::<Messages<Notice>>();
        world.insert_resource(Parked { parked: true, ..Parked::default() });
        let camera = world.query_filtered::<Entity, With<Camera>>().single(&world).unwrap();
        world.entity_mut(camera).insert(Counters { last: Some(at(10.0)), ..Counters::default() });
        assert!(fresh(&mut world, 12.0, LinkState::Connected)[0]);
        world.run_system_once(assess).unwrap();
        let health = world.get::<Health>(camera).unwrap();
        assert_eq!((health.state, health.reason.as_str()), (FunctionState::Standby, PARKED));
        assert!(!fresh(&mut world, 12.3, LinkState::Connected)[0]);
    }

    #[test]
    fn a_loudspeaker_is_judged_by_its_link_alone() {
        let mut world = world();
        world.init_resource::<ModelStatus>();
        world.init_resource::<Switches>();
        world.init_resource::<VoiceStatus>();
        world.init_resource::<Messages<Notice>>();
        world.resource_mut::<Clock>().now = at(1000.0);
        let speaker = world.spawn((StableId::device(StreamId::SPEAKER), Loudspeaker)).id();
        let mut judged = |state: LinkState| {
            world.get_mut::<Link>(speaker).unwrap().state = state;
            world.run_system_once(assess).unwrap();
            world.get::<Health>(speaker).unwrap().clone()
        };
        assert_eq!(judged(LinkState::Connecting).state, FunctionState::Standby);
        assert_eq!(judged(LinkState::Connected), Health { state: FunctionState::Active, reason: String::new() });
        let lost = judged(LinkState::Lost("no such device".to_owned()));
        assert_eq!(lost.state, FunctionState::Degraded);
        assert!(lost.reason.contains("no such device"), "{}", lost.reason);
        assert_eq!(judged(LinkState::Failed("broken".to_owned())).state, FunctionState::Fault);
    }

    #[test]
    fn what_has_said_nothing_is_not_fresh() {
        let mut world = world();
        let microphone = world.query_filtered::<Entity, With<Microphone>>().single(&world).unwrap();
        world.entity_mut(microphone).insert(Counters::default());
        assert_eq!(fresh(&mut world, 10.1, LinkState::Connected), [true, true, true, false]);
    }
}
