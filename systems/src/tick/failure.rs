//! A system that panics or gives up leaves a half-done tick behind: the run is over, and this is why.

use std::sync::{Mutex, PoisonError};

use bevy_ecs::error::{BevyError, ErrorContext};

/// The first failure of this process. A system fails on whichever thread it runs, and Bevy hands the error to a plain
/// function, so that there is no other place for it.
static FAILURE: Mutex<Option<String>> = Mutex::new(None);

/// Takes note of a failed system; the loop asks for it after every tick.
pub fn record_failure(error: BevyError, context: ErrorContext) {
    let text = format!("{} {} failed: {error}", context.kind(), context.name());
    tracing::error!("{text}");
    FAILURE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
}

/// Why the run is over, if a system has failed.
pub fn failure() -> Option<String> {
    FAILURE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
