//! Messages that are kept on disk until the broker has them.
//!
//! A message that is put waits in memory and is written with others as one group, at the latest
//! [`SpoolSettings::delay`] after it came. What is acknowledged before its group is written never touches the disk. What
//! is on disk is there after a power cut too, and leaves when it is acknowledged, has expired, or makes room for what
//! matters more.
//!
//! The store is one SQLite file with a write-ahead log. No call waits for the disk, which is the affair of one thread.
//! Whatever the disk does, messages go on in memory up to a limit, and every one of them is counted: for each stream
//! `found + put` is always `acknowledged + expired + dropped + there`.

mod error;
mod ledger;
mod salvage;
mod state;
mod store;
mod tally;
#[cfg(test)]
mod tests;
mod thread;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use state::{Request, State};
use thread::SpoolThread;

pub use tally::{StreamTally, Tally};

/// What a message counts against limits beside its body: roughly what a row, or a node in memory, needs.
pub const OVERHEAD: u64 = 64;

/// Requests that may wait for the thread. One more is refused.
const MOST_REQUESTS: usize = 64;

/// A message for the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it belongs to: totals are kept for each stream. The program names streams, there are few.
    pub stream: Arc<str>,
    /// Higher is more important.
    pub priority: u8,
    /// When it was put, in milliseconds UTC, where that is known.
    pub put_at: Option<u64>,
    /// From when on nobody wants it, in milliseconds UTC.
    pub expires_at: Option<u64>,
    /// What is sent. The spool does not look into it.
    pub body: Bytes,
}

impl Entry {
    /// What it counts against limits, in bytes.
    fn weight(&self) -> u64 {
        (self.body.len() as u64).saturating_add(OVERHEAD)
    }

    fn has_expired(&self, now: Option<u64>) -> bool {
        matches!((self.expires_at, now), (Some(at), Some(now)) if at <= now)
    }
}

/// Names a message in this spool, over restarts too. A later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolId {
    number: u64,
    priority: u8,
}

impl SpoolId {
    /// Numbers have so many bits; the priority is above them in [`SpoolId::key`].
    const BITS: u32 = 55;

    /// Its number. Numbers grow, with holes.
    pub fn number(self) -> u64 {
        self.number
    }

    /// The priority of the message.
    pub fn priority(self) -> u8 {
        self.priority
    }

    /// The place in the order of sending: the most important first, of those the oldest.
    fn key(self) -> i64 {
        let inverted = u64::from(u8::MAX - self.priority) << Self::BITS;
        // 63 bits.
        (inverted | (self.number & Self::MASK)) as i64
    }

    const MASK: u64 = (1 << Self::BITS) - 1;

    fn from_key(key: i64) -> Self {
        let key = key as u64;
        Self { number: key & Self::MASK, priority: u8::MAX - (key >> Self::BITS) as u8 }
    }
}

/// How a spool is kept.
#[derive(Clone, Debug)]
pub struct SpoolSettings {
    /// A message is on disk at the latest this time after it was put, as far as the disk keeps up.
    pub delay: Duration,
    /// An acknowledgement waits so long for a group that it can go with. What was acknowledged and is not on disk as such
    /// when the power fails is sent again.
    pub acknowledge_delay: Duration,
    /// A group is begun earlier when so many bytes are waiting.
    pub group_bytes: u64,
    /// Bytes on disk, bodies and [`OVERHEAD`]. Beyond, the oldest of the lowest priority is dropped. The file has about
    /// as many with small bodies, and up to twice as many with bodies of one to two kilobytes; its log has 4 MiB more,
    /// or as much as the largest group.
    pub disk_bytes: u64,
    /// Bytes that may wait in memory for the disk. Beyond, the oldest of the lowest priority of them is dropped.
    pub memory_bytes: u64,
    /// So often, at the most, it is looked whether a file that has been worked off is to shrink.
    pub tidy: Duration,
    /// After a failure the disk is tried again after this time, which doubles.
    pub retry: Duration,
    /// The longest pause between two tries.
    pub retry_most: Duration,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(50),
            acknowledge_delay: Duration::from_millis(500),
            group_bytes: 2 << 20,
            disk_bytes: 512 << 20,
            memory_bytes: 8 << 20,
            tidy: Duration::from_secs(60),
            retry: Duration::from_millis(200),
            retry_most: Duration::from_secs(10),
        }
    }
}

