//! How often a model is asked to look.

use std::collections::BTreeMap;
use std::time::Duration;

use waywarden_components::prelude::*;

/// Whether a new frame of a camera is due, given the least time between two.
///
/// Keeps what has been considered, so that a frame that stays in the world is asked for once.
pub(crate) fn due(asked: &mut BTreeMap<StreamId, Asked>, id: &StableId, captured: Mono, gap: Duration) -> bool {
    let asked = asked.entry(id.stream).or_default();
    if id.seq <= asked.considered {
        return false;
    }
    asked.considered = id.seq;
    // A frame that comes a little early is as good as one that comes a whole frame late.
    let due = asked.asked.is_none_or(|last| captured.since(last) >= gap.mul_f32(0.9));
    if due {
        asked.asked = Some(captured);
    }
    due
}

/// The time between two frames at `hertz`.
pub(crate) fn gap(hertz: f32) -> Duration {
    Duration::try_from_secs_f32(1.0 / hertz.max(0.001)).unwrap_or(Duration::MAX)
}
