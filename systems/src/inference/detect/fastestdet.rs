//! The output of FastestDet (`dog-qiuqiu/FastestDet`, 2022): one grid, planes instead of rows.

use waywarden_components::perception::Detection;

use super::{CLASSES, View, cells, check, grid, likeliest};
use crate::inference::InferenceError;
use crate::inference::prepare::InputSpec;

/// Pixels of the input for a cell.
pub const STRIDE: u32 = 16;

/// Planes of the output: objectness, offset x, y, width, height, classes.
pub const PLANES: usize = 5 + CLASSES;

/// How much objectness and class count in the score, as exponents: as the network was evaluated by its author.
const WEIGHTS: (f32, f32) = (0.6, 0.4);

/// Probabilities come out of a sum that is 1 but for its last bits.
const MOST: f32 = 1.001;

/// Shape of the only output: one picture, [`PLANES`] planes, rows and columns of the grid.
pub fn output_shapes(spec: &InputSpec) -> Vec<Vec<usize>> {
    vec![vec![1, PLANES, (spec.height / STRIDE) as usize, (spec.width / STRIDE) as usize]]
}

/// The boxes in the output, best first, in pixels of the frame, cut at its edges.
///
/// The network gives for each cell the probability that there is something, those of the classes, the hyperbolic arc tangent
/// of the middle's offset from the cell's corner in cells, and the logits of width and height as parts of the input's. Each
/// cell counts for its likeliest class, with the weighted geometric mean of both probabilities; then the weaker of two boxes
/// of one class that overlap is dropped.
///
/// # Errors
///
/// [`InferenceError::Shape`] when there are fewer or more numbers, [`InferenceError::NotFinite`] when one is none,
/// [`InferenceError::NoProbability`] when a probability is above 1.
pub fn decode(outputs: &[Vec<f32>], view: &View) -> Result<Vec<Detection>, InferenceError> {
    check(outputs, &output_shapes(view.spec))?;
    let (output, cells) = (outputs.first().map_or(&[][..], Vec::as_slice), cells(view.spec, STRIDE));
    let mut candidates = Vec::new();
    for (cell, (x, y)) in grid(view.spec, STRIDE).enumerate() {
        let planes = || output.iter().skip(cell).step_by(cells);
        let mut numbers = [0.0; 5];
        numbers.iter_mut().zip(planes()).for_each(|(number, plane)| *number = *plane);
        let [object, across, down, width, height] = numbers;
        let (class, probability) = likeliest(planes().skip(numbers.len()));
        // `libm`, because the system's functions differ from system to system. What is below 0 has no such power.
        let score = libm::powf(object.max(0.0), WEIGHTS.0) * libm::powf(probability.max(0.0), WEIGHTS.1);
        if score < view.thresholds.score {
            continue;
        }
        if object > MOST || probability > MOST {
            return Err(InferenceError::NoProbability { output: 0 });
        }
        let (width, height) = (part(width) * view.spec.width as f32, part(height) * view.spec.height as f32);
        let middle = |cell: u32, offset| (cell as f32 + libm::tanhf(offset)) * STRIDE as f32;
        let place = [middle(x, across) - width / 2.0, middle(y, down) - height / 2.0, width, height];
        candidates.push(view.candidate(0, class, score.min(1.0), place)?);
    }
    Ok(view.keep(candidates))
}

