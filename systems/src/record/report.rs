//! How the recording goes, told to the world: through the door like everything else from outside, so that it is journalled
//! and replayed.

use std::sync::{Arc, Mutex, PoisonError};

use waywarden_components::prelude::*;

use crate::clock::boottime;
use crate::ingress::Outlet;

/// What is said when the queue is full.
pub(super) const TOO_SLOW: &str = "the disk is too slow for what is recorded";

/// Tells the world. Never blocks.
#[derive(Clone)]
pub(super) struct Report {
    outlet: Outlet,
    /// The last thing said: nothing is said twice.
    said: Arc<Mutex<Option<LinkState>>>,
}

impl Report {
    /// Speaks through the channel of [`StreamId::RECORDER`].
    pub fn new(outlet: Outlet) -> Self {
        Self { outlet, said: Arc::default() }
    }

    /// Says how it goes, if that is news.
    pub fn say(&self, state: LinkState) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_ref() != Some(&state) {
            *said = Some(state.clone());
            // Without a door the app is ending.
            let _ = self.outlet.send(boottime(), Payload::Link(state));
        }
    }

    /// Says that so many ticks are lost.
    pub fn lost(&self, count: u64) {
        let _ = self.outlet.send(boottime(), Payload::Dropped { policy: DropPolicy::KeepOldest, count });
    }
}

/// Why nothing can be written, in words that a person can act on.
pub(super) fn advice(reason: &str, full: bool) -> String {
    let advice = if full {
        ": free some room, or let record.keep_gb and record.free_gb make it"
    } else if reason.contains("Read-only file system") {
        ": check the disk, and mount it anew"
    } else if reason.contains("Input/output error") {
        ": the disk fails or is gone"
    } else {
        ""
    };
    format!("{reason}{advice}")
}
