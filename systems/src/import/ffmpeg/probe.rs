//! What is asked of a file before it is decoded: `ffprobe`.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::error::ordinary_file;
use super::super::{ImportError, MAX_PIXELS, Place};
use super::{Process, file_address, guards, not_a_video};

/// Most of a probe's answer that is read, in bytes.
const MAX_ANSWER: u64 = 1 << 20;
/// Most of a list of packets that is read, in bytes: those of two days.
const MAX_PACKETS: u64 = 32 << 20;

/// What is known of a video before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Probe {
    /// About how many frames it has.
    pub frames: Option<u64>,
    /// About how long it is, in seconds.
    pub seconds: Option<f64>,
    /// Mean frames a second, if it says so.
    pub rate: Option<f64>,
    /// What its numbers mean, if the filter `colorspace` can read them.
    pub colours: Option<Colours>,
}

impl Probe {
    /// How densely [`decode`](super::decode) gives the colours.
    pub fn chroma(&self) -> Chroma {
        self.colours.map_or(Chroma::HalfWidth, |colours| colours.chroma)
    }
}

/// Matrix and range of the planes Y, U, V of a video (ITU-T H.273), and how large U and V are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colours {
    pub(super) space: &'static str,
    pub(super) range: &'static str,
    pub(super) chroma: Chroma,
}

/// Size of the planes U and V beside Y.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chroma {
    /// 4:2:0: half as wide and half as high.
    HalfSize,
    /// 4:2:2: half as wide.
    HalfWidth,
}

impl Chroma {
    /// Bytes of all three planes, of a picture whose width (with 4:2:0 its height too) is even.
    pub fn bytes(self, pixels: usize) -> usize {
        match self {
            Self::HalfSize => pixels + pixels / 2,
            Self::HalfWidth => pixels * 2,
        }
    }

    /// FFmpeg's name of it.
    pub(super) fn pixels(self) -> &'static str {
        match self {
            Self::HalfSize => "yuv420p",
            Self::HalfWidth => "yuv422p",
        }
    }
}

/// A piece of a track, where it lies in its file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    /// When what it holds began, in seconds from the start of the file.
    pub start: f64,
    /// How long that went on, in seconds.
    pub length: f64,
    /// Byte at which it begins.
    pub at: u64,
    /// Its bytes.
    pub size: u64,
}

