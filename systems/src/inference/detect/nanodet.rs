//! The output of NanoDet (`RangiLyu/nanodet`, 2020), whose boxes are those of Generalized Focal Loss (Li et al.,
//! arXiv:2006.04388): each edge is a distribution over distances.

use waywarden_components::perception::Detection;

use super::{CLASSES, View, cells, check, grid, likeliest};
use crate::inference::InferenceError;
use crate::inference::prepare::InputSpec;

/// Pixels of the input for a cell of each of the network's grids, in the order of the outputs.
pub const STRIDES: [u32; 3] = [8, 16, 32];

/// Distances over which the place of an edge is distributed: 0 to 7 cells.
pub const DISTANCES: usize = 8;

/// Numbers for the box of each cell: left, top, right and bottom edge.
pub const COLUMNS: usize = 4 * DISTANCES;

/// Shapes of the outputs: the classes of each grid, then the edges of each grid.
pub fn output_shapes(spec: &InputSpec) -> Vec<Vec<usize>> {
    let of = |columns| STRIDES.into_iter().map(move |stride| vec![1, cells(spec, stride), columns]);
    of(CLASSES).chain(of(COLUMNS)).collect()
}

/// The boxes in the outputs, best first, in pixels of the frame, cut at its edges.
///
/// The network gives for each cell the probabilities of classes, and for each edge of a box the logits of its distance from
/// the middle of the cell, in cells: the edge is at the mean of that distribution. Each cell counts for its likeliest class;
/// then the weaker of two boxes of one class that overlap is dropped.
///
/// # Errors
///
/// [`InferenceError::Shape`] when there are fewer or more numbers, [`InferenceError::NotFinite`] when one is none,
/// [`InferenceError::NoProbability`] when a probability is above 1.
pub fn decode(outputs: &[Vec<f32>], view: &View) -> Result<Vec<Detection>, InferenceError> {
    check(outputs, &output_shapes(view.spec))?;
    let (classes, edges) = outputs.split_at(STRIDES.len());
    let mut candidates = Vec::new();
    for (output, ((stride, classes), edges)) in STRIDES.into_iter().zip(classes).zip(edges).enumerate() {
        let numbers = classes.chunks_exact(CLASSES).zip(edges.chunks_exact(COLUMNS));
        for ((x, y), (classes, edges)) in grid(view.spec, stride).zip(numbers) {
            let (class, score) = likeliest(classes);
            if score < view.thresholds.score {
                continue;
            }
            if score > 1.0 {
                return Err(InferenceError::NoProbability { output });
            }
            let stride = stride as f32;
            // The middle of the cell as the network was trained: that of its pixels, counted from 0.
            let middle = |cell: u32| cell as f32 * stride + (stride - 1.0) / 2.0;
            let mut distances = [0.0; 4];
            for (distance, logits) in distances.iter_mut().zip(edges.chunks_exact(DISTANCES)) {
                *distance = mean(logits) * stride;
            }
            let [left, top, right, bottom] = distances;
            let place = [middle(x) - left, middle(y) - top, left + right, top + bottom];
            candidates.push(view.candidate(STRIDES.len() + output, class, score, place)?);
        }
    }
    Ok(view.keep(candidates))
}

