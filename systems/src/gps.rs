//! Satellite receivers.

pub mod binary;
pub mod check;
pub mod fix;
pub mod gpmf;
pub mod nmea;
pub mod sentence;
mod utc;

use std::time::Duration;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;

use crate::emit::{Emit, Token};
use crate::registry::Register;
use check::FixChecker;
use fix::{FixMerger, Timed};
use gpmf::{GpmfEvent, GpmfReader};
use nmea::{NmeaEvent, NmeaReader};

pub use utc::tell_time;

/// Reads satellite receivers: NMEA 0183 or GPMF in, one [`GpsFix`] for each moment with a fix out, usable or not; and
/// the date by those that are.
pub struct GpsPlugin {
    /// How long after its first sentence a moment stays open for others of the same time of day.
    pub max_wait: Duration,
}

impl Default for GpsPlugin {
    /// 900 ms: at 4800 baud the last sentence of a second comes 860 ms after the first, and at 1 Hz the next second
    /// closes this one anyway.
    fn default() -> Self {
        Self { max_wait: Duration::from_millis(900) }
    }
}

impl Plugin for GpsPlugin {
    fn build(&self, app: &mut App) {
        self.apply(app.world_mut());
        app.init_resource::<Token<GpsFix>>();
        app.register_required_components::<GpsReceiver, GpsReader>();
        app.state::<GpsFix>()
            .state::<GpsState>()
            .state::<GpsReader>()
            .exempt::<GpsSettings>("the config, which the session holds")
            .exempt::<Token<GpsFix>>("declares access, holds nothing");
        app.add_systems(Sense, parse).add_systems(Understand, tell_time);
    }
}

impl GpsPlugin {
    /// Puts its settings in force.
    pub fn apply(&self, world: &mut World) {
        world.insert_resource(GpsSettings { max_wait: self.max_wait });
    }
}

/// Settings of [`parse`].
#[derive(Resource, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpsSettings {
    /// How long after its first sentence a moment stays open.
    pub max_wait: Duration,
}

/// What a receiver's bytes have not made complete yet: half a sentence, half a fix. Written by [`parse`].
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GpsReader {
    /// The sentence in progress.
    pub sentences: NmeaReader,
    /// The fix in progress.
    pub fixes: FixMerger,
    /// The payload in progress.
    pub gpmf: GpmfReader,
    /// What new fixes are judged by.
    #[serde(default)]
    pub checker: FixChecker,
}

waywarden_components::kinds! { GpsReader => "gps_reader" }

/// What the entity of a satellite receiver needs besides its `StableId` and what all devices have.
pub fn receiver(protocol: GpsProtocol) -> impl Bundle {
    (GpsReceiver { protocol }, GpsState::default(), GpsReader::default())
}

/// Reads the bytes that came from receivers, counts what they were and emits the fixes that became complete.
pub fn parse(
    mut serial: MessageReader<SerialBytes>,
    mut events: MessageReader<DeviceEvent>,
    mut receivers: Query<(&StableId, &GpsReceiver, &mut GpsState, &mut GpsReader)>,
    clock: Res<Clock>,
    settings: Res<GpsSettings>,
    mut emit: Emit<GpsFix>,
) {
    let mut fixes = Vec::new();
    // A new connection begins before its bytes, a hole lies behind what the full queue still held.
    let events: Vec<_> = events.read().collect();
    for event in &events {
        if let DeviceEvent::Link { stream, state: LinkState::Connected, .. } = event {
            resync(&mut receivers, *stream);
        }
    }
    for input in serial.read() {
        let Some((id, receiver, mut state, mut reader)) =
            receivers.iter_mut().find(|(id, ..)| id.stream == input.stream)
        else {
            continue;
        };
        match receiver.protocol {
            GpsProtocol::Nmea => read(&mut state, &mut reader, &input.bytes, input.captured, &mut fixes),
            GpsProtocol::Gpmf => read_gpmf(&mut state, &mut reader.gpmf, input, &mut fixes),
        }
        spawn(id.stream, &mut state, &mut reader.checker, &mut fixes, &mut emit);
    }
    for event in &events {
        if let DeviceEvent::Dropped { stream, .. } = event {
            resync(&mut receivers, *stream);
        }
    }
    for (id, _, mut state, mut reader) in receivers.iter_mut().sort::<&StableId>() {
        reader.fixes.close_after(settings.max_wait, clock.now, |fix| fixes.push(fix));
        spawn(id.stream, &mut state, &mut reader.checker, &mut fixes, &mut emit);
    }
}

