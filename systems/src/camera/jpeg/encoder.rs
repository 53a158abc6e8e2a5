//! Pictures that are no JPEG yet become one.

use bytes::Bytes;
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp, YuvImage, compressed_buf_len};

use super::{JpegError, QUALITY, RgbPicture, check_size};
use crate::camera::raw::{RawFormat, RawPicture};

/// A JPEG encoder that keeps its tables and its output buffer from picture to picture.
///
/// Its pictures are baseline, chroma at half the horizontal resolution (4:2:2), as cameras give them; those made of 4:2:0
/// stay 4:2:0.
pub struct JpegEncoder {
    compressor: Compressor,
    /// Planes of a raw picture.
    planes: Vec<u8>,
    /// As large as the largest picture could become.
    output: Vec<u8>,
}

impl JpegEncoder {
    /// An encoder of the quality of imported and simulated pictures, [`QUALITY`].
    ///
    /// # Errors
    /// [`JpegError::Encoder`] when memory is short.
    pub fn new() -> Result<Self, JpegError> {
        Self::with_quality(QUALITY)
    }

    /// An encoder of another quality, libjpeg's 1 to 100.
    ///
    /// # Errors
    /// [`JpegError::Encoder`] when memory is short.
    pub fn with_quality(quality: u8) -> Result<Self, JpegError> {
        let mut compressor = Compressor::new().map_err(failed)?;
        compressor.set_quality(i32::from(quality.clamp(1, 100))).map_err(failed)?;
        Ok(Self { compressor, planes: Vec::new(), output: Vec::new() })
    }

    /// The JPEG of planes Y, U, V one after the other, 4:2:2 of 8 bits, full range (JFIF: BT.601, 0 to 255; what FFmpeg
    /// calls `yuvj422p`), rows without gaps: 2 x width x height bytes.
    ///
    /// # Errors
    /// [`JpegError::BadPixels`] when the width is odd, the picture empty or too large, or it has another number of bytes.
    pub fn yuv422(&mut self, planes: &[u8], width: usize, height: usize) -> Result<Bytes, JpegError> {
        if !width.is_multiple_of(2) {
            return Err(bad(width, height, "4:2:2 planes need an even width"));
        }
        self.planar(planes, 4, width, height, Subsamp::Sub2x1)
    }

    /// The same of planes that are 4:2:0 (what FFmpeg calls `yuvj420p`), and stay so: 1.5 x width x height bytes.
    ///
    /// # Errors
    /// [`JpegError::BadPixels`] when width or height is odd, the picture empty or too large, or it has another number of bytes.
    pub fn yuv420(&mut self, planes: &[u8], width: usize, height: usize) -> Result<Bytes, JpegError> {
        if !width.is_multiple_of(2) || !height.is_multiple_of(2) {
            return Err(bad(width, height, "4:2:0 planes need even sides"));
        }
        self.planar(planes, 3, width, height, Subsamp::Sub2x2)
    }

    fn planar(
        &mut self,
        planes: &[u8],
        halves: usize,
        width: usize,
        height: usize,
        subsamp: Subsamp,
    ) -> Result<Bytes, JpegError> {
        self.make_room(planes, halves, width, height)?;
        let image = YuvImage { pixels: planes, width, align: 1, height, subsamp };
        let length = self.compressor.compress_yuv_to_slice(image, &mut self.output).map_err(failed)?;
        Ok(Bytes::copy_from_slice(&self.output[..length]))
    }

    /// The JPEG of red, green and blue, a byte each (sRGB), row by row from the top left, without gaps:
    /// 3 x width x height bytes.
    ///
    /// # Errors
    /// [`JpegError::BadPixels`] when the picture is empty or too large, or has another number of bytes.
    pub fn rgb(&mut self, pixels: &[u8], width: usize, height: usize) -> Result<Bytes, JpegError> {
        self.make_room(pixels, 6, width, height)?;
        self.compress(Image { pixels, width, pitch: width * 3, height, format: PixelFormat::RGB })
    }

