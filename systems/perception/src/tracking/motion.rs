//! How a box moves: a Kalman filter with constant velocity for its middle and its size.
//!
//! The filter of SORT and ByteTrack (arXiv:2110.06864, section A) over the middle, width and height of BoT-SORT
//! (arXiv:2206.14651, section 3.1). None of its matrices couples one of the four numbers with another, so the filter with
//! eight states is four with two, exactly. It is written for time in seconds, as frames come at no fixed rate.

use nalgebra::{Matrix2, Vector2};
use serde::{Deserialize, Serialize};

use super::rect::Rect;

/// Standard deviation of a measured position or size, in sizes of the box (ByteTrack, BoT-SORT).
const MEASURED: f64 = 1.0 / 20.0;

/// Frames in a second for which those papers state the noise of the motion.
const PAPER_HZ: f64 = 30.0;

/// Standard deviation by which a velocity changes in a frame, in sizes a frame.
const VELOCITY: f64 = 1.0 / 160.0;

/// Variance by which a position strays in a second, in sizes squared.
const POSITION_DENSITY: f64 = MEASURED * MEASURED * PAPER_HZ;

/// Variance by which a velocity (sizes a second) strays in a second.
const VELOCITY_DENSITY: f64 = VELOCITY * VELOCITY * PAPER_HZ * PAPER_HZ * PAPER_HZ;

/// Standard deviation of the velocity of something new, in sizes a second: ten times what it changes in a frame.
const FIRST_VELOCITY: f64 = 10.0 * VELOCITY * PAPER_HZ;

/// Boxes do not shrink below this many pixels.
const LEAST_SIZE: f64 = 1.0;

/// One number and how fast it changes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Axis {
    /// In pixels.
    value: f64,
    /// In pixels a second.
    rate: f64,
    /// Variances of value and rate, and between them their covariance.
    spread: [f64; 3],
}

impl Axis {
    fn new(value: f64, size: f64) -> Self {
        let (position, velocity) = (2.0 * MEASURED * size, FIRST_VELOCITY * size);
        Self { value, rate: 0.0, spread: [position * position, 0.0, velocity * velocity] }
    }

    fn state(&self) -> (Vector2<f64>, Matrix2<f64>) {
        let [value, both, rate] = self.spread;
        (Vector2::new(self.value, self.rate), Matrix2::new(value, both, both, rate))
    }

    fn keep(&mut self, mean: Vector2<f64>, spread: Matrix2<f64>) {
        (self.value, self.rate) = (mean[0], mean[1]);
        self.spread = [spread[(0, 0)], (spread[(0, 1)] + spread[(1, 0)]) / 2.0, spread[(1, 1)]];
    }

    /// `seconds` later; `size` says how much it may have strayed.
    fn predict(&mut self, seconds: f64, size: f64) {
        let (mean, spread) = self.state();
        let step = Matrix2::new(1.0, seconds, 0.0, 1.0);
        let (square, cube) = (seconds * seconds, seconds * seconds * seconds);
        // White noise of the velocity's change, summed up over the step.
        let by_velocity = Matrix2::new(cube / 3.0, square / 2.0, square / 2.0, seconds) * VELOCITY_DENSITY;
        let by_position = Matrix2::new(seconds, 0.0, 0.0, 0.0) * POSITION_DENSITY;
        let noise = (by_velocity + by_position) * (size * size);
        self.keep(step * mean, step * spread * step.transpose() + noise);
    }

    /// Takes a measurement of its value.
    fn correct(&mut self, measured: f64, size: f64) {
        let (mean, spread) = self.state();
        let noise = MEASURED * MEASURED * size * size;
        let gain = spread.column(0) / (spread[(0, 0)] + noise);
        let left = Matrix2::identity() - gain * Vector2::new(1.0, 0.0).transpose();
        // Joseph's form: stays positive whatever is rounded.
        self.keep(
            mean + gain * (measured - mean[0]),
            left * spread * left.transpose() + gain * gain.transpose() * noise,
        );
    }
}

/// Where a box is and how it moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Motion {
    x: Axis,
    y: Axis,
    width: Axis,
    height: Axis,
}

impl Motion {
    /// Of a box that was seen for the first time.
    pub fn new(seen: &Rect) -> Self {
        Self {
            x: Axis::new(seen.x, seen.width),
            y: Axis::new(seen.y, seen.height),
            width: Axis::new(seen.width, seen.width),
            height: Axis::new(seen.height, seen.height),
        }
    }

    /// Where it is now, by what is known.
    pub fn rect(&self) -> Rect {
        Rect {
            x: self.x.value,
            y: self.y.value,
            width: self.width.value.max(LEAST_SIZE),
            height: self.height.value.max(LEAST_SIZE),
        }
    }

    /// `seconds` later. What was `lost` in the last look keeps its size: boxes that nobody sees neither swell nor vanish.
    pub fn predict(&mut self, seconds: f64, lost: bool) {
        if lost {
            (self.width.rate, self.height.rate) = (0.0, 0.0);
        }
        let Rect { width, height, .. } = self.rect();
        self.x.predict(seconds, width);
        self.y.predict(seconds, height);
        self.width.predict(seconds, width);
        self.height.predict(seconds, height);
    }

    /// Takes the box that was found for it.
    pub fn correct(&mut self, seen: &Rect) {
        let Rect { width, height, .. } = self.rect();
        self.x.correct(seen.x, width);
        self.y.correct(seen.y, height);
        self.width.correct(seen.width, width);
        self.height.correct(seen.height, height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_a_constant_velocity_at_an_irregular_rate() {
        let at = |t: f64| Rect { x: 100.0 + 40.0 * t, y: 300.0 - 10.0 * t, width: 80.0 + 8.0 * t, height: 60.0 };
        let mut motion = Motion::new(&at(0.0));
        let mut now = 0.0;
        for step in [0.1, 0.2, 0.1, 0.5, 0.1, 0.15, 0.1, 0.3, 0.1, 0.1, 0.2, 0.1] {
            now += step;
            motion.predict(step, false);
            motion.correct(&at(now));
        }
        assert!((motion.x.rate - 40.0).abs() < 2.0 && (motion.y.rate + 10.0).abs() < 2.0, "{motion:?}");
        motion.predict(0.5, false);
        assert!(motion.rect().overlap(&at(now + 0.5)) > 0.95, "{motion:?}");
    }

    #[test]
    fn a_lost_box_keeps_its_size() {
        let mut motion = Motion::new(&Rect { x: 100.0, y: 100.0, width: 50.0, height: 50.0 });
        for width in [55.0, 60.0, 65.0] {
            motion.predict(0.1, false);
            motion.correct(&Rect { x: 100.0, y: 100.0, width, height: 50.0 });
        }
        let before = motion.rect();
        motion.predict(1.0, true);
        assert_eq!(motion.rect().width, before.width);
    }

    #[test]
    fn two_steps_are_as_uncertain_as_one_of_their_length() {
        let mut once = Axis::new(10.0, 20.0);
        let mut twice = once;
        once.predict(0.4, 20.0);
        twice.predict(0.1, 20.0);
        twice.predict(0.3, 20.0);
        for (a, b) in once.spread.into_iter().zip(twice.spread) {
            assert!((a - b).abs() < 1e-9 * a.abs(), "{once:?} {twice:?}");
        }
    }
}
