//! Warnings against the truth of a drive: which were false, which dangers were missed, how early a warning came.
//!
//! | kind | a danger, by the truth of a moment |
//! | --- | --- |
//! | forward collision | something in the ego lane is reached in less than 4 s at constant closing speed |
//! | headway | at 10 km/h or more, the vehicle ahead in the ego lane is less than 1.2 s ahead |
//! | lane departure | a side of the vehicle is less than 0.4 m inside a line of its lane, or beyond it |
//! | vulnerable road user | somebody on foot or on two wheels, in the ego lane or within 1.5 m of the vehicle's middle, is reached in less than 4 s |
//! | moving off | something in the ego lane is less than 5 m ahead, at less than 3 m/s |
//!
//! Dangers of a kind that are less than a second apart are one. A warning is **false** when there was no danger of its kind
//! from a second before it began to two seconds after it ended: nobody blames a warning that comes a little early. A danger
//! **must be warned of** when contact was less than 2 s away (collision, road user), when a side crossed the line
//! (departure); other kinds are judged for false warnings alone. Of somebody on foot or on two wheels ahead, a warning of
//! road users warns as well as one of collisions. **Lead** is the time from the warning's start to contact:
//! to where the objects would have met at the closing speed of the most urgent moment, or to where the side crossed.
//!
//! A **course** is what a vehicle in the ego lane comes nearer on, from its first moment to its last; of those that came as near
//! as a danger that must be warned of it is told how the warning met the time at which contact was a threshold away. It is
//! **steady** where the vehicle was in the lane 4 s before contact and the closing speed changed by less than a tenth until 1.9 s
//! before it.

use std::collections::BTreeMap;

use waywarden_components::prelude::{AlertKind, ObjectClass, TrueObject, Truth};

use super::Share;
use super::truth::time_to_collision;

/// Time to contact below which something is a danger, in seconds.
pub const DANGER_S: f64 = 4.0;
/// Time to contact below which a danger must be warned of, in seconds.
pub const URGENT_S: f64 = 2.0;
/// Gap to the vehicle ahead below which it is followed too closely, in seconds.
pub const HEADWAY_S: f64 = 1.2;
/// How near a line a side of the vehicle is in danger, in metres.
pub const LINE_M: f64 = 0.4;
/// Half the width of the vehicle, in metres: that of a car.
pub const HALF_WIDTH_M: f64 = 0.9;
/// How long before a danger a warning may begin and is one of it, in seconds.
const EARLY_S: f64 = 2.0;
/// How long after a danger a warning may begin and is not false, in seconds.
const LATE_S: f64 = 1.0;

/// A warning that was given, in seconds since the drive began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Given {
    /// What about.
    pub kind: AlertKind,
    /// When it began.
    pub from_s: f64,
    /// When it ended.
    pub to_s: f64,
}

/// A danger from its first moment to its last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Danger {
    /// When it began.
    pub from_s: f64,
    /// When it was over.
    pub to_s: f64,
    /// When there would have been contact, if it must be warned of.
    pub contact_s: Option<f64>,
}

/// How the warnings of a kind were in a drive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Of the warnings: those that were false.
    pub wrong: Share,
    /// Of the dangers that must be warned of: those that were, before contact.
    pub warned: Share,
    /// The lead of each of these, in seconds.
    pub leads: Vec<f64>,
}

/// Judges the warnings of a kind against the dangers of that kind.
pub fn judge(kind: AlertKind, dangers: &[Danger], given: &[Given]) -> Verdict {
    let warns = |given: &&Given| {
        given.kind == kind || kind == AlertKind::ForwardCollision && given.kind == AlertKind::VulnerableRoadUser
    };
    let meant =
        |given: &Given, danger: &Danger| given.to_s >= danger.from_s - EARLY_S && given.from_s <= danger.to_s + LATE_S;
    let wrong = given
        .iter()
        .filter(|given| given.kind == kind)
        .map(|given| Share::one(!dangers.iter().any(|danger| meant(given, danger))));
    let mut verdict = Verdict { wrong: wrong.fold(Share::default(), |sum, one| sum + one), ..Verdict::default() };
    for danger in dangers {
        let Some(contact) = danger.contact_s else { continue };
        let in_time = given.iter().filter(warns).filter(|given| meant(given, danger) && given.from_s < contact);
        let first = in_time.map(|given| given.from_s).min_by(f64::total_cmp);
        verdict.warned = verdict.warned + Share::one(first.is_some());
        verdict.leads.extend(first.map(|first| contact - first));
    }
    verdict
}

