//! A device's frames as the app's sound: 16 kHz, mono, 16 bit, in chunks of 20 ms.

use std::collections::VecDeque;

use bytes::Bytes;
use waywarden_components::audio::SAMPLE_RATE;

use crate::resample::{Resample, to_i16};
use crate::sound::{Granted, samples};

/// Samples in a chunk: 20 ms.
pub const CHUNK: usize = 320;

/// Takes frames, gives chunks. 16 kHz of one channel of 16 bit passes unchanged.
pub struct Converter {
    granted: Granted,
    resample: Option<Resample>,
    resampled: Vec<f32>,
    ready: VecDeque<i16>,
    /// Samples given.
    given: u64,
}

/// What is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Signed 16 bit little endian samples.
    pub pcm: Bytes,
    /// Which of the device's frames, from 0, is at its last sample: 16 kHz and the device's rate do not always meet.
    pub position: f64,
}

impl Converter {
    /// For frames of this kind.
    ///
    /// # Errors
    /// When its rate cannot be converted.
    pub fn new(granted: Granted) -> Result<Self, rubato::ResamplerConstructionError> {
        let resample = (granted.rate != SAMPLE_RATE).then(|| Resample::new(granted.rate)).transpose()?;
        Ok(Self { granted, resample, resampled: Vec::new(), ready: VecDeque::new(), given: 0 })
    }

    /// Takes whole frames.
    ///
    /// # Errors
    /// When the resampler refuses, which it has no reason to.
    pub fn take(&mut self, frames: &[u8]) -> Result<(), rubato::ResampleError> {
        for frame in frames.chunks_exact(self.granted.frame().max(1)) {
            let mean = samples::mean(self.granted.format, frame);
            match &mut self.resample {
                Some(resample) => resample.push(mean as f32, &mut self.resampled)?,
                None => self.ready.push_back(to_i16(mean)),
            }
        }
        self.ready.extend(self.resampled.drain(..).map(|sample| to_i16(sample.into())));
        Ok(())
    }

    /// The next chunk, if there is a whole one.
    pub fn chunk(&mut self) -> Option<Chunk> {
        if self.ready.len() < CHUNK {
            return None;
        }
        let pcm: Vec<u8> = self.ready.drain(..CHUNK).flat_map(i16::to_le_bytes).collect();
        self.given += CHUNK as u64;
        let position = (self.given - 1) as f64 * f64::from(self.granted.rate) / f64::from(SAMPLE_RATE);
        Some(Chunk { pcm: Bytes::from(pcm), position })
    }
}

#[cfg(test)]
mod tests {
    use cpal::SampleFormat;

    use super::*;

    fn granted(rate: u32, channels: u16, format: SampleFormat) -> Granted {
        Granted { rate, channels, format, period: None }
    }

    /// Everything that comes of these frames, taken in pieces of uneven size.
    fn convert(granted: Granted, frames: &[u8]) -> (Vec<i16>, Vec<f64>) {
        let mut converter = Converter::new(granted).unwrap();
        let (mut heard, mut positions) = (Vec::new(), Vec::new());
        let mut rest = frames;
        for piece in [1usize, 500, 37, 2_400].iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(piece * granted.frame()));
            converter.take(now).unwrap();
            while let Some(chunk) = converter.chunk() {
                heard.extend(chunk.pcm.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])));
                positions.push(chunk.position);
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        (heard, positions)
    }

    #[test]
    fn sixteen_kilohertz_mono_passes_bit_for_bit() {
        let samples: Vec<i16> = (0..=u16::MAX).map(|n| n as i16).collect();
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect();
        let (heard, positions) = convert(granted(16_000, 1, SampleFormat::I16), &bytes);
        assert!(heard == samples[..heard.len()]);
        assert_eq!(heard.len(), 65_536 / 320 * 320);
        assert_eq!(positions[..2], [319.0, 639.0]);
    }

    #[test]
    fn sines_of_every_rate_and_format_are_found_again() {
        let kinds = [
            (48_000, 2, SampleFormat::F32),
            (44_100, 2, SampleFormat::I16),
            (8_000, 1, SampleFormat::U8),
            (96_000, 6, SampleFormat::I24),
            (22_050, 1, SampleFormat::F64),
            (384_000, 1, SampleFormat::U32),
        ];
        for (rate, channels, format) in kinds {
            let granted = granted(rate, channels, format);
            let sine =
                |n: usize, rate: u32| libm::sin(std::f64::consts::TAU * 440.0 * n as f64 / f64::from(rate)) * 0.5;
            let mut frames = Vec::new();
            (0..rate as usize).for_each(|n| samples::write(format, channels, sine(n, rate), &mut frames));
            let (heard, positions) = convert(granted, &frames);
            assert!(heard.len() > 15_000, "{rate}: {}", heard.len());
            let off = |n: usize| (f64::from(heard[n]) / 32_768.0 - sine(n, 16_000)).abs();
            let worst = (500..heard.len() - 500).map(off).fold(0.0, f64::max);
            // Eight bits are coarse.
            assert!(worst < if format == SampleFormat::U8 { 0.02 } else { 4e-3 }, "{rate} {format}: off by {worst}");
            assert!((positions[1] - positions[0] - f64::from(rate) / 50.0).abs() < 1e-6);
        }
    }
}
