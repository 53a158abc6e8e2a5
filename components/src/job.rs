//! Work that takes longer than a tick.

use std::fmt;

use std::collections::BTreeMap;

use bevy_ecs::message::Message;
use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::SystemSet;
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

/// A system wants a frame looked at. The newest wish of a (role, camera) wins.
#[derive(Message, Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRequest {
    /// What is wanted.
    pub role: JobRole,
    /// The frame.
    pub frame: StableId,
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
