//! What is drawn with each picture: a pass over a session gives pictures in order, each with what is known of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use waywarden_components::prelude::*;
use waywarden_systems::session::{SegmentStart, TickFindings};

use crate::report::base::Base;

/// Session time for which a picture waits for its results.
const PATIENCE: Duration = Duration::from_secs(1);

/// Results that are older than this say nothing of a picture.
const STALE: Duration = Duration::from_millis(1500);

/// After so long without a picture, the time goes on without one.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Pictures that wait at most: what lies between ticks that are far apart must not fill the memory.
const MOST_WAITING: usize = 256;

/// A picture with everything that is known of it.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// When it is, since the start of the session.
    pub since_start: Duration,
    /// When it is.
    pub at: Mono,
    /// The date, if it is known.
    pub utc: Option<UtcOffset>,
    /// The picture; none where no camera saw this moment.
    pub jpeg: Option<Bytes>,
    /// The newest lane.
    pub lane: Option<LaneEstimate>,
    /// How much older than this picture the one is in which the lane was found.
    pub lane_age: Duration,
    /// The newest masks.
    pub masks: Option<RoadMasks>,
    /// The newest boxes.
    pub boxes: Vec<Detection>,
    /// The true lane of this picture.
    pub true_lane: Option<LaneGeometry>,
    /// What else is known at this moment.
    pub status: Status,
}

/// What is known at a moment, besides what is seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Speed over ground in m/s, and when it was measured.
    pub speed_mps: Option<(f64, Mono)>,
    /// The last distance of the range finder in metres, and when it was measured.
    pub range_m: Option<(f32, Mono)>,
    /// Whether somebody speaks, where there is a microphone.
    pub speaking: Option<bool>,
    /// Devices that are less than active: name, state, reason.
    pub troubles: BTreeMap<StableId, (String, Health)>,
    /// Alerts in force.
    pub alerts: BTreeMap<StableId, (String, AlertLevel)>,
}

/// Collects what ticks say of the pictures of one camera.
pub struct Director {
    camera: StreamId,
    base: Base,
    utc: Option<UtcOffset>,
    status: Status,
    waiting: VecDeque<(StableId, Mono, Bytes, Status)>,
    lanes: BTreeMap<Mono, LaneEstimate>,
    masks: BTreeMap<Mono, RoadMasks>,
    boxes: BTreeMap<Mono, Vec<Detection>>,
    truths: BTreeMap<Mono, LaneGeometry>,
    /// The last moment that was shown.
    shown: Option<Mono>,
}

impl Director {
    /// For the pictures of `camera`.
    pub fn new(camera: StreamId, streams: &[StreamSpec]) -> Self {
        Self {
            camera,
            base: Base::new(streams),
            utc: None,
            status: Status::default(),
            waiting: VecDeque::new(),
            lanes: BTreeMap::new(),
            masks: BTreeMap::new(),
            boxes: BTreeMap::new(),
            truths: BTreeMap::new(),
            shown: None,
        }
    }

    /// Takes a tick; gives the scenes that are ready, in order.
    pub fn tick(&mut self, tick: &TickFindings) -> Vec<Scene> {
        self.base.add(tick);
        self.learn(tick);
        for (id, captured, jpeg) in tick.frames().filter(|(id, ..)| id.stream == self.camera) {
            // The reader's bytes hold whole chunks of the file.
            self.waiting.push_back((id, captured, Bytes::copy_from_slice(jpeg), self.status.clone()));
        }
        let ready = |waiting: &VecDeque<(StableId, Mono, Bytes, Status)>| match waiting.front() {
            Some((_, at, ..)) => waiting.len() > MOST_WAITING || tick.now.since(*at) >= PATIENCE,
            None => false,
        };
        let mut scenes = Vec::new();
        while ready(&self.waiting) {
            self.release(&mut scenes);
        }
        // Nothing waits, and nothing has come for long: the time goes on.
        if self.waiting.is_empty()
            && let Some(shown) = self.shown
            && tick.now.since(shown) >= PATIENCE + LONGEST_WAIT
        {
            self.fill(tick.now - PATIENCE, &mut scenes);
        }
        scenes
    }

    /// The scenes that still wait when the session is at its end.
    pub fn finish(&mut self) -> Vec<Scene> {
        let mut scenes = Vec::new();
        while !self.waiting.is_empty() {
            self.release(&mut scenes);
        }
        scenes
    }

    fn learn(&mut self, tick: &TickFindings) {
        if let Some(SegmentStart { known: Some(known), .. }) = &tick.segment {
            for (id, health) in &known.health {
                self.health(*id, health);
            }
        }
        for input in &tick.inputs {
            if let Payload::Utc(utc) = &input.payload {
                self.utc = Some(*utc);
            }
        }
        for (at, truth) in tick.truths() {
            self.truths.extend(truth.lane.map(|lane| (at, lane)));
        }
        let Some(found) = &tick.found else { return };
        // Satellites know the date better than the computer.
        self.utc = found.date.or(self.utc);
        for (id, health) in &found.health {
            self.health(*id, health);
        }
        for (_, fix) in found.fixes.iter().filter(|(_, fix)| fix.validity == FixValidity::Valid) {
            self.status.speed_mps = fix.speed_mps.map(|speed| (speed, tick.now));
        }
        for (_, reading) in found.ranges.iter().filter(|(_, reading)| reading.validity == RangeValidity::Valid) {
            self.status.range_m = Some((reading.distance_m, tick.now));
        }
        for (_, voice) in &found.voices {
            self.status.speaking = Some(voice.speaking);
        }
        for (id, alert) in &found.alerts {
            self.status.alerts.insert(*id, (alert.kind.to_string(), alert.level));
        }
        for id in &found.gone {
            self.status.alerts.remove(id);
        }
        let ours = |frame: &StableId| frame.stream == self.camera;
        for (frame, lane) in found.lanes.iter().filter(|(frame, lane)| ours(frame) && lane.source != LaneSource::None) {
            self.lanes.extend(self.base.captured(*frame).map(|at| (at, lane.clone())));
        }
        for (frame, seen) in found.segmentations.iter().filter(|(frame, _)| ours(frame)) {
            let masks = seen.masks.clone().filter(|masks| masks.drivable.is_sound() && masks.lines.is_sound());
            self.masks.extend(self.base.captured(*frame).zip(masks));
        }
        for (frame, seen) in found.detections.iter().filter(|(frame, _)| ours(frame)) {
            self.boxes.extend(self.base.captured(*frame).zip(seen.boxes.clone()));
        }
    }

