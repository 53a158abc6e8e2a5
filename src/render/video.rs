//! H.264 in an MP4 file, written as it is made.

use std::io::{self, Seek, SeekFrom, Write};
use std::num::NonZeroU32;
use std::time::Duration;

use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, RateControlMode, VuiConfig,
};
use openh264::formats::{RgbSliceU8, YUVBuffer};
use shiguredo_mp4::TrackKind;
use shiguredo_mp4::bitstream::h264::{
    H264NalUnitType, H264SampleEntryConfig, LengthSize, build_avc1_box_from_annexb, parse_annexb_nal_units,
};
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::mux::{Mp4FileMuxer, MuxError, Sample};
use thiserror::Error;

use super::canvas::Canvas;

/// Units of time a second, as usual in video.
const TIMESCALE: u32 = 90_000;

/// Pictures from one that stands alone to the next: a player can begin there.
const KEY_EVERY: u32 = 60;

/// Bits a pixel and second at most, about: 14 Mbit/s at 1280x720.
const BITS_PER_PIXEL: f64 = 15.0;

/// Why a video cannot be written.
#[derive(Debug, Error)]
pub enum VideoError {
    /// The disk does not take it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The encoder says no.
    #[error("the H.264 encoder failed: {0}")]
    Encoder(#[from] openh264::Error),
    /// What it gave is no H.264, or is too much.
    #[error("the MP4 file cannot be made: {0}")]
    Container(String),
    /// There is not one picture.
    #[error("there are no pictures")]
    Empty,
}

impl From<MuxError> for VideoError {
    fn from(error: MuxError) -> Self {
        Self::Container(error.to_string())
    }
}

impl From<shiguredo_mp4::Error> for VideoError {
    fn from(error: shiguredo_mp4::Error) -> Self {
        Self::Container(error.to_string())
    }
}

/// Writes a video. Memory is that of a few pictures, and some bytes for the index of each one.
pub struct VideoWriter<W> {
    out: W,
    position: u64,
    encoder: Encoder,
    yuv: YUVBuffer,
    muxer: Mp4FileMuxer,
    described: bool,
    annexb: Vec<u8>,
    /// A picture that is written, and will be shown until the next one.
    last: Option<(Written, Duration)>,
    first_at: Duration,
    /// Where the video has come to, in units of time.
    shown: u64,
    pictures: u64,
}

struct Written {
    keyframe: bool,
    entry: Option<SampleEntry>,
    offset: u64,
    size: usize,
}

impl<W: Write + Seek> VideoWriter<W> {
    /// A video of pictures of this size, of usually `rate` pictures a second.
    ///
    /// # Errors
    /// When the encoder cannot be made or the file not be written.
    pub fn new(mut out: W, width: u32, height: u32, rate: f32) -> Result<Self, VideoError> {
        let bits = f64::from(width) * f64::from(height) * BITS_PER_PIXEL;
        let config = EncoderConfig::new()
            // The same quality throughout (its quantiser 26), whatever that takes: a file is not a video call. The rate
            // is only a bound from which the encoder chooses its level; it could not be raised later.
            .bitrate(BitRate::from_bps(bits.clamp(200_000.0, 60_000_000.0) as u32))
            .max_frame_rate(FrameRate::from_hz(rate.clamp(1.0, 120.0)))
            .rate_control_mode(RateControlMode::Off)
            .intra_frame_period(IntraFramePeriod::from_num_frames(KEY_EVERY))
            .vui(VuiConfig::bt601())
            // Every picture of the session is one of the video.
            .skip_frames(false);
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
        let muxer = Mp4FileMuxer::new()?;
        let head = muxer.initial_boxes_bytes();
        out.write_all(head)?;
        let position = head.len() as u64;
        Ok(Self {
            out,
            position,
            encoder,
            yuv: YUVBuffer::new(width as usize, height as usize),
            muxer,
            described: false,
            annexb: Vec::new(),
            last: None,
            first_at: Duration::ZERO,
            shown: 0,
            pictures: 0,
        })
    }

    /// Adds a picture, which is shown from `at` until the next one. Times must not go back.
    ///
    /// # Errors
    /// When it cannot be encoded or written.
    pub fn picture(&mut self, canvas: &Canvas, at: Duration) -> Result<(), VideoError> {
        let (width, height) = (canvas.width() as usize, canvas.height() as usize);
        self.yuv.read_rgb8(RgbSliceU8::new(canvas.data(), (width, height)));
        let stream = self.encoder.encode(&self.yuv)?;
        let keyframe = matches!(stream.frame_type(), FrameType::IDR | FrameType::I);
        self.annexb.clear();
        stream.write_vec(&mut self.annexb);
        if self.annexb.is_empty() {
            // The picture before is shown longer.
            return Ok(());
        }
        let written = self.write(keyframe)?;
        match self.last.take() {
            Some((before, _)) => self.append(before, at)?,
            None => self.first_at = at,
        }
        self.last = Some((written, at));
        self.pictures += 1;
        Ok(())
    }