/// Where the metadata of a GoPro camera lies in `path`, in the order of its times; none without such a track.
pub(crate) fn gpmf_packets(path: &Path) -> Result<Option<Vec<Packet>>, ImportError> {
    let entries = "stream=index,codec_tag_string:format=start_time";
    let tracks: Tracks = ask(path, &["-select_streams", "d", "-show_entries", entries], MAX_ANSWER)?;
    let Some(track) = tracks.streams.iter().find(|stream| stream.codec_tag_string == "gpmd") else { return Ok(None) };
    let index = track.index.to_string();
    let entries = "packet=pts_time,duration_time,size,pos";
    let packets: Packets = ask(path, &["-select_streams", &index, "-show_entries", entries], MAX_PACKETS)?;
    let start: f64 = tracks.format.start_time.parse().unwrap_or(0.0);
    let packet = |packet: &AnswerPacket| {
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        Some(Packet {
            start: (number(&packet.pts_time)? - start).max(0.0),
            length: number(&packet.duration_time).unwrap_or(1.0).max(0.0),
            at: packet.pos.parse().ok()?,
            size: packet.size.parse().ok()?,
        })
    };
    Ok(Some(packets.packets.iter().filter_map(packet).collect()))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tracks {
    streams: Vec<Track>,
    format: TracksFormat,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Track {
    index: u32,
    codec_tag_string: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TracksFormat {
    start_time: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Packets {
    packets: Vec<AnswerPacket>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnswerPacket {
    pts_time: String,
    duration_time: String,
    size: String,
    pos: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    streams: Vec<AnswerStream>,
    format: AnswerFormat,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnswerStream {
    width: u64,
    height: u64,
    nb_frames: String,
    avg_frame_rate: String,
    duration: String,
    pix_fmt: String,
    color_space: String,
    color_range: String,
}

impl AnswerStream {
    /// Of planes of 8 bits, 4:2:0 or 4:2:2. One that does not say is taken as FFmpeg takes it: for BT.601, of limited range.
    fn colours(&self) -> Option<Colours> {
        let is_full = match self.pix_fmt.as_str() {
            "yuv420p" | "yuv422p" => self.color_range == "pc",
            "yuvj420p" | "yuvj422p" => true,
            _ => return None,
        };
        let space = match self.color_space.as_str() {
            "bt709" => "bt709",
            "" | "unknown" | "smpte170m" | "bt470bg" => "smpte170m",
            _ => return None,
        };
        // Whatever way it is turned. With an odd side 4:2:0 has half a row of colours more.
        let is_even = self.width.is_multiple_of(2) && self.height.is_multiple_of(2);
        let is_half = is_even && self.pix_fmt.contains("420");
        let chroma = if is_half { Chroma::HalfSize } else { Chroma::HalfWidth };
        Some(Colours { space, range: if is_full { "pc" } else { "tv" }, chroma })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnswerFormat {
    duration: String,
}

/// Asks `ffprobe` about the video in `path`.
pub(crate) fn probe(path: &Path) -> Result<Probe, ImportError> {
    let stream = "width,height,nb_frames,avg_frame_rate,duration,pix_fmt,color_space,color_range";
    let entries = format!("stream={stream}:format=duration");
    check_answer(path, &ask(path, &["-select_streams", "V:0", "-show_entries", &entries], MAX_ANSWER)?)
}

/// Asks `ffprobe` about `path`; of its answer at most so many bytes are read.
fn ask<T: DeserializeOwned>(path: &Path, question: &[&str], longest: u64) -> Result<T, ImportError> {
    ordinary_file(path)?;
    let file = file_address(path);
    let mut arguments: Vec<&OsStr> = ["-hide_banner", "-loglevel", "level+error"].map(OsStr::new).into();
    arguments.extend(guards().map(OsStr::new));
    arguments.extend(["-of", "json"].map(OsStr::new));
    arguments.extend(question.iter().map(OsStr::new));
    arguments.push(&file);
    let mut process = Process::start("ffprobe", &arguments)?;
    let mut answer = Vec::new();
    let read = (&mut process.stdout).take(longest).read_to_end(&mut answer);
    let finished = read.and_then(|_| process.finish());
    let (status, messages) = finished.map_err(|source| ImportError::Program { program: "ffprobe", source })?;
    if !status.success() {
        return Err(not_a_video(path, &messages));
    }
    parse_answer(path, &answer)
}

fn parse_answer<T: DeserializeOwned>(path: &Path, answer: &[u8]) -> Result<T, ImportError> {
    serde_json::from_slice(answer).map_err(|error| {
        let hint = "is this ffprobe of version 4.4 or later?";
        ImportError::bad(path, Place::Whole, format!("ffprobe's answer cannot be read: {error}"), hint)
    })
}

fn check_answer(path: &Path, answer: &Answer) -> Result<Probe, ImportError> {
    let Some(stream) = answer.streams.first() else {
        return Err(ImportError::bad(path, Place::Whole, "holds no video", "give a file with moving pictures in it"));
    };
    let pixels = stream.width.saturating_mul(stream.height);
    if pixels == 0 || pixels > MAX_PIXELS {
        let what = format!("says that its pictures are {}x{} pixels large", stream.width, stream.height);
        return Err(ImportError::bad(path, Place::Whole, what, "its header is broken, or it is larger than 8K"));
    }
    let positive = |text: &str| text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    let rate = stream.avg_frame_rate.split_once('/').and_then(|(n, d)| Some(positive(n)? / positive(d)?));
    let seconds = positive(&stream.duration).or_else(|| positive(&answer.format.duration));
    let guessed = || Some((seconds? * rate?).round() as u64);
    Ok(Probe { frames: stream.nb_frames.parse().ok().or_else(guessed), seconds, rate, colours: stream.colours() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_where_the_quick_filter_knows_them() {
        let of_height = |height: u64, pix_fmt: &str, space: &str, range: &str| {
            let [pix_fmt, color_space, color_range] = [pix_fmt, space, range].map(str::to_owned);
            AnswerStream { width: 8, height, pix_fmt, color_space, color_range, ..AnswerStream::default() }.colours()
        };
        let colours = |pix_fmt: &str, space: &str, range: &str| of_height(6, pix_fmt, space, range);
        let is = |space, range, chroma| Some(Colours { space, range, chroma });
        assert_eq!(colours("yuv420p", "bt709", "tv"), is("bt709", "tv", Chroma::HalfSize));
        assert_eq!(colours("yuvj420p", "bt470bg", ""), is("smpte170m", "pc", Chroma::HalfSize));
        assert_eq!(colours("yuv422p", "", "pc"), is("smpte170m", "pc", Chroma::HalfWidth));
        assert_eq!(colours("yuv420p", "unknown", "unknown"), is("smpte170m", "tv", Chroma::HalfSize));
        assert_eq!(of_height(7, "yuv420p", "bt709", "tv"), is("bt709", "tv", Chroma::HalfWidth));
        for (pix_fmt, space) in [("yuv420p", "bt2020nc"), ("yuv420p10le", "bt709"), ("nv12", "bt709"), ("rgb24", "gbr")]
        {
            assert_eq!(colours(pix_fmt, space, "tv"), None, "{pix_fmt} {space}");
        }
    }

    #[test]
    fn a_probes_answer_is_checked() {
        let path = Path::new("a.mp4");
        let whole = br#"{"streams":[{"width":1280,"height":720,"avg_frame_rate":"25/1","duration":"10.04","nb_frames":"251"}],"format":{}}"#;
        let parse_answer = |path, answer: &[u8]| check_answer(path, &parse_answer(path, answer)?);
        let probe = parse_answer(path, whole).unwrap();
        assert_eq!(probe, Probe { frames: Some(251), seconds: Some(10.04), rate: Some(25.0), colours: None });
        let without = br#"{"streams":[{"width":2,"height":2,"avg_frame_rate":"0/0"}],"format":{"duration":"3"}}"#;
        assert_eq!(
            parse_answer(path, without).unwrap(),
            Probe { frames: None, seconds: Some(3.0), rate: None, colours: None }
        );
        for (answer, expected) in [
            (b"".as_slice(), "cannot be read"),
            (b"{}", "holds no video"),
            (br#"{"streams":[{"width":0,"height":2}]}"#, "0x2 pixels"),
            (br#"{"streams":[{"width":99999999,"height":99999999}]}"#, "pixels large"),
        ] {
            let error = parse_answer(path, answer).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
