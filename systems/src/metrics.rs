//! Numbers of a run for those who watch it from outside: written by one system at the end of Act, read by any thread.
//!
//! Nothing of it comes back into the world: Act is blind, and a replay goes without. Nobody waits for anybody: all of it is
//! atomics, but for the reasons of health, which seldom change.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::jobs::dispatch;
use crate::registry::Register;

/// Writes the numbers of a live run.
pub struct MetricsPlugin {
    /// Where they are written.
    pub numbers: Numbers,
}

impl Plugin for MetricsPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.numbers.clone())
            .exempt::<Numbers>("written for the outside, and read by no system")
            .add_systems(Act, observe.after(dispatch));
    }
}

/// The numbers of a run. Cheap to clone.
#[derive(Resource, Clone, Debug)]
pub struct Numbers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The tick that ended last.
    tick: AtomicU64,
    /// When it began.
    at: AtomicU64,
    devices: Vec<Device>,
    /// In the order of [`JobRole::ALL`].
    jobs: [Queue; JobRole::ALL.len()],
}

/// What is counted of the jobs of a role.
#[derive(Debug, Default)]
struct Queue {
    done: AtomicU64,
    failed: AtomicU64,
    missed: AtomicU64,
    replaced: AtomicU64,
}

/// The policies by which queues drop, in the order of [`DeviceReading::dropped`].
pub const POLICIES: [DropPolicy; 3] = [DropPolicy::KeepNewest, DropPolicy::KeepOldest, DropPolicy::Block];

/// The states of health, in the order in which they are told.
pub const STATES: [FunctionState; 5] =
    [FunctionState::Off, FunctionState::Standby, FunctionState::Active, FunctionState::Degraded, FunctionState::Fault];

/// One device.
#[derive(Debug)]
struct Device {
    stream: StreamId,
    name: String,
    kind: &'static str,
    /// Its place in [`STATES`].
    state: AtomicU8,
    reason: Mutex<String>,
    connected: AtomicBool,
    heard: AtomicBool,
    received: AtomicU64,
    bytes: AtomicU64,
    dropped: [AtomicU64; POLICIES.len()],
    losses: AtomicU64,
    /// Judged, accepted, forced, broken, of a wrong size; of no meaning but to cameras.
    gate: [AtomicU64; 5],
}

/// One device as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceReading {
    /// Its stream.
    pub stream: StreamId,
    /// Its name.
    pub name: String,
    /// What it is: `camera`, `microphone`, `gps`, `range`, `recorder`, `remote`.
    pub kind: &'static str,
    /// How it is.
    pub state: FunctionState,
    /// Why.
    pub reason: String,
    /// Whether it is open.
    pub connected: bool,
    /// Whether anything has come from it.
    pub heard: bool,
    /// Samples, or chunks of bytes, that came from it.
    pub received: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What its queue dropped, by policy, in the order of [`POLICIES`].
    pub dropped: [u64; POLICIES.len()],
    /// How often its link was lost or given up.
    pub losses: u64,
    /// What the gate of a camera did.
    pub gate: Option<GateReading>,
}

/// What the gate of a camera has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateReading {
    /// Frames judged.
    pub judged: u64,
    /// Frames accepted, forced ones included.
    pub accepted: u64,
    /// Frames accepted for the time that has passed alone.
    pub forced: u64,
    /// Frames that could not be decoded.
    pub broken: u64,
    /// Frames of another size than their camera's.
    pub wrong_size: u64,
}

/// What became of the jobs of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueReading {
    /// What they compute.
    pub role: JobRole,
    /// Ended with a result.
    pub done: u64,
    /// Ended without one.
    pub failed: u64,
    /// Did not end before their deadline.
    pub missed: u64,
    /// Waiting frames that a newer one replaced.
    pub replaced: u64,
}

impl Device {
    fn new(stream: StreamId, name: &str, kind: &'static str) -> Self {
        let health = Health::default();
        Self {
            stream,
            name: name.to_owned(),
            kind,
            state: AtomicU8::new(place(health.state)),
            reason: Mutex::new(health.reason),
            connected: AtomicBool::default(),
            heard: AtomicBool::default(),
            received: AtomicU64::default(),
            bytes: AtomicU64::default(),
            dropped: Default::default(),
            losses: AtomicU64::default(),
            gate: Default::default(),
        }
    }

