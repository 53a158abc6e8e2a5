//! WAV files of any rate, channels and sample format as the app's sound: 16 kHz, mono, signed 16 bit.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use hound::{SampleFormat, WavReader};
use waywarden_components::audio::SAMPLE_RATE;
use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

use super::error::ordinary_file;
use super::resample::Resample;
use super::{ImportError, Place, Reader, TimedItem};

/// Samples in a chunk: 20 ms.
pub const CHUNK: usize = 320;
/// Nanoseconds of a sample at 16 kHz: exact.
const SAMPLE_NS: u64 = 1_000_000_000 / SAMPLE_RATE as u64;
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;
const HINT: &str = "convert it (`ffmpeg -i IN -ar 16000 -ac 1 OUT.wav`)";

/// A reader of WAV files. Channels are averaged, then resampled; 16 kHz mono of 16 bits passes unchanged.
///
/// Each item holds 20 ms (the last one what is left), its time is that of its **last** sample; the first sample of the
/// file is at 0.
pub struct Wav {
    path: PathBuf,
    wav: WavReader<BufReader<File>>,
    /// What full scale is in the file.
    scale: f64,
    resample: Option<Resample>,
    resampled: Vec<f32>,
    ready: VecDeque<i16>,
    /// Samples of one channel read from the file.
    taken: u64,
    /// Samples given so far.
    given: u64,
    unusable: u64,
    ended: bool,
}

impl Wav {
    /// Opens `path` and reads its header.
    ///
    /// # Errors
    /// When it cannot be read, is no WAV, or holds a format that is not known.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        ordinary_file(path)?;
        let wav = WavReader::open(path).map_err(|error| wav_error(path, Place::Whole, error))?;
        let spec = wav.spec();
        if !RATES.contains(&spec.sample_rate) {
            let what = format!("{} samples a second", spec.sample_rate);
            return Err(ImportError::bad(path, Place::Byte(24), what, "4,000 to 384,000 can be read"));
        }
        let scale = match (spec.sample_format, spec.bits_per_sample) {
            (SampleFormat::Float, 32) => 1.0,
            (SampleFormat::Int, bits @ 1..=32) => (1u64 << (bits - 1)) as f64,
            (_, bits) => return Err(ImportError::bad(path, Place::Byte(34), format!("samples of {bits} bits"), HINT)),
        };
        if wav.duration() == 0 {
            return Err(ImportError::bad(path, Place::Whole, "holds no sound", "record or copy it again"));
        }
        let resample = (spec.sample_rate != SAMPLE_RATE).then(|| Resample::new(spec.sample_rate)).transpose();
        let resample = resample.map_err(|error| ImportError::bad(path, Place::Whole, error.to_string(), HINT))?;
        Ok(Self {
            path: path.into(),
            wav,
            scale,
            resample,
            resampled: Vec::new(),
            ready: VecDeque::new(),
            taken: 0,
            given: 0,
            unusable: 0,
            ended: false,
        })
    }

    /// The mean of the channels at the next moment, full scale ±1.
    fn moment(&mut self) -> Result<Option<f64>, ImportError> {
        let spec = self.wav.spec();
        let mut sum = 0.0;
        for channel in 0..spec.channels {
            let sample = match spec.sample_format {
                SampleFormat::Float => self.wav.samples::<f32>().next().map(|sample| sample.map(f64::from)),
                SampleFormat::Int => self.wav.samples::<i32>().next().map(|sample| sample.map(f64::from)),
            };
            match sample {
                Some(Ok(sample)) if sample.is_finite() => sum += sample / self.scale,
                Some(Ok(_)) => self.unusable += 1,
                Some(Err(error)) => return Err(wav_error(&self.path, Place::Sample(self.taken), error)),
                None if channel == 0 => return Ok(None),
                None => break,
            }
        }
        self.taken += 1;
        Ok(Some(sum / f64::from(spec.channels)))
    }

    fn step(&mut self) -> Result<(), ImportError> {
        let moment = self.moment()?;
        self.ended = moment.is_none();
        let Some(resample) = &mut self.resample else {
            self.ready.extend(moment.map(to_i16));
            return Ok(());
        };
        let done = match moment {
            Some(sample) => resample.push(sample as f32, &mut self.resampled),
            None => resample.finish(&mut self.resampled),
        };
        done.map_err(|error| ImportError::bad(&self.path, Place::Sample(self.taken), error.to_string(), HINT))?;
        self.ready.extend(self.resampled.drain(..).map(|sample| to_i16(sample.into())));
        Ok(())
    }
}

impl Iterator for Wav {
    type Item = Result<TimedItem, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.len() < CHUNK && !self.ended {
            if let Err(error) = self.step() {
                self.ended = true;
                self.ready.clear();
                return Some(Err(error));
            }
        }
        let length = self.ready.len().min(CHUNK);
        if length == 0 {
            return None;
        }
        let pcm: Vec<u8> = self.ready.drain(..length).flat_map(i16::to_le_bytes).collect();
        self.given += length as u64;
        let at = Mono((self.given - 1) * SAMPLE_NS);
        Some(Ok(TimedItem { at, payload: Payload::Audio(Bytes::from(pcm)) }))
    }
}

impl Reader for Wav {
    fn warnings(&self) -> Vec<String> {
        let warning = format!("{} samples were no numbers and became silence", self.unusable);
        Some(warning).filter(|_| self.unusable > 0).into_iter().collect()
    }

    fn expected_items(&self) -> Option<u64> {
        let samples = u64::from(self.wav.duration()) * u64::from(SAMPLE_RATE) / u64::from(self.wav.spec().sample_rate);
        Some(samples.div_ceil(CHUNK as u64))
    }

    fn expected_length(&self) -> Option<Duration> {
        Some(Duration::from_secs_f64(f64::from(self.wav.duration()) / f64::from(self.wav.spec().sample_rate)))
    }
}

/// A 16 bit sample out of full scale ±1. 16 bit samples that were divided by 32768 come back as they were.
fn to_i16(sample: f64) -> i16 {
    (sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16
}

fn wav_error(path: &Path, place: Place, error: hound::Error) -> ImportError {
    match error {
        // hound reports the end of the file with an error that it makes itself
        hound::Error::IoError(source) if source.raw_os_error().is_some() => ImportError::io(path, place, source),
        hound::Error::IoError(_) => {
            ImportError::bad(path, place, "ends before its header says", format!("copy it again, or {HINT}"))
        }
        hound::Error::FormatError(what) => ImportError::bad(path, place, format!("is no sound WAV: {what}"), HINT),
        hound::Error::Unsupported => {
            ImportError::bad(path, place, "is compressed, or its samples are of a format that is not known", HINT)
        }
        other => ImportError::bad(path, place, other.to_string(), HINT),
    }
}
