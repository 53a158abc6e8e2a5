//! Two runs of one drive are compared, two drives are refused, and several sessions are run at once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/program.rs"]
mod program;

use std::path::Path;

use program::{data, folder, json, run, session_in, text};
use serde_json::Value;

/// A short drive without models: small pictures, so that it costs little.
fn drive(folder: &Path, name: &str, seed: u64) -> std::path::PathBuf {
    let config = folder.join(format!("{name}.toml"));
    let camera = "[[camera]]\nwidth = 320\nheight = 192\nfps = 10.0\nloop_frames = 20\n";
    std::fs::write(&config, format!("{camera}[simulation]\nseed = {seed}\n")).unwrap();
    let record = folder.join(name);
    json(&["run", "--simulate", "--duration", "3", "--config", text(&config), "--record", text(&record), "--json"]);
    session_in(&record)
}

/// What is printed last, and the exit code.
fn compare(args: &[&str]) -> (Vec<Value>, i32) {
    let output = run(&[&["compare"], args, &["--json"]].concat());
    let lines = String::from_utf8(output.stdout).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), output.status.code().unwrap())
}

#[test]
fn a_drive_is_the_same_as_itself_and_another_config_is_not() {
    let folder = folder();
    let live = drive(folder.path(), "live", 1);
    let (same, other) = (folder.path().join("same.mcap"), folder.path().join("other.mcap"));
    json(&["replay", text(&live), "--out", text(&same), "--json"]);
    let trial = folder.path().join("trial.toml");
    std::fs::write(&trial, "[gate]\nthreshold = 200.0\nforce_after_s = 0.5\n").unwrap();
    json(&["replay", text(&live), "--config", text(&trial), "--out", text(&other), "--json"]);

    let (printed, code) = compare(&[text(&live), text(&same)]);
    assert_eq!((code, &printed[0]["verdict"]), (0, &"same".into()), "{printed:?}");
    assert_eq!(printed[0]["ticks"], printed[0]["equal_digests"]);
    assert!(
        printed[0]["ticks"].as_u64().unwrap() > 250 && printed[0]["kinds"]["gps_fix"]["compared"].as_u64().unwrap() > 5
    );

    let page = folder.path().join("diff.html");
    let (printed, code) = compare(&[text(&same), text(&other), "-o", text(&page)]);
    assert_eq!((code, &printed[0]["verdict"]), (1, &"different".into()));
    let (gate, fix) = (&printed[0]["kinds"]["gate_score"], &printed[0]["kinds"]["gps_fix"]);
    assert!(gate["differ"].as_u64().unwrap() > 0 && fix["differ"] == 0, "{gate} {fix}");
    let frames = gate["compared"].as_u64().unwrap();
    assert!((25..=31).contains(&frames), "{frames} frames");
    let moments = printed[0]["moments"].as_array().unwrap();
    assert!(!moments.is_empty() && moments.iter().all(|moment| moment["at_s"].as_f64().unwrap() < 3.5), "{moments:?}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains("They differ")
            && page.contains("data:image/jpeg;base64,")
            && page.contains("+ threshold = 200.0")
    );
    assert!(!page.contains("http"), "nothing is fetched");

    // What is named as tolerable, or left out, is no difference.
    let (printed, code) = compare(&[text(&same), text(&other), "--only", "gps_fix"]);
    assert_eq!((code, &printed[0]["verdict"]), (0, &"same".into()));
    let tolerances = ["--tolerance", "gate_score=256", "--only", "gate_score"];
    let (printed, code) = compare(&[&[text(&same), text(&other)], &tolerances[..]].concat());
    assert_eq!((code, &printed[0]["verdict"]), (0, &"within tolerance".into()), "{printed:?}");
}

