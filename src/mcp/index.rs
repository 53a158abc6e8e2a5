//! What a file of a session holds, in short: when, where, what happened. Read once, and remembered while the file stays
//! as it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use waywarden_components::prelude::*;
use waywarden_systems::session::{Findings, Origin, SessionError, TickFindings};

use super::events::{EventKind, Level};
use super::library::Deadline;

/// Events of one file that are remembered.
const MOST_EVENTS: usize = 512;

/// Places of one file that are remembered: at 20 m from one to the next, a minute at 200 km/h has 170.
const MOST_PLACES: usize = 512;

/// Metres from one place that is remembered to the next.
const APART_M: f64 = 20.0;

/// Metres of a degree of latitude, on average.
const METRES_PER_DEGREE: f64 = 111_195.0;

/// What a file holds.
#[derive(Clone, Debug)]
pub struct FileIndex {
    /// Where the session comes from.
    pub origin: Origin,
    /// The names of its devices.
    pub devices: Vec<String>,
    /// Its first and its last tick.
    pub from: Mono,
    /// See `from`.
    pub to: Mono,
    /// What is to be added to times to get nanoseconds since 1970 UTC; none while the date was unknown.
    pub utc_offset_ns: Option<i64>,
    /// Where the vehicle was, and when: latitude and longitude in degrees.
    pub places: Vec<(Mono, f64, f64)>,
    /// What happened.
    pub events: Vec<Happened>,
    /// Events that were not remembered because there were too many.
    pub left_out: u64,
    /// Whether anything was ever run on it, so that there are findings.
    pub has_findings: bool,
    /// Whether it was read to its end, or the time for it was up.
    pub whole: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    /// Who it is, where it may be told of in more than one tick or file.
    pub id: Option<StableId>,
    /// What it is.
    pub kind: EventKind,
    /// What it is about.
    pub source: String,
    /// How urgent it is.
    pub level: Level,
    /// What happened.
    pub text: String,
    /// When it began.
    pub started: Mono,
    /// When it ended; none where that is not known.
    pub ended: Option<Mono>,
}

/// By what it is seen that a file has not changed: its size in bytes, and when it was written.
pub type Mark = (u64, Option<SystemTime>);

/// The mark of a file.
pub fn mark(path: &Path) -> Option<Mark> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

/// Reads a file, as far as there is time.
///
/// # Errors
/// When it is no session, or damaged.
pub fn read(path: &Path, deadline: Deadline) -> Result<Option<FileIndex>, SessionError> {
    let mut findings = Findings::open(path)?;
    let info = findings.info().clone();
    let names: BTreeMap<StreamId, String> = info.streams.iter().map(|spec| (spec.id, spec.name.clone())).collect();
    let mut reading = Reading { names, health: BTreeMap::new(), index: None };
    let mut whole = true;
    while let Some(tick) = findings.read()? {
        reading.add(&tick, info.origin, info.log_time_offset_ns);
        if deadline.is_over() {
            whole = false;
            break;
        }
    }
    Ok(reading.index.map(|index| FileIndex {
        whole,
        devices: info.streams.into_iter().filter(|spec| spec.kind != StreamKind::Truth).map(|spec| spec.name).collect(),
        ..index
    }))
}

/// A file that is being read.
struct Reading {
    names: BTreeMap<StreamId, String>,
    health: BTreeMap<StreamId, FunctionState>,
    index: Option<FileIndex>,
}

