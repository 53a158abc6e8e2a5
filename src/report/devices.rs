//! How the devices were, what they said, and what was told to the log.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::json;
use waywarden_components::prelude::*;
use waywarden_systems::session::TickFindings;

use super::base::Base;
use super::chart::{AMBER, Chart, GREEN, RED, Span, TRUTH, bars};

/// States of one device that are drawn; a device that changes more often is not shown on beyond.
const MOST_BANDS: usize = 400;

/// Lines that are kept: so many of the first and so many of the last.
const MOST_LINES: usize = 150;

/// What is known of the devices.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    bands: BTreeMap<StableId, Vec<Band>>,
    changes: BTreeMap<StableId, u64>,
    alerts: BTreeMap<StableId, (Alert, Mono, Option<Mono>)>,
    first_lines: Vec<Line>,
    last_lines: VecDeque<Line>,
    left_out: u64,
    models: Option<ModelStatus>,
}

#[derive(Clone, Debug)]
struct Band {
    from: Mono,
    health: Health,
}

/// A line of what happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Seconds since the start.
    pub at_s: f64,
    /// How serious.
    pub level: NoticeLevel,
    /// Who says so.
    pub source: String,
    /// What.
    pub text: String,
}

/// A state in words.
pub fn state_name(state: FunctionState) -> &'static str {
    match state {
        FunctionState::Off => "off",
        FunctionState::Standby => "standby",
        FunctionState::Active => "active",
        FunctionState::Degraded => "degraded",
        FunctionState::Fault => "fault",
    }
}

/// How long a device was in each state, in seconds, and why it was not active at last.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeviceFacts {
    /// Seconds by state.
    pub seconds: BTreeMap<&'static str, f64>,
    /// The last reason of each state.
    pub reasons: BTreeMap<&'static str, String>,
    /// The state at the end.
    pub last_state: &'static str,
    /// Its reason.
    pub last_reason: String,
    /// Changes of state or reason.
    pub changes: u64,
}

impl Devices {
    /// Takes what a tick says. Returns the names of devices whose state changed with it, and alerts that began.
    pub fn add(&mut self, tick: &TickFindings, base: &Base) -> Vec<String> {
        let mut happened = Vec::new();
        let at_s = tick.now.since(base.start).as_secs_f64();
        if let Some(segment) = &tick.segment
            && let Some(known) = &segment.known
        {
            for (id, health) in &known.health {
                self.health(*id, tick.now, health);
            }
            self.models = known.models.clone().or(self.models.take());
        }
        for input in &tick.inputs {
            if let Payload::Described(what) = &input.payload {
                let source = base.name(input.stream);
                self.line(Line { at_s, level: NoticeLevel::Info, source, text: what.clone() });
            }
            if let Payload::Link(state) = &input.payload {
                let (level, text) = match state {
                    LinkState::Connecting => (NoticeLevel::Info, "connecting".to_owned()),
                    LinkState::Connected => (NoticeLevel::Info, "connected".to_owned()),
                    LinkState::Lost(reason) => (NoticeLevel::Warning, format!("lost: {reason}")),
                    LinkState::Failed(reason) => (NoticeLevel::Error, format!("failed: {reason}")),
                    LinkState::Ended => (NoticeLevel::Info, "at its end".to_owned()),
                };
                self.line(Line { at_s, level, source: base.name(input.stream), text });
            }
        }
        let Some(found) = &tick.found else { return happened };
        for (id, health) in &found.health {
            if self.health(*id, tick.now, health) {
                happened.push(format!("{}: {}", base.name(id.stream), state_name(health.state)));
            }
        }
        for (id, alert) in &found.alerts {
            if !self.alerts.contains_key(id) && self.alerts.len() < MOST_BANDS {
                happened.push(format!("alert: {}", alert.kind));
                self.alerts.insert(*id, (alert.clone(), tick.now, None));
            }
        }
        for id in &found.gone {
            if let Some((_, _, end)) = self.alerts.get_mut(id) {
                end.get_or_insert(tick.now);
            }
        }
        for notice in &found.notices {
            let Notice { level, source, text } = notice.clone();
            self.line(Line { at_s, level, source, text });
        }
        self.models = found.models.clone().or(self.models.take());
        happened
    }

    /// Whether the state changed after the first one was known.
    fn health(&mut self, id: StableId, now: Mono, health: &Health) -> bool {
        let bands = self.bands.entry(id).or_default();
        let before = bands.last();
        if before.is_some_and(|band| band.health == *health) {
            return false;
        }
        let changed = before.is_some_and(|band| band.health.state != health.state);
        *self.changes.entry(id).or_default() += u64::from(before.is_some());
        if bands.len() < MOST_BANDS {
            bands.push(Band { from: now, health: health.clone() });
        }
        changed
    }

