//! Opening a camera: what it has is looked at, the nearest to what is wanted is chosen, and nokhwa sets it.
//!
//! nokhwa 0.10 sets exactly what it is told, in whole pictures a second, and refuses a camera that stands at something it
//! does not know (H.264, 7.5 frames/s): such a camera is set beforehand. Its own choice of the nearest is not used: it
//! fails where the size is not there, and knows neither ranges of sizes nor of rates.

use std::path::{Path, PathBuf};

use nokhwa::Camera;
use nokhwa::utils::{CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType};
use v4l::capability::Flags as Can;
use v4l::format::{Colorspace, Quantization};
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, Format, FourCC, Fraction};

use super::error::{explain, explain_nokhwa};
use super::stream::Stream;
use super::{Layout, PictureFormat, Wanted, address};
use crate::camera::raw::{Range, RawFormat};
use crate::supervisor::DriverError;

/// Sizes of one format, and rates of one size, that are looked at: drivers have a few dozen.
const MOST: usize = 256;

/// A camera that is set, and begins with its first picture.
pub struct Opened {
    /// Its device node.
    pub path: PathBuf,
    /// What it is, was asked for and granted.
    pub what: String,
    /// What its pictures are.
    pub format: Layout,
    /// Pictures a second.
    pub fps: f64,
    /// Where they come from.
    pub stream: Stream,
}

/// Sizes in which pictures of a format come, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Just this.
    One([u32; 2]),
    /// All from `least` to `most` in steps.
    Range {
        /// The smallest.
        least: [u32; 2],
        /// The largest.
        most: [u32; 2],
        /// From one to the next, at least 1.
        step: [u32; 2],
    },
}

/// Rates at which pictures of a size come, in pictures a second.
#[derive(Clone, Debug, PartialEq)]
pub enum Rates {
    /// Just these. None at all: the driver does not say.
    These(Vec<f64>),
    /// All from the first to the second.
    Between(f64, f64),
}

/// A format that a camera has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// V4L2's code.
    pub fourcc: [u8; 4],
    /// Sizes. None at all: the driver does not say.
    pub sizes: Vec<Sizes>,
}

/// What is asked of nokhwa.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Choice {
    format: PictureFormat,
    size: [u32; 2],
    fps: u32,
}

/// Opens and sets a camera.
///
/// # Errors
/// That it is not there, or why it refuses.
pub fn open(address: &str, wanted: &Wanted) -> Result<Opened, DriverError> {
    let (path, number) = address::find(Path::new("/dev"), address)?;
    let refuse = |what: &'static str| {
        let path = path.clone();
        move |error: std::io::Error| explain(&path, what, &error)
    };
    let device = Device::with_path(&path).map_err(refuse("to be opened"))?;
    let can = device.query_caps().map_err(refuse("to say what it is"))?.capabilities;
    let offers = offers(&device);
    must_deliver(&path, can, &offers)?;
    let (format, size) = nearest(&path, &offers, wanted)?;
    let fps = nearest_rate(&rates(&device, format.fourcc(), size), wanted.fps);
    let choice = Choice { format, size, fps };
    make_legible(&device, choice).map_err(refuse("to be set"))?;
    // USB cameras let themselves be set by one owner at a time, and that one has the stream.
    drop(device);

    let format = CameraFormat::new_from(size[0], size[1], nokhwa_format(format), fps);
    let exactly = RequestedFormatType::Exact(format);
    let camera = Camera::new(CameraIndex::Index(number), RequestedFormat::with_formats(exactly, &[format.format()]))
        .map_err(|error| explain_nokhwa(&path, &format!("to be set to {format}"), &error))?;
    let (name, bus) = (camera.info().human_name(), camera.info().misc());
    drop(camera);

    let device = Device::with_path(&path).map_err(refuse("to be opened"))?;
    let format = layout(&device, choice).map_err(refuse("to say what it was set to"))?;
    // What else tells of a rate: the driver, which need not say.
    let fps = device.params().ok().and_then(|parameters| hertz(parameters.interval)).unwrap_or(fps.into());
    let stream = Stream::new(&device).map_err(refuse("to deliver"))?;
    let granted = Wanted {
        format: Some(format.format),
        width: format.width as u32,
        height: format.height as u32,
        fps: (fps * 100.0).round() / 100.0,
    };
    // nokhwa adds the version of the kernel.
    let bus = bus.split_whitespace().next().unwrap_or_default();
    let what = format!("{name} at {} ({bus}): asked for {wanted}, granted {granted}", path.display());
    Ok(Opened { path, what, format, fps, stream })
}

