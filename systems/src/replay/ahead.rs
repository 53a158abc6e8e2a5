//! Look-ahead: a replay knows the frames to come, and decodes them while the present tick runs.
//!
//! The function is the system's own and depends on nothing but the frame, so that it does not matter who calls it and
//! when. Memory is bounded by the feed, which bounds the frames that are known.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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

/// Whoever had to wait for a frame waits until so many have been looked at, or all that are known: waking a thread for each one
/// costs a tenth of a replay.
const ENOUGH: usize = 8;

/// When so many looks wait to be taken, all threads but one go on looking ahead: where pictures are small the ticks are what a replay
/// waits for, and who would take their processor now leaves it idle at the end.
const FAR: usize = 64;

#[derive(Default)]
struct Table {
    slots: BTreeMap<StableId, Slot>,
    order: VecDeque<StableId>,
    /// Slots that are done, and those that are not.
    done: usize,
    pending: usize,
    /// When the newest frame of each camera was captured.
    latest: BTreeMap<StreamId, Mono>,
    /// Threads that have nothing to do.
    idle: usize,
    /// So much has been done ahead that a processor is left to the ticks until half of it has been taken.
    far: bool,
    /// Threads that look at something.
    looking: usize,
    /// As many may, if that is not so.
    threads: usize,
    /// Frames that are waited for.
    awaited: BTreeSet<StableId>,
    closed: bool,
}

impl Table {
    /// Whether a frame is there that is waited for, and enough others with it.
    fn is_enough(&self, id: &StableId) -> bool {
        let is_done = !matches!(self.slots.get(id), Some(Slot::Queued(_) | Slot::Running));
        is_done && (self.done >= ENOUGH || self.pending == 0 || self.closed)
    }

    /// Whether one more thread may look at something.
    fn has_room(&self) -> bool {
        self.looking < if self.far { (self.threads - 1).max(1) } else { self.threads }
    }

    /// Takes a frame out, whatever has become of it. True when those who rested have something to do again.
    fn remove(&mut self, id: StableId) -> (Option<FirstLook>, bool) {
        match self.slots.remove(&id) {
            Some(Slot::Done(look)) => {
                self.done -= 1;
                let wakes = self.far && self.done <= FAR / 2;
                self.far &= !wakes;
                (Some(look), wakes)
            }
            Some(Slot::Queued(_)) => {
                self.pending -= 1;
                (None, false)
            }
            // Whoever looks at it finds that nobody wants it.
            Some(Slot::Running) | None => (None, false),
        }
    }
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
        let (work, threads) = (Box::new(work), threads.max(1));
        let table = Mutex::new(Table { threads, ..Table::default() });
        let shared = Arc::new(Shared { table, begun: Condvar::new(), done: Condvar::new(), work });
        for n in 0..threads {
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
        table.pending += 1;
        let is_idle = table.idle > 0 && table.has_room();
        drop(table);
        if is_idle {
            self.0.begun.notify_one();
        }
    }

    /// The first look at a frame, if it was taken ahead, or is just being taken: then it is waited for.
    pub fn take(&self, id: StableId) -> Option<FirstLook> {
        let mut table = self.0.lock();
        if let Slot::Running = table.slots.get(&id)? {
            table.awaited.insert(id);
            while !table.is_enough(&id) {
                table = self.0.done.wait(table).unwrap_or_else(PoisonError::into_inner);
            }
            table.awaited.remove(&id);
        }
        // What has not been begun is looked at by whoever asks: that is faster.
        let (look, wakes) = table.remove(id);
        drop(table);
        if wakes {
            self.0.begun.notify_all();
        }
        look
    }

    /// A frame that nobody will ask for any more, if it was not taken.
    pub fn forget(&self, id: StableId) {
        let (_, wakes) = self.0.lock().remove(id);
        if wakes {
            self.0.begun.notify_all();
        }
    }

    /// Ends the threads.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.begun.notify_all();
        self.0.done.notify_all();
    }
}

