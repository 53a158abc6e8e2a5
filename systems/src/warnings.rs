//! Warnings: what is known of the road ahead is judged in each tick, and what is worth it becomes an alert.

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;
pub use waywarden_perception::warnings::WarningSettings;
use waywarden_perception::warnings::scene::{Conditions, LaneSeen, Look, RangeSeen, Scene, Threat};
use waywarden_perception::warnings::{AlertChange, Warnings};

use crate::emit::{Emit, Token};
use crate::following::{FollowSettings, Following, Known};
use crate::registry::Register;

/// Warns.
#[derive(Resource, Clone, Debug, Default)]
pub struct WarningPlugin {
    /// When warnings are given.
    pub settings: WarningSettings,
    /// Whether lanes are looked for at all, and obstacles.
    pub lanes: bool,
    /// See `lanes`.
    pub detection: bool,
    /// Whether lanes are sought without a model where there is none.
    pub classical: bool,
}

/// What the warning functions remember. Written by [`warn`].
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Warner(#[serde(with = "crate::opaque")] Memory);

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Memory {
    warnings: Warnings,
    /// When it was judged last, and by which frame.
    judged: Option<Mono>,
    frame: Option<StableId>,
}

waywarden_components::kinds! { Warner => "warner" }

impl Plugin for WarningPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.clone())
            .init_resource::<Warner>()
            .init_resource::<WarningFunctions>()
            .init_resource::<Token<Alert>>();
        app.exempt::<WarningPlugin>("the config, which the session holds")
            .payload_resource::<Warner>("what is made of it, alerts and functions, is digested")
            .state_resource::<WarningFunctions>()
            .exempt::<Token<Alert>>("declares access, holds nothing");
        app.add_systems(Understand, warn.in_set(Insight::Warnings));
    }
}

/// Time after which all is judged anew although nothing has been seen: things move on.
const AGAIN_MS: u128 = 40;

/// The front camera and what is known of its lanes.
type Fronts<'w, 's> = Query<
    'w,
    's,
    (&'static StableId, &'static Camera, &'static Link, &'static Sight, &'static Fresh, &'static EgoLane),
>;
/// Range finders.
type Ranges<'w, 's> =
    Query<'w, 's, (&'static StableId, &'static Link, &'static Fresh, &'static RangeState), With<RangeSensor>>;

