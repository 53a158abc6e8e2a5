//! Tests of the spool.

mod busy;
mod crash;
mod disk;
mod model;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::error::{Kind, StoreError};
use super::*;
use crate::clock::instant;

/// Failures on order: so many times.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// The file cannot be opened.
    open: AtomicU32,
    /// A group is not written.
    before: AtomicU32,
    /// A group is not written, which nobody knows.
    instead: AtomicU32,
    /// A group is written, which nobody knows.
    after: AtomicU32,
}

impl Faults {
    pub(super) fn at_open(&self) -> Result<(), StoreError> {
        Self::strike(&self.open)
    }

    pub(super) fn before_commit(&self) -> Result<(), StoreError> {
        Self::strike(&self.before)
    }

    pub(super) fn instead_of_commit(&self) -> Result<(), StoreError> {
        Self::strike(&self.instead)
    }

    pub(super) fn after_commit(&self) -> Result<(), StoreError> {
        Self::strike(&self.after)
    }

    fn strike(left: &AtomicU32) -> Result<(), StoreError> {
        match left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Err(StoreError { kind: Kind::Disk, words: "a failure on order".to_owned() }),
            Err(_) => Ok(()),
        }
    }

    fn none(&self) {
        [&self.open, &self.before, &self.instead, &self.after].iter().for_each(|left| left.store(0, SeqCst));
    }
}

/// Other numbers in each process, and at each call.
fn random() -> ChaCha8Rng {
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let call = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    ChaCha8Rng::seed_from_u64((u64::from(std::process::id()) << 32) + call)
}

const PATIENCE: Duration = Duration::from_secs(60);

/// Groups are written when a test says so.
fn by_hand() -> SpoolSettings {
    let never = Duration::from_secs(3600);
    SpoolSettings {
        delay: never,
        acknowledge_delay: never,
        group_bytes: u64::MAX,
        retry: never,
        retry_most: never,
        ..SpoolSettings::default()
    }
}

fn open(path: &Path, settings: SpoolSettings) -> Spool {
    Spool::open(path, settings).unwrap().0
}

fn entry(stream: &str, priority: u8, body: &str) -> Entry {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Entry { stream: stream.into(), priority, put_at: None, expires_at: None, body }
}

fn text(entry: &Entry) -> String {
    String::from_utf8(entry.body.to_vec()).unwrap()
}

fn everything() -> BacklogRequest {
    BacklogRequest { after: None, below: u64::MAX, count: 1000, now: None }
}

/// The backlog, in pieces.
fn backlog(spool: &Spool, mut request: BacklogRequest) -> Vec<(SpoolId, Entry)> {
    let mut all = Vec::new();
    loop {
        let piece = spool.backlog(request, PATIENCE).unwrap();
        all.extend(piece.messages);
        if piece.complete {
            return all;
        }
        request.after = all.last().map(|(id, _)| *id);
    }
}

fn texts(spool: &Spool) -> Vec<String> {
    backlog(spool, everything()).iter().map(|(_, entry)| text(entry)).collect()
}

/// The books add up, for every stream and all together.
fn assert_exact(tally: &Tally) {
    let (mut waiting, mut stored) = (0, 0);
    for (name, stream) in &tally.streams {
        let gone = stream.acknowledged + stream.expired + stream.dropped;
        assert_eq!(stream.found + stream.put, gone + stream.waiting + stream.stored, "{name}: {stream:?}");
        waiting += stream.waiting;
        stored += stream.stored;
    }
    assert_eq!((waiting, stored), (tally.waiting, tally.messages), "{tally:?}");
}

#[test]
fn what_was_put_is_there_after_a_restart_in_the_order_of_sending() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/spool");
    let spool = open(&path, SpoolSettings::default());
    let mut ids = Vec::new();
    for n in 0..100 {
        ids.push(spool.put(entry("telemetry", n % 3, &n.to_string())));
    }
    assert!(ids.windows(2).all(|two| two[0] < two[1]));
    assert!(spool.wait_durable(ids[99], PATIENCE));
    assert_eq!(spool.durable_up_to(), ids[99].number());
    let before = texts(&spool);
    spool.close(PATIENCE).unwrap();

    let (spool, found) = Spool::open(&path, SpoolSettings::default()).unwrap();
    assert_eq!((found.messages, found.aside), (100, None));
    let expected: Vec<String> =
        [2, 1, 0].iter().flat_map(|p| (0..100).filter(move |n| n % 3 == *p)).map(|n| n.to_string()).collect();
    assert_eq!(before, expected);
    assert_eq!(texts(&spool), expected);
    assert!(spool.put(entry("telemetry", 0, "later")) > ids[99]);
    assert_exact(&spool.tally());
}

