//! Any sequence of calls and failures against a simple model.

use proptest::prelude::*;

use super::*;

const MEMORY: u64 = 1500;
const DISK: u64 = 4000;
const STREAMS: [&str; 3] = ["position", "voice", "state"];

#[derive(Clone, Debug)]
enum Step {
    Put {
        stream: usize,
        priority: u8,
        size: usize,
        put_at: Option<u64>,
        expires_at: Option<u64>,
    },
    Acknowledge(prop::sample::Index),
    Flush,
    /// The next group is not written.
    FailBefore,
    /// The next group is not written, which nobody knows.
    FailInstead,
    /// The next group is written, which nobody knows.
    FailAfter,
    /// The file cannot be opened next time.
    FailOpen,
    /// Looks at everything, at a time.
    Backlog(Option<u64>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let time = || proptest::option::of(0..100u64);
    let put =
        (0..3usize, 0..3u8, 0..700usize, time(), time()).prop_map(|(stream, priority, size, put_at, expires_at)| {
            Step::Put { stream, priority, size, put_at, expires_at }
        });
    prop_oneof![
        12 => put,
        5 => any::<prop::sample::Index>().prop_map(Step::Acknowledge),
        4 => Just(Step::Flush),
        1 => Just(Step::FailBefore),
        1 => Just(Step::FailInstead),
        1 => Just(Step::FailAfter),
        1 => Just(Step::FailOpen),
        2 => proptest::option::of(0..100u64).prop_map(Step::Backlog),
        1 => Just(Step::Reopen),
    ]
}

type Messages = BTreeMap<i64, Entry>;

#[derive(Default)]
struct Model {
    memory: Messages,
    /// In a group of which the spool does not know whether it is on disk.
    unsure: Messages,
    /// It is not.
    is_lost: bool,
    disk: Messages,
    acknowledged: std::collections::BTreeSet<i64>,
    tally: BTreeMap<Arc<str>, StreamTally>,
    /// Whether the file must be opened before anything is written.
    is_closed: bool,
    /// Before, after, at opening, instead.
    faults: (bool, bool, bool, bool),
}

fn weight(messages: &Messages) -> u64 {
    messages.values().map(Entry::weight).sum()
}

fn least(messages: &Messages) -> Option<i64> {
    let lowest = messages.values().map(|entry| entry.priority).min()?;
    messages.iter().find(|(_, entry)| entry.priority == lowest).map(|(key, _)| *key)
}

impl Model {
    fn tally(&mut self, entry: &Entry) -> &mut StreamTally {
        self.tally.entry(entry.stream.clone()).or_default()
    }

    fn put(&mut self, id: SpoolId, entry: Entry) {
        self.tally(&entry).put += 1;
        if entry.weight() > MEMORY.min(DISK) {
            self.tally(&entry).dropped += 1;
            return;
        }
        self.memory.insert(id.key(), entry);
        while weight(&self.memory) + weight(&self.unsure) > MEMORY {
            let Some(least) = least(&self.memory) else { break };
            let entry = self.memory.remove(&least).unwrap();
            self.tally(&entry).dropped += 1;
        }
    }

    fn acknowledge(&mut self, key: i64) {
        match self.memory.remove(&key) {
            Some(entry) => self.tally(&entry).acknowledged += 1,
            None => _ = self.acknowledged.insert(key),
        }
    }

    /// Opens the file if need be. False on order.
    fn open(&mut self) -> bool {
        if self.is_closed && std::mem::take(&mut self.faults.2) {
            return false;
        }
        if self.is_closed {
            for (key, entry) in std::mem::take(&mut self.unsure) {
                if !self.is_lost {
                    continue;
                }
                if self.acknowledged.remove(&key) {
                    self.tally(&entry).acknowledged += 1;
                } else {
                    self.memory.insert(key, entry);
                }
            }
        }
        self.is_closed = false;
        true
    }

    /// Whether all is on disk then. `must` when there was a failure before, which is tried out.
    fn flush(&mut self, must: bool, expired: &[i64]) -> bool {
        if !self.open() {
            return false;
        }
        if !must && self.memory.is_empty() && self.acknowledged.is_empty() && expired.is_empty() {
            return true;
        }
        if std::mem::take(&mut self.faults.0) {
            self.is_closed = true;
            return false;
        }
        if std::mem::take(&mut self.faults.3) {
            self.unsure = std::mem::take(&mut self.memory);
            (self.is_lost, self.is_closed) = (true, true);
            return false;
        }
        for key in std::mem::take(&mut self.acknowledged) {
            if let Some(entry) = self.disk.remove(&key) {
                self.tally(&entry).acknowledged += 1;
            }
        }
        for key in expired {
            if let Some(entry) = self.disk.remove(key) {
                self.tally(&entry).expired += 1;
            }
        }
        let written = std::mem::take(&mut self.memory);
        self.disk.extend(written.clone());
        let now = written.values().filter_map(|entry| entry.put_at).max();
        for priority in (0..3).rev() {
            while weight(&self.disk) > DISK {
                let oldest = self.disk.iter().find(|(_, entry)| entry.priority == priority);
                let Some(key) = oldest.filter(|(_, entry)| entry.has_expired(now)).map(|(key, _)| *key) else { break };
                let entry = self.disk.remove(&key).unwrap();
                self.tally(&entry).expired += 1;
            }
        }
        while weight(&self.disk) > DISK {
            let least = least(&self.disk).unwrap();
            let entry = self.disk.remove(&least).unwrap();
            self.tally(&entry).dropped += 1;
        }
        if std::mem::take(&mut self.faults.1) {
            self.unsure = written;
            (self.is_lost, self.is_closed) = (false, true);
            return false;
        }
        true
    }

