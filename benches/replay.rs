//! A replay without models against what no replay can avoid: decoding every frame small and grey, on all cores at
//! once. And its memory, for a session of any length.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::thread;

use bytes::Bytes;
use serde_json::Value;
use turbojpeg::ScalingFactor;

use crate::floor::Floor;
use crate::report::{Outcome, Report, check, median, quick, timed};
use crate::session;

/// Most memory that a replay may need, in megabytes.
const MOST_MB: f64 = 60.0;

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (path, about) = session::make(folder.path(), quick())?;
    let jpegs = session::frames(&path)?;
    let bytes: usize = jpegs.iter().map(Bytes::len).sum();
    let kb = bytes as f64 / jpegs.len() as f64 / 1e3;
    let cores = thread::available_parallelism()?.get();
    let threads = cores.to_string();
    let (rounds, times) = if quick() { (1, 2) } else { (7, 5) };

    // Every frame is looked at small, for the gate; and some closer, for lanes, unless that is switched off.
    let without = folder.path().join("without-lanes.toml");
    std::fs::write(&without, "[segmentation]\nfallback = \"none\"\n")?;
    let without = without.display().to_string();
    let (eighth, half) = (ScalingFactor::ONE_EIGHTH, ScalingFactor::ONE_HALF);
    let (mut alone, mut closer, mut together, mut walls, mut cpus) = (vec![], vec![], vec![], vec![], vec![]);
    let mut gate_only = vec![];
    let mut last = Replayed::default();
    // In turn, so that a machine that is slower for a while is slower for all of them.
    for _ in 0..rounds {
        alone.push(decode(&jpegs, 1, eighth)?);
        closer.push(decode(&jpegs, 1, half)?);
        together.push(decode(&jpegs, cores, eighth)?);
        gate_only.push(replay(&path, &["--threads", &threads, "--config", &without])?.wall_s);
        let replayed = replay(&path, &["--threads", &threads])?;
        check(replayed.frames == jpegs.len() as u64, "frames are missing from the replay")?;
        check(last.ticks == 0 || replayed.digest == last.digest, "two replays differ")?;
        walls.push(replayed.wall_s);
        cpus.push(replayed.cpu_s);
        last = replayed;
    }
    let plain = replay(&path, &["--threads", &threads, "--no-look-ahead"])?;
    check(plain.digest == last.digest, "the digest depends on the look-ahead")?;
    let single = replay(&path, &["--threads", "1"])?;
    check(single.digest == last.digest, "the digest depends on the number of threads")?;

    let long = folder.path().join("long.mcap");
    session::write(&long, &jpegs, times)?;
    drop(jpegs);
    let longer = replay(&long, &["--threads", &threads])?;
    check(longer.frames == times as u64 * last.frames, "frames are missing from the longer replay")?;
    let recorded = folder.path().join("recorded.mcap");
    let recording = replay(&long, &["--threads", &threads, "--out", &recorded.display().to_string()])?;
    let verified = replay(&recorded, &["--threads", &threads, "--verify"])?;
    check(verified.digest == longer.digest && recording.digest == longer.digest, "recording changes the digest")?;
    check(verified.compared == longer.ticks, "not every tick was compared")?;

    let (small, closer, together) = (median(&alone), median(&closer), median(&together));
    let (wall, cpu, gate_only) = (median(&walls), median(&cpus), median(&gate_only));
    let frames = last.frames;
    check(quick() || last.looked > 0 && last.looked < frames, "no frame was searched for lanes, or all were")?;
    // Each frame at the scale at which this session needs it.
    let alone = small + (closer - small) * last.looked as f64 / frames as f64;
    let floor = alone / cores as f64;
    let mut report = Report::new(
        "replay",
        &format!(
            "{about}; {frames} frames of {kb:.0} kB, {} ticks; {cores} cores; medians of {rounds} rounds.",
            last.ticks
        ),
    );
    let ms = |s: f64| format!("{:.3} ms", s * 1e3);
    let s = |s: f64| format!("{s:.3} s");
    report.row(
        "decode_s",
        "one frame decoded to an eighth, grey",
        small / frames as f64,
        ms(small / frames as f64),
        "libjpeg-turbo alone, one core",
    );
    report.row(
        "closer_s",
        "the same to a half",
        closer / frames as f64,
        ms(closer / frames as f64),
        &format!("as {} frames are, which are searched for lanes", last.looked),
    );
    report.row(
        "floor_s",
        "floor: all frames decoded as they have to be / cores",
        floor,
        s(floor),
        &format!("all to an eighth: {:.3} s; all cores at once really take {together:.3} s", small / cores as f64),
    );
    report.row("wall_s", "the replay", wall, s(wall), &format!("{:.1} x real time", last.session_s / wall));
    report.row("ratio", "**replay / floor**", wall / floor, format!("**{:.2}**", wall / floor), "goal: at most 1.15");
    report.row(
        "gate_only_ratio",
        "the same without lanes / all frames decoded to an eighth / cores",
        gate_only * cores as f64 / small,
        format!("{:.2}", gate_only * cores as f64 / small),
        &format!("{gate_only:.3} s"),
    );
    report.row(
        "cpu_ratio",
        "CPU of the replay / CPU of decoding",
        cpu / alone,
        format!("{:.2}", cpu / alone),
        &format!("{cpu:.3} s / {alone:.3} s"),
    );
    report.row("no_look_ahead_s", "the same without look-ahead", plain.wall_s, s(plain.wall_s), "same digest");
    report.row(
        "one_thread_s",
        "the same with one thread for systems and one ahead",
        single.wall_s,
        s(single.wall_s),
        "same digest",
    );
    report.row(
        "rss_mb",
        "peak memory",
        last.rss_mb,
        format!("{:.1} MB", last.rss_mb),
        &format!("goal: at most {MOST_MB} MB"),
    );
    report.row(
        "long_rss_mb",
        &format!("peak memory, session {times} times as long"),
        longer.rss_mb,
        format!("{:.1} MB", longer.rss_mb),
        &format!("{:.0} s of session in {:.2} s", longer.session_s, longer.wall_s),
    );
    report.row(
        "record_rss_mb",
        "the long one, recorded anew with its outputs",
        recording.rss_mb,
        format!("{:.1} MB", recording.rss_mb),
        &format!("{:.2} s", recording.wall_s),
    );
    report.row(
        "verify_rss_mb",
        "that recording, verified tick by tick",
        verified.rss_mb,
        format!("{:.1} MB", verified.rss_mb),
        &format!("{:.2} s, {} ticks equal", verified.wall_s, verified.compared),
    );
    report.print()?;
    if !quick() {
        check(last.rss_mb.max(longer.rss_mb).max(verified.rss_mb) <= MOST_MB, format!("more than {MOST_MB} MB"))?;
    }
    Ok(())
}

