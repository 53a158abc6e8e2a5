//! Recorded sessions: one in words and numbers, two side by side, a picture of one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;
use waywarden_systems::session::{Findings, Origin, SessionReader};

use super::answers::Unanswered;
use super::events::Level;
use super::library::{Deadline, Library, Shelves, size};
use super::picture::{self, Fitted};
use crate::compare::{self, Limits};
use crate::report::facts::Facts;
use crate::report::gather::Gathered;
use crate::sessions::Listed;

/// How long reading a session may take: below what a request may.
const TIME: Duration = Duration::from_secs(20);

/// Alerts, problems and other lists are not longer than this.
const MOST: usize = 50;

/// Which session is meant.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhichSession {
    /// Its name, as `search_sessions` lists it. Never a path.
    pub session: String,
}

/// Which two sessions are meant.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhichTwo {
    /// The name of one, as `search_sessions` lists it. Never a path.
    pub a: String,
    /// The name of the other.
    pub b: String,
}

/// A session in words and numbers.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Summary {
    /// Its name.
    pub session: String,
    /// Where it comes from: `live`, `import`, `replay`.
    pub origin: String,
    /// Whether it is being recorded right now: the summary then ends a moment ago.
    pub being_recorded: bool,
    /// When it began, UTC; null where the vehicle did not know the date.
    pub started_utc: Option<String>,
    /// How long it is, in seconds, as far as it was read.
    pub length_s: f64,
    /// Whether it was read to its end; else the time was up, and all here is about its first `length_s` seconds.
    pub complete: bool,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// What it was, in sentences.
    pub summary: Vec<String>,
    /// What to look at, the worst first.
    pub problems: Vec<Problem>,
    /// What it does not hold, and why.
    pub missing: Vec<String>,
    /// Warnings that were given to the driver, at most 50.
    pub alerts: Vec<AlertOf>,
    /// How each device was.
    pub devices: BTreeMap<String, DeviceOf>,
    /// The way travelled by satellite, in metres; null where that is not known.
    pub travelled_m: Option<f64>,
    /// Mean speed in km/h; null where that is not known.
    pub mean_speed_kmh: Option<f64>,
    /// Highest speed in km/h; null where that is not known.
    pub highest_speed_kmh: Option<f64>,
    /// Pictures that came in.
    pub pictures: u64,
    /// Times that somebody spoke.
    pub utterances: u64,
    /// Seconds during which somebody spoke.
    pub speech_s: f64,
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Problem {
    /// How serious.
    pub level: Level,
    /// What.
    pub text: String,
}

/// A warning that was given.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AlertOf {
    /// Which function gave it.
    pub kind: String,
    /// How urgent it was.
    pub level: Level,
    /// When it began, in seconds since the session began.
    pub at_s: f64,
    /// How long it lasted, in seconds; null where it lasted to the end.
    pub length_s: Option<f64>,
}

/// How a device was.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DeviceOf {
    /// Its state at the end: off, standby, active, degraded, fault.
    pub last_state: String,
    /// Why, if it was not active.
    pub last_reason: String,
    /// How long it was in each state, in seconds.
    pub seconds: BTreeMap<String, f64>,
}

/// What two runs of one drive found differently.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// The name of one.
    pub a: String,
    /// The name of the other.
    pub b: String,
    /// `same` where nothing differs in what was compared, else `different`.
    pub verdict: String,
    /// Whether both were read to the end of the shorter one; else the time was up after `compared_s`.
    pub complete: bool,
    /// Seconds compared.
    pub compared_s: f64,
    /// Ticks in both.
    pub ticks: u64,
    /// Of them, those that are equal in everything.
    pub equal_ticks: u64,
    /// Ticks in between that only one of them has: of the first, of the second.
    pub ticks_only_one_has: (u64, u64),
    /// Kinds of findings that differ, with the fields in which they do.
    pub differing: Vec<Kind>,
    /// Kinds of findings that are equal.
    pub equal: Vec<String>,
    /// The moments in which they differ most, the worst first.
    pub moments: Vec<DifferentMoment>,
}

/// How one kind of finding differs.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Kind {
    /// Its name: `lane_estimate`, `detections`, `alert`.
    pub kind: String,
    /// Values compared.
    pub compared: u64,
    /// Of them, those that differ.
    pub differ: u64,
    /// Values that only the first has.
    pub only_a: u64,
    /// Values that only the second has.
    pub only_b: u64,
    /// The fields that differ most often, at most 10.
    pub fields: Vec<Field>,
}

/// How one field differs.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Field {
    /// Its name, which ends in its unit if it has one.
    pub field: String,
    /// Values in which it differs.
    pub differ: u64,
    /// Mean of the differences.
    pub mean: f64,
    /// Largest difference.
    pub largest: f64,
    /// The unit of the two; empty where the field's own name says it.
    pub unit: String,
}

