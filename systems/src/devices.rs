//! Devices as entities: one a stream, spawned before the first tick.

use std::collections::BTreeMap;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::registry::Register;

/// Registers what devices and samples are made of.
pub struct DevicesPlugin;

impl Plugin for DevicesPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<DeviceIndex>().exempt::<DeviceIndex>("finds entities, which differ from run to run");
        app.state::<Stamp>()
            .state::<Camera>()
            .state::<Microphone>()
            .state::<GpsReceiver>()
            .state::<RangeSensor>()
            .state::<DriveRecorder>()
            .state::<Loudspeaker>()
            .state::<Broker>()
            .state::<Uplink>()
            .state::<RemoteApi>()
            .state::<Link>()
            .state::<Description>()
            .state::<Counters>()
            .state::<Fresh>()
            .state::<Health>()
            .state::<Track>()
            .state::<Alert>()
            .tick_message::<Notice>();
    }
}

/// Finds the entity of a device by its stream.
#[derive(Resource, Default)]
pub struct DeviceIndex(BTreeMap<StreamId, Entity>);

impl DeviceIndex {
    /// The device of a stream.
    pub fn get(&self, stream: StreamId) -> Option<Entity> {
        self.0.get(&stream).copied()
    }
}

/// Spawns the devices of a session, and what records it.
pub fn spawn(world: &mut World, streams: &[StreamSpec]) {
    for spec in streams {
        let id = StableId::device(spec.id);
        match &spec.kind {
            StreamKind::Camera { role, geometry } => world.spawn((id, Camera { role: *role, geometry: *geometry })),
            StreamKind::Microphone => world.spawn((id, Microphone)),
            StreamKind::Gps { protocol } => world.spawn((id, GpsReceiver { protocol: *protocol })),
            StreamKind::Range { protocol } => world.spawn((id, RangeSensor { protocol: *protocol })),
            StreamKind::Truth => continue,
        };
    }
    // A drive that is not recorded has one too: it waits, and says so.
    world.spawn((StableId::device(StreamId::RECORDER), DriveRecorder));
    index(world);
}

/// Spawns the service that computes models elsewhere, and `alone` those of these roles.
pub fn spawn_remote(world: &mut World, alone: impl IntoIterator<Item = JobRole>) {
    world.spawn((StableId::device(StreamId::REMOTE), RemoteApi { alone: alone.into_iter().collect() }));
    index(world);
}

/// Spawns the loudspeaker.
pub fn spawn_speaker(world: &mut World) {
    world.spawn((StableId::device(StreamId::SPEAKER), Loudspeaker));
    index(world);
}

/// Finds the devices anew, after a snapshot has been restored.
pub fn index(world: &mut World) {
    let mut devices = world.query_filtered::<(Entity, &StableId), With<Counters>>();
    let found = devices.iter(world).map(|(entity, id)| (id.stream, entity)).collect();
    world.insert_resource(DeviceIndex(found));
}