/// The dangers of a kind in a drive, from the truth of its moments in order of time.
pub fn dangers<'a>(kind: AlertKind, truth: impl IntoIterator<Item = (f64, &'a Truth)>) -> Vec<Danger> {
    let mut dangers: Vec<Danger> = Vec::new();
    // The most urgent moment of the last danger: how urgent it is.
    let mut worst = f64::MAX;
    for (at_s, truth) in truth {
        let Some(urgency) = urgency(kind, truth) else { continue };
        match dangers.last_mut() {
            Some(last) if at_s - last.to_s < 1.0 => last.to_s = at_s,
            _ => {
                dangers.push(Danger { from_s: at_s, to_s: at_s, contact_s: None });
                worst = f64::MAX;
            }
        }
        let Some(last) = dangers.last_mut() else { continue };
        if urgency < worst && urgency < most_urgent(kind) {
            // A line is crossed once; how far beyond it the vehicle goes does not matter.
            worst = if kind == AlertKind::LaneDeparture { f64::MIN } else { urgency };
            last.contact_s = Some(if kind == AlertKind::LaneDeparture { at_s } else { at_s + urgency });
        }
    }
    dangers
}

/// A course to a vehicle ahead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    /// When contact was the threshold away, in seconds since the drive began.
    pub short_s: f64,
    /// When there would have been contact.
    pub contact_s: f64,
    /// Whether it was steady.
    pub steady: bool,
}

impl Course {
    /// How long after [`Self::short_s`] it was warned of, in seconds; negative is earlier. None: not before contact.
    pub fn delay(&self, given: &[Given]) -> Option<f64> {
        let warns = |given: &&Given| {
            matches!(given.kind, AlertKind::ForwardCollision | AlertKind::VulnerableRoadUser)
                && given.from_s < self.contact_s
                && given.to_s >= self.short_s
        };
        given.iter().filter(warns).map(|given| given.from_s - self.short_s).min_by(f64::total_cmp)
    }

    /// How long before contact it was warned of, in seconds; 0 where it was not.
    pub fn lead(&self, given: &[Given]) -> f64 {
        self.delay(given).map_or(0.0, |delay| self.contact_s - self.short_s - delay)
    }
}

/// How long before contact a steady course begins, and how long it lasts, in seconds before contact; and by which share the
/// closing speed may change in it.
const STEADY_S: (f64, f64) = (4.0, 1.9);
const STEADY_SHARE: f64 = 0.1;
/// Moments further apart are not of one course, in seconds.
const APART_S: f64 = 0.5;

/// The courses of a drive on which contact was less than [`URGENT_S`] away, in order of their contact, with the time at which it
/// was `threshold_s` away. From the truth of its moments in order of time.
pub fn courses<'a>(truth: impl IntoIterator<Item = (f64, &'a Truth)>, threshold_s: f64) -> Vec<Course> {
    // Of each vehicle that comes nearer now: its moments, as time, time to contact and closing speed.
    let mut running: BTreeMap<u32, Vec<(f64, f64, f64)>> = BTreeMap::new();
    let mut found = Vec::new();
    for (at_s, truth) in truth {
        let vehicles = truth.objects.iter().filter(|object| object.in_lane && object.class.is_vehicle());
        let now: BTreeMap<u32, (f64, f64)> = vehicles
            .filter_map(|object| Some((object.id, (time_to_collision(object)?, f64::from(object.closing_mps)))))
            .collect();
        let over = |id: &u32, moments: &Vec<(f64, f64, f64)>| {
            !now.contains_key(id) || moments.last().is_none_or(|last| at_s - last.0 > APART_S)
        };
        let ended: Vec<u32> = running.iter().filter(|(id, moments)| over(id, moments)).map(|(id, _)| *id).collect();
        found.extend(ended.iter().filter_map(|id| course(&running.remove(id)?, threshold_s)));
        for (id, (contact, closing)) in now {
            running.entry(id).or_default().push((at_s, contact, closing));
        }
    }
    found.extend(running.values().filter_map(|moments| course(moments, threshold_s)));
    found.sort_by(|a, b| a.contact_s.total_cmp(&b.contact_s));
    found
}

fn course(moments: &[(f64, f64, f64)], threshold_s: f64) -> Option<Course> {
    let nearest = moments.iter().min_by(|a, b| a.1.total_cmp(&b.1)).filter(|nearest| nearest.1 < URGENT_S)?;
    let contact_s = nearest.0 + nearest.1;
    let short = moments.iter().find(|moment| moment.1 <= threshold_s)?;
    let of_steady = |moment: &&(f64, f64, f64)| {
        let before = contact_s - moment.0;
        before <= STEADY_S.0 && before >= STEADY_S.1
    };
    let near = |closing: f64| (closing - short.2).abs() <= STEADY_SHARE * short.2;
    let began = moments.first().is_some_and(|first| contact_s - first.0 >= STEADY_S.0);
    let steady = began && moments.iter().filter(of_steady).all(|moment| near(moment.2));
    Some(Course { short_s: short.0, contact_s, steady })
}