    /// Writes what the encoder gave, as MP4 wants it: lengths instead of start codes, parameters in the head of the file.
    fn write(&mut self, keyframe: bool) -> Result<Written, VideoError> {
        let entry = if self.described {
            None
        } else {
            let config = H264SampleEntryConfig { length_size: LengthSize::FourBytes };
            Some(SampleEntry::Avc1(build_avc1_box_from_annexb(&self.annexb, &config)?))
        };
        self.described = true;
        let mut size = 0;
        for unit in parse_annexb_nal_units(&self.annexb)? {
            if matches!(unit.nal_unit_type, H264NalUnitType::Sps | H264NalUnitType::Pps | H264NalUnitType::Aud) {
                continue;
            }
            let length = u32::try_from(unit.data.len()).map_err(|_| VideoError::Container("too long a unit".into()))?;
            self.out.write_all(&length.to_be_bytes())?;
            self.out.write_all(unit.data)?;
            size += 4 + unit.data.len();
        }
        let offset = self.position;
        self.position += size as u64;
        Ok(Written { keyframe, entry, offset, size })
    }

    /// Says of a written picture that it is shown up to `until`.
    fn append(&mut self, written: Written, until: Duration) -> Result<(), VideoError> {
        // From where the video is to where it should be: rounding does not add up.
        let units = until.saturating_sub(self.first_at).as_nanos() * u128::from(TIMESCALE) / 1_000_000_000;
        let shown = u64::try_from(units).unwrap_or(u64::MAX);
        let duration = u32::try_from(shown.saturating_sub(self.shown)).unwrap_or(u32::MAX).max(1);
        self.shown += u64::from(duration);
        // 90000 is not zero.
        let timescale = NonZeroU32::new(TIMESCALE).unwrap_or(NonZeroU32::MIN);
        self.muxer.append_sample(&Sample {
            track_kind: TrackKind::Video,
            sample_entry: written.entry,
            keyframe: written.keyframe,
            timescale,
            duration,
            composition_time_offset: None,
            data_offset: written.offset,
            data_size: written.size,
        })?;
        Ok(())
    }

    /// Pictures so far.
    pub fn pictures(&self) -> u64 {
        self.pictures
    }

    /// Length of the video so far.
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.shown as f64 / f64::from(TIMESCALE))
    }

    /// Writes the index; the last picture is shown for `last`.
    ///
    /// # Errors
    /// When there are no pictures, or the file cannot be written.
    pub fn finish(mut self, last: Duration) -> Result<(W, Duration), VideoError> {
        let Some((written, at)) = self.last.take() else { return Err(VideoError::Empty) };
        self.append(written, at.saturating_add(last))?;
        let finalized = self.muxer.finalize()?;
        for (offset, bytes) in finalized.offset_and_bytes_pairs() {
            self.out.seek(SeekFrom::Start(offset))?;
            self.out.write_all(bytes)?;
        }
        self.out.flush()?;
        let length = self.length();
        Ok((self.out, length))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_video_is_as_long_as_its_pictures_say() {
        let mut video = VideoWriter::new(Cursor::new(Vec::new()), 64, 48, 30.0).unwrap();
        let canvas = Canvas::new(64, 48);
        // A third of a second is no whole number of units; 300 of them are 100 seconds all the same.
        for n in 0..300 {
            video.picture(&canvas, Duration::from_secs(7) + Duration::from_secs(n) / 3).unwrap();
        }
        let (file, length) = video.finish(Duration::from_secs(1) / 3).unwrap();
        assert!((length.as_secs_f64() - 100.0).abs() < 0.001, "{length:?}");
        let bytes = file.into_inner();
        assert_eq!(&bytes[4..8], b"ftyp");
        assert!(bytes.windows(4).any(|four| four == b"moov"));
    }

    #[test]
    fn no_pictures_are_no_video() {
        let video = VideoWriter::new(Cursor::new(Vec::new()), 64, 48, 30.0).unwrap();
        assert!(matches!(video.finish(Duration::ZERO), Err(VideoError::Empty)));
    }
}
