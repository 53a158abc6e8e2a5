//! The least that a look at a frame can cost.

use turbojpeg::{Decompressor, Image, PixelFormat, ScalingFactor};

/// libjpeg-turbo alone: a frame decoded grey and scaled, with a decompressor that is kept. No system can be faster.
pub struct Floor {
    decompressor: Decompressor,
    scale: ScalingFactor,
    pixels: Vec<u8>,
}

impl Floor {
    /// A decompressor at scale 1/8.
    pub fn new() -> turbojpeg::Result<Self> {
        Self::at(ScalingFactor::ONE_EIGHTH)
    }

    /// A decompressor at another scale.
    pub fn at(scale: ScalingFactor) -> turbojpeg::Result<Self> {
        let mut decompressor = Decompressor::new()?;
        decompressor.set_scaling_factor(scale)?;
        Ok(Self { decompressor, scale, pixels: Vec::new() })
    }

    /// Decodes a frame, and gives the sum of its pixels.
    pub fn decode(&mut self, jpeg: &[u8]) -> turbojpeg::Result<u64> {
        let header = self.decompressor.read_header(jpeg)?;
        let scale = self.scale;
        let (width, height) = (scale.scale(header.width), scale.scale(header.height));
        self.pixels.resize(width * height, 0);
        let format = PixelFormat::GRAY;
        let image = Image { pixels: &mut self.pixels[..], width, pitch: width, height, format };
        self.decompressor.decompress(jpeg, image)?;
        Ok(self.pixels.iter().map(|&pixel| u64::from(pixel)).sum())
    }
}
