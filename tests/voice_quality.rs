//! How well the app hears speech, with each of its detectors: recordings are imported and replayed as those of a drive.
//!
//! Speech: NOIZEUS (30 sentences at 8 kHz, clean and with car noise of 10 and 0 dB), which comes without labels: theirs are
//! made of the clean files' energy (frames of 10 ms within 35 dB of the file's loudest, pauses below 300 ms closed). Each
//! sentence stands behind a second of its own noise, which is noisy minus clean. And pyannote's sample with its labels, pauses
//! below 300 ms closed. Thresholds were chosen on sentences 1 to 15 (`thresholds`, which is ignored); what is asserted is
//! of sentences 16 to 30 and of pyannote's sample.
//!
//! Silero's file is looked for in `$WAYWARDEN_SILERO`, and in the folder models of the data.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test: what is missing or wrong ends it, figures are printed"
)]

#[path = "support/program.rs"]
mod program;

use std::path::{Path, PathBuf};

use program::{data, folder, json, text};
use waywarden_components::prelude::*;
use waywarden_perception::score::speech::{
    Confusion, FRAME_NS, Span, auc, best_threshold, frames, join, spans, spread, start_delays,
};
use waywarden_systems::session::Findings;
use waywarden_systems::voice::endpoint::{VoiceSettings, listen};

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// Pauses below it are no pauses.
const PAUSE: u64 = 300 * MS;

/// A recording, and where there is speech in it.
struct Recording {
    what: &'static str,
    rate: u32,
    samples: Vec<i16>,
    speech: Vec<Span>,
}

impl Recording {
    fn length(&self) -> u64 {
        self.samples.len() as u64 * S / u64::from(self.rate)
    }
}

fn wav(path: &Path) -> (u32, Vec<i16>) {
    let mut reader = hound::WavReader::open(path).unwrap();
    (reader.spec().sample_rate, reader.samples::<i16>().map(Result::unwrap).collect())
}

/// Speech in a clean file, by its energy.
fn labels(clean: &[i16], rate: u32) -> Vec<Span> {
    let energy: Vec<f64> = clean
        .chunks((rate / 100) as usize)
        .map(|frame| frame.iter().map(|s| f64::from(*s) * f64::from(*s)).sum::<f64>() / frame.len() as f64)
        .collect();
    let loudest = energy.iter().copied().fold(0.0, f64::max);
    let loud: Vec<bool> = energy.iter().map(|e| *e > loudest / libm::exp10(3.5)).collect();
    join(&spans(&loud), PAUSE)
}

