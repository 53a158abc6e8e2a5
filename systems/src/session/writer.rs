//! Writes segments.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcap::records::{MessageHeader, Metadata};
use serde::Serialize;
use thiserror::Error;
use waywarden_components::prelude::*;

use super::format::{
    JOURNAL, JournalRecord, METADATA, MSGPACK, OUTPUTS, OutputsRecord, PROFILE, SNAPSHOT, SessionInfo, SnapshotRecord,
    checksum,
};
use super::foxglove::{Published, Publisher};
use super::medium::{Medium, Progress, Tape};
use crate::ingress::Incoming;

/// Bytes after which a chunk is written out even before the next flush.
const CHUNK_BYTES: u64 = 1 << 20;

/// Why a segment cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The file system says no.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The container says no.
    #[error("{path}: {source}", path = path.display())]
    Mcap {
        /// The file.
        path: PathBuf,
        /// Why.
        source: mcap::McapError,
    },
    /// A record cannot be encoded.
    #[error("{path}: a record cannot be encoded: {source}", path = path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rmp_serde::encode::Error,
    },
}

impl WriteError {
    /// Why, without the file: the same words for each attempt.
    pub fn reason(&self) -> String {
        match self {
            Self::Io { source, .. } => source.to_string(),
            Self::Mcap { source, .. } => source.to_string(),
            Self::Encode { source, .. } => format!("a record cannot be encoded: {source}"),
        }
    }

    /// Whether there is no room left, for everybody or for this user.
    pub fn is_full(&self) -> bool {
        let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if kinds.contains(&source.kind()))
    }

    /// What the container says, or the file system through it.
    fn container(path: &Path, error: mcap::McapError) -> Self {
        let path = path.to_owned();
        match error {
            mcap::McapError::Io(source) => Self::Io { path, source },
            source => Self::Mcap { path, source },
        }
    }
}

/// Writes one MCAP file.
///
/// Chunks are written whole: whatever happens to the process, the file up to the last one is readable without repair.
/// Nothing is compressed: nearly all of it is JPEG, which does not get smaller, and trying costs more than the rest of
/// the recorder.
pub struct SegmentWriter {
    path: PathBuf,
    mcap: mcap::Writer<Tape>,
    /// Where it is written to, to wait for the disk.
    medium: Arc<dyn Medium>,
    progress: Arc<Progress>,
    /// The last tick whose journal record was written, the chunk in progress included.
    journalled: Option<u64>,
    /// What was handed to the operating system in whole chunks.
    whole: Mark,
    /// What the disk has.
    synced: Mark,
    /// The disk has not taken what the operating system had.
    unsynced: bool,
    publisher: Publisher,
    channels: BTreeMap<String, u16>,
    outputs_seq: u32,
    scratch: Vec<u8>,
}

/// How far a segment has come.
#[derive(Clone, Copy, Default)]
struct Mark {
    /// Its last tick.
    tick: Option<u64>,
    /// Its length in bytes.
    bytes: u64,
}

