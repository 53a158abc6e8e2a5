use bevy_ecs::system::RunSystemOnce;

use super::*;
use crate::obstacles::follow::follow;

/// A vehicle at 50 km/h with all its devices and models.
fn world() -> World {
    let mut world = World::new();
    world.insert_resource(WarningPlugin { lanes: true, detection: true, classical: true, ..WarningPlugin::default() });
    world.init_resource::<Warner>();
    world.init_resource::<WarningFunctions>();
    world.init_resource::<Token<Alert>>();
    world.init_resource::<Token<Track>>();
    world.init_resource::<FollowSettings>();
    world.init_resource::<Following>();
    world.init_resource::<Clock>();
    world.init_resource::<EgoMotion>();
    let roles = JobRole::ALL.map(|role| (role, Ok("a model".to_owned())));
    world.insert_resource(ModelStatus { roles: roles.into_iter().collect() });
    let camera = Camera { role: CameraRole::Front, geometry: CameraGeometry::default() };
    let gate = Gate { size: (1280, 720), ..Gate::default() };
    let link = || Link { state: LinkState::Connected, since: Mono(0) };
    world.spawn((StableId::device(StreamId(1)), camera, gate, link(), Fresh(true)));
    world.spawn((StableId::device(StreamId(2)), GpsReceiver::default(), link(), Fresh(true)));
    world
}

fn car(distance_m: f64) -> Detection {
    let (geometry, focal) = (CameraGeometry::default(), 640.0 / libm::tan(30f64.to_radians()));
    let depth = distance_m + geometry.bumper_m;
    let (width, bottom, height) = (focal * 1.8 / depth, 360.0 + focal * geometry.height_m / depth, focal * 1.5 / depth);
    let [left, top, width, height] = [640.0 - width / 2.0, bottom - height, width, height].map(|px| px as f32);
    Detection { class: ObjectClass::Car, score: 0.8, left, top, width, height }
}

/// Drives on for a tenth of a second.
fn drive(world: &mut World, number: u64, distance_m: f64) {
    let at = Mono(number * 100_000_000);
    world.resource_mut::<Clock>().now = at;
    let measured = Some(at);
    *world.resource_mut::<EgoMotion>() = EgoMotion { speed_mps: Some(14.0), measured, ..EgoMotion::default() };
    for mut obstacles in world.query::<&mut Obstacles>().iter_mut(world) {
        let frame = Some(StableId::new(StreamId(1), number));
        *obstacles = Obstacles { frame, captured: Some(at), boxes: vec![car(distance_m)], ..Obstacles::default() };
    }
    world.run_system_once(follow).unwrap();
    world.run_system_once(warn).unwrap();
}

fn alerts(world: &mut World) -> Vec<(StableId, Alert)> {
    world.query::<(&StableId, &Alert)>().iter(world).map(|(id, alert)| (*id, alert.clone())).collect()
}

fn state(world: &World, kind: AlertKind) -> FunctionState {
    world.resource::<WarningFunctions>().0[&kind].state
}

#[test]
fn a_standing_car_is_warned_of_once_from_look_to_act_and_the_record_says_by_what() {
    let mut world = world();
    let mut levels = Vec::new();
    for n in 1..=34 {
        drive(&mut world, n, 60.0 - 1.4 * n as f64);
        levels.extend(alerts(&mut world).first().map(|(_, alert)| alert.level));
    }
    levels.dedup();
    assert_eq!(levels, [AlertLevel::Caution, AlertLevel::Warning]);
    let [(id, alert)] = &alerts(&mut world)[..] else { panic!("{:?}", alerts(&mut world)) };
    assert_eq!((*id, alert.kind, alert.ended), (StableId::new(StreamId::ALERTS, 1), AlertKind::ForwardCollision, None));
    let track = StableId::new(StreamId::tracks_of(StreamId(1)), 1);
    assert!(alert.evidence.contains(&track) && alert.evidence.iter().any(|id| id.stream == StreamId(1)), "{alert:?}");
    assert!(alert.text.contains("car"), "{alert:?}");
}

#[test]
fn nothing_is_warned_of_where_the_camera_is_gone_or_sees_nothing() {
    for blocked in [true, false] {
        let mut world = world();
        (1..=34).for_each(|n| drive(&mut world, n, 60.0 - 1.4 * n as f64));
        assert_eq!(state(&world, AlertKind::ForwardCollision), FunctionState::Active);
        for (mut fresh, mut sight) in world.query::<(&mut Fresh, &mut Sight)>().iter_mut(&mut world) {
            fresh.0 = false;
            sight.fault = blocked.then_some(SightFault::Blocked);
        }
        drive(&mut world, 35, 12.0);
        assert!(alerts(&mut world)[0].1.ended.is_some());
        assert_ne!(state(&world, AlertKind::ForwardCollision), FunctionState::Active);
        if blocked {
            let functions = world.resource::<WarningFunctions>();
            assert!(functions.0[&AlertKind::ForwardCollision].reason.contains("camera blocked"), "{functions:?}");
        }
    }
}

#[test]
fn without_a_model_for_obstacles_the_function_says_so() {
    let mut world = world();
    world.resource_mut::<ModelStatus>().roles.insert(JobRole::Detection, Err("no file".to_owned()));
    (1..=34).for_each(|n| drive(&mut world, n, 50.0));
    let functions = world.resource::<WarningFunctions>();
    let function = &functions.0[&AlertKind::ForwardCollision];
    assert!(function.state != FunctionState::Active && function.reason.contains("no file"), "{function:?}");
}
