//! Tests of decoding and encoding.

use bytes::Bytes;
use proptest::prelude::*;
use turbojpeg::Subsamp;

use super::*;

/// A picture with some of everything: gradients, edges, colour.
fn picture(width: u32, height: u32) -> RgbPicture {
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let stripe = if (x / 16 + y / 16) % 2 == 0 { 40 } else { 0 };
            data.extend([(x * 200 / width) as u8 + stripe, (y * 200 / height) as u8 + stripe, (x ^ y) as u8]);
        }
    }
    RgbPicture { width, height, data }
}

fn jpeg(width: u32, height: u32) -> Bytes {
    encode_rgb(&picture(width, height), QUALITY).unwrap()
}

#[test]
fn the_scale_is_the_smallest_with_64_pixels_a_side() {
    for (width, height, expected) in [
        (1280, 720, ScalingFactor::ONE_EIGHTH),
        (512, 512, ScalingFactor::ONE_EIGHTH),
        (505, 505, ScalingFactor::ONE_EIGHTH), // libjpeg rounds up: 64
        (504, 504, ScalingFactor::ONE_QUARTER),
        (480, 360, ScalingFactor::ONE_QUARTER),
        (64, 64, ScalingFactor::ONE),
        (63, 4000, ScalingFactor::ONE),
    ] {
        assert_eq!(thumbnail_scale(width, height), expected, "{width}x{height}");
    }
}

#[test]
fn a_thumbnail_is_the_luma_of_the_whole_picture() {
    // At sizes that are no multiple of the scale, libjpeg's last column and row reach beyond the picture.
    for (width, height, tolerance) in [(1280, 720, 2.0), (480, 360, 2.0), (70, 50, 2.0), (1, 1, 2.0), (333, 777, 5.0)] {
        let jpeg = jpeg(width, height);
        let (w, h, luma) = thumbnail(&jpeg).unwrap();
        assert_eq!((w, h, luma.0.len()), (width, height, 4096));
        // The reference: full decode, luma by BT.601, averaged.
        let full = decode_rgb(&jpeg).unwrap();
        let grey: Vec<u8> = full
            .data
            .chunks_exact(3)
            .map(|p| ((299 * u32::from(p[0]) + 587 * u32::from(p[1]) + 114 * u32::from(p[2]) + 500) / 1000) as u8)
            .collect();
        let reference = area::average(&grey, width as usize, height as usize, &mut Vec::new());
        let worst = luma.0.iter().zip(&reference).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        let mean = luma.0.iter().zip(&reference).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / 4096.0;
        assert!(worst <= 24 && mean < tolerance, "{width}x{height}: worst {worst}, mean {mean}");
    }
}

#[test]
fn encoding_and_decoding_keep_the_picture() {
    let before = picture(640, 360);
    let after = decode_rgb(&encode_rgb(&before, 95).unwrap()).unwrap();
    assert_eq!((after.width, after.height), (640, 360));
    let greens = |p: &RgbPicture| p.data.iter().skip(1).step_by(3).map(|&g| f64::from(g)).collect::<Vec<_>>();
    let error = greens(&before).iter().zip(greens(&after)).map(|(a, b)| (a - b).abs()).sum::<f64>() / (640.0 * 360.0);
    assert!(error < 16.0, "mean error {error}");
}

#[test]
fn pictures_are_decoded_no_wider_than_asked_for() {
    let jpeg = encode_rgb(&picture(640, 360), 90).unwrap();
    for (width, expected) in
        [(1000, (640, 360)), (640, (640, 360)), (639, (560, 315)), (320, (320, 180)), (1, (80, 45))]
    {
        let small = decode_rgb_within(&jpeg, width).unwrap();
        assert!(small.is_sound());
        assert_eq!((small.width, small.height), expected, "within {width}");
    }
    assert!(decode_rgb_within(b"not a jpeg", 100).is_err());
}

/// A picture of one colour, given as Y, U and V.
fn flat(width: usize, height: usize, [y, u, v]: [u8; 3]) -> Bytes {
    let (luma, chroma) = (width * height, width * height / 2);
    let planes = [vec![y; luma], vec![u; chroma], vec![v; chroma]].concat();
    JpegEncoder::new().unwrap().yuv422(&planes, width, height).unwrap()
}

