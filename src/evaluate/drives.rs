//! Simulated drives: everything against what the simulator knows, drive by drive.

use std::collections::BTreeMap;
use std::time::Duration;

use waywarden_components::prelude::*;
use waywarden_perception::score::boxes::{Area, Curve, Label, Matched, Size, match_boxes};
use waywarden_perception::score::errors::Errors;
use waywarden_perception::score::gate::Gated;
use waywarden_perception::score::truth;
use waywarden_perception::score::warnings::{self, DANGER_S, Given, Verdict};
use waywarden_perception::score::{Share, Tally, sum};
use waywarden_systems::scene::report::class_name;

use super::observe::{FrameSeen, Seen};
use super::runner::Runner;
use super::table::{Goal, Incident, Part, Sheet};
use crate::config::Perceive;
use crate::failure::Failure;

/// Distances that are told apart, in metres.
const DISTANCES: [(f32, f32); 3] = [(0.0, 20.0), (20.0, 40.0), (40.0, 80.0)];

/// Nearer than this, in metres, distances are to be right to a tenth.
const NEAR_M: f32 = 40.0;
const DISTANCE_GOAL: Goal = Goal::AtMost(0.1);
/// Errors of the time to collision, in seconds: the median, and what nine of ten do not exceed.
const TTC_GOALS: [Goal; 2] = [Goal::AtMost(0.3), Goal::AtMost(0.8)];
/// Root of the mean square of what the offset in the lane is off, in metres.
const OFFSET_GOAL: Goal = Goal::AtMost(0.1);
/// False warnings an hour, all kinds together.
const FALSE_GOAL: Goal = Goal::AtMost(1.0);
/// How early collisions on a steady course are warned of, in seconds: each, and half of them.
const LEAD_GOALS: [Goal; 2] = [Goal::AtLeast(1.9), Goal::AtLeast(2.4)];

/// The share of the simulator's vehicles that a model finds in its pictures at least, where what follows from that says something of
/// roads: below it figures tell how the simulator draws.
const LEAST_RECALL: f64 = 0.8;

/// How soon collisions that could not be foreseen are warned of, in seconds after contact was as far away as the threshold, and
/// how many of them.
const SOON_S: f64 = 0.5;
const SOON_GOAL: Goal = Goal::AtLeast(1.0);