/// Below which urgency a danger must be warned of.
fn most_urgent(kind: AlertKind) -> f64 {
    match kind {
        AlertKind::ForwardCollision | AlertKind::VulnerableRoadUser => URGENT_S,
        // Metres to the line.
        AlertKind::LaneDeparture => 0.0,
        AlertKind::Headway | AlertKind::MovingOff => f64::MIN,
    }
}

/// How urgent a danger of this kind is, less being more urgent: seconds to contact, seconds of headway, metres to the
/// line, metres. None where there is no danger.
fn urgency(kind: AlertKind, truth: &Truth) -> Option<f64> {
    let speed = f64::from(truth.speed_mps);
    let least = |values: &mut dyn Iterator<Item = f64>| values.min_by(f64::total_cmp);
    let in_lane = || truth.objects.iter().filter(|object| object.in_lane);
    let distance = |object: &TrueObject| f64::from(object.distance_m);
    match kind {
        AlertKind::ForwardCollision => least(&mut in_lane().filter_map(time_to_collision)).filter(|s| *s < DANGER_S),
        AlertKind::Headway => {
            let vehicles = in_lane().filter(|object| object.class.is_vehicle());
            least(&mut vehicles.map(|object| distance(object) / speed))
                .filter(|gap| speed >= 10.0 / 3.6 && *gap < HEADWAY_S)
        }
        AlertKind::LaneDeparture => {
            let lane = truth.lane?;
            let room = f64::from(lane.width_m) / 2.0 - f64::from(lane.offset_m).abs() - HALF_WIDTH_M;
            Some(room).filter(|room| *room < LINE_M)
        }
        AlertKind::VulnerableRoadUser => {
            let weak = |o: &&TrueObject| matches!(o.class, ObjectClass::Person | ObjectClass::Bicycle);
            let near = truth.objects.iter().filter(weak).filter(|object| object.in_lane || object.left_m.abs() < 1.5);
            least(&mut near.filter_map(time_to_collision)).filter(|s| *s < DANGER_S)
        }
        AlertKind::MovingOff => least(&mut in_lane().map(distance)).filter(|m| *m < 5.0 && speed < 3.0),
    }
}

#[cfg(test)]
mod tests {
    use waywarden_components::prelude::LaneGeometry;

    use super::*;

    fn ahead(distance_m: f32, closing_mps: f32) -> Truth {
        let object = TrueObject {
            id: 1,
            class: ObjectClass::Car,
            distance_m,
            left_m: 0.0,
            closing_mps,
            width_m: 1.8,
            height_m: 1.5,
            in_lane: true,
            image: None,
        };
        Truth { speed_mps: 20.0, objects: vec![object], ..Truth::default() }
    }

    fn given(kind: AlertKind, from_s: f64, to_s: f64) -> Given {
        Given { kind, from_s, to_s }
    }

    /// 10 m/s nearer from 60 m on; after 5 s the driver brakes, and the gap grows.
    fn approach() -> Vec<(f64, Truth)> {
        (0..100)
            .map(|n| f64::from(n) / 10.0)
            .map(|t| (t, if t < 5.0 { ahead(60.0 - 10.0 * t as f32, 10.0) } else { ahead(12.0, -2.0) }))
            .collect()
    }

    #[test]
    fn a_danger_reaches_to_the_contact_that_there_would_have_been() {
        let drive = approach();
        let found = dangers(AlertKind::ForwardCollision, drive.iter().map(|(t, truth)| (*t, truth)));
        // 4 s before contact is 2 s after the start, contact would have been at 6 s.
        assert_eq!(found.len(), 1);
        let danger = found[0];
        assert!((danger.from_s - 2.1).abs() < 0.11 && (danger.to_s - 4.9).abs() < 1e-9, "{danger:?}");
        assert!((danger.contact_s.unwrap() - 6.0).abs() < 1e-4, "{danger:?}");
        // Followed at 0.6 s, too.
        let found = dangers(AlertKind::Headway, drive.iter().map(|(t, truth)| (*t, truth)));
        assert_eq!((found.len(), found[0].contact_s), (1, None));
        assert_eq!(dangers(AlertKind::MovingOff, drive.iter().map(|(t, truth)| (*t, truth))), []);
        assert_eq!(dangers(AlertKind::VulnerableRoadUser, drive.iter().map(|(t, truth)| (*t, truth))), []);
    }

