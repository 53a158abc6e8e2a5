//! What the filter assumes, and what may be set.

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::ObjectClass;

use super::Sight;
use super::belief::{Ageing, Turn};
use super::modes::Switching;
use super::path::Corridor;
use super::size::Size;

/// Where the own speed is not known, roads are taken for such of this speed in m/s; no road is slower than the other.
const USUAL_MPS: f64 = 14.0;
const SLOW_MPS: f64 = 8.0;

/// How boxes are believed and what counts as in the path.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RangingSettings {
    /// Standard deviation of a box's edge: this, in pixels.
    pub edge_px: f64,
    /// And in addition this share of the box's height.
    pub edge_share: f64,
    /// Standard deviation of what the bottom edge is off because the camera nods, in radians. More than that of the
    /// nodding itself, because the nods of frames that follow each other are alike.
    pub nod_sigma_rad: f64,
    /// How long an error of the believed pitch lasts, in seconds.
    pub pitch_lasts_s: f64,
    /// Standard deviation of a vehicle's acceleration in m/s².
    pub vehicle_mps2: f64,
    /// Likewise of people and bicycles.
    pub walker_mps2: f64,
    /// Of the own vehicle, where its speed is not known.
    pub own_mps2: f64,
    /// How long an acceleration lasts in seconds.
    pub acceleration_lasts_s: f64,
    /// How hard a vehicle brakes that brakes hard, in m/s².
    pub braking_mps2: f64,
    /// Standard deviation of it in m/s².
    pub braking_spread_mps2: f64,
    /// How often in a second a vehicle begins to brake hard.
    pub brakes_hz: f64,
    /// How often in a second one that brakes hard ceases to.
    pub ceases_hz: f64,
    /// How much the size of something changes in a second, as a share: it turns, doors open.
    pub shape_share: f64,
    /// Standard deviation of the acceleration sideways in bends that are not seen yet, in m/s².
    pub bend_mps2: f64,
    /// Standard deviation of the direction of vehicles to that of the road, in radians.
    pub turn_rad: f64,
    /// How long both last, in seconds.
    pub turn_lasts_s: f64,
    /// What is further off than this many standard deviations is not believed.
    pub gate: f64,
    /// Longest time in seconds without a sight, after which all is begun anew.
    pub longest_gap_s: f64,
    /// A time to collision is told from this many standard deviations of the closing speed on.
    pub significance: f64,
    /// And from this closing speed on, in m/s.
    pub least_closing_mps: f64,
    /// Longest time to collision that is told, in seconds; a longer one is told as this.
    pub longest_ttc_s: f64,
    /// Standard deviation of a steered acceleration sideways in m/s².
    pub lateral_mps2: f64,
    /// How much of something must be inside the ego lane's line to be in the lane, in metres.
    pub lane_overlap_m: f64,
    /// Width of the own vehicle in metres.
    pub vehicle_width_m: f64,
    /// What is nearer than this to the side of the own path, where no lane is known, is in it; in metres.
    pub path_margin_m: f64,
    /// How far out something must be that was in the path, in metres.
    pub hysteresis_m: f64,
    /// Who moves inwards is in the path this many seconds before.
    pub look_ahead_s: f64,
    /// Reach of the range finder in metres.
    pub range_reach_m: f64,
    /// Standard deviation of a reading in metres.
    pub range_sigma_m: f64,
    /// Half the width of its beam in metres.
    pub range_beam_m: f64,
    /// Oldest reading that is used, in seconds from the frame or the time asked for.
    pub range_age_s: f64,
}

