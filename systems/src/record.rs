//! The Record phase: inputs are journalled, the world is digested, what changed goes to the recorder.

mod disk;
mod keeper;
mod preserve;
mod report;
mod retention;
#[cfg(test)]
mod tests;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use crossbeam_channel::{Sender, bounded};
use waywarden_components::prelude::*;

pub use disk::{Space, space};
pub use keeper::{Busy, Keeper, KeeperSettings, KeeperThread};
pub use preserve::{LONGEST, PRESERVED};
pub use retention::{Limits, Stored, Surplus, stored, surplus};
pub use thread::{Destination, RecorderSettings, RecorderThread};

use crate::ingress::{Control, Incoming, Outlet, Passed};
use crate::registry::{self, Register, Values, digest_world};
use crate::session::{OutputsRecord, SnapshotRecord};
use report::{Report, TOO_SLOW};

/// Ticks that may wait for the recorder's thread, whatever their size.
const WAITING_TICKS: usize = 8192;

/// Wires the Record phase.
pub struct RecordPlugin;

impl Plugin for RecordPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<TickOutcome>()
            .init_resource::<Expectation>()
            .exempt::<TickOutcome>("the digest itself")
            .exempt::<Expectation>("what was recorded, to compare with")
            .exempt::<Recorder>("the outside")
            .add_systems(Record, record);
    }
}

/// What became of the last tick.
#[derive(Resource, Clone, Copy, Debug, Default)]
pub struct TickOutcome {
    /// Its number.
    pub tick: u64,
    /// When it began.
    pub now: Mono,
    /// The digest of the world at its end.
    pub digest: u64,
}

/// What a replay expects of the tick that comes, and what it found instead.
#[derive(Resource, Default)]
pub struct Expectation {
    /// The recorded digest.
    pub digest: Option<u64>,
    /// All digested values at the moment of a digest that is not the expected one: before samples are retired.
    pub evidence: Option<Values>,
}

/// What goes to the recorder's thread.
pub(crate) enum Item {
    /// A segment begins.
    Snapshot(Box<SnapshotRecord>),
    /// What has been written is not wanted.
    Abandon,
    /// A tick has ended.
    Tick(Box<(Incoming, OutputsRecord)>),
}

impl Item {
    fn weight(&self) -> usize {
        let values = |n: usize, bytes: usize| 64 * n + bytes;
        match self {
            Self::Abandon => 0,
            Self::Snapshot(snapshot) => {
                snapshot.kinds.iter().flat_map(|kind| &kind.values).map(|(_, v)| values(1, v.len())).sum()
            }
            Self::Tick(tick) => {
                let (incoming, outputs) = &**tick;
                let inputs: usize = incoming.inputs.iter().map(|input| values(1, input.payload.weight())).sum();
                let changes = outputs.changes.iter();
                inputs + changes.map(|c| values(1, c.value.as_ref().map_or(0, Vec::len))).sum::<usize>()
            }
        }
    }
}

/// What the recorder has done, for everybody who wants to know. Outside the world.
#[derive(Debug, Default)]
pub struct RecorderStats {
    /// Bytes that wait.
    pub waiting: AtomicUsize,
    /// Ticks written.
    pub ticks: AtomicU64,
    /// Segments begun.
    pub segments: AtomicU64,
    /// Ticks lost: refused by a full queue, or not taken by the disk.
    pub lost: AtomicU64,
    /// Bytes written.
    pub bytes: AtomicU64,
    /// The queue is full, or was and no snapshot has gone into it since.
    refusing: AtomicBool,
}

/// The world's end of the recorder: a queue bounded in bytes.
#[derive(Resource)]
pub struct Recorder {
    sender: Sender<Item>,
    limit: usize,
    /// Waits for room instead of losing ticks: in a replay, which has time.
    patient: bool,
    control: Control,
    stats: Arc<RecorderStats>,
    report: Option<Report>,
    /// Whether anything is wanted to be recorded.
    on: AtomicBool,
}

/// Who is told how a recording goes.
#[derive(Clone, Default)]
pub struct Told {
    /// The world, through the channel of [`StreamId::RECORDER`].
    pub world: Option<Outlet>,
    /// Who looks after what has been recorded.
    pub keeper: Option<Keeper>,
}

impl Recorder {
    /// A recorder and the thread that writes for it.
    pub fn new(settings: RecorderSettings, control: Control) -> (Self, RecorderThread) {
        Self::telling(settings, control, Told::default())
    }

