//! A picture to draw on: planes Y, U and V of a 4:2:2 picture.

/// A colour in full range BT.601: Y, U, V.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulate) struct Tint(pub u8, pub u8, pub u8);

impl Tint {
    /// The same, `share` (0 to 1) of the way to `other`.
    pub fn towards(self, other: Self, share: f32) -> Self {
        let weight = (share.clamp(0.0, 1.0) * 256.0) as i32;
        let mix = |a: u8, b: u8| (i32::from(a) + ((i32::from(b) - i32::from(a)) * weight >> 8)) as u8;
        Self(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }

    /// The same colour, `times` as bright.
    pub fn lit(self, times: f32) -> Self {
        let luma = (f32::from(self.0) * times).clamp(0.0, 255.0) as u8;
        let chroma = |value: u8| (128.0 + (f32::from(value) - 128.0) * times.min(1.2)).clamp(0.0, 255.0) as u8;
        Self(luma, chroma(self.1), chroma(self.2))
    }
}

/// The picture.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Canvas {
    pub width: usize,
    pub height: usize,
    /// Full size.
    pub luma: Vec<u8>,
    /// Half as wide.
    pub blue: Vec<u8>,
    pub red: Vec<u8>,
}

impl Canvas {
    /// A canvas; `width` is even.
    pub fn new(width: usize, height: usize) -> Self {
        let half = vec![128; width / 2 * height];
        Self { width, height, luma: vec![0; width * height], blue: half.clone(), red: half }
    }

    /// Fills a row from `left` to `right` (in pixels, pixel n reaching from n to n + 1).
    pub fn span(&mut self, row: usize, left: f32, right: f32, tint: Tint) {
        let width = self.width as f32;
        let (left, right) = (left.clamp(0.0, width), right.clamp(0.0, width));
        if right <= left {
            return;
        }
        let line = &mut self.luma[row * self.width..][..self.width];
        let (first, last) = (left as usize, (right as usize).min(self.width - 1));
        if first == last {
            blend(&mut line[first], tint.0, right - left);
        } else {
            blend(&mut line[first], tint.0, 1.0 - (left - first as f32));
            line[first + 1..last].fill(tint.0);
            blend(&mut line[last], tint.0, right - last as f32);
        }
        self.chroma(row, left, right, tint);
    }

    /// Colours a row from `left` to `right`.
    pub fn chroma(&mut self, row: usize, left: f32, right: f32, tint: Tint) {
        let half = self.width / 2;
        // What covers less than half of a pair leaves its colour as it is.
        let (from, to) = ((left * 0.5 + 0.5) as usize, ((right * 0.5 + 0.5) as usize).min(half));
        if from < to {
            self.blue[row * half + from..row * half + to].fill(tint.1);
            self.red[row * half + from..row * half + to].fill(tint.2);
        }
    }

    /// Fills a convex polygon of points in pixels, but for rows that are `hidden`.
    pub fn polygon(&mut self, points: &[(f32, f32)], tint: Tint, hidden: impl Fn(usize) -> bool) {
        let (mut top, mut bottom) = (f32::MAX, f32::MIN);
        for &(_, y) in points {
            (top, bottom) = (top.min(y), bottom.max(y));
        }
        // Also false for what is not a number.
        if !(bottom > top && bottom > 0.0 && top < self.height as f32) {
            return;
        }
        let first = (top - 0.5).ceil().max(0.0) as usize;
        let end = ((bottom - 0.5).ceil().max(0.0) as usize).min(self.height);
        for row in first..end {
            if hidden(row) {
                continue;
            }
            let y = row as f32 + 0.5;
            let (mut left, mut right) = (f32::MAX, f32::MIN);
            for (n, &(x0, y0)) in points.iter().enumerate() {
                let (x1, y1) = points[(n + 1) % points.len()];
                if (y0 <= y) != (y1 <= y) {
                    let x = x0 + (x1 - x0) * ((y - y0) / (y1 - y0));
                    (left, right) = (left.min(x), right.max(x));
                }
            }
            if left < right {
                self.span(row, left, right, tint);
            }
        }
    }
}

/// Covers a pixel to `share`.
pub(super) fn blend(pixel: &mut u8, luma: u8, share: f32) {
    let weight = (share.clamp(0.0, 1.0) * 256.0) as i32;
    *pixel = (i32::from(*pixel) + ((i32::from(luma) - i32::from(*pixel)) * weight >> 8)) as u8;
}
