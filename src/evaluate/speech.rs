//! Speech: what the app hears in recordings, window by window and as utterances, against where somebody speaks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use waywarden_components::prelude::*;
use waywarden_perception::labels::{rttm, tenvad};
use waywarden_perception::score::speech::{
    Confusion, FRAME_NS, Span, auc, best_threshold, frames, join, spans, spread, start_delays,
};
use waywarden_perception::score::{Share, Tally};

use super::files;
use super::runner::{Listened, Runner};
use super::table::{Goal, Sheet};
use crate::config::VoiceDetector;
use crate::failure::Failure;

/// The share of the time in which nobody speaks that utterances may take up at most, by the default detector in a car.
const FALSE_ACTIVE_GOAL: Goal = Goal::AtMost(0.01);
/// The share of starts that are to be found in time.
const START_GOAL: Goal = Goal::AtLeast(1.0);
/// How late or early a start may be found, in nanoseconds, and how early it may be to be one at all.
const IN_TIME_NS: u64 = 150_000_000;
const EARLY_NS: u64 = 300_000_000;
/// Pauses below it are no pauses, in nanoseconds.
const PAUSE_NS: u64 = 300_000_000;
/// Seconds of silence behind a recording: what is said at its end is over there.
const TAIL_S: u32 = 1;
/// Intervals are drawn over pieces of so many nanoseconds, where a recording has no sentences.
const PIECE_NS: u64 = 10_000_000_000;
/// Sentences of NOIZEUS on which the thresholds of the config were chosen, and the others.
const CHOSEN_ON: u32 = 15;
/// Largest file that is read into memory, in samples.
const MOST_SAMPLES: usize = 200_000_000;
const HINT: &str = "take it out of the folder, or get it anew";

/// A recording, and where somebody speaks in it.
struct Recording {
    name: String,
    rate: u32,
    samples: Vec<i16>,
    speech: Vec<Span>,
    /// Where the sentences or pieces end.
    pieces: Vec<u64>,
    /// Whether it is the noise of a car.
    car: bool,
}

impl Recording {
    fn new(name: String, (rate, samples): (u32, Vec<i16>), speech: Vec<Span>) -> Self {
        let length = ns(samples.len(), rate);
        let pieces = (1..=length.div_ceil(PIECE_NS)).map(|n| n * PIECE_NS).collect();
        Self { name, rate, samples, speech: join(&speech, PAUSE_NS), pieces, car: false }
    }

    fn length(&self) -> u64 {
        ns(self.samples.len(), self.rate) / FRAME_NS * FRAME_NS
    }
}

fn ns(samples: usize, rate: u32) -> u64 {
    samples as u64 * 1_000_000_000 / u64::from(rate.max(1))
}

/// Measures on a folder of WAV files with labels beside them, at any depth.
///
/// # Errors
/// When a file is not what it should be, or the app fails.
pub fn speech(folder: &Path, runner: &Runner, sheet: &mut Sheet) -> Result<(), Failure> {
    let mut recordings = Vec::new();
    for file in files::find(folder, ".wav")? {
        let beside = |ending: &str| Some(file.with_extension(ending)).filter(|path| path.is_file());
        let ns = |seconds: f64| (seconds * 1e9) as u64;
        let speech: Vec<Span> = if let Some(path) = beside("rttm") {
            let name = files::stem(&file);
            let turns = files::read(&path, rttm::turns)?.into_iter().filter(|turn| turn.recording == name);
            turns.map(|turn| ns(turn.start_s)..ns(turn.start_s + turn.length_s)).collect()
        } else if let Some(path) = beside("scv") {
            let stretches = files::read(&path, tenvad::stretches)?.into_iter().filter(|stretch| stretch.speech);
            stretches.map(|stretch| ns(stretch.start_s)..ns(stretch.end_s)).collect()
        } else {
            continue;
        };
        recordings.push(Recording::new(files::name(&file), wav(&file)?, speech));
    }
    if recordings.is_empty() {
        return Err(files::nothing(folder, "are WAV files, with `.rttm` or `.scv` beside each"));
    }
    measure("speech", &recordings, runner, sheet)
}

