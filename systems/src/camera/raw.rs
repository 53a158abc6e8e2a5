//! Raw pictures as cameras give them, on their way to becoming a JPEG: YUV becomes planes of full range.

/// How the pixels of a raw picture lie. The names are V4L2's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawFormat {
    /// `YUYV`: 4:2:2, packed: Y0 Cb Y1 Cr for two pixels.
    Yuyv,
    /// `NV12`: 4:2:0: a plane of luma, then one of Cb and Cr by turns.
    Nv12,
    /// `RGB3`: red, green, blue.
    Rgb,
    /// `BGR3`: blue, green, red.
    Bgr,
}

/// What values luma and chroma have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// 0 to 255, as in JPEGs (JFIF).
    Full,
    /// Luma 16 to 235, chroma 16 to 240 (BT.601): what V4L2 cameras give unless they say otherwise.
    Limited,
}

/// A raw picture, as it lies in a camera's buffer.
#[derive(Clone, Copy, Debug)]
pub struct RawPicture<'a> {
    /// Rows of `stride` bytes, top first; of [`RawFormat::Nv12`] the chroma, rows of `stride` bytes too, behind the luma.
    pub bytes: &'a [u8],
    /// How the pixels lie.
    pub format: RawFormat,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Bytes from one row to the next; those behind the pixels are padding.
    pub stride: usize,
    /// What values luma and chroma have. Nothing is asked of it for red, green and blue.
    pub range: Range,
}

impl RawPicture<'_> {
    /// Bytes of the pixels of a row.
    fn row(&self) -> usize {
        match self.format {
            RawFormat::Nv12 => self.width,
            RawFormat::Yuyv => self.width.saturating_mul(2),
            RawFormat::Rgb | RawFormat::Bgr => self.width.saturating_mul(3),
        }
    }

    /// Whether it has pixels, all its rows are there, and its stride has room for them.
    pub fn is_whole(&self) -> bool {
        let rows = match self.format {
            RawFormat::Nv12 => self.height.saturating_add(self.height.div_ceil(2)),
            RawFormat::Yuyv | RawFormat::Rgb | RawFormat::Bgr => self.height,
        };
        let bytes = self.stride.checked_mul(rows);
        let has_pixels = self.width > 0 && self.height > 0;
        has_pixels && self.stride >= self.row() && bytes.is_some_and(|bytes| self.bytes.len() >= bytes)
    }

    /// Whether each pixel has its chroma: it is there for pairs of pixels, and for pairs of rows of 4:2:0.
    pub fn has_whole_chroma(&self) -> bool {
        match self.format {
            RawFormat::Yuyv => self.width.is_multiple_of(2),
            RawFormat::Nv12 => self.width.is_multiple_of(2) && self.height.is_multiple_of(2),
            RawFormat::Rgb | RawFormat::Bgr => true,
        }
    }

    /// Planes of luma, Cb and Cr one after the other, of full range, rows without gaps, in place of what was in `planes`.
    /// Nothing for a picture that is not whole, is red, green and blue, or has no chroma for each pixel.
    ///
    /// The encoder takes what it is given for BT.601, as JFIF has it. What a camera gives by BT.709 is a little off in its
    /// colours; those that do so at these resolutions are rare, and V4L2 by this library does not tell.
    pub fn to_planes(&self, planes: &mut Vec<u8>) {
        planes.clear();
        if self.is_whole() && self.has_whole_chroma() {
            match self.range {
                Range::Full => self.split(planes, |luma| luma, |chroma| chroma),
                Range::Limited => self.split(planes, full_luma, full_chroma),
            }
        }
    }

    fn split(&self, planes: &mut Vec<u8>, luma: impl Fn(u8) -> u8, chroma: impl Fn(u8) -> u8) {
        let (width, height, stride) = (self.width, self.height, self.stride);
        let chroma_rows = match self.format {
            RawFormat::Yuyv => height,
            RawFormat::Nv12 => height / 2,
            RawFormat::Rgb | RawFormat::Bgr => return,
        };
        planes.resize(width * height + width * chroma_rows, 0);
        let (y, chromas) = planes.split_at_mut(width * height);
        let (cb, cr) = chromas.split_at_mut(width / 2 * chroma_rows);
        let (y, cb, cr) = (y.chunks_exact_mut(width), cb.chunks_exact_mut(width / 2), cr.chunks_exact_mut(width / 2));
        let rows = self.bytes.chunks_exact(stride);
        // Plain loops over slices of equal length, which the compiler turns into vector instructions.
        if self.format == RawFormat::Yuyv {
            for (((row, y), cb), cr) in rows.zip(y).zip(cb).zip(cr) {
                let pairs = row[..2 * width].chunks_exact(4).zip(y.chunks_exact_mut(2));
                for ((pair, y), (cb, cr)) in pairs.zip(cb.iter_mut().zip(cr)) {
                    (y[0], y[1]) = (luma(pair[0]), luma(pair[2]));
                    (*cb, *cr) = (chroma(pair[1]), chroma(pair[3]));
                }
            }
        } else {
            for (row, y) in rows.clone().zip(y) {
                row[..width].iter().zip(y).for_each(|(from, to)| *to = luma(*from));
            }
            for ((row, cb), cr) in rows.skip(height).zip(cb).zip(cr) {
                for (pair, (cb, cr)) in row[..width].chunks_exact(2).zip(cb.iter_mut().zip(cr)) {
                    (*cb, *cr) = (chroma(pair[0]), chroma(pair[1]));
                }
            }
        }
    }
}

