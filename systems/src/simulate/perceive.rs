//! What a perfect detector and a perfect road model would have found in a simulated picture, and what errors make of it: for
//! trials of all that comes behind models, many hours of them, without any.
//!
//! It looks at no pixel. The picture says which moment of the drive it shows ([`super::stamp`]), the drive says what is
//! there, and the [`Errors`] say how it is found. Chance depends on the drive's seed and on the frame's stable id alone:
//! in whatever order frames are looked at, and however often, the same is found.

mod chance;
mod masks;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use waywarden_components::prelude::*;

use self::chance::Chance;
use super::camera::CameraSettings;
use super::drive::{Drive, Moment};
use super::stamp::stamped;
use super::truth::truth;
use crate::camera::jpeg::RgbPicture;
use crate::inference::detect::{MAX_BOXES, best_first};
use crate::inference::{Inference, InferenceError, ModelIdentity};

/// What it is called wherever a model has a name.
pub const NAME: &str = "truth of the simulator, through its error model";
/// Raised whenever the same drive and errors give other findings.
const VERSION: u32 = 1;
/// Of something that is hidden by what is nearer to more than this share, nothing is found.
const HIDDEN: f32 = 0.7;

/// How what is true is found: the error model.
///
/// Errors are independent from frame to frame. Edges of boxes and lines are off by normal noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Errors {
    /// Share of things that are not found, 0 to 1.
    pub missed: f64,
    /// Things whose box is less high are not found, in pixels.
    pub smallest_px: f64,
    /// Standard deviation of each edge of a box, in pixels.
    pub edge_px: f64,
    /// And in addition, in quadrature, as a share of the box's height. The usual 0.03, with a pixel, is about twice what
    /// YOLOX-nano shows from frame to frame on a motorway at 1280x720: 1 to 1.5 pixels at heights of 50 to 100 pixels.
    pub edge_share: f64,
    /// Boxes in an hour where nothing is.
    pub false_per_hour: f64,
    /// Standard deviation of each line, to the side, in metres.
    pub line_m: f64,
    /// Share of lines that are not found, 0 to 1.
    pub line_missed: f64,
    /// Share of masks in which nothing is found at all, 0 to 1.
    pub mask_missed: f64,
}

impl Default for Errors {
    fn default() -> Self {
        Self {
            missed: 0.1,
            smallest_px: 10.0,
            edge_px: 1.0,
            edge_share: 0.03,
            false_per_hour: 60.0,
            line_m: 0.05,
            line_missed: 0.03,
            mask_missed: 0.01,
        }
    }
}

/// A source of findings that knows the truth.
pub struct TruthModel {
    role: JobRole,
    identity: ModelIdentity,
    /// The cameras, by stream.
    cameras: BTreeMap<StreamId, CameraSettings>,
    errors: Errors,
    /// Looks a second, for what happens so many times an hour.
    rate_hz: f64,
    /// The drive at its start.
    start: Drive,
    /// The time of the last look, and the drive then.
    now: Mutex<(f64, Drive)>,
}

impl TruthModel {
    /// What would be found in pictures of `cameras` on this drive, which must be at its start. `rate_hz` is how often a camera
    /// is looked at.
    pub fn new(
        role: JobRole,
        drive: &Drive,
        cameras: BTreeMap<StreamId, CameraSettings>,
        errors: Errors,
        rate_hz: f64,
    ) -> Self {
        let plan = drive.plan();
        let sizes: Vec<_> = cameras.iter().map(|(id, c)| (id, c.width, c.height, c.geometry)).collect();
        // Numbers and names, none of which refuses to be written.
        let words =
            serde_json::to_vec(&(VERSION, &plan.scenario, plan.seed, errors, rate_hz, sizes)).unwrap_or_default();
        let sha256 = Sha256::digest(words).iter().map(|byte| format!("{byte:02x}")).collect();
        let engine = concat!("simulator ", env!("CARGO_PKG_VERSION")).to_owned();
        let identity = ModelIdentity { name: NAME.to_owned(), sha256, engine };
        let now = Mutex::new((0.0, drive.clone()));
        Self { role, identity, cameras, errors, rate_hz, start: drive.clone(), now }
    }

