//! The records of a session, as they are written and read.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use crate::ingress::Incoming;
use crate::registry::{Change, SavedKind};

/// Readers refuse sessions with another major number.
pub const FORMAT_MAJOR: u32 = 1;
/// Readers ignore what a newer minor number has added.
pub const FORMAT_MINOR: u32 = 1;

/// MCAP profile of all files.
pub const PROFILE: &str = "waywarden";
/// Name of the MCAP metadata record that describes the session.
pub const METADATA: &str = "waywarden.session";
/// Topic of [`JournalRecord`]s.
pub const JOURNAL: &str = "/waywarden/journal";
/// Topic of [`OutputsRecord`]s.
pub const OUTPUTS: &str = "/waywarden/outputs";
/// Topic of [`SnapshotRecord`]s.
pub const SNAPSHOT: &str = "/waywarden/snapshot";
/// MCAP message encoding of our own records.
pub const MSGPACK: &str = "msgpack";

/// Topic of the samples of a stream: `/front/image`, `/microphone/audio`.
pub fn sample_topic(spec: &StreamSpec) -> Option<String> {
    match spec.kind {
        StreamKind::Camera { .. } => Some(format!("/{}/image", spec.name)),
        StreamKind::Microphone => Some(format!("/{}/audio", spec.name)),
        StreamKind::Gps { .. } | StreamKind::Range { .. } | StreamKind::Truth => None,
    }
}

/// Checksum of the description of a session, which stands outside the chunks and their checksums: XXH3-64 in hex.
pub fn checksum(description: &str) -> String {
    format!("{:016x}", xxh3_64(description.as_bytes()))
}

/// Where a session comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Devices.
    Live,
    /// Recordings made by something else: ticks and inputs, no outputs, no arrivals of jobs.
    Import,
    /// A replay of another session.
    Replay,
}

/// The build that wrote a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    /// Version of the package.
    pub version: String,
    /// Commit, with `-dirty` when the tree had changes; `unknown` outside a checkout.
    pub commit: String,
    /// `release` or `debug`.
    pub profile: String,
    /// Target triple.
    pub target: String,
}

/// A model that a session ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its name in the manifest or config.
    pub name: String,
    /// SHA-256 of its file.
    pub sha256: String,
    /// What ran it, with its version.
    pub engine: String,
}

/// What a session says of itself, in every segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// (major, minor) of the format.
    pub format: (u32, u32),
    /// Random name, the same in all segments.
    pub session_id: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The build that wrote it.
    pub build: BuildInfo,
    /// The effective config, as TOML.
    pub config: String,
    /// The device streams, in order of their numbers.
    pub streams: Vec<StreamSpec>,
    /// The models that ran, by role.
    pub models: BTreeMap<JobRole, ModelInfo>,
    /// Processor features on which results of models may depend.
    pub cpu: Vec<String>,
    /// The kernel's boot id, where there is one.
    pub boot_id: String,
    /// Added to monotonic times to get the times of MCAP messages, in nanoseconds; 0 while the date was unknown.
    pub log_time_offset_ns: i64,
    /// The speech detector. None where nobody is listened to, where nothing was run, and in older sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<ModelInfo>,
}

/// One tick's inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// Its number.
    pub tick: u64,
    /// When it began, nanoseconds since boot.
    pub now: u64,
    /// What came, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<JournalInput>,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalInput {
    /// The stream.
    pub stream: u16,
    /// The sample's number, 0 for anything else.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seq: u64,
    /// When it was captured, nanoseconds since boot.
    pub at: u64,
    /// What it is.
    pub payload: JournalPayload,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// An input's content. Frames and sound stand in messages of their own, before the journal record that refers to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalPayload {
    /// The `foxglove.CompressedImage` with this sequence number on the stream's topic.
    Frame,
    /// The `foxglove.RawAudio` with this sequence number on the stream's topic.
    Audio,
    /// Bytes of a serial device.
    Serial(Bytes),
    /// See [`Payload::Truth`].
    Truth(Box<Truth>),
    /// See [`Payload::Dropped`].
    Dropped {
        /// The policy of the queue.
        policy: DropPolicy,
        /// How many.
        count: u64,
    },
    /// See [`Payload::Link`].
    Link(LinkState),
    /// See [`Payload::Described`].
    Described(String),
    /// See [`Payload::JobDone`].
    JobDone {
        /// Which.
        job: JobId,
        /// The frame it looked at.
        frame: StableId,
        /// Nanoseconds.
        took_ns: u64,
        /// What it found.
        output: JobOutput,
    },
    /// See [`Payload::JobMissed`].
    JobMissed {
        /// Which.
        job: JobId,
        /// The frame it looked at.
        frame: StableId,
    },
    /// See [`Payload::Utc`].
    Utc(UtcOffset),
    /// See [`Payload::Seed`].
    Seed(u64),
    /// See [`Payload::Boundary`].
    Boundary {
        /// Number of the segment.
        segment: u32,
        /// Why.
        reason: BoundaryReason,
    },
    /// See [`Payload::Message`].
    Message(BrokerMessage),
    /// See [`Payload::Uplink`].
    Uplink(Uplink),
    /// See [`Payload::DeedDone`].
    DeedDone(DeedDone),
    /// See [`Payload::Operator`].
    Operator(OperatorSaid),
    /// See [`Payload::SpeechHeard`].
    SpeechHeard(Box<SpeechHeard>),
    /// See [`Payload::Switches`].
    Switches(Switches),
    /// See [`Payload::Config`].
    Config(String),
    /// See [`Payload::Notice`].
    Notice(Notice),
    /// See [`Payload::Shutdown`].
    Shutdown,
}

