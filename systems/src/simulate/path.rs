//! The road as it lies before the vehicle: from distances along it to places in the vehicle's frame.

use libm::{cos, sin};

use super::drive::{Moment, Plan};

/// Metres of road that are laid out behind the front bumper, and before it.
const BEHIND_M: f64 = 40.0;
const AHEAD_M: f64 = 480.0;
const STEP_M: f64 = 1.0;

/// A place on the reference line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Waypoint {
    /// Metres from the front bumper: forward and left.
    pub x: f64,
    pub y: f64,
    /// Radians left of the vehicle's direction.
    pub heading: f64,
}

/// The reference line in the vehicle's frame.
#[derive(Clone, Debug)]
pub(super) struct Path {
    points: Vec<Waypoint>,
}

impl Path {
    /// Lays out the road as it is around the vehicle.
    pub fn new(plan: &Plan, moment: &Moment) -> Self {
        let heading = -moment.heading;
        let here = Waypoint { x: moment.left * sin(heading), y: -moment.left * cos(heading), heading };
        let mut points = Vec::with_capacity(((BEHIND_M + AHEAD_M) / STEP_M) as usize + 2);
        let mut at = here;
        for n in 0..(BEHIND_M / STEP_M) as u32 {
            let s = moment.s - (f64::from(n) + 0.5) * STEP_M;
            at = advance(at, plan.road.curvature(s), -STEP_M);
            points.push(at);
        }
        points.reverse();
        points.push(here);
        let mut at = here;
        for n in 0..(AHEAD_M / STEP_M) as u32 {
            let s = moment.s + (f64::from(n) + 0.5) * STEP_M;
            at = advance(at, plan.road.curvature(s), STEP_M);
            points.push(at);
        }
        Self { points }
    }

    /// The reference line `ahead` metres before the front bumper along it; beyond its ends it goes straight on.
    pub fn at(&self, ahead: f64) -> Waypoint {
        let place = (ahead + BEHIND_M) / STEP_M;
        let last = self.points.len().saturating_sub(2);
        let n = (place.floor().max(0.0) as usize).min(last);
        let (a, b) = (self.points[n], self.points[n + 1]);
        let share = place - n as f64;
        let mix = |a: f64, b: f64| a + (b - a) * share;
        Waypoint { x: mix(a.x, b.x), y: mix(a.y, b.y), heading: mix(a.heading, b.heading) }
    }

    /// The place `left` metres left of the reference line, `ahead` metres along it.
    pub fn place(&self, ahead: f64, left: f64) -> Waypoint {
        let at = self.at(ahead);
        Waypoint { x: at.x - left * sin(at.heading), y: at.y + left * cos(at.heading), heading: at.heading }
    }
}

fn advance(at: Waypoint, curvature: f64, ds: f64) -> Waypoint {
    let middle = at.heading + curvature * ds / 2.0;
    Waypoint { x: at.x + ds * cos(middle), y: at.y + ds * sin(middle), heading: at.heading + curvature * ds }
}
