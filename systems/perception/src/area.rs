//! Area averaging (a box filter) in integers.

use rten_simd::ops::{BitOps, Extend, NumOps};
use rten_simd::{Isa, Simd, SimdOp};
use waywarden_components::frame::THUMBNAIL_SIDE;

/// Longest side of a picture, in pixels: a column of as many adds up to what fits in its sum.
const LONGEST: usize = 16_384;

/// The source pixels that one output pixel covers on one axis. In units of 1/64 of a source pixel every output pixel
/// is exactly as wide as the source has pixels, so all weights are whole numbers and add up to that.
#[derive(Clone, Copy)]
struct Span {
    /// First source pixel covered.
    first: usize,
    /// Last source pixel covered.
    last: usize,
    /// Weight of the first.
    head: u32,
    /// Weight of the last, if it is not the first.
    tail: u32,
}

impl Span {
    fn all(length: usize) -> [Span; THUMBNAIL_SIDE] {
        std::array::from_fn(|i| {
            let (start, end) = (i * length, (i + 1) * length);
            let (first, last) = (start / THUMBNAIL_SIDE, (end - 1) / THUMBNAIL_SIDE);
            let head = if first == last { end - start } else { (first + 1) * THUMBNAIL_SIDE - start };
            Span { first, last, head: head as u32, tail: (end - last * THUMBNAIL_SIDE) as u32 }
        })
    }

    fn weight(&self, pixel: usize) -> u32 {
        match pixel {
            _ if pixel == self.first => self.head,
            _ if pixel == self.last => self.tail,
            _ => THUMBNAIL_SIDE as u32,
        }
    }
}

/// Averages `width` x `height` grey bytes to 64x64, rounding to nearest. `sums` is scratch. Nothing for a picture whose sides are not
/// 1 to 16384 pixels long, or whose length is another than they say.
// Whoever calls it may be compiled for size, and would have it compiled so too.
#[inline(never)]
pub fn average(grey: &[u8], width: usize, height: usize, sums: &mut Vec<i32>) -> Vec<u8> {
    const SIDE: usize = THUMBNAIL_SIDE;
    let is_side = |length: usize| (1..=LONGEST).contains(&length);
    if !is_side(width) || !is_side(height) || grey.len() != width * height {
        return Vec::new();
    }
    let (columns, rows) = (Span::all(width), Span::all(height));
    let area = (width * height) as u64;
    let mut luma = Vec::with_capacity(SIDE * SIDE);
    for span in &rows {
        // Down the columns first, which are many and side by side. A sum is at most 16384 x 255: it fits.
        sums.clear();
        sums.resize(width, 0);
        Columns { rows: &grey[span.first * width..], span, sums }.dispatch();
        // Then along the one row that is left.
        for column in &columns {
            let mut total = area / 2 + sums[column.first] as u64 * u64::from(column.head);
            if column.last > column.first {
                // At most 256 of them.
                let inner: i32 = sums[column.first + 1..column.last].iter().sum();
                total += inner as u64 * SIDE as u64 + sums[column.last] as u64 * u64::from(column.tail);
            }
            luma.push((total / area) as u8);
        }
    }
    luma
}

/// Adds the pixels of the rows that a span covers, each as often as it says, to one sum for each column. None is negative.
struct Columns<'a> {
    /// Rows, each as long as there are sums, from the first of the span on.
    rows: &'a [u8],
    span: &'a Span,
    sums: &'a mut [i32],
}

impl SimdOp for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (bytes, words, longs) = (isa.u8(), isa.i16(), isa.i32());
        let width = self.sums.len();
        for (row, pixels) in (self.span.first..=self.span.last).zip(self.rows.chunks_exact(width)) {
            // Times a pixel at most 64 x 255, which has room in a word.
            let weight = self.span.weight(row) as i16;
            let times = words.splat(weight);
            let (mut sums, mut pixels) = (self.sums.chunks_exact_mut(bytes.len()), pixels.chunks_exact(bytes.len()));
            for (sums, pixels) in (&mut sums).zip(&mut pixels) {
                let pixels = bytes.load(pixels);
                let halves = [bytes.extend_low(pixels), bytes.extend_high(pixels)];
                for (half, sums) in halves.into_iter().zip(sums.chunks_exact_mut(words.len())) {
                    let products = words.mul(half.reinterpret_cast(), times);
                    let quarters = [words.extend_low(products), words.extend_high(products)];
                    for (quarter, sums) in quarters.into_iter().zip(sums.chunks_exact_mut(longs.len())) {
                        longs.store(longs.add(longs.load(sums), quarter), sums);
                    }
                }
            }
            for (sum, pixel) in sums.into_remainder().iter_mut().zip(pixels.remainder()) {
                *sum += i32::from(*pixel) * i32::from(weight);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, a 1/64 of a source pixel at a time.
    fn slow(grey: &[u8], width: usize, height: usize) -> Vec<u8> {
        let mut luma = Vec::new();
        for oy in 0..64 {
            for ox in 0..64 {
                let mut total = 0u64;
                for y in oy * height..(oy + 1) * height {
                    let row = y / 64 * width;
                    total += (ox * width..(ox + 1) * width).map(|x| u64::from(grey[row + x / 64])).sum::<u64>();
                }
                let area = (width * height) as u64;
                luma.push(((total + area / 2) / area) as u8);
            }
        }
        luma
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn equals_the_definition(width in 1usize..90, height in 1usize..90, seed in any::<u64>()) {
            let grey: Vec<u8> = (0..width * height)
                .map(|i| (seed.wrapping_add(i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
                .collect();
            prop_assert_eq!(average(&grey, width, height, &mut Vec::new()), slow(&grey, width, height));
        }
    }

    #[test]
    fn what_is_no_picture_gives_none() {
        for (bytes, width, height) in [(0, 0, 0), (9, 0, 9), (8, 3, 3), (10, 3, 3), (16_385, 16_385, 1)] {
            assert!(average(&vec![9; bytes], width, height, &mut Vec::new()).is_empty(), "{width}x{height}");
        }
    }

    #[test]
    fn keeps_flat_pictures_flat_and_copies_64x64() {
        for (width, height) in [(1, 1), (16_384, 64), (64, 16_384), (160, 90), (63, 7)] {
            let flat = average(&vec![255; width * height], width, height, &mut vec![7; 9]);
            assert!(flat.iter().all(|&p| p == 255), "{width}x{height}");
        }
        let grey: Vec<u8> = (0..4096u32).map(|i| (i * 31 % 251) as u8).collect();
        assert_eq!(average(&grey, 64, 64, &mut Vec::new()), grey);
    }
}
