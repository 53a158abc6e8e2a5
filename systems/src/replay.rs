//! Replays: the journal of a session as the source of ticks, and the comparison with what was recorded.

mod ahead;
mod divergence;
mod feed;

use std::sync::{Arc, Mutex, PoisonError};

use bevy_ecs::prelude::*;

pub use ahead::LookAhead;
pub use divergence::{Divergence, explain};
pub use feed::{Feed, FeedSettings, Step};

use crate::ingress::{Incoming, Source};
use crate::registry::{self, RestoreError};
use crate::session::SnapshotRecord;
use crate::{devices, jobs, settings};

/// A source of ticks that somebody else fills, one at a time.
#[derive(Clone, Default)]
pub struct Prepared(Arc<Mutex<Option<Incoming>>>);

impl Prepared {
    /// What the next tick is given.
    pub fn put(&self, incoming: Incoming) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(incoming);
    }
}

impl Source for Prepared {
    fn wait(&mut self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take(&mut self) -> Incoming {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.unwrap_or(Incoming { tick: 0, now: Default::default(), inputs: Vec::new() })
    }
}

/// Puts the world into the state of a snapshot, and starts the jobs that were running then.
///
/// # Errors
/// When the snapshot is damaged or holds a kind that this build does not know.
pub fn restore(world: &mut World, snapshot: &SnapshotRecord) -> Result<(), RestoreError> {
    registry::restore(world, &snapshot.kinds)?;
    devices::index(world);
    settings::apply(world);
    jobs::resume(world)
}
