//! A simulated microphone in the cabin: engine and road, and now and then somebody who talks.

use std::f64::consts::TAU;

use bytes::Bytes;
use libm::{sin, tanh};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use waywarden_components::audio::SAMPLE_RATE;
use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

use super::drive::Drive;
use super::speech::{Speaker, Talk};
use crate::import::TimedItem;

/// Samples in a chunk: 20 ms.
pub const CHUNK: usize = 320;
const SAMPLE_NS: u64 = 1_000_000_000 / SAMPLE_RATE as u64;
const RATE: f64 = SAMPLE_RATE as f64;
/// Orders of the engine's firing frequency and their levels, full scale 1.
const ORDERS: [(f64, f64); 4] = [(1.0, 0.008), (2.0, 0.005), (3.0, 0.0025), (4.5, 0.0012)];
/// Level of the tyres' rumble.
const RUMBLE: f64 = 0.006;
/// Level of speech, and above what it is squeezed, as by the limiter of a real microphone.
const SPEECH: f64 = 0.2;
const LIMIT: f64 = 0.8;

/// A generator of sound: chunks of 20 ms, signed 16 bit, 16 kHz, mono.
///
/// The engine's hum follows the drive's speed. Bursts of babble come as often as the scenario says; voice detectors take
/// them for speech, and the rest not.
#[derive(Clone, Debug)]
pub struct MicrophoneSimulator {
    drive: Drive,
    rng: ChaCha8Rng,
    speaker: Speaker,
    given: u64,
    phase: f64,
    rumble: f64,
    talk: Talk,
    talking: bool,
}

impl MicrophoneSimulator {
    /// The microphone of this drive.
    pub fn new(drive: &Drive) -> Self {
        Self {
            drive: drive.clone(),
            rng: drive.rng_of(2),
            speaker: Speaker::new(drive.rng_of(5)),
            given: 0,
            phase: 0.0,
            rumble: 0.0,
            talk: Talk::new(drive),
            talking: false,
        }
    }

    /// The next chunk; its time is that of its last sample.
    #[expect(clippy::should_implement_trait, reason = "never ends, and says so by its type")]
    pub fn next(&mut self) -> TimedItem {
        let t = self.given as f64 / RATE;
        let sound = &self.drive.scenario().sound;
        // What is never heard need not be made.
        let (engine, speech) = (sound.engine, sound.speech > 0.0);
        let firing = if engine { 30.0 + 2.2 * self.drive.moment(t).speed_mps() } else { 0.0 };
        self.talking = self.talk.at(t);
        let mut pcm = Vec::with_capacity(CHUNK * 2);
        for _ in 0..CHUNK {
            let vehicle = if engine { self.vehicle(firing) } else { 0.0 };
            let voice = if speech { self.voice() } else { 0.0 };
            let sample = vehicle + voice;
            pcm.extend_from_slice(&((sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16).to_le_bytes());
        }
        self.given += CHUNK as u64;
        TimedItem { at: Mono((self.given - 1) * SAMPLE_NS), payload: Payload::Audio(Bytes::from(pcm)) }
    }

    /// Whether somebody talks at the end of the last chunk.
    pub fn is_talking(&self) -> bool {
        self.talking
    }

    fn vehicle(&mut self, firing: f64) -> f64 {
        self.phase = (self.phase + firing / RATE).rem_euclid(2.0);
        let hum: f64 = ORDERS.iter().map(|(order, level)| level * sin(TAU * order * self.phase)).sum();
        // noise below about 100 Hz
        self.rumble += (self.rng.random_range(-1.0..1.0) - self.rumble) * 0.04;
        hum + self.rumble * RUMBLE * 10.0 + self.rng.random_range(-1.0..1.0) * 0.0003
    }

    fn voice(&mut self) -> f64 {
        let voice = self.speaker.sample(self.talking) * SPEECH;
        tanh(voice / LIMIT) * LIMIT
    }
}

#[cfg(test)]
mod tests {
    use waywarden_perception::speech::{Earshot, WINDOW};

    use super::*;
    use crate::simulate::Scenario;

    fn chunk(item: &TimedItem) -> Vec<i16> {
        let Payload::Audio(pcm) = &item.payload else { panic!() };
        pcm.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
    }

    /// Utterances (half a second or more of windows above 0.5 with gaps of up to 0.3 s) that earshot hears, and the
    /// share of windows in which it hears speech, while somebody talks and while nobody does.
    fn listen(mut microphone: MicrophoneSimulator, seconds: usize) -> (usize, f64, f64) {
        let mut detector = Earshot::default();
        let mut waiting = Vec::new();
        let (mut counts, mut heard) = ([0u32; 2], [0u32; 2]);
        let (mut utterances, mut speech, mut gap) = (0, 0, 0);
        for _ in 0..seconds * 50 {
            waiting.extend(chunk(&microphone.next()));
            while waiting.len() >= WINDOW {
                let window: Vec<i16> = waiting.drain(..WINDOW).collect();
                let is_speech = detector.hear(&window) > 0.5;
                let talking = usize::from(microphone.is_talking());
                counts[talking] += 1;
                heard[talking] += u32::from(is_speech);
                if is_speech {
                    speech += 1 + std::mem::take(&mut gap);
                    utterances += usize::from(speech >= 31 && speech - 1 < 31);
                } else if speech > 0 {
                    gap += 1;
                    if gap > 19 {
                        (speech, gap) = (0, 0);
                    }
                }
            }
        }
        let share = |n: usize| f64::from(heard[n]) / f64::from(counts[n].max(1));
        (utterances, share(1), share(0))
    }

    #[test]
    fn talking_is_heard_as_speech_and_the_engine_is_not() {
        for seed in 1..=2 {
            let mut scenario = Scenario::built_in("motorway").unwrap();
            let drive = Drive::new(&scenario, seed);
            let (utterances, talking, silent) = listen(MicrophoneSimulator::new(&drive), 60);
            println!("seed {seed}: {utterances} utterances, {talking:.2} while talking, {silent:.3} while silent");
            assert!((4..=12).contains(&utterances), "seed {seed}: {utterances}");
            assert!(talking > 0.6 && silent < 0.1, "seed {seed}: {talking} {silent}");
            scenario.sound.speech = 0.0;
            let (utterances, _, silent) = listen(MicrophoneSimulator::new(&Drive::new(&scenario, seed)), 30);
            assert_eq!(utterances, 0, "seed {seed}");
            assert!(silent < 0.02, "seed {seed}: {silent}");
        }
    }

    #[test]
    fn chunks_follow_each_other_and_never_clip() {
        let mut microphone = MicrophoneSimulator::new(&Drive::new(&Scenario::default(), 9));
        for n in 1..=1_000 {
            let item = microphone.next();
            assert_eq!(item.at, Mono(n * 20_000_000 - 62_500));
            let chunk = chunk(&item);
            assert_eq!(chunk.len(), CHUNK);
            assert!(chunk.iter().all(|sample| sample.unsigned_abs() < 32_000));
        }
    }

    #[test]
    fn seeds_repeat_and_differ() {
        let of = |seed| {
            let mut microphone = MicrophoneSimulator::new(&Drive::new(&Scenario::default(), seed));
            (0..200).map(|_| microphone.next()).collect::<Vec<_>>()
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