impl Reading {
    fn add(&mut self, tick: &TickFindings, origin: Origin, offset_ns: i64) {
        let Self { names, health, index } = self;
        let name = |stream: StreamId| {
            let known = names.get(&stream).map(String::as_str).or_else(|| stream.own_name());
            known.map_or_else(|| format!("stream {}", stream.0), str::to_owned)
        };
        let index = index.get_or_insert_with(|| FileIndex {
            origin,
            devices: Vec::new(),
            from: tick.now,
            to: tick.now,
            utc_offset_ns: (offset_ns != 0).then_some(offset_ns),
            places: Vec::new(),
            events: Vec::new(),
            left_out: 0,
            has_findings: false,
            whole: true,
        });
        index.to = tick.now;
        if let Some(known) = tick.segment.as_ref().and_then(|segment| segment.known.as_ref()) {
            health.extend(known.health.iter().map(|(id, known)| (id.stream, known.state)));
        }
        let utc = tick.inputs.iter().find_map(|input| match &input.payload {
            Payload::Utc(utc) => Some(utc.offset_ns),
            _ => None,
        });
        let Some(found) = &tick.found else {
            index.utc_offset_ns = index.utc_offset_ns.or(utc);
            return;
        };
        index.has_findings = true;
        index.utc_offset_ns = index.utc_offset_ns.or(utc).or(found.date.map(|date| date.offset_ns));
        for (_, fix) in &found.fixes {
            index.place(tick.now, fix.latitude_deg, fix.longitude_deg);
        }
        for (id, alert) in &found.alerts {
            index.happened(Happened {
                id: Some(*id),
                kind: EventKind::Alert,
                source: alert.kind.name().to_owned(),
                level: alert.level.into(),
                text: alert.text.clone(),
                started: alert.started,
                ended: alert.ended,
            });
        }
        for (id, utterance) in &found.utterances {
            let length = utterance.speech_until.since(utterance.speech_from).as_secs_f64();
            let device = StreamId(id.stream.0.saturating_sub(StreamId::utterances_of(StreamId(0)).0));
            index.happened(Happened {
                id: Some(*id),
                kind: EventKind::Utterance,
                source: name(device),
                level: Level::Notice,
                text: format!("somebody spoke for {length:.1} s"),
                started: utterance.speech_from,
                ended: Some(utterance.speech_until),
            });
        }
        let at_once = |kind, source, level, text| Happened {
            id: None,
            kind,
            source,
            level,
            text,
            started: tick.now,
            ended: Some(tick.now),
        };
        for (id, now) in &found.health {
            // In the first tick of a run all are listed: that is no change.
            if health.insert(id.stream, now.state).is_none_or(|before| before == now.state) {
                continue;
            }
            let level = match now.state {
                FunctionState::Fault => Level::Warning,
                FunctionState::Degraded => Level::Caution,
                _ => Level::Notice,
            };
            let state = format!("{:?}", now.state).to_lowercase();
            let text = if now.reason.is_empty() { state } else { format!("{state}: {}", now.reason) };
            index.happened(at_once(EventKind::Health, name(id.stream), level, text));
        }
        for notice in &found.notices {
            let level = match notice.level {
                NoticeLevel::Info => Level::Notice,
                NoticeLevel::Warning => Level::Caution,
                NoticeLevel::Error => Level::Warning,
            };
            index.happened(at_once(EventKind::Notice, notice.source.clone(), level, notice.text.clone()));
        }
    }
}

impl FileIndex {
    fn happened(&mut self, happened: Happened) {
        let known = happened.id.and_then(|id| self.events.iter().rposition(|known| known.id == Some(id)));
        match known {
            // One that goes on is told of anew.
            Some(known) => self.events[known] = happened,
            None if self.events.len() >= MOST_EVENTS => self.left_out += 1,
            None => self.events.push(happened),
        }
    }

    fn place(&mut self, at: Mono, latitude_deg: f64, longitude_deg: f64) {
        let far = self.places.last().is_none_or(|(_, latitude, longitude)| {
            distance_m((*latitude, *longitude), (latitude_deg, longitude_deg)) >= APART_M
        });
        if far && self.places.len() < MOST_PLACES {
            self.places.push((at, latitude_deg, longitude_deg));
        }
    }
}

/// The distance between two places in degrees, in metres, on a ball: good to a percent at the distances of a search.
pub fn distance_m(a: (f64, f64), b: (f64, f64)) -> f64 {
    let east = (b.1 - a.1 + 540.0).rem_euclid(360.0) - 180.0;
    let north_m = (b.0 - a.0) * METRES_PER_DEGREE;
    let east_m = east * METRES_PER_DEGREE * libm::cos(((a.0 + b.0) / 2.0).to_radians());
    (north_m * north_m + east_m * east_m).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_as_far_from_each_other_as_they_are() {
        let brandenburg_gate = (52.5163, 13.3777);
        assert!(distance_m(brandenburg_gate, brandenburg_gate) < 0.001);
        let television_tower = (52.5208, 13.4094);
        let apart = distance_m(brandenburg_gate, television_tower);
        assert!((2150.0..2250.0).contains(&apart), "{apart}");
        // Over the line at which the date changes.
        let apart = distance_m((0.0, 179.9995), (0.0, -179.9995));
        assert!((100.0..120.0).contains(&apart), "{apart}");
    }
}
