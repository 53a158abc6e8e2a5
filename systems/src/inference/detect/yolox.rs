//! The output of YOLOX (Ge et al., arXiv:2107.08430).

use waywarden_components::perception::Detection;

use super::{CLASSES, View, cells, check, grid, likeliest};
use crate::inference::InferenceError;
use crate::inference::prepare::InputSpec;

/// Numbers for each cell: centre x, y, width, height, objectness, classes.
pub const COLUMNS: usize = 5 + CLASSES;

/// Pixels of the input for a cell of each of the network's grids, in the order of the output.
pub const STRIDES: [u32; 3] = [8, 16, 32];

/// Shape of the only output: one picture, the cells of all grids, [`COLUMNS`] numbers each.
pub fn output_shapes(spec: &InputSpec) -> Vec<Vec<usize>> {
    vec![vec![1, STRIDES.into_iter().map(|stride| cells(spec, stride)).sum(), COLUMNS]]
}

/// The boxes in the output, best first, in pixels of the frame, cut at its edges.
///
/// The network gives for each cell an offset from the cell's corner in cells, the logarithm of the size in cells, and
/// probabilities. Each cell counts for its likeliest class, with the product of both probabilities; then the weaker of two
/// boxes of one class that overlap is dropped.
///
/// # Errors
///
/// [`InferenceError::Shape`] when there are fewer or more numbers, [`InferenceError::NotFinite`] when one is none or
/// gives a box without end, [`InferenceError::NoProbability`] when a probability is above 1.
pub fn decode(outputs: &[Vec<f32>], view: &View) -> Result<Vec<Detection>, InferenceError> {
    check(outputs, &output_shapes(view.spec))?;
    let mut candidates = Vec::new();
    let all = STRIDES.into_iter().flat_map(|stride| grid(view.spec, stride).map(move |(x, y)| (x, y, stride)));
    for ((x, y, stride), numbers) in all.zip(outputs.iter().flat_map(|output| output.chunks_exact(COLUMNS))) {
        let (class, probability) = likeliest(&numbers[5..]);
        let score = numbers[4] * probability;
        if score < view.thresholds.score {
            continue;
        }
        if numbers[4] > 1.0 || probability > 1.0 {
            return Err(InferenceError::NoProbability { output: 0 });
        }
        let stride = stride as f32;
        // `libm`, because the system's exponential differs from system to system.
        let (width, height) = (libm::expf(numbers[2]) * stride, libm::expf(numbers[3]) * stride);
        let left = (numbers[0] + x as f32) * stride - width / 2.0;
        let top = (numbers[1] + y as f32) * stride - height / 2.0;
        candidates.push(view.candidate(0, class, score, [left, top, width, height])?);
    }
    Ok(view.keep(candidates))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "makes a test signal, of which the last bits do not matter")]
mod tests {
    use proptest::prelude::*;

    use waywarden_components::perception::ObjectClass;

    use super::super::tests::{CAR, SPEC, TRUCK, corners, sane, seen};
    use super::super::{MAX_BOXES, Thresholds};
    use super::*;
    use crate::inference::prepare::Placement;

    /// An output in which nothing is seen. Cells: 8x4 of stride 8, 4x2 of 16, 2x1 of 32.
    fn nothing() -> Vec<f32> {
        vec![0.0; 42 * COLUMNS]
    }

    fn put(output: &mut [f32], cell: usize, x: f32, y: f32, size: f32, class: usize, score: f32) {
        let numbers = &mut output[cell * COLUMNS..(cell + 1) * COLUMNS];
        numbers[..5].copy_from_slice(&[x, y, size.ln(), size.ln(), 0.9]);
        numbers[5 + class] = score / 0.9;
    }

    fn boxes(output: &[f32]) -> Vec<Detection> {
        seen(decode, &[output.to_vec()]).unwrap()
    }

    #[test]
    fn the_shape_follows_from_the_grids() {
        assert_eq!(output_shapes(&SPEC), [[1, 42, 85]]);
        assert_eq!(output_shapes(&InputSpec { width: 416, height: 416, ..SPEC }), [[1, 3549, 85]]);
    }

