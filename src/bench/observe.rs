//! What is done with results where their consumers are, at the end of a tick: a message for each picture, fix and change of
//! voice; the JPEG of a picture that was worth it passed on; and when all of that was there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use bytes::Bytes;
use serde_json::{Value, json};
use waywarden_components::prelude::*;
use waywarden_systems::clock::boottime;
use waywarden_systems::mqtt::outbox::{Body, Outbox, Outgoing};
use waywarden_systems::registry::Register;

use super::latency::{Latencies, round};
use super::same_work::SameWork;
use super::session::Session;
use super::sources::Start;
use super::{EVERY, Plan, THRESHOLD};
use crate::config::Config;

/// The topic of the message of a picture.
pub const FRAME: &str = "telemetry/frame";

/// The last consumer keeps so many JPEGs, as one would who sends them.
const KEPT: usize = 4;

/// Measures.
pub struct ObservePlugin {
    /// Where to.
    pub observed: Observed,
}

impl Plugin for ObservePlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.observed.clone()).exempt::<Observed>("measures, and is read by no system");
        app.add_systems(Act, observe);
    }
}

/// What was seen of the session, and when.
#[derive(Resource, Clone)]
pub struct Observed(Arc<Mutex<Seen>>);

/// See [`Observed`].
pub struct Seen {
    begin: Start,
    /// Time from picture to picture; zero is as fast as possible.
    period: Duration,
    same_work: bool,
    keep: Duration,
    /// When the last result was there.
    pub last: Mono,
    /// By place in the folder and camera: the gate's value of each picture.
    pub gates: Vec<(u64, f32)>,
    /// By place in the folder: bytes of each JPEG that was passed on.
    pub jpegs: Vec<(u64, usize)>,
    passed_on: Vec<Bytes>,
    /// By number of the message: when its picture was due.
    pub told: Vec<Mono>,
    /// Gate, JPEGs for lanes and obstacles, sound, fixes, messages of pictures, voice and fixes.
    pub late: Late,
    /// Pieces of sound in which somebody spoke, and pieces.
    pub speech: (u64, u64),
    /// Sentences of fixes, and fixes.
    pub fixes: (u64, u64),
    /// Sentences that cannot be read.
    pub bad_sentences: u64,
    /// Pictures that cannot be decoded.
    pub broken: u64,
    good: u64,
    speaking: bool,
    others: u64,
}

/// How late results were.
#[derive(Default)]
pub struct Late {
    /// The gate's value.
    pub gate: Latencies,
    /// JPEGs of pictures above the threshold.
    pub lane_jpeg: Latencies,
    /// JPEGs of every tenth.
    pub obstacle_jpeg: Latencies,
    /// What is heard.
    pub vad: Latencies,
    /// Fixes, by sentence.
    pub gps_fix: Latencies,
    /// The message of a picture is in the outbox.
    pub mqtt_frame: Latencies,
    /// The message of a fix is.
    pub mqtt_gps: Latencies,
    /// The message of a change of voice is.
    pub mqtt_vad: Latencies,
}

impl Observed {
    /// For a session.
    pub fn new(session: &Session, plan: &Plan, begin: Start, config: &Config) -> Self {
        let frames = session.frames.len() * plan.cameras.max(1);
        let late = || Latencies::for_results(frames);
        let keep = Duration::try_from_secs_f64(config.mqtt.keep_telemetry_h * 3600.0).unwrap_or(Duration::MAX);
        let mut gates = vec![(u64::MAX, f32::NAN); frames];
        let mut jpegs = vec![(u64::MAX, usize::MAX); frames];
        let mut told = vec![Mono(u64::MAX); frames];
        gates.clear();
        jpegs.clear();
        told.clear();
        Self(Arc::new(Mutex::new(Seen {
            begin,
            period: Duration::try_from_secs_f64(1.0 / (session.fps * plan.rate)).unwrap_or_default(),
            same_work: plan.same_work,
            keep,
            last: Mono::default(),
            gates,
            jpegs,
            passed_on: Vec::with_capacity(KEPT),
            told,
            late: Late {
                gate: late(),
                lane_jpeg: late(),
                obstacle_jpeg: late(),
                vad: Latencies::for_results(session.sound.len()),
                gps_fix: Latencies::for_results(session.lines.len()),
                mqtt_frame: late(),
                mqtt_gps: Latencies::for_results(session.lines.len()),
                mqtt_vad: Latencies::default(),
            },
            speech: (0, 0),
            fixes: (0, 0),
            bad_sentences: 0,
            broken: 0,
            good: 0,
            speaking: false,
            others: 0,
        })))
    }