/// Judges what is known, and keeps the alerts.
pub fn warn(
    (cameras, ranges, receivers): (Fronts, Ranges, Query<&Link, With<GpsReceiver>>),
    (motion, following, follow): (Res<EgoMotion>, Res<Following>, Res<FollowSettings>),
    (models, plugin, clock): (Res<ModelStatus>, Res<WarningPlugin>, Res<Clock>),
    (mut warner, mut functions): (ResMut<Warner>, ResMut<WarningFunctions>),
    mut alerts: Query<(&StableId, &mut Alert)>,
    mut emit: Emit<Alert>,
) {
    let now = clock.now;
    let age = |at: Mono| now.since(at).as_secs_f32();
    let front = cameras.iter().filter(|(_, camera, ..)| camera.role == CameraRole::Front).min_by_key(|(id, ..)| **id);
    let usable = front.filter(|(.., fresh, _)| fresh.0);
    let frame = usable.and_then(|(id, ..)| following.0.get(&id.stream)?.frame);
    let is_due = warner.0.judged.is_none_or(|last| now.since(last).as_millis() >= AGAIN_MS) || warner.0.frame != frame;
    if !is_due {
        return;
    }
    (warner.0.judged, warner.0.frame) = (Some(now), frame);
    let lane = usable.and_then(|(.., lane)| {
        let (geometry, frame) = (lane.estimate.geometry?, lane.frame?);
        Some(LaneSeen { geometry, age_s: age(lane.captured?), confidence: lane.estimate.confidence, frame })
    });
    let followed = usable.and_then(|(id, ..)| Some((id.stream, following.0.get(&id.stream)?)));
    let look =
        followed.and_then(|(_, followed)| Some(Look { frame: followed.frame?, age_s: age(followed.captured()?) }));
    let objects: Vec<Threat> = followed.map_or_else(Vec::new, |(stream, followed)| {
        let threat = |known: Known| Threat {
            id: known.id,
            class: known.tracked.class,
            motion: known.motion,
            age_s: age(known.tracked.last_seen),
            confirmed: known.tracked.confirmed,
            evidence: known.frame,
        };
        followed.at(stream, &follow.ranging, now).into_iter().map(threat).collect()
    });
    let finder = ranges.iter().min_by_key(|(id, ..)| **id);
    let range = finder.filter(|(_, _, fresh, _)| fresh.0).and_then(|(id, _, _, state)| {
        let (distance_m, at) = (state.distance_m?, state.last_valid?);
        Some(RangeSeen { id: StableId::new(id.stream, state.valid), distance_m, closing_mps: None, age_s: age(at) })
    });
    let conditions = Conditions {
        privacy: Ok(()),
        cameras: camera_condition(front.map(|(_, _, link, sight, ..)| (link, sight))),
        lanes: model_condition(&models, JobRole::Segmentation, plugin.lanes, plugin.classical),
        detection: model_condition(&models, JobRole::Detection, plugin.detection, false),
        range: link_condition("range finder", finder.map(|(_, link, ..)| link)),
        speed: link_condition("satellite receiver", receivers.iter().next()),
    };
    let scene = Scene { now, ego: &motion, lane, look, objects: &objects, range, conditions: &conditions };
    let changes = warner.0.warnings.step(&plugin.settings, &scene);
    functions.set_if_neq(warner.0.warnings.functions().clone());
    for change in changes {
        tell(change, now, &mut alerts, &mut emit);
    }
}

/// Makes a change of a warning one of its alert.
fn tell(change: AlertChange, now: Mono, alerts: &mut Query<(&StableId, &mut Alert)>, emit: &mut Emit<Alert>) {
    let number = match &change {
        AlertChange::Start { number, .. } | AlertChange::Update { number, .. } | AlertChange::End { number, .. } => {
            *number
        }
    };
    let id = StableId::new(StreamId::ALERTS, number);
    let known = alerts.iter_mut().find(|(own, _)| **own == id).map(|(_, alert)| alert);
    match (change, known) {
        (AlertChange::Start { alert, .. }, None) => emit.spawn((id, alert)),
        (AlertChange::Start { alert, .. } | AlertChange::Update { alert, .. }, Some(mut own)) => *own = alert,
        (AlertChange::End { .. }, Some(mut own)) => own.ended = Some(now),
        (AlertChange::Update { .. } | AlertChange::End { .. }, None) => {}
    }
}

fn camera_condition(front: Option<(&Link, &Sight)>) -> Result<(), String> {
    let Some((link, sight)) = front else { return Err("there is no front camera".to_owned()) };
    match sight.fault {
        Some(fault) => Err(fault.words().to_owned()),
        None => link_condition("front camera", Some(link)),
    }
}

/// A device that is being opened is none that fails.
fn link_condition(what: &str, link: Option<&Link>) -> Result<(), String> {
    match link.map(|link| &link.state) {
        None => Err(format!("there is no {what}")),
        Some(LinkState::Connected | LinkState::Connecting) => Ok(()),
        Some(LinkState::Lost(reason) | LinkState::Failed(reason)) => Err(format!("{what}: {reason}")),
        Some(LinkState::Ended) => Err(format!("{what}: at its end")),
    }
}

fn model_condition(models: &ModelStatus, role: JobRole, wanted: bool, without: bool) -> Result<(), String> {
    match models.roles.get(&role) {
        _ if !wanted => Err(format!("{role}.enabled is false")),
        Some(Ok(_)) => Ok(()),
        _ if without => Ok(()),
        Some(Err(reason)) => Err(reason.clone()),
        None => Err(format!("there is no model for {role}")),
    }
}

#[cfg(test)]
mod tests;
