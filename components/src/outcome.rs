//! What outlives a sample: things followed over time, warnings, people connected, and what is told to a reader of the log.

use bevy_ecs::component::Component;
use bevy_ecs::message::Message;
use serde::{Deserialize, Serialize};

use crate::id::StableId;
use crate::perception::{Detection, ObjectClass};
use crate::time::Mono;

/// An obstacle followed over frames.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// What it is.
    pub class: ObjectClass,
    /// The last box, in pixels of the frame.
    pub latest: Detection,
    /// Distance along the vehicle's x axis in metres, and its standard deviation.
    pub distance_m: Option<(f32, f32)>,
    /// Closing speed in metres a second, positive when it comes nearer.
    pub closing_mps: Option<f32>,
    /// When it was first seen.
    pub first_seen: Mono,
    /// When it was last seen.
    pub last_seen: Mono,
}

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertLevel {
    /// Worth knowing.
    Notice,
    /// Look now.
    Caution,
    /// Act now.
    Warning,
}

/// A warning from its start to its end.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is about: `forward_collision`, `lane_departure`, ...
    pub kind: String,
    /// How urgent.
    pub level: AlertLevel,
    /// When it began.
    pub started: Mono,
    /// The frames, tracks or readings that agree.
    pub evidence: Vec<StableId>,
}

/// A person or program that watches or talks.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorSession {
    /// When it began.
    pub started: Mono,
    /// When it was last heard of.
    pub last_heard: Mono,
    /// Whether the operator's voice may come out of the vehicle's loudspeaker.
    pub may_talk: bool,
}

/// How serious a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeLevel {
    /// Good to know.
    Info,
    /// Something is less than it should be.
    Warning,
    /// Something does not work.
    Error,
}

/// A line for the log of the session and of the process.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// How serious.
    pub level: NoticeLevel,
    /// Who says so: the name of a stream or function.
    pub source: String,
    /// What.
    pub text: String,
}

crate::kinds! {
    Track => "track",
    Alert => "alert",
    OperatorSession => "operator_session",
    Notice => "notice",
}