/// What was found out in a tick: the digest of the world and every value that changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputsRecord {
    /// Its number.
    pub tick: u64,
    /// Digest of everything in the world at the end of the tick.
    pub digest: u64,
    /// What changed, in order of kind and id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// Everything that outlives a tick, before the first tick of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// Number of the segment.
    pub segment: u32,
    /// Why it begins.
    pub reason: BoundaryReason,
    /// The tick that comes next.
    pub tick: u64,
    /// When that tick began, nanoseconds since boot.
    pub now: u64,
    /// Ticks before it that could not be recorded.
    #[serde(default)]
    pub lost_ticks: u64,
    /// All values, in order of kind and id.
    pub kinds: Vec<SavedKind>,
}

impl JournalRecord {
    /// The record of a tick.
    pub fn of(incoming: &Incoming) -> Self {
        let inputs = incoming.inputs.iter().map(JournalInput::of).collect();
        Self { tick: incoming.tick, now: incoming.now.0, inputs }
    }
}

impl JournalInput {
    fn of(input: &Input) -> Self {
        let payload = match input.payload.clone() {
            Payload::Frame(_) => JournalPayload::Frame,
            Payload::Audio(_) => JournalPayload::Audio,
            Payload::Serial(bytes) => JournalPayload::Serial(bytes),
            Payload::Truth(truth) => JournalPayload::Truth(truth),
            Payload::Dropped { policy, count } => JournalPayload::Dropped { policy, count },
            Payload::Link(state) => JournalPayload::Link(state),
            Payload::Described(what) => JournalPayload::Described(what),
            Payload::JobDone { job, frame, took_ns, output } => JournalPayload::JobDone { job, frame, took_ns, output },
            Payload::JobMissed { job, frame } => JournalPayload::JobMissed { job, frame },
            Payload::Utc(utc) => JournalPayload::Utc(utc),
            Payload::Seed(seed) => JournalPayload::Seed(seed),
            Payload::Boundary { segment, reason } => JournalPayload::Boundary { segment, reason },
            Payload::Message(message) => JournalPayload::Message(message),
            Payload::Uplink(uplink) => JournalPayload::Uplink(uplink),
            Payload::DeedDone(done) => JournalPayload::DeedDone(done),
            Payload::Operator(said) => JournalPayload::Operator(said),
            Payload::SpeechHeard(heard) => JournalPayload::SpeechHeard(heard),
            Payload::Switches(switches) => JournalPayload::Switches(switches),
            Payload::Config(toml) => JournalPayload::Config(toml),
            Payload::Notice(notice) => JournalPayload::Notice(notice),
            Payload::Shutdown => JournalPayload::Shutdown,
        };
        Self { stream: input.stream.0, seq: input.seq, at: input.captured.0, payload }
    }

    /// The input again; `sample` finds the bytes of frames and sound, and None means that they are missing.
    pub(super) fn restore(self, sample: impl FnOnce(StreamId, u64) -> Option<Bytes>) -> Option<Input> {
        let stream = StreamId(self.stream);
        let payload = match self.payload {
            JournalPayload::Frame => Payload::Frame(sample(stream, self.seq)?),
            JournalPayload::Audio => Payload::Audio(sample(stream, self.seq)?),
            JournalPayload::Serial(bytes) => Payload::Serial(bytes),
            JournalPayload::Truth(truth) => Payload::Truth(truth),
            JournalPayload::Dropped { policy, count } => Payload::Dropped { policy, count },
            JournalPayload::Link(state) => Payload::Link(state),
            JournalPayload::Described(what) => Payload::Described(what),
            JournalPayload::JobDone { job, frame, took_ns, output } => Payload::JobDone { job, frame, took_ns, output },
            JournalPayload::JobMissed { job, frame } => Payload::JobMissed { job, frame },
            JournalPayload::Utc(utc) => Payload::Utc(utc),
            JournalPayload::Seed(seed) => Payload::Seed(seed),
            JournalPayload::Boundary { segment, reason } => Payload::Boundary { segment, reason },
            JournalPayload::Message(message) => Payload::Message(message),
            JournalPayload::Uplink(uplink) => Payload::Uplink(uplink),
            JournalPayload::DeedDone(done) => Payload::DeedDone(done),
            JournalPayload::Operator(said) => Payload::Operator(said),
            JournalPayload::SpeechHeard(heard) => Payload::SpeechHeard(heard),
            JournalPayload::Switches(switches) => Payload::Switches(switches),
            JournalPayload::Config(toml) => Payload::Config(toml),
            JournalPayload::Notice(notice) => Payload::Notice(notice),
            JournalPayload::Shutdown => Payload::Shutdown,
        };
        Some(Input { stream, seq: self.seq, captured: Mono(self.at), payload })
    }
}
