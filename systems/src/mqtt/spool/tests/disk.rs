//! Disks that are full or gone, and files that are broken.

use std::os::unix::fs::FileExt;
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn quick() -> SpoolSettings {
    let short = Duration::from_millis(5);
    SpoolSettings {
        delay: short,
        acknowledge_delay: short,
        retry: short,
        retry_most: Duration::from_millis(50),
        ..SpoolSettings::default()
    }
}

/// Waits until `is` so.
fn until(what: &str, spool: &Spool, is: impl Fn(&Tally) -> bool) -> Tally {
    let started = instant();
    loop {
        let tally = spool.tally();
        if is(&tally) {
            return tally;
        }
        assert!(instant().duration_since(started) < PATIENCE, "{what}: {tally:?}");
        std::thread::yield_now();
    }
}

/// A small disk that goes with it.
struct Small(tempfile::TempDir);

impl Small {
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(folder)),
            other => {
                println!("skipped: a small disk needs root and mount(8): {other:?}");
                None
            }
        }
    }

    fn remount(&self, how: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.0.path()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_costs_what_is_counted_and_is_over_when_there_is_room() {
    let Some(disk) = Small::new("3m") else { return };
    let (path, ballast) = (disk.0.path().join("spool"), disk.0.path().join("ballast"));
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let settings = SpoolSettings { memory_bytes: 100_000, disk_bytes: 2 << 20, ..quick() };
    let spool = open(&path, settings.clone());
    let mut put = 0u64;
    while spool.tally().trouble.is_none() {
        spool.put(entry(["low", "high"][(put % 2) as usize], (put % 2) as u8, &format!("{put:0250}")));
        put += 1;
        if put.is_multiple_of(20) {
            spool.flush(PATIENCE);
        }
        assert!(put < 100_000, "the disk is never full");
    }
    let trouble = spool.tally().trouble.unwrap();
    assert!(trouble.contains("the disk is full"), "{trouble}");
    for _ in 0..2000 {
        spool.put(entry("low", 0, &format!("{put:0250}")));
        spool.put(entry("high", 1, &format!("{put:0250}")));
        put += 2;
    }
    let tally = spool.tally();
    assert_exact(&tally);
    assert!(tally.waiting_bytes <= 100_000 && tally.messages > 0 && tally.waiting > 0, "{tally:?}");
    assert!(tally.streams.values().all(|stream| stream.dropped > 0));
    // What is on it can be read and sent all the same.
    let all = backlog(&spool, everything());
    assert_eq!(all.len() as u64, tally.messages + tally.waiting);
    all[..50].iter().for_each(|(id, _)| spool.acknowledge(*id));

    std::fs::remove_file(&ballast).unwrap();
    let tally = until("the trouble is over", &spool, |tally| tally.trouble.is_none() && tally.waiting == 0);
    assert!(tally.last_error.is_some());
    assert!(spool.flush(PATIENCE));
    let tally = spool.tally();
    assert_exact(&tally);
    let sum = |count: fn(&StreamTally) -> u64| tally.streams.values().map(count).sum::<u64>();
    assert_eq!((sum(|stream| stream.put), sum(|stream| stream.acknowledged)), (put, 50));
    let rest = backlog(&spool, everything());
    assert_eq!(rest.len() as u64, tally.messages);
    spool.close(PATIENCE).unwrap();
    let (spool, found) = Spool::open(&path, settings).unwrap();
    assert_eq!((found.messages, found.aside), (tally.messages, None));
    assert_eq!(backlog(&spool, everything()), rest);
}

#[test]
fn a_read_only_disk_costs_nothing_when_it_is_over_in_time() {
    let Some(disk) = Small::new("8m") else { return };
    let path = disk.0.path().join("spool");
    let spool = open(&path, quick());
    for n in 0..10 {
        spool.put(entry("a", 0, &n.to_string()));
    }
    spool.close(PATIENCE).unwrap();
    disk.remount("ro");
    let (spool, _) = Spool::open(&path, quick()).unwrap();
    let trouble = spool.tally().trouble.unwrap();
    assert!(trouble.contains("the disk is read-only"), "{trouble}");
    for n in 10..20 {
        spool.put(entry("a", 0, &n.to_string()));
    }
    assert!(!spool.flush(PATIENCE));
    assert_exact(&spool.tally());
    disk.remount("rw");
    until("the trouble is over", &spool, |tally| tally.trouble.is_none() && tally.waiting == 0);
    assert_eq!(texts(&spool), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    let tally = spool.tally();
    assert_eq!((tally.streams[&Arc::from("a")].found, tally.messages), (10, 20));
    assert_exact(&tally);
    spool.close(PATIENCE).unwrap();
}

#[test]
fn a_spool_begins_without_a_disk_and_finds_it_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk/spool");
    std::fs::write(folder.path().join("disk"), b"no folder").unwrap();
    let spool = open(&path, quick());
    let id = spool.put(entry("a", 0, "early"));
    assert!(spool.tally().trouble.is_some());
    std::fs::remove_file(folder.path().join("disk")).unwrap();
    until("it is found", &spool, |tally| tally.trouble.is_none() && tally.messages == 1);
    spool.close(PATIENCE).unwrap();
    let spool = open(&path, quick());
    assert_eq!(texts(&spool), ["early"]);
    assert!(spool.put(entry("a", 0, "late")) > id);
}

/// What is there instead of a spool is moved aside, and all goes on.
fn assert_moved_aside(path: &Path, n: u32, why: &str) {
    let (spool, found) = Spool::open(path, quick()).unwrap();
    let aside = found.aside.unwrap();
    assert_eq!(aside.path, PathBuf::from(format!("{}.broken-{n}", path.display())));
    assert!(aside.path.exists() && aside.why.contains(why), "{aside:?}");
    assert_eq!(spool.tally().trouble, None);
    let id = spool.put(entry("a", 0, "new"));
    assert!(spool.wait_durable(id, PATIENCE));
    spool.close(PATIENCE).unwrap();
    assert_eq!(Spool::open(path, quick()).unwrap().1.messages, found.messages + 1);
}

/// Waits until a spool that was dropped has given its file back.
fn released(path: &Path) {
    while Spool::open(path, quick()).map(|(spool, _)| spool.close(PATIENCE)).is_err() {}
}

#[test]
fn what_is_no_spool_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    std::fs::write(&path, b"{\"no\": \"spool\"}").unwrap();
    assert_moved_aside(&path, 1, "no spool");
    released(&path);
    std::fs::write(&path, vec![7; 100_000]).unwrap();
    assert_moved_aside(&path, 2, "no spool");
    released(&path);
    std::fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("create table message (other)").unwrap();
    drop(other);
    assert_moved_aside(&path, 3, "no spool");
    released(&path);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_moved_aside(&path, 4, "a folder");
    released(&path);
    let later = rusqlite::Connection::open(&path).unwrap();
    later.execute_batch("pragma user_version = 99").unwrap();
    drop(later);
    assert_moved_aside(&path, 5, "another version");
    // An empty file is a new spool.
    released(&path);
    std::fs::write(&path, b"").unwrap();
    assert_eq!(Spool::open(&path, quick()).unwrap().1, Found::default());
}

