//! The masks of a road as they would be found: lines and drivable area, seen by the camera's projection.

use waywarden_components::perception::{Mask, RoadMasks};
use waywarden_components::truth::Truth;

use super::Errors;
use super::chance::Chance;
use crate::simulate::camera::CameraSettings;
use crate::simulate::drive::{Moment, Plan};
use crate::simulate::path::Path;
use crate::simulate::view::{NEAR_M, View};

/// Pixels of a mask.
const SIZE: (usize, usize) = (320, 180);
/// The road from here to there is drawn, in metres before the front bumper.
const REACH_M: (f64, f64) = (-1.0, 90.0);

/// A strip across the road.
struct Slice {
    /// Along the road from the front bumper, in metres.
    ahead: f64,
    /// Height over the road under the vehicle, in metres.
    rise: f64,
}

/// Black and white, row by row.
struct Picture(Vec<bool>);

/// The masks of a moment. Dashed lines are drawn through, as models do; what stands on the road hides it.
pub(super) fn draw(
    plan: &Plan,
    moment: &Moment,
    camera: &CameraSettings,
    truth: &Truth,
    errors: &Errors,
    chance: &Chance,
) -> RoadMasks {
    let (mut drivable, mut lines) = (Picture::new(), Picture::new());
    if chance.unit(0) >= errors.mask_missed {
        let view = View::new(SIZE.0, SIZE.1, &camera.geometry, moment.pitch);
        // Pictures of another shape are squeezed into the mask.
        let squeeze = SIZE.0 as f64 * camera.height as f64 / (camera.width as f64 * SIZE.1 as f64);
        let road = Lay { view, path: Path::new(plan, moment), slices: slices(plan, moment), squeeze };
        let inner = f64::from(plan.road.lanes) * plan.road.lane_width;
        drivable.fill(&road.edge(0.0), &road.edge(inner));
        let half = plan.scenario.paint.width_m / 2.0;
        for (n, line) in (1u64..).zip(&plan.road.lines) {
            let chance = chance.of(n);
            if chance.unit(0) < errors.line_missed {
                continue;
            }
            let left_m = line.left_m + chance.normal(1) * errors.line_m;
            lines.fill(&road.edge(left_m - half), &road.edge(left_m + half));
        }
        let scale = (SIZE.0 as f32 / camera.width as f32, SIZE.1 as f32 / camera.height as f32);
        for [l, t, r, b] in truth.objects.iter().filter_map(|object| object.image) {
            let place = [l * scale.0, t * scale.1, r * scale.0, b * scale.1];
            drivable.hide(place);
            lines.hide(place);
        }
    }
    RoadMasks { drivable: drivable.encode(), lines: lines.encode() }
}

/// Slices of the road, from near to far.
fn slices(plan: &Plan, moment: &Moment) -> Vec<Slice> {
    let mut slices = Vec::with_capacity(64);
    let mut ahead = REACH_M.0;
    while ahead < REACH_M.1 {
        slices.push(Slice { ahead, rise: plan.road.rise(moment.s, ahead.max(0.0)) });
        ahead += 0.5 + 0.04 * ahead.max(0.0);
    }
    slices
}

/// The road as it lies before the camera.
struct Lay {
    view: View,
    path: Path,
    slices: Vec<Slice>,
    squeeze: f64,
}

impl Lay {
    /// Where what runs along the road `left` metres left of its reference line is in each row of the mask, in pixels from its
    /// left edge; not-a-number where it is not.
    fn edge(&self, left: f64) -> Vec<f64> {
        let mut rows = vec![f64::NAN; SIZE.1];
        let middle = SIZE.1 as f64 / 2.0;
        let mut below: Option<(f64, f64)> = None;
        for slice in &self.slices {
            let at = self.path.place(slice.ahead, left);
            let seen = self.view.see([at.x, at.y, slice.rise]);
            if seen[0] < NEAR_M {
                continue;
            }
            let (x, y) = self.view.pixel(seen);
            let (x, y) = (x, middle + (y - middle) / self.squeeze.max(1e-6));
            if let Some((x0, y0)) = below {
                // Behind a crest the road goes down in the picture: it is hidden.
                if y >= y0 {
                    continue;
                }
                let first = (y - 0.5).ceil().max(0.0) as usize;
                let last = ((y0 - 0.5).ceil().max(0.0) as usize).min(SIZE.1);
                for (row, place) in rows.iter_mut().enumerate().take(last).skip(first) {
                    let share = (row as f64 + 0.5 - y0) / (y - y0);
                    *place = x0 + (x - x0) * share;
                }
            }
            below = Some((x, y));
        }
        rows
    }
}

impl Picture {
    fn new() -> Self {
        Self(vec![false; SIZE.0 * SIZE.1])
    }

    /// Paints what lies between two edges; at least a pixel of each row in which both are.
    fn fill(&mut self, right: &[f64], left: &[f64]) {
        for ((row, left), right) in self.0.chunks_exact_mut(SIZE.0).zip(left).zip(right) {
            if !(left.is_finite() && right.is_finite()) || *right < 0.0 || *left >= SIZE.0 as f64 {
                continue;
            }
            let first = (left - 0.5).ceil().max(0.0) as usize;
            let end = (right - 0.5).ceil().clamp(0.0, SIZE.0 as f64) as usize;
            let thin = ((left + right) / 2.0).clamp(0.0, SIZE.0 as f64 - 1.0) as usize;
            if end > first { row[first..end].fill(true) } else { row[thin] = true }
        }
    }

    /// Takes away what lies in a box.
    fn hide(&mut self, [left, top, right, bottom]: [f32; 4]) {
        let (left, right) = (left.max(0.0) as usize, (right.ceil().max(0.0) as usize).min(SIZE.0));
        let (top, bottom) = (top.max(0.0) as usize, (bottom.ceil().max(0.0) as usize).min(SIZE.1));
        for row in self.0.chunks_exact_mut(SIZE.0).take(bottom).skip(top) {
            if left < right {
                row[left..right].fill(false);
            }
        }
    }

    fn encode(&self) -> Mask {
        Mask::encode(SIZE.0 as u32, SIZE.1 as u32, |x, y| self.0[y as usize * SIZE.0 + x as usize])
    }
}
