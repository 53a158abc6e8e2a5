//! The only place that reads the computer's clocks: the device edge. Systems read the tick's [`Clock`] instead.
//!
//! [`Clock`]: waywarden_components::time::Clock

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use waywarden_components::time::{Mono, UtcOffset, UtcSource};

/// Since when time is told faster than it passes, and how many times: for long trials with simulated devices.
static SPEED: OnceLock<(Mono, f64)> = OnceLock::new();

/// Tells time `speed` times as fast as it passes from now on, in the whole process. The first call counts, and belongs
/// before anything else that reads the clock.
pub fn set_speed(speed: f64) {
    SPEED.get_or_init(|| (read(ClockId::CLOCK_BOOTTIME).unwrap_or_default(), speed));
}

/// Time since the computer booted, sleep included.
pub fn boottime() -> Mono {
    let now = read(ClockId::CLOCK_BOOTTIME).unwrap_or_default();
    match SPEED.get() {
        None => now,
        Some((start, speed)) => *start + now.since(*start).mul_f64(*speed),
    }
}

/// How long so much of the time of [`boottime`] really takes: what a thread waits for.
pub fn to_wait(time: Duration) -> Duration {
    match SPEED.get() {
        None => time,
        Some((_, speed)) => time.div_f64(*speed),
    }
}

/// Time by the clock of which most devices' own stamps are: since the computer booted, without sleep.
pub fn monotonic() -> Mono {
    read(ClockId::CLOCK_MONOTONIC).unwrap_or_default()
}

/// A point in time that tells nothing but how long ago it was: for what measures itself or pauses, outside of every system.
#[expect(clippy::disallowed_methods, reason = "the one place; no system sees it")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Seconds UTC as this computer's clock has it, right or not.
pub fn utc_seconds() -> u64 {
    read(ClockId::CLOCK_REALTIME).unwrap_or_default().0 / 1_000_000_000
}

/// The date as this computer's clock has it, unless it stands before the year 2020: a board without a battery wakes up
/// in 1970.
pub fn system_utc() -> Option<UtcOffset> {
    const YEAR_2020_NS: u64 = 1_577_836_800_000_000_000;
    let utc = read(ClockId::CLOCK_REALTIME)?;
    if utc.0 < YEAR_2020_NS {
        return None;
    }
    let offset_ns = i64::try_from(utc.0).ok()? - i64::try_from(boottime().0).ok()?;
    // Whether a time server keeps it is not known here: call it the clock chip's, to the second.
    Some(UtcOffset { offset_ns, source: UtcSource::Rtc, uncertainty_ns: 1_000_000_000 })
}

/// CPU time that this process has used, in seconds.
pub fn process_cpu_seconds() -> f64 {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Mono::as_secs_f64).unwrap_or_default()
}

fn read(id: ClockId) -> Option<Mono> {
    let time = clock_gettime(id).ok()?;
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    let nanos = u64::try_from(time.tv_nsec()).ok()?;
    Some(Mono(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?))
}
