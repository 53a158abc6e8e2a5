//! What a device is asked for, of all that it offers.

use cpal::{SAMPLE_RATE_48K, SampleFormat, SampleRate, SupportedBufferSize, SupportedStreamConfigRange};
use waywarden_components::audio::SAMPLE_RATE;

use super::RATES;

/// Callbacks a second: a period of 50 ms, of which ALSA's buffer holds two. With it no sample was lost on a busy computer,
/// while what devices choose themselves is often too short for one.
const PERIODS: u32 = 20;

/// What a stream of a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    /// Samples of each channel a second.
    pub rate: SampleRate,
    /// Channels.
    pub channels: u16,
    /// How a sample is written.
    pub format: SampleFormat,
    /// Frames of a callback; the device's own choice if it does not say what it can.
    pub period: Option<u32>,
}

impl Granted {
    /// Bytes of one sample of all channels.
    pub fn frame(&self) -> usize {
        self.format.sample_size() * usize::from(self.channels)
    }

    /// As cpal wants it.
    pub fn config(&self) -> cpal::StreamConfig {
        cpal::StreamConfig {
            channels: self.channels,
            sample_rate: self.rate,
            buffer_size: self.period.map_or(cpal::BufferSize::Default, cpal::BufferSize::Fixed),
        }
    }

    /// For a person.
    pub fn describe(&self) -> String {
        let channels = if self.channels == 1 { "channel" } else { "channels" };
        format!("{} Hz, {} {channels}, {}", self.rate, self.channels, self.format)
    }
}

/// What of `offers` is taken; none if there is nothing that can be used.
///
/// With a `rate` it is that one, of as few channels as there are, as near to 16 bit as there is. Without it hardware
/// (`hw:`) is taken at 16 kHz likewise, if it has that itself. Everything else converts by means of its own, not always
/// good ones, and is taken as cpal recommends: two channels, floating point, 48 kHz.
pub(crate) fn choose(offers: &[SupportedStreamConfigRange], rate: Option<u32>, hardware: bool) -> Option<Granted> {
    let usable = || offers.iter().filter(|offer| readable(offer.sample_format()) && offer.channels() > 0);
    let at = |rate: u32| {
        let best = usable()
            .filter(|offer| RATES.contains(&rate) && offer.contains_rate(rate))
            .min_by_key(|offer| (offer.channels(), distance(offer.sample_format())))?;
        Some(granted(best, rate))
    };
    if let Some(rate) = rate {
        return at(rate);
    }
    if let Some(granted) = hardware.then(|| at(SAMPLE_RATE)).flatten() {
        return Some(granted);
    }
    let convertible = |offer: &&SupportedStreamConfigRange| {
        offer.min_sample_rate() <= *RATES.end() && offer.max_sample_rate() >= *RATES.start()
    };
    let best = usable().filter(convertible).max_by(|a, b| a.cmp_default_heuristics(b))?;
    let standard = [SAMPLE_RATE_48K, cpal::SAMPLE_RATE_CD].into_iter().find(|&rate| best.contains_rate(rate));
    Some(granted(best, standard.unwrap_or_else(|| best.max_sample_rate().min(*RATES.end()))))
}

fn granted(offer: &SupportedStreamConfigRange, rate: u32) -> Granted {
    let period = match offer.buffer_size() {
        SupportedBufferSize::Range { min, max } => Some((rate / PERIODS).clamp(*min, (*max).max(*min))),
        SupportedBufferSize::Unknown => None,
    };
    Granted { rate, channels: offer.channels(), format: offer.sample_format(), period }
}

/// Whether samples of this format can be read: the bit streams of DSD cannot.
fn readable(format: SampleFormat) -> bool {
    format.is_int() || format.is_uint() || format.is_float()
}

/// How far a format is from 16 bit, which is what is made of it.
fn distance(format: SampleFormat) -> u8 {
    match format {
        SampleFormat::I16 => 0,
        SampleFormat::U16 => 1,
        SampleFormat::I24 | SampleFormat::I32 => 2,
        SampleFormat::F32 => 3,
        SampleFormat::I8 | SampleFormat::U8 => 5,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(channels: u16, min: u32, max: u32, format: SampleFormat) -> SupportedStreamConfigRange {
        SupportedStreamConfigRange::new(channels, min, max, SupportedBufferSize::Range { min: 16, max: 4096 }, format)
    }

    /// What ALSA's plugins say: anything.
    fn anything() -> Vec<SupportedStreamConfigRange> {
        use SampleFormat::*;
        let formats = [I8, U8, I16, U16, I24, U24, I32, U32, F32, F64, DsdU8];
        formats
            .iter()
            .flat_map(|&format| (1..=8).map(move |channels| offer(channels, 4_000, 655_350, format)))
            .collect()
    }

    #[test]
    fn a_rate_that_is_asked_for_is_taken_plainly() {
        let granted = choose(&anything(), Some(16_000), false).unwrap();
        let expected = Granted { rate: 16_000, channels: 1, format: SampleFormat::I16, period: Some(800) };
        assert_eq!(granted, expected);
        assert_eq!(choose(&anything(), Some(1_000), false), None);
        assert_eq!(choose(&[offer(2, 48_000, 48_000, SampleFormat::I32)], Some(16_000), true), None);
    }

    #[test]
    fn hardware_that_has_16_khz_is_taken_at_that() {
        let usb = [
            offer(2, 48_000, 48_000, SampleFormat::I16),
            offer(2, 16_000, 16_000, SampleFormat::I16),
            offer(1, 16_000, 16_000, SampleFormat::I24),
        ];
        let granted = choose(&usb, None, true).unwrap();
        assert_eq!((granted.rate, granted.channels, granted.format), (16_000, 1, SampleFormat::I24));
    }

    #[test]
    fn what_converts_itself_is_taken_as_recommended() {
        let granted = choose(&anything(), None, false).unwrap();
        let expected = Granted { rate: 48_000, channels: 2, format: SampleFormat::F32, period: Some(2_400) };
        assert_eq!(granted, expected);
        let old = [offer(2, 8_000, 44_100, SampleFormat::I16), offer(1, 8_000, 44_100, SampleFormat::I16)];
        assert_eq!(choose(&old, None, false).unwrap().rate, 44_100);
        let odd = [offer(6, 32_000, 32_000, SampleFormat::U8)];
        assert_eq!(choose(&odd, None, true).unwrap().describe(), "32000 Hz, 6 channels, u8");
    }

    #[test]
    fn what_cannot_be_read_is_not_taken() {
        assert_eq!(choose(&[], None, true), None);
        assert_eq!(choose(&[offer(2, 352_800, 352_800, SampleFormat::DsdU8)], None, true), None);
        assert_eq!(choose(&[offer(2, 705_600, 768_000, SampleFormat::I32)], None, true), None);
    }

    #[test]
    fn the_period_is_one_that_the_device_has() {
        let small = SupportedBufferSize::Range { min: 16, max: 512 };
        let offers = [SupportedStreamConfigRange::new(1, 48_000, 48_000, small, SampleFormat::I16)];
        assert_eq!(choose(&offers, None, true).unwrap().period, Some(512));
        let silent =
            [SupportedStreamConfigRange::new(1, 48_000, 48_000, SupportedBufferSize::Unknown, SampleFormat::I16)];
        assert_eq!(choose(&silent, None, true).unwrap().config().buffer_size, cpal::BufferSize::Default);
    }
}
