//! How a spool is, in numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Aside;
#[cfg(doc)]
use super::OVERHEAD;

/// What became of the messages of a stream since the spool was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamTally {
    /// Left by earlier runs.
    pub found: u64,
    /// Put.
    pub put: u64,
    /// Acknowledged. Of those on disk, when they have left it.
    pub acknowledged: u64,
    /// Left out because nobody wanted them any more.
    pub expired: u64,
    /// Dropped for a limit, or lost with a file that broke.
    pub dropped: u64,
    /// In memory and not on disk.
    pub waiting: u64,
    /// On disk.
    pub stored: u64,
}

/// How a spool is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages on disk.
    pub messages: u64,
    /// Their bytes, with [`OVERHEAD`].
    pub bytes: u64,
    /// Messages in memory that are not on disk.
    pub waiting: u64,
    /// Their bytes, with [`OVERHEAD`].
    pub waiting_bytes: u64,
    /// Acknowledgements of messages on disk that are not on disk.
    pub acknowledgements: u64,
    /// When the oldest message on disk was put, in milliseconds UTC, where that is known.
    pub oldest: Option<u64>,
    /// What became of them, by stream.
    pub streams: BTreeMap<Arc<str>, StreamTally>,
    /// Groups written.
    pub commits: u64,
    /// What is the matter now. None when all is well.
    pub trouble: Option<String>,
    /// What was the matter last, which may be over.
    pub last_error: Option<String>,
    /// Files that broke while the spool was open.
    pub aside: Vec<Aside>,
}
