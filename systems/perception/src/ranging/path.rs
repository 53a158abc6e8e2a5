//! Whether something is in the vehicle's path.
//!
//! Its place is followed across the lane, not across the vehicle: in a bend what keeps to the next lane does not cut in.

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::LaneGeometry;

use super::RangingSettings;

/// Slower than this in m/s the vehicle's path is taken as straight: what turns there is a wheel, not a road.
const SLOWEST_MPS: f64 = 3.0;
/// Sharpest bend that is driven, in 1/m.
const SHARPEST_PER_M: f64 = 0.05;
/// No bend leads farther aside than this, to be believed as far ahead as things are seen: metres to the left, a metre forward.
const STEEPEST: f64 = 0.4;
/// Slower sideways in m/s is no change of lane.
const LEAST_RATE_MPS: f64 = 0.3;
/// Something this far outside in metres does not come in within a second.
const FAR_OUT_M: f64 = 1.5;

/// The strip of road ahead that the vehicle will take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Corridor {
    /// Middle at the front bumper, in metres left of the vehicle's middle.
    middle_m: f64,
    /// Metres to the left, a metre forward.
    slope: f64,
    curvature_per_m: f64,
    /// How far the middle of something without width may be from the middle of the strip, in metres.
    half_width_m: f64,
    /// Whether it is the ego lane.
    pub is_lane: bool,
}

impl Corridor {
    /// The ego lane; where it is not known what speed and yaw rate say.
    pub fn new(
        settings: &RangingSettings,
        lane: Option<&LaneGeometry>,
        speed_mps: Option<f64>,
        yaw_rate_radps: Option<f64>,
    ) -> Self {
        let lane = lane.map(|lane| Self {
            middle_m: -f64::from(lane.offset_m),
            slope: -libm::tan(lane.heading_rad.into()),
            curvature_per_m: lane.curvature_per_m.into(),
            half_width_m: f64::from(lane.width_m) / 2.0 - settings.lane_overlap_m,
            is_lane: true,
        });
        if let Some(lane) = lane.filter(Corridor::is_sound) {
            return lane;
        }
        let bend = match (speed_mps, yaw_rate_radps) {
            (Some(speed), Some(rate)) if speed > SLOWEST_MPS => (rate / speed).clamp(-SHARPEST_PER_M, SHARPEST_PER_M),
            _ => 0.0,
        };
        Self {
            middle_m: 0.0,
            slope: 0.0,
            curvature_per_m: if bend.is_finite() { bend } else { 0.0 },
            half_width_m: settings.vehicle_width_m / 2.0 + settings.path_margin_m,
            is_lane: false,
        }
    }

    fn is_sound(&self) -> bool {
        let fits = |number: f64, most: f64| number.abs() <= most;
        fits(self.middle_m, 5.0)
            && fits(self.slope, 1.0)
            && fits(self.curvature_per_m, SHARPEST_PER_M)
            && (0.5..5.0).contains(&self.half_width_m)
    }

    /// Where it leads this far before the bumper: metres to the left, a metre forward.
    pub fn along(&self, ahead_m: f64) -> f64 {
        (self.slope + self.curvature_per_m * ahead_m).clamp(-STEEPEST, STEEPEST)
    }

    /// Its middle this far before the bumper, in metres left of the vehicle's middle.
    pub fn middle_at(&self, ahead_m: f64) -> f64 {
        self.middle_m + self.slope * ahead_m + self.curvature_per_m * ahead_m * ahead_m / 2.0
    }
}

/// Where something is across the corridor: a Kalman filter over place and speed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Across {
    /// Metres left of the corridor's middle.
    pub offset_m: f64,
    /// To the left, in m/s.
    pub rate_mps: f64,
    /// Variances of both, and what they have in common.
    offset_var: f64,
    rate_var: f64,
    shared: f64,
    pub in_path: bool,
    was_lane: bool,
}

impl Across {
    /// First seen `offset_m` left of the middle of a corridor.
    pub fn new(offset_m: f64, variance: f64, corridor: &Corridor) -> Self {
        Self {
            offset_m,
            rate_mps: 0.0,
            offset_var: variance,
            rate_var: 1.0,
            shared: 0.0,
            in_path: false,
            was_lane: corridor.is_lane,
        }
    }

    /// Lets time go by, in which it may have been steered by `acceleration` m/s².
    pub fn advance(&mut self, seconds: f64, acceleration: f64) {
        let (dt, power) = (seconds, acceleration * acceleration * seconds);
        self.offset_m += self.rate_mps * dt;
        self.offset_var += 2.0 * self.shared * dt + self.rate_var * dt * dt + power * dt * dt / 3.0;
        self.shared += self.rate_var * dt + power * dt / 2.0;
        self.rate_var += power;
    }

    /// Takes in where it was seen.
    pub fn learn(&mut self, offset_m: f64, variance: f64, corridor: &Corridor) {
        let is_other = self.was_lane != corridor.is_lane;
        let residual = offset_m - self.offset_m;
        let expected = self.offset_var + variance;
        if is_other || residual * residual > 25.0 * expected {
            // Measured against something else, or something else is measured.
            let kept = Self { in_path: self.in_path, ..Self::new(offset_m, variance, corridor) };
            *self = if is_other { Self { rate_mps: self.rate_mps, ..kept } } else { kept };
            return;
        }
        let (gain, rate_gain) = (self.offset_var / expected, self.shared / expected);
        self.offset_m += gain * residual;
        self.rate_mps += rate_gain * residual;
        self.rate_var -= rate_gain * self.shared;
        self.shared -= gain * self.shared;
        self.offset_var -= gain * self.offset_var;
    }