fn resync(receivers: &mut Query<(&StableId, &GpsReceiver, &mut GpsState, &mut GpsReader)>, stream: StreamId) {
    if let Some((.., mut state, mut reader)) = receivers.iter_mut().find(|(id, ..)| id.stream == stream) {
        reader.sentences.resync(|event| {
            if let NmeaEvent::Stray(count) = event {
                state.stray_bytes += u64::from(count);
            }
        });
    }
}

fn read(state: &mut GpsState, reader: &mut GpsReader, bytes: &[u8], captured: Mono, fixes: &mut Vec<Timed>) {
    let GpsReader { sentences, fixes: merger, .. } = reader;
    sentences.read(bytes, |event| match event {
        NmeaEvent::Good(sentence) => {
            state.good += 1;
            merger.push(sentence, captured, |fix| fixes.push(fix));
        }
        NmeaEvent::Ignored => state.ignored += 1,
        NmeaEvent::Bad(_) => state.bad += 1,
        NmeaEvent::Stray(count) => state.stray_bytes += u64::from(count),
        NmeaEvent::Binary(protocol) => {
            state.binary.get_or_insert_with(|| protocol.name().into());
        }
    });
}

fn read_gpmf(state: &mut GpsState, reader: &mut GpmfReader, input: &SerialBytes, fixes: &mut Vec<Timed>) {
    reader.read(&input.bytes, input.captured, |event| match event {
        GpmfEvent::Good(found) => {
            state.good += 1;
            fixes.extend(found);
        }
        GpmfEvent::Ignored => state.ignored += 1,
        GpmfEvent::Bad => state.bad += 1,
        GpmfEvent::Stray(count) => state.stray_bytes += u64::from(count),
    });
}

