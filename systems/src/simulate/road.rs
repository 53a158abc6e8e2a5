//! The road as it lies in the land: bends, hills, lanes. Everything is a function of the distance along its reference
//! line, the right edge line of the direction of travel.

use rand_chacha::ChaCha8Rng;

use super::chance::{Swing, ease, unit};
use super::scenario::{Line, Scenario};

/// A painted line: where its middle is, in metres left of the reference line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PaintedLine {
    pub left_m: f64,
    pub is_dashed: bool,
}

/// The road.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Road {
    seed: u64,
    bend_every: f64,
    sharpest: f64,
    hills: [Swing; 2],
    pub lanes: u32,
    pub oncoming: u32,
    pub lane_width: f64,
    /// Paved, in metres left of the reference line: from the right to the left edge.
    pub paved: (f64, f64),
    pub lines: Vec<PaintedLine>,
    tunnels: Vec<(f64, f64)>,
}

impl Road {
    pub fn new(scenario: &Scenario, seed: u64, rng: &mut ChaCha8Rng) -> Self {
        let (road, paint) = (&scenario.road, &scenario.paint);
        let (height, every) = (road.hill_height_m / 2.0, road.hill_every_m);
        let hills = [Swing::about(height * 0.75, every, rng), Swing::about(height * 0.25, every * 0.41, rng)];
        let (lanes, oncoming, width) = (road.lanes, road.oncoming_lanes, road.lane_width_m);
        let all = f64::from(lanes + oncoming) * width;
        let inner = f64::from(lanes) * width;
        let mut lines = Vec::new();
        if paint.painted {
            let mut line = |left_m: f64, kind: Line| match kind {
                Line::None => {}
                Line::Dashed => lines.push(PaintedLine { left_m, is_dashed: true }),
                Line::Solid => lines.push(PaintedLine { left_m, is_dashed: false }),
            };
            line(0.0, Line::Solid);
            for n in 1..lanes + oncoming {
                let kind = if n == lanes { paint.centre } else { Line::Dashed };
                line(f64::from(n) * width, kind);
            }
            line(all, Line::Solid);
        }
        let left_shoulder = if oncoming == 0 { road.shoulder_m.min(1.0) } else { road.shoulder_m };
        debug_assert!(inner <= all);
        Self {
            seed,
            bend_every: road.bend_every_m,
            sharpest: 1.0 / road.bend_radius_m,
            hills,
            lanes,
            oncoming,
            lane_width: width,
            paved: (-road.shoulder_m, all + left_shoulder),
            lines,
            tunnels: scenario.tunnel.iter().map(|tunnel| (tunnel.from_m, tunnel.to_m)).collect(),
        }
    }

    /// Curvature of the reference line in 1/m; positive bends to the left. One bend in every stretch, some of them none.
    pub fn curvature(&self, s: f64) -> f64 {
        let cell = (s / self.bend_every).floor();
        let key = cell as i64 as u64;
        let (strength, side) = (unit(self.seed, key.wrapping_mul(2)), unit(self.seed, key.wrapping_mul(2) ^ 1));
        let strength = if strength < 0.2 { 0.0 } else { 0.3 + 0.7 * (strength - 0.2) / 0.8 };
        let t = s / self.bend_every - cell;
        // In and out of the bend over three tenths each, as over a transition curve.
        let shape = ease(t / 0.3) * ease((1.0 - t) / 0.3);
        self.sharpest * strength * shape * if side < 0.5 { 1.0 } else { -1.0 }
    }

    /// Height above `s` of the road `ahead` metres further on, seen from a vehicle that stands on it.
    pub fn rise(&self, s: f64, ahead: f64) -> f64 {
        self.hills.iter().map(|hill| hill.at(s + ahead) - hill.at(s) - hill.slope(s) * ahead).sum()
    }

    /// Height above the sea in metres.
    pub fn altitude(&self, s: f64) -> f64 {
        520.0 + self.hills.iter().map(|hill| hill.at(s)).sum::<f64>()
    }

    /// Middle of a lane (from 1, from the right) in metres left of the reference line.
    pub fn lane_middle(&self, lane: u32) -> f64 {
        (f64::from(lane) - 0.5) * self.lane_width
    }

    /// The lane, from 1, in which something `left` of the reference line is, among those of the direction of travel.
    pub fn lane_of(&self, left: f64) -> u32 {
        ((left / self.lane_width).floor().clamp(0.0, f64::from(self.lanes) - 1.0)) as u32 + 1
    }

    /// The tunnel in which `s` is.
    pub fn tunnel(&self, s: f64) -> Option<(f64, f64)> {
        self.tunnels.iter().copied().find(|(from, to)| (*from..*to).contains(&s))
    }

    pub fn tunnels(&self) -> &[(f64, f64)] {
        &self.tunnels
    }
}