/// A spool of so many messages.
fn filled(path: &Path, count: usize) {
    let spool = open(path, by_hand());
    for n in 0..count {
        spool.put(entry(["a", "b"][n % 2], (n % 3) as u8, &format!("{n:0200}")));
        // No more at a time than may wait in memory.
        if n % 10_000 == 0 {
            assert!(spool.flush(PATIENCE));
        }
    }
    spool.close(PATIENCE).unwrap();
}

#[test]
fn of_a_broken_file_what_can_be_read_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    // Too large to be looked through when it is opened.
    const MANY: u64 = 90_000;
    filled(&path, MANY as usize);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let middle = file.metadata().unwrap().len() / 2 / 2048 * 2048;
    file.write_all_at(&[0xee; 4 * 2048], middle).unwrap();
    drop(file);
    let (spool, found) = Spool::open(&path, quick()).unwrap();
    assert_eq!((found.messages, found.aside), (MANY, None), "it does not show yet");
    let fresh = spool.put(entry("a", 0, "fresh"));
    assert!(spool.wait_durable(fresh, PATIENCE));
    // The first piece that meets it finds out, and what is left of the file takes its place.
    let mut after = None;
    let mut seen = 0;
    loop {
        let piece = spool.backlog(BacklogRequest { after, ..everything() }, PATIENCE).unwrap();
        seen += piece.messages.len();
        after = piece.messages.last().map(|(id, _)| *id).or(after);
        if piece.complete {
            break;
        }
    }
    let tally = until("it is replaced", &spool, |tally| tally.trouble.is_none() && !tally.aside.is_empty());
    assert_exact(&tally);
    assert!(tally.messages > MANY - 100 && tally.messages < MANY + 1, "{tally:?}");
    assert_eq!(tally.aside[0].saved, tally.messages);
    let lost: u64 = tally.streams.values().map(|stream| stream.dropped).sum();
    assert_eq!(lost + tally.messages, MANY + 1);
    assert!(seen as u64 >= tally.messages - 1000);
    assert_eq!(texts(&spool).len() as u64, tally.messages);
    spool.close(PATIENCE).unwrap();
    assert_eq!(Spool::open(&path, quick()).unwrap().1.messages, tally.messages);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_in_the_file_stop_it(
        noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        near_the_start in any::<bool>(),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        filled(&path, 3000);
        let mut bytes = std::fs::read(&path).unwrap();
        let within = if near_the_start { 8192 } else { bytes.len() };
        for (index, value) in noise {
            bytes[index.index(within)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(&path, &bytes).unwrap();
        let (spool, _) = Spool::open(&path, quick()).unwrap();
        for n in 0..100 {
            spool.put(entry("c", (n % 3) as u8, &n.to_string()));
        }
        for _ in 0..20 {
            if let Some(piece) = spool.backlog(everything(), PATIENCE) {
                piece.messages.iter().for_each(|(id, _)| spool.acknowledge(*id));
                if piece.complete && piece.messages.is_empty() {
                    break;
                }
            }
            spool.flush(PATIENCE);
        }
        let tally = spool.tally();
        prop_assert!(tally.streams[&Arc::from("c")].acknowledged > 0, "{:?}", tally);
        prop_assert_eq!(&tally.trouble, &None);
        spool.close(PATIENCE).unwrap();
    }
}
