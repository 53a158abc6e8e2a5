//! The lane as a shape on the road: what it may be, in metres for people, and as lines in a picture.

use std::ops::RangeInclusive;

use waywarden_components::prelude::*;

use crate::road_plane::{RoadPlane, RoadPoint};

/// Widths of lanes in metres.
pub const WIDTHS_M: RangeInclusive<f64> = 2.4..=4.6;
/// Sharpest bend that is believed, in 1/m, and steepest slope.
const SHARPEST_PER_M: f64 = 1.0 / 120.0;
const STEEPEST: f64 = 0.15;
/// How far the vehicle's middle may be beyond a line, in metres, before it is in the next lane.
const ACROSS_M: f64 = 0.3;
/// Points of a line in the picture.
const POINTS: i32 = 16;
/// How far lines are drawn, in metres before the lens.
const DRAWN_M: f64 = 35.0;

/// Whether the lane that the vehicle is in can be like this.
pub fn is_believable(shape: &LaneShape, geometry: &CameraGeometry) -> bool {
    let middle_m = -geometry.left_m;
    WIDTHS_M.contains(&(shape.left_m - shape.right_m))
        && shape.left_m > middle_m - ACROSS_M
        && shape.right_m < middle_m + ACROSS_M
        && shape.curvature_per_m.abs() <= SHARPEST_PER_M
        && shape.slope.abs() <= STEEPEST
}

/// The lane in metres, at the front bumper.
pub fn measure(shape: &LaneShape, geometry: &CameraGeometry) -> LaneGeometry {
    let bumper = geometry.bumper_m;
    let middle = (shape.left_m + shape.right_m) / 2.0;
    let there = middle + shape.slope * bumper + shape.curvature_per_m * bumper * bumper / 2.0;
    LaneGeometry {
        offset_m: (-geometry.left_m - there) as f32,
        heading_rad: -libm::atan(shape.slope + shape.curvature_per_m * bumper) as f32,
        curvature_per_m: shape.curvature_per_m as f32,
        width_m: (shape.left_m - shape.right_m) as f32,
    }
}

/// Both lines in a frame of `size` pixels, left and right, bottom first. `pitch_rad` is how far the camera points below
/// what its geometry says.
pub fn draw(
    shape: &LaneShape,
    geometry: &CameraGeometry,
    pitch_rad: f64,
    size: (u32, u32),
) -> (Vec<ImagePoint>, Vec<ImagePoint>) {
    let Some(plane) = RoadPlane::new(geometry, pitch_rad, size.0, size.1) else { return Default::default() };
    let bottom = plane.to_road(ImagePoint { x: size.0 as f32 / 2.0, y: size.1 as f32 });
    let nearest = 1.0 / bottom.map_or(1.0, |road| road.forward_m.clamp(1.0, DRAWN_M));
    let line = |left_m: f64| -> Vec<ImagePoint> {
        let point = |n: i32| {
            // Even steps of nearness are even steps in the picture.
            let forward_m = 1.0 / (nearest + (1.0 / DRAWN_M - nearest) * f64::from(n) / f64::from(POINTS - 1));
            let left_m = left_m + shape.slope * forward_m + shape.curvature_per_m * forward_m * forward_m / 2.0;
            plane.to_image(RoadPoint { forward_m, left_m })
        };
        (0..POINTS).filter_map(point).collect()
    };
    (line(shape.left_m), line(shape.right_m))
}
