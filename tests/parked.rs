//! A vehicle that stands, and where nothing happens, watches less closely; whatever happens ends that within a second. All of it
//! is decided from what came in, and replays.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

#[path = "support/broker.rs"]
mod broker;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/program.rs"]
mod program;

use std::path::{Path, PathBuf};
use std::time::Duration;

use broker::{Broker, FAST, Listener, pause, until};
use nix::sys::signal::Signal;
use program::{folder, json, session_in, text};
use serde_json::Value;
use waywarden_components::prelude::*;
use waywarden_systems::session::{Findings, TickFindings};

/// What ends it has so long to do so.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Two seconds are enough for a test.
const CONFIG: &str = "\
[[camera]]
width = 320
height = 180
fps = 20
loop_frames = 20
[[microphone]]
[[gps]]
rate_hz = 5
[[range]]
rate_hz = 20
[parked]
after_s = 2
[http]
enabled = false
[record]
free_gb = 0.0
";

/// Nothing moves, nobody speaks.
const STANDS: &str = "\
duration_s = 60
[road]
lanes = 1
oncoming_lanes = 1
bend_radius_m = 100000
[ego]
speed_kmh = 0
sway_m = 0
pitch_deg = 0
[traffic]
per_km = 0
oncoming_per_km = 0
[sound]
engine = false
speech = 0
";

fn ticks(session: &Path) -> Vec<TickFindings> {
    Findings::open(session).unwrap().map(Result::unwrap).collect()
}

/// When it was parked, and until when and why not any more.
fn parked(ticks: &[TickFindings]) -> Vec<(Mono, Option<(Mono, String)>)> {
    let mut times: Vec<(Mono, Option<(Mono, String)>)> = Vec::new();
    for tick in ticks {
        for notice in tick.found.iter().flat_map(|found| &found.notices).filter(|notice| notice.source == "parked") {
            match notice.text.strip_prefix("no longer parked: ") {
                Some(why) => times.last_mut().unwrap().1 = Some((tick.now, why.to_owned())),
                None => times.push((tick.now, None)),
            }
        }
    }
    times
}

/// The first tick behind `from` of which this is true.
fn first(ticks: &[TickFindings], from: Mono, is: impl Fn(&TickFindings) -> bool) -> Mono {
    ticks.iter().find(|tick| tick.now > from && is(tick)).expect("it happens").now
}

/// A drive of a scenario, run through everything, recorded. Cameras do as they always do: nobody tells them.
fn simulated(dir: &Path, scenario: &str, seconds: &str) -> PathBuf {
    let [config, road, made, out] = ["config.toml", "road.toml", "made.mcap", "out.mcap"].map(|name| dir.join(name));
    std::fs::write(&config, CONFIG).unwrap();
    std::fs::write(&road, scenario).unwrap();
    let args = ["simulate", "--config", text(&config), "--scenario", text(&road), "--duration", seconds, "--json"];
    json(&[&args[..], &["-o", text(&made)]].concat());
    json(&["replay", text(&made), "--json", "--out", text(&out)]);
    out
}

fn replays(session: &Path) -> Value {
    let verified = json(&["replay", text(session), "--verify", "--threads", "4", "--json"]);
    assert_eq!(verified["verified"]["differing"], 0, "{verified}");
    assert!(verified["kinds"]["parked"].as_u64() > Some(0), "`parked` was never digested: {verified}");
    verified
}

#[test]
fn a_live_vehicle_slows_down_wakes_up_and_replays() {
    let dir = folder();
    let (config, road) = (dir.path().join("config.toml"), dir.path().join("road.toml"));
    std::fs::write(&road, STANDS.replace("[traffic]", "[[ego.event]]\nat_s = 8\nspeed_kmh = 40\n[traffic]")).unwrap();
    std::fs::write(&config, format!("{CONFIG}[simulation]\nscenario = '{}'\n", text(&road))).unwrap();
    let record = dir.path().join("sessions");
    let args =
        ["run", "--simulate", "--config", text(&config), "--record", text(&record), "--duration", "13", "--json"];
    let ran = json(&args);
    assert!(ran["not_wanted"].as_u64() >= Some(40), "{ran}");
    assert_eq!(ran["counts"]["dropped"], 0, "what is not wanted is not dropped: {ran}");
    let session = session_in(&record);
    let ticks = ticks(&session);
    let times = parked(&ticks);
    let Some((from, Some((until, why)))) = times.first() else { panic!("{times:?}") };
    let (from, until) = (*from, *until);
    // The camera and the loop are told at the end of the tick.
    let during: Vec<_> = ticks.iter().filter(|tick| tick.now > from + AT_ONCE && tick.now <= until).collect();
    let seconds = until.since(from + AT_ONCE).as_secs_f64();
    assert!(seconds > 2.0, "{times:?}");
    assert!(during.len() as f64 <= 10.0 * seconds + 2.0, "{} ticks in {seconds} s", during.len());
    let frames: usize = during.iter().map(|tick| tick.frames().count()).sum();
    assert!(frames > 0 && frames as f64 <= seconds + 1.0, "{frames} pictures in {seconds} s");
    let is_told = |tick: &&TickFindings| {
        tick.found.iter().flat_map(|found| &found.health).any(|(id, health)| {
            id.stream == StreamId(1) && health.state == FunctionState::Standby && health.reason.contains("parked")
        })
    };
    assert!(ticks.iter().any(|tick| is_told(&tick)), "health says so");
    assert!(why.contains("moves"), "{why}");
    let moves = |tick: &TickFindings| {
        let fixes = tick.found.iter().flat_map(|found| &found.fixes);
        fixes.filter_map(|(_, fix)| fix.speed_mps).any(|speed| speed >= 1.0)
    };
    assert!(until.since(first(&ticks, from, moves)) <= AT_ONCE);
    let awake = ticks.iter().filter(|tick| tick.now > until + AT_ONCE && tick.now <= until + 2 * AT_ONCE);
    let (count, frames) = awake.fold((0, 0), |(ticks, frames), tick| (ticks + 1, frames + tick.frames().count()));
    assert!(count >= 50 && frames >= 10, "a second after that: {count} ticks, {frames} pictures");
    replays(&session);
}

