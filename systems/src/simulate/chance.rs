//! Chance that depends on nothing but its key, and slow swings. Both give the same numbers on every machine.

use libm::{cos, sin};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

/// A well mixed number for a key (the finaliser of SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014).
pub(super) fn mix(seed: u64, key: u64) -> u64 {
    let mut z = seed ^ key.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number from 0 to below 1 for a key.
pub(super) fn unit(seed: u64, key: u64) -> f64 {
    (mix(seed, key) >> 11) as f64 / (1u64 << 53) as f64
}

/// A smooth function of `x` from 0 to 1 with a feature about every 1: value noise.
pub(super) fn smooth(seed: u64, x: f64) -> f64 {
    let cell = x.floor();
    let t = x - cell;
    let key = cell as i64 as u64;
    let (a, b) = (unit(seed, key), unit(seed, key.wrapping_add(1)));
    a + (b - a) * ease(t)
}

/// From 0 to 1 while `t` goes from 0 to 1, with a slope of 0 at both ends.
pub(super) fn ease(t: f64) -> f64 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The same, with a curvature of 0 at both ends as well.
pub(super) fn ease_gently(t: f64) -> f64 {
    let t = t.clamp(0.0, 1.0);
    t * t * t * (10.0 + t * (6.0 * t - 15.0))
}

/// A slow swing around zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Swing {
    amplitude: f64,
    /// Radians per unit of its argument.
    speed: f64,
    phase: f64,
}

impl Swing {
    /// A swing of about `amplitude` with a period of about `period`, each within a fifth.
    pub fn about(amplitude: f64, period: f64, rng: &mut ChaCha8Rng) -> Self {
        let mut near = |value: f64| value * rng.random_range(0.8..1.2);
        let (amplitude, period) = (near(amplitude), near(period));
        Self { amplitude, speed: TAU / period, phase: rng.random_range(0.0..TAU) }
    }

    pub fn at(self, x: f64) -> f64 {
        self.amplitude * sin(self.speed * x + self.phase)
    }

    pub fn slope(self, x: f64) -> f64 {
        self.amplitude * self.speed * cos(self.speed * x + self.phase)
    }
}
