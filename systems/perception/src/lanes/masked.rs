//! Lanes from the masks of a segmentation model: both lines followed over time, each with a confidence of its own.
//!
//! 1. [`marks`]: runs of line pixels, row by row, on the road as far as the pitch is known;
//! 2. no lane known: a search from above (`classical::search`), pitches tried in turn as long as none is known;
//! 3. a lane known: the fit (`classical::fit`) from where it must be by now, which time decides and not the number of looks; where
//!    the vehicle's speed is known, that ties heading to drift (`motion`);
//! 4. [`sight`]: for each line, whether there is paint along it, and road on the lane's side of it;
//! 5. here: confidence of each line. A line that is not seen is kept for a while, where the other one and the usual width
//!    put it; one that nothing is seen of is lost, and with it the lane. Two unseen lines are no lane at once;
//! 6. [`paint`]: solid or dashed, as far as gaps tell.
//!
//! What has the wrong width is not taken for the lane until it has been there for [`ODD_S`] seconds without the usual one:
//! a barrier or a seam in the concrete is as straight as a line.

pub mod marks;
mod motion;
pub mod sight;

use waywarden_components::prelude::*;

use super::classical::evidence::Evidence;
use super::classical::fit::{self, Fit, Prior};
use super::classical::{self, search};
use super::{paint, shape};
use marks::Runs;
use motion::Predicted;
use sight::{Sight, Sights};

/// Looks before pitch and width are known well enough for a lane to be claimed.
const LEAST_LEARNT: u32 = 2;
/// Confidence from which both lines are claimed, and below which one of them ends the claim.
const CLAIM: (f32, f32) = (0.6, 0.3);
/// A line that is seen becomes fully sure in so many seconds, and by no less and no more than this in a look: two or three looks
/// that agree are enough, one is not.
const SURE_S: f64 = 0.4;
const RISE: (f64, f64) = (0.25, 0.4);
/// A sure line that is not seen is at 0 after so many seconds.
const KEEP_S: f64 = 1.5;
/// Longest time that counts between two looks, in seconds.
const LONGEST_S: f64 = 1.0;
/// Speeds at which what a vehicle heads for it comes nearer to, in m/s: slower ones are not known well enough.
const SPEEDS_MPS: std::ops::RangeInclusive<f64> = 2.0..=100.0;
/// Time over which the drift of the lines is averaged, in seconds, and the fastest that is believed, in m/s.
const DRIFT_S: f64 = 0.5;
const FASTEST_MPS: f64 = 1.5;
/// Share of its usual width by which a lane that is found may differ from it: less than to a barrier right beside a line.
const ODD_WIDTH: f64 = 0.07;
/// A lane that is not as wide as usual is believed after so many seconds in which the usual one was not there.
pub const ODD_S: f64 = 4.0;
/// Shares of the rows in which both lines together are seen at least when a lane is found anew, and of the marks around each
/// line that are on it. More where the pitch is not known: with any pitch something can be made of anything.
const FOUND: (f64, f64) = (0.45, 0.4);
const TRIED: (f64, f64) = (0.6, 0.8);
/// Marks are only of a line that is followed if they are so near to where it must be, in metres: this; and more for each
/// second since it was seen, and each metre before the lens.
const NEAR_M: (f64, f64, f64) = (0.15, 0.25, 0.004);
/// As long as the pitch is hardly known.
const NEAR_UNKNOWN: f64 = 2.5;
/// A lane that is followed is no farther from where it must be, in metres, and in metres for each second since it was seen:
/// no vehicle moves aside faster, but a fit does that goes over to another line.
const ASIDE_M: (f64, f64) = (0.12, 0.4);
/// That is compared at this distance before the lens, in metres, which all pictures show.
const COMPARED_M: f64 = 10.0;

/// A lane in a picture.
#[derive(Clone, Copy, Debug)]
struct Found {
    fit: Fit,
    /// How far the camera was assumed to point below what its geometry says, for the fit.
    pitch_rad: f64,
    sights: Sights,
    /// How sure it is, where the vehicle's speed is known.
    doubt: Option<LaneDoubt>,
    /// Whether it is where the lane was before, rather than one found anew.
    followed: bool,
}

