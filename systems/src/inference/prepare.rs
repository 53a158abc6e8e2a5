//! From a frame to a network's input: resized, padded, ordered and scaled as the network was trained.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use crate::camera::jpeg::RgbPicture;
use crate::inference::InferenceError;

/// Longest side of a network's input that is accepted, in pixels.
pub const MAX_INPUT_SIDE: u32 = 4096;

/// The grey around a letterboxed picture, of 255: what the networks were trained with.
const PADDING: u8 = 114;

/// How a frame is laid into the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// The whole frame, squeezed to the input's size.
    Stretched,
    /// Aspect kept, in the middle, the rest grey.
    Letterboxed,
    /// Aspect kept, in the top left corner, the rest grey.
    LetterboxedTopLeft,
}

/// Order of the input's three planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// What numbers the input holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Range {
    /// 0 to 1.
    #[serde(rename = "0-1")]
    Unit,
    /// 0 to 255.
    #[serde(rename = "0-255")]
    Byte,
    /// (pixel - mean) / std, with pixels from 0 to 255, by plane in the order of the input's.
    #[serde(rename = "normalised")]
    Normalised {
        /// What is subtracted.
        mean: [f32; 3],
        /// What it is divided by: positive.
        std: [f32; 3],
    },
}

/// The input of a network: one picture, three planes of `height` x `width` floats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// How a frame is laid into it.
    pub layout: Layout,
    /// Order of the planes.
    pub colour: Colour,
    /// What numbers it holds.
    pub range: Range,
}

impl InputSpec {
    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<String> {
        let sides = 1..=MAX_INPUT_SIDE;
        if !sides.contains(&self.width) || !sides.contains(&self.height) {
            return Some(format!("input.width and input.height must be 1 to {MAX_INPUT_SIDE}"));
        }
        if let Range::Normalised { mean, std } = self.range
            && !(mean.iter().all(|m| m.is_finite()) && std.iter().all(|s| s.is_finite() && *s > 0.0))
        {
            return Some("input.range: mean must be finite, std positive".into());
        }
        None
    }
}

/// Where in the input the frame lies, in pixels of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Left edge.
    pub left: u32,
    /// Top edge.
    pub top: u32,
    /// Width, at least 1.
    pub width: u32,
    /// Height, at least 1.
    pub height: u32,
}

impl Placement {
    /// Where a frame of `width` x `height` pixels lies in an input.
    pub fn of(width: u32, height: u32, spec: &InputSpec) -> Self {
        if spec.layout == Layout::Stretched {
            return Self { left: 0, top: 0, width: spec.width, height: spec.height };
        }
        let (w, h) = (u64::from(width.max(1)), u64::from(height.max(1)));
        let (in_w, in_h) = (u64::from(spec.width), u64::from(spec.height));
        // Both quotients are at most the input's side, so they fit.
        let (used_w, used_h) = if w * in_h >= h * in_w {
            (spec.width, ((h * in_w / w) as u32).max(1))
        } else {
            (((w * in_h / h) as u32).max(1), spec.height)
        };
        let (left, top) = match spec.layout {
            Layout::Letterboxed => ((spec.width - used_w) / 2, (spec.height - used_h) / 2),
            _ => (0, 0),
        };
        Self { left, top, width: used_w, height: used_h }
    }
}

/// The input for a picture, as 3 x height x width floats, and where the picture lies in it.
///
/// Resized bilinearly between the centres of pixels, without smoothing first: what OpenCV calls `INTER_LINEAR`, with
/// which the networks were trained and measured. Pixels are resized in integers, so they are the same everywhere.
///
/// # Errors
///
/// [`InferenceError::Picture`] when the picture's bytes do not fit its size.
pub fn prepare(picture: &RgbPicture, spec: &InputSpec) -> Result<(Vec<f32>, Placement), InferenceError> {
    let &RgbPicture { width, height, ref data } = picture;
    let bad_picture = || InferenceError::Picture { width, height, bytes: data.len() };
    if !picture.is_sound() {
        return Err(bad_picture());
    }
    let place = Placement::of(width, height, spec);
    // By its type, so that the program holds no code for the others.
    let source = TypedImageRef::<U8x3>::from_buffer(width, height, data).map_err(|_| bad_picture())?;
    let mut resized = vec![0; 3 * place.width as usize * place.height as usize];
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear));
    let mut to = TypedImage::<U8x3>::from_buffer(place.width, place.height, &mut resized).map_err(|_| bad_picture())?;
    Resizer::new().resize_typed(&source, &mut to, &options).map_err(|_| bad_picture())?;
    drop(to);
    Ok((planes(&resized, &place, spec), place))
}

/// Lays resized pixels into padded planes.
fn planes(rgb: &[u8], place: &Placement, spec: &InputSpec) -> Vec<f32> {
    let (width, height) = (spec.width as usize, spec.height as usize);
    let (left, top, row_bytes) = (place.left as usize, place.top as usize, 3 * place.width as usize);
    let mut input = Vec::with_capacity(3 * width * height);
    for plane in 0..3 {
        let channel = if spec.colour == Colour::Rgb { plane } else { 2 - plane };
        let values = value_table(&spec.range, plane);
        let start = input.len();
        input.resize(start + width * height, values[usize::from(PADDING)]);
        let rows = input[start..].chunks_exact_mut(width).skip(top);
        for (to, from) in rows.zip(rgb.chunks_exact(row_bytes)) {
            for (to, pixel) in to[left..].iter_mut().zip(from.chunks_exact(3)) {
                *to = values[usize::from(pixel[channel])];
            }
        }
    }
    input
}