    /// Judges anew whether something of this width is in the path:
    ///
    /// - it **is** when its side overlaps the corridor; once it is it must be out by `hysteresis_m` to be out;
    /// - it **will be** when it moves inwards, surely and faster than 0.3 m/s, is at most 1.5 m outside, and
    ///   overlaps within `look_ahead_s` at this speed: somebody who cuts in.
    pub fn judge(&mut self, settings: &RangingSettings, corridor: &Corridor, width_m: f64) {
        let limit = corridor.half_width_m + width_m / 2.0;
        let (kept_m, calm) = if self.in_path { (settings.hysteresis_m, 0.5) } else { (0.0, 1.0) };
        let place = self.offset_m.abs();
        let inwards = -self.rate_mps * self.offset_m.signum();
        let sure = inwards > calm * LEAST_RATE_MPS && inwards > calm * 2.0 * self.rate_var.max(0.0).sqrt();
        let soon = sure && place < limit + FAR_OUT_M && place - inwards * settings.look_ahead_s < limit;
        self.in_path = place < limit + kept_m || soon;
    }

    pub fn is_sound(&self) -> bool {
        [self.offset_m, self.rate_mps, self.offset_var, self.rate_var, self.shared].iter().all(|n| n.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAR_M: f64 = 1.8;

    fn lane(offset_m: f32, heading_rad: f32, curvature_per_m: f32) -> Corridor {
        let lane = LaneGeometry { offset_m, heading_rad, curvature_per_m, width_m: 3.5 };
        Corridor::new(&RangingSettings::default(), Some(&lane), None, None)
    }

    fn judged(offset_m: f64, was: bool) -> bool {
        let corridor = lane(0.0, 0.0, 0.0);
        let mut across = Across { in_path: was, ..Across::new(offset_m, 0.01, &corridor) };
        across.judge(&RangingSettings::default(), &corridor, CAR_M);
        across.in_path
    }

    #[test]
    fn the_lane_is_where_offset_heading_and_bend_put_it() {
        assert!((lane(0.4, 0.0, 0.0).middle_at(30.0) + 0.4).abs() < 1e-6);
        assert!((lane(0.0, 0.02, 0.0).middle_at(30.0) + 0.6).abs() < 1e-3, "we point to the left of it");
        assert!((lane(0.0, 0.0, 0.002).middle_at(30.0) - 0.9).abs() < 1e-6, "it bends to the left");
    }

    #[test]
    fn it_leads_where_it_bends_to() {
        assert!((lane(0.4, 0.0, 0.0).along(30.0)).abs() < 1e-9);
        assert!((lane(0.0, 0.02, 0.002).along(30.0) - 0.04).abs() < 1e-5, "0.06 by the bend, 0.02 back by the heading");
        assert_eq!(lane(0.0, 0.0, -0.04).along(90.0), -STEEPEST, "no bend goes on like that");
    }

    #[test]
    fn a_car_is_in_the_path_when_it_overlaps_the_lane() {
        // (3.5 + 1.8) / 2 - 0.3 = 2.35, and 0.2 more to get out again.
        for (offset, was, is) in [(2.3, false, true), (2.4, false, false), (-2.3, false, true), (2.5, true, true)] {
            assert_eq!(judged(offset, was), is, "{offset} {was}");
        }
        assert!(!judged(2.6, true) && !judged(f64::NAN, true));
    }

    #[test]
    fn without_a_lane_the_own_path_counts() {
        let settings = RangingSettings::default();
        let path = Corridor::new(&settings, None, Some(20.0), Some(0.1));
        assert!((path.middle_at(40.0) - 4.0).abs() < 1e-9, "0.005 / m over 40 m");
        let standing = Corridor::new(&settings, None, Some(0.5), Some(0.1));
        assert_eq!(standing.middle_at(40.0), 0.0);
        let broken = LaneGeometry { offset_m: f32::NAN, ..LaneGeometry::default() };
        assert!(!Corridor::new(&settings, Some(&broken), None, Some(f64::NAN)).is_lane);
    }

    #[test]
    fn who_moves_in_is_in_the_path_before_the_line() {
        let (settings, corridor) = (RangingSettings::default(), lane(0.0, 0.0, 0.0));
        let mut across = Across::new(3.5, 0.01, &corridor);
        let mut seen_at = None;
        for n in 1..30 {
            let truth = 3.5 - 0.1 * f64::from(n);
            across.advance(0.1, settings.lateral_mps2);
            across.learn(truth, 0.01, &corridor);
            across.judge(&settings, &corridor, CAR_M);
            if across.in_path && seen_at.is_none() {
                seen_at = Some(truth);
            }
        }
        assert!(seen_at.is_some_and(|truth| (2.5..3.4).contains(&truth)), "{seen_at:?}");
        let mut keeps = Across::new(3.5, 0.01, &corridor);
        for n in 0..100 {
            keeps.advance(0.1, settings.lateral_mps2);
            keeps.learn(3.5 + if n % 2 == 0 { 0.1 } else { -0.1 }, 0.01, &corridor);
            keeps.judge(&settings, &corridor, CAR_M);
            assert!(!keeps.in_path, "{n}");
        }
    }
}