/// Why a spool is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it.
    #[error("the spool {} is in use by another process: end that one, or give this one a spool of its own", .0.display())]
    InUse(PathBuf),
    /// The computer has no thread to give.
    #[error("there is no thread for the spool: {0}")]
    Thread(std::io::Error),
    /// It was closed before all was on disk.
    #[error("the spool {} was closed with {messages} messages that are not on disk: {why}", path.display())]
    Unsaved {
        /// The file.
        path: PathBuf,
        /// How many.
        messages: u64,
        /// What was the matter.
        why: String,
    },
}

/// What was there when a spool was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Messages that an earlier run left.
    pub messages: u64,
    /// Their bytes, with [`OVERHEAD`].
    pub bytes: u64,
    /// The file that was there could not be used. It was moved aside, and what could be read of it taken over.
    pub aside: Option<Aside>,
}

/// A file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Where it is now.
    pub path: PathBuf,
    /// What was the matter with it.
    pub why: String,
    /// Messages that could be read, and are in the new file.
    pub saved: u64,
}

/// Which messages of the backlog are asked for.
#[derive(Clone, Copy, Debug)]
pub struct BacklogRequest {
    /// Those behind this one in the order of sending; from the first on without.
    pub after: Option<SpoolId>,
    /// Those with a smaller number; see [`Spool::border`].
    pub below: u64,
    /// So many at the most. Large ones come in smaller pieces.
    pub count: usize,
    /// The time in milliseconds UTC. What has expired by then is left out and deleted. When it is not known, nothing
    /// expires.
    pub now: Option<u64>,
}

/// A piece of the backlog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// In the order of sending. They stay until they are acknowledged.
    pub messages: Vec<(SpoolId, Entry)>,
    /// There is nothing behind these. When it is false and there are none, ask again later: the disk is in trouble.
    pub complete: bool,
}

/// Keeps messages until they are acknowledged. Dropping it ends its thread without waiting; see [`Spool::close`].
#[derive(Debug)]
pub struct Spool {
    shared: Arc<Shared>,
}