/// What each of the 256 pixel values becomes in one plane.
fn value_table(range: &Range, plane: usize) -> [f32; 256] {
    std::array::from_fn(|pixel| {
        let pixel = pixel as f32;
        match range {
            Range::Unit => pixel / 255.0,
            Range::Byte => pixel,
            Range::Normalised { mean, std } => (pixel - mean[plane]) / std[plane],
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(width: u32, height: u32, layout: Layout) -> InputSpec {
        InputSpec { width, height, layout, colour: Colour::Rgb, range: Range::Byte }
    }

    fn flat(width: u32, height: u32, rgb: [u8; 3]) -> RgbPicture {
        RgbPicture { width, height, data: rgb.repeat((width * height) as usize) }
    }

    #[test]
    fn placements_keep_the_aspect_and_stay_inside() {
        let place = |w, h, layout| Placement::of(w, h, &spec(640, 384, layout));
        let placement = |left, top, width, height| Placement { left, top, width, height };
        assert_eq!(place(1280, 720, Layout::Stretched), placement(0, 0, 640, 384));
        assert_eq!(place(1280, 720, Layout::Letterboxed), placement(0, 12, 640, 360));
        assert_eq!(place(480, 360, Layout::Letterboxed), placement(64, 0, 512, 384));
        assert_eq!(place(480, 360, Layout::LetterboxedTopLeft), placement(0, 0, 512, 384));
        for (w, h) in [(1, 16_384), (16_384, 1), (1, 1), (16_383, 4000)] {
            let p = place(w, h, Layout::Letterboxed);
            assert!(p.width >= 1 && p.height >= 1 && p.left + p.width <= 640 && p.top + p.height <= 384, "{p:?}");
        }
    }

    #[test]
    fn planes_come_in_the_order_asked_for_and_padding_is_grey() {
        let picture = flat(8, 4, [10, 20, 30]);
        let (input, place) = prepare(&picture, &spec(4, 4, Layout::Letterboxed)).unwrap();
        assert_eq!(place, Placement { left: 0, top: 1, width: 4, height: 2 });
        for (plane, value) in [10.0, 20.0, 30.0].into_iter().enumerate() {
            let expected = [[114.0; 4], [value; 4], [value; 4], [114.0; 4]].concat();
            assert_eq!(input[16 * plane..16 * (plane + 1)], expected);
        }
        let bgr = InputSpec { colour: Colour::Bgr, ..spec(4, 4, Layout::Stretched) };
        let (input, _) = prepare(&picture, &bgr).unwrap();
        assert_eq!((input[0], input[16], input[32]), (30.0, 20.0, 10.0));
    }

    #[test]
    fn ranges_scale_pixels() {
        let picture = flat(2, 2, [0, 255, 51]);
        let with = |range, colour| prepare(&picture, &InputSpec { range, colour, ..spec(2, 2, Layout::Stretched) });
        let (unit, _) = with(Range::Unit, Colour::Rgb).unwrap();
        assert_eq!((unit[0], unit[4], unit[8]), (0.0, 1.0, 0.2));
        let range = Range::Normalised { mean: [1.0, 5.0, 0.0], std: [10.0, 50.0, 0.5] };
        let (normalised, _) = with(range, Colour::Bgr).unwrap();
        assert_eq!((normalised[0], normalised[4], normalised[8]), (5.0, 5.0, 0.0));
    }

    #[test]
    fn resizing_is_bilinear_between_pixel_centres() {
        // A ramp stays a ramp when it is doubled: OpenCV gives 0, 25, 75, 125, 175, 200.
        let picture = RgbPicture { width: 3, height: 1, data: vec![0, 0, 0, 100, 100, 100, 200, 200, 200] };
        let (input, _) = prepare(&picture, &spec(6, 1, Layout::Stretched)).unwrap();
        assert_eq!(input[..6], [0.0, 25.0, 75.0, 125.0, 175.0, 200.0]);
        // Shrunk fourfold it looks at the two middle pixels only, as OpenCV does; a box would give 50.
        let data = [0, 10, 30, 160].into_iter().flat_map(|v| [v; 3]).collect();
        let (input, _) = prepare(&RgbPicture { width: 4, height: 1, data }, &spec(1, 1, Layout::Stretched)).unwrap();
        assert_eq!(input[0], 20.0);
    }

    #[test]
    fn pictures_that_lie_about_their_size_are_refused() {
        for (width, height, bytes) in [(0, 0, 0), (2, 2, 11), (u32::MAX, 2, 12), (2, 2, 13)] {
            let picture = RgbPicture { width, height, data: vec![0; bytes] };
            let error = prepare(&picture, &spec(4, 4, Layout::Stretched)).unwrap_err();
            assert_eq!(error, InferenceError::Picture { width, height, bytes });
        }
    }

    #[test]
    fn faults_of_a_spec_are_named() {
        assert_eq!(spec(640, 360, Layout::Stretched).fault(), None);
        assert!(spec(0, 360, Layout::Stretched).fault().is_some());
        assert!(spec(640, 5000, Layout::Stretched).fault().is_some());
        let range = Range::Normalised { mean: [0.0; 3], std: [1.0, 0.0, 1.0] };
        assert!(InputSpec { range, ..spec(4, 4, Layout::Stretched) }.fault().is_some());
    }
}
