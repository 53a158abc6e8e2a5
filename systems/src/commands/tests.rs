//! Tests of what becomes of commands.

use bevy_ecs::system::RunSystemOnce;
use bytes::Bytes;

use super::*;

const CAMERA: StreamId = StreamId(1);
const GPS: StreamId = StreamId(2);
/// 2026-11-23T12:00:00Z.
const NOON: i64 = 1_795_435_200_000_000_000;

fn world() -> World {
    let mut world = World::new();
    world.insert_resource(CommandPlugin {
        names: vec![(CAMERA, "front".to_owned()), (GPS, "gps".to_owned())],
        telemetry: vec!["position"],
    });
    world.init_resource::<Orders>();
    world.init_resource::<Switches>();
    world.init_resource::<Rates>();
    world.init_resource::<Messages<CommandReceived>>();
    world.init_resource::<Messages<CommandAnswer>>();
    world.init_resource::<Messages<Deed>>();
    world.init_resource::<Messages<DeedDone>>();
    world.init_resource::<Messages<SwitchesRestored>>();
    let utc = UtcOffset { offset_ns: NOON, source: UtcSource::Gps, uncertainty_ns: 0 };
    world.insert_resource(Clock { tick: 1, now: Mono::default(), utc: Some(utc) });
    let camera = Camera { role: CameraRole::Front, geometry: CameraGeometry::default() };
    world.spawn((StableId::device(CAMERA), camera));
    world.spawn((StableId::device(GPS), GpsReceiver::default()));
    world
}

/// Runs a tick at `seconds` in which these come in; gives what was answered: `id progress reason`.
fn tick(world: &mut World, seconds: f64, commands: &[(&str, Option<i64>, Action)]) -> Vec<String> {
    world.resource_mut::<Messages<CommandReceived>>().clear();
    for (id, expires_ns, action) in commands {
        world.write_message(CommandReceived {
            id: (*id).to_owned(),
            name: "name".to_owned(),
            expires_ns: *expires_ns,
            again: false,
            action: Ok(action.clone()),
        });
    }
    world.resource_mut::<Clock>().now = Mono::from_secs_f64(seconds);
    world.resource_mut::<Messages<CommandAnswer>>().clear();
    world.resource_mut::<Messages<Deed>>().clear();
    world.run_system_once(obey).unwrap();
    world.resource_mut::<Messages<DeedDone>>().clear();
    world.resource_mut::<Messages<SwitchesRestored>>().clear();
    let answers = world.resource_mut::<Messages<CommandAnswer>>().drain().collect::<Vec<_>>();
    answers.into_iter().map(|answer| format!("{} {} {}", answer.id, answer.progress, answer.reason)).collect()
}

fn deeds(world: &mut World) -> Vec<Deed> {
    world.resource_mut::<Messages<Deed>>().drain().collect()
}

#[test]
fn a_command_is_received_and_done_once() {
    let mut world = world();
    assert_eq!(tick(&mut world, 1.0, &[("a", None, Action::Ping)]), ["a received ", "a done pong"]);
    // However often it comes, and whatever it then asks for.
    for at in [1.01, 50.0, 5000.0] {
        assert_eq!(tick(&mut world, at, &[("a", None, Action::Recording(false))]), ["a done pong"]);
    }
    assert!(world.resource::<Switches>().recording);
    let twice = [("b", None, Action::Privacy(true)), ("b", None, Action::Privacy(false))];
    let answers = tick(&mut world, 6000.0, &twice);
    assert_eq!(answers, ["b received ", "b done privacy is on", "b done privacy is on"]);
    assert!(world.resource::<Switches>().privacy);
}

#[test]
fn nothing_is_done_late() {
    let mut world = world();
    let before = Some(NOON + 10_000_000_000);
    let off = || Action::Recording(false);
    assert_eq!(tick(&mut world, 10.0, &[("late", before, off())]), ["late expired it came too late"]);
    assert_eq!(tick(&mut world, 9.9, &[("in-time", before, Action::Ping)])[1], "in-time done pong");
    // A clock that jumps a day ahead makes everything late, one that jumps back nothing early.
    world.resource_mut::<Clock>().utc.as_mut().unwrap().offset_ns += 86_400_000_000_000;
    assert_eq!(tick(&mut world, 1.0, &[("jump", before, off())]), ["jump expired it came too late"]);
    world.resource_mut::<Clock>().utc = None;
    let answers = tick(&mut world, 1.0, &[("dateless", before, off()), ("whenever", None, Action::Ping)]);
    assert_eq!(answers[0], "dateless failed it expires, and the vehicle does not know the date");
    assert_eq!(answers[2], "whenever done pong");
    assert!(world.resource::<Switches>().recording);
    assert_eq!(world.resource::<Orders>().refused, 3);
}