#[test]
fn the_backlog_comes_in_pieces_and_ends_at_the_border() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder.path().join("spool"), by_hand());
    for n in 0..50 {
        spool.put(entry("a", n % 2, &n.to_string()));
        if n == 40 {
            assert!(spool.flush(PATIENCE));
        }
    }
    let below = spool.border();
    // Most of it is on disk, the rest is not.
    for n in 50..60 {
        spool.put(entry("a", n % 2, &n.to_string()));
    }
    let all = backlog(&spool, BacklogRequest { below, count: 7, ..everything() });
    let expected: Vec<u8> = [1, 0].iter().flat_map(|p| (0..50u8).filter(move |n| n % 2 == *p)).collect();
    assert_eq!(
        all.iter().map(|(_, entry)| text(entry)).collect::<Vec<_>>(),
        expected.iter().map(u8::to_string).collect::<Vec<_>>()
    );
    // It goes on from any place, also one that has been acknowledged.
    for (id, _) in &all[..30] {
        spool.acknowledge(*id);
    }
    let rest = backlog(&spool, BacklogRequest { after: Some(all[29].0), below, ..everything() });
    assert_eq!(rest, all[30..]);
    assert_eq!(backlog(&spool, BacklogRequest { below, count: 3, ..everything() }), rest);
}

#[test]
fn what_is_acknowledged_in_time_never_touches_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = open(&path, by_hand());
    let commits = spool.tally().commits;
    for n in 0..1000 {
        spool.acknowledge(spool.put(entry("live", 1, &n.to_string())));
    }
    assert!(spool.flush(PATIENCE));
    let tally = spool.tally();
    assert_eq!(tally.commits, commits);
    let live = StreamTally { put: 1000, acknowledged: 1000, ..StreamTally::default() };
    assert_eq!(tally.streams[&Arc::from("live")], live);
    let id = spool.put(entry("live", 1, "stays"));
    spool.flush(PATIENCE);
    drop(spool.close(PATIENCE));
    let spool = open(&path, by_hand());
    assert!(spool.put(entry("live", 1, "")) > id);
}

#[test]
fn an_acknowledgement_counts_once_and_only_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder.path().join("spool"), by_hand());
    let (a, b) = (spool.put(entry("a", 1, "a")), spool.put(entry("a", 1, "b")));
    spool.flush(PATIENCE);
    for _ in 0..3 {
        spool.acknowledge(a);
        spool.flush(PATIENCE);
        spool.acknowledge(SpoolId { number: 1 << 40, priority: 1 });
    }
    let tally = spool.tally();
    assert_eq!((tally.messages, tally.streams[&Arc::from("a")].acknowledged), (1, 1));
    assert_eq!(backlog(&spool, everything()).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [b]);
    assert_exact(&tally);
}

#[test]
fn what_has_expired_is_left_out_and_deleted_when_the_time_is_known() {
    for on_disk in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(&folder.path().join("spool"), by_hand());
        for n in 0..10u64 {
            let expires_at = (n < 6).then_some(1000 + n);
            spool.put(Entry { expires_at, put_at: Some(900 + n), ..entry("a", (n % 2) as u8, &n.to_string()) });
        }
        if on_disk {
            assert!(spool.flush(PATIENCE));
            assert_eq!(spool.tally().oldest, Some(900));
        }
        assert_eq!(texts(&spool).len(), 10, "nothing expires without a clock");
        let request = BacklogRequest { now: Some(1003), count: 2, ..everything() };
        let left: Vec<String> = backlog(&spool, request).iter().map(|(_, entry)| text(entry)).collect();
        assert_eq!(left, ["5", "7", "9", "4", "6", "8"]);
        assert!(spool.flush(PATIENCE));
        let tally = spool.tally();
        assert_eq!((tally.streams[&Arc::from("a")].expired, tally.messages, tally.oldest), (4, 6, Some(904)));
        assert_exact(&tally);
        assert_eq!(texts(&spool).len(), 6);
    }
}

