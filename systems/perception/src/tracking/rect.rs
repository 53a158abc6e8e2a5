//! Boxes as the tracker reckons with them.

use serde::{Deserialize, Serialize};
use waywarden_components::perception::Detection;

/// A box by its middle and size, in pixels of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rect {
    /// Middle, from the left edge.
    pub x: f64,
    /// Middle, from the top edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

impl Rect {
    /// The part of a detected box that lies in the frame. None for a box that nothing real has: not finite, thinner than
    /// a pixel, more than twice as large as the frame, or outside it.
    pub fn of(found: &Detection, frame: (u32, u32)) -> Option<Self> {
        let numbers = [found.left, found.top, found.width, found.height];
        let sound = numbers.iter().all(|number| number.is_finite())
            && f64::from(found.width) <= 2.0 * f64::from(frame.0)
            && f64::from(found.height) <= 2.0 * f64::from(frame.1);
        let [left, top, width, height] = numbers.map(f64::from);
        let whole = Self { x: left + width / 2.0, y: top + height / 2.0, width, height };
        let part = whole.within(frame);
        (sound && part.width >= 1.0 && part.height >= 1.0).then_some(part)
    }

    /// The part of it that lies in the frame; of no width or no height where there is none.
    pub fn within(&self, frame: (u32, u32)) -> Self {
        let cut = |middle: f64, size: f64, end: u32| {
            let end = f64::from(end);
            let from = (middle - size / 2.0).max(0.0).min(end);
            let to = (middle + size / 2.0).max(0.0).min(end).max(from);
            ((from + to) / 2.0, to - from)
        };
        let (x, width) = cut(self.x, self.width, frame.0);
        let (y, height) = cut(self.y, self.height, frame.1);
        Self { x, y, width, height }
    }

    /// The same middle, larger by this share of its size on each of its four sides.
    pub fn grown(&self, share: f64) -> Self {
        let factor = 1.0 + 2.0 * share;
        Self { width: self.width * factor, height: self.height * factor, ..*self }
    }

    /// Square pixels.
    pub fn area(&self) -> f64 {
        self.width * self.height
    }

    /// Intersection over union, 0 to 1.
    pub fn overlap(&self, other: &Self) -> f64 {
        let along = |a: f64, a_size: f64, b: f64, b_size: f64| {
            let from = (a - a_size / 2.0).max(b - b_size / 2.0);
            let to = (a + a_size / 2.0).min(b + b_size / 2.0);
            (to - from).max(0.0)
        };
        let both = along(self.x, self.width, other.x, other.width) * along(self.y, self.height, other.y, other.height);
        let either = self.area() + other.area() - both;
        if either > 0.0 { (both / either).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// As a detection, with what it is from `like`.
    pub fn as_detection(&self, like: &Detection) -> Detection {
        Detection {
            left: (self.x - self.width / 2.0) as f32,
            top: (self.y - self.height / 2.0) as f32,
            width: self.width as f32,
            height: self.height as f32,
            ..*like
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_intersection_over_union() {
        let one = Rect { x: 10.0, y: 10.0, width: 10.0, height: 10.0 };
        let half = Rect { x: 15.0, ..one };
        assert_eq!(one.overlap(&one), 1.0);
        assert!((one.overlap(&half) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(one.overlap(&Rect { x: 20.0, ..one }), 0.0, "side by side");
        assert_eq!(Rect::default().overlap(&Rect::default()), 0.0, "of nothing");
        assert_eq!(one.overlap(&half), half.overlap(&one));
        assert!(one.grown(0.5).overlap(&half.grown(0.5)) > one.overlap(&half));
    }

    #[test]
    fn a_box_is_cut_at_the_edges_of_the_frame() {
        let over = Rect { x: 0.0, y: 95.0, width: 20.0, height: 20.0 };
        assert_eq!(over.within((100, 100)), Rect { x: 5.0, y: 92.5, width: 10.0, height: 15.0 });
        assert_eq!(Rect { x: 200.0, ..over }.within((100, 100)).width, 0.0);
    }
}
