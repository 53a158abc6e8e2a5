//! Drives that never were, whose truth is seen through an error model: obstacles are followed, the driver is warned, and all of
//! it replays bit for bit, from any segment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/program.rs"]
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use program::{folder, json, text};
use waywarden_components::prelude::*;
use waywarden_systems::session::Findings;

/// Small, plain pictures ten times a second, a range finder, and segments of 10 s.
const CONFIG: &str = "\
[[camera]]
width = 640
height = 360
fps = 10
[[gps]]
[[range]]
[simulation]
perceive = \"truth\"
pictures = \"plain\"
[record]
segment_s = 10
";

/// What was found in a drive.
#[derive(Debug, Default)]
struct Found {
    tracks: BTreeMap<StableId, Track>,
    alerts: BTreeMap<StableId, Alert>,
    functions: BTreeSet<AlertKind>,
}

/// A drive of a scenario, run through everything, recorded.
fn drive(folder: &Path, scenario: &str, seconds: &str) -> PathBuf {
    let (config, made, out) =
        (folder.join("config.toml"), folder.join("made.mcap"), folder.join(format!("{scenario}.mcap")));
    std::fs::write(&config, CONFIG).unwrap();
    let args = ["simulate", "--config", text(&config), "--scenario", scenario, "--duration", seconds, "--seed", "4"];
    json(&[&args[..], &["--json", "-o", text(&made)]].concat());
    json(&["replay", text(&made), "--json", "--out", text(&out)]);
    out
}

fn found(session: &Path) -> Found {
    let mut reader = Findings::open(session).unwrap();
    let mut found = Found::default();
    while let Some(tick) = reader.read().unwrap() {
        if let Some(of_tick) = tick.found {
            found.tracks.extend(of_tick.tracks);
            found.alerts.extend(of_tick.alerts);
        }
    }
    found.functions = found.alerts.values().map(|alert| alert.kind).collect();
    found
}

#[test]
fn danger_is_warned_of_and_the_drive_replays_from_any_segment() {
    let dir = folder();
    let session = drive(dir.path(), "distracted", "75");
    let found = found(&session);
    for (id, alert) in &found.alerts {
        println!("{id} {} {:?} at {:.1} s: {}", alert.kind, alert.level, alert.started.as_secs_f64(), alert.text);
    }
    assert!(found.tracks.len() > 1, "{found:?}");
    assert!(found.tracks.values().any(|track| track.lost), "what drives out of sight is lost");
    let located = found.tracks.values().filter_map(|track| track.motion).count();
    assert!(located * 2 > found.tracks.len(), "{located} of {}", found.tracks.len());
    // While the driver looks away: the car ahead brakes to a stop, another slows down, somebody crosses.
    let away = [
        (AlertKind::ForwardCollision, 11.0, 21.0),
        (AlertKind::ForwardCollision, 31.0, 45.0),
        (AlertKind::VulnerableRoadUser, 54.0, 74.0),
    ];
    for (kind, from, to) in away {
        let during = |alert: &&Alert| alert.kind == kind && (from..to).contains(&alert.started.as_secs_f64());
        let alert = found.alerts.values().find(during).unwrap_or_else(|| panic!("{kind} from {from} s: no warning"));
        assert!(alert.ended.is_some(), "{alert:?}");
        assert!(alert.evidence.iter().any(|id| found.tracks.contains_key(id)), "{alert:?}");
    }
    for (from, threads) in [("0", "1"), ("1", "4"), ("2", "2")] {
        let args = ["replay", text(&session), "--verify", "--jobs", "run", "--threads", threads, "--json"];
        let verified = json(&[&args[..], &["--from", from]].concat());
        assert_eq!(verified["verified"]["differing"], 0, "{verified}");
        if from == "0" {
            for kind in ["track", "alert", "ego_motion", "warning_functions", "sight"] {
                assert!(
                    verified["kinds"][kind].as_u64() > Some(0),
                    "`{kind}` was never digested: {}",
                    verified["kinds"]
                );
            }
        }
    }
}

#[test]
fn a_parked_car_is_not_warned() {
    let dir = folder();
    let found = found(&drive(dir.path(), "parked", "20"));
    assert!(found.alerts.is_empty(), "{:?}", found.alerts);
}
