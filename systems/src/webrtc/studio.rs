//! The studio of a camera: one thread that encodes its newest picture, while somebody watches. Once for all whose links carry
//! it, and once more, smaller, for those whose links do not.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::packetizer::Payloader;
use tokio::sync::mpsc::Sender;
use waywarden_components::prelude::*;

use super::encoder::H264;
use super::link::Gauges;
use super::rates::{Ladder, Making, for_pictures};
use crate::camera::jpeg::{self, Yuv420};
use crate::scene::FrameScene;

/// Bytes of a packet's payload: what passes everywhere with all its headers.
const PAYLOAD: usize = 1160;

/// While pictures have waited for so long before they leave, no new one is encoded: it would only come later.
const BACKED_UP: Duration = Duration::from_millis(150);

/// A picture that is on its way to those who watch.
#[derive(Debug)]
pub(super) struct Picture {
    /// Payloads of packets.
    pub payloads: Vec<Bytes>,
    /// When it was taken.
    pub captured: Mono,
}

/// Somebody who watches a camera.
pub(super) struct Watcher {
    /// The number of the session.
    pub session: u64,
    /// Where pictures go. One that finds no room is lost, and the next that is sent stands alone.
    pub sink: Sender<Arc<Picture>>,
    /// How the link is.
    pub gauges: Arc<Gauges>,
    /// Whether sound goes over it, too.
    pub sound: bool,
    /// Which pictures.
    size: PictureSize,
    /// Nothing makes sense before a picture that stands alone.
    lost: bool,
    /// One was ordered.
    ordered: bool,
}

/// How pictures are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct StudioSettings {
    /// Bits a second at most.
    pub most_bps: u32,
    /// Pictures a second at most.
    pub most_fps: f32,
    /// Rows of a picture at most.
    pub most_rows: u32,
}

/// The studio of a camera. It has a thread while somebody watches.
pub(super) struct Studio(Arc<Shared>);

struct Shared {
    name: String,
    settings: StudioSettings,
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Default)]
struct Inside {
    /// The newest picture that was not encoded (keep newest).
    frame: Option<FrameScene>,
    watchers: Vec<Watcher>,
    /// Whether the thread runs.
    running: bool,
}

impl Shared {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Studio {
    /// The studio of a camera of this name, in which nobody works yet.
    pub fn new(name: String, settings: StudioSettings) -> Self {
        Self(Arc::new(Shared { name, settings, inside: Mutex::default(), changed: Condvar::new() }))
    }

    /// Somebody watches from now on.
    pub fn enter(&self, session: u64, sink: Sender<Arc<Picture>>, gauges: Arc<Gauges>, sound: bool) {
        let size = PictureSize::Full;
        let watcher = Watcher { session, sink, gauges, sound, size, lost: true, ordered: true };
        let mut inside = self.0.inside();
        inside.watchers.retain(|known| known.session != session);
        inside.watchers.push(watcher);
        if !inside.running {
            inside.running = true;
            let shared = self.0.clone();
            let started =
                std::thread::Builder::new().name(format!("video-{}", self.0.name)).spawn(move || work(&shared));
            if let Err(error) = started {
                inside.running = false;
                tracing::error!("nobody sees {}: there is no thread to be had: {error}", self.0.name);
            }
        }
    }

    /// Somebody does not watch any more. The thread ends behind the last one.
    pub fn leave(&self, session: u64) {
        self.0.inside().watchers.retain(|known| known.session != session);
        self.0.changed.notify_all();
    }

    /// Somebody gets pictures of this size from now on.
    pub fn show(&self, session: u64, size: PictureSize) {
        if let Some(watcher) = self.0.inside().watchers.iter_mut().find(|known| known.session == session) {
            (watcher.size, watcher.lost, watcher.ordered) = (size, true, true);
        }
    }

    /// The next picture for somebody stands alone.
    pub fn order_keyframe(&self, session: u64) {
        if let Some(watcher) = self.0.inside().watchers.iter_mut().find(|known| known.session == session) {
            watcher.ordered = true;
        }
    }

    /// There is a new picture.
    pub fn give(&self, frame: FrameScene) {
        let mut inside = self.0.inside();
        if !inside.watchers.is_empty() {
            inside.frame = Some(frame);
            self.0.changed.notify_all();
        }
    }
}

/// One of the two encodings.
struct Desk {
    size: PictureSize,
    encoder: Option<H264>,
    ladder: Ladder,
    payloader: H264Payloader,
    /// When the last picture was taken that was encoded.
    last: Option<Mono>,
    /// Whether it was said that it does not work.
    told: bool,
}

/// What those at a desk want.
struct Wanted {
    bps: u32,
    key: bool,
    backed_up: bool,
}

impl Desk {
    fn new(size: PictureSize) -> Self {
        let ladder = Ladder::new(0, 30.0, size == PictureSize::Small);
        Self { size, encoder: None, ladder, payloader: H264Payloader::default(), last: None, told: false }
    }

