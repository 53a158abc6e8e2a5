//! CamVid with SegNet's eleven classes: a grey PNG whose values are the classes (Brostow, Fauqueur and Cipolla, *Semantic
//! Object Classes in Video*, 2009; Badrinarayanan, Kendall and Cipolla, *SegNet*, 2017).

use super::{LabelError, png};

/// The classes that are looked at.
pub mod class {
    /// Road, oncoming lanes too.
    pub const ROAD: u8 = 3;
    /// Cars and larger.
    pub const CAR: u8 = 8;
    /// People on foot.
    pub const PEDESTRIAN: u8 = 9;
    /// People on two wheels, with these.
    pub const CYCLIST: u8 = 10;
    /// Not labelled.
    pub const VOID: u8 = 11;
}

/// A class for each pixel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The classes, row by row.
    pub pixels: Vec<u8>,
}

/// Reads a PNG of classes.
///
/// # Errors
/// When it is no grey PNG of 8 bits, or holds a value that is no class.
pub fn classes(bytes: &[u8]) -> Result<Classes, LabelError> {
    let picture = png(bytes)?;
    let image::DynamicImage::ImageLuma8(grey) = picture else {
        return Err(LabelError::whole(format!("is {:?}, expected are grey classes of 8 bits", picture.color())));
    };
    let (width, height) = (grey.width(), grey.height());
    let pixels = grey.into_raw();
    match pixels.iter().position(|pixel| *pixel > class::VOID) {
        Some(at) => {
            let (x, y) = (at % width.max(1) as usize, at / width.max(1) as usize);
            let value = pixels.get(at).copied().unwrap_or_default();
            Err(LabelError::whole(format!("has the value {value} at ({x}, {y}), expected are classes from 0 to 11")))
        }
        None => Ok(Classes { width, height, pixels }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::grey_png;
    use super::*;

    #[test]
    fn values_are_classes() {
        let read = classes(&grey_png(3, 2, vec![3, 3, 11, 0, 8, 9])).unwrap();
        assert_eq!(read, Classes { width: 3, height: 2, pixels: vec![3, 3, 11, 0, 8, 9] });
        let error = classes(&grey_png(2, 2, vec![0, 0, 0, 255])).unwrap_err();
        assert_eq!(error.to_string(), "has the value 255 at (1, 1), expected are classes from 0 to 11");
        let mut colours = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(2, 2).write_to(&mut colours, image::ImageFormat::Png).unwrap();
        assert!(classes(&colours.into_inner()).unwrap_err().what.contains("grey"));
        assert!(classes(b"").unwrap_err().what.contains("no PNG"));
    }
}