    fn streams(&self) -> BTreeMap<Arc<str>, StreamTally> {
        let mut streams = self.tally.clone();
        for entry in self.memory.values() {
            streams.entry(entry.stream.clone()).or_default().waiting += 1;
        }
        for entry in self.disk.values() {
            streams.entry(entry.stream.clone()).or_default().stored += 1;
        }
        streams
    }
}

/// Streams of which there was anything.
fn used(mut streams: BTreeMap<Arc<str>, StreamTally>) -> BTreeMap<Arc<str>, StreamTally> {
    streams.retain(|_, tally| *tally != StreamTally::default());
    streams
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let settings = SpoolSettings { memory_bytes: MEMORY, disk_bytes: DISK, ..by_hand() };
    let mut spool = open(&path, settings.clone());
    let (mut model, mut ids) = (Model::default(), Vec::new());
    let mut in_trouble = false;
    for (n, step) in steps.into_iter().chain([Step::Backlog(None)]).enumerate() {
        match step {
            Step::Put { stream, priority, size, put_at, expires_at } => {
                let body = format!("{n} {}", "x".repeat(size));
                let entry = Entry { put_at, expires_at, ..entry(STREAMS[stream], priority, &body) };
                let id = spool.put(entry.clone());
                prop_assert!(ids.last().is_none_or(|last| *last < id));
                ids.push(id);
                model.put(id, entry);
            }
            Step::Acknowledge(index) if !ids.is_empty() => {
                let id = ids[index.index(ids.len())];
                spool.acknowledge(id);
                model.acknowledge(id.key());
            }
            Step::Acknowledge(_) => {}
            Step::FailBefore => {
                spool.shared.faults.before.store(1, SeqCst);
                model.faults.0 = true;
            }
            Step::FailInstead => {
                spool.shared.faults.instead.store(1, SeqCst);
                model.faults.3 = true;
            }
            Step::FailAfter => {
                spool.shared.faults.after.store(1, SeqCst);
                model.faults.1 = true;
            }
            Step::FailOpen => {
                spool.shared.faults.open.store(1, SeqCst);
                model.faults.2 = true;
            }
            Step::Flush => {
                let expected = model.flush(in_trouble, &[]);
                prop_assert_eq!(spool.flush(PATIENCE), expected);
                in_trouble = !expected;
            }
            Step::Backlog(now) => {
                // Ordered failures end here, so that all there is comes to light.
                spool.shared.faults.none();
                model.faults = Default::default();
                prop_assert!(spool.flush(PATIENCE));
                model.flush(in_trouble, &[]);
                in_trouble = false;
                let got = backlog(&spool, BacklogRequest { now, count: 3, ..everything() });
                let expired: Vec<i64> =
                    model.disk.iter().filter(|(_, entry)| entry.has_expired(now)).map(|(key, _)| *key).collect();
                model.flush(false, &expired);
                let expected: Vec<(SpoolId, Entry)> =
                    model.disk.iter().map(|(key, entry)| (SpoolId::from_key(*key), entry.clone())).collect();
                prop_assert_eq!(got, expected);
                let tally = spool.tally();
                prop_assert_eq!(used(tally.streams), used(model.streams()));
                prop_assert_eq!(tally.bytes, weight(&model.disk));
                prop_assert_eq!(&tally.trouble, &None);
            }
            Step::Reopen => {
                spool.shared.faults.none();
                model.faults = Default::default();
                model.flush(in_trouble, &[]);
                in_trouble = false;
                spool.close(PATIENCE).unwrap();
                let (again, found) = Spool::open(&path, settings.clone()).unwrap();
                prop_assert_eq!((found.messages, found.bytes), (model.disk.len() as u64, weight(&model.disk)));
                spool = again;
                let mut tally: BTreeMap<Arc<str>, StreamTally> = BTreeMap::new();
                for name in model.tally.keys() {
                    tally.entry(name.clone()).or_default();
                }
                for entry in model.disk.values() {
                    tally.entry(entry.stream.clone()).or_default().found += 1;
                }
                model.tally = tally;
            }
        }
        assert_exact(&spool.tally());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_counted_whatever_happens(steps in proptest::collection::vec(step(), 1..60)) {
        run(steps)?;
    }
}
