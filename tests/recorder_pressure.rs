//! A recorder under pressure: whatever the disk does, the drive goes on, what is lost is counted and journalled, and what
//! is there replays before and behind the hole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "a skipped test says why")]

#[path = "support/disks.rs"]
mod disks;
#[path = "support/outcome.rs"]
mod outcome;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use disks::Disk;
use nix::sys::signal::Signal;
use outcome::{PATIENCE, pause, send, sessions, start, until, wait, waywarden};
use waywarden_components::prelude::*;
use waywarden_systems::clock::boottime;
use waywarden_systems::session::Findings;

/// Frames large enough to fill a queue of a megabyte within a second or two.
const CONFIG: &str = "\
[[camera]]
width = 640
height = 360
fps = 30.0
loop_frames = 5
[record]
segment_s = 2
queue_mb = 1
free_gb = 0.0
";

/// Recording, as the log says it.
const GOES: &str = "recorder: active";

/// No disk there any more, as the log says it.
const GONE: &str = "it is not mounted any more";

/// A drive that is being recorded into `rec`.
struct Drive {
    dir: PathBuf,
    child: Child,
}

impl Drive {
    fn start(dir: &Path, config: &str) -> Self {
        std::fs::write(dir.join("config.toml"), config).unwrap();
        let child = start(dir, &["run", "--config", "config.toml", "--simulate", "--record", "rec"]);
        let mut drive = Self { dir: dir.to_owned(), child };
        drive.until("a recording", |log| log.contains(GOES));
        // The disk has some of it.
        pause(Duration::from_millis(1500));
        drive
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("stderr.txt")).unwrap()
    }

    /// Waits until the log is as wanted; the drive goes on meanwhile.
    fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let log = self.dir.join("stderr.txt");
        until(&mut self.child, what, || std::fs::read_to_string(&log).ok().filter(|log| wanted(log)));
    }

    /// Waits until it is recorded for the nth time.
    fn until_recorded_again(&mut self, times: usize) {
        self.until("recording again", |log| log.matches(GOES).count() >= times);
        pause(Duration::from_secs(2));
    }

    /// Tells it to end, which it does in time.
    fn end(mut self, code: i32) {
        send(&self.child, Signal::SIGTERM);
        let status = wait(&mut self.child, Duration::from_secs(3));
        assert_eq!(status.code(), Some(code), "{}", self.log());
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }

    fn session(&self) -> PathBuf {
        sessions(&self.dir.join("rec")).pop().unwrap()
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn segments(session: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(session).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// A hole in a session.
#[derive(Debug)]
struct Hole {
    /// The segment behind it.
    segment: u32,
    /// Ticks missing in it.
    ticks: u64,
    /// Its length.
    seconds: f64,
    /// What the snapshot behind it says of the recorder.
    health: Health,
}

/// The holes of a session, and the lost ticks that its journal tells of.
fn holes(session: &Path) -> (Vec<Hole>, u64) {
    let (mut findings, mut holes, mut told, mut last) = (Findings::open(session).unwrap(), Vec::new(), 0, None);
    while let Some(tick) = findings.read().unwrap() {
        if let Some(segment) = tick.segment.filter(|segment| segment.missing_ticks > 0) {
            let health = segment.known.unwrap().health;
            let (_, health) = health.into_iter().find(|(id, _)| id.stream == StreamId::RECORDER).unwrap();
            let seconds = tick.now.since(last.unwrap_or(tick.now)).as_secs_f64();
            holes.push(Hole { segment: segment.number, ticks: segment.missing_ticks, seconds, health });
        }
        last = Some(tick.now);
        for input in tick.inputs.iter().filter(|input| input.stream == StreamId::RECORDER) {
            if let Payload::Dropped { count, .. } = input.payload {
                told += count;
            }
        }
    }
    (holes, told)
}

/// Every tick of the session that was recorded with its outputs gives them again. The number of ticks.
fn verified(dir: &Path, session: &Path, more: &[&str]) -> u64 {
    let replayed = waywarden(dir, &[&["replay", session.to_str().unwrap(), "--verify", "--json"], more].concat());
    let summary: serde_json::Value = serde_json::from_str(replayed.out.lines().last().unwrap()).unwrap();
    assert_eq!((replayed.code, &summary["verified"]["differing"]), (Some(0), &0.into()), "{replayed:?}");
    let (ticks, compared) = (summary["ticks"].as_u64().unwrap(), summary["verified"]["ticks"].as_u64().unwrap());
    assert!(compared > 50 && compared + 10 >= ticks, "{compared} of {ticks}");
    ticks
}

/// The holes of a session, of each of which the journal tells, and which is exact on both sides of it: what the recorder
/// said of them.
/// Where a disk could not even be told to forget what it had not confirmed, `unsure` ticks more may be there.
fn reasons(dir: &Path, session: &Path, unsure: u64) -> Vec<String> {
    let inspected = waywarden(dir, &["inspect", session.to_str().unwrap(), "--json"]).done();
    let inspected: serde_json::Value = serde_json::from_str(&inspected.out).unwrap();
    let (holes, told) = holes(session);
    println!("{holes:?}, told of {told}");
    assert!(told > 0 && told == holes.iter().map(|hole| hole.ticks).sum::<u64>(), "the journal tells of all");
    let missing = inspected["missing_ticks"].as_u64().unwrap();
    assert!(missing <= told && told <= missing + unsure, "{missing} are missing");
    let all = verified(dir, session, &[]);
    for hole in &holes {
        let segments = inspected["segments"].as_array().unwrap();
        let behind = segments.iter().find(|segment| segment["number"] == hole.segment).unwrap();
        assert_eq!((&behind["lost_ticks"], &behind["reason"]), (&hole.ticks.into(), &"gap".into()), "{behind}");
        // The drive went on: a hundred ticks a second, on an idle machine.
        assert!(hole.ticks as f64 >= 20.0 * hole.seconds, "{hole:?}");
        assert_eq!(hole.health.state, FunctionState::Degraded);
        assert!(verified(dir, session, &["--from", &hole.segment.to_string()]) < all);
    }
    holes.into_iter().map(|hole| hole.health.reason).collect()
}

#[test]
fn a_full_disk_costs_a_hole_until_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::memory(&dir.path().join("rec"), "40m") else { return };
    let mut drive = Drive::start(dir.path(), CONFIG);
    let filler = disk.fill();
    drive.until("a full disk", |log| log.contains("recorder: degraded"));
    pause(Duration::from_secs(2));
    std::fs::remove_file(filler).unwrap();
    drive.until_recorded_again(2);
    let session = drive.session();
    drive.end(3);
    let reasons = reasons(dir.path(), &session, 0);
    assert!(reasons[0].contains("No space left") && reasons[0].contains("record.keep_gb"), "{reasons:?}");
}

/// A disk fails, which the recorder says in these `words`, and is gone; another one comes in its place.
fn another_disk(fail: impl FnOnce(&Disk) -> bool, words: &str) {
    let dir = tempfile::tempdir().unwrap();
    let rec = dir.path().join("rec");
    let Some(first) = Disk::image(&rec, &dir.path().join("first.img")) else { return };
    let mut drive = Drive::start(dir.path(), CONFIG);
    if !fail(&first) {
        return;
    }
    drive.until("a bad disk", |log| log.contains(words));
    let name = drive.session().file_name().unwrap().to_owned();
    first.pull();
    drive.until("a lost disk", |log| log.contains(GONE));
    pause(Duration::from_secs(2));
    assert!(std::fs::read_dir(&rec).unwrap().next().is_none(), "it does not fill the disk below");
    let second = Disk::image(&rec, &dir.path().join("second.img")).unwrap();
    drive.until_recorded_again(2);
    assert_eq!(drive.session().file_name().unwrap(), name);
    drive.end(3);
    // What is on both disks, together.
    let whole = dir.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    let gather = || {
        let kept = segments(&rec.join(&name));
        for path in &kept {
            std::fs::copy(path, whole.join(path.file_name().unwrap())).unwrap();
        }
        kept.len()
    };
    let behind = gather();
    assert!(behind > 0);
    verified(dir.path(), &rec.join(&name), &[]);
    second.pull();
    let _first = Disk::mount(&rec, &dir.path().join("first.img")).unwrap();
    assert!(gather() > 0);
    // A second's at most.
    let reasons = reasons(dir.path(), &whole, if words.is_empty() { 0 } else { 500 });
    assert!(reasons.len() == 1 && reasons[0].contains(GONE), "{reasons:?}");
}

#[test]
fn a_disk_that_was_unmounted_is_waited_for() {
    another_disk(|_| true, "");
}

#[test]
fn a_disk_that_became_read_only_costs_a_hole() {
    another_disk(Disk::make_read_only, "Read-only file system");
}

#[test]
fn a_disk_that_fails_costs_a_hole() {
    another_disk(Disk::fail, "Input/output error");
}

#[test]
fn a_disk_that_answers_late_costs_a_hole_and_no_tick() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::image(&dir.path().join("rec"), &dir.path().join("disk.img")) else { return };
    let mut drive = Drive::start(dir.path(), CONFIG);
    let Some(frozen) = disk.freeze() else { return };
    drive.until("a slow disk", |log| log.contains("recorder: degraded"));
    pause(Duration::from_secs(2));
    drop(frozen);
    drive.until_recorded_again(2);
    let session = drive.session();
    drive.end(0);
    // It may be too slow for what it has to catch up with, too.
    let reasons = reasons(dir.path(), &session, 0);
    assert!(reasons.iter().all(|reason| reason.contains("too slow")), "{reasons:?}");
}

