//! Ego motion: how the own vehicle moves.

use std::time::Duration;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;
use waywarden_perception::ego;

use crate::registry::Register;

/// How often it is concluded anew between fixes.
const AGAIN: Duration = Duration::from_millis(100);

/// Keeps how the vehicle moves.
pub struct EgoPlugin;

impl Plugin for EgoPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<EgoHistory>().init_resource::<EgoMotion>();
        app.state_resource::<EgoHistory>().state_resource::<EgoMotion>();
        app.add_systems(Understand, follow.in_set(Insight::Ego));
    }
}

/// Takes the newest fix of the first receiver that can be relied on, and the bend of the front camera's lane.
pub fn follow(
    receivers: Query<(&StableId, &Fresh, &GpsState)>,
    cameras: Query<(&StableId, &Camera, &Fresh, &EgoLane)>,
    clock: Res<Clock>,
    mut history: ResMut<EgoHistory>,
    mut motion: ResMut<EgoMotion>,
) {
    let mut is_due = now_due(&motion, &clock);
    let receiver = receivers.iter().filter(|(_, fresh, _)| fresh.0).min_by_key(|(id, ..)| **id);
    if let Some((_, _, gps)) = receiver
        && let (Some(at), Some(fix)) = (gps.last_fix, &gps.fix)
        && let Some(speed) = fix.speed_mps
        && history.samples.last().is_none_or(|last| last.at < at)
    {
        let course_deg = fix.course_deg.map(|course| course as f32);
        is_due = true;
        ego::take(&mut history, EgoSample { at, speed_mps: speed as f32, course_deg });
    }
    // One that cannot be relied on any more is told at once.
    if !is_due && receiver.is_some() == motion.speed_mps.is_some() {
        return;
    }
    let front = cameras.iter().filter(|(_, camera, fresh, _)| camera.role == CameraRole::Front && fresh.0);
    let lane = front.min_by_key(|(id, ..)| **id).and_then(|(_, _, _, lane)| lane.estimate.geometry);
    let curvature = lane.map(|lane| lane.curvature_per_m);
    let concluded = ego::motion(&history, clock.now, receiver.is_some(), curvature);
    // Where nothing is known, nothing changes but the time.
    if concluded.speed_mps.is_some() || (EgoMotion { at: motion.at, ..concluded }) != *motion {
        *motion = concluded;
    }
}

/// Whether what was concluded is so old that the vehicle may have another speed by now.
fn now_due(motion: &EgoMotion, clock: &Clock) -> bool {
    clock.now.since(motion.at) >= AGAIN
}

#[cfg(test)]
mod tests {
    use bevy_ecs::system::RunSystemOnce;

    use super::*;

    #[test]
    fn the_first_fresh_receiver_tells_the_speed_and_a_stale_one_nothing() {
        let mut world = World::new();
        world.init_resource::<EgoHistory>();
        world.init_resource::<EgoMotion>();
        world.insert_resource(Clock { now: Mono::from_secs_f64(5.2), ..Clock::default() });
        let state = |speed: f64| GpsState {
            last_fix: Some(Mono::from_secs_f64(5.0)),
            fix: Some(GpsFix { speed_mps: Some(speed), course_deg: Some(90.0), ..GpsFix::default() }),
            ..GpsState::default()
        };
        let id = |stream| StableId::device(StreamId(stream));
        let stale = world.spawn((id(1), GpsReceiver::default(), state(99.0))).id();
        let good = world.spawn((id(2), GpsReceiver::default(), state(20.0))).id();
        world.entity_mut(stale).insert(Fresh(false));
        world.entity_mut(good).insert(Fresh(true));
        world.run_system_once(follow).unwrap();
        let motion = *world.resource::<EgoMotion>();
        assert_eq!((motion.speed_mps, motion.heading_deg, motion.standing), (Some(20.0), Some(90.0), false));
        world.entity_mut(good).insert(Fresh(false));
        world.run_system_once(follow).unwrap();
        assert_eq!(world.resource::<EgoMotion>().speed_mps, None);
    }
}
