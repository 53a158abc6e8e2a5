//! `waywarden simulate` makes sessions of drives that never were: the same for the same seed, whole, and replayable.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/program.rs"]
mod program;

use std::path::Path;

use program::{folder, json, run, text};
use serde_json::Value;
use waywarden_components::prelude::*;
use waywarden_systems::session::{Record, SessionReader};

const CONFIG: &str = "[[camera]]\nwidth = 320\nheight = 180\nfps = 10\n[[microphone]]\n";

fn simulate(folder: &Path, name: &str, more: &[&str]) -> Value {
    let (config, out) = (folder.join("config.toml"), folder.join(name));
    std::fs::write(&config, CONFIG).unwrap();
    let args = ["simulate", "--config", text(&config), "--duration", "3", "--json", "-o", text(&out)];
    json(&[&args, more].concat())
}

/// All that came in.
fn inputs(path: &Path) -> Vec<Input> {
    let mut reader = SessionReader::open(path).unwrap();
    let mut inputs = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        if let Record::Tick(incoming) = record {
            inputs.extend(incoming.inputs);
        }
    }
    inputs
}

#[test]
fn the_same_seed_makes_the_same_session_on_any_number_of_threads() {
    let dir = folder();
    simulate(dir.path(), "a.mcap", &["--scenario", "cut-in", "--seed", "5", "--threads", "1"]);
    simulate(dir.path(), "b.mcap", &["--scenario", "cut-in", "--seed", "5", "--threads", "3"]);
    simulate(dir.path(), "c.mcap", &["--scenario", "cut-in", "--seed", "6"]);
    let [a, b, c] = ["a", "b", "c"].map(|name| inputs(&dir.path().join(format!("{name}.mcap"))));
    assert!(a == b, "one seed, two sessions");
    assert!(a != c, "two seeds, one session");
}

#[test]
fn every_device_is_there_and_a_truth_for_every_picture() {
    let dir = folder();
    let made = simulate(dir.path(), "drive.mcap", &["--scenario", "motorway"]);
    let names: Vec<&str> =
        made["streams"].as_array().unwrap().iter().map(|stream| stream["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["front", "microphone", "gps", "range", "truth"]);
    let path = dir.path().join("drive.mcap");
    let inputs = inputs(&path);
    let times = |wanted: &str| -> Vec<Mono> {
        inputs.iter().filter(|input| input.payload.name() == wanted).map(|input| input.captured).collect()
    };
    assert_eq!(times("frame"), times("truth"));
    assert!((29..=30).contains(&times("frame").len()));
    // The truth is also there for people.
    let file = std::fs::read(&path).unwrap();
    let messages = mcap::MessageStream::new(&file).unwrap().map(Result::unwrap);
    let truths: Vec<_> = messages.filter(|message| message.channel.topic == "/truth").collect();
    assert_eq!(truths.len(), times("truth").len());
    assert_eq!(truths[0].channel.message_encoding, "json");
    assert_eq!(truths[0].channel.schema.as_ref().unwrap().name, "waywarden.Truth");
    let truth: Value = serde_json::from_slice(&truths[0].data).unwrap();
    assert!((truth["lane"]["width_m"].as_f64().unwrap() - 3.6).abs() < 1e-3, "{truth}");
    assert_eq!(truth["timestamp"]["sec"], 0);
    // It runs through everything, and the truth changes nothing there.
    let replayed = json(&["replay", text(&path), "--json"]);
    assert_eq!(replayed["frames"]["in"], times("frame").len(), "{replayed}");
}

const TRUTH: &str = "[simulation]\nperceive = \"truth\"\npictures = \"plain\"\n";

/// Findings without a model: recorded, and recomputed from nothing but the session.
#[test]
fn what_the_simulator_knows_is_found_through_its_errors_and_found_again() {
    let dir = folder();
    let (config, out, again) =
        (dir.path().join("truth.toml"), dir.path().join("d.mcap"), dir.path().join("again.mcap"));
    std::fs::write(&config, format!("{CONFIG}{TRUTH}[segmentation]\nrate_hz = 10.0\n")).unwrap();
    let args = ["simulate", "--config", text(&config), "--scenario", "motorway", "--duration", "20", "--seed", "3"];
    json(&[&args[..], &["--json", "-o", text(&out)]].concat());
    let first = json(&["replay", text(&out), "--json", "--out", text(&again)]);
    // A segmentation takes longer than a picture lasts: two of three are looked at.
    assert!(first["frames"]["segmented"].as_u64() >= Some(120), "{first}");
    assert!(first["frames"]["detected"].as_u64() >= Some(150), "{first}");
    let info = SessionReader::open(&again).unwrap().info().clone();
    for role in JobRole::ALL {
        assert_eq!(info.models[&role].name, "truth of the simulator, through its error model");
    }
    let boxes: usize = inputs(&again)
        .iter()
        .map(|input| match &input.payload {
            Payload::JobDone { output: JobOutput::Detections(boxes), .. } => boxes.len(),
            _ => 0,
        })
        .sum();
    assert!(boxes > 50, "{boxes}");
    for threads in ["1", "4"] {
        let args = ["replay", text(&again), "--verify", "--jobs", "run", "--threads", threads, "--json"];
        let verified = json(&args);
        assert_eq!((&verified["mismatched_jobs"], &verified["jobs"]), (&0.into(), &"run".into()), "{verified}");
        assert_eq!(verified["verified"]["differing"], 0, "{verified}");
    }
}

/// In real time: pictures come through queues that may drop some, and jobs answer when they are done.
#[test]
fn a_live_simulated_drive_finds_its_truth_too() {
    let dir = folder();
    let config = dir.path().join("truth.toml");
    std::fs::write(&config, format!("{CONFIG}{TRUTH}[http]\nenabled = false\n")).unwrap();
    let args =
        ["run", "--simulate", "--config", text(&config), "--duration", "12", "--record", text(dir.path()), "--json"];
    let ran = json(&args);
    assert!(ran["counts"]["segmented"].as_u64() >= Some(10) && ran["counts"]["detected"].as_u64() >= Some(10), "{ran}");
    let session = ran["session"].as_str().unwrap();
    let verified = json(&["replay", session, "--verify", "--jobs", "run", "--json"]);
    assert_eq!(
        (&verified["mismatched_jobs"], &verified["verified"]["differing"]),
        (&0.into(), &0.into()),
        "{verified}"
    );
}

#[test]
fn impossible_scenarios_are_refused_with_file_line_and_key() {
    let dir = folder();
    let (road, out) = (dir.path().join("road.toml"), dir.path().join("x.mcap"));
    std::fs::write(&road, "[road]\nlanes = 0\n\n[light]\nrian = 1\n").unwrap();
    let refused = |scenario: &str| {
        let output = run(&["simulate", "--scenario", scenario, "-o", text(&out)]);
        assert_eq!(output.status.code(), Some(2));
        assert!(!out.exists(), "nothing is left of it");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused(text(&road));
    for part in ["road.toml:2:9", "`road.lanes` is 0", "1 to 4", "road.toml:5:1", "did you mean `rain`?"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    let said = refused("motorwy");
    assert!(said.contains("motorwy") && said.contains("hard-braking"), "{said}");
    std::fs::write(&road, "[road]\nlanes = 3\n").unwrap();
    let output = run(&["simulate", "--scenario", text(&road), "--duration", "0.2", "-o", text(&out), "--json"]);
    assert!(output.status.success() && out.exists());
}
