//! JPEG to planar YUV 4:2:0, as video encoders take it: without a way through red, green and blue.

use turbojpeg::{ScalingFactor, YuvImage};

use super::{JpegError, broken, forgive_padding, open};

/// A picture as three planes: brightness, and two of colour at half of the width and height. Full range, BT.601, as JPEG has
/// it. Width and height are even: a last odd column or row is left out. It keeps its buffers from picture to picture.
#[derive(Debug, Default)]
pub struct Yuv420 {
    /// Width and height in pixels.
    size: (usize, usize),
    /// The planes as they come out of the decoder.
    planes: Vec<u8>,
    /// Bytes in a row of brightness.
    stride: usize,
    /// Where in `planes` the planes of colour begin, and bytes in a row of theirs; none where they had to be made.
    colour: Option<(usize, usize, usize)>,
    /// Planes of colour that had to be made, one behind the other, half as wide as the picture.
    made: Vec<u8>,
}

/// The planes of a picture, each with the bytes of its rows.
pub type Planes<'a> = [(&'a [u8], usize); 3];

impl Yuv420 {
    /// Decodes a JPEG at `eighths` eighths of its width and height; one whose colours are stored at a quarter of its width or height,
    /// which no camera gives, as it is: libjpeg-turbo leaves parts of such a one out when it makes it smaller.
    ///
    /// # Errors
    ///
    /// [`JpegError`] when the bytes are no JPEG, damaged, larger than is accepted, or smaller than two pixels then.
    pub fn decode(&mut self, jpeg: &[u8], eighths: u8) -> Result<(), JpegError> {
        let (mut decompressor, header) = open(jpeg)?;
        let quartered = header.subsamp.width() == 4 || header.subsamp.height() == 4;
        let eighths = if quartered { 8 } else { eighths.clamp(1, 8) };
        let scale = ScalingFactor::new(usize::from(eighths), 8);
        decompressor.set_scaling_factor(scale).map_err(broken)?;
        let (width, height) = (scale.scale(header.width), scale.scale(header.height));
        if width < 2 || height < 2 {
            return Err(JpegError::BadPixels { width, height, reason: "too small for video" });
        }
        let subsamp = header.subsamp;
        if subsamp == turbojpeg::Subsamp::Unknown {
            return Err(JpegError::Broken("its colours are stored in a way that is not known".to_owned()));
        }
        let length = turbojpeg::yuv_pixels_len(width, 1, height, subsamp).map_err(broken)?;
        self.planes.resize(length, 0);
        let image = YuvImage { pixels: &mut self.planes[..], width, align: 1, height, subsamp };
        forgive_padding(decompressor.decompress_to_yuv(jpeg, image))?;
        // How much wider and higher brightness is than colour. Planes are rounded up to whole pixels of colour.
        let factors = (subsamp.width(), subsamp.height());
        let (stride, rows) = (width.next_multiple_of(factors.0), height.next_multiple_of(factors.1));
        self.size = (width & !1, height & !1);
        self.stride = stride;
        let (colour_stride, colour_rows) = (stride / factors.0, rows / factors.1);
        let (u, v) = (stride * rows, stride * rows + colour_stride * colour_rows);
        self.colour = (factors == (2, 2)).then_some((u, v, colour_stride));
        if subsamp == turbojpeg::Subsamp::Gray {
            self.colour = None;
            self.made.clear();
            self.made.resize(self.size.0 / 2 * (self.size.1 / 2) * 2, 128);
        } else if self.colour.is_none() {
            self.made.clear();
            for start in [u, v] {
                let plane = &self.planes[start..start + colour_stride * colour_rows];
                halve(plane, colour_stride, factors, self.size, &mut self.made);
            }
        }
        Ok(())
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Its planes. Of a picture that was not decoded, or not whole, nothing that makes sense.
    pub fn planes(&self) -> Planes<'_> {
        let (width, height) = self.size;
        let brightness = (&self.planes[..self.stride * height], self.stride);
        match self.colour {
            Some((u, v, stride)) => {
                let length = stride * (height / 2);
                [brightness, (&self.planes[u..u + length], stride), (&self.planes[v..v + length], stride)]
            }
            None => {
                let (u, v) = self.made.split_at(self.made.len() / 2);
                [brightness, (u, width / 2), (v, width / 2)]
            }
        }
    }
}

/// Appends a plane of colour at half the width and height of the picture, made of one that is `factors` times smaller than it.
fn halve(plane: &[u8], stride: usize, factors: (usize, usize), (width, height): (usize, usize), into: &mut Vec<u8>) {
    let mean = |a: u8, b: u8| u16::from(a).midpoint(u16::from(b)) as u8;
    let row = |y: usize| &plane[y * stride..(y + 1) * stride];
    for y in 0..height / 2 {
        let (above, below) = (row(2 * y / factors.1), row((2 * y + 1) / factors.1));
        if factors.0 == 2 {
            // What most cameras give: as wide as it is to be, and twice as high.
            into.extend(above.iter().zip(below).take(width / 2).map(|(a, b)| mean(*a, *b)));
        } else {
            into.extend((0..width / 2).map(|x| {
                let (left, right) = (2 * x / factors.0, (2 * x + 1) / factors.0);
                mean(mean(above[left], above[right]), mean(below[left], below[right]))
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use turbojpeg::{Image, PixelFormat, Subsamp};

    use super::*;

    /// A JPEG of one colour.
    fn jpeg(width: usize, height: usize, subsamp: Subsamp) -> Vec<u8> {
        let pixels: Vec<u8> = [200u8, 40, 60].repeat(width * height);
        let image = Image { pixels: &pixels[..], width, pitch: 3 * width, height, format: PixelFormat::RGB };
        turbojpeg::compress(image, 95, subsamp).unwrap().to_vec()
    }

    #[test]
    fn however_colours_are_stored_they_come_out_as_4_2_0() {
        let mut yuv = Yuv420::default();
        let kinds = [Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub2x2, Subsamp::Sub1x2, Subsamp::Sub4x1, Subsamp::Gray];
        for subsamp in kinds {
            for (width, height, eighths) in [(64, 48, 8), (62, 46, 8), (33, 35, 8), (160, 120, 4), (322, 242, 2)] {
                yuv.decode(&jpeg(width, height, subsamp), eighths).unwrap();
                let eighths = if subsamp == Subsamp::Sub4x1 { 8 } else { eighths };
                let scaled = |side: usize| (side * usize::from(eighths)).div_ceil(8) & !1;
                assert_eq!(yuv.size(), (scaled(width), scaled(height)), "{subsamp:?}");
                let (width, height) = yuv.size();
                let [(y, y_stride), (u, u_stride), (v, v_stride)] = yuv.planes();
                assert_eq!(y.len(), y_stride * height);
                assert!(y_stride >= width && u_stride >= width / 2);
                assert_eq!((u.len(), v.len()), (u_stride * (height / 2), v_stride * (height / 2)));
                // The colour by BT.601: 90, 111, 206.
                let near = |plane: &[u8], wanted: u8| plane.iter().all(|value| value.abs_diff(wanted) <= 3);
                let (blue, red) = if subsamp == Subsamp::Gray { (128, 128) } else { (111, 206) };
                assert!(
                    near(y, 90) && near(u, blue) && near(v, red),
                    "{subsamp:?} {width}x{height}: {} {} {}",
                    y[0],
                    u[0],
                    v[0]
                );
            }
        }
        assert!(yuv.decode(b"hello", 8).is_err());
        assert!(yuv.decode(&jpeg(8, 8, Subsamp::Sub2x2), 1).is_err());
    }
}
