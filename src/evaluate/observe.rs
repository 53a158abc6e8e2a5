//! What the app concludes while it runs, noted tick by tick.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;
use waywarden_systems::jobs::dispatch;
use waywarden_systems::registry::Register;

/// What the app concluded of a frame.
#[derive(Clone, Debug, Default)]
pub struct FrameSeen {
    /// When it was captured.
    pub captured: Mono,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// What the gate said of it.
    pub gate: GateScore,
    /// Where the road and its lines are; none if it was not segmented.
    pub masks: Option<RoadMasks>,
    /// The lines beside the vehicle; none if nobody looked.
    pub lanes: Option<LaneEstimate>,
    /// The boxes; none if nobody looked.
    pub boxes: Option<Vec<Detection>>,
    /// If the gate held it back: the newest boxes that were known when it came in.
    pub known: Option<Vec<Detection>>,
    /// The tracks that were last seen in it, as they were when that was known.
    pub tracks: BTreeMap<StableId, Track>,
}

/// A warning that was given.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertSeen {
    /// What about.
    pub kind: AlertKind,
    /// The first tick in which it was there.
    pub from: Mono,
    /// The last one.
    pub to: Mono,
    /// What it said when it was most urgent.
    pub text: String,
    /// How urgent it was at most.
    pub level: AlertLevel,
}

impl AlertSeen {
    /// A warning in its first tick.
    pub fn new(alert: &Alert, now: Mono) -> Self {
        Self { kind: alert.kind, from: now, to: now, text: alert.text.clone(), level: alert.level }
    }

    fn goes_on(&mut self, alert: &Alert, now: Mono) {
        self.to = now;
        if alert.level > self.level {
            self.level = alert.level;
            self.text.clone_from(&alert.text);
        }
    }
}

/// What the app heard.
#[derive(Clone, Debug, Default)]
pub struct SoundSeen {
    /// When the first sample was heard.
    pub begun: Option<Mono>,
    /// Probabilities of the windows that ended in each chunk, by its number.
    pub windows: BTreeMap<u64, Vec<f32>>,
    /// Where speech begins and ends in each utterance, by its number.
    pub utterances: BTreeMap<u64, (Mono, Mono)>,
    /// Samples of a window.
    pub window_samples: u32,
}

/// What the app concluded in a run.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The frames of the camera that is watched, by their numbers.
    pub frames: BTreeMap<u64, FrameSeen>,
    /// The warnings.
    pub alerts: BTreeMap<StableId, AlertSeen>,
    /// What was heard by the stream that is watched, if that is a microphone.
    pub sound: SoundSeen,
    /// Which models there were.
    pub models: ModelStatus,
    /// Time of the last tick.
    pub last: Mono,
}

/// Notes what is concluded of the frames of one camera, or the sound of one microphone. Cheap to clone.
#[derive(Resource, Clone)]
pub struct Observer {
    stream: StreamId,
    masks: bool,
    seen: Arc<Mutex<Seen>>,
}

impl Observer {
    /// Watches this camera, or listens to this microphone. Masks are large: they are kept only if asked for.
    pub fn new(stream: StreamId, masks: bool) -> Self {
        Self { stream, masks, seen: Arc::default() }
    }

    /// What has been seen; nothing is left here.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Has the app watched by an [`Observer`].
pub struct ObserverPlugin(pub Observer);

impl Plugin for ObserverPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.0.clone())
            .exempt::<Observer>("written for the outside, and read by no system")
            // By then all of this tick has been understood, and no frame has retired.
            .add_systems(Act, (observe, listen).chain().after(dispatch));
    }
}

/// Frames and what was found in them.
type Frames<'w, 's> = Query<
    'w,
    's,
    (
        &'static StableId,
        &'static Stamp,
        &'static Thumbnail,
        &'static GateScore,
        &'static Segmentation,
        &'static LaneEstimate,
        &'static Detections,
    ),
    With<Frame>,
>;

/// Notes what this tick has concluded. Everything goes into maps by stable ids, so the order of queries does not matter.
fn observe(
    observer: Res<Observer>,
    clock: Res<Clock>,
    models: Res<ModelStatus>,
    frames: Frames,
    cameras: Query<(&StableId, &Obstacles)>,
    tracks: Query<(&StableId, &Track)>,
    alerts: Query<(&StableId, &Alert)>,
) {
    let mut seen = observer.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = &mut *seen;
    if seen.last == Mono::default() {
        seen.models = models.clone();
    }
    seen.last = clock.now;
    for (id, stamp, thumbnail, gate, masks, lanes, boxes) in
        frames.iter().filter(|(id, ..)| id.stream == observer.stream)
    {
        let frame = seen.frames.entry(id.seq).or_insert_with(|| {
            let held = matches!(gate, GateScore::Judged { accepted: false, .. });
            let camera = cameras.iter().find(|(camera, _)| held && camera.stream == id.stream);
            let size = match thumbnail {
                Thumbnail::Ready { width, height, .. } => (*width, *height),
                _ => (0, 0),
            };
            let known = camera.map(|(_, obstacles)| obstacles.boxes.clone());
            FrameSeen { captured: stamp.captured, size, gate: *gate, known, ..FrameSeen::default() }
        });
        if observer.masks && frame.masks != masks.masks {
            frame.masks.clone_from(&masks.masks);
        }
        if frame.boxes != boxes.boxes {
            frame.boxes.clone_from(&boxes.boxes);
        }
        if lanes.source != LaneSource::None {
            frame.lanes = Some(lanes.clone());
        }
    }
    for (id, track) in tracks.iter().filter(|(_, track)| track.frame.stream == observer.stream) {
        if let Some(frame) = seen.frames.get_mut(&track.frame.seq) {
            frame.tracks.entry(*id).or_insert_with(|| track.clone());
        }
    }
    for (id, alert) in alerts.iter() {
        seen.alerts.entry(*id).or_insert_with(|| AlertSeen::new(alert, clock.now)).goes_on(alert, clock.now);
    }
}

/// Notes what this tick has heard.
fn listen(
    observer: Res<Observer>,
    status: Res<VoiceStatus>,
    chunks: Query<(&StableId, &Stamp, &AudioChunk, &SpeechProbability)>,
    utterances: Query<(&StableId, &Utterance)>,
) {
    let mut seen = observer.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let sound = &mut seen.sound;
    sound.window_samples = status.window_samples;
    for (id, stamp, chunk, speech) in chunks.iter().filter(|(id, ..)| id.stream == observer.stream) {
        let SpeechProbability::Windows(windows) = speech else { continue };
        sound.windows.entry(id.seq).or_insert_with(|| windows.clone());
        let length =
            std::time::Duration::from_nanos(chunk.pcm.len() as u64 / 2 * 1_000_000_000 / u64::from(SAMPLE_RATE));
        let began = stamp.captured - length;
        sound.begun = Some(sound.begun.map_or(began, |first| first.min(began)));
    }
    let own = StreamId::utterances_of(observer.stream);
    for (id, utterance) in utterances.iter().filter(|(id, _)| id.stream == own) {
        sound.utterances.entry(id.seq).or_insert((utterance.speech_from, utterance.speech_until));
    }
}
