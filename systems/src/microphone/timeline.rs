//! When each frame of a stream was heard.
//!
//! Callbacks come when the computer finds the time, frames at the pace of the device's own clock. A delay-locked loop
//! (F. Adriaensen, "Using a DLL to filter time", 2005) draws a line through the times of callbacks: frames get times that
//! are evenly spaced, follow the device's clock, which is never quite what it says, and are right on average, but for the
//! mean time for which a callback waits for a processor.

use std::f64::consts::{SQRT_2, TAU};

use waywarden_components::time::Mono;

/// How quickly the line follows, in hertz, when it has settled.
const BANDWIDTH: f64 = 0.05;
/// The same right at the start.
const FASTEST: f64 = 1.0;
/// What is further off than this, in nanoseconds, is no jitter: the line begins anew.
const JUMP_NS: f64 = 250e6;
/// How far a device's clock may be off what it says.
const WRONG: f64 = 0.05;

/// Draws the line.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Nanoseconds of a frame, as the device says.
    nominal: f64,
    /// As it is.
    period: f64,
    /// Frames so far, and when the last of them was heard, in nanoseconds; none before the first.
    last: Option<(u64, f64)>,
    /// Nanoseconds since the line began.
    age: f64,
}

impl Timeline {
    /// For a device of so many frames a second.
    pub fn new(rate: u32) -> Self {
        let nominal = 1e9 / f64::from(rate.max(1));
        Self { nominal, period: nominal, last: None, age: 0.0 }
    }

    /// So many frames more, the last of which came at `at`. Returns by how many nanoseconds that is off the line, later
    /// being more, if it begins anew for that.
    pub fn heard(&mut self, frames: u64, at: Mono) -> Option<f64> {
        let at = at.0 as f64;
        let count = frames as f64;
        let Some((position, time)) = self.last else {
            self.last = Some((frames, at));
            return None;
        };
        let position = position.saturating_add(frames);
        let expected = time + count * self.period;
        let error = at - expected;
        if error.abs() > JUMP_NS {
            self.last = Some((position, at));
            self.age = 0.0;
            return Some(error);
        }
        let passed = count * self.nominal;
        self.age += passed;
        let bandwidth = (1e9 / self.age.max(1.0)).clamp(BANDWIDTH, FASTEST);
        let omega = (TAU * bandwidth * passed / 1e9).min(0.7);
        self.last = Some((position, expected + SQRT_2 * omega * error));
        let period = self.period + omega * omega * error / count.max(1.0);
        self.period = period.clamp(self.nominal * (1.0 - WRONG), self.nominal * (1.0 + WRONG));
        None
    }

    /// So many frames were lost: what comes next was heard so much later.
    pub fn skip(&mut self, frames: u64) {
        if let Some((_, time)) = &mut self.last {
            *time += frames as f64 * self.period;
        }
    }

    /// Begins anew at the next callback that is late. Returns nothing: what was lost is then known.
    pub fn tear(&mut self, frames: u64, at: Mono) -> u64 {
        let late = self.last.map_or(0.0, |(_, time)| at.0 as f64 - time - frames as f64 * self.period);
        let lost = (late / self.period).max(0.0).round() as u64;
        self.skip(lost);
        self.age = 0.0;
        lost
    }

    /// When the frame at `position` was heard, the first one being 0; none before the first callback.
    pub fn time_of(&self, position: f64) -> Option<Mono> {
        let (count, time) = self.last?;
        let back = (count as f64 - 1.0 - position) * self.period;
        Some(Mono((time - back).max(0.0) as u64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn frames_are_evenly_spaced_however_late_callbacks_come() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        // The device's clock is 300 millionths slow; callbacks wait up to 20 ms, 10 on average, and now and then longer.
        let true_period = 1e9 / 48_000.0 * 1.0003;
        let mut timeline = Timeline::new(48_000);
        let (mut last, mut off, mut gaps) = (0u64, Vec::new(), Vec::new());
        for callback in 1..=2400u64 {
            let heard = 5e9 + (callback * 2400) as f64 * true_period;
            let late = if random.random_range(0..200) == 0 { 120 * MS } else { random.random_range(0..20 * MS) };
            assert_eq!(timeline.heard(2400, Mono(heard as u64 + late)), None);
            let time = timeline.time_of((callback * 2400 - 1) as f64).unwrap().0;
            assert!(time > last, "goes back");
            if callback > 600 {
                off.push(time as f64 - heard);
                gaps.push((time - last) as f64 - 2400.0 * true_period);
            }
            last = time;
        }
        let mean = off.iter().sum::<f64>() / off.len() as f64;
        // 10 ms and the mean of the long ones.
        assert!((mean - 10.55e6).abs() < 0.7e6, "{mean}");
        let worst = off.iter().fold(0.0f64, |worst, off| worst.max((off - mean).abs()));
        assert!(worst < 5e6, "off by {worst} ns from the mean");
        let worst = gaps.iter().fold(0.0f64, |worst, gap| worst.max(gap.abs()));
        assert!(worst < 3e6, "spaced {worst} ns off");
    }

    #[test]
    fn a_hole_moves_what_comes_behind_it() {
        let mut timeline = Timeline::new(16_000);
        timeline.heard(800, Mono(50 * MS));
        timeline.heard(800, Mono(100 * MS));
        assert_eq!(timeline.time_of(1599.0), Some(Mono(100 * MS)));
        timeline.skip(1600);
        timeline.heard(800, Mono(250 * MS));
        assert_eq!(timeline.time_of(2399.0), Some(Mono(250 * MS)));
        // What ALSA lost is told by how late the next callback is.
        assert_eq!(timeline.tear(800, Mono(360 * MS)), 960);
        assert_eq!(timeline.heard(800, Mono(360 * MS)), None);
        assert_eq!(timeline.time_of(3199.0), Some(Mono(360 * MS)));
        assert_eq!(timeline.tear(800, Mono(300 * MS)), 0);
    }

    #[test]
    fn what_is_far_off_begins_a_new_line() {
        let mut timeline = Timeline::new(16_000);
        assert_eq!(timeline.time_of(0.0), None);
        timeline.heard(320, Mono(20 * MS));
        assert!((timeline.heard(320, Mono(1_040 * MS)).unwrap() - 1e9).abs() < 1.0);
        assert_eq!(timeline.time_of(639.0), Some(Mono(1_040 * MS)));
    }

    proptest! {
        #[test]
        fn no_times_upset_it(marks in proptest::collection::vec((any::<u32>(), any::<u64>(), any::<bool>()), 0..50)) {
            let mut timeline = Timeline::new(48_000);
            for (frames, at, torn) in marks {
                if torn {
                    timeline.tear(frames.into(), Mono(at));
                }
                timeline.heard(frames.into(), Mono(at));
                timeline.skip(frames.into());
                prop_assert!(timeline.time_of(f64::from(frames)).is_some());
                prop_assert!(timeline.period.is_finite());
            }
        }
    }
}
