//! What the handle and the thread share: messages in memory, and the books.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ledger::Total;
use super::store::{Outcome, Store};
use super::waiting::Waiting;
use super::{Aside, Backlog, BacklogRequest, Entry, SpoolId, SpoolSettings, StreamTally, Tally, later};
use crate::clock::instant;

/// Something that is asked of the thread.
pub(super) enum Request {
    Backlog(BacklogRequest, Box<dyn FnOnce(Backlog) + Send>),
    Flush(Box<dyn FnOnce(bool) + Send>),
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Flush(_)) { "Flush" } else { "Backlog" })
    }
}

/// Everything that is not on disk.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The next number.
    pub(super) next: u64,
    /// Messages that are in no group.
    pub(super) waiting: Waiting,
    /// Acknowledgements of messages on disk, or in the group, that are in no group.
    pub(super) acknowledged: BTreeSet<i64>,
    /// Since when a message waits for a group.
    since: Option<Instant>,
    /// Since when an acknowledgement does.
    acknowledged_since: Option<Instant>,
    /// The group that is being written, or of which it is not known whether it is on disk.
    group: Arc<Waiting>,
    group_acknowledged: Arc<BTreeSet<i64>>,
    streams: BTreeMap<Arc<str>, StreamTally>,
    stored: Total,
    oldest: Option<u64>,
    commits: u64,
    pub(super) trouble: Option<String>,
    pub(super) last_error: Option<String>,
    pub(super) aside: Vec<Aside>,
    pub(super) requests: VecDeque<Request>,
    pub(super) closing: bool,
    pub(super) ended: bool,
}

impl State {
    /// Takes a message. True when the thread must be told.
    pub(super) fn put(&mut self, entry: Entry, settings: &SpoolSettings) -> (SpoolId, bool) {
        let id = SpoolId { number: self.next, priority: entry.priority };
        self.next = self.next.saturating_add(1);
        self.stream(&entry.stream, |tally| tally.put += 1);
        let weight = entry.weight();
        if weight > settings.disk_bytes || weight > settings.memory_bytes {
            self.stream(&entry.stream, |tally| tally.dropped += 1);
            return (id, false);
        }
        self.stream(&entry.stream, |tally| tally.waiting += 1);
        self.waiting.insert(id.key(), entry);
        while self.waiting.bytes().saturating_add(self.group.bytes()) > settings.memory_bytes {
            let Some(least) = self.waiting.drop_least() else { break };
            self.leave_memory(&least, |tally| tally.dropped += 1);
        }
        let bytes = self.waiting.bytes();
        let was_early = bytes.saturating_sub(weight) >= settings.group_bytes;
        let wake = begin(&mut self.since) || (!was_early && self.is_early(settings));
        (id, wake)
    }

    /// So much is waiting that a group had better begin.
    fn is_early(&self, settings: &SpoolSettings) -> bool {
        self.waiting.bytes() >= settings.group_bytes
    }

    /// The broker has a message. True when the thread must be told.
    pub(super) fn acknowledge(&mut self, id: SpoolId) -> bool {
        let key = id.key();
        if let Some(entry) = self.waiting.remove(key) {
            self.leave_memory(&entry, |tally| tally.acknowledged += 1);
            if self.waiting.is_empty() {
                self.since = None;
            }
            return false;
        }
        if id.number() >= self.next || !self.acknowledged.insert(key) {
            return false;
        }
        begin(&mut self.acknowledged_since)
    }

    fn leave_memory(&mut self, entry: &Entry, count: impl FnOnce(&mut StreamTally)) {
        self.stream(&entry.stream, |tally| {
            tally.waiting = tally.waiting.saturating_sub(1);
            count(tally);
        });
    }

    fn stream(&mut self, name: &Arc<str>, change: impl FnOnce(&mut StreamTally)) {
        match self.streams.get_mut(name) {
            Some(tally) => change(tally),
            None => change(self.streams.entry(name.clone()).or_default()),
        }
    }

    /// When a group is due; none when there is nothing for one.
    pub(super) fn due(&self, settings: &SpoolSettings) -> Option<Instant> {
        let delay = if self.is_early(settings) { Duration::ZERO } else { settings.delay };
        let messages = self.since.map(|since| later(since, delay));
        let acknowledged = self.acknowledged_since.map(|since| later(since, settings.acknowledge_delay));
        [messages, acknowledged].into_iter().flatten().min()
    }

