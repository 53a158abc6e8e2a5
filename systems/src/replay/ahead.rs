//! Look-ahead: a replay knows the frames to come, and decodes them while the present tick runs.
//!
//! The function is the system's own and depends on nothing but the frame, so that it does not matter who calls it and
//! when. Memory is bounded by the feed, which bounds the frames that are known.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bevy_ecs::resource::Resource;
use bytes::Bytes;
use waywarden_components::prelude::*;

use crate::camera::FirstLook;

/// A frame to come.
#[derive(Clone, Debug)]
pub struct Coming {
    /// The camera.
    pub stream: StreamId,
    /// When the frame before it was captured; none if that is not known.
    pub before: Option<Mono>,
    /// When it was captured.
    pub captured: Mono,
    /// The picture.
    pub jpeg: Bytes,
}

/// What is done ahead with a frame.
type Work = Box<dyn Fn(&Coming) -> FirstLook + Send + Sync>;

enum Slot {
    Queued(Coming),
    Running,
    Done(FirstLook),
}

#[derive(Default)]
struct Table {
    slots: BTreeMap<StableId, Slot>,
    order: VecDeque<StableId>,
    /// When the newest frame of each camera was captured.
    latest: BTreeMap<StreamId, Mono>,
    closed: bool,
}

struct Shared {
    table: Mutex<Table>,
    /// There is something to do, or nothing more will come.
    begun: Condvar,
    /// Something has been done.
    done: Condvar,
    work: Work,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// First looks at frames to come. Cheap to clone.
#[derive(Resource, Clone)]
pub struct LookAhead(Arc<Shared>);

impl LookAhead {
    /// Starts `threads` threads that do `work` on the frames of [`LookAhead::begin`].
    ///
    /// # Errors
    /// When no thread is to be had.
    pub fn start(threads: usize, work: impl Fn(&Coming) -> FirstLook + Send + Sync + 'static) -> std::io::Result<Self> {
        let work = Box::new(work);
        let shared = Arc::new(Shared { table: Mutex::default(), begun: Condvar::new(), done: Condvar::new(), work });
        for n in 0..threads.max(1) {
            let theirs = shared.clone();
            std::thread::Builder::new().name(format!("look-ahead {n}")).spawn(move || look_ahead(&theirs))?;
        }
        Ok(Self(shared))
    }

    /// A frame that will be asked for.
    pub fn begin(&self, id: StableId, captured: Mono, jpeg: Bytes) {
        let mut table = self.0.lock();
        let before = table.latest.insert(id.stream, captured);
        table.slots.insert(id, Slot::Queued(Coming { stream: id.stream, before, captured, jpeg }));
        table.order.push_back(id);
        drop(table);
        self.0.begun.notify_one();
    }

    /// The first look at a frame, if it was taken ahead, or is just being taken: then it is waited for.
    pub fn take(&self, id: StableId) -> Option<FirstLook> {
        let mut table = self.0.lock();
        loop {
            match table.slots.remove(&id)? {
                Slot::Done(look) => return Some(look),
                Slot::Running => {
                    table.slots.insert(id, Slot::Running);
                    table = self.0.done.wait(table).unwrap_or_else(PoisonError::into_inner);
                }
                Slot::Queued(_) => return None,
            }
        }
    }

    /// Ends the threads.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.begun.notify_all();
    }
}

fn look_ahead(shared: &Shared) {
    let mut table = shared.lock();
    while !table.closed {
        let Some(id) = table.order.pop_front() else {
            table = shared.begun.wait(table).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        // Somebody may have been faster.
        let Some(Slot::Queued(frame)) = table.slots.remove(&id) else { continue };
        table.slots.insert(id, Slot::Running);
        drop(table);
        let look = (shared.work)(&frame);
        table = shared.lock();
        table.slots.insert(id, Slot::Done(look));
        shared.done.notify_all();
    }
}
