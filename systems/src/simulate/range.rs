//! A simulated range finder: a Benewake TFmini on the front bumper.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use bytes::Bytes;
use waywarden_components::input::Payload;
use waywarden_components::range::RangeProtocol;
use waywarden_components::time::Mono;

use super::drive::Drive;
use super::nth_nanos;
use super::path::Path;
use super::truth;
use crate::import::TimedItem;

/// How a simulated range finder is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeSettings {
    /// Readings a second, 1 to 250; a TFmini as it is delivered gives 100.
    pub rate_hz: f64,
    /// How it speaks.
    pub protocol: RangeProtocol,
}

impl Default for RangeSettings {
    fn default() -> Self {
        Self { rate_hz: 100.0, protocol: RangeProtocol::Tfmini }
    }
}

/// Farthest distance that it measures, in metres.
const FARTHEST_M: f64 = 12.0;
/// Nearer than this it is blind, in metres.
const NEAREST_M: f64 = 0.3;
/// How often, on average, a spell of weak signal begins: one frame in this many.
const WEAK_EVERY: u32 = 2_000;

/// A generator of TFmini frames (9 bytes, Benewake TFmini product manual, "standard data output format"), or of the
/// same readings as lines of text.
///
/// It sees what is before it up to 12 m; a little beyond it gives just 12 m, and without an echo distance 0 and a weak
/// signal. Now and then the signal is too weak (below 100) for some frames although there is a target.
#[derive(Clone, Debug)]
pub struct RangeSimulator {
    drive: Drive,
    settings: RangeSettings,
    rng: ChaCha8Rng,
    given: u64,
    weak: u32,
}

impl RangeSimulator {
    /// The range finder of this drive.
    pub fn new(drive: &Drive, settings: RangeSettings) -> Self {
        let settings = RangeSettings { rate_hz: settings.rate_hz.clamp(1.0, 250.0), ..settings };
        Self { drive: drive.clone(), settings, rng: drive.rng_of(4), given: 0, weak: 0 }
    }

    /// The next frame.
    #[expect(clippy::should_implement_trait, reason = "never ends, and says so by its type")]
    pub fn next(&mut self) -> TimedItem {
        self.given += 1;
        let at = Mono(nth_nanos(self.given, self.settings.rate_hz));
        let target = self.target(at.as_secs_f64()).unwrap_or(f64::MAX);
        if self.weak == 0 && self.rng.random_ratio(1, WEAK_EVERY) {
            self.weak = self.rng.random_range(5..40);
        }
        let measured = target + self.rng.random_range(-0.02..0.02);
        let (distance, strength) = if target >= FARTHEST_M - 0.05 {
            // A little farther the sensor still hears an echo and says 12 m; then there is none.
            if target < 1.4 * FARTHEST_M {
                (1200, self.rng.random_range(100..130))
            } else {
                (0, self.rng.random_range(5..60))
            }
        } else if self.weak > 0 || target < NEAREST_M {
            self.weak = self.weak.saturating_sub(1);
            (centimetres(measured), self.rng.random_range(20..100))
        } else {
            let strength = 20_000.0 / (target * target) + self.rng.random_range(150.0..200.0);
            (centimetres(measured), strength as u16)
        };
        let temperature = ((35.0 + 256.0) * 8.0) as u16;
        let bytes = match self.settings.protocol {
            RangeProtocol::Tfmini => Bytes::copy_from_slice(&tfmini_frame(distance, strength, temperature)),
            RangeProtocol::Ascii => Bytes::from(format!("{:.2},{strength}\r\n", f64::from(distance) / 100.0)),
        };
        TimedItem { at, payload: Payload::Serial(bytes) }
    }
}

impl RangeSimulator {
    fn target(&mut self, t: f64) -> Option<f64> {
        let moment = self.drive.moment(t);
        if moment.others.iter().all(|other| other.s - moment.s > 60.0 || other.s < moment.s) {
            return None;
        }
        truth::range(&moment, &Path::new(self.drive.plan(), &moment))
    }
}

fn centimetres(metres: f64) -> u16 {
    (metres * 100.0).round() as u16
}

/// `59 59`, distance in cm, strength, temperature ((°C + 256) x 8), each low byte first, and the sum of it all.
fn tfmini_frame(distance: u16, strength: u16, temperature: u16) -> [u8; 9] {
    let ([d0, d1], [s0, s1], [t0, t1]) = (distance.to_le_bytes(), strength.to_le_bytes(), temperature.to_le_bytes());
    let mut frame = [0x59, 0x59, d0, d1, s0, s1, t0, t1, 0];
    frame[8] = frame.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    frame
}
