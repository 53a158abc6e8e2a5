//! Reading the output of object detectors. Each network has a file of its own; what they have in common is here: when a
//! box is believed, where it lies in the frame, and which of several is kept.

use serde::{Deserialize, Serialize};
use waywarden_components::perception::{Detection, ObjectClass};

use crate::inference::InferenceError;
use crate::inference::prepare::{InputSpec, Placement};

pub mod fastestdet;
pub mod nanodet;
pub mod yolox;

/// Classes of COCO.
pub const CLASSES: usize = 80;

/// Most boxes that are kept of one frame: the best.
pub const MAX_BOXES: usize = 256;

/// When a network is believed: of a detector its boxes, of a segmentation what it takes for road.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Least probability of a detection (objectness x class), 0 to 1.
    pub score: f32,
    /// Intersection over union above which the weaker of two boxes of a class is dropped, 0 to 1.
    pub overlap: f32,
    /// A pixel is drivable that is so with more than this probability, above 0 and below 1.
    pub drivable: f32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { score: 0.25, overlap: 0.45, drivable: 0.5 }
    }
}

impl Thresholds {
    /// What is wrong with them, if anything.
    pub fn fault(&self) -> Option<String> {
        if !((0.0..=1.0).contains(&self.score) && (0.0..=1.0).contains(&self.overlap)) {
            return Some("thresholds.score and thresholds.overlap must be 0 to 1".into());
        }
        let sound = self.drivable > 0.0 && self.drivable < 1.0;
        (!sound).then(|| "thresholds.drivable must be above 0 and below 1".into())
    }
}

/// What was looked at, and how: everything that is needed to read an output, but for the output.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The network's input.
    pub spec: &'a InputSpec,
    /// Where in the input the frame lies.
    pub place: &'a Placement,
    /// Width and height of the frame in its own pixels.
    pub frame: (u32, u32),
    /// When a box is believed.
    pub thresholds: &'a Thresholds,
}

impl View<'_> {
    /// What a cell says, as it lies in the frame. `left`, `top`, `width` and `height` are in pixels of the input.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotFinite`] of `output` when the box has no end.
    fn candidate(
        &self,
        output: usize,
        class: u16,
        score: f32,
        [left, top, width, height]: [f32; 4],
    ) -> Result<Detection, InferenceError> {
        let (left, top) = (left - self.place.left as f32, top - self.place.top as f32);
        let across = self.frame.0 as f32 / self.place.width as f32;
        let down = self.frame.1 as f32 / self.place.height as f32;
        let found = Detection {
            class: ObjectClass::from_coco(class),
            score,
            left: left * across,
            top: top * down,
            width: width * across,
            height: height * down,
        };
        let finite = [found.left, found.top, found.width, found.height].iter().all(|v| v.is_finite());
        finite.then_some(found).ok_or(InferenceError::NotFinite { output })
    }

    /// What is kept of them, best first and cut at the edges of the frame. The weaker of two boxes of one class that
    /// overlap is dropped. Boxes of equal score are ordered by left edge, top edge and class.
    fn keep(&self, mut candidates: Vec<Detection>) -> Vec<Detection> {
        candidates.sort_by(best_first);
        let kept = keep_strongest(candidates, self.thresholds.overlap);
        let mut boxes: Vec<_> = kept.into_iter().filter_map(|detection| cut(detection, self.frame)).collect();
        // Once more: boxes that differed only outside the frame may have changed places.
        boxes.sort_by(best_first);
        boxes.truncate(MAX_BOXES);
        boxes
    }
}

/// Sees to it that there are as many outputs as shapes, as many numbers in each as its shape has, and that each is one.
fn check(outputs: &[Vec<f32>], shapes: &[Vec<usize>]) -> Result<(), InferenceError> {
    for (output, shape) in shapes.iter().enumerate() {
        let numbers = outputs.get(output).map_or(&[][..], Vec::as_slice);
        if numbers.len() != shape.iter().product::<usize>() {
            let expected = format!("{shape:?}");
            return Err(InferenceError::Shape { output, found: vec![numbers.len()], expected });
        }
        if !numbers.iter().all(|v| v.is_finite()) {
            return Err(InferenceError::NotFinite { output });
        }
    }
    Ok(())
}

/// Cells of a grid of one stride, in its order: column and row, row by row.
fn grid(spec: &InputSpec, stride: u32) -> impl Iterator<Item = (u32, u32)> {
    let (columns, rows) = (spec.width / stride, spec.height / stride);
    (0..rows).flat_map(move |y| (0..columns).map(move |x| (x, y)))
}

/// How many cells a grid has.
fn cells(spec: &InputSpec, stride: u32) -> usize {
    (spec.width / stride) as usize * (spec.height / stride) as usize
}

/// The class with the highest probability; the first of several.
fn likeliest<'a>(probabilities: impl IntoIterator<Item = &'a f32>) -> (u16, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &probability) in (0u16..).zip(probabilities) {
        if probability > best.1 {
            best = (class, probability);
        }
    }
    best
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
mod tests;
