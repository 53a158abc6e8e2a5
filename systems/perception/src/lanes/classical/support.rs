//! Whether a lane is there: paint along both lines, and road between them.

use waywarden_components::prelude::*;

use super::evidence::{Evidence, Mark};
use super::fit::Fit;
use crate::road_plane::RoadPoint;

/// The road on which lines are expected, in metres before the lens.
const EXPECTED_M: (f64, f64) = (6.0, 30.0);
/// How far a mark may be off its line, in standard deviations.
const ON_LINE: f64 = 2.5;
/// Marks this near to a line are of it, in metres: edges of worn paint, double lines.
const BESIDE_M: f64 = 0.3;
/// The surroundings of a line, in metres.
const AROUND_M: f64 = 0.5;
/// Rows in a row in which a line is seen, or it is not seen: paint is long, clutter is not.
const LEAST_RUN: usize = 2;
/// Rows of road that a picture has at least.
const LEAST_ROWS: usize = 8;

/// What speaks for a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Support {
    /// Share of the rows in which the left line is seen.
    pub left: f64,
    /// Likewise the right line.
    pub right: f64,
    /// Share of the rows in which something like paint is between them.
    pub inside: f64,
    /// Share of the marks around both lines that are on them: 1 for clean paint, little in bushes.
    pub tight: f64,
}

impl Support {
    /// How good it is: 0.5 is just enough, 1 is perfect.
    pub fn quality(&self) -> f64 {
        let weaker = (self.left.min(self.right) / 0.15).min(1.0);
        let both = ((self.left + self.right) / 0.9).min(1.0);
        let clean = (1.0 - (self.inside - 0.15).max(0.0)).max(0.0);
        let tight = ((self.tight - 0.35) / 0.35).clamp(0.0, 1.0);
        weaker * clean * tight * (0.3 + 0.7 * both)
    }
}

/// What speaks for this lane; none where too little of the road is in the picture.
pub fn of(evidence: &Evidence, fit: &Fit) -> Option<Support> {
    let plane = &evidence.plane;
    let row = |forward_m: f64| {
        // Where it would be without the nod.
        let nearness = 1.0 / forward_m - fit.nod_rad / plane.height_m();
        let seen = (nearness > 0.0).then(|| RoadPoint { forward_m: 1.0 / nearness, left_m: 0.0 });
        plane.to_image(seen?).map(|point| f64::from(point.y))
    };
    let (far, near) = (row(EXPECTED_M.1)?.max(0.0), row(EXPECTED_M.0)?.min(f64::from(evidence.rows)));
    let (first, rows) = (far as usize, (near - far).max(0.0) as usize / LaneFeatures::ROW_STEP);
    if rows < LEAST_ROWS {
        return None;
    }
    let (mut left, mut right, mut inside) = (vec![false; rows], vec![false; rows], vec![false; rows]);
    let (mut left_tight, mut right_tight) = (Tightness::default(), Tightness::default());
    for mark in &evidence.marks {
        let at = usize::from(mark.row).checked_sub(first).map(|row| row / LaneFeatures::ROW_STEP);
        let Some(at) = at.filter(|at| *at < rows) else { continue };
        let off = |left_m: f64| mark.slope - fit.bearing(left_m, mark.nearness, plane);
        let (from_left, from_right) = (off(fit.shape.left_m), off(fit.shape.right_m));
        let on = ON_LINE * evidence.sigma(mark);
        left_tight.add(from_left.abs(), on, mark);
        right_tight.add(from_right.abs(), on, mark);
        left[at] |= from_left.abs() <= on;
        right[at] |= from_right.abs() <= on;
        let beside = BESIDE_M * mark.nearness;
        inside[at] |= from_left < -beside && from_right > beside;
    }
    let share = |seen: &[bool]| runs(seen) as f64 / rows as f64;
    let tight = left_tight.share().min(right_tight.share());
    Some(Support { left: share(&left), right: share(&right), inside: share(&inside), tight })
}

/// Clear marks on a line, and around it.
#[derive(Default)]
struct Tightness {
    on: f64,
    around: f64,
}

impl Tightness {
    fn add(&mut self, off: f64, on: f64, mark: &Mark) {
        if off <= AROUND_M * mark.nearness {
            self.around += mark.weight;
            self.on += if off <= on { mark.weight } else { 0.0 };
        }
    }

    fn share(&self) -> f64 {
        if self.around > 0.0 { self.on / self.around } else { 0.0 }
    }
}

/// Rows that are seen in runs which are long enough.
fn runs(seen: &[bool]) -> usize {
    seen.chunk_by(|a, b| a == b).filter(|run| run[0] && run.len() >= LEAST_RUN).map(<[bool]>::len).sum()
}
