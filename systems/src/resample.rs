//! Sound of any rate to the app's 16 kHz, mono, and from there to a loudspeaker's rate.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Indexing, Resampler, SincInterpolationParameters, WindowFunction};
use waywarden_components::audio::SAMPLE_RATE;

/// Samples that come out at a time: 20 ms.
const BLOCK: usize = 320;
/// Length of the filter, in samples of the slower rate. 256 keep 90 % of the band.
const FILTER: usize = 256;

/// A streaming resampler (windowed sinc) whose output begins with its input: the filter's delay is taken out to a
/// fraction of a sample, and as much comes out as the input is long.
pub(crate) struct Resample {
    inner: Async<f32>,
    /// Samples of the input's rate that wait for a full block.
    waiting: Vec<f32>,
    out: Vec<f32>,
    /// Samples still to be dropped from the start of the output.
    skip: usize,
    rate: u64,
    rate_out: u64,
    taken: u64,
    given: u64,
}

impl Resample {
    /// A resampler from `rate` samples a second to the app's.
    pub fn new(rate: u32) -> Result<Self, rubato::ResamplerConstructionError> {
        Self::between(rate, SAMPLE_RATE)
    }

    /// A resampler from `rate` to `rate_out` samples a second.
    pub fn between(rate: u32, rate_out: u32) -> Result<Self, rubato::ResamplerConstructionError> {
        let ratio = f64::from(rate_out) / f64::from(rate);
        let length = (FILTER as f64 * (1.0 / ratio).max(1.0)).round() as usize;
        let filter = SincInterpolationParameters::new(length, WindowFunction::BlackmanHarris2).oversampling_factor(256);
        let inner = Async::new_sinc(ratio, 1.0, &filter, BLOCK, 1, FixedAsync::Output)?;

        // The resampler's n-th output, from 0, is the input at (n + 1) / ratio - delay (measured; 1/256 of a sample
        // less). Silence is put ahead of the input so that input 0 falls exactly on an output, which becomes output 0.
        let delay = length.next_multiple_of(8) / 2;
        let common = gcd(rate, rate_out);
        let (step_in, step_out) = ((rate / common) as usize, (rate_out / common) as usize);
        let steps = delay.div_ceil(step_in);
        let silence = steps * step_in - delay;
        Ok(Self {
            inner,
            waiting: vec![0.0; silence],
            out: vec![0.0; BLOCK],
            skip: steps * step_out - 1,
            rate: rate.into(),
            rate_out: rate_out.into(),
            taken: 0,
            given: 0,
        })
    }

    /// Takes one sample, -1 to 1; what became ready is appended to `ready`.
    pub fn push(&mut self, sample: f32, ready: &mut Vec<f32>) -> Result<(), rubato::ResampleError> {
        self.taken += 1;
        self.waiting.push(sample);
        if self.waiting.len() >= self.inner.input_frames_next() { self.block(ready) } else { Ok(()) }
    }

    /// The input has ended: appends the rest, so that all together lasts as long as the input, rounded to a sample.
    pub fn finish(&mut self, ready: &mut Vec<f32>) -> Result<(), rubato::ResampleError> {
        let total = (self.taken * self.rate_out + self.rate / 2) / self.rate;
        let before = ready.len();
        while self.given < total {
            self.block(ready)?;
        }
        let surplus = usize::try_from(self.given - total).unwrap_or(usize::MAX);
        ready.truncate(ready.len().saturating_sub(surplus).max(before));
        Ok(())
    }

    /// Puts a block through; what is missing of it is silence.
    fn block(&mut self, ready: &mut Vec<f32>) -> Result<(), rubato::ResampleError> {
        let available = self.waiting.len().min(self.inner.input_frames_next());
        let needed = Indexing::new().partial_len(available);
        #[expect(clippy::expect_used, reason = "cannot fail: the slice is as long as is said")]
        let input = InterleavedSlice::new(&self.waiting, 1, available).expect("`available` samples are waiting");
        #[expect(clippy::expect_used, reason = "cannot fail: the slice is as long as is said")]
        let mut output = InterleavedSlice::new_mut(&mut self.out, 1, BLOCK).expect("`out` holds a block");
        let (_, made) = self.inner.process_into_buffer(&input, &mut output, Some(&needed))?;
        self.waiting.drain(..available);
        let skipped = self.skip.min(made);
        self.skip -= skipped;
        ready.extend_from_slice(&self.out[skipped..made]);
        self.given += (made - skipped) as u64;
        Ok(())
    }
}

/// A 16 bit sample out of full scale ±1. 16 bit samples that were divided by 32768 come back as they were.
pub(crate) fn to_i16(sample: f64) -> i16 {
    (sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "makes a test signal, of which the last bits do not matter")]
mod tests {
    use super::*;

    fn resample(rate: u32, samples: impl Iterator<Item = f32>) -> Vec<f32> {
        run(Resample::new(rate).unwrap(), samples)
    }

    fn run(mut resample: Resample, samples: impl Iterator<Item = f32>) -> Vec<f32> {
        let mut ready = Vec::new();
        for sample in samples {
            resample.push(sample, &mut ready).unwrap();
        }
        resample.finish(&mut ready).unwrap();
        ready
    }

    #[test]
    fn a_sine_keeps_its_phase_level_and_length() {
        for rate in [4_000, 8_000, 11_025, 16_001, 22_050, 44_100, 48_000, 96_000, 384_000u32] {
            let hertz = 1000.0;
            let sine = |n: usize, rate: u32| (std::f64::consts::TAU * hertz * n as f64 / f64::from(rate)).sin() * 0.5;
            let length = rate as usize / 2 + 7;
            let out = resample(rate, (0..length).map(|n| sine(n, rate) as f32));
            let expected = length as f64 * 16_000.0 / f64::from(rate);
            assert!((out.len() as f64 - expected).abs() <= 0.5, "{rate}: {} instead of {expected}", out.len());
            let middle = 1000..out.len() - 1000;
            let worst = middle.map(|n| (f64::from(out[n]) - sine(n, 16_000)).abs()).fold(0.0, f64::max);
            assert!(worst < 4e-3, "{rate}: off by {worst}");
        }
    }

    #[test]
    fn to_the_rate_of_a_loudspeaker_likewise() {
        for rate in [8_000, 44_100, 48_000, 96_000u32] {
            let sine = |n: usize, rate: u32| (std::f64::consts::TAU * 700.0 * n as f64 / f64::from(rate)).sin() * 0.5;
            let out = run(Resample::between(16_000, rate).unwrap(), (0..8_000).map(|n| sine(n, 16_000) as f32));
            assert!((out.len() as f64 - f64::from(rate) / 2.0).abs() <= 0.5, "{rate}: {}", out.len());
            let worst = (1000..out.len() - 1000).map(|n| (f64::from(out[n]) - sine(n, rate)).abs()).fold(0.0, f64::max);
            assert!(worst < 4e-3, "{rate}: off by {worst}");
        }
    }

    #[test]
    fn what_16_khz_cannot_hold_is_filtered_out() {
        let sine = |n: usize| (std::f64::consts::TAU * 9_500.0 * n as f64 / 48_000.0).sin() as f32;
        let out = resample(48_000, (0..48_000).map(sine));
        let worst = out[1000..15_000].iter().fold(0.0f32, |worst, sample| worst.max(sample.abs()));
        assert!(worst < 1e-3, "{worst}");
    }
}
