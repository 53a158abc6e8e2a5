//! From speech probabilities to utterances: where speech begins and ends. No detector, no I/O.

use bevy_ecs::resource::Resource;
use serde::{Deserialize, Serialize};
use waywarden_components::audio::{SAMPLE_RATE, Utterance, Voice, VoiceBuffer};
use waywarden_components::time::Mono;

/// Nanoseconds of a sample; exact at 16 kHz.
pub const SAMPLE_NS: u64 = 1_000_000_000 / SAMPLE_RATE as u64;

/// Bytes of a millisecond of sound.
const BYTES_PER_MS: usize = 2 * SAMPLE_RATE as usize / 1000;

/// Samples of a millisecond of sound.
const SAMPLES_PER_MS: u64 = SAMPLE_RATE as u64 / 1000;

/// A chunk that begins later than this after the last one does not follow it: sound was lost in between. Nanoseconds;
/// well above what a chunk's time of arrival varies by.
const HOLE_NS: u64 = 150_000_000;

/// Whether sound that begins at `start` does not follow what was heard before.
pub fn is_behind_a_hole(voice: &Voice, start: Mono) -> bool {
    voice.heard.is_some_and(|heard| start.as_nanos() > heard.as_nanos().saturating_add(HOLE_NS))
}

/// Quietest level that is told, in dBFS: below the last bit of 16.
const FLOOR_DBFS: f32 = -96.0;

/// When somebody is taken to speak.
#[derive(Resource, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoiceSettings {
    /// Probability from which on a window counts as speech while nobody speaks, 0 to 1.
    pub enter: f32,
    /// Probability below which a window counts as silence while somebody speaks, 0 to 1, not above `enter`.
    pub exit: f32,
    /// How long there must be speech before somebody is taken to speak, in milliseconds: so many windows as fit into it, at
    /// least one.
    pub enter_ms: u32,
    /// How long there must be silence before an utterance ends, in milliseconds. It is part of the utterance.
    pub hang_over_ms: u32,
    /// Sound from before the first window of speech that is part of the utterance, in milliseconds.
    pub pre_roll_ms: u32,
    /// Longest utterance in seconds, pre-roll included; then it is cut, and the next one begins there.
    pub max_utterance_s: u32,
    /// Speech begins softly: windows right before those above `enter` belong to it if their probabilities are at least this share
    /// of `enter`, 0 to 1,
    pub rising: f32,
    /// as far as they are no more than so many milliseconds before them: in noise probabilities are always so high.
    pub rising_ms: u32,
    /// `enter` and `exit` where Silero listens, whose probabilities mean something else than earshot's.
    pub silero: (f32, f32),
}

impl Default for VoiceSettings {
    /// Chosen on one half of NOIZEUS (`tests/voice_quality.rs`): in a car's noise without speech earshot's probabilities stay
    /// above 0.5 for most of the time.
    fn default() -> Self {
        Self {
            enter: 0.7,
            exit: 0.7,
            enter_ms: 48,
            hang_over_ms: 400,
            pre_roll_ms: 300,
            max_utterance_s: 30,
            rising: 0.7,
            rising_ms: 32,
            silero: (0.5, 0.35),
        }
    }
}

impl VoiceSettings {
    /// The same for Silero.
    pub fn for_silero(&self) -> Self {
        let (enter, exit) = self.silero;
        Self { enter, exit, ..self.clone() }
    }

    /// Bytes of sound to keep while nobody speaks, a run of `run` windows of speech included.
    fn kept(&self, run: u32, window: usize) -> usize {
        (self.pre_roll_ms as usize)
            .saturating_mul(BYTES_PER_MS)
            .saturating_add((run as usize).saturating_mul(2 * window))
            .min(self.longest(window))
    }

    /// Bytes of the longest utterance: at least a window.
    fn longest(&self, window: usize) -> usize {
        (self.max_utterance_s as usize).saturating_mul(1000 * BYTES_PER_MS).max(2 * window)
    }
}

/// An utterance that has ended, and its sound: signed 16 bit little endian.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// What is told of it.
    pub utterance: Utterance,
    /// Its sound.
    pub pcm: Vec<u8>,
}

