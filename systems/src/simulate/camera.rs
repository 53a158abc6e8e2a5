//! A simulated front camera.

use bytes::Bytes;
use waywarden_components::geometry::CameraGeometry;
use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

use super::chance::unit;
use super::counter;
use super::drive::{Drive, Moment, Plan};
use super::nth_nanos;
use super::picture::Painter;
use super::stamp::stamp;
use crate::camera::jpeg::{JpegEncoder, JpegError};
use crate::import::TimedItem;

/// What the camera is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CameraSettings {
    /// Width in pixels: even, 32 to 1920.
    pub width: usize,
    /// Height in pixels: 32 to 1080.
    pub height: usize,
    /// Frames a second, above 0 and at most 240.
    pub fps: f64,
    /// How it is mounted.
    pub geometry: CameraGeometry,
    /// Draw only so many frames, beforehand, and repeat them for ever: a frame then costs nothing. At most 3000; they
    /// stay in memory.
    pub loop_frames: Option<usize>,
    /// Draw nothing: pictures are plain grey, each of another shade than the one before, so that the gate takes them for
    /// new. They cost next to nothing, and show the moment of the drive to nobody but who asks the truth.
    pub plain: bool,
    /// Draw its number into each picture that is drawn, to be read back off a screen: sixteen black and white blocks along the
    /// upper edge, the most significant bit on the left. Of repeated frames it is the number of the first time.
    pub counter: bool,
}

