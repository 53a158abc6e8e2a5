//! The classical lane estimator: lanes without a model, or the word that there are none.
//!
//! 1. ridges ([`ridges`](super::ridges)): bright lines on darker road in a half-size grey picture, a pure function of the frame;
//! 2. [`evidence`]: where they are on the road, as far as the pitch is known, and whether they are as wide as paint;
//! 3. [`search`]: when no lane is known, marks vote for one; pitches are tried in turn, a few in every look;
//! 4. [`fit`]: both lines, slope, curvature and the nod of the camera at once, from where the lane was before;
//! 5. [`support`]: whether what was fitted is there: paint along both lines, and none between them;
//! 6. here: trust grows look by look and is lost faster than it grows. Only a trusted lane is claimed.
//!
//! The mounting pitch is learnt on the way, slowly and within bounds, because cameras of imported clips have none. Yaw,
//! height and field of view are believed.

pub mod evidence;
pub mod fit;
pub mod search;
pub mod support;

use waywarden_components::prelude::*;

use super::{paint, shape};
use evidence::Evidence;
use fit::{Fit, Prior};
use support::Support;

/// Farthest that the camera may point off what the config says, in radians: nearly 7 degrees.
pub(super) const MOST_PITCH_RAD: f64 = 0.12;
/// Pitches that are tried, on either side, and how far apart: they reach as far.
const PITCHES: i32 = 9;
pub(super) const PITCH_STEP_RAD: f64 = MOST_PITCH_RAD / PITCHES as f64;
/// They are tried in every so manieth look, which is the dearest thing done here, and the best is believed when the one
/// before was nearly the same.
const TRIAL_LOOKS: u64 = 4;
const SAME_PITCH_RAD: f64 = 0.01;
/// Looks from which pitch and width are as well known as they can be: so little does a new one count.
const MOST_LEARNT: u32 = 60;
/// Looks before they are known well enough for a lane to be claimed.
pub(super) const LEAST_LEARNT: u32 = 6;
/// Share of its usual width by which a lane may differ from it.
const ODD_WIDTH: f64 = 0.12;
/// Without a sight of a lane they are forgotten after so many seconds, and one for each look they were learnt from.
const UNLEARN_S: f64 = 3.0;
/// What a lane's width is taken for before it is known, with its standard deviation, in metres.
pub(super) const USUAL_WIDTH_M: (f64, f64) = (3.6, 0.5);
/// Without a sight of it for so long, in seconds, a lane is forgotten.
const FORGET_S: f64 = 1.0;
/// Trust that a good look adds, and a bad one takes away.
const TRUST: (f32, f32) = (0.2, 0.3);
/// Trust from which a lane is claimed, and below which it no longer is.
const CLAIM: (f32, f32) = (0.79, 0.35);
/// So far must the vehicle's middle be beyond a line to be in the next lane, in metres: on the line nothing flickers.
const ON_LINE_M: f64 = 0.03;

