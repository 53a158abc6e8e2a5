//! One file of a session: from bytes to records.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use foxglove::Decode;
use foxglove::messages::{CompressedImage, RawAudio};
use mcap::McapError;
use mcap::records::{Record as McapRecord, op};
use mcap::sans_io::linear_reader::{LinearReadEvent, LinearReader, LinearReaderOptions};
use serde::de::DeserializeOwned;
use waywarden_components::prelude::*;

use super::super::format::{
    FORMAT_MAJOR, JOURNAL, JournalRecord, METADATA, OUTPUTS, Origin, PROFILE, SNAPSHOT, SessionInfo, checksum,
    sample_topic,
};
use super::chunk::Chunk;
use super::{Record, SessionError, foreign, io_error};
use crate::buffers::Buffers;
use crate::ingress::Incoming;
use crate::msgpack;

/// No record of a session is longer; anything that claims to be is damaged.
const LONGEST_RECORD: usize = 256 << 20;

/// Bytes that are read at once: memory grows with what is there, not with what a damaged length claims.
const READ_AT_ONCE: usize = 1 << 20;

/// Bytes that samples may hold while their tick is waited for.
const MOST_WAITING: usize = 256 << 20;

/// Devices of a session. The app's own streams are numbered far above.
const MOST_STREAMS: usize = 0x1000;

/// One file of a session.
pub(super) struct SegmentFile {
    pub path: PathBuf,
    pub info: SessionInfo,
    /// That it ends in the middle, once its end has been read.
    pub cut: Option<String>,
    source: Box<dyn Read + Send>,
    /// Bytes read.
    offset: u64,
    /// The last of them.
    tail: [u8; mcap::MAGIC.len()],
    reader: LinearReader,
    /// What records are copied into: pictures and sound stay there for as long as somebody has them.
    buffers: Buffers,
    /// The chunk in progress.
    chunk: Option<Chunk>,
    /// What our channels carry.
    channels: BTreeMap<u16, Content>,
    /// Samples whose tick has not come yet.
    waiting: BTreeMap<(StreamId, u32), Bytes>,
    waiting_bytes: usize,
    ended: bool,
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
    /// Reads as far as the description of the session. None, and a word in `cuts`, when it ends before that.
    pub fn open(
        (path, source): (&Path, Box<dyn Read + Send>),
        cuts: &mut Vec<String>,
    ) -> Result<Option<Self>, SessionError> {
        let mut options = LinearReaderOptions::default()
            .with_validate_data_section_crc(true)
            .with_validate_summary_section_crc(true)
            .with_record_length_limit(LONGEST_RECORD);
        options.check_finishes_after_end_magic = true;
        options.emit_chunks = true;
        let mut segment = Self {
            path: path.to_owned(),
            info: placeholder(),
            cut: None,
            source,
            offset: 0,
            tail: Default::default(),
            reader: LinearReader::new_with_options(options),
            buffers: Buffers::default(),
            chunk: None,
            channels: BTreeMap::new(),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            ended: false,
        };
        loop {
            match segment.step()? {
                Some(Step::Info(info)) => {
                    segment.info = *info;
                    return Ok(Some(segment));
                }
                Some(Step::Nothing) => {}
                None if segment.cut.is_some() => {
                    cuts.extend(segment.cut);
                    return Ok(None);
                }
                Some(Step::Found(_)) | None => {
                    return Err(foreign(path, "an MCAP file, but not a Waywarden session"));
                }
            }
        }
    }

    /// The next record. None at the end: see `cut`.
    pub fn read(&mut self) -> Result<Option<Record>, SessionError> {
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
        if let Some(chunk) = &mut self.chunk {
            match chunk.next().map_err(|what| self.damaged(what))? {
                Some((opcode, data)) => return self.record(opcode, &data).map(Some),
                None => self.chunk = None,
            }
        }
        if self.ended {
            return Ok(None);
        }
        let (opcode, data) = loop {
            match self.reader.next_event() {
                None => {
                    self.ended = true;
                    return Ok(None);
                }
                Some(Ok(LinearReadEvent::ReadRequest(wanted))) => self.fill(wanted)?,
                Some(Ok(LinearReadEvent::Record { opcode, data })) => break (opcode, self.buffers.copy(data)),
                Some(Err(McapError::UnexpectedEof)) => return self.end_of_file(),
                Some(Err(McapError::BadMagic)) if self.channels.is_empty() => {
                    return Err(foreign(&self.path, "not an MCAP file"));
                }
                Some(Err(error)) => return Err(self.damaged(describe(&error))),
            }
        };
        if opcode == op::CHUNK {
            self.chunk = Some(Chunk::open(&data).map_err(|what| self.damaged(what))?);
            return Ok(Some(Step::Nothing));
        }
        self.record(opcode, &data).map(Some)
    }

