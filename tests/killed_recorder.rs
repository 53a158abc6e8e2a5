//! A program that is killed, told to end, or out of disk leaves what is whole and readable without repair.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "a skipped test says why")]

#[path = "support/outcome.rs"]
mod outcome;

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::signal::Signal;
use outcome::{PATIENCE, SMALL, end, pause, send, sessions, start, start_after, until, wait, waywarden};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use waywarden_components::prelude::*;
use waywarden_systems::clock::boottime;
use waywarden_systems::session::{Record, SessionReader};

/// What a kill may cost at most, as promised, and what a busy machine with a slow disk may add.
const LOST: Duration = Duration::from_secs(1);
const BUSY: Duration = Duration::from_millis(1500);

/// A recording in progress.
struct Recording {
    dir: tempfile::TempDir,
    child: Child,
    session: PathBuf,
}

/// Starts to record a simulated drive, and waits until the disk has something of it.
fn record(prelude: &str, more: &[&str]) -> Recording {
    let dir = tempfile::tempdir().unwrap();
    // Segments large enough for limits to be met within one, and short enough that some kills hit a boundary.
    std::fs::write(dir.path().join("config.toml"), SMALL.replace("segment_s = 1", "segment_s = 2")).unwrap();
    let folder = dir.path().join("rec");
    std::fs::create_dir_all(&folder).unwrap();
    let args = ["run", "--config", "config.toml", "--simulate", "--record", "rec"];
    let mut child = start_after(dir.path(), prelude, &[&args, more].concat());
    let session = until(&mut child, "anything recorded", || {
        let session = sessions(&folder).pop()?;
        let first = std::fs::metadata(session.join("segment-00000.mcap")).ok()?;
        // A segment begins with its snapshot, and what has come since is flushed half a second later.
        (first.len() > 1000 && last_tick(&session).1 > 0).then_some(session)
    });
    Recording { dir, child, session }
}

/// The time of the last tick of a session, and the number of its ticks.
fn last_tick(session: &Path) -> (Mono, u64) {
    let mut reader = SessionReader::open(session).unwrap();
    let (mut last, mut ticks) = (Mono::default(), 0);
    while let Some(record) = reader.read().unwrap() {
        if let Record::Tick(incoming) = record {
            (last, ticks) = (incoming.now, ticks + 1);
        }
    }
    (last, ticks)
}

/// Every tick of the session gives what was recorded.
fn verified(dir: &Path, session: &Path) -> serde_json::Value {
    let session = session.to_str().unwrap();
    waywarden(dir, &["inspect", session]).done();
    let replayed = waywarden(dir, &["replay", session, "--verify", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(replayed.out.lines().next().unwrap()).unwrap();
    assert_eq!(replayed.code, Some(0), "{}, {}", summary["verified"], replayed.err);
    summary
}

fn kill_recorders(times: u32, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut most = Duration::ZERO;
    for n in 0..times {
        let mut recording = record("", &[]);
        pause(Duration::from_millis(random.random_range(0..4000)));
        let killed = boottime();
        send(&recording.child, Signal::SIGKILL);
        wait(&mut recording.child, PATIENCE);
        let (last, ticks) = last_tick(&recording.session);
        let lost = killed.since(last);
        println!("kill {n}: {ticks} ticks, the last one {} ms before", lost.as_millis());
        assert!(lost <= LOST + BUSY, "kill {n}: {lost:?} are lost");
        most = most.max(lost);
        let summary = verified(recording.dir.path(), &recording.session);
        let compared = summary["verified"]["ticks"].as_u64().unwrap();
        assert_eq!(summary["verified"]["differing"], 0);
        assert!(compared + 1 >= ticks, "kill {n}: {compared} of {ticks} ticks could be compared");
        assert_eq!(summary["ticks"], ticks);
    }
    println!("{times} kills, {} ms lost at most", most.as_millis());
}

#[test]
fn a_killed_recorder_loses_a_second_at_most() {
    kill_recorders(8, 1);
}

#[test]
#[ignore = "long: 50 kills"]
fn a_recorder_killed_fifty_times_loses_a_second_at_most() {
    kill_recorders(50, 2);
}

#[test]
fn told_to_end_it_ends_with_a_whole_session() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut recording = record("", &[]);
        send(&recording.child, signal);
        let status = wait(&mut recording.child, Duration::from_secs(3));
        assert_eq!(status.code(), Some(0), "{signal}");
        let inspected = waywarden(recording.dir.path(), &["inspect", recording.session.to_str().unwrap()]).done();
        assert!(inspected.out.contains("  whole      yes"), "{inspected:?}");
        verified(recording.dir.path(), &recording.session);
    }
}

