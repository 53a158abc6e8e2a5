//! The Retire phase: what nobody holds is despawned.

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::registry::clear_messages;

/// Wires the Retire phase.
pub struct RetirePlugin;

impl Plugin for RetirePlugin {
    fn build(&self, app: &mut App) {
        app.add_systems(Retire, retire);
    }
}

/// Despawns samples and one-tick findings, unless a job waits for them or looks at them, tracks that are lost and alerts that
/// have ended; forgets the tick's messages.
pub fn retire(
    world: &mut World,
    samples: &mut QueryState<(Entity, &StableId), With<Stamp>>,
    tracks: &mut QueryState<(Entity, &Track)>,
    alerts: &mut QueryState<(Entity, &Alert)>,
    operators: &mut QueryState<(Entity, &OperatorSession)>,
) {
    let jobs = world.resource::<Jobs>();
    let mut gone: Vec<Entity> =
        samples.iter(world).filter(|(_, id)| !jobs.holds(**id)).map(|(entity, _)| entity).collect();
    gone.extend(tracks.iter(world).filter(|(_, track)| track.lost).map(|(entity, _)| entity));
    gone.extend(alerts.iter(world).filter(|(_, alert)| alert.ended.is_some()).map(|(entity, _)| entity));
    gone.extend(operators.iter(world).filter(|(_, session)| session.ended.is_some()).map(|(entity, _)| entity));
    for entity in gone {
        world.despawn(entity);
    }
    clear_messages(world);
}
