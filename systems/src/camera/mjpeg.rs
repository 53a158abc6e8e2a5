//! Where a JPEG ends: what a camera hands over is its whole buffer, with an older picture behind the newest one.
//!
//! Markers are walked, never decoded (ITU-T T.81, annex B): a thumbnail inside a picture has an end of its own.

use memchr::memchr;

/// Why bytes are not a whole JPEG, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEnd {
    /// The byte at which it shows.
    pub offset: usize,
    /// What is wrong, to be put behind "it".
    pub what: &'static str,
}

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;

/// Length of the JPEG at the start of `bytes`, from its first marker (SOI) to the first end marker (EOI) behind a scan.
///
/// Baseline and progressive pictures, with any segments, fill bytes, stuffed bytes and restart markers. Without Huffman
/// tables too: many USB cameras leave the standard ones (T.81, K.3) out, and decoders put them in. What stands behind
/// the end is not looked at.
///
/// # Errors
/// [`NoEnd`]: no JPEG, or one that breaks off. A second picture that begins within the first one ends it so.
pub fn length(bytes: &[u8]) -> Result<usize, NoEnd> {
    let broken = |offset, what| Err(NoEnd { offset, what });
    if !bytes.starts_with(&[0xFF, SOI]) {
        return broken(0, "is not a JPEG");
    }
    let mut at = 2;
    let mut in_scan = false;
    while at < bytes.len() {
        if in_scan {
            // Coded data: nothing in them looks like a marker.
            let Some(data) = memchr(0xFF, &bytes[at..]) else { break };
            at += data;
        }
        let Some(&[first, marker]) = bytes.get(at..at + 2).and_then(<[u8]>::first_chunk) else { break };
        match (first, marker) {
            (0xFF, EOI) if in_scan => return Ok(at + 2),
            // Fill bytes.
            (0xFF, 0xFF) => at += 1,
            // Within a scan: a stuffed FF, restart markers.
            (0xFF, 0x00 | 0xD0..=0xD7) if in_scan => at += 2,
            (0xFF, 0xC0..=0xCF | SOS..=0xFE) => {
                let length = bytes.get(at + 2..at + 4).and_then(<[u8]>::first_chunk).copied();
                let length = usize::from(length.map_or(0, u16::from_be_bytes));
                if length < 2 {
                    return broken(at, "is a JPEG cut off in its header");
                }
                at += 2 + length;
                in_scan |= marker == SOS;
            }
            (0xFF, SOI) if in_scan => return broken(at, "is a JPEG without its end, and another behind it"),
            _ => return broken(at, "is a JPEG with a broken header"),
        }
    }
    broken(bytes.len(), "is a JPEG without its end")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::camera::jpeg::{JpegEncoder, decode_rgb, thumbnail};

    fn jpeg(width: usize, height: usize) -> Bytes {
        let pixels: Vec<u8> = (0..width * height * 3).map(|n| (n * n % 251) as u8).collect();
        JpegEncoder::new().unwrap().rgb(&pixels, width, height).unwrap()
    }

    fn compress(set: impl FnOnce(&mut turbojpeg::Compressor)) -> Vec<u8> {
        let pixels: Vec<u8> = (0..128 * 96 * 3).map(|n| (n * n % 253) as u8).collect();
        let image = turbojpeg::Image {
            pixels: &pixels[..],
            width: 128,
            pitch: 384,
            height: 96,
            format: turbojpeg::PixelFormat::RGB,
        };
        let mut compressor = turbojpeg::Compressor::new().unwrap();
        set(&mut compressor);
        compressor.compress_to_vec(image).unwrap()
    }

    /// Puts a segment in front of the first one.
    fn with_segment(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
        [&jpeg[..2], &[0xFF, marker], &length, content, &jpeg[2..]].concat()
    }

    /// Leaves every segment of a kind out, as cameras do with Huffman tables.
    fn without_segments(jpeg: &[u8], unwanted: u8) -> Vec<u8> {
        let mut left = jpeg[..2].to_vec();
        let mut at = 2;
        loop {
            let (marker, length) = (jpeg[at + 1], usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]])) + 2);
            if marker == SOS {
                left.extend(&jpeg[at..]);
                return left;
            }
            if marker != unwanted {
                left.extend(&jpeg[at..at + length]);
            }
            at += length;
        }
    }

    /// Puts a restart marker behind every MCU row... as far as a walk is concerned: it is not decoded.
    fn with_restarts(jpeg: &[u8]) -> Vec<u8> {
        let mut bytes = jpeg[..jpeg.len() - 2].to_vec();
        for n in 0..20 {
            bytes.extend([0xFF, 0xD0 + n % 8, 0x11, 0xFF, 0x00, 0x22]);
        }
        bytes.extend([0xFF, EOI]);
        bytes
    }

    #[test]
    fn what_stands_behind_the_end_is_left_out() {
        let older = jpeg(320, 240);
        let progressive = compress(|c| c.set_progressive(true).unwrap());
        let thumbnail = with_segment(&jpeg(64, 48), 0xE1, &[b"Exif\0\0", &jpeg(16, 16)[..]].concat());
        let kinds: [&[u8]; 6] = [
            &jpeg(64, 48),
            &progressive,
            &compress(|c| c.set_optimize(true).unwrap()),
            &with_restarts(&jpeg(64, 48)),
            &thumbnail,
            &without_segments(&jpeg(64, 48), 0xC4),
        ];
        assert!(progressive.windows(2).filter(|pair| *pair == [0xFF, SOS]).count() > 3, "several scans");
        for jpeg in kinds {
            assert_eq!(length(jpeg), Ok(jpeg.len()));
            for behind in [&[0; 7][..], &[0xFF; 3], &older[older.len() / 2..], &older, &[0xFF, EOI]] {
                assert_eq!(length(&[jpeg, behind].concat()), Ok(jpeg.len()));
            }
        }
    }

    #[test]
    fn pictures_without_huffman_tables_are_decoded() {
        let whole = jpeg(640, 480);
        let without = without_segments(&whole, 0xC4);
        assert!(without.len() + 400 < whole.len());
        assert_eq!(thumbnail(&without), thumbnail(&whole));
        assert_eq!(decode_rgb(&without), decode_rgb(&whole));
    }

    #[test]
    fn half_pictures_have_no_end_and_are_not_decoded() {
        let whole = jpeg(320, 240);
        for cut in [0, 1, 2, 3, 30, 300, whole.len() / 2, whole.len() - 2, whole.len() - 1] {
            let half = &whole[..cut];
            assert!(length(half).is_err(), "{cut} bytes");
            assert!(thumbnail(half).is_err(), "{cut} bytes");
        }
        // The next picture in the same buffer does not lend its end to this one.
        let no_end = length(&[&whole[..whole.len() / 2], &whole].concat()).unwrap_err();
        assert_eq!((no_end.offset, no_end.what), (whole.len() / 2, "is a JPEG without its end, and another behind it"));
    }

    #[test]
    fn broken_headers_are_named_with_their_place() {
        let whole = jpeg(64, 48);
        assert_eq!(length(b"GIF89a").unwrap_err().what, "is not a JPEG");
        assert_eq!(length(&[0xFF, SOI, 0xFF, EOI]), Err(NoEnd { offset: 2, what: "is a JPEG with a broken header" }));
        let mut short = whole.to_vec();
        short[4..6].copy_from_slice(&[0, 1]);
        assert_eq!(length(&short), Err(NoEnd { offset: 2, what: "is a JPEG cut off in its header" }));
        let mut long = whole.to_vec();
        long[4..6].copy_from_slice(&[0xFF, 0xFF]);
        assert_eq!(length(&long), Err(NoEnd { offset: long.len(), what: "is a JPEG without its end" }));
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300), jpeg_first: bool) {
            let bytes = if jpeg_first { [&[0xFF, SOI], &bytes[..]].concat() } else { bytes };
            match length(&bytes) {
                Ok(length) => {
                    prop_assert!(length <= bytes.len() && bytes[..length].ends_with(&[0xFF, EOI]));
                    // What stands behind never mattered.
                    prop_assert_eq!(super::length(&bytes[..length]), Ok(length));
                }
                Err(no_end) => prop_assert!(no_end.offset <= bytes.len()),
            }
        }

        #[test]
        fn damage_is_survived(at in any::<prop::sample::Index>(), value: u8, behind in prop::collection::vec(any::<u8>(), 0..50)) {
            let mut bytes = jpeg(32, 32).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = value;
            bytes.extend(behind);
            if let Ok(length) = length(&bytes) {
                prop_assert!(bytes[..length].ends_with(&[0xFF, EOI]));
            }
        }
    }
}
