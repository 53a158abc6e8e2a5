//! Looking for sessions: by time, by what happened, by place.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waywarden_systems::mqtt::wire::rfc3339;

use super::answers::{Unanswered, Unknown};
use super::events::{Event, EventKind, Events, Level, WhichEvents};
use super::index::distance_m;
use super::library::{Deadline, Library, LookedInto, Shelves};
use super::recorded::origin;
use crate::sessions::Listed;

/// How long a search may take, and looking into one file for it. What is left is for the next page.
const TIME: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(6));

/// Sessions of a page at most, and if nothing is said.
const MOST: u32 = 50;
const USUAL: u32 = 10;

/// Events that are told of each session.
const MOST_MATCHES: usize = 5;

/// The usual radius of a place, and the largest, in metres.
const RADII_M: (f64, f64) = (500.0, 100_000.0);

/// Which sessions are asked for. All that is said must fit.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WhichSessions {
    /// Only those that went on after this time: RFC 3339 with its zone, `2026-11-23T08:00:00Z`.
    pub from_utc: Option<String>,
    /// Only those that began before this time.
    pub to_utc: Option<String>,
    /// Only those in which something of this kind happened.
    pub kind: Option<EventKind>,
    /// Only those in which something as urgent as this or more happened.
    pub level: Option<Level>,
    /// Only those in which something happened whose source or text contains this: `forward_collision`, `front`.
    pub text: Option<String>,
    /// Only those that came near this place: degrees north of the equator, WGS 84. Together with `longitude_deg`.
    #[schemars(range(min = -90, max = 90))]
    pub latitude_deg: Option<f64>,
    /// Degrees east of Greenwich.
    #[schemars(range(min = -180, max = 180))]
    pub longitude_deg: Option<f64>,
    /// How near, in metres, up to 100000; 500 if nothing is said.
    #[schemars(range(min = 1, max = 100_000))]
    pub radius_m: Option<f64>,
    /// So many sessions at most, 1 to 50; 10 if nothing is said.
    #[schemars(range(min = 1, max = 50))]
    pub limit: Option<u32>,
    /// `next_cursor` of the answer before, for those that follow.
    pub cursor: Option<String>,
}

/// Sessions that fit.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Sessions {
    /// The sessions, the newest first by name.
    pub sessions: Vec<Session>,
    /// Sessions that were looked at for this answer, fitting or not.
    pub looked_at: u64,
    /// Where there are more, or the time was up before all were looked at: the `cursor` that goes on. Null at the end.
    pub next_cursor: Option<String>,
    /// What is not known, and why: sessions that cannot be read, or have no date or place to search by.
    pub unknown: Vec<Unknown>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Session {
    /// Its name, for the other tools.
    pub name: String,
    /// Where it comes from: `live`, `import`, `replay`.
    pub origin: String,
    /// Whether it is being recorded right now: what is known of it then ends a moment ago.
    pub being_recorded: bool,
    /// When it began, RFC 3339; null where the vehicle did not know the date.
    pub started_utc: Option<String>,
    /// How long it is, in seconds, as far as it was looked at.
    pub length_s: f64,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// Files that it is made of.
    pub files: u64,
    /// The names of its devices.
    pub devices: Vec<String>,
    /// Whether all of it was looked at; else some of it may fit that was not.
    pub complete: bool,
    /// Events by kind.
    pub events: BTreeMap<String, u64>,
    /// The first events that fit, at most 5, the oldest first. `recent_events` with this session's name lists all.
    pub matches: Vec<Event>,
    /// How near it came to the place that was asked for, in metres, and when that was, in seconds since it began.
    pub nearest: Option<Nearest>,
}

/// How near a session came to a place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Nearest {
    /// Metres.
    pub distance_m: f64,
    /// Seconds since the session began.
    pub at_s: f64,
}

/// What is asked for, understood.
struct Wanted {
    from_ns: Option<i64>,
    to_ns: Option<i64>,
    events: WhichEvents,
    place: Option<((f64, f64), f64)>,
}