/// Whether `run` windows of so many samples last for `ms`; none never do.
fn lasts(run: u32, window: usize, ms: u32) -> bool {
    run > 0 && u64::from(run).saturating_mul(window as u64) >= u64::from(ms) * SAMPLES_PER_MS
}

/// Whether `run` windows are as many as fit into `ms`; none never are. A window of 32 ms says by itself what three of 16 ms
/// are asked for: two would find starts later, and hear no less noise.
fn fills(run: u32, window: usize, ms: u32) -> bool {
    let fit = u64::from(ms) * SAMPLES_PER_MS / window.max(1) as u64;
    u64::from(run) >= fit.max(1)
}

/// Takes the next `window`, in which there is speech with `probability` and whose last sample was heard at `end`. Its length
/// is the detector's, and may change from one call to the next.
///
/// Gives the utterance that this window ended, if it did. An impossible probability counts as 0.
pub fn listen(
    settings: &VoiceSettings,
    voice: &mut Voice,
    buffer: &mut VoiceBuffer,
    window: &[i16],
    probability: f32,
    end: Mono,
) -> Option<Ended> {
    if window.is_empty() {
        return None;
    }
    let probability = if probability.is_finite() { probability.clamp(0.0, 1.0) } else { 0.0 };
    voice.windows += 1;
    buffer.pcm.extend(window.iter().flat_map(|sample| sample.to_le_bytes()));
    if voice.speaking {
        go_on(settings, voice, buffer, (window.len(), probability), end)
    } else {
        wait(settings, voice, buffer, (window.len(), probability), end)
    }
}

/// The sound breaks off at `end`, and what comes next does not follow it: what was heard so far stands alone.
///
/// Gives the utterance in progress, if there is one.
pub fn break_off(voice: &mut Voice, buffer: &mut VoiceBuffer, end: Mono) -> Option<Ended> {
    voice.rest.clear();
    let ended = voice.speaking.then(|| cut(voice, buffer, end));
    (voice.run, voice.rising, voice.sum, voice.length) = (0, 0, 0.0, 0);
    buffer.pcm.clear();
    ended
}

/// Nobody speaks: has somebody begun?
fn wait(
    settings: &VoiceSettings,
    voice: &mut Voice,
    buffer: &mut VoiceBuffer,
    (window, probability): (usize, f32),
    end: Mono,
) -> Option<Ended> {
    if probability >= settings.enter {
        voice.run = voice.run.saturating_add(1);
        voice.sum += probability;
        voice.length = voice.run;
    } else {
        (voice.run, voice.sum, voice.length) = (0, 0.0, 0);
    }
    voice.rising = if probability >= settings.rising * settings.enter { voice.rising.saturating_add(1) } else { 0 };
    let surplus = buffer.pcm.len().saturating_sub(settings.kept(voice.run, window));
    buffer.pcm.drain(..surplus);
    if !fills(voice.run, window, settings.enter_ms) {
        return None;
    }
    voice.speaking = true;
    voice.started = Some(Mono::from_nanos(end.as_nanos().saturating_sub(samples(buffer) * SAMPLE_NS)));
    voice.speech_samples += u64::from(voice.run) * window as u64;
    let soft = u64::from(voice.rising.saturating_sub(voice.run)) * window as u64;
    let soft = soft.min(u64::from(settings.rising_ms) * SAMPLES_PER_MS);
    // The sound that is kept is all that can be told of.
    let spoken = (u64::from(voice.run) * window as u64 + soft).min(samples(buffer));
    voice.speech_from = Some(Mono::from_nanos(end.as_nanos().saturating_sub(spoken * SAMPLE_NS)));
    voice.speech_until = Some(end);
    (voice.run, voice.rising) = (0, 0);
    (buffer.pcm.len() >= settings.longest(window)).then(|| cut(voice, buffer, end))
}

