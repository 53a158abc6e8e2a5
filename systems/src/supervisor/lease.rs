//! What a driver holds while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use waywarden_components::prelude::*;

use super::Pace;
use crate::clock::{boottime, to_wait};
use crate::ingress::{Outlet, PARKED_PERIOD};

/// As long as two ticks are apart at least, so that gathering costs no time.
pub(crate) const GATHER: Duration = Duration::from_millis(2);

/// How long before the next picture is wanted a camera takes up its work again.
const AHEAD: Duration = Duration::from_millis(150);

/// How often a camera that rests looks whether the vehicle is parked still.
const LOOK: Duration = Duration::from_millis(250);

/// The lease is over: the thread is to come back at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease is over")]
pub struct Over;

/// The right to speak for a device, and the duty to give signs of life.
pub struct Lease {
    shared: Arc<Shared>,
    outlet: Outlet,
}

/// The supervisor's end.
#[derive(Clone)]
pub(super) struct Held {
    shared: Arc<Shared>,
}

struct Shared {
    /// Held while something is sent, so that nothing is sent once the lease is over.
    over: Mutex<bool>,
    changed: Condvar,
    /// A copy that is read without the lock.
    is_over: AtomicBool,
    /// The last sign of life, in nanoseconds since the computer was started.
    beat: AtomicU64,
    /// The longest silence that is no stall, in nanoseconds; 0 before it is open.
    silence: AtomicU64,
}

impl Lease {
    pub(super) fn new(outlet: Outlet) -> (Self, Held) {
        let shared = Arc::new(Shared {
            over: Mutex::new(false),
            changed: Condvar::new(),
            is_over: AtomicBool::new(false),
            beat: AtomicU64::new(boottime().0),
            silence: AtomicU64::new(0),
        });
        (Self { shared: shared.clone(), outlet }, Held { shared })
    }

    /// Says that it is open, and what it is: for a person, in a line, what was asked for and what was granted.
    ///
    /// # Errors
    /// [`Over`].
    pub fn opened(&self, what: &str, pace: Pace) -> Result<(), Over> {
        let silence = u64::try_from(pace.silence.as_nanos()).unwrap_or(u64::MAX).max(1);
        let now = boottime();
        self.send(now, Payload::Described(what.to_owned()))?;
        self.send(now, Payload::Link(LinkState::Connected))?;
        self.shared.silence.store(silence, Ordering::Relaxed);
        Ok(())
    }

    /// Passes on what has come; a sign of life.
    ///
    /// # Errors
    /// [`Over`].
    pub fn send(&self, captured: Mono, payload: Payload) -> Result<(), Over> {
        self.beat();
        let over = self.shared.over.lock().unwrap_or_else(PoisonError::into_inner);
        if *over {
            return Err(Over);
        }
        self.outlet.send(captured, payload).map_err(|_| Over)
    }

    /// Whether a picture that was taken at `captured` is wanted, asked before anything is made of it; a sign of life. One that
    /// is not is counted, and not to be sent.
    pub fn wants(&self, captured: Mono) -> bool {
        self.beat();
        self.outlet.wants(captured)
    }

    /// A picture is old, and is not asked about: counted, and a sign of life.
    pub fn spare(&self) {
        self.beat();
        self.outlet.spare();
    }

    /// Rests while the vehicle is parked and no picture is wanted, with signs of life; until shortly before one is. Tells
    /// whether it has: what was taken meanwhile is old.
    ///
    /// # Errors
    /// [`Over`].
    pub fn rest(&self) -> Result<bool, Over> {
        let mut rested = false;
        while let Some(wanted) = self.outlet.next_wanted() {
            let left = wanted.since(boottime() + AHEAD);
            if left.is_zero() {
                break;
            }
            self.wait(left.min(LOOK))?;
            self.beat();
            rested = true;
        }
        Ok(rested)
    }

    /// How long what comes often may be gathered: no longer than ticks are apart.
    pub fn gather(&self) -> Duration {
        if self.outlet.is_parked() { PARKED_PERIOD } else { GATHER }
    }

    /// A sign of life: nothing has come, and that is as it should be.
    pub fn beat(&self) {
        self.shared.beat.store(boottime().0, Ordering::Relaxed);
    }

    /// Whether the thread is to come back at once.
    pub fn is_over(&self) -> bool {
        self.shared.is_over.load(Ordering::Relaxed)
    }

    /// Waits so long, or until the lease is over.
    ///
    /// # Errors
    /// [`Over`].
    pub fn wait(&self, time: Duration) -> Result<(), Over> {
        let over = self.shared.over.lock().unwrap_or_else(PoisonError::into_inner);
        let (over, _) = self
            .shared
            .changed
            .wait_timeout_while(over, to_wait(time), |over| !*over)
            .unwrap_or_else(PoisonError::into_inner);
        if *over { Err(Over) } else { Ok(()) }
    }
}

impl Held {
    /// Ends the lease. What the thread had begun to send is sent; nothing else ever is.
    pub fn revoke(&self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        *self.shared.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.changed.notify_all();
    }

    /// When it last gave a sign of life.
    pub fn beat(&self) -> Mono {
        Mono(self.shared.beat.load(Ordering::Relaxed))
    }

    /// The longest silence that is no stall; none before it is open.
    pub fn silence(&self) -> Option<Duration> {
        match self.shared.silence.load(Ordering::Relaxed) {
            0 => None,
            silence => Some(Duration::from_nanos(silence)),
        }
    }
}
