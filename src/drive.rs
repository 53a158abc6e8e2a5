//! The loop: one tick after the other until the source has none left.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bevy_app::App;
use bevy_ecs::prelude::*;
use waywarden_systems::ingress::Door;
use waywarden_systems::record::TickOutcome;
use waywarden_systems::tick;

use crate::failure::Failure;

const HINT: &str = "the run ends here: a half-done tick is worth nothing; please report";

/// Runs one tick, if the source has one: false when it has none.
///
/// # Errors
/// When a system has failed, or the jobs: the tick is then half done, and the run is over.
pub fn tick(app: &mut App) -> Result<bool, Failure> {
    if !app.world_mut().resource_mut::<Door>().source.wait() {
        return Ok(false);
    }
    // What is left of the world after a panic is looked at by nobody.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| app.update())) {
        let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        return Err(Failure::running(format!("a system panicked: {}", words.unwrap_or("without a word"))).hint(HINT));
    }
    if let Some(reason) = tick::failure() {
        return Err(Failure::running(reason).hint(HINT));
    }
    if let Some(reason) = app.world_mut().resource_mut::<Door>().arrivals.failure.take() {
        return Err(Failure::running(reason));
    }
    Ok(true)
}

/// What became of the last tick.
pub fn outcome(world: &World) -> TickOutcome {
    world.resource::<TickOutcome>().to_owned()
}