/// Measures on a recording in which nobody speaks.
///
/// # Errors
/// When it cannot be read, or the app fails.
pub fn noise(file: &Path, runner: &Runner, sheet: &mut Sheet) -> Result<(), Failure> {
    measure("noise", &[Recording::new(files::name(file), wav(file)?, Vec::new())], runner, sheet)
}

/// Measures on NOIZEUS: the sentences clean and in each noise, and each noise alone. Each sentence stands behind a second of its
/// noise, which is what is noisy without what is clean.
///
/// # Errors
/// When a file is not what it should be, or the app fails.
pub fn noizeus(folder: &Path, runner: &Runner, sheet: &mut Sheet) -> Result<(), Failure> {
    let clean = numbered(&folder.join("clean"))?;
    if clean.is_empty() {
        return Err(files::nothing(
            folder,
            "is `clean`, with `sp01.wav` and so on, beside folders with the same in noise",
        ));
    }
    let mut recordings = Vec::new();
    let halves = [("chosen on", 1..=CHOSEN_ON), ("reported", CHOSEN_ON + 1..=u32::MAX)];
    for (half, numbers) in halves {
        let sentences: BTreeMap<u32, &PathBuf> =
            clean.iter().filter(|(n, _)| numbers.contains(n)).map(|(n, path)| (*n, path)).collect();
        let (Some(first), Some(last)) = (sentences.keys().next(), sentences.keys().next_back()) else { continue };
        let of = format!("sentences {first} to {last}, {half}");
        for noisy in files::list(folder)?.iter().filter(|path| path.is_dir()) {
            let noise = files::name(noisy);
            let files = numbered(noisy)?;
            let [speech, alone] = in_noise(&noise, &of, &sentences, &files)?;
            recordings.push(speech);
            if noise != "clean" {
                recordings.push(alone);
            }
        }
    }
    measure("NOIZEUS", &recordings, runner, sheet)
}

/// The sentences of a noise, and that noise alone.
fn in_noise(
    noise: &str,
    of: &str,
    clean: &BTreeMap<u32, &PathBuf>,
    noisy: &BTreeMap<u32, PathBuf>,
) -> Result<[Recording; 2], Failure> {
    let (mut samples, mut alone, mut speech, mut pieces) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut rate = 0;
    for (number, clean) in clean {
        let Some(path) = noisy.get(number) else { continue };
        let ((clean_rate, clean), (noisy_rate, heard)) = (wav(clean)?, wav(path)?);
        if clean_rate != noisy_rate || (rate != 0 && rate != noisy_rate) {
            let what = format!("{}: has {noisy_rate} samples a second, others have {clean_rate}", path.display());
            return Err(Failure::bad_input(what).hint(HINT));
        }
        rate = noisy_rate;
        let rest: Vec<i16> = heard.iter().zip(&clean).map(|(a, b)| a.saturating_sub(*b)).collect();
        samples.extend(rest.iter().cycle().take(if rest.is_empty() { 0 } else { rate as usize }));
        let start = ns(samples.len(), rate);
        speech.extend(loud(&clean, rate).into_iter().map(|span| start + span.start..start + span.end));
        samples.extend(heard);
        pieces.push(ns(samples.len(), rate));
        alone.extend(rest);
    }
    let car = noise.starts_with("car");
    let recording = Recording::new(format!("{noise}, {of}"), (rate, samples), speech);
    let noise = Recording::new(format!("{noise} alone, {of}"), (rate, alone), Vec::new());
    Ok([Recording { pieces, car, ..recording }, Recording { car, ..noise }])
}

