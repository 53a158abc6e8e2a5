//! Messages in memory, in the order of sending.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, SpoolId};

/// Messages that are in memory and not on disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    entries: BTreeMap<i64, Entry>,
    numbers: BTreeSet<u64>,
    bytes: u64,
}

impl Waiting {
    pub(super) fn insert(&mut self, key: i64, entry: Entry) {
        self.numbers.insert(SpoolId::from_key(key).number());
        self.bytes = self.bytes.saturating_add(entry.weight());
        if let Some(before) = self.entries.insert(key, entry) {
            self.bytes = self.bytes.saturating_sub(before.weight());
        }
    }

    pub(super) fn remove(&mut self, key: i64) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.numbers.remove(&SpoolId::from_key(key).number());
        self.bytes = self.bytes.saturating_sub(entry.weight());
        Some(entry)
    }

    /// Takes out what goes first for a limit: the oldest of the lowest priority.
    pub(super) fn drop_least(&mut self) -> Option<Entry> {
        let (last, _) = self.entries.last_key_value()?;
        let first = SpoolId { number: 0, priority: SpoolId::from_key(*last).priority() }.key();
        let key = *self.entries.range(first..).next()?.0;
        self.remove(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn first_number(&self) -> Option<u64> {
        self.numbers.first().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &Entry)> {
        self.entries.iter().map(|(key, entry)| (*key, entry))
    }

    /// Those behind a place in the order of sending.
    pub(super) fn behind(&self, after: i64) -> impl Iterator<Item = (i64, &Entry)> {
        let behind = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        self.entries.range(behind).map(|(key, entry)| (*key, entry))
    }
}