#[test]
fn a_full_spool_drops_the_oldest_of_the_lowest_priority() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder.path().join("spool"), SpoolSettings { disk_bytes: 10 * (1 + OVERHEAD), ..by_hand() });
    for n in 0..8 {
        spool.put(entry("low", 0, &n.to_string()));
    }
    spool.flush(PATIENCE);
    for body in ["a", "b", "c", "d", "e"] {
        spool.put(entry("high", 9, body));
    }
    spool.flush(PATIENCE);
    assert_eq!(texts(&spool), ["a", "b", "c", "d", "e", "3", "4", "5", "6", "7"]);
    for body in ["f", "g", "h", "i", "j", "k"] {
        spool.put(entry("high", 9, body));
    }
    spool.flush(PATIENCE);
    assert_eq!(texts(&spool), ["b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]);
    let tally = spool.tally();
    assert_eq!(tally.streams[&Arc::from("low")].dropped, 8);
    assert_eq!(tally.streams[&Arc::from("high")].dropped, 1);
    assert_exact(&tally);
    // What is larger than the spool drives nothing out.
    spool.put(Entry { body: vec![0; 4096].into(), ..entry("large", 9, "") });
    spool.flush(PATIENCE);
    assert_eq!((spool.tally().messages, spool.tally().streams[&Arc::from("large")].dropped), (10, 1));
}

#[test]
fn a_full_spool_removes_what_has_expired_before_it_drops_what_has_not() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder.path().join("spool"), SpoolSettings { disk_bytes: 4 * (1 + OVERHEAD), ..by_hand() });
    for (priority, body, expires_at) in [(0, "1", None), (9, "a", Some(1000)), (9, "b", Some(1005)), (0, "2", None)] {
        spool.put(Entry { expires_at, put_at: Some(900), ..entry("a", priority, body) });
    }
    assert!(spool.flush(PATIENCE));
    spool.put(Entry { put_at: Some(1000), ..entry("a", 0, "3") });
    assert!(spool.flush(PATIENCE));
    assert_eq!(texts(&spool), ["b", "1", "2", "3"], "nobody has asked for the backlog");
    let tally = spool.tally();
    assert_eq!((tally.streams[&Arc::from("a")].expired, tally.streams[&Arc::from("a")].dropped), (1, 0));
    assert_exact(&tally);
    // A message without a date tells no time.
    spool.put(entry("a", 0, "4"));
    assert!(spool.flush(PATIENCE));
    assert_eq!(texts(&spool), ["b", "2", "3", "4"]);
    let tally = spool.tally();
    assert_eq!((tally.streams[&Arc::from("a")].expired, tally.streams[&Arc::from("a")].dropped), (1, 1));
    assert_exact(&tally);
}

#[test]
fn memory_that_is_full_drops_the_oldest_of_the_lowest_priority() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder.path().join("spool"), SpoolSettings { memory_bytes: 4 * (1 + OVERHEAD), ..by_hand() });
    spool.shared.faults.before.store(u32::MAX, SeqCst);
    for (priority, body) in [(5, "a"), (0, "1"), (0, "2"), (5, "b"), (0, "3"), (5, "c")] {
        spool.put(entry("a", priority, body));
        spool.flush(PATIENCE);
    }
    let tally = spool.tally();
    assert_eq!((tally.waiting, tally.waiting_bytes, tally.messages), (4, 4 * (1 + OVERHEAD), 0));
    assert!(tally.trouble.is_some());
    assert_exact(&tally);
    assert_eq!(texts(&spool), ["a", "b", "c", "3"], "they are sent from memory");
    spool.shared.faults.before.store(0, SeqCst);
    assert!(spool.flush(PATIENCE));
    let tally = spool.tally();
    assert_eq!((tally.waiting, tally.messages, &tally.trouble), (0, 4, &None));
    assert!(tally.last_error.is_some());
    assert_exact(&tally);
    assert_eq!(texts(&spool), ["a", "b", "c", "3"]);
}

