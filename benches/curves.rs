//! Whether costs grow as they should: with cameras, and with the length of a session.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use serde_json::Value;
use waywarden_components::prelude::*;
use waywarden_systems::simulate::camera::{CameraSettings, CameraSimulator};
use waywarden_systems::simulate::{Drive, Scenario};

use crate::report::{Outcome, Report, check, quick};
use crate::session;

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (path, about) = folder_of_pictures(folder.path())?;
    // A quarter of what cameras give: two hours of it are 4 GB.
    let side = if quick() { (160, 96) } else { (640, 360) };
    let cameras: &[u32] = if quick() { &[1, 2] } else { &[1, 2, 4, 8] };
    let mut report = Report::new(
        "curves",
        &format!("{about} Sessions of pictures of {}x{}, 25 a second, replayed without models.", side.0, side.1),
    );
    let mut first = None;
    for &n in cameras {
        let said = waywarden(&["bench", &path.display().to_string(), "1", "--cameras", &n.to_string()])?;
        let number = |value: &Value| value.as_f64().unwrap_or_default();
        let (cpu, dropped) = (number(&said["cpu_ms_per_frame"]), number(&said["frames_dropped"]));
        check(quick() || dropped == 0.0 || n > 4, format!("{n} cameras: {said}"))?;
        let first = *first.get_or_insert(cpu);
        let gate = &said["latency_ms"]["gate"];
        let late = |percent: &str| gate[percent].as_f64().map_or("never".to_owned(), |ms| format!("{ms:.1} ms"));
        let plural = if n == 1 { "" } else { "s" };
        report.row(
            &format!("cameras_{n}_cpu_ms"),
            &format!("{n} camera{plural}: CPU for a picture"),
            cpu,
            format!("{cpu:.2} ms"),
            &format!(
                "{:.2} of that of one; gate {} / {} late (median, 99th percentile); {dropped:.0} dropped",
                cpu / first,
                late("p50"),
                late("p99")
            ),
        );
    }
    let pictures = pictures(side, 250)?;
    let lengths: &[usize] = if quick() { &[1, 3] } else { &[6, 60, 720] };
    let mut shortest: Option<f64> = None;
    let mut walls = Vec::new();
    for &times in lengths {
        let long = folder.path().join("long.mcap");
        session::write(&long, &pictures, times)?;
        let said = waywarden(&["replay", &long.display().to_string(), "--json"])?;
        std::fs::remove_file(&long)?;
        let number = |key: &str| said[key].as_f64().unwrap_or_default();
        check(said["frames"]["in"].as_u64() == Some((times * pictures.len()) as u64), format!("{said}"))?;
        let (session_s, wall, rss) = (number("session_s"), number("wall_s"), number("peak_rss_mb"));
        let each = wall / session_s;
        let shortest = *shortest.get_or_insert(each);
        let minutes = session_s / 60.0;
        walls.push((minutes, wall));
        report.row(
            &format!("replay_{times}_s_a_minute"),
            &format!("{minutes:.1} minutes of session: replay of one"),
            each * 60.0,
            format!("{:.3} s", each * 60.0),
            &format!("{:.2} of that of the shortest; {wall:.1} s in all, peak memory {rss:.1} MB", each / shortest),
        );
        report.figure(&format!("replay_{times}_rss_mb"), rss);
    }
    if let [(short, least), (long, more), ..] = walls[..] {
        let start = (least * long - more * short) / (long - short);
        report.row(
            "replay_start_s",
            "what a replay takes however short it is",
            start,
            format!("{start:.3} s"),
            "by the first two, as a line",
        );
    }
    report.print()
}

/// The folder that WAYWARDEN_BENCH_SESSION names, or one that is drawn.
fn folder_of_pictures(folder: &Path) -> Result<(PathBuf, String), Box<dyn Error>> {
    if let Some(named) = std::env::var_os("WAYWARDEN_BENCH_SESSION").filter(|_| !quick()) {
        return Ok((named.into(), "`waywarden bench` in real time, on the session of the comparison.".to_owned()));
    }
    let (size, count) = if quick() { ((320, 180), 45) } else { ((1280, 720), 600) };
    let path = folder.join("session");
    std::fs::create_dir_all(path.join("frames"))?;
    for (n, jpeg) in pictures(size, count)?.iter().enumerate() {
        std::fs::write(path.join(format!("frames/{n:06}.jpg")), jpeg)?;
    }
    std::fs::write(path.join("session.json"), "{\"fps\": 30}")?;
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path.join("audio.wav"), spec)?;
    for n in 0..count * 16_000 / 30 {
        wav.write_sample((n % 50) as i16 * 20)?;
    }
    wav.finalize()?;
    std::fs::write(path.join("gps.nmea"), crate::tick::SENTENCES)?;
    Ok((path, format!("`waywarden bench` in real time, {count} drawn pictures of {}x{}.", size.0, size.1)))
}

/// Pictures of a drive; those of ten seconds, over and over.
fn pictures((width, height): (usize, usize), count: usize) -> Result<Vec<Bytes>, Box<dyn Error>> {
    let settings =
        CameraSettings { width, height, fps: 25.0, loop_frames: Some(count.min(250)), ..CameraSettings::default() };
    let mut camera = CameraSimulator::new(&Drive::new(&Scenario::default(), 1), settings)?;
    let jpegs = (0..count).filter_map(|_| match camera.next().payload {
        Payload::Frame(jpeg) => Some(jpeg),
        _ => None,
    });
    Ok(jpegs.collect())
}

/// What the program says in its last line.
fn waywarden(args: &[&str]) -> Result<Value, Box<dyn Error>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waywarden"));
    let done = command.args(args).env_remove("WAYWARDEN_MODELS").env("XDG_DATA_HOME", "/nonexistent").output()?;
    check(done.status.success(), format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr)))?;
    let text = String::from_utf8_lossy(&done.stdout);
    Ok(serde_json::from_str(text.lines().last().unwrap_or_default())?)
}