fn spawn(
    stream: StreamId,
    state: &mut GpsState,
    checker: &mut FixChecker,
    fixes: &mut Vec<Timed>,
    emit: &mut Emit<GpsFix>,
) {
    for (mut fix, captured) in fixes.drain(..) {
        fix.validity = checker.judge(&fix, captured);
        state.fixes += 1;
        if fix.validity == FixValidity::Valid {
            state.last_fix = Some(captured);
            state.fix = Some(fix.clone());
        } else {
            state.doubtful += 1;
            state.doubt = Some((captured, fix.validity));
        }
        emit.spawn((StableId::new(stream, state.fixes), Stamp { captured, seq: state.fixes }, fix));
    }
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
        world.init_resource::<Token<GpsFix>>();
        world.init_resource::<Clock>();
        world.insert_resource(GpsSettings { max_wait: GpsPlugin::default().max_wait });
        world.spawn((StableId::device(StreamId(4)), receiver(GpsProtocol::Nmea)));
        world.spawn((StableId::device(StreamId(3)), receiver(GpsProtocol::Nmea)));
        world
    }

    /// One tick at `now_ms`, in which `inputs` arrived.
    fn tick(world: &mut World, now_ms: u64, inputs: &[(u16, &str)]) {
        world.resource_mut::<Messages<SerialBytes>>().clear();
        let now = Mono::from_nanos(now_ms * 1_000_000);
        world.resource_mut::<Clock>().now = now;
        for (stream, text) in inputs {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            world.write_message(SerialBytes { stream: StreamId(*stream), captured: now, bytes });
        }
        world.run_system_once(parse).unwrap();
    }

    fn fixes(world: &mut World) -> Vec<(StableId, Stamp, GpsFix)> {
        let mut query = world.query::<(&StableId, &Stamp, &GpsFix)>();
        let mut all: Vec<_> = query.iter(world).map(|(id, stamp, fix)| (*id, *stamp, fix.clone())).collect();
        all.sort_by_key(|(id, ..)| *id);
        all
    }

    fn state(world: &mut World, stream: u16) -> GpsState {
        let mut query = world.query::<(&StableId, &GpsState)>();
        query.iter(world).find(|(id, _)| id.stream.0 == stream).unwrap().1.clone()
    }

    const RMC: &str = "$GPRMC,153347.000,A,3940.6986,N,07544.9356,W,0.12,87.21,230410,,*29\r\n";
    const GGA: &str = "$GPGGA,153347.000,3940.6986,N,07544.9356,W,1,09,1.3,75.2,M,-33.8,M,,0000*53\r\n";

    #[test]
    fn bytes_become_fixes_of_their_own_receiver() {
        let mut world = world();
        tick(&mut world, 1000, &[(3, &GGA[..30]), (4, GGA), (9, GGA)]);
        assert!(fixes(&mut world).is_empty());
        tick(&mut world, 1010, &[(3, &GGA[30..]), (3, RMC), (4, "$GPVTG,1*00\r\n\u{b5}x")]);
        let found = fixes(&mut world);
        let [(id, stamp, fix)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(*id, StableId::new(StreamId(3), 1));
        assert_eq!(*stamp, Stamp { captured: Mono::from_nanos(1_010_000_000), seq: 1 });
        assert!((fix.altitude_m.unwrap() - 75.2).abs() < 1e-4);
        let counted = state(&mut world, 3);
        assert_eq!((counted.good, counted.bad, counted.ignored, counted.fixes), (2, 0, 0, 1));
        assert_eq!(counted.fix.as_ref(), Some(fix));
        assert_eq!(counted.last_fix, Some(stamp.captured));
        let counted = state(&mut world, 4);
        assert_eq!((counted.good, counted.bad, counted.stray_bytes, counted.fixes), (1, 1, 3, 0));
    }

    #[test]
    fn an_incomplete_moment_is_closed_by_the_clock_of_the_tick() {
        let mut world = world();
        tick(&mut world, 1000, &[(4, RMC), (3, RMC)]);
        tick(&mut world, 1890, &[]);
        assert!(fixes(&mut world).is_empty());
        tick(&mut world, 1900, &[]);
        let found = fixes(&mut world);
        assert_eq!(found.len(), 2);
        assert!(
            found.iter().all(|(_, stamp, fix)| stamp.captured.as_nanos() == 1_000_000_000 && fix.altitude_m.is_none())
        );
    }

    #[test]
    fn the_plugin_puts_it_into_sense() {
        let mut app = App::new();
        app.add_message::<SerialBytes>().add_message::<DeviceEvent>().init_resource::<Clock>();
        app.add_plugins(GpsPlugin::default());
        app.world_mut().spawn((StableId::device(StreamId(3)), receiver(GpsProtocol::Nmea)));
        let bytes = Bytes::from([GGA, RMC].concat());
        app.world_mut().write_message(SerialBytes { stream: StreamId(3), captured: Mono::default(), bytes });
        app.world_mut().run_schedule(Sense);
        assert_eq!(fixes(app.world_mut()).len(), 1);
    }

    /// A GGA and an RMC of one moment with the right sums.
    fn moment(second: u32, latitude: &str, knots: &str, altitude: &str, date: &str) -> String {
        let with_sum = |body: String| format!("${body}*{:02X}\r\n", body.bytes().fold(0, |sum, byte| sum ^ byte));
        let time = format!("1200{second:02}.00");
        with_sum(format!("GPGGA,{time},{latitude},N,01131.000,E,1,08,0.9,{altitude},M,46.9,M,,"))
            + &with_sum(format!("GPRMC,{time},A,{latitude},N,01131.000,E,{knots},84.4,{date},,"))
    }

    #[test]
    fn what_cannot_be_is_kept_counted_and_not_used() {
        let mut world = world();
        let said = [
            moment(0, "4807.038", "10.0", "545.4", "231126"),
            moment(1, "4807.039", "486.0", "545.4", "231126"),
            moment(2, "4807.040", "10.0", "99999.0", "231126"),
            moment(3, "1207.040", "10.0", "545.4", "231126"),
            moment(4, "4807.041", "10.0", "545.4", "090407"),
            moment(5, "9107.041", "10.0", "545.4", "231126"),
        ];
        for (now, text) in (1..).zip(&said) {
            tick(&mut world, now * 1000, &[(3, text)]);
        }
        let validity: Vec<_> = fixes(&mut world).into_iter().map(|(.., fix)| fix.validity).collect();
        use FixValidity::*;
        assert_eq!(validity, [Valid, TooFast, Altitude, Jumped, Valid]);
        let state = state(&mut world, 3);
        assert_eq!((state.fixes, state.doubtful, state.bad), (5, 3, 2), "latitude 91 is no sentence at all");
        assert_eq!(state.doubt, Some((Mono::from_nanos(4_000_000_000), Jumped)));
        let used = state.fix.unwrap();
        assert_eq!((used.date, used.rollovers), (Some((2026, 11, 23)), 1));
        assert_eq!(state.last_fix, Some(Mono::from_nanos(5_000_000_000)));
    }

    #[test]
    fn a_port_that_is_opened_anew_costs_no_bad_sentence() {
        let mut world = world();
        tick(&mut world, 1000, &[(3, &RMC[..30])]);
        let connected = |state| DeviceEvent::Link { stream: StreamId(3), at: Mono::default(), state };
        world.write_message(connected(LinkState::Connected));
        tick(&mut world, 2000, &[(3, &format!("{}{GGA}{RMC}", &RMC[50..]))]);
        let state = state(&mut world, 3);
        assert_eq!((state.good, state.bad, state.stray_bytes, state.fixes), (2, 0, 47, 1));
    }

    #[test]
    fn binary_is_named() {
        let mut world = world();
        world.resource_mut::<Messages<SerialBytes>>().write(SerialBytes {
            stream: StreamId(3),
            captured: Mono::default(),
            bytes: Bytes::from_static(&[0xa0, 0xa2, 0x00, 0x12, 0xb5, 0x62, 0x01]),
        });
        world.run_system_once(parse).unwrap();
        assert_eq!(state(&mut world, 3).binary.as_deref(), Some("SiRF binary"));
    }

    #[test]
    fn a_restored_receiver_goes_on_where_it_was() {
        let mut live = world();
        tick(&mut live, 1000, &[(3, GGA), (3, &RMC[..40])]);
        let mut restored = world();
        let saved: Vec<_> = live
            .query::<(&StableId, &GpsState, &GpsReader)>()
            .iter(&live)
            .map(|(id, state, reader)| (*id, state.clone(), rmp_serde::to_vec(reader).unwrap()))
            .collect();
        let mut query = restored.query::<(&StableId, &mut GpsState, &mut GpsReader)>();
        for (id, mut state, mut reader) in query.iter_mut(&mut restored) {
            let (_, old, bytes) = saved.iter().find(|saved| saved.0 == *id).unwrap();
            *state = old.clone();
            *reader = rmp_serde::from_slice(bytes).unwrap();
        }
        for world in [&mut live, &mut restored] {
            tick(world, 1010, &[(3, &RMC[40..])]);
        }
        assert_eq!(fixes(&mut live), fixes(&mut restored));
        assert_eq!(fixes(&mut live).len(), 1);
    }
}
