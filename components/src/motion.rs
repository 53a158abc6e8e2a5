//! How the own vehicle moves, and which warnings are given.

use std::collections::BTreeMap;

use bevy_ecs::resource::Resource;
use serde::{Deserialize, Serialize};

use crate::device::FunctionState;
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

crate::kinds! {
    EgoMotion => "ego_motion",
    EgoHistory => "ego_history",
    WarningFunctions => "warning_functions",
}
