//! Ridges as seen from the road: inverse perspective mapping of what was found, not of the picture.

use waywarden_components::prelude::*;

use crate::road_plane::RoadPlane;

/// Nearest and farthest road that is looked at, in metres before the lens.
const REACH_M: (f64, f64) = (3.0, 45.0);
/// Farthest to the side, in metres.
const SIDEWAYS_M: f64 = 7.0;
/// Widths of painted lines, with what blur adds, in metres.
const WIDTH_M: (f64, f64) = (0.03, 0.40);
/// Pixels by which blur widens a line.
const BLUR_PX: f64 = 2.0;

/// Luma levels of contrast at which a mark is half clear.
const HALF_CLEAR: f64 = 20.0;

/// A ridge that may be paint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Nearness: the inverse of the distance before the lens, in 1/m.
    pub nearness: f64,
    /// Slope to the left, a metre forward.
    pub slope: f64,
    /// Its row in the scaled picture.
    pub row: u16,
    /// How clear it is, 0 to 1: fresh paint is near 1.
    pub weight: f64,
}

/// How well a mark says where a line is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Uncertainty of its place in pixels of the plane's frame; adds to `metres`.
    pub pixels: f64,
    /// Likewise in metres of the road.
    pub metres: f64,
    /// Marks of one line are not independent: so many count as one.
    pub redundancy: f64,
}

/// Of ridges.
const RIDGES: Noise = Noise { pixels: 0.8, metres: 0.025, redundancy: 3.0 };

/// What a picture shows of the road, if the camera points as assumed.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What may be paint, row by row from afar.
    pub marks: Vec<Mark>,
    /// How the scaled picture and the road are assumed to lie.
    pub plane: RoadPlane,
    /// Rows of the scaled picture.
    pub rows: u16,
    /// How well the marks say where lines are.
    pub noise: Noise,
}

impl Evidence {
    /// The ridges as seen by a camera that points `pitch_rad` further down than its geometry says.
    pub fn of(features: &LaneFeatures, geometry: &CameraGeometry, pitch_rad: f64) -> Option<Self> {
        let plane = RoadPlane::new(geometry, pitch_rad, features.width.into(), features.height.into())?;
        let marks = features.ridges.iter().filter_map(|ridge| mark(ridge, &plane)).collect();
        Some(Self { marks, plane, rows: features.height, noise: RIDGES })
    }

    /// Standard deviation of the slope at which a mark is seen.
    pub fn sigma(&self, mark: &Mark) -> f64 {
        self.noise.pixels / self.plane.focal_px() + self.noise.metres * mark.nearness
    }
}

fn mark(ridge: &Ridge, plane: &RoadPlane) -> Option<Mark> {
    let direction = plane.direction(f64::from(ridge.x16) / 16.0, f64::from(ridge.row) + 0.5)?;
    let road = plane.road(direction)?;
    let near = (REACH_M.0..=REACH_M.1).contains(&road.forward_m) && road.left_m.abs() <= SIDEWAYS_M;
    let metres_px = road.forward_m / plane.focal_px();
    let width_px = f64::from(ridge.width4) / 4.0;
    let paint = width_px * metres_px >= WIDTH_M.0 && (width_px - BLUR_PX) * metres_px <= WIDTH_M.1;
    let contrast = f64::from(ridge.contrast);
    let weight = contrast / (contrast + HALF_CLEAR);
    (near && paint).then_some(Mark { nearness: 1.0 / road.forward_m, slope: direction.left, row: ridge.row, weight })
}
