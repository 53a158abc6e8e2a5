//! A long drive at many times its speed, on which everything happens to the devices that can: nothing is lost but what the
//! faults cost, nothing grows, nothing stays stuck, and all of it replays.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "a long test says what it found")]

#[path = "support/outcome.rs"]
mod outcome;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use outcome::{end, pause, sessions, start_after, waywarden};
use waywarden_components::prelude::*;
use waywarden_systems::clock::boottime;
use waywarden_systems::session::Findings;

/// Small pictures that are drawn before, three devices beside them.
fn config(faults_per_hour: u32) -> String {
    format!(
        "record.segment_s = 60\nsimulation.faults_per_hour = {faults_per_hour}\n\
         [[camera]]\nwidth = 320\nheight = 180\nfps = 20.0\nloop_frames = 40\n"
    )
}

/// What a session says of one device.
#[derive(Default, Debug)]
struct Device {
    states: Vec<LinkState>,
    samples: u64,
    /// When the last sample came, since the first tick.
    last: Duration,
    /// When it was captured: a driver may be some milliseconds ahead of the tick that takes it in.
    captured: Mono,
    /// Whether a lane is claimed of a camera, and how often one that was claimed has been silenced.
    lane: bool,
    silenced: u64,
}

/// A camera that delivers nothing for this long is stale: the default of the config.
const STALE: Duration = Duration::from_secs(1);

/// Resident memory of a process, in megabytes.
fn memory(process: u32) -> Option<f64> {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    Some(statm.split(' ').nth(1)?.parse::<f64>().ok()? * 4096.0 / 1e6)
}

fn soak(seconds: u32, faults_per_hour: u32, speed: u32) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.toml"), config(faults_per_hour)).unwrap();
    let (duration, speed) = (seconds.to_string(), speed.to_string());
    let args = ["run", "--simulate", "--config", "config.toml", "--record", "rec", "--json"];
    // The trace of a panic loads all that is known for debugging, which is memory that a drive has no use for.
    let mut child = start_after(
        dir.path(),
        "export RUST_BACKTRACE=0;",
        &[&args[..], &["--duration", &duration, "--speed", &speed]].concat(),
    );
    let begin = boottime();
    let mut sizes = Vec::new();
    while child.try_wait().unwrap().is_none() && boottime().since(begin) < Duration::from_secs(u64::from(seconds)) {
        pause(Duration::from_millis(250));
        sizes.extend(memory(child.id()));
    }
    // Drivers that panic say so.
    let ended = end(&mut child, dir.path());
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let session = sessions(&dir.path().join("rec")).pop().unwrap();

    let (devices, lasted) = look_into(&session);
    assert!(lasted > Duration::from_secs_f64(f64::from(seconds) * 0.95), "{lasted:?}");
    let expected = f64::from(seconds * faults_per_hour) / 3600.0;
    for (name, device) in &devices {
        let lost = device.states.iter().filter(|state| matches!(state, LinkState::Lost(_))).count();
        if name == "front" {
            println!("{name}: a lane was silenced {} times", device.silenced);
            assert!(device.silenced > 0, "no lane was ever silenced");
        }
        let failed = device.states.iter().filter(|state| matches!(state, LinkState::Failed(_))).count();
        println!("{name}: {} samples, lost {lost} times, failed {failed} times", device.samples);
        // A fault is told at least once; an unplugged or hung one also when it is looked for again.
        assert!(lost as f64 >= expected * 0.6, "{name}: {:?}", device.states);
        assert_eq!(failed, 0, "{name}: {:?}", device.states);
        // It came back from each: after every loss it was connected again, but for one that happened just now.
        let connected = device.states.iter().filter(|state| **state == LinkState::Connected).count();
        assert!(connected as f64 >= expected * 0.6, "{name}: {:?}", device.states);
        assert!(lasted - device.last < Duration::from_secs(30), "{name} was stuck: {:?}", device.states.last());
        for state in &device.states {
            if let LinkState::Lost(why) = state {
                let known = ["simulated: ", "it panicked: simulated", "nothing came for"];
                assert!(known.iter().any(|known| why.starts_with(known)), "{name}: {why}");
            }
        }
    }
    // Once it is warm nothing grows.
    let mean = |sizes: &[f64]| sizes.iter().sum::<f64>() / sizes.len().max(1) as f64;
    let quarter = sizes.len() / 4;
    let (early, late) = (mean(&sizes[quarter..quarter * 2]), mean(&sizes[quarter * 3..]));
    println!("memory: {early:.1} MB in the second quarter, {late:.1} MB in the last");
    assert!(late < early * 1.1 + 2.0, "memory grew from {early:.1} to {late:.1} MB");
    let replayed = waywarden(dir.path(), &["replay", session.to_str().unwrap(), "--verify"]).done();
    println!("{}", replayed.out);
}

fn look_into(session: &Path) -> (BTreeMap<String, Device>, Duration) {
    let mut findings = Findings::open(session).unwrap();
    let names: BTreeMap<StreamId, String> =
        findings.info().streams.iter().map(|spec| (spec.id, spec.name.clone())).collect();
    let mut devices: BTreeMap<String, Device> = BTreeMap::new();
    let (mut first, mut last) = (None, Mono::default());
    while let Some(tick) = findings.read().unwrap() {
        last = tick.now;
        let since = tick.now.since(*first.get_or_insert(tick.now));
        for input in tick.inputs {
            let Some(name) = names.get(&input.stream) else { continue };
            let device = devices.entry(name.clone()).or_default();
            match input.payload {
                Payload::Link(state) => device.states.push(state),
                Payload::Described(_) | Payload::Dropped { .. } => {}
                _ => {
                    (device.samples, device.last, device.captured) = (device.samples + 1, since, input.captured);
                }
            }
        }
        for (id, lane) in tick.found.into_iter().flat_map(|found| found.ego_lanes) {
            let device = devices.entry(names[&id.stream].clone()).or_default();
            device.silenced += u64::from(device.lane && lane.frame.is_none());
            device.lane = lane.frame.is_some();
        }
        // Nothing is claimed of what a camera said that has gone.
        for (name, device) in devices.iter().filter(|(_, device)| device.lane) {
            let gone = device.states.last() != Some(&LinkState::Connected);
            assert!(
                !gone && tick.now.since(device.captured) < STALE,
                "{name} at {since:?}: {:?}",
                device.states.last()
            );
        }
    }
    (devices, last.since(first.unwrap_or_default()))
}

#[test]
fn two_minutes_of_faults() {
    // An unoptimised simulator is no faster.
    soak(120, 240, 10);
}

#[test]
#[ignore = "long: an hour of a drive at twenty times its speed, and its replay"]
fn an_hour_of_faults() {
    soak(3600, 60, 20);
}