/// What came of a drive.
#[derive(Clone, Debug, Default)]
struct Driven {
    hours: f64,
    gated: Gated,
    /// Boxes of vehicles: all that can be seen, and by size.
    vehicles: Matched,
    sizes: [Matched; Size::ALL.len()],
    /// Recall of vehicles by distance.
    near: [Share; DISTANCES.len()],
    people: Matched,
    /// Errors of tracks, in metres: all, and by distance.
    distances: Vec<f64>,
    distances_near: [Vec<f64>; DISTANCES.len()],
    /// Errors of those up to [`NEAR_M`], as shares of the distance.
    shares_near: Vec<f64>,
    /// In seconds.
    times: Vec<f64>,
    /// Of the frames that were looked at where there is a lane: those in which one was claimed; and how far off, in metres.
    lane: Share,
    offsets: Vec<f64>,
    /// Of those claims: how many took the vehicle to be in the lane beside its own, the offsets of the others, and how far from
    /// the line between the two it was then, in metres.
    beside: Share,
    offsets_in_lane: Vec<f64>,
    from_line: Vec<f64>,
    warnings: BTreeMap<AlertKind, Verdict>,
    /// How early vehicles on a steady course were warned of, in seconds before contact.
    steady: Vec<f64>,
    /// How long after contact was as far away as the threshold the others were warned of, in seconds; infinite: not at all.
    delays: Vec<f64>,
    /// False warnings and dangers that were not warned of: when, what, and what was said.
    incidents: Vec<(f64, &'static str, String)>,
}

/// Measures on drives of a scenario, one a seed: all of them, and each unless it is to be `brief`.
///
/// # Errors
/// When the scenario cannot be used, or the app fails.
pub fn drives(
    scenario: &str,
    seeds: &[u64],
    (length, brief): (Option<Duration>, bool),
    runner: &Runner,
    sheet: &mut Sheet,
) -> Result<(), Failure> {
    let mut all = Vec::new();
    for seed in seeds {
        let (seen, truth) = runner.drive(scenario, *seed, length)?;
        all.push(score(&seen, &truth, runner.config.warnings.forward_collision.caution_s.into()));
    }
    let data = format!("simulated: {scenario}");
    for (seed, driven) in seeds.iter().zip(&all) {
        let incidents = driven.incidents.iter().cloned();
        sheet.incidents.extend(incidents.map(|(at_s, what, text)| Incident {
            data: data.clone(),
            split: format!("seed {seed}"),
            at_s,
            what,
            text,
        }));
    }
    let by_models = runner.config.simulation.perceive == Perceive::Models;
    let doubt = Some(&all).filter(|_| by_models).and_then(|all| too_few_found(all));
    let place =
        |split: &str, all: bool| Place { data: data.clone(), split: split.to_owned(), all, doubt: doubt.clone() };
    rows(sheet, &place("all seeds", true), &all.iter().collect::<Vec<_>>());
    for (seed, driven) in seeds.iter().zip(&all).filter(|_| seeds.len() > 1 && !brief) {
        rows(sheet, &place(&format!("seed {seed}"), false), &[driven]);
    }
    Ok(())
}

/// Where rows belong.
struct Place {
    data: String,
    split: String,
    /// Whether it is all that was driven: with its goals, and what single drives say too little of.
    all: bool,
    /// Why what follows from boxes may not be quoted.
    doubt: Option<String>,
}

/// That a model found too few of the vehicles that could be seen, if it did.
fn too_few_found(drives: &[Driven]) -> Option<String> {
    let found = drives.iter().fold(Share::default(), |sum, driven| sum + driven.vehicles.recall);
    let recall = found.value().filter(|recall| *recall < LEAST_RECALL)?;
    Some(format!("the model finds {recall:.2} of the simulator's vehicles, of {LEAST_RECALL} that it takes"))
}

fn score(seen: &Seen, truth: &[(Mono, Truth)], caution_s: f64) -> Driven {
    let mut driven = Driven { hours: seen.last.as_secs_f64() / 3600.0, ..Driven::default() };
    let at: BTreeMap<Mono, &Truth> = truth.iter().map(|(at, truth)| (*at, truth)).collect();
    for frame in seen.frames.values() {
        if let Some(truth) = at.get(&frame.captured) {
            driven.frame(frame, truth);
        }
    }
    let given = seen.alerts.values().map(|alert| Given {
        kind: alert.kind,
        from_s: alert.from.as_secs_f64(),
        to_s: alert.to.as_secs_f64(),
    });
    let given: Vec<Given> = given.collect();
    for course in warnings::courses(truth.iter().map(|(at, truth)| (at.as_secs_f64(), truth)), caution_s) {
        match course.steady {
            true => driven.steady.push(course.lead(&given)),
            false => driven.delays.push(course.delay(&given).unwrap_or(f64::INFINITY)),
        }
    }
    for kind in AlertKind::ALL {
        let dangers = warnings::dangers(kind, truth.iter().map(|(at, truth)| (at.as_secs_f64(), truth)));
        driven.warnings.insert(kind, warnings::judge(kind, &dangers, &given));
        let of_kind = given.iter().zip(seen.alerts.values()).filter(|(given, _)| given.kind == kind);
        let wrong = of_kind.filter(|(given, _)| warnings::judge(kind, &dangers, &[**given]).wrong.part > 0);
        driven.incidents.extend(wrong.map(|(given, alert)| {
            let there = what_was_there(truth, given.from_s);
            (given.from_s, "false warning", format!("{kind}: {}; in truth {there}", alert.text))
        }));
        let missed = dangers.iter().filter(|danger| {
            let warned = warnings::judge(kind, &[**danger], &given).warned;
            warned.part < warned.whole
        });
        driven.incidents.extend(missed.map(|danger| {
            let there = what_was_there(truth, danger.from_s);
            (danger.from_s, "danger not warned of", format!("{kind}; in truth {there}"))
        }));
    }
    driven.incidents.sort_by(|a, b| a.0.total_cmp(&b.0));
    driven
}

/// The nearest things ahead at a moment of a drive, in words.
fn what_was_there(truth: &[(Mono, Truth)], at_s: f64) -> String {
    let before = truth.partition_point(|(at, _)| at.as_secs_f64() <= at_s);
    let Some((_, truth)) = truth.get(before.saturating_sub(1)) else { return "nothing is known".to_owned() };
    let mut ahead: Vec<&TrueObject> = truth.objects.iter().filter(|object| object.distance_m >= 0.0).collect();
    ahead.sort_unstable_by(|a, b| a.distance_m.total_cmp(&b.distance_m).then(a.id.cmp(&b.id)));
    let said = |object: &&TrueObject| {
        let TrueObject { class, distance_m, left_m, closing_mps, in_lane, .. } = object;
        let side = if *left_m < 0.0 { "right" } else { "left" };
        let lane = if *in_lane { ", in the lane" } else { "" };
        let class = class_name(*class);
        format!(
            "{class} {distance_m:.0} m ahead, {:.1} m {side}, closing {:.0} km/h{lane}",
            left_m.abs(),
            closing_mps * 3.6
        )
    };
    let said: Vec<String> = ahead.iter().take(4).map(said).collect();
    let own = format!("own speed {:.0} km/h", truth.speed_mps * 3.6);
    if said.is_empty() { format!("nothing is ahead, {own}") } else { format!("{}, {own}", said.join("; ")) }
}

impl Driven {
    fn frame(&mut self, frame: &FrameSeen, truth: &Truth) {
        if let GateScore::Judged { accepted, .. } = frame.gate {
            self.gated.skipped = self.gated.skipped + Share::one(!accepted);
        }
        let vehicle = |object: &TrueObject| object.class.is_vehicle();
        let vehicles = truth::labels(&truth.objects, vehicle);
        if let Some(boxes) = &frame.boxes {
            self.boxes(boxes, &truth.objects, &vehicles);
        } else if let Some(known) = &frame.known {
            let matched = match_boxes(&areas(known, ObjectClass::is_vehicle), &vehicles, |_| false);
            self.gated.held = self.gated.held + matched.recall;
        }
        for track in frame.tracks.values() {
            let (Some(motion), area) = (track.motion, Area::of(&track.latest)) else { continue };
            let Some(object) = truth::object_of(&area, track.class, &truth.objects) else { continue };
            let error = truth::distance_error(&motion, object);
            self.distances.push(error);
            if (1.0..NEAR_M).contains(&object.distance_m) {
                self.shares_near.push(error / f64::from(object.distance_m));
            }
            for ((from, to), errors) in DISTANCES.iter().zip(&mut self.distances_near) {
                if (*from..*to).contains(&object.distance_m) {
                    errors.push(error);
                }
            }
            self.times.extend(truth::ttc_error(&motion, object, DANGER_S).filter(|_| object.in_lane));
        }
        if let (Some(lane), Some(estimate)) = (truth.lane, &frame.lanes) {
            self.lane = self.lane + Share::one(estimate.geometry.is_some());
            if let Some(seen) = estimate.geometry {
                self.offset(seen.offset_m.into(), lane.offset_m.into(), lane.width_m.into());
            }
        }
    }