    #[test]
    fn boxes_come_back_in_pixels_of_the_frame() {
        let mut output = nothing();
        put(&mut output, 8 + 2, 0.5, 0.5, 1.0, CAR, 0.6); // stride 8, column 2, row 1: centre (20, 12), 8 wide
        put(&mut output, 32 + 5, 0.0, 0.5, 1.0, 0, 0.7); // stride 16, column 1, row 1: centre (16, 24), 16 wide
        let found = boxes(&output);
        assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [ObjectClass::Person, ObjectClass::Car]);
        assert_eq!(corners(&found[0]), [16, 32, 32, 32]);
        assert_eq!(corners(&found[1]), [32, 16, 16, 16]);
        assert!((found[1].score - 0.6).abs() < 1e-6);
    }

    #[test]
    fn overlapping_boxes_of_a_class_are_dropped_others_kept() {
        let mut output = nothing();
        put(&mut output, 9, 0.5, 0.5, 2.0, CAR, 0.5);
        put(&mut output, 10, -0.4, 0.5, 2.0, CAR, 0.6); // almost the same box, stronger
        put(&mut output, 11, -1.5, 0.5, 2.0, TRUCK, 0.4); // the same box, another class
        put(&mut output, 13, 0.5, 0.5, 2.0, CAR, 0.3); // elsewhere
        let scores: Vec<_> = boxes(&output).iter().map(|d| (d.class, (d.score * 10.0).round() as i32)).collect();
        assert_eq!(scores, [(ObjectClass::Car, 6), (ObjectClass::Truck, 4), (ObjectClass::Car, 3)]);
    }

    #[test]
    fn weak_boxes_are_left_out_and_edges_cut() {
        let mut output = nothing();
        put(&mut output, 0, 0.0, 0.0, 2.0, CAR, 0.8); // centre (0, 0): three quarters lie outside
        put(&mut output, 20, 0.5, 0.5, 2.0, CAR, 0.24);
        put(&mut output, 15, 9.0, 0.0, 1.0, CAR, 0.8); // beyond the right edge
        let found = boxes(&output);
        assert_eq!(found.iter().map(corners).collect::<Vec<_>>(), [[0, 0, 16, 16]]);
    }

    #[test]
    fn equal_scores_are_ordered_by_place_and_class() {
        let mut output = nothing();
        put(&mut output, 5, 0.5, 0.5, 0.5, CAR, 0.5);
        put(&mut output, 2, 0.5, 0.5, 0.5, TRUCK, 0.5);
        put(&mut output, 3, -0.5, 0.5, 0.5, CAR, 0.5);
        put(&mut output, 26, 0.5, 0.5, 0.5, CAR, 0.5);
        let order: Vec<_> = boxes(&output).iter().map(|d| (d.left as i32, d.top as i32, d.class)).collect();
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(order, sorted);
        assert_eq!(order.len(), 4);
    }

    #[test]
    fn nonsense_is_an_error() {
        let decode = |output: &[f32]| seen(decode, &[output.to_vec()]);
        assert!(matches!(decode(&nothing()[1..]), Err(InferenceError::Shape { output: 0, .. })));
        let mut output = nothing();
        output[77] = f32::NAN;
        assert_eq!(decode(&output), Err(InferenceError::NotFinite { output: 0 }));
        let mut output = nothing();
        put(&mut output, 0, 0.5, 0.5, 1.0, CAR, 0.8);
        output[2] = 1000.0; // finite, but the width is not
        assert_eq!(decode(&output), Err(InferenceError::NotFinite { output: 0 }));
        put(&mut output, 0, 0.5, 0.5, 1.0, CAR, 1.8);
        assert_eq!(decode(&output), Err(InferenceError::NoProbability { output: 0 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_a_network_says_gives_an_error_or_boxes_in_the_frame_best_first(
            numbers in prop::collection::vec((0usize..42 * COLUMNS, prop_oneof![-3.0f32..3.0, any::<f32>()]), 0..200),
            level in 0.0f32..1.0,
        ) {
            let mut output = vec![level; 42 * COLUMNS];
            for (at, number) in numbers {
                output[at] = number;
            }
            if let Ok(boxes) = seen(decode, &[output]) {
                prop_assert!(sane(&boxes), "{boxes:?}");
            }
        }
    }

    #[test]
    fn as_many_boxes_as_cells_are_bounded() {
        let big = InputSpec { width: 416, height: 416, ..SPEC };
        let mut output = vec![0.0; 3549 * COLUMNS];
        for cell in 0..3549 {
            put(&mut output, cell, 0.5, 0.5, 0.1, CAR, 0.5);
        }
        let place = Placement::of(416, 416, &big);
        let thresholds = Thresholds::default();
        let view = View { spec: &big, place: &place, frame: (416, 416), thresholds: &thresholds };
        let found = decode(&[output], &view).unwrap();
        assert_eq!(found.len(), MAX_BOXES);
    }
}
