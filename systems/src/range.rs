//! Range finders.

pub mod protocol;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;

use crate::emit::{Emit, Token};
use crate::registry::Register;
use protocol::RangeEvent;

/// Reads range finders: bytes in, one [`RangeReading`] for each measurement out, usable or not.
pub struct RangePlugin;

impl Plugin for RangePlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<Token<RangeReading>>();
        app.register_required_components::<RangeSensor, RangeReader>();
        app.state::<RangeReading>()
            .state::<RangeState>()
            .state::<RangeReader>()
            .exempt::<Token<RangeReading>>("declares access, holds nothing");
        app.add_systems(Sense, parse);
    }
}

/// What a range finder's bytes have not made complete yet. Written by [`parse`].
#[derive(Component, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RangeReader(pub protocol::RangeReader);

waywarden_components::kinds! { RangeReader => "range_reader" }

/// What the entity of a range finder needs besides its `StableId` and what all devices have.
pub fn sensor(protocol: RangeProtocol) -> impl Bundle {
    (RangeSensor { protocol }, RangeState::default(), RangeReader::default())
}

/// Range finders, and what is known of them.
type Sensors<'w, 's> = Query<
    'w,
    's,
    (&'static StableId, &'static RangeSensor, &'static Fresh, &'static mut RangeState, &'static mut RangeReader),
>;

/// Reads the bytes that came from range finders, counts what they were and emits the readings.
pub fn parse(
    mut serial: MessageReader<SerialBytes>,
    mut events: MessageReader<DeviceEvent>,
    mut sensors: Sensors,
    mut emit: Emit<RangeReading>,
) {
    for (_, _, _, mut state, _) in
        sensors.iter_mut().filter(|(_, _, fresh, state, _)| !fresh.0 && state.distance_m.is_some())
    {
        state.distance_m = None;
    }
    // A new connection begins before its bytes, a hole lies behind what the full queue still held.
    let events: Vec<_> = events.read().collect();
    for event in &events {
        if let DeviceEvent::Link { stream, state: LinkState::Connected, .. } = event {
            resync(&mut sensors, *stream);
        }
    }
    for input in serial.read() {
        let sensor = sensors.iter_mut().find(|(id, ..)| id.stream == input.stream);
        if let Some((id, sensor, _, mut state, mut reader)) = sensor {
            read(id.stream, sensor.protocol, &mut state, &mut reader.0, input, &mut emit);
        }
    }
    for event in &events {
        if let DeviceEvent::Dropped { stream, .. } = event {
            resync(&mut sensors, *stream);
        }
    }
}

fn resync(sensors: &mut Sensors, stream: StreamId) {
    if let Some((.., mut reader)) = sensors.iter_mut().find(|(id, ..)| id.stream == stream) {
        reader.0.resync();
    }
}

fn read(
    stream: StreamId,
    protocol: RangeProtocol,
    state: &mut RangeState,
    reader: &mut protocol::RangeReader,
    input: &SerialBytes,
    emit: &mut Emit<RangeReading>,
) {
    reader.read(protocol, &input.bytes, |event| match event {
        RangeEvent::Reading(reading) => {
            if reading.validity == RangeValidity::Valid {
                state.valid += 1;
                state.last_valid = Some(input.captured);
                state.distance_m = Some(reading.distance_m);
            } else {
                state.invalid += 1;
            }
            let seq = state.valid + state.invalid;
            emit.spawn((StableId::new(stream, seq), Stamp { captured: input.captured, seq }, reading));
        }
        RangeEvent::Bad => state.bad += 1,
        RangeEvent::Stray(count) => state.stray_bytes += u64::from(count),
    });
}

#[cfg(test)]
mod tests {
    use bevy_ecs::system::RunSystemOnce;
    use bytes::Bytes;

    use super::*;

    fn world() -> World {
        let mut world = World::new();
        world.init_resource::<Messages<SerialBytes>>();
        world.init_resource::<Messages<DeviceEvent>>();
        world.init_resource::<Token<RangeReading>>();
        world.spawn((StableId::device(StreamId(6)), sensor(RangeProtocol::Ascii)));
        world.spawn((StableId::device(StreamId(5)), sensor(RangeProtocol::Tfmini)));
        world
    }

    fn tick(world: &mut World, now: u64, inputs: &[(u16, &[u8])], events: &[DeviceEvent]) {
        world.resource_mut::<Messages<SerialBytes>>().clear();
        world.resource_mut::<Messages<DeviceEvent>>().clear();
        for (stream, bytes) in inputs {
            let bytes = Bytes::copy_from_slice(bytes);
            world.write_message(SerialBytes { stream: StreamId(*stream), captured: Mono::from_nanos(now), bytes });
        }
        for event in events {
            world.write_message(event.clone());
        }
        world.run_system_once(parse).unwrap();
    }

    fn readings(world: &mut World) -> Vec<(StableId, Stamp, RangeReading)> {
        let mut query = world.query::<(&StableId, &Stamp, &RangeReading)>();
        let mut all: Vec<_> = query.iter(world).map(|(id, stamp, reading)| (*id, *stamp, reading.clone())).collect();
        all.sort_by_key(|(id, ..)| *id);
        all
    }

    fn state(world: &mut World, stream: u16) -> RangeState {
        let mut query = world.query::<(&StableId, &RangeState)>();
        query.iter(world).find(|(id, _)| id.stream.0 == stream).unwrap().1.clone()
    }

    const METRE: [u8; 9] = [0x59, 0x59, 0x64, 0x00, 0xe8, 0x03, 0xe0, 0x08, 0xe9];
    const WEAK: [u8; 9] = [0x59, 0x59, 0x64, 0x00, 0x10, 0x00, 0xe0, 0x08, 0x0e];

    #[test]
    fn frames_become_readings_that_count_on() {
        let mut world = world();
        tick(&mut world, 1, &[(5, &METRE), (5, &WEAK[..4]), (9, &METRE)], &[]);
        tick(&mut world, 2, &[(5, &WEAK[4..]), (5, b"x"), (5, &METRE)], &[]);
        let found = readings(&mut world);
        let summary: Vec<_> =
            found.iter().map(|(id, stamp, r)| (id.seq, stamp.seq, stamp.captured.0, r.validity)).collect();
        use RangeValidity::*;
        assert_eq!(summary, [(1, 1, 1, Valid), (2, 2, 2, Weak), (3, 3, 2, Valid)]);
        let expected = RangeState {
            valid: 2,
            invalid: 1,
            bad: 0,
            stray_bytes: 1,
            last_valid: Some(Mono::from_nanos(2)),
            distance_m: Some(1.0),
        };
        assert_eq!(state(&mut world, 5), expected);
    }

    #[test]
    fn what_is_no_longer_fresh_is_no_distance() {
        let mut world = world();
        tick(&mut world, 1, &[(5, &METRE)], &[]);
        let mut fresh = world.query::<&mut Fresh>();
        for (now, is_fresh, distance) in [(2, true, Some(1.0)), (3, false, None), (4, false, None)] {
            fresh.iter_mut(&mut world).for_each(|mut fresh| fresh.0 = is_fresh);
            tick(&mut world, now, &[], &[]);
            let state = state(&mut world, 5);
            assert_eq!((state.distance_m, state.last_valid), (distance, Some(Mono::from_nanos(1))));
        }
        tick(&mut world, 5, &[(5, &METRE)], &[]);
        assert_eq!(state(&mut world, 5).distance_m, Some(1.0), "the reading with which it comes back counts");
    }

    #[test]
    fn the_plugin_puts_it_into_sense() {
        let mut app = App::new();
        app.add_message::<SerialBytes>().add_message::<DeviceEvent>().add_plugins(RangePlugin);
        app.world_mut().spawn((StableId::device(StreamId(5)), sensor(RangeProtocol::Tfmini)));
        let bytes = Bytes::from_static(&METRE);
        app.world_mut().write_message(SerialBytes { stream: StreamId(5), captured: Mono::default(), bytes });
        app.world_mut().run_schedule(Sense);
        assert_eq!(readings(app.world_mut()).len(), 1);
    }

    #[test]
    fn a_hole_in_the_bytes_makes_no_number_of_two_halves() {
        let mut world = world();
        let dropped = DeviceEvent::Dropped { stream: StreamId(6), policy: DropPolicy::KeepOldest, count: 1 };
        tick(&mut world, 1, &[(6, b"\r\n12.00\r\n1")], &[dropped]);
        tick(&mut world, 2, &[(6, b".50\r\n11.90\r\n3")], &[]);
        let connected = DeviceEvent::Link { stream: StreamId(6), at: Mono::from_nanos(3), state: LinkState::Connected };
        tick(&mut world, 3, &[(6, b".5\r\n11.80\r\n")], &[connected]);
        let metres: Vec<_> = readings(&mut world).iter().map(|(.., reading)| reading.distance_m).collect();
        assert_eq!(metres, [12.0, 11.9, 11.8]);
    }
}