    /// One that is off by more than half a lane is near the line, and counted from the other side of it.
    fn offset(&mut self, seen_m: f64, true_m: f64, width_m: f64) {
        let error = seen_m - true_m;
        self.offsets.push(error);
        let is_beside = error.abs() > width_m / 2.0;
        self.beside = self.beside + Share::one(is_beside);
        if is_beside {
            self.from_line.push(width_m / 2.0 - true_m.abs());
        } else {
            self.offsets_in_lane.push(error);
        }
    }

    fn boxes(&mut self, boxes: &[Detection], objects: &[TrueObject], vehicles: &[Label]) {
        let found = areas(boxes, ObjectClass::is_vehicle);
        let matched = match_boxes(&found, vehicles, |_| false);
        self.gated.looked = self.gated.looked + matched.recall;
        self.vehicles.extend(matched);
        for (size, of_size) in Size::ALL.iter().zip(&mut self.sizes) {
            let is = |area: &Area| Size::of(area.size()) == *size;
            let labels = truth::labels(objects, |object| {
                object.class.is_vehicle() && truth::area(object).is_some_and(|area| is(&area))
            });
            of_size.extend(match_boxes(&found, &labels, |area| !is(area)));
        }
        for ((from, to), near) in DISTANCES.iter().zip(&mut self.near) {
            let labels =
                truth::labels(objects, |object| object.class.is_vehicle() && (*from..*to).contains(&object.distance_m));
            *near = *near + match_boxes(&found, &labels, |_| false).recall;
        }
        let labels = truth::labels(objects, |object| object.class == ObjectClass::Person);
        let person = |class| class == ObjectClass::Person;
        self.people.extend(match_boxes(&areas(boxes, person), &labels, |_| false));
    }
}

fn areas(boxes: &[Detection], holds: impl Fn(ObjectClass) -> bool) -> Vec<(f32, Area)> {
    boxes.iter().filter(|found| holds(found.class)).map(|found| (found.score, Area::of(found))).collect()
}

fn rows(sheet: &mut Sheet, place: &Place, drives: &[&Driven]) {
    let Place { data, split, all, doubt } = place;
    let mut part = sheet.part(data, split, &[JobRole::Detection]);
    matched(&mut part, "vehicles", drives, |driven| &driven.vehicles, true);
    if *all {
        for (n, size) in Size::ALL.iter().enumerate() {
            let of_size = |driven: &&Driven| driven.sizes.get(n).cloned().unwrap_or_default();
            let units: Vec<Matched> = drives.iter().map(of_size).collect();
            precision(&mut part, &format!("vehicles, {}", size.name()), &units);
        }
        for (n, (from, to)) in DISTANCES.iter().enumerate() {
            let shares: Vec<Share> = drives.iter().filter_map(|driven| driven.near.get(n).copied()).collect();
            part.share(format!("vehicles, {from} to {to} m: recall"), &shares, "labels");
        }
        matched(&mut part, "people", drives, |driven| &driven.people, false);
    }
    let mut part = sheet.part(data, split, &[JobRole::Detection]).doubted(doubt.as_deref());
    errors(&mut part, "tracks: distance error", "m", drives, |driven| Some(&driven.distances));
    if *all {
        for (n, (from, to)) in DISTANCES.iter().enumerate() {
            let what = format!("tracks, {from} to {to} m: distance error");
            errors(&mut part, &what, "m", drives, |driven| driven.distances_near.get(n));
        }
    }
    errors(&mut part, "tracks, to 40 m: distance error as a share of the distance", "", drives, |driven| {
        Some(&driven.shares_near)
    });
    errors(&mut part, "tracks in lane: TTC error", "s", drives, |driven| Some(&driven.times));
    if *all {
        part.goal_of("tracks, to 40 m: distance error as a share of the distance, median", DISTANCE_GOAL)
            .goal_of("tracks in lane: TTC error, median", TTC_GOALS[0])
            .goal_of("tracks in lane: TTC error, 90 %", TTC_GOALS[1]);
    }
    let mut part = sheet.part(data, split, &[JobRole::Detection]);
    let gated: Vec<Gated> = drives.iter().map(|driven| driven.gated).collect();
    let skipped: Vec<Share> = gated.iter().map(|gated| gated.skipped).collect();
    part.share("gate: held back", &skipped, "frames");
    let n = (gated.iter().map(|gated| gated.held.whole).sum(), "labels held back");
    part.drawn("gate: vehicle recall it cost", "", gated.len(), n, |weights| sum(&gated, weights).recall_cost());
    let mut part = sheet.part(data, split, &[JobRole::Segmentation]);
    let lanes: Vec<Share> = drives.iter().map(|driven| driven.lane).collect();
    part.share("lane claimed, of the frames looked at", &lanes, "frames");
    errors(&mut part, "lane: offset error", "m", drives, |driven| Some(&driven.offsets));
    root_mean_square(&mut part, "lane: offset error, root mean square", drives, |driven| &driven.offsets);
    if *all {
        part.goal(OFFSET_GOAL);
        let beside: Vec<Share> = drives.iter().map(|driven| driven.beside).collect();
        part.share("lane: the one beside it was claimed", &beside, "looks");
        let from_line: Vec<f64> = drives.iter().flat_map(|driven| driven.from_line.clone()).collect();
        if let Some(farthest) = from_line.iter().copied().reduce(f64::max) {
            let n = (from_line.len() as u64, "looks");
            part.figure("lane: the same, farthest from the line between them", "m", Some(farthest), None, n);
            let what = "lane: offset error without these, root mean square";
            root_mean_square(&mut part, what, drives, |driven| &driven.offsets_in_lane);
        }
    }
    warning_rows(sheet, place, drives);
}

fn warning_rows(sheet: &mut Sheet, place: &Place, drives: &[&Driven]) {
    let Place { data, split, all, .. } = place;
    for kind in AlertKind::ALL {
        let (by, doubt): (&[JobRole], _) = match kind {
            AlertKind::LaneDeparture => (&[JobRole::Segmentation], None),
            _ => (&JobRole::ALL, place.doubt.as_deref()),
        };
        let verdicts: Vec<Verdict> = drives.iter().filter_map(|driven| driven.warnings.get(&kind).cloned()).collect();
        let mut part = sheet.part(data, split, by).doubted(doubt);
        let given: u64 = verdicts.iter().map(|verdict| verdict.wrong.whole).sum();
        hourly(&mut part, format!("{kind}: false warnings"), drives, given, |driven| {
            driven.warnings.get(&kind).map_or(0, |verdict| verdict.wrong.part)
        });
        let judged =
            matches!(kind, AlertKind::ForwardCollision | AlertKind::LaneDeparture | AlertKind::VulnerableRoadUser);
        if !judged || !(*all || kind == AlertKind::ForwardCollision) {
            continue;
        }
        let warned: Vec<Share> = verdicts.iter().map(|verdict| verdict.warned).collect();
        part.share(format!("{kind}: dangers warned of before contact"), &warned, "dangers");
        let leads = Errors::new(&verdicts.iter().map(|verdict| verdict.leads.clone()).collect::<Vec<_>>());
        for (what, share) in [("median", 0.5), ("exceeded by 90 %", 0.1)] {
            let n = (leads.len() as u64, "dangers");
            part.drawn(format!("{kind}: lead, {what}"), "s", drives.len(), n, |weights| {
                leads.weighted_quantile(share, weights)
            });
        }
    }
    if *all {
        courses(sheet, place, drives);
    }
    let given = |driven: &&Driven| driven.warnings.values().map(|verdict| verdict.wrong.whole).sum::<u64>();
    let mut part = sheet.part(data, split, &JobRole::ALL).doubted(place.doubt.as_deref());
    hourly(&mut part, "all warnings: false".to_owned(), drives, drives.iter().map(given).sum(), |driven| {
        driven.warnings.values().map(|verdict| verdict.wrong.part).sum()
    });
    if *all {
        part.goal(FALSE_GOAL);
    }
}

/// How early collisions were warned of, and how soon where they could not be foreseen.
fn courses(sheet: &mut Sheet, place: &Place, drives: &[&Driven]) {
    let mut part = sheet.part(&place.data, &place.split, &JobRole::ALL).doubted(place.doubt.as_deref());
    let steady = Errors::new(&drives.iter().map(|driven| driven.steady.clone()).collect::<Vec<_>>());
    let n = (steady.len() as u64, "courses");
    for ((what, share), goal) in [("least", 0.0), ("median", 0.5)].into_iter().zip(LEAD_GOALS) {
        part.drawn(format!("forward_collision, steady course: lead, {what}"), "s", drives.len(), n, |weights| {
            steady.weighted_quantile(share, weights)
        });
        part.goal(goal);
    }
    let delays: Vec<Vec<Share>> =
        drives.iter().map(|driven| driven.delays.iter().map(|delay| Share::one(*delay <= SOON_S)).collect()).collect();
    let soon: Vec<Share> =
        delays.iter().map(|each| each.iter().fold(Share::default(), |sum, one| sum + *one)).collect();
    part.share("forward_collision, cut-in and braking: warned within 0.5 s of the threshold", &soon, "courses");
    part.goal(SOON_GOAL);
    let mut late: Vec<f64> = drives.iter().flat_map(|driven| driven.delays.iter().copied()).collect();
    late.sort_unstable_by(f64::total_cmp);
    let median = late.get(late.len() / 2).copied().filter(|delay| delay.is_finite());
    let n = (late.len() as u64, "courses");
    part.figure("forward_collision, cut-in and braking: warned so late, median", "s", median, None, n);
}

/// How many an hour.
fn hourly(part: &mut Part<'_>, what: String, drives: &[&Driven], given: u64, count: impl Fn(&Driven) -> u64) {
    part.drawn(what, "/h", drives.len(), (given, "warnings"), |weights| {
        let weighted = |value: &dyn Fn(&Driven) -> f64| -> f64 {
            drives.iter().zip(weights).map(|(driven, times)| value(driven) * f64::from(*times)).sum()
        };
        let hours = weighted(&|driven| driven.hours);
        (hours > 0.0).then(|| weighted(&|driven| count(driven) as f64) / hours)
    });
}

/// Average precision, and precision and recall of all boxes.
fn matched(part: &mut Part<'_>, name: &str, drives: &[&Driven], of: fn(&Driven) -> &Matched, ap: bool) {
    let units: Vec<Matched> = drives.iter().map(|driven| of(driven).clone()).collect();
    if ap {
        precision(part, name, &units);
    }
    let tallies: Vec<Tally> = units.iter().map(Matched::tally).collect();
    part.tally(name, &tallies, "boxes", "labels");
}

fn precision(part: &mut Part<'_>, name: &str, units: &[Matched]) {
    let curve = Curve::new(units);
    let n = (units.iter().map(|unit| unit.recall.whole).sum(), "labels");
    part.drawn(format!("{name}: AP50"), "", units.len(), n, |weights| curve.average_precision(weights));
}

/// Median and ninth decile of errors.
fn root_mean_square<'a>(
    part: &mut Part<'_>,
    what: &str,
    drives: &[&'a Driven],
    of: impl Fn(&'a Driven) -> &'a Vec<f64>,
) {
    let looks = drives.iter().map(|driven| of(driven).len() as u64).sum();
    part.drawn(what, "m", drives.len(), (looks, "looks"), |weights| {
        let weighted = |value: &dyn Fn(&[f64]) -> f64| -> f64 {
            drives.iter().zip(weights).map(|(driven, times)| value(of(driven)) * f64::from(*times)).sum()
        };
        let squares = weighted(&|errors| errors.iter().map(|error| error * error).sum());
        let n = weighted(&|errors| errors.len() as f64);
        (n > 0.0).then(|| (squares / n).sqrt())
    });
}

fn errors<'a>(
    part: &mut Part<'_>,
    name: &str,
    unit: &'static str,
    drives: &[&'a Driven],
    of: impl Fn(&'a Driven) -> Option<&'a Vec<f64>>,
) {
    let errors = Errors::new(&drives.iter().map(|driven| of(driven).cloned().unwrap_or_default()).collect::<Vec<_>>());
    for (what, share) in [("median", 0.5), ("90 %", 0.9)] {
        let n = (errors.len() as u64, "looks");
        part.drawn(format!("{name}, {what}"), unit, drives.len(), n, |weights| {
            errors.weighted_quantile(share, weights)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::observe::AlertSeen;
    use super::super::table::Conditions;
    use super::*;
    use crate::config::Config;

    fn ahead(distance_m: f32) -> Truth {
        let object = TrueObject {
            id: 1,
            class: ObjectClass::Car,
            distance_m,
            left_m: 0.0,
            closing_mps: 10.0,
            width_m: 1.8,
            height_m: 1.5,
            in_lane: true,
            image: Some([100.0, 100.0, 200.0, 200.0]),
        };
        let lane = Some(LaneGeometry { offset_m: 0.1, width_m: 3.5, ..LaneGeometry::default() });
        Truth { lane, objects: vec![object], speed_mps: 20.0, ..Truth::default() }
    }

    fn car(left: f32) -> Detection {
        Detection { class: ObjectClass::Car, score: 0.9, left, top: 100.0, width: 100.0, height: 100.0 }
    }

    #[test]
    fn a_claim_of_the_lane_beside_is_told_from_a_wrong_offset() {
        let mut driven = Driven::default();
        driven.offset(0.5, 0.4, 3.5);
        driven.offset(-1.7, 1.72, 3.5);
        assert_eq!((driven.beside, driven.offsets.len()), (Share { part: 1, whole: 2 }, 2));
        assert!((driven.offsets_in_lane[0] - 0.1).abs() < 1e-9 && (driven.from_line[0] - 0.03).abs() < 1e-9);
    }

    /// One frame a second: looked at, held back with a box that still fits, held back with one that no longer does.
    #[test]
    fn a_drive_is_scored_by_what_was_concluded() {
        let mono = |s: f64| Mono::from_secs_f64(s);
        let truth: Vec<_> =
            [(1.0, 40.0), (2.0, 30.0), (3.0, 20.0), (4.0, 10.0)].map(|(s, m)| (mono(s), ahead(m))).into();
        let judged = |accepted| GateScore::Judged { difference: 1.0, accepted, forced: false };
        let mut first = FrameSeen {
            captured: mono(1.0),
            gate: judged(true),
            boxes: Some(vec![car(100.0)]),
            ..FrameSeen::default()
        };
        let motion = ObjectMotion { distance_m: 44.0, ttc_s: Some(4.5), ..ObjectMotion::default() };
        let track = Track {
            class: ObjectClass::Car,
            latest: car(110.0),
            motion: Some(motion),
            frame: StableId::new(StreamId(1), 1),
            first_seen: mono(1.0),
            last_seen: mono(1.0),
            lost: false,
        };
        first.tracks.insert(StableId::new(StreamId::tracks_of(StreamId(1)), 1), track);
        let lane = LaneGeometry { offset_m: 0.4, ..LaneGeometry::default() };
        first.lanes = Some(LaneEstimate { geometry: Some(lane), ..LaneEstimate::default() });
        let held = |s: f64, left| FrameSeen {
            captured: mono(s),
            gate: judged(false),
            known: Some(vec![car(left)]),
            ..FrameSeen::default()
        };
        let frames = BTreeMap::from([(1, first), (2, held(2.0, 100.0)), (3, held(3.0, 500.0))]);
        let alert = |kind, from, to| AlertSeen {
            to: mono(to),
            ..AlertSeen::new(
                &Alert {
                    kind,
                    level: AlertLevel::Caution,
                    started: mono(from),
                    text: "too near".to_owned(),
                    evidence: Vec::new(),
                    ended: None,
                },
                mono(from),
            )
        };
        let right = alert(AlertKind::ForwardCollision, 3.2, 4.0);
        let wrong = alert(AlertKind::LaneDeparture, 3.0, 3.0);
        let alerts = [right, wrong].into_iter().enumerate();
        let alerts = alerts.map(|(n, alert)| (StableId::new(StreamId::ALERTS, n as u64), alert)).collect();
        let seen = Seen { frames, alerts, last: mono(36.0), ..Seen::default() };
        let driven = score(&seen, &truth, 2.7);
        let text = "lane_departure: too near; in truth car 20 m ahead, 0.0 m left, closing 36 km/h, in the lane, own speed 72 km/h";
        assert_eq!(driven.incidents, [(3.0, "false warning", text.to_owned())]);
        assert_eq!(driven.vehicles.tally().recall, Share::one(true));
        assert_eq!(
            (driven.gated.skipped, driven.gated.held),
            (Share { part: 2, whole: 3 }, Share { part: 1, whole: 2 })
        );
        assert_eq!((driven.near[2], driven.sizes[2].recall), (Share::one(true), Share::one(true)));
        assert_eq!((driven.distances.clone(), driven.distances_near[2].clone()), (vec![4.0], vec![4.0]));
        assert!((driven.offsets[0] - 0.3).abs() < 1e-6);
        assert_eq!((driven.beside, driven.offsets_in_lane.len()), (Share::one(false), 1));

        let mut sheet = Sheet { conditions: Conditions::of(&Config::default()), ..Sheet::default() };
        let place = Place { data: "simulated: test".to_owned(), split: "all seeds".to_owned(), all: true, doubt: None };
        rows(&mut sheet, &place, &[&driven, &driven]);
        let value =
            |what: &str| sheet.rows.iter().find(|row| row.what == what).unwrap_or_else(|| panic!("{what}")).value;
        assert_eq!(value("vehicles: AP50"), Some(1.0));
        // Recall 1 in the frame that was looked at, 2 of 3 in all.
        assert!((value("gate: vehicle recall it cost").unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(value("tracks: distance error, median"), Some(4.0));
        // Contact at 5 s, warned at 3.2 s; the departure was none, once in 36 s.
        assert!((value("forward_collision: lead, median").unwrap() - 1.8).abs() < 1e-6);
        assert_eq!(
            (value("forward_collision: false warnings"), value("lane_departure: false warnings")),
            (Some(0.0), Some(100.0))
        );
        assert_eq!(value("all warnings: false"), Some(100.0));
        assert_eq!(value("people: recall"), None);
        // All that was looked at was found; had it not been, what stands on it would not be quoted.
        assert_eq!(too_few_found(std::slice::from_ref(&driven)), None);
        let missed = Driven {
            vehicles: match_boxes(&[], &truth::labels(&truth[0].1.objects, |_| true), |_| false),
            ..Driven::default()
        };
        let doubt = too_few_found(&[driven.clone(), missed]).unwrap();
        assert!(doubt.contains("finds 0.50 of"), "{doubt}");
        sheet.rows.clear();
        rows(&mut sheet, &Place { doubt: Some(doubt.clone()), ..place }, &[&driven]);
        let doubted: Vec<&str> =
            sheet.rows.iter().filter(|row| row.doubt.as_ref() == Some(&doubt)).map(|row| row.what.as_str()).collect();
        for what in ["tracks: distance error, median", "forward_collision: lead, median", "all warnings: false"] {
            assert!(doubted.contains(&what), "{what}: {doubted:?}");
        }
        for what in ["vehicles: recall", "lane: offset error, median", "lane_departure: false warnings"] {
            assert!(!doubted.contains(&what), "{what}: {doubted:?}");
        }
    }
}
