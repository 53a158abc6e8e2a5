//! A folder of pictures as a camera: JPEGs as they are, PNGs encoded at a quality at which next to nothing is lost.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use image::{ImageReader, Limits};
use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

use super::error::ordinary_file;
use super::{ImportError, MAX_PIXELS, Place, Reader, TimedItem};
use crate::camera::jpeg::JpegEncoder;
use crate::camera::mjpeg;

/// Largest file that is read as a picture, in bytes.
const MAX_FILE: u64 = 128 << 20;
/// Quality at which a PNG becomes a JPEG, of libjpeg's 1 to 100. It has lost nothing yet, so nothing that is there to be found
/// is to be lost here: at 85, which cameras use, a detector misses one or two cars more of a hundred.
const STILL_QUALITY: u8 = 98;
const HINT: &str = "take it out of the folder, or make it anew";

/// A reader of pictures at a fixed rate: of a folder, in natural order of their names (`2.jpg` before `10.jpg`), or of
/// files that are named one by one.
///
/// Of a folder, files that are neither `.jpg`, `.jpeg` nor `.png`, and hidden ones, are left out. Sizes may differ.
pub struct Stills {
    files: std::vec::IntoIter<PathBuf>,
    total: u64,
    given: u64,
    fps: f64,
    encoder: JpegEncoder,
    cut: u64,
    failed: bool,
}

impl Stills {
    /// Lists the pictures in `folder`; the first is at 0, each next one 1/`fps` seconds later.
    ///
    /// # Errors
    /// When the folder cannot be read or holds no pictures, or `fps` is not above 0 and at most 1000.
    pub fn open(folder: &Path, fps: f64) -> Result<Self, ImportError> {
        sound_rate(fps)?;
        let fail = |source| ImportError::io(folder, Place::Whole, source);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if kind(&path).is_some() {
                files.push(path);
            }
        }
        if files.is_empty() {
            let hint = "expected are files named `*.jpg`, `*.jpeg` or `*.png`";
            return Err(ImportError::bad(folder, Place::Whole, "holds no pictures", hint));
        }
        files.sort_by(|a, b| natural(&name(a), &name(b)));
        Self::of(files, fps)
    }

    /// These files in their order; the first is at 0, each next one 1/`fps` seconds later.
    ///
    /// # Errors
    /// When `fps` is not above 0 and at most 1000.
    pub fn of(files: Vec<PathBuf>, fps: f64) -> Result<Self, ImportError> {
        sound_rate(fps)?;
        let first = files.first().map_or(Path::new(""), PathBuf::as_path);
        let encoder = JpegEncoder::with_quality(STILL_QUALITY)
            .map_err(|error| ImportError::bad(first, Place::Whole, error.to_string(), HINT))?;
        Ok(Self { total: files.len() as u64, files: files.into_iter(), given: 0, fps, encoder, cut: 0, failed: false })
    }

    fn read(&mut self, path: &Path) -> Result<Bytes, ImportError> {
        let length = ordinary_file(path)?;
        if length > MAX_FILE {
            let what = format!("is {} MB large", length >> 20);
            return Err(ImportError::bad(path, Place::Whole, what, "pictures of up to 128 MB can be read"));
        }
        match kind(path) {
            Some(Kind::Png) => self.encode(path),
            _ => self.check(path),
        }
    }

    fn check(&mut self, path: &Path) -> Result<Bytes, ImportError> {
        let bytes = std::fs::read(path).map_err(|source| ImportError::io(path, Place::Whole, source))?;
        let bad = |place, what: String| ImportError::bad(path, place, what, HINT);
        let length =
            mjpeg::length(&bytes).map_err(|broken| bad(Place::Byte(broken.offset as u64), broken.what.into()))?;
        let header = turbojpeg::read_header(&bytes).map_err(|error| bad(Place::Whole, error.to_string()))?;
        if header.width as u64 * header.height as u64 > MAX_PIXELS {
            return Err(bad(Place::Whole, format!("is {}x{} pixels large", header.width, header.height)));
        }
        if matches!(header.colorspace, turbojpeg::Colorspace::CMYK | turbojpeg::Colorspace::YCCK) {
            return Err(bad(Place::Whole, "is in the colours of print (CMYK)".into()));
        }
        self.cut += u64::from(length < bytes.len());
        Ok(Bytes::from(bytes).slice(..length))
    }

    fn encode(&mut self, path: &Path) -> Result<Bytes, ImportError> {
        let bad = |what: String| ImportError::bad(path, Place::Whole, what, HINT);
        let mut reader = ImageReader::open(path).map_err(|source| ImportError::io(path, Place::Whole, source))?;
        reader.set_format(image::ImageFormat::Png);
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_PIXELS * 8);
        reader.limits(limits);
        let picture = reader.decode().map_err(|error| bad(error.to_string()))?.into_rgb8();
        if u64::from(picture.width()) * u64::from(picture.height()) > MAX_PIXELS {
            return Err(bad(format!("is {}x{} pixels large", picture.width(), picture.height())));
        }
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        self.encoder.rgb(&picture, width, height).map_err(|error| bad(error.to_string()))
    }
}

