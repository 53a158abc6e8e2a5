//! `waywarden calibrate` finds where a camera points that was mounted otherwise than the config says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::Path;

use program::{json, run, text};
use waywarden_components::prelude::*;
use waywarden_systems::session::{Record, SessionReader};

/// The drive that is looked at: a motorway, seen by a camera that points down and to the right.
const MOUNTED: &str = "[[camera]]\nwidth = 640\nheight = 360\nfps = 10.0\n[camera.geometry]\npitch_down_deg = 1.5\n\
                       yaw_left_deg = -0.8\n";

/// The pictures of a simulated drive as files, which say nothing of the camera.
fn pictures(dir: &Path, seconds: &str) -> std::path::PathBuf {
    let (config, drive, frames) = (dir.join("mounted.toml"), dir.join("drive.mcap"), dir.join("frames"));
    fs::write(&config, MOUNTED).unwrap();
    fs::create_dir(&frames).unwrap();
    json(&["simulate", "--config", text(&config), "--duration", seconds, "--json", "-o", text(&drive)]);
    let mut reader = SessionReader::open(&drive).unwrap();
    let mut count = 0;
    while let Some(record) = reader.read().unwrap() {
        let Record::Tick(tick) = record else { continue };
        for input in tick.inputs {
            if let Payload::Frame(jpeg) = input.payload {
                fs::write(frames.join(format!("{count:05}.jpg")), jpeg).unwrap();
                count += 1;
            }
        }
    }
    frames
}

#[test]
fn where_a_camera_points_is_found_from_its_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let frames = pictures(dir.path(), "60");
    let session = dir.path().join("unknown.mcap");
    json(&["import", "--frames", text(&frames), "--fps", "10", "--json", "-o", text(&session)]);
    let found = json(&["calibrate", text(&session), "--models", text(dir.path()), "--json"]);
    let of = |what: &str, field: &str| found["calibration"][what][field].as_f64().unwrap();
    assert_eq!(found["geometry"]["pitch_down_deg"], 0.0, "{found}");
    for (what, truth) in [("pitch_down_deg", 1.5), ("yaw_left_deg", -0.8)] {
        let (value, give) = (of(what, "value"), of(what, "give"));
        // The lens is mounted as it is; what the interval leaves out is that the vehicle may drive askew in its lane.
        assert!((value - truth).abs() < 0.25 && give < 0.3, "{what}: {found}");
    }
    // Half the width over tan 30 degrees is a focal length of 554 pixels.
    assert!((of("vanishing_x", "value") - (320.0 - 7.7)).abs() < 3.0, "{found}");
    assert!((of("vanishing_y", "value") - (180.0 - 14.5)).abs() < 3.0, "{found}");
    let said = String::from_utf8(run(&["calibrate", text(&session), "--models", text(dir.path())]).stdout).unwrap();
    assert!(said.contains("[camera.geometry]\npitch_down_deg = 1."), "{said}");
}

#[test]
fn what_says_too_little_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let frames = pictures(dir.path(), "5");
    let session = dir.path().join("short.mcap");
    json(&["import", "--frames", text(&frames), "--fps", "10", "--json", "-o", text(&session)]);
    let said = |args: &[&str]| {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let short = said(&["calibrate", text(&session), "--models", text(dir.path())]);
    assert!(short.contains("straight driving") && short.contains("hint: drive a minute"), "{short}");
    let nobody = said(&["calibrate", text(&session), "--camera", "rear"]);
    assert!(
        nobody.contains("there is no camera \"rear\"") && nobody.contains("--camera takes one of: front"),
        "{nobody}"
    );
}
