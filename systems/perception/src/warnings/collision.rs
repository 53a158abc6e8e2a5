//! Forward collision, after ISO 15623: a vehicle in the path that will be reached in a time too short to wait.
//!
//! Three questions are asked of every confirmed vehicle in the path, at every look:
//!
//! * **When is it reached?** At constant closing speed that is the time to collision `d / c`. With what is known of
//!   brakes it is the enhanced time to collision of ISO 15623, the first root of `d = c·t + a·t²/2` with the relative
//!   acceleration `a`, here in pieces, since no vehicle brakes beyond its standstill ([`reached_in`]). The braking of
//!   the vehicle ahead is the slope of its speed over the last looks, counted only where it exceeds its own error; the
//!   own braking is believed: a driver who already brakes enough is not told to.
//! * **What deceleration would be needed** after the driver's reaction, `a₁ + c²/2d` (the required deceleration of
//!   ISO 15623)? Much of it makes a caution a warning: at high closing speeds 2.7 s are few.
//! * **Do looks agree?** Two of three, or one plainly; see [`Watch::agreed`].
//!
//! Left alone: what is not confirmed (bridges, signs), what is not in the path, what comes towards us (in bends it seems
//! to be in the path all the time), what no model knows as a vehicle unless the range finder feels it too, and, as far as
//! cautions go, what the driver is pulling out behind.

use waywarden_components::prelude::*;

use super::episode::{Finding, Verdict};
use super::scene::{Threat, View};
use super::settings::{CollisionSettings, WarningSettings};
use super::watch::{Ballot, Ranged, Vote, Watch, Watches, Word};

/// A look is plain below this share of the threshold.
const PLAIN: f32 = 0.7;
/// At this share of the time to act it is told though the driver brakes.
const WHATEVER: f32 = 0.5;
/// A warning goes on up to this share above the time to look.
const HOLD: f32 = 1.3;
/// Own deceleration below this is none, in m/s²: no more than its error.
const OWN_BRAKING_MPS2: f32 = 0.7;
/// What lies so far beside the path, in metres and as a share of its distance, is beside it.
const BESIDE_M: f32 = 0.2;
const BESIDE_SHARE: f32 = 0.005;
/// A bend is known to this share. What it may be off by at the other's distance is taken off: in bends the distant edge of
/// the road, where others are parked, lies ahead. What is this near to the path in metres, is in it whatever the bend.
const BEND_SHARE: f32 = 0.25;
const LEAST_M: f32 = 0.4;
/// The speed of the vehicle ahead is looked at over so many seconds to see that it brakes.
const BRAKING_WINDOW_S: f64 = 0.7;
/// So many times its error is taken off it.
const BRAKING_ERRORS: f32 = 2.2;
/// What comes towards us does so at least this fast over ground, in m/s.
const ONCOMING_MPS: f32 = 3.0;
/// Closing speeds less sure than this, in m/s and as a share of them, are still being learnt.
const LEARNING_MPS: f32 = 3.0;
const LEARNING_SHARE: f32 = 0.15;
/// What is slower than this over ground, in m/s, may stand: it is to be in the path for so long, in seconds, before it is time
/// to act.
const STANDS_MPS: f32 = 3.0;
const STANDS_S: f64 = 0.8;
/// Where the distance is taken for too short, what stands seems to move along with this share of the own speed.
const STANDS_SHARE: f32 = 0.35;
/// What may stand is run into when it overlaps the own vehicle by more than this, in metres: what is parked beside the lane
/// does not.
const OVERLAP_M: f32 = 0.35;
/// What stands moves across the path no faster than this in m/s, and with its distance as the vehicle turns in its lane, in radians
/// a second; looked at over so many seconds.
const ACROSS_MPS: f32 = 0.6;
const ACROSS_RADPS: f32 = 0.02;
const ACROSS_S: f64 = 0.8;
/// Below this own speed, in m/s, what may stand is not warned of earlier for doubt of its distance: towns are full of what
/// stands beside the path, and the way to a stop is short.
const TOWN_MPS: f32 = 50.0 / 3.6;
/// Vehicles do not brake harder than this, in m/s².
const MOST_BRAKING_MPS2: f32 = 9.0;

