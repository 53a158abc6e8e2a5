//! Cameras of this computer, by V4L2.
//!
//! nokhwa sets and describes a camera, within its own limits (see `open`). Pictures are then taken from the stream on
//! which nokhwa itself stands, of the crate `v4l`, because nokhwa's own keeps back what is needed of each: how many bytes
//! of the buffer are the picture's (it hands out all, or copies all), when the picture was taken (it has a date, which
//! jumps when the clock is set), and whether the driver calls it damaged.
//!
//! A JPEG is passed on as it is, copied once at its own length. A raw picture becomes a JPEG here, in the camera's own
//! thread.

mod address;
mod error;
mod open;
mod stream;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use waywarden_components::prelude::*;

use self::open::Opened;
use self::stream::{BUFFERS, Picture};
use super::jpeg::{JpegEncoder, JpegError};
use super::mjpeg;
use super::raw::{Range, RawFormat, RawPicture};
use crate::buffers::Buffers;
use crate::supervisor::{Driver, DriverError, Lease, Over, Pace};

pub(super) use self::address::{names, number};
pub(super) use self::error::explain;
pub(super) use self::open::{Offer, Rates, Sizes, offers, rates};

/// A camera may be silent for so many pictures.
const SILENT_PICTURES: f64 = 10.0;

/// A camera may be silent for so long, however fast it is: cheap ones pause when the light changes.
const LEAST_SILENCE: Duration = Duration::from_secs(1);

/// How pictures come from a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// JPEGs.
    Mjpeg,
    /// Raw pictures.
    Raw(RawFormat),
}

impl PictureFormat {
    /// All, the one that costs least first.
    pub const ALL: [Self; 5] = [
        Self::Mjpeg,
        Self::Raw(RawFormat::Yuyv),
        Self::Raw(RawFormat::Nv12),
        Self::Raw(RawFormat::Rgb),
        Self::Raw(RawFormat::Bgr),
    ];

    /// The name in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mjpeg => "mjpeg",
            Self::Raw(RawFormat::Yuyv) => "yuyv",
            Self::Raw(RawFormat::Nv12) => "nv12",
            Self::Raw(RawFormat::Rgb) => "rgb",
            Self::Raw(RawFormat::Bgr) => "bgr",
        }
    }

    /// V4L2's code.
    pub fn fourcc(self) -> [u8; 4] {
        *match self {
            Self::Mjpeg => b"MJPG",
            Self::Raw(RawFormat::Yuyv) => b"YUYV",
            Self::Raw(RawFormat::Nv12) => b"NV12",
            Self::Raw(RawFormat::Rgb) => b"RGB3",
            Self::Raw(RawFormat::Bgr) => b"BGR3",
        }
    }

    /// What V4L2's code stands for, if it is known here.
    pub fn from_fourcc(code: [u8; 4]) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.fourcc() == code)
    }
}

/// What a camera is asked for. It gives what it has that is nearest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// How pictures come; None takes JPEGs where the camera has them, else the first of the others that it has.
    pub format: Option<PictureFormat>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: f64,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = self.format.map_or("auto", PictureFormat::name);
        write!(f, "{format} {}x{} at {} frames/s", self.width, self.height, self.fps)
    }
}

/// A camera of this computer, as a driver for the supervisor.
#[derive(Clone, Debug, PartialEq)]
pub struct V4l2Camera {
    /// Its number ("0"), its path ("/dev/video0"), or its name under /dev/v4l/by-id or /dev/v4l/by-path.
    pub address: String,
    /// What it is asked for.
    pub wanted: Wanted,
}

impl Driver for V4l2Camera {
    fn run(&self, lease: &Lease) -> Result<(), DriverError> {
        let Opened { path, what, format, fps, mut stream } = open::open(&self.address, &self.wanted)?;
        let mut maker = Maker::new(format).map_err(|error| DriverError::Failed(error.to_string()))?;
        // Pictures that were taken while nobody wanted any.
        let (mut open, mut old) = (false, 0);
        loop {
            if lease.is_over() {
                return Err(Over.into());
            }
            let picture = match stream.next() {
                Ok(picture) => picture,
                // The supervisor has fetched this thread out of its waiting.
                Err(_) if lease.is_over() => return Err(Over.into()),
                Err(error) => return Err(explain(&path, "to give pictures", &error)),
            };
            if picture.left_over {
                continue;
            }
            // It is open when it delivers: starting a camera is the part that fails.
            if !std::mem::replace(&mut open, true) {
                lease.opened(&what, pace(fps))?;
            }
            if old > 0 {
                old -= 1;
            } else if lease.wants(picture.captured) {
                let jpeg = maker.jpeg(&picture);
                lease.send(picture.captured, Payload::Frame(jpeg))?;
            } else if lease.rest()? {
                // All buffers but that of this picture have been filled meanwhile.
                old = BUFFERS - 1;
            }
        }
    }
}

fn pace(fps: f64) -> Pace {
    let pictures = Duration::try_from_secs_f64(SILENT_PICTURES / fps).unwrap_or(LEAST_SILENCE);
    Pace { silence: pictures.max(LEAST_SILENCE) }
}

/// What pictures of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    format: PictureFormat,
    width: usize,
    height: usize,
    stride: usize,
    range: Range,
}

/// Makes what is passed on of what comes.
struct Maker {
    layout: Layout,
    encoder: JpegEncoder,
    buffers: Buffers,
}

impl Maker {
    fn new(layout: Layout) -> Result<Self, JpegError> {
        Ok(Self { layout, encoder: JpegEncoder::new()?, buffers: Buffers::default() })
    }

    /// The JPEG of a picture.
    ///
    /// What is broken is passed on too, so that it is counted and recorded, and so that nobody can take it for a
    /// picture: of a JPEG that breaks off all that is there; of one that the driver calls damaged all but its end; of a
    /// raw picture that is damaged or lacks rows nothing but an empty one.
    fn jpeg(&mut self, picture: &Picture<'_>) -> Bytes {
        let &Layout { format, width, height, stride, range } = &self.layout;
        match format {
            PictureFormat::Mjpeg => {
                let all = picture.bytes;
                let length = match mjpeg::length(all) {
                    Ok(length) if picture.damaged => length - 2,
                    Ok(length) => length,
                    Err(_) => all.len(),
                };
                self.buffers.copy(&all[..length])
            }
            PictureFormat::Raw(_) if picture.damaged => Bytes::new(),
            PictureFormat::Raw(format) => {
                let raw = RawPicture { bytes: picture.bytes, format, width, height, stride, range };
                self.encoder.raw(&raw).unwrap_or_else(|error| {
                    tracing::debug!("a picture that cannot be used: {error}");
                    Bytes::new()
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
