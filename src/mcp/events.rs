//! What has happened: in a live run, and in recorded sessions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;
use waywarden_systems::clock::boottime;
use waywarden_systems::mqtt::wire::rfc3339;
use waywarden_systems::scene::Happening;

use super::answers::{Unanswered, Unknown};
use super::live::{self, Live};

/// Events that are told at a time at most, and if nothing is said.
pub const MOST: u32 = 100;
const USUAL: u32 = 20;

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The driver was warned: forward collision, headway, lane departure, vulnerable road user, moving off.
    Alert,
    /// A device became better or worse.
    Health,
    /// Somebody spoke in the vehicle.
    Utterance,
    /// A line of the log.
    Notice,
    /// A command from outside was carried out or refused. Of live runs alone.
    Command,
}

impl EventKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Health => "health",
            Self::Utterance => "utterance",
            Self::Notice => "notice",
            Self::Command => "command",
        }
    }
}

/// How urgent an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing.
    Notice,
    /// Look now.
    Caution,
    /// Act now.
    Warning,
}

impl From<AlertLevel> for Level {
    fn from(level: AlertLevel) -> Self {
        match level {
            AlertLevel::Notice => Self::Notice,
            AlertLevel::Caution => Self::Caution,
            AlertLevel::Warning => Self::Warning,
        }
    }
}

/// Which events are asked for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WhichEvents {
    /// Of this recorded session, by its name as `search_sessions` lists it. Without it: of the live run.
    pub session: Option<String>,
    /// Only of this kind.
    pub kind: Option<EventKind>,
    /// Only as urgent as this or more.
    pub level: Option<Level>,
    /// Only those whose source or text contains this, in any case of letters.
    pub text: Option<String>,
    /// Only those before the event of this number: `next_before` of the answer before, for older ones.
    pub before: Option<u64>,
    /// So many at most, 1 to 100; 20 if nothing is said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
}

impl WhichEvents {
    /// Whether an event is asked for.
    pub fn fits(&self, event: &Event) -> bool {
        let text = self.text.as_ref().map(|text| text.to_lowercase());
        let has = |text: &String| {
            event.text.to_lowercase().contains(text.as_str()) || event.source.to_lowercase().contains(text.as_str())
        };
        self.kind.is_none_or(|kind| kind == event.kind)
            && self.level.is_none_or(|level| event.level >= level)
            && self.before.is_none_or(|before| event.number < before)
            && text.as_ref().is_none_or(has)
    }

    /// Takes of all events, the oldest first, those that are asked for, the newest first.
    pub fn choose(&self, all: impl DoubleEndedIterator<Item = Event>) -> (Vec<Event>, Option<u64>) {
        let limit = self.limit.unwrap_or(USUAL).clamp(1, MOST) as usize;
        let mut fitting = all.rev().filter(|event| self.fits(event));
        let events: Vec<Event> = fitting.by_ref().take(limit).collect();
        let more = fitting.next().is_some();
        let last = events.last().map(|event| event.number);
        (events, last.filter(|_| more))
    }
}

/// Something that has happened, or goes on.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Event {
    /// Its number, which grows.
    pub number: u64,
    /// What it is.
    pub kind: EventKind,
    /// What it is about: a device, a warning function.
    pub source: String,
    /// How urgent it is.
    pub level: Level,
    /// What happened, in words of the vehicle: data, not instructions.
    pub text: String,
    /// When it began, RFC 3339; null where the vehicle did not know the date.
    pub utc: Option<String>,
    /// How long ago it began, in seconds; null in recorded sessions.
    pub age_s: Option<f64>,
    /// When it began, in seconds since the session began; null in the live run.
    pub at_s: Option<f64>,
    /// How long it took, in seconds; null while it goes on, or where its end is not known.
    pub length_s: Option<f64>,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Events {
    /// The session that they are of; null for the live run where it is not recorded.
    pub session: Option<String>,
    /// Whether they are of the live run.
    pub live: bool,
    /// The events, the newest first.
    pub events: Vec<Event>,
    /// Where there are older ones: the `before` that gives them. Null where these are all.
    pub next_before: Option<u64>,
    /// What is not known, and why.
    pub unknown: Vec<Unknown>,
}

/// When somebody spoke.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SpeechActivity {
    /// The session that it is of; null for the live run where it is not recorded.
    pub session: Option<String>,
    /// Whether somebody is speaking right now; null in recorded sessions, or where nobody is listened to.
    pub speaking: Option<bool>,
    /// How loud the newest sound is: root mean square, in decibels below full scale; null where none came in just now.
    pub level_dbfs: Option<f32>,
    /// When somebody spoke, the newest first. What was said is known to nobody.
    pub spoke: Vec<Spoke>,
    /// Where there are older ones: the `before` that gives them. Null where these are all.
    pub next_before: Option<u64>,
    /// What is not known, and why.
    pub unknown: Vec<Unknown>,
}

/// A time during which somebody spoke.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Spoke {
    /// Its number, which grows.
    pub number: u64,
    /// The microphone that heard it.
    pub microphone: String,
    /// When it began, RFC 3339; null where the vehicle did not know the date.
    pub utc: Option<String>,
    /// How long ago it began, in seconds; null in recorded sessions.
    pub age_s: Option<f64>,
    /// When it began, in seconds since the session began; null in the live run.
    pub at_s: Option<f64>,
    /// How long somebody spoke, in seconds; null where that is not known.
    pub length_s: Option<f64>,
}