/// Seconds in which `threads` threads decode all frames.
fn decode(jpegs: &[Bytes], threads: usize, scale: ScalingFactor) -> Result<f64, Box<dyn Error>> {
    let part = |n: usize| {
        let mut floor = Floor::at(scale)?;
        jpegs.iter().skip(n).step_by(threads).try_fold(0, |sum, jpeg| Ok(sum + floor.decode(jpeg)?))
    };
    let (parts, seconds) = timed(|| {
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|n| scope.spawn(move || part(n))).collect();
            running.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        })
    });
    let mut sum = 0;
    for part in parts {
        let part: turbojpeg::Result<u64> = part.map_err(|_| "decoding panicked")?;
        sum += part?;
    }
    check(sum > 0, "every frame is black")?;
    Ok(seconds)
}

/// What a replay said of itself.
#[derive(Default)]
struct Replayed {
    digest: String,
    ticks: u64,
    frames: u64,
    looked: u64,
    compared: u64,
    session_s: f64,
    wall_s: f64,
    cpu_s: f64,
    rss_mb: f64,
}

/// Replays in a process of its own, whose memory is then its own too.
fn replay(session: &Path, options: &[&str]) -> Result<Replayed, Box<dyn Error>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waywarden"));
    command.arg("replay").arg(session).arg("--json").args(options);
    // No models, whatever this computer has.
    let done = command.env_remove("WAYWARDEN_MODELS").env("XDG_DATA_HOME", "/nonexistent").output()?;
    let text = String::from_utf8_lossy(&done.stdout);
    let last = text.lines().last().unwrap_or_default();
    check(done.status.success(), format!("{command:?}: {last} {}", String::from_utf8_lossy(&done.stderr)))?;
    let said: Value = serde_json::from_str(last)?;
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    Ok(Replayed {
        digest: said["digest"].as_str().unwrap_or_default().to_owned(),
        ticks: count(&said["ticks"]),
        frames: count(&said["frames"]["in"]),
        looked: count(&said["lanes"]["looked"]),
        compared: count(&said["verified"]["ticks"]),
        session_s: number(&said["session_s"]),
        wall_s: number(&said["wall_s"]),
        cpu_s: number(&said["cpu_s"]),
        rss_mb: number(&said["peak_rss_mb"]),
    })
}