/// Sentences `first` to `last`, each behind a second of its noise; and all of the noise alone.
fn noizeus(folder: &Path, what: [&'static str; 2], snr: Option<u32>, first: u32, last: u32) -> [Recording; 2] {
    let (mut samples, mut noises, mut speech) = (Vec::new(), Vec::new(), Vec::new());
    for n in first..=last {
        let (rate, clean) = wav(&folder.join(format!("clean/sp{n:02}.wav")));
        assert_eq!(rate, 8000);
        let noisy = match snr {
            None => clean.clone(),
            Some(snr) => wav(&folder.join(format!("car_{snr}dB/sp{n:02}_car_sn{snr}.wav"))).1,
        };
        let noise: Vec<i16> = noisy.iter().zip(&clean).map(|(a, b)| a.saturating_sub(*b)).collect();
        samples.extend(noise.iter().cycle().take(8000));
        let start = samples.len() as u64 * S / 8000;
        speech.extend(labels(&clean, rate).into_iter().map(|span| start + span.start..start + span.end));
        samples.extend(noisy);
        noises.extend(noise);
    }
    samples.extend([0; 8000]);
    [
        Recording { what: what[0], rate: 8000, samples, speech },
        Recording { what: what[1], rate: 8000, samples: noises, speech: Vec::new() },
    ]
}

/// All sentences of one half: clean, at 10 and at 0 dB, and the car alone.
fn half(first: u32, last: u32) -> Option<Vec<Recording>> {
    let folder = data("data/speech/noizeus")?;
    let [clean, _] = noizeus(&folder, ["clean", ""], None, first, last);
    let [ten, quiet] = noizeus(&folder, ["car 10 dB", "car alone, 10 dB"], Some(10), first, last);
    let [zero, loud] = noizeus(&folder, ["car 0 dB", "car alone, 0 dB"], Some(0), first, last);
    Some(vec![clean, ten, zero, quiet, loud])
}

fn others() -> Option<Vec<Recording>> {
    let (rate, samples) = wav(&data("data/speech/pyannote/sample.wav")?);
    let turns = std::fs::read_to_string(data("data/speech/pyannote/sample.rttm")?).unwrap();
    let ns = |text: &str| (text.parse::<f64>().unwrap() * 1e9) as u64;
    let turns: Vec<Span> = turns
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .map(|words| ns(words[3])..ns(words[3]) + ns(words[4]))
        .collect();
    let (noise_rate, noise) = wav(&data("data/noise/freesound-573577.wav")?);
    Some(vec![
        Recording { what: "two speakers", rate, samples, speech: join(&turns, PAUSE) },
        Recording { what: "freesound noise", rate: noise_rate, samples: noise, speech: Vec::new() },
    ])
}

/// What the app made of a recording.
struct Heard<'a> {
    recording: &'a Recording,
    /// End, length and probability of each window, from the start of the sound.
    windows: Vec<(u64, u64, f32)>,
    /// Speech of the utterances, without pre-roll and hang-over.
    utterances: Vec<Span>,
}

/// The detectors that are here, and where Silero's file is.
fn detectors(models: &Path) -> Vec<&'static str> {
    let own = std::env::var_os("WAYWARDEN_SILERO").map(PathBuf::from);
    let shared = || data("models/silero_vad_16k_op15.onnx");
    match own.or_else(shared).filter(|path| path.is_file()) {
        Some(path) => {
            std::fs::copy(path, models.join("silero_vad_16k_op15.onnx")).unwrap();
            vec!["earshot", "silero"]
        }
        None => {
            println!("skipped: Silero, whose file is not in WAYWARDEN_SILERO either");
            vec!["earshot"]
        }
    }
}

/// Imports a recording and has the app listen to it.
fn hear<'a>(recording: &'a Recording, detector: &str, place: &Path) -> Heard<'a> {
    let path = |name: &str| place.join(name);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: recording.rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path("sound.wav"), spec).unwrap();
    recording.samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    writer.finalize().unwrap();
    let (sound, session, out, config) =
        (path("sound.wav"), path("session.mcap"), path("heard.mcap"), path("config.toml"));
    let _ = (std::fs::remove_file(&session), std::fs::remove_file(&out));
    std::fs::write(&config, format!("[voice]\ndetector = \"{detector}\"\n[inference]\nengine = \"rten\"\n")).unwrap();
    json(&["import", "--audio", text(&sound), "-o", text(&session), "--json"]);
    let again =
        ["replay", text(&session), "--config", text(&config), "--models", text(place), "--out", text(&out), "--json"];
    json(&again);
    let mut findings = Findings::open(&out).unwrap();
    let name = findings.info().voice.clone().unwrap().name;
    assert!(name.starts_with(detector), "{name} listened");
    let (mut windows, mut utterances, mut begun) = (Vec::new(), Vec::new(), None);
    let length = if detector == "silero" { 512 } else { 256 } * S / u64::from(SAMPLE_RATE);
    while let Some(tick) = findings.read().unwrap() {
        let sound: Vec<_> = tick.sound().map(|(id, end, pcm)| (id, end.as_nanos(), pcm.len() as u64 / 2)).collect();
        if let (None, Some((_, end, samples))) = (begun, sound.first()) {
            begun = Some(end.saturating_sub(samples * S / u64::from(SAMPLE_RATE)));
        }
        let found = tick.found.unwrap_or_default();
        for (_, speech) in &found.speech {
            let SpeechProbability::Windows(all) = speech else { continue };
            // Imported sound has no holes: windows follow each other from the first sample on.
            windows.extend(all.iter().map(|probability| (0, length, *probability)));
        }
        let from = begun.unwrap_or(0);
        utterances.extend(found.utterances.iter().map(|(_, utterance)| {
            utterance.speech_from.as_nanos().saturating_sub(from)
                ..utterance.speech_until.as_nanos().saturating_sub(from)
        }));
    }
    for (n, window) in windows.iter_mut().enumerate() {
        window.0 = (n as u64 + 1) * length;
    }
    Heard { recording, windows, utterances }
}

