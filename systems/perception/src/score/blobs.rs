//! Boxes against labelled pixels, where objects have no boxes of their own (CamVid): connected blobs of a class.
//!
//! A blob is found when boxes cover half of it; a box is right when 35 % of it is of the class. Blobs of fewer than 200
//! pixels are left out. Two cars of which one hides a part of the other are one blob.

use std::collections::VecDeque;

use super::boxes::Area;
use super::{Share, Tally};
use crate::labels::camvid::Classes;

/// Pixels of the smallest blob that counts.
pub const LEAST_PIXELS: usize = 200;
/// The share of a box that must be of the class.
const RIGHT: f64 = 0.35;

/// What became of the boxes and blobs of a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Boxes that are right, blobs that are found.
    pub tally: Tally,
    /// Each blob: its pixels, and whether it is found.
    pub blobs: Vec<(usize, bool)>,
}

/// Boxes against the blobs of a class.
pub fn compare(boxes: &[Area], labels: &Classes, class: u8) -> Found {
    let (width, height) = (labels.width as usize, labels.height as usize);
    let mut covered = vec![false; labels.pixels.len()];
    let mut precision = Share::default();
    for area in boxes {
        let columns = (pixel(area.left, width)..pixel(area.right, width)).collect::<Vec<_>>();
        let mut within = Share::default();
        for y in pixel(area.top, height)..pixel(area.bottom, height) {
            for at in columns.iter().map(|x| y * width + x) {
                if let (Some(covered), Some(label)) = (covered.get_mut(at), labels.pixels.get(at)) {
                    *covered = true;
                    within = within + Share::one(*label == class);
                }
            }
        }
        precision = precision + Share::one(within.value().is_some_and(|share| share >= RIGHT));
    }
    let mut found = Found { tally: Tally { precision, recall: Share::default() }, blobs: Vec::new() };
    for blob in blobs(labels, class) {
        let hidden = blob.iter().filter(|at| covered.get(**at) == Some(&true)).count();
        let is_found = 2 * hidden >= blob.len();
        found.tally.recall = found.tally.recall + Share::one(is_found);
        found.blobs.push((blob.len(), is_found));
    }
    found
}

/// The pixel in which an edge lies, cut to the picture.
fn pixel(edge: f64, limit: usize) -> usize {
    // Not a number becomes 0.
    (edge.max(0.0) as usize).min(limit)
}

/// Connected blobs (8 neighbours) of a class that are large enough, as pixel numbers.
fn blobs(labels: &Classes, class: u8) -> Vec<Vec<usize>> {
    let (width, height) = (labels.width as usize, labels.height as usize);
    let mut left: Vec<bool> = labels.pixels.iter().map(|label| *label == class).collect();
    let mut take = |at: usize| left.get_mut(at).is_some_and(std::mem::take);
    let mut blobs = Vec::new();
    for start in 0..labels.pixels.len() {
        if !take(start) {
            continue;
        }
        let (mut blob, mut queue) = (Vec::new(), VecDeque::from([start]));
        while let Some(at) = queue.pop_front() {
            blob.push(at);
            let (x, y) = (at % width, at / width);
            for ny in y.saturating_sub(1)..(y + 2).min(height) {
                let row = (x.saturating_sub(1)..(x + 2).min(width)).map(|nx| ny * width + nx);
                queue.extend(row.filter(|at| take(*at)));
            }
        }
        if blob.len() >= LEAST_PIXELS {
            blobs.push(blob);
        }
    }
    blobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::camvid::class::CAR;

    /// Cars of 20 x 10, 20 x 15 and 9 x 20 pixels, the last one too small.
    fn labels() -> Classes {
        let car = |x: u32, y: u32| {
            (10..30).contains(&x) && (10..20).contains(&y)
                || (50..70).contains(&x) && (10..25).contains(&y)
                || (80..89).contains(&x) && y < 20
        };
        let pixels = (0..40).flat_map(|y| (0..100).map(move |x| if car(x, y) { CAR } else { 0 })).collect();
        Classes { width: 100, height: 40, pixels }
    }

    fn area(left: f64, top: f64, right: f64, bottom: f64) -> Area {
        Area { left, top, right, bottom }
    }

    #[test]
    fn half_covered_is_found_and_a_third_of_a_car_is_right() {
        // Half of the first; beside the second; around the second and the small one.
        let boxes = [area(10.0, 10.0, 20.0, 20.0), area(71.0, 10.0, 80.0, 20.0), area(45.0, 8.0, 95.0, 25.0)];
        let found = compare(&boxes, &labels(), CAR);
        // The third box holds 20 x 15 + 9 x 12 = 408 of 850 car pixels.
        assert_eq!(found.tally.precision, Share { part: 2, whole: 3 });
        assert_eq!((found.tally.recall, found.blobs), (Share { part: 2, whole: 2 }, vec![(200, true), (300, true)]));
        let found = compare(&[area(10.0, 10.0, 19.0, 20.0)], &labels(), CAR);
        assert_eq!(found.blobs, [(200, false), (300, false)]);
    }

    #[test]
    fn odd_boxes_and_pictures_do_no_harm() {
        let odd = [area(f64::NAN, -1e300, f64::INFINITY, 1e300), area(9.0, 9.0, 1.0, 1.0)];
        assert_eq!(compare(&odd, &labels(), CAR).tally.precision.whole, 2);
        let empty = Classes { width: 0, height: 0, pixels: vec![] };
        assert_eq!(compare(&odd, &empty, CAR).tally.recall, Share::default());
    }
}
