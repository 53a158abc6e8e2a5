//! The child processes `ffprobe` and `ffmpeg`, which read whatever dashcams write.
//!
//! Neither ever sees a file name as an option or as an address: it gets `file:` and the name, may open nothing but
//! files, and only in formats that hold video (no playlists, which name further files).

mod probe;

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

pub(crate) use self::probe::{Chroma, Colours, Packet, Probe, gpmf_packets, probe};
use super::{ImportError, MAX_PIXELS, Place};

const FORMATS: &str =
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,h264,hevc,mjpeg,ivf,m4v,mxf,nut,dv,obu,yuv4mpegpipe,gxf,vc1";
/// Most of a message that is kept, in bytes.
const MAX_MESSAGE: usize = 300;
/// Announcements that may wait: far more than frames can be on their way inside ffmpeg, so that it never stands still
/// because nobody reads what it says.
const ANNOUNCEMENTS: usize = 4096;

/// What ffmpeg says about the frames that it is about to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// Times from here on are in units of numerator / denominator seconds.
    TimeBase(i64, i64),
    /// The next frame: its presentation time if it has one, and its size in pixels.
    Frame { pts: Option<i64>, width: u32, height: u32 },
}

/// What a child process had to say when it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Messages {
    /// Errors that it reported.
    pub errors: u64,
    /// The last of them. One by a part of ffmpeg says more than ffmpeg's own verdict behind it, and stays.
    pub last: String,
}

/// A running child: its output, what it announces, and its messages. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    pub stdout: ChildStdout,
    pub announced: Receiver<Announcement>,
    listener: Option<JoinHandle<Messages>>,
}

impl Process {
    fn start(program: &'static str, arguments: &[&OsStr]) -> Result<Self, ImportError> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let fail = |source| ImportError::Program { program, source };
        let mut child = command.spawn().map_err(fail)?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(fail(io::Error::other("it has no output")));
        };
        let (announce, announced) = crossbeam_channel::bounded(ANNOUNCEMENTS);
        let listener = std::thread::Builder::new().name("ffmpeg-messages".into());
        let listener = listener.spawn(move || listen(BufReader::new(stderr), &announce));
        let mut process = Self { child, stdout, announced, listener: None };
        process.listener = Some(listener.map_err(fail)?); // on failure the drop of `process` ends the child
        Ok(process)
    }

    /// Waits for the end of the child, whose output was read to its end.
    pub fn finish(&mut self) -> io::Result<(ExitStatus, Messages)> {
        let status = self.child.wait()?;
        self.announced = crossbeam_channel::never(); // nobody listens any more: the listener must not wait
        let messages = self.listener.take().and_then(|listener| listener.join().ok()).unwrap_or_default();
        Ok((status, messages))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // both fail only when the child has already ended and was waited for
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.announced = crossbeam_channel::never();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// Reads messages to their end and passes announcements on while somebody wants them.
fn listen(mut stderr: impl BufRead, announce: &Sender<Announcement>) -> Messages {
    let mut messages = Messages::default();
    let mut line = Vec::new();
    while read_message(&mut stderr, &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        if let Some(announcement) = announcement(&text) {
            let _ = announce.send(announcement);
        } else if let Some(error) = error_text(&text) {
            messages.errors += 1;
            let is_verdict = text.starts_with("[error]") || text.starts_with("[fatal]");
            if messages.last.is_empty() || !is_verdict {
                messages.last = error.chars().take(MAX_MESSAGE).collect();
            }
        }
    }
    messages
}

/// Reads one line; of a long one the start.
fn read_message(stderr: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    let read = stderr.take(4096).read_until(b'\n', line)?;
    let mut rest = Vec::new();
    while read > 0 && !line.ends_with(b"\n") && !rest.ends_with(b"\n") {
        rest.clear();
        if stderr.take(4096).read_until(b'\n', &mut rest)? == 0 {
            break;
        }
    }
    Ok(read)
}

/// The announcement in a line of the filter `showinfo`. Metadata of a file cannot pass for one: ffmpeg prints it behind
/// `[info]`.
fn announcement(line: &str) -> Option<Announcement> {
    let (_, text) = line.strip_prefix("[Parsed_showinfo_")?.split_once("] [info] ")?;
    if let Some(base) = text.strip_prefix("config in time_base:") {
        let (numerator, denominator) = base.split(',').next()?.trim().split_once('/')?;
        let (numerator, denominator) = (numerator.parse().ok()?, denominator.parse().ok()?);
        return (numerator > 0 && denominator > 0).then_some(Announcement::TimeBase(numerator, denominator));
    }
    let fields = text.strip_prefix("n:")?;
    let pts = fields.split_once(" pts:")?.1.split_whitespace().next()?.parse().ok();
    let (width, height) = fields.split_once(" s:")?.1.split_whitespace().next()?.split_once('x')?;
    Some(Announcement::Frame { pts, width: width.parse().ok()?, height: height.parse().ok()? })
}

/// The text of a line that reports an error: what follows the level.
fn error_text(line: &str) -> Option<&str> {
    let text = ["[error] ", "[fatal] ", "[panic] "].iter().find_map(|level| line.split_once(level))?.1;
    Some(text.trim_end()).filter(|text| !text.is_empty())
}

/// Starts decoding the first video of `path`: raw planes Y, U, V of 8 bits, full range BT.601 (JFIF), 4:2:0 if `colours`
/// say so and else 4:2:2, upright, square pixels, of even width, all of the size of the first one. Each frame is announced
/// before it is written.
pub(crate) fn decode(path: &Path, colours: Option<Colours>) -> Result<Process, ImportError> {
    let filter = filter(colours);
    let pixels = MAX_PIXELS.to_string();
    let file = file_address(path);
    let start = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-max_pixels", &pixels];
    let mut arguments: Vec<&OsStr> = start.map(OsStr::new).into();
    arguments.extend(guards().map(OsStr::new));
    arguments.extend(["-i".as_ref(), file.as_os_str()]);
    arguments.extend(["-map", "0:V:0", "-an", "-sn", "-dn"].map(OsStr::new));
    arguments.extend([keep_every_frame()?, "passthrough", "-vf", &filter].map(OsStr::new));
    // Not through a buffer of 32 kB.
    arguments.extend(["-avioflags", "direct", "-f", "rawvideo", "pipe:1"].map(OsStr::new));
    let process = Process::start("ffmpeg", &arguments)?;
    widen(&process.stdout);
    Ok(process)
}

/// Has a pipe hold a whole picture, or most of one: with the usual 64 kB the two at its ends wake each other 20 times for one.
fn widen(pipe: &ChildStdout) {
    // What anybody may have (`pipe-max-size`). One that stays as it is only takes more time.
    #[cfg(target_os = "linux")]
    let _ = nix::fcntl::fcntl(pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20));
    #[cfg(not(target_os = "linux"))]
    let _ = pipe;
}