impl SegmentWriter {
    /// Begins a segment in a new file.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path, info: &SessionInfo) -> Result<Self, WriteError> {
        let io = |source| WriteError::Io { path: path.to_owned(), source };
        let file = File::options().write(true).create_new(true).open(path).map_err(io)?;
        Self::begin(path, file, info)
    }

    /// Begins a segment in an open, empty file, which is called `path` in error messages.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(path: &Path, medium: impl Medium, info: &SessionInfo) -> Result<Self, WriteError> {
        let path = path.to_owned();
        let medium: Arc<dyn Medium> = Arc::new(medium);
        let progress = Arc::new(Progress::default());
        let tape = Tape::new(medium.clone(), progress.clone());
        let wrap = |source| WriteError::container(&path, source);
        let mut mcap = mcap::WriteOptions::new()
            .compression(None)
            .profile(PROFILE)
            .library(format!("waywarden {}", info.build.version))
            .chunk_size(Some(CHUNK_BYTES))
            .disable_seeking(true)
            .create(tape)
            .map_err(wrap)?;
        let json = serde_json::to_string(info).unwrap_or_default();
        let metadata = [
            ("format".to_owned(), format!("{}.{}", info.format.0, info.format.1)),
            ("checksum".to_owned(), checksum(&json)),
            ("session".to_owned(), json),
        ];
        mcap.write_metadata(&Metadata { name: METADATA.to_owned(), metadata: metadata.into() }).map_err(wrap)?;
        let publisher = Publisher::new(&info.streams, info.log_time_offset_ns);
        let mut writer = Self {
            path,
            mcap,
            medium,
            progress,
            journalled: None,
            whole: Mark::default(),
            synced: Mark::default(),
            unsynced: false,
            publisher,
            channels: BTreeMap::new(),
            outputs_seq: 0,
            scratch: Vec::new(),
        };
        for topic in [SNAPSHOT, JOURNAL, OUTPUTS] {
            writer.own_channel(topic)?;
        }
        Ok(writer)
    }

    /// Where it is written to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes written so far, the chunk in progress aside.
    pub fn bytes(&self) -> u64 {
        self.progress.accepted()
    }

    /// Writes a snapshot.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn snapshot(&mut self, record: &SnapshotRecord) -> Result<(), WriteError> {
        self.own(SNAPSHOT, Mono(record.now), record.segment, record)
    }

    /// Writes the inputs of a tick, and what they look like to others.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tick(&mut self, incoming: &Incoming) -> Result<(), WriteError> {
        for input in &incoming.inputs {
            let published = match &input.payload {
                Payload::Frame(jpeg) => self.publisher.frame(input.stream, input.captured, jpeg),
                Payload::Audio(pcm) => self.publisher.audio(input.stream, input.captured, pcm),
                Payload::Truth(truth) => self.publisher.truth(input.stream, input.captured, truth),
                _ => continue,
            };
            if let Some(published) = published {
                // MCAP's sequence numbers have 32 bits; the journal has the whole number.
                self.publish(&published, incoming.now, input.seq as u32)?;
            }
        }
        self.own(JOURNAL, incoming.now, incoming.tick as u32, &JournalRecord::of(incoming))?;
        self.journalled = Some(incoming.tick);
        Ok(())
    }

    /// Writes what was found out in a tick, and what it looks like to others.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn outputs(&mut self, now: Mono, record: &OutputsRecord) -> Result<(), WriteError> {
        for change in &record.changes {
            if let Some(published) = self.publisher.change(now, change) {
                self.outputs_seq = self.outputs_seq.wrapping_add(1);
                self.publish(&published, now, self.outputs_seq)?;
            }
        }
        self.own(OUTPUTS, now, record.tick as u32, record)
    }

    /// Writes the chunk in progress and waits until the disk has everything.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.hand_over()?;
        self.sync()?;
        self.synced = self.whole;
        Ok(())
    }

    /// Ends the segment: index and footer. Nothing can be written to it any more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn complete(&mut self) -> Result<(), WriteError> {
        self.hand_over()?;
        self.mcap.finish().map_err(|source| WriteError::container(&self.path, source))?;
        self.sync()
    }

    /// Ends the segment: see [`SegmentWriter::complete`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(), WriteError> {
        self.complete()
    }

    /// Leaves a segment that cannot be written any more, and cuts off what is not known to be whole. The last tick that
    /// is left in it; none when there is none.
    pub fn give_up(self) -> Option<u64> {
        let Self { mcap, medium, progress, whole, synced, unsynced, .. } = self;
        progress.end();
        drop(mcap);
        // Chunks that the operating system had may be lost too; it says so once.
        let kept = if !unsynced && medium.sync().is_ok() { whole } else { synced };
        if let Err(error) = medium.shorten(kept.bytes.min(progress.taken())) {
            tracing::debug!("the rest of a chunk stays where it is: {error}");
        }
        kept.tick
    }

    /// Writes the chunk in progress.
    fn hand_over(&mut self) -> Result<(), WriteError> {
        self.mcap.flush().map_err(|source| WriteError::container(&self.path, source))?;
        self.whole = Mark { tick: self.journalled, bytes: self.bytes() };
        Ok(())
    }

    fn sync(&mut self) -> Result<(), WriteError> {
        self.medium.sync().map_err(|source| {
            self.unsynced = true;
            WriteError::Io { path: self.path.clone(), source }
        })
    }

    fn own_channel(&mut self, topic: &str) -> Result<u16, WriteError> {
        let id = self
            .mcap
            .add_channel(0, topic, MSGPACK, &BTreeMap::new())
            .map_err(|source| WriteError::container(&self.path, source))?;
        self.channels.insert(topic.to_owned(), id);
        Ok(id)
    }

    fn own<T: Serialize>(&mut self, topic: &str, at: Mono, sequence: u32, record: &T) -> Result<(), WriteError> {
        let channel_id = match self.channels.get(topic) {
            Some(id) => *id,
            None => self.own_channel(topic)?,
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        rmp_serde::encode::write_named(&mut scratch, record)
            .map_err(|source| WriteError::Encode { path: self.path.clone(), source })?;
        let written = self.message(channel_id, at, sequence, &scratch);
        self.scratch = scratch;
        written
    }

    fn publish(&mut self, published: &Published, at: Mono, sequence: u32) -> Result<(), WriteError> {
        let channel_id = match self.channels.get(&published.topic) {
            Some(id) => *id,
            None => {
                let wrap = |source| WriteError::container(&self.path, source);
                let schema = match &published.schema {
                    Some(schema) => self.mcap.add_schema(&schema.name, &schema.encoding, &schema.data).map_err(wrap)?,
                    None => 0,
                };
                let id = self
                    .mcap
                    .add_channel(schema, &published.topic, published.encoding, &BTreeMap::new())
                    .map_err(wrap)?;
                self.channels.insert(published.topic.clone(), id);
                id
            }
        };
        self.message(channel_id, at, sequence, &published.data)
    }

    fn message(&mut self, channel_id: u16, at: Mono, sequence: u32, data: &[u8]) -> Result<(), WriteError> {
        let time = self.publisher.log_time(at);
        let header = MessageHeader { channel_id, sequence, log_time: time, publish_time: time };
        let before = self.bytes();
        self.mcap.write_to_known_channel(&header, data).map_err(|source| WriteError::container(&self.path, source))?;
        let after = self.bytes();
        if after > before {
            // The chunk before this message was large enough, and was written.
            self.whole = Mark { tick: self.journalled, bytes: after };
        }
        Ok(())
    }
}
