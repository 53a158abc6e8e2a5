//! Devices tried for a moment, outside of any world: for a person who wants to know whether they work.

use std::sync::Arc;
use std::time::Duration;

use waywarden_components::prelude::*;

use super::{Driver, Supervisor, SupervisorSettings, Task};
use crate::clock::boottime;
use crate::ingress::{channel, wake};

/// What a device did while it was tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// What it says that it is; empty if it was never open.
    pub description: String,
    /// What was last heard of it.
    pub state: Option<LinkState>,
    /// Samples, or pieces of serial bytes, that came.
    pub samples: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first thing that went wrong, if anything did.
    pub trouble: Option<String>,
    /// From the first sample to the last.
    pub lasted: Duration,
    /// The last bytes that it said, of a device that speaks in bytes.
    pub said: Vec<u8>,
}

/// Samples that may wait between two looks.
const WAITING: usize = 4096;

/// Bytes that are kept of what a device said.
const KEPT: usize = 4096;

/// Starts these devices, and watches each until it has delivered for `time`; none of them for longer than `patience`.
///
/// # Errors
/// When there is no thread to be had.
#[expect(clippy::disallowed_methods, reason = "the thread of a command that has nothing else to do")]
pub fn try_out(
    devices: Vec<(String, Arc<dyn Driver>)>,
    time: Duration,
    patience: Duration,
) -> std::io::Result<Vec<Tried>> {
    let (mut tasks, mut inlets, mut found, mut spans) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (name, driver) in devices {
        let (outlet, inlet) = channel(StreamId::default(), WAITING, DropPolicy::KeepOldest, wake().0);
        found.push(Tried { name: name.clone(), ..Tried::default() });
        tasks.push(Task { name, driver, outlet });
        inlets.push(inlet);
        spans.push(None::<(Mono, Mono)>);
    }
    let supervisor = Supervisor::start(tasks, SupervisorSettings::default())?;
    let begin = boottime();
    loop {
        for ((inlet, tried), span) in inlets.iter().zip(&mut found).zip(&mut spans) {
            for delivery in inlet.drain() {
                tried.hear(delivery.payload, span);
            }
        }
        let done = spans.iter().all(|span| span.is_some_and(|(first, last)| last.since(first) >= time));
        if done || boottime().since(begin) >= patience {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    supervisor.stop(Duration::from_secs(1));
    for (tried, span) in found.iter_mut().zip(spans) {
        tried.lasted = span.map_or(Duration::ZERO, |(first, last)| last.since(first));
    }
    Ok(found)
}

impl Tried {
    fn hear(&mut self, payload: Payload, span: &mut Option<(Mono, Mono)>) {
        match payload {
            Payload::Described(what) => self.description = what,
            Payload::Link(state) => {
                if let LinkState::Lost(why) | LinkState::Failed(why) = &state {
                    self.trouble.get_or_insert_with(|| why.clone());
                }
                self.state = Some(state);
            }
            Payload::Frame(bytes) | Payload::Audio(bytes) => self.count(bytes.len(), span),
            Payload::Serial(bytes) => {
                self.count(bytes.len(), span);
                self.said.extend_from_slice(&bytes);
                let excess = self.said.len().saturating_sub(KEPT);
                self.said.drain(..excess);
            }
            _ => {}
        }
    }

    fn count(&mut self, bytes: usize, span: &mut Option<(Mono, Mono)>) {
        self.samples += 1;
        self.bytes += bytes as u64;
        let now = boottime();
        *span = Some((span.map_or(now, |(first, _)| first), now));
    }
}