    /// The drive at `t` seconds: forward from the last look, or from its start.
    fn moment(&self, t: f64) -> Moment {
        // A look that panicked has left a drive that can be begun anew.
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if t < now.0 {
            now.1 = self.start.clone();
        }
        now.0 = t;
        now.1.moment(t)
    }

    fn boxes(&self, truth: &Truth, camera: &CameraSettings, chance: &Chance) -> Vec<Detection> {
        let Errors { missed, smallest_px, edge_px, edge_share, false_per_hour, .. } = self.errors;
        let (width, height) = (camera.width as f32, camera.height as f32);
        let mut found = Vec::new();
        for object in &truth.objects {
            let Some(image) = object.image else { continue };
            let chance = chance.of(u64::from(object.id));
            let tall = f64::from(image[3] - image[1]);
            if tall < smallest_px || chance.unit(0) < missed || is_hidden(object, &truth.objects) {
                continue;
            }
            let sigma = libm::hypot(edge_px, edge_share * tall);
            let edge = |n: usize| image[n] + (chance.normal(1 + n as u64) * sigma) as f32;
            let unsure = chance.unit(9);
            let score = (0.95 - 0.4 * unsure * unsure) as f32;
            found.extend(cut([edge(0), edge(1), edge(2), edge(3)], object.class, score, (width, height)));
        }
        let chance = chance.of(u64::MAX);
        if chance.unit(0) < false_per_hour / 3600.0 / self.rate_hz.max(1e-3) {
            let side = (0.02 + 0.1 * chance.unit(1)) as f32 * width;
            let (left, top) = (chance.unit(2) as f32 * (width - side), (0.4 + 0.4 * chance.unit(3)) as f32 * height);
            let score = (0.35 + 0.35 * chance.unit(4)) as f32;
            found.extend(cut([left, top, left + side, top + side], ObjectClass::Car, score, (width, height)));
        }
        found.sort_by(best_first);
        found.truncate(MAX_BOXES);
        found
    }
}

impl Inference for TruthModel {
    fn role(&self) -> JobRole {
        self.role
    }

    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn look(&self, look: &Look) -> Result<JobOutput, InferenceError> {
        let camera = self.cameras.get(&look.frame.stream).or_else(|| self.cameras.values().next());
        let (Some(camera), Some(at)) = (camera, stamped(&look.jpeg)) else { return Err(no_moment()) };
        let (moment, plan) = (self.moment(at.as_secs_f64()), self.start.plan());
        let truth = truth(plan, &moment, &camera.geometry, (camera.width, camera.height));
        let chance = Chance::new(plan.seed, self.role, look.frame);
        Ok(match self.role {
            JobRole::Detection => JobOutput::Detections(self.boxes(&truth, camera, &chance)),
            JobRole::Segmentation => {
                JobOutput::Segmentation(masks::draw(plan, &moment, camera, &truth, &self.errors, &chance))
            }
        })
    }

    fn infer_rgb(&self, _picture: &RgbPicture, _crop: Option<Crop>) -> Result<JobOutput, InferenceError> {
        Err(no_moment())
    }
}

fn no_moment() -> InferenceError {
    InferenceError::Simulation { reason: "the picture does not say which moment of a simulated drive it shows" }
}

/// A box with these edges, in the picture; none if nothing of it is.
fn cut([l, t, r, b]: [f32; 4], class: ObjectClass, score: f32, (width, height): (f32, f32)) -> Option<Detection> {
    let (left, top) = (l.max(0.0), t.max(0.0));
    let (right, bottom) = (r.min(width), b.min(height));
    let inside = right - left >= 1.0 && bottom - top >= 1.0;
    inside.then_some(Detection { class, score, left, top, width: right - left, height: bottom - top })
}

/// Whether one of the things that are nearer hides most of this one.
fn is_hidden(object: &TrueObject, all: &[TrueObject]) -> bool {
    let Some([l, t, r, b]) = object.image else { return true };
    let area = (r - l) * (b - t);
    all.iter().filter(|other| other.distance_m < object.distance_m).any(|other| {
        other.image.is_some_and(|[ol, ot, or, ob]| {
            let (width, height) = (r.min(or) - l.max(ol), b.min(ob) - t.max(ot));
            width > 0.0 && height > 0.0 && width * height > HIDDEN * area
        })
    })
}

#[cfg(test)]
mod tests;
