//! The report in numbers: what the page holds for programs, and what `report --json` prints.

use std::collections::BTreeMap;

use serde::Serialize;
use waywarden_components::prelude::*;
use waywarden_systems::session::Origin;
use waywarden_systems::tick::StageSummary;

use super::Replayed;
use super::devices::DeviceFacts;
use super::frames::FrameFacts;
use super::gather::Gathered;
use super::lanes::LaneFacts;
use super::objects::ObjectFacts;
use super::position::PositionFacts;
use super::sound::SpeechFacts;
use super::words::{self, Problem};

/// A session in numbers. Names are those of `replay --json` and `inspect --json` where these have them too.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// The session, as it was named.
    pub session: String,
    /// Its random name.
    pub session_id: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Size of its files.
    pub bytes: u64,
    /// Ticks.
    pub ticks: u64,
    /// Ticks whose outputs were recorded.
    pub ticks_with_outputs: u64,
    /// Time from the first tick to the last.
    pub session_s: f64,
    /// When it began, if the date was known.
    pub started_utc: Option<String>,
    /// Segments.
    pub segments: u64,
    /// Ticks that are not there between the first and the last.
    pub missing_ticks: u64,
    /// Whether nothing is missing between the first and the last tick, and no file ends in the middle.
    pub whole: bool,
    /// Holes.
    pub gaps: Vec<GapFacts>,
    /// Files that end in the middle.
    pub cut: Vec<String>,
    /// What came in.
    pub inputs: Vec<InputFacts>,
    /// Pictures.
    pub frames: FrameFacts,
    /// Fixes made.
    pub fixes: u64,
    /// Range readings that may be used.
    pub ranges: u64,
    /// Utterances that ended.
    pub utterances: u64,
    /// Seconds of speech.
    pub speech_s: f64,
    /// The lane.
    pub lanes: LaneFacts,
    /// What is ahead.
    pub objects: ObjectFacts,
    /// Position and speed.
    pub position: PositionFacts,
    /// Speech.
    pub speech: SpeechFacts,
    /// Items that full queues dropped, by device.
    pub drops: BTreeMap<String, u64>,
    /// Jobs that missed their deadline, by role.
    pub missed_jobs: BTreeMap<JobRole, u64>,
    /// Jobs that failed, by role.
    pub failed_jobs: BTreeMap<JobRole, u64>,
    /// Health, by device.
    pub devices: BTreeMap<String, DeviceFacts>,
    /// Alerts.
    pub alerts: Vec<AlertFacts>,
    /// Times that the session holds, by name.
    pub times: BTreeMap<String, StageSummary>,
    /// Times of systems as a replay measured them, where it was asked for.
    pub stages: Option<BTreeMap<String, StageSummary>>,
    /// Values that this build cannot read, by kind.
    pub unreadable: BTreeMap<String, u64>,
    /// The session in words.
    pub summary: Vec<String>,
    /// What to look at.
    pub problems: Vec<Problem>,
    /// What the session does not hold.
    pub missing: Vec<String>,
}

/// A hole in a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GapFacts {
    /// From, in seconds since the start.
    pub from_s: f64,
    /// To, likewise.
    pub to_s: f64,
    /// Ticks that are missing.
    pub ticks: u64,
}

/// What came in of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputFacts {
    /// The stream's name.
    pub stream: String,
    /// What.
    pub kind: &'static str,
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A warning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertFacts {
    /// What it is about.
    pub kind: String,
    /// How urgent.
    pub level: AlertLevel,
    /// When it began, in seconds since the start.
    pub from_s: f64,
    /// When it ended; none if it lasted to the end.
    pub to_s: Option<f64>,
}

impl Facts {
    /// What was gathered, in numbers and words.
    pub fn of(gathered: &Gathered, session: String, bytes: u64, replayed: Option<&Replayed>) -> Self {
        let base = &gathered.base;
        let since = |at: Mono| at.since(base.start).as_secs_f64();
        let speech = gathered.sounds.facts();
        let (objects, position) = (gathered.objects.facts(), gathered.positions.facts());
        let input = |((stream, kind), (count, bytes)): (&(StreamId, &'static str), &(u64, u64))| InputFacts {
            stream: base.name(*stream),
            kind,
            count: *count,
            bytes: *bytes,
        };
        let alert = |(kind, level, from_s, to_s)| AlertFacts { kind, level, from_s, to_s };
        let gap =
            |(from, to, ticks): &(Mono, Mono, u64)| GapFacts { from_s: since(*from), to_s: since(*to), ticks: *ticks };
        let mut facts = Self {
            session,
            session_id: gathered.info.session_id.clone(),
            origin: gathered.info.origin,
            bytes,
            ticks: gathered.ticks,
            ticks_with_outputs: gathered.ticks_with_outputs,
            session_s: base.length_s(),
            started_utc: gathered.utc.map(|utc| words::date(base.start, utc)),
            segments: gathered.segments,
            missing_ticks: gathered.missing_ticks,
            whole: gathered.cuts.is_empty() && gathered.missing_ticks == 0,
            gaps: gathered.gaps.iter().map(gap).collect(),
            cut: gathered.cuts.clone(),
            inputs: gathered.inputs.iter().map(input).collect(),
            frames: gathered.frames.facts(base),
            fixes: position.fixes,
            ranges: objects.ranges,
            utterances: speech.utterances,
            speech_s: speech.speech_s,
            lanes: gathered.lanes.facts(base),
            objects,
            position,
            speech,
            drops: gathered.frames.drops(base),
            missed_jobs: gathered.work.missed().clone(),
            failed_jobs: gathered.frames.failed_jobs().clone(),
            devices: gathered.devices.facts(base),
            alerts: gathered.devices.alerts(base).into_iter().map(alert).collect(),
            times: gathered.work.times(),
            stages: replayed.map(|replayed| replayed.stages.clone()),
            unreadable: gathered.unreadable.clone(),
            summary: Vec::new(),
            problems: Vec::new(),
            missing: Vec::new(),
        };
        if !gathered.waited_for() {
            facts.times.remove("late");
        }
        facts.missing = words::missing(&facts, gathered);
        facts.problems = words::problems(&facts, gathered);
        facts.summary = words::summary(&facts, gathered, replayed);
        facts
    }
}