/// Luma of limited range as one of full range: (y - 16) * 255 / 219, in 16 bits, right to the unit.
fn full_luma(y: u8) -> u8 {
    let above = u16::from(y.saturating_sub(16));
    ((above * 149 + 64) >> 7).min(255) as u8
}

/// Chroma of limited range as one of full range: (c - 128) * 255 / 224 + 128, in 16 bits, right to the unit.
fn full_chroma(c: u8) -> u8 {
    let off = i16::from(c) - 128;
    (128 + off + ((off * 71 + 256) >> 9)).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use turbojpeg::Subsamp;

    use super::*;
    use crate::camera::jpeg::{JpegEncoder, JpegError, decode_rgb};

    /// A picture of one colour, with padding that must not be seen.
    fn flat(format: RawFormat, [width, height, stride]: [usize; 3], [a, b, c]: [u8; 3]) -> Vec<u8> {
        let row = |pixels: &[u8], count: usize| {
            let mut row = pixels.repeat(count);
            assert!(row.len() <= stride);
            row.resize(stride, 0xEE);
            row
        };
        match format {
            RawFormat::Yuyv => row(&[a, b, a, c], width / 2).repeat(height),
            RawFormat::Nv12 => [row(&[a], width).repeat(height), row(&[b, c], width / 2).repeat(height / 2)].concat(),
            RawFormat::Rgb | RawFormat::Bgr => row(&[a, b, c], width).repeat(height),
        }
    }

    #[test]
    fn colours_are_kept_whatever_the_format_the_range_and_the_padding() {
        // BT.601: R 229, G 90, B 61 is Y 128, Cb 90, Cr 200 in full range, and Y 126, Cb 95, Cr 191 in limited range.
        let (full, limited) = ([128, 90, 200], [126, 95, 191]);
        let cases = [
            (RawFormat::Yuyv, Range::Full, full, Subsamp::Sub2x1),
            (RawFormat::Yuyv, Range::Limited, limited, Subsamp::Sub2x1),
            (RawFormat::Nv12, Range::Full, full, Subsamp::Sub2x2),
            (RawFormat::Rgb, Range::Limited, [229, 90, 61], Subsamp::Sub2x1),
            (RawFormat::Nv12, Range::Limited, limited, Subsamp::Sub2x2),
            (RawFormat::Bgr, Range::Full, [61, 90, 229], Subsamp::Sub2x1),
        ];
        let mut encoder = JpegEncoder::new().unwrap();
        for (format, range, colour, subsamp) in cases {
            for size @ [width, height, stride] in [[64, 48, 192], [64, 48, 256], [66, 34, 200], [2, 2, 6]] {
                let bytes = flat(format, size, colour);
                let jpeg = encoder.raw(&RawPicture { bytes: &bytes, format, width, height, stride, range }).unwrap();
                assert_eq!(turbojpeg::read_header(&jpeg).unwrap().subsamp, subsamp, "{format:?} {range:?}");
                let picture = decode_rgb(&jpeg).unwrap();
                assert_eq!((picture.width as usize, picture.height as usize), (width, height));
                for pixel in picture.data.chunks_exact(3) {
                    let near = [229u8, 90, 61].iter().zip(pixel).all(|(a, b)| a.abs_diff(*b) <= 4);
                    assert!(near, "{format:?} {range:?} {size:?}: {pixel:?}");
                }
            }
        }
    }

    #[test]
    fn each_pixel_keeps_its_place() {
        let gradient = |x: usize, y: usize| ((x * 3 + y * 2) % 256) as u8;
        let (width, height, stride) = (8, 4, 20);
        let mut bytes = vec![0; stride * height];
        for (y, row) in bytes.chunks_exact_mut(stride).enumerate() {
            for x in 0..width {
                row[2 * x] = gradient(x, y);
                row[2 * x + 1] = gradient(x + 100, y);
            }
        }
        let picture = RawPicture { bytes: &bytes, format: RawFormat::Yuyv, width, height, stride, range: Range::Full };
        let mut planes = vec![9; 3];
        picture.to_planes(&mut planes);
        let expected: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).map(move |x| gradient(x, y)))
            .chain((0..height).flat_map(|y| (0..width).step_by(2).map(move |x| gradient(x + 100, y))))
            .chain((0..height).flat_map(|y| (1..width).step_by(2).map(move |x| gradient(x + 100, y))))
            .collect();
        assert_eq!(planes, expected);

        let bytes: Vec<u8> = (0..(stride * (height + height / 2)) as u8).collect();
        RawPicture { bytes: &bytes, format: RawFormat::Nv12, ..picture }.to_planes(&mut planes);
        let at = |row: usize, column: usize| (row * stride + column) as u8;
        let expected: Vec<u8> = (0..4)
            .flat_map(|y| (0..8).map(move |x| at(y, x)))
            .chain((4..6).flat_map(|y| (0..8).step_by(2).map(move |x| at(y, x))))
            .chain((4..6).flat_map(|y| (1..8).step_by(2).map(move |x| at(y, x))))
            .collect();
        assert_eq!(planes, expected);
    }

    #[test]
    fn limited_range_is_spread_over_the_full_one() {
        for value in 0..=255u8 {
            let exact = |value: f64| value.round().clamp(0.0, 255.0);
            let luma = exact((f64::from(value) - 16.0) * 255.0 / 219.0);
            let chroma = exact((f64::from(value) - 128.0) * 255.0 / 224.0 + 128.0);
            assert!((f64::from(full_luma(value)) - luma).abs() <= 1.0, "luma {value}");
            assert!((f64::from(full_chroma(value)) - chroma).abs() <= 1.0, "chroma {value}");
        }
        assert_eq!([16, 235].map(full_luma), [0, 255]);
        assert_eq!([128, 240].map(full_chroma), [128, 255]);
    }

    proptest! {
        #[test]
        fn no_size_and_no_bytes_panic(
            format in prop::sample::select(vec![RawFormat::Yuyv, RawFormat::Nv12, RawFormat::Rgb, RawFormat::Bgr]),
            width in 0usize..70, height in 0usize..40, stride in 0usize..300, length in 0usize..20_000, huge: bool,
        ) {
            let bytes = vec![7; length];
            let (width, stride) = if huge { (usize::MAX - width, usize::MAX - stride) } else { (width, stride) };
            let picture = RawPicture { bytes: &bytes, format, width, height, stride, range: Range::Limited };
            match JpegEncoder::new().unwrap().raw(&picture) {
                Ok(_) => prop_assert!(width > 0 && height > 0 && length >= stride * height),
                Err(error) => prop_assert!(matches!(error, JpegError::BadPixels { .. }), "{error}"),
            }
        }
    }
}