/// Speech in a clean recording, by its energy: frames of 10 ms within 35 dB of the loudest, pauses closed.
fn loud(clean: &[i16], rate: u32) -> Vec<Span> {
    let frame = (rate / 100).max(1) as usize;
    let energy = |frame: &[i16]| frame.iter().map(|s| f64::from(*s) * f64::from(*s)).sum::<f64>() / frame.len() as f64;
    let energies: Vec<f64> = clean.chunks(frame).map(energy).collect();
    let loudest = energies.iter().copied().fold(0.0, f64::max);
    let loud: Vec<bool> = energies.iter().map(|e| *e > loudest / libm::exp10(3.5)).collect();
    join(&spans(&loud), PAUSE_NS)
}

/// The files of a folder of NOIZEUS by the number of their sentence: `sp07_car_sn0.wav` is number 7.
fn numbered(folder: &Path) -> Result<BTreeMap<u32, PathBuf>, Failure> {
    let number = |path: &PathBuf| {
        let name = files::name(path);
        let digits: String = name.strip_prefix("sp")?.chars().take_while(char::is_ascii_digit).collect();
        Some((digits.parse().ok()?, path.clone()))
    };
    Ok(files::find(folder, ".wav")?.iter().filter_map(number).collect())
}

/// The sound in a WAV file of 16 bits and one channel.
fn wav(path: &Path) -> Result<(u32, Vec<i16>), Failure> {
    let bad = |what: String| Failure::bad_input(format!("{}: {what}", path.display())).hint(HINT);
    let mut reader = hound::WavReader::open(path).map_err(|error| bad(format!("is no WAV: {error}")))?;
    let spec = reader.spec();
    if spec.channels != 1 || spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
        return Err(bad("is not of 16 bits and one channel".to_owned()));
    }
    if reader.len() as usize > MOST_SAMPLES {
        return Err(bad("is too long".to_owned()));
    }
    let samples = reader.samples::<i16>().collect::<Result<Vec<_>, _>>();
    Ok((spec.sample_rate, samples.map_err(|error| bad(format!("breaks off: {error}")))?))
}

/// Has the recordings listened to by each detector that is here, and scores what came of it.
fn measure(data: &str, recordings: &[Recording], runner: &Runner, sheet: &mut Sheet) -> Result<(), Failure> {
    let file = runner.file("sound.wav");
    for recording in recordings {
        write(&file, recording)?;
        for detector in [VoiceDetector::Earshot, VoiceDetector::Silero] {
            if let Some(heard) = runner.listen(&recording.name, &file, detector)? {
                let is_default = detector == VoiceDetector::Earshot;
                rows(data, recording, &heard, is_default, sheet);
            }
        }
    }
    Ok(())
}

fn write(file: &Path, recording: &Recording) -> Result<(), Failure> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: recording.rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let failed = |error: hound::Error| Failure::running(format!("{}: {error}", file.display()));
    let mut writer = hound::WavWriter::create(file, spec).map_err(failed)?;
    let tail = std::iter::repeat_n(0, (recording.rate * TAIL_S) as usize);
    for sample in recording.samples.iter().copied().chain(tail) {
        writer.write_sample(sample).map_err(failed)?;
    }
    writer.finalize().map_err(failed)
}