    fn read(&self) -> DeviceReading {
        let number = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let [judged, accepted, forced, broken, wrong_size] = self.gate.each_ref().map(number);
        DeviceReading {
            stream: self.stream,
            name: self.name.clone(),
            kind: self.kind,
            state: STATES.get(usize::from(self.state.load(Ordering::Relaxed))).copied().unwrap_or(FunctionState::Fault),
            reason: self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            connected: self.connected.load(Ordering::Relaxed),
            heard: self.heard.load(Ordering::Relaxed),
            received: number(&self.received),
            bytes: number(&self.bytes),
            dropped: self.dropped.each_ref().map(number),
            losses: number(&self.losses),
            gate: (self.kind == "camera").then_some(GateReading { judged, accepted, forced, broken, wrong_size }),
        }
    }
}

/// The place of a state in [`STATES`].
fn place(state: FunctionState) -> u8 {
    STATES.iter().position(|known| *known == state).map_or(u8::MAX, |place| place as u8)
}

impl Numbers {
    /// Numbers of a run with the devices of `streams`, and with what the app itself has: `own` streams.
    pub fn new(streams: &[StreamSpec], own: &[StreamId]) -> Self {
        let kind = |spec: &StreamSpec| match spec.kind {
            StreamKind::Camera { .. } => Some("camera"),
            StreamKind::Microphone => Some("microphone"),
            StreamKind::Gps { .. } => Some("gps"),
            StreamKind::Range { .. } => Some("range"),
            // Nothing that fails or is waited for.
            StreamKind::Truth => None,
        };
        let devices = streams.iter().filter_map(|spec| Some(Device::new(spec.id, &spec.name, kind(spec)?)));
        let own = own.iter().map(|stream| {
            let name = stream.own_name().unwrap_or_default();
            Device::new(*stream, name, name)
        });
        Self(Arc::new(Shared {
            tick: AtomicU64::default(),
            at: AtomicU64::default(),
            devices: devices.chain(own).collect(),
            jobs: Default::default(),
        }))
    }

    /// The tick that ended last, and when it began; none before the first.
    pub fn last_tick(&self) -> Option<(u64, Mono)> {
        let at = Mono(self.0.at.load(Ordering::Acquire));
        let tick = self.0.tick.load(Ordering::Relaxed);
        (tick > 0).then_some((tick, at))
    }

    /// The devices, in the order of their numbers.
    pub fn devices(&self) -> impl Iterator<Item = DeviceReading> {
        self.0.devices.iter().map(Device::read)
    }

    /// What became of the jobs of each role.
    pub fn jobs(&self) -> impl Iterator<Item = QueueReading> {
        let number = |number: &AtomicU64| number.load(Ordering::Relaxed);
        JobRole::ALL.iter().zip(&self.0.jobs).map(move |(&role, queue)| QueueReading {
            role,
            done: number(&queue.done),
            failed: number(&queue.failed),
            missed: number(&queue.missed),
            replaced: number(&queue.replaced),
        })
    }

    fn device(&self, stream: StreamId) -> Option<&Device> {
        self.0.devices.iter().find(|device| device.stream == stream)
    }
}

/// A device, and what is told of it.
type Told<'a> = (&'a StableId, &'a Link, &'a Counters, Ref<'a, Health>, Option<&'a Gate>);

