//! Moving off: a vehicle that stood begins to roll, and something is close ahead (in the manner of UN Regulation No. 159).
//!
//! The range finder alone is believed, by the change of its distance, or a track in the path. A vehicle that merely
//! stands behind another is not warned of it, nor one that has been rolling for longer: whoever rolls up to something
//! looks at it.

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;

use super::collision::{agreeing_range, name};
use super::episode::{Finding, Verdict};
use super::scene::{Threat, View};
use super::settings::MovingOffSettings;
use super::watch::{Ballot, Ranged, Vote, Watches, Word};

/// A warning goes on up to this share above the distance that began it.
const HOLD: f32 = 1.1;
/// Reached within so many seconds it is urgent.
const URGENT_S: f32 = 1.2;
/// What comes nearer by so much faster, in m/s, than the vehicle may drive does so by itself.
const OWN_MARGIN_MPS: f32 = 0.5;
/// Slower than this nothing comes nearer any more, in m/s.
const STILL_MPS: f32 = 0.1;

/// Since when the vehicle moves off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct MovingOff {
    /// When it last stood.
    stood: Option<Mono>,
}

impl MovingOff {
    /// Takes whether the vehicle stands. To be called at every tick.
    pub fn look(&mut self, view: &View) {
        if view.standing {
            self.stood = Some(view.now);
        }
    }

    pub fn judge(&self, s: &MovingOffSettings, view: &View, watches: &mut Watches, ranged: Option<&Ranged>) -> Verdict {
        if self.stood.is_none_or(|at| view.now.since(at).as_secs_f32() > s.for_s) {
            return Verdict::Clear("the vehicle has moved off");
        }
        let by_range = ranged.map(|r| {
            let text = format!("obstacle {:.1} m ahead, by the range finder", r.distance_m);
            by_distance(s, r.distance_m, r.closing_mps, || (text, r.ids.clone()))
        });
        let by_track = nearest(s, view, watches).map(|(threat, agreed)| {
            let m = &threat.motion;
            let verdict = by_distance(s, m.distance_m, m.closing_mps, || {
                let mut evidence = vec![threat.id, threat.evidence];
                evidence.extend(agreeing_range(view, m.distance_m));
                (format!("{} {:.1} m ahead", name(threat.class), m.distance_m.max(0.0)), evidence)
            });
            match verdict {
                Verdict::Warn(finding) if !agreed => Verdict::Hold(finding),
                other => other,
            }
        });
        let rank = |v: &Verdict| match v {
            Verdict::Warn(finding) => 2 + finding.level as u8,
            Verdict::Hold(_) => 1,
            _ => 0,
        };
        // The range finder, which measures, before the camera, which reckons, where both say as much.
        let said = [by_track, by_range].into_iter().flatten().max_by_key(rank);
        said.unwrap_or(Verdict::Clear("nothing is close ahead any more"))
    }
}

/// What a distance means, and how fast it shrinks.
fn by_distance(
    s: &MovingOffSettings,
    distance_m: f32,
    closing_mps: f32,
    words: impl FnOnce() -> (String, Vec<StableId>),
) -> Verdict {
    let distance_m = distance_m.max(0.0);
    let seconds = if closing_mps > STILL_MPS { distance_m / closing_mps } else { f32::MAX };
    // Faster than a vehicle that moves off: it is the other one that moves, past us or somewhere else.
    if closing_mps > s.most_speed_kmh / 3.6 + OWN_MARGIN_MPS {
        return Verdict::Clear("what comes nearer moves by itself");
    }
    if distance_m > HOLD * s.near_m || seconds == f32::MAX {
        return Verdict::Clear("nothing is close ahead any more, or it comes no nearer");
    }
    let warn = distance_m <= s.near_m
        && closing_mps >= s.least_closing_mps
        && (seconds <= s.caution_s || distance_m <= s.touch_m);
    let urgent = distance_m <= s.touch_m || seconds <= URGENT_S;
    let level = if urgent { AlertLevel::Warning } else { AlertLevel::Caution };
    let (text, evidence) = words();
    let finding = Finding::new(level, format!("moving off: {text}, {:.1} m/s", closing_mps), evidence);
    if warn { Verdict::Warn(finding) } else { Verdict::Hold(finding) }
}

/// The nearest confirmed obstacle in the path, and whether looks agree that it comes nearer.
fn nearest<'a>(s: &MovingOffSettings, view: &View<'a>, watches: &mut Watches) -> Option<(&'a Threat, bool)> {
    let mut nearest: Option<(&Threat, bool)> = None;
    for &threat in &view.objects {
        let m = &threat.motion;
        let solid = !matches!(threat.class, ObjectClass::Other(_)) || m.sources.range;
        if !threat.confirmed || !m.in_path || !solid {
            continue;
        }
        let Some(watch) = watches.of(threat.id) else { continue };
        let sure_mps = m.closing_mps - m.closing_sigma_mps;
        let yes = m.distance_m <= s.near_m && m.closing_mps >= s.least_closing_mps && sure_mps > 0.0;
        watch.vote(Ballot::MovingOff, Vote { caution: if yes { Word::Yes } else { Word::No }, warning: Word::No });
        if nearest.is_none_or(|(t, _)| m.distance_m < t.motion.distance_m) {
            nearest = Some((threat, watch.agreed(Ballot::MovingOff).is_some()));
        }
    }
    nearest
}
