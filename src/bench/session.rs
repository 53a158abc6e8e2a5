//! The folder that is run: `frames/*.jpg`, `audio.wav`, `gps.nmea`, `session.json`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::failure::Failure;

/// Samples in a piece of sound: 20 ms.
const CHUNK: usize = 320;

/// The least and the most pictures a second that are believed.
const FPS: std::ops::RangeInclusive<f64> = 1.0..=1000.0;

/// What is in the folder, but for the pictures, which are read when they are due.
pub struct Session {
    /// Pictures a second.
    pub fps: f64,
    /// The pictures, in order.
    pub frames: Arc<[PathBuf]>,
    /// Sound in pieces of 20 ms: signed 16 bit little endian, 16 kHz, mono.
    pub sound: Arc<[Bytes]>,
    /// Sentences, and how long after the first fix each is due.
    pub lines: Arc<[(Duration, Bytes)]>,
}

#[derive(Deserialize)]
struct Facts {
    fps: f64,
}

impl Session {
    /// Reads the folder; only the first `limit` pictures, and what belongs to them.
    ///
    /// # Errors
    /// When something of it is missing, or is not what it is to be.
    pub fn open(folder: &Path, limit: Option<usize>) -> Result<Self, Failure> {
        let facts = folder.join("session.json");
        let text = std::fs::read_to_string(&facts).map_err(|error| missing(&facts, &error))?;
        let facts: Facts =
            serde_json::from_str(&text).map_err(|error| Failure::bad_input(format!("{}: {error}", facts.display())))?;
        let fps = facts.fps;
        if !FPS.contains(&fps) {
            return Err(Failure::bad_input(format!("session.json: fps is {fps}: 1 to 1000 are played")));
        }
        let mut frames = frames(&folder.join("frames"))?;
        frames.truncate(limit.unwrap_or(usize::MAX));
        if frames.is_empty() {
            return Err(Failure::bad_input(format!("{}: no picture in it", folder.join("frames").display())));
        }
        let length = Duration::from_secs_f64(frames.len() as f64 / fps);
        let mut sound = sound(&folder.join("audio.wav"))?;
        sound.truncate((length.as_millis() / 20) as usize);
        let mut lines = lines(&folder.join("gps.nmea"))?;
        lines.retain(|(at, _)| *at < length);
        Ok(Self { fps, frames: frames.into(), sound: sound.into(), lines: lines.into() })
    }

    /// Reads every picture once, so that the disk is not measured.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn warm(&self) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        for path in self.frames.iter() {
            bytes.clear();
            std::fs::File::open(path)
                .and_then(|mut file| file.read_to_end(&mut bytes))
                .map_err(|error| missing(path, &error))?;
        }
        Ok(())
    }
}

fn missing(path: &Path, error: &std::io::Error) -> Failure {
    Failure::bad_input(format!("{}: {error}", path.display()))
        .hint("a session is a folder with frames/*.jpg, audio.wav, gps.nmea and session.json")
}

fn frames(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| missing(folder, &error))?;
    let mut frames = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        if matches!(ending.as_str(), "jpg" | "jpeg") {
            frames.push(path);
        }
    }
    frames.sort_unstable();
    Ok(frames)
}

fn sound(path: &Path) -> Result<Vec<Bytes>, Failure> {
    let wrong = |error: String| Failure::bad_input(format!("{}: {error}", path.display()));
    let mut wav = hound::WavReader::open(path).map_err(|error| wrong(error.to_string()))?;
    let spec = wav.spec();
    if (spec.channels, spec.sample_rate, spec.bits_per_sample) != (1, 16_000, 16) {
        return Err(wrong("16 kHz, mono, 16 bit is played".to_owned()));
    }
    let samples: Result<Vec<i16>, _> = wav.samples().collect();
    let samples = samples.map_err(|error| wrong(error.to_string()))?;
    let bytes = |chunk: &[i16]| chunk.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>().into();
    Ok(samples.chunks_exact(CHUNK).map(bytes).collect())
}

/// Sentences and when each is due. One without a time is due with the one before it.
fn lines(path: &Path) -> Result<Vec<(Duration, Bytes)>, Failure> {
    let text = std::fs::read(path).map_err(|error| missing(path, &error))?;
    let text = String::from_utf8_lossy(&text);
    let (mut first, mut at, mut lines) = (None, 0.0, Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(time) = time_of_day(line) {
            at = (time - *first.get_or_insert(time)).rem_euclid(86_400.0);
        }
        lines.push((Duration::from_secs_f64(at), Bytes::from(format!("{line}\r\n"))));
    }
    Ok(lines)
}

/// Seconds since midnight UTC that a sentence of a fix says.
fn time_of_day(line: &str) -> Option<f64> {
    let fields: Vec<&str> = line.split(',').collect();
    let time = match fields.first()?.get(3..)? {
        "GGA" | "RMC" => fields.get(1)?,
        "GLL" => fields.get(5)?,
        _ => return None,
    };
    let number = |part: Option<&str>| part?.parse::<f64>().ok();
    Some(number(time.get(..2))? * 3600.0 + number(time.get(2..4))? * 60.0 + number(time.get(4..))?)
}

#[cfg(test)]
mod tests {
    use super::time_of_day;

    #[test]
    fn only_sentences_of_fixes_have_a_time() {
        assert_eq!(time_of_day("$GNGGA,080000.10,2101.71000,N,10551.25200,E,1"), Some(28_800.1));
        assert_eq!(time_of_day("$GPGLL,3751.65,S,14507.36,E,225444,A"), Some(82_484.0));
        for other in ["$GNVTG,40.00,T,,M", "$GNRMC,,V,,,,", "$", "", "$GPGGA,1"] {
            assert_eq!(time_of_day(other), None, "{other}");
        }
    }
}
