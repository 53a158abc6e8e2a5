//! H.264 for people who watch: constrained baseline, in real time, one thread. openh264, built from source.

use std::time::Duration;

use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, Profile, RateControlMode, UsageType, VuiConfig,
};
use openh264::formats::YUVSlices;
use openh264::{OpenH264API, Timestamp};
use openh264_sys2::{
    ENCODER_OPTION_BITRATE, ENCODER_OPTION_FRAME_RATE, ENCODER_OPTION_MAX_BITRATE, SBitrateInfo, SPATIAL_LAYER_ALL,
};

use crate::camera::jpeg::Yuv420;

/// An encoded picture.
pub(super) struct Coded {
    /// Whether it stands alone.
    pub key: bool,
    /// NAL units behind start codes (H.264 Annex B).
    pub data: Vec<u8>,
}

/// An encoder for pictures of one size.
pub(super) struct H264 {
    inner: Encoder,
    size: (usize, usize),
    /// What was asked of it last: bits and pictures a second; none before its first picture.
    asked: Option<(u32, f32)>,
}

impl H264 {
    /// An encoder for pictures of this size, that never gives more than so many bits a second. It begins with its most: it can
    /// be lowered, and not be raised above.
    pub fn new(size: (usize, usize), most_bps: u32, fps: f32) -> Result<Self, openh264::Error> {
        // JPEG's colours are of full range. Receivers read it from the stream.
        let colours = VuiConfig::bt601().full_range(true);
        let config = EncoderConfig::new()
            .bitrate(BitRate::from_bps(most_bps))
            .max_frame_rate(FrameRate::from_hz(fps.clamp(1.0, 60.0)))
            .rate_control_mode(RateControlMode::Bitrate)
            .usage_type(UsageType::CameraVideoRealTime)
            .complexity(Complexity::Low)
            .profile(Profile::Baseline)
            // A picture that stands alone costs many times as much as another: only those who ask get one.
            .scene_change_detect(false)
            // Else the bitrate is not held.
            .skip_frames(true)
            .num_threads(1)
            .vui(colours);
        let inner = Encoder::with_api_config(OpenH264API::from_source(), config)?;
        Ok(Self { inner, size, asked: None })
    }

    /// The size of pictures that it takes.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Encodes a picture of its size, taken at `at`, with so many bits and pictures a second. None where it gives none, to hold
    /// its bitrate.
    pub fn encode(
        &mut self,
        picture: &Yuv420,
        at: Duration,
        (bps, fps): (u32, f32),
        key: bool,
    ) -> Result<Option<Coded>, openh264::Error> {
        let [(y, y_stride), (u, u_stride), (v, v_stride)] = picture.planes();
        let slices = YUVSlices::new((y, u, v), picture.size(), (y_stride, u_stride, v_stride));
        let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let first = self.asked.is_none();
        if first {
            // It takes no wishes before it has seen a picture, and would spend on the first one what the best link carries.
            self.inner.encode_at(&slices, Timestamp::from_millis(millis.saturating_sub(1)))?;
        }
        if self.asked != Some((bps, fps)) {
            self.ask(bps, fps);
        }
        if key || first {
            self.inner.force_intra_frame();
        }
        let coded = self.inner.encode_at(&slices, Timestamp::from_millis(millis))?;
        let key = matches!(coded.frame_type(), FrameType::IDR | FrameType::I);
        let data = coded.to_vec();
        Ok((!data.is_empty()).then_some(Coded { key, data }))
    }

    #[expect(unsafe_code, reason = "the library has no other way to change what an encoder gives while it runs")]
    fn ask(&mut self, bps: u32, fps: f32) {
        let mut rate = SBitrateInfo { iLayer: SPATIAL_LAYER_ALL, iBitrate: i32::try_from(bps).unwrap_or(i32::MAX) };
        let mut pictures = fps.clamp(1.0, 60.0);
        // SAFETY: each option is given a value of the type that codec_app_def.h names for it, which outlives the call.
        let done = unsafe {
            let api = self.inner.raw_api();
            // The limit is moved out of the way first, whichever way the rate goes.
            [
                api.set_option(ENCODER_OPTION_FRAME_RATE, (&raw mut pictures).cast()),
                api.set_option(ENCODER_OPTION_MAX_BITRATE, (&raw mut rate).cast()),
                api.set_option(ENCODER_OPTION_BITRATE, (&raw mut rate).cast()),
            ]
        };
        if done == [0; 3] {
            self.asked = Some((bps, fps));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::jpeg::{RgbPicture, encode_rgb};

    /// A picture that moves.
    fn picture(n: u32, (width, height): (u32, u32)) -> Yuv420 {
        let mut noise = n;
        let data: Vec<u8> = (0..width * height)
            .flat_map(|at| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (x, y) = (at % width, at / width);
                [(x + 3 * n) as u8, (y + n) as u8, (noise >> 28) as u8]
            })
            .collect();
        let jpeg = encode_rgb(&RgbPicture { width, height, data }, 85).unwrap();
        let mut yuv = Yuv420::default();
        yuv.decode(&jpeg, 8).unwrap();
        yuv
    }

    #[test]
    fn it_holds_its_bitrate_and_makes_pictures_that_stand_alone_when_asked() {
        let size = (320, 240);
        let mut encoder = H264::new((320, 240), 1_000_000, 30.0).unwrap();
        let mut bytes = |bps, from: u32, key: u32| {
            let mut sum = 0;
            for n in from..from + 60 {
                let at = Duration::from_millis(u64::from(n) * 33);
                let coded = encoder.encode(&picture(n, size), at, (bps, 30.0), n == key).unwrap();
                if let Some(coded) = coded {
                    assert_eq!(coded.key, n == 0 || n == key, "picture {n}");
                    sum += coded.data.len();
                }
            }
            sum
        };
        let (full, low, full_again) = (bytes(1_000_000, 0, 0), bytes(200_000, 60, 90), bytes(1_000_000, 120, 0));
        // Two seconds of each.
        assert!((100_000..400_000).contains(&full), "{full}");
        assert!(low < 120_000, "{low}");
        assert!(full_again > 2 * low, "{full_again} after {low}");
    }
}
