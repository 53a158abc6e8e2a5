//! Reads sessions: a file, or a folder of segments.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use foxglove::Decode;
use foxglove::messages::{CompressedImage, RawAudio};
use mcap::McapError;
use mcap::records::Record as McapRecord;
use mcap::sans_io::linear_reader::{LinearReadEvent, LinearReader, LinearReaderOptions};
use serde::de::DeserializeOwned;
use thiserror::Error;
use waywarden_components::prelude::*;

use super::format::{
    FORMAT_MAJOR, JOURNAL, JournalRecord, METADATA, OUTPUTS, OutputsRecord, PROFILE, SNAPSHOT, SessionInfo,
    SnapshotRecord, sample_topic,
};
use crate::ingress::Incoming;

/// No record of a session is longer; anything that claims to be is damaged.
const LONGEST_RECORD: usize = 256 << 20;

/// Bytes that samples may hold while their tick is waited for.
const MOST_WAITING: usize = 256 << 20;

/// Why a session cannot be read.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The file system says no.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder without segments.
    #[error("{path}: no segments (*.mcap) in this folder", path = path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// Not what it should be.
    #[error("{path}, about byte {offset}: {what}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// About where: the damage lies before this byte.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Not a session of ours.
    #[error("{path}: {what}", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// A place to begin that does not exist.
    #[error("{path}: {what}", path = path.display())]
    NoSuchPlace {
        /// The session.
        path: PathBuf,
        /// What was asked for, and what there is.
        what: String,
    },
}

/// One thing read.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A segment begins: the state of the world before its first tick.
    Snapshot(SnapshotRecord),
    /// The inputs of a tick.
    Tick(Incoming),
    /// What was found out in the tick before.
    Outputs(OutputsRecord),
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum From {
    /// At the first tick.
    Start,
    /// At the first tick of a segment.
    Segment(u32),
    /// At the last segment that begins no later than this time after the first tick of the session.
    Seconds(f64),
}

/// Reads a session from start to end in bounded memory.
pub struct SessionReader {
    path: PathBuf,
    files: std::vec::IntoIter<PathBuf>,
    file: Option<SegmentFile>,
    info: SessionInfo,
    cuts: Vec<String>,
    /// A record that was read ahead.
    pending: Option<Record>,
}

impl SessionReader {
    /// Opens a session: an MCAP file, or a folder of segments in order of their names.
    ///
    /// # Errors
    /// When there is nothing there, or nothing of ours, or a newer format than this build can read.
    pub fn open(path: &Path) -> Result<Self, SessionError> {
        let io = |source| SessionError::Io { path: path.to_owned(), source };
        let files = if std::fs::metadata(path).map_err(io)?.is_dir() { segments(path)? } else { vec![path.to_owned()] };
        let mut files = files.into_iter();
        let first = files.next().ok_or_else(|| SessionError::Empty { path: path.to_owned() })?;
        let file = SegmentFile::open(&first)?;
        let info = file.info.clone();
        Ok(Self { path: path.to_owned(), files, file: Some(file), info, cuts: Vec::new(), pending: None })
    }

    /// What the session says of itself.
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// Files that end in the middle, as after a power cut, with what was wrong.
    pub fn cuts(&self) -> &[String] {
        &self.cuts
    }

    /// Size of all files in bytes.
    pub fn size(path: &Path) -> u64 {
        let len = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
        if path.is_dir() { segments(path).unwrap_or_default().iter().map(|file| len(file)).sum() } else { len(path) }
    }

    /// The next record; None at the end.
    ///
    /// # Errors
    /// When the file is damaged. A file that merely ends too early is not: see [`SessionReader::cuts`].
    pub fn read(&mut self) -> Result<Option<Record>, SessionError> {
        if let Some(record) = self.pending.take() {
            return Ok(Some(record));
        }
        while let Some(file) = &mut self.file {
            if let Some(record) = file.read()? {
                return Ok(Some(record));
            }
            self.cuts.extend(file.cut.take());
            self.file = self.files.next().map(|path| self.next_file(&path)).transpose()?;
        }
        Ok(None)
    }

    fn next_file(&self, path: &Path) -> Result<SegmentFile, SessionError> {
        let file = SegmentFile::open(path)?;
        if file.info.session_id != self.info.session_id {
            let what = format!("belongs to session {}, not to {}", file.info.session_id, self.info.session_id);
            return Err(SessionError::Foreign { path: path.to_owned(), what });
        }
        Ok(file)
    }

    /// Reads on to a place to begin; the next record is then a snapshot, unless it is the start of a session without.
    ///
    /// # Errors
    /// When the session has no such place, or is damaged before it.
    pub fn seek(&mut self, from: From) -> Result<(), SessionError> {
        let target = match from {
            From::Start => return Ok(()),
            From::Segment(number) => number,
            From::Seconds(seconds) => self.segment_at(seconds)?,
        };
        let mut last = None;
        while let Some(record) = self.read()? {
            if let Record::Snapshot(snapshot) = &record {
                last = Some(snapshot.segment);
                if snapshot.segment == target {
                    self.pending = Some(record);
                    return Ok(());
                }
            }
        }
        let what = match last {
            Some(last) => format!("no segment {target}; the last one is {last}"),
            None => "has no snapshots to begin at; make some with `waywarden replay SESSION --out FILE`".to_owned(),
        };
        Err(SessionError::NoSuchPlace { path: self.path.clone(), what })
    }

