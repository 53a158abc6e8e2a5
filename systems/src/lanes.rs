//! Lanes: has accepted front frames segmented, and keeps the lines beside the vehicle.

pub mod trace;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::budget;
use crate::registry::Register;

/// Watches the lanes.
#[derive(Resource, Clone, Debug)]
pub struct LanePlugin {
    /// Highest rate at which frames of a camera are segmented, in hertz.
    pub rate_hz: f32,
}

impl Plugin for LanePlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.clone()).init_resource::<SegmentationAsked>();
        app.exempt::<LanePlugin>("the config, which the session holds")
            .state::<Segmentation>()
            .state::<LaneEstimate>()
            .state::<EgoLane>()
            .state_resource::<SegmentationAsked>();
        app.add_systems(Perceive, request.in_set(JobRole::Segmentation)).add_systems(Understand, understand);
    }
}

/// Asks for a segmentation of every accepted front frame that is due.
pub fn request(
    frames: budget::JudgedFrames,
    cameras: budget::Cameras,
    models: Res<ModelStatus>,
    plugin: Res<LanePlugin>,
    mut asked: ResMut<SegmentationAsked>,
    mut requests: MessageWriter<JobRequest>,
) {
    if !models.ready(JobRole::Segmentation) {
        return;
    }
    for frame in budget::due_front_frames(&frames, &cameras, &mut asked.0, plugin.rate_hz) {
        requests.write(JobRequest { role: JobRole::Segmentation, frame });
    }
}

/// Takes the result of a segmentation, and traces the lines in it.
pub fn understand(
    mut results: MessageReader<JobResult>,
    mut frames: Query<(&StableId, &Stamp, &Thumbnail, &mut Segmentation, &mut LaneEstimate)>,
    mut cameras: Query<(&StableId, &mut EgoLane)>,
) {
    for result in results.read().filter(|result| result.job.role == JobRole::Segmentation) {
        let Some((_, mut lane)) = cameras.iter_mut().find(|(id, _)| id.stream == result.frame.stream) else { continue };
        let frame = frames.iter_mut().find(|(id, ..)| **id == result.frame);
        let (JobOutput::Segmentation(masks), Some((id, stamp, thumbnail, mut segmentation, mut estimate))) =
            (&result.output, frame)
        else {
            lane.failed += 1;
            continue;
        };
        let Thumbnail::Ready { width, height, .. } = thumbnail else { continue };
        *estimate = trace::trace(masks, *width, *height);
        segmentation.masks = Some(masks.clone());
        *lane = EgoLane {
            frame: Some(*id),
            captured: Some(stamp.captured),
            estimate: estimate.clone(),
            segmented: lane.segmented + 1,
            failed: lane.failed,
        };
    }
}
