//! Chance that depends on a seed, a role and a frame alone.

use std::f64::consts::TAU;

use libm::{cos, log, sqrt};
use waywarden_components::prelude::*;

use crate::simulate::chance::{mix, unit};

/// The chances of one look, or of one thing in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chance(u64);

impl Chance {
    pub fn new(seed: u64, role: JobRole, frame: StableId) -> Self {
        let role = match role {
            JobRole::Segmentation => 1,
            JobRole::Detection => 2,
        };
        Self(mix(mix(mix(seed, role), u64::from(frame.stream.0)), frame.seq))
    }

    /// Those of something with a number.
    pub fn of(self, number: u64) -> Self {
        Self(mix(self.0, number))
    }

    /// From 0 to below 1, for each `key` another one.
    pub fn unit(self, key: u64) -> f64 {
        unit(self.0, key)
    }

    /// Normally distributed around 0 with standard deviation 1 (Box and Muller, "A note on the generation of random normal
    /// deviates", 1958).
    pub fn normal(self, key: u64) -> f64 {
        let (a, b) = (unit(self.0 ^ 0xa5a5, key), unit(self.0 ^ 0x5a5a, key));
        sqrt(-2.0 * log(1.0 - a)) * cos(TAU * b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_chance_is_normal_and_follows_from_its_names() {
        let frame = |seq| StableId::new(StreamId(1), seq);
        let chances: Vec<f64> =
            (0..4000).map(|seq| Chance::new(7, JobRole::Detection, frame(seq)).of(3).normal(1)).collect();
        let mean = chances.iter().sum::<f64>() / 4000.0;
        let variance = chances.iter().map(|chance| (chance - mean) * (chance - mean)).sum::<f64>() / 4000.0;
        assert!(mean.abs() < 0.06 && (variance - 1.0).abs() < 0.1, "{mean} {variance}");
        let one = Chance::new(7, JobRole::Detection, frame(1));
        assert_eq!(one, Chance::new(7, JobRole::Detection, frame(1)));
        assert_ne!(one, Chance::new(7, JobRole::Segmentation, frame(1)));
        assert_ne!(one, Chance::new(8, JobRole::Detection, frame(1)));
    }
}
