//! What a run shows to people and programs that watch it: the newest of everything, put together at the end of Act.
//!
//! Nothing of it comes back into the world: Act is blind, and a replay goes without. Nobody waits for anybody. While nobody
//! watches, no scene is made; only what has happened is remembered, for those who ask later.

pub mod report;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use bevy_ecs::system::SystemParam;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use waywarden_components::prelude::*;

use crate::jobs::dispatch;
use crate::registry::Register;

/// So many happenings are remembered.
pub const REMEMBERED: usize = 256;

/// Shows a live run.
pub struct ScenePlugin {
    /// Where it is shown.
    pub showing: Showing,
}

impl Plugin for ScenePlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.showing.clone())
            .exempt::<Showing>("written for the outside, and read by no system")
            .add_systems(Act, show.after(dispatch));
    }
}

/// A run at the end of a tick, as far as anybody watches it. Pictures and sound are shared, not copied.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// The tick.
    pub tick: u64,
    /// When it began.
    pub now: Mono,
    /// The date, in nanoseconds since 1970 UTC; none while it is not known.
    pub utc_ns: Option<i64>,
    /// Devices, and what else has a health of its own, in the order of their numbers.
    pub devices: Vec<DeviceScene>,
    /// Cameras, in the order of their numbers.
    pub cameras: Vec<CameraScene>,
    /// Where the vehicle is, by the first receiver that can be relied on, and when that was measured.
    pub fix: Option<(GpsFix, Mono)>,
    /// How the vehicle moves.
    pub motion: EgoMotion,
    /// Distance to the nearest thing that a range finder sees, in metres.
    pub distance_m: Option<f32>,
    /// What is followed, by its stable id.
    pub tracks: Vec<(StableId, Track)>,
    /// Warnings that are being given, by their stable id.
    pub alerts: Vec<(StableId, Alert)>,
    /// The functions that warn.
    pub functions: WarningFunctions,
    /// Whether somebody is speaking.
    pub speaking: bool,
    /// Level of the newest sound of each microphone that came in with this tick: root mean square, in decibels below full scale.
    pub level_dbfs: Option<f32>,
    /// Sound that came in with this tick, by microphone: signed 16 bit little endian, 16 kHz, mono.
    pub sound: Vec<(StableId, AudioChunk)>,
    /// The switches.
    pub switches: Switches,
}

/// A device, or something of the app's own that has a health.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceScene {
    /// Its stream.
    pub stream: StreamId,
    /// Its name.
    pub name: String,
    /// How it is, and why.
    pub health: Health,
    /// Its link.
    pub link: LinkState,
    /// What it is, as it was last opened.
    pub description: String,
    /// Samples that came from it.
    pub received: u64,
    /// Samples that were dropped.
    pub dropped: u64,
}