    fn segment_at(&self, seconds: f64) -> Result<u32, SessionError> {
        let mut other = Self::open(&self.path)?;
        let (mut first, mut best) = (None, 0);
        while let Some(record) = other.read()? {
            match record {
                Record::Tick(incoming) => {
                    first.get_or_insert(incoming.now);
                }
                Record::Snapshot(snapshot) => {
                    let start = *first.get_or_insert(Mono(snapshot.now));
                    if Mono(snapshot.now).since(start).as_secs_f64() > seconds {
                        break;
                    }
                    best = snapshot.segment;
                }
                Record::Outputs(_) => {}
            }
        }
        Ok(best)
    }
}

fn segments(folder: &Path) -> Result<Vec<PathBuf>, SessionError> {
    let io = |source| SessionError::Io { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "mcap") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(SessionError::Empty { path: folder.to_owned() }) } else { Ok(files) }
}

/// One file of a session.
struct SegmentFile {
    path: PathBuf,
    file: File,
    offset: u64,
    reader: LinearReader,
    info: SessionInfo,
    /// What our channels carry.
    channels: BTreeMap<u16, Content>,
    /// Samples whose tick has not come yet.
    waiting: BTreeMap<(StreamId, u32), Bytes>,
    waiting_bytes: usize,
    ended: bool,
    cut: Option<String>,
}

#[derive(Clone, Copy)]
enum Content {
    Journal,
    Outputs,
    Snapshot,
    Frames(StreamId),
    Sound(StreamId),
}

/// What a record of the container turned out to be.
enum Step {
    Nothing,
    Info(Box<SessionInfo>),
    Found(Record),
}

impl SegmentFile {
    fn open(path: &Path) -> Result<Self, SessionError> {
        let file = File::open(path).map_err(|source| SessionError::Io { path: path.to_owned(), source })?;
        let options = LinearReaderOptions::default()
            .with_prevalidate_chunk_crcs(true)
            .with_validate_summary_section_crc(true)
            .with_record_length_limit(LONGEST_RECORD);
        let mut segment = Self {
            path: path.to_owned(),
            file,
            offset: 0,
            reader: LinearReader::new_with_options(options),
            info: placeholder(),
            channels: BTreeMap::new(),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            ended: false,
            cut: None,
        };
        segment.info = segment.read_info()?;
        Ok(segment)
    }

    fn read_info(&mut self) -> Result<SessionInfo, SessionError> {
        loop {
            match self.step()? {
                Some(Step::Info(info)) => return Ok(*info),
                Some(Step::Nothing) => {}
                Some(Step::Found(_)) | None => {
                    let what = match self.cut.take() {
                        Some(_) => "ends before it says what it is",
                        None => "an MCAP file, but not a Waywarden session",
                    };
                    return Err(SessionError::Foreign { path: self.path.clone(), what: what.to_owned() });
                }
            }
        }
    }