#[test]
fn told_twice_it_ends_at_once() {
    let mut recording = record("", &[]);
    send(&recording.child, Signal::SIGTERM);
    pause(Duration::from_millis(1));
    send(&recording.child, Signal::SIGTERM);
    let status = wait(&mut recording.child, Duration::from_secs(3));
    // Whether the first one was still being obeyed is a matter of luck.
    assert!(matches!(status.code(), Some(0 | 130)), "{status}");
    last_tick(&recording.session);
}

/// Half an hour of silence: enough to be in the middle of.
fn long_recording(dir: &Path) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(dir.join("long.wav"), spec).unwrap();
    for _ in 0..1800 * 16_000 {
        writer.write_sample(0i16).unwrap();
    }
    writer.finalize().unwrap();
}

/// Kills a program that has begun to write `out.mcap` in `dir`: no such file is left.
fn killed_while_writing(dir: &Path, args: &[&str]) {
    let mut child = start(dir, args);
    until(&mut child, "a file in the making", || {
        let mut files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        files.find(|file| {
            let partial = file.path().extension().is_some_and(|extension| extension == "partial");
            partial && file.metadata().is_ok_and(|meta| meta.len() > 0)
        })
    });
    send(&child, Signal::SIGKILL);
    wait(&mut child, PATIENCE);
    assert!(!dir.join("out.mcap").exists(), "half a session under its final name");
    waywarden(dir, &["inspect", "out.mcap"]).refused(&["out.mcap", "No such file"]);
}

#[test]
fn killed_imports_and_replays_leave_nothing_under_the_final_name() {
    let dir = tempfile::tempdir().unwrap();
    long_recording(dir.path());
    killed_while_writing(dir.path(), &["import", "--audio", "long.wav", "-o", "out.mcap"]);
    waywarden(dir.path(), &["import", "--audio", "long.wav", "-o", "in.mcap"]).done();
    for left in std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if left.extension().is_some_and(|extension| extension == "partial") {
            std::fs::remove_file(left).unwrap();
        }
    }
    killed_while_writing(dir.path(), &["replay", "in.mcap", "--out", "out.mcap"]);
}

/// The run fails for want of room and says so; what was recorded can be used, and what is missing is told.
fn ends_for_want_of_room(recording: &mut Recording, word: &str) {
    let dir = recording.dir.path();
    let outcome = end(&mut recording.child, dir);
    assert_eq!(outcome.code, Some(3), "{outcome:#?}");
    assert!(!outcome.err.contains("panicked") && outcome.err.contains(word), "{outcome:#?}");
    let summary = verified(dir, &recording.session);
    assert!(summary["verified"]["ticks"].as_u64().unwrap() > 50, "{summary}");
    assert_eq!(summary["verified"]["differing"], 0);
}

#[test]
fn a_file_that_cannot_grow_costs_a_gap() {
    // Blocks of 512 bytes. The signal that would end the program is ignored; what is left is the error.
    let mut recording = record("trap '' XFSZ; ulimit -f 1000;", &["--duration", "9"]);
    ends_for_want_of_room(&mut recording, "File too large");
    let inspected = waywarden(recording.dir.path(), &["inspect", recording.session.to_str().unwrap()]).done();
    assert!(inspected.out.contains("  missing    "), "{inspected:?}");
}

/// A small disk, mounted as long as this lives.
struct SmallDisk(PathBuf);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_costs_what_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=300k", "tmpfs"]).arg(dir.path()).output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        println!("skipped: this user may not mount a small disk");
        return;
    }
    let disk = SmallDisk(dir.path().to_owned());
    let mut recording = record(&format!("rmdir rec; ln -s '{}' rec;", disk.0.display()), &["--duration", "8"]);
    ends_for_want_of_room(&mut recording, "No space left");
}
