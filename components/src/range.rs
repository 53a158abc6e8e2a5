//! Distances.

use bevy_ecs::component::Component;
use serde::{Deserialize, Serialize};

use crate::input::Stamp;
use crate::time::Mono;

/// How a range finder speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeProtocol {
    /// Benewake TFmini, TFmini Plus, TF-Luna: frames of 9 bytes, `59 59 dist_l dist_h strength_l strength_h temp_l temp_h sum`.
    #[default]
    Tfmini,
    /// A decimal number of metres a line, optionally followed by a comma and the signal strength.
    Ascii,
}

/// One distance. Spawned by `range::parse`, lives for a tick.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[require(Stamp)]
pub struct RangeReading {
    /// Metres from the sensor's face to whatever it sees.
    pub distance_m: f32,
    /// Signal strength as the sensor gives it, without unit.
    pub strength: Option<u16>,
    /// Whether the value may be used.
    pub validity: RangeValidity,
}

/// Whether a reading may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeValidity {
    /// Usable.
    Valid,
    /// Too little light came back.
    Weak,
    /// So much light came back that the sensor is blinded.
    Saturated,
    /// Outside what the sensor can measure.
    OutOfRange,
}

/// What a range finder's bytes turned out to be, counted, and its latest valid reading. Written by `range::parse`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RangeState {
    /// Readings that may be used.
    pub valid: u64,
    /// Readings that may not.
    pub invalid: u64,
    /// Frames with a wrong sum, or lines that are no numbers.
    pub bad: u64,
    /// Bytes outside any frame.
    pub stray_bytes: u64,
    /// When the last valid reading came.
    pub last_valid: Option<Mono>,
    /// The last valid distance in metres; none where it is no longer fresh.
    pub distance_m: Option<f32>,
}

crate::kinds! {
    RangeReading => "range_reading",
    RangeState => "range_state",
}
