//! A picture that can be drawn on.

use std::convert::Infallible;

use embedded_graphics::Pixel;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use waywarden_components::prelude::*;
use waywarden_systems::camera::jpeg::RgbPicture;

/// An RGB picture of even width and height, on which `embedded-graphics` draws.
pub struct Canvas {
    width: u32,
    height: u32,
    data: Vec<u8>,
    resizer: Resizer,
}

impl Canvas {
    /// A black picture. Width and height are made even, as H.264 wants them, and are at least 16.
    pub fn new(width: u32, height: u32) -> Self {
        let even = |side: u32| (side & !1).max(16);
        let (width, height) = (even(width), even(height));
        Self { width, height, data: vec![0; 3 * width as usize * height as usize], resizer: Resizer::new() }
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Red, green, blue, a byte each, row by row.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Takes a picture, scaled to this one's size. One that is not sound leaves it black.
    pub fn load(&mut self, picture: &RgbPicture) {
        if (picture.width, picture.height) == (self.width, self.height) && picture.is_sound() {
            self.data.copy_from_slice(&picture.data);
            return;
        }
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        let from = TypedImageRef::<U8x3>::from_buffer(picture.width, picture.height, &picture.data);
        let to = TypedImage::<U8x3>::from_buffer(self.width, self.height, &mut self.data);
        let done = match (from, to) {
            (Ok(from), Ok(mut to)) => self.resizer.resize_typed(&from, &mut to, &options).is_ok(),
            _ => false,
        };
        if !done {
            self.data.fill(0);
        }
    }

    /// Makes everything darker: what is seen is not of this moment.
    pub fn dim(&mut self) {
        self.data.iter_mut().for_each(|value| *value /= 3);
    }

    /// Lays a colour over the pixels of a row, from `left` to before `right`; `alpha` of 256 hides what is below.
    pub fn tint_row(&mut self, y: u32, left: u32, right: u32, colour: Rgb888, alpha: u16) {
        let (left, right) = (left.min(self.width), right.min(self.width));
        if y >= self.height || left >= right {
            return;
        }
        let row = 3 * (y as usize * self.width as usize);
        let pixels = &mut self.data[row + 3 * left as usize..row + 3 * right as usize];
        let over = [colour.r(), colour.g(), colour.b()];
        for pixel in pixels.chunks_exact_mut(3) {
            for (below, over) in pixel.iter_mut().zip(over) {
                *below = mix(*below, over, alpha);
            }
        }
    }

    /// Lays a colour over a rectangle.
    pub fn tint(&mut self, area: Rectangle, colour: Rgb888, alpha: u16) {
        let area = area.intersection(&self.bounding_box());
        for y in area.rows() {
            let (left, right) = (area.top_left.x, area.top_left.x + area.size.width as i32);
            // Inside the picture, so not negative.
            self.tint_row(y as u32, left as u32, right as u32, colour, alpha);
        }
    }

    /// Lays a colour over the white pixels of a mask, which covers the whole picture.
    pub fn tint_mask(&mut self, mask: &Mask, colour: Rgb888, alpha: u16) {
        let white = mask.decode();
        if white.is_empty() {
            return;
        }
        for y in 0..self.height {
            let row = (u64::from(y) * u64::from(mask.height) / u64::from(self.height)) as usize * mask.width as usize;
            let mut begun = None;
            for x in 0..=self.width {
                let column = (u64::from(x) * u64::from(mask.width) / u64::from(self.width)) as usize;
                let here = x < self.width && white.get(row + column) == Some(&1);
                match (begun, here) {
                    (None, true) => begun = Some(x),
                    (Some(left), false) => {
                        self.tint_row(y, left, x, colour, alpha);
                        begun = None;
                    }
                    _ => {}
                }
            }
        }
    }
}

fn mix(below: u8, over: u8, alpha: u16) -> u8 {
    let alpha = u32::from(alpha.min(256));
    ((u32::from(below) * (256 - alpha) + u32::from(over) * alpha) / 256) as u8
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            let (Ok(x), Ok(y)) = (u32::try_from(at.x), u32::try_from(at.y)) else { continue };
            if x < self.width && y < self.height {
                let place = 3 * (y as usize * self.width as usize + x as usize);
                self.data[place..place + 3].copy_from_slice(&[colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, colour: Rgb888) -> Result<(), Infallible> {
        self.tint(*area, colour, 256);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_is_not_drawn() {
        let mut canvas = Canvas::new(17, 1);
        assert_eq!((canvas.width(), canvas.height()), (16, 16));
        let huge = Rectangle::new(Point::new(-50, -50), Size::new(1000, 1000));
        canvas.tint(huge, Rgb888::new(200, 100, 0), 128);
        assert!(canvas.data().chunks_exact(3).all(|pixel| pixel == [100, 50, 0]));
        canvas.fill_solid(&huge, Rgb888::WHITE).unwrap();
        canvas.draw_iter([Pixel(Point::new(-1, 3), Rgb888::RED), Pixel(Point::new(16, 3), Rgb888::RED)]).unwrap();
        assert!(canvas.data().iter().all(|value| *value == 255));
        canvas.tint_row(99, 0, 4, Rgb888::BLACK, 256);
    }

    #[test]
    fn masks_of_any_size_cover_the_picture() {
        let mut canvas = Canvas::new(32, 16);
        // The left half is white.
        canvas.tint_mask(&Mask::encode(8, 4, |x, _| x < 4), Rgb888::WHITE, 256);
        for (n, pixel) in canvas.data().chunks_exact(3).enumerate() {
            assert_eq!(pixel[0], if n % 32 < 16 { 255 } else { 0 }, "pixel {n}");
        }
        canvas.tint_mask(&Mask { width: 9, height: 9, runs: vec![1] }, Rgb888::WHITE, 256);
    }

    #[test]
    fn pictures_of_any_size_are_taken() {
        let mut canvas = Canvas::new(32, 16);
        canvas.load(&RgbPicture { width: 64, height: 64, data: vec![77; 3 * 64 * 64] });
        assert!(canvas.data().iter().all(|value| *value == 77));
        canvas.load(&RgbPicture { width: 64, height: 64, data: vec![77; 5] });
        assert!(canvas.data().iter().all(|value| *value == 0), "a picture that is not sound");
    }
}