#[test]
fn a_disk_that_does_not_answer_does_not_keep_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::image(&dir.path().join("rec"), &dir.path().join("disk.img")) else { return };
    let mut drive = Drive::start(dir.path(), CONFIG);
    let session = drive.session();
    let Some(frozen) = disk.freeze() else { return };
    drive.until("a slow disk", |log| log.contains("recorder: degraded"));
    send(&drive.child, Signal::SIGTERM);
    let begin = boottime();
    while !drive.log().contains("left behind") {
        assert!(boottime().since(begin) < Duration::from_secs(3), "{}", drive.log());
        pause(Duration::from_millis(10));
    }
    // The kernel itself lets go of a thread only when the disk answers.
    drop(frozen);
    let status = wait(&mut drive.child, PATIENCE);
    assert_eq!(status.code(), Some(3), "{}", drive.log());
    verified(dir.path(), &session, &[]);
}

#[test]
fn old_segments_make_room_and_what_is_left_replays() {
    let dir = tempfile::tempdir().unwrap();
    let rec = dir.path().join("rec");
    let config = CONFIG.replace("segment_s = 2", "segment_s = 1");
    // An old session, something of somebody else's, and something that was kept.
    let mut drive = Drive::start(dir.path(), &config);
    drive.until_recorded_again(1);
    drive.end(0);
    let old = sessions(&rec).pop().unwrap();
    let size = std::fs::metadata(old.join("segment-00000.mcap")).unwrap().len();
    let kept = rec.join("preserved/kept");
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::copy(&segments(&old)[0], kept.join("segment-00000.mcap")).unwrap();
    std::fs::write(old.join("notes.txt"), "not ours").unwrap();
    // Room for three segments.
    let keep = format!("keep_gb = {:.6}\nsegment_s", size as f64 * 3.0 / 1e9);
    let mut drive = Drive::start(dir.path(), &config.replace("segment_s", &keep));
    drive.until("five segments too many", |log| log.matches("deleted ").count() >= 6);
    pause(Duration::from_millis(500));
    assert_eq!(segments(&old), [old.join("notes.txt")]);
    let folders = std::fs::read_dir(&rec).unwrap().map(|entry| entry.unwrap().path());
    let session = folders.filter(|path| path.is_dir() && *path != old && !path.ends_with("preserved")).max().unwrap();
    drive.end(0);
    let left = segments(&session);
    assert!(!left.is_empty() && left.len() <= 5 && !left[0].ends_with("segment-00000.mcap"), "{left:?}");
    waywarden(dir.path(), &["inspect", session.to_str().unwrap()]).done();
    verified(dir.path(), &session, &[]);
    assert_eq!(segments(&kept).len(), 1);
}

