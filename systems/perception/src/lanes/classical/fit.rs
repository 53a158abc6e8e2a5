//! The fit: the lane, and how far the camera nods, that explain the marks best and agree with what was believed.
//!
//! Both lines share slope and curvature, so each helps where the other is interrupted (the hyperbola pair of K. Kluge and
//! S. Lakshmanan, "A deformable-template approach to lane detection", 1995; in the coordinates used here it is linear in
//! all but the pitch). Solved by reweighted least squares with Geman and McClure's kernel and a prior, the maximum a
//! posteriori.

use waywarden_components::prelude::*;

use super::evidence::{Evidence, Mark};
use crate::road_plane::RoadPlane;

/// Unknowns: left, right, slope, curvature, pitch.
pub const UNKNOWNS: usize = 5;
/// Rounds of reweighting.
const ROUNDS: usize = 6;
/// The kernel at its narrowest, in standard deviations of a mark.
const NARROWEST: f64 = 2.5;
/// No road is farther than this inverse of a distance, in 1/m.
const LEAST_NEARNESS: f64 = 1e-3;

/// What is believed before the marks are looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// The lane.
    pub shape: LaneShape,
    /// How sure that is, as the inverse of a covariance: left and right in metres, slope, curvature in 1/m, pitch in radians.
    pub information: [[f64; UNKNOWNS]; UNKNOWNS],
    /// Width of the lane and its standard deviation, in metres.
    pub width_m: (f64, f64),
}

impl Prior {
    /// A prior of these standard deviations, none depending on another.
    pub fn independent(shape: LaneShape, sigma: [f64; UNKNOWNS], width_m: (f64, f64)) -> Self {
        let mut information = [[0.0; UNKNOWNS]; UNKNOWNS];
        for (number, (row, sigma)) in information.iter_mut().zip(sigma).enumerate() {
            row[number] = 1.0 / (sigma * sigma);
        }
        Self { shape, information, width_m }
    }
}

/// A lane, and how much further down than assumed the camera points, in radians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The lane.
    pub shape: LaneShape,
    /// The nod.
    pub nod_rad: f64,
    /// How many clear marks it explains, more or less.
    pub explained: f64,
    /// How sure it is, as [`Prior::information`].
    pub information: [[f64; UNKNOWNS]; UNKNOWNS],
}

impl Fit {
    /// Where a line is seen at this nearness: its slope to the left; `left` is its place at the lens.
    pub fn bearing(&self, left_m: f64, nearness: f64, plane: &RoadPlane) -> f64 {
        let nearness = self.nodded(nearness, plane);
        left_m * nearness + self.shape.slope + self.shape.curvature_per_m / (2.0 * nearness)
    }

    /// The nearness of what seems to be this near: the nod has moved it in the picture.
    pub fn nodded(&self, nearness: f64, plane: &RoadPlane) -> f64 {
        (nearness + self.nod_rad / plane.height_m()).max(LEAST_NEARNESS)
    }
}