/// What is looked at.
struct Scene<'a> {
    runs: Runs,
    /// Pixels of the drivable mask; none where there is none.
    road: Vec<u8>,
    masks: &'a RoadMasks,
    geometry: &'a CameraGeometry,
    size: (u32, u32),
    /// In m/s, where it is known.
    speed_mps: Option<f64>,
    /// How sure the lane was.
    before: Option<LaneDoubt>,
}

/// Looks at the masks of a frame of `size` pixels, and says what is claimed of it. `speed_mps` is how fast the vehicle is, where
/// that is known.
pub fn look(
    tracker: &mut LaneTracker,
    masks: &RoadMasks,
    geometry: &CameraGeometry,
    size: (u32, u32),
    (captured, speed_mps): (Mono, Option<f64>),
) -> LaneEstimate {
    let speed_mps = speed_mps.filter(|speed| SPEEDS_MPS.contains(speed));
    let since = tracker.masked.map_or(0.1, |before| captured.since(before).as_secs_f64()).min(LONGEST_S);
    tracker.looked += 1;
    classical::forget(tracker, captured);
    tracker.masked = tracker.masked.max(Some(captured));
    let found =
        Scene::new(masks, geometry, size, (speed_mps, tracker.doubt)).and_then(|scene| scene.look(tracker, captured));
    if let Some(found) = &found {
        learn(tracker, found, geometry, since, (captured, speed_mps));
    }
    let nothing = LaneEstimate { source: LaneSource::Model, ..LaneEstimate::default() };
    let Some(found) = found else {
        for line in [&mut tracker.left, &mut tracker.right] {
            line.confidence = fallen(line.confidence, 2.0 * since);
        }
        tracker.claimed &= tracker.left.confidence.min(tracker.right.confidence) >= CLAIM.1;
        return nothing;
    };
    let confidence = tracker.left.confidence.min(tracker.right.confidence);
    let threshold = if tracker.claimed { CLAIM.1 } else { CLAIM.0 };
    tracker.claimed = confidence >= threshold && tracker.learnt >= LEAST_LEARNT;
    let (true, Some(lane)) = (tracker.claimed, tracker.shape) else { return nothing };
    tracker.claims += 1;
    // The lane may be the next one by now, of which the sights are not.
    let moved = lane.left_m != found.fit.shape.left_m;
    let (left, right) = shape::draw(&lane, geometry, found.pitch_rad + found.fit.nod_rad, size);
    let sight = |line: &LineTrack, sight: &Sight| LineSight {
        confidence: line.confidence,
        seen: sight.is_seen() && !moved,
        kind: paint::of(line),
    };
    LaneEstimate {
        left: Some(left),
        right: Some(right),
        confidence,
        geometry: Some(shape::measure(&lane, geometry)),
        source: LaneSource::Model,
        left_line: sight(&tracker.left, &found.sights.left),
        right_line: sight(&tracker.right, &found.sights.right),
    }
}

fn fallen(confidence: f32, seconds: f64) -> f32 {
    (confidence - (seconds / KEEP_S) as f32).max(0.0)
}

impl<'a> Scene<'a> {
    fn new(
        masks: &'a RoadMasks,
        geometry: &'a CameraGeometry,
        size: (u32, u32),
        (speed_mps, before): (Option<f64>, Option<LaneDoubt>),
    ) -> Option<Self> {
        let runs = Runs::of(&masks.lines, size)?;
        Some(Self { runs, road: masks.drivable.decode(), masks, geometry, size, speed_mps, before })
    }

    fn look(&self, tracker: &mut LaneTracker, captured: Mono) -> Option<Found> {
        if tracker.learnt == 0 {
            let widths = classical::USUAL_WIDTH_M;
            classical::try_all(tracker, |pitch| {
                let found = self.searched(pitch, classical::PITCH_STEP_RAD, widths)?;
                found.sights.is_clear(TRIED).then_some(found.fit)
            });
        }
        if tracker.learnt == 0 {
            return None;
        }
        let followed = self.follow(tracker, captured);
        // A lane with a line that has not been seen for a while may be another one.
        let doubtful =
            |found: &Found| !found.sights.both() && tracker.left.confidence.min(tracker.right.confidence) < 0.5;
        match followed {
            Some(found) if !doubtful(&found) => {
                tracker.odd = tracker.odd.filter(|_| !found.sights.both());
                Some(found)
            }
            followed => self.find(tracker, captured).or(followed),
        }
    }

