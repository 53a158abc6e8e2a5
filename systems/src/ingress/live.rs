//! Ticks of a live run: absolute deadlines, early wake-ups, what the devices sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use waywarden_components::prelude::*;

use super::channel::Inlet;
use super::pace::Pace;
use super::parking::{PARKED_PERIOD, Parking};
use super::{Incoming, Source};
use crate::clock::{boottime, to_wait};
use crate::tick::{Stage, Stages};

/// Wakes the tick before its deadline because something has arrived. Cheap to clone, never blocks.
#[derive(Clone)]
pub struct Wake(Sender<()>);

impl Wake {
    /// Wakes the tick. A tick that is already called for is not called for twice.
    pub fn wake(&self) {
        let _ = self.0.try_send(());
    }
}

/// A wake-up call and the end that hears it.
pub fn wake() -> (Wake, Receiver<()>) {
    let (sender, receiver) = bounded(1);
    (Wake(sender), receiver)
}

/// How live ticks are paced and recordings cut.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveSettings {
    /// Time from deadline to deadline.
    pub period: Duration,
    /// Least time between two ticks, on the average: three may follow each other at once.
    pub min_gap: Duration,
    /// A new segment starts after this time; never, if nothing is recorded.
    pub segment: Option<Duration>,
    /// The run ends after this time.
    pub duration: Option<Duration>,
    /// Streams that see or hear people inside of the vehicle: nothing of them is let in while [`Control::set_private`] says
    /// so.
    pub private: BTreeSet<StreamId>,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            period: Duration::from_millis(10),
            min_gap: Duration::from_millis(2),
            segment: Some(Duration::from_secs(60)),
            duration: None,
            private: BTreeSet::new(),
        }
    }
}

/// Things that other threads have to say which may wait for a tick.
const WAITING_NOTICES: usize = 64;

/// Wishes and words of other threads that become inputs: an orderly end, a new segment, a notice.
#[derive(Clone)]
pub struct Control {
    wishes: Arc<[AtomicU8; 2]>,
    private: Arc<AtomicBool>,
    says: Sender<Payload>,
    said: Receiver<Payload>,
}

impl Default for Control {
    fn default() -> Self {
        let (says, said) = bounded(WAITING_NOTICES);
        Self { wishes: Arc::default(), private: Arc::default(), says, said }
    }
}

impl Control {
    /// Asks for an orderly end.
    pub fn shut_down(&self) {
        self.wishes[0].store(1, Ordering::Relaxed);
    }

    /// Asks for a new segment.
    pub fn new_segment(&self, reason: BoundaryReason) {
        self.wishes[1].store(if reason == BoundaryReason::Gap { 2 } else { 1 }, Ordering::Relaxed);
    }

    /// Has this enter with the next tick, as an input of the app itself. False where too much waits already (keep
    /// oldest): it is logged and lost.
    pub fn say(&self, payload: Payload) -> bool {
        let said = self.says.try_send(payload);
        if let Err(error) = &said {
            tracing::warn!("too much is said at once: {error}");
        }
        said.is_ok()
    }

    /// Lets nothing in any more of what sees or hears people inside of the vehicle, or lets it in again.
    pub fn set_private(&self, private: bool) {
        self.private.store(private, Ordering::Relaxed);
    }

    fn take_said(&self) -> impl Iterator<Item = Payload> {
        self.said.try_iter().take(self.said.len())
    }

    fn take_shutdown(&self) -> bool {
        self.wishes[0].load(Ordering::Relaxed) == 1
    }

    pub(crate) fn take_boundary(&self) -> Option<BoundaryReason> {
        match self.wishes[1].swap(0, Ordering::Relaxed) {
            0 => None,
            2 => Some(BoundaryReason::Gap),
            _ => Some(BoundaryReason::Size),
        }
    }
}

/// The devices and the clock as a source of ticks.
pub struct LiveSource {
    pace: Pace,
    settings: LiveSettings,
    inlets: Vec<Inlet>,
    wake: Receiver<()>,
    control: Control,
    lateness: Stage,
    started: Mono,
    deadline: Mono,
    tick: u64,
    now: Mono,
    numbers: BTreeMap<StreamId, u64>,
    segment: u32,
    segment_started: Mono,
    first: Vec<Payload>,
    ended: bool,
    parking: Parking,
}

