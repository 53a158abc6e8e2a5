//! When what is seen is worth a warning: five functions, each with its state and its warnings from start to end.
//!
//! | function | when | after |
//! |---|---|---|
//! | `collision` | a vehicle in the path is reached in 2.7 s (look) or 2.1 s (act) | ISO 15623 |
//! | `headway` | the time gap is below 0.9 s for 2 s | ISO 15622, BKatV |
//! | `lane_departure` | the line of the lane is reached in 0.6 s, or left 0.1 m behind | ISO 17361 |
//! | `vulnerable` | a person or bicycle in the path, or walking into it, is reached in 2.7 s or 2 s | as above |
//! | `moving_off` | a vehicle that stood rolls towards something within 2.5 m | UN R159 |
//!
//! The standards are named for what is publicly known of them; nothing here is tested for conformity. Warnings are for
//! a driver who keeps watching the road: what is doubtful is not said. Whatever is stale, or no number, is left out, and
//! a function that has nothing to go by says so in its state.

mod collision;
mod episode;
mod function;
mod headway;
mod lane_departure;
mod moving_off;
pub mod scene;
pub mod settings;
mod vulnerable;
mod watch;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;

pub use episode::AlertChange;
use episode::{Episodes, Pace, Verdict};
use function::{Progress, works};
use scene::{Scene, View};
pub use settings::WarningSettings;
use watch::Ranged;

/// All warning functions, and the warnings that run. Restored from what `serde` saved of it, it goes on bit for bit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Warnings {
    functions: WarningFunctions,
    progress: BTreeMap<AlertKind, Progress>,
    episodes: BTreeMap<AlertKind, Episodes>,
    /// The number of the last warning that began.
    last_number: u64,
    watches: watch::Watches,
    ranging: watch::Ranging,
    lane: lane_departure::LaneKeeping,
    following: headway::Following,
    moved: moving_off::MovingOff,
}

impl Warnings {
    /// Takes what is known now; says what began, changed and ended by it, at most one change for each kind, in the order
    /// of [`AlertKind::ALL`].
    pub fn step(&mut self, settings: &WarningSettings, scene: &Scene) -> Vec<AlertChange> {
        let view = View::new(settings, scene);
        let fault = settings.fault();
        self.watches.look(&view);
        self.ranging.look(&view);
        self.lane.look(settings, &view);
        self.moved.look(&view);
        let ranged = self.ranging.ahead(&view);
        let mut changes = Vec::new();
        for kind in AlertKind::ALL {
            let state = self.assess(kind, settings, &view, fault.as_deref());
            let verdict = match works(state.0) {
                true => Some(self.judge(kind, settings, &view, ranged.as_ref())),
                false => {
                    self.forget(kind);
                    None
                }
            };
            changes.extend(self.tell(kind, settings, view.now, verdict, &state.1));
            self.functions.0.insert(kind, WarningFunction { state: state.0, reason: state.1 });
        }
        changes
    }

    /// How the functions are, as of the last step.
    pub fn functions(&self) -> &WarningFunctions {
        &self.functions
    }

    fn assess(
        &mut self,
        kind: AlertKind,
        settings: &WarningSettings,
        view: &View,
        fault: Option<&str>,
    ) -> function::State {
        let progress = self.progress.entry(kind).or_default();
        match fault {
            Some(why) => {
                *progress = Progress::default();
                (FunctionState::Fault, format!("the config is not permitted: warnings.{why}"))
            }
            None => function::assess(kind, progress, settings, view),
        }
    }

    fn judge(&mut self, kind: AlertKind, settings: &WarningSettings, view: &View, ranged: Option<&Ranged>) -> Verdict {
        match kind {
            AlertKind::ForwardCollision => {
                let changing = self.lane.changing(settings, view);
                collision::judge(settings, view, &mut self.watches, ranged, changing)
            }
            AlertKind::Headway => self.following.judge(&settings.headway, view),
            AlertKind::LaneDeparture => self.lane.judge(settings, view),
            AlertKind::VulnerableRoadUser => vulnerable::judge(settings, view, &mut self.watches),
            AlertKind::MovingOff => self.moved.judge(&settings.moving_off, view, &mut self.watches, ranged),
        }
    }

    /// What a function that does not work forgets of what it was about to warn of.
    fn forget(&mut self, kind: AlertKind) {
        match kind {
            AlertKind::Headway => self.following.forget(),
            AlertKind::LaneDeparture => self.lane.forget(),
            _ => (),
        }
    }

    /// Makes of a verdict what is told; of none, that the function does not work, for the reason `state`.
    fn tell(
        &mut self,
        kind: AlertKind,
        settings: &WarningSettings,
        now: Mono,
        verdict: Option<Verdict>,
        state: &str,
    ) -> Option<AlertChange> {
        let again_s = match kind {
            AlertKind::ForwardCollision => settings.forward_collision.again_s,
            AlertKind::Headway => settings.headway.again_s,
            AlertKind::LaneDeparture => settings.lane_departure.again_s,
            AlertKind::VulnerableRoadUser => settings.vulnerable_road_user.again_s,
            AlertKind::MovingOff => settings.moving_off.again_s,
        };
        let pace = Pace { again_s, text_s: settings.text_s };
        let episodes = self.episodes.entry(kind).or_default();
        match verdict {
            None => episodes.end(now, state),
            Some(verdict) => episodes.step(kind, now, verdict, pace, &mut self.last_number),
        }
    }
}
