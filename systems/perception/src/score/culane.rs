//! The rule of CULane: lines drawn 30 pixels wide, right when they overlap by more than half (Pan et al., *Spatial As
//! Deep: Spatial CNN for Traffic Scene Understanding*, 2018, section 4.1).
//!
//! One difference from the published program: points are joined by straight pieces, not by a spline. Labels have a point
//! every ten rows, so this is a matter of single pixels.

use waywarden_components::prelude::ImagePoint;

use super::{Share, Tally};

/// Width at which lines are drawn, in pixels of CULane's pictures.
pub const LINE_WIDTH: f64 = 30.0;
/// Overlap above which a line is right.
pub const LEAST_IOU: f64 = 0.5;
/// Most labels of a picture that are looked at: CULane has four.
const MOST_LABELS: usize = 10;
/// Most lines of a picture that are looked at.
const MOST_LINES: usize = 32;
/// Most pixels of a picture.
const MOST_PIXELS: u64 = 1 << 25;

/// Judges a picture of `width` x `height` pixels. Every line is paired with at most one label, so that the overlaps of all
/// pairs add up to the most; pairs that overlap by more than half are right.
pub fn judge(found: &[Vec<ImagePoint>], labels: &[Vec<ImagePoint>], width: u32, height: u32) -> Tally {
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Tally::default();
    }
    let draw = |lines: &[Vec<ImagePoint>], most| -> Vec<Vec<u32>> {
        lines.iter().take(most).map(|line| drawn(line, width, height)).collect()
    };
    let (lines, drawn_labels) = (draw(found, MOST_LINES), draw(labels, MOST_LABELS));
    let overlaps: Vec<Vec<f64>> =
        lines.iter().map(|line| drawn_labels.iter().map(|label| iou(line, label)).collect()).collect();
    let right = right_pairs(&overlaps, drawn_labels.len());
    Tally {
        precision: Share { part: right, whole: found.len() as u64 },
        recall: Share { part: right, whole: labels.len() as u64 },
    }
}

/// The pixels within half a line's width of the pieces between points, in order.
fn drawn(line: &[ImagePoint], width: u32, height: u32) -> Vec<u32> {
    let half = LINE_WIDTH / 2.0;
    let mut pixels = Vec::new();
    let sound = |point: &&ImagePoint| point.x.abs() < 1e6 && point.y.abs() < 1e6;
    let points: Vec<(f64, f64)> = line.iter().filter(sound).map(|p| (f64::from(p.x), f64::from(p.y))).collect();
    let span = |from: f64, to: f64, limit: u32| {
        let limit = f64::from(limit) - 1.0;
        (from.min(to) - half).ceil().max(0.0)..=(from.max(to) + half).floor().min(limit)
    };
    for pair in points.windows(2) {
        let [a, b] = pair else { continue };
        let (rows, columns) = (span(a.1, b.1, height), span(a.0, b.0, width));
        let along = (b.0 - a.0, b.1 - a.1);
        let length = along.0 * along.0 + along.1 * along.1;
        let mut y = *rows.start();
        while y <= *rows.end() {
            let mut x = *columns.start();
            while x <= *columns.end() {
                let to = (x - a.0, y - a.1);
                let share = if length > 0.0 { (to.0 * along.0 + to.1 * along.1) / length } else { 0.0 };
                let share = share.clamp(0.0, 1.0);
                let off = (to.0 - share * along.0, to.1 - share * along.1);
                if off.0 * off.0 + off.1 * off.1 <= half * half {
                    pixels.push(y as u32 * width + x as u32);
                }
                x += 1.0;
            }
            y += 1.0;
        }
        if pixels.len() as u64 > 4 * MOST_PIXELS {
            pixels.sort_unstable();
            pixels.dedup();
        }
    }
    pixels.sort_unstable();
    pixels.dedup();
    pixels
}

