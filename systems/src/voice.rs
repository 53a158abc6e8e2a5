//! Voice activity.

pub mod detector;
pub mod endpoint;

use std::collections::BTreeMap;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use bytes::Bytes;
use waywarden_components::prelude::*;

use crate::emit::{Emit, Token};
use crate::inference::InferenceError;
#[cfg(not(fuzzing))]
use crate::inference::remote::speech::{SpeechPost, post};
use crate::registry::Register;
use detector::{Choice, Detector};
use endpoint::{SAMPLE_NS, VoiceSettings, break_off, is_behind_a_hole, listen};

/// Listens for people: a speech probability for each window of sound, and the utterances cut out.
#[derive(Default)]
pub struct VoicePlugin {
    /// When somebody is taken to speak.
    pub settings: VoiceSettings,
}

impl Plugin for VoicePlugin {
    fn build(&self, app: &mut App) {
        self.apply(app.world_mut());
        app.init_resource::<OperatorTalk>();
        app.init_resource::<Detectors>().init_resource::<VoiceStatus>().init_resource::<Token<Utterance>>();
        app.state_resource::<VoiceStatus>()
            .state::<SpeechProbability>()
            .state::<Voice>()
            .state::<Utterance>()
            .payload::<VoiceBuffer>("sound that came in: what was made of it is digested")
            .payload::<UtteranceAudio>("sound that came in: what was made of it is digested")
            .exempt::<VoiceSettings>("the config, which the session holds")
            .exempt::<Detectors>("cannot be saved: begins anew with every segment")
            .exempt::<Token<Utterance>>("declares access, holds nothing");
        app.add_systems(Sense, detect.after(Negotiating));
        #[cfg(not(fuzzing))]
        app.exempt::<SpeechPost>("the outside").add_systems(Act, post);
    }
}

impl VoicePlugin {
    /// Puts its settings in force.
    pub fn apply(&self, world: &mut World) {
        world.insert_resource(self.settings.clone());
    }
}

/// The detector of each microphone. Written by [`detect`].
///
/// Its state cannot be saved, so it is no part of snapshots and digests: a segment begins with new detectors in the live
/// run just as in a world that was restored there.
#[derive(Resource, Default)]
pub struct Detectors {
    choice: Choice,
    each: BTreeMap<StreamId, Ear>,
}

impl Detectors {
    /// None yet; each will be of this choice.
    pub fn new(choice: Choice) -> Self {
        Self { choice, each: BTreeMap::new() }
    }
}

/// The detector of a microphone.
struct Ear {
    detector: Box<dyn Detector>,
    /// Why it fails, while it does.
    fault: Option<InferenceError>,
}

/// What the entity of a microphone needs besides its `StableId` and what all devices have.
pub fn microphone() -> impl Bundle {
    (Microphone, Voice::default(), VoiceBuffer::default())
}

