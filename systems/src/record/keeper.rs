//! Looks after what has been recorded, beside the recorder: makes room, and keeps what is to be kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use waywarden_components::prelude::*;

use super::disk;
use super::preserve::{Pieces, Wish};
use super::retention::{self, Limits};
use crate::clock::{boottime, system_utc};

/// Orders that may wait: segments of a minute begin and end, and somebody wishes something.
const WAITING: usize = 256;

/// The free room of the disk is looked at this often: others write to it too.
const LOOK: Duration = Duration::from_secs(10);

/// What is kept of sessions, and where they are.
#[derive(Clone, Debug)]
pub struct KeeperSettings {
    /// The folder of the session in progress. Its neighbours are other sessions.
    pub session: PathBuf,
    /// What may be kept.
    pub limits: Limits,
}

/// What the keeper is told.
enum Order {
    Opened(PathBuf, Mono),
    Closed(PathBuf, Mono),
    Discarded(PathBuf),
    Preserve(Wish),
    Tidy,
    End,
}

/// Where to ask for something to be kept. Cheap to clone, never blocks.
#[derive(Clone, Debug)]
pub struct Keeper(Sender<Order>);

/// The keeper has more to do than can wait, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing can be kept: the disk does not answer, or the recording is over")]
pub struct Busy;

impl Keeper {
    /// A keeper, and the thread that does its work.
    pub fn new(settings: KeeperSettings) -> (Self, KeeperThread) {
        let (sender, receiver) = bounded(WAITING);
        let pieces = Pieces::of(&settings.session);
        let folder = settings.session.parent().unwrap_or(Path::new(".")).to_owned();
        (Self(sender), KeeperThread { receiver, folder, limits: settings.limits, pieces, complaint: None })
    }

    /// Keeps what was recorded in the time `around` now, before and after it; `why` is for a person. It is a session of its
    /// own, which replays.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn preserve(&self, around: Duration, why: &str) -> Result<(), Busy> {
        let wish = Wish { at: boottime(), around, why: why.to_owned() };
        self.0.try_send(Order::Preserve(wish)).map_err(|_| Busy)
    }

    pub(super) fn opened(&self, path: &Path, at: Mono) {
        self.tell(Order::Opened(path.to_owned(), at));
    }

    pub(super) fn closed(&self, path: &Path, at: Mono) {
        self.tell(Order::Closed(path.to_owned(), at));
    }

    pub(super) fn discarded(&self, path: &Path) {
        self.tell(Order::Discarded(path.to_owned()));
    }

    pub(super) fn tidy(&self) {
        self.tell(Order::Tidy);
    }

    /// The recording is over.
    pub(super) fn end(&self) {
        // What is left is told while the program waits for its end.
        let _ = self.0.send_timeout(Order::End, Duration::from_millis(500));
    }

    fn tell(&self, order: Order) {
        if self.0.try_send(order).is_err() {
            tracing::warn!("what is to be kept may be incomplete: the disk does not answer");
        }
    }
}

/// Does the keeper's work. Run it on a thread of its own, at low priority.
pub struct KeeperThread {
    receiver: Receiver<Order>,
    /// The folder of sessions.
    folder: PathBuf,
    limits: Limits,
    pieces: Pieces,
    /// What could not be done, when that was last said.
    complaint: Option<String>,
}

impl KeeperThread {
    /// Works until the recording is over.
    pub fn run(mut self) {
        let mut untidy = true;
        loop {
            if untidy && self.receiver.is_empty() {
                untidy = false;
                self.tidy();
            }
            match self.receiver.recv_timeout(LOOK) {
                Ok(Order::Opened(path, at)) => {
                    self.pieces.opened(path, at);
                    untidy = true;
                }
                Ok(Order::Closed(path, at)) => self.pieces.closed(&path, at),
                Ok(Order::Discarded(path)) => self.pieces.discarded(&path),
                Ok(Order::Preserve(wish)) => self.preserve(&wish),
                Ok(Order::Tidy) => untidy = true,
                Err(RecvTimeoutError::Timeout) => untidy |= self.is_full(),
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.pieces.finish();
    }

    fn preserve(&mut self, wish: &Wish) {
        match self.pieces.begin(wish) {
            Ok(folder) => {
                let around = wish.around.as_secs_f64();
                tracing::info!("keeping {around:.0} s before and after now in {}: {}", folder.display(), wish.why);
            }
            Err(error) => tracing::error!("cannot keep what is recorded around now ({}): {error}", wish.why),
        }
    }

    fn is_full(&self) -> bool {
        let free = disk::space(&self.folder).map_or(u64::MAX, |space| space.free);
        free < self.limits.free
    }

    /// Deletes what is too much. A new order goes before; then the rest is deleted after the next segment.
    fn tidy(&mut self) {
        if self.limits == Limits::default() {
            return;
        }
        let now = system_utc().and_then(|utc| {
            let nanos = i64::try_from(boottime().0).ok()?.checked_add(utc.offset_ns)?;
            u64::try_from(nanos).ok().map(Duration::from_nanos)
        });
        let complaint = match retention::tidy(&self.folder, &self.limits, now, || !self.receiver.is_empty()) {
            Ok(_) => None,
            Err(error) => Some(format!("old segments in {} cannot be deleted: {error}", self.folder.display())),
        };
        if let Some(complaint) = complaint.as_ref().filter(|_| complaint != self.complaint) {
            tracing::warn!("{complaint}");
        }
        self.complaint = complaint;
    }
}
