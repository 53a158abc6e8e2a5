//! The only door into the world.
//!
//! One exclusive system takes what its [`Source`] has for this tick, in a fixed order, and turns each item into an
//! entity or message with a stable id. It moves bytes and parses nothing. What passes is kept for the journal, so that
//! a replay, whose source is that journal, puts the same things into the world in the same ticks.

mod channel;
mod date;
mod live;
mod pace;
mod parking;

use bevy_app::{App, Plugin};
use bevy_ecs::message::Messages;
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

pub use channel::{Closed, Delivery, Inlet, Outlet, Waiting, channel};
pub use live::{Control, LiveSettings, LiveSource, Wake, wake};
pub use parking::{PARKED_PERIOD, Parking};

use crate::devices::DeviceIndex;
use crate::jobs::{Arrivals, JobRunner};
use crate::record::Recorder;
use crate::registry::Register;
use crate::settings;
use crate::tick::Activity;

/// What a tick is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// Its number, from 1.
    pub tick: u64,
    /// When it began.
    pub now: Mono,
    /// What came, in the order in which it is admitted.
    pub inputs: Vec<Input>,
}

/// Where ticks come from: devices and the clock, or a journal.
pub trait Source: Send + Sync {
    /// Waits until the next tick is due. False when there is none: the recording is at its end, or the app is.
    fn wait(&mut self) -> bool;

    /// What there is for the tick that is due.
    fn take(&mut self) -> Incoming;
}

/// The door: where ticks come from, and how results of jobs come back.
#[derive(Resource)]
pub struct Door {
    /// Where ticks come from.
    pub source: Box<dyn Source>,
    /// How results of jobs come back.
    pub arrivals: Arrivals,
}

/// What has passed the door in this tick, for the journal.
#[derive(Resource, Default)]
pub struct Passed(pub Option<Incoming>);

/// Wires the door.
pub struct IngressPlugin;

impl Plugin for IngressPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<Passed>().init_resource::<RandomSeed>().init_resource::<GpsUtc>();
        app.exempt::<Passed>("is the journal itself")
            .exempt::<Door>("the outside")
            .state_resource::<RandomSeed>()
            .state_resource::<GpsUtc>()
            .payload::<Frame>("the input itself: journalled once, findings about it are digested")
            .payload::<AudioChunk>("the input itself: journalled once, findings about it are digested")
            .tick_message::<DeviceEvent>()
            .tick_message::<SegmentStarted>()
            .tick_message::<ShutdownRequested>()
            .tick_message::<SerialBytes>()
            .tick_message::<BrokerMessage>()
            .tick_message::<DeedDone>()
            .tick_message::<OperatorSaid>()
            .tick_message::<SpeechHeard>()
            .tick_message::<SwitchesRestored>();
        app.add_systems(Ingress, drain);
    }
}

/// Takes what there is for this tick and admits it.
pub fn drain(world: &mut World) {
    let mut incoming = world.resource_scope(|world, mut door: Mut<Door>| {
        let mut incoming = door.source.take();
        world.resource_scope(|world, mut runner: Mut<JobRunner>| {
            door.arrivals.arrive(&mut incoming, world.resource::<Jobs>(), &mut runner);
        });
        incoming
    });
    // A boundary comes before everything else in its tick, and before the clock: the snapshot is the world as the
    // tick before left it.
    incoming.inputs.sort_by_key(|input| !matches!(input.payload, Payload::Boundary { .. }));
    if let Some(Input { payload: Payload::Boundary { segment, reason }, .. }) = incoming.inputs.first() {
        Recorder::save_snapshot(world, incoming.tick, incoming.now, *segment, *reason);
    }
    let mut clock = world.resource_mut::<Clock>();
    clock.tick = incoming.tick;
    clock.now = incoming.now;
    // Found out in the tick before, from bytes that had come in.
    if let Some(utc) = world.resource::<GpsUtc>().utc {
        date::set(world, utc);
    }
    for input in &incoming.inputs {
        admit(world, input);
    }
    *world.resource_mut::<Activity>() = activity(&incoming.inputs);
    world.resource_mut::<Passed>().0 = Some(incoming);
}

/// What came in, as far as it says whether another thread is worth waking. Pictures or chunks of one stream go through one
/// system, one after the other, so they are work for one.
fn activity(inputs: &[Input]) -> Activity {
    let is_work = |input: &&Input| matches!(input.payload, Payload::Frame(_) | Payload::Audio(_));
    let mut streams = inputs.iter().filter(is_work).map(|input| input.stream);
    let first = streams.next();
    Activity { inputs: inputs.len(), for_several: streams.any(|stream| Some(stream) != first) }
}