#[test]
fn pictures_are_encoded_4_2_2() {
    let planes = flat(64, 48, [128, 90, 200]);
    for jpeg in [&planes[..], &jpeg(64, 48)] {
        let header = turbojpeg::read_header(jpeg).unwrap();
        assert_eq!((header.width, header.height, header.subsamp), (64, 48, Subsamp::Sub2x1));
    }
    // Y 128, Cb 90, Cr 200 is R 229, G 90, B 61 by JFIF.
    let rgb = decode_rgb(&planes).unwrap();
    assert!(
        rgb.data
            .chunks_exact(3)
            .all(|p| { p[0].abs_diff(229) <= 3 && p[1].abs_diff(90) <= 3 && p[2].abs_diff(61) <= 3 })
    );
}

#[test]
fn encoders_refuse_what_does_not_fit() {
    let bad = |result: Result<Bytes, JpegError>| matches!(result, Err(JpegError::BadPixels { .. }));
    assert!(bad(encode_rgb(&RgbPicture { width: 4, height: 4, data: vec![0; 47] }, QUALITY)));
    assert!(bad(encode_rgb(&RgbPicture::default(), QUALITY)));
    assert!(bad(encode_rgb(&RgbPicture { width: u32::MAX, height: u32::MAX, data: vec![] }, QUALITY)));
    let mut encoder = JpegEncoder::new().unwrap();
    assert!(bad(encoder.yuv422(&[0; 12], 3, 2)));
    assert!(bad(encoder.yuv422(&[0; 15], 4, 2)));
    assert!(bad(encoder.yuv422(&[], 0, 0)));
    assert!(bad(encoder.rgb(&[0; 25], 4, 2)));
}

#[test]
fn damaged_pictures_are_errors_and_leave_no_trace() {
    let good = jpeg(320, 240);
    let before = thumbnail(&good).unwrap();
    assert_eq!(thumbnail(&[]), Err(JpegError::Empty));
    for bad in [&good[..0], &good[..1], &good[..20], &good[..good.len() / 2], &good[..good.len() - 40], b"not a jpeg"] {
        assert!(thumbnail(bad).is_err(), "{} bytes", bad.len());
        assert!(decode_rgb(bad).is_err(), "{} bytes", bad.len());
        assert_eq!(thumbnail(&good).unwrap(), before);
    }
}

#[test]
fn a_little_padding_before_the_end_marker_is_forgiven() {
    let good = jpeg(320, 240);
    let padded = |count: usize| {
        let mut bytes = good[..good.len() - 2].to_vec();
        bytes.resize(bytes.len() + count, 0);
        bytes.extend([0xff, 0xd9]);
        bytes
    };
    assert_eq!(thumbnail(&padded(4)), thumbnail(&good));
    assert_eq!(decode_rgb(&padded(16)), decode_rgb(&good));
    assert!(thumbnail(&padded(500)).is_err());
}

#[test]
fn huge_dimensions_are_refused_before_anything_is_allocated() {
    let mut bytes = jpeg(64, 64).to_vec();
    let sof = bytes.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    for size in [(65_500u16, 65_500u16), (16_384, 16_384), (20_000, 16), (0, 64)] {
        bytes[sof + 5..sof + 7].copy_from_slice(&size.1.to_be_bytes());
        bytes[sof + 7..sof + 9].copy_from_slice(&size.0.to_be_bytes());
        for error in [thumbnail(&bytes).unwrap_err(), decode_rgb(&bytes).unwrap_err()] {
            assert!(matches!(error, JpegError::TooLarge { .. } | JpegError::Broken(_)), "{error}");
        }
    }
}

#[test]
fn the_scratch_stays_small() {
    // The worst case of the scale rule: one side long, the other too short to be scaled.
    thumbnail(&jpeg(4096, 100)).unwrap();
    SCRATCH.with_borrow(|scratch| assert!(scratch.grey.len() <= 4096 * 128 && scratch.sums.len() <= 4096 * 64));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_flipped_bit_panics_or_changes_the_next_picture(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6)) {
        let good = jpeg(160, 120);
        let before = thumbnail(&good).unwrap();
        let mut bad = good.to_vec();
        for (at, bit) in flips {
            let at = at.index(bad.len());
            bad[at] ^= 1 << bit;
        }
        // A flipped bit may go unnoticed, but one picture gives one answer, whatever was decoded before it.
        let first = thumbnail(&bad);
        thumbnail(&flat(64, 64, [0; 3])).unwrap();
        prop_assert_eq!(first, thumbnail(&bad));
        let _ = decode_rgb(&bad);
        prop_assert_eq!(thumbnail(&good).unwrap(), before);
    }

    #[test]
    fn noise_is_no_picture(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(thumbnail(&bytes).is_err());
    }
}