/// Whether there are pictures to be had.
fn must_deliver(path: &Path, can: Can, offers: &[Offer]) -> Result<(), DriverError> {
    let path = path.display();
    if can.contains(Can::VIDEO_CAPTURE) && !offers.is_empty() {
        return Ok(());
    }
    if can.contains(Can::META_CAPTURE) {
        let words = "has what a camera says about its pictures, not the pictures: take its neighbour";
        return Err(DriverError::Failed(format!("{path} {words}, see `waywarden devices`")));
    }
    if can.contains(Can::VIDEO_CAPTURE_MPLANE) {
        let words = "gives pictures in several planes, which is not supported";
        return Err(DriverError::Failed(format!("{path} {words}; is there another node of this camera?")));
    }
    // A loopback that nobody feeds is a camera that is not there yet.
    Err(DriverError::Absent(format!("{path} has no pictures to give: if it is a loopback, is it fed?")))
}

/// Formats that a camera has, in its own order, without doubles.
pub fn offers(device: &Device) -> Vec<Offer> {
    let mut offers: Vec<Offer> = Vec::new();
    for description in device.enum_formats().unwrap_or_default() {
        let fourcc = description.fourcc;
        if !offers.iter().any(|offer| offer.fourcc == fourcc.repr) {
            let sizes = device.enum_framesizes(fourcc).unwrap_or_default();
            let sizes = sizes.into_iter().take(MOST).map(|size| match size.size {
                FrameSizeEnum::Discrete(size) => Sizes::One([size.width, size.height]),
                FrameSizeEnum::Stepwise(range) => Sizes::Range {
                    least: [range.min_width, range.min_height],
                    most: [range.max_width, range.max_height],
                    step: [range.step_width.max(1), range.step_height.max(1)],
                },
            });
            offers.push(Offer { fourcc: fourcc.repr, sizes: sizes.collect() });
        }
    }
    offers
}

/// Rates at which a camera gives pictures of this format and size, the highest first.
pub fn rates(device: &Device, fourcc: [u8; 4], [width, height]: [u32; 2]) -> Rates {
    let intervals = device.enum_frameintervals(FourCC::new(&fourcc), width, height).unwrap_or_default();
    let mut these = Vec::new();
    for interval in intervals.into_iter().take(MOST) {
        match interval.interval {
            FrameIntervalEnum::Discrete(interval) => these.extend(hertz(interval)),
            FrameIntervalEnum::Stepwise(range) => {
                if let (Some(most), Some(least)) = (hertz(range.min), hertz(range.max)) {
                    return Rates::Between(least, most);
                }
            }
        }
    }
    these.sort_by(|a, b| b.total_cmp(a));
    these.dedup();
    Rates::These(these)
}

/// Pictures a second, given the time between two in seconds.
fn hertz(interval: Fraction) -> Option<f64> {
    let hertz = f64::from(interval.denominator) / f64::from(interval.numerator);
    (hertz.is_finite() && hertz > 0.0).then_some(hertz)
}

/// The format, and of its sizes the one that is nearest.
fn nearest(path: &Path, offers: &[Offer], wanted: &Wanted) -> Result<(PictureFormat, [u32; 2]), DriverError> {
    let has = |format: PictureFormat| offers.iter().find(|offer| offer.fourcc == format.fourcc());
    let chosen = match wanted.format {
        Some(format) => has(format).map(|offer| (format, offer)),
        None => PictureFormat::ALL.into_iter().find_map(|format| Some((format, has(format)?))),
    };
    let Some((format, offer)) = chosen else {
        let name = |offer: &Offer| match PictureFormat::from_fourcc(offer.fourcc) {
            Some(format) => format.name().to_owned(),
            None => String::from_utf8_lossy(&offer.fourcc).trim().to_owned(),
        };
        let (path, names) = (path.display(), offers.iter().map(name).collect::<Vec<_>>().join(", "));
        let wanted = wanted.format.map_or("any format that is known here", PictureFormat::name);
        return Err(DriverError::Failed(format!("{path} has not {wanted}, but {names}: set its `format`")));
    };
    let asked = [wanted.width, wanted.height];
    let far = |size: &[u32; 2]| u64::from(size[0].abs_diff(asked[0])) + u64::from(size[1].abs_diff(asked[1]));
    let size = offer.sizes.iter().map(|sizes| nearest_size(*sizes, asked)).min_by_key(far).unwrap_or(asked);
    Ok((format, size))
}

