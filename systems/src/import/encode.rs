//! JPEG as imported pictures are stored: quality 85, chroma halved sideways (4:2:2).

use bytes::Bytes;
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp, YuvImage, compressed_buf_len};

/// Quality of imported pictures, 1 to 100: what good dashcams use; the models lose nothing measurable by it.
pub(crate) const QUALITY: i32 = 85;

/// A JPEG encoder that keeps its tables and its output buffer from picture to picture.
pub(crate) struct JpegEncoder {
    compressor: Compressor,
    /// As large as the largest picture could become.
    output: Vec<u8>,
}

impl JpegEncoder {
    /// An encoder. Fails only when memory is short.
    pub fn new() -> Result<Self, turbojpeg::Error> {
        let mut compressor = Compressor::new()?;
        compressor.set_quality(QUALITY)?;
        compressor.set_subsamp(Subsamp::Sub2x1)?;
        Ok(Self { compressor, output: Vec::new() })
    }

    /// Encodes planes Y, U, V of 8 bits, 4:2:2, full range BT.601, rows without padding. `width` must be even: an odd
    /// one has no agreed layout.
    pub fn yuv422(&mut self, planes: &[u8], width: usize, height: usize) -> Result<Bytes, turbojpeg::Error> {
        self.make_room(width, height)?;
        let image = YuvImage { pixels: planes, width, align: 1, height, subsamp: Subsamp::Sub2x1 };
        let length = self.compressor.compress_yuv_to_slice(image, &mut self.output)?;
        Ok(Bytes::copy_from_slice(&self.output[..length]))
    }

    /// Encodes interleaved RGB of 8 bits, rows without padding.
    pub fn rgb(&mut self, pixels: &[u8], width: usize, height: usize) -> Result<Bytes, turbojpeg::Error> {
        self.make_room(width, height)?;
        let image = Image { pixels, width, pitch: width * 3, height, format: PixelFormat::RGB };
        let length = self.compressor.compress_to_slice(image, &mut self.output)?;
        Ok(Bytes::copy_from_slice(&self.output[..length]))
    }

    fn make_room(&mut self, width: usize, height: usize) -> Result<(), turbojpeg::Error> {
        let most = compressed_buf_len(width, height, Subsamp::Sub2x1)?;
        self.output.resize(self.output.len().max(most), 0);
        Ok(())
    }
}