#[test]
fn what_cannot_be_done_is_answered_and_changes_nothing() {
    let mut world = world();
    let rate = |stream: &str| Action::SetRate { stream: stream.to_owned(), rate_hz: 5.0 };
    let snapshot = Action::Snapshot { camera: Some("gps".to_owned()) };
    let restart = Action::RestartDevice { device: "front\0".to_owned() };
    let all = [("a", None, rate("speed")), ("b", None, snapshot), ("c", None, restart), ("d", None, rate("position"))];
    let answers = tick(&mut world, 1.0, &all);
    let ends: Vec<_> = answers.iter().filter(|answer| !answer.contains("received")).collect();
    assert_eq!(
        ends,
        [
            "a failed no stream `speed`: there are position",
            "b failed no camera `gps`",
            "c failed no device `front\0`",
            "d done position: 5 Hz"
        ]
    );
    assert!(deeds(&mut world).is_empty());
    assert_eq!(world.resource::<Rates>().0, [("position".to_owned(), 5.0)].into());
}

#[test]
fn a_snapshot_is_the_next_frame() {
    let mut world = world();
    let answers = tick(&mut world, 1.0, &[("s", None, Action::Snapshot { camera: None })]);
    assert_eq!(answers, ["s received ", "s running "]);
    assert!(tick(&mut world, 2.0, &[]).is_empty());
    world.spawn((StableId::new(GPS, 9), Frame { jpeg: Bytes::new() }));
    let frame = StableId::new(CAMERA, 7);
    world.spawn((frame, Frame { jpeg: Bytes::new() }));
    assert_eq!(tick(&mut world, 3.0, &[]), ["s done frame 1:7"]);
    assert_eq!(deeds(&mut world)[0].frame, Some(frame));
    assert!(tick(&mut world, 4.0, &[]).is_empty(), "once");
}

#[test]
fn what_is_done_outside_comes_back_or_expires() {
    let mut world = world();
    let preserve = Action::Preserve { around_s: Some(5) };
    let all = [("a", None, preserve.clone()), ("b", None, preserve.clone()), ("c", None, preserve.clone())];
    tick(&mut world, 1.0, &all);
    assert_eq!(deeds(&mut world).len(), 3);
    world.write_message(DeedDone { id: "a".to_owned(), result: Ok("kept".to_owned()) });
    world.write_message(DeedDone { id: "b".to_owned(), result: Err("no disk".to_owned()) });
    world.write_message(DeedDone { id: "who?".to_owned(), result: Ok(String::new()) });
    assert_eq!(tick(&mut world, 2.0, &[]), ["a done kept", "b failed no disk"]);
    assert_eq!(tick(&mut world, 61.0, &[]), ["c expired it took too long"]);
}

#[test]
fn a_device_is_restarted_when_it_is_open_again() {
    let mut world = world();
    tick(&mut world, 1.0, &[("r", None, Action::RestartDevice { device: "gps".to_owned() })]);
    assert_eq!(deeds(&mut world).len(), 1);
    let set = |world: &mut World, state: LinkState, since: f64| {
        let mut links = world.query_filtered::<&mut Link, With<GpsReceiver>>();
        *links.single_mut(world).unwrap() = Link { state, since: Mono::from_secs_f64(since) };
    };
    set(&mut world, LinkState::Connected, 0.5);
    assert!(tick(&mut world, 1.1, &[]).is_empty(), "it was open before");
    set(&mut world, LinkState::Lost("restarted".to_owned()), 1.1);
    assert!(tick(&mut world, 1.2, &[]).is_empty());
    set(&mut world, LinkState::Connected, 1.3);
    assert_eq!(tick(&mut world, 1.3, &[]), ["r done it is open again"]);
}

#[test]
fn switches_are_as_the_run_before_left_them() {
    let mut world = world();
    let private = Switches { recording: true, privacy: true };
    world.write_message(SwitchesRestored(private));
    assert!(tick(&mut world, 1.0, &[]).is_empty());
    assert_eq!(*world.resource::<Switches>(), private);
}

#[test]
fn commands_that_are_over_are_forgotten_first() {
    let mut world = world();
    tick(&mut world, 1.0, &[("wait", None, Action::Snapshot { camera: None })]);
    for n in 0..2 * Orders::REMEMBERED {
        tick(&mut world, 2.0, &[(&format!("{n}"), None, Action::Ping)]);
    }
    let orders = world.resource::<Orders>();
    assert_eq!(orders.known.len(), Orders::REMEMBERED);
    assert!(orders.known.contains_key("wait") && orders.known.contains_key(&format!("{}", 2 * Orders::REMEMBERED - 1)));
}
