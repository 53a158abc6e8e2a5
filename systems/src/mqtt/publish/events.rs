//! Events: what goes on is compared with what was told to go on.

use std::collections::BTreeMap;

use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use super::super::wire::{Event, Level, Phase};
use super::{Teller, priority};

/// What events are made of.
#[derive(bevy_ecs::system::SystemParam)]
pub struct Known<'w, 's> {
    alerts: Query<'w, 's, (&'static StableId, &'static Alert)>,
    microphones: Query<'w, 's, (&'static StableId, &'static Voice)>,
    utterances: Query<'w, 's, (&'static StableId, &'static Utterance)>,
    health: Query<'w, 's, (&'static StableId, &'static Health)>,
}

/// Something that goes on now.
#[derive(Clone, Debug, PartialEq)]
struct Happening {
    /// What it is about.
    kind: String,
    /// The device or function it is about.
    source: String,
    /// When it began, if that is known.
    started: Option<Mono>,
    /// How urgent it is.
    level: AlertLevel,
    /// What happens, for a person.
    text: String,
}

/// Tells what has begun, changed and ended since the tick before.
pub(super) fn tell(known: &Known, teller: &mut Teller) {
    let now = happenings(known, teller);
    let mut figures = figures(known);
    let open = std::mem::take(&mut teller.telemetry.open);
    let mut still = BTreeMap::new();
    for (key, event) in open {
        match now.get(&key) {
            None => say(&event, Phase::End, figures.remove(&key).unwrap_or_default(), teller),
            Some(happening) => {
                let changed = (happening.level, &happening.text) != (event.level, &event.text);
                let event = OpenEvent { level: happening.level, text: happening.text.clone(), ..event };
                if changed {
                    say(&event, Phase::Update, BTreeMap::new(), teller);
                }
                still.insert(key, event);
            }
        }
    }
    for (key, happening) in now {
        if still.contains_key(&key) {
            continue;
        }
        let Happening { kind, source, started, level, text } = happening;
        let number = teller.telemetry.streams.get(&format!("event/{kind}")).map_or(0, |told| told.seq) + 1;
        let started = started.unwrap_or(teller.clock.now);
        let event = OpenEvent { id: format!("{kind}-{number}"), kind, source, started, level, text };
        say(&event, Phase::Start, BTreeMap::new(), teller);
        still.insert(key, event);
    }
    teller.telemetry.open = still;
}

/// What goes on, by what names it as long as it does.
fn happenings(known: &Known, teller: &Teller) -> BTreeMap<String, Happening> {
    let mut found = BTreeMap::new();
    for (id, alert) in known.alerts.iter().filter(|(_, alert)| alert.ended.is_none()) {
        let Alert { kind, level, started, text, .. } = alert;
        let happening = Happening {
            kind: kind.name().to_owned(),
            source: teller.plugin.name(id.stream),
            started: Some(*started),
            level: *level,
            text: text.clone(),
        };
        found.insert(format!("alert {id}"), happening);
    }
    for (id, voice) in known.microphones.iter().filter(|(_, voice)| voice.speaking) {
        let happening = Happening {
            kind: "voice".to_owned(),
            source: teller.plugin.name(id.stream),
            started: voice.started,
            level: AlertLevel::Notice,
            text: "somebody speaks".to_owned(),
        };
        found.insert(voice_key(id.stream, voice.utterances + 1), happening);
    }
    for (id, health) in &known.health {
        let level = match health.state {
            FunctionState::Fault => AlertLevel::Warning,
            FunctionState::Degraded => AlertLevel::Caution,
            FunctionState::Off | FunctionState::Standby | FunctionState::Active => continue,
        };
        let happening = Happening {
            kind: "health".to_owned(),
            source: teller.plugin.name(id.stream),
            started: None,
            level,
            text: health.reason.clone(),
        };
        found.insert(format!("health {id}"), happening);
    }
    found
}

fn voice_key(microphone: StreamId, number: u64) -> String {
    format!("voice {} {number}", microphone.0)
}

/// What is known of what has ended in this tick.
fn figures(known: &Known) -> BTreeMap<String, BTreeMap<String, f64>> {
    let mut found = BTreeMap::new();
    for (microphone, _) in &known.microphones {
        let own = StreamId::utterances_of(microphone.stream);
        for (id, utterance) in known.utterances.iter().filter(|(id, _)| id.stream == own) {
            let figures = [
                ("length_s", utterance.end.since(utterance.start).as_secs_f64()),
                ("confidence", f64::from(utterance.confidence)),
                ("level_dbfs", f64::from(utterance.level_dbfs)),
            ];
            let figures = figures.into_iter().map(|(name, value)| (name.to_owned(), (value * 1e3).round() / 1e3));
            found.insert(voice_key(microphone.stream, id.seq), figures.collect());
        }
    }
    found
}

fn say(event: &OpenEvent, phase: Phase, figures: BTreeMap<String, f64>, teller: &mut Teller) {
    let level = match event.level {
        AlertLevel::Notice => Level::Notice,
        AlertLevel::Caution => Level::Caution,
        AlertLevel::Warning => Level::Warning,
    };
    let keep = (priority::EVENT, teller.plugin.keep_events);
    teller.tell(&format!("event/{}", event.kind), keep, || Event {
        id: event.id.clone(),
        phase,
        started_mono_ns: event.started.as_nanos(),
        source: event.source.clone(),
        level,
        text: event.text.clone(),
        figures,
    });
}