    /// The same, with somebody who is told how it goes.
    pub fn telling(settings: RecorderSettings, control: Control, told: Told) -> (Self, RecorderThread) {
        let (sender, receiver) = bounded(WAITING_TICKS);
        let stats = Arc::new(RecorderStats::default());
        let recorder = Self {
            sender,
            limit: settings.queue_bytes,
            patient: settings.patient,
            control: control.clone(),
            stats: stats.clone(),
            report: told.world.map(Report::new),
            on: AtomicBool::new(true),
        };
        let told = (recorder.report.clone(), told.keeper);
        (recorder, RecorderThread::new(settings, receiver, control, stats, told))
    }

    /// What it has done.
    pub fn stats(&self) -> Arc<RecorderStats> {
        self.stats.clone()
    }

    /// Ends a recording that is not wanted: a session in one file does not get its name, and is gone.
    pub fn abandon(self) {
        // A thread that has ended has said why.
        let _ = self.sender.send(Item::Abandon);
    }

    /// Saves the world at a boundary, before anything of the new segment has entered it.
    pub fn save_snapshot(world: &mut World, tick: u64, now: Mono, segment: u32, reason: BoundaryReason) {
        if world.get_resource::<Recorder>().is_none_or(|recorder| !recorder.on.load(Ordering::Relaxed)) {
            return;
        }
        let kinds = registry::save(world);
        let recorder = world.resource::<Recorder>();
        // How many ticks are lost is known to the thread, which knows what became of those that it was given.
        let snapshot = SnapshotRecord { segment, reason, tick, now: now.0, lost_ticks: 0, kinds };
        // The thread may come to this snapshot before this line has ended: it must find that the queue takes things again.
        recorder.stats.refusing.store(false, Ordering::Relaxed);
        if !recorder.push(Item::Snapshot(Box::new(snapshot))) {
            recorder.stats.refusing.store(true, Ordering::Relaxed);
        }
    }

    /// Nothing is recorded behind a refused tick until a snapshot makes it worth something again.
    fn tick(&self, incoming: Incoming, outputs: OutputsRecord) {
        let refusing = &self.stats.refusing;
        if !refusing.load(Ordering::Relaxed) && !self.push(Item::Tick(Box::new((incoming, outputs)))) {
            refusing.store(true, Ordering::Relaxed);
            if let Some(report) = &self.report {
                report.say(LinkState::Lost(TOO_SLOW.to_owned()));
            }
        }
        if refusing.load(Ordering::Relaxed) {
            self.stats.lost.fetch_add(1, Ordering::Relaxed);
            if self.stats.waiting.load(Ordering::Relaxed) <= self.limit / 2 {
                self.control.new_segment(BoundaryReason::Gap);
            }
        }
    }

    /// Whether there was room.
    fn push(&self, item: Item) -> bool {
        let weight = item.weight();
        if !self.patient && self.stats.waiting.load(Ordering::Relaxed) + weight > self.limit {
            return false;
        }
        self.stats.waiting.fetch_add(weight, Ordering::Relaxed);
        let sent = if self.patient {
            while self.stats.waiting.load(Ordering::Relaxed) > self.limit.max(2 * weight) {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a patient recorder belongs to a replay, which has time"
                )]
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
            self.sender.send(item).is_ok()
        } else {
            self.sender.try_send(item).is_ok()
        };
        if !sent {
            self.stats.waiting.fetch_sub(weight, Ordering::Relaxed);
        }
        sent
    }
}

/// Digests the world and hands the tick to the recorder.
pub fn record(world: &mut World) {
    let incoming = world.resource_mut::<Passed>().0.take();
    let recording = world.contains_resource::<Recorder>();
    let mut changes = Vec::new();
    let digest = digest_world(world, recording.then_some(&mut changes));
    let clock = world.resource::<Clock>();
    let outcome = TickOutcome { tick: clock.tick, now: clock.now, digest };
    *world.resource_mut::<TickOutcome>() = outcome;
    if world.resource_mut::<Expectation>().digest.take().is_some_and(|expected| expected != digest) {
        let evidence = registry::digested_values(world);
        world.resource_mut::<Expectation>().evidence = Some(evidence);
    }
    if let (Some(incoming), Some(recorder)) = (incoming, world.get_resource::<Recorder>()) {
        // The tick that switches it off is the last one that is recorded, and the first one behind it begins a segment.
        let on = world.get_resource::<Switches>().is_none_or(|switches| switches.recording);
        if recorder.on.load(Ordering::Relaxed) {
            recorder.tick(incoming, OutputsRecord { tick: outcome.tick, digest, changes });
        } else if on {
            recorder.control.new_segment(BoundaryReason::Gap);
        }
        recorder.on.store(on, Ordering::Relaxed);
    }
}
