//! Lane departure, after ISO 17361: the outer edge of the vehicle will cross a line of its lane soon, or has.
//!
//! ISO 17361 wants the warning between an earliest line inside the lane (0.75 m, up to 1.5 s at the rate of departure)
//! and a latest line 0.3 m beyond the lane's line for cars. Here it comes by the time to the line, 0.6 s, and for slow
//! drift by the distance beyond it, 0.1 m.
//!
//! Indicators are not known. Whoever crosses a line quickly is taken to mean it; a slow change of lanes is warned of,
//! once: a side counts again only after the vehicle was well inside the line on that side, in whichever lane.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;

use super::episode::{Finding, Verdict};
use super::scene::{LaneSeen, View};
use super::settings::WarningSettings;
use super::watch::slope;

/// The rate of departure is made of so many seconds of offsets.
const WINDOW_S: f64 = 0.6;
const MOST_OFFSETS: usize = 32;
/// So far inside the line a side counts again, in metres, or half of the way to the middle in a narrow lane.
const INSIDE_M: f32 = 0.25;
/// So far inside a warning ends, in metres.
const BACK_M: f32 = 0.1;
/// Coming back at this rate is no departure, in m/s.
const RETURN_MPS: f32 = -0.05;
/// Leaving the lane at this rate, in m/s, within so many seconds of the line is a change of lanes.
const CHANGE_MPS: f32 = 0.6;
const CHANGE_S: f32 = 1.0;

/// A side of the lane, seen from the vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Side {
    Left,
    Right,
}

/// How the vehicle keeps its lane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LaneKeeping {
    frame: Option<StableId>,
    /// Offsets to the left of the lane's middle, oldest first.
    offsets: VecDeque<(Mono, f32)>,
    /// Drift to the left as last made, in m/s.
    rate_mps: Option<f32>,
    /// Whether left and right count: the vehicle was well inside that line since it last left over it.
    counts: (bool, bool),
    /// The side over which the last look saw it leave.
    leaving: Option<(Side, StableId)>,
    /// The side that is warned of.
    warned: Option<Side>,
    /// Whether the last new look was at another lane.
    changed: bool,
}

/// How it is with one side.
#[derive(Clone, Copy)]
struct Margin {
    /// From the vehicle's edge to the line, now; negative is beyond it.
    metres: f32,
    /// How fast that shrinks.
    rate_mps: f32,
}

impl LaneKeeping {
    /// Takes the lane as it is seen now. To be called at every tick, whether or not the function warns.
    pub fn look(&mut self, settings: &WarningSettings, view: &View) {
        self.changed = false;
        let (Some(lane), Some(speed)) = (view.lane, view.speed_mps) else {
            *self = Self::default();
            return;
        };
        if self.frame == Some(lane.frame) {
            return;
        }
        self.frame = Some(lane.frame);
        let at = view.now - std::time::Duration::from_secs_f32(lane.age_s);
        let offset = lane.geometry.offset_m;
        let jumped = self.offsets.back().is_some_and(|&(_, was)| {
            (was - offset).abs() > lane.geometry.width_m / 2.0 && was.is_sign_positive() != offset.is_sign_positive()
        });
        if jumped {
            self.offsets.clear();
            (self.counts, self.leaving, self.changed) = ((false, false), None, true);
        }
        self.offsets.push_back((at, offset));
        while self.offsets.len() > MOST_OFFSETS
            || self.offsets.front().is_some_and(|o| at.since(o.0).as_secs_f64() > WINDOW_S)
        {
            self.offsets.pop_front();
        }
        // The heading may be off by the yaw of the camera, the slope by noise: the smaller of the two is sure.
        let heading = speed * libm::sinf(lane.geometry.heading_rad);
        let moved = slope(self.offsets.iter().copied()).map(|(slope, _)| slope);
        self.rate_mps = moved.map(|m| match m * heading > 0.0 {
            true if m.abs() < heading.abs() => m,
            true => heading,
            false => 0.0,
        });
        let inside = INSIDE_M.min((lane.geometry.width_m - settings.vehicle_width_m).max(0.0) / 4.0);
        self.counts.0 |= self.margin(settings, &lane, Side::Left).metres >= inside;
        self.counts.1 |= self.margin(settings, &lane, Side::Right).metres >= inside;
    }

