//! Pictures: how many came, how many the gate let through, how many were lost, and how old they were.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use waywarden_components::prelude::*;
use waywarden_systems::session::TickFindings;

use super::base::Base;
use super::chart::{Chart, Style, colour, line, round};
use super::decimate::{Bins, Series};

/// What is counted over time.
const CAME: usize = 0;
const ACCEPTED: usize = 1;
const SEGMENTED: usize = 2;
const DETECTED: usize = 3;
const DROPPED: usize = 4;

/// What is known of pictures.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    cameras: BTreeMap<StreamId, Camera>,
    rates: Bins<5>,
    drops: BTreeMap<StreamId, (u64, Option<DropPolicy>)>,
    segmented: u64,
    detected: u64,
    failed_jobs: BTreeMap<JobRole, u64>,
}

#[derive(Clone, Debug, Default)]
struct Camera {
    came: u64,
    last_seq: u64,
    judged: u64,
    accepted: u64,
    forced: u64,
    broken: u64,
    size: (u32, u32),
    difference: Series,
    age_ms: Series,
}

/// Pictures in numbers, called as `replay --json` calls them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FrameFacts {
    /// Frames that came in.
    #[serde(rename = "in")]
    pub came: u64,
    /// Of them, those that the gate held back.
    pub gated: u64,
    /// Frames segmented.
    pub segmented: u64,
    /// Frames looked at by the detector.
    pub detected: u64,
    /// Frames that a full queue dropped.
    pub dropped: u64,
    /// Frames that nobody could use: broken, or of another size than their camera's.
    pub broken: u64,
    /// Frames that the gate judged; none where nothing was ever run.
    pub judged: u64,
    /// Frames accepted only because the last accepted one was too old.
    pub forced: u64,
    /// Size of the newest picture in pixels.
    pub size: Option<(u32, u32)>,
}

impl Frames {
    /// Takes what a tick says.
    pub fn add(&mut self, tick: &TickFindings, base: &Base) {
        for (id, captured, _) in tick.frames() {
            let camera = self.cameras.entry(id.stream).or_default();
            camera.came += 1;
            camera.age_ms.push(captured, tick.now.since(captured).as_secs_f64() * 1e3);
            self.rates.add(captured.since(base.start), CAME, 1);
        }
        for (stream, policy, count) in tick.drops() {
            let drops = self.drops.entry(stream).or_default();
            *drops = (drops.0.saturating_add(count), Some(policy));
            self.rates.add(tick.now.since(base.start), DROPPED, count);
        }
        for job in tick.jobs() {
            let what = match job.output {
                JobOutput::Segmentation(_) => SEGMENTED,
                JobOutput::Detections(_) => DETECTED,
                JobOutput::Failed(_) => {
                    *self.failed_jobs.entry(job.job.role).or_default() += 1;
                    continue;
                }
            };
            self.rates.add(tick.now.since(base.start), what, 1);
        }
        let Some(found) = &tick.found else { return };
        for (id, thumbnail) in &found.thumbnails {
            if let Thumbnail::Ready { width, height, .. } = thumbnail {
                self.cameras.entry(id.stream).or_default().size = (*width, *height);
            }
        }
        for (id, score) in &found.gates {
            let camera = self.cameras.entry(id.stream).or_default();
            // At the start of a run values are listed anew.
            if id.seq <= camera.last_seq || *score == GateScore::Pending {
                continue;
            }
            camera.last_seq = id.seq;
            let Some(at) = base.captured(*id) else { continue };
            match score {
                GateScore::Judged { difference, accepted, forced } => {
                    camera.judged += 1;
                    camera.accepted += u64::from(*accepted);
                    camera.forced += u64::from(*forced);
                    // The first of all has nothing to differ from.
                    if camera.judged > 1 {
                        camera.difference.push(at, (*difference).into());
                    }
                    self.rates.add(at.since(base.start), ACCEPTED, u64::from(*accepted));
                }
                GateScore::Unusable => camera.broken += 1,
                GateScore::Pending => {}
            }
        }
        let done = |boxes: &Detections| boxes.boxes.is_some();
        self.segmented += found.segmentations.iter().filter(|(_, seen)| seen.masks.is_some()).count() as u64;
        self.detected += found.detections.iter().filter(|(_, seen)| done(seen)).count() as u64;
    }

