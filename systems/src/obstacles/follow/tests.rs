use bevy_ecs::system::RunSystemOnce;

use super::*;
use crate::emit::Token;

const SIZE: (u32, u32) = (1280, 720);
const CAMERA: StreamId = StreamId(1);

fn world() -> World {
    let mut world = World::new();
    world.init_resource::<EgoMotion>();
    world.init_resource::<FollowSettings>();
    world.init_resource::<Clock>();
    world.init_resource::<Following>();
    world.init_resource::<Token<Track>>();
    let camera = Camera { role: CameraRole::Front, geometry: CameraGeometry::default() };
    let gate = Gate { size: SIZE, ..Gate::default() };
    let camera = world.spawn((StableId::device(CAMERA), camera, gate)).id();
    world.entity_mut(camera).insert(Fresh(true));
    world
}

/// A car 1.8 m wide and 1.5 m high that stands on the road straight ahead, as a detector sees it.
fn car(distance_m: f64) -> Detection {
    let geometry = CameraGeometry::default();
    let focal = 640.0 / libm::tan(30f64.to_radians());
    let depth = distance_m + geometry.bumper_m;
    let (width, bottom) = (focal * 1.8 / depth, 360.0 + focal * geometry.height_m / depth);
    let height = focal * 1.5 / depth;
    Detection {
        class: ObjectClass::Car,
        score: 0.8,
        left: (640.0 - width / 2.0) as f32,
        top: (bottom - height) as f32,
        width: width as f32,
        height: height as f32,
    }
}

/// One tick, in which a frame was looked at.
fn look(world: &mut World, number: u64, boxes: Vec<Detection>) {
    let at = Mono(number * 100_000_000);
    world.resource_mut::<Clock>().now = at;
    for mut obstacles in world.query::<&mut Obstacles>().iter_mut(world) {
        let frame = Some(StableId::new(CAMERA, number));
        *obstacles = Obstacles { frame, captured: Some(at), boxes: boxes.clone(), ..Obstacles::default() };
    }
    world.run_system_once(follow).unwrap();
}

fn tracks(world: &mut World) -> Vec<(StableId, Track)> {
    let mut all: Vec<_> = world.query::<(&StableId, &Track)>().iter(world).map(|(id, t)| (*id, t.clone())).collect();
    all.sort_unstable_by_key(|(id, _)| *id);
    all
}

/// Closing in at 8 m/s from 40 m.
fn approach(world: &mut World) {
    for n in 1..=20 {
        look(world, n, vec![car(40.0 - 0.8 * n as f64)]);
    }
}

#[test]
fn what_comes_nearer_is_one_track_with_its_distance_and_speed() {
    let mut world = world();
    approach(&mut world);
    let [(id, track)] = &tracks(&mut world)[..] else { panic!("{:?}", tracks(&mut world)) };
    assert_eq!(*id, StableId::new(StreamId::tracks_of(CAMERA), 1));
    assert_eq!((track.class, track.frame, track.lost), (ObjectClass::Car, StableId::new(CAMERA, 20), false));
    let motion = track.motion.expect("a place");
    assert!((motion.distance_m - 24.0).abs() < 2.0, "{motion:?}");
    assert!((motion.closing_mps - 8.0).abs() < 1.5, "{motion:?}");
    assert!(motion.in_path && motion.left_m.abs() < 0.3, "{motion:?}");
    assert!((motion.ttc_s.expect("it is reached") - 3.0).abs() < 0.7, "{motion:?}");
}

#[test]
fn what_is_not_seen_any_more_is_lost_and_so_is_all_when_the_camera_is_gone() {
    let mut world = world();
    approach(&mut world);
    for n in 21..=45 {
        look(&mut world, n, Vec::new());
    }
    assert!(tracks(&mut world)[0].1.lost);

    let mut world = self::world();
    approach(&mut world);
    for mut fresh in world.query::<&mut Fresh>().iter_mut(&mut world) {
        fresh.0 = false;
    }
    world.run_system_once(follow).unwrap();
    assert!(tracks(&mut world)[0].1.lost);
    let following = &world.resource::<Following>().0[&CAMERA];
    assert!(following.at(CAMERA, &FollowSettings::default().ranging, Mono(2_000_000_000)).is_empty());
}

#[test]
fn a_range_finder_that_agrees_is_believed() {
    let mut world = world();
    let sensor = world.spawn((StableId::device(StreamId(3)), RangeSensor { protocol: RangeProtocol::Tfmini })).id();
    world.entity_mut(sensor).insert(Fresh(true));
    for n in 1..=20 {
        let distance = 12.0 - 0.3 * n as f64;
        let (last_valid, distance_m) = (Some(Mono(n * 100_000_000)), Some(distance as f32));
        world.entity_mut(sensor).insert(RangeState { last_valid, distance_m, ..RangeState::default() });
        look(&mut world, n, vec![car(distance)]);
    }
    let motion = tracks(&mut world)[0].1.motion.expect("a place");
    assert!(motion.sources.range && (motion.distance_m - 6.0).abs() < 0.15, "{motion:?}");
}

#[test]
fn state_that_was_saved_goes_on_as_if_nothing_had_been() {
    let mut world = world();
    approach(&mut world);
    let saved = postcard::to_allocvec(world.resource::<Following>()).unwrap();
    let mut restored = self::world();
    restored.insert_resource(postcard::from_bytes::<Following>(&saved).unwrap());
    for world in [&mut world, &mut restored] {
        look(world, 21, vec![car(23.0)]);
    }
    assert_eq!(world.resource::<Following>(), restored.resource::<Following>());
}