fn nearest_size(sizes: Sizes, asked: [u32; 2]) -> [u32; 2] {
    match sizes {
        Sizes::One(size) => size,
        Sizes::Range { least, most, step } => [0, 1].map(|side| {
            let inside = asked[side].clamp(least[side], most[side].max(least[side]));
            inside - (inside - least[side]) % step[side].max(1)
        }),
    }
}

/// The whole rate that is nearest, of two equally near ones the higher; at least 1.
fn nearest_rate(rates: &Rates, asked: f64) -> u32 {
    let rate = match rates {
        Rates::Between(least, most) => asked.min(most.floor()).max(least.ceil()),
        Rates::These(these) => {
            let whole = |rate: &&f64| rate.fract() == 0.0;
            let near = |a: &&f64, b: &&f64| (*a - asked).abs().total_cmp(&(*b - asked).abs());
            // Where there is no whole one, the driver finds the nearest; nokhwa may then refuse it, and says so.
            these.iter().filter(whole).min_by(near).or_else(|| these.iter().min_by(near)).copied().unwrap_or(asked)
        }
    };
    (rate.round() as u32).clamp(1, 1000)
}

/// Sets a camera that stands at something that nokhwa cannot read.
fn make_legible(device: &Device, choice: Choice) -> std::io::Result<()> {
    let known = [*b"MJPG", *b"YUYV", *b"NV12", *b"RGB3", *b"BGR3", *b"GRAY"];
    if !known.contains(&device.format()?.fourcc.repr) {
        let [width, height] = choice.size;
        device.set_format(&Format::new(width, height, FourCC::new(&choice.format.fourcc())))?;
    }
    // A driver that has no rates says so when it is asked to.
    if device.params().is_ok_and(|parameters| parameters.interval.numerator != 1) {
        device.set_params(&Parameters::with_fps(choice.fps))?;
    }
    Ok(())
}

fn nokhwa_format(format: PictureFormat) -> FrameFormat {
    match format {
        PictureFormat::Mjpeg => FrameFormat::MJPEG,
        PictureFormat::Raw(RawFormat::Yuyv) => FrameFormat::YUYV,
        PictureFormat::Raw(RawFormat::Nv12) => FrameFormat::NV12,
        PictureFormat::Raw(RawFormat::Rgb) => FrameFormat::RAWRGB,
        PictureFormat::Raw(RawFormat::Bgr) => FrameFormat::RAWBGR,
    }
}

