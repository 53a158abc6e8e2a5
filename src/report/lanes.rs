//! The lane: offset, heading, width, how often it was found, and how far from the truth that was.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use waywarden_components::prelude::*;
use waywarden_systems::session::TickFindings;

use super::base::Base;
use super::chart::{BLUE, Chart, Style, colour, line, truth_line};
use super::decimate::Series;

/// Frames whose estimate or truth is remembered, to compare the two.
const REMEMBERED: usize = 1024;

/// What is known of the lane.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    cameras: BTreeMap<StreamId, CameraLanes>,
    truth: Curves,
    /// The true lane at the times of the newest pictures.
    recent_truth: BTreeMap<Mono, LaneGeometry>,
    /// Estimates whose truth has not come yet.
    waiting: BTreeMap<Mono, LaneGeometry>,
    error: SquaredError,
}

#[derive(Clone, Debug, Default)]
struct Curves {
    offset_m: Series,
    heading_deg: Series,
    width_m: Series,
}

#[derive(Clone, Debug, Default)]
struct CameraLanes {
    curves: Curves,
    confidence: Series,
    looked_at: u64,
    lines: u64,
    claimed: u64,
    sources: BTreeMap<LaneSource, u64>,
    /// Numbers of frames that have been counted.
    counted: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct SquaredError {
    count: u64,
    sum: f64,
    largest: f64,
}

/// The lane in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LaneFacts {
    /// Frames that were looked at.
    pub looked_at: u64,
    /// Of them, those in which both lines were seen.
    pub both_lines: u64,
    /// Of them, those in which the lane is claimed, in metres.
    pub claimed: u64,
    /// What looked: `model`, `classical`, with the number of frames.
    pub sources: BTreeMap<LaneSource, u64>,
    /// Mean offset in metres, positive to the left.
    pub mean_offset_m: Option<f64>,
    /// Offset of the largest size, in metres.
    pub largest_offset_m: Option<f64>,
    /// When that was, in seconds since the start.
    pub largest_offset_at_s: Option<f64>,
    /// Mean width of the lane in metres.
    pub mean_width_m: Option<f64>,
    /// Frames compared with the truth.
    pub compared: u64,
    /// Root mean square of the offset's error, in metres.
    pub offset_rmse_m: Option<f64>,
    /// The largest error of the offset, in metres.
    pub largest_error_m: Option<f64>,
}

impl Curves {
    fn push(&mut self, at: Mono, lane: &LaneGeometry) {
        self.offset_m.push(at, lane.offset_m.into());
        self.heading_deg.push(at, f64::from(lane.heading_rad).to_degrees());
        self.width_m.push(at, lane.width_m.into());
    }
}

impl SquaredError {
    fn add(&mut self, error: f64) {
        self.count += 1;
        self.sum += error * error;
        self.largest = self.largest.max(error.abs());
    }
}

fn shrink<K: Ord + Copy, V>(map: &mut BTreeMap<K, V>) {
    while map.len() > REMEMBERED {
        map.pop_first();
    }
}

impl Lanes {
    /// Takes what a tick says.
    pub fn add(&mut self, tick: &TickFindings, base: &Base) {
        for (at, truth) in tick.truths() {
            let Some(lane) = &truth.lane else { continue };
            self.truth.push(at, lane);
            if let Some(ours) = self.waiting.remove(&at) {
                self.error.add(f64::from(ours.offset_m) - f64::from(lane.offset_m));
            }
            self.recent_truth.insert(at, *lane);
            shrink(&mut self.recent_truth);
        }
        let Some(found) = &tick.found else { return };
        for (frame, estimate) in &found.lanes {
            if estimate.source == LaneSource::None {
                continue;
            }
            let Some(at) = base.captured(*frame) else { continue };
            let camera = self.cameras.entry(frame.stream).or_default();
            // At the start of a run values are listed anew.
            if !camera.counted.insert(frame.seq) {
                continue;
            }
            if camera.counted.len() > REMEMBERED {
                camera.counted.pop_first();
            }
            camera.looked_at += 1;
            *camera.sources.entry(estimate.source).or_default() += 1;
            camera.lines += u64::from(estimate.left.is_some() && estimate.right.is_some());
            camera.confidence.push(at, estimate.confidence.into());
            let Some(lane) = &estimate.geometry else { continue };
            camera.claimed += 1;
            camera.curves.push(at, lane);
            match self.recent_truth.get(&at) {
                Some(truth) => self.error.add(f64::from(lane.offset_m) - f64::from(truth.offset_m)),
                None => {
                    self.waiting.insert(at, *lane);
                    shrink(&mut self.waiting);
                }
            }
        }
    }