/// A moment in which two runs differ.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DifferentMoment {
    /// Seconds since the first tick that both have.
    pub at_s: f64,
    /// Its tick.
    pub tick: u64,
    /// What differs, the largest first.
    pub what: Vec<String>,
}

/// A picture of a recorded session.
pub struct Recorded {
    /// The session.
    pub session: String,
    /// The camera.
    pub camera: StreamSpec,
    /// The number of the picture.
    pub frame: u64,
    /// When it was taken, in seconds since the session began.
    pub at_s: f64,
    /// When it was taken, in nanoseconds since 1970 UTC.
    pub utc_ns: Option<i64>,
    /// The picture.
    pub fitted: Fitted,
}

impl Library {
    /// A session in words and numbers.
    ///
    /// # Errors
    /// When there is no such session, it cannot be read, or another question is being answered.
    pub async fn summary(&self, which: WhichSession) -> Result<Summary, Unanswered> {
        self.ask(TIME, move |shelves, deadline| {
            let session = shelves.find(&which.session)?;
            summary(shelves, &session, deadline)
        })
        .await
    }

    /// What two runs of one drive found differently.
    ///
    /// # Errors
    /// When there is no such session, one cannot be read, they are of two drives, or another question is being answered.
    pub async fn compare(&self, which: WhichTwo) -> Result<Comparison, Unanswered> {
        self.ask(TIME, move |shelves, deadline| {
            let (a, b) = (shelves.find(&which.a)?, shelves.find(&which.b)?);
            comparison(shelves, &a, &b, deadline)
        })
        .await
    }

    /// A picture of a session: of the camera of this name, else of the first that looks ahead; the first one taken at
    /// `at_s` or later.
    ///
    /// # Errors
    /// When there is no such session, camera or picture, or another question is being answered.
    pub async fn picture(
        &self,
        session: String,
        camera: Option<String>,
        at_s: f64,
        width: u32,
    ) -> Result<Recorded, Unanswered> {
        self.ask(TIME, move |shelves, deadline| {
            let session = shelves.find(&session)?;
            recorded_picture(shelves, &session, camera.as_deref(), at_s, width, deadline)
        })
        .await
    }
}

fn go_on(deadline: Deadline) -> ControlFlow<()> {
    if deadline.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn summary(shelves: &Shelves, session: &Listed, deadline: Deadline) -> Result<Summary, Unanswered> {
    let mut complete = true;
    let gathered = Gathered::read_while(&session.path, |_| {
        let go_on = go_on(deadline);
        complete = go_on.is_continue();
        go_on
    });
    let gathered = gathered.map_err(|failure| shelves.unreadable(Unanswered::of(&failure).0))?;
    let facts = Facts::of(&gathered, session.name.clone(), size(session), None);
    let words = |lines: &[String]| lines.iter().take(MOST).map(|line| shelves.without_paths(line)).collect();
    let level = |level| match level {
        NoticeLevel::Info => Level::Notice,
        NoticeLevel::Warning => Level::Caution,
        NoticeLevel::Error => Level::Warning,
    };
    let problem = |problem: &crate::report::words::Problem| Problem {
        level: level(problem.level),
        text: shelves.without_paths(&problem.text),
    };
    let alerts = facts.alerts.iter().take(MOST).map(|alert| AlertOf {
        kind: alert.kind.clone(),
        level: alert.level.into(),
        at_s: alert.from_s,
        length_s: alert.to_s.map(|to| to - alert.from_s),
    });
    let devices = facts.devices.iter().map(|(name, device)| {
        let seconds = device.seconds.iter().map(|(state, seconds)| ((*state).to_owned(), *seconds)).collect();
        let last_reason = shelves.without_paths(&device.last_reason);
        (name.clone(), DeviceOf { last_state: device.last_state.to_owned(), last_reason, seconds })
    });
    Ok(Summary {
        session: session.name.clone(),
        origin: origin(facts.origin).to_owned(),
        being_recorded: shelves.is_current(&session.name),
        started_utc: facts.started_utc.clone(),
        length_s: facts.session_s,
        complete,
        bytes: facts.bytes,
        summary: words(&facts.summary),
        problems: facts.problems.iter().take(MOST).map(problem).collect(),
        missing: words(&facts.missing),
        alerts: alerts.collect(),
        devices: devices.collect(),
        travelled_m: facts.position.travelled_m,
        mean_speed_kmh: facts.position.mean_speed_mps.map(|speed| 3.6 * speed),
        highest_speed_kmh: facts.position.highest_speed_mps.map(|speed| 3.6 * speed),
        pictures: facts.frames.came,
        utterances: facts.utterances,
        speech_s: facts.speech_s,
    })
}

/// What a session's origin is called.
pub fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Live => "live",
        Origin::Import => "import",
        Origin::Replay => "replay",
    }
}

