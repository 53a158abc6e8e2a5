//! Look-ahead: a replay knows the frames to come, and decodes them while the present tick runs.
//!
//! The function is the system's own and depends on nothing but the frame, so that it does not matter who calls it and
//! when. Memory is bounded by the feed, which bounds the frames that are known.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bevy_ecs::resource::Resource;
use bytes::Bytes;
use waywarden_components::prelude::*;

/// What is done ahead.
type Work = fn(&[u8]) -> Thumbnail;

enum Slot {
    Queued(Bytes),
    Running,
    Done(Thumbnail),
}

#[derive(Default)]
struct Table {
    slots: BTreeMap<StableId, Slot>,
    order: VecDeque<StableId>,
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

/// Thumbnails of frames to come. Cheap to clone.
#[derive(Resource, Clone)]
pub struct LookAhead(Arc<Shared>);

impl LookAhead {
    /// Starts `threads` threads that do `work` on the frames of [`LookAhead::begin`].
    ///
    /// # Errors
    /// When no thread is to be had.
    pub fn start(threads: usize, work: Work) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { table: Mutex::default(), begun: Condvar::new(), done: Condvar::new(), work });
        for n in 0..threads.max(1) {
            let theirs = shared.clone();
            std::thread::Builder::new().name(format!("look-ahead {n}")).spawn(move || look_ahead(&theirs))?;
        }
        Ok(Self(shared))
    }

    /// A frame that will be asked for.
    pub fn begin(&self, id: StableId, jpeg: Bytes) {
        let mut table = self.0.lock();
        table.slots.insert(id, Slot::Queued(jpeg));
        table.order.push_back(id);
        drop(table);
        self.0.begun.notify_one();
    }

    /// The thumbnail of a frame: done ahead, waited for if it is being done, or done here and now.
    pub fn take(&self, id: StableId, jpeg: &[u8]) -> Thumbnail {
        let mut table = self.0.lock();
        loop {
            match table.slots.remove(&id) {
                Some(Slot::Done(thumbnail)) => return thumbnail,
                Some(Slot::Running) => {
                    table.slots.insert(id, Slot::Running);
                    table = self.0.done.wait(table).unwrap_or_else(PoisonError::into_inner);
                }
                Some(Slot::Queued(_)) | None => break,
            }
        }
        drop(table);
        (self.0.work)(jpeg)
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
        let Some(Slot::Queued(jpeg)) = table.slots.remove(&id) else { continue };
        table.slots.insert(id, Slot::Running);
        drop(table);
        let thumbnail = (shared.work)(&jpeg);
        table = shared.lock();
        table.slots.insert(id, Slot::Done(thumbnail));
        shared.done.notify_all();
    }
}