/// When `distance_m` is used up, in seconds; none if never. Both brake from now on, evenly and at most to standstill.
pub(super) fn reached_in(
    distance_m: f32,
    closing_mps: f32,
    own_mps: f32,
    own_braking: f32,
    lead_braking: f32,
) -> Option<f32> {
    let lead_mps = own_mps - closing_mps;
    let stops_in = |speed: f32, braking: f32| if braking > 0.0 && speed > 0.0 { speed / braking } else { 0.0 };
    let (own_stops, lead_stops) = (stops_in(own_mps, own_braking), stops_in(lead_mps, lead_braking));
    let (mut gap, mut closing, mut passed) = (distance_m.max(0.0), closing_mps, 0.0);
    for until in [own_stops.min(lead_stops), own_stops.max(lead_stops), f32::INFINITY] {
        let own = if passed < own_stops { own_braking } else { 0.0 };
        let lead = if passed < lead_stops { lead_braking } else { 0.0 };
        let relative = lead - own;
        let length = until - passed;
        let root = (closing * closing + 2.0 * relative * gap).max(-1.0).sqrt();
        let reached = 2.0 * gap / (closing + root);
        if root.is_finite() && closing + root > 0.0 && reached <= length {
            return Some(passed + reached).filter(|t| t.is_finite());
        }
        if !length.is_finite() {
            return None;
        }
        gap = (gap - closing * length - relative * length * length / 2.0).max(0.0);
        closing += relative * length;
        passed = until;
    }
    None
}

/// What is known of a vehicle ahead.
#[derive(Clone, Copy, Debug)]
struct Course {
    /// When it is reached with all brakes that are known.
    reached_s: f32,
    /// Whether it counts for a new warning, not only for one that goes on.
    counts: bool,
    vote: Vote,
    braking: bool,
}

/// Judges what is ahead. `changing` says that the vehicle is leaving its lane quickly.
pub(super) fn judge(
    settings: &WarningSettings,
    view: &View,
    watches: &mut Watches,
    ranged: Option<&Ranged>,
    changing: bool,
) -> Verdict {
    let own_mps = view.speed_mps.unwrap_or(0.0);
    if view.look.is_none() || view.conditions.detection.is_err() || view.conditions.cameras.is_err() {
        return by_range(&settings.forward_collision, view, own_mps, ranged);
    }
    let mut worst: Option<(AlertLevel, f32, &Threat, bool)> = None;
    let mut held: Option<(f32, &Threat, bool)> = None;
    for &threat in &view.objects {
        let Some(watch) = watches.of(threat.id) else { continue };
        let course = course(settings, view, own_mps, threat, watch);
        watch.vote(Ballot::Collision, course.map(|c| c.vote).unwrap_or_default());
        let Some(course) = course else { continue };
        if held.is_none_or(|(s, ..)| course.reached_s < s) {
            held = Some((course.reached_s, threat, course.braking));
        }
        let level =
            watch.agreed(Ballot::Collision).filter(|l| course.counts && (*l > AlertLevel::Caution || !changing));
        let Some(level) = level else { continue };
        if worst.is_none_or(|(l, s, ..)| level > l || (level == l && course.reached_s < s)) {
            worst = Some((level, course.reached_s, threat, course.braking));
        }
    }
    let mut finding = |level, seconds, threat: &Threat, braking| {
        let mut evidence = vec![threat.id, threat.evidence];
        evidence.extend(watches.of(threat.id).iter().flat_map(|w| w.frames(Ballot::Collision)));
        evidence.extend(agreeing_range(view, threat.motion.distance_m));
        Finding::new(level, text(threat, seconds, braking), evidence)
    };
    match (worst, held) {
        (Some((level, seconds, threat, braking)), _) => Verdict::Warn(finding(level, seconds, threat, braking)),
        (None, Some((seconds, threat, braking))) => {
            Verdict::Hold(finding(AlertLevel::Caution, seconds, threat, braking))
        }
        (None, None) => Verdict::Clear("nothing ahead comes near any more"),
    }
}

/// The reading that says the same as a track, if there is one.
pub(super) fn agreeing_range(view: &View, distance_m: f32) -> Option<StableId> {
    let range = view.range?;
    ((range.distance_m - distance_m).abs() <= 1.0 + 0.1 * distance_m).then_some(range.id)
}

