//! Road against drivable area, pixel by pixel.

use waywarden_components::prelude::Mask;

use super::Share;
use crate::labels::camvid::{Classes, class};

/// How two areas overlap, in pixels: intersection over union, and the shares of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Pixels of both over pixels of either.
    pub iou: Share,
    /// Of what was seen: what is labelled.
    pub precision: Share,
    /// Of what is labelled: what was seen.
    pub recall: Share,
}

/// A mask at the size of another picture, by nearest neighbour. All black where the mask is not sound.
pub fn at_size(mask: &Mask, width: u32, height: u32) -> Vec<bool> {
    let pixels = mask.decode();
    let place = |at: u32, of: u32, to: u32| (u64::from(at) * u64::from(of) / u64::from(to.max(1))) as usize;
    (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .map(|(x, y)| {
            let at = place(y, mask.height, height) * mask.width as usize + place(x, mask.width, width);
            pixels.get(at) == Some(&1)
        })
        .collect()
}

/// What is in either of two masks of the same size.
pub fn either(mut one: Vec<bool>, other: &[bool]) -> Vec<bool> {
    one.iter_mut().zip(other).for_each(|(one, other)| *one |= *other);
    one
}

/// Labelled road against what was seen, at the size of the labels. Unlabelled pixels (void) are left out.
pub fn overlap(seen: &[bool], labels: &Classes) -> Overlap {
    let (mut both, mut found, mut road) = (0, 0, 0);
    for (seen, label) in seen.iter().zip(&labels.pixels).filter(|(_, label)| **label != class::VOID) {
        let labelled = *label == class::ROAD;
        both += u64::from(*seen && labelled);
        found += u64::from(*seen);
        road += u64::from(labelled);
    }
    Overlap {
        iou: Share { part: both, whole: found + road - both },
        precision: Share { part: both, whole: found },
        recall: Share { part: both, whole: road },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn void_is_left_out() {
        let labels = Classes { width: 3, height: 2, pixels: vec![3, 3, 11, 0, 3, 11] };
        let found = overlap(&[true, true, true, true, false, false], &labels);
        // Both: 2; seen beside void: 3; road: 3; either: 4.
        assert_eq!(found.iou, Share { part: 2, whole: 4 });
        assert_eq!((found.precision, found.recall), (Share { part: 2, whole: 3 }, Share { part: 2, whole: 3 }));
        assert_eq!(overlap(&[], &labels), Overlap::default());
    }

    #[test]
    fn masks_are_taken_to_the_size_of_the_labels() {
        let mask = Mask::encode(2, 2, |x, y| x == 1 && y == 0);
        assert_eq!(at_size(&mask, 4, 2), [false, false, true, true, false, false, false, false]);
        assert_eq!(at_size(&Mask { runs: vec![1], ..mask.clone() }, 2, 1), [false; 2], "not sound");
        assert_eq!(at_size(&mask, 0, 5), Vec::<bool>::new());
        assert_eq!(either(vec![true, false, false], &[false, true, false]), [true, true, false]);
    }
}
