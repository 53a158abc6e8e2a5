//! Writes segments.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mcap::records::{MessageHeader, Metadata};
use serde::Serialize;
use thiserror::Error;
use waywarden_components::prelude::*;

use super::format::{
    JOURNAL, JournalRecord, METADATA, MSGPACK, OUTPUTS, OutputsRecord, PROFILE, SNAPSHOT, SessionInfo, SnapshotRecord,
    checksum,
};
use super::foxglove::{Published, Publisher};
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
    mcap: mcap::Writer<Counted>,
    /// The same file, to wait for the disk.
    file: File,
    bytes: Arc<AtomicU64>,
    publisher: Publisher,
    channels: BTreeMap<String, u16>,
    outputs_seq: u32,
    scratch: Vec<u8>,
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
    pub fn begin(path: &Path, file: File, info: &SessionInfo) -> Result<Self, WriteError> {
        let path = path.to_owned();
        let io = |source| WriteError::Io { path: path.clone(), source };
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Counted { file: BufWriter::new(file.try_clone().map_err(io)?), bytes: bytes.clone() };
        let wrap = |source| WriteError::container(&path, source);
        let mut mcap = mcap::WriteOptions::new()
            .compression(None)
            .profile(PROFILE)
            .library(format!("waywarden {}", info.build.version))
            .chunk_size(Some(CHUNK_BYTES))
            .disable_seeking(true)
            .create(counted)
            .map_err(wrap)?;
        let json = serde_json::to_string(info).unwrap_or_default();
        let metadata = [
            ("format".to_owned(), format!("{}.{}", info.format.0, info.format.1)),
            ("checksum".to_owned(), checksum(&json)),
            ("session".to_owned(), json),
        ];
        mcap.write_metadata(&Metadata { name: METADATA.to_owned(), metadata: metadata.into() }).map_err(wrap)?;
        let publisher = Publisher::new(&info.streams, info.log_time_offset_ns);
        let mut writer =
            Self { path, mcap, file, bytes, publisher, channels: BTreeMap::new(), outputs_seq: 0, scratch: Vec::new() };
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
        self.bytes.load(Ordering::Relaxed)
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
        self.own(JOURNAL, incoming.now, incoming.tick as u32, &JournalRecord::of(incoming))
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
        self.mcap.flush().map_err(|source| WriteError::container(&self.path, source))?;
        self.file.sync_data().map_err(|source| WriteError::Io { path: self.path.clone(), source })
    }

    /// Ends the segment: index and footer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(), WriteError> {
        self.mcap.finish().map_err(|source| WriteError::container(&self.path, source))?;
        self.file.sync_all().map_err(|source| WriteError::Io { path: self.path, source })
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
        self.mcap.write_to_known_channel(&header, data).map_err(|source| WriteError::container(&self.path, source))
    }
}

/// A file that counts what is written.
struct Counted {
    file: BufWriter<File>,
    bytes: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        // The container only asks where it is.
        match to {
            SeekFrom::Current(0) => Ok(self.bytes.load(Ordering::Relaxed)),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "segments are written from start to end")),
        }
    }
}