/// Whether something of this class and speed can be run into.
fn matters(settings: &WarningSettings, own_mps: f32, threat: &Threat) -> bool {
    let m = &threat.motion;
    let solid = match threat.class {
        ObjectClass::Person | ObjectClass::Bicycle => own_mps > settings.vulnerable_road_user.most_speed_kmh / 3.6,
        ObjectClass::Other(_) => m.sources.range,
        _ => true,
    };
    // What stands comes as fast as we go.
    let oncoming = m.closing_mps > own_mps + (2.0 * m.closing_sigma_mps).max(ONCOMING_MPS);
    solid && threat.confirmed && m.in_path && !oncoming
}

fn course(settings: &WarningSettings, view: &View, own_mps: f32, threat: &Threat, watch: &Watch) -> Option<Course> {
    if !matters(settings, own_mps, threat) {
        return None;
    }
    let s = &settings.forward_collision;
    let m = &threat.motion;
    let (gap, closing) = (m.distance_m.max(0.0), m.closing_mps);
    let slowing = watch.braking(BRAKING_WINDOW_S).filter(|_| m.closing_sigma_mps < LEARNING_MPS);
    let slowing = slowing.filter(|_| watch.long_in_path(BRAKING_WINDOW_S));
    let lead = slowing.map_or(0.0, |(braking, error)| {
        let sure = braking - BRAKING_ERRORS * error.max(m.closing_sigma_mps / 2.0);
        if sure >= s.lead_braking_mps2 { sure.min(MOST_BRAKING_MPS2) } else { 0.0 }
    });
    let nears = closing - m.closing_sigma_mps >= s.least_closing_mps.min(2.0 * m.closing_sigma_mps);
    let half_m = (settings.vehicle_width_m + m.width_m.min(2.6)) / 2.0;
    let unsure_m = BEND_SHARE * view.curvature_per_m * gap * gap / 2.0;
    // What stands at the edge of the road lies ahead for a moment where a bend begins.
    let stands = closing + m.closing_sigma_mps.max(STANDS_MPS) >= own_mps;
    let may_stand = stands || closing >= (1.0 - STANDS_SHARE) * own_mps;
    let reach_m = if may_stand { half_m - OVERLAP_M } else { half_m + BESIDE_M + BESIDE_SHARE * gap };
    let most_m = (reach_m - unsure_m).max(LEAST_M);
    // What stands does not move across the road: if it seems to, it is not where it seems to be, and mostly much farther away. Near
    // enough, it is told all the same.
    let most_mps = ACROSS_MPS + ACROSS_RADPS * gap;
    let still = !may_stand || watch.across(ACROSS_S).is_none_or(|(rate, error)| rate.abs() - 2.0 * error <= most_mps);
    let learnt = m.closing_sigma_mps <= LEARNING_MPS.max(LEARNING_SHARE * closing);
    let comes =
        learnt && (closing >= s.least_closing_mps && nears || lead > 0.0 && closing >= m.closing_sigma_mps.max(0.5));
    // Each look votes by how soon it is reached; whether it is in the path the latest look says by those before.
    let counts = comes && watch.stays_in_path(most_m);
    let sure = !stands || watch.surely_in_path(STANDS_S, most_m);
    let own = if view.braking_mps2 >= OWN_BRAKING_MPS2 { view.braking_mps2 } else { 0.0 };
    let constant_s = if closing > 0.1 { gap / closing } else { f32::MAX };
    let known_s = reached_in(gap, closing, own_mps, own, lead).unwrap_or(f32::MAX);
    let reached_s = if constant_s <= WHATEVER * s.warning_s { known_s.min(constant_s) } else { known_s };
    if reached_s > HOLD * s.caution_s || closing < s.least_closing_mps / 2.0 && lead == 0.0 {
        return None;
    }
    let doubt = if lead > 0.0 || may_stand && own_mps < TOWN_MPS { 0.0 } else { relative_error(m).min(0.4) * s.doubt };
    let caution = Word::below(reached_s * (1.0 - doubt), s.caution_s, PLAIN);
    let needed = lead + required(gap, closing, lead, s.reaction_s);
    let hard = if needed >= s.hard_mps2 { caution.min(Word::Yes) } else { Word::No };
    let warning = Word::below(reached_s, s.warning_s, PLAIN).max(hard);
    let caution = if sure { caution } else { Word::No };
    let told = comes && (still || reached_s <= WHATEVER * s.warning_s);
    let vote = if told { Vote { caution, warning } } else { Vote::default() };
    Some(Course { reached_s, counts, vote, braking: lead > 0.0 })
}

