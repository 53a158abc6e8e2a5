//! How the own vehicle moves, from satellite fixes and from the bend of the lane.
//!
//! A fix tells speed (by Doppler, good to a tenth of a metre a second) and course; the change of both tells acceleration and
//! yaw rate, roughly and late. The lane's curvature tells the yaw rate of a vehicle that follows it. What is known is told
//! with the time at which it was measured; between fixes the speed goes on as it changed.

use std::time::Duration;

use waywarden_components::motion::{EgoHistory, EgoMotion, EgoSample};
use waywarden_components::time::Mono;

/// Fixes that are kept: as many as the slope of the speed is taken over.
const KEPT: usize = 4;
/// Fixes further apart are not compared.
const LONGEST_GAP: Duration = Duration::from_millis(2500);
/// Below this speed a vehicle that stood still stands, in m/s; receivers say up to so much of one that does not move.
const STANDS_MPS: f32 = 0.5;
/// From this speed on one that stood moves, in m/s.
const MOVES_MPS: f32 = 1.0;
/// Below this speed a course means nothing, in m/s.
const COURSE_MPS: f32 = 2.0;
/// A speed goes on changing for no longer than this behind a fix.
const GOES_ON: Duration = Duration::from_millis(1200);
/// No road vehicle brakes or gathers speed faster, in m/s².
const MOST_MPS2: f32 = 12.0;
/// Faster no road vehicle turns, in radians a second.
const MOST_RADPS: f32 = 1.0;
/// Standard deviations of a yaw rate: from two courses a second apart, in radians a second; from a lane, in radians a metre.
const COURSE_SIGMA: f32 = 0.02;
const LANE_SIGMA_PER_M: f32 = 1.0e-3;

/// Takes what a fix says. One that is older than the last, or no number, changes nothing.
pub fn take(history: &mut EgoHistory, sample: EgoSample) {
    let sound = sample.speed_mps.is_finite()
        && sample.speed_mps >= 0.0
        && sample.course_deg.is_none_or(|course| course.is_finite());
    if !sound || history.samples.last().is_some_and(|last| sample.at <= last.at) {
        return;
    }
    history.standing = match history.samples.last() {
        // Two in a row, so that one odd fix neither stops nor starts a vehicle.
        Some(last) if last.speed_mps < STANDS_MPS && sample.speed_mps < STANDS_MPS => true,
        Some(last) if last.speed_mps >= STANDS_MPS && sample.speed_mps >= STANDS_MPS => false,
        _ => history.standing && sample.speed_mps < MOVES_MPS,
    };
    if let Some(course) = sample.course_deg.filter(|_| sample.speed_mps >= COURSE_MPS) {
        history.heading_deg = Some(course);
    }
    history.samples.push(sample);
    let surplus = history.samples.len().saturating_sub(KEPT);
    history.samples.drain(..surplus);
}

/// How the vehicle moves at `now`. `curvature_per_m` is that of the lane it follows, positive to the left, if one is seen.
/// `fresh` says whether the receiver can be relied on.
pub fn motion(history: &EgoHistory, now: Mono, fresh: bool, curvature_per_m: Option<f32>) -> EgoMotion {
    let Some(last) = history.samples.last().filter(|_| fresh) else {
        return EgoMotion { at: now, heading_deg: history.heading_deg, ..EgoMotion::default() };
    };
    let acceleration = acceleration(&history.samples);
    let age = now.since(last.at).min(GOES_ON).as_secs_f32();
    let speed = if history.standing { 0.0 } else { (last.speed_mps + acceleration.unwrap_or(0.0) * age).max(0.0) };
    let by_course = course_rate(&history.samples).map(|rate| (rate, COURSE_SIGMA));
    let by_lane = curvature_per_m
        .filter(|curvature| curvature.is_finite() && speed >= COURSE_MPS)
        .map(|curvature| (curvature * speed, LANE_SIGMA_PER_M * speed));
    let yaw_rate = match (by_course, by_lane) {
        _ if history.standing => Some(0.0),
        (Some((a, sigma_a)), Some((b, sigma_b))) => {
            let (weight_a, weight_b) = (1.0 / (sigma_a * sigma_a), 1.0 / (sigma_b * sigma_b));
            Some((a * weight_a + b * weight_b) / (weight_a + weight_b))
        }
        (one, other) => one.or(other).map(|(rate, _)| rate),
    };
    EgoMotion {
        at: now,
        speed_mps: Some(speed),
        acceleration_mps2: acceleration,
        heading_deg: history.heading_deg,
        yaw_rate_radps: yaw_rate.map(|rate| rate.clamp(-MOST_RADPS, MOST_RADPS)),
        measured: Some(last.at),
        standing: history.standing,
    }
}

/// Slope of the speed over the fixes that are near each other, in m/s²; none with fewer than two.
fn acceleration(samples: &[EgoSample]) -> Option<f32> {
    let near = near(samples);
    let first = near.first()?;
    let points = || near.iter().map(|sample| (sample.at.since(first.at).as_secs_f32(), sample.speed_mps));
    let count = near.len() as f32;
    let (sum_t, sum_v) = points().fold((0.0, 0.0), |(t, v), point| (t + point.0, v + point.1));
    let (mean_t, mean_v) = (sum_t / count, sum_v / count);
    let above: f32 = points().map(|(t, v)| (t - mean_t) * (v - mean_v)).sum();
    let below: f32 = points().map(|(t, _)| (t - mean_t) * (t - mean_t)).sum();
    (near.len() > 1 && below > 0.0).then(|| (above / below).clamp(-MOST_MPS2, MOST_MPS2))
}

