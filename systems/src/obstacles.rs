//! Obstacles: has accepted front frames looked at by a detector, and keeps what it found.

pub mod crop;
pub mod follow;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::budget;
use crate::emit::Token;
use crate::following::{FollowSettings, Following};
use crate::registry::Register;
use follow::follow;

/// Watches for obstacles.
#[derive(Resource, Clone, Debug)]
pub struct ObstaclePlugin {
    /// Highest rate at which frames of a camera are looked at, in hertz.
    pub rate_hz: f32,
    /// Share of a frame's width, above 0, of the square around the vanishing point that is looked at more closely as well;
    /// none: the whole frame alone.
    pub crop_share: Option<f32>,
}

impl Plugin for ObstaclePlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.clone()).init_resource::<DetectionAsked>();
        app.init_resource::<FollowSettings>().init_resource::<Following>().init_resource::<Token<Track>>();
        app.exempt::<FollowSettings>("the same in every run of a build")
            .exempt::<Token<Track>>("declares access, holds nothing")
            .payload_resource::<Following>("what is made of it, the tracks, is digested");
        app.exempt::<ObstaclePlugin>("the config, which the session holds")
            .state::<Detections>()
            .state::<Obstacles>()
            .state_resource::<DetectionAsked>();
        app.add_systems(Perceive, request.in_set(JobRole::Detection))
            .add_systems(Understand, understand.in_set(Insight::Boxes))
            .add_systems(Understand, follow.in_set(Insight::Tracks));
    }
}

/// Asks for a detection in every accepted front frame that is due.
pub fn request(
    frames: budget::JudgedFrames,
    cameras: budget::Cameras,
    models: Res<ModelStatus>,
    plugin: Res<ObstaclePlugin>,
    watched: Query<(&StableId, &Camera, &Gate, &LaneTracker)>,
    mut asked: ResMut<DetectionAsked>,
    mut requests: MessageWriter<JobRequest>,
) {
    if !models.ready(JobRole::Detection) {
        return;
    }
    for frame in budget::due_front_frames(&frames, &cameras, &mut asked.0, plugin.rate_hz) {
        let camera = watched.iter().find(|(id, ..)| id.stream == frame.stream);
        let crop = camera.zip(plugin.crop_share).and_then(|((_, camera, gate, lanes), share)| {
            let pitch = if lanes.learnt > 0 { lanes.pitch_rad } else { 0.0 };
            crop::around_vanishing_point(&camera.geometry, pitch, gate.size, share)
        });
        requests.write(JobRequest { role: JobRole::Detection, frame, crop });
    }
}

/// Takes the result of a detection.
pub fn understand(
    mut results: MessageReader<JobResult>,
    mut frames: Query<(&StableId, &Stamp, &mut Detections)>,
    mut cameras: Query<(&StableId, &Fresh, &mut Obstacles)>,
) {
    for result in results.read().filter(|result| result.job.role == JobRole::Detection) {
        let camera = cameras.iter_mut().find(|(id, ..)| id.stream == result.frame.stream);
        let Some((_, _, mut obstacles)) = camera else { continue };
        let frame = frames.iter_mut().find(|(id, ..)| **id == result.frame);
        let (JobOutput::Detections(boxes), Some((id, stamp, mut detections))) = (&result.output, frame) else {
            obstacles.failed += 1;
            continue;
        };
        detections.boxes = Some(boxes.clone());
        *obstacles = Obstacles {
            frame: Some(*id),
            captured: Some(stamp.captured),
            boxes: boxes.clone(),
            detected: obstacles.detected + 1,
            failed: obstacles.failed,
        };
    }
    // A result may come late: after its camera has gone.
    for (_, _, mut seen) in cameras.iter_mut().filter(|(_, fresh, seen)| !fresh.0 && seen.frame.is_some()) {
        *seen = Obstacles { detected: seen.detected, failed: seen.failed, ..Obstacles::default() };
    }
}