/// Fits a lane to the marks. `gate` is how many standard deviations a mark may be off at first.
pub fn fit(evidence: &Evidence, prior: &Prior, gate: f64) -> Option<Fit> {
    let mut now = Fit { shape: prior.shape, nod_rad: 0.0, explained: 0.0, information: prior.information };
    let believed = [prior.shape.left_m, prior.shape.right_m, prior.shape.slope, prior.shape.curvature_per_m, 0.0];
    for round in 0..ROUNDS {
        // The kernel narrows: first what is near, then what fits.
        let width = (gate * (1.0 - round as f64 / 4.0)).max(NARROWEST);
        let at = [now.shape.left_m, now.shape.right_m, now.shape.slope, now.shape.curvature_per_m, now.nod_rad];
        let (mut normal, mut rhs) = (prior.information, [0.0; UNKNOWNS]);
        for (rhs, row) in rhs.iter_mut().zip(&prior.information) {
            *rhs = row.iter().zip(believed.iter().zip(&at)).map(|(of, (believed, at))| of * (believed - at)).sum();
        }
        // The width ties the lines together: a row (1, -1, 0, 0, 0).
        let (width_m, information) = (prior.width_m.0, 1.0 / (prior.width_m.1 * prior.width_m.1));
        let wider = width_m - (at[0] - at[1]);
        for (i, sign) in [(0, 1.0), (1, -1.0)] {
            normal[i][i] += information;
            normal[i][1 - i] -= information;
            rhs[i] += sign * information * wider;
        }
        now.explained = evidence.marks.iter().map(|mark| add(&mut normal, &mut rhs, mark, &now, evidence, width)).sum();
        now.information = normal;
        let step = solve(normal, rhs)?;
        now.shape.left_m += step[0];
        now.shape.right_m += step[1];
        now.shape.slope += step[2];
        now.shape.curvature_per_m += step[3];
        now.nod_rad += step[4];
    }
    let shape = &now.shape;
    [shape.left_m, shape.right_m, shape.slope, shape.curvature_per_m, now.nod_rad]
        .iter()
        .all(|value| value.is_finite())
        .then_some(now)
}

/// Adds a mark to the normal equations, for the line that it is nearer to, and says how much of it is explained.
fn add(
    normal: &mut [[f64; UNKNOWNS]; UNKNOWNS],
    rhs: &mut [f64; UNKNOWNS],
    mark: &Mark,
    now: &Fit,
    evidence: &Evidence,
    width: f64,
) -> f64 {
    let (plane, sigma) = (&evidence.plane, evidence.sigma(mark));
    let off = |left_m: f64| (mark.slope - now.bearing(left_m, mark.nearness, plane)) / sigma;
    let (left, right) = (off(now.shape.left_m), off(now.shape.right_m));
    let is_left = left.abs() <= right.abs();
    let off = if is_left { left } else { right };
    if off.abs() > 3.0 * width {
        return 0.0;
    }
    let nearness = now.nodded(mark.nearness, plane);
    let line_m = if is_left { now.shape.left_m } else { now.shape.right_m };
    let bend = now.shape.curvature_per_m / (2.0 * nearness * nearness);
    let row = [
        if is_left { nearness } else { 0.0 },
        if is_left { 0.0 } else { nearness },
        1.0,
        1.0 / (2.0 * nearness),
        (line_m - bend) / plane.height_m(),
    ];
    let relative = off / width;
    let kernel = 1.0 / ((1.0 + relative * relative) * (1.0 + relative * relative));
    let weight = 2.0 * mark.weight * kernel / (sigma * sigma * evidence.noise.redundancy);
    for i in 0..UNKNOWNS {
        for j in 0..UNKNOWNS {
            normal[i][j] += weight * row[i] * row[j];
        }
        rhs[i] += weight * row[i] * off * sigma;
    }
    mark.weight * kernel
}

/// Solves a symmetric, positive definite system by Cholesky's decomposition; none if it is not.
fn solve(mut a: [[f64; UNKNOWNS]; UNKNOWNS], mut b: [f64; UNKNOWNS]) -> Option<[f64; UNKNOWNS]> {
    for i in 0..UNKNOWNS {
        for j in 0..=i {
            let sum = (0..j).fold(a[i][j], |sum, k| sum - a[i][k] * a[j][k]);
            a[i][j] = if i == j { libm::sqrt(sum) } else { sum / a[j][j] };
        }
        // A root of what is not positive is no number, or nothing that can be divided by.
        if !(a[i][i] > 0.0 && a[i][i].is_finite()) {
            return None;
        }
    }
    for i in 0..UNKNOWNS {
        b[i] = (0..i).fold(b[i], |sum, k| sum - a[i][k] * b[k]) / a[i][i];
    }
    for i in (0..UNKNOWNS).rev() {
        b[i] = (i + 1..UNKNOWNS).fold(b[i], |sum, k| sum - a[k][i] * b[k]) / a[i][i];
    }
    Some(b)
}
