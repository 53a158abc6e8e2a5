//! Several threads where there is work for more than one, else the tick's own: waking another one costs more than small
//! things do.

use bevy_ecs::error::{BevyError, ErrorContext};
use bevy_ecs::schedule::{FixedBitSet, MultiThreadedExecutor, SingleThreadedExecutor, SystemExecutor, SystemSchedule};
use bevy_ecs::world::World;

use super::Activity;

/// Runs a phase on one thread or several, by what came in. Which makes no difference to what comes of it: ambiguity of order is
/// an error in either.
pub(super) struct ByWork {
    alone: SingleThreadedExecutor,
    several: MultiThreadedExecutor,
}

impl ByWork {
    pub fn new() -> Self {
        Self { alone: SingleThreadedExecutor::new(), several: MultiThreadedExecutor::new() }
    }
}

impl SystemExecutor for ByWork {
    fn init(&mut self, schedule: &SystemSchedule) {
        self.alone.init(schedule);
        self.several.init(schedule);
    }

    fn run(
        &mut self,
        schedule: &mut SystemSchedule,
        world: &mut World,
        skip_systems: Option<&FixedBitSet>,
        error_handler: fn(BevyError, ErrorContext),
    ) {
        if world.get_resource::<Activity>().is_none_or(|activity| activity.for_several) {
            self.several.run(schedule, world, skip_systems, error_handler);
        } else {
            self.alone.run(schedule, world, skip_systems, error_handler);
        }
    }

    fn set_apply_final_deferred(&mut self, value: bool) {
        self.alone.set_apply_final_deferred(value);
        self.several.set_apply_final_deferred(value);
    }
}
