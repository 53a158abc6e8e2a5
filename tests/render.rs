//! `waywarden render`: a video that players take, with what was found drawn where it was found.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/drive.rs"]
mod drive;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::Command;

use program::{folder, json, run, text};
use serde_json::Value;
use waywarden::render::draw::LINE;

/// What a player sees in the file.
fn probe(video: &Path) -> Value {
    let entries =
        "stream=codec_name,codec_type,width,height,nb_read_frames,duration,pix_fmt:format=format_name,duration";
    let args = ["-v", "error", "-count_frames", "-show_entries", entries, "-of", "json"];
    let probed = Command::new("ffprobe").args(args).arg(video).output().unwrap();
    assert!(probed.status.success() && probed.stderr.is_empty(), "{}", String::from_utf8_lossy(&probed.stderr));
    serde_json::from_slice(&probed.stdout).unwrap()
}

/// Red, green, blue of one picture of the video.
fn picture(video: &Path, at_s: f64) -> Vec<u8> {
    let seek = at_s.to_string();
    let args =
        ["-v", "error", "-ss", &seek, "-i", text(video), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
    let decoded = Command::new("ffmpeg").args(args).output().unwrap();
    assert!(decoded.status.success(), "{}", String::from_utf8_lossy(&decoded.stderr));
    decoded.stdout
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_player_takes_the_video_and_the_lines_are_where_they_were_found() {
    let dir = folder();
    let (session, video) = (dir.path().join("drive.mcap"), dir.path().join("drive.mp4"));
    drive::write(&session, drive::PLAN);
    let made = json(&["render", text(&session), "-o", text(&video), "--json"]);
    let probed = probe(&video);
    let artefacts = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../artefacts");
    fs::create_dir_all(&artefacts).unwrap();
    fs::copy(&video, artefacts.join("render.mp4")).unwrap();
    fs::write(artefacts.join("render.ffprobe.json"), probed.to_string()).unwrap();
    println!("probed: {probed}");
    let stream = &probed["streams"][0];
    assert_eq!(probed["streams"].as_array().unwrap().len(), 1);
    assert_eq!((&stream["codec_name"], &stream["pix_fmt"]), (&"h264".into(), &"yuv420p".into()));
    assert_eq!((&stream["width"], &stream["height"]), (&drive::SIZE.0.into(), &drive::SIZE.1.into()));
    assert_eq!(number(&stream["nb_read_frames"]), 200.0);
    assert_eq!(made["frames"], 200);
    assert!((number(&stream["duration"]) - 10.0).abs() < 0.01, "{stream}");
    // Half way up the left line: from (60, 179) to (160, 99).
    let pixels = picture(&video, 5.0);
    let (x, y) = (110, 139);
    let at = 3 * (y * drive::SIZE.0 as usize + x);
    let seen = &pixels[at..at + 3];
    let line = embedded(LINE);
    assert!(seen.iter().zip(line).all(|(a, b)| a.abs_diff(b) < 60), "{seen:?} instead of {line:?}");
    // The sky is as it was: grey.
    let sky = &pixels[3 * (50 * drive::SIZE.0 as usize + 30)..][..3];
    assert!(sky.iter().all(|value| value.abs_diff(sky[0]) < 12), "{sky:?}");
}

fn embedded(colour: embedded_graphics::pixelcolor::Rgb888) -> [u8; 3] {
    use embedded_graphics::prelude::RgbColor;
    [colour.r(), colour.g(), colour.b()]
}

#[test]
fn a_piece_of_another_size() {
    let dir = folder();
    let (session, video) = (dir.path().join("drive.mcap"), dir.path().join("piece.mp4"));
    drive::write(&session, drive::Plan { gap: true, ..drive::PLAN });
    let made = json(&[
        "render",
        text(&session),
        "-o",
        text(&video),
        "--from",
        "2s",
        "--to",
        "12s",
        "--width",
        "160",
        "--json",
    ]);
    let stream = probe(&video)["streams"][0].clone();
    assert_eq!((stream["width"].as_u64(), stream["height"].as_u64()), (Some(160), Some(90)));
    // 59 pictures before the gap from 5 s to 10 s, which is gone through second by second, and 40 behind it.
    assert!((number(&stream["duration"]) - 10.0).abs() < 0.11, "{stream}");
    let frames = number(&stream["nb_read_frames"]);
    assert!((100.0..108.0).contains(&frames), "{frames}");
    assert_eq!(made["frames"].as_f64(), Some(frames));
}

#[test]
fn nothing_to_draw_is_said() {
    let dir = folder();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("distances.csv"), "time_s,distance_m\n0.0,1.0\n0.1,1.5\n").unwrap();
    json(&["import", "--range", text(&path("distances.csv")), "-o", text(&path("range.mcap")), "--json"]);
    drive::write(&path("drive.mcap"), drive::Plan { ticks: 5, ..drive::PLAN });
    let video = path("out.mp4");
    for (args, word) in [
        (vec!["range.mcap"], "no camera"),
        (vec!["drive.mcap", "--camera", "rear"], "no camera `rear`"),
        (vec!["drive.mcap", "--from", "1:00"], "no pictures"),
        (vec!["drive.mcap", "--from", "2s", "--to", "1s"], "--from must be before --to"),
        (vec!["drive.mcap", "--from", "soon"], "expected a time"),
    ] {
        let session = path(args[0]);
        let refused = run(&[&["render", text(&session), "-o", text(&video)], &args[1..]].concat());
        let words = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{words}");
        assert!(words.contains(word), "no `{word}` in {words}");
    }
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "left behind: {left:?}");
}