    fn read(&mut self) -> Result<Option<Record>, SessionError> {
        loop {
            match self.step()? {
                Some(Step::Found(record)) => return Ok(Some(record)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Reads one record of the container. None at the end.
    fn step(&mut self) -> Result<Option<Step>, SessionError> {
        if self.ended {
            return Ok(None);
        }
        let (opcode, data) = loop {
            match self.reader.next_event() {
                None => {
                    self.ended = true;
                    return Ok(None);
                }
                Some(Ok(LinearReadEvent::ReadRequest(wanted))) => {
                    let space = self.reader.insert(wanted);
                    let read =
                        self.file.read(space).map_err(|source| SessionError::Io { path: self.path.clone(), source })?;
                    self.reader.notify_read(read);
                    self.offset += read as u64;
                }
                Some(Ok(LinearReadEvent::Record { opcode, data })) => break (opcode, Bytes::copy_from_slice(data)),
                Some(Err(McapError::UnexpectedEof)) => {
                    self.ended = true;
                    self.cut =
                        Some(format!("{}: ends in the middle, after {} bytes", self.path.display(), self.offset));
                    return Ok(None);
                }
                Some(Err(McapError::BadMagic)) if self.offset <= LONGEST_RECORD as u64 && self.channels.is_empty() => {
                    let what = "not an MCAP file".to_owned();
                    return Err(SessionError::Foreign { path: self.path.clone(), what });
                }
                Some(Err(error)) => return Err(self.damaged(describe(&error))),
            }
        };
        let record = mcap::parse_record(opcode, &data).map_err(|error| self.damaged(describe(&error)))?;
        match record {
            McapRecord::Header(header) if header.profile != PROFILE => {
                let what = format!("an MCAP file with profile `{}`, not a Waywarden session", header.profile);
                Err(SessionError::Foreign { path: self.path.clone(), what })
            }
            McapRecord::Metadata(metadata) if metadata.name == METADATA => {
                self.parse_info(&metadata.metadata).map(|info| Some(Step::Info(Box::new(info))))
            }
            McapRecord::Channel(channel) => {
                if let Some(content) = content_of(&self.info, &channel.topic) {
                    self.channels.insert(channel.id, content);
                }
                Ok(Some(Step::Nothing))
            }
            McapRecord::Message { header, data: _ } => {
                // The message's data is what follows its header in the record.
                let body = data.slice(22..);
                self.message(header.channel_id, header.sequence, body).map(Some)
            }
            _ => Ok(Some(Step::Nothing)),
        }
    }

    fn parse_info(&self, metadata: &BTreeMap<String, String>) -> Result<SessionInfo, SessionError> {
        let foreign = |what: String| SessionError::Foreign { path: self.path.clone(), what };
        let format = metadata.get("format").map_or("", String::as_str);
        let major = format.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major != Some(FORMAT_MAJOR) {
            let what = format!("session format `{format}`; this build reads format {FORMAT_MAJOR}");
            return Err(foreign(what));
        }
        let json = metadata.get("session").map_or("", String::as_str);
        serde_json::from_str(json).map_err(|error| foreign(format!("its description cannot be read: {error}")))
    }

    fn message(&mut self, channel: u16, sequence: u32, body: Bytes) -> Result<Step, SessionError> {
        let Some(content) = self.channels.get(&channel).copied() else { return Ok(Step::Nothing) };
        match content {
            Content::Frames(stream) => {
                let image = CompressedImage::decode(body).map_err(|error| self.damaged(format!("a frame: {error}")))?;
                self.keep(stream, sequence, image.data)
            }
            Content::Sound(stream) => {
                let audio = RawAudio::decode(body).map_err(|error| self.damaged(format!("sound: {error}")))?;
                self.keep(stream, sequence, audio.data)
            }
            Content::Snapshot => Ok(Step::Found(Record::Snapshot(self.decode("a snapshot", &body)?))),
            Content::Outputs => Ok(Step::Found(Record::Outputs(self.decode("outputs", &body)?))),
            Content::Journal => {
                let record: JournalRecord = self.decode("a journal record", &body)?;
                self.tick(record).map(|incoming| Step::Found(Record::Tick(incoming)))
            }
        }
    }

    fn keep(&mut self, stream: StreamId, sequence: u32, bytes: Bytes) -> Result<Step, SessionError> {
        self.waiting_bytes += bytes.len();
        if self.waiting_bytes > MOST_WAITING {
            return Err(self.damaged("samples that no tick asks for".to_owned()));
        }
        self.waiting.insert((stream, sequence), bytes);
        Ok(Step::Nothing)
    }

    fn tick(&mut self, record: JournalRecord) -> Result<Incoming, SessionError> {
        let JournalRecord { tick, now, inputs } = record;
        let mut restored = Vec::with_capacity(inputs.len());
        for input in inputs {
            let (stream, seq) = (input.stream, input.seq);
            let waiting = &mut self.waiting;
            let sample = |stream, seq: u64| waiting.remove(&(stream, seq as u32));
            match input.restore(sample) {
                Some(input) => {
                    self.waiting_bytes = self.waiting_bytes.saturating_sub(input.payload.weight());
                    restored.push(input);
                }
                None => return Err(self.damaged(format!("tick {tick}: sample {stream}:{seq} is missing"))),
            }
        }
        Ok(Incoming { tick, now: Mono(now), inputs: restored })
    }

    fn decode<T: DeserializeOwned>(&self, what: &str, body: &[u8]) -> Result<T, SessionError> {
        rmp_serde::from_slice(body).map_err(|error| self.damaged(format!("{what} cannot be read: {error}")))
    }

    fn damaged(&self, what: String) -> SessionError {
        SessionError::Damaged { path: self.path.clone(), offset: self.offset, what }
    }
}

fn describe(error: &McapError) -> String {
    match error {
        McapError::Parse(_) => "damaged: a record cannot be read".to_owned(),
        other => format!("damaged: {other}"),
    }
}

fn content_of(info: &SessionInfo, topic: &str) -> Option<Content> {
    match topic {
        JOURNAL => Some(Content::Journal),
        OUTPUTS => Some(Content::Outputs),
        SNAPSHOT => Some(Content::Snapshot),
        _ => {
            let spec = info.streams.iter().find(|spec| sample_topic(spec).as_deref() == Some(topic))?;
            Some(match spec.kind {
                StreamKind::Microphone => Content::Sound(spec.id),
                _ => Content::Frames(spec.id),
            })
        }
    }
}

/// Stands where the description will be once it has been read.
fn placeholder() -> SessionInfo {
    SessionInfo {
        format: (0, 0),
        session_id: String::new(),
        origin: super::format::Origin::Import,
        build: Default::default(),
        config: String::new(),
        streams: Vec::new(),
        models: BTreeMap::new(),
        cpu: Vec::new(),
        boot_id: String::new(),
        log_time_offset_ns: 0,
    }
}
