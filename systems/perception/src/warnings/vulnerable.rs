//! Vulnerable road users: a person or a bicycle that is in the path, or walks into it, within reach at low speed.
//!
//! Whoever is beside the path counts where the last second of looks shows a walk that ends in it when the vehicle is
//! there; in bends, where everything seems to move sideways, only who is in the path counts. Whoever leaves the path in
//! time is not cautioned about.

use waywarden_components::prelude::*;

use super::collision::{agreeing_range, name, reached_in};
use super::episode::{Finding, Verdict};
use super::scene::{Threat, View};
use super::settings::WarningSettings;
use super::watch::{Ballot, Vote, Watch, Watches, Word};

/// A look is plain below this share of the threshold.
const PLAIN: f32 = 0.7;
/// A warning goes on up to this share above the time to look.
const HOLD: f32 = 1.3;
/// Least closing speed in m/s.
const LEAST_CLOSING_MPS: f32 = 1.0;
/// A walk is watched for so many seconds, is at least so fast, in m/s, and so many times its error.
const WALK_WINDOW_S: f64 = 1.0;
const WALK_MPS: f32 = 0.5;
/// Nobody is faster on foot, and on two wheels, in m/s: Euro NCAP's adult runs at 2.2 across the road, its cyclist rides at 5.6.
const FASTEST_MPS: (f32, f32) = (3.0, 6.0);
const WALK_ERRORS: f32 = 3.0;
/// Farther beside than this nobody walks into the path in time, in metres.
const BESIDE_M: f32 = 6.0;
/// Room that is left beside the vehicle, in metres.
const ROOM_M: f32 = 0.3;
/// Straighter than this, in 1/m, the road must be for a walk to be seen.
const STRAIGHT_PER_M: f32 = 1.0 / 400.0;
/// Own deceleration below this is none, in m/s².
const OWN_BRAKING_MPS2: f32 = 0.7;

/// Judges who is ahead.
pub(super) fn judge(settings: &WarningSettings, view: &View, watches: &mut Watches) -> Verdict {
    let s = &settings.vulnerable_road_user;
    let mut worst: Option<(AlertLevel, f32, &Threat)> = None;
    let mut held: Option<(f32, &Threat)> = None;
    for &threat in &view.objects {
        let Some(watch) = watches.of(threat.id) else { continue };
        let reached = reached(settings, view, threat, watch);
        let vote = reached.map(|seconds| {
            let near = threat.motion.distance_m <= s.near_m && threat.motion.in_path;
            let caution = Word::below(seconds, s.caution_s, PLAIN).max(if near { Word::Yes } else { Word::No });
            Vote { caution, warning: Word::below(seconds, s.warning_s, PLAIN) }
        });
        watch.vote(Ballot::Vulnerable, vote.unwrap_or_default());
        let Some(seconds) = reached else { continue };
        if seconds <= HOLD * s.caution_s && held.is_none_or(|(before, _)| seconds < before) {
            held = Some((seconds, threat));
        }
        let Some(level) = watch.agreed(Ballot::Vulnerable) else { continue };
        if worst.is_none_or(|(l, before, _)| level > l || (level == l && seconds < before)) {
            worst = Some((level, seconds, threat));
        }
    }
    let mut finding = |level, seconds: f32, threat: &Threat| {
        let m = &threat.motion;
        let place = if m.in_path { "ahead" } else { "walking into the path" };
        let text = format!("{} {place}: {:.0} m, {seconds:.1} s", name(threat.class), m.distance_m.max(0.0));
        let mut evidence = vec![threat.id, threat.evidence];
        evidence.extend(watches.of(threat.id).iter().flat_map(|w| w.frames(Ballot::Vulnerable)));
        evidence.extend(agreeing_range(view, m.distance_m));
        Finding::new(level, text, evidence)
    };
    match (worst, held) {
        (Some((level, seconds, threat)), _) => Verdict::Warn(finding(level, seconds, threat)),
        (None, Some((seconds, threat))) => Verdict::Hold(finding(AlertLevel::Caution, seconds, threat)),
        (None, None) => Verdict::Clear("nobody is in or near the path any more"),
    }
}

/// When somebody who is, or will be, in the path is reached, in seconds; none for who is not.
fn reached(settings: &WarningSettings, view: &View, threat: &Threat, watch: &Watch) -> Option<f32> {
    let m = &threat.motion;
    let someone = matches!(threat.class, ObjectClass::Person | ObjectClass::Bicycle) && threat.confirmed;
    let near = m.distance_m <= settings.vulnerable_road_user.reach_m && m.closing_mps >= LEAST_CLOSING_MPS;
    if !someone || !near {
        return None;
    }
    let own = if view.braking_mps2 >= OWN_BRAKING_MPS2 { view.braking_mps2 } else { 0.0 };
    let own_mps = view.speed_mps.unwrap_or(0.0);
    let seconds = reached_in(m.distance_m, m.closing_mps, own_mps, own, 0.0)?;
    let half_path = settings.vehicle_width_m / 2.0 + m.width_m.min(1.0) / 2.0 + ROOM_M;
    let walk = watch.sideways(WALK_WINDOW_S).map(|(rate, error)| (rate, error.max(0.01 * m.distance_m)));
    let walk = walk.filter(|&(rate, error)| {
        // Who stands seems to walk as the vehicle turns.
        let least = WALK_MPS + own_mps * view.most_curvature_per_m() * m.distance_m;
        let most = if threat.class == ObjectClass::Person { FASTEST_MPS.0 } else { FASTEST_MPS.1 };
        (least..=most).contains(&rate.abs()) && rate.abs() >= WALK_ERRORS * error
    });
    let walk = walk.filter(|_| view.most_curvature_per_m() <= STRAIGHT_PER_M);
    let then_m = m.left_m + walk.map_or(0.0, |(rate, _)| rate) * seconds;
    // If it walks slower than it seems to, by the error of that, it comes there all the same.
    let slower_m = m.left_m + walk.map_or(0.0, |(rate, error)| rate - error * rate.signum()) * seconds;
    let counts = if m.in_path {
        walk.is_none() || then_m.abs() <= half_path + 0.5 || seconds <= settings.vulnerable_road_user.warning_s
    } else {
        walk.is_some() && m.left_m.abs() <= BESIDE_M && then_m.abs().max(slower_m.abs()) <= half_path
    };
    counts.then_some(seconds)
}
