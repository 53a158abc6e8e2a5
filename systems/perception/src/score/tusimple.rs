//! The rule of the TuSimple lane challenge: points within 20 pixels (its `evaluate/lane.py`, published in
//! TuSimple/tusimple-benchmark).
//!
//! A line is right at a row when it is within 20 pixels of the label, divided by the cosine of the label's angle against
//! the vertical. A label is found by a line that is right in 85 % of all rows, where having no point in a row in which the
//! label has none is right too. With more than four labels the worst one does not count; more than two lines too many
//! and the whole picture counts nothing.

use waywarden_components::prelude::ImagePoint;

/// How far a point may be off, in pixels, beside a vertical line.
const PIXELS: f64 = 20.0;
/// The share of rows in which a line must be right.
const ENOUGH: f64 = 0.85;
/// Labels that count.
const COUNTED: usize = 4;
/// Where a point is that is not there.
const NOWHERE: f64 = -100.0;

/// What the rule says of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Mean share of rows in which the best line of each label is right.
    pub accuracy: f64,
    /// Of the lines that were found: those that are no label's.
    pub false_positive: f64,
    /// Of the labels: those that no line is right of.
    pub false_negative: f64,
}

/// Judges a picture. Lines are places in pixels by row, none where a line has no point; all have as many as there are rows.
pub fn judge(found: &[Vec<Option<f64>>], labels: &[Vec<Option<f64>>], rows: &[f64]) -> Verdict {
    if labels.len() + 2 < found.len() {
        return Verdict { accuracy: 0.0, false_positive: 0.0, false_negative: 1.0 };
    }
    let best = |label: &Vec<Option<f64>>| {
        let reach = PIXELS * lean(label, rows);
        let share = |line: &Vec<Option<f64>>| right_share(line, label, reach, rows.len());
        found.iter().map(share).max_by(f64::total_cmp).unwrap_or(0.0)
    };
    let mut bests: Vec<f64> = labels.iter().map(best).collect();
    bests.sort_unstable_by(f64::total_cmp);
    let matched = bests.iter().filter(|best| **best >= ENOUGH).count();
    let mut missed = bests.len() - matched;
    let mut counted = &bests[..];
    if bests.len() > COUNTED {
        missed = missed.saturating_sub(1);
        counted = bests.get(1..).unwrap_or_default();
    }
    let whole = bests.len().clamp(1, COUNTED) as f64;
    Verdict {
        accuracy: counted.iter().sum::<f64>() / whole,
        false_positive: if found.is_empty() {
            0.0
        } else {
            (found.len() as f64 - matched as f64).max(0.0) / found.len() as f64
        },
        false_negative: missed as f64 / whole,
    }
}

fn right_share(line: &[Option<f64>], label: &[Option<f64>], reach: f64, rows: usize) -> f64 {
    let place = |point: &Option<f64>| point.filter(|x| *x >= 0.0).unwrap_or(NOWHERE);
    let right = line.iter().zip(label).filter(|(a, b)| (place(a) - place(b)).abs() < reach).count();
    right as f64 / rows.max(1) as f64
}

/// One over the cosine of a line's angle against the vertical, by least squares over its points.
fn lean(label: &[Option<f64>], rows: &[f64]) -> f64 {
    let points: Vec<(f64, f64)> =
        label.iter().zip(rows).filter_map(|(x, y)| Some((x.filter(|x| *x >= 0.0)?, *y))).collect();
    let n = points.len() as f64;
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (mut along, mut spread) = (0.0, 0.0);
    for (x, y) in &points {
        along += (x - mean_x) * (y - mean_y);
        spread += (y - mean_y) * (y - mean_y);
    }
    let slope = if spread > 0.0 { along / spread } else { 0.0 };
    (1.0 + slope * slope).sqrt()
}

/// Where a line of points crosses some rows, by straight pieces; none above and below its ends.
pub fn at_rows(line: &[ImagePoint], rows: &[f64]) -> Vec<Option<f64>> {
    let pieces = || line.iter().zip(line.iter().skip(1));
    let at = |y: f64| {
        pieces().find_map(|(a, b)| {
            let (ax, ay, bx, by) = (f64::from(a.x), f64::from(a.y), f64::from(b.x), f64::from(b.y));
            let between = ay.min(by) <= y && y <= ay.max(by);
            let share = if ay == by { 0.0 } else { (y - ay) / (by - ay) };
            between.then_some(ax + (bx - ax) * share).filter(|x| x.is_finite())
        })
    };
    rows.iter().map(|y| at(*y)).collect()
}