    /// Takes a record of the container.
    fn record(&mut self, opcode: u8, data: &Bytes) -> Result<Step, SessionError> {
        let record = mcap::parse_record(opcode, data).map_err(|error| self.damaged(describe(&error)))?;
        match record {
            McapRecord::Header(header) if header.profile != PROFILE => {
                let what = format!("an MCAP file with profile `{}`, not a Waywarden session", header.profile);
                Err(foreign(&self.path, what))
            }
            McapRecord::Metadata(metadata) if metadata.name == METADATA => {
                self.parse_info(&metadata.metadata).map(|info| Step::Info(Box::new(info)))
            }
            McapRecord::Channel(channel) => {
                if let Some(content) = content_of(&self.info, &channel.topic) {
                    self.channels.insert(channel.id, content);
                }
                Ok(Step::Nothing)
            }
            McapRecord::Message { header, data: _ } => {
                // The message's data is what follows its header in the record.
                let body = data.slice(22..);
                self.message(header.channel_id, header.sequence, body)
            }
            _ => Ok(Step::Nothing),
        }
    }

    fn fill(&mut self, wanted: usize) -> Result<(), SessionError> {
        let space = self.reader.insert(wanted.min(READ_AT_ONCE));
        let read = loop {
            match self.source.read(space) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|source| io_error(&self.path, source))?,
            }
        };
        self.offset += read as u64;
        let new = &space[read.saturating_sub(self.tail.len())..read];
        self.tail.rotate_left(new.len());
        let kept = self.tail.len() - new.len();
        self.tail[kept..].copy_from_slice(new);
        self.reader.notify_read(read);
        Ok(())
    }

    /// The file is at its end, and its last record is not.
    fn end_of_file(&mut self) -> Result<Option<Step>, SessionError> {
        // A recorder that was killed has not written the end mark: where there is one, a length is wrong.
        if self.tail == mcap::MAGIC && self.offset > self.tail.len() as u64 {
            return Err(self.damaged("damaged: a record claims to be longer than the rest of the file".to_owned()));
        }
        self.ended = true;
        self.cut = Some(format!("{}: ends in the middle, after {} bytes", self.path.display(), self.offset));
        Ok(None)
    }

    fn parse_info(&self, metadata: &BTreeMap<String, String>) -> Result<SessionInfo, SessionError> {
        let value = |key: &str| metadata.get(key).map_or("", String::as_str);
        let format = value("format");
        let major = format.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major != Some(FORMAT_MAJOR) {
            let what = format!("session format `{format}`; this build reads format {FORMAT_MAJOR}");
            return Err(foreign(&self.path, what));
        }
        let json = value("session");
        if value("checksum") != checksum(json) {
            return Err(self.damaged("damaged: the description of the session has another checksum".to_owned()));
        }
        let info: SessionInfo = serde_json::from_str(json)
            .map_err(|error| foreign(&self.path, format!("its description cannot be read: {error}")))?;
        let numbered = (1..).zip(&info.streams).all(|(number, spec)| spec.id == StreamId(number));
        if !numbered || info.streams.len() > MOST_STREAMS {
            return Err(foreign(&self.path, "its streams are not numbered from 1"));
        }
        Ok(info)
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
                    if let Payload::Frame(bytes) | Payload::Audio(bytes) = &input.payload {
                        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes.len());
                    }
                    if let Payload::JobDone { job, output: JobOutput::Segmentation(masks), .. } = &input.payload
                        && !(masks.drivable.is_sound() && masks.lines.is_sound())
                    {
                        return Err(self.damaged(format!("tick {tick}: the masks of job {job} are no pictures")));
                    }
                    restored.push(input);
                }
                None => return Err(self.damaged(format!("tick {tick}: sample {stream}:{seq} is missing"))),
            }
        }
        Ok(Incoming { tick, now: Mono(now), inputs: restored })
    }

    fn decode<T: DeserializeOwned>(&self, what: &str, body: &[u8]) -> Result<T, SessionError> {
        msgpack::decode(body).map_err(|error| self.damaged(format!("{what} cannot be read: {error}")))
    }

    pub fn damaged(&self, what: String) -> SessionError {
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
        origin: Origin::Import,
        build: Default::default(),
        config: String::new(),
        streams: Vec::new(),
        models: BTreeMap::new(),
        cpu: Vec::new(),
        boot_id: String::new(),
        log_time_offset_ns: 0,
        voice: None,
    }
}