/// What makes pictures square, even, and of full range BT.601. Colours of 4:2:0 stay 4:2:0: more is not in the video, and
/// a third more would be converted, handed over and encoded.
///
/// `colorspace` takes a sixth of the time of `scale` for the colours, and rounds where `scale` cuts off (mean error of Y
/// 0.00 instead of -1.2 of 255). It changes the matrix and the range alone: primaries and transfer are called the same on
/// both sides. It is told what it gets, since it refuses what does not say; so a video that changes its colours on the way
/// is read as it began.
fn filter(colours: Option<Colours>) -> String {
    const SQUARE: &str = "scale=w='max(2,trunc(iw*clip(sar,0.25,4)/2+0.5)*2)':h=ih";
    let colours = match colours {
        None => ":out_color_matrix=bt601:out_range=full,format=yuv422p".to_owned(),
        Some(Colours { space, range, chroma }) => format!(
            ",colorspace=ispace={space}:irange={range}:iprimaries=bt709:itrc=bt709\
             :space=smpte170m:range=pc:primaries=bt709:trc=bt709:fast=1:format={}",
            chroma.pixels()
        ),
    };
    format!("{SQUARE}{colours},showinfo=checksum=0")
}

/// The option that keeps ffmpeg from repeating and dropping frames: `-fps_mode` came with 5.1, `-vsync` went later.
fn keep_every_frame() -> Result<&'static str, ImportError> {
    let mut process = Process::start("ffmpeg", &["-version".as_ref()])?;
    let mut text = String::new();
    let read = (&mut process.stdout).take(4096).read_to_string(&mut text);
    read.map_err(|source| ImportError::Program { program: "ffmpeg", source })?;
    Ok(if is_before_5_1(&text) { "-vsync" } else { "-fps_mode" })
}