    fn wanted(&self, inside: &Inside, settings: &StudioSettings) -> Option<Wanted> {
        let mut here = inside.watchers.iter().filter(|watcher| watcher.size == self.size).peekable();
        here.peek()?;
        let mut wanted = Wanted { bps: settings.most_bps, key: false, backed_up: true };
        for watcher in here {
            let target = watcher.gauges.target_bps.load(Ordering::Relaxed);
            wanted.bps = wanted.bps.min(for_pictures(target, watcher.sound));
            wanted.key |= watcher.ordered;
            wanted.backed_up &= watcher.gauges.waiting() > BACKED_UP;
        }
        Some(wanted)
    }

    /// Encodes a picture, if it is due.
    fn encode(
        &mut self,
        frame: &FrameScene,
        rate: f32,
        wanted: &Wanted,
        settings: &StudioSettings,
        yuv: &mut Yuv420,
    ) -> Result<Option<(Picture, bool)>, String> {
        if wanted.backed_up {
            return Ok(None);
        }
        let (width, height) = jpeg::size(&frame.frame.jpeg).map_err(|error| error.to_string())?;
        let fits = (1..=8).rev().find(|eighths| height * u32::from(*eighths) / 8 <= settings.most_rows).unwrap_or(1u8);
        let full = |side: u32| side as usize * usize::from(fits) / 8;
        let rate = rate.min(settings.most_fps);
        self.ladder.set_source(full(width) * full(height), rate);
        let at = Duration::from_nanos(frame.captured.as_nanos());
        let Making { divisor, fps } = self.ladder.choose(wanted.bps, at);
        // A picture that comes a little early is as good as one that comes a whole picture late.
        let gap = Duration::try_from_secs_f32(0.8 / fps.max(0.1)).unwrap_or_default();
        if !wanted.key && self.last.is_some_and(|last| frame.captured.since(last) < gap) {
            return Ok(None);
        }
        yuv.decode(&frame.frame.jpeg, (fits / divisor).max(1)).map_err(|error| error.to_string())?;
        let wrong = |error: openh264::Error| format!("the H.264 encoder failed: {error}");
        let encoder = match self.encoder.take().filter(|encoder| encoder.size() == yuv.size()) {
            Some(encoder) => encoder,
            None => H264::new(yuv.size(), settings.most_bps, settings.most_fps).map_err(wrong)?,
        };
        let coded = self.encoder.insert(encoder).encode(yuv, at, (wanted.bps, fps), wanted.key).map_err(wrong)?;
        self.last = Some(frame.captured);
        let Some(coded) = coded else { return Ok(None) };
        let payloads = self.payloader.payload(PAYLOAD, &coded.data.into()).map_err(|error| error.to_string())?;
        Ok(Some((Picture { payloads, captured: frame.captured }, coded.key)))
    }
}

/// Encodes until nobody watches any more.
fn work(shared: &Shared) {
    let mut desks = [Desk::new(PictureSize::Full), Desk::new(PictureSize::Small)];
    let mut yuv = Yuv420::default();
    // How many pictures a second come, and when the last one was taken.
    let (mut rate, mut before) = (30.0_f32, None::<Mono>);
    while let Some(frame) = next(shared) {
        if let Some(before) = before.replace(frame.captured) {
            let gap = frame.captured.since(before).as_secs_f32().clamp(0.005, 1.0);
            rate += 0.1 * (1.0 / gap - rate);
        }
        for desk in &mut desks {
            let Some(wanted) = desk.wanted(&shared.inside(), &shared.settings) else {
                // Whoever comes next begins with a new one.
                *desk = Desk::new(desk.size);
                continue;
            };
            match desk.encode(&frame, rate, &wanted, &shared.settings, &mut yuv) {
                Ok(Some((picture, key))) => hand_out(&mut shared.inside(), desk.size, picture, key),
                Ok(None) => {}
                Err(error) if desk.told => tracing::debug!("{}: {error}", shared.name),
                Err(error) => {
                    desk.told = true;
                    tracing::warn!("{}: a picture cannot be shown: {error}", shared.name);
                }
            }
        }
    }
}

/// Waits for the next picture; none when nobody watches.
fn next(shared: &Shared) -> Option<FrameScene> {
    let mut inside = shared.inside();
    loop {
        if inside.watchers.is_empty() {
            inside.running = false;
            return None;
        }
        if let Some(frame) = inside.frame.take() {
            return Some(frame);
        }
        inside = shared.changed.wait(inside).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Gives a picture to all who watch it.
fn hand_out(inside: &mut Inside, size: PictureSize, picture: Picture, key: bool) {
    let picture = Arc::new(picture);
    for watcher in inside.watchers.iter_mut().filter(|watcher| watcher.size == size) {
        if watcher.lost && !key {
            continue;
        }
        // Without room it is lost, and so is what follows it.
        let lost = watcher.sink.try_send(picture.clone()).is_err();
        watcher.ordered = (watcher.ordered && !key) || lost;
        watcher.lost = lost;
    }
}

#[cfg(test)]
mod tests;