    /// What was seen.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of this tick's samples.
#[derive(bevy_ecs::system::SystemParam)]
pub struct Results<'w, 's> {
    frames: Query<'w, 's, (&'static StableId, &'static Stamp, &'static Frame, &'static GateScore)>,
    chunks: Query<'w, 's, (&'static StableId, &'static Stamp, &'static SpeechProbability)>,
    voices: Query<'w, 's, &'static Voice>,
    serial: MessageReader<'w, 's, SerialBytes>,
    receivers: Query<'w, 's, &'static GpsState>,
    fixes: Query<'w, 's, (&'static StableId, &'static Stamp, &'static GpsFix)>,
    same_work: Option<Res<'w, SameWork>>,
}

/// Takes what there is.
pub fn observe(mut results: Results, observed: Res<Observed>, clock: Res<Clock>, outbox: Option<Res<Outbox>>) {
    let mut seen = observed.seen();
    let mut teller = Teller { outbox: outbox.as_deref(), clock: &clock, keep: seen.keep };
    see(&mut seen, &results, &mut teller);
    hear(&mut seen, &results, &mut teller);
    locate(&mut seen, &mut results, &mut teller);
}

fn see(seen: &mut Seen, results: &Results, teller: &mut Teller) {
    let mut frames: Vec<_> = results.frames.iter().collect();
    frames.sort_unstable_by_key(|(id, ..)| **id);
    for (id, stamp, frame, score) in frames {
        let due = stamp.captured;
        let place = seen.place(*id, due);
        let value = match (&results.same_work, score) {
            (Some(work), _) => work.value(*id),
            (None, GateScore::Judged { difference, .. }) => Some(*difference),
            (None, _) => None,
        };
        let Some(value) = value else {
            seen.broken += 1;
            continue;
        };
        let now = boottime();
        seen.last = now;
        seen.late.gate.add(due, now);
        seen.gates.push((place, value));
        let changed = f64::from(value) > THRESHOLD;
        seen.told.push(due);
        let message = json!({ "seq": place, "diff": round(value.into()), "changed": changed });
        teller.tell(FRAME, seen.told.len() as u64, &message);
        seen.late.mqtt_frame.add(due, boottime());
        // With the same work JPEGs are made anew, by others.
        if seen.same_work || !(changed || place.is_multiple_of(EVERY)) {
            continue;
        }
        seen.jpegs.push((place, frame.jpeg.len()));
        if seen.passed_on.len() == KEPT {
            seen.passed_on.remove(0);
        }
        seen.passed_on.push(frame.jpeg.clone());
        let now = boottime();
        if changed {
            seen.late.lane_jpeg.add(due, now);
        }
        if place.is_multiple_of(EVERY) {
            seen.late.obstacle_jpeg.add(due, now);
        }
    }
}

fn hear(seen: &mut Seen, results: &Results, teller: &mut Teller) {
    let mut chunks: Vec<_> = results.chunks.iter().collect();
    chunks.sort_unstable_by_key(|(id, ..)| **id);
    let speaking = results.voices.iter().any(|voice| voice.speaking);
    let now = boottime();
    for (_, stamp, _) in chunks.iter().filter(|(.., speech)| **speech != SpeechProbability::Pending) {
        seen.late.vad.add(stamp.captured, now);
        seen.speech = (seen.speech.0 + u64::from(speaking), seen.speech.1 + 1);
        seen.last = now;
    }
    if let Some((id, stamp, _)) = chunks.last().filter(|_| speaking != seen.speaking) {
        seen.speaking = speaking;
        seen.others += 1;
        teller.tell("telemetry/speech", seen.others, &json!({ "chunk": id.seq, "speech": speaking }));
        seen.late.mqtt_vad.add(stamp.captured, boottime());
    }
}

fn locate(seen: &mut Seen, results: &mut Results, teller: &mut Teller) {
    let mut receivers = results.receivers.iter();
    let (good, bad) = receivers.next().map_or((0, 0), |gps| (gps.good, gps.bad));
    let mut sentences = good - seen.good;
    (seen.good, seen.bad_sentences) = (good, bad);
    let now = boottime();
    for serial in results.serial.read() {
        let is_fix = serial.bytes.get(3..6).is_some_and(|kind| matches!(kind, b"GGA" | b"RMC"));
        if is_fix && sentences > 0 {
            sentences -= 1;
            seen.fixes.0 += 1;
            seen.late.gps_fix.add(serial.captured, now);
            seen.last = now;
        }
    }
    let mut fixes: Vec<_> = results.fixes.iter().collect();
    fixes.sort_unstable_by_key(|(id, ..)| **id);
    for (id, stamp, fix) in fixes {
        seen.fixes.1 += 1;
        let knots = fix.speed_mps.map(|speed| round(speed * 3600.0 / 1852.0));
        let message = json!({ "lat": fix.latitude_deg, "lon": fix.longitude_deg, "kn": knots, "cog": fix.course_deg });
        teller.tell("telemetry/fix", id.seq, &message);
        seen.late.mqtt_gps.add(stamp.captured, boottime());
    }
}

impl Seen {
    /// The place of a picture in the folder: some may have been dropped on the way.
    fn place(&self, id: StableId, due: Mono) -> u64 {
        match self.begin.get() {
            Some(begin) if !self.period.is_zero() => {
                (due.since(begin).as_secs_f64() / self.period.as_secs_f64()).round() as u64
            }
            _ => id.seq.saturating_sub(1),
        }
    }
}

/// Puts messages into the outbox, as everything that is told to a broker.
struct Teller<'a> {
    outbox: Option<&'a Outbox>,
    clock: &'a Clock,
    keep: Duration,
}

impl Teller<'_> {
    fn tell(&mut self, topic: &str, seq: u64, message: &Value) {
        let Some(outbox) = self.outbox else { return };
        let Ok(data) = serde_json::value::to_raw_value(message) else { return };
        let (at, utc_ns) = (self.clock.now, self.clock.utc_nanos());
        let topic = topic.to_owned();
        outbox.put(Outgoing { topic, priority: 1, keep: self.keep, v: 1, seq, at, utc_ns, body: Body::Json(data) });
    }
}
