//! Video of any kind that ffmpeg reads, as pictures with their own presentation times.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

use super::encode::JpegEncoder;
use super::ffmpeg::{Announcement, Messages, Probe, Process, decode, not_a_video, probe};
use super::timeline::Timeline;
use super::{ImportError, MAX_PIXELS, Place, Reader, TimedItem};

/// Least time between two frames, so that each has a time of its own.
const LEAST_GAP: Duration = Duration::from_micros(1);
const HINT: &str = "is the video whole? if other programs play it, convert it (`ffmpeg -i IN -c:v libx264 OUT.mp4`)";

/// A reader of video files: decoded by a child `ffmpeg`, which autorotates and makes pixels square, encoded as JPEG of
/// quality 85, 4:2:2, without another conversion of colours. Sound and other streams are left out.
///
/// Time 0 is the start of the file as ffmpeg sees it: of whichever stream comes first. What cannot be decoded in the
/// middle is counted in the warnings; a video without a single frame is an error.
pub struct Video {
    path: PathBuf,
    probe: Probe,
    process: Process,
    encoder: JpegEncoder,
    planes: Vec<u8>,
    size: Option<(u32, u32)>,
    time_base: (i64, i64),
    times: Timeline,
    last: Option<Mono>,
    frames: u64,
    crowded: u64,
    timeless: u64,
    resized: u64,
    messages: Messages,
    ended: bool,
}

impl Video {
    /// Looks into `path` and starts to decode it.
    ///
    /// # Errors
    /// When it cannot be read or holds no video, or `ffmpeg` and `ffprobe` are not there.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let probe = probe(path)?;
        let encoder =
            JpegEncoder::new().map_err(|error| ImportError::bad(path, Place::Whole, error.to_string(), HINT))?;
        let usual = probe.rate.map_or(0.04, |rate| (1.0 / rate).clamp(0.001, 10.0));
        Ok(Self {
            path: path.into(),
            probe,
            process: decode(path)?,
            encoder,
            planes: Vec::new(),
            size: None,
            time_base: (1, 1),
            times: Timeline::new(Duration::from_secs(1), Duration::from_secs_f64(usual)),
            last: None,
            frames: 0,
            crowded: 0,
            timeless: 0,
            resized: 0,
            messages: Messages::default(),
            ended: false,
        })
    }

    /// Frames given so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    fn read(&mut self) -> Result<Option<TimedItem>, ImportError> {
        while let Ok(announced) = self.process.announced.recv() {
            match announced {
                Announcement::TimeBase(numerator, denominator) => self.time_base = (numerator, denominator),
                Announcement::Frame { pts, width, height } => {
                    return match self.read_planes(width, height)? {
                        Some((width, height)) => Ok(Some(self.frame(pts, width, height)?)),
                        None => self.finish(),
                    };
                }
            }
        }
        self.finish()
    }

    /// Reads a frame into `planes` and returns its size; none when the decoder ended instead. All frames have the size
    /// of the first: ffmpeg scales those of another size to it, behind the announcement.
    fn read_planes(&mut self, width: u32, height: u32) -> Result<Option<(usize, usize)>, ImportError> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 || pixels > MAX_PIXELS || width % 2 == 1 {
            return Err(self.bad(format!("a picture is {width}x{height} pixels large"), "up to 8K can be read"));
        }
        let first = *self.size.get_or_insert((width, height));
        self.resized += u64::from(first != (width, height));
        let (width, height) = (first.0 as usize, first.1 as usize);
        self.planes.resize(width * height * 2, 0);
        match self.process.stdout.read_exact(&mut self.planes) {
            Ok(()) => Ok(Some((width, height))),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(source) => Err(ImportError::io(&self.path, Place::Picture(self.frames + 1), source)),
        }
    }

    fn frame(&mut self, pts: Option<i64>, width: usize, height: usize) -> Result<TimedItem, ImportError> {
        let jpeg: Bytes =
            self.encoder.yuv422(&self.planes, width, height).map_err(|error| self.bad(error.to_string(), HINT))?;
        let mut at = match pts {
            Some(pts) => self.time_of(pts),
            None => {
                self.timeless += 1;
                if self.frames > 0 { self.times.advance_usual() } else { self.times.now() }
            }
        };
        if let Some(last) = self.last.filter(|last| at <= *last) {
            self.crowded += 1;
            at = last + LEAST_GAP;
        }
        self.last = Some(at);
        self.frames += 1;
        Ok(TimedItem { at, payload: Payload::Frame(jpeg) })
    }

    /// The time of a presentation time stamp. The first one counts from the start of the file, later ones from it.
    fn time_of(&mut self, pts: i64) -> Mono {
        let (numerator, denominator) = (i128::from(self.time_base.0), i128::from(self.time_base.1));
        let nanos = i128::from(pts) * numerator * 1_000_000_000 / denominator;
        let nanos = i64::try_from(nanos).unwrap_or(if pts < 0 { i64::MIN } else { i64::MAX });
        if self.frames == 0 {
            let minute = Duration::from_secs(60).as_nanos() as i64;
            self.times.start(nanos, Mono(u64::try_from(nanos).unwrap_or(0).min(minute as u64)));
        }
        self.times.advance(nanos)
    }

    /// The decoder has ended: was that all right?
    fn finish(&mut self) -> Result<Option<TimedItem>, ImportError> {
        let surplus = self.process.stdout.read(&mut [0; 1]).unwrap_or(0) > 0;
        if surplus && self.process.announced.is_empty() {
            let hint = "this version of ffmpeg is not understood; 4.4 to 7.1 are";
            return Err(self.bad("ffmpeg wrote a picture without its time", hint));
        }
        let finished = self.process.finish();
        let (status, messages) = finished.map_err(|source| ImportError::Program { program: "ffmpeg", source })?;
        self.messages = messages;
        if self.frames == 0 {
            return Err(not_a_video(&self.path, &self.messages));
        }
        if !status.success() && self.messages.errors == 0 {
            self.messages = Messages { errors: 1, last: format!("ffmpeg ended with {status}") };
        }
        Ok(None)
    }

    fn bad(&self, what: impl Into<String>, hint: &str) -> ImportError {
        ImportError::bad(&self.path, Place::Picture(self.frames + 1), what, hint)
    }
}

impl Iterator for Video {
    type Item = Result<TimedItem, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.read().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

impl Reader for Video {
    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.times.warnings("frames");
        let counts = [
            (self.crowded, "frames came at or before the time of the one ahead and were moved behind it"),
            (self.timeless, "frames had no time and got the usual interval"),
            (self.resized, "frames were of another size than the first and were scaled to it"),
        ];
        warnings.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        if self.messages.errors > 0 {
            warnings.push(format!("ffmpeg reported {} errors, the last: {}", self.messages.errors, self.messages.last));
        }
        warnings
    }

    fn expected_items(&self) -> Option<u64> {
        self.probe.frames
    }

    fn expected_length(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.probe.seconds?).ok()
    }
}
