//! How the own vehicle moves, and which warnings are given.

use std::collections::BTreeMap;

use bevy_ecs::resource::Resource;
use serde::{Deserialize, Serialize};

use crate::device::FunctionState;
use crate::id::StreamId;
use crate::outcome::AlertKind;
use crate::time::Mono;

/// How the vehicle moves. Written by `ego::follow`.
#[derive(Resource, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EgoMotion {
    /// When this was concluded.
    pub at: Mono,
    /// Speed over ground in m/s; none where nothing fresh tells it.
    pub speed_mps: Option<f32>,
    /// Change of the speed in m/s²; none where it is not known.
    pub acceleration_mps2: Option<f32>,
    /// Direction of travel in degrees clockwise from true north, as last known while the vehicle moved.
    pub heading_deg: Option<f32>,
    /// How fast the vehicle turns to the left, in radians a second; none where nothing tells it.
    pub yaw_rate_radps: Option<f32>,
    /// When what the speed was told by was measured.
    pub measured: Option<Mono>,
    /// Whether the vehicle is known to stand.
    pub standing: bool,
}

/// What a fix says of the vehicle's motion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EgoSample {
    /// When it was measured.
    pub at: Mono,
    /// Speed over ground in m/s.
    pub speed_mps: f32,
    /// Course over ground in degrees clockwise from true north.
    pub course_deg: Option<f32>,
}

/// What the last fixes said. Written by `ego::follow`.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EgoHistory {
    /// The last few, oldest first.
    pub samples: Vec<EgoSample>,
    /// Whether the vehicle is known to stand.
    pub standing: bool,
    /// The last course while it moved, in degrees clockwise from true north.
    pub heading_deg: Option<f32>,
}

/// The state of a warning function, after ISO 15623 and ISO 17361.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarningFunction {
    /// The state.
    pub state: FunctionState,
    /// Why, in words that a person can act on. Empty when active.
    pub reason: String,
}

/// Which warning functions there are, and how they are. Written by `warnings::warn`.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WarningFunctions(pub BTreeMap<AlertKind, WarningFunction>);

/// What keeps a vehicle from being parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stir {
    /// It moves, or is not known to stand.
    Motion,
    /// What a range finder sees has come nearer or gone away.
    Distance,
    /// Somebody speaks.
    Speech,
    /// Somebody watches, or talks through the loudspeaker.
    Operator,
    /// A command has come in.
    Command,
    /// A warning is given.
    Alert,
}

impl Stir {
    /// For a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Motion => "the vehicle moves, or is not known to stand",
            Self::Distance => "something has come nearer or gone away",
            Self::Speech => "somebody speaks",
            Self::Operator => "somebody watches",
            Self::Command => "a command has come in",
            Self::Alert => "a warning is given",
        }
    }
}

/// Whether the vehicle is parked: it has stood for a while, and nothing has happened. Written by `parked::judge`.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parked {
    /// Whether it is: cameras give one picture a second then, and ticks are 100 ms apart.
    pub parked: bool,
    /// Since when nothing has happened; none while something does.
    pub quiet_since: Option<Mono>,
    /// What happened last.
    pub stir: Option<Stir>,
    /// By range finder: the distance in metres that others are compared with; none where it saw nothing.
    pub distances: Vec<(StreamId, Option<f32>)>,
}

crate::kinds! {
    Parked => "parked",
    EgoMotion => "ego_motion",
    EgoHistory => "ego_history",
    WarningFunctions => "warning_functions",
}
