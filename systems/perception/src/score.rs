//! How good what was seen is, against labels: pure functions over the labels and the findings of one picture or drive.
//!
//! Each gives counts of one unit (a picture or a drive). Counts add up, and units can be drawn again for an interval
//! ([`bootstrap`]).

pub mod blobs;
pub mod bootstrap;
pub mod boxes;
pub mod culane;
pub mod errors;
pub mod gate;
pub mod kitti;
pub mod lane_pixels;
pub mod road;
pub mod speech;
pub mod truth;
pub mod tusimple;
pub mod warnings;

use std::ops::{Add, Mul};

/// A part of a whole: both are counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The part.
    pub part: u64,
    /// The whole.
    pub whole: u64,
}

impl Share {
    /// One thing, which belongs to the part or not.
    pub fn one(yes: bool) -> Self {
        Self { part: u64::from(yes), whole: 1 }
    }

    /// 0 to 1; none of nothing.
    pub fn value(self) -> Option<f64> {
        (self.whole > 0).then(|| self.part as f64 / self.whole as f64)
    }
}

impl Add for Share {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { part: self.part.saturating_add(other.part), whole: self.whole.saturating_add(other.whole) }
    }
}

impl Mul<u32> for Share {
    type Output = Self;

    fn mul(self, times: u32) -> Self {
        Self { part: self.part.saturating_mul(times.into()), whole: self.whole.saturating_mul(times.into()) }
    }
}

/// What was found against what there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Of what was found: what is right.
    pub precision: Share,
    /// Of what there is: what was found.
    pub recall: Share,
}

impl Tally {
    /// Harmonic mean of precision and recall; none where either is of nothing.
    pub fn f1(self) -> Option<f64> {
        let (precision, recall) = (self.precision.value()?, self.recall.value()?);
        Some(if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 })
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { precision: self.precision + other.precision, recall: self.recall + other.recall }
    }
}

impl Mul<u32> for Tally {
    type Output = Self;

    fn mul(self, times: u32) -> Self {
        Self { precision: self.precision * times, recall: self.recall * times }
    }
}

/// The sum of units, each as often as its weight says.
pub fn sum<T: Copy + Default + Add<Output = T> + Mul<u32, Output = T>>(units: &[T], weights: &[u32]) -> T {
    units.iter().zip(weights).fold(T::default(), |sum, (unit, times)| sum + *unit * *times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_nothing_has_no_value() {
        let sum = Share { part: 1, whole: 4 } + Share::one(true);
        assert_eq!((sum, sum.value(), Share::default().value()), (Share { part: 2, whole: 5 }, Some(0.4), None));
        let units = [Share { part: 1, whole: 1 }, Share { part: 0, whole: 1 }];
        assert_eq!(super::sum(&units, &[3, 1]).value(), Some(0.75));
    }

    #[test]
    fn f1_is_the_harmonic_mean() {
        let tally = |p, r| Tally { precision: Share { part: p, whole: 4 }, recall: Share { part: r, whole: 4 } };
        // 2 * 0.5 * 1 / 1.5
        assert!((tally(2, 4).f1().unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((tally(0, 0).f1(), Tally::default().f1()), (Some(0.0), None));
    }
}