/// Mean of the places 0, 1, 2, … of which these are the logits (softmax).
fn mean(logits: &[f32]) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (place, logit) in (0u8..).zip(logits) {
        // `libm`, because the system's exponential differs from system to system. The largest is 1: the sum is not 0.
        let weight = libm::expf(logit - most);
        sum += weight;
        weighted += weight * f32::from(place);
    }
    weighted / sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use waywarden_components::perception::ObjectClass;

    use super::super::tests::{CAR, SPEC, TRUCK, corners, sane, seen};
    use super::*;

    /// Outputs in which nothing is seen.
    fn nothing() -> Vec<Vec<f32>> {
        output_shapes(&SPEC).iter().map(|shape| vec![0.0; shape.iter().product()]).collect()
    }

    /// A box whose edges are so many whole cells away.
    fn put(outputs: &mut [Vec<f32>], grid: usize, cell: usize, edges: [usize; 4], class: usize, score: f32) {
        outputs[grid][cell * CLASSES + class] = score;
        for (edge, distance) in edges.into_iter().enumerate() {
            outputs[3 + grid][cell * COLUMNS + edge * DISTANCES + distance] = 50.0;
        }
    }

    #[test]
    fn shapes_follow_from_the_grids() {
        let shapes = [[1, 32, 80], [1, 8, 80], [1, 2, 80], [1, 32, 32], [1, 8, 32], [1, 2, 32]];
        assert_eq!(output_shapes(&SPEC), shapes);
        let big = output_shapes(&InputSpec { width: 416, height: 416, ..SPEC });
        assert_eq!((&big[0][..], &big[5][..]), (&[1, 2704, 80][..], &[1, 169, 32][..]));
    }

    #[test]
    fn edges_are_means_of_distributions() {
        assert_eq!(mean(&[0.0; 8]), 3.5);
        assert!((mean(&[0.0, 0.0, 50.0, 50.0, 0.0, 0.0, 0.0, 0.0]) - 2.5).abs() < 1e-6);
        // A large logit beside the least that there is.
        assert_eq!(mean(&[f32::MAX, f32::MIN, f32::MIN]), 0.0);
        assert_eq!(mean(&[f32::MIN, f32::MAX]), 1.0);
    }

    #[test]
    fn boxes_come_back_in_pixels_of_the_frame() {
        let mut outputs = nothing();
        // Stride 8, column 2, row 1: the middle is at (19.5, 11.5). Doubled in the frame.
        put(&mut outputs, 0, 8 + 2, [1, 0, 2, 1], CAR, 0.6);
        // Stride 32, column 1: (47.5, 15.5).
        put(&mut outputs, 2, 1, [1, 0, 0, 0], 0, 0.7);
        let found = seen(decode, &outputs).unwrap();
        assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [ObjectClass::Car]);
        assert_eq!(corners(&found[0]), [23, 23, 48, 16]);
        assert_eq!(found[0].score, 0.6);
        // The other one had no height.
        put(&mut outputs, 2, 0, [0, 0, 1, 1], 0, 0.7);
        assert_eq!(corners(&seen(decode, &outputs).unwrap()[0]), [31, 31, 64, 33]);
    }

    #[test]
    fn overlapping_boxes_of_a_class_are_dropped_others_and_weak_ones_kept_apart() {
        let mut outputs = nothing();
        put(&mut outputs, 0, 10, [2, 1, 2, 1], CAR, 0.5);
        put(&mut outputs, 0, 11, [3, 1, 1, 1], CAR, 0.6); // the same place, stronger
        put(&mut outputs, 0, 12, [4, 1, 0, 1], TRUCK, 0.4); // the same place, another class
        put(&mut outputs, 0, 14, [1, 1, 1, 1], CAR, 0.24); // too weak
        let found: Vec<_> = seen(decode, &outputs).unwrap().iter().map(|d| (d.class, d.score)).collect();
        assert_eq!(found, [(ObjectClass::Car, 0.6), (ObjectClass::Truck, 0.4)]);
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(matches!(seen(decode, &nothing()[1..]), Err(InferenceError::Shape { output: 0, .. })));
        assert!(matches!(seen(decode, &nothing()[..5]), Err(InferenceError::Shape { output: 5, .. })));
        let mut outputs = nothing();
        outputs[4][7] = f32::NAN;
        assert_eq!(seen(decode, &outputs), Err(InferenceError::NotFinite { output: 4 }));
        let mut outputs = nothing();
        put(&mut outputs, 1, 3, [1; 4], CAR, 1.1);
        assert_eq!(seen(decode, &outputs), Err(InferenceError::NoProbability { output: 1 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_a_network_says_gives_an_error_or_boxes_in_the_frame_best_first(
            numbers in prop::collection::vec((0usize..6, any::<prop::sample::Index>(),
                prop_oneof![-3.0f32..3.0, any::<f32>()]), 0..200),
            level in 0.0f32..1.0,
        ) {
            let mut outputs = nothing();
            outputs.iter_mut().for_each(|output| output.fill(level));
            for (output, at, number) in numbers {
                let at = at.index(outputs[output].len());
                outputs[output][at] = number;
            }
            if let Ok(boxes) = seen(decode, &outputs) {
                prop_assert!(sane(&boxes), "{boxes:?}");
            }
        }
    }
}
