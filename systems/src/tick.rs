//! The tick: seven phases in a fixed order, each a schedule of its own.
//!
//! Between two phases everything deferred is applied; inside a phase nothing is. Two systems of a phase whose order
//! would matter and is not declared are an error, not a warning.

mod executor;
mod failure;
mod instrument;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{
    InternedScheduleLabel, LogLevel, ScheduleBuildSettings, ScheduleLabel, SingleThreadedExecutor,
};
use waywarden_components::prelude::*;

pub use failure::{failure, record_failure};
pub use instrument::{Instruments, Stage, StageSummary, StageTimes, Stages};

use executor::ByWork;
use instrument::measured;

use crate::registry::Register;

/// The schedule of a whole tick: runs the phases.
#[derive(ScheduleLabel, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tick;

/// What came in with this tick. Written by Ingress.
#[derive(Resource, Clone, Copy, Debug, Default)]
pub struct Activity {
    /// Inputs of this tick.
    pub inputs: usize,
    /// Whether pictures or pieces of sound of more than one stream are among them: each stream is work for a thread.
    pub for_several: bool,
}

/// Wires the phases and says how they are run.
#[derive(Resource, Clone, Debug, Default)]
pub struct TickPlugin {
    /// Shuffles the order of systems within what is declared: two seeds, two orders.
    pub shuffle: Option<u64>,
    /// Delays systems at random, by up to a fifth of a millisecond each: finds orders that only hold by luck.
    pub jitter: Option<u64>,
    /// Measures how long each phase and system takes, into these.
    pub stages: Option<Stages>,
}

impl Plugin for TickPlugin {
    fn build(&self, app: &mut App) {
        // Sensing decodes pictures and listens to sound: work worth a hop to another core, where there is more than one of
        // it. The other phases move small things, and a hop would cost more than they do.
        self.add_phase(app, Sense, true);
        for phase in
            [Ingress.intern(), Perceive.intern(), Understand.intern(), Act.intern(), Record.intern(), Retire.intern()]
        {
            self.add_phase(app, phase, false);
        }
        let instruments = Instruments::new(self.jitter, self.stages.clone());
        let mut tick = Schedule::new(Tick);
        tick.set_executor(SingleThreadedExecutor::new());
        tick.add_systems(run_phases(&instruments));
        app.add_schedule(tick);
        app.main_mut().update_schedule = Some(Tick.intern());
        app.set_error_handler(record_failure);
        app.insert_resource(instruments).init_resource::<Activity>();
        app.init_resource::<Clock>()
            .payload_resource::<Clock>("comes from the journal, the same in every replay")
            .exempt::<Activity>("counts this tick's own inputs")
            .exempt::<Instruments>("measures and delays systems, and is read by none")
            .exempt::<StableId>("the key of all others");
    }

    fn cleanup(&self, app: &mut App) {
        // After all plugins have added their systems and before the first tick initialises them.
        app.world_mut().resource_scope(|world, instruments: Mut<Instruments>| {
            let mut schedules = world.resource_mut::<Schedules>();
            for (_, schedule) in schedules.iter_mut() {
                if schedule.label() != Tick.intern() {
                    instruments.install(schedule);
                }
            }
        });
    }
}

impl TickPlugin {
    fn add_phase(&self, app: &mut App, label: impl ScheduleLabel, parallel: bool) {
        let label: InternedScheduleLabel = label.intern();
        app.init_schedule(label);
        app.edit_schedule(label, |schedule| {
            schedule.set_build_settings(ScheduleBuildSettings {
                ambiguity_detection: LogLevel::Error,
                auto_insert_apply_deferred: false,
                shuffle_seed: self.shuffle,
                ..Default::default()
            });
            if parallel {
                schedule.set_executor(ByWork::new());
            } else {
                schedule.set_executor(SingleThreadedExecutor::new());
            }
        });
    }
}

/// Of ticks in which nothing comes in, every so manieth senses and perceives all the same: an utterance is to end, and a
/// distance to be forgotten, though every device has gone at once.
const IDLE_TICKS: u64 = 32;

/// Runs the phases of one tick.
///
/// Where nothing came in there is nothing to sense or perceive, but now and then that devices have gone. The number of
/// inputs is journalled, so a replay skips the same phases.
fn run_phases(instruments: &Instruments) -> impl FnMut(&mut World) + Send + Sync + use<> {
    // Labels and stages are looked up once, not in every tick.
    let phase = |label: InternedScheduleLabel, name| {
        let stage = instruments.stage(name);
        move |world: &mut World| measured(stage.as_ref(), || world.run_schedule(label))
    };
    let ingress = phase(Ingress.intern(), "ingress");
    let sense = phase(Sense.intern(), "sense");
    let perceive = phase(Perceive.intern(), "perceive");
    let understand = phase(Understand.intern(), "understand");
    let act = phase(Act.intern(), "act");
    let record = phase(Record.intern(), "record");
    let retire = phase(Retire.intern(), "retire");
    move |world| {
        ingress(world);
        if world.resource::<Activity>().inputs > 0 || world.resource::<Clock>().tick % IDLE_TICKS == 0 {
            sense(world);
            perceive(world);
        }
        understand(world);
        act(world);
        record(world);
        retire(world);
    }
}
