//! Stable ids: the only names by which things are called in outputs, digests and messages.

use std::fmt;

use bevy_ecs::component::Component;
use serde::{Deserialize, Serialize};

/// A source of numbered things: a device, or one of the app's own streams.
///
/// Devices are numbered from 1 in the order of the config; 0 is the app itself. Numbers from [`StreamId::OWN`] up are
/// given to what the app makes (utterances, tracks, alerts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub u16);

impl StreamId {
    /// The app itself: seeds, offsets, results of jobs.
    pub const APP: StreamId = StreamId(0);
    /// The first number of a stream that the app makes.
    pub const OWN: u16 = 0x8000;
    /// Warnings and notices.
    pub const ALERTS: StreamId = StreamId(Self::OWN + 2);

    /// The recorder: how it goes. Nothing is made of what it says but its health.
    pub const RECORDER: StreamId = StreamId(Self::OWN + 3);

    /// The MQTT broker.
    pub const BROKER: StreamId = StreamId(Self::OWN + 4);

    /// The service that computes models elsewhere: whether it answers.
    pub const REMOTE: StreamId = StreamId(Self::OWN + 5);

    /// The loudspeaker: whether it plays.
    pub const SPEAKER: StreamId = StreamId(Self::OWN + 6);

    /// People and programs that watch over WebRTC.
    pub const OPERATORS: StreamId = StreamId(Self::OWN + 7);

    /// The name of a stream that is no device of the config; none for those, and for what the app makes.
    pub const fn own_name(self) -> Option<&'static str> {
        match self {
            Self::APP => Some("app"),
            Self::RECORDER => Some("recorder"),
            Self::BROKER => Some("broker"),
            Self::REMOTE => Some("remote"),
            Self::SPEAKER => Some("speaker"),
            Self::OPERATORS => Some("operators"),
            _ => None,
        }
    }

    /// The stream of utterances heard by the microphone `device`.
    pub const fn utterances_of(device: StreamId) -> StreamId {
        StreamId(Self::OWN + 0x1000 + device.0)
    }

    /// The stream of objects followed in the pictures of the camera `device`.
    pub const fn tracks_of(device: StreamId) -> StreamId {
        StreamId(Self::OWN + 0x2000 + device.0)
    }
}

/// The name of a thing for its whole life, the same in the live run and in every replay: (stream, number).
///
/// The device entity itself is number 0 of its stream; its samples count from 1.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StableId {
    /// Where it came from.
    pub stream: StreamId,
    /// Its number there.
    pub seq: u64,
}

impl StableId {
    /// Number `seq` of `stream`.
    pub const fn new(stream: StreamId, seq: u64) -> Self {
        Self { stream, seq }
    }

    /// The device that `stream` comes from.
    pub const fn device(stream: StreamId) -> Self {
        Self { stream, seq: 0 }
    }
}

impl fmt::Display for StableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.stream.0, self.seq)
    }
}

crate::kinds! { StableId => "stable_id" }