/// Listens to the chunks that came in, in the order of their stable ids, and emits the utterances that ended in them.
pub fn detect(
    mut boundaries: MessageReader<SegmentStarted>,
    mut chunks: Query<(&StableId, &Stamp, &AudioChunk, &mut SpeechProbability)>,
    mut microphones: Query<(&StableId, &Fresh, &mut Voice, &mut VoiceBuffer), With<Microphone>>,
    (settings, talk): (Res<VoiceSettings>, Res<OperatorTalk>),
    mut detectors: ResMut<Detectors>,
    mut emit: Emit<Utterance>,
    mut notices: MessageWriter<Notice>,
) {
    let Detectors { choice, each: ears } = &mut *detectors;
    let settings = match choice {
        Choice::Earshot => settings.clone(),
        Choice::Silero(_) => settings.for_silero(),
    };
    if boundaries.read().count() > 0 {
        ears.clear();
    }
    // Nobody is heard to the end by a microphone that has gone.
    for (id, fresh, mut voice, mut buffer) in microphones.iter_mut().sort::<&StableId>() {
        if fresh.0 || !voice.speaking {
            continue;
        }
        let end = heard_until(&voice).unwrap_or_default();
        if let Some(ended) = break_off(&mut voice, &mut buffer, end) {
            let audio = UtteranceAudio { pcm: Bytes::from(ended.pcm) };
            emit.spawn((StableId::new(StreamId::utterances_of(id.stream), voice.utterances), ended.utterance, audio));
        }
    }
    for (id, stamp, chunk, mut speech) in chunks.iter_mut().sort::<&StableId>() {
        if *speech != SpeechProbability::Pending {
            continue;
        }
        let microphone = microphones.iter_mut().find(|(microphone, ..)| microphone.stream == id.stream);
        let Some((_, _, mut voice, mut buffer)) = microphone else {
            continue;
        };
        let ear = ears.entry(id.stream).or_insert_with(|| Ear { detector: choice.detector(), fault: None });
        let failed = ear.fault.is_some();
        *speech = SpeechProbability::Windows(hear(
            &settings,
            ear,
            &mut voice,
            &mut buffer,
            (stamp.captured, &chunk.pcm),
            // Half duplex: an operator's voice out of the loudspeaker is nobody in the vehicle.
            |at| talk.covers(at),
            |number, ended| {
                let audio = UtteranceAudio { pcm: Bytes::from(ended.pcm) };
                emit.spawn((StableId::new(StreamId::utterances_of(id.stream), number), ended.utterance, audio));
            },
        ));
        if let Some(fault) = ear.fault.as_ref().filter(|_| !failed) {
            let text = format!("stream {}: nobody is heard: {fault}", id.stream.0);
            notices.write(Notice { level: NoticeLevel::Error, source: "voice".into(), text });
        }
    }
}

/// Until when it was listened. What did not fill a window was never part of an utterance.
fn heard_until(voice: &Voice) -> Option<Mono> {
    let unheard = voice.rest.len() as u64 * SAMPLE_NS;
    voice.heard.map(|heard| Mono::from_nanos(heard.as_nanos().saturating_sub(unheard)))
}

/// Listens to a chunk whose last sample was heard at `captured`. Gives the probabilities of the windows that it filled
/// and calls `each` with the number of each utterance that ended in it. What cannot be computed counts as silence, and so does
/// what is `covered` by somebody else's voice.
fn hear(
    settings: &VoiceSettings,
    ear: &mut Ear,
    voice: &mut Voice,
    buffer: &mut VoiceBuffer,
    (captured, pcm): (Mono, &[u8]),
    covered: impl Fn(Mono) -> bool,
    mut each: impl FnMut(u64, endpoint::Ended),
) -> Vec<f32> {
    let length = (pcm.len() / 2) as u64;
    let start = Mono::from_nanos(captured.as_nanos().saturating_sub(length * SAMPLE_NS));
    if is_behind_a_hole(voice, start) {
        ear.detector.reset();
        let end = heard_until(voice).unwrap_or(start);
        if let Some(ended) = break_off(voice, buffer, end) {
            each(voice.utterances, ended);
        }
    }
    voice.heard = Some(captured);
    let mut samples = std::mem::take(&mut voice.rest);
    // An odd byte at the end is no sample.
    samples.extend(pcm.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)));
    let length = ear.detector.window().max(1);
    let windows = samples.chunks_exact(length);
    let rest = windows.remainder().to_vec();
    let mut probabilities = Vec::with_capacity(windows.len());
    let mut ahead = samples.len() as u64;
    for window in windows {
        ahead = ahead.saturating_sub(length as u64);
        let end = Mono::from_nanos(captured.as_nanos().saturating_sub(ahead * SAMPLE_NS));
        let heard = ear.detector.hear(window);
        let probability = if covered(end) { 0.0 } else { *heard.as_ref().unwrap_or(&0.0) };
        ear.fault = heard.err();
        probabilities.push(probability);
        if let Some(ended) = listen(settings, voice, buffer, window, probability, end) {
            each(voice.utterances, ended);
        }
    }
    voice.rest = rest;
    probabilities
}

#[cfg(test)]
mod tests;