/// The fixes at the end that follow each other closely.
fn near(samples: &[EgoSample]) -> &[EgoSample] {
    let gap = samples.windows(2).rposition(|pair| match pair {
        [a, b] => b.at.since(a.at) > LONGEST_GAP,
        _ => false,
    });
    samples.get(gap.map_or(0, |at| at + 1)..).unwrap_or_default()
}

/// How fast the course turns to the left between the last two fixes, in radians a second.
fn course_rate(samples: &[EgoSample]) -> Option<f32> {
    let [.., a, b] = near(samples) else { return None };
    if a.speed_mps < COURSE_MPS || b.speed_mps < COURSE_MPS {
        return None;
    }
    // Courses are clockwise; the shorter way round.
    let turned = (a.course_deg? - b.course_deg? + 540.0).rem_euclid(360.0) - 180.0;
    Some(turned.to_radians() / b.at.since(a.at).as_secs_f32())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: f64) -> Mono {
        Mono::from_secs_f64(seconds)
    }

    fn history(samples: &[(f64, f32, Option<f32>)]) -> EgoHistory {
        let mut history = EgoHistory::default();
        for &(seconds, speed_mps, course_deg) in samples {
            take(&mut history, EgoSample { at: at(seconds), speed_mps, course_deg });
        }
        history
    }

    #[test]
    fn a_braking_vehicle_is_slower_than_its_last_fix() {
        let history = history(&[(1.0, 20.0, None), (2.0, 17.0, None), (3.0, 14.0, None)]);
        let motion = motion(&history, at(3.5), true, None);
        assert!((motion.acceleration_mps2.unwrap() + 3.0).abs() < 1e-3);
        assert!((motion.speed_mps.unwrap() - 12.5).abs() < 1e-3);
        assert_eq!((motion.measured, motion.standing, motion.yaw_rate_radps), (Some(at(3.0)), false, None));
    }

    #[test]
    fn one_odd_fix_neither_stops_nor_starts_a_vehicle() {
        let mut history = history(&[(1.0, 0.1, None), (2.0, 0.2, None)]);
        assert!(history.standing);
        take(&mut history, EgoSample { at: at(3.0), speed_mps: 0.8, course_deg: None });
        assert!(history.standing);
        assert_eq!(motion(&history, at(3.0), true, None).speed_mps, Some(0.0));
        take(&mut history, EgoSample { at: at(4.0), speed_mps: 0.9, course_deg: None });
        assert!(!history.standing);
        take(&mut history, EgoSample { at: at(5.0), speed_mps: 0.0, course_deg: None });
        assert!(!history.standing);
    }

    #[test]
    fn a_left_bend_turns_to_the_left_through_north() {
        let history = history(&[(1.0, 20.0, Some(2.0)), (2.0, 20.0, Some(357.0))]);
        let rate = motion(&history, at(2.0), true, None).yaw_rate_radps.unwrap();
        assert!((rate - 5f32.to_radians()).abs() < 1e-4, "{rate}");
        // A lane that bends as much agrees; one that says something else draws the rate to itself.
        let agreed = motion(&history, at(2.0), true, Some(5f32.to_radians() / 20.0)).yaw_rate_radps.unwrap();
        assert!((agreed - rate).abs() < 1e-4);
        assert!(motion(&history, at(2.0), true, Some(0.0)).yaw_rate_radps.unwrap() < rate);
    }

    #[test]
    fn nothing_is_known_without_a_fresh_receiver_but_where_it_went() {
        let history = history(&[(1.0, 20.0, Some(90.0))]);
        let gone = motion(&history, at(9.0), false, Some(0.001));
        assert_eq!(gone, EgoMotion { at: at(9.0), heading_deg: Some(90.0), ..EgoMotion::default() });
    }

    #[test]
    fn a_gap_is_not_bridged() {
        let history = history(&[(1.0, 20.0, Some(10.0)), (9.0, 5.0, Some(90.0))]);
        let motion = motion(&history, at(9.0), true, None);
        assert_eq!((motion.acceleration_mps2, motion.yaw_rate_radps), (None, None));
    }

    proptest! {
        #[test]
        fn whatever_is_said_the_motion_is_one_of_a_road_vehicle(
            samples in prop::collection::vec((any::<u32>(), any::<f32>(), prop::option::of(any::<f32>())), 0..12),
            curvature in prop::option::of(any::<f32>()),
        ) {
            let mut history = EgoHistory::default();
            for (ms, speed_mps, course_deg) in samples {
                take(&mut history, EgoSample { at: Mono(u64::from(ms) * 1_000_000), speed_mps, course_deg });
            }
            let motion = motion(&history, Mono(u64::MAX), true, curvature);
            prop_assert!(motion.speed_mps.is_none_or(|speed| speed >= 0.0));
            prop_assert!(motion.acceleration_mps2.is_none_or(|a| a.abs() <= MOST_MPS2));
            prop_assert!(motion.yaw_rate_radps.is_none_or(|rate| rate.abs() <= MOST_RADPS));
        }
    }
}
