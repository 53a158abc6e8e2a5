//! JPEG decoding: only what is needed, at the scale that is needed. And the encoding of pictures that are no JPEG yet.
//!
//! libjpeg-turbo (TurboJPEG API) with its exact integer transforms: the same bytes give the same pixels everywhere.

use std::cell::RefCell;

use turbojpeg::{DecompressHeader, Decompressor, Image, PixelFormat, ScalingFactor};
use waywarden_components::frame::{Luma, THUMBNAIL_SIDE};
use waywarden_components::job::Crop;
use waywarden_perception::area;

mod encoder;
mod yuv;

pub use encoder::{JpegEncoder, encode_rgb};
pub use yuv::{Planes, Yuv420};

/// Longest side of a picture that is accepted, in pixels.
pub const MAX_SIDE: u32 = 16_384;

/// Most pixels of a picture that is accepted.
pub const MAX_PIXELS: u64 = 64 * 1024 * 1024;

/// Quality at which pictures that are no JPEG yet are encoded, of libjpeg's 1 to 100: what good dashcams use; the models
/// lose nothing measurable by it.
pub const QUALITY: u8 = 85;

/// Width in pixels that a picture keeps for a closer look: at 20 m a lane line is still 2 pixels wide.
pub const CLOSER_LOOK_WIDTH: usize = 480;

/// Scans of a progressive JPEG that are accepted: a hostile file can hold thousands, each costing a pass over the picture.
const MAX_SCANS: u32 = 100;

/// Stray bytes before the end marker that are forgiven. Many USB cameras pad their pictures so; the picture is whole.
const MAX_PADDING: u32 = 16;

/// Why a picture could not be decoded or encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// There is not a single byte.
    #[error("the picture is empty")]
    Empty,
    /// No JPEG, or one that is damaged.
    #[error("not a JPEG that can be decoded: {0}")]
    Broken(String),
    /// Larger than anything that a camera gives.
    #[error("the picture is {width}x{height} pixels: at most {MAX_SIDE} a side and {MAX_PIXELS} in all are decoded")]
    TooLarge {
        /// Width that the header claims, in pixels.
        width: usize,
        /// Height that the header claims, in pixels.
        height: usize,
    },
    /// The pixels given to an encoder are not what its arguments say.
    #[error("cannot encode a {width}x{height} picture: {reason}")]
    BadPixels {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// What does not fit.
        reason: &'static str,
    },
    /// The encoder failed.
    #[error("the JPEG encoder failed: {0}")]
    Encoder(String),
}

/// A picture in full colour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RgbPicture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Red, green, blue, a byte each (sRGB), row by row from the top left, without gaps: 3 x width x height bytes.
    pub data: Vec<u8>,
}

impl RgbPicture {
    /// A part of it; of one that is not sound, or of a part that reaches beyond its edges, nothing.
    pub fn part(&self, part: Crop) -> Self {
        if !self.is_sound() || part.within(self.width, self.height) != Some(part) {
            return Self::default();
        }
        let (row, from, length) = (3 * self.width as usize, 3 * part.left as usize, 3 * part.width as usize);
        let rows = self.data.chunks_exact(row).skip(part.top as usize).take(part.height as usize);
        let data = rows.flat_map(|row| &row[from..from + length]).copied().collect();
        Self { width: part.width, height: part.height, data }
    }

    /// Whether it has pixels, no more than are accepted, and as many bytes as that takes.
    pub fn is_sound(&self) -> bool {
        let (width, height) = (self.width as usize, self.height as usize);
        check_size(width, height).is_ok() && self.data.len() == 3 * width * height
    }
}

