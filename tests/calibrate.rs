//! `waywarden calibrate` finds where a camera points that was mounted otherwise than the config says.

#[path = "support/pictures.rs"]
mod pictures;
#[path = "support/program.rs"]
mod program;

use std::path::{Path, PathBuf};

use pictures::pictures;
use program::{json, run, text};

/// The drive that is looked at: a motorway, seen by a camera that points down and to the right.
const MOUNTED: &str = "[[camera]]\nwidth = 640\nheight = 360\nfps = 10.0\n[camera.geometry]\npitch_down_deg = 1.5\n\
                       yaw_left_deg = -0.8\n";

/// A session of so many seconds of its pictures, which says nothing of the camera.
fn unknown(dir: &Path, seconds: &str) -> PathBuf {
    let (frames, session) = (dir.join("frames"), dir.join("unknown.mcap"));
    assert!(pictures(MOUNTED, seconds, &frames) > 40);
    json(&["import", "--frames", text(&frames), "--fps", "10", "--json", "-o", text(&session)]);
    session
}

#[test]
fn where_a_camera_points_is_found_from_its_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let session = unknown(dir.path(), "60");
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
    let session = unknown(dir.path(), "5");
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