impl WhichSessions {
    fn wanted(&self) -> Result<Wanted, Unanswered> {
        let place = match (self.latitude_deg, self.longitude_deg) {
            (None, None) => None,
            (Some(latitude), Some(longitude))
                if (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) =>
            {
                let radius = self.radius_m.unwrap_or(RADII_M.0);
                if !(1.0..=RADII_M.1).contains(&radius) {
                    return Err(Unanswered::because("radius_m is not 1 to 100000"));
                }
                Some(((latitude, longitude), radius))
            }
            _ => {
                let why = "a place is latitude_deg (-90 to 90) and longitude_deg (-180 to 180) together";
                return Err(Unanswered::because(why));
            }
        };
        let events =
            WhichEvents { kind: self.kind, level: self.level, text: self.text.clone(), ..WhichEvents::default() };
        Ok(Wanted { from_ns: nanos("from_utc", &self.from_utc)?, to_ns: nanos("to_utc", &self.to_utc)?, events, place })
    }

    /// Whether anything is to have happened.
    fn asks_for_events(&self) -> bool {
        self.kind.is_some() || self.level.is_some() || self.text.is_some()
    }
}

fn nanos(name: &str, text: &Option<String>) -> Result<Option<i64>, Unanswered> {
    let Some(text) = text else { return Ok(None) };
    let time = DateTime::parse_from_rfc3339(text).ok().and_then(|time| time.timestamp_nanos_opt());
    time.map(Some).ok_or_else(|| Unanswered(format!("{name} is no time with its zone, such as 2026-11-23T08:00:00Z")))
}

/// The events of a session, the oldest first, numbered from 1.
pub fn events_of(looked: &LookedInto) -> Vec<Event> {
    let start = looked.from().unwrap_or_default();
    let mut known = BTreeMap::new();
    let mut all = Vec::new();
    for happened in looked.files.iter().flat_map(|file| &file.events) {
        let place = happened.id.map_or(all.len(), |id| *known.entry(id).or_insert(all.len()));
        match all.get_mut(place) {
            // What goes on from one file into the next is one.
            Some(before) => *before = happened,
            None => all.push(happened),
        }
    }
    all.sort_by_key(|happened| happened.started);
    let numbered = (1..).zip(all);
    numbered
        .map(|(number, happened)| Event {
            number,
            kind: happened.kind,
            source: happened.source.clone(),
            level: happened.level,
            text: happened.text.clone(),
            utc: looked.utc_ns(happened.started).map(rfc3339),
            age_s: None,
            at_s: Some(happened.started.since(start).as_secs_f64()),
            length_s: happened.ended.map(|ended| ended.since(happened.started).as_secs_f64()),
        })
        .collect()
}

impl Library {
    /// The sessions that fit.
    ///
    /// # Errors
    /// When what is asked for cannot be understood, or another question is being answered.
    pub async fn search(&self, which: WhichSessions) -> Result<Sessions, Unanswered> {
        let wanted = which.wanted()?;
        self.ask(TIME.0, move |shelves, deadline| Ok(search(shelves, &which, &wanted, deadline))).await
    }

    /// What happened in a session.
    ///
    /// # Errors
    /// When there is no such session, it cannot be read, or another question is being answered.
    pub async fn events(&self, session: String, which: WhichEvents) -> Result<Events, Unanswered> {
        self.ask(TIME.0, move |shelves, deadline| {
            let session = shelves.find(&session)?;
            let looked = shelves.look_into(&session, deadline, TIME.1)?;
            let mut unknown = not_known(&looked);
            let left_out: u64 = looked.files.iter().map(|file| file.left_out).sum();
            if left_out > 0 {
                unknown.push(Unknown::new("events", format!("{left_out} more in busy minutes are not listed")));
            }
            let (events, next_before) = which.choose(events_of(&looked).into_iter());
            Ok(Events { session: Some(session.name), live: false, events, next_before, unknown })
        })
        .await
    }
}

/// What is not known of a session that was looked into.
fn not_known(looked: &LookedInto) -> Vec<Unknown> {
    let mut unknown = Vec::new();
    if !looked.complete || looked.files.iter().any(|file| !file.whole) {
        unknown.push(Unknown::new("some of the session", "it is large, and the time was up: ask again to go on"));
    }
    if !looked.files.iter().any(|file| file.has_findings) {
        let why =
            "nothing was ever run on this session, as on every import: waywarden replay SESSION --out FILE makes one";
        unknown.push(Unknown::new("events", why));
    }
    if looked.utc_offset_ns().is_none() {
        unknown.push(Unknown::new("utc", "the vehicle did not know the date"));
    }
    unknown
}

