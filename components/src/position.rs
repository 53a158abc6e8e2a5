//! Where the vehicle is, as its satellite receiver says.

use bevy_ecs::component::Component;
use serde::{Deserialize, Serialize};

use crate::input::Stamp;
use crate::time::Mono;

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
    /// Fixes made.
    pub fixes: u64,
    /// When the last one was made.
    pub last_fix: Option<Mono>,
    /// The last one.
    pub fix: Option<GpsFix>,
}

crate::kinds! {
    GpsFix => "gps_fix",
    GpsState => "gps_state",
}
