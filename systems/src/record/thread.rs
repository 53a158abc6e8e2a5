//! The recorder's thread: writes what the queue holds, flushes in time, begins segments.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use waywarden_components::prelude::*;

use super::{Item, RecorderStats};
use crate::clock::boottime;
use crate::ingress::Control;
use crate::session::{SegmentWriter, SessionInfo, Unfinished, WriteError, folder_of};

/// After a failed write the next segment is tried after this time.
const RETRY: Duration = Duration::from_secs(5);

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

/// Writes sessions. Run it on a thread of its own.
pub struct RecorderThread {
    settings: RecorderSettings,
    receiver: Receiver<Item>,
    control: Control,
    stats: Arc<RecorderStats>,
    open: Option<SegmentWriter>,
    /// The file in the making, of a session that goes into one file.
    unfinished: Option<Unfinished>,
    last_flush: Mono,
    failed_at: Option<Mono>,
    error: Option<WriteError>,
    abandoned: bool,
    asked_for_segment: bool,
}

impl RecorderThread {
    pub(super) fn new(
        settings: RecorderSettings,
        receiver: Receiver<Item>,
        control: Control,
        stats: Arc<RecorderStats>,
    ) -> Self {
        Self {
            settings,
            receiver,
            control,
            stats,
            open: None,
            unfinished: None,
            last_flush: boottime(),
            failed_at: None,
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
            match self.receiver.recv_timeout(patience) {
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
                self.attempt(|recorder| recorder.open.as_mut().map_or(Ok(()), SegmentWriter::flush));
            }
            // After an error nothing can be written until a segment begins anew with a snapshot.
            if self.failed_at.is_some_and(|at| boottime().since(at) >= RETRY) {
                self.failed_at = Some(boottime());
                self.control.new_segment(BoundaryReason::Gap);
            }
        }
        self.attempt(|recorder| recorder.open.take().map_or(Ok(()), SegmentWriter::finish));
        if let (Some(file), None, false) = (self.unfinished.take(), &self.error, self.abandoned) {
            self.error = file.finish().err();
        }
        self.error.map_or(Ok(()), Err)
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Self) -> Result<(), WriteError>) {
        if let Err(error) = write(self) {
            tracing::error!("the recorder cannot write: {error}");
            if let Some(writer) = self.open.take() {
                discard_if_empty(writer);
            }
            self.failed_at = Some(boottime());
            self.error.get_or_insert(error);
        }
    }

    fn write(&mut self, item: Item) -> Result<(), WriteError> {
        match item {
            Item::Abandon => self.abandoned = true,
            Item::Snapshot(snapshot) => {
                self.begin(snapshot.segment)?;
                let Some(writer) = &mut self.open else { return Ok(()) };
                writer.snapshot(&snapshot)?;
                self.stats.segments.fetch_add(1, Ordering::Relaxed);
                self.failed_at = None;
                self.asked_for_segment = false;
            }
            Item::Tick(tick) => {
                // A session without boundaries is one segment, and needs no snapshot to begin at its start.
                if self.open.is_none()
                    && self.error.is_none()
                    && matches!(self.settings.destination, Destination::File(_))
                {
                    self.begin(0)?;
                }
                let Some(writer) = &mut self.open else {
                    self.stats.lost.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                };
                let (incoming, outputs) = *tick;
                let before = writer.bytes();
                writer.tick(&incoming)?;
                writer.outputs(incoming.now, &outputs)?;
                let after = writer.bytes();
                self.stats.bytes.fetch_add(after - before, Ordering::Relaxed);
                self.stats.ticks.fetch_add(1, Ordering::Relaxed);
                if after >= self.settings.segment_bytes && !self.asked_for_segment {
                    self.asked_for_segment = true;
                    self.control.new_segment(BoundaryReason::Size);
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, segment: u32) -> Result<(), WriteError> {
        match &self.settings.destination {
            Destination::Folder(folder) => {
                if let Some(writer) = self.open.take() {
                    writer.finish()?;
                }
                let wrap = |source| WriteError::Io { path: folder.clone(), source };
                std::fs::create_dir_all(folder).map_err(wrap)?;
                let path = folder.join(format!("segment-{segment:05}.mcap"));
                self.open = Some(SegmentWriter::create(&path, &self.settings.info)?);
                sync_folder(folder).map_err(wrap)?;
            }
            Destination::File(path) if self.open.is_none() => {
                let folder = folder_of(path);
                let wrap = |source| WriteError::Io { path: folder.to_owned(), source };
                std::fs::create_dir_all(folder).map_err(wrap)?;
                let file = Unfinished::begin(path)?;
                self.open = Some(SegmentWriter::begin(path, file.reopen()?, &self.settings.info)?);
                self.unfinished = Some(file);
            }
            Destination::File(_) => {}
        }
        Ok(())
    }
}

/// Closes a segment that cannot be written to. On a full disk there would be an empty file for every attempt.
fn discard_if_empty(writer: SegmentWriter) {
    let path = writer.path().to_owned();
    drop(writer);
    if std::fs::metadata(&path).is_ok_and(|meta| meta.len() == 0) {
        // It is worth nothing, and it costs nothing.
        let _ = std::fs::remove_file(&path);
    }
}

/// A new file is only there after a power cut when its folder is on the disk too.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}
