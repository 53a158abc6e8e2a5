//! The recorder's thread: writes what the queue holds, flushes in time, begins segments.
//!
//! Whatever the disk does is this thread's affair alone: it may be slow, full, read-only or gone. What cannot be written
//! is counted to the tick, and as soon as the disk takes something again a segment begins that says so.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use waywarden_components::prelude::*;

use super::disk::{self, Home};
use super::keeper::Keeper;
use super::report::{Report, advice};
use super::{Item, RecorderStats};
use crate::clock::{boottime, to_wait};
use crate::ingress::{Control, Incoming};
use crate::session::{
    Medium, OutputsRecord, SegmentWriter, SessionInfo, SnapshotRecord, Unfinished, WriteError, folder_of,
};

/// After a failed write the next segment is tried after this time.
const RETRY: Duration = Duration::from_secs(5);

/// Behind a full disk a segment begins only when there is room for so much, or a twentieth of a small disk: less would be
/// full again at once.
const ROOM: u64 = 4 << 20;

/// Where a session goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A folder: a file a segment, readable while it grows.
    Folder(PathBuf),
    /// One file with all segments, which gets its name when it is complete.
    File(PathBuf),
}

/// How a session is recorded.
#[derive(Clone, Debug)]
pub struct RecorderSettings {
    /// Where it goes.
    pub destination: Destination,
    /// What it says of itself.
    pub info: SessionInfo,
    /// Bytes that may wait for the disk.
    pub queue_bytes: usize,
    /// Waits for the disk instead of losing ticks.
    pub patient: bool,
    /// The disk has everything that is older than this.
    pub flush: Duration,
    /// A new segment is asked for when one has this many bytes.
    pub segment_bytes: u64,
}

/// Makes the file of a segment.
pub(super) type Create = Box<dyn FnMut(&Path) -> std::io::Result<Arc<dyn Medium>> + Send>;

/// Writes sessions. Run it on a thread of its own.
pub struct RecorderThread {
    settings: RecorderSettings,
    receiver: Receiver<Item>,
    control: Control,
    stats: Arc<RecorderStats>,
    report: Option<Report>,
    keeper: Option<Keeper>,
    pub(super) create: Create,
    pub(super) retry: Duration,
    home: Option<Home>,
    open: Option<Open>,
    /// The file in the making, of a session that goes into one file.
    unfinished: Option<Unfinished>,
    /// The tick that follows the last one that was written; none before the first.
    next: Option<u64>,
    /// Ticks lost before the segments that are there.
    holes: u64,
    /// Of them, those of which the world was told in ticks that are there.
    told: u64,
    /// Those of which it was told and whose telling has not come by in a tick yet.
    on_the_way: u64,
    last_flush: Mono,
    failed_at: Option<Mono>,
    /// The disk was full.
    full: bool,
    error: Option<WriteError>,
    abandoned: bool,
    asked_for_segment: bool,
}

/// The segment that is being written.
struct Open {
    writer: SegmentWriter,
    /// Its first tick, and when that began.
    first: u64,
    /// What [`RecorderThread::next`] was before it.
    before: Option<u64>,
    /// When its last tick began.
    last: Mono,
    /// Ticks lost before it.
    holes: u64,
    /// The ticks of it in which the world was told of lost ones, and of how many.
    told: Vec<(u64, u64)>,
}

impl RecorderThread {
    pub(super) fn new(
        settings: RecorderSettings,
        receiver: Receiver<Item>,
        control: Control,
        stats: Arc<RecorderStats>,
        (report, keeper): (Option<Report>, Option<Keeper>),
    ) -> Self {
        let home = match &settings.destination {
            Destination::Folder(folder) => Some(Home::of(folder)),
            Destination::File(_) => None,
        };
        Self {
            settings,
            receiver,
            control,
            stats,
            report,
            keeper,
            create: Box::new(create),
            retry: RETRY,
            home,
            open: None,
            unfinished: None,
            next: None,
            holes: 0,
            told: 0,
            on_the_way: 0,
            last_flush: boottime(),
            failed_at: None,
            full: false,
            error: None,
            abandoned: false,
            asked_for_segment: false,
        }
    }

