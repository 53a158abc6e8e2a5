//! Whether a function works: off, standby, active, degraded or fault, after ISO 15623 and ISO 17361, and why.

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;

use super::scene::{Conditions, View};
use super::settings::WarningSettings;

/// A function that nothing is looked at for, for so long though camera and model work, has failed its self-test, in s.
const TEST_FAILS_S: f64 = 10.0;
/// The speed at which a function works again lies so much inside its limits, in m/s.
const SPEED_HYSTERESIS_MPS: f32 = 0.6;
/// A curve ends a function where it is so much sharper than the limit, as a share.
const CURVE_HYSTERESIS: f32 = 1.15;

/// How a function is on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Since when all its inputs are fresh.
    fresh_since: Option<Mono>,
    /// Since when nothing is looked at for it.
    blind_since: Option<Mono>,
    /// Whether its speed was in range, and the curve not too sharp.
    in_range: bool,
}

/// The state of a function, with the reason.
pub(super) type State = (FunctionState, String);

/// Whether a function warns in this state.
pub(super) fn works(state: FunctionState) -> bool {
    matches!(state, FunctionState::Active | FunctionState::Degraded)
}

/// What a function works with, of the conditions.
enum Means {
    /// All there.
    Whole,
    /// The range finder alone.
    RangeAlone(String),
}

/// What a function asks for.
struct Needs {
    enabled: bool,
    /// Least and highest own speed in km/h.
    speed_kmh: (f32, f32),
    /// Least radius in metres.
    radius_m: f32,
}

/// Judges the function `kind`.
pub(super) fn assess(kind: AlertKind, progress: &mut Progress, settings: &WarningSettings, view: &View) -> State {
    let needs = needs(kind, settings);
    if !needs.enabled {
        *progress = Progress::default();
        return (FunctionState::Off, format!("switched off in the config: warnings.{kind}.enabled"));
    }
    if let Err(why) = &view.conditions.privacy {
        *progress = Progress::default();
        return (FunctionState::Off, why.clone());
    }
    let means = match means(kind, view.conditions) {
        Ok(means) => means,
        Err(why) => {
            *progress = Progress::default();
            return (FunctionState::Fault, why);
        }
    };
    if let Err((state, why)) = inputs(kind, &means, progress, view) {
        progress.fresh_since = None;
        return (state, why);
    }
    let since = *progress.fresh_since.get_or_insert(view.now);
    if view.now.since(since).as_secs_f32() < settings.self_test_s {
        return (FunctionState::Standby, "self-test: inputs are fresh, and watched for a moment".into());
    }
    let in_range = in_range(kind, &needs, progress.in_range, &means, settings, view);
    progress.in_range = in_range.is_ok();
    match (in_range, means) {
        (Err(why), _) => (FunctionState::Standby, why),
        (Ok(()), Means::Whole) => (FunctionState::Active, String::new()),
        (Ok(()), Means::RangeAlone(why)) => (FunctionState::Degraded, why),
    }
}

fn needs(kind: AlertKind, settings: &WarningSettings) -> Needs {
    let all = f32::MAX;
    let (enabled, speed_kmh, radius_m) = match kind {
        AlertKind::ForwardCollision => {
            let s = &settings.forward_collision;
            (s.enabled, (s.least_speed_kmh, all), s.least_radius_m)
        }
        AlertKind::Headway => (settings.headway.enabled, (settings.headway.least_speed_kmh, all), 0.0),
        AlertKind::LaneDeparture => {
            let s = &settings.lane_departure;
            (s.enabled, (s.least_speed_kmh, all), s.least_radius_m)
        }
        AlertKind::VulnerableRoadUser => {
            let s = &settings.vulnerable_road_user;
            (s.enabled, (s.least_speed_kmh, s.most_speed_kmh), 0.0)
        }
        AlertKind::MovingOff => (settings.moving_off.enabled, (0.0, settings.moving_off.most_speed_kmh), 0.0),
    };
    Needs { enabled, speed_kmh, radius_m }
}

/// Whether what the function is made with works, and if not what is wrong.
fn means(kind: AlertKind, conditions: &Conditions) -> Result<Means, String> {
    let seeing = match kind {
        AlertKind::LaneDeparture => &conditions.lanes,
        _ => &conditions.detection,
    };
    let Err(why) = conditions.cameras.as_ref().and(seeing.as_ref()) else { return Ok(Means::Whole) };
    let alone = matches!(kind, AlertKind::ForwardCollision | AlertKind::MovingOff) && conditions.range.is_ok();
    if alone {
        Ok(Means::RangeAlone(format!("cameras do not detect ({why}): the range finder alone warns")))
    } else {
        Err(why.clone())
    }
}

/// Whether what the function is made of is there and fresh.
fn inputs(kind: AlertKind, means: &Means, progress: &mut Progress, view: &View) -> Result<(), State> {
    let standby = |why: &str| Err((FunctionState::Standby, why.to_owned()));
    if kind == AlertKind::LaneDeparture {
        if view.lane.is_none() {
            return standby("no lane is seen");
        }
    } else if matches!(means, Means::RangeAlone(_)) {
        // Nothing within its reach is an answer of a range finder that works.
        progress.blind_since = None;
    } else if view.look.is_none() {
        let since = *progress.blind_since.get_or_insert(view.now);
        if view.now.since(since).as_secs_f64() > TEST_FAILS_S {
            let why =
                "self-test failed: no picture was looked at for 10 s; check the front camera and the computer's load";
            return Err((FunctionState::Fault, why.into()));
        }
        return standby("waiting for a fresh picture of the front camera to be looked at");
    } else {
        progress.blind_since = None;
    }
    match (&view.conditions.speed, view.speed_mps, view.standing) {
        (_, None, true) if kind == AlertKind::MovingOff => Ok(()),
        (Err(why), ..) => standby(why),
        (Ok(()), None, _) => standby("the own speed is not known: waiting for the GPS receiver"),
        _ => Ok(()),
    }
}

/// Whether the vehicle moves in the way that the function is for.
fn in_range(
    kind: AlertKind,
    needs: &Needs,
    was: bool,
    means: &Means,
    settings: &WarningSettings,
    view: &View,
) -> Result<(), String> {
    let (least, mut most) = needs.speed_kmh;
    if kind == AlertKind::ForwardCollision && matches!(means, Means::RangeAlone(_)) {
        most = settings.forward_collision.range_alone_kmh;
    }
    let slack = if was { SPEED_HYSTERESIS_MPS } else { 0.0 };
    let speed_mps = view.speed_mps.unwrap_or(0.0);
    if least > 0.0 && speed_mps < least / 3.6 - slack {
        return Err(format!("slower than {least} km/h"));
    }
    if speed_mps > most / 3.6 + slack {
        return Err(format!("faster than {most} km/h"));
    }
    let slack = if was { CURVE_HYSTERESIS } else { 1.0 };
    if view.curvature_per_m * needs.radius_m > slack {
        return Err(format!("the curve is sharper than a radius of {} m", needs.radius_m));
    }
    let confidence = view.lane.map_or(0.0, |lane| lane.confidence);
    let least = settings.lane_departure.least_confidence - if was { 0.1 } else { 0.0 };
    if kind == AlertKind::LaneDeparture && confidence < least {
        return Err("the lane is not seen well enough".into());
    }
    Ok(())
}