/// Somebody speaks: has it ended?
fn go_on(
    settings: &VoiceSettings,
    voice: &mut Voice,
    buffer: &mut VoiceBuffer,
    (window, probability): (usize, f32),
    end: Mono,
) -> Option<Ended> {
    voice.speech_samples += window as u64;
    if probability < settings.exit {
        voice.run = voice.run.saturating_add(1);
    } else {
        voice.run = 0;
        voice.sum += probability;
        voice.length = voice.length.saturating_add(1);
        // Between the thresholds it may go on, but that is how speech sounds as it fades into noise: no part of it.
        if probability >= settings.enter {
            voice.speech_until = Some(end);
        }
    }
    let over = lasts(voice.run, window, settings.hang_over_ms) || buffer.pcm.len() >= settings.longest(window);
    over.then(|| cut(voice, buffer, end))
}

/// Ends the utterance in progress. Its sound belongs to no other one, so the buffer is empty afterwards.
fn cut(voice: &mut Voice, buffer: &mut VoiceBuffer, end: Mono) -> Ended {
    let start = voice.started.take().unwrap_or(end);
    let utterance = Utterance {
        start,
        end,
        confidence: voice.sum / voice.length.max(1) as f32,
        level_dbfs: level_dbfs(&buffer.pcm),
        samples: samples(buffer),
        speech_from: voice.speech_from.take().unwrap_or(start),
        speech_until: voice.speech_until.take().unwrap_or(end),
    };
    (voice.speaking, voice.run, voice.sum, voice.length) = (false, 0, 0.0, 0);
    voice.utterances += 1;
    Ended { utterance, pcm: std::mem::take(&mut buffer.pcm) }
}

fn samples(buffer: &VoiceBuffer) -> u64 {
    buffer.pcm.len() as u64 / 2
}

