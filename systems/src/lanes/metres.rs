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
const GATE: f64 = 400.0;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::road_plane::RoadPoint;

    const SIZE: (u32, u32) = (1280, 720);

    /// Lines of a bending lane in the picture of a camera that really points `pitch` below what its geometry says.
    fn traced(geometry: &CameraGeometry, pitch: f64) -> LaneEstimate {
        let plane = RoadPlane::new(geometry, pitch, SIZE.0, SIZE.1).expect("sound");
        let line = |left_m: f64| {
            let point = |x: f64| plane.to_image(RoadPoint { forward_m: x, left_m: left_m + 0.01 * x + x * x / 1000.0 });
            Some((0..30).filter_map(|n| point(5.0 + f64::from(n))).collect())
        };
        LaneEstimate { left: line(1.5), right: line(-2.1), ..LaneEstimate::default() }
    }

    #[test]
    fn traced_lines_are_measured_and_teach_the_pitch() {
        let geometry = CameraGeometry { bumper_m: 0.0, ..CameraGeometry::default() };
        for pitch in [0.0, 0.05, -0.05] {
            let mut tracker = LaneTracker::default();
            let lane = of_lines(&traced(&geometry, pitch), &mut tracker, &geometry, SIZE, Mono(1)).expect("a lane");
            assert!((lane.offset_m - 0.3).abs() < 0.05, "{lane:?}");
            assert!((lane.width_m - 3.6).abs() < 0.08, "{lane:?}");
            assert!((lane.heading_rad + 0.01).abs() < 0.004, "{lane:?}");
            assert!((lane.curvature_per_m - 0.002).abs() < 4e-4, "{lane:?}");
            assert!((tracker.pitch_rad - pitch).abs() < 0.003, "{}", tracker.pitch_rad);
        }
    }

    #[test]
    fn half_a_lane_and_no_lane_have_no_metres() {
        let geometry = CameraGeometry::default();
        let whole = traced(&geometry, 0.0);
        let crossed = LaneEstimate { left: whole.right.clone(), right: whole.left.clone(), ..LaneEstimate::default() };
        let half = LaneEstimate { right: None, ..whole.clone() };
        let empty = LaneEstimate { left: Some(Vec::new()), ..whole };
        for estimate in [crossed, half, empty, LaneEstimate::default()] {
            let mut tracker = LaneTracker::default();
            assert_eq!(of_lines(&estimate, &mut tracker, &geometry, SIZE, Mono(1)), None);
            assert_eq!(tracker, LaneTracker::default());
        }
    }
}
