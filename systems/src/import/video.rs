//! Video of any kind that ffmpeg reads, as pictures with their own presentation times.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

use super::ffmpeg::{Announcement, Chroma, Messages, Probe, Process, decode, not_a_video, probe};
use super::timeline::Timeline;
use super::{ImportError, MAX_PIXELS, Place, Reader, TimedItem};
use crate::camera::jpeg::JpegEncoder;

/// Least time between two frames, so that each has a time of its own.
const LEAST_GAP: Duration = Duration::from_micros(1);
const HINT: &str = "is the video whole? if other programs play it, convert it (`ffmpeg -i IN -c:v libx264 OUT.mp4`)";

/// A reader of video files: decoded by a child `ffmpeg`, which autorotates and makes pixels square, encoded as JPEG of
/// quality 85, without another conversion of colours: 4:2:0 where the video is, else 4:2:2. Sound and other streams are left
/// out.
///
/// Time 0 is the start of the file as ffmpeg sees it: of whichever stream comes first, but at most a minute before the
/// first frame. What cannot be decoded in the
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
            process: decode(path, probe.colours)?,
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
        self.planes.resize(self.probe.chroma().bytes(width * height), 0);
        match self.process.stdout.read_exact(&mut self.planes) {
            Ok(()) => Ok(Some((width, height))),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(source) => Err(ImportError::io(&self.path, Place::Picture(self.frames + 1), source)),
        }
    }

    fn frame(&mut self, pts: Option<i64>, width: usize, height: usize) -> Result<TimedItem, ImportError> {
        let jpeg: Bytes = match self.probe.chroma() {
            Chroma::HalfSize => self.encoder.yuv420(&self.planes, width, height),
            Chroma::HalfWidth => self.encoder.yuv422(&self.planes, width, height),
        }
        .map_err(|error| self.bad(error.to_string(), HINT))?;
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
        if surplus {
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

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use turbojpeg::PixelFormat;

    use super::*;

    /// Runs ffmpeg in a new folder, in which it makes `name`; none, with the reason printed, when it is not there.
    fn make(name: &str, arguments: &[&str]) -> Option<(tempfile::TempDir, PathBuf)> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error"]).args(arguments).arg(format!("./{name}")).current_dir(folder.path());
        match command.stderr(Stdio::inherit()).status() {
            Ok(status) => assert!(status.success()),
            Err(error) => {
                println!("skipped: no ffmpeg: {error}");
                return None;
            }
        }
        let path = folder.path().join(name);
        Some((folder, path))
    }

    fn test_picture(size: &str, rate: u32, seconds: f64) -> String {
        format!("testsrc=s={size}:r={rate}:d={seconds}")
    }

    fn read(path: &Path) -> Result<(Vec<TimedItem>, Vec<String>), String> {
        let mut video = Video::open(path).map_err(|error| error.to_string())?;
        let items = video.by_ref().collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        Ok((items, video.warnings()))
    }

    fn subsamp(item: &TimedItem) -> turbojpeg::Subsamp {
        let Payload::Frame(jpeg) = &item.payload else { panic!() };
        turbojpeg::read_header(jpeg).unwrap().subsamp
    }

    fn rgb(item: &TimedItem) -> turbojpeg::Image<Vec<u8>> {
        let Payload::Frame(jpeg) = &item.payload else { panic!() };
        turbojpeg::decompress(jpeg, PixelFormat::RGB).unwrap()
    }

    #[test]
    fn every_frame_comes_with_its_time_and_its_colours() {
        let source = test_picture("320x240", 25, 2.0);
        let Some((folder, path)) =
            make("clip.mkv", &["-f", "lavfi", "-i", &source, "-c:v", "ffv1", "-pix_fmt", "yuv444p"])
        else {
            return;
        };
        let video = Video::open(&path).unwrap();
        assert_eq!((video.expected_items(), video.expected_length()), (Some(50), Some(Duration::from_secs(2))));
        let (items, warnings) = read(&path).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let times: Vec<u64> = items.iter().map(|item| item.at.0 / 1_000_000).collect();
        assert_eq!(times, (0..50).map(|n| n * 40).collect::<Vec<_>>());

        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-i", "clip.mkv", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
        let source = command.current_dir(folder.path()).output().unwrap().stdout;
        for n in [0, 49] {
            assert_eq!(subsamp(&items[n]), turbojpeg::Subsamp::Sub2x1);
            let picture = rgb(&items[n]);
            assert_eq!((picture.width, picture.height), (320, 240));
            let truth = &source[n * 320 * 240 * 3..][..320 * 240 * 3];
            let off: u64 = picture.pixels.iter().zip(truth).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            let mean = off as f64 / truth.len() as f64;
            assert!(mean < 4.0, "frame {n}: {mean}");
        }
    }

    #[test]
    fn colours_of_every_matrix_and_range_come_out_as_they_are() {
        for (pixels, matrix, range) in [
            ("yuv420p", "bt709", "tv"),
            ("yuv420p", "bt709", "pc"),
            ("yuv422p", "smpte170m", "tv"),
            ("yuvj420p", "bt470bg", "pc"),
            ("yuv420p10le", "bt709", "tv"),
        ] {
            let filter = format!("scale=out_color_matrix={matrix}:out_range={range},format={pixels}");
            let source = ["-f", "lavfi", "-i", "smptehdbars=s=320x240:d=0.1"];
            let tags = ["-vf", &filter, "-colorspace", matrix, "-color_range", range, "-c:v", "ffv1"];
            let Some((folder, path)) = make("clip.mkv", &[source.as_slice(), &tags].concat()) else { return };
            let is_quick = probe(&path).unwrap().colours.is_some();
            assert_eq!(is_quick, pixels != "yuv420p10le", "{pixels} {matrix} {range}");
            let item = &read(&path).unwrap().0[0];
            let is_half = subsamp(item) == turbojpeg::Subsamp::Sub2x2;
            assert_eq!(is_half, matches!(pixels, "yuv420p" | "yuvj420p"), "{pixels}");
            let picture = rgb(item);
            let mut command = Command::new("ffmpeg");
            command.args(["-nostdin", "-v", "error", "-i", "clip.mkv", "-sws_flags", "accurate_rnd+full_chroma_int"]);
            command.args(["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]).current_dir(folder.path());
            let truth = command.output().unwrap().stdout;
            let off: u64 = picture.pixels.iter().zip(&truth).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            let mean = off as f64 / truth.len() as f64;
            assert!(truth.len() == picture.pixels.len() && mean < 2.0, "{pixels} {matrix} {range}: {mean}");
        }
    }

    #[test]
    fn varying_times_are_kept() {
        let source = test_picture("64x48", 10, 2.0) + ",select='not(mod(n,3))',setpts=PTS+0.35/TB";
        let Some((_folder, path)) =
            make("clip.mkv", &["-f", "lavfi", "-i", &source, "-c:v", "ffv1", "-fps_mode", "vfr", "-copyts"])
        else {
            return;
        };
        let (items, _) = read(&path).unwrap();
        let steps: Vec<u64> = items.windows(2).map(|two| (two[1].at.0 - two[0].at.0) / 1_000_000).collect();
        assert_eq!(steps, [300; 6]);
    }

    #[test]
    fn turned_stretched_odd_and_changing_pictures_are_made_upright_square_and_even() {
        let source = test_picture("64x48", 10, 0.3);
        let Some((folder, _)) = make("flat.mp4", &["-f", "lavfi", "-i", &source]) else { return };
        let run = |arguments: &[&str], name: &str| {
            let mut command = Command::new("ffmpeg");
            command.args(["-nostdin", "-v", "error"]).args(arguments).arg(name).current_dir(folder.path());
            assert!(command.status().unwrap().success());
            let (items, warnings) = read(&folder.path().join(name)).unwrap();
            let sizes: Vec<(usize, usize)> =
                items.iter().map(rgb).map(|picture| (picture.width, picture.height)).collect();
            (sizes, warnings)
        };
        let turned = run(&["-i", "flat.mp4", "-c", "copy", "-metadata:s:v", "rotate=90"], "turned.mp4");
        assert_eq!(turned.0, [(48, 64); 3]);
        let stretched = run(&["-i", "flat.mp4", "-vf", "setsar=3/2"], "stretched.mp4");
        assert_eq!(stretched.0, [(96, 48); 3]);
        let odd = run(&["-f", "lavfi", "-i", &test_picture("63x47", 10, 0.3), "-c:v", "ffv1"], "odd.mkv");
        assert_eq!(odd.0, [(64, 47); 3]);

        let part = |size: &str, name: &str| {
            run(&["-f", "lavfi", "-i", &test_picture(size, 10, 1.0), "-c:v", "mpeg2video"], name);
            std::fs::read(folder.path().join(name)).unwrap()
        };
        let joined = [part("64x48", "a.ts"), part("128x96", "b.ts")].concat();
        std::fs::write(folder.path().join("joined.ts"), joined).unwrap();
        let (items, warnings) = read(&folder.path().join("joined.ts")).unwrap();
        assert!(items.iter().map(rgb).all(|picture| (picture.width, picture.height) == (64, 48)));
        assert!(items.len() >= 18 && items.is_sorted_by(|a, b| a.at < b.at), "{}", items.len());
        assert!(warnings.iter().any(|warning| warning.contains("another size")), "{warnings:?}");
    }

    #[test]
    fn a_name_is_never_an_option_or_an_address() {
        let source = test_picture("64x48", 10, 0.2);
        let Some((folder, path)) = make("clip.mp4", &["-f", "lavfi", "-i", &source]) else { return };
        for name in ["-y", "http:x.mp4", "concat:a", "a%03d.mp4", "ä b'\".mp4"] {
            let odd = folder.path().join(name);
            std::fs::copy(&path, &odd).unwrap();
            assert_eq!(read(&odd).unwrap().0.len(), 2, "{name}");
        }
        let list = folder.path().join("list.ffconcat");
        std::fs::write(&list, format!("ffconcat version 1.0\nfile '{}'\n", path.display())).unwrap();
        assert!(read(&list).unwrap_err().contains("list.ffconcat"));
    }

    #[test]
    fn broken_videos_are_one_clear_error_and_half_ones_give_what_they_have() {
        let source = test_picture("160x120", 25, 4.0);
        let Some((folder, path)) = make("clip.mp4", &["-f", "lavfi", "-i", &source, "-g", "10"]) else { return };
        let whole = std::fs::read(&path).unwrap();
        let odd = folder.path().join("odd.mp4");
        let of = |bytes: &[u8]| {
            std::fs::write(&odd, bytes).unwrap();
            read(&odd)
        };
        for (bytes, expected) in [
            (b"".as_slice(), "is empty"),
            (b"# just text, no video at all", "cannot be decoded"),
            (&whole[..whole.len() / 2], "moov atom not found"),
        ] {
            let error = of(bytes).unwrap_err();
            assert!(error.contains(expected) && error.contains("odd.mp4"), "{error} lacks {expected}");
        }
        assert!(read(Path::new("no-such.mp4")).unwrap_err().contains("no-such.mp4"));
        assert!(read(folder.path()).unwrap_err().contains("is not a file"));

        let mut flipped = whole.clone();
        flipped[whole.len() / 3..][..600].iter_mut().for_each(|byte| *byte ^= 0x5A);
        let (items, warnings) = of(&flipped).unwrap();
        assert!((50..=100).contains(&items.len()), "{}", items.len());
        assert!(warnings.iter().any(|warning| warning.contains("ffmpeg reported")), "{warnings:?}");

        let header = whole.windows(4).position(|four| four == b"moov").unwrap();
        for step in 0..24 {
            let mut flipped = whole.clone();
            let at = header + (whole.len() - header) * step / 24;
            flipped[at..][..4.min(whole.len() - at)].fill(0xFF);
            if let Ok((items, _)) = of(&flipped) {
                assert!(!items.is_empty() && items.is_sorted_by(|a, b| a.at < b.at));
            }
        }
    }

    #[test]
    fn an_abandoned_reader_ends_its_ffmpeg() {
        let source = test_picture("640x480", 25, 40.0);
        let Some((_folder, path)) = make("clip.mp4", &["-f", "lavfi", "-i", &source, "-preset", "ultrafast"]) else {
            return;
        };
        let mut video = Video::open(&path).unwrap();
        assert!(video.next().unwrap().is_ok());
        drop(video); // would wait forever for a decoder that nobody reads
    }

    #[test]
    fn a_real_clip_comes_whole() {
        let Some(path) = crate::import::test_data("data/video/highway-540p-9s.mp4") else { return };
        let (items, warnings) = match read(&path) {
            Err(error) if error.contains("cannot be started") => return println!("skipped: {error}"),
            read => read.unwrap(),
        };
        assert_eq!(items.len(), 221);
        assert!(warnings.is_empty(), "{warnings:?}");
        let picture = rgb(&items[100]);
        assert_eq!((picture.width, picture.height), (960, 540));
    }
}