#[test]
fn a_file_shrinks_when_the_backlog_has_been_worked_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = open(&path, SpoolSettings::default());
    let mut ids = Vec::new();
    // No more at a time than may wait in memory.
    for _ in 0..5 {
        ids.extend((0..5000).map(|_| spool.put(entry("a", 1, &"x".repeat(500)))));
        assert!(spool.flush(PATIENCE));
    }
    ids.iter().for_each(|id| spool.acknowledge(*id));
    assert!(spool.flush(PATIENCE));
    spool.close(PATIENCE).unwrap();
    let full = path.metadata().unwrap().len();
    assert!(full > 10 << 20, "{full}");
    // The next run begins with that.
    let spool = open(&path, SpoolSettings::default());
    let started = instant();
    while path.metadata().unwrap().len() > 100_000 {
        assert!(instant().duration_since(started) < PATIENCE, "{} of {full}", path.metadata().unwrap().len());
        std::thread::yield_now();
    }
    spool.put(entry("a", 1, "and goes on"));
    assert_eq!(texts(&spool), ["and goes on"]);
}

#[test]
fn a_spool_that_is_closed_says_what_is_not_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = open(&path, by_hand());
    spool.shared.faults.before.store(u32::MAX, SeqCst);
    spool.put(entry("a", 0, "one"));
    spool.put(entry("a", 0, "two"));
    let error = spool.close(PATIENCE).unwrap_err();
    assert!(matches!(&error, SpoolError::Unsaved { messages: 2, .. }), "{error}");
    assert!(error.to_string().contains("a failure on order"), "{error}");
    let spool = open(&path, by_hand());
    let id = spool.put(entry("a", 0, "three"));
    spool.close(PATIENCE).unwrap();
    let spool = open(&path, by_hand());
    assert_eq!(texts(&spool), ["three"]);
    spool.acknowledge(id);
    spool.close(PATIENCE).unwrap();
    assert_eq!(Spool::open(&path, by_hand()).unwrap().1.messages, 0, "acknowledgements are written too");
}

#[test]
fn a_long_backlog_is_worked_off_before_acknowledgements_are_due() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder.path().join("spool"), SpoolSettings { memory_bytes: 64 << 20, ..by_hand() });
    for _ in 0..50_000 {
        spool.put(entry("a", 0, ""));
    }
    assert!(spool.flush(PATIENCE));
    let (mut request, mut sent) = (everything(), 0);
    loop {
        let piece = spool.backlog(request, PATIENCE).unwrap();
        piece.messages.iter().for_each(|(id, _)| spool.acknowledge(*id));
        sent += piece.messages.len();
        if piece.complete {
            break;
        }
        request.after = Some(piece.messages.last().unwrap().0);
    }
    assert_eq!(sent, 50_000);
    assert!(spool.tally().acknowledgements < 50_000 && spool.flush(PATIENCE));
    let tally = spool.tally();
    assert_eq!((tally.messages, tally.streams[&Arc::from("a")].acknowledged), (0, 50_000));
}

#[test]
fn acknowledgements_that_wait_for_a_disk_in_trouble_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder.path().join("spool"), SpoolSettings { memory_bytes: 64 << 20, ..by_hand() });
    for _ in 0..50_000 {
        spool.put(entry("a", 0, ""));
    }
    assert!(spool.flush(PATIENCE));
    spool.shared.faults.before.store(u32::MAX, SeqCst);
    let (mut request, mut sent) = (everything(), 0);
    loop {
        let piece = spool.backlog(request, PATIENCE).unwrap();
        let Some((last, _)) = piece.messages.last() else {
            assert!(!piece.complete, "there is more");
            break;
        };
        piece.messages.iter().for_each(|(id, _)| spool.acknowledge(*id));
        sent += piece.messages.len() as u64;
        request.after = Some(*last);
    }
    let tally = spool.tally();
    assert!(sent < 30_000 && tally.acknowledgements == sent && tally.trouble.is_some(), "{sent}: {tally:?}");
    assert_eq!(tally.messages, 50_000);
    spool.shared.faults.none();
    assert!(spool.flush(PATIENCE));
    assert_eq!(spool.tally().messages, 50_000 - sent);
    assert_eq!(backlog(&spool, request).len() as u64, 50_000 - sent);
}
