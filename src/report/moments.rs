//! Pictures of the moments that matter, small, and of bounded number.

use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use serde::Serialize;
use waywarden_components::prelude::*;
use waywarden_systems::camera::jpeg::{self, RgbPicture};
use waywarden_systems::session::TickFindings;

use super::base::Base;
use super::decimate::Thinned;

/// Moments with the largest gate differences.
const MOST_DIFFERENT: usize = 6;
/// They lie at least so far apart.
const APART: Duration = Duration::from_secs(2);
/// Starts of segments.
const MOST_SEGMENTS: usize = 6;
/// Changes of health, and alerts.
const MOST_EVENTS: usize = 8;
/// No picture is wider, in pixels.
const WIDEST: u32 = 360;
/// JPEG quality of the pictures.
const QUALITY: u8 = 72;

/// Collects them.
#[derive(Clone, Debug)]
pub struct Moments {
    camera: Option<StreamId>,
    newest: Option<Shot>,
    first: Option<Moment>,
    segments: Thinned<Moment>,
    events: Thinned<Moment>,
    different: Vec<(f32, Moment)>,
    judged: bool,
}

/// A picture as it came.
#[derive(Clone, Debug)]
struct Shot {
    id: StableId,
    at: Mono,
    jpeg: Bytes,
}

/// A moment with its picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// When, in seconds since the start.
    pub at_s: f64,
    /// Why it matters.
    pub why: String,
    /// The frame.
    pub frame: String,
    /// The picture as a `data:` URI; none where it cannot be decoded.
    pub picture: Option<String>,
}

impl Moments {
    /// Moments as the camera `camera` saw them.
    pub fn new(camera: Option<StreamId>) -> Self {
        Self {
            camera,
            newest: None,
            first: None,
            segments: Thinned::new(MOST_SEGMENTS),
            events: Thinned::new(MOST_EVENTS),
            different: Vec::new(),
            judged: false,
        }
    }

    /// Takes what a tick says; `happened` is what changed with it.
    pub fn add(&mut self, tick: &TickFindings, happened: &[String], base: &Base) {
        for (id, at, jpeg) in tick.frames().filter(|(id, ..)| Some(id.stream) == self.camera) {
            let shot = Shot { id, at, jpeg: jpeg.clone() };
            if self.first.is_none() {
                self.first = Some(shot.moment("first picture", base));
            }
            self.newest = Some(shot);
        }
        let Some(newest) = self.newest.clone() else { return };
        if let Some(segment) = &tick.segment
            && segment.number > 0
        {
            let why = match segment.missing_ticks {
                0 => format!("segment {} begins", segment.number),
                lost => format!("after a gap of {lost} ticks"),
            };
            keep(&mut self.segments, || newest.moment(&why, base));
        }
        for what in happened {
            keep(&mut self.events, || newest.moment(what, base));
        }
        for (id, score) in tick.found.iter().flat_map(|found| &found.gates) {
            let GateScore::Judged { difference, .. } = score else { continue };
            // The first of all has nothing to differ from.
            if *id == newest.id && std::mem::replace(&mut self.judged, true) {
                self.differs(*difference, &newest, base);
            }
        }
    }

    /// Keeps the most different ones, no two close to each other.
    fn differs(&mut self, difference: f32, shot: &Shot, base: &Base) {
        let at_s = shot.at.since(base.start).as_secs_f64();
        let near = self.different.iter().position(|(_, moment)| (moment.at_s - at_s).abs() < APART.as_secs_f64());
        let least = || {
            let least = self.different.iter().enumerate().min_by(|a, b| a.1.0.total_cmp(&b.1.0));
            least.map(|(n, _)| n)
        };
        let replaced = near.or_else(|| if self.different.len() < MOST_DIFFERENT { None } else { least() });
        match replaced {
            Some(n) if self.different[n].0 >= difference => {}
            Some(n) => self.different[n] = (difference, shot.moment(&changed(difference), base)),
            None => self.different.push((difference, shot.moment(&changed(difference), base))),
        }
    }

    /// All of them, in order of time.
    pub fn all(&self, base: &Base) -> Vec<Moment> {
        let last = self.newest.as_ref().map(|newest| newest.moment("last picture", base));
        let different = self.different.iter().map(|(_, moment)| moment);
        let mut all: Vec<Moment> = self
            .first
            .iter()
            .chain(self.segments.kept())
            .chain(self.events.kept())
            .chain(different)
            .chain(&last)
            .cloned()
            .collect();
        all.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        // One picture may have several reasons.
        all.dedup_by(|later, earlier| {
            let same = later.frame == earlier.frame;
            if same && !earlier.why.contains(&later.why) {
                earlier.why = format!("{}; {}", earlier.why, later.why);
            }
            same
        });
        all
    }
}

fn changed(difference: f32) -> String {
    format!("much changed (luma difference {difference:.1})")
}

/// Makes a picture only where it is kept.
fn keep(kept: &mut Thinned<Moment>, moment: impl FnOnce() -> Moment) {
    if kept.wants_next() {
        kept.push(moment());
    } else {
        kept.skip();
    }
}

impl Shot {
    fn moment(&self, why: &str, base: &Base) -> Moment {
        Moment {
            at_s: self.at.since(base.start).as_secs_f64(),
            why: why.to_owned(),
            frame: self.id.to_string(),
            picture: small(&self.jpeg),
        }
    }
}

/// A small copy of a picture as a `data:` URI.
fn small(jpeg: &[u8]) -> Option<String> {
    let picture: RgbPicture = jpeg::decode_rgb_within(jpeg, WIDEST).ok()?;
    let bytes = jpeg::encode_rgb(&picture, QUALITY).ok()?;
    Some(format!("data:image/jpeg;base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes)))
}