/// Puts one input into the world.
fn admit(world: &mut World, input: &Input) {
    let Input { stream, seq, captured, payload } = input;
    let (id, stamp) = (StableId::new(*stream, *seq), Stamp { captured: *captured, seq: *seq });
    match payload {
        Payload::Frame(jpeg) => {
            count(world, *stream, *captured, jpeg.len());
            world.spawn((id, stamp, Frame { jpeg: jpeg.clone() }));
        }
        Payload::Audio(pcm) => {
            count(world, *stream, *captured, pcm.len());
            world.spawn((id, stamp, AudioChunk { pcm: pcm.clone() }));
        }
        Payload::Serial(bytes) => {
            count(world, *stream, *captured, bytes.len());
            write(world, SerialBytes { stream: *stream, captured: *captured, bytes: bytes.clone() });
        }
        // What perceives must not know the answer.
        Payload::Truth(_) => {}
        Payload::Dropped { policy, count } => {
            if let Some(mut counters) = device::<Counters>(world, *stream) {
                counters.dropped = counters.dropped.saturating_add(*count);
            }
            write(world, DeviceEvent::Dropped { stream: *stream, policy: *policy, count: *count });
        }
        Payload::Link(state) => {
            if let Some(mut link) = device::<Link>(world, *stream) {
                *link = Link { state: state.clone(), since: *captured };
            }
            follow(world, *stream, state);
            write(world, DeviceEvent::Link { stream: *stream, at: *captured, state: state.clone() });
        }
        Payload::Described(what) => {
            if let Some(mut description) = device::<Description>(world, *stream) {
                description.0.clone_from(what);
            }
        }
        Payload::JobDone { job, frame, took_ns, output } => {
            write(world, JobResult { job: *job, frame: *frame, took_ns: *took_ns, output: output.clone() });
        }
        Payload::JobMissed { job, frame } => write(world, JobMissed { job: *job, frame: *frame }),
        Payload::Utc(utc) => date::set(world, *utc),
        Payload::Seed(seed) => world.insert_resource(RandomSeed(*seed)),
        Payload::Boundary { segment, .. } => write(world, SegmentStarted { segment: *segment }),
        Payload::Message(message) => {
            count(world, *stream, *captured, message.bytes.len());
            write(world, message.clone());
        }
        Payload::Uplink(uplink) => {
            if let Some(mut known) = device::<Uplink>(world, *stream) {
                known.clone_from(uplink);
            }
        }
        Payload::DeedDone(done) => write(world, done.clone()),
        Payload::Operator(said) => write(world, said.clone()),
        Payload::SpeechHeard(heard) => write(world, (**heard).clone()),
        Payload::Switches(switches) => write(world, SwitchesRestored(*switches)),
        Payload::Config(toml) => settings::change(world, toml),
        Payload::Notice(notice) => write(world, notice.clone()),
        Payload::Shutdown => write(world, ShutdownRequested),
    }
}

/// A model that a service alone computes is there as long as that answers.
fn follow(world: &mut World, stream: StreamId, state: &LinkState) {
    let Some(alone) = device::<RemoteApi>(world, stream).map(|remote| remote.alone.clone()) else { return };
    let status = match state {
        LinkState::Connected => Ok(stream.own_name().unwrap_or_default().to_owned()),
        LinkState::Lost(reason) | LinkState::Failed(reason) => {
            Err(format!("the remote service is left alone for a while: {reason}"))
        }
        LinkState::Connecting | LinkState::Ended => Err("the remote service is not asked".to_owned()),
    };
    let mut models = world.resource_mut::<ModelStatus>();
    models.roles.extend(alone.into_iter().map(|role| (role, status.clone())));
}

fn write<M: Message>(world: &mut World, message: M) {
    world.resource_mut::<Messages<M>>().write(message);
}

fn device<T: Component<Mutability = bevy_ecs::component::Mutable>>(
    world: &mut World,
    stream: StreamId,
) -> Option<Mut<'_, T>> {
    let entity = world.resource::<DeviceIndex>().get(stream)?;
    world.get_mut::<T>(entity)
}

fn count(world: &mut World, stream: StreamId, at: Mono, bytes: usize) {
    if let Some(mut counters) = device::<Counters>(world, stream) {
        counters.received += 1;
        counters.bytes += bytes as u64;
        counters.last = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_thread_is_woken_for_pictures_and_sound_of_several_devices_only() {
        let input = |stream, payload| Input { stream: StreamId(stream), seq: 1, captured: Mono(1), payload };
        let frame = |stream| input(stream, Payload::Frame(Default::default()));
        let audio = |stream| input(stream, Payload::Audio(Default::default()));
        let serial = |stream| input(stream, Payload::Serial(Default::default()));
        for (inputs, for_several) in [
            (vec![], false),
            (vec![audio(1), audio(1), audio(1)], false),
            (vec![serial(3), audio(1), serial(2)], false),
            (vec![audio(1), audio(1), frame(2)], true),
            (vec![frame(1), frame(2)], true),
        ] {
            let activity = activity(&inputs);
            assert_eq!((activity.inputs, activity.for_several), (inputs.len(), for_several), "{inputs:?}");
        }
    }
}