impl Iterator for Stills {
    type Item = Result<TimedItem, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let path = self.files.next()?;
        let at = Mono::from_secs_f64(self.given as f64 / self.fps);
        let jpeg = self.read(&path);
        self.given += 1;
        self.failed = jpeg.is_err();
        Some(jpeg.map(|jpeg| TimedItem { at, payload: Payload::Frame(jpeg) }))
    }
}

impl Reader for Stills {
    fn warnings(&self) -> Vec<String> {
        let warning = format!("{} pictures had something behind their end, which was left out", self.cut);
        Some(warning).filter(|_| self.cut > 0).into_iter().collect()
    }

    fn expected_items(&self) -> Option<u64> {
        Some(self.total)
    }

    fn expected_length(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.total as f64 / self.fps).ok()
    }
}

fn sound_rate(fps: f64) -> Result<(), ImportError> {
    let hint = "expected is a number of pictures a second above 0, at most 1000";
    match fps > 0.0 && fps <= 1000.0 {
        true => Ok(()),
        false => Err(ImportError::Option { option: "--fps", value: fps.to_string(), hint }),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Jpeg,
    Png,
}

fn kind(path: &Path) -> Option<Kind> {
    if name(path).starts_with('.') {
        return None;
    }
    match path.extension()?.to_string_lossy().to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" => Some(Kind::Jpeg),
        "png" => Some(Kind::Png),
        _ => None,
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Order in which numbers count as numbers: `frame2` before `frame10`. Equal ones fall back to the order of letters.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while !rest_a.is_empty() && !rest_b.is_empty() {
        let (number_a, after_a) = rest_a.split_at(digits(rest_a));
        let (number_b, after_b) = rest_b.split_at(digits(rest_b));
        if number_a.is_empty() || number_b.is_empty() {
            let (char_a, char_b) = (rest_a.chars().next(), rest_b.chars().next());
            if char_a != char_b {
                return char_a.cmp(&char_b);
            }
            let length = char_a.map_or(0, char::len_utf8);
            (rest_a, rest_b) = (&rest_a[length..], &rest_b[length..]);
            continue;
        }
        let (value_a, value_b) = (number_a.trim_start_matches('0'), number_b.trim_start_matches('0'));
        let order = value_a.len().cmp(&value_b.len()).then(value_a.cmp(value_b));
        if order != Ordering::Equal {
            return order;
        }
        (rest_a, rest_b) = (after_a, after_b);
    }
    rest_a.len().cmp(&rest_b.len()).then(a.cmp(b))
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn jpeg(width: usize, height: usize) -> Bytes {
        let pixels: Vec<u8> = (0..width * height * 3).map(|n| (n * 7 % 251) as u8).collect();
        JpegEncoder::new().unwrap().rgb(&pixels, width, height).unwrap()
    }

    fn read(folder: &Path) -> Result<Vec<TimedItem>, String> {
        let stills = Stills::open(folder, 10.0).map_err(|error| error.to_string())?;
        stills.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    #[test]
    fn pictures_come_in_natural_order_and_jpegs_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        put("f10.JPG", &jpeg(33, 17));
        put("f9.jpeg", &jpeg(64, 48));
        put(".f1.jpg", b"hidden");
        put("notes.txt", b"not a picture");
        let gradient = image::RgbImage::from_fn(65, 40, |x, y| image::Rgb([x as u8 * 3, y as u8 * 5, 128]));
        gradient.save(folder.path().join("f011.png")).unwrap();

        let items = read(folder.path()).unwrap();
        assert_eq!(items.iter().map(|item| item.at.0 / 1_000_000).collect::<Vec<_>>(), [0, 100, 200]);
        assert_eq!(items[0].payload, Payload::Frame(jpeg(64, 48)));
        assert_eq!(items[1].payload, Payload::Frame(jpeg(33, 17)));
        let Payload::Frame(encoded) = &items[2].payload else { panic!() };
        let header = turbojpeg::read_header(encoded).unwrap();
        assert_eq!((header.width, header.height, header.subsamp), (65, 40, turbojpeg::Subsamp::Sub2x1));
        let decoded = turbojpeg::decompress(encoded, turbojpeg::PixelFormat::RGB).unwrap();
        let off: u64 = decoded.pixels.iter().zip(gradient.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(off / (65 * 40 * 3) <= 3, "{off}");
    }

    #[test]
    fn broken_pictures_are_named() {
        let whole = jpeg(64, 48);
        let huge_png = {
            let mut png = Vec::new();
            image::RgbImage::new(4, 4).write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
            png[16..24].copy_from_slice(&[0x7F; 8]);
            png
        };
        let mut huge_jpeg = whole.to_vec();
        let size = huge_jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap() + 5;
        huge_jpeg[size..size + 4].copy_from_slice(&[0xFF; 4]);
        let cases: [(&str, &[u8], &str); 7] = [
            ("a.jpg", b"", "is empty"),
            ("a.jpg", b"GIF89a", "is not a JPEG"),
            ("a.jpg", &whole[..whole.len() - 2], "without its end"),
            ("a.jpg", &whole[..30], "is a JPEG"),
            ("a.jpg", &huge_jpeg, "pixels"),
            ("a.png", b"not a png", "a.png"),
            ("a.png", &huge_png, "a.png"),
        ];
        for (name, bytes, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(name), bytes).unwrap();
            let error = read(folder.path()).unwrap_err();
            assert!(error.contains(expected) && error.contains(name), "{error} lacks {expected}");
        }
        assert!(read(tempfile::tempdir().unwrap().path()).unwrap_err().contains("no pictures"));
        assert!(read(Path::new("no-such-folder")).unwrap_err().contains("no-such-folder"));
        for fps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Stills::open(Path::new("."), fps), Err(ImportError::Option { .. })));
        }
    }

    #[test]
    fn what_lies_behind_the_end_is_left_out() {
        let whole = jpeg(64, 48);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.jpg"), [&whole[..], &[0; 100]].concat()).unwrap();
        let mut stills = Stills::open(folder.path(), 1.0).unwrap();
        assert_eq!(stills.next().unwrap().unwrap().payload, Payload::Frame(whole));
        assert_eq!(stills.warnings().len(), 1);
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["b1", "a10", "a2", "a02", "a", "a2b", "10", "9", "é2", "a20000000000000000000000", "a3"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "a", "a02", "a2", "a2b", "a3", "a10", "a20000000000000000000000", "b1", "é2"]);
    }

    proptest! {
        #[test]
        fn natural_is_an_order(a in "[a0-3é]{0,6}", b in "[a0-3é]{0,6}", c in "[a0-3é]{0,6}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
            if natural(&a, &b).is_lt() && natural(&b, &c).is_lt() {
                prop_assert!(natural(&a, &c).is_lt(), "{} {} {}", a, b, c);
            }
        }
    }
}