/// What the camera was set to.
fn layout(device: &Device, choice: Choice) -> std::io::Result<Layout> {
    let set = device.format()?;
    let Some(format) = PictureFormat::from_fourcc(set.fourcc.repr) else {
        return Err(std::io::Error::other(format!(
            "it was set to {}, and stands at {}",
            choice.format.name(),
            set.fourcc
        )));
    };
    let row = match format {
        PictureFormat::Mjpeg | PictureFormat::Raw(RawFormat::Nv12) => set.width,
        PictureFormat::Raw(RawFormat::Yuyv) => set.width.saturating_mul(2),
        PictureFormat::Raw(RawFormat::Rgb | RawFormat::Bgr) => set.width.saturating_mul(3),
    };
    let stride = if set.stride == 0 { row } else { set.stride };
    let range = match (set.quantization, set.colorspace) {
        (Quantization::FullRange, _) | (Quantization::Default, Colorspace::JPEG) => Range::Full,
        // V4L2's rule for YUV of any other colour space.
        (Quantization::LimitedRange | Quantization::Default, _) => Range::Limited,
    };
    let (width, height, stride) = (set.width as usize, set.height as usize, stride as usize);
    Ok(Layout { format, width, height, stride, range })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HD: [u32; 2] = [1280, 720];

    fn offer(fourcc: &[u8; 4], sizes: &[[u32; 2]]) -> Offer {
        Offer { fourcc: *fourcc, sizes: sizes.iter().copied().map(Sizes::One).collect() }
    }

    fn choose(offers: &[Offer], format: Option<PictureFormat>, [width, height]: [u32; 2]) -> Result<String, String> {
        nearest(Path::new("/dev/video0"), offers, &Wanted { format, width, height, fps: 30.0 })
            .map(|(format, [width, height])| format!("{} {width}x{height}", format.name()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_nearest_of_what_there_is_is_chosen() {
        let webcam = [
            offer(b"YUYV", &[[640, 480], [1280, 720]]),
            offer(b"H264", &[[1920, 1080]]),
            offer(b"MJPG", &[[640, 480], [1920, 1080], [1024, 768]]),
        ];
        let yuyv = Some(PictureFormat::Raw(RawFormat::Yuyv));
        assert_eq!(choose(&webcam, None, [1920, 1080]).unwrap(), "mjpeg 1920x1080");
        assert_eq!(choose(&webcam, None, [1000, 700]).unwrap(), "mjpeg 1024x768");
        assert_eq!(choose(&webcam, yuyv, HD).unwrap(), "yuyv 1280x720");
        assert_eq!(choose(&webcam[..2], None, [9999, 1]).unwrap(), "yuyv 1280x720");
        let error = choose(&webcam, Some(PictureFormat::Raw(RawFormat::Bgr)), HD).unwrap_err();
        assert!(error.contains("has not bgr, but yuyv, H264, mjpeg"), "{error}");
        assert!(choose(&webcam[1..2], None, HD).unwrap_err().contains("H264"));
        // A driver that does not say is taken at the wish.
        assert_eq!(choose(&[offer(b"NV12", &[])], None, HD).unwrap(), "nv12 1280x720");
        let sensor = Sizes::Range { least: [32, 32], most: [2592, 1944], step: [16, 2] };
        assert_eq!(nearest_size(sensor, [1279, 721]), [1264, 720]);
        assert_eq!(nearest_size(sensor, [1, 9999]), [32, 1944]);
        assert_eq!(nearest_size(Sizes::Range { least: [9, 9], most: [5, 5], step: [0, 0] }, HD), [9, 9]);
    }

    #[test]
    fn rates_are_whole_and_near() {
        let these = |rates: &[f64]| Rates::These(rates.to_vec());
        assert_eq!(nearest_rate(&these(&[60.0, 30.0, 15.0, 7.5]), 29.0), 30);
        assert_eq!(nearest_rate(&these(&[60.0, 30.0, 15.0, 7.5]), 8.0), 15);
        assert_eq!(nearest_rate(&these(&[40.0, 20.0]), 30.0), 40);
        assert_eq!(nearest_rate(&these(&[29.97, 7.5]), 30.0), 30);
        assert_eq!(nearest_rate(&these(&[]), 25.4), 25);
        assert_eq!(nearest_rate(&Rates::Between(0.5, 47.5), 60.0), 47);
        assert_eq!(nearest_rate(&Rates::Between(2.5, 47.5), 1.0), 3);
        assert_eq!([f64::NAN, 0.1, -3.0, f64::INFINITY].map(|asked| nearest_rate(&these(&[]), asked)), [1, 1, 1, 1000]);
        assert_eq!(hertz(Fraction::new(2, 15)), Some(7.5));
        assert_eq!([hertz(Fraction::new(0, 15)), hertz(Fraction::new(0, 0)), hertz(Fraction::new(1, 0))], [None; 3]);
    }

    #[test]
    fn what_gives_no_pictures_is_absent_or_not_a_camera() {
        let path = Path::new("/dev/video20");
        let mjpeg = [offer(b"MJPG", &[HD])];
        assert_eq!(must_deliver(path, Can::VIDEO_CAPTURE | Can::STREAMING, &mjpeg), Ok(()));
        for unfed in [Can::VIDEO_CAPTURE, Can::VIDEO_OUTPUT] {
            assert!(matches!(must_deliver(path, unfed, &[]), Err(DriverError::Absent(_))));
        }
        for other in [Can::META_CAPTURE, Can::VIDEO_CAPTURE_MPLANE] {
            assert!(matches!(must_deliver(path, other, &mjpeg), Err(DriverError::Failed(_))));
        }
    }
}
