//! Every component, resource and message type of the app is digested, saved or exempt with a reason; a third kind does
//! not exist.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};
use waywarden::app::{self, Parts};
use waywarden::config::Config;
use waywarden_components::prelude::*;
use waywarden_systems::ingress::Incoming;
use waywarden_systems::registry::{Register, Registry, Treatment, unregistered};
use waywarden_systems::replay::{LookAhead, Prepared};

/// The app with all simulated devices, after a tick with inputs of every device.
fn app_after_a_tick() -> bevy_app::App {
    let config = Config::default().simulated();
    let prepared = Prepared::default();
    let parts = Parts { source: Box::new(prepared.clone()), ..Parts::idle() };
    let mut app = app::build(&config, &config.streams(), parts);
    app.finish();
    app.cleanup();
    let input = |stream, payload| Input { stream: StreamId(stream), seq: 1, captured: Mono(5), payload };
    let inputs = vec![
        input(0, Payload::Boundary { segment: 0, reason: BoundaryReason::Start }),
        input(1, Payload::Frame(bytes::Bytes::from_static(b"no JPEG"))),
        input(2, Payload::Audio(vec![0; 1024].into())),
        input(3, Payload::Serial(bytes::Bytes::from_static(b"$GPGGA,,*00\r\n"))),
        input(4, Payload::Link(LinkState::Connected)),
    ];
    prepared.put(Incoming { tick: 1, now: Mono(10), inputs });
    app.update();
    app
}

#[test]
fn every_type_is_registered() {
    let app = app_after_a_tick();
    assert_eq!(unregistered(app.world()), Vec::<String>::new());
}

#[derive(Component)]
struct Forgotten;

#[derive(Message, Clone, Serialize, Deserialize)]
struct Unheard;

#[test]
fn a_forgotten_type_is_found() {
    let mut app = app_after_a_tick();
    app.world_mut().spawn(Forgotten);
    app.world_mut().init_resource::<Messages<Unheard>>();
    let found = unregistered(app.world());
    assert!(found.iter().any(|path| path.ends_with("Forgotten")), "{found:?}");
    assert!(found.iter().any(|path| path.contains("Unheard")), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn every_exemption_has_a_reason() {
    let app = app_after_a_tick();
    for entry in app.world().resource::<Registry>().entries() {
        if let Treatment::Exempt(why) | Treatment::Payload(why) = entry.treatment {
            assert!(why.len() > 10, "{}: {why:?}", entry.name);
        }
    }
}

#[test]
fn names_are_unique() {
    let app = app_after_a_tick();
    let names: Vec<&str> = app.world().resource::<Registry>().entries().map(|entry| entry.name).collect();
    for pair in names.windows(2) {
        assert!(pair[0] < pair[1], "{pair:?}");
    }
}

#[test]
fn exempting_what_is_only_sometimes_there_is_possible() {
    // Look-ahead exists in replays alone: it is registered all the same, so that the check holds for both.
    let mut app = app_after_a_tick();
    app.exempt::<LookAhead>("again: the first registration counts");
    assert_eq!(unregistered(app.world()), Vec::<String>::new());
}
