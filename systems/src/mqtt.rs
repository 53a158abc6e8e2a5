//! MQTT: what leaves the vehicle, and what it is told to do.
//!
//! [`publish`] says what there is to say, in the tick, the same in a replay. The [`outbox`] keeps it until the broker has
//! it: in memory and on disk ([`spool`]). The [`link`] connects, sends and listens, on a thread of its own under the
//! supervisor. What it hears, whether it is connected and how messages fare comes back through the door.

pub mod home_assistant;
pub mod link;
pub mod outbox;
pub mod owntracks;
pub mod publish;
pub mod receive;
pub mod seen;
pub mod spool;
pub mod wire;

use std::time::Duration;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::registry::Register;
use outbox::Outbox;
pub use publish::STREAMS;

/// Tells a broker what there is to tell.
#[derive(Resource, Clone, Debug)]
pub struct MqttPlugin {
    /// Whether there is a broker.
    pub enabled: bool,
    /// Streams by the names of the config.
    pub names: Vec<(StreamId, String)>,
    /// Messages a second at most, by stream of [`STREAMS`].
    pub rates_hz: [f64; STREAMS.len()],
    /// After this time what has not changed is told all the same.
    pub heartbeat: Duration,
    /// How far the vehicle must have moved for its position to be told, in metres.
    pub position_m: f64,
    /// How much its speed must have changed, in kilometres an hour.
    pub speed_kmh: f64,
    /// How far it must have moved in its lane, in metres.
    pub lane_m: f64,
    /// How much the distance to what the range finder sees must have changed, in metres.
    pub distance_m: f64,
    /// How long telemetry is worth anything.
    pub keep_telemetry: Duration,
    /// How long events, answers and pictures are.
    pub keep_events: Duration,
    /// Whether lanes are looked for.
    pub lanes: bool,
}

impl Plugin for MqttPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.clone()).init_resource::<Telemetry>();
        app.exempt::<MqttPlugin>("the config, which the session holds")
            .exempt::<Outbox>("the outside")
            .state_resource::<Telemetry>();
        app.add_systems(Sense, receive::receive).add_systems(Act, publish::publish);
        if self.enabled {
            app.world_mut().spawn((StableId::device(StreamId::BROKER), Broker));
        }
    }
}

impl MqttPlugin {
    /// What a stream is called.
    fn name(&self, stream: StreamId) -> String {
        let known = self.names.iter().find(|(id, _)| *id == stream).map(|(_, name)| name.clone());
        known.or_else(|| stream.own_name().map(str::to_owned)).unwrap_or_else(|| format!("stream-{}", stream.0))
    }

    fn rate_hz(&self, stream: &str) -> f64 {
        STREAMS.iter().position(|name| *name == stream).map_or(0.0, |n| self.rates_hz[n])
    }
}