/// Whether `ffmpeg -version` names a release before 5.1. Builds without a release number are newer.
fn is_before_5_1(text: &str) -> bool {
    let mut numbers = text.strip_prefix("ffmpeg version ").unwrap_or_default().split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    number().is_some_and(|major| (major, number().unwrap_or(0)) < (5, 1))
}

/// Options ahead of the input that keep it from leading anywhere else.
fn guards() -> [&'static str; 4] {
    ["-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS]
}

fn file_address(path: &Path) -> OsString {
    let mut address = OsString::from("file:");
    address.push(path);
    address
}

/// The error for a file that ffmpeg does not take for a video.
pub(crate) fn not_a_video(path: &Path, messages: &Messages) -> ImportError {
    let said = messages.last.strip_prefix(&format!("file:{}: ", path.display())).unwrap_or(&messages.last);
    let what = if said.is_empty() { "cannot be decoded".into() } else { format!("cannot be decoded: {said}") };
    ImportError::bad(path, Place::Whole, what, "give a whole video file (MP4, MOV, MKV, AVI, TS ...)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_read_from_old_and_new_ffmpeg() {
        let frame = Some(Announcement::Frame { pts: Some(180_000), width: 1280, height: 720 });
        for line in [
            "[Parsed_showinfo_2 @ 0x55] [info] n:   1 pts: 180000 pts_time:2       pos:   159229 fmt:yuv422p sar:1/1 s:1280x720 i:P iskey:0 type:P \n",
            "[Parsed_showinfo_2 @ 0x55] [info] n:   1 pts: 180000 pts_time:2       duration:   3600 duration_time:0.04    fmt:yuv422p cl:left sar:1/1 s:1280x720 i:P iskey:0 type:P \n",
        ] {
            assert_eq!(announcement(line), frame);
        }
        let none = "[Parsed_showinfo_2 @ 0x55] [info] n:   0 pts:   NOPTS pts_time:NOPTS   pos: 1 fmt:yuv422p sar:0/1 s:2x4 i:P";
        assert_eq!(announcement(none), Some(Announcement::Frame { pts: None, width: 2, height: 4 }));
        let base = "[Parsed_showinfo_2 @ 0x5585665237c0] [info] config in time_base: 1/90000, frame_rate: 25/1\n";
        assert_eq!(announcement(base), Some(Announcement::TimeBase(1, 90_000)));
        for line in [
            "[Parsed_showinfo_2 @ 0x55] [info] config out time_base: 0/0, frame_rate: 0/0",
            "[Parsed_showinfo_2 @ 0x55] [info] color_range:pc",
            "[info]     title : [Parsed_showinfo_2 @ 0x55] [info] n: 0 pts: 0 s:9x9 i:P",
            "[Parsed_showinfo_2 @ 0x55] [info] n: 0 pts: 0 s:99999999999x9 i:P",
            "[Parsed_showinfo_2 @ 0x55] [info] config in time_base: 1/0, x",
        ] {
            assert_eq!(announcement(line), None, "{line}");
        }
    }

    #[test]
    fn messages_are_counted_and_the_last_is_kept() {
        let text = format!(
            "[info] hello\n[h264 @ 0x1] [error] bad NAL\n{}\n[error] file:a: Invalid data\n[Parsed_showinfo_1 @ 0] [info] n:0 pts:1 s:4x2 i:P\n",
            "x".repeat(10_000)
        );
        let (send, receive) = crossbeam_channel::bounded(4);
        let messages = listen(BufReader::new(text.as_bytes()), &send);
        assert_eq!(messages, Messages { errors: 2, last: "bad NAL".into() });
        assert_eq!(receive.try_recv(), Ok(Announcement::Frame { pts: Some(1), width: 4, height: 2 }));
    }

    #[test]
    fn a_missing_program_is_said_with_its_remedy() {
        let error = Process::start("ffmpeg-is-not-here", &[]).err().unwrap().to_string();
        assert!(error.contains("`ffmpeg-is-not-here`") && error.contains("apt-get install ffmpeg"), "{error}");
    }

    #[test]
    fn versions_are_told_apart() {
        let is_old = |version: &str| is_before_5_1(&format!("ffmpeg version {version} Copyright (c)"));
        assert!(["4.4.2-0ubuntu0.22.04.1", "4.2.7", "5.0.1"].into_iter().all(is_old));
        assert!(!["5.1.9-0+deb12u1", "7.1", "N-109741-gbbe95f7353-20230201", "n8.0"].into_iter().any(is_old));
    }
}
