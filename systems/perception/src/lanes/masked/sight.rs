//! What is seen of each line of a lane: paint along it, and road on the lane's side of it.

use waywarden_components::prelude::*;

use super::marks::Runs;
use crate::lanes::classical::evidence::Evidence;
use crate::lanes::classical::fit::Fit;
use crate::lanes::paint::{self, Gaps, Paint, Row};
use crate::road_plane::{RoadPlane, RoadPoint};

/// Share of the rows in which a line is seen, for it to be there: a dash of 3 m in a gap of 9 m is never less.
const CLEAR_SHARE: f64 = 0.16;
/// Road is looked for as far as this, in metres before the lens, at these distances from a line into the lane.
const ROAD_M: f64 = 15.0;
const INWARDS_M: [f64; 3] = [0.4, 0.7, 1.0];
/// Share of those places that are road at least.
const LEAST_ROAD: f64 = 0.2;

/// What is so far from both lines is between them, in metres; and the share of the rows in which anything may be there.
const INSIDE_M: f64 = 0.6;
const MOST_INSIDE: f64 = 0.35;

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

/// What is seen of a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sights {
    /// Of its left line.
    pub left: Sight,
    /// Of its right line.
    pub right: Sight,
    /// Share of the rows in which something like paint is between them.
    pub inside: f64,
}

impl Sights {
    /// Whether both lines are seen.
    pub fn both(&self) -> bool {
        self.left.is_seen() && self.right.is_seen()
    }

    /// Whether both lines are seen well enough for a lane that nobody expected: in at least this share of the rows, added up,
    /// and with this share of the marks around each on it.
    pub fn is_clear(&self, (share, tight): (f64, f64)) -> bool {
        self.both()
            && self.left.share + self.right.share >= share
            && self.left.tight.min(self.right.tight) >= tight
            && self.inside <= MOST_INSIDE
    }
}

/// What is seen of the left and the right line of this lane; none where too little road is in the picture. `road` is the
/// drivable mask and its pixels, `size` the frame's.
pub fn of(
    evidence: &Evidence,
    runs: &Runs,
    fit: &Fit,
    road: Option<(&Mask, &[u8])>,
    size: (u32, u32),
) -> Option<Sights> {
    let rows = paint::rows(evidence, fit, runs.rows().map(|row| (row, runs.y(row))))?;
    let line = |left_m: f64, inwards: f64| {
        let paint = Paint::of(evidence, fit, left_m, &rows);
        let road = road.and_then(|(mask, pixels)| {
            let look = Look { mask, pixels, plane: &evidence.plane, fit, size };
            let near = rows.iter().step_by(2).filter(|row| row.forward_m <= ROAD_M);
            let beside = near.flat_map(|row| look.beside(left_m, inwards, runs.y(row.row), row));
            let (road, all) = beside.fold((0u32, 0u32), |(road, all), is_road| (road + u32::from(is_road), all + 1));
            (all > 0).then(|| f64::from(road) / f64::from(all))
        });
        // Masks have no gaps in many a dashed line: only those that are there say something.
        let gaps = match paint.gaps(&rows) {
            Gaps::Some => Gaps::Some,
            Gaps::None | Gaps::Unclear => Gaps::Unclear,
        };
        Sight { share: paint.share(), tight: paint.tight, road: road.unwrap_or(1.0), gaps }
    };
    let mut inside = vec![false; rows.len()];
    for mark in &evidence.marks {
        let Ok(at) = rows.binary_search_by_key(&mark.row, |row| row.row) else { continue };
        let off = |left_m: f64| (mark.slope - fit.bearing(left_m, mark.nearness, &evidence.plane)) / mark.nearness;
        if let Some(inside) = inside.get_mut(at) {
            *inside |= off(fit.shape.left_m) < -INSIDE_M && off(fit.shape.right_m) > INSIDE_M;
        }
    }
    let inside = inside.iter().filter(|inside| **inside).count() as f64 / inside.len() as f64;
    Some(Sights { left: line(fit.shape.left_m, -1.0), right: line(fit.shape.right_m, 1.0), inside })
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
    /// Whether there is road on the lane's side of a line in a row, which is at `y`; nothing beyond the edges of the picture.
    fn beside(&self, left_m: f64, inwards: f64, y: f64, row: &Row) -> impl Iterator<Item = bool> {
        INWARDS_M.into_iter().filter_map(move |away_m| {
            let bearing = self.fit.bearing(left_m, row.seems, self.plane) + inwards * away_m / row.forward_m;
            let seen = RoadPoint { forward_m: 1.0 / row.seems, left_m: bearing / row.seems };
            let x = f64::from(self.plane.to_image(seen)?.x);
            let column = x / f64::from(self.size.0) * f64::from(self.mask.width);
            let row = y / f64::from(self.size.1) * f64::from(self.mask.height);
            if !(column >= 0.0 && column < f64::from(self.mask.width) && row >= 0.0) {
                return None;
            }
            let pixel = self.pixels.get(row as usize * self.mask.width as usize + column as usize)?;
            Some(*pixel != 0)
        })
    }
}
