//! What stands in the place of devices: each a driver under the supervisor, which gives what it has when it is due.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use waywarden_components::prelude::*;
use waywarden_systems::buffers::Buffers;
use waywarden_systems::clock::boottime;
use waywarden_systems::supervisor::{Driver, DriverError, Lease, Pace};

use super::session::Session;

/// Pictures that a camera's driver keeps for a late reader: one that is later finds them overwritten.
const CAMERA_BUFFERS: u32 = 4;

/// A source may be silent for so long: the first picture is waited for.
const SILENCE: Duration = Duration::from_secs(60);

/// When the session begins.
#[derive(Clone, Default)]
pub struct Start(Arc<OnceLock<Mono>>);

impl Start {
    /// It begins then.
    pub fn set(&self, begin: Mono) {
        // Once.
        let _ = self.0.set(begin);
    }

    /// When, if that is decided.
    pub fn get(&self) -> Option<Mono> {
        self.0.get().copied()
    }

    fn wait(&self, lease: &Lease) -> Result<Mono, DriverError> {
        loop {
            match self.get() {
                Some(begin) => return Ok(begin),
                None => lease.wait(Duration::from_millis(5))?,
            }
        }
    }
}

/// What sources and encoders have to tell.
#[derive(Clone, Default)]
pub struct Told(Arc<Counts>);

#[derive(Default)]
struct Counts {
    /// Pictures that were due.
    frames: AtomicU64,
    /// Of them, those that the camera's driver had overwritten.
    overrun: AtomicU64,
    /// Pictures that wait for an encoder, or are being encoded.
    encoding: AtomicU64,
    /// Pictures for which no encoder was free.
    encode_full: AtomicU64,
}

impl Told {
    /// Pictures that were due, and those of them that the camera's driver had overwritten.
    pub fn frames(&self) -> (u64, u64) {
        (self.0.frames.load(Ordering::Relaxed), self.0.overrun.load(Ordering::Relaxed))
    }

    /// Pictures for which no encoder was free.
    pub fn encode_full(&self) -> u64 {
        self.0.encode_full.load(Ordering::Relaxed)
    }

    /// One more is to be encoded, or has been.
    pub fn encoding(&self, begins: bool) {
        if begins {
            self.0.encoding.fetch_add(1, Ordering::AcqRel);
        } else {
            self.0.encoding.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// No encoder was free.
    pub fn refuse(&self) {
        self.encoding(false);
        self.0.encode_full.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether nothing is being encoded.
    pub fn idle(&self) -> bool {
        self.0.encoding.load(Ordering::Acquire) == 0
    }
}

/// The driver of a stream.
pub fn driver(kind: &StreamKind, session: &Session, rate: f64, told: &Told, begin: &Start) -> Arc<dyn Driver> {
    let begin = begin.clone();
    match kind {
        StreamKind::Camera { .. } => {
            let period = Duration::try_from_secs_f64(1.0 / (session.fps * rate)).unwrap_or_default();
            Arc::new(Camera { frames: session.frames.clone(), period, begin, told: told.clone() })
        }
        StreamKind::Microphone => {
            // A piece is there when its last sample is.
            let at = |n: usize| Duration::from_millis(20 * (n as u64 + 1));
            let items = session.sound.iter().enumerate().map(|(n, sound)| (at(n), Payload::Audio(sound.clone())));
            Arc::new(Timed { items: items.collect(), rate, begin })
        }
        _ => {
            let items = session.lines.iter().map(|(at, line)| (*at, Payload::Serial(line.clone())));
            Arc::new(Timed { items: items.collect(), rate, begin })
        }
    }
}

/// A folder of pictures as a camera.
struct Camera {
    frames: Arc<[PathBuf]>,
    /// Time from picture to picture; zero is as fast as possible.
    period: Duration,
    begin: Start,
    told: Told,
}

impl Driver for Camera {
    fn run(&self, lease: &Lease) -> Result<(), DriverError> {
        lease.opened("pictures of a folder", Pace { silence: SILENCE })?;
        let begin = self.begin.wait(lease)?;
        let buffers = Buffers::default();
        for (n, path) in (0..).zip(self.frames.iter()) {
            let mut due = begin + self.period.saturating_mul(n);
            until(lease, due)?;
            self.told.0.frames.fetch_add(1, Ordering::Relaxed);
            if self.period.is_zero() {
                due = boottime();
            } else if boottime().since(due) > self.period * CAMERA_BUFFERS {
                self.told.0.overrun.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let jpeg =
                read(&buffers, path).map_err(|error| DriverError::Failed(format!("{}: {error}", path.display())))?;
            lease.send(due, Payload::Frame(jpeg))?;
        }
        Err(DriverError::Ended)
    }
}

fn read(buffers: &Buffers, path: &PathBuf) -> std::io::Result<Bytes> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    buffers.read(file, length)
}

/// Sound, or sentences, with the times at which they are due.
struct Timed {
    items: Vec<(Duration, Payload)>,
    /// Times real time; 0 is as fast as possible.
    rate: f64,
    begin: Start,
}

impl Driver for Timed {
    fn run(&self, lease: &Lease) -> Result<(), DriverError> {
        lease.opened("a file", Pace { silence: SILENCE })?;
        let begin = self.begin.wait(lease)?;
        for (at, payload) in &self.items {
            let due = if self.rate > 0.0 {
                let due = begin + at.div_f64(self.rate);
                until(lease, due)?;
                due
            } else {
                until(lease, begin)?;
                boottime()
            };
            lease.send(due, payload.clone())?;
        }
        Err(DriverError::Ended)
    }
}

fn until(lease: &Lease, due: Mono) -> Result<(), DriverError> {
    loop {
        let left = due.since(boottime());
        if left.is_zero() {
            return Ok(());
        }
        lease.wait(left)?;
    }
}