#[test]
fn speech_and_a_distance_that_changes_end_it_within_a_second() {
    let dir = folder();
    // A car stands ahead, and drives away.
    let scenario = format!("{STANDS}[[car]]\nahead_m = 7\nspeed_kmh = 0\n[[car.event]]\nat_s = 9\nspeed_kmh = 30\n");
    let session = simulated(dir.path(), &scenario, "14");
    let found = ticks(&session);
    let times = parked(&found);
    let Some((from, Some((until, why)))) = times.first() else { panic!("{times:?}") };
    assert!(why.contains("gone away"), "{times:?}");
    let near =
        |tick: &TickFindings| tick.found.iter().flat_map(|found| &found.ranges).next().map(|(_, it)| it.distance_m);
    let before = found.iter().find_map(near).unwrap();
    let changes = first(&found, *from, |tick| near(tick).is_some_and(|distance| (distance - before).abs() > 0.3));
    assert!(until.since(changes) <= AT_ONCE, "{:?}", until.since(changes));
    replays(&session);

    let session = simulated(dir.path(), &STANDS.replace("speech = 0", "speech = 0.4"), "40");
    let found = ticks(&session);
    let times = parked(&found);
    let spoken = times.iter().find(|(_, end)| end.as_ref().is_some_and(|(_, why)| why.contains("speaks")));
    let Some((from, Some((until, _)))) = spoken else { panic!("{times:?}") };
    let speaks = |tick: &TickFindings| {
        let heard = tick.found.iter().flat_map(|found| &found.speech);
        heard
            .filter_map(|(_, speech)| match speech {
                SpeechProbability::Windows(windows) => windows.iter().copied().reduce(f32::max),
                SpeechProbability::Pending => None,
            })
            .any(|probability| probability >= 0.9)
    };
    let heard = first(&found, *from, speaks);
    assert!(until.since(heard) <= AT_ONCE, "{:?}", until.since(heard));
    replays(&session);
}

#[test]
fn a_command_ends_it_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Broker::start(dir.path(), FAST) else { return };
    let listener = Listener::new(broker.port, "listener", None);
    let road = dir.path().join("road.toml");
    std::fs::write(&road, STANDS).unwrap();
    let more = format!(
        "[simulation]\nscenario = '{}'\n[mqtt]\nbroker = \"mqtt://127.0.0.1:{}\"\nprefix = \"fleet\"\nvehicle = \"van\"\nspool = \"spool\"\n",
        text(&road),
        broker.port
    );
    std::fs::write(dir.path().join("config.toml"), format!("{CONFIG}{more}")).unwrap();
    let args = ["run", "--config", "config.toml", "--simulate", "--record", "rec"];
    let mut child = outcome::start_after(dir.path(), "unset XDG_STATE_HOME STATE_DIRECTORY;", &args);
    // The broker is told, too.
    let is_parked = |heard: &broker::Heard| {
        heard.json()["data"]["devices"]["front"]["reason"].as_str().is_some_and(|reason| reason.contains("parked"))
    };
    until("parked", || listener.ending("/telemetry/health").iter().any(is_parked).then_some(()));
    pause(500);
    assert_eq!(listener.order("fleet/van", "ping", r#"{"id":"1"}"#)["status"], "done");
    pause(1500);
    outcome::send(&child, Signal::SIGTERM);
    outcome::end(&mut child, dir.path()).done();
    let session = outcome::sessions(&dir.path().join("rec")).pop().unwrap();
    let ticks = ticks(&session);
    let times = parked(&ticks);
    let Some((_, Some((until, why)))) = times.first() else { panic!("{times:?}") };
    assert_eq!(why, "a command has come in");
    let came = ticks.iter().flat_map(|tick| &tick.inputs).find_map(|input| match &input.payload {
        Payload::Message(message) if message.topic == "cmd/ping" => Some(message.at),
        _ => None,
    });
    assert!(until.since(came.unwrap()) <= AT_ONCE);
    replays(&session);
}
