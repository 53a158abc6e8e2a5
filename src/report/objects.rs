//! What is ahead: boxes, tracks, the range finder, and the truth.

use std::collections::BTreeMap;

use serde::Serialize;
use waywarden_components::prelude::*;
use waywarden_systems::session::TickFindings;

use super::base::Base;
use super::chart::{BLUE, Chart, ORANGE, PURPLE, Style, TEAL, TRUTH, colour, dots, line, millis, round, truth_line};
use super::decimate::{Series, Thinned};

/// Dots of true objects, and of tracks, that are drawn.
const MOST_DOTS: usize = 4000;

/// What is known of objects ahead.
#[derive(Clone, Debug)]
pub struct Objects {
    /// Boxes in a frame, by class.
    boxes: BTreeMap<ObjectClass, Series>,
    tallest: Series,
    looked_at: u64,
    found: u64,
    heights: BTreeMap<StreamId, u32>,
    range: BTreeMap<StreamId, Series>,
    invalid: u64,
    true_range: Series,
    true_objects: Thinned<Dot>,
    true_nearest: Nearest,
    tracks: Thinned<Dot>,
    track_nearest: Nearest,
}

#[derive(Clone, Debug, Default)]
struct Nearest {
    distance_m: Series,
    closing_mps: Series,
}

#[derive(Clone, Debug)]
struct Dot {
    at: Mono,
    class: ObjectClass,
    id: u64,
    distance_m: f64,
    closing_mps: f64,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            boxes: BTreeMap::new(),
            tallest: Series::default(),
            looked_at: 0,
            found: 0,
            heights: BTreeMap::new(),
            range: BTreeMap::new(),
            invalid: 0,
            true_range: Series::default(),
            true_objects: Thinned::new(MOST_DOTS),
            true_nearest: Nearest::default(),
            tracks: Thinned::new(MOST_DOTS),
            track_nearest: Nearest::default(),
        }
    }
}

/// What was ahead, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ObjectFacts {
    /// Frames that were looked at.
    pub looked_at: u64,
    /// Boxes found in them.
    pub boxes: u64,
    /// Range readings that may be used.
    pub ranges: u64,
    /// Range readings that may not.
    pub invalid_ranges: u64,
    /// The least distance that the range finder measured, in metres.
    pub least_range_m: Option<f64>,
    /// The least true distance to an object in the lane, in metres.
    pub least_true_distance_m: Option<f64>,
}

/// A class in words.
pub fn class_name(class: ObjectClass) -> String {
    match class {
        ObjectClass::Other(number) => format!("class {number}"),
        known => format!("{known:?}").to_lowercase(),
    }
}

impl Nearest {
    fn push(&mut self, at: Mono, distance: f32, closing: Option<f32>) {
        self.distance_m.push(at, distance.into());
        if let Some(closing) = closing {
            self.closing_mps.push(at, closing.into());
        }
    }
}

impl Objects {
    /// Takes what a tick says.
    pub fn add(&mut self, tick: &TickFindings, base: &Base) {
        for (at, truth) in tick.truths() {
            if let Some(range) = truth.range_m {
                self.true_range.push(at, range.into());
            }
            for object in &truth.objects {
                self.true_objects.push(Dot {
                    at,
                    class: object.class,
                    id: object.id.into(),
                    distance_m: object.distance_m.into(),
                    closing_mps: object.closing_mps.into(),
                });
            }
            let in_lane = truth.objects.iter().filter(|object| object.in_lane);
            if let Some(nearest) = in_lane.min_by(|a, b| a.distance_m.total_cmp(&b.distance_m)) {
                self.true_nearest.push(at, nearest.distance_m, Some(nearest.closing_mps));
            }
        }
        let Some(found) = &tick.found else { return };
        for (frame, thumbnail) in &found.thumbnails {
            if let Thumbnail::Ready { height, .. } = thumbnail {
                self.heights.insert(frame.stream, *height);
            }
        }
        for (frame, detections) in &found.detections {
            if let (Some(boxes), Some(at)) = (&detections.boxes, base.captured(*frame)) {
                self.boxes_of(frame.stream, at, boxes);
            }
        }
        for (id, reading) in &found.ranges {
            match reading.validity {
                RangeValidity::Valid => {
                    self.range.entry(id.stream).or_default().push(tick.now, reading.distance_m.into())
                }
                _ => self.invalid += 1,
            }
        }
        for (id, track) in &found.tracks {
            if let Some(motion) = track.motion {
                let (distance_m, closing_mps) = (motion.distance_m.into(), motion.closing_mps.into());
                let (at, class) = (track.last_seen, track.class);
                self.tracks.push(Dot { at, class, id: id.seq, distance_m, closing_mps });
            }
        }
        let with_motion = found.tracks.iter().filter_map(|(_, track)| Some((track, track.motion?)));
        if let Some((track, motion)) = with_motion.min_by(|a, b| a.1.distance_m.total_cmp(&b.1.distance_m)) {
            self.track_nearest.push(track.last_seen, motion.distance_m, Some(motion.closing_mps));
        }
    }

