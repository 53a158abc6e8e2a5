//! What is seen of each line of a lane: paint along it, and road on the lane's side of it.

use waywarden_components::prelude::*;

use super::kind::{self, Gaps};
use super::marks::Runs;
use crate::lanes::classical::evidence::Evidence;
use crate::lanes::classical::fit::Fit;
use crate::road_plane::{RoadPlane, RoadPoint};

/// The road on which lines are expected, in metres before the lens.
const EXPECTED_M: (f64, f64) = (5.0, 30.0);
/// How far a mark may be off its line, in standard deviations.
const ON_LINE: f64 = 2.5;
/// The surroundings of a line, in metres.
const AROUND_M: f64 = 0.5;
/// Rows in a row in which a line is seen, or it is not seen: paint is long, clutter is not.
const LEAST_RUN: usize = 3;
/// Rows of road that a picture has at least.
const LEAST_ROWS: usize = 8;
/// Share of the rows in which a line is seen, for it to be there: a dash of 3 m in a gap of 9 m is never less.
const CLEAR_SHARE: f64 = 0.16;
/// Road is looked for as far as this, in metres before the lens, at these distances from a line into the lane.
const ROAD_M: f64 = 15.0;
const INWARDS_M: [f64; 3] = [0.4, 0.7, 1.0];
/// Share of those places that are road at least.
const LEAST_ROAD: f64 = 0.2;

/// What is seen of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sight {
    /// Share of the rows in which there is paint on it.
    pub share: f64,
    /// Share of the marks around it that are on it: little in clutter.
    pub tight: f64,
    /// Share of the lane beside it that is road; 1 where nobody knows.
    pub road: f64,
    /// What its gaps say.
    pub gaps: Gaps,
}

impl Sight {
    /// How well it is seen: 0.5 is just enough, 1 is perfect.
    pub fn quality(&self) -> f64 {
        let tight = ((self.tight - 0.1) / 0.25).clamp(0.0, 1.0);
        let road = if self.road < LEAST_ROAD { 0.0 } else { 1.0 };
        (self.share / CLEAR_SHARE).min(1.0) * tight * road
    }

    /// Whether it is seen.
    pub fn is_seen(&self) -> bool {
        self.quality() >= 0.5
    }
}

/// A line while its rows are looked at.
struct Line {
    left_m: f64,
    /// To the left, 1, or to the right, -1, is the lane.
    inwards: f64,
    painted: Vec<bool>,
    on: f64,
    around: f64,
    road: (u32, u32),
}

/// What is seen of the left and the right line of this lane; none where too little road is in the picture. `road` is the
/// drivable mask and its pixels, `size` the frame's.
pub fn of(
    evidence: &Evidence,
    runs: &Runs,
    fit: &Fit,
    road: Option<(&Mask, &[u8])>,
    size: (u32, u32),
) -> Option<(Sight, Sight)> {
    let plane = &evidence.plane;
    let middle = f64::from(size.0) / 2.0;
    // Row by row: its number, how near it seems to be, and how far it is with the nod.
    let rows: Vec<(u16, f64, f64)> = runs
        .rows()
        .filter_map(|row| {
            let seems = plane.direction(middle, runs.y(row))?.down / plane.height_m();
            let forward_m = 1.0 / fit.nodded(seems, plane);
            (seems > 0.0 && (EXPECTED_M.0..=EXPECTED_M.1).contains(&forward_m)).then_some((row, seems, forward_m))
        })
        .collect();
    if rows.len() < LEAST_ROWS {
        return None;
    }
    let line = |left_m: f64, inwards: f64| Line {
        left_m,
        inwards,
        painted: vec![false; rows.len()],
        on: 0.0,
        around: 0.0,
        road: (0, 0),
    };
    let mut lines = [line(fit.shape.left_m, -1.0), line(fit.shape.right_m, 1.0)];
    let first = rows.first().map_or(0, |row| row.0);
    for mark in &evidence.marks {
        let Some(at) = mark.row.checked_sub(first).map(|row| usize::from(row / runs.step.max(1))) else { continue };
        for line in &mut lines {
            let Some(painted) = line.painted.get_mut(at) else { continue };
            let off = (mark.slope - fit.bearing(line.left_m, mark.nearness, plane)).abs();
            if off <= AROUND_M * mark.nearness {
                let on = off <= ON_LINE * evidence.sigma(mark);
                line.around += mark.weight;
                line.on += if on { mark.weight } else { 0.0 };
                *painted |= on;
            }
        }
    }
    if let Some((mask, pixels)) = road {
        let look = Look { mask, pixels, plane, fit, size };
        for (row, seems, forward_m) in rows.iter().step_by(2).filter(|row| row.2 <= ROAD_M) {
            lines.iter_mut().for_each(|line| look.beside(line, runs.y(*row), *seems, *forward_m));
        }
    }
    let forward_m: Vec<f64> = rows.iter().map(|row| row.2).collect();
    let [left, right] = lines;
    Some((left.sight(&forward_m), right.sight(&forward_m)))
}

impl Line {
    fn sight(mut self, forward_m: &[f64]) -> Sight {
        despeckle(&mut self.painted);
        let share = self.painted.iter().filter(|painted| **painted).count() as f64 / self.painted.len().max(1) as f64;
        let tight = if self.around > 0.0 { self.on / self.around } else { 0.0 };
        let road = if self.road.1 > 0 { f64::from(self.road.0) / f64::from(self.road.1) } else { 1.0 };
        Sight { share, tight, road, gaps: kind::gaps(forward_m, &self.painted) }
    }
}

/// Takes away what is too short to be paint.
fn despeckle(painted: &mut [bool]) {
    for run in painted.chunk_by_mut(|a, b| a == b) {
        if run.len() < LEAST_RUN {
            run.fill(false);
        }
    }
}

/// A look at the drivable mask.
struct Look<'a> {
    mask: &'a Mask,
    pixels: &'a [u8],
    plane: &'a RoadPlane,
    fit: &'a Fit,
    size: (u32, u32),
}

impl Look<'_> {
    /// Looks for road on the lane's side of a line in the row at `y`, which seems to be as near as `seems`.
    fn beside(&self, line: &mut Line, y: f64, seems: f64, forward_m: f64) {
        for inwards in INWARDS_M {
            let bearing = self.fit.bearing(line.left_m, seems, self.plane) + line.inwards * inwards / forward_m;
            let seen = RoadPoint { forward_m: 1.0 / seems, left_m: bearing / seems };
            let Some(at) = self.plane.to_image(seen) else { continue };
            let column = f64::from(at.x) / f64::from(self.size.0) * f64::from(self.mask.width);
            let row = y / f64::from(self.size.1) * f64::from(self.mask.height);
            // Beyond the edges of the picture nobody knows.
            if column >= 0.0 && column < f64::from(self.mask.width) && row >= 0.0 {
                let at = row as usize * self.mask.width as usize + column as usize;
                let Some(pixel) = self.pixels.get(at) else { continue };
                line.road = (line.road.0 + u32::from(*pixel != 0), line.road.1 + 1);
            }
        }
    }
}
