//! The number of a picture, drawn into it: whoever sees the picture, by whatever way, knows which one it is.
//!
//! Sixteen blocks along the upper edge, each a sixteenth of the width wide and of the height high, are the bits of the number, the
//! most significant one on the left: white is one, black is zero. Numbers go round after 65 536.

/// Bits of the number, and so blocks.
const BITS: usize = 16;

/// Luma of the blocks, by the bit; they have no colour.
const LUMA: [u8; 2] = [0, 255];
const GREY: u8 = 128;

/// Draws the number into a picture of this width and height: planes of luma, and of two chroma of half its width.
pub(super) fn draw(planes: &mut [u8], (width, height): (usize, usize), number: u64) {
    let rows = height / BITS;
    let (luma, chroma) = planes.split_at_mut(width * height);
    for row in luma.chunks_exact_mut(width).take(rows) {
        for (column, pixel) in row.iter_mut().enumerate() {
            let block = column * BITS / width;
            *pixel = LUMA[usize::from(number >> (BITS - 1 - block) & 1 == 1)];
        }
    }
    let half = width / 2;
    for plane in chroma.chunks_exact_mut(half * height) {
        plane[..half * rows].fill(GREY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::jpeg::{JpegEncoder, decode_rgb};

    /// What whoever looks at the middle of each block sees.
    fn read(luma: &[u8], (width, height): (usize, usize)) -> u64 {
        let row = height / BITS / 2 * width;
        (0..BITS).fold(0, |number, block| number << 1 | u64::from(luma[row + (2 * block + 1) * width / BITS / 2] > 127))
    }

    #[test]
    fn a_number_is_read_back_out_of_a_jpeg() {
        for (width, height) in [(1280, 720), (640, 360), (128, 96)] {
            for number in [0, 1, 0x1234, 0x8001, 0xffff, 0x1_0005] {
                let mut planes = vec![90; 2 * width * height];
                draw(&mut planes, (width, height), number);
                assert_eq!(planes[width * height / BITS + width], 90, "the rest is as it was");
                let jpeg = JpegEncoder::new().unwrap().yuv422(&planes, width, height).unwrap();
                let green: Vec<u8> = decode_rgb(&jpeg).unwrap().data.iter().skip(1).step_by(3).copied().collect();
                assert_eq!(read(&green, (width, height)), number & 0xffff);
            }
        }
    }
}