/// Buffers that a thread keeps from picture to picture. What is in them never matters.
#[derive(Default)]
struct Scratch {
    grey: Vec<u8>,
    sums: Vec<i32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A new decompressor for one picture, and the picture's checked header.
///
/// libjpeg keeps Huffman and quantisation tables, and half-read markers, from one picture to the next: with a reused
/// decompressor what a damaged picture gives would depend on what its thread had decoded before. A new one costs less
/// than a microsecond.
fn open(jpeg: &[u8]) -> Result<(Decompressor, DecompressHeader), JpegError> {
    if jpeg.is_empty() {
        return Err(JpegError::Empty);
    }
    let mut decompressor = Decompressor::new().map_err(broken)?;
    decompressor.set_scan_limit(MAX_SCANS).map_err(broken)?;
    let header = decompressor.read_header(jpeg).map_err(broken)?;
    check_size(header.width, header.height)?;
    if header.is_lossless {
        return Err(JpegError::Broken("lossless JPEG is not supported".into()));
    }
    Ok((decompressor, header))
}

/// Width and height of a picture in pixels, as its header says.
///
/// # Errors
///
/// [`JpegError`] when the bytes are no JPEG, or larger than is accepted.
pub fn size(jpeg: &[u8]) -> Result<(u32, u32), JpegError> {
    let (_, header) = open(jpeg)?;
    Ok((header.width as u32, header.height as u32))
}

/// Width and height of a picture in pixels, and the whole of it as 64x64 luma bytes: every one the mean of the area that
/// it covers, rounded. Aspect is not kept.
///
/// Decodes grey at the smallest scale that still has 64 pixels on either side, and averages in integers. Once a
/// thread has seen its largest picture it allocates the result and what libjpeg needs.
///
/// # Errors
///
/// [`JpegError`] when the bytes are no JPEG, damaged, or larger than is accepted.
pub fn thumbnail(jpeg: &[u8]) -> Result<(u32, u32, Luma), JpegError> {
    let (width, height, luma, ()) = grey(jpeg, thumbnail_scale, |_, _, _| ())?;
    Ok((width, height, luma))
}

/// The same, and what `look` finds in the picture from which it was made, given as grey bytes row by row, width and
/// height. The picture is decoded once, at the least of a half, a quarter and an eighth that leaves
/// [`CLOSER_LOOK_WIDTH`] pixels of width; smaller pictures as they are.
///
/// # Errors
///
/// [`JpegError`] when the bytes are no JPEG, damaged, or larger than is accepted.
pub fn thumbnail_and<T>(
    jpeg: &[u8],
    look: impl FnOnce(&[u8], usize, usize) -> T,
) -> Result<(u32, u32, Luma, T), JpegError> {
    grey(jpeg, closer_look_scale, look)
}

fn grey<T>(
    jpeg: &[u8],
    scale: impl FnOnce(usize, usize) -> ScalingFactor,
    look: impl FnOnce(&[u8], usize, usize) -> T,
) -> Result<(u32, u32, Luma, T), JpegError> {
    let (mut decompressor, header) = open(jpeg)?;
    let scale = scale(header.width, header.height);
    decompressor.set_scaling_factor(scale).map_err(broken)?;
    let (width, height) = (scale.scale(header.width), scale.scale(header.height));
    SCRATCH.with_borrow_mut(|Scratch { grey, sums }| {
        // Never made smaller: what is made larger again would be cleared each time.
        if grey.len() < width * height {
            grey.resize(width * height, 0);
        }
        let grey = &mut grey[..width * height];
        let image = Image { pixels: &mut *grey, width, pitch: width, height, format: PixelFormat::GRAY };
        forgive_padding(decompressor.decompress(jpeg, image))?;
        let luma = area::average(grey, width, height, sums);
        Ok((header.width as u32, header.height as u32, Luma(luma), look(grey, width, height)))
    })
}

/// The whole picture in full colour.
///
/// # Errors
///
/// [`JpegError`] when the bytes are no JPEG, damaged, or larger than is accepted.
pub fn decode_rgb(jpeg: &[u8]) -> Result<RgbPicture, JpegError> {
    let (mut decompressor, DecompressHeader { width, height, .. }) = open(jpeg)?;
    let mut data = vec![0; 3 * width * height];
    let image = Image { pixels: &mut data[..], width, pitch: 3 * width, height, format: PixelFormat::RGB };
    forgive_padding(decompressor.decompress(jpeg, image))?;
    Ok(RgbPicture { width: width as u32, height: height as u32, data })
}

/// The whole picture in full colour, at the largest eighth of its size that is no wider than `width`; pictures that are
/// narrower keep their size. One eighth is the least, whatever `width` is.
///
/// # Errors
///
/// [`JpegError`] when the bytes are no JPEG, damaged, or larger than is accepted.
pub fn decode_rgb_within(jpeg: &[u8], width: u32) -> Result<RgbPicture, JpegError> {
    let (mut decompressor, header) = open(jpeg)?;
    let fits = |scale: &ScalingFactor| scale.scale(header.width) <= width as usize;
    let scale = (1..=8).rev().map(|n| ScalingFactor::new(n, 8)).find(fits).unwrap_or(ScalingFactor::new(1, 8));
    decompressor.set_scaling_factor(scale).map_err(broken)?;
    let (width, height) = (scale.scale(header.width), scale.scale(header.height));
    let mut data = vec![0; 3 * width * height];
    let image = Image { pixels: &mut data[..], width, pitch: 3 * width, height, format: PixelFormat::RGB };
    forgive_padding(decompressor.decompress(jpeg, image))?;
    Ok(RgbPicture { width: width as u32, height: height as u32, data })
}

fn check_size(width: usize, height: usize) -> Result<(), JpegError> {
    let side = MAX_SIDE as usize;
    if (1..=side).contains(&width) && (1..=side).contains(&height) && width as u64 * height as u64 <= MAX_PIXELS {
        Ok(())
    } else {
        Err(JpegError::TooLarge { width, height })
    }
}

/// The smallest of libjpeg-turbo's eighths that leaves 64 pixels on either side; 1 for pictures smaller than that.
fn thumbnail_scale(width: usize, height: usize) -> ScalingFactor {
    (1..8)
        .map(|eighths| ScalingFactor::new(eighths, 8))
        .find(|scale| scale.scale(width) >= THUMBNAIL_SIDE && scale.scale(height) >= THUMBNAIL_SIDE)
        .unwrap_or(ScalingFactor::ONE)
}

/// The smallest scale that has vector instructions and leaves enough for a closer look.
fn closer_look_scale(width: usize, height: usize) -> ScalingFactor {
    [ScalingFactor::ONE_EIGHTH, ScalingFactor::ONE_QUARTER, ScalingFactor::ONE_HALF]
        .into_iter()
        .find(|scale| scale.scale(width) >= CLOSER_LOOK_WIDTH && scale.scale(height) >= THUMBNAIL_SIDE)
        .unwrap_or(ScalingFactor::ONE)
}

fn broken(error: turbojpeg::Error) -> JpegError {
    match error {
        turbojpeg::Error::TurboJpegError(message) => JpegError::Broken(message),
        other => JpegError::Broken(other.to_string()),
    }
}

/// TurboJPEG reports warnings as errors, with the picture decoded all the same. Only padding is forgiven: everything
/// else means that pixels are missing or wrong.
fn forgive_padding(result: turbojpeg::Result<()>) -> Result<(), JpegError> {
    match result {
        Err(turbojpeg::Error::TurboJpegError(message)) if is_padding(&message) => Ok(()),
        result => result.map_err(broken),
    }
}

/// Whether this is libjpeg's warning of a few stray bytes before the end marker.
fn is_padding(message: &str) -> bool {
    message
        .split_once("Corrupt JPEG data: ")
        .and_then(|(_, rest)| rest.split_once(" extraneous bytes before marker 0xd9"))
        .and_then(|(count, _)| count.parse::<u32>().ok())
        .is_some_and(|count| count <= MAX_PADDING)
}

#[cfg(test)]
mod tests;
