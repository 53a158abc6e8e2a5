//! Reading the output of object detectors (YOLOX, arXiv:2107.08430).

use serde::{Deserialize, Serialize};
use waywarden_components::perception::{Detection, ObjectClass};

use crate::inference::InferenceError;
use crate::inference::prepare::{InputSpec, Placement};

/// Classes of COCO.
pub const CLASSES: usize = 80;

/// Numbers for each cell: centre x, y, width, height, objectness, classes.
pub const COLUMNS: usize = 5 + CLASSES;

/// Pixels of the input for a cell of each of the network's grids, in the order of the output.
pub const STRIDES: [u32; 3] = [8, 16, 32];

/// Most boxes that are kept of one frame: the best.
pub const MAX_BOXES: usize = 256;

/// When a box is believed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Least probability of a detection (objectness x class), 0 to 1.
    pub score: f32,
    /// Intersection over union above which the weaker of two boxes of a class is dropped, 0 to 1.
    pub overlap: f32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { score: 0.25, overlap: 0.45 }
    }
}

impl Thresholds {
    /// What is wrong with them, if anything.
    pub fn fault(&self) -> Option<String> {
        let sound = (0.0..=1.0).contains(&self.score) && (0.0..=1.0).contains(&self.overlap);
        (!sound).then(|| "thresholds.score and thresholds.overlap must be 0 to 1".into())
    }
}

/// Shape of the output: one picture, the cells of all grids, [`COLUMNS`] numbers each.
pub fn output_shape(spec: &InputSpec) -> [usize; 3] {
    let cells = |stride| (spec.width / stride) as usize * (spec.height / stride) as usize;
    [1, STRIDES.into_iter().map(cells).sum(), COLUMNS]
}

/// The boxes in the output, best first, in pixels of a frame of `frame` (width, height) pixels, cut at its edges.
///
/// The network gives for each cell an offset from the cell's corner in cells, the logarithm of the size in cells, and
/// probabilities. Each cell counts for its likeliest class; then the weaker of two boxes of one class that overlap is
/// dropped. Boxes of equal score are ordered by left edge, top edge and class.
///
/// # Errors
///
/// [`InferenceError::Shape`] when there are fewer or more numbers, [`InferenceError::NotFinite`] when one is none or
/// gives a box without end, [`InferenceError::NoProbability`] when a probability is above 1.
pub fn decode(
    output: &[f32],
    spec: &InputSpec,
    place: &Placement,
    frame: (u32, u32),
    thresholds: &Thresholds,
) -> Result<Vec<Detection>, InferenceError> {
    let shape = output_shape(spec);
    if output.len() != shape.iter().product::<usize>() {
        let expected = format!("{shape:?}");
        return Err(InferenceError::Shape { output: 0, found: vec![output.len()], expected });
    }
    if !output.iter().all(|v| v.is_finite()) {
        return Err(InferenceError::NotFinite { output: 0 });
    }
    let mut candidates = Vec::new();
    for (cell, numbers) in cells(spec).zip(output.chunks_exact(COLUMNS)) {
        let (class, probability) = likeliest(&numbers[5..]);
        let score = numbers[4] * probability;
        if score < thresholds.score {
            continue;
        }
        if numbers[4] > 1.0 || probability > 1.0 {
            return Err(InferenceError::NoProbability { output: 0 });
        }
        let candidate = in_frame(numbers, cell, place, frame, class, score);
        if ![candidate.left, candidate.top, candidate.width, candidate.height].iter().all(|v| v.is_finite()) {
            return Err(InferenceError::NotFinite { output: 0 });
        }
        candidates.push(candidate);
    }
    candidates.sort_by(best_first);
    let kept = keep_strongest(candidates, thresholds.overlap);
    let mut boxes: Vec<_> = kept.into_iter().filter_map(|detection| cut(detection, frame)).collect();
    // Once more: boxes that differed only outside the frame may have changed places.
    boxes.sort_by(best_first);
    boxes.truncate(MAX_BOXES);
    Ok(boxes)
}

/// Column, row and stride of every cell, in the order of the output.
fn cells(spec: &InputSpec) -> impl Iterator<Item = (u32, u32, u32)> {
    let (width, height) = (spec.width, spec.height);
    STRIDES.into_iter().flat_map(move |stride| {
        (0..height / stride).flat_map(move |y| (0..width / stride).map(move |x| (x, y, stride)))
    })
}

/// The class with the highest probability; the first of several.
fn likeliest(probabilities: &[f32]) -> (u16, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &probability) in (0u16..).zip(probabilities) {
        if probability > best.1 {
            best = (class, probability);
        }
    }
    best
}