/// Root mean square in dBFS, a full-scale square wave being 0.
///
/// Summed in integers, and with `libm`'s logarithm instead of the platform's: the result is digested.
fn level_dbfs(pcm: &[u8]) -> f32 {
    let (pairs, _) = pcm.as_chunks::<2>();
    let square = |pair: &[u8; 2]| u64::from(i16::from_le_bytes(*pair).unsigned_abs()).pow(2);
    let sum: u64 = pairs.iter().map(square).sum();
    if sum == 0 {
        return FLOOR_DBFS;
    }
    let power = sum as f64 / pairs.len() as f64 / (32768.0 * 32768.0);
    (10.0 * libm::log10(power)).max(f64::from(FLOOR_DBFS)) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: usize = 256;
    const MS: u64 = 1_000_000;

    /// One window for each probability, 16 ms apart; the samples of window n all have the value n.
    fn run(settings: &VoiceSettings, probabilities: &[f32]) -> (Voice, VoiceBuffer, Vec<Ended>) {
        let (mut voice, mut buffer, mut ended) = (Voice::default(), VoiceBuffer::default(), Vec::new());
        for (n, probability) in probabilities.iter().enumerate() {
            let end = Mono::from_nanos((n as u64 + 1) * 16 * MS);
            ended.extend(listen(settings, &mut voice, &mut buffer, &[n as i16; WINDOW], *probability, end));
        }
        (voice, buffer, ended)
    }

    fn pattern(parts: &[(f32, usize)]) -> Vec<f32> {
        parts.iter().flat_map(|(probability, count)| std::iter::repeat_n(*probability, *count)).collect()
    }

    #[test]
    fn an_utterance_has_its_pre_roll_and_hang_over() {
        let settings = VoiceSettings { pre_roll_ms: 32, hang_over_ms: 160, ..VoiceSettings::default() };
        let (voice, buffer, ended) = run(&settings, &pattern(&[(0.1, 20), (0.9, 10), (0.1, 30)]));
        let [Ended { utterance, pcm }] = &ended[..] else { panic!("{ended:?}") };
        assert_eq!(utterance.start, Mono::from_nanos(18 * 16 * MS), "two windows before the first of speech");
        assert_eq!(utterance.end, Mono::from_nanos(40 * 16 * MS), "ten windows after the last");
        assert_eq!(utterance.speech_from, Mono::from_nanos(20 * 16 * MS));
        assert_eq!(utterance.speech_until, Mono::from_nanos(30 * 16 * MS));
        assert_eq!(utterance.samples, 22 * 256);
        assert_eq!(pcm.len(), 22 * 512);
        assert_eq!((pcm[0], pcm[pcm.len() - 2]), (18, 39));
        assert!((utterance.confidence - 0.9).abs() < 1e-6);
        assert_eq!((voice.utterances, voice.speaking, voice.speech_samples), (1, false, 20 * 256));
        assert_eq!(buffer.pcm.len(), 2 * 512, "only the pre-roll of the next one is kept");
    }

    #[test]
    fn speech_begins_a_little_before_it_is_sure() {
        let settings = VoiceSettings { rising: 0.5, rising_ms: 40, ..VoiceSettings::default() };
        let begins = |parts: &[(f32, usize)]| {
            let (voice, ..) = run(&settings, &pattern(parts));
            voice.speech_from.map(|from| from.as_nanos() / MS)
        };
        assert_eq!(begins(&[(0.1, 20), (0.9, 10)]), Some(320), "all at once");
        assert_eq!(begins(&[(0.1, 19), (0.4, 1), (0.9, 10)]), Some(304), "half as sure a window before");
        assert_eq!(begins(&[(0.1, 10), (0.4, 10), (0.9, 10)]), Some(280), "no more than that: it may be noise");
        assert_eq!(begins(&[(0.4, 18), (0.1, 2), (0.9, 10)]), Some(320), "not of what came before a pause");
        let short = VoiceSettings { pre_roll_ms: 16, ..settings.clone() };
        let (voice, ..) = run(&short, &pattern(&[(0.4, 20), (0.9, 10)]));
        assert_eq!((voice.speech_from, voice.started), (voice.started, Some(Mono::from_nanos(304 * MS))));
    }

    #[test]
    fn a_hole_ends_the_utterance_where_it_begins() {
        let settings = VoiceSettings { pre_roll_ms: 32, ..VoiceSettings::default() };
        let (mut voice, mut buffer, ended) = run(&settings, &pattern(&[(0.1, 20), (0.9, 10)]));
        assert!(ended.is_empty() && voice.speaking);
        let end = Mono::from_nanos(30 * 16 * MS);
        voice.heard = Some(end);
        assert!(!is_behind_a_hole(&voice, Mono::from_nanos(end.as_nanos() + 100 * MS)));
        assert!(is_behind_a_hole(&voice, Mono::from_nanos(end.as_nanos() + 200 * MS)));
        let Ended { utterance, pcm } = break_off(&mut voice, &mut buffer, end).unwrap();
        assert_eq!((utterance.start, utterance.end), (Mono::from_nanos(18 * 16 * MS), end));
        assert_eq!((pcm.len(), buffer.pcm.len()), (12 * 512, 0));
        assert_eq!((voice.speaking, voice.utterances), (false, 1));
        assert_eq!(break_off(&mut voice, &mut buffer, end), None, "nobody speaks");
    }

    #[test]
    fn short_noises_do_not_open_and_short_pauses_do_not_close() {
        let settings = VoiceSettings::default();
        let (voice, _, ended) = run(&settings, &pattern(&[(0.9, 2), (0.1, 5), (0.9, 2), (0.1, 40)]));
        assert!(ended.is_empty() && !voice.speaking);
        let (voice, _, ended) = run(&settings, &pattern(&[(0.9, 5), (0.1, 24), (0.9, 5), (0.1, 24)]));
        assert!(ended.is_empty() && voice.speaking);
        let (_, _, ended) = run(&settings, &pattern(&[(0.9, 5), (0.1, 24), (0.9, 5), (0.1, 25)]));
        assert_eq!(ended.len(), 1);
    }

    #[test]
    fn times_are_kept_whatever_the_length_of_a_window() {
        let settings = VoiceSettings { enter_ms: 80, hang_over_ms: 320, ..VoiceSettings::default() };
        let (mut voice, mut buffer, mut ended) = (Voice::default(), VoiceBuffer::default(), Vec::new());
        for (n, probability) in
            pattern(&[(0.1, 10), (0.9, 1), (0.1, 1), (0.9, 2), (0.1, 9), (0.9, 1), (0.1, 10)]).iter().enumerate()
        {
            let end = Mono::from_nanos((n as u64 + 1) * 32 * MS);
            ended.extend(listen(&settings, &mut voice, &mut buffer, &[0; 512], *probability, end));
            assert_eq!(voice.speaking, (13..33).contains(&n), "{n}: two windows of 32 ms fit into 80");
        }
        let [Ended { utterance, .. }] = &ended[..] else { panic!("{ended:?}") };
        assert_eq!(
            (utterance.speech_from, utterance.speech_until),
            (Mono::from_nanos(12 * 32 * MS), Mono::from_nanos(24 * 32 * MS))
        );
    }

    #[test]
    fn between_the_thresholds_nothing_changes() {
        let settings = VoiceSettings { enter: 0.5, exit: 0.35, ..VoiceSettings::default() };
        assert!(!run(&settings, &pattern(&[(0.45, 100)])).0.speaking);
        let (voice, _, ended) = run(&settings, &pattern(&[(0.6, 5), (0.4, 200)]));
        assert!(ended.is_empty() && voice.speaking);
    }

    #[test]
    fn endless_speech_is_cut_without_losing_a_sample() {
        let settings = VoiceSettings { max_utterance_s: 1, ..VoiceSettings::default() };
        let (_, buffer, ended) = run(&settings, &pattern(&[(0.9, 300)]));
        assert_eq!(ended.len(), 4);
        for pair in ended.windows(2) {
            assert_eq!(pair[0].utterance.end, pair[1].utterance.start);
        }
        let sound: usize = ended.iter().map(|ended| ended.pcm.len()).sum();
        assert_eq!(sound + buffer.pcm.len(), 300 * 512);
        assert!(ended.iter().all(|ended| ended.utterance.samples == 63 * 256));
    }

    #[test]
    fn levels_are_relative_to_full_scale() {
        let square = |amplitude: i16| {
            [amplitude, -amplitude].repeat(50).iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<u8>>()
        };
        assert!((level_dbfs(&square(32767)) - 0.0).abs() < 0.001);
        assert!((level_dbfs(&square(3277)) + 20.0).abs() < 0.01);
        assert_eq!(level_dbfs(&square(0)), FLOOR_DBFS);
        assert_eq!(level_dbfs(&[]), FLOOR_DBFS);
        assert!(level_dbfs(&i16::MIN.to_le_bytes()) <= 0.0);
    }

    proptest! {
        #[test]
        fn no_sample_is_in_two_utterances_and_memory_is_bounded(
            probabilities in proptest::collection::vec(prop_oneof![0.0f32..1.0, Just(0.9), Just(0.1), Just(f32::NAN)], 0..400),
            enter_ms in 0u32..96,
            hang_over_ms in 0u32..200,
            pre_roll_ms in 0u32..200,
            max_utterance_s in 0u32..2,
        ) {
            let settings = VoiceSettings { enter_ms, hang_over_ms, pre_roll_ms, max_utterance_s, ..VoiceSettings::default() };
            let (voice, buffer, ended) = run(&settings, &probabilities);
            prop_assert_eq!(voice.windows, probabilities.len() as u64);
            prop_assert_eq!(voice.utterances, ended.len() as u64);
            prop_assert!(buffer.pcm.len() <= settings.longest(WINDOW).max(settings.kept(6, WINDOW)));
            for pair in ended.windows(2) {
                prop_assert!(pair[0].utterance.end <= pair[1].utterance.start);
            }
            for Ended { utterance, pcm } in &ended {
                prop_assert!((0.0..=1.0).contains(&utterance.confidence));
                prop_assert_eq!(utterance.end.as_nanos() - utterance.start.as_nanos(), utterance.samples * SAMPLE_NS);
                prop_assert_eq!(pcm.len() as u64, 2 * utterance.samples);
                prop_assert!(pcm.len() <= settings.longest(WINDOW) + 2 * WINDOW);
            }
        }
    }
}