/// The part of which this is the logit.
fn part(logit: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-logit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use waywarden_components::perception::ObjectClass;

    use super::super::tests::{CAR, SPEC, TRUCK, corners, sane, seen};
    use super::*;

    /// Cells of the grid: 4x2.
    const CELLS: usize = 8;

    /// An output in which nothing is seen.
    fn nothing() -> Vec<Vec<f32>> {
        vec![vec![0.0; PLANES * CELLS]]
    }

    /// A box with its middle `offset` cells right of and below the corner of its cell, and of `size` parts of the input.
    fn put(outputs: &mut [Vec<f32>], cell: usize, offset: f32, size: f32, class: usize, score: f32) {
        let logit = libm::logf(size / (1.0 - size));
        let offset = libm::atanhf(offset);
        for (plane, number) in [score, offset, offset, logit, logit].into_iter().enumerate() {
            outputs[0][plane * CELLS + cell] = number;
        }
        outputs[0][(5 + class) * CELLS + cell] = score;
    }

    #[test]
    fn the_shape_follows_from_the_grid() {
        assert_eq!(output_shapes(&SPEC), [[1, 85, 2, 4]]);
        assert_eq!(output_shapes(&InputSpec { width: 352, height: 352, ..SPEC }), [[1, 85, 22, 22]]);
    }

    #[test]
    fn boxes_come_back_in_pixels_of_the_frame() {
        let mut outputs = nothing();
        // Column 2, row 0: the middle is at (40, 8), 16 wide and 8 high; doubled in the frame.
        put(&mut outputs, 2, 0.5, 0.25, CAR, 0.6);
        // Column 1, row 1: the middle is a quarter of a cell left of and above the corner, at (12, 12).
        put(&mut outputs, 5, -0.25, 0.5, 0, 0.7);
        let found = seen(decode, &outputs).unwrap();
        assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [ObjectClass::Person, ObjectClass::Car]);
        assert_eq!(corners(&found[0]), [0, 8, 56, 32]);
        assert_eq!(corners(&found[1]), [64, 8, 32, 16]);
        assert!((found[1].score - 0.6).abs() < 1e-6);
    }

    #[test]
    fn objectness_counts_more_than_the_class() {
        let mut outputs = nothing();
        put(&mut outputs, 1, 0.5, 0.2, CAR, 0.9);
        outputs[0][(5 + CAR) * CELLS + 1] = 0.4;
        put(&mut outputs, 6, 0.5, 0.2, TRUCK, 0.9);
        outputs[0][6] = 0.4;
        let scores: Vec<_> =
            seen(decode, &outputs).unwrap().iter().map(|d| (d.class, (d.score * 1000.0).round() as i32)).collect();
        // 0.9^0.6 x 0.4^0.4 and 0.4^0.6 x 0.9^0.4
        assert_eq!(scores, [(ObjectClass::Car, 651), (ObjectClass::Truck, 553)]);
    }

    #[test]
    fn overlapping_boxes_of_a_class_are_dropped_others_and_weak_ones_kept_apart() {
        let mut outputs = nothing();
        put(&mut outputs, 1, 0.5, 0.5, CAR, 0.5);
        put(&mut outputs, 6, -0.45, 0.5, CAR, 0.6); // almost the same box, stronger
        put(&mut outputs, 0, 0.9, 0.5, TRUCK, 0.4); // likewise, another class
        put(&mut outputs, 7, 0.5, 0.2, CAR, 0.24); // too weak
        let found: Vec<_> = seen(decode, &outputs).unwrap().iter().map(|d| d.class).collect();
        assert_eq!(found, [ObjectClass::Car, ObjectClass::Truck]);
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(matches!(seen(decode, &[]), Err(InferenceError::Shape { output: 0, .. })));
        assert!(matches!(seen(decode, &[nothing()[0][1..].to_vec()]), Err(InferenceError::Shape { output: 0, .. })));
        let mut outputs = nothing();
        outputs[0][77] = f32::NAN;
        assert_eq!(seen(decode, &outputs), Err(InferenceError::NotFinite { output: 0 }));
        let mut outputs = nothing();
        put(&mut outputs, 0, 0.5, 0.5, CAR, 1.1);
        assert_eq!(seen(decode, &outputs), Err(InferenceError::NoProbability { output: 0 }));
        // The last bits of a sum are no matter; what is negative is none.
        put(&mut outputs, 0, 0.5, 0.5, CAR, 1.000_000_1);
        assert_eq!(seen(decode, &outputs).unwrap()[0].score, 1.0);
        outputs[0][0] = -1.0;
        assert_eq!(seen(decode, &outputs), Ok(Vec::new()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_a_network_says_gives_an_error_or_boxes_in_the_frame_best_first(
            numbers in prop::collection::vec((0usize..PLANES * CELLS, prop_oneof![-3.0f32..3.0, any::<f32>()]), 0..200),
            level in 0.0f32..1.0,
        ) {
            let mut outputs = vec![vec![level; PLANES * CELLS]];
            for (at, number) in numbers {
                outputs[0][at] = number;
            }
            if let Ok(boxes) = seen(decode, &outputs) {
                prop_assert!(sane(&boxes), "{boxes:?}");
            }
        }
    }
}