    fn boxes_of(&mut self, camera: StreamId, at: Mono, boxes: &[Detection]) {
        self.looked_at += 1;
        self.found += boxes.len() as u64;
        let mut counts: BTreeMap<ObjectClass, u64> = BTreeMap::new();
        for found in boxes {
            // Few classes are drawn; the others are one.
            let class = match found.class {
                ObjectClass::Other(_) => ObjectClass::Other(0),
                known => known,
            };
            *counts.entry(class).or_default() += 1;
        }
        for class in counts.keys() {
            self.boxes.entry(*class).or_default();
        }
        for (class, series) in &mut self.boxes {
            series.push(at, counts.get(class).copied().unwrap_or_default() as f64);
        }
        let tallest = boxes.iter().map(|found| found.height).fold(0.0, f32::max);
        if let Some(&height) = self.heights.get(&camera)
            && height > 0
        {
            self.tallest.push(at, 100.0 * f64::from(tallest) / f64::from(height));
        }
    }

    /// Whether anything of the truth is known.
    pub fn has_truth(&self) -> bool {
        self.true_objects.seen() > 0
    }

    /// Objects in numbers.
    pub fn facts(&self) -> ObjectFacts {
        let least = |series: &Series| series.min().map(|(_, value)| value);
        ObjectFacts {
            looked_at: self.looked_at,
            boxes: self.found,
            ranges: self.range.values().map(Series::count).sum(),
            invalid_ranges: self.invalid,
            least_range_m: self.range.values().filter_map(least).min_by(f64::total_cmp),
            least_true_distance_m: least(&self.true_nearest.distance_m),
        }
    }

    /// Their charts.
    pub fn charts(&self, base: &Base) -> Vec<Chart> {
        let metres = Style::new(BLUE, 1, "m");
        let speed = Style::new(PURPLE, 1, "m/s");
        let mut distance = Chart::timed(
            "distance",
            "Distance to what is ahead",
            "m",
            "Dots are objects, one colour a class; pale ones are the simulator's truth. The range finder sees a dozen metres.",
        );
        distance.height = 320;
        distance.traces.extend(cloud("true", &self.true_objects, base, true));
        let nearest = &self.true_nearest.distance_m;
        distance.traces.extend(truth_line("truth, nearest in lane", nearest, base.start, metres));
        distance.traces.extend(cloud("track", &self.tracks, base, false));
        for (n, (sensor, series)) in self.range.iter().enumerate() {
            let style = Style { colour: if n == 0 { ORANGE } else { TEAL }, ..metres };
            distance.traces.extend(line(&base.name(*sensor), series, base.start, style));
        }
        let closing = Chart::timed(
            "closing",
            "Closing speed of the nearest",
            "m/s",
            "How fast the distance to the nearest object in the lane shrinks; negative when it grows.",
        )
        .with_some(truth_line("truth", &self.true_nearest.closing_mps, base.start, speed))
        .with_some(line("track", &self.track_nearest.closing_mps, base.start, speed));
        let mut boxes = Chart::timed("boxes", "Boxes found", "boxes a frame", "In frames that the detector looked at.");
        for (n, (class, series)) in self.boxes.iter().enumerate() {
            let name = if matches!(class, ObjectClass::Other(_)) { "others".to_owned() } else { class_name(*class) };
            boxes.traces.extend(line(&name, series, base.start, Style::new(colour(n), 0, "")));
        }
        let tallest = Chart::timed(
            "tallest",
            "Tallest box",
            "% of the picture",
            "Height of the tallest box as a share of the picture's: what comes nearer grows.",
        )
        .with_some(
            (self.found > 0)
                .then(|| line("tallest box", &self.tallest, base.start, Style::new(PURPLE, 1, "%")))
                .flatten(),
        );
        [distance, closing, boxes, tallest].into_iter().filter_map(Chart::if_any).collect()
    }
}

/// Dots of objects, one trace a class.
fn cloud(what: &str, dots_of: &Thinned<Dot>, base: &Base, pale: bool) -> Vec<serde_json::Value> {
    let mut classes: BTreeMap<ObjectClass, Vec<&Dot>> = BTreeMap::new();
    for dot in dots_of.kept() {
        classes.entry(dot.class).or_default().push(dot);
    }
    let trace = |(n, (class, dots_here)): (usize, (&ObjectClass, &Vec<&Dot>))| {
        let x: Vec<f64> = dots_here.iter().map(|dot| millis(base.start, dot.at)).collect();
        let y: Vec<f64> = dots_here.iter().map(|dot| round(dot.distance_m, 2)).collect();
        let name = class_name(*class);
        let text: Vec<String> = dots_here
            .iter()
            .map(|dot| format!("{what} {name} {}: {:.1} m, closing {:.1} m/s", dot.id, dot.distance_m, dot.closing_mps))
            .collect();
        let mut trace = dots(&format!("{what}: {name}"), &x, &y, &text, if pale { TRUTH } else { colour(n) });
        if pale {
            trace["marker"] = serde_json::json!({ "color": colour(n), "size": 3, "opacity": 0.35 });
        }
        trace
    };
    classes.iter().enumerate().map(trace).collect()
}