impl Default for RangingSettings {
    fn default() -> Self {
        Self {
            edge_px: 1.0,
            edge_share: 0.03,
            nod_sigma_rad: 0.0045,
            pitch_lasts_s: 20.0,
            vehicle_mps2: 1.5,
            walker_mps2: 0.8,
            own_mps2: 2.0,
            acceleration_lasts_s: 1.0,
            braking_mps2: 8.0,
            braking_spread_mps2: 2.0,
            brakes_hz: 0.1,
            ceases_hz: 0.5,
            shape_share: 0.01,
            bend_mps2: 0.2,
            turn_rad: 0.001,
            turn_lasts_s: 30.0,
            gate: 4.0,
            longest_gap_s: 1.5,
            significance: 2.0,
            least_closing_mps: 0.5,
            longest_ttc_s: 20.0,
            lateral_mps2: 1.0,
            lane_overlap_m: 0.3,
            vehicle_width_m: 1.8,
            path_margin_m: 0.3,
            hysteresis_m: 0.2,
            look_ahead_s: 1.0,
            range_reach_m: 12.0,
            range_sigma_m: 0.08,
            range_beam_m: 0.1,
            range_age_s: 0.3,
        }
    }
}

impl RangingSettings {
    /// Standard deviation of an edge of a box of this height, in pixels.
    pub fn edge_sigma_px(&self, height_px: f64) -> f64 {
        libm::hypot(self.edge_px, self.edge_share * height_px)
    }

    /// Standard deviation of the change of closing speed, in m/s².
    pub(super) fn acceleration(&self, class: ObjectClass, speed_mps: Option<f64>) -> f64 {
        let theirs = match class {
            ObjectClass::Person | ObjectClass::Bicycle => self.walker_mps2,
            _ => self.vehicle_mps2,
        };
        let own = if speed_mps.is_some() { 0.0 } else { self.own_mps2 };
        (theirs * theirs + own * own).sqrt()
    }

    /// How fast something closes in that was seen once, and the standard deviation of that, in m/s.
    pub(super) fn first_closing(&self, class: ObjectClass, speed_mps: Option<f64>) -> (f64, f64) {
        match (class, speed_mps) {
            (ObjectClass::Person, Some(speed)) => (speed, 2.0),
            (ObjectClass::Bicycle, Some(speed)) => (speed - 3.0, 5.0),
            // With the traffic, standing, or coming towards us.
            (_, Some(speed)) => (speed / 3.0, 10.0 + speed.abs() / 3.0),
            (_, None) => (0.0, 15.0),
        }
    }

    /// How beliefs grow old: that it drives on, and that it brakes hard.
    pub(super) fn ageing(&self, class: ObjectClass, speed_mps: Option<f64>, pitch: f64) -> (Ageing, Ageing) {
        let drives = Ageing {
            tends_to: 0.0,
            acceleration: self.acceleration(class, speed_mps),
            lasting_s: self.acceleration_lasts_s,
            pitch,
            pitch_s: self.pitch_lasts_s,
            shape: self.shape_share,
            turn: self.turn(class, speed_mps),
        };
        let spread = self.braking_spread_mps2;
        let brakes = Ageing { tends_to: self.braking_mps2, acceleration: spread, lasting_s: 0.3, ..drives };
        (drives, brakes)
    }

    /// How unsure it is which way something points. Roads are built for those who drive on them: the slower, the narrower are
    /// bends.
    pub(super) fn turn(&self, class: ObjectClass, speed_mps: Option<f64>) -> Turn {
        let size = Size::of(class);
        let speed = speed_mps.map_or(USUAL_MPS, f64::abs).max(SLOW_MPS);
        Turn {
            slim: size.length_m / size.width_m,
            angle: self.turn_rad,
            curvature: self.bend_mps2 / (speed * speed),
            lasting_s: self.turn_lasts_s,
        }
    }

    /// How one becomes the other. Who walks or rides a bicycle does not brake hard; what stands cannot.
    pub(super) fn switching(&self, class: ObjectClass, speed_mps: Option<f64>, closing_mps: f64) -> Switching {
        let stands = speed_mps.is_some_and(|speed| closing_mps > speed - 1.0);
        let brakes_hz = if class.is_vehicle() && !stands { self.brakes_hz } else { 0.0 };
        Switching { brakes_hz, ceases_hz: if stands { 10.0 * self.ceases_hz } else { self.ceases_hz } }
    }

    pub(super) fn corridor(&self, sight: &Sight<'_>) -> Corridor {
        Corridor::new(self, sight.lane.as_ref(), sight.speed_mps, sight.yaw_rate_radps)
    }
}
