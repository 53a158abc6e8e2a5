//! What comes through the door: every input of every kind, as it is journalled.

use std::fmt;

use bevy_ecs::component::Component;
use bevy_ecs::message::Message;
use bevy_ecs::resource::Resource;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::audio::SpeechHeard;
use crate::command::{DeedDone, Switches};
use crate::device::{CameraRole, LinkState};
use crate::geometry::CameraGeometry;
use crate::id::{StableId, StreamId};
use crate::job::{JobId, JobOutput};
use crate::operator::OperatorSaid;
use crate::outcome::Notice;
use crate::position::GpsProtocol;
use crate::range::RangeProtocol;
use crate::time::{Mono, UtcOffset};
use crate::truth::Truth;
use crate::uplink::{BrokerMessage, Uplink};

/// When a sample was taken, and its number.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The device's own time of capture where it has one, else the time at which the device thread got it.
    pub captured: Mono,
    /// The sample's number in its stream, from 1, without holes: dropped items get no number.
    pub seq: u64,
}

/// What a device stream carries and how it is to be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StreamKind {
    /// JPEG pictures.
    Camera {
        /// Where the camera looks.
        role: CameraRole,
        /// How it is mounted.
        geometry: CameraGeometry,
    },
    /// 16 kHz mono sound.
    Microphone,
    /// Positions.
    Gps {
        /// How the receiver speaks.
        #[serde(default, skip_serializing_if = "GpsProtocol::is_nmea")]
        protocol: GpsProtocol,
    },
    /// Distances.
    Range {
        /// How the sensor speaks.
        protocol: RangeProtocol,
    },
    /// What a simulator knows to be true. Not a device: nothing in the world stands for it.
    Truth,
}

/// One device stream of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamSpec {
    /// Its number.
    pub id: StreamId,
    /// Its name, unique in a session: `front`, `microphone`, `gps`, `range`.
    pub name: String,
    /// What it carries.
    #[serde(flatten)]
    pub kind: StreamKind,
}

/// What a bounded queue does when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropPolicy {
    /// The oldest waiting item makes room: pictures, where only the newest matters.
    KeepNewest,
    /// The new item is dropped: sound and bytes, where a hole at the end is better than one in the middle.
    KeepOldest,
    /// The sender waits: files, where nothing may be lost.
    Block,
}

impl fmt::Display for DropPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeepNewest => "keep newest",
            Self::KeepOldest => "keep oldest",
            Self::Block => "block",
        })
    }
}

/// One thing that came from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The stream it belongs to.
    pub stream: StreamId,
    /// For samples their number in the stream; for anything else 0.
    pub seq: u64,
    /// When it was captured or happened.
    pub captured: Mono,
    /// What it is.
    pub payload: Payload,
}

/// The kinds of input.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// A picture: a whole JPEG.
    Frame(Bytes),
    /// Sound: signed 16 bit little endian, 16 kHz, mono.
    Audio(Bytes),
    /// Bytes of a serial device, cut anywhere.
    Serial(Bytes),
    /// What a simulator knows to be true. It is journalled, and enters the world nowhere.
    Truth(Box<Truth>),
    /// Items that a full queue dropped since the last tick.
    Dropped {
        /// What the queue does when full.
        policy: DropPolicy,
        /// How many.
        count: u64,
    },
    /// A device came, went or failed.
    Link(LinkState),
    /// What a device that was opened is, and what it was asked for and granted: a line for a person.
    Described(String),
    /// A job has ended.
    JobDone {
        /// Which.
        job: JobId,
        /// The frame it looked at.
        frame: StableId,
        /// How long it ran, in nanoseconds. In a replay what it took in the live run.
        took_ns: u64,
        /// What it found.
        output: JobOutput,
    },
    /// A job did not end before its deadline.
    JobMissed {
        /// Which.
        job: JobId,
        /// The frame it looked at.
        frame: StableId,
    },
    /// The date has become known, or better known.
    Utc(UtcOffset),
    /// A random seed for whatever needs one.
    Seed(u64),
    /// A new segment starts with this tick: what cannot be saved is reset.
    Boundary {
        /// Its number, from 0.
        segment: u32,
        /// Why.
        reason: BoundaryReason,
    },
    /// A message from the broker.
    Message(BrokerMessage),
    /// How what was handed to the broker's link fares.
    Uplink(Uplink),
    /// What has come of a deed.
    DeedDone(DeedDone),
    /// What has come of somebody who watches, or wants to.
    Operator(OperatorSaid),
    /// What a service elsewhere heard in an utterance.
    SpeechHeard(Box<SpeechHeard>),
    /// The switches as the run before this one left them.
    Switches(Switches),
    /// The config was read anew: all of it, as TOML.
    Config(String),
    /// Something that happened outside of the world, for the log: of the run before this one, of the recorder, of the
    /// config.
    Notice(Notice),
    /// The person or program that runs the app wants it to end.
    Shutdown,
}