/// Standard deviation of the time to collision, as a share of it.
fn relative_error(m: &ObjectMotion) -> f32 {
    let of = |sigma: f32, value: f32| if value > 0.1 { sigma / value } else { 1.0 };
    let (d, c) = (of(m.distance_sigma_m, m.distance_m), of(m.closing_sigma_mps, m.closing_mps));
    (d * d + c * c).sqrt()
}

/// The deceleration that takes off the closing speed on the way left after the driver's reaction, in m/s².
fn required(gap_m: f32, closing_mps: f32, lead_braking: f32, reaction_s: f32) -> f32 {
    let closing = closing_mps + lead_braking * reaction_s;
    let left = gap_m - closing_mps * reaction_s - lead_braking * reaction_s * reaction_s / 2.0;
    if left <= 0.1 { f32::MAX } else { closing.max(0.0) * closing.max(0.0) / (2.0 * left) }
}

fn text(threat: &Threat, seconds: f32, braking: bool) -> String {
    let m = &threat.motion;
    let braking = if braking { ", which brakes" } else { "" };
    format!(
        "time to collision {seconds:.1} s: {}{braking}, {:.0} m, closing {:.0} km/h",
        name(threat.class),
        m.distance_m.max(0.0),
        m.closing_mps * 3.6
    )
}

/// A class in words.
pub(super) fn name(class: ObjectClass) -> &'static str {
    match class {
        ObjectClass::Person => "person",
        ObjectClass::Bicycle => "bicycle",
        ObjectClass::Car => "car",
        ObjectClass::Motorcycle => "motorcycle",
        ObjectClass::Bus => "bus",
        ObjectClass::Truck => "truck",
        ObjectClass::Other(_) => "obstacle",
    }
}

/// Without eyes: what the range finder feels, at speeds at which it reaches far enough to be of use.
fn by_range(s: &CollisionSettings, view: &View, own_mps: f32, ranged: Option<&Ranged>) -> Verdict {
    let Some(ranged) = ranged else { return Verdict::Clear("the range finder feels nothing ahead come near") };
    let (gap, closing) = (ranged.distance_m, ranged.closing_mps);
    let nears = closing >= s.least_closing_mps && closing <= 1.2 * own_mps + 1.0;
    let own = if view.braking_mps2 >= OWN_BRAKING_MPS2 { view.braking_mps2 } else { 0.0 };
    let seconds = reached_in(gap, closing, own_mps, own, 0.0).filter(|t| nears && *t <= HOLD * s.caution_s);
    let Some(seconds) = seconds else { return Verdict::Clear("the range finder feels nothing ahead come near") };
    let level = if seconds <= s.warning_s { AlertLevel::Warning } else { AlertLevel::Caution };
    let kmh = closing * 3.6;
    let text =
        format!("time to collision {seconds:.1} s: by the range finder alone, {gap:.1} m, closing {kmh:.0} km/h");
    let finding = Finding::new(level, text, ranged.ids.clone());
    if seconds <= s.caution_s { Verdict::Warn(finding) } else { Verdict::Hold(finding) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_reach_is_that_of_the_formulas() {
        let near = |a: Option<f32>, b: f32| a.is_some_and(|a| (a - b).abs() < 1e-3);
        assert!(near(reached_in(20.0, 10.0, 30.0, 0.0, 0.0), 2.0), "constant");
        // 30 = 3 t²: it brakes with 6 m/s² from 30 m/s, and is still moving.
        assert!(near(reached_in(30.0, 0.0, 30.0, 0.0, 6.0), 10f32.sqrt()));
        // From 3 m/s it stands after 0.5 s and 0.75 m: 10.75 m at 3 m/s.
        assert!(near(reached_in(10.0, 0.0, 3.0, 0.0, 6.0), 10.75 / 3.0));
        // Own braking with 5 m/s² from 10 m/s takes 10 m: 10.1 m are enough, 9.9 m are not.
        assert_eq!(reached_in(10.1, 10.0, 10.0, 5.0, 0.0), None);
        assert!(reached_in(9.9, 10.0, 10.0, 5.0, 0.0).is_some_and(|t| t > 1.5 && t < 2.0));
        assert_eq!(reached_in(20.0, -1.0, 10.0, 0.0, 0.0), None, "it goes away");
    }
}