/// A camera, its newest picture, and what is known of earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraScene {
    /// Its stream.
    pub stream: StreamId,
    /// Its name.
    pub name: String,
    /// Where it looks, and how it is mounted.
    pub camera: Camera,
    /// The newest picture: its id, when it was taken, the JPEG. Pictures that came in with earlier ticks stay until the next.
    pub frame: Option<FrameScene>,
    /// Whether the camera can be relied on.
    pub fresh: bool,
    /// The lane, and the picture in which it was found.
    pub lane: EgoLane,
    /// Boxes of obstacles, and the picture in which they were found.
    pub obstacles: Obstacles,
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameScene {
    /// Its stable id.
    pub id: StableId,
    /// When it was taken.
    pub captured: Mono,
    /// The camera's own JPEG.
    pub frame: Frame,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Happening {
    /// Its number, from 1. What begins and ends keeps its number.
    pub number: u64,
    /// What it is: `alert`, `health`, `utterance`, `notice`, `command`.
    pub kind: String,
    /// What it is about: a device, a warning function.
    pub source: String,
    /// When it began, in nanoseconds since the computer was started.
    pub started: Mono,
    /// When it was over; none while it goes on. What takes no time is over when it begins.
    pub ended: Option<Mono>,
    /// When it began, in nanoseconds since 1970 UTC; none where the date was not known.
    pub utc_ns: Option<i64>,
    /// How urgent it is.
    pub level: AlertLevel,
    /// What happened, for a person.
    pub text: String,
}

/// Where a run is shown. Cheap to clone.
#[derive(Resource, Clone, Debug)]
pub struct Showing(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    scene: watch::Sender<Arc<Scene>>,
    happenings: Mutex<VecDeque<Happening>>,
    names: BTreeMap<StreamId, String>,
}

impl Showing {
    /// A run with devices of these names.
    pub fn new(names: BTreeMap<StreamId, String>) -> Self {
        Self(Arc::new(Shared { scene: watch::Sender::default(), happenings: Mutex::default(), names }))
    }

    /// The scenes from now on. While this is held, a scene is made in each tick into which something came.
    pub fn watch(&self) -> watch::Receiver<Arc<Scene>> {
        let mut scenes = self.0.scene.subscribe();
        // The last one may be of long ago, when somebody else watched.
        scenes.mark_unchanged();
        scenes
    }

    /// The scene of the next tick; the last one there was, if the run has ended.
    pub async fn now(&self) -> Arc<Scene> {
        let mut scenes = self.watch();
        // The sender lives as long as this.
        let _ = scenes.changed().await;
        scenes.borrow().clone()
    }

    /// What has happened, the oldest first.
    pub fn happenings(&self) -> Vec<Happening> {
        self.0.happenings.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// What the run calls a device.
    pub fn name(&self, stream: StreamId) -> String {
        let known = self.0.names.get(&stream).map(String::as_str).or_else(|| stream.own_name());
        known.map_or_else(|| format!("stream {}", stream.0), str::to_owned)
    }

    fn is_watched(&self) -> bool {
        self.0.scene.receiver_count() > 0
    }

    fn happened(&self, happening: Happening) {
        let mut happenings = self.0.happenings.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was told of before is told of anew.
        if let Some(known) = happenings.iter_mut().find(|known| known.number == happening.number) {
            *known = happening;
            return;
        }
        if happenings.len() >= REMEMBERED {
            happenings.pop_front();
        }
        happenings.push_back(happening);
    }
}

/// What there is to be seen.
#[derive(SystemParam)]
pub struct Seen<'w, 's> {
    devices: Query<
        'w,
        's,
        (&'static StableId, Ref<'static, Health>, &'static Link, &'static Description, &'static Counters),
    >,
    cameras: Query<'w, 's, (&'static StableId, &'static Camera, &'static Fresh, &'static EgoLane, &'static Obstacles)>,
    frames: Query<'w, 's, (&'static StableId, &'static Stamp, &'static Frame)>,
    sound: Query<'w, 's, (&'static StableId, &'static AudioChunk), Added<AudioChunk>>,
    receivers: Query<'w, 's, (&'static StableId, &'static Fresh, &'static GpsState)>,
    range_finders: Query<'w, 's, (&'static Fresh, &'static RangeState)>,
    voices: Query<'w, 's, &'static Voice>,
    tracks: Query<'w, 's, (&'static StableId, &'static Track)>,
    alerts: Query<'w, 's, (&'static StableId, Ref<'static, Alert>)>,
    utterances: Query<'w, 's, (&'static StableId, &'static Utterance), Added<Utterance>>,
    motion: Res<'w, EgoMotion>,
    functions: Res<'w, WarningFunctions>,
    switches: Res<'w, Switches>,
    clock: Res<'w, Clock>,
}

/// What was told of already.
#[derive(Default)]
pub struct Told {
    last: u64,
    /// Numbers of warnings, by their ids.
    alerts: BTreeMap<StableId, u64>,
    /// States of health, by device.
    health: BTreeMap<StreamId, Health>,
    /// The newest picture of each camera.
    frames: BTreeMap<StreamId, FrameScene>,
}

/// Shows the tick to those who watch, and remembers what has happened.
pub fn show(
    seen: Seen,
    mut notices: MessageReader<Notice>,
    mut answers: MessageReader<CommandAnswer>,
    mut told: Local<Told>,
    showing: Res<Showing>,
) {
    remember(&seen, &mut notices, &mut answers, &mut told, &showing);
    if !showing.is_watched() {
        told.frames.clear();
        return;
    }
    for (id, stamp, frame) in &seen.frames {
        let newer = |known: &FrameScene| known.id.seq < id.seq;
        if told.frames.get(&id.stream).is_none_or(newer) {
            told.frames.insert(id.stream, FrameScene { id: *id, captured: stamp.captured, frame: frame.clone() });
        }
    }
    let scene = scene(&seen, &told, &showing);
    showing.0.scene.send_replace(Arc::new(scene));
}

fn sorted<T>(things: impl Iterator<Item = (StableId, T)>) -> Vec<(StableId, T)> {
    let mut things: Vec<_> = things.collect();
    things.sort_unstable_by_key(|(id, _)| *id);
    things
}

fn scene(seen: &Seen, told: &Told, showing: &Showing) -> Scene {
    let devices = sorted(seen.devices.iter().map(|(id, health, link, description, counters)| {
        let device = DeviceScene {
            stream: id.stream,
            name: showing.name(id.stream),
            health: Health::clone(&health),
            link: link.state.clone(),
            description: description.0.clone(),
            received: counters.received,
            dropped: counters.dropped,
        };
        (*id, device)
    }));
    let cameras = sorted(seen.cameras.iter().map(|(id, camera, fresh, lane, obstacles)| {
        let scene = CameraScene {
            stream: id.stream,
            name: showing.name(id.stream),
            camera: camera.clone(),
            frame: told.frames.get(&id.stream).cloned(),
            fresh: fresh.0,
            lane: lane.clone(),
            obstacles: obstacles.clone(),
        };
        (*id, scene)
    }));
    let receiver = seen.receivers.iter().filter(|(_, fresh, _)| fresh.0).min_by_key(|(id, ..)| **id);
    let fix = receiver.and_then(|(_, _, gps)| Some((gps.fix.clone()?, gps.last_fix?)));
    let distances = seen.range_finders.iter().filter(|(fresh, _)| fresh.0).filter_map(|(_, range)| range.distance_m);
    let sound = sorted(seen.sound.iter().map(|(id, chunk)| (*id, chunk.clone())));
    Scene {
        tick: seen.clock.tick,
        now: seen.clock.now,
        utc_ns: seen.clock.utc_nanos(),
        devices: devices.into_iter().map(|(_, device)| device).collect(),
        cameras: cameras.into_iter().map(|(_, camera)| camera).collect(),
        fix,
        motion: *seen.motion,
        distance_m: distances.min_by(f32::total_cmp),
        tracks: sorted(seen.tracks.iter().map(|(id, track)| (*id, track.clone()))),
        alerts: sorted(
            seen.alerts
                .iter()
                .filter(|(_, alert)| alert.ended.is_none())
                .map(|(id, alert)| (*id, Alert::clone(&alert))),
        ),
        functions: seen.functions.clone(),
        speaking: seen.voices.iter().any(|voice| voice.speaking),
        level_dbfs: sound.iter().map(|(_, chunk)| level_dbfs(&chunk.pcm)).max_by(f32::total_cmp),
        sound,
        switches: *seen.switches,
    }
}

/// Root mean square of signed 16 bit samples, in decibels below full scale; not below -96.
fn level_dbfs(pcm: &[u8]) -> f32 {
    let samples = pcm.chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])));
    let squares = samples.map(|sample| sample * sample);
    let mean = squares.sum::<f64>() / (pcm.len() / 2).max(1) as f64;
    (20.0 * libm::log10(libm::sqrt(mean) / f64::from(i16::MAX))).max(-96.0) as f32
}

fn remember(
    seen: &Seen,
    notices: &mut MessageReader<Notice>,
    answers: &mut MessageReader<CommandAnswer>,
    told: &mut Told,
    showing: &Showing,
) {
    let (now, utc_ns) = (seen.clock.now, seen.clock.utc_nanos());
    let mut number = |known: Option<u64>| {
        known.unwrap_or_else(|| {
            told.last += 1;
            told.last
        })
    };
    let moment = |number, kind: &str, source: String, level, text: String| Happening {
        number,
        kind: kind.to_owned(),
        source,
        started: now,
        ended: Some(now),
        utc_ns,
        level,
        text,
    };
    for (id, alert) in
        sorted(seen.alerts.iter().filter(|(_, alert)| alert.is_changed()).map(|(id, alert)| (*id, alert)))
    {
        let known = number(told.alerts.get(&id).copied());
        let happening = Happening {
            started: alert.started,
            ended: alert.ended,
            // The date of a moment ago is that of now, less the moment.
            utc_ns: utc_ns.map(|utc| utc - i64::try_from(now.since(alert.started).as_nanos()).unwrap_or(0)),
            ..moment(known, "alert", alert.kind.name().to_owned(), alert.level, alert.text.clone())
        };
        showing.happened(happening);
        match alert.ended {
            Some(_) => told.alerts.remove(&id),
            None => told.alerts.insert(id, known),
        };
    }
    for (id, health) in
        sorted(seen.devices.iter().filter(|(_, health, ..)| health.is_changed()).map(|of| (*of.0, of.1)))
    {
        let before = told.health.insert(id.stream, Health::clone(&health));
        if before.is_some_and(|before| before.state == health.state) {
            continue;
        }
        let level = match health.state {
            FunctionState::Fault => AlertLevel::Warning,
            FunctionState::Degraded => AlertLevel::Caution,
            _ => AlertLevel::Notice,
        };
        let state = format!("{:?}", health.state).to_lowercase();
        let text = if health.reason.is_empty() { state } else { format!("{state}: {}", health.reason) };
        showing.happened(moment(number(None), "health", showing.name(id.stream), level, text));
    }
    for (id, utterance) in sorted(seen.utterances.iter().map(|(id, utterance)| (*id, utterance.clone()))) {
        let length = utterance.speech_until.since(utterance.speech_from).as_secs_f64();
        let device = StreamId(id.stream.0.saturating_sub(StreamId::utterances_of(StreamId(0)).0));
        let text = format!("somebody spoke for {length:.1} s");
        let happening = Happening {
            started: utterance.speech_from,
            ended: Some(utterance.speech_until),
            ..moment(number(None), "utterance", showing.name(device), AlertLevel::Notice, text)
        };
        showing.happened(happening);
    }
    for notice in notices.read() {
        let level = match notice.level {
            NoticeLevel::Info => AlertLevel::Notice,
            NoticeLevel::Warning => AlertLevel::Caution,
            NoticeLevel::Error => AlertLevel::Warning,
        };
        showing.happened(moment(number(None), "notice", notice.source.clone(), level, notice.text.clone()));
    }
    for answer in answers.read().filter(|answer| answer.progress.is_final()) {
        let text = format!("{} {}: {}", answer.name, answer.progress, answer.reason);
        showing.happened(moment(number(None), "command", answer.name.clone(), AlertLevel::Notice, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tick::TickPlugin;

    fn world() -> (App, Showing) {
        let showing = Showing::new(BTreeMap::from([(StreamId(1), "front".to_owned())]));
        let mut app = App::empty();
        app.add_plugins((TickPlugin::default(), ScenePlugin { showing: showing.clone() }));
        app.add_message::<Notice>().add_message::<CommandAnswer>();
        app.init_resource::<EgoMotion>().init_resource::<WarningFunctions>().init_resource::<Switches>();
        let camera = Camera { role: CameraRole::Front, geometry: CameraGeometry::default() };
        app.world_mut().spawn((StableId::device(StreamId(1)), camera));
        (app, showing)
    }

    fn tick(app: &mut App, tick: u64) {
        *app.world_mut().resource_mut::<Clock>() = Clock { tick, now: Mono(tick * 1000), ..Clock::default() };
        app.world_mut().run_schedule(Act);
    }

    #[test]
    fn a_scene_is_made_for_those_who_watch() {
        let (mut app, showing) = world();
        let frame = Frame { jpeg: vec![1, 2, 3].into() };
        let stamp = Stamp { captured: Mono(900), seq: 7 };
        let picture = app.world_mut().spawn((StableId::new(StreamId(1), 7), stamp, frame.clone())).id();
        tick(&mut app, 1);
        assert_eq!(showing.0.scene.borrow().tick, 0, "nobody watches");

        let mut scenes = showing.watch();
        assert!(!scenes.has_changed().unwrap());
        tick(&mut app, 2);
        assert!(scenes.has_changed().unwrap());
        // A picture that has retired is the newest one all the same.
        app.world_mut().despawn(picture);
        tick(&mut app, 3);
        let scene = scenes.borrow_and_update().clone();
        assert_eq!((scene.tick, scene.now, scene.cameras.len()), (3, Mono(3000), 1));
        assert_eq!((scene.cameras[0].name.as_str(), scene.devices[0].name.as_str()), ("front", "front"));
        let shown = scene.cameras[0].frame.clone().unwrap();
        assert_eq!((shown.id.seq, shown.captured, shown.frame), (7, Mono(900), frame));
        drop(scenes);
        tick(&mut app, 4);
        assert_eq!(showing.0.scene.borrow().tick, 3);
    }

    #[test]
    fn what_begins_and_ends_is_one_happening() {
        let (mut app, showing) = world();
        tick(&mut app, 1);
        let alert = Alert {
            kind: AlertKind::Headway,
            level: AlertLevel::Caution,
            started: Mono(1500),
            text: "too near".to_owned(),
            evidence: Vec::new(),
            ended: None,
        };
        let entity = app.world_mut().spawn((StableId::new(StreamId::ALERTS, 1), alert)).id();
        tick(&mut app, 2);
        tick(&mut app, 3);
        app.world_mut().get_mut::<Alert>(entity).unwrap().ended = Some(Mono(3500));
        tick(&mut app, 4);
        let notice = Notice { level: NoticeLevel::Error, source: "http".to_owned(), text: "taken".to_owned() };
        app.world_mut().write_message(notice);
        tick(&mut app, 5);
        let told: Vec<_> =
            showing.happenings().into_iter().map(|of| (of.kind, of.source, of.started, of.ended)).collect();
        assert_eq!(told[0].0, "health", "a device is waited for");
        assert_eq!(told[1], ("alert".to_owned(), "headway".to_owned(), Mono(1500), Some(Mono(3500))));
        assert_eq!(told[2], ("notice".to_owned(), "http".to_owned(), Mono(5000), Some(Mono(5000))));
        assert_eq!(told.len(), 3);
    }

    #[test]
    fn only_so_much_is_remembered() {
        let showing = Showing::new(BTreeMap::new());
        for number in 1..=REMEMBERED as u64 + 5 {
            showing.happened(Happening {
                number,
                kind: "notice".to_owned(),
                source: String::new(),
                started: Mono(number),
                ended: None,
                utc_ns: None,
                level: AlertLevel::Notice,
                text: String::new(),
            });
        }
        let all = showing.happenings();
        assert_eq!((all.len(), all[0].number), (REMEMBERED, 6));
    }

    #[test]
    fn levels_are_below_full_scale() {
        let loud: Vec<u8> = std::iter::repeat_n(i16::MAX.to_le_bytes(), 100).flatten().collect();
        assert!(level_dbfs(&loud).abs() < 0.01);
        assert_eq!(level_dbfs(&[0; 200]), -96.0);
        assert_eq!(level_dbfs(&[]), -96.0);
    }
}
