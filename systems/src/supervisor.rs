//! The only supervisor: what can block, fail or panic runs on a thread of its own, watched, and is started anew.
//!
//! A [`Driver`] opens something outside and passes on what comes, until its [`Lease`] is over or it fails. The
//! supervisor notices its end, a panic, and a silence longer than its own pace allows; revokes the lease *before* it
//! stops or replaces the thread, so that nothing of an old thread can arrive behind what a new one says; and starts it
//! again after a pause that grows. A thread that does not come back, because a call into a library never returns, is
//! abandoned and replaced. Every change of state is a [`LinkState`](waywarden_components::device::LinkState), which enters the world through the door, is
//! journalled and replayed.
//!
//! What is not there is waited for, as often as it takes: a cable may be plugged in at any time. What is there and
//! keeps failing is given a long rest after some failures in a short time, and its state says so.

mod lease;
mod probe;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use lease::GATHER;
pub use lease::{Lease, Over};
pub use probe::{Tried, try_out};
pub use watch::{Remote, Supervisor, install_nudge};

use crate::ingress::Outlet;

/// Something outside: a device, a connection. It is started on a thread of its own, and again after each failure.
pub trait Driver: Send + Sync + 'static {
    /// Opens it, says so with [`Lease::opened`], and passes on what comes until the lease is over.
    ///
    /// A call that can block for longer than [`Pace::silence`] need not be avoided: it is interrupted by a signal, and
    /// abandoned where that does not help.
    ///
    /// # Errors
    /// Why it ended.
    fn run(&self, lease: &Lease) -> Result<(), DriverError>;
}

/// Why a driver came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// It is not there, or not any more. It is looked for again and again.
    #[error("{0}")]
    Absent(String),
    /// It is there and fails. After some such failures in a row it is given a rest.
    #[error("{0}")]
    Failed(String),
    /// There is nothing more to come: a file was read through. It is not started again.
    #[error("at its end")]
    Ended,
    /// The lease is over.
    #[error(transparent)]
    Over(#[from] Over),
}

/// How often a driver lets hear of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The longest silence that is no stall.
    pub silence: Duration,
}

/// One thing to be supervised.
pub struct Task {
    /// Its name: that of its stream, and of its thread.
    pub name: String,
    /// What it does.
    pub driver: Arc<dyn Driver>,
    /// Where what comes goes.
    pub outlet: Outlet,
}

/// How failures are answered.
#[derive(Clone, Debug, PartialEq)]
pub struct SupervisorSettings {
    /// Pause before the first restart.
    pub backoff_min: Duration,
    /// Longest pause between restarts; pauses double up to here, with jitter.
    pub backoff_max: Duration,
    /// Pause before what is not there is looked for again. With opening it, less than two seconds.
    pub absent: Duration,
    /// Failures within [`SupervisorSettings::window`] after which something is given a rest.
    pub failures: usize,
    /// See [`SupervisorSettings::failures`]. What has run for so long without one begins with the shortest pause again.
    pub window: Duration,
    /// How long a rest is.
    pub rest: Duration,
    /// How long opening may take.
    pub open: Duration,
    /// How long a thread has to come back once its lease is over.
    pub grace: Duration,
}

impl Default for SupervisorSettings {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            absent: Duration::from_millis(500),
            failures: 10,
            window: Duration::from_secs(60),
            rest: Duration::from_secs(60),
            open: Duration::from_secs(10),
            grace: Duration::from_millis(500),
        }
    }
}

/// A pause that grows with each failure in a row, up to a limit, and is never quite the same.
fn pauses(settings: &SupervisorSettings) -> impl Iterator<Item = Duration> + Send + use<> {
    use backon::BackoffBuilder;
    backon::ExponentialBuilder::default()
        .with_min_delay(settings.backoff_min)
        .with_max_delay(settings.backoff_max)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}
