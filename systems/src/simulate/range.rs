//! A simulated range finder: a Benewake TFmini on the front bumper.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use bytes::Bytes;
use waywarden_components::input::Payload;
use waywarden_components::range::RangeProtocol;
use waywarden_components::time::Mono;

use super::{Drive, nth_nanos};
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
/// How often, on average, a spell of weak signal begins: one frame in this many.
const WEAK_EVERY: u32 = 2_000;

/// A generator of TFmini frames (9 bytes, Benewake TFmini product manual, "standard data output format"), or of the
/// same readings as lines of text.
///
/// It sees the car ahead up to 12 m; without a target it gives distance 0 and a weak signal. Now and then the signal is
/// too weak (below 100) for some frames although there is a target.
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
        Self { drive: drive.clone(), settings, rng: drive.rng(4), given: 0, weak: 0 }
    }

    /// The next frame.
    #[expect(clippy::should_implement_trait, reason = "never ends, and says so by its type")]
    pub fn next(&mut self) -> TimedItem {
        self.given += 1;
        let at = Mono(nth_nanos(self.given, self.settings.rate_hz));
        let target = self.drive.lead_m(at.as_secs_f64());
        if self.weak == 0 && self.rng.random_ratio(1, WEAK_EVERY) {
            self.weak = self.rng.random_range(5..40);
        }
        let noise = self.rng.random_range(-0.02..0.02);
        let (distance, strength) = if target > FARTHEST_M {
            (0, self.rng.random_range(5..60))
        } else if self.weak > 0 {
            self.weak -= 1;
            (centimetres(target + noise), self.rng.random_range(20..100))
        } else {
            let strength = 20_000.0 / (target * target) + self.rng.random_range(150.0..200.0);
            (centimetres(target + noise), strength as u16)
        };
        let temperature = ((35.0 + 256.0) * 8.0) as u16;
        let bytes = match self.settings.protocol {
            RangeProtocol::Tfmini => Bytes::copy_from_slice(&tfmini_frame(distance, strength, temperature)),
            RangeProtocol::Ascii => Bytes::from(format!("{:.2},{strength}\r\n", f64::from(distance) / 100.0)),
        };
        TimedItem { at, payload: Payload::Serial(bytes) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(seed: u64, count: usize) -> Vec<(f64, Vec<u8>)> {
        let mut sensor = RangeSimulator::new(&Drive::new(seed), RangeSettings::default());
        let frame = |item: TimedItem| match item.payload {
            Payload::Serial(bytes) => (item.at.as_secs_f64(), bytes.to_vec()),
            other => panic!("{other:?}"),
        };
        (0..count).map(|_| frame(sensor.next())).collect()
    }

    #[test]
    fn frames_are_sound_and_agree_with_the_drive() {
        let drive = Drive::new(3);
        let (mut seen, mut empty, mut weak) = (0, 0, 0);
        for (n, (at, frame)) in frames(3, 12_000).into_iter().enumerate() {
            assert_eq!(at, (n + 1) as f64 / 100.0);
            assert_eq!((frame.len(), &frame[..2]), (9, [0x59, 0x59].as_slice()));
            assert_eq!(frame[8], frame[..8].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)));
            let (distance, strength) =
                (u16::from_le_bytes([frame[2], frame[3]]), u16::from_le_bytes([frame[4], frame[5]]));
            if distance == 0 {
                empty += 1;
                assert!(drive.lead_m(at) > 12.0 && strength < 100);
            } else {
                assert!((f64::from(distance) / 100.0 - drive.lead_m(at)).abs() < 0.03);
                weak += usize::from(strength < 100);
                seen += usize::from(strength >= 100);
            }
        }
        assert!(seen > 1_000 && empty > 1_000 && weak > 5, "{seen} {empty} {weak}");
    }

    #[test]
    fn seeds_repeat_and_differ() {
        assert_eq!(frames(1, 500), frames(1, 500));
        assert_ne!(frames(1, 500), frames(2, 500));
    }
}