    /// Whether anything looked for lanes.
    pub fn looked_at(&self) -> u64 {
        self.cameras.values().map(|camera| camera.looked_at).sum()
    }

    /// Whether the true lane is known.
    pub fn has_truth(&self) -> bool {
        !self.truth.offset_m.is_empty()
    }

    /// The lane in numbers, over all cameras.
    pub fn facts(&self, base: &Base) -> LaneFacts {
        let mut facts = LaneFacts { compared: self.error.count, ..LaneFacts::default() };
        let (mut offset, mut width) = ((0.0, 0), (0.0, 0));
        for camera in self.cameras.values() {
            facts.looked_at += camera.looked_at;
            facts.both_lines += camera.lines;
            facts.claimed += camera.claimed;
            for (source, count) in &camera.sources {
                *facts.sources.entry(*source).or_default() += count;
            }
            let add = |sum: &mut (f64, u64), series: &Series| {
                sum.0 += series.mean().unwrap_or_default() * series.count() as f64;
                sum.1 += series.count();
            };
            add(&mut offset, &camera.curves.offset_m);
            add(&mut width, &camera.curves.width_m);
            for (at, value) in [camera.curves.offset_m.min(), camera.curves.offset_m.max()].into_iter().flatten() {
                if facts.largest_offset_m.is_none_or(|largest| value.abs() > largest.abs()) {
                    facts.largest_offset_m = Some(value);
                    facts.largest_offset_at_s = Some(at.since(base.start).as_secs_f64());
                }
            }
        }
        let mean = |(sum, count): (f64, u64)| (count > 0).then(|| sum / count as f64);
        (facts.mean_offset_m, facts.mean_width_m) = (mean(offset), mean(width));
        if self.error.count > 0 {
            facts.offset_rmse_m = Some((self.error.sum / self.error.count as f64).sqrt());
            facts.largest_error_m = Some(self.error.largest);
        }
        facts
    }

    /// Its charts.
    pub fn charts(&self, base: &Base) -> Vec<Chart> {
        let metres = Style::new(BLUE, 2, "m");
        let degrees = Style::new(BLUE, 2, "°");
        let chart = |id: &str, title: &str, y: &str, note: &str, style: Style, pick: fn(&Curves) -> &Series| {
            let mut chart = Chart::timed(id, title, y, note);
            chart.traces.extend(truth_line("truth", pick(&self.truth), base.start, style));
            for (n, (camera, lanes)) in self.cameras.iter().enumerate() {
                let style = Style { colour: colour(n), ..style };
                chart.traces.extend(line(&base.name(*camera), pick(&lanes.curves), base.start, style));
            }
            chart.if_any()
        };
        let mut charts: Vec<Chart> = [
            chart(
                "lane-offset",
                "Lane offset",
                "m",
                "How far left of the lane's middle the vehicle is; negative is right. Broken where no lane is claimed.",
                metres,
                |curves| &curves.offset_m,
            ),
            chart(
                "lane-heading",
                "Heading in the lane",
                "°",
                "How far left of the lane's direction the vehicle points.",
                degrees,
                |curves| &curves.heading_deg,
            ),
            chart("lane-width", "Lane width", "m", "Between the middles of the two lines.", metres, |curves| {
                &curves.width_m
            }),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut confidence = Chart::timed(
            "lane-confidence",
            "How much of the lane was seen",
            "share",
            "Share of the rows looked at in which both lines were seen.",
        );
        confidence.layout["yaxis"]["range"] = serde_json::json!([0, 1.05]);
        confidence.height = 200;
        for (n, (camera, lanes)) in self.cameras.iter().enumerate() {
            let style = Style::new(colour(n), 2, "");
            confidence.traces.extend(line(&base.name(*camera), &lanes.confidence, base.start, style));
        }
        charts.extend(confidence.if_any());
        charts
    }
}