/// Intersection over union of two sorted lists.
fn iou(a: &[u32], b: &[u32]) -> f64 {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    let mut both = 0usize;
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        match one.cmp(other) {
            std::cmp::Ordering::Less => drop(left.next()),
            std::cmp::Ordering::Greater => drop(right.next()),
            std::cmp::Ordering::Equal => {
                both += 1;
                left.next();
                right.next();
            }
        }
    }
    both as f64 / (a.len() + b.len() - both).max(1) as f64
}

/// How many pairs are right in the pairing whose overlaps add up to the most: a table over the sets of labels that are
/// taken, line by line.
fn right_pairs(overlaps: &[Vec<f64>], labels: usize) -> u64 {
    let mut best: Vec<Option<(f64, u64)>> = vec![None; 1 << labels];
    if let Some(start) = best.first_mut() {
        *start = Some((0.0, 0));
    }
    for line in overlaps {
        let before = best.clone();
        for (taken, state) in before.iter().enumerate() {
            let Some((sum, right)) = state else { continue };
            for (label, overlap) in line.iter().enumerate().filter(|(label, _)| taken & (1 << label) == 0) {
                let next = (sum + overlap, right + u64::from(*overlap > LEAST_IOU));
                if let Some(slot) = best.get_mut(taken | (1 << label))
                    && slot.is_none_or(|old| next.0.total_cmp(&old.0).then(next.1.cmp(&old.1)).is_gt())
                {
                    *slot = Some(next);
                }
            }
        }
    }
    let best = best.into_iter().flatten().max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    best.map_or(0, |(_, right)| right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(points: &[(f32, f32)]) -> Vec<ImagePoint> {
        points.iter().map(|&(x, y)| ImagePoint { x, y }).collect()
    }

    fn upright(x: f32) -> Vec<ImagePoint> {
        line(&[(x, -100.0), (x, 50.0), (x, 400.0)])
    }

    #[test]
    fn upright_lines_overlap_as_their_distance_says() {
        // Columns 85 to 115: 31 of them; 10 pixels further on 21 are the same, so 21 of 41.
        assert_eq!(drawn(&upright(100.0), 640, 200).len(), 31 * 200);
        assert!(
            (iou(&drawn(&upright(100.0), 640, 200), &drawn(&upright(110.0), 640, 200)) - 21.0 / 41.0).abs() < 1e-12
        );
        let judged = |found: &[f32], labels: &[f32]| {
            let lines = |places: &[f32]| places.iter().map(|x| upright(*x)).collect::<Vec<_>>();
            let tally = judge(&lines(found), &lines(labels), 640, 200);
            (tally.precision.part, tally.precision.whole, tally.recall.part, tally.recall.whole)
        };
        assert_eq!(judged(&[110.0], &[100.0]), (1, 1, 1, 1));
        // 11 pixels: 20 of 42 is less than half.
        assert_eq!(judged(&[111.0, 300.0], &[100.0, 301.0, 500.0]), (1, 2, 1, 3));
        // One label is found by one line only.
        assert_eq!(judged(&[99.0, 101.0], &[100.0]), (1, 2, 1, 1));
        assert_eq!(judged(&[], &[]), (0, 0, 0, 0));
    }

    #[test]
    fn pairs_are_made_for_the_largest_sum() {
        // The first line is nearer to the second label, but the second line has no other.
        assert_eq!(right_pairs(&[vec![0.6, 0.7], vec![0.0, 0.65]], 2), 2);
        assert_eq!(right_pairs(&[vec![0.4, 0.9], vec![0.3, 0.8]], 2), 1, "1.2 and 1.2: the one with more right pairs");
        assert_eq!(right_pairs(&[], 3), 0);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(
            lines in prop::collection::vec(prop::collection::vec((any::<f32>(), any::<f32>()), 0..4), 0..4),
            size in (0..80u32, 0..80u32),
        ) {
            let lines: Vec<_> = lines.iter().map(|points| line(points)).collect();
            let tally = judge(&lines, &lines, size.0, size.1);
            prop_assert!(tally.recall.part <= tally.recall.whole);
        }
    }
}