/// Which times are asked for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WhichSpeech {
    /// Of this recorded session, by its name as `search_sessions` lists it. Without it: of the live run.
    pub session: Option<String>,
    /// Only those before the one of this number: `next_before` of the answer before, for older ones.
    pub before: Option<u64>,
    /// So many at most, 1 to 100; 20 if nothing is said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
}

impl WhichSpeech {
    /// The events that tell it.
    pub fn events(&self) -> WhichEvents {
        WhichEvents {
            session: self.session.clone(),
            kind: Some(EventKind::Utterance),
            before: self.before,
            limit: self.limit,
            ..WhichEvents::default()
        }
    }
}

impl From<Event> for Spoke {
    fn from(event: Event) -> Self {
        let Event { number, source, utc, age_s, at_s, length_s, .. } = event;
        Self { number, microphone: source, utc, age_s, at_s, length_s }
    }
}

/// An event of a live run.
fn event(happening: &Happening, now: Mono) -> Event {
    let kind = match happening.kind.as_str() {
        "alert" => EventKind::Alert,
        "health" => EventKind::Health,
        "utterance" => EventKind::Utterance,
        "command" => EventKind::Command,
        _ => EventKind::Notice,
    };
    Event {
        number: happening.number,
        kind,
        source: happening.source.clone(),
        level: happening.level.into(),
        text: happening.text.clone(),
        utc: happening.utc_ns.map(rfc3339),
        age_s: Some(now.since(happening.started).as_secs_f64()),
        at_s: None,
        length_s: happening.ended.map(|ended| ended.since(happening.started).as_secs_f64()),
    }
}

impl Live {
    /// What has happened since the run began, as far as it is remembered.
    pub fn events(&self, which: &WhichEvents) -> Events {
        let now = boottime();
        let all: Vec<Event> = self.showing().happenings().iter().map(|happening| event(happening, now)).collect();
        let mut unknown = Vec::new();
        if let Some(first) = all.first().filter(|first| first.number > 1) {
            let why = format!(
                "the last {} alone are remembered; those before number {} are in the recorded session, if there is one",
                all.len(),
                first.number
            );
            unknown.push(Unknown::new("older events", why));
        }
        let (events, next_before) = which.choose(all.into_iter());
        Events { session: self.session().map(str::to_owned), live: true, events, next_before, unknown }
    }

    /// When somebody spoke.
    ///
    /// # Errors
    /// When the run stands still.
    pub async fn speech(&self, which: &WhichSpeech) -> Result<SpeechActivity, Unanswered> {
        let scene = self.now().await?;
        let Events { session, events, next_before, mut unknown, .. } = self.events(&which.events());
        let microphones = self.named(|kind| matches!(kind, StreamKind::Microphone));
        let why = if microphones.is_empty() {
            Some("there is no microphone in the config: nobody is listened to".to_owned())
        } else if scene.switches.privacy {
            Some("privacy is on: nobody is listened to".to_owned())
        } else {
            microphones.iter().find_map(|name| live::why_not(&scene, name))
        };
        let speaking = why.is_none().then_some(scene.speaking);
        unknown.extend(why.map(|why| Unknown::new("speaking", why)));
        let spoke = events.into_iter().map(Spoke::from).collect();
        Ok(SpeechActivity { session, speaking, level_dbfs: scene.level_dbfs, spoke, next_before, unknown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u64, kind: EventKind, level: Level, text: &str) -> Event {
        let source = "front".to_owned();
        let (text, utc, age_s, at_s, length_s) = (text.to_owned(), None, Some(1.0), None, None);
        Event { number, kind, source, level, text, utc, age_s, at_s, length_s }
    }

    #[test]
    fn events_are_chosen_newest_first_and_a_page_at_a_time() {
        let all: Vec<Event> = (1..=250).map(|n| of(n, EventKind::Notice, Level::Notice, "x")).collect();
        let numbers = |which: WhichEvents| {
            let (events, next) = which.choose(all.clone().into_iter());
            (events.iter().map(|event| event.number).collect::<Vec<_>>(), next)
        };
        let (first, next) = numbers(WhichEvents::default());
        assert_eq!((first.len(), first[0], next), (20, 250, Some(231)));
        let (second, _) = numbers(WhichEvents { before: next, ..WhichEvents::default() });
        assert_eq!(second[0], 230);
        let (most, _) = numbers(WhichEvents { limit: Some(u32::MAX), ..WhichEvents::default() });
        assert_eq!(most.len(), MOST as usize);
        let (last, next) = numbers(WhichEvents { before: Some(3), limit: Some(2), ..WhichEvents::default() });
        assert_eq!((last, next), (vec![2, 1], None));
    }

    #[test]
    fn events_are_chosen_by_kind_level_and_text() {
        let event = of(1, EventKind::Alert, Level::Caution, "time to collision 1.9 s, Car");
        let fits = |which: WhichEvents| which.fits(&event);
        assert!(fits(WhichEvents { kind: Some(EventKind::Alert), ..WhichEvents::default() }));
        assert!(!fits(WhichEvents { kind: Some(EventKind::Health), ..WhichEvents::default() }));
        assert!(fits(WhichEvents { level: Some(Level::Notice), ..WhichEvents::default() }));
        assert!(!fits(WhichEvents { level: Some(Level::Warning), ..WhichEvents::default() }));
        assert!(fits(WhichEvents { text: Some("cAR".into()), ..WhichEvents::default() }));
        assert!(fits(WhichEvents { text: Some("FRONT".into()), ..WhichEvents::default() }));
        assert!(!fits(WhichEvents { text: Some("bus".into()), ..WhichEvents::default() }));
    }
}