    /// The JPEG of grey bytes, row by row from the top left, without gaps: width x height bytes. It has no chroma.
    ///
    /// # Errors
    /// [`JpegError::BadPixels`] when the picture is empty or too large, or has another number of bytes.
    pub fn grey(&mut self, pixels: &[u8], width: usize, height: usize) -> Result<Bytes, JpegError> {
        self.make_room(pixels, 2, width, height)?;
        self.compressor.set_subsamp(Subsamp::Gray).map_err(failed)?;
        let image = Image { pixels, width, pitch: width, height, format: PixelFormat::GRAY };
        let length = self.compressor.compress_to_slice(image, &mut self.output).map_err(failed)?;
        Ok(Bytes::copy_from_slice(&self.output[..length]))
    }

    /// The JPEG of a raw picture of a camera.
    ///
    /// # Errors
    /// [`JpegError::BadPixels`] when it has fewer bytes than its size asks for, is empty or too large, or its width (of
    /// 4:2:0 its height too) is odd.
    pub fn raw(&mut self, picture: &RawPicture<'_>) -> Result<Bytes, JpegError> {
        let &RawPicture { bytes, format, width, height, stride, .. } = picture;
        check_size(width, height).map_err(|_| bad(width, height, "it must have pixels, and not too many"))?;
        if !picture.is_whole() {
            return Err(bad(width, height, "it is cut off, or its rows are too short"));
        }
        self.reserve(width, height)?;
        let subsamp = match format {
            RawFormat::Rgb => {
                return self.compress(Image { pixels: bytes, width, pitch: stride, height, format: PixelFormat::RGB });
            }
            RawFormat::Bgr => {
                return self.compress(Image { pixels: bytes, width, pitch: stride, height, format: PixelFormat::BGR });
            }
            RawFormat::Yuyv => Subsamp::Sub2x1,
            RawFormat::Nv12 => Subsamp::Sub2x2,
        };
        if !picture.has_whole_chroma() {
            return Err(bad(width, height, "its chroma asks for even sides"));
        }
        picture.to_planes(&mut self.planes);
        let image = YuvImage { pixels: &self.planes[..], width, align: 1, height, subsamp };
        let length = self.compressor.compress_yuv_to_slice(image, &mut self.output).map_err(failed)?;
        Ok(Bytes::copy_from_slice(&self.output[..length]))
    }

    fn compress(&mut self, image: Image<&[u8]>) -> Result<Bytes, JpegError> {
        // A picture of planes sets it to its own.
        self.compressor.set_subsamp(Subsamp::Sub2x1).map_err(failed)?;
        let length = self.compressor.compress_to_slice(image, &mut self.output).map_err(failed)?;
        Ok(Bytes::copy_from_slice(&self.output[..length]))
    }

    /// Checks a picture of so many bytes for two pixels, and has room for its JPEG.
    fn make_room(&mut self, given: &[u8], bytes: usize, width: usize, height: usize) -> Result<(), JpegError> {
        check_size(width, height).map_err(|_| bad(width, height, "it must have pixels, and not too many"))?;
        if given.len() != bytes * width * height / 2 {
            return Err(bad(width, height, "it has another number of bytes than its size asks for"));
        }
        self.reserve(width, height)
    }

    /// Has room for the largest JPEG that can come of a picture of this size.
    fn reserve(&mut self, width: usize, height: usize) -> Result<(), JpegError> {
        let most = compressed_buf_len(width, height, Subsamp::Sub2x1).map_err(failed)?;
        self.output.resize(self.output.len().max(most), 0);
        Ok(())
    }
}

/// The JPEG of one picture. `quality` is libjpeg's, 1 to 100.
///
/// # Errors
/// [`JpegError::BadPixels`] when the picture is empty, too large or does not have the bytes that it should have.
pub fn encode_rgb(picture: &RgbPicture, quality: u8) -> Result<Bytes, JpegError> {
    JpegEncoder::with_quality(quality)?.rgb(&picture.data, picture.width as usize, picture.height as usize)
}

fn bad(width: usize, height: usize, reason: &'static str) -> JpegError {
    JpegError::BadPixels { width, height, reason }
}

fn failed(error: turbojpeg::Error) -> JpegError {
    JpegError::Encoder(error.to_string())
}
