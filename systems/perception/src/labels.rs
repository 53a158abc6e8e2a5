//! Readers of label formats: bytes in, labels out. No files are opened here; who does says which one it was.

pub mod camvid;
pub mod culane;
pub mod kitti;
pub mod rttm;
pub mod tenvad;
pub mod tusimple;

use std::fmt;

/// Most pixels of a picture of labels: that of 8K television.
const MOST_PIXELS: u64 = 7680 * 4320;

/// Why labels cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LabelError {
    /// The line, from 1; none where the file has no lines.
    pub line: Option<u64>,
    /// What is wrong, and what is expected.
    pub what: String,
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl LabelError {
    fn whole(what: impl Into<String>) -> Self {
        Self { line: None, what: what.into() }
    }

    fn at(line: u64, what: impl Into<String>) -> Self {
        Self { line: Some(line), what: what.into() }
    }
}

/// Lines that hold something, each with its number from 1.
fn lines(bytes: &[u8]) -> Result<impl Iterator<Item = (u64, &str)>, LabelError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        LabelError::at(line, "is not text (UTF-8)")
    })?;
    let numbered = (1..).zip(text.lines().map(str::trim));
    Ok(numbered.filter(|(_, line)| !line.is_empty()))
}

/// A number that is finite.
fn number(line: u64, word: &str) -> Result<f64, LabelError> {
    let number = word.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| LabelError::at(line, format!("expected a number, found `{}`", shown(word))))
}

/// The beginning of a word, for an error.
fn shown(word: &str) -> String {
    word.chars().take(40).collect()
}

/// A PNG of no more than [`MOST_PIXELS`].
fn png(bytes: &[u8]) -> Result<image::DynamicImage, LabelError> {
    let bad = |error: image::ImageError| LabelError::whole(format!("is no PNG that can be read: {error}"));
    let mut reader = image::ImageReader::with_format(std::io::Cursor::new(bytes), image::ImageFormat::Png);
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MOST_PIXELS * 8);
    reader.limits(limits);
    let picture = reader.decode().map_err(bad)?;
    let (width, height) = (picture.width(), picture.height());
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(LabelError::whole(format!("is {width}x{height} pixels large")));
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A PNG of grey pixels.
    pub(super) fn grey_png(width: u32, height: u32, pixels: Vec<u8>) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::GrayImage::from_raw(width, height, pixels)
            .unwrap()
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(LabelError::at(3, "is odd").to_string(), "line 3: is odd");
        let Err(error) = lines(b"a\nb\n\xFF").map(|_| ()) else { panic!() };
        assert_eq!(error.line, Some(3));
        assert_eq!(lines(b"\na\r\n\n b").unwrap().collect::<Vec<_>>(), [(2, "a"), (4, "b")]);
        assert!(number(1, "inf").is_err() && number(1, "1e2") == Ok(100.0));
    }

    fn all(bytes: &[u8]) {
        let _ = camvid::classes(bytes);
        let _ = tusimple::mask(bytes);
        let _ = tusimple::instances(bytes);
        let _ = tusimple::pictures(bytes);
        let _ = kitti::objects(bytes);
        let _ = kitti::calibration(bytes);
        let _ = culane::lines(bytes);
        let _ = rttm::turns(bytes);
        let _ = tenvad::stretches(bytes);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            all(&bytes);
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in "([a-zA-Z_:.{}\\[\\]\", ]{0,6}[-0-9.e]{0,9}[ \n]){0,30}") {
            all(text.as_bytes());
        }

        #[test]
        fn broken_pngs_do_no_harm(at in 0usize..90, byte: u8, cut in 0usize..90) {
            let mut bytes = grey_png(4, 3, vec![3; 12]);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            all(&bytes);
            bytes.truncate(cut);
            all(&bytes);
        }
    }
}
