//! What the computer did: how long jobs took, how late ticks were, and, where it was measured, what each system cost.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use waywarden_components::prelude::*;
use waywarden_systems::session::TickFindings;
use waywarden_systems::tick::{StageSummary, Stages};

use super::base::Base;
use super::chart::{AMBER, BLUE, Chart, RED, Style, colour, line, round};
use super::decimate::Series;

/// Systems that are drawn: those that cost most.
const MOST_STAGES: usize = 24;

/// What is known of the work.
#[derive(Clone, Debug)]
pub struct Work {
    period: Duration,
    last: Option<Mono>,
    late_ms: Series,
    took_ms: BTreeMap<JobRole, Series>,
    age_ms: BTreeMap<JobRole, Series>,
    missed: BTreeMap<JobRole, u64>,
    stages: Stages,
}

impl Work {
    /// Ticks that come every `period`, if nothing delays them.
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            last: None,
            late_ms: Series::default(),
            took_ms: BTreeMap::new(),
            age_ms: BTreeMap::new(),
            missed: BTreeMap::new(),
            stages: Stages::default(),
        }
    }

    /// Takes what a tick says.
    pub fn add(&mut self, tick: &TickFindings, base: &Base) {
        // Behind a gap nobody knows when the tick before was.
        let follows = tick.segment.as_ref().is_none_or(|segment| segment.missing_ticks == 0);
        if let Some(last) = self.last.replace(tick.now)
            && follows
        {
            let late = tick.now.since(last).saturating_sub(self.period);
            self.late_ms.push(tick.now, late.as_secs_f64() * 1e3);
            self.stages.record("late", late);
        }
        for job in tick.jobs() {
            let role = job.job.role;
            self.took_ms.entry(role).or_default().push(tick.now, job.took_ns as f64 / 1e6);
            self.stages.record(&format!("{role} job"), Duration::from_nanos(job.took_ns));
            if let Some(captured) = base.captured(job.frame) {
                let age = tick.now.since(captured);
                self.age_ms.entry(role).or_default().push(tick.now, age.as_secs_f64() * 1e3);
                self.stages.record(&format!("{role} age"), age);
            }
        }
        for (job, _) in tick.missed_jobs() {
            *self.missed.entry(job.role).or_default() += 1;
        }
        for (id, captured, _) in tick.frames() {
            self.stages.record(&format!("{} at its tick", base.name(id.stream)), tick.now.since(captured));
        }
    }

    /// Times that the session itself holds, by name.
    pub fn times(&self) -> BTreeMap<String, StageSummary> {
        self.stages.summary()
    }

    /// Jobs that did not end in time.
    pub fn missed(&self) -> &BTreeMap<JobRole, u64> {
        &self.missed
    }

    /// Its charts. `live` is whether ticks were waited for; `replayed` are the times that a replay measured.
    pub fn charts(&self, base: &Base, live: bool, replayed: Option<&BTreeMap<String, StageSummary>>) -> Vec<Chart> {
        let mut jobs = Chart::timed("jobs", "Time of models", "ms", "How long each run of a model took.");
        let mut ages = Chart::timed(
            "result-age",
            "How old results are",
            "ms",
            "From the moment a picture was captured to the tick in which its result came back.",
        );
        for (n, (role, took)) in self.took_ms.iter().enumerate() {
            jobs.traces.extend(line(role.name(), took, base.start, Style::new(colour(n), 1, "ms")));
        }
        for (n, (role, age)) in self.age_ms.iter().enumerate() {
            ages.traces.extend(line(role.name(), age, base.start, Style::new(colour(n), 1, "ms")));
        }
        ages.height = 200;
        let mut lateness = Chart::timed(
            "lateness",
            "Lateness of ticks",
            "ms",
            format!(
                "By how much more than {} ms ticks lie apart: the least by which the later one was late.",
                self.period.as_millis()
            ),
        );
        lateness.height = 200;
        if live {
            lateness.traces.extend(line("late", &self.late_ms, base.start, Style::new(BLUE, 2, "ms")));
        }
        let stages = replayed.and_then(stages);
        [jobs.if_any(), ages.if_any(), lateness.if_any(), stages].into_iter().flatten().collect()
    }
}

/// Times of systems and phases as bars, the costliest on top.
fn stages(measured: &BTreeMap<String, StageSummary>) -> Option<Chart> {
    let mut all: Vec<(&String, &StageSummary)> = measured.iter().collect();
    // What cost most in all: how often, times the median.
    let cost = |stage: &StageSummary| stage.n as f64 * stage.p50_ms;
    all.sort_by(|a, b| cost(b.1).total_cmp(&cost(a.1)));
    all.truncate(MOST_STAGES);
    // plotly.js draws the first row at the bottom.
    all.reverse();
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let mut chart = Chart::timed(
        "stages",
        "Time of systems",
        "",
        "Measured by replaying the session on this computer: half of all runs took no longer than the bar, 99 % no longer than the mark; costliest in all on top.",
    );
    chart.timed = false;
    chart.height = 120 + 22 * u32::try_from(all.len()).unwrap_or(0);
    let hover: Vec<String> = all
        .iter()
        .map(|(name, s)| {
            format!(
                "{name}: {} times, p50 {:.3}, p95 {:.3}, p99 {:.3}, longest {:.3} ms",
                s.n, s.p50_ms, s.p95_ms, s.p99_ms, s.max_ms
            )
        })
        .collect();
    let values = |pick: fn(&StageSummary) -> f64| -> Vec<f64> { all.iter().map(|(_, s)| round(pick(s), 4)).collect() };
    chart.traces.push(json!({
        "type": "bar", "orientation": "h", "name": "median", "y": names, "x": values(|s| s.p50_ms), "hovertext": hover,
        "hovertemplate": "%{hovertext}<extra></extra>", "marker": { "color": BLUE },
    }));
    for (name, pick, colour) in
        [("99 %", (|s| s.p99_ms) as fn(&StageSummary) -> f64, AMBER), ("longest", |s| s.max_ms, RED)]
    {
        chart.traces.push(json!({
            "type": "scatter", "mode": "markers", "name": name, "y": names, "x": values(pick), "hovertext": hover,
            "hovertemplate": "%{hovertext}<extra></extra>", "marker": { "color": colour, "symbol": "line-ns-open", "size": 12, "line": { "width": 2 } },
        }));
    }
    chart.layout = json!({
        "xaxis": { "title": { "text": "ms" }, "type": "log" }, "yaxis": { "automargin": true }, "hovermode": "closest",
    });
    (!measured.is_empty()).then_some(chart)
}
