//! Simulated devices as recordings that are read faster than real time, through the same door as those of others.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

use super::camera::{CameraError, CameraSettings, Shutter, Studio};
use super::drive::{Drive, Moment};
use crate::camera::jpeg::JpegError;
use crate::import::{ImportError, Reader, TimedItem};

/// Frames that a drawing thread may be ahead.
const AHEAD: usize = 3;

/// The items of a simulated device up to some time.
pub struct Simulated<F> {
    next: F,
    length: Duration,
    ended: bool,
}

impl<F: FnMut() -> TimedItem + Send> Simulated<F> {
    /// What `next` gives, in order of time, before `length` is over.
    pub fn new(next: F, length: Duration) -> Self {
        Self { next, length, ended: false }
    }
}

impl<F: FnMut() -> TimedItem + Send> Iterator for Simulated<F> {
    type Item = Result<TimedItem, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = (self.next)();
        self.ended = item.at.since(Mono::default()) >= self.length;
        (!self.ended).then_some(Ok(item))
    }
}

impl<F: FnMut() -> TimedItem + Send> Reader for Simulated<F> {
    fn expected_length(&self) -> Option<Duration> {
        Some(self.length)
    }
}

/// A thread that draws: where it is told which moments, with their numbers and times, and where its pictures come out.
type Artist = (SyncSender<(u64, Mono, Moment)>, Receiver<Result<TimedItem, JpegError>>);

/// The frames of a simulated camera up to some time, drawn on several threads, in order.
///
/// Frame after frame is given to the threads in turn, and taken from them in turn: each is at most a few frames ahead.
pub struct Frames {
    drive: Drive,
    shutter: Shutter,
    length: Duration,
    threads: Vec<Artist>,
    /// Frames given to the threads, and taken from them.
    given: usize,
    taken: usize,
    ended: bool,
}

impl Frames {
    /// The frames of this drive before `length` is over, drawn on `threads` threads (at least one).
    ///
    /// # Errors
    /// When a setting is out of its range, or a thread cannot be started.
    pub fn new(
        drive: &Drive,
        settings: &CameraSettings,
        length: Duration,
        threads: usize,
    ) -> Result<Self, CameraError> {
        let mut frames = Self {
            drive: drive.clone(),
            shutter: Shutter::new(drive.plan(), settings.fps),
            length,
            threads: Vec::new(),
            given: 0,
            taken: 0,
            ended: false,
        };
        for n in 0..threads.max(1) {
            let mut studio = Studio::new(drive, settings)?;
            let (moments, work) = sync_channel::<(u64, Mono, Moment)>(AHEAD);
            let (done, pictures) = sync_channel(AHEAD);
            let draw = move || {
                for (number, at, moment) in work {
                    let jpeg = studio.take(&moment, number);
                    if done.send(jpeg.map(|jpeg| TimedItem { at, payload: Payload::Frame(jpeg) })).is_err() {
                        return;
                    }
                }
            };
            std::thread::Builder::new().name(format!("draw-{n}")).spawn(draw).map_err(CameraError::Thread)?;
            frames.threads.push((moments, pictures));
        }
        Ok(frames)
    }

    /// Gives the threads what they may have.
    fn feed(&mut self) {
        while !self.ended && self.given < self.taken + self.threads.len() * AHEAD {
            let (number, at) = self.shutter.next();
            if at.since(Mono::default()) >= self.length {
                self.ended = true;
                return;
            }
            let moment = self.drive.moment(at.as_secs_f64());
            let thread = self.given % self.threads.len();
            // A thread that has gone is noticed when its frame is asked for.
            let _ = self.threads[thread].0.send((number, at, moment));
            self.given += 1;
        }
    }
}

impl Iterator for Frames {
    type Item = Result<TimedItem, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.feed();
        if self.taken == self.given {
            return None;
        }
        let thread = self.taken % self.threads.len();
        self.taken += 1;
        let failed = |reason: String| ImportError::Simulation { reason };
        Some(match self.threads[thread].1.recv() {
            Ok(drawn) => drawn.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed("a drawing thread has ended".to_owned())),
        })
    }
}

impl Reader for Frames {
    fn expected_length(&self) -> Option<Duration> {
        Some(self.length)
    }
}
