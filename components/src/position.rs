//! Where the vehicle is, as its satellite receiver says.

use std::collections::BTreeMap;
use std::time::Duration;

use bevy_ecs::component::Component;
use bevy_ecs::resource::Resource;
use serde::{Deserialize, Serialize};

use crate::id::StreamId;
use crate::input::Stamp;
use crate::time::{Mono, UtcOffset};

/// How a fix was made (NMEA GGA quality indicator).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixQuality {
    /// There is none.
    #[default]
    Invalid,
    /// Satellites alone.
    Gps,
    /// Corrected by a reference station.
    Dgps,
    /// Precise Positioning Service.
    Pps,
    /// Real-time kinematic, integer ambiguities solved.
    Rtk,
    /// Real-time kinematic, float.
    FloatRtk,
    /// Dead reckoning.
    Estimated,
    /// Entered by hand.
    Manual,
    /// Simulated.
    Simulation,
}

/// How a satellite receiver speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpsProtocol {
    /// NMEA 0183 text.
    #[default]
    Nmea,
    /// GPMF, the metadata of GoPro's cameras.
    Gpmf,
}

impl GpsProtocol {
    /// Whether it is the usual one, which sessions leave out.
    pub fn is_nmea(&self) -> bool {
        *self == Self::Nmea
    }
}

/// Whether a fix may be used. What may not is kept in the record, counted, and used by nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixValidity {
    /// Usable.
    #[default]
    Valid,
    /// At 0°, 0°: what a receiver says that knows nothing.
    NullIsland,
    /// Faster than any road vehicle.
    TooFast,
    /// Farther from the fix before than any road vehicle comes in the time between.
    Jumped,
    /// Deeper or higher than any road.
    Altitude,
    /// The satellites stand so badly that the position may be hundreds of metres off.
    Imprecise,
}

impl FixValidity {
    /// What is wrong with it, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Valid => "nothing",
            Self::NullIsland => "it says 0°, 0°",
            Self::TooFast => "it says a speed that no road vehicle has",
            Self::Jumped => "its position jumps",
            Self::Altitude => "it says an altitude at which there is no road",
            Self::Imprecise => "its satellites stand too badly (dilution above 20)",
        }
    }
}

/// One fix: everything that the receiver said for one moment. Spawned by `gps::parse`, lives for a tick.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[require(Stamp)]
pub struct GpsFix {
    /// Degrees north of the equator, WGS 84.
    pub latitude_deg: f64,
    /// Degrees east of Greenwich, WGS 84.
    pub longitude_deg: f64,
    /// Metres above mean sea level; none when the receiver gave none **for this moment**.
    pub altitude_m: Option<f64>,
    /// Speed over ground in metres a second.
    pub speed_mps: Option<f64>,
    /// Course over ground in degrees clockwise from true north, 0 to 360.
    pub course_deg: Option<f64>,
    /// How it was made.
    pub quality: FixQuality,
    /// Satellites used.
    pub satellites: Option<u32>,
    /// Horizontal dilution of precision, without unit.
    pub hdop: Option<f64>,
    /// UTC time of day in milliseconds since midnight, as the receiver gave it.
    pub time_of_day_ms: u32,
    /// UTC date as (year, month, day), when the receiver gave one.
    pub date: Option<(i32, u32, u32)>,
    /// Periods of 1024 weeks that were added to the date, because the receiver's week number has rolled over.
    #[serde(default)]
    pub rollovers: u8,
    /// Whether it may be used.
    #[serde(default)]
    pub validity: FixValidity,
}

/// What a receiver's bytes turned out to be, counted, and its latest fix. Written by `gps::parse`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GpsState {
    /// Sentences, or payloads of GPMF, understood and used.
    pub good: u64,
    /// Sentences with a wrong or missing checksum, or fields that cannot be read; payloads and samples that are broken.
    pub bad: u64,
    /// Sound sentences, or payloads, of kinds that are not used here.
    pub ignored: u64,
    /// Bytes outside any sentence or payload.
    pub stray_bytes: u64,
    /// The binary protocol that was seen, if any: "SiRF binary", "UBX".
    pub binary: Option<String>,
    /// Fixes made, those that may not be used among them.
    pub fixes: u64,
    /// When the last one that may be used was made.
    pub last_fix: Option<Mono>,
    /// The last one that may be used.
    pub fix: Option<GpsFix>,
    /// Fixes that may not be used.
    #[serde(default)]
    pub doubtful: u64,
    /// When the last one that may not be used was made, and what is wrong with it.
    #[serde(default)]
    pub doubt: Option<(Mono, FixValidity)>,
}

impl GpsState {
    /// How old the last usable fix is.
    pub fn fix_age(&self, now: Mono) -> Option<Duration> {
        self.last_fix.map(|last| now.since(last))
    }
}

/// The date as the satellites tell it. Written by `gps::tell_time`; Ingress sets the clock by it at the beginning of the
/// next tick.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GpsUtc {
    /// Of each receiver, its last usable fixes with a date: when they came, and what to add to that time for UTC, in
    /// nanoseconds.
    pub heard: BTreeMap<StreamId, Vec<(Mono, i64)>>,
    /// The date that follows; none before some fixes agree.
    pub utc: Option<UtcOffset>,
}

crate::kinds! {
    GpsFix => "gps_fix",
    GpsState => "gps_state",
    GpsUtc => "gps_utc",
}