    /// The lane where it must be by now.
    fn follow(&self, tracker: &LaneTracker, captured: Mono) -> Option<Found> {
        let before = tracker.shape?;
        let since = captured.since(tracker.seen?).as_secs_f64();
        let known = tracker.learnt >= classical::LEAST_LEARNT;
        let (nod, width_m) = (if known { 0.004 } else { 0.01 }, classical::width(tracker, 0.06));
        let speed = tracker.doubt.as_ref().zip(self.speed_mps);
        let predicted = speed.map(|(doubt, speed_mps)| Predicted::new(&before, doubt, speed_mps, since));
        let prior = predicted.as_ref().and_then(|predicted| predicted.prior(nod, width_m));
        let prior = prior.unwrap_or_else(|| {
            let drift = tracker.drift_mps * since;
            let shape = LaneShape { left_m: before.left_m + drift, right_m: before.right_m + drift, ..before };
            let aside = 0.04 + 0.25 * since;
            let sigma = [aside, aside, 0.004 + 0.05 * since, 1e-4 + 1.5e-3 * since, nod];
            Prior::independent(shape, sigma, width_m)
        });
        let shape = prior.shape;
        // The longer ago, the farther off it may be.
        let gate = if known { 2.5 + since.min(1.0) } else { 5.0 };
        let all = self.runs.evidence(self.geometry, tracker.pitch_rad)?;
        let mut evidence = all.clone();
        let wider = if known { 1.0 } else { NEAR_UNKNOWN };
        evidence.marks.retain(|mark| {
            let expected = Fit { shape, nod_rad: 0.0, explained: 0.0, information: prior.information };
            let off = |left_m| (mark.slope - expected.bearing(left_m, mark.nearness, &evidence.plane)).abs();
            let near_m = NEAR_M.0 + NEAR_M.1 * since + NEAR_M.2 / mark.nearness;
            off(shape.left_m).min(off(shape.right_m)) <= wider * near_m * mark.nearness
        });
        let found = self.fitted(tracker.pitch_rad, (&evidence, &all), &prior, gate)?;
        let at = |shape: &LaneShape| {
            shape.left_m + shape.slope * COMPARED_M + shape.curvature_per_m * COMPARED_M * COMPARED_M / 2.0
        };
        if (at(&found.fit.shape) - at(&shape)).abs() > wider * (ASIDE_M.0 + ASIDE_M.1 * since) {
            return None;
        }
        let doubt = match &predicted {
            Some(predicted) => predicted.learnt(&found.fit),
            None => found.doubt,
        };
        (found.sights.left.is_seen() || found.sights.right.is_seen()).then_some(Found {
            followed: true,
            doubt,
            ..found
        })
    }

    /// A lane from nothing, with the pitch that is known.
    fn find(&self, tracker: &mut LaneTracker, captured: Mono) -> Option<Found> {
        let width_m = classical::width(tracker, 0.3);
        let found = self.searched(tracker.pitch_rad, 0.006, width_m)?;
        if !found.sights.is_clear(FOUND) {
            return None;
        }
        let width = found.fit.shape.left_m - found.fit.shape.right_m;
        let known = tracker.learnt >= classical::LEAST_LEARNT;
        if !known || (width - tracker.width_m).abs() <= ODD_WIDTH * tracker.width_m {
            tracker.odd = None;
            return Some(found);
        }
        let before = tracker.odd.filter(|(_, before)| (width - before).abs() < 0.1 * width);
        let first = before.map_or(captured, |(first, _)| first);
        tracker.odd = Some((first, width));
        if captured.since(first).as_secs_f64() < ODD_S {
            return None;
        }
        tracker.odd = None;
        (tracker.width_m, tracker.learnt) = (width, classical::LEAST_LEARNT);
        Some(found)
    }