    /// Whether all is on disk.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty()
            && self.acknowledged.is_empty()
            && self.group.is_empty()
            && self.group_acknowledged.is_empty()
    }

    /// Makes a group of what is waiting. The one before must have ended.
    pub(super) fn begin_group(&mut self) -> (Arc<Waiting>, Arc<BTreeSet<i64>>) {
        (self.since, self.acknowledged_since) = (None, None);
        self.group = Arc::new(std::mem::take(&mut self.waiting));
        self.group_acknowledged = Arc::new(std::mem::take(&mut self.acknowledged));
        (self.group.clone(), self.group_acknowledged.clone())
    }

    /// The group is on disk.
    pub(super) fn group_written(&mut self, outcome: &Outcome) {
        self.group = Arc::default();
        self.group_acknowledged = Arc::default();
        for (name, change) in &outcome.changes {
            self.stream(name, |tally| {
                tally.waiting = tally.waiting.saturating_sub(change.inserted);
                tally.stored = tally.stored.saturating_add(change.inserted);
                tally.acknowledged += change.acknowledged;
                tally.expired += change.expired;
                tally.dropped += change.dropped;
                let left = change.acknowledged + change.expired + change.dropped;
                tally.stored = tally.stored.saturating_sub(left);
            });
        }
        (self.stored, self.oldest) = (outcome.total, outcome.oldest);
        self.commits = self.commits.saturating_add(1);
    }

    /// The group is not on disk, and waits again.
    pub(super) fn group_failed(&mut self) {
        let group = std::mem::take(&mut self.group);
        for (key, entry) in group.iter() {
            if self.acknowledged.remove(&key) {
                self.leave_memory(entry, |tally| tally.acknowledged += 1);
            } else {
                self.waiting.insert(key, entry.clone());
            }
        }
        let acknowledged = std::mem::take(&mut self.group_acknowledged);
        self.acknowledged.extend(acknowledged.iter());
        if !self.waiting.is_empty() {
            begin(&mut self.since);
        }
        if !self.acknowledged.is_empty() {
            begin(&mut self.acknowledged_since);
        }
    }

    /// Compares the books with what is on disk, which may be another one: what is gone is lost, what is more was found.
    pub(super) fn reconcile(&mut self, store: &Store) {
        let stored: BTreeMap<Arc<str>, u64> = store.streams().map(|(name, count)| (name.clone(), count)).collect();
        for name in stored.keys() {
            self.stream(name, |_| {});
        }
        for (name, tally) in &mut self.streams {
            let there = stored.get(name).copied().unwrap_or(0);
            tally.found = tally.found.saturating_add(there.saturating_sub(tally.stored));
            tally.dropped = tally.dropped.saturating_add(tally.stored.saturating_sub(there));
            tally.stored = there;
        }
        self.stored = store.total();
        self.next = self.next.max(store.next());
    }

    /// Messages in memory behind `after` with a number below `below`, in the order of sending. What has expired of them
    /// is taken out.
    pub(super) fn in_memory(&mut self, after: i64, below: u64, time: Option<u64>) -> Vec<(i64, Entry)> {
        let is_old = |key: i64| SpoolId::from_key(key).number() < below;
        let here = self.waiting.behind(after).filter(|(key, _)| is_old(*key));
        let expired: Vec<i64> = here.filter(|(_, entry)| entry.has_expired(time)).map(|(key, _)| key).collect();
        for key in expired {
            if let Some(entry) = self.waiting.remove(key) {
                self.leave_memory(&entry, |tally| tally.expired += 1);
            }
        }
        let group =
            self.group.behind(after).filter(|(key, entry)| !self.is_acknowledged(*key) && !entry.has_expired(time));
        let both = self.waiting.behind(after).chain(group).filter(|(key, _)| is_old(*key));
        let mut messages: Vec<(i64, Entry)> = both.map(|(key, entry)| (key, entry.clone())).collect();
        messages.sort_unstable_by_key(|(key, _)| *key);
        messages
    }

    /// Whether it is acknowledged, as far as that is not on disk.
    pub(super) fn is_acknowledged(&self, key: i64) -> bool {
        self.acknowledged.contains(&key) || self.group_acknowledged.contains(&key)
    }

    /// Whether messages are on disk, as far as is known.
    pub(super) fn has_stored(&self) -> bool {
        self.stored.messages > 0
    }

    pub(super) fn durable_up_to(&self) -> u64 {
        let first = [self.waiting.first_number(), self.group.first_number()].into_iter().flatten().min();
        first.unwrap_or(self.next).saturating_sub(1)
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            messages: self.stored.messages,
            bytes: self.stored.bytes,
            waiting: self.waiting.len().saturating_add(self.group.len()),
            waiting_bytes: self.waiting.bytes().saturating_add(self.group.bytes()),
            acknowledgements: (self.acknowledged.len() + self.group_acknowledged.len()) as u64,
            oldest: self.oldest,
            streams: self.streams.clone(),
            commits: self.commits,
            trouble: self.trouble.clone(),
            last_error: self.last_error.clone(),
            aside: self.aside.clone(),
        }
    }
}

/// Something waits from now on, if nothing did. True when that is so.
fn begin(since: &mut Option<Instant>) -> bool {
    let begins = since.is_none();
    since.get_or_insert_with(instant);
    begins
}