    #[test]
    fn warnings_are_right_early_or_false() {
        let kind = AlertKind::ForwardCollision;
        let danger = [Danger { from_s: 2.0, to_s: 5.0, contact_s: Some(6.0) }];
        let judged = |given: &[Given]| judge(kind, &danger, given);
        let right = judged(&[given(kind, 3.5, 4.5), given(kind, 4.6, 5.0)]);
        assert_eq!(right, Verdict { wrong: Share { part: 0, whole: 2 }, warned: Share::one(true), leads: vec![2.5] });
        let wrong = judged(&[given(kind, 7.0, 8.0), given(AlertKind::Headway, 3.0, 4.0)]);
        assert_eq!(wrong, Verdict { wrong: Share::one(true), warned: Share::one(false), leads: vec![] });
        // Whoever is warned of somebody on foot is warned.
        let weak = judged(&[given(AlertKind::VulnerableRoadUser, 3.5, 4.5)]);
        assert_eq!(weak, Verdict { wrong: Share::default(), warned: Share::one(true), leads: vec![2.5] });
        // Just before the danger began, and gone again: a little early.
        assert_eq!(judged(&[given(kind, 0.0, 0.5)]).wrong, Share::one(false));
        assert_eq!(judged(&[given(kind, 0.0, -0.5)]).wrong, Share::one(true));
        assert_eq!(judge(kind, &[], &[]), Verdict::default());
    }

    #[test]
    fn a_departure_is_one_when_a_side_crosses() {
        let offset = |offset_m| {
            let lane = Some(LaneGeometry { offset_m, width_m: 3.6, ..LaneGeometry::default() });
            Truth { lane, speed_mps: 20.0, ..Truth::default() }
        };
        // 0.9 m of room in the middle; drifts right by half a metre a second, over the line at 1.8 s.
        let drive: Vec<_> = (0..30).map(|n| (f64::from(n) / 10.0, offset(-0.05 * n as f32))).collect();
        let found = dangers(AlertKind::LaneDeparture, drive.iter().map(|(t, truth)| (*t, truth)));
        assert_eq!(found.len(), 1);
        assert!((found[0].from_s - 1.1).abs() < 0.11 && (found[0].contact_s.unwrap() - 1.9).abs() < 0.11, "{found:?}");
        let near = dangers(AlertKind::LaneDeparture, [(0.0, &offset(0.6))]);
        assert_eq!(near, [Danger { from_s: 0.0, to_s: 0.0, contact_s: None }]);
        assert_eq!(dangers(AlertKind::LaneDeparture, [(0.0, &Truth::default())]), []);
    }

    #[test]
    fn a_course_is_steady_or_not_and_met_by_a_warning() {
        // 10 m/s nearer from 60 m on, contact at 6 s; the threshold is met at 3.3 s.
        let drive: Vec<_> =
            (0..55).map(|n| f64::from(n) / 10.0).map(|t| (t, ahead(60.0 - 10.0 * t as f32, 10.0))).collect();
        let of = |drive: &[(f64, Truth)]| courses(drive.iter().map(|(t, truth)| (*t, truth)), 2.7);
        let found = of(&drive);
        assert_eq!(found.len(), 1);
        assert!((found[0].short_s - 3.3).abs() < 0.11 && (found[0].contact_s - 6.0).abs() < 1e-3, "{found:?}");
        assert!(found[0].steady);
        let kind = AlertKind::ForwardCollision;
        let warned = [given(kind, 3.5, 5.0), given(AlertKind::Headway, 1.0, 6.0)];
        assert!((found[0].delay(&warned).unwrap() - 0.2).abs() < 0.11, "{found:?}");
        assert!((found[0].lead(&warned) - 2.5).abs() < 1e-3);
        assert_eq!((found[0].delay(&[given(kind, 6.1, 7.0)]), found[0].lead(&[])), (None, 0.0));
        // Who came into the lane 3 s before contact, or brakes, is on no steady course.
        assert!(!of(&drive[30..])[0].steady);
        let mut brakes = drive.clone();
        brakes.iter_mut().take(30).for_each(|(_, truth)| truth.objects[0].closing_mps = 5.0);
        assert!(!of(&brakes)[0].steady);
        // In time it was never near.
        assert_eq!(of(&drive[..30]), []);
    }

    #[test]
    fn numbers_that_are_none_are_no_danger() {
        let odd = ahead(f32::NAN, f32::INFINITY);
        for kind in AlertKind::ALL {
            assert_eq!(dangers(kind, [(f64::NAN, &odd), (0.0, &odd)]).len(), 0, "{kind}");
        }
    }
}