/// The utterances that some settings would give of the same probabilities.
fn again(heard: &Heard, settings: &VoiceSettings) -> Vec<Span> {
    let (mut voice, mut buffer, mut spans) = (Voice::default(), VoiceBuffer::default(), Vec::new());
    for (end, length, probability) in &heard.windows {
        let window = vec![0; (length * u64::from(SAMPLE_RATE) / S) as usize];
        let ended = listen(settings, &mut voice, &mut buffer, &window, *probability, Mono::from_nanos(*end));
        spans.extend(ended.map(|e| e.utterance.speech_from.as_nanos()..e.utterance.speech_until.as_nanos()));
    }
    spans.extend(voice.speech_from.zip(voice.speech_until).map(|(from, until)| from.as_nanos()..until.as_nanos()));
    spans
}

/// Those of the default config.
fn settings(detector: &str) -> VoiceSettings {
    let settings = VoiceSettings::default();
    if detector == "silero" { settings.for_silero() } else { settings }
}

/// Figures of one recording.
#[derive(Clone, Debug)]
struct Figures {
    utterances: Confusion,
    raw_best: Option<(f32, f64)>,
    auc: Option<f64>,
    /// Of starts that were to be found, those that were, and how late.
    delays: Vec<Option<i64>>,
}

fn figures(heard: &Heard, found: &[Span]) -> Figures {
    let length = heard.recording.length() / FRAME_NS * FRAME_NS;
    let truth = frames(&heard.recording.speech, length);
    let scores = spread(&heard.windows, length);
    let thresholds: Vec<f32> = (1..100).map(|n| n as f32 / 100.0).collect();
    Figures {
        utterances: Confusion::of(&truth, &frames(found, length)),
        raw_best: best_threshold(&truth, &scores, &thresholds),
        auc: auc(&truth, &scores),
        delays: start_delays(&heard.recording.speech, found, 300 * MS),
    }
}

/// Share of the starts found within 150 ms.
fn in_time(delays: &[Option<i64>]) -> f64 {
    let good = delays.iter().flatten().filter(|delay| delay.unsigned_abs() <= 150 * MS).count();
    good as f64 / delays.len().max(1) as f64
}

fn median_ms(delays: &[Option<i64>]) -> f64 {
    let mut found: Vec<i64> = delays.iter().flatten().copied().collect();
    found.sort_unstable();
    found.get(found.len() / 2).map_or(f64::NAN, |delay| *delay as f64 / 1e6)
}

fn print(detector: &str, heard: &Heard, figures: &Figures) {
    let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.2}", 100.0 * share));
    let all = &figures.utterances;
    println!(
        "| {detector} | {} | {:.0} s | {} | {} | {} | {} | {} | {} | {:.0} of {}, median {:.0} ms |",
        heard.recording.what,
        heard.recording.length() as f64 / 1e9,
        percent(figures.auc),
        figures.raw_best.map_or("-".to_owned(), |(at, f1)| format!("{:.2} at {at:.2}", 100.0 * f1)),
        percent(all.f1()),
        percent(all.precision()),
        percent(all.recall()),
        percent(all.false_active()),
        100.0 * in_time(&figures.delays),
        figures.delays.len(),
        median_ms(&figures.delays),
    );
}

const HEAD: &str = "| detector | recording | length | AUC % | raw F1 % at its best threshold | F1 % of utterances | \
                    precision % | recall % | false-active % | % of starts within 150 ms |\n|---|---|---|---|---|---|---|---|---|---|";

