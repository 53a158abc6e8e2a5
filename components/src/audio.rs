//! Sound, speech and utterances.

use bevy_ecs::component::Component;
use bevy_ecs::message::Message;
use bevy_ecs::resource::Resource;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::StableId;
use crate::input::Stamp;
use crate::time::Mono;

/// Samples a second of all sound inside the app.
pub const SAMPLE_RATE: u32 = 16_000;

/// A piece of sound, reference-counted. Spawned by Ingress.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[require(SpeechProbability)]
pub struct AudioChunk {
    /// Signed 16 bit little endian samples, 16 kHz, mono. The chunk's stamp is the time of its **last** sample.
    pub pcm: Bytes,
}

/// Speech found in a chunk. Written by `voice::detect`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum SpeechProbability {
    /// Not listened to yet.
    #[default]
    Pending,
    /// One probability, 0 to 1, for each window that ended in this chunk; [`VoiceStatus`] says how long windows are.
    Windows(Vec<f32>),
}

/// What listens for speech. From the config and the files found at start.
#[derive(Resource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoiceStatus {
    /// The detector: `earshot`, or the name of a model.
    pub detector: String,
    /// Samples of its windows.
    pub window_samples: u32,
    /// Why it is not the one that the config asks for. Empty if it is.
    pub instead: String,
}

impl Default for VoiceStatus {
    /// earshot, which is built in, with windows of 16 ms.
    fn default() -> Self {
        Self { detector: "earshot".into(), window_samples: 256, instead: String::new() }
    }
}

/// What a microphone's voice detection remembers. Written by `voice::detect`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Voice {
    /// Whether somebody is speaking.
    pub speaking: bool,
    /// Samples that did not fill a window yet.
    pub rest: Vec<i16>,
    /// Time of the last sample heard.
    pub heard: Option<Mono>,
    /// Windows listened to.
    pub windows: u64,
    /// Windows in a row above the upper (while silent) or below the lower threshold (while speaking).
    pub run: u32,
    /// Start of the utterance in progress, pre-roll included.
    pub started: Option<Mono>,
    /// Sum of the probabilities of the utterance in progress, windows below the lower threshold left out.
    pub sum: f32,
    /// Windows in [`Voice::sum`].
    pub length: u32,
    /// Utterances ended so far.
    pub utterances: u64,
    /// Sound heard while somebody spoke, in samples: hang-overs included, pre-rolls not.
    pub speech_samples: u64,
    /// Where the first window of speech of the utterance in progress began.
    #[serde(default)]
    pub speech_from: Option<Mono>,
    /// Where the last window above the upper threshold ended so far.
    #[serde(default)]
    pub speech_until: Option<Mono>,
    /// Windows in a row, up to now, that may be the beginning of speech, while silent.
    #[serde(default)]
    pub rising: u32,
}

/// The sound that voice detection keeps: the pre-roll while silent, the utterance while speaking.
/// Written by `voice::detect`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VoiceBuffer {
    /// Signed 16 bit little endian samples, oldest first. Bytes, because they are saved with every snapshot.
    #[serde(with = "serde_bytes")]
    pub pcm: Vec<u8>,
}

/// Somebody spoke. Spawned by `voice::detect` when it ended; lives for a tick.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[require(Stamp)]
pub struct Utterance {
    /// When it began, pre-roll included.
    pub start: Mono,
    /// When it ended, hang-over included.
    pub end: Mono,
    /// Mean speech probability of its windows, pauses and hang-over left out, 0 to 1.
    pub confidence: f32,
    /// Loudness: root mean square of all its samples in decibels relative to full scale (dBFS), -96 to 0.
    pub level_dbfs: f32,
    /// Samples cut out.
    pub samples: u64,
    /// Where its first window of speech began: behind the pre-roll.
    #[serde(default)]
    pub speech_from: Mono,
    /// Where its last window above the upper threshold ended: before the hang-over.
    #[serde(default)]
    pub speech_until: Mono,
}

/// The sound of an utterance: signed 16 bit little endian, 16 kHz, mono.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UtteranceAudio {
    /// The samples.
    pub pcm: Bytes,
}

/// What a service elsewhere heard in an utterance. Written by Ingress.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpeechHeard {
    /// The utterance.
    pub utterance: StableId,
    /// What was heard, or why nothing was.
    pub result: Result<Transcript, String>,
}

/// What was said, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transcript {
    /// The words. May be empty.
    pub text: String,
    /// What else was heard, the surest first.
    pub labels: Vec<SoundLabel>,
}

/// A sound that somebody knows the name of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoundLabel {
    /// What it is called: `siren`.
    pub label: String,
    /// How sure that is, 0 to 1.
    pub score: f32,
}

crate::kinds! {
    AudioChunk => "audio_chunk",
    SpeechProbability => "speech_probability",
    VoiceStatus => "voice_status",
    Voice => "voice",
    VoiceBuffer => "voice_buffer",
    Utterance => "utterance",
    UtteranceAudio => "utterance_audio",
    SpeechHeard => "speech_heard",
}
