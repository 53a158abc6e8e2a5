//! Lanes: keeps the lines beside the vehicle, in pictures and in metres.
//!
//! With a segmentation model accepted front frames are segmented, and lines are followed from mask to
//! mask ([`masked`]). Without one the [`classical`] estimator looks at front frames, if the config lets it.

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;
pub use waywarden_perception::lanes::{classical, masked, paint, shape};

use crate::budget;
use crate::registry::Register;

/// Watches the lanes.
#[derive(Resource, Clone, Debug)]
pub struct LanePlugin {
    /// Highest rate at which frames of a camera are segmented, in hertz.
    pub rate_hz: f32,
    /// Whether lanes are sought by the classical estimator where there is no segmentation model.
    pub classical: bool,
}

impl Plugin for LanePlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.clone()).init_resource::<SegmentationAsked>();
        app.exempt::<LanePlugin>("the config, which the session holds")
            .state::<Segmentation>()
            .state::<LaneEstimate>()
            .state::<EgoLane>()
            .state::<LaneTracker>()
            .state_resource::<SegmentationAsked>();
        app.add_systems(Perceive, request.in_set(JobRole::Segmentation))
            .add_systems(Understand, understand.in_set(Insight::Lanes));
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
        requests.write(JobRequest { role: JobRole::Segmentation, frame, crop: None });
    }
}

/// Frames, and what is found in them.
type Frames<'w, 's> = Query<
    'w,
    's,
    (
        &'static StableId,
        &'static Stamp,
        &'static Thumbnail,
        &'static GateScore,
        &'static mut LaneFeatures,
        &'static mut Segmentation,
        &'static mut LaneEstimate,
    ),
>;

/// Cameras, and what is known of their lanes.
type Watched<'w, 's> =
    Query<'w, 's, (&'static StableId, &'static Camera, &'static Fresh, &'static mut EgoLane, &'static mut LaneTracker)>;

/// Makes lanes of what came: of results of segmentations, and of the features of frames.
pub fn understand(
    mut results: MessageReader<JobResult>,
    mut frames: Frames,
    mut cameras: Watched,
    (models, plugin): (Res<ModelStatus>, Res<LanePlugin>),
    ego: Res<EgoMotion>,
) {
    for result in results.read().filter(|result| result.job.role == JobRole::Segmentation) {
        take_masks(result, &mut frames, &mut cameras, ego.speed_mps);
    }
    if plugin.classical {
        look_at_features(&mut frames, &mut cameras, models.ready(JobRole::Segmentation));
    }
    // A result may come late: after its camera has gone.
    for (_, _, _, mut lane, _) in cameras.iter_mut().filter(|(_, _, fresh, lane, _)| !fresh.0 && lane.frame.is_some()) {
        *lane = EgoLane { segmented: lane.segmented, failed: lane.failed, ..EgoLane::default() };
    }
}

/// Takes the result of a segmentation, and traces the lines in it. `speed_mps` is that of the vehicle, where it is known.
fn take_masks(result: &JobResult, frames: &mut Frames, cameras: &mut Watched, speed_mps: Option<f32>) {
    let camera = cameras.iter_mut().find(|(id, ..)| id.stream == result.frame.stream);
    let Some((_, camera, _, mut lane, mut tracker)) = camera else { return };
    let frame = frames.iter_mut().find(|(id, ..)| **id == result.frame);
    let (JobOutput::Segmentation(masks), Some((id, stamp, thumbnail, _, _, mut segmentation, mut estimate))) =
        (&result.output, frame)
    else {
        lane.failed += 1;
        return;
    };
    let Thumbnail::Ready { width, height, .. } = thumbnail else { return };
    let moment = (stamp.captured, speed_mps.map(f64::from));
    *estimate = masked::look(&mut tracker, masks, &camera.geometry, (*width, *height), moment);
    segmentation.masks = Some(masks.clone());
    *lane = EgoLane {
        frame: Some(*id),
        captured: Some(stamp.captured),
        estimate: estimate.clone(),
        segmented: lane.segmented + 1,
        failed: lane.failed,
    };
}

/// Looks at what was found in the frames that `camera::capture` has looked at closely, in order of their ids. Whatever the
/// gate says of a frame that can be used: a look costs little, and a lane that is followed wants frames that differ little.
///
/// Where lanes come `from_masks`, only how their lines are painted is read in the features.
fn look_at_features(frames: &mut Frames, cameras: &mut Watched, from_masks: bool) {
    let mut all: Vec<_> = frames.iter_mut().collect();
    all.sort_unstable_by_key(|(id, ..)| **id);
    for (id, stamp, thumbnail, score, mut features, _, mut estimate) in all {
        let camera = cameras.iter_mut().find(|(camera, ..)| camera.stream == id.stream);
        let Some((_, camera, _, mut lane, mut tracker)) = camera else { continue };
        // A frame that a job holds stays in the world: it has been considered.
        if tracker.latest.is_some_and(|(seq, _)| id.seq <= seq) {
            continue;
        }
        let before = tracker.latest.replace((id.seq, stamp.captured));
        // Nobody needs them after this tick.
        let features = std::mem::take(&mut *features);
        let Thumbnail::Ready { width, height, .. } = thumbnail else { continue };
        if features.width == 0 || *score == GateScore::Unusable {
            continue;
        }
        if from_masks {
            let since = before.map_or(0.1, |(_, before)| stamp.captured.since(before).as_secs_f64());
            paint::look(&mut tracker, &features, &camera.geometry, stamp.captured, since);
            continue;
        }
        *estimate = classical::look(&mut tracker, &features, &camera.geometry, (*width, *height), stamp.captured);
        lane.frame = Some(*id);
        lane.captured = Some(stamp.captured);
        lane.estimate = estimate.clone();
    }
}

#[cfg(test)]
mod classical_tests;