/// What the handle and the thread have in common.
#[derive(Debug)]
struct Shared {
    path: PathBuf,
    settings: SpoolSettings,
    state: Mutex<State>,
    /// There is something for the thread.
    work: Condvar,
    /// Something has been written, or the thread has ended.
    done: Condvar,
    #[cfg(test)]
    faults: Arc<tests::Faults>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spool {
    /// Opens the spool in the file `path`, or begins one; its folder is made. A file that cannot be used is moved aside
    /// and a new one begun. When the disk takes nothing, it begins in memory; see [`Tally::trouble`].
    ///
    /// # Errors
    /// When another process has it, or there is no thread.
    pub fn open(path: &Path, settings: SpoolSettings) -> Result<(Self, Found), SpoolError> {
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            settings,
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            #[cfg(test)]
            faults: Arc::default(),
        });
        let (thread, found) = SpoolThread::begin(shared.clone())?;
        let builder = std::thread::Builder::new().name("spool".to_owned());
        builder.spawn(move || thread.run()).map_err(SpoolError::Thread)?;
        Ok((Self { shared }, found))
    }

    /// Takes a message. It may be dropped at once, when it is larger than a limit.
    pub fn put(&self, entry: Entry) -> SpoolId {
        let mut state = self.shared.lock();
        let (id, wake) = state.put(entry, &self.shared.settings);
        drop(state);
        self.notify(wake);
        id
    }

    /// The broker has this message. What is not there, or is acknowledged twice, is not counted.
    pub fn acknowledge(&self, id: SpoolId) {
        let wake = self.shared.lock().acknowledge(id);
        self.notify(wake);
    }

    fn notify(&self, wake: bool) {
        if wake {
            self.shared.work.notify_one();
        }
        // What was only in memory may be gone.
        self.shared.done.notify_all();
    }

    /// Above all numbers given so far: what is put from now on has this number or a greater one.
    pub fn border(&self) -> u64 {
        self.shared.lock().next
    }

    /// Nothing with this number or a smaller one is in memory only: it is on disk, or gone.
    pub fn durable_up_to(&self) -> u64 {
        self.shared.lock().durable_up_to()
    }

    /// Waits until a message is on disk or gone. False when that did not happen in time.
    pub fn wait_durable(&self, id: SpoolId, patience: Duration) -> bool {
        let mut state = self.shared.lock();
        state = wait(&self.shared.done, state, patience, |state| !state.ended && state.durable_up_to() < id.number());
        state.durable_up_to() >= id.number()
    }

    /// Asks for a piece of the backlog; the answer comes on the spool's thread, so it must be short. False when too many
    /// are waiting for theirs.
    pub fn ask_backlog(&self, request: BacklogRequest, answer: impl FnOnce(Backlog) + Send + 'static) -> bool {
        self.ask(Request::Backlog(request, Box::new(answer)))
    }

    /// A piece of the backlog. Waits for the disk: not for a system. None when it did not come in time.
    pub fn backlog(&self, request: BacklogRequest, patience: Duration) -> Option<Backlog> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.ask_backlog(request, move |backlog| _ = sender.try_send(backlog));
        receiver.recv_timeout(patience).ok()
    }

    /// Writes now what is waiting, and waits for that. False when it is not on disk in time.
    pub fn flush(&self, patience: Duration) -> bool {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.ask(Request::Flush(Box::new(move |written| _ = sender.try_send(written))));
        receiver.recv_timeout(patience).unwrap_or(false)
    }

    /// How it is.
    pub fn tally(&self) -> Tally {
        self.shared.lock().tally()
    }

    /// Writes what is waiting, and closes the file.
    ///
    /// # Errors
    /// When not all is on disk in time. What is not stays in the memory of a process that ends.
    pub fn close(self, patience: Duration) -> Result<(), SpoolError> {
        let mut state = self.shared.lock();
        state.closing = true;
        self.shared.work.notify_one();
        state = wait(&self.shared.done, state, patience, |state| !state.ended);
        let tally = state.tally();
        if state.ended && tally.waiting == 0 && tally.acknowledgements == 0 {
            return Ok(());
        }
        let slow = || "the disk did not keep up".to_owned();
        let (path, why) = (self.shared.path.clone(), tally.trouble.unwrap_or_else(slow));
        Err(SpoolError::Unsaved { path, messages: tally.waiting, why })
    }

    fn ask(&self, request: Request) -> bool {
        let mut state = self.shared.lock();
        if state.ended || state.requests.len() >= MOST_REQUESTS {
            return false;
        }
        state.requests.push_back(request);
        self.shared.work.notify_one();
        true
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
    }
}

/// Waits on `condvar` while `busy`, so long at the most.
fn wait<'a>(
    condvar: &Condvar,
    guard: MutexGuard<'a, State>,
    patience: Duration,
    busy: impl Fn(&State) -> bool,
) -> MutexGuard<'a, State> {
    condvar.wait_timeout_while(guard, patience, |state| busy(state)).unwrap_or_else(PoisonError::into_inner).0
}

/// So long after a time; without end, a day.
fn later(time: Instant, duration: Duration) -> Instant {
    time.checked_add(duration).unwrap_or_else(|| time + Duration::from_secs(86_400))
}
