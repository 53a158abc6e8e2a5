//! The one runtime of everything that talks over a network: the HTTP server, and what is asked of other computers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use crate::failure::Failure;

/// How long what runs has to come to an end when the program does.
const PATIENCE: Duration = Duration::from_millis(200);

/// The runtime, which is started when somebody first asks for it.
pub struct Network {
    threads: usize,
    runtime: Mutex<Option<Runtime>>,
    over: watch::Sender<bool>,
}

impl Network {
    /// A runtime with so many threads, which has not been started.
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), runtime: Mutex::default(), over: watch::Sender::new(false) }
    }

    /// The runtime, started if it was not. It belongs before whatever gives the calling thread another priority, which its
    /// threads would have too.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn handle(&self) -> Result<Handle, Failure> {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        let started = Builder::new_multi_thread()
            .worker_threads(self.threads)
            .max_blocking_threads(16)
            .thread_name("network")
            .enable_all()
            .build();
        let started = started.map_err(|error| Failure::running(format!("no threads for the network: {error}")))?;
        Ok(runtime.insert(started).handle().clone())
    }

    /// Becomes true when the program ends: whoever waits for the network on a thread of its own stops waiting.
    pub fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.over.send_replace(true);
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_timeout(PATIENCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads() -> usize {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter(|task| {
                let name = task.as_ref().unwrap().path().join("comm");
                std::fs::read_to_string(name).is_ok_and(|name| name.trim() == "network-of-test")
            })
            .count()
    }

    #[test]
    fn nothing_is_started_that_nobody_asks_for() {
        let network = Network::new(1);
        assert!(network.runtime.lock().unwrap().is_none());
        assert_eq!(threads(), 0);
        let (first, second) = (network.handle().unwrap(), network.handle().unwrap());
        assert_eq!(first.id(), second.id());
        assert_eq!(first.block_on(async { 7 }), 7);
    }

    #[test]
    fn whoever_waits_hears_of_the_end() {
        let network = Network::new(1);
        let (mut over, handle) = (network.over(), network.handle().unwrap());
        let waits = handle.spawn(async move { over.wait_for(|over| *over).await.is_ok() });
        drop(network);
        assert!(waits.is_finished());
    }
}
