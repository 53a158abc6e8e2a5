//! Work that takes longer than a tick.

use std::fmt;

use bevy_ecs::message::Message;
use serde::{Deserialize, Serialize};

use crate::id::StableId;
use crate::perception::{Detection, RoadMasks};

/// What a job computes. At most one job of each role runs at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

crate::kinds! {
    JobRequest => "job_request",
    JobResult => "job_result",
    JobMissed => "job_missed",
}
