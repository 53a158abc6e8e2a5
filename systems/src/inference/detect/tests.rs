//! What the tests of all decoders have in common.

use super::*;
use crate::inference::prepare::{Colour, Layout, Range};

/// Grids of 8x4 cells of stride 8, 4x2 of 16 and 2x1 of 32.
pub(super) const SPEC: InputSpec =
    InputSpec { width: 64, height: 32, layout: Layout::LetterboxedTopLeft, colour: Colour::Bgr, range: Range::Byte };

/// Twice the input's size, so coordinates double.
pub(super) const FRAME: (u32, u32) = (128, 64);

pub(super) const CAR: usize = 2;
pub(super) const TRUCK: usize = 7;

/// What a decoder sees in outputs for [`SPEC`] and [`FRAME`].
pub(super) fn seen(
    decode: impl Fn(&[Vec<f32>], &View) -> Result<Vec<Detection>, InferenceError>,
    outputs: &[Vec<f32>],
) -> Result<Vec<Detection>, InferenceError> {
    let (place, thresholds) = (Placement::of(FRAME.0, FRAME.1, &SPEC), Thresholds::default());
    decode(outputs, &View { spec: &SPEC, place: &place, frame: FRAME, thresholds: &thresholds })
}

pub(super) fn corners(d: &Detection) -> [i32; 4] {
    [d.left, d.top, d.width, d.height].map(|v| v.round() as i32)
}

/// Whether they lie in the frame, with probabilities above the threshold, best first.
pub(super) fn sane(boxes: &[Detection]) -> bool {
    let inside = |d: &Detection| {
        d.left >= 0.0
            && d.top >= 0.0
            && d.width > 0.0
            && d.height > 0.0
            && d.left + d.width <= FRAME.0 as f32 + 0.001
            && d.top + d.height <= FRAME.1 as f32 + 0.001
            && (0.25..=1.0).contains(&d.score)
    };
    boxes.iter().all(inside) && boxes.is_sorted_by(|a, b| best_first(a, b).is_le())
}

#[test]
fn a_frame_that_is_laid_into_the_middle_is_found_there() {
    let spec = InputSpec { width: 64, height: 64, layout: Layout::Letterboxed, ..SPEC };
    let (place, thresholds) = (Placement::of(128, 64, &spec), Thresholds::default());
    let view = View { spec: &spec, place: &place, frame: (128, 64), thresholds: &thresholds };
    let found = view.candidate(0, 2, 0.5, [10.0, 16.0, 20.0, 8.0]).unwrap();
    assert_eq!(corners(&found), [20, 0, 40, 16]);
    assert_eq!(view.candidate(3, 2, 0.5, [0.0, 0.0, f32::MAX, 1.0]), Err(InferenceError::NotFinite { output: 3 }));
}

#[test]
fn outputs_are_counted_before_they_are_read() {
    let shapes = [vec![1, 2], vec![1, 3]];
    assert_eq!(check(&[vec![0.0; 2], vec![0.0; 3]], &shapes), Ok(()));
    for (outputs, wrong) in [(vec![], 0), (vec![vec![0.0; 2]], 1), (vec![vec![0.0; 2], vec![0.0; 4]], 1)] {
        assert!(matches!(check(&outputs, &shapes), Err(InferenceError::Shape { output, .. }) if output == wrong));
    }
    let endless = [vec![0.0; 2], vec![0.0, f32::INFINITY, 0.0]];
    assert_eq!(check(&endless, &shapes), Err(InferenceError::NotFinite { output: 1 }));
}