fn in_frame(
    numbers: &[f32],
    (x, y, stride): (u32, u32, u32),
    place: &Placement,
    frame: (u32, u32),
    class: u16,
    score: f32,
) -> Detection {
    let stride = stride as f32;
    // `libm`, because the system's exponential differs from system to system.
    let (width, height) = (libm::expf(numbers[2]) * stride, libm::expf(numbers[3]) * stride);
    let left = (numbers[0] + x as f32) * stride - width / 2.0 - place.left as f32;
    let top = (numbers[1] + y as f32) * stride - height / 2.0 - place.top as f32;
    let (across, down) = (frame.0 as f32 / place.width as f32, frame.1 as f32 / place.height as f32);
    Detection {
        class: ObjectClass::from_coco(class),
        score,
        left: left * across,
        top: top * down,
        width: width * across,
        height: height * down,
    }
}

pub(crate) fn best_first(a: &Detection, b: &Detection) -> std::cmp::Ordering {
    b.score
        .total_cmp(&a.score)
        .then(a.left.total_cmp(&b.left))
        .then(a.top.total_cmp(&b.top))
        .then(a.class.cmp(&b.class))
        .then(a.width.total_cmp(&b.width))
        .then(a.height.total_cmp(&b.height))
}

/// Non-maximum suppression by class, of boxes that come best first.
fn keep_strongest(candidates: Vec<Detection>, overlap: f32) -> Vec<Detection> {
    let mut kept: Vec<Detection> = Vec::new();
    for candidate in candidates {
        if !kept.iter().any(|k| k.class == candidate.class && intersection_over_union(k, &candidate) > overlap) {
            kept.push(candidate);
        }
    }
    kept
}

pub(super) fn intersection_over_union(a: &Detection, b: &Detection) -> f32 {
    let width = (a.left + a.width).min(b.left + b.width) - a.left.max(b.left);
    let height = (a.top + a.height).min(b.top + b.height) - a.top.max(b.top);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let both = width * height;
    both / (a.width * a.height + b.width * b.height - both)
}

/// The part of a box that lies in the frame, if any does.
fn cut(detection: Detection, (width, height): (u32, u32)) -> Option<Detection> {
    let (left, top) = (detection.left.max(0.0), detection.top.max(0.0));
    let right = (detection.left + detection.width).min(width as f32);
    let bottom = (detection.top + detection.height).min(height as f32);
    let inside = right > left && bottom > top;
    inside.then_some(Detection { left, top, width: right - left, height: bottom - top, ..detection })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "makes a test signal, of which the last bits do not matter")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::inference::prepare::{Colour, Layout, Range};

    const SPEC: InputSpec = InputSpec {
        width: 64,
        height: 32,
        layout: Layout::LetterboxedTopLeft,
        colour: Colour::Bgr,
        range: Range::Byte,
    };
    /// Twice the input's size, so coordinates double.
    const FRAME: (u32, u32) = (128, 64);
    const CAR: usize = 2;
    const TRUCK: usize = 7;

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
        decode(output, &SPEC, &Placement::of(FRAME.0, FRAME.1, &SPEC), FRAME, &Thresholds::default()).unwrap()
    }

    fn corners(d: &Detection) -> [i32; 4] {
        [d.left, d.top, d.width, d.height].map(|v| v.round() as i32)
    }

    #[test]
    fn the_shape_follows_from_the_grids() {
        assert_eq!(output_shape(&SPEC), [1, 42, 85]);
        assert_eq!(output_shape(&InputSpec { width: 416, height: 416, ..SPEC }), [1, 3549, 85]);
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
        let place = Placement::of(FRAME.0, FRAME.1, &SPEC);
        let decode = |output: &[f32]| decode(output, &SPEC, &place, FRAME, &Thresholds::default());
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
            let place = Placement::of(FRAME.0, FRAME.1, &SPEC);
            if let Ok(boxes) = decode(&output, &SPEC, &place, FRAME, &Thresholds::default()) {
                for d in &boxes {
                    prop_assert!(d.left >= 0.0 && d.top >= 0.0 && d.width > 0.0 && d.height > 0.0, "{d:?}");
                    prop_assert!(d.left + d.width <= 128.001 && d.top + d.height <= 64.001, "{d:?}");
                    prop_assert!((0.25..=1.0).contains(&d.score), "{d:?}");
                }
                prop_assert!(boxes.is_sorted_by(|a, b| best_first(a, b).is_le()));
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
        let found = decode(&output, &big, &place, (416, 416), &Thresholds::default()).unwrap();
        assert_eq!(found.len(), MAX_BOXES);
    }
}