impl LiveSource {
    /// A source of ticks from `inlets`, in their order. The inputs in `first` enter with the first tick.
    pub fn new(
        settings: LiveSettings,
        inlets: Vec<Inlet>,
        wake: Receiver<()>,
        control: Control,
        stages: Stages,
        first: Vec<Payload>,
    ) -> Self {
        let now = boottime();
        Self {
            pace: Pace::new(settings.min_gap),
            settings,
            inlets,
            wake,
            control,
            lateness: stages.stage("lateness"),
            started: now,
            deadline: now,
            tick: 0,
            now,
            numbers: BTreeMap::new(),
            segment: 0,
            segment_started: now,
            first,
            ended: false,
            parking: Parking::default(),
        }
    }

    /// The same, ticking seldom while the vehicle is parked.
    pub fn sparing(mut self, parking: Parking) -> Self {
        self.parking = parking;
        self
    }

    fn period(&self) -> Duration {
        if self.parking.is_parked() { self.settings.period.max(PARKED_PERIOD) } else { self.settings.period }
    }

    /// Counts how late this tick is for every deadline that has passed, the missed ones too.
    fn meet_deadlines(&mut self) {
        let period = self.period();
        while self.deadline <= self.now {
            self.lateness.record(self.now.since(self.deadline));
            self.deadline = self.deadline + period;
        }
    }

    fn boundary(&mut self) -> Option<Payload> {
        if self.tick == 1 {
            return Some(Payload::Boundary { segment: 0, reason: BoundaryReason::Start });
        }
        let length = self.settings.segment?;
        let reason = match self.control.take_boundary() {
            Some(reason) => reason,
            None if self.now.since(self.segment_started) >= length => BoundaryReason::Time,
            None => return None,
        };
        self.segment += 1;
        self.segment_started = self.now;
        Some(Payload::Boundary { segment: self.segment, reason })
    }
}

/// Waits between ticks.
#[expect(clippy::disallowed_methods, reason = "the loop itself, between two ticks")]
fn pause(until: Mono) {
    std::thread::sleep(to_wait(until.since(boottime())));
}

impl Source for LiveSource {
    fn wait(&mut self) -> bool {
        if self.ended {
            return false;
        }
        if self.parking.is_parked() {
            // What comes in waits for the deadline: a parked vehicle can take its time.
            pause(self.deadline);
            self.now = boottime();
            self.meet_deadlines();
            return true;
        }
        // It may have been parked when the deadline was set.
        self.deadline = self.deadline.min(self.now + self.settings.period);
        self.pace.tick(self.now);
        let earliest = self.pace.earliest();
        loop {
            let now = boottime();
            if now >= self.deadline {
                self.now = now;
                self.meet_deadlines();
                return true;
            }
            match self.wake.recv_timeout(to_wait(self.deadline.since(now))) {
                Ok(()) => {
                    let until = earliest.min(self.deadline);
                    pause(until);
                    self.now = boottime();
                    self.meet_deadlines();
                    return true;
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Nobody is left who could wake: the deadlines alone remain.
                Err(RecvTimeoutError::Disconnected) => pause(self.deadline),
            }
        }
    }

    fn take(&mut self) -> Incoming {
        self.tick += 1;
        let mut inputs = Vec::new();
        let app = |payload, now| Input { stream: StreamId::APP, seq: 0, captured: now, payload };
        inputs.extend(self.boundary().map(|payload| app(payload, self.now)));
        inputs.extend(std::mem::take(&mut self.first).into_iter().map(|payload| app(payload, self.now)));
        inputs.extend(self.control.take_said().map(|payload| app(payload, self.now)));
        let private = self.control.private.load(Ordering::Relaxed);
        for inlet in &self.inlets {
            let stream = inlet.stream;
            let shut = private && self.settings.private.contains(&stream);
            if let Some(payload) = inlet.take_dropped() {
                inputs.push(Input { stream, seq: 0, captured: self.now, payload });
            }
            for delivery in inlet.drain() {
                let seq = match delivery.payload {
                    Payload::Frame(_) | Payload::Audio(_) if shut => continue,
                    Payload::Frame(_) | Payload::Audio(_) | Payload::Serial(_) | Payload::Truth(_) => {
                        let number = self.numbers.entry(stream).or_default();
                        *number += 1;
                        *number
                    }
                    _ => 0,
                };
                inputs.push(Input { stream, seq, captured: delivery.captured, payload: delivery.payload });
            }
        }
        let over = self.settings.duration.is_some_and(|duration| self.now.since(self.started) >= duration);
        if over || self.control.take_shutdown() {
            self.ended = true;
            inputs.push(app(Payload::Shutdown, self.now));
        }
        Incoming { tick: self.tick, now: self.now, inputs }
    }
}
