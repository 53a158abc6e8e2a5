//! The lines traced in a mask, in metres.

use waywarden_components::prelude::*;

use super::classical;
use super::classical::evidence::{Evidence, Mark};
use super::classical::fit::{self, Prior};
use super::shape;
use crate::road_plane::RoadPlane;

/// What is believed of a lane before its lines are looked at, as standard deviations: left and right in metres, slope,
/// curvature in 1/m, nod in radians; and its width in metres.
const SIGMA: [f64; 5] = [1.5, 1.5, 0.1, 3e-3, 0.04];
const WIDTH_M: (f64, f64) = (3.6, 1.0);
/// Standard deviations that a point may be off at first: both lines are known to be lines.
const GATE: f64 = 40.0;

/// The lane between two lines of a frame of `size` pixels, and what it teaches of the camera's pitch. None where a line is
/// missing, or where no lane can be like this.
pub fn of_lines(
    estimate: &LaneEstimate,
    tracker: &mut LaneTracker,
    geometry: &CameraGeometry,
    size: (u32, u32),
    captured: Mono,
) -> Option<LaneGeometry> {
    let plane = RoadPlane::new(geometry, tracker.pitch_rad, size.0, size.1)?;
    let (left, right) = (marks(estimate.left.as_ref()?, &plane), marks(estimate.right.as_ref()?, &plane));
    // The lowest points are the nearest: where they are is about where the lines are.
    let at = |marks: &[Mark]| marks.first().map(|mark| mark.slope / mark.nearness);
    let begin = LaneShape { left_m: at(&left)?, right_m: at(&right)?, ..LaneShape::default() };
    let rows = u16::try_from(size.1).ok()?;
    let evidence = Evidence { marks: [left, right].concat(), plane, rows };
    let fit = fit::fit(&evidence, &Prior { shape: begin, sigma: SIGMA, width_m: WIDTH_M }, GATE)?;
    if !shape::is_believable(&fit.shape, geometry) {
        return None;
    }
    classical::take(tracker, &fit, captured);
    Some(shape::measure(&fit.shape, geometry))
}

fn marks(points: &[ImagePoint], plane: &RoadPlane) -> Vec<Mark> {
    let mark = |point: &ImagePoint| {
        let direction = plane.direction(point.x.into(), point.y.into())?;
        let road = plane.road(direction)?;
        Some(Mark { nearness: 1.0 / road.forward_m, slope: direction.left, row: 0, weight: 1.0 })
    };
    points.iter().filter_map(mark).collect()
}
