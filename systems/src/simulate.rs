//! Simulated devices: seeded generators of what a camera, a microphone, a satellite receiver and a range finder would
//! give on one and the same drive, and of what is true of it.
//!
//! A [`Scenario`] says what the drive is to be, a seed makes one of it: a [`Drive`]. The generators do no I/O and know no
//! wall clock: each `next` returns the next item with its time from the start of the drive, and whoever drives them waits
//! for that time, or does not ([`reader`]). One scenario and seed give the same bytes on every machine of one
//! architecture: arithmetic is addition, multiplication, division, `sqrt` and the crate `libm`.

pub mod camera;
pub mod drive;
pub mod gps;
pub mod microphone;
pub mod perceive;
pub mod range;
pub mod reader;
pub mod scenario;
pub mod stamp;
pub mod truth;

mod chance;
mod counter;
mod path;
mod picture;
mod road;
mod speech;
mod traffic;
mod view;

pub use camera::{CameraSettings, CameraSimulator};
pub use drive::{Drive, Moment};
pub use gps::GpsSimulator;
pub use microphone::MicrophoneSimulator;
pub use range::RangeSimulator;
pub use scenario::Scenario;
pub use truth::TruthSimulator;

/// Nanoseconds at which item `n` of `rate` items a second comes.
fn nth_nanos(n: u64, rate: f64) -> u64 {
    (n as f64 * 1e9 / rate).round() as u64
}

#[cfg(test)]
mod tests;