/// Looks at a frame, given its ridges, and says what is claimed of it. `size` is the frame's in pixels.
pub fn look(
    tracker: &mut LaneTracker,
    features: &LaneFeatures,
    geometry: &CameraGeometry,
    size: (u32, u32),
    captured: Mono,
) -> LaneEstimate {
    tracker.looked += 1;
    let nothing = LaneEstimate { source: LaneSource::Classical, ..LaneEstimate::default() };
    forget(tracker, captured);
    let found = if tracker.learnt == 0 {
        try_pitches(tracker, features, geometry);
        None
    } else {
        let found = follow(tracker, features, geometry, captured).or_else(|| find(tracker, features, geometry));
        found.map(|(fit, support)| (Fit { shape: beside(fit.shape, geometry), ..fit }, support))
    };
    let mut odd = false;
    let change = match found {
        Some((fit, support)) => {
            odd = is_odd(tracker, &fit);
            let quality = if odd { 0.3 } else { support.quality() as f32 };
            let since = tracker.seen.map_or(0.1, |seen| captured.since(seen).as_secs_f64());
            take(tracker, &fit, captured);
            paint::look(tracker, features, geometry, captured, since.min(FORGET_S));
            if quality >= 0.5 { TRUST.0 * quality } else { TRUST.1 * (quality - 0.5) }
        }
        None => -TRUST.1,
    };
    tracker.trust = (tracker.trust + change).clamp(0.0, 1.0);
    let threshold = if tracker.claimed { CLAIM.1 } else { CLAIM.0 };
    tracker.claimed = tracker.trust >= threshold && tracker.learnt >= LEAST_LEARNT;
    let (true, Some((fit, _))) = (tracker.claimed && !odd, found) else { return nothing };
    tracker.claims += 1;
    let (left, right) = shape::draw(&fit.shape, geometry, tracker.pitch_rad + fit.nod_rad, size);
    // It judges both lines together.
    let sight = |line| LineSight { confidence: tracker.trust, seen: true, kind: paint::of(line) };
    LaneEstimate {
        left: Some(left),
        right: Some(right),
        confidence: tracker.trust,
        geometry: Some(shape::measure(&fit.shape, geometry)),
        source: LaneSource::Classical,
        left_line: sight(&tracker.left),
        right_line: sight(&tracker.right),
    }
}

/// Forgets a lane that has not been seen for a while, and later what was learnt from it.
pub(super) fn forget(tracker: &mut LaneTracker, captured: Mono) {
    let Some(seen) = tracker.seen else { return };
    let since = captured.since(seen).as_secs_f64();
    if since > FORGET_S {
        tracker.shape = None;
    }
    if since > UNLEARN_S + f64::from(tracker.learnt) {
        *tracker = LaneTracker {
            latest: tracker.latest,
            looked: tracker.looked,
            claims: tracker.claims,
            ..LaneTracker::default()
        };
    }
}

/// Whether a lane is not as wide as it usually is.
pub(super) fn is_odd(tracker: &LaneTracker, fit: &Fit) -> bool {
    let width_m = fit.shape.left_m - fit.shape.right_m;
    tracker.learnt >= LEAST_LEARNT && (width_m - tracker.width_m).abs() > ODD_WIDTH * tracker.width_m
}

/// The lane where it was, a little on.
fn follow(
    tracker: &LaneTracker,
    features: &LaneFeatures,
    geometry: &CameraGeometry,
    captured: Mono,
) -> Option<(Fit, Support)> {
    let shape = tracker.shape?;
    let since = captured.since(tracker.seen?).as_secs_f64();
    let nod = if tracker.learnt < LEAST_LEARNT { 0.008 } else { 0.004 };
    let sigma = [0.06 + 1.0 * since, 0.06 + 1.0 * since, 0.004 + 0.06 * since, 1e-4 + 2e-3 * since, nod];
    let prior = Prior::independent(shape, sigma, width(tracker, 0.15));
    let evidence = Evidence::of(features, geometry, tracker.pitch_rad)?;
    let (fit, support) = fitted(&evidence, &prior, 4.0, geometry)?;
    (support.quality() > 0.25).then_some((fit, support))
}

/// What the width of the lane is believed to be, with a standard deviation of `known` when it is known.
pub(super) fn width(tracker: &LaneTracker, known: f64) -> (f64, f64) {
    if tracker.learnt >= LEAST_LEARNT { (tracker.width_m, known) } else { USUAL_WIDTH_M }
}

/// The lane in which the middle of the vehicle's front bumper is: the next one, when it has crossed a line.
pub(super) fn beside(mut shape: LaneShape, geometry: &CameraGeometry) -> LaneShape {
    let (width, bumper) = (shape.left_m - shape.right_m, geometry.bumper_m);
    let there = shape.slope * bumper + shape.curvature_per_m * bumper * bumper / 2.0;
    let middle_m = -geometry.left_m - there;
    if shape.left_m < middle_m - ON_LINE_M {
        (shape.left_m, shape.right_m) = (shape.left_m + width, shape.left_m);
    } else if shape.right_m > middle_m + ON_LINE_M {
        (shape.left_m, shape.right_m) = (shape.right_m, shape.right_m - width);
    }
    shape
}