/// What must hold. Where a goal is not reached by a detector it is not asserted of it: earshot where the car is near as loud as
/// the speaker, and starts at 0 dB of both.
fn goals(detector: &str, what: &str, figures: &Figures) {
    let Figures { utterances, raw_best, delays, .. } = figures;
    if delays.is_empty() {
        let active = utterances.false_active().unwrap_or(0.0);
        assert!(active <= 0.01, "{detector}, {what}: active for {active}");
        return;
    }
    let loud = what == "car 0 dB";
    if detector == "silero" || what == "clean" || what == "car 10 dB" {
        let (f1, (_, raw)) = (utterances.f1().unwrap(), raw_best.unwrap());
        assert!(f1 >= raw, "{detector}, {what}: F1 {f1} of utterances, {raw} of windows");
    }
    if !loud {
        assert!(in_time(delays) >= 0.8, "{detector}, {what}: starts {delays:?}");
    }
}

#[test]
fn what_is_heard_is_speech() {
    let (Some(mut recordings), Some(more)) = (half(16, 30), others()) else { return };
    recordings.extend(more);
    let place = folder();
    println!("{HEAD}");
    for detector in detectors(place.path()) {
        for recording in &recordings {
            let heard = hear(recording, detector, place.path());
            let found = again(&heard, &settings(detector));
            // Times of imported sound are rounded.
            let near = |a: u64, b: u64| a.abs_diff(b) <= 2 * MS;
            let same = found.iter().zip(&heard.utterances).all(|(a, b)| near(a.start, b.start) && near(a.end, b.end));
            let open = found.len() - heard.utterances.len();
            assert!(same && open <= 1, "the app cuts as its settings say: {found:?}, {:?}", heard.utterances);
            let figures = figures(&heard, &found);
            print(detector, &heard, &figures);
            goals(detector, recording.what, &figures);
        }
    }
}

#[test]
#[ignore = "chooses thresholds: prints a table"]
fn thresholds() {
    let Some(recordings) = half(1, 15) else { return };
    let place = folder();
    for detector in detectors(place.path()) {
        let heard: Vec<Heard> = recordings.iter().map(|recording| hear(recording, detector, place.path())).collect();
        for heard in &heard {
            print(detector, heard, &figures(heard, &again(heard, &settings(detector))));
        }
        // The beginnings, by the thresholds as they are; then these, by the beginnings as they are.
        let now = settings(detector);
        let mut tried = Vec::new();
        for rising_ms in [0, 32, 48, 64, 80, 96, 128, 160, 300] {
            for rising in [0.3f32, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] {
                tried.push(VoiceSettings { rising, rising_ms, ..now.clone() });
            }
        }
        for enter in [0.3f32, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95] {
            for exit in [0.1f32, 0.2, 0.35, 0.5, 0.7] {
                for enter_ms in [16, 32, 48, 64, 96, 128] {
                    if exit <= enter {
                        tried.push(VoiceSettings { enter, exit, enter_ms, ..VoiceSettings::default() });
                    }
                }
            }
        }
        for settings in tried {
            let VoiceSettings { enter, exit, enter_ms, rising, rising_ms, .. } = settings;
            let all: Vec<Figures> = heard.iter().map(|heard| figures(heard, &again(heard, &settings))).collect();
            let f1 = |n: usize| 100.0 * all[n].utterances.f1().unwrap_or(0.0);
            let alone = all[3].utterances.and(all[4].utterances).false_active().unwrap_or(0.0);
            println!(
                "GRID {detector} {enter} {exit} {enter_ms} {rising} {rising_ms}: F1 {:.1} {:.1} {:.1}, starts {:.2} {:.2} {:.2}, alone {:.2} %",
                f1(0),
                f1(1),
                f1(2),
                in_time(&all[0].delays),
                in_time(&all[1].delays),
                in_time(&all[2].delays),
                100.0 * alone
            );
        }
    }
}
