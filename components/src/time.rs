//! Time as systems see it: the tick's clock and nothing else.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use bevy_ecs::resource::Resource;
use serde::{Deserialize, Serialize};

/// Nanoseconds since the vehicle's computer booted (`CLOCK_BOOTTIME`), or since the start of an imported recording.
///
/// Never goes back, needs no clock chip, says nothing about the date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mono(pub u64);

impl Mono {
    /// The moment `ns` nanoseconds after boot.
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// The moment `s` seconds after boot; negative and unusable values become zero.
    pub fn from_secs_f64(s: f64) -> Self {
        Self((s.max(0.0) * 1e9).round() as u64)
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since boot.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;

    fn add(self, by: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Mono {
    type Output = Mono;

    fn sub(self, by: Duration) -> Mono {
        Mono(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_secs_f64())
    }
}

/// Where the date came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UtcSource {
    /// The computer's battery-backed clock.
    Rtc,
    /// A time server.
    Ntp,
    /// The GPS receiver.
    Gps,
}

/// The date, as an offset to the monotonic clock. Unknown until a source has spoken: vehicle boards boot in 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UtcOffset {
    /// Nanoseconds to add to [`Mono`] to get nanoseconds since 1970-01-01 UTC.
    pub offset_ns: i64,
    /// Who said so.
    pub source: UtcSource,
    /// How far off it may be, in nanoseconds.
    pub uncertainty_ns: u64,
}

/// The tick's clock: the only time that a system may read. Written by Ingress, from the journal in a replay.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// Number of this tick, from 1. Counts on over segments.
    pub tick: u64,
    /// When this tick began.
    pub now: Mono,
    /// The date, if it is known.
    pub utc: Option<UtcOffset>,
}

impl Clock {
    /// Nanoseconds since 1970-01-01 UTC, if the date is known.
    pub fn utc_nanos(&self) -> Option<i64> {
        let utc = self.utc?;
        i64::try_from(self.now.0).ok()?.checked_add(utc.offset_ns)
    }
}

crate::kinds! { Clock => "clock" }
