//! Sounds that a voice detector takes for speech: a formant synthesiser that babbles.
//!
//! Source and filter after D. H. Klatt, "Software for a cascade/parallel formant synthesizer", JASA 67 (1980): pulses
//! of the vocal folds through a cascade of resonators, noise for consonants, syllables of a fifth of a second.

use std::f64::consts::{PI, TAU};

use libm::{cos, exp};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use waywarden_components::audio::SAMPLE_RATE;

use super::drive::Drive;

const RATE: f64 = SAMPLE_RATE as f64;
/// Formants of five vowels in hertz (men's averages of Peterson and Barney, 1952).
const VOWELS: [[f64; 3]; 5] = [
    [730.0, 1090.0, 2440.0],
    [270.0, 2290.0, 3010.0],
    [300.0, 870.0, 2240.0],
    [530.0, 1840.0, 2480.0],
    [570.0, 840.0, 2410.0],
];
const BANDWIDTHS: [f64; 4] = [70.0, 90.0, 130.0, 250.0];
const FOURTH_FORMANT: f64 = 3500.0;
/// Samples between two settings of the resonators: 5 ms.
const STEP: u32 = 80;

/// One resonator: a pole pair.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Resonator {
    a: f64,
    b: f64,
    c: f64,
    y1: f64,
    y2: f64,
}

impl Resonator {
    fn tune(&mut self, hertz: f64, bandwidth: f64) {
        let radius = exp(-PI * bandwidth / RATE);
        self.c = -radius * radius;
        self.b = 2.0 * radius * cos(TAU * hertz / RATE);
        self.a = 1.0 - self.b - self.c;
    }

    fn pass(&mut self, x: f64) -> f64 {
        let y = self.a * x + self.b * self.y1 + self.c * self.y2;
        (self.y2, self.y1) = (self.y1, y);
        y
    }
}

/// When somebody talks: bursts of 1.5 to 4 s.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    rng: ChaCha8Rng,
    /// Share of the time.
    share: f64,
    talking: bool,
    /// Seconds since the start of the drive at which it begins or ends.
    until: f64,
}

impl Talk {
    /// The talking of this drive: the same for all who ask.
    pub fn new(drive: &Drive) -> Self {
        let mut rng = drive.rng_of(6);
        let until = rng.random_range(1.0..3.0);
        Self { rng, share: drive.scenario().sound.speech.clamp(0.0, 0.9), talking: false, until }
    }

    /// Whether somebody talks `t` seconds after the start; `t` only grows.
    pub fn at(&mut self, t: f64) -> bool {
        while t >= self.until && self.share > 0.0 {
            self.talking = !self.talking;
            let talk = self.rng.random_range(1.5..4.0);
            // Pauses are as long as the share wants, but for half a second at least.
            let pause = (self.rng.random_range(1.5..4.0) * (1.0 - self.share) / self.share).max(0.5);
            self.until += if self.talking { talk } else { pause };
        }
        self.talking
    }
}

/// A speaker in the middle of a babble.
#[derive(Clone, Debug)]
pub(super) struct Speaker {
    rng: ChaCha8Rng,
    pitch: f64,
    phase: f64,
    pulse: f64,
    formants: [f64; 3],
    target: [f64; 3],
    resonators: [Resonator; 4],
    hiss: Resonator,
    /// Samples of the syllable's consonant, of all of it with the pause behind it, and how much of it is over.
    consonant: u32,
    voiced: u32,
    syllable: u32,
    at: u32,
    voice: f64,
    breath: f64,
}

impl Speaker {
    /// A speaker with a voice of its own.
    pub fn new(mut rng: ChaCha8Rng) -> Self {
        let pitch = rng.random_range(100.0..190.0);
        Self {
            rng,
            pitch,
            phase: 0.0,
            pulse: 0.0,
            formants: VOWELS[0],
            target: VOWELS[0],
            resonators: [Resonator::default(); 4],
            hiss: Resonator::default(),
            consonant: 0,
            voiced: 0,
            syllable: 0,
            at: 0,
            voice: 0.0,
            breath: 0.0,
        }
    }

    /// The next sample, of about -1 to 1. `talking` false lets the syllable die away.
    pub fn sample(&mut self, talking: bool) -> f64 {
        if self.at >= self.syllable {
            self.begin_syllable();
        }
        if self.at.is_multiple_of(STEP) {
            self.tune();
        }
        let is_consonant = self.at < self.consonant;
        let is_voiced = !is_consonant && self.at < self.voiced;
        self.at += 1;
        // gains move within about 10 ms: no clicks
        let glide = |gain: &mut f64, wanted: bool| *gain += (f64::from(u8::from(wanted && talking)) - *gain) * 0.008;
        glide(&mut self.voice, is_voiced);
        glide(&mut self.breath, is_consonant);

        let noise = self.rng.random_range(-1.0..1.0);
        let source = self.folds() * self.voice + 0.01 * noise * self.voice;
        let vowel = self.resonators.iter_mut().fold(source, |x, resonator| resonator.pass(x));
        vowel + self.hiss.pass(noise) * self.breath * 0.6
    }

    fn begin_syllable(&mut self) {
        let mut ms = |range: std::ops::Range<u32>| self.rng.random_range(range) * SAMPLE_RATE / 1000;
        self.consonant = ms(25..80);
        self.voiced = self.consonant + ms(110..220);
        self.syllable = self.voiced + ms(5..50);
        self.at = 0;
        self.target = VOWELS[self.rng.random_range(0..VOWELS.len())];
        self.pitch = (self.pitch * self.rng.random_range(0.92..1.085)).clamp(95.0, 210.0);
        let hertz = self.rng.random_range(2500.0..5500.0);
        self.hiss.tune(hertz, 900.0);
    }

    fn tune(&mut self) {
        for (formant, target) in self.formants.iter_mut().zip(self.target) {
            *formant += (target - *formant) * 0.2;
        }
        let [first, second, third] = self.formants;
        let all = [first, second, third, FOURTH_FORMANT];
        for ((resonator, hertz), bandwidth) in self.resonators.iter_mut().zip(all).zip(BANDWIDTHS) {
            resonator.tune(hertz, bandwidth);
        }
    }

    /// The flow through the vocal folds, differentiated for the radiation from the lips (Rosenberg's pulse, 1971).
    fn folds(&mut self) -> f64 {
        const OPENING: f64 = 0.4;
        const CLOSING: f64 = 0.16;
        // the pitch falls over a syllable, and trembles a little
        let fall = 1.08 - 0.15 * f64::from(self.at) / f64::from(self.syllable.max(1));
        self.phase = (self.phase + self.pitch * fall * self.rng.random_range(0.99..1.01) / RATE).fract();
        let pulse = if self.phase < OPENING {
            let x = self.phase / OPENING;
            x * x * (3.0 - 2.0 * x)
        } else if self.phase < OPENING + CLOSING {
            let x = (self.phase - OPENING) / CLOSING;
            1.0 - x * x
        } else {
            0.0
        };
        let flow = pulse - self.pulse;
        self.pulse = pulse;
        flow * 4.0
    }
}
