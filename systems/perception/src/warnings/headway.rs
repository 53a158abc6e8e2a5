//! Headway: the vehicle ahead is followed at too short a time gap, for longer than it takes to fall back.
//!
//! The gap is the distance over the own speed. What closes in is the business of forward collision, and what opens mends
//! itself: a vehicle that has just cut in is left time to get away.

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;

use super::collision::{agreeing_range, name};
use super::episode::{Finding, Verdict};
use super::scene::{Threat, View};
use super::settings::HeadwaySettings;

/// Time constant of the smoothing in seconds.
const SMOOTH_S: f32 = 0.7;
/// A vehicle not seen for so long, in seconds, is no longer followed.
const LOST_S: f64 = 0.6;
/// Closing speeds between which a vehicle is followed, in m/s.
const STEADY_MPS: (f32, f32) = (-1.0, 3.0);
/// It opens as fast as this when a warning is over, in m/s.
const OPENS_MPS: f32 = -2.5;
/// The gap that ends a warning, as a share of the one that begins it.
const HOLD: f32 = 1.2;

/// How the vehicle ahead is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Following(Option<Follow>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Follow {
    track: StableId,
    seen: Mono,
    gap_s: f32,
    closing_mps: f32,
    /// Since when the gap is short, and very short.
    short: Option<Mono>,
    very_short: Option<Mono>,
}

impl Following {
    pub fn judge(&mut self, s: &HeadwaySettings, view: &View) -> Verdict {
        let own_mps = view.speed_mps.unwrap_or(0.0);
        let Some(lead) = lead(view, own_mps) else {
            if self.0.is_some_and(|f| view.now.since(f.seen).as_secs_f64() > LOST_S) {
                self.0 = None;
            }
            return Verdict::Clear("no vehicle ahead is followed any more");
        };
        let follow = self.follow(s, view, lead, own_mps);
        let long = |since: Option<Mono>| since.is_some_and(|at| view.now.since(at).as_secs_f32() >= s.for_s);
        let level = if long(follow.very_short) { AlertLevel::Caution } else { AlertLevel::Notice };
        let text = format!(
            "time gap {:.1} s: {}, {:.0} m at {:.0} km/h",
            follow.gap_s,
            name(lead.class),
            lead.motion.distance_m.max(0.0),
            own_mps * 3.6
        );
        let evidence = [lead.id, lead.evidence].into_iter().chain(agreeing_range(view, lead.motion.distance_m));
        let finding = Finding::new(level, text, evidence.collect());
        if long(follow.short) {
            Verdict::Warn(finding)
        } else if follow.gap_s < HOLD * s.notice_s && follow.closing_mps > OPENS_MPS {
            Verdict::Hold(finding)
        } else {
            Verdict::Clear("the gap is long enough")
        }
    }

    /// Nothing is followed.
    pub fn forget(&mut self) {
        self.0 = None;
    }

    fn follow(&mut self, s: &HeadwaySettings, view: &View, lead: &Threat, own_mps: f32) -> Follow {
        let gap_s = lead.motion.distance_m.max(0.0) / own_mps.max(1.0);
        let (track, seen, closing_mps) = (lead.id, view.now, lead.motion.closing_mps);
        let new = Follow { track, seen, gap_s, closing_mps, short: None, very_short: None };
        let mut follow = self.0.filter(|f| f.track == lead.id).unwrap_or(new);
        let dt = view.now.since(follow.seen).as_secs_f32();
        let share = dt / (SMOOTH_S + dt);
        follow.gap_s += share * (gap_s - follow.gap_s);
        follow.closing_mps += share * (closing_mps - follow.closing_mps);
        follow.seen = view.now;
        let steady = (STEADY_MPS.0..=STEADY_MPS.1).contains(&follow.closing_mps);
        let since = |was: Option<Mono>, limit_s: f32| {
            let short = steady && follow.gap_s < limit_s * if was.is_some() { 1.05 } else { 1.0 };
            short.then(|| was.unwrap_or(view.now))
        };
        (follow.short, follow.very_short) = (since(follow.short, s.notice_s), since(follow.very_short, s.caution_s));
        self.0 = Some(follow);
        follow
    }
}

/// The nearest confirmed vehicle in the path that moves along, at least half as fast as we do.
fn lead<'a>(view: &View<'a>, own_mps: f32) -> Option<&'a Threat> {
    let moves = |t: &&&Threat| {
        let m = &t.motion;
        t.class.is_vehicle() && t.confirmed && m.in_path && m.closing_mps <= own_mps / 2.0
    };
    view.objects.iter().filter(moves).min_by(|a, b| a.motion.distance_m.total_cmp(&b.motion.distance_m)).copied()
}
