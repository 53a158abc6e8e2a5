//! Work that takes longer than a tick.

use std::fmt;

use std::collections::BTreeMap;

use bevy_ecs::message::Message;
use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::SystemSet;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{StableId, StreamId};
use crate::perception::{Detection, RoadMasks};
use crate::time::Mono;

/// What a job computes. At most one job of each role runs at a time.
/// As a system set, it holds the system that asks for jobs of the role.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobRole {
    /// Where the road and its lines are.
    Segmentation,
    /// What is in the way.
    Detection,
}

impl JobRole {
    /// All of them, in the order in which they are served.
    pub const ALL: [JobRole; 2] = [JobRole::Segmentation, JobRole::Detection];

    /// Its name in configs, journals and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Segmentation => "segmentation",
            Self::Detection => "detection",
        }
    }
}

impl fmt::Display for JobRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of a job: its role and its number, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId {
    /// What it computes.
    pub role: JobRole,
    /// Its number.
    pub number: u64,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.role, self.number)
    }
}

/// What a job found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobOutput {
    /// Of a segmentation.
    Segmentation(RoadMasks),
    /// Of a detection, best first.
    Detections(Vec<Detection>),
    /// Why there is nothing.
    Failed(String),
}

impl JobOutput {
    /// Bytes held, about.
    pub fn weight(&self) -> usize {
        match self {
            Self::Segmentation(masks) => 4 * (masks.drivable.runs.len() + masks.lines.runs.len()),
            Self::Detections(boxes) => boxes.len() * size_of::<Detection>(),
            Self::Failed(reason) => reason.len(),
        }
    }
}

/// A rectangle of a frame, in whole pixels of the frame from its left and top edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Crop {
    /// Left edge.
    pub left: u32,
    /// Top edge.
    pub top: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Crop {
    /// The part of it that lies in a frame of `width` x `height` pixels; none if nothing does.
    pub fn within(self, width: u32, height: u32) -> Option<Self> {
        let inside = |from: u32, length: u32, whole: u32| {
            let from = from.min(whole);
            (from, length.min(whole - from))
        };
        let (left, width) = inside(self.left, self.width, width);
        let (top, height) = inside(self.top, self.height, height);
        (width > 0 && height > 0).then_some(Self { left, top, width, height })
    }

    /// Right and bottom edge.
    pub fn end(self) -> (u32, u32) {
        (self.left.saturating_add(self.width), self.top.saturating_add(self.height))
    }
}

impl fmt::Display for Crop {
    /// As services that compute elsewhere are told: `left,top,width,height`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.left, self.top, self.width, self.height)
    }
}

/// What a job looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// The frame.
    pub frame: StableId,
    /// When it was captured.
    pub captured: Mono,
    /// The whole JPEG, as the camera gave it.
    pub jpeg: Bytes,
    /// A part of the frame that is worth a second look at a finer scale. Whoever cannot take one looks at the whole alone.
    pub crop: Option<Crop>,
}

impl Look {
    /// At a whole picture that is no camera's frame.
    pub fn at(jpeg: impl Into<Bytes>) -> Self {
        Self { jpeg: jpeg.into(), ..Self::default() }
    }
}

/// A system wants a frame looked at. The newest wish of a (role, camera) wins.
#[derive(Message, Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRequest {
    /// What is wanted.
    pub role: JobRole,
    /// The frame.
    pub frame: StableId,
    /// A part of it that is to be looked at more closely as well.
    #[serde(default)]
    pub crop: Option<Crop>,
}

/// A job has ended. Written by Ingress.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// Which.
    pub job: JobId,
    /// The frame it looked at.
    pub frame: StableId,
    /// How long it ran, in nanoseconds.
    pub took_ns: u64,
    /// What it found.
    pub output: JobOutput,
}

/// A job did not end before its deadline. Written by Ingress.
#[derive(Message, Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobMissed {
    /// Which.
    pub job: JobId,
    /// The frame it looked at.
    pub frame: StableId,
}

/// A job that has been started and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Which.
    pub job: JobId,
    /// The frame it looks at; it stays in the world until the result has passed Record.
    pub frame: StableId,
    /// When it was started.
    pub started: Mono,
    /// The part of the frame that it looks at more closely as well.
    #[serde(default)]
    pub crop: Option<Crop>,
}

/// The jobs of one role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobQueue {
    /// The newest frame that waits, one a camera.
    pub waiting: BTreeMap<StreamId, StableId>,
    /// The job that runs.
    pub running: Option<Running>,
    /// The camera that was served last; the next one in order is served next.
    pub served: StreamId,
    /// Jobs started.
    pub started: u64,
    /// Jobs that ended with a result.
    pub done: u64,
    /// Jobs that ended without one.
    pub failed: u64,
    /// Jobs that did not end before their deadline.
    pub missed: u64,
    /// Waiting frames that a newer one replaced.
    pub replaced: u64,
    /// The parts of waiting frames that are to be looked at more closely as well, by camera.
    #[serde(default)]
    pub crops: BTreeMap<StreamId, Crop>,
}

/// What is waited for and what runs. Written by `jobs::dispatch`.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Jobs {
    /// The queue of each role that has been asked for.
    pub queues: BTreeMap<JobRole, JobQueue>,
}

impl Jobs {
    /// The jobs that run, in order of role.
    pub fn running(&self) -> impl Iterator<Item = &Running> {
        self.queues.values().filter_map(|queue| queue.running.as_ref())
    }

    /// Whether a job waits for, or looks at, `frame`.
    pub fn holds(&self, frame: StableId) -> bool {
        self.queues.values().any(|queue| {
            queue.running.is_some_and(|running| running.frame == frame)
                || queue.waiting.get(&frame.stream) == Some(&frame)
        })
    }
}

/// Whether the model of each role can be run, and why not. From the config and the files found at start; of a role that a
/// service alone computes, written by Ingress with the service's link.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// By role: the name of the model, or the reason why there is none.
    pub roles: BTreeMap<JobRole, Result<String, String>>,
}

impl ModelStatus {
    /// Whether jobs of this role may be asked for.
    pub fn ready(&self, role: JobRole) -> bool {
        matches!(self.roles.get(&role), Some(Ok(_)))
    }
}

crate::kinds! {
    Jobs => "jobs",
    ModelStatus => "model_status",
    JobRequest => "job_request",
    JobResult => "job_result",
    JobMissed => "job_missed",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_is_cut_to_its_frame() {
        let crop = Crop { left: 600, top: 100, width: 100, height: 50 };
        assert_eq!(crop.within(640, 360), Some(Crop { width: 40, ..crop }));
        assert_eq!(crop.within(600, 360), None);
        assert_eq!(Crop { left: u32::MAX, top: u32::MAX, ..crop }.within(640, 360), None);
        assert_eq!(Crop { width: u32::MAX, ..crop }.within(640, 360), Some(Crop { width: 40, ..crop }));
        assert_eq!(Crop { width: 0, ..crop }.within(640, 360), None);
    }
}
