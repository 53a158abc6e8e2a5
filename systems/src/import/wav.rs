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
use super::{ImportError, Place, Reader, TimedItem};
use crate::resample::{Resample, to_i16};

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

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "makes a test signal, of which the last bits do not matter")]
mod tests {
    use hound::{WavSpec, WavWriter};
    use proptest::prelude::*;

    use super::*;

    struct File {
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    fn write(bytes: &[u8]) -> File {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sound.wav");
        std::fs::write(&path, bytes).unwrap();
        File { _folder: folder, path }
    }

    fn wav_bytes(rate: u32, channels: u16, bits: u16, format: SampleFormat, samples: &[f64]) -> Vec<u8> {
        let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format: format };
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
        for &sample in samples {
            match format {
                SampleFormat::Float => writer.write_sample(sample as f32).unwrap(),
                SampleFormat::Int => {
                    let full = (1u64 << (bits - 1)) as f64;
                    writer.write_sample((sample * full).round().clamp(-full, full - 1.0) as i32).unwrap();
                }
            }
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    fn read(bytes: &[u8]) -> Result<(Vec<i16>, Vec<u64>), String> {
        let file = write(bytes);
        let wav = Wav::open(&file.path).map_err(|error| error.to_string())?;
        let expected = wav.expected_items();
        let (mut samples, mut times) = (Vec::new(), Vec::new());
        for item in wav {
            let TimedItem { at, payload: Payload::Audio(pcm) } = item.map_err(|error| error.to_string())? else {
                panic!("something else than sound");
            };
            samples.extend(pcm.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])));
            times.push(at.0);
        }
        assert!(expected.unwrap().abs_diff(times.len() as u64) <= 1);
        Ok((samples, times))
    }

    /// Frequency in hertz by zero crossings, and amplitude by the root mean square, of the middle of 16 kHz sound.
    fn measure(samples: &[i16]) -> (f64, f64) {
        let middle = &samples[1600..samples.len() - 1600];
        let up: Vec<f64> = (1..middle.len())
            .filter(|&n| middle[n - 1] < 0 && middle[n] >= 0)
            .map(|n| n as f64 - f64::from(middle[n]) / f64::from(middle[n] - middle[n - 1]))
            .collect();
        let period = (up[up.len() - 1] - up[0]) / (up.len() - 1) as f64;
        let power = middle.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / middle.len() as f64;
        (16_000.0 / period, (2.0 * power).sqrt() / 32768.0)
    }

    #[test]
    fn sines_keep_frequency_and_level_in_every_format() {
        let formats = [
            (8_000, 1, 16, SampleFormat::Int),
            (16_000, 1, 16, SampleFormat::Int),
            (16_000, 2, 24, SampleFormat::Int),
            (44_100, 2, 16, SampleFormat::Int),
            (48_000, 6, 32, SampleFormat::Float),
            (11_025, 1, 8, SampleFormat::Int),
            (96_000, 2, 32, SampleFormat::Int),
            (4_000, 1, 16, SampleFormat::Int),
            (384_000, 1, 24, SampleFormat::Int),
        ];
        for (rate, channels, bits, format) in formats {
            let moments = rate as usize;
            let sine = |n: usize| (std::f64::consts::TAU * 440.0 * n as f64 / f64::from(rate)).sin() * 0.5;
            let samples: Vec<f64> = (0..moments).flat_map(|n| vec![sine(n); usize::from(channels)]).collect();
            let (out, times) = read(&wav_bytes(rate, channels, bits, format, &samples)).unwrap();
            let (hertz, level) = measure(&out);
            assert!((hertz - 440.0).abs() < 0.05, "{rate} {bits}: {hertz} Hz");
            assert!((level - 0.5).abs() < 0.002, "{rate} {bits}: {level}");
            assert!(out.len().abs_diff(16_000) <= 1, "{rate}: {}", out.len());
            // no delay: the first rising edge is where it was, well within a sample
            assert!(out[4] > 2_000 && out[1] > 0, "{rate}: {:?}", &out[..8]);
            assert_eq!(times[0], 19_937_500);
            assert_eq!(times[1] - times[0], 20_000_000);
        }
    }

    #[test]
    fn sixteen_kilohertz_mono_passes_bit_for_bit() {
        let spec = WavSpec { channels: 1, sample_rate: 16_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let samples: Vec<i16> = (0..=u16::MAX).map(|n| n as i16).collect();
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
        samples.iter().for_each(|&sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        let (out, times) = read(&bytes.into_inner()).unwrap();
        assert!(out == samples);
        assert_eq!(times.len(), 65_536_usize.div_ceil(320));
        assert_eq!(*times.last().unwrap(), 65_535 * 62_500);
    }

    #[test]
    fn channels_are_averaged_and_what_is_no_number_is_silence() {
        let samples = [0.5, -0.25, f64::NAN, 0.5, 4.0, 4.0];
        let file = write(&wav_bytes(16_000, 2, 32, SampleFormat::Float, &samples));
        let mut wav = Wav::open(&file.path).unwrap();
        let Payload::Audio(pcm) = wav.next().unwrap().unwrap().payload else { panic!() };
        let out: Vec<i16> = pcm.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
        assert_eq!(out, [4096, 8192, 32767]);
        assert!(wav.next().is_none());
        assert_eq!(wav.warnings(), ["1 samples were no numbers and became silence"]);
    }

    #[test]
    fn real_recordings_keep_their_length() {
        let Some(data) = crate::import::test_data("data/speech") else { return };
        for (path, seconds) in [("pyannote/sample.wav", 30.0), ("noizeus/clean/sp01.wav", 2.81)] {
            let (out, _) = read(&std::fs::read(data.join(path)).unwrap()).unwrap();
            assert!((out.len() as f64 / 16_000.0 - seconds).abs() < 0.02, "{path}: {}", out.len());
            assert!(out.iter().any(|sample| sample.unsigned_abs() > 2_000));
        }
    }

    #[test]
    fn broken_files_are_one_clear_error() {
        let whole = wav_bytes(8_000, 1, 16, SampleFormat::Int, &[0.25; 4_000]);
        let patched = |at: usize, bytes: &[u8]| {
            let mut copy = whole.clone();
            copy[at..at + bytes.len()].copy_from_slice(bytes);
            copy
        };
        let data = whole.windows(4).position(|four| four == b"data").unwrap();
        let block = 32;
        let cases: [(Vec<u8>, &str); 10] = [
            (vec![], "is empty"),
            (b"\xff\xd8\xff\xe0\x00\x10JFIF".to_vec(), "no RIFF tag"),
            (b"RIFF".to_vec(), "ends before"),
            (whole[..whole.len() - 501].to_vec(), "sample 3749: ends before its header says"),
            (whole[..30].to_vec(), "ends before"),
            (patched(data + 4, &[0xFE, 0xFF, 0xFF, 0xFF]), "sample 4000: ends before its header says"),
            (patched(data + 4, &[0xFF; 4]), "is no sound WAV"),
            (patched(data + 4, &[0; 4]), "holds no sound"),
            (patched(20, &[0x55, 0]), "is compressed"),
            (patched(24, &[0, 1, 0, 0, 0, 2, 0, 0]), "256 samples a second"),
        ];
        assert_eq!(whole[block], 2, "the header has the layout that the cases take for granted");
        for (bytes, expected) in cases {
            let error = read(&bytes).unwrap_err();
            assert!(error.contains(expected) && error.contains("sound.wav"), "{error} lacks {expected}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200), flip in 0usize..60, value in any::<u8>()) {
            let _ = read(&bytes);
            let mut wav = wav_bytes(8_000, 1, 16, SampleFormat::Int, &[0.25; 400]);
            wav[flip] = value;
            let _ = read(&wav);
        }
    }
}