/// The labels on either side of a vehicle in the middle of a picture: of those that are left, and of those that are right
/// of `middle` in the lowest row in which they have a point, the nearest.
pub fn ego_pair(labels: &[Vec<Option<f64>>], middle: f64) -> Vec<Vec<Option<f64>>> {
    let lowest = |label: &&Vec<Option<f64>>| label.iter().rev().find_map(|x| *x).map(|x| x - middle);
    let side = |left: bool| {
        let off = |label: &&Vec<Option<f64>>| lowest(label).filter(|off| (*off < 0.0) == left).map(f64::abs);
        labels
            .iter()
            .filter(|label| off(label).is_some())
            .min_by(|a, b| off(a).unwrap_or(f64::MAX).total_cmp(&off(b).unwrap_or(f64::MAX)))
    };
    [side(true), side(false)].into_iter().flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[f64]) -> Vec<Option<f64>> {
        points.iter().map(|x| (*x >= 0.0).then_some(*x)).collect()
    }

    const ROWS: [f64; 10] = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0];

    #[test]
    fn a_line_that_is_right_nearly_everywhere_is_found() {
        let label = line(&[100.0; 10]);
        // Right in 9 rows of 10, one pixel too far in the last.
        let mut near = vec![119.0; 9];
        near.push(120.0);
        let verdict = judge(&[line(&near)], std::slice::from_ref(&label), &ROWS);
        assert_eq!(verdict, Verdict { accuracy: 0.9, false_positive: 0.0, false_negative: 0.0 });
        // Right in 8: not found, but it counts for the accuracy.
        near[0] = -2.0;
        let verdict = judge(&[line(&near)], std::slice::from_ref(&label), &ROWS);
        assert_eq!(verdict, Verdict { accuracy: 0.8, false_positive: 1.0, false_negative: 1.0 });
        let nothing = judge(&[], &[label], &ROWS);
        assert_eq!(nothing, Verdict { accuracy: 0.0, false_positive: 0.0, false_negative: 1.0 });
    }

    #[test]
    fn missing_where_the_label_is_missing_is_right() {
        let label = line(&[-2.0, -2.0, -2.0, -2.0, -2.0, 50.0, 50.0, 50.0, 50.0, 50.0]);
        assert_eq!(judge(std::slice::from_ref(&label), std::slice::from_ref(&label), &ROWS).accuracy, 1.0);
        assert_eq!(judge(&[line(&[50.0; 10])], &[label], &ROWS).accuracy, 0.5);
    }

    #[test]
    fn slanted_lines_may_be_further_off() {
        // One pixel to the right a row: 45 degrees, so 28.28 pixels.
        let label: Vec<Option<f64>> = ROWS.iter().map(|y| Some(200.0 + y)).collect();
        let off = |by: f64| label.iter().map(|x| x.map(|x| x + by)).collect::<Vec<_>>();
        assert_eq!(judge(&[off(28.2)], std::slice::from_ref(&label), &ROWS).accuracy, 1.0);
        assert_eq!(judge(&[off(28.3)], std::slice::from_ref(&label), &ROWS).accuracy, 0.0);
    }

    #[test]
    fn four_labels_count_and_guessing_does_not_help() {
        let labels: Vec<_> = (0..5).map(|n| line(&[100.0 * f64::from(n) + 50.0; 10])).collect();
        // Three of five are found: the worst is left out, so 3 of 4, and one is missed instead of two.
        let verdict = judge(&labels[..3], &labels, &ROWS);
        assert_eq!(verdict, Verdict { accuracy: 0.75, false_positive: 0.0, false_negative: 0.25 });
        let many: Vec<_> = (0..4).map(|n| line(&[30.0 * f64::from(n); 10])).collect();
        assert_eq!(judge(&many, &labels[..1], &ROWS).false_negative, 1.0);
        assert_eq!(judge(&[], &[], &[]), Verdict::default());
    }

    #[test]
    fn lines_are_taken_at_rows_between_their_ends() {
        let line = [(10.0, 100.0), (20.0, 50.0), (40.0, 50.0), (30.0, 0.0)].map(|(x, y)| ImagePoint { x, y });
        assert_eq!(at_rows(&line, &[101.0, 75.0, 25.0, 0.0]), [None, Some(15.0), Some(35.0), Some(30.0)]);
        let odd = [ImagePoint { x: f32::NAN, y: 0.0 }, ImagePoint { x: 1.0, y: 9.0 }];
        assert_eq!(at_rows(&odd, &[5.0, f64::NAN]), [None, None]);
    }

    #[test]
    fn the_ego_pair_is_the_nearest_on_each_side() {
        let labels = [[10.0, 5.0], [30.0, 40.0], [70.0, 60.0], [90.0, -2.0]].map(|points| line(&points));
        assert_eq!(ego_pair(&labels, 50.0), [labels[1].clone(), labels[2].clone()]);
        assert_eq!(ego_pair(&labels[..1], 50.0), [labels[0].clone()]);
    }
}
