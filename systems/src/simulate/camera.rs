//! A simulated front camera.

use bytes::Bytes;
use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

use super::road::Road;
use super::{Drive, nth_nanos};
use crate::import::TimedItem;
use crate::import::encode::JpegEncoder;

/// What the camera is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CameraSettings {
    /// Width in pixels: even, 32 to 1920.
    pub width: usize,
    /// Height in pixels: 32 to 1080.
    pub height: usize,
    /// Frames a second, above 0 and at most 240.
    pub fps: f64,
    /// Draw only so many frames, beforehand, and repeat them for ever: a frame then costs nothing. At most 3000; they
    /// stay in memory.
    pub loop_frames: Option<usize>,
}

impl Default for CameraSettings {
    /// 1280x720, 30 frames a second, each drawn anew.
    fn default() -> Self {
        Self { width: 1280, height: 720, fps: 30.0, loop_frames: None }
    }
}

/// Why there is no such camera.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// A setting is out of its range.
    #[error("simulated camera: {what} cannot be used; expected is {expected}")]
    Setting {
        /// The setting and its value.
        what: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The encoder could not be made.
    #[error("simulated camera: {0}")]
    Encoder(#[from] turbojpeg::Error),
}

/// A generator of JPEGs (quality 85, 4:2:2) of a simple road: lines that pass by, bends, drifting in the lane, a car
/// ahead.
pub struct CameraSimulator {
    drive: Drive,
    settings: CameraSettings,
    road: Road,
    encoder: JpegEncoder,
    repeated: Vec<Bytes>,
    given: u64,
}

impl CameraSimulator {
    /// The camera of this drive. Draws the frames that are to be repeated.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn new(drive: &Drive, settings: CameraSettings) -> Result<Self, CameraError> {
        let CameraSettings { width, height, fps, loop_frames } = settings;
        let setting = |what: String, expected| Err(CameraError::Setting { what, expected });
        if !(32..=1920).contains(&width) || width % 2 == 1 || !(32..=1080).contains(&height) {
            return setting(format!("size {width}x{height}"), "an even width of 32 to 1920, a height of 32 to 1080");
        }
        if !(fps > 0.0 && fps <= 240.0) {
            return setting(format!("fps {fps}"), "a number above 0, at most 240");
        }
        if loop_frames.is_some_and(|frames| !(1..=3000).contains(&frames)) {
            return setting(format!("loop_frames {loop_frames:?}"), "1 to 3000");
        }
        let road = Road::new(width, height, drive.rng(1));
        let encoder = JpegEncoder::new()?;
        let mut camera = Self { drive: drive.clone(), settings, road, encoder, repeated: Vec::new(), given: 0 };
        for n in 0..loop_frames.unwrap_or(0) {
            let jpeg = camera.picture(n as u64)?;
            camera.repeated.push(jpeg);
        }
        Ok(camera)
    }

    /// The next frame.
    #[expect(clippy::should_implement_trait, reason = "never ends, and says so by its type")]
    pub fn next(&mut self) -> TimedItem {
        let jpeg = match self.repeated.len() as u64 {
            #[expect(
                clippy::expect_used,
                reason = "`new` has checked the size, and the canvas has planes of that size"
            )]
            0 => self.picture(self.given).expect("the encoder takes pictures of this size"),
            frames => self.repeated[(self.given % frames) as usize].clone(),
        };
        let at = Mono(nth_nanos(self.given, self.settings.fps));
        self.given += 1;
        TimedItem { at, payload: Payload::Frame(jpeg) }
    }

    fn picture(&mut self, n: u64) -> Result<Bytes, turbojpeg::Error> {
        let planes = self.road.draw(&self.drive, n as f64 / self.settings.fps);
        self.encoder.yuv422(planes, self.settings.width, self.settings.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: CameraSettings = CameraSettings { width: 320, height: 180, fps: 20.0, loop_frames: None };

    fn frames(seed: u64, settings: CameraSettings, count: usize) -> Vec<TimedItem> {
        let mut camera = CameraSimulator::new(&Drive::new(seed), settings).unwrap();
        (0..count).map(|_| camera.next()).collect()
    }

    fn grey(item: &TimedItem) -> turbojpeg::Image<Vec<u8>> {
        let Payload::Frame(jpeg) = &item.payload else { panic!() };
        assert_eq!(turbojpeg::read_header(jpeg).unwrap().subsamp, turbojpeg::Subsamp::Sub2x1);
        turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::GRAY).unwrap()
    }

    #[test]
    fn frames_decode_and_show_the_road() {
        let drive = Drive::new(11);
        let mut columns = Vec::new();
        for item in frames(11, SMALL, 100) {
            let picture = grey(&item);
            assert_eq!((picture.width, picture.height), (320, 180));
            // the solid line to the right, near the bottom, is where the drive says
            let (row, t) = (150, item.at.as_secs_f64());
            let distance = 0.9 * 320.0 * 1.3 / (f64::from(row - 81) + 0.5);
            let truth = 160.0 + 288.0 * (1.75 - drive.lateral_m(t)) / distance;
            let pixels = &picture.pixels[row as usize * picture.pitch..][..320];
            let near = truth as usize - 12..truth as usize + 12;
            let brightest = near.clone().max_by_key(|&x| pixels[x]).unwrap();
            assert!(pixels[brightest] > 160 && (brightest as f64 - truth).abs() < 6.0, "{brightest} {truth}");
            columns.push(brightest);
        }
        assert!(columns.iter().max().unwrap() - columns.iter().min().unwrap() >= 5, "the vehicle drifts");
    }

    #[test]
    fn sizes_are_those_of_a_camera() {
        let items = frames(1, CameraSettings::default(), 3);
        assert_eq!(items.iter().map(|item| item.at.0).collect::<Vec<_>>(), [0, 33_333_333, 66_666_667]);
        let bytes = items[0].payload.weight();
        assert!((60_000..400_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn repeated_frames_are_shared_and_times_go_on() {
        let items = frames(1, CameraSettings { loop_frames: Some(3), ..SMALL }, 8);
        let (Payload::Frame(first), Payload::Frame(fourth)) = (&items[0].payload, &items[3].payload) else { panic!() };
        assert_eq!(first.as_ptr(), fourth.as_ptr());
        assert_ne!(items[0].payload, items[1].payload);
        assert_eq!(items[7].at, Mono(350_000_000));
    }

    #[test]
    fn seeds_repeat_and_differ() {
        assert_eq!(frames(1, SMALL, 5), frames(1, SMALL, 5));
        assert_ne!(frames(1, SMALL, 1), frames(2, SMALL, 1));
    }

    #[test]
    fn unusable_settings_are_refused() {
        for settings in [
            CameraSettings { width: 321, ..SMALL },
            CameraSettings { width: 0, ..SMALL },
            CameraSettings { height: 100_000, ..SMALL },
            CameraSettings { fps: f64::NAN, ..SMALL },
            CameraSettings { loop_frames: Some(0), ..SMALL },
        ] {
            assert!(CameraSimulator::new(&Drive::new(1), settings).is_err(), "{settings:?}");
        }
    }
}