fn search(shelves: &Shelves, which: &WhichSessions, wanted: &Wanted, deadline: Deadline) -> Sessions {
    let limit = which.limit.unwrap_or(USUAL).clamp(1, MOST) as usize;
    let all = shelves.all();
    let mut found = Sessions { sessions: Vec::new(), looked_at: 0, next_cursor: None, unknown: Vec::new() };
    let (mut dateless, mut placeless) = (0u64, 0u64);
    // Names grow: what follows a cursor is what is smaller.
    let rest = all.iter().filter(|known| which.cursor.as_ref().is_none_or(|cursor| known.name < *cursor));
    let mut last: Option<&Listed> = None;
    for known in rest {
        // One is looked at whatever time there is, so that each page goes on.
        if found.sessions.len() >= limit || (deadline.is_over() && last.is_some()) {
            found.next_cursor = last.map(|last| last.name.clone());
            break;
        }
        let looked = match shelves.look_into(known, deadline, TIME.1) {
            // It is begun anew with the next page, which has time for it.
            Ok(looked) if !looked.complete && last.is_some() => {
                found.next_cursor = last.map(|last| last.name.clone());
                break;
            }
            Ok(looked) => looked,
            Err(Unanswered(why)) => {
                (found.looked_at, last) = (found.looked_at + 1, Some(known));
                if found.unknown.len() < MOST as usize {
                    found.unknown.push(Unknown::new(&known.name, why));
                }
                continue;
            }
        };
        (found.looked_at, last) = (found.looked_at + 1, Some(known));
        if (wanted.from_ns.is_some() || wanted.to_ns.is_some()) && looked.utc_offset_ns().is_none() {
            dateless += 1;
            continue;
        }
        if wanted.place.is_some() && looked.files.iter().all(|file| file.places.is_empty()) {
            placeless += 1;
        }
        found.sessions.extend(fit(shelves, known, &looked, which, wanted));
    }
    for (count, what, why) in [
        (dateless, "date", "whose vehicle did not know the date fit no time"),
        (placeless, "place", "without a satellite fix, or never run, fit no place"),
    ] {
        if count > 0 {
            found.unknown.push(Unknown::new(what, format!("{count} sessions {why}")));
        }
    }
    found
}

/// A session, if it fits.
fn fit(
    shelves: &Shelves,
    known: &Listed,
    looked: &LookedInto,
    which: &WhichSessions,
    wanted: &Wanted,
) -> Option<Session> {
    let (from, to) = (looked.from()?, looked.to()?);
    let after = |limit: i64| looked.utc_ns(to).is_some_and(|end| end >= limit);
    let before = |limit: i64| looked.utc_ns(from).is_some_and(|start| start <= limit);
    if !wanted.from_ns.is_none_or(after) || !wanted.to_ns.is_none_or(before) {
        return None;
    }
    let mut nearest = None;
    if let Some((place, radius)) = wanted.place {
        let places = looked.files.iter().flat_map(|file| &file.places);
        let near = places.map(|(at, latitude, longitude)| (distance_m(place, (*latitude, *longitude)), *at));
        let (distance, at) = near.min_by(|a, b| a.0.total_cmp(&b.0))?;
        if distance > radius {
            return None;
        }
        nearest = Some(Nearest { distance_m: distance, at_s: at.since(from).as_secs_f64() });
    }
    let all = events_of(looked);
    let mut events = BTreeMap::new();
    all.iter().for_each(|event| *events.entry(event.kind.name().to_owned()).or_default() += 1);
    let matches: Vec<Event> = match which.asks_for_events() {
        true => all.into_iter().filter(|event| wanted.events.fits(event)).take(MOST_MATCHES).collect(),
        false => Vec::new(),
    };
    if which.asks_for_events() && matches.is_empty() {
        return None;
    }
    let first = looked.files.first()?;
    Some(Session {
        name: known.name.clone(),
        origin: origin(first.origin).to_owned(),
        being_recorded: shelves.is_current(&known.name),
        started_utc: looked.utc_ns(from).map(rfc3339),
        length_s: to.since(from).as_secs_f64(),
        bytes: looked.bytes,
        files: looked.files.len() as u64,
        devices: first.devices.clone(),
        complete: looked.complete && looked.files.iter().all(|file| file.whole),
        events,
        matches,
        nearest,
    })
}