    fn line(&mut self, line: Line) {
        if self.first_lines.len() < MOST_LINES {
            self.first_lines.push(line);
            return;
        }
        self.last_lines.push_back(line);
        if self.last_lines.len() > MOST_LINES {
            self.last_lines.pop_front();
            self.left_out += 1;
        }
    }

    /// What happened, in order, and how many lines in the middle were left out.
    pub fn lines(&self) -> (Vec<Line>, u64) {
        (self.first_lines.iter().chain(&self.last_lines).cloned().collect(), self.left_out)
    }

    /// Alerts: their kind and level, when they began and ended, in seconds since the start.
    pub fn alerts(&self, base: &Base) -> Vec<(String, AlertLevel, f64, Option<f64>)> {
        let at = |time: Mono| time.since(base.start).as_secs_f64();
        self.alerts
            .values()
            .map(|(alert, from, to)| (alert.kind.to_string(), alert.level, at(*from), to.map(at)))
            .collect()
    }

    /// The models that could be run, and why others could not.
    pub fn models(&self) -> Option<&ModelStatus> {
        self.models.as_ref()
    }

    /// Each device in numbers, by name.
    pub fn facts(&self, base: &Base) -> BTreeMap<String, DeviceFacts> {
        let fact = |(id, bands): (&StableId, &Vec<Band>)| {
            let mut facts =
                DeviceFacts { changes: self.changes.get(id).copied().unwrap_or_default(), ..Default::default() };
            for (n, band) in bands.iter().enumerate() {
                let end = bands.get(n + 1).map_or(base.end, |next| next.from);
                *facts.seconds.entry(state_name(band.health.state)).or_default() += end.since(band.from).as_secs_f64();
                facts.reasons.insert(state_name(band.health.state), band.health.reason.clone());
                facts.last_state = state_name(band.health.state);
                facts.last_reason.clone_from(&band.health.reason);
            }
            (base.name(id.stream), facts)
        };
        self.bands.iter().map(fact).collect()
    }

    /// Their charts.
    pub fn charts(&self, base: &Base) -> Vec<Chart> {
        let mut chart = Chart::timed("health", "Health", "", "Each device: point at a band to read the reason.");
        let states = [
            (FunctionState::Active, GREEN),
            (FunctionState::Standby, "#7fa8d9"),
            (FunctionState::Degraded, AMBER),
            (FunctionState::Fault, RED),
            (FunctionState::Off, TRUTH),
        ];
        for (state, colour) in states {
            let mut spans = Vec::new();
            for (id, bands) in self.bands.iter().rev() {
                for (n, band) in bands.iter().enumerate().filter(|(_, band)| band.health.state == state) {
                    let to = bands.get(n + 1).map_or(base.end, |next| next.from);
                    let name = base.name(id.stream);
                    let since = |at: Mono| at.since(base.start).as_secs_f64();
                    let reason = if band.health.reason.is_empty() { "" } else { ": " };
                    let text = format!(
                        "{name} {}{reason}{} ({:.1} s to {:.1} s)",
                        state_name(state),
                        escape(&band.health.reason),
                        since(band.from),
                        since(to)
                    );
                    spans.push(Span { from: band.from, to, row: name, text });
                }
            }
            chart.traces.extend(bars(state_name(state), &spans, base.start, colour));
        }
        let alerts: Vec<Span> = self
            .alerts
            .values()
            .map(|(alert, from, to)| Span {
                from: *from,
                to: to.unwrap_or(base.end),
                row: "alerts".to_owned(),
                text: format!("{}: {:?}", alert.kind, alert.level),
            })
            .collect();
        chart.traces.extend(bars("alert", &alerts, base.start, "#8f1d6b"));
        let rows = self.bands.len() + usize::from(!alerts.is_empty());
        chart.height = 110 + 34 * u32::try_from(rows).unwrap_or(0);
        // Rows in the order of the devices, whatever state is drawn first.
        let mut names: Vec<String> = self.bands.keys().rev().map(|id| base.name(id.stream)).collect();
        if !alerts.is_empty() {
            names.push("alerts".to_owned());
        }
        chart.layout = json!({
            "barmode": "overlay", "hovermode": "closest",
            "yaxis": { "automargin": true, "categoryorder": "array", "categoryarray": names },
        });
        chart.if_any().into_iter().collect()
    }
}

/// Text that plotly.js takes for text, not for markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
