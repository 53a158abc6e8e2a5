//! Runs of line pixels in the rows of a mask, as marks on the road.

use waywarden_components::prelude::*;

use crate::lanes::classical::evidence::{Evidence, Mark, Noise};
use crate::road_plane::RoadPlane;

/// About so many rows of a mask are looked at.
const ROWS: u32 = 180;
/// Runs of a row that are looked at; a row of a road has a handful.
const MOST_IN_ROW: usize = 24;
/// Nearest and farthest road that is looked at, and how far to the sides, in metres.
const REACH_M: (f64, f64) = (3.0, 40.0);
const SIDEWAYS_M: f64 = 8.0;
/// Widest line in metres. Masks are as coarse as the model: so many of their pixels are not counted.
const WIDEST_M: f64 = 0.5;
const COARSE_PX: f64 = 6.0;
/// How well a mask says where a line is: in its pixels, in metres of the road; and how many marks count as one.
const NOISE: Noise = Noise { pixels: 1.2, metres: 0.05, redundancy: 8.0 };

/// A run of line pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    /// Its middle in pixels of the frame.
    at: (f64, f64),
    /// Its width in pixels of the mask.
    width_px: f64,
    /// Its row in the mask.
    row: u16,
}

/// The runs of line pixels in a mask.
#[derive(Clone, Debug, PartialEq)]
pub struct Runs {
    runs: Vec<Run>,
    /// Pixels of the frame.
    size: (u32, u32),
    /// Pixels of the frame, for a pixel of the mask: a mask covers the whole frame, and may be squeezed.
    scale: (f64, f64),
    /// Rows of the mask.
    rows: u16,
    /// Of them, every so many is looked at.
    pub step: u16,
}

impl Runs {
    /// The runs in the mask of a frame of `size` pixels; none where it is no picture.
    pub fn of(mask: &Mask, size: (u32, u32)) -> Option<Self> {
        if !mask.is_sound() || mask.width == 0 || size.0 == 0 || size.1 == 0 {
            return None;
        }
        let rows = u16::try_from(mask.height).ok().filter(|rows| *rows > 0)?;
        let step = u16::try_from(mask.height.div_ceil(ROWS)).ok()?;
        let scale = (f64::from(size.0) / f64::from(mask.width), f64::from(size.1) / f64::from(mask.height));
        let mut found = Self { runs: Vec::new(), size, scale, rows, step };
        let (mut start, mut count) = (0u32, (0u16, 0usize));
        for (white, &length) in [false, true].into_iter().cycle().zip(&mask.runs) {
            let end = start + length;
            while white && start < end {
                // A run that goes on in the next row is two.
                let row = (start / mask.width) as u16;
                let (first, next) = (start % mask.width, end.min((u32::from(row) + 1) * mask.width));
                count = if count.0 == row { (row, count.1 + 1) } else { (row, 1) };
                if row.is_multiple_of(step) && count.1 <= MOST_IN_ROW {
                    found.add(first, next - start, row);
                }
                start = next;
            }
            start = end;
        }
        Some(found)
    }

    fn add(&mut self, first: u32, width: u32, row: u16) {
        let x = f64::from(first) + f64::from(width) / 2.0;
        let at = (x * self.scale.0, self.y(row));
        self.runs.push(Run { at, width_px: f64::from(width), row });
    }

    /// The rows that are looked at, from the top.
    pub fn rows(&self) -> impl Iterator<Item = u16> {
        (0..self.rows).step_by(self.step.into())
    }

    /// Where a row of the mask is in the frame, in pixels from the top.
    pub fn y(&self, row: u16) -> f64 {
        (f64::from(row) + 0.5) * self.scale.1
    }

    /// The runs as seen on the road by a camera that points `pitch_rad` further down than its geometry says.
    pub fn evidence(&self, geometry: &CameraGeometry, pitch_rad: f64) -> Option<Evidence> {
        let plane = RoadPlane::new(geometry, pitch_rad, self.size.0, self.size.1)?;
        let marks = self.runs.iter().filter_map(|run| self.mark(run, &plane)).collect();
        let noise = Noise { pixels: NOISE.pixels * self.scale.0, ..NOISE };
        Some(Evidence { marks, plane, rows: self.rows, noise })
    }

    fn mark(&self, run: &Run, plane: &RoadPlane) -> Option<Mark> {
        let direction = plane.direction(run.at.0, run.at.1)?;
        let road = plane.road(direction)?;
        let near = (REACH_M.0..=REACH_M.1).contains(&road.forward_m) && road.left_m.abs() <= SIDEWAYS_M;
        let metres_px = self.scale.0 * road.forward_m / plane.focal_px();
        let narrow = (run.width_px - COARSE_PX) * metres_px <= WIDEST_M;
        let mark = Mark { nearness: 1.0 / road.forward_m, slope: direction.left, row: run.row, weight: 1.0 };
        (near && narrow).then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_row_by_row() {
        // Rows of 10 pixels; the middle run goes on in the next row.
        let mask = Mask { width: 10, height: 4, runs: vec![2, 3, 3, 4, 28] };
        let runs = Runs::of(&mask, (20, 8)).expect("a picture");
        let at: Vec<_> = runs.runs.iter().map(|run| (run.at, run.width_px, run.row)).collect();
        assert_eq!(at, [((7.0, 1.0), 3.0, 0), ((18.0, 1.0), 2.0, 0), ((2.0, 3.0), 2.0, 1)]);
    }

    #[test]
    fn what_is_no_picture_has_no_runs() {
        let sizes = [(u32::MAX, u32::MAX), (1 << 16, 1 << 16), (4, 4), (0, 9)];
        for ((width, height), runs) in sizes.into_iter().flat_map(|size| [(size, vec![]), (size, vec![u32::MAX; 3])]) {
            assert_eq!(Runs::of(&Mask { width, height, runs }, (640, 360)), None);
        }
        assert_eq!(Runs::of(&Mask::encode(4, 4, |_, _| true), (0, 0)), None);
    }
}