fn comparison(shelves: &Shelves, a: &Listed, b: &Listed, deadline: Deadline) -> Result<Comparison, Unanswered> {
    let mut complete = true;
    let compared = compare::compare(&a.path, &b.path, &Limits::default(), |_| {
        let go_on = go_on(deadline);
        complete = go_on.is_continue();
        go_on
    });
    let compared = compared.map_err(|failure| shelves.unreadable(Unanswered::of(&failure).0))?;
    let differs = |kind: &compare::KindCount| kind.differ + kind.only_a + kind.only_b > 0;
    let fields = |kind: &compare::KindCount| {
        let mut fields: Vec<_> = kind.fields.iter().collect();
        fields.sort_by_key(|(name, field)| (std::cmp::Reverse(field.differ), (*name).clone()));
        let field = |(name, field): (&String, &compare::FieldCount)| Field {
            field: name.clone(),
            differ: field.differ,
            mean: field.mean,
            largest: field.largest,
            unit: field.measure.map_or("", compare::Measure::unit).to_owned(),
        };
        fields.into_iter().take(10).map(field).collect()
    };
    let kind = |(name, kind): (&String, &compare::KindCount)| Kind {
        kind: name.clone(),
        compared: kind.compared,
        differ: kind.differ,
        only_a: kind.only_a,
        only_b: kind.only_b,
        fields: fields(kind),
    };
    let moment = |moment: &compare::Moment| DifferentMoment {
        at_s: moment.at_s,
        tick: moment.tick,
        what: moment.what.iter().map(|(kind, field, amount)| format!("{kind}.{field}: {amount:.3}")).collect(),
    };
    Ok(Comparison {
        a: a.name.clone(),
        b: b.name.clone(),
        verdict: if compared.same() { "same" } else { "different" }.to_owned(),
        complete,
        compared_s: compared.seconds,
        ticks: compared.ticks,
        equal_ticks: compared.equal_digests,
        ticks_only_one_has: (compared.only_a, compared.only_b),
        differing: compared.kinds.iter().filter(|(_, kind)| differs(kind)).take(MOST).map(kind).collect(),
        equal: compared.kinds.iter().filter(|(_, kind)| !differs(kind)).map(|(name, _)| name.clone()).collect(),
        moments: compared.moments.iter().map(moment).collect(),
    })
}

fn recorded_picture(
    shelves: &Shelves,
    session: &Listed,
    camera: Option<&str>,
    at_s: f64,
    width: u32,
    deadline: Deadline,
) -> Result<Recorded, Unanswered> {
    let unreadable = |error| shelves.unreadable(error);
    let files = SessionReader::files(&session.path).map_err(unreadable)?;
    let start = files.first().map(|(_, start)| *start).unwrap_or_default();
    let info = SessionReader::open(&session.path).map_err(unreadable)?.info().clone();
    let is_camera = |spec: &&StreamSpec| matches!(spec.kind, StreamKind::Camera { .. });
    let looks_ahead = |spec: &&StreamSpec| matches!(spec.kind, StreamKind::Camera { role: CameraRole::Front, .. });
    let mut cameras = info.streams.iter().filter(is_camera);
    let spec = match camera {
        Some(name) => cameras.find(|spec| spec.name == name),
        None => info.streams.iter().find(looks_ahead).or_else(|| cameras.next()),
    };
    let spec = spec.ok_or_else(|| {
        let names: Vec<&str> = info.streams.iter().filter(is_camera).map(|spec| spec.name.as_str()).collect();
        Unanswered(format!("the session has no such camera; it has: {}", names.join(", ")))
    })?;
    // The last file that begins no later, and what follows.
    let begun = files.iter().take_while(|(_, from)| from.since(start).as_secs_f64() <= at_s).count();
    for (path, _) in files.iter().skip(begun.saturating_sub(1)) {
        let mut findings = Findings::open(path).map_err(unreadable)?;
        while let Some(tick) = findings.read().map_err(unreadable)? {
            let wanted = |(id, captured, _): &(StableId, Mono, _)| {
                id.stream == spec.id && captured.since(start).as_secs_f64() >= at_s
            };
            if let Some((id, captured, jpeg)) = tick.frames().find(wanted) {
                let offset = info.log_time_offset_ns;
                let utc_ns = i64::try_from(captured.as_nanos()).ok().map(|ns| ns + offset).filter(|_| offset != 0);
                return Ok(Recorded {
                    session: session.name.clone(),
                    camera: spec.clone(),
                    frame: id.seq,
                    at_s: captured.since(start).as_secs_f64(),
                    utc_ns,
                    fitted: picture::fit(jpeg, width)?,
                });
            }
            if deadline.is_over() {
                let why = "the session is large, and the time was up before the picture was found";
                return Err(Unanswered::because(why));
            }
        }
    }
    Err(Unanswered(format!("{} has no picture at {at_s:.1} s of this session or later", spec.name)))
}