impl Default for CameraSettings {
    /// 1280x720, 30 frames a second, each drawn anew.
    fn default() -> Self {
        Self {
            width: 1280,
            height: 720,
            fps: 30.0,
            geometry: CameraGeometry::default(),
            loop_frames: None,
            plain: false,
            counter: false,
        }
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
    Encoder(#[from] JpegError),
    /// A thread that draws could not be started.
    #[error("simulated camera: no thread to draw on: {0}")]
    Thread(#[source] std::io::Error),
}

impl CameraSettings {
    /// Refuses what cannot be drawn.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn check(&self) -> Result<(), CameraError> {
        let Self { width, height, fps, loop_frames, .. } = *self;
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
        Ok(())
    }
}

/// Times of the frames that a camera delivers: some are missed.
#[derive(Clone, Debug)]
pub(super) struct Shutter {
    fps: f64,
    missed: f64,
    seed: u64,
    next: u64,
}

impl Shutter {
    pub fn new(plan: &Plan, fps: f64) -> Self {
        Self { fps, missed: plan.scenario.faults.missed_frames, seed: plan.seed ^ 0x5407, next: 0 }
    }

    /// Number and time of the next frame.
    pub fn next(&mut self) -> (u64, Mono) {
        // Never more than a hundred in a row, whatever the scenario says.
        for _ in 0..100 {
            if unit(self.seed, self.next) >= self.missed {
                break;
            }
            self.next += 1;
        }
        let number = self.next;
        self.next += 1;
        (number, Mono(nth_nanos(number, self.fps)))
    }
}

/// Shades of plain pictures, in turn.
const SHADES: [u8; 4] = [70, 110, 150, 190];

/// Draws frames and makes JPEGs (quality 85, 4:2:2) of them, each with its moment written into it.
pub(super) struct Studio {
    painter: Painter,
    encoder: JpegEncoder,
    size: (usize, usize),
    planes: Vec<u8>,
    counter: bool,
    /// Plain pictures, if those are asked for.
    plain: Vec<Bytes>,
}

impl Studio {
    pub fn new(drive: &Drive, settings: &CameraSettings) -> Result<Self, CameraError> {
        settings.check()?;
        let size = (settings.width, settings.height);
        let painter = Painter::new(drive.plan(), settings.geometry, size, drive.rng_of(1));
        let mut encoder = JpegEncoder::new()?;
        let shades = if settings.plain { &SHADES[..] } else { &[] };
        // Two halves: a picture of one shade is that of a camera that is covered.
        let half = size.0 * (size.1 / 2);
        let plain = shades.iter().map(|shade| {
            let pixels = [vec![*shade; half], vec![*shade / 2; size.0 * size.1 - half]].concat();
            encoder.grey(&pixels, size.0, size.1)
        });
        let plain = plain.collect::<Result<_, _>>()?;
        Ok(Self { painter, encoder, size, planes: Vec::new(), counter: settings.counter, plain })
    }

    /// The JPEG of a moment; `number` is that of the frame.
    pub fn take(&mut self, moment: &Moment, number: u64) -> Result<Bytes, JpegError> {
        let at = Mono((moment.t * 1e9).round() as u64);
        if let Some(plain) = self.plain(number, at) {
            return Ok(plain);
        }
        self.painter.draw(moment, number, &mut self.planes);
        if self.counter {
            counter::draw(&mut self.planes, self.size, number);
        }
        Ok(stamp(&self.encoder.yuv422(&self.planes, self.size.0, self.size.1)?, at))
    }

    /// The plain picture of this number and time, if plain ones are asked for.
    fn plain(&self, number: u64, at: Mono) -> Option<Bytes> {
        let shades = self.plain.len() as u64;
        let picture = self.plain.get(number.checked_rem(shades)? as usize)?;
        Some(stamp(picture, at))
    }
}

/// A generator of the camera's JPEGs.
pub struct CameraSimulator {
    drive: Drive,
    shutter: Shutter,
    studio: Studio,
    repeated: Vec<Bytes>,
}

impl CameraSimulator {
    /// The camera of this drive. Draws the frames that are to be repeated.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn new(drive: &Drive, settings: CameraSettings) -> Result<Self, CameraError> {
        let studio = Studio::new(drive, &settings)?;
        let shutter = Shutter::new(drive.plan(), settings.fps);
        let mut camera = Self { drive: drive.clone(), shutter, studio, repeated: Vec::new() };
        for n in 0..settings.loop_frames.unwrap_or(0) as u64 {
            let moment = camera.drive.moment(n as f64 / settings.fps);
            let jpeg = camera.studio.take(&moment, n)?;
            camera.repeated.push(jpeg);
        }
        Ok(camera)
    }

    /// The next frame.
    #[expect(clippy::should_implement_trait, reason = "never ends, and says so by its type")]
    pub fn next(&mut self) -> TimedItem {
        let (number, at) = self.shutter.next();
        let jpeg = match self.repeated.len() as u64 {
            0 => {
                if let Some(jpeg) = self.studio.plain(number, at) {
                    return TimedItem { at, payload: Payload::Frame(jpeg) };
                }
                let moment = self.drive.moment(at.as_secs_f64());
                #[expect(
                    clippy::expect_used,
                    reason = "`new` has checked the size, and the canvas has planes of that size"
                )]
                self.studio.take(&moment, number).expect("the encoder takes pictures of this size")
            }
            frames => self.repeated[(number % frames) as usize].clone(),
        };
        TimedItem { at, payload: Payload::Frame(jpeg) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Scenario;

    fn small() -> CameraSettings {
        CameraSettings { width: 320, height: 180, fps: 20.0, ..CameraSettings::default() }
    }

    fn frames(seed: u64, settings: CameraSettings, count: usize) -> Vec<TimedItem> {
        let mut scenario = Scenario::built_in("motorway").unwrap();
        scenario.faults.missed_frames = 0.0;
        let mut camera = CameraSimulator::new(&Drive::new(&scenario, seed), settings).unwrap();
        (0..count).map(|_| camera.next()).collect()
    }

    #[test]
    fn frames_are_jpegs_of_a_camera_s_size() {
        let items = frames(1, CameraSettings::default(), 3);
        assert_eq!(items.iter().map(|item| item.at.0).collect::<Vec<_>>(), [0, 33_333_333, 66_666_667]);
        for item in items {
            let Payload::Frame(jpeg) = &item.payload else { panic!() };
            let header = turbojpeg::read_header(jpeg).unwrap();
            assert_eq!((header.width, header.height, header.subsamp), (1280, 720, turbojpeg::Subsamp::Sub2x1));
            assert!((60_000..400_000).contains(&jpeg.len()), "{}", jpeg.len());
        }
    }

    #[test]
    fn repeated_frames_are_shared_and_times_go_on() {
        let items = frames(1, CameraSettings { loop_frames: Some(3), ..small() }, 8);
        let (Payload::Frame(first), Payload::Frame(fourth)) = (&items[0].payload, &items[3].payload) else { panic!() };
        assert_eq!(first.as_ptr(), fourth.as_ptr());
        assert_ne!(items[0].payload, items[1].payload);
        assert_eq!(items[7].at, Mono(350_000_000));
    }

    #[test]
    fn plain_pictures_differ_from_one_to_the_next_and_say_when_they_are_taken() {
        let mut lumas = Vec::new();
        for (drawn, plain) in frames(1, small(), 5).iter().zip(frames(1, CameraSettings { plain: true, ..small() }, 5))
        {
            let (Payload::Frame(drawn_jpeg), Payload::Frame(jpeg)) = (&drawn.payload, &plain.payload) else { panic!() };
            assert_eq!((plain.at, super::super::stamp::stamped(jpeg)), (drawn.at, Some(drawn.at)));
            assert_eq!(super::super::stamp::stamped(drawn_jpeg), Some(drawn.at));
            let (width, height, luma) = crate::camera::jpeg::thumbnail(jpeg).unwrap();
            assert_eq!((width, height), (320, 180));
            assert!(jpeg.len() < 2000, "{}", jpeg.len());
            lumas.push(luma.0[0]);
        }
        assert!(lumas.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 20), "{lumas:?}");
    }

    #[test]
    fn missed_frames_are_missed_by_all() {
        let mut scenario = Scenario::default();
        scenario.faults.missed_frames = 0.3;
        let drive = Drive::new(&scenario, 1);
        let mut truth = crate::simulate::TruthSimulator::new(&drive, &small());
        let mut camera = CameraSimulator::new(&drive, small()).unwrap();
        let times: Vec<_> = (0..30).map(|_| (camera.next().at, truth.next().at)).collect();
        assert!(times.iter().all(|(frame, truth)| frame == truth));
        assert!((35..55).contains(&(times[29].0.0 / 50_000_000)), "{times:?}");
    }

    #[test]
    fn unusable_settings_are_refused() {
        for settings in [
            CameraSettings { width: 321, ..small() },
            CameraSettings { width: 0, ..small() },
            CameraSettings { height: 100_000, ..small() },
            CameraSettings { fps: f64::NAN, ..small() },
            CameraSettings { loop_frames: Some(0), ..small() },
        ] {
            assert!(CameraSimulator::new(&Drive::new(&Scenario::default(), 1), settings).is_err(), "{settings:?}");
        }
    }
}
