//! The search for a lane when none is known: every shape from a grid is tried, and marks vote for lines.
//!
//! Lines of one road are parallel, so the right slope and curvature gather the marks of **all** of them in narrow peaks of
//! a histogram over the road's width. No chance is involved.

use waywarden_components::prelude::*;

use super::evidence::Mark;
use crate::lanes::shape::WIDTHS_M;

/// Farthest marks that vote, in metres before the lens.
const FAR_M: f64 = 28.0;
/// Slopes that are tried: up to this, in steps of that.
const SLOPES: (i32, f64) = (14, 0.009);
/// Curvatures that are tried in 1/m, as above.
const CURVATURES: (i32, f64) = (2, 0.0018);
/// Half of the road that is looked at, in metres.
const HALF_M: f64 = 6.0;
/// A bin of the histogram in metres.
const BIN_M: f64 = 0.1;
const BINS: usize = 120;
/// Votes that a line has at least, and what is so near to it that it belongs to it, in metres.
const LEAST_VOTES: f32 = 2.0;
const BESIDE_M: f64 = 0.4;
/// Marks that vote at most; of more, every second, third … is taken.
const MOST_VOTES: usize = 300;

/// The best lane that these marks vote for; `middle_m` is where the vehicle's middle is, left of the lens. Where its width
/// and the standard deviation of that are given, in metres, a lane of that width is preferred.
pub fn search(marks: &[Mark], middle_m: f64, width_m: Option<(f64, f64)>) -> Option<LaneShape> {
    let step = marks.len() / MOST_VOTES + 1;
    let near: Vec<&Mark> = marks.iter().step_by(step).filter(|mark| mark.nearness * FAR_M >= 1.0).collect();
    let (mut best, mut best_sharpness) = (None, 0.0f32);
    for curve in -CURVATURES.0..=CURVATURES.0 {
        let curvature = f64::from(curve) * CURVATURES.1;
        // What is left of the slope when the bend is taken away, and the distance.
        let straight: Vec<(f64, f64, f32)> = near
            .iter()
            .map(|m| (m.slope - curvature / (2.0 * m.nearness), 1.0 / m.nearness, m.weight as f32))
            .collect();
        for tilt in -SLOPES.0..=SLOPES.0 {
            let slope = f64::from(tilt) * SLOPES.1;
            let votes = count(&straight, slope);
            let sharpness = votes.windows(2).map(|w| (w[0] + w[1]) * (w[0] + w[1])).sum::<f32>();
            if sharpness > best_sharpness {
                best_sharpness = sharpness;
                best = Some((votes, slope, curvature));
            }
        }
    }
    let (votes, slope, curvature) = best?;
    let (left_m, right_m) = pair(&votes, middle_m, width_m)?;
    Some(LaneShape { left_m, right_m, slope, curvature_per_m: curvature })
}

fn count(straight: &[(f64, f64, f32)], slope: f64) -> [f32; BINS] {
    let mut votes = [0f32; BINS];
    for (bearing, forward, weight) in straight {
        let bin = ((bearing - slope) * forward + HALF_M) / BIN_M;
        if bin >= 0.0
            && let Some(vote) = votes.get_mut(bin as usize)
        {
            *vote += weight;
        }
    }
    votes
}

/// The two peaks that make the most believable lane around the vehicle's middle.
fn pair(votes: &[f32; BINS], middle_m: f64, width_m: Option<(f64, f64)>) -> Option<(f64, f64)> {
    let wide = |i: usize| votes[i - 1] + votes[i] + votes[i + 1];
    let peaks: Vec<(f64, f64)> = (2..BINS - 2)
        .filter(|&i| wide(i) >= LEAST_VOTES && wide(i) > wide(i - 1) && wide(i) >= wide(i + 1))
        .map(|i| ((i as f64 + 0.5) * BIN_M - HALF_M, f64::from(wide(i))))
        .collect();
    let mut best: Option<((f64, f64), f64)> = None;
    for &(left, left_votes) in peaks.iter().filter(|(at, _)| *at > middle_m) {
        for &(right, right_votes) in peaks.iter().filter(|(at, _)| *at < middle_m) {
            if !WIDTHS_M.contains(&(left - right)) {
                continue;
            }
            // The road between the lines of a lane is empty.
            let inside: f64 =
                peaks.iter().filter(|(at, _)| *at < left - BESIDE_M && *at > right + BESIDE_M).map(|peak| peak.1).sum();
            let odd = width_m.map_or(0.0, |(usual, sigma)| (left - right - usual) / sigma);
            let score = libm::sqrt(left_votes * right_votes) / (1.0 + (odd * odd).min(1.0)) - inside;
            if score > best.map_or(0.0, |(_, most)| most) {
                best = Some(((left, right), score));
            }
        }
    }
    best.map(|(pair, _)| pair)
}
