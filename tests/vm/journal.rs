//! What a session says of its devices: when each was found to be how, and what came from it.

use std::path::Path;

use waywarden_components::prelude::*;
use waywarden_systems::session::Findings;

use super::drive::is_well;

/// Something that happened to a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A frame, a piece of sound, some bytes.
    Sample,
    /// A picture that can be decoded, a fix, a valid reading.
    Finding,
    /// What the driver said of the device.
    Link(LinkState),
    /// What the program made of it.
    Health(FunctionState, String),
}

/// All that happened, in order, with the time of the tick.
pub struct Journal {
    events: Vec<(Mono, String, Event)>,
    /// What was noticed, and by whom.
    pub notices: Vec<(Mono, String, String)>,
    /// Ticks that could not be recorded.
    pub missing: u64,
    /// The time of the last tick.
    pub last: Mono,
}

impl Journal {
    /// Reads a session.
    pub fn read(session: &Path) -> Self {
        let mut findings = Findings::open(session).unwrap();
        let streams = findings.info().streams.clone();
        let name = |id: StreamId| {
            let stream = streams.iter().find(|stream| stream.id == id);
            stream.map_or_else(|| "app".to_owned(), |stream| stream.name.clone())
        };
        let mut journal = Self { events: Vec::new(), notices: Vec::new(), missing: 0, last: Mono::default() };
        while let Some(tick) = findings.read().unwrap() {
            let mut push = |stream: StreamId, event: Event| journal.events.push((tick.now, name(stream), event));
            for input in &tick.inputs {
                match &input.payload {
                    Payload::Frame(_) | Payload::Audio(_) | Payload::Serial(_) => push(input.stream, Event::Sample),
                    Payload::Link(state) => push(input.stream, Event::Link(state.clone())),
                    _ => {}
                }
            }
            let found = tick.found.unwrap_or_default();
            for (id, thumbnail) in &found.thumbnails {
                if matches!(thumbnail, Thumbnail::Ready { .. }) {
                    push(id.stream, Event::Finding);
                }
            }
            for (id, _) in &found.fixes {
                push(id.stream, Event::Finding);
            }
            for (id, reading) in &found.ranges {
                if reading.validity == RangeValidity::Valid {
                    push(id.stream, Event::Finding);
                }
            }
            for (id, health) in found.health {
                push(id.stream, Event::Health(health.state, health.reason));
            }
            let noticed = found.notices.into_iter().map(|notice| (tick.now, notice.source, notice.text));
            journal.notices.extend(noticed);
            journal.missing += tick.segment.map_or(0, |segment| segment.missing_ticks);
            journal.last = tick.now;
        }
        journal
    }

    /// What happened to a device in a span of time.
    fn of<'a>(&'a self, device: &'a str, from: Mono, to: Mono) -> impl Iterator<Item = (Mono, &'a Event)> {
        let all = self.events.iter().filter(move |(at, name, _)| name == device && (from..to).contains(at));
        all.map(|(at, _, event)| (*at, event))
    }

    /// How many events of a kind a device had in a span of time.
    pub fn count(&self, device: &str, from: Mono, to: Mono, wanted: &Event) -> usize {
        self.of(device, from, to).filter(|(_, event)| *event == wanted).count()
    }

    /// The first time, from `from` on, that a device was found to be in trouble for a reason with one of `words`.
    pub fn trouble(&self, device: &str, from: Mono, words: &[&str]) -> Option<(Mono, String)> {
        self.of(device, from, END).find_map(|(at, event)| match event {
            Event::Health(FunctionState::Degraded | FunctionState::Fault | FunctionState::Standby, reason)
                if words.iter().any(|word| reason.contains(word)) =>
            {
                Some((at, reason.clone()))
            }
            _ => None,
        })
    }

    /// The first time, from `from` on, that a device was found to be well.
    pub fn well(&self, device: &str, from: Mono) -> Option<Mono> {
        self.of(device, from, END).find_map(|(at, event)| match event {
            Event::Health(FunctionState::Active, _) => Some(at),
            Event::Health(_, reason) if is_well(reason) => Some(at),
            _ => None,
        })
    }

    /// What the driver said of a device in a span of time.
    pub fn links<'a>(&'a self, device: &'a str, from: Mono, to: Mono) -> impl Iterator<Item = &'a LinkState> {
        self.of(device, from, to)
            .filter_map(|(_, event)| if let Event::Link(state) = event { Some(state) } else { None })
    }

    /// What came from a device, a second, in a span of time.
    pub fn rate(&self, device: &str, from: Mono, to: Mono, wanted: &Event) -> f64 {
        self.count(device, from, to, wanted) as f64 / to.since(from).as_secs_f64()
    }
}

/// Later than everything.
const END: Mono = Mono(u64::MAX);
