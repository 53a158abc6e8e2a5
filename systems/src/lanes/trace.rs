//! From the mask of lane lines to the two lines beside the vehicle, in image coordinates.

use waywarden_components::prelude::*;

/// Rows looked at: this share of the frame, from the bottom up.
const LOOKED_AT: f32 = 0.4;
/// Of them, every so many.
const ROW_STEP: usize = 4;
/// Both lines must be seen in this share of the rows, or none is claimed.
const LEAST_CONFIDENCE: f32 = 0.25;
/// From row to row a line moves sideways by no more than this share of the width.
const LARGEST_STEP: f32 = 0.06;

/// Traces the lines beside the vehicle, from the middle of the bottom edge up and outwards.
///
/// `width` and `height` are the frame's, in pixels. Says "no lines" rather than guess.
pub fn trace(masks: &RoadMasks, width: u32, height: u32) -> LaneEstimate {
    let mask = &masks.lines;
    let (columns, rows) = (mask.width as usize, mask.height as usize);
    let pixels = mask.decode();
    if pixels.is_empty() {
        return LaneEstimate::default();
    }
    let scale = (width as f32 / columns as f32, height as f32 / rows as f32);
    let top = rows - (rows as f32 * LOOKED_AT) as usize;
    let step = (columns as f32 * LARGEST_STEP) as usize;
    let (mut left, mut right) = (Side::new(-1), Side::new(1));
    let (mut looked, mut both) = (0u32, 0u32);
    let mut centre = columns / 2;
    for y in (top..rows).rev().step_by(ROW_STEP) {
        let row = &pixels[y * columns..(y + 1) * columns];
        let seen = [left.look(row, centre, step), right.look(row, centre, step)];
        for (side, seen) in [(&mut left, seen[0]), (&mut right, seen[1])] {
            if let Some(x) = seen {
                side.points.push(ImagePoint { x: (x as f32 + 0.5) * scale.0, y: (y as f32 + 0.5) * scale.1 });
            }
        }
        if let [Some(l), Some(r)] = seen {
            both += 1;
            centre = l.midpoint(r);
        }
        looked += 1;
    }
    let confidence = both as f32 / looked.max(1) as f32;
    let keep = |side: Side| (confidence >= LEAST_CONFIDENCE && side.points.len() > 1).then_some(side.points);
    LaneEstimate { left: keep(left), right: keep(right), confidence, geometry: None, source: LaneSource::Model }
}

struct Side {
    direction: isize,
    last: Option<usize>,
    points: Vec<ImagePoint>,
}

impl Side {
    fn new(direction: isize) -> Self {
        Self { direction, last: None, points: Vec::new() }
    }

    /// The first line pixel outwards from the centre, if it is near the one of the row below.
    fn look(&mut self, row: &[u8], centre: usize, step: usize) -> Option<usize> {
        let mut x = centre as isize;
        while let Some(pixel) = usize::try_from(x).ok().and_then(|x| row.get(x)) {
            if *pixel != 0 {
                let x = x as usize;
                if self.last.is_some_and(|last| last.abs_diff(x) > step) {
                    return None;
                }
                self.last = Some(x);
                return Some(x);
            }
            x += self.direction;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn road(left: f32, right: f32) -> RoadMasks {
        // Two lines that meet at the horizon, 3 pixels wide.
        let lines = Mask::encode(640, 360, |x, y| {
            let nearness = (y as f32 - 160.0) / 200.0;
            let at = |offset: f32| (x as f32 - (320.0 + offset * nearness)).abs() < 1.5;
            nearness > 0.0 && (at(left) || at(right))
        });
        RoadMasks { drivable: Mask::default(), lines }
    }

    #[test]
    fn finds_both_lines_where_they_are() {
        let lane = trace(&road(-200.0, 180.0), 1280, 720);
        let (left, right) = (lane.left.expect("a left line"), lane.right.expect("a right line"));
        assert!(lane.confidence > 0.95, "{}", lane.confidence);
        assert!((left[0].x - 2.0 * (320.0 - 200.0)).abs() < 8.0, "{:?}", left[0]);
        assert!((right[0].x - 2.0 * (320.0 + 180.0)).abs() < 8.0, "{:?}", right[0]);
        assert!(left[0].y > left[1].y, "bottom first");
    }

    #[test]
    fn claims_nothing_without_lines() {
        let empty = RoadMasks { drivable: Mask::default(), lines: Mask::encode(640, 360, |_, _| false) };
        assert_eq!(trace(&empty, 1280, 720), LaneEstimate { source: LaneSource::Model, ..LaneEstimate::default() });
        assert_eq!(trace(&RoadMasks::default(), 1280, 720), LaneEstimate::default());
    }

    #[test]
    fn masks_that_are_no_pictures_cost_nothing() {
        let sizes = [(u32::MAX, u32::MAX), (1 << 16, 1 << 16), (4, 4), (0, 9)];
        for ((width, height), runs) in sizes.into_iter().flat_map(|size| [(size, vec![]), (size, vec![u32::MAX; 3])]) {
            let lines = Mask { width, height, runs };
            assert!(lines.decode().is_empty());
            assert_eq!(trace(&RoadMasks { drivable: Mask::default(), lines }, 1280, 720), LaneEstimate::default());
        }
    }
}