#[test]
fn what_is_around_an_event_is_kept_and_replays() {
    let dir = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("segment_s = 2", "segment_s = 1\npreserve_s = 2");
    let mut drive = Drive::start(dir.path(), &config);
    pause(Duration::from_secs(3));
    send(&drive.child, Signal::SIGUSR1);
    drive.until("a piece", |log| log.contains("complete, "));
    let session = drive.session();
    drive.end(0);
    let preserved = segments(&dir.path().join("rec/preserved"));
    let [piece] = &preserved[..] else { panic!("{preserved:?}") };
    let whole = waywarden(dir.path(), &["inspect", session.to_str().unwrap(), "--json"]).done();
    std::fs::remove_dir_all(&session).unwrap();
    let held = segments(piece).iter().filter(|path| path.extension().is_some_and(|end| end == "mcap")).count();
    assert!((4..=7).contains(&held), "{held} segments of a second");
    let ticks = verified(dir.path(), piece, &[]);
    let whole: serde_json::Value = serde_json::from_str(&whole.out).unwrap();
    assert!(ticks < whole["ticks"].as_u64().unwrap());
}

#[test]
fn a_piece_can_be_kept_later_and_replays() {
    let dir = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("segment_s = 2", "segment_s = 1");
    let mut drive = Drive::start(dir.path(), &config);
    drive.until_recorded_again(1);
    pause(Duration::from_secs(3));
    let session = drive.session();
    drive.end(0);
    let session = session.to_str().unwrap();
    let preserve = |at: &str, out: &str| {
        waywarden(dir.path(), &["preserve", session, "--at", at, "--around", "0.2", "-o", out, "--json"])
    };
    let kept: serde_json::Value = serde_json::from_str(&preserve("2.5s", "piece").done().out).unwrap();
    assert!(kept["from_s"].as_f64().unwrap() <= 2.3 && kept["to_s"].as_f64().unwrap() >= 2.7, "{kept}");
    assert!(kept["files"].as_array().unwrap().len() <= 2, "{kept}");
    verified(dir.path(), &dir.path().join("piece"), &[]);
    // The same of a session in one file.
    waywarden(dir.path(), &["replay", session, "--out", "one.mcap"]).done();
    let args = ["preserve", "one.mcap", "--at", "2.5s", "--around", "0.2", "-o", "other"];
    let said = waywarden(dir.path(), &args).done();
    assert!(said.out.starts_with("kept ") && said.out.contains("waywarden replay other --verify"), "{said:?}");
    verified(dir.path(), &dir.path().join("other"), &[]);
    for (at, out, word) in [("2.5s", "piece", "already"), ("1:00:00", "new", "s long")] {
        let refused = preserve(at, out);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.out.contains(word), "{refused:?}");
    }
}

#[test]
fn asked_to_keep_what_is_not_recorded_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.toml"), CONFIG).unwrap();
    let child = start(dir.path(), &["run", "--config", "config.toml", "--simulate"]);
    let mut drive = Drive { dir: dir.path().to_owned(), child };
    drive.until("a start", |log| log.contains("recorder: off"));
    send(&drive.child, Signal::SIGUSR1);
    drive.until("an answer", |log| {
        log.contains("nothing is recorded (SIGUSR1)") || log.contains("SIGUSR1), and nothing")
    });
    drive.end(0);
}
