//! Bounded channels from device threads to the door. Each is named for what it drops when full, and counts it. What is
//! said of the device itself goes beside the samples, so that no flood of those pushes it out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};
use waywarden_components::prelude::*;

use super::live::Wake;
use super::parking::{Parking, Sparing};

/// One item on its way to the door.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// When it was captured.
    pub captured: Mono,
    /// What it is.
    pub payload: Payload,
    /// Its place among everything that was sent.
    order: u64,
}

/// Changes of a device's state that may wait: more are not made between two ticks.
const WAITING_STATES: usize = 64;

/// What waits in a channel, for whoever wants to know. Outside the world.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<[AtomicUsize; 2]>);

impl Waiting {
    /// Items that wait, and their bytes.
    pub fn now(&self) -> (usize, usize) {
        (self.0[0].load(Ordering::Relaxed), self.0[1].load(Ordering::Relaxed))
    }

    fn add(&self, delivery: &Delivery) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        self.0[1].fetch_add(delivery.payload.weight(), Ordering::Relaxed);
    }

    fn take(&self, delivery: &Delivery) {
        self.0[0].fetch_sub(1, Ordering::Relaxed);
        self.0[1].fetch_sub(delivery.payload.weight(), Ordering::Relaxed);
    }
}

/// The device thread's end.
#[derive(Clone)]
pub struct Outlet {
    sender: Sender<Delivery>,
    /// To take the oldest out again when it has to make room.
    receiver: Receiver<Delivery>,
    states: Sender<Delivery>,
    sent: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
    waiting: Waiting,
    policy: DropPolicy,
    wake: Wake,
    sparing: Option<Sparing>,
}

/// The door's end.
pub struct Inlet {
    /// The stream it carries.
    pub stream: StreamId,
    policy: DropPolicy,
    receiver: Receiver<Delivery>,
    states: Receiver<Delivery>,
    dropped: Arc<AtomicU64>,
    waiting: Waiting,
}

/// The door is gone: the app is ending.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the app is ending")]
pub struct Closed;