fn look_ahead(shared: &Shared) {
    let mut table = shared.lock();
    while !table.closed {
        let next = if table.has_room() { table.order.pop_front() } else { None };
        let Some(id) = next else {
            table.idle += 1;
            table = shared.begun.wait(table).unwrap_or_else(PoisonError::into_inner);
            table.idle -= 1;
            continue;
        };
        // Somebody may have been faster.
        let Some(Slot::Queued(frame)) = table.slots.remove(&id) else { continue };
        table.slots.insert(id, Slot::Running);
        table.looking += 1;
        drop(table);
        let look = (shared.work)(&frame);
        table = shared.lock();
        (table.looking, table.pending) = (table.looking - 1, table.pending - 1);
        if let Some(slot) = table.slots.get_mut(&id) {
            *slot = Slot::Done(look);
            table.done += 1;
            table.far |= table.done >= FAR;
        }
        if table.awaited.iter().any(|id| table.is_enough(id)) {
            shared.done.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seq: u64) -> StableId {
        StableId::new(StreamId(0), seq)
    }

    /// A look that tells which frame it was of.
    fn look(frame: &Coming) -> FirstLook {
        let side = frame.captured.as_nanos() as u32;
        let thumbnail = Thumbnail::Ready { width: side, height: side, luma: Luma(Vec::new()) };
        FirstLook { thumbnail, lanes: None, features: LaneFeatures::default() }
    }

    fn begin(ahead: &LookAhead, seq: u64) {
        ahead.begin(id(seq), Mono::from_nanos(seq), Bytes::new());
    }

    #[test]
    fn whoever_waits_gets_its_own_frame_however_many_there_are() {
        // Fewer than are waited for, as many, and more.
        for count in [1, ENOUGH as u64, 40] {
            let (goes, go) = crossbeam_channel::bounded::<()>(0);
            let ahead = LookAhead::start(2, move |frame| {
                let _ = go.recv();
                look(frame)
            })
            .unwrap();
            (1..=count).for_each(|seq| begin(&ahead, seq));
            // Two ask at once, as two cameras do; from here on looks are no longer held back.
            let mut taken: Vec<_> = std::thread::scope(|scope| {
                let asked: Vec<_> = (1..=count.min(2))
                    .map(|seq| {
                        scope.spawn({
                            let ahead = &ahead;
                            move || ahead.take(id(seq))
                        })
                    })
                    .collect();
                drop(goes);
                asked.into_iter().map(|asked| asked.join().unwrap()).collect()
            });
            taken.extend((3..=count).map(|seq| ahead.take(id(seq))));
            for (seq, taken) in (1..).zip(taken) {
                let expected = look(&Coming {
                    stream: StreamId(0),
                    before: None,
                    captured: Mono::from_nanos(seq),
                    jpeg: Bytes::new(),
                });
                // None is for whoever was faster than the threads.
                assert!(taken.is_none_or(|taken| taken == expected), "{seq} of {count}");
            }
            assert_eq!(ahead.take(id(count + 1)), None, "nobody has heard of it");
            let table = ahead.0.lock();
            assert_eq!((table.slots.len(), table.done, table.pending, table.awaited.len()), (0, 0, 0, 0));
            drop(table);
            ahead.close();
        }
    }

    #[test]
    fn far_ahead_one_thread_leaves_its_processor_to_the_ticks_until_half_of_it_is_taken() {
        let (tells, told) = crossbeam_channel::bounded(3 * FAR);
        let (goes, go) = crossbeam_channel::bounded::<()>(FAR);
        let ahead = LookAhead::start(3, move |frame| {
            tells.send(()).unwrap();
            let _ = go.recv();
            look(frame)
        })
        .unwrap();
        let all = 3 * FAR as u64;
        (1..=all).for_each(|seq| begin(&ahead, seq));
        let are_begun = |count: usize| (0..count).for_each(|_| told.recv().unwrap());
        let are_finished = |count: usize| (0..count).for_each(|_| goes.send(()).unwrap());
        let is_reached = |state: (usize, usize, usize)| loop {
            let table = ahead.0.lock();
            if state == (table.done, table.looking, table.idle) {
                break;
            }
            drop(table);
            std::thread::yield_now();
        };
        are_begun(3);
        are_finished(FAR - 1);
        are_begun(FAR - 1);
        is_reached((FAR - 1, 3, 0));
        are_finished(1);
        is_reached((FAR, 2, 1));
        // Some are taken, and others are of no interest any more.
        for seq in 1..=FAR as u64 / 2 {
            match seq % 4 {
                0 => ahead.forget(id(seq)),
                _ => assert!(ahead.take(id(seq)).is_some()),
            }
        }
        are_begun(1);
        is_reached((FAR / 2, 3, 0));
        // Nobody asks for any more: nothing is kept, not even of what is just being looked at.
        (1..=all).for_each(|seq| ahead.forget(id(seq)));
        drop(goes);
        is_reached((0, 0, 3));
        assert!(ahead.0.lock().slots.is_empty());
        ahead.close();
    }
}