    /// Writes until the world's end of the queue is gone, then completes what is open.
    ///
    /// # Errors
    /// The first write error, if any. A live recording goes on after one, with a gap.
    pub fn run(mut self) -> Result<(), WriteError> {
        loop {
            let patience = self.settings.flush.saturating_sub(boottime().since(self.last_flush));
            match self.receiver.recv_timeout(to_wait(patience)) {
                Ok(item) => {
                    let weight = item.weight();
                    self.attempt(|recorder| recorder.write(item));
                    self.stats.waiting.fetch_sub(weight, Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if boottime().since(self.last_flush) >= self.settings.flush {
                self.last_flush = boottime();
                self.attempt(|recorder| recorder.open.as_mut().map_or(Ok(()), |open| open.writer.flush()));
            }
            // After an error nothing can be written until a segment begins anew with a snapshot.
            if self.failed_at.is_some_and(|at| boottime().since(at) >= self.retry) {
                self.failed_at = Some(boottime());
                self.control.new_segment(BoundaryReason::Gap);
            }
        }
        self.attempt(Self::close);
        if let (Some(file), None, false) = (self.unfinished.take(), &self.error, self.abandoned) {
            self.error = file.finish().err();
        }
        if let Some(keeper) = &self.keeper {
            keeper.end();
        }
        self.error.map_or(Ok(()), Err)
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Self) -> Result<(), WriteError>) {
        if let Err(error) = write(self) {
            self.failed(error);
        }
    }

    /// Something could not be written.
    fn failed(&mut self, error: WriteError) {
        if self.failed_at.is_none() {
            tracing::error!("the recorder cannot write: {error}");
        }
        self.lose_open();
        self.full = error.is_full();
        if let (true, Some(keeper)) = (self.full, &self.keeper) {
            keeper.tidy();
        }
        if let Some(report) = &self.report {
            report.say(LinkState::Lost(advice(&error.reason(), self.full)));
        }
        self.failed_at = Some(boottime());
        self.error.get_or_insert(error);
    }

    fn write(&mut self, item: Item) -> Result<(), WriteError> {
        match item {
            Item::Abandon => {
                self.abandoned = true;
                Ok(())
            }
            Item::Snapshot(snapshot) => self.snapshot(*snapshot),
            Item::Tick(tick) => {
                let (incoming, outputs) = *tick;
                self.tick(&incoming, &outputs)
            }
        }
    }

    fn snapshot(&mut self, mut snapshot: SnapshotRecord) -> Result<(), WriteError> {
        if self.is_folder() {
            self.close()?;
        }
        // Lost in the queue, to the disk, or missing in the session that is replayed: the numbers know.
        snapshot.lost_ticks = snapshot.tick.saturating_sub(*self.next.get_or_insert(snapshot.tick));
        if snapshot.lost_ticks > 0 {
            // Whyever the world began a segment: this one begins behind a hole.
            snapshot.reason = BoundaryReason::Gap;
        }
        self.begin(snapshot.segment, snapshot.tick, Mono(snapshot.now))?;
        let is_folder = self.is_folder();
        let Some(open) = &mut self.open else { return Ok(()) };
        open.holes = open.holes.saturating_add(snapshot.lost_ticks);
        let holes = open.holes;
        open.writer.snapshot(&snapshot)?;
        if is_folder {
            // Whether the disk takes anything is known only now.
            open.writer.flush()?;
            self.last_flush = boottime();
        }
        self.next = Some(snapshot.tick);
        self.failed_at = None;
        self.full = false;
        self.asked_for_segment = false;
        // Behind a snapshot that was waiting while the queue was full there is another hole.
        if let Some(report) = self.report.as_ref().filter(|_| !self.stats.refusing.load(Ordering::Relaxed)) {
            // What it was told in ticks that were lost themselves, the journal does not know.
            let known = self.told.saturating_add(self.on_the_way);
            if holes > known {
                report.lost(holes - known);
                self.on_the_way = self.on_the_way.saturating_add(holes - known);
            }
            report.say(LinkState::Connected);
        }
        Ok(())
    }

    fn tick(&mut self, incoming: &Incoming, outputs: &OutputsRecord) -> Result<(), WriteError> {
        // A session without boundaries is one segment, and needs no snapshot to begin at its start.
        if self.open.is_none() && self.error.is_none() && !self.is_folder() {
            self.begin(0, incoming.tick, incoming.now)?;
        }
        self.next.get_or_insert(incoming.tick);
        let told = told_of(incoming);
        self.on_the_way = self.on_the_way.saturating_sub(told);
        let Some(open) = &mut self.open else {
            self.stats.lost.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        // Whatever becomes of it, it is counted with the segment.
        self.next = incoming.tick.checked_add(1);
        open.last = incoming.now;
        if told > 0 {
            open.told.push((incoming.tick, told));
        }
        self.stats.ticks.fetch_add(1, Ordering::Relaxed);
        let before = open.writer.bytes();
        open.writer.tick(incoming)?;
        open.writer.outputs(incoming.now, outputs)?;
        let after = open.writer.bytes();
        self.stats.bytes.fetch_add(after.saturating_sub(before), Ordering::Relaxed);
        if after >= self.settings.segment_bytes && !self.asked_for_segment {
            self.asked_for_segment = true;
            self.control.new_segment(BoundaryReason::Size);
        }
        Ok(())
    }

    fn begin(&mut self, segment: u32, first: u64, now: Mono) -> Result<(), WriteError> {
        let before = self.next;
        let writer = match &self.settings.destination {
            Destination::Folder(folder) => {
                let wrap = |source| WriteError::Io { path: folder.clone(), source };
                if let Some(home) = &self.home {
                    home.check().map_err(wrap)?;
                }
                std::fs::create_dir_all(folder).map_err(wrap)?;
                if self.full && disk::space(folder).is_ok_and(|space| space.free < ROOM.min(space.total / 20)) {
                    return Err(wrap(std::io::Error::from_raw_os_error(nix::libc::ENOSPC)));
                }
                let path = folder.join(format!("segment-{segment:05}.mcap"));
                let wrap = |source| WriteError::Io { path: path.clone(), source };
                let medium = (self.create)(&path).map_err(wrap)?;
                let writer = SegmentWriter::begin(&path, medium, &self.settings.info)
                    .and_then(|writer| disk::sync_folder(folder).map(|()| writer).map_err(wrap))
                    .inspect_err(|_| drop(std::fs::remove_file(&path)))?;
                if let Some(keeper) = &self.keeper {
                    keeper.opened(&path, now);
                }
                self.stats.segments.fetch_add(1, Ordering::Relaxed);
                writer
            }
            Destination::File(_) if self.open.is_some() => return Ok(()),
            Destination::File(path) => {
                let folder = folder_of(path);
                let wrap = |source| WriteError::Io { path: folder.to_owned(), source };
                std::fs::create_dir_all(folder).map_err(wrap)?;
                let file = Unfinished::begin(path)?;
                let writer = SegmentWriter::begin(path, file.reopen()?, &self.settings.info)?;
                self.unfinished = Some(file);
                writer
            }
        };
        self.open = Some(Open { writer, first, before, last: now, holes: self.holes, told: Vec::new() });
        Ok(())
    }

    /// Whether each segment is a file of its own.
    fn is_folder(&self) -> bool {
        matches!(self.settings.destination, Destination::Folder(_))
    }

    /// Completes the segment that is being written.
    fn close(&mut self) -> Result<(), WriteError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.writer.complete()?;
        if let Some(keeper) = &self.keeper {
            keeper.closed(open.writer.path(), open.last);
        }
        self.holes = open.holes;
        self.told = open.told.iter().fold(self.told, |sum, (_, count)| sum.saturating_add(*count));
        self.open = None;
        Ok(())
    }

    /// Leaves the segment that is being written, and counts what of it is lost.
    fn lose_open(&mut self) {
        let Some(Open { writer, first, before, last, holes, told }) = self.open.take() else { return };
        let path = writer.path().to_owned();
        let kept = writer.give_up();
        let left = kept.map_or(first, |tick| tick.saturating_add(1));
        let lost = self.next.map_or(0, |next| next.saturating_sub(left));
        self.stats.lost.fetch_add(lost, Ordering::Relaxed);
        self.stats.ticks.fetch_sub(lost, Ordering::Relaxed);
        (self.next, self.holes) = if kept.is_some() { (Some(left), holes) } else { (before, self.holes) };
        let there = told.iter().filter(|(tick, _)| kept.is_some_and(|kept| *tick <= kept));
        self.told = there.fold(self.told, |sum, (_, count)| sum.saturating_add(*count));
        if !self.is_folder() {
            return;
        }
        if kept.is_some() {
            if let Some(keeper) = &self.keeper {
                keeper.closed(&path, last);
            }
            return;
        }
        // On a full disk there would be a snapshot of nothing for every attempt. If it cannot be deleted, nothing can.
        self.stats.segments.fetch_sub(1, Ordering::Relaxed);
        let _ = std::fs::remove_file(&path);
        if let Some(keeper) = &self.keeper {
            keeper.discarded(&path);
        }
    }
}

/// How many lost ticks the world is told of in this tick.
fn told_of(incoming: &Incoming) -> u64 {
    let told = |input: &Input| match input.payload {
        Payload::Dropped { count, .. } if input.stream == StreamId::RECORDER => count,
        _ => 0,
    };
    incoming.inputs.iter().map(told).fold(0, u64::saturating_add)
}

/// Makes a file, and locks it: nobody deletes a segment that is being written.
fn create(path: &Path) -> std::io::Result<Arc<dyn Medium>> {
    let file = File::options().write(true).create_new(true).open(path)?;
    // Where the file system has no locks, retention of this process still goes by age.
    let _ = file.try_lock();
    Ok(Arc::new(file))
}