/// A lane from nothing, with the pitch that is known.
fn find(tracker: &LaneTracker, features: &LaneFeatures, geometry: &CameraGeometry) -> Option<(Fit, Support)> {
    let found = searched(tracker.pitch_rad, 0.006, width(tracker, 0.3), features, geometry);
    found.filter(|(_, support)| support.quality() >= 0.5)
}

/// Tries all pitches every few looks.
fn try_pitches(tracker: &mut LaneTracker, features: &LaneFeatures, geometry: &CameraGeometry) {
    if tracker.looked % TRIAL_LOOKS == 1 {
        try_all(tracker, |pitch| {
            let (fit, support) = searched(pitch, PITCH_STEP_RAD, USUAL_WIDTH_M, features, geometry)?;
            (support.quality() >= 0.5).then_some(fit)
        });
    }
}

/// Tries all pitches; `searched` gives the lane that is found with one of them. The best is taken to be known if it was the
/// best the last time too, or is what the config says.
pub(super) fn try_all(tracker: &mut LaneTracker, searched: impl Fn(f64) -> Option<Fit>) {
    let mut best: Option<(f64, f64)> = None;
    for n in -PITCHES..=PITCHES {
        let pitch = f64::from(n) * PITCH_STEP_RAD;
        if let Some(fit) = searched(pitch)
            && best.is_none_or(|(_, explained)| fit.explained > explained)
        {
            best = Some((pitch + fit.nod_rad, fit.explained));
        }
    }
    let now = best.map(|(pitch, _)| pitch.clamp(-MOST_PITCH_RAD, MOST_PITCH_RAD));
    // What the config says is as good as a trial.
    let before = tracker.candidate_rad.unwrap_or(0.0);
    if let Some(now) = now.filter(|now| (now - before).abs() <= SAME_PITCH_RAD) {
        (tracker.pitch_rad, tracker.learnt) = (now, 1);
    }
    tracker.candidate_rad = now;
}

/// A lane that the marks vote for, with this pitch, give or take.
fn searched(
    pitch: f64,
    give: f64,
    width_m: (f64, f64),
    features: &LaneFeatures,
    geometry: &CameraGeometry,
) -> Option<(Fit, Support)> {
    let evidence = Evidence::of(features, geometry, pitch)?;
    let shape = search::search(&evidence.marks, -geometry.left_m, None)?;
    let prior = Prior::independent(shape, [0.4, 0.4, 0.02, 2e-3, give], width_m);
    fitted(&evidence, &prior, 6.0, geometry)
}

/// A lane that is fitted to the marks and can be one, and what speaks for it.
fn fitted(evidence: &Evidence, prior: &Prior, gate: f64, geometry: &CameraGeometry) -> Option<(Fit, Support)> {
    let fit = fit::fit(evidence, prior, gate).filter(|fit| shape::is_believable(&fit.shape, geometry))?;
    Some((fit, support::of(evidence, &fit)?))
}

/// Takes a lane over, and learns from it.
pub(super) fn take(tracker: &mut LaneTracker, fit: &Fit, captured: Mono) {
    tracker.shape = Some(fit.shape);
    tracker.seen = Some(captured);
    let share = 1.0 / f64::from(tracker.learnt.max(1));
    tracker.learnt = (tracker.learnt + 1).min(MOST_LEARNT);
    tracker.width_m += share * (fit.shape.left_m - fit.shape.right_m - tracker.width_m);
    let pitch = tracker.pitch_rad + share * fit.nod_rad;
    tracker.pitch_rad = pitch.clamp(-MOST_PITCH_RAD, MOST_PITCH_RAD);
}