#[test]
fn two_drives_and_nonsense_are_refused() {
    let folder = folder();
    let (one, two) = (drive(folder.path(), "one", 1), drive(folder.path(), "two", 2));
    let error = |args: &[&str]| {
        let (printed, code) = compare(args);
        assert_eq!(code, 2, "{printed:?}");
        printed[0]["error"].as_str().unwrap().to_owned()
    };
    let told = error(&[text(&one), text(&two)]);
    assert!(told.contains("two different drives") && told.contains("tick"), "{told}");
    let told = error(&[text(&one), text(&two), "--ignore", "gps_fxi"]);
    assert!(told.contains("gps_fxi"), "{told}");
    let csv = folder.path().join("range.csv");
    std::fs::write(&csv, "time_s,distance_m\n0.0,1.0\n0.5,2.0\n").unwrap();
    let imported = folder.path().join("imported.mcap");
    json(&["import", "--range", text(&csv), "-o", text(&imported), "--json"]);
    let told = error(&[text(&imported), text(&imported)]);
    assert!(told.contains("no findings"), "{told}");
    let told = error(&[text(&one), text(&imported)]);
    assert!(told.contains("two different drives") && told.contains("range"), "{told}");
    assert!(error(&[text(&one), "/nonexistent.mcap"]).contains("/nonexistent.mcap"));
}

#[test]
fn folders_of_sessions_are_run_at_once() {
    let folder = folder();
    let before = folder.path().join("before");
    for (name, seed) in [("one", 1), ("two", 2)] {
        let session = drive(folder.path(), name, seed);
        std::fs::create_dir_all(&before).unwrap();
        std::fs::rename(session, before.join(name)).unwrap();
    }
    let after = folder.path().join("after");
    let output = run(&["replay", text(&before), "--verify", "--out", text(&after), "--json"]);
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(output.status.success(), "{lines:?}");
    assert_eq!(lines.len(), 3);
    for line in &lines[..2] {
        assert_eq!(line["printed"][0]["verified"]["differing"], 0);
        assert!(line["printed"][0]["verified"]["ticks"].as_u64().unwrap() > 250);
    }
    assert_eq!((&lines[2]["sessions"], &lines[2]["failed"]), (&2.into(), &0.into()));

    let pages = folder.path().join("pages");
    let (lines, code) = compare(&[text(&before), text(&after), "-o", text(&pages)]);
    assert_eq!(code, 0, "{lines:?}");
    assert!(pages.join("one.html").is_file() && pages.join("two.html").is_file());

    let reports = folder.path().join("reports");
    let output = run(&["report", text(&before), "-o", text(&reports), "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(reports.join("one.html").is_file() && reports.join("two.html").is_file());

    // One that cannot be read does not keep the others, and decides the exit code.
    std::fs::write(after.join("three.mcap"), "nonsense").unwrap();
    let output = run(&["replay", text(&after)]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(table.lines().any(|line| line.contains("one") && line.contains(" ok")), "{table}");
    assert!(table.lines().any(|line| line.contains("three") && !line.contains(" ok")), "{table}");
    let (lines, code) = compare(&[text(&before), text(&after)]);
    assert!(code == 2 && lines[0]["error"].as_str().unwrap().contains("three"), "{lines:?}");
}

#[test]
fn two_models_differ_and_the_frames_are_named() {
    let (Some(clip), Some(models)) = (data("data/video/highway-540p-9s.mp4"), data("models")) else { return };
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    json(&["import", "--video", text(&clip), "-o", text(&path("drive.mcap")), "--json"]);
    for (name, model) in [("a", "twinlitenet"), ("b", "twinlitenet_plus_nano")] {
        let config = path(&format!("{name}.toml"));
        // Two frames a second are enough to see whether they differ.
        let text_of = format!("[segmentation]\nmodel = \"{model}\"\nrate_hz = 2.0\n[detection]\nenabled = false\n");
        std::fs::write(&config, text_of).unwrap();
        let out = path(&format!("{name}.mcap"));
        let args = ["--models", text(&models), "--config", text(&config), "--out", text(&out), "--json"];
        json(&[&["replay", text(&path("drive.mcap"))], &args[..]].concat());
    }
    let (printed, code) = compare(&[text(&path("a.mcap")), text(&path("b.mcap"))]);
    assert_eq!(code, 1);
    let masks = &printed[0]["kinds"]["segmentation"]["fields"]["masks.lines"];
    assert!(masks["differ"].as_u64().unwrap() > 10 && masks["measure"] == "mask", "{masks}");
    let moments = printed[0]["moments"].as_array().unwrap();
    assert_eq!(moments.len(), 10);
    assert!(moments.iter().all(|moment| moment["frame"].as_str().unwrap().starts_with("1:")), "{moments:?}");
    assert!(moments.is_sorted_by(|a, b| a["score"].as_f64() >= b["score"].as_f64()));
    assert_eq!(compare(&[text(&path("b.mcap")), text(&path("b.mcap"))]).0[0]["verdict"], "same");
}
