//! Area averaging (a box filter) in integers.

use waywarden_components::frame::THUMBNAIL_SIDE;

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

/// Averages `width` x `height` grey bytes (1 to 16384 each way) to 64x64, rounding to nearest. `sums` is scratch.
pub(super) fn average(grey: &[u8], width: usize, height: usize, sums: &mut Vec<u32>) -> Vec<u8> {
    const SIDE: usize = THUMBNAIL_SIDE;
    let (columns, rows) = (Span::all(width), Span::all(height));
    sums.resize(height * SIDE, 0);
    // Along each row. A sum is at most 16384 x 255: it fits.
    for (row, sums) in grey.chunks_exact(width).zip(sums.chunks_exact_mut(SIDE)) {
        for (sum, span) in sums.iter_mut().zip(&columns) {
            *sum = u32::from(row[span.first]) * span.head;
            if span.last > span.first {
                let inner: u32 = row[span.first + 1..span.last].iter().map(|&p| u32::from(p)).sum();
                *sum += inner * SIDE as u32 + u32::from(row[span.last]) * span.tail;
            }
        }
    }
    // Down the columns.
    let area = (width * height) as u64;
    let mut luma = Vec::with_capacity(SIDE * SIDE);
    for span in &rows {
        let mut totals = [area / 2; SIDE];
        for row in span.first..=span.last {
            let weight = u64::from(span.weight(row));
            for (total, &sum) in totals.iter_mut().zip(&sums[row * SIDE..]) {
                *total += weight * u64::from(sum);
            }
        }
        luma.extend(totals.map(|total| (total / area) as u8));
    }
    luma
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
    fn keeps_flat_pictures_flat_and_copies_64x64() {
        for (width, height) in [(1, 1), (16_384, 64), (64, 16_384), (160, 90), (63, 7)] {
            let flat = average(&vec![255; width * height], width, height, &mut vec![7; 9]);
            assert!(flat.iter().all(|&p| p == 255), "{width}x{height}");
        }
        let grey: Vec<u8> = (0..4096u32).map(|i| (i * 31 % 251) as u8).collect();
        assert_eq!(average(&grey, 64, 64, &mut Vec::new()), grey);
    }
}