/// A channel for `capacity` items of `stream`.
pub fn channel(stream: StreamId, capacity: usize, policy: DropPolicy, wake: Wake) -> (Outlet, Inlet) {
    let (sender, receiver) = bounded(capacity.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    let (said, states) = bounded(WAITING_STATES);
    let sent = Arc::new(AtomicU64::new(0));
    let waiting = Waiting::default();
    let outlet = Outlet {
        sender,
        receiver: receiver.clone(),
        states: said,
        sent,
        dropped: dropped.clone(),
        waiting: waiting.clone(),
        policy,
        wake,
        sparing: None,
    };
    (outlet, Inlet { stream, policy, receiver, states, dropped, waiting })
}

impl Outlet {
    /// The same of a device that knows whether the vehicle is parked: a camera hands on little then.
    pub fn sparing(mut self, parking: Parking) -> Self {
        self.sparing = Some(Sparing::new(parking));
        self
    }

    /// Whether a picture that was taken at `captured` is to be sent. Asked before anything is made of it, once.
    pub fn wants(&self, captured: Mono) -> bool {
        self.sparing.as_ref().is_none_or(|sparing| sparing.wants(captured))
    }

    /// Counts a picture that was not asked about as one that is not wanted.
    pub fn spare(&self) {
        if let Some(sparing) = &self.sparing {
            sparing.spare();
        }
    }

    /// When the next picture that is wanted will be taken, at the earliest; none where all are.
    pub fn next_wanted(&self) -> Option<Mono> {
        self.sparing.as_ref().and_then(Sparing::next_wanted)
    }

    /// Whether the vehicle is parked, so that ticks are far apart.
    pub fn is_parked(&self) -> bool {
        self.sparing.as_ref().is_some_and(Sparing::is_parked)
    }

    /// Hands an item over and wakes the tick.
    ///
    /// # Errors
    /// [`Closed`] when a blocking sender was not heard for a second: the app is ending.
    pub fn send(&self, captured: Mono, payload: Payload) -> Result<(), Closed> {
        let order = self.sent.fetch_add(1, Ordering::Relaxed);
        let mut delivery = Delivery { captured, payload, order };
        // Counted before it can be taken out again.
        self.waiting.add(&delivery);
        if let Payload::Link(_) | Payload::Described(_) = delivery.payload {
            if let Err(TrySendError::Full(back)) = self.states.try_send(delivery) {
                self.lose(&back);
            }
            self.wake.wake();
            return Ok(());
        }
        loop {
            match self.sender.try_send(delivery) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return Err(Closed),
                Err(TrySendError::Full(back)) => match self.policy {
                    DropPolicy::KeepOldest => {
                        self.lose(&back);
                        break;
                    }
                    DropPolicy::KeepNewest => {
                        if let Ok(oldest) = self.receiver.try_recv() {
                            self.lose(&oldest);
                        }
                        delivery = back;
                    }
                    DropPolicy::Block => match self.sender.send_timeout(back, std::time::Duration::from_secs(1)) {
                        Ok(()) => break,
                        Err(SendTimeoutError::Timeout(_) | SendTimeoutError::Disconnected(_)) => return Err(Closed),
                    },
                },
            }
        }
        self.wake.wake();
        Ok(())
    }

    /// Counts what is not passed on.
    fn lose(&self, delivery: &Delivery) {
        self.waiting.take(delivery);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Inlet {
    /// What waits in it.
    pub fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    /// Items that were dropped since the last call, if any.
    pub(crate) fn take_dropped(&self) -> Option<Payload> {
        let count = self.dropped.swap(0, Ordering::Relaxed);
        (count > 0).then_some(Payload::Dropped { policy: self.policy, count })
    }

    /// What waits now, in the order in which it was sent; what arrives meanwhile waits for the next tick.
    pub(crate) fn drain(&self) -> Vec<Delivery> {
        let samples = self.receiver.try_iter().take(self.receiver.len());
        let mut waiting: Vec<_> = samples.chain(self.states.try_iter().take(self.states.len())).collect();
        waiting.iter().for_each(|delivery| self.waiting.take(delivery));
        waiting.sort_unstable_by_key(|delivery| delivery.order);
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::wake;

    fn serial(n: u8) -> Payload {
        Payload::Serial(bytes::Bytes::copy_from_slice(&[n]))
    }

    fn payloads(inlet: &Inlet) -> Vec<Payload> {
        inlet.drain().into_iter().map(|delivery| delivery.payload).collect()
    }

    #[test]
    fn no_flood_pushes_out_what_is_said_of_the_device() {
        for policy in [DropPolicy::KeepNewest, DropPolicy::KeepOldest] {
            let (outlet, inlet) = channel(StreamId(1), 2, policy, wake().0);
            let link = |state| outlet.send(Mono(0), Payload::Link(state)).unwrap();
            link(LinkState::Connected);
            (0..5).for_each(|n| outlet.send(Mono(n.into()), serial(n)).unwrap());
            link(LinkState::Lost("gone".into()));
            let waiting = payloads(&inlet);
            assert_eq!(waiting.len(), 4, "{policy}");
            assert_eq!(waiting[0], Payload::Link(LinkState::Connected));
            assert_eq!(waiting[3], Payload::Link(LinkState::Lost("gone".into())));
        }
    }

    fn sent(policy: DropPolicy) -> (Vec<Payload>, Option<Payload>) {
        let (outlet, inlet) = channel(StreamId(1), 2, policy, wake().0);
        for n in 0..5 {
            outlet.send(Mono(n.into()), serial(n)).expect("the inlet is there");
        }
        (payloads(&inlet), inlet.take_dropped())
    }

    #[test]
    fn what_waits_is_counted_whatever_becomes_of_it() {
        for policy in [DropPolicy::KeepNewest, DropPolicy::KeepOldest] {
            let (outlet, inlet) = channel(StreamId(1), 2, policy, wake().0);
            let waiting = inlet.waiting();
            (0..5).for_each(|n| outlet.send(Mono(0), serial(n)).unwrap());
            let weight = serial(0).weight();
            assert_eq!(waiting.now(), (2, 2 * weight), "{policy}");
            assert_eq!(inlet.drain().len(), 2);
            assert_eq!(waiting.now(), (0, 0), "{policy}");
        }
    }

    #[test]
    fn keep_newest_drops_the_oldest() {
        let dropped = Payload::Dropped { policy: DropPolicy::KeepNewest, count: 3 };
        assert_eq!(sent(DropPolicy::KeepNewest), (vec![serial(3), serial(4)], Some(dropped)));
    }

    #[test]
    fn keep_oldest_drops_the_new() {
        let dropped = Payload::Dropped { policy: DropPolicy::KeepOldest, count: 3 };
        assert_eq!(sent(DropPolicy::KeepOldest), (vec![serial(0), serial(1)], Some(dropped)));
    }
}