/// Why a new segment starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundaryReason {
    /// The first one.
    Start,
    /// The one before is long enough.
    Time,
    /// The one before is large enough.
    Size,
    /// Something before it could not be recorded.
    Gap,
}

impl Payload {
    /// The name in journals.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Frame(_) => "frame",
            Self::Audio(_) => "audio",
            Self::Serial(_) => "serial",
            Self::Truth(_) => "truth",
            Self::Dropped { .. } => "dropped",
            Self::Link(_) => "link",
            Self::Described(_) => "described",
            Self::JobDone { .. } => "job_done",
            Self::JobMissed { .. } => "job_missed",
            Self::Utc(_) => "utc",
            Self::Seed(_) => "seed",
            Self::Boundary { .. } => "boundary",
            Self::Message(_) => "message",
            Self::Uplink(_) => "uplink",
            Self::DeedDone(_) => "deed_done",
            Self::Operator(_) => "operator",
            Self::SpeechHeard(_) => "speech_heard",
            Self::Switches(_) => "switches",
            Self::Config(_) => "config",
            Self::Notice(_) => "notice",
            Self::Shutdown => "shutdown",
        }
    }

    /// Bytes carried, for queues that are bounded in bytes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Frame(bytes) | Self::Audio(bytes) | Self::Serial(bytes) => bytes.len(),
            Self::Message(message) => message.bytes.len(),
            Self::JobDone { output, .. } => output.weight(),
            _ => 0,
        }
    }
}

/// Bytes of a serial device, for the parser of its stream. Written by Ingress.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SerialBytes {
    /// The device.
    pub stream: StreamId,
    /// When they arrived.
    pub captured: Mono,
    /// What came.
    pub bytes: Bytes,
}

/// A device came, went or failed, or its queue dropped items. Written by Ingress.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DeviceEvent {
    /// Its link changed.
    Link {
        /// The device.
        stream: StreamId,
        /// When.
        at: Mono,
        /// To what.
        state: LinkState,
    },
    /// Items were dropped.
    Dropped {
        /// The device.
        stream: StreamId,
        /// What its queue does when full.
        policy: DropPolicy,
        /// How many.
        count: u64,
    },
}

/// A new segment has started: state that cannot be saved is reset. Written by Ingress.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentStarted {
    /// Its number.
    pub segment: u32,
}

/// The newest random seed. Written by Ingress.
#[derive(Resource, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RandomSeed(pub u64);

/// The config as it was last read anew, as TOML; empty before, when that of the session is in force. Written by Ingress.
#[derive(Resource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings(pub String);

/// The app has been asked to end. Written by Ingress.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShutdownRequested;

crate::kinds! {
    Stamp => "stamp",
    SerialBytes => "serial_bytes",
    DeviceEvent => "device_event",
    SegmentStarted => "segment_started",
    RandomSeed => "random_seed",
    Settings => "settings",
    ShutdownRequested => "shutdown_requested",
}