/// Writes down how the run is at the end of a tick.
pub fn observe(
    devices: Query<Told>,
    mut events: MessageReader<DeviceEvent>,
    jobs: Res<Jobs>,
    clock: Res<Clock>,
    numbers: Res<Numbers>,
) {
    let put = |to: &AtomicU64, number: u64| to.store(number, Ordering::Relaxed);
    for (id, link, counters, health, gate) in &devices {
        let Some(device) = numbers.device(id.stream) else { continue };
        device.connected.store(link.state == LinkState::Connected, Ordering::Relaxed);
        device.heard.store(counters.last.is_some(), Ordering::Relaxed);
        put(&device.received, counters.received);
        put(&device.bytes, counters.bytes);
        if health.is_changed() {
            device.state.store(place(health.state), Ordering::Relaxed);
            device.reason.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&health.reason);
        }
        if let Some(gate) = gate {
            let counts = [gate.judged, gate.accepted, gate.forced, gate.broken, gate.wrong_size];
            device.gate.iter().zip(counts).for_each(|(to, count)| put(to, count));
        }
    }
    for event in events.read() {
        match event {
            DeviceEvent::Link { stream, state: LinkState::Lost(_) | LinkState::Failed(_), .. } => {
                numbers.device(*stream).map(|device| device.losses.fetch_add(1, Ordering::Relaxed));
            }
            DeviceEvent::Link { .. } => {}
            DeviceEvent::Dropped { stream, policy, count } => {
                let place = POLICIES.iter().position(|known| known == policy);
                if let (Some(device), Some(place)) = (numbers.device(*stream), place) {
                    device.dropped[place].fetch_add(*count, Ordering::Relaxed);
                }
            }
        }
    }
    for (role, to) in JobRole::ALL.iter().zip(&numbers.0.jobs) {
        let Some(queue) = jobs.queues.get(role) else { continue };
        put(&to.done, queue.done);
        put(&to.failed, queue.failed);
        put(&to.missed, queue.missed);
        put(&to.replaced, queue.replaced);
    }
    numbers.0.tick.store(clock.tick, Ordering::Relaxed);
    numbers.0.at.store(clock.now.0, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tick::TickPlugin;

    fn streams() -> Vec<StreamSpec> {
        let camera = StreamKind::Camera { role: CameraRole::Front, geometry: CameraGeometry::default() };
        [("front", camera), ("gps", StreamKind::Gps { protocol: GpsProtocol::Nmea }), ("truth", StreamKind::Truth)]
            .into_iter()
            .zip(1..)
            .map(|((name, kind), n)| StreamSpec { id: StreamId(n), name: name.to_owned(), kind })
            .collect()
    }

    #[test]
    fn what_is_in_the_world_can_be_read_outside() {
        let numbers = Numbers::new(&streams(), &[StreamId::RECORDER]);
        assert_eq!(numbers.last_tick(), None);
        assert!(numbers.devices().all(|device| device.state == FunctionState::Standby && !device.heard));

        let mut app = App::empty();
        app.add_plugins((TickPlugin::default(), MetricsPlugin { numbers: numbers.clone() }));
        app.add_message::<DeviceEvent>().init_resource::<Jobs>();
        crate::devices::spawn(app.world_mut(), &streams());
        let entity = app.world().resource::<crate::devices::DeviceIndex>().get(StreamId(1)).unwrap();
        let health = Health { state: FunctionState::Degraded, reason: "dirty".into() };
        let counters = Counters { received: 7, bytes: 70, dropped: 2, last: Some(Mono(1)) };
        let gate = Gate { judged: 6, accepted: 3, forced: 1, broken: 1, wrong_size: 2, ..Gate::default() };
        let link = Link { state: LinkState::Connected, since: Mono(1) };
        app.world_mut().entity_mut(entity).insert((health, counters, gate, link));
        let stream = StreamId(1);
        app.world_mut().write_message(DeviceEvent::Dropped { stream, policy: DropPolicy::KeepNewest, count: 2 });
        let state = LinkState::Lost("gone".into());
        app.world_mut().write_message(DeviceEvent::Link { stream, at: Mono(0), state });
        let queue = JobQueue { done: 4, missed: 1, ..JobQueue::default() };
        app.world_mut().resource_mut::<Jobs>().queues.insert(JobRole::Detection, queue);
        *app.world_mut().resource_mut::<Clock>() = Clock { tick: 5, now: Mono(50), ..Clock::default() };
        app.world_mut().run_schedule(Act);

        assert_eq!(numbers.last_tick(), Some((5, Mono(50))));
        let read: Vec<_> = numbers.devices().collect();
        assert_eq!(read.iter().map(|device| device.name.as_str()).collect::<Vec<_>>(), ["front", "gps", "recorder"]);
        assert_eq!((read[0].state, read[0].reason.as_str()), (FunctionState::Degraded, "dirty"));
        assert_eq!((read[0].received, read[0].bytes, read[0].dropped, read[0].losses), (7, 70, [2, 0, 0], 1));
        assert!(read[0].connected && read[0].heard && !read[1].heard);
        let gate = GateReading { judged: 6, accepted: 3, forced: 1, broken: 1, wrong_size: 2 };
        assert_eq!((read[0].gate, read[1].gate), (Some(gate), None));
        let jobs: Vec<_> = numbers.jobs().collect();
        assert_eq!((jobs[1].role, jobs[1].done, jobs[1].missed), (JobRole::Detection, 4, 1));
    }
}
