//! A warning from its start to its end: one number, no flicker, and not again at once.

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;

/// So long a warning lasts at least while its function works, in seconds: shorter ones are not understood.
const LEAST_S: f64 = 1.0;
/// So long it must be clearly over before it ends, in seconds.
const CALM_S: f64 = 0.5;
/// At most so many ids are evidence: the latest.
const MOST_EVIDENCE: usize = 16;

/// What has become of a warning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AlertChange {
    /// It began.
    Start {
        /// Its number, from 1, over all kinds.
        number: u64,
        /// The warning.
        alert: Alert,
    },
    /// Its level rose, or its figures changed.
    Update {
        /// Its number.
        number: u64,
        /// The warning as it is now.
        alert: Alert,
    },
    /// It is over.
    End {
        /// Its number.
        number: u64,
        /// What it was about.
        kind: AlertKind,
        /// Why it ended.
        reason: String,
    },
}

/// What a function finds at a tick.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is to be warned of.
    Warn(Finding),
    /// Not enough to begin a warning, enough to go on with one.
    Hold(Finding),
    /// Nothing, for the reason given.
    Clear(&'static str),
    /// Clearly over, and no more to wait for.
    Over(&'static str),
}

/// What is warned of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub level: AlertLevel,
    pub text: String,
    pub evidence: Vec<StableId>,
}

impl Finding {
    /// With its evidence in order.
    pub fn new(level: AlertLevel, text: String, mut evidence: Vec<StableId>) -> Self {
        evidence.sort();
        evidence.dedup();
        let surplus = evidence.len().saturating_sub(MOST_EVIDENCE);
        Self { level, text, evidence: evidence.split_off(surplus) }
    }
}

/// A warning that has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Running {
    number: u64,
    alert: Alert,
    /// When its text was last told.
    told: Mono,
    /// Since when there is nothing more.
    calm: Option<Mono>,
}

/// The warnings of a function, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Episodes {
    running: Option<Running>,
    /// When the last one ended, and how urgent it was.
    last: Option<(Mono, AlertLevel)>,
}

/// How often a function may speak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Not the same again for so many seconds.
    pub again_s: f32,
    /// Least time between changes of the text in seconds.
    pub text_s: f32,
}

impl Episodes {
    /// What becomes of the warning by what is found now.
    pub fn step(
        &mut self,
        kind: AlertKind,
        now: Mono,
        verdict: Verdict,
        pace: Pace,
        next: &mut u64,
    ) -> Option<AlertChange> {
        let Some(running) = &mut self.running else {
            let Verdict::Warn(finding) = verdict else { return None };
            let too_soon = self
                .last
                .is_some_and(|(ended, level)| now.since(ended).as_secs_f32() < pace.again_s && finding.level <= level);
            return if too_soon { None } else { Some(self.start(kind, now, finding, next)) };
        };
        match verdict {
            Verdict::Warn(finding) | Verdict::Hold(finding) => {
                running.calm = None;
                running.update(now, finding, pace)
            }
            Verdict::Clear(reason) => {
                let calm = *running.calm.get_or_insert(now);
                let over = now.since(calm).as_secs_f64() >= CALM_S;
                let long = now.since(running.alert.started).as_secs_f64() >= LEAST_S;
                if over && long { self.end(now, reason) } else { None }
            }
            Verdict::Over(reason) => self.end(now, reason),
        }
    }

    fn start(&mut self, kind: AlertKind, now: Mono, finding: Finding, next: &mut u64) -> AlertChange {
        *next = next.saturating_add(1);
        let Finding { level, text, evidence } = finding;
        let alert = Alert { kind, level, started: now, text, evidence, ended: None };
        self.running = Some(Running { number: *next, alert: alert.clone(), told: now, calm: None });
        AlertChange::Start { number: *next, alert }
    }

    /// Ends what is running.
    pub fn end(&mut self, now: Mono, reason: &str) -> Option<AlertChange> {
        let running = self.running.take()?;
        self.last = Some((now, running.alert.level));
        Some(AlertChange::End { number: running.number, kind: running.alert.kind, reason: reason.into() })
    }
}

impl Running {
    /// A level only rises; a text waits its time unless the level rises.
    fn update(&mut self, now: Mono, finding: Finding, pace: Pace) -> Option<AlertChange> {
        let rises = finding.level > self.alert.level;
        let due = now.since(self.told).as_secs_f32() >= pace.text_s && finding.text != self.alert.text;
        if !rises && !due {
            return None;
        }
        self.told = now;
        let Finding { level, text, evidence } = finding;
        self.alert.level = level.max(self.alert.level);
        self.alert.text = text;
        self.alert.evidence = evidence;
        Some(AlertChange::Update { number: self.number, alert: self.alert.clone() })
    }
}