    /// A lane that the marks vote for, with this pitch, give or take.
    fn searched(&self, pitch: f64, give: f64, width_m: (f64, f64)) -> Option<Found> {
        let evidence = self.runs.evidence(self.geometry, pitch)?;
        let shape = search::search(&evidence.marks, -self.geometry.left_m, Some(width_m))?;
        let prior = Prior::independent(shape, [0.4, 0.4, 0.02, 2e-3, give], width_m);
        self.fitted(pitch, (&evidence, &evidence), &prior, 5.0)
    }

    /// A lane that is fitted to the first marks and can be one, and what is seen of its lines in the second ones: whether a
    /// line is clear, those say, too, that are not of it.
    fn fitted(&self, pitch: f64, marks: (&Evidence, &Evidence), prior: &Prior, gate: f64) -> Option<Found> {
        let fit = fit::fit(marks.0, prior, gate).filter(|fit| shape::is_believable(&fit.shape, self.geometry))?;
        let road = (!self.road.is_empty()).then_some((&self.masks.drivable, self.road.as_slice()));
        let sights = sight::of(marks.1, &self.runs, &fit, road, self.size)?;
        let doubt = self.speed_mps.and_then(|_| motion::begun(&fit, self.before.as_ref()));
        Some(Found { fit, pitch_rad: pitch, sights, doubt, followed: false })
    }
}

/// Takes a lane over, and learns from it.
fn learn(
    tracker: &mut LaneTracker,
    found: &Found,
    geometry: &CameraGeometry,
    since: f64,
    (captured, speed_mps): (Mono, Option<f64>),
) {
    let before = tracker.shape.zip(tracker.seen).filter(|_| found.followed);
    match before {
        Some((shape, seen)) => {
            let middle = |shape: &LaneShape| (shape.left_m + shape.right_m) / 2.0;
            let passed = captured.since(seen).as_secs_f64();
            let off = middle(&found.fit.shape) - middle(&shape) - tracker.drift_mps * passed;
            let drift = tracker.drift_mps + off / (passed + DRIFT_S);
            tracker.drift_mps = drift.clamp(-FASTEST_MPS, FASTEST_MPS);
        }
        None => {
            tracker.drift_mps = 0.0;
            // Trials of the pitch that agreed were a look that agreed.
            let confidence = if tracker.learnt == 1 { RISE.0 as f32 } else { 0.0 };
            tracker.left = LineTrack { confidence, solidity: 0.0 };
            tracker.right = tracker.left;
        }
    }
    tracker.doubt = found.doubt;
    if let (Some(doubt), Some(speed_mps)) = (&found.doubt, speed_mps) {
        tracker.drift_mps = (speed_mps * (found.fit.shape.slope - doubt.yaw_rad)).clamp(-FASTEST_MPS, FASTEST_MPS);
    }
    if found.sights.both() {
        classical::take(tracker, &found.fit, captured);
    } else {
        (tracker.shape, tracker.seen) = (Some(found.fit.shape), Some(captured));
    }
    for (line, sight) in [(&mut tracker.left, &found.sights.left), (&mut tracker.right, &found.sights.right)] {
        if sight.is_seen() {
            let rise = (since / SURE_S).clamp(RISE.0, RISE.1) * sight.quality();
            line.confidence = (line.confidence + rise as f32).min(1.0);
        } else {
            line.confidence = fallen(line.confidence, since);
        }
        paint::learn(line, sight.gaps, since);
    }
    move_over(tracker, geometry);
}

/// Goes over to the next lane, when the vehicle has crossed a line: that line is now the other one.
fn move_over(tracker: &mut LaneTracker, geometry: &CameraGeometry) {
    let Some(shape) = tracker.shape else { return };
    let beside = classical::beside(shape, geometry);
    // Of the new line nothing is known but where it must be.
    let guess = LineTrack { confidence: 0.5, solidity: 0.0 };
    if beside.left_m > shape.left_m {
        tracker.right = std::mem::replace(&mut tracker.left, guess);
        tracker.doubt = tracker.doubt.map(|doubt| motion::next(&doubt, true));
    } else if beside.left_m < shape.left_m {
        tracker.left = std::mem::replace(&mut tracker.right, guess);
        tracker.doubt = tracker.doubt.map(|doubt| motion::next(&doubt, false));
    }
    tracker.shape = Some(beside);
}

#[cfg(test)]
mod tests;