    /// Whether the vehicle is changing lanes: no reason to be told that the vehicle it pulls out behind is near.
    pub fn changing(&self, settings: &WarningSettings, view: &View) -> bool {
        let Some(lane) = view.lane.filter(|l| l.confidence >= settings.lane_departure.least_confidence) else {
            return false;
        };
        [Side::Left, Side::Right].into_iter().any(|side| {
            let m = self.margin(settings, &lane, side);
            m.rate_mps >= CHANGE_MPS && m.metres <= m.rate_mps * CHANGE_S
        })
    }

    pub fn judge(&mut self, settings: &WarningSettings, view: &View) -> Verdict {
        let Some(lane) = view.lane else { return Verdict::Over("no lane is seen") };
        if self.changed {
            self.warned = None;
            return Verdict::Over("the lane was changed; indicators are not known");
        }
        let s = &settings.lane_departure;
        let mut over = None;
        for side in [Side::Left, Side::Right] {
            let m = self.margin(settings, &lane, side);
            let soon = m.rate_mps >= s.least_rate_mps && m.metres <= m.rate_mps * s.crossing_s;
            let beyond = m.metres <= -s.beyond_m && m.rate_mps > RETURN_MPS;
            if m.rate_mps > s.most_rate_mps && soon {
                *self.count(side) = false;
            } else if *self.count(side) && self.rate_mps.is_some() && (soon || beyond) {
                over = Some(side);
            }
        }
        if let Some(side) = over {
            let again = self.leaving.is_some_and(|(before, frame)| before == side && frame != lane.frame);
            if again {
                *self.count(side) = false;
                self.warned = Some(side);
                return Verdict::Warn(self.finding(settings, &lane, side));
            }
            if self.leaving.is_none_or(|(before, _)| before != side) {
                self.leaving = Some((side, lane.frame));
            }
        } else {
            self.leaving = None;
        }
        let Some(side) = self.warned else { return Verdict::Clear("inside the lane") };
        let m = self.margin(settings, &lane, side);
        let soon = m.rate_mps >= s.least_rate_mps && m.metres <= 1.5 * m.rate_mps * s.crossing_s;
        if m.metres < BACK_M || soon {
            Verdict::Hold(self.finding(settings, &lane, side))
        } else {
            Verdict::Clear("back inside the lane")
        }
    }

    /// Nothing is warned of.
    pub fn forget(&mut self) {
        (self.warned, self.leaving) = (None, None);
    }

    fn count(&mut self, side: Side) -> &mut bool {
        match side {
            Side::Left => &mut self.counts.0,
            Side::Right => &mut self.counts.1,
        }
    }

    fn margin(&self, settings: &WarningSettings, lane: &LaneSeen, side: Side) -> Margin {
        let to_left = match side {
            Side::Left => 1.0,
            Side::Right => -1.0,
        };
        let rate_mps = to_left * self.rate_mps.unwrap_or(0.0);
        let seen = (lane.geometry.width_m - settings.vehicle_width_m) / 2.0 - to_left * lane.geometry.offset_m;
        Margin { metres: seen - rate_mps * lane.age_s, rate_mps }
    }

    fn finding(&self, settings: &WarningSettings, lane: &LaneSeen, side: Side) -> Finding {
        let m = self.margin(settings, lane, side);
        let to = match side {
            Side::Left => "left",
            Side::Right => "right",
        };
        let crossed = m.metres <= -settings.lane_departure.beyond_m.max(0.0);
        let level = if crossed { AlertLevel::Warning } else { AlertLevel::Caution };
        let text = if m.metres <= 0.0 {
            format!("leaving the lane to the {to}: {:.1} m over the line", -m.metres)
        } else if m.rate_mps > 0.05 {
            format!(
                "leaving the lane to the {to}: {:.1} m from the line, over it in {:.1} s",
                m.metres,
                m.metres / m.rate_mps
            )
        } else {
            format!("leaving the lane to the {to}: {:.1} m from the line", m.metres)
        };
        let before = self.leaving.filter(|(was, _)| *was == side).map(|(_, frame)| frame);
        Finding::new(level, text, before.into_iter().chain([lane.frame]).collect())
    }
}