    /// Pictures in numbers.
    pub fn facts(&self, base: &Base) -> FrameFacts {
        let mut facts = FrameFacts { segmented: self.segmented, detected: self.detected, ..FrameFacts::default() };
        for (id, camera) in &self.cameras {
            facts.came += camera.came;
            facts.gated += camera.judged - camera.accepted;
            facts.judged += camera.judged;
            facts.forced += camera.forced;
            facts.broken += camera.broken;
            if facts.size.is_none() || base.front_camera() == Some(*id) {
                facts.size = (camera.size != (0, 0)).then_some(camera.size);
            }
        }
        let cameras = self.drops.iter().filter(|(id, _)| {
            base.streams.iter().any(|spec| spec.id == **id && matches!(spec.kind, StreamKind::Camera { .. }))
        });
        facts.dropped = cameras.map(|(_, (count, _))| count).sum();
        facts
    }

    /// What each device's queue dropped, by name.
    pub fn drops(&self, base: &Base) -> BTreeMap<String, u64> {
        self.drops.iter().map(|(id, (count, _))| (base.name(*id), *count)).collect()
    }

    /// Jobs that ended without a result.
    pub fn failed_jobs(&self) -> &BTreeMap<JobRole, u64> {
        &self.failed_jobs
    }

    /// Their charts.
    pub fn charts(&self, base: &Base) -> Vec<Chart> {
        let mut rates = Chart::timed(
            "frame-rates",
            "Pictures a second",
            "1/s",
            "All cameras together: what came, what the gate let through, what models looked at, what a full queue dropped.",
        );
        let width = self.rates.width_s();
        for (n, (what, name)) in [
            (CAME, "came"),
            (ACCEPTED, "accepted"),
            (SEGMENTED, "segmented"),
            (DETECTED, "detected"),
            (DROPPED, "dropped"),
        ]
        .into_iter()
        .enumerate()
        {
            if self.rates.total(what) == 0 {
                continue;
            }
            let length = base.length_s();
            // The last bin is cut off by the end of the session; of it is drawn what there would be in a whole one.
            let share = |middle: f64| ((length - (middle - width / 2.0)) / width).clamp(0.1, 1.0);
            let rate = |(at, count): (f64, u64)| (round(at * 1e3, 0), round(count as f64 / width / share(at), 2));
            let (x, y): (Vec<f64>, Vec<f64>) = self.rates.counts(what).map(rate).unzip();
            let colour = if what == DROPPED { super::chart::RED } else { colour(n) };
            rates.traces.push(json!({
                "type": "scatter", "mode": "lines+markers", "name": name, "x": x, "y": y, "hovertemplate": "%{y:.1f} /s",
                "line": { "color": colour, "width": 1.5, "shape": "hvh" }, "marker": { "color": colour, "size": 3 },
            }));
        }
        let mut difference = Chart::timed(
            "gate-difference",
            "How much pictures differ",
            "mean luma difference",
            "To the last accepted one, 0 to 255: what the gate judges by. Small ones are held back.",
        );
        let mut age = Chart::timed(
            "frame-age",
            "How old pictures are at their tick",
            "ms",
            "From the moment of capture to the tick in which they came in.",
        );
        (difference.height, age.height) = (200, 200);
        for (n, (id, camera)) in self.cameras.iter().enumerate() {
            let name = base.name(*id);
            difference.traces.extend(line(&name, &camera.difference, base.start, Style::new(colour(n), 1, "")));
            age.traces.extend(line(&name, &camera.age_ms, base.start, Style::new(colour(n), 1, "ms")));
        }
        [rates, difference, age].into_iter().filter_map(Chart::if_any).collect()
    }
}
