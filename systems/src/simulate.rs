//! Simulated devices: seeded generators of what a camera, a microphone, a satellite receiver and a range finder would
//! give on one and the same drive.
//!
//! The generators do no I/O and know no wall clock: each `next` returns the next item with its time from the start of
//! the drive, and whoever drives them waits for that time. The same seed gives the same bytes on the same build.

#![expect(clippy::disallowed_methods, reason = "what simulators make is an input, and recorded as such")]

use std::f64::consts::TAU;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub mod camera;
pub mod gps;
pub mod microphone;
pub mod range;

mod road;
mod speech;

pub use camera::CameraSimulator;
pub use gps::GpsSimulator;
pub use microphone::MicrophoneSimulator;
pub use range::RangeSimulator;

/// A slow swing around zero: amplitude, angular speed in radians per unit of its argument, phase in radians.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Swing {
    amplitude: f64,
    speed: f64,
    phase: f64,
}

impl Swing {
    /// A swing of about `amplitude` with a period of about `period`, each within a fifth.
    fn about(amplitude: f64, period: f64, rng: &mut ChaCha8Rng) -> Self {
        let mut near = |value: f64| value * rng.random_range(0.8..1.2);
        let (amplitude, period) = (near(amplitude), near(period));
        Self { amplitude, speed: TAU / period, phase: rng.random_range(0.0..TAU) }
    }

    fn at(self, t: f64) -> f64 {
        self.amplitude * (self.speed * t + self.phase).sin()
    }

    fn slope(self, t: f64) -> f64 {
        self.amplitude * self.speed * (self.speed * t + self.phase).cos()
    }

    /// Integral from 0 to `t`.
    fn integral(self, t: f64) -> f64 {
        self.amplitude / self.speed * (self.phase.cos() - (self.speed * t + self.phase).cos())
    }
}

/// The truth of a simulated drive: smooth functions of the time in seconds since its start. All devices of one seed
/// agree with it, and so with each other.
///
/// The vehicle follows a winding road: it moves along a straight axis with a changing speed and sways to its sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Drive {
    seed: u64,
    /// Speed along the axis in metres a second.
    cruise: f64,
    speed: [Swing; 2],
    /// The road's sway to the right of the axis, in metres over metres along it.
    sway: Swing,
    /// Direction of the axis, radians clockwise from north.
    axis: f64,
    start: (f64, f64),
    lateral: [Swing; 2],
    lead: Swing,
}

impl Drive {
    /// The drive of this seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            seed,
            cruise: rng.random_range(15.0..25.0),
            speed: [Swing::about(6.0, 60.0, &mut rng), Swing::about(2.0, 17.0, &mut rng)],
            sway: Swing::about(12.0, 600.0, &mut rng),
            axis: rng.random_range(0.0..TAU),
            start: (rng.random_range(47.0..49.0), rng.random_range(10.0..12.0)),
            lateral: [Swing::about(0.25, 11.0, &mut rng), Swing::about(0.15, 4.3, &mut rng)],
            lead: Swing::about(19.0, 26.0, &mut rng),
        }
    }

    /// A generator of random numbers for one device of the drive. Each `device` gets numbers of its own.
    fn rng(&self, device: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(device);
        rng
    }

    /// Metres along the axis since the start.
    fn along(&self, t: f64) -> f64 {
        self.cruise * t + self.speed.iter().map(|swing| swing.integral(t)).sum::<f64>()
    }

    /// Speed over ground in metres a second.
    pub fn speed_mps(&self, t: f64) -> f64 {
        let along = self.cruise + self.speed.iter().map(|swing| swing.at(t)).sum::<f64>();
        along * self.sway.slope(self.along(t)).hypot(1.0)
    }

    /// Direction of travel in degrees clockwise from true north, 0 to 360.
    pub fn heading_deg(&self, t: f64) -> f64 {
        (self.axis + self.sway.slope(self.along(t)).atan()).to_degrees().rem_euclid(360.0)
    }

    /// Curvature of the road in 1/m, positive to the right.
    pub fn curvature(&self, t: f64) -> f64 {
        let along = self.along(t);
        let bend = -self.sway.speed.powi(2) * self.sway.at(along);
        bend / (1.0 + self.sway.slope(along).powi(2)).powf(1.5)
    }

    /// Metres driven since the start, to within a part in a hundred: for what moves past the camera.
    pub fn distance_m(&self, t: f64) -> f64 {
        self.along(t)
    }

    /// Latitude and longitude in degrees, WGS 84.
    pub fn position(&self, t: f64) -> (f64, f64) {
        const METRES_A_DEGREE: f64 = 111_320.0;
        let along = self.along(t);
        let side = self.sway.at(along);
        let north = along * self.axis.cos() - side * self.axis.sin();
        let east = along * self.axis.sin() + side * self.axis.cos();
        let latitude = self.start.0 + north / METRES_A_DEGREE;
        (latitude, self.start.1 + east / (METRES_A_DEGREE * self.start.0.to_radians().cos()))
    }

    /// How far right of its lane's middle the vehicle is, in metres.
    pub fn lateral_m(&self, t: f64) -> f64 {
        self.lateral.iter().map(|swing| swing.at(t)).sum()
    }

    /// Distance from the vehicle's front to the car ahead in metres: 4 m when it is near, about 40 m when it is far.
    pub fn lead_m(&self, t: f64) -> f64 {
        4.0 + self.lead.amplitude + self.lead.at(t)
    }
}

/// Nanoseconds at which item `n` of `rate` items a second comes.
fn nth_nanos(n: u64, rate: f64) -> u64 {
    (n as f64 * 1e9 / rate).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_is_consistent_with_itself() {
        for seed in 0..20 {
            let drive = Drive::new(seed);
            for step in 0..2_000 {
                let (t, dt) = (f64::from(step) * 0.1, 1e-3);
                let (north, east) = (
                    drive.position(t + dt).0 - drive.position(t - dt).0,
                    drive.position(t + dt).1 - drive.position(t - dt).1,
                );
                let (north, east) = (north * 111_320.0, east * 111_320.0 * drive.start.0.to_radians().cos());
                let speed = north.hypot(east) / (2.0 * dt);
                assert!((speed - drive.speed_mps(t)).abs() < 0.01, "{seed} {t}: {speed} {}", drive.speed_mps(t));
                assert!((3.0..45.0).contains(&speed), "{seed} {t}: {speed}");
                let heading = east.atan2(north).to_degrees().rem_euclid(360.0);
                let off = (heading - drive.heading_deg(t) + 180.0).rem_euclid(360.0) - 180.0;
                assert!(off.abs() < 0.1, "{seed} {t}: {heading}");
                assert!((4.0..51.0).contains(&drive.lead_m(t)));
                assert!(drive.lateral_m(t).abs() < 0.6 && drive.curvature(t).abs() < 0.01);
            }
        }
    }

    #[test]
    fn seeds_differ_and_repeat() {
        assert_eq!(Drive::new(7), Drive::new(7));
        assert_ne!(Drive::new(7).position(10.0), Drive::new(8).position(10.0));
    }
}