fn rows(data: &str, recording: &Recording, heard: &Listened, is_default: bool, sheet: &mut Sheet) {
    let length = recording.length();
    let truth = frames(&recording.speech, length);
    let window = ns(heard.sound.window_samples as usize, SAMPLE_RATE);
    // Imported sound has no holes: windows follow each other from the first sample on.
    let probabilities = heard.sound.windows.values().flatten();
    let windows: Vec<(u64, u64, f32)> = (1..).zip(probabilities).map(|(n, p)| (n * window, window, *p)).collect();
    let scores = spread(&windows, length);
    let begun = heard.sound.begun.unwrap_or_default();
    let since = |at: Mono| u64::try_from(at.since(begun).as_nanos()).unwrap_or(u64::MAX);
    let found: Vec<Span> = heard.sound.utterances.values().map(|(from, until)| since(*from)..since(*until)).collect();
    let said = frames(&found, length);
    let pieces = pieces(recording, length);
    let each: Vec<Confusion> = pieces
        .iter()
        .map(|piece| {
            let part = |all: &[bool]| all.get(piece.clone()).unwrap_or_default().to_vec();
            Confusion::of(&part(&truth), &part(&said))
        })
        .collect();
    let mut part = sheet.part(data, &format!("{}, {}", recording.name, heard.detector), &[]);
    if recording.speech.is_empty() {
        let active: Vec<Share> = each.iter().map(Confusion::active).collect();
        part.share("utterances: false-active share", &active, "frames");
        if is_default && recording.car {
            part.goal(FALSE_ACTIVE_GOAL);
        }
        return;
    }
    let n = (truth.len() as u64, "frames");
    part.figure("windows: AUC", "", auc(&truth, &scores), None, n);
    let thresholds: Vec<f32> = (1..100).map(|n| n as f32 / 100.0).collect();
    let raw = best_threshold(&truth, &scores, &thresholds);
    let at = raw.map_or(0.0, |(at, _)| at);
    part.figure(format!("windows: F1 at their best threshold, {at:.2}"), "", raw.map(|(_, f1)| f1), None, n);
    let tallies: Vec<Tally> = each.iter().map(Confusion::tally).collect();
    part.tally("utterances", &tallies, "frames", "frames");
    if let Some((_, f1)) = raw {
        part.goal(Goal::AtLeast((f1 * 1e3).round() / 1e3));
    }
    let active: Vec<Share> = each.iter().map(Confusion::active).collect();
    part.share("utterances: false-active share", &active, "frames");
    let delays = start_delays(&recording.speech, &found, EARLY_NS);
    let in_time: Vec<Share> =
        delays.iter().map(|delay| Share::one(delay.is_some_and(|delay| delay.unsigned_abs() <= IN_TIME_NS))).collect();
    part.share("starts: found within 150 ms", &in_time, "starts").goal(START_GOAL);
    let mut late: Vec<i64> = delays.iter().flatten().copied().collect();
    late.sort_unstable();
    let median = late.get(late.len() / 2).map(|delay| *delay as f64 / 1e9);
    part.figure("starts: found so late, median", "s", median, None, (late.len() as u64, "starts found"));
}

/// The frames of each piece.
fn pieces(recording: &Recording, length: u64) -> Vec<std::ops::Range<usize>> {
    let frame = |at: u64| (at.min(length) / FRAME_NS) as usize;
    let mut from = 0;
    let ends = recording.pieces.iter().map(|end| frame(*end));
    ends.map(|end| std::mem::replace(&mut from, end)..end).filter(|piece| !piece.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use waywarden_perception::score::sum;

    use super::*;

    #[test]
    fn loud_is_what_is_near_the_loudest() {
        // 100 ms of silence, 200 ms of sound, 100 ms of silence, 1 s later a whisper 40 dB below.
        let sound = |amplitude: i16, samples: usize| [amplitude, -amplitude].repeat(samples / 2);
        let clean = [sound(0, 800), sound(10_000, 1600), sound(0, 800), sound(90, 8000)].concat();
        assert_eq!(loud(&clean, 8000), [100_000_000..300_000_000]);
        assert_eq!(loud(&[], 8000), Vec::<Span>::new());
    }

    #[test]
    fn pieces_cover_all_frames_once() {
        let recording = Recording::new("a".to_owned(), (8000, vec![0; 8000 * 25]), Vec::new());
        assert_eq!(pieces(&recording, recording.length()), [0..1000, 1000..2000, 2000..2500]);
    }

    #[test]
    fn tallies_are_sums_of_pieces() {
        let each =
            [Confusion { hits: 1, misses: 1, ..Confusion::default() }, Confusion { hits: 3, ..Confusion::default() }];
        let tallies = each.map(|one| one.tally());
        assert_eq!(sum(&tallies, &[1, 1]).recall, Share { part: 4, whole: 5 });
    }
}
