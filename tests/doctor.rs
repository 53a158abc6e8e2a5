//! `devices` and `doctor` as a person meets them before the first drive.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/outcome.rs"]
mod outcome;

use std::path::Path;

use outcome::{Outcome, waywarden};
use serde_json::Value;

fn verdict(outcome: &Outcome) -> Value {
    serde_json::from_str(outcome.out.lines().next().unwrap()).unwrap()
}

fn check<'a>(verdict: &'a Value, name: &str) -> &'a Value {
    let checks = verdict["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap()
}

fn doctor(dir: &Path, config: &str) -> Outcome {
    std::fs::write(dir.join("config.toml"), config).unwrap();
    waywarden(dir, &["doctor", "--config", "config.toml", "--record", ".", "--json"])
}

#[test]
fn a_computer_on_which_all_works_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let camera = "range = []\n[[camera]]\nwidth = 160\nheight = 96\nloop_frames = 5\n";
    let found = verdict(&doctor(dir.path(), camera).done());
    assert_eq!(found["ok"], true);
    for name in ["config", "space", "disk", "clock", "threads", "priority"] {
        assert_ne!(check(&found, name)["status"], "fail", "{found}");
    }
    // It was opened and delivered; that it is simulated is worth a warning, and so is a model that is missing.
    for name in ["front", "gps"] {
        assert_eq!(check(&found, name)["status"], "warn", "{found}");
        assert!(check(&found, name)["found"].as_str().unwrap().contains(" a second, "), "{found}");
    }
    assert!(check(&found, "detection")["todo"].as_str().unwrap().contains("models fetch"), "{found}");
    // It leaves nothing behind.
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn what_does_not_work_is_named_with_what_to_do_and_the_exit_code_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = doctor(dir.path(), "camera = []\nrange = []\n[[gps]]\nsource = \"/dev/tty-that-is-not-there\"\n");
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    let found = verdict(&outcome);
    let gps = check(&found, "gps");
    assert_eq!(gps["status"], "fail");
    assert!(gps["found"].as_str().unwrap().contains("/dev/tty-that-is-not-there"), "{gps}");
    assert!(gps["todo"].as_str().unwrap().contains("waywarden devices"));

    let outcome = doctor(dir.path(), "[gate]\nthreshold = 300.0\n");
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(check(&verdict(&outcome), "config")["found"].as_str().unwrap().contains("gate.threshold"));
    let outcome = waywarden(dir.path(), &["doctor", "--config", "other.toml"]);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.out.starts_with("fail  config") && outcome.out.contains("other.toml"), "{outcome:?}");
}

#[test]
fn devices_are_listed_for_people_and_for_programs() {
    let dir = tempfile::tempdir().unwrap();
    let said = waywarden(dir.path(), &["devices"]).done().out;
    for title in ["Cameras", "Microphones", "Loudspeakers", "Serial ports"] {
        assert!(said.contains(title), "{said}");
    }
    let listing = waywarden(dir.path(), &["devices", "--json"]).done().out;
    let listing: Value = serde_json::from_str(listing.lines().next().unwrap()).unwrap();
    for kind in ["cameras", "microphones", "speakers", "serial_ports"] {
        assert!(listing[kind].is_array(), "{listing}");
    }
}