    fn health(&mut self, id: StableId, health: &Health) {
        match health.state {
            FunctionState::Active | FunctionState::Off => self.status.troubles.remove(&id),
            _ => self.status.troubles.insert(id, (self.base.name(id.stream), health.clone())),
        };
    }

    fn release(&mut self, scenes: &mut Vec<Scene>) {
        let Some((_, at, jpeg, status)) = self.waiting.pop_front() else { return };
        if self.shown.is_some_and(|shown| at.since(shown) > LONGEST_WAIT + LONGEST_WAIT) {
            self.fill(at, scenes);
        }
        self.shown = Some(at);
        let (lane, lane_age) = newest(&mut self.lanes, at).unzip();
        let masks = newest(&mut self.masks, at).map(|(masks, _)| masks);
        let boxes = newest(&mut self.boxes, at).map(|(boxes, _)| boxes).unwrap_or_default();
        let true_lane = self.truths.get(&at).copied();
        self.truths = self.truths.split_off(&at);
        let since_start = at.since(self.base.start);
        scenes.push(Scene {
            since_start,
            at,
            utc: self.utc,
            jpeg: Some(jpeg),
            lane,
            lane_age: lane_age.unwrap_or_default(),
            masks,
            boxes,
            true_lane,
            status,
        });
    }

    /// Lets the time go on without pictures, up to before `until`.
    fn fill(&mut self, until: Mono, scenes: &mut Vec<Scene>) {
        while let Some(shown) = self.shown {
            let at = shown + LONGEST_WAIT;
            // A week of nothing is not shown second by second.
            if at + LONGEST_WAIT > until || scenes.len() > 3600 {
                return;
            }
            self.shown = Some(at);
            let (since_start, status) = (at.since(self.base.start), self.status.clone());
            scenes.push(Scene { since_start, at, utc: self.utc, status, ..Scene::default() });
        }
    }
}

/// The newest value that is no younger than `at`, and its age, unless it is stale. What is older is forgotten.
fn newest<T: Clone>(values: &mut BTreeMap<Mono, T>, at: Mono) -> Option<(T, Duration)> {
    let (when, value) = values.range(..=at).next_back().map(|(when, value)| (*when, value.clone()))?;
    *values = values.split_off(&when);
    let age = at.since(when);
    (age <= STALE).then_some((value, age))
}

#[cfg(test)]
mod tests {
    use waywarden_systems::session::Found;

    use super::*;

    const CAMERA: StreamId = StreamId(1);

    fn tick(n: u64, frame: Option<u64>, found: Found) -> TickFindings {
        let now = Mono(n * 100_000_000);
        let frame = frame.map(|seq| Input {
            stream: CAMERA,
            seq,
            captured: now,
            payload: Payload::Frame(Bytes::from_static(b"jpeg")),
        });
        TickFindings { tick: n, now, segment: None, inputs: frame.into_iter().collect(), found: Some(found) }
    }

    fn lane(seq: u64, confidence: f32) -> Found {
        let estimate = LaneEstimate { confidence, source: LaneSource::Model, ..LaneEstimate::default() };
        Found { lanes: vec![(StableId::new(CAMERA, seq), estimate)], ..Found::default() }
    }

    fn play(ticks: &[TickFindings]) -> Vec<Scene> {
        let mut director = Director::new(CAMERA, &[]);
        let mut scenes: Vec<Scene> = ticks.iter().flat_map(|tick| director.tick(tick)).collect();
        scenes.extend(director.finish());
        scenes
    }

    #[test]
    fn a_result_lies_on_the_picture_that_it_is_of() {
        let mut ticks: Vec<TickFindings> = (0..20).map(|n| tick(n, Some(n + 1), Found::default())).collect();
        // Of the second picture, half a second later.
        ticks[6].found = Some(lane(2, 0.5));
        let scenes = play(&ticks);
        assert_eq!(scenes.len(), 20);
        let seen: Vec<bool> = scenes.iter().map(|scene| scene.lane.is_some()).collect();
        // Not on the first, on the second and those behind it, until it is stale.
        let expected: Vec<bool> = (0..20).map(|n| (1..=16).contains(&n)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_time_goes_on_without_pictures() {
        let mut ticks = vec![tick(0, Some(1), Found::default())];
        ticks.extend((1..60).map(|n| tick(n, None, Found::default())));
        ticks.push(tick(60, Some(2), Found::default()));
        let times: Vec<u128> = play(&ticks).iter().map(|scene| scene.since_start.as_millis()).collect();
        assert_eq!(times, [0, 1000, 2000, 3000, 4000, 5000, 6000]);
        let pictures: Vec<bool> = play(&ticks).iter().map(|scene| scene.jpeg.is_some()).collect();
        assert_eq!(pictures, [true, false, false, false, false, false, true]);
    }
}
