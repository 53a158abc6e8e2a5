//! How likely somebody speaks in a piece of sound: earshot, a small network over mel features.
//!
//! Here it is compiled like the rest of the arithmetic, which a microphone has done 62 times a second, whatever else happens; where it
//! is used everything is made small.

use earshot::Detector;

/// Samples of a window, at 16 kHz: 16 ms.
pub const WINDOW: usize = 256;

/// The version of earshot that is linked.
pub const VERSION: &str = "1.2.2";

/// Listens to one microphone. The same sound since the last reset gives the same probabilities, bit for bit.
pub struct Earshot(Box<Detector>);

impl Earshot {
    /// One that has heard nothing.
    pub fn new() -> Self {
        Self(Detector::default_boxed())
    }

    /// The probability, 0 to 1, that there is speech in the next [`WINDOW`] samples (16 kHz, mono).
    #[inline(never)]
    pub fn hear(&mut self, window: &[i16]) -> f32 {
        self.0.predict_i16(window)
    }

    /// Forgets what it has heard.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

impl Default for Earshot {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        let entry = format!("name = \"earshot\"\nversion = \"{VERSION}\"\n");
        assert!(lock.contains(&entry), "earshot {VERSION} is not in Cargo.lock");
    }

    /// Noise and a hum by turns, which move it.
    fn sound(samples: usize, seed: u32) -> Vec<i16> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 20) as i16 - 2048
        };
        let saw = |n: usize| ((n * 390) % 16_000) as i16 - 8000;
        (0..samples).map(|n| if (n / 4000) % 2 == 0 { noise() / 16 } else { saw(n).saturating_add(noise()) }).collect()
    }

    #[test]
    fn one_that_was_reset_is_a_new_one() {
        let mut used = Earshot::new();
        let heard: Vec<f32> = sound(8192, 7).as_chunks::<WINDOW>().0.iter().map(|window| used.hear(window)).collect();
        assert!(heard.iter().any(|probability| *probability > 0.1), "something moves it: {heard:?}");
        used.reset();
        let mut new = Earshot::new();
        for window in sound(16_384, 8).as_chunks::<WINDOW>().0 {
            assert_eq!(used.hear(window).to_bits(), new.hear(window).to_bits());
        }
    }
}
