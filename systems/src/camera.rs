//! Cameras: the first look at every frame, and the gate that decides which ones are worth more.

#[cfg(feature = "camera")]
pub mod driver;
pub mod gate;
pub mod jpeg;
#[cfg(feature = "camera")]
pub mod listing;
pub mod mjpeg;
pub mod raw;

use std::collections::BTreeMap;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;
use waywarden_perception::lanes::ridges;
use waywarden_perception::sight;
use xxhash_rust::xxh3::xxh3_64;

pub use gate::GateSettings;

use crate::budget;
use crate::registry::Register;
use crate::replay::LookAhead;

/// Looks at every frame once, small and grey, and gates it.
#[derive(Default)]
pub struct CameraPlugin {
    /// Which frames are accepted.
    pub gate: GateSettings,
    /// How many front frames a second are looked at more closely as long as there is no segmentation model, for what the
    /// classical lane estimator needs; none where it is not wanted.
    pub classical_lanes_hz: Option<f32>,
}

/// How many front frames a second are looked at more closely as long as there is no segmentation model.
#[derive(Resource, Clone, Copy, Debug)]
pub struct CloserLook(pub Option<f32>);

impl CloserLook {
    /// Whether a frame is to be looked at closely, given when the frame before it was captured.
    pub fn is_due(self, before: Option<Mono>, captured: Mono) -> bool {
        self.0.is_some_and(|hertz| budget::opens_slot(before, captured, hertz))
    }
}

impl Plugin for CameraPlugin {
    fn build(&self, app: &mut App) {
        self.apply(app.world_mut());
        app.init_resource::<ModelStatus>().state_resource::<ModelStatus>();
        app.state::<Thumbnail>()
            .payload::<LaneFeatures>("made of nothing but the frame and the camera's geometry, and gone with its tick")
            .state::<GateScore>()
            .state::<Gate>()
            .state::<Sight>()
            .exempt::<GateSettings>("the config, which the session holds")
            .exempt::<CloserLook>("the config, which the session holds")
            .exempt::<LookAhead>("pure functions of frames, called early");
        app.add_systems(Sense, (capture, gate).chain()).add_systems(Understand, look_out.before(Freshening));
    }
}

impl CameraPlugin {
    /// Puts its settings in force.
    pub fn apply(&self, world: &mut World) {
        world.insert_resource(self.gate);
        world.insert_resource(CloserLook(self.classical_lanes_hz));
    }
}

/// Decodes the small grey picture of every new frame.
pub fn capture(
    mut frames: Query<(&StableId, &Stamp, &Frame, &mut Thumbnail, &mut LaneFeatures)>,
    cameras: Query<(&StableId, &Camera, &LaneTracker)>,
    (gate, closer, parked): (Res<GateSettings>, Res<CloserLook>, Option<Res<Parked>>),
    ahead: Option<Res<LookAhead>>,
) {
    if !gate.enabled {
        return;
    }
    let mut fresh: Vec<(StableId, Mono)> = frames
        .iter()
        .filter(|(.., thumbnail, _)| **thumbnail == Thumbnail::Pending)
        .map(|(id, stamp, ..)| (*id, stamp.captured))
        .collect();
    fresh.sort_unstable();
    // With a model, too: its masks have no gaps in dashed lines, ridges do.
    // A parked vehicle keeps in no lane.
    let is_parked = parked.is_some_and(|parked| parked.parked);
    let closely = if is_parked { BTreeMap::new() } else { due_frames(&fresh, &cameras, *closer) };
    let look = |id: &StableId, frame: &Frame, thumbnail: &mut Thumbnail, features: &mut LaneFeatures| {
        if *thumbnail != Thumbnail::Pending {
            return;
        }
        let lanes = closely.get(id).copied();
        // What was done ahead counts if it was done in the same way.
        let done = ahead.as_ref().and_then(|ahead| ahead.take(*id)).filter(|done| done.lanes == lanes);
        let done = done.unwrap_or_else(|| first_look(&frame.jpeg, lanes));
        (*thumbnail, *features) = (done.thumbnail, done.features);
    };
    // Several cameras are decoded on several cores; for one frame the hop would cost more than it brings.
    if fresh.len() > 1 {
        frames.par_iter_mut().for_each(|(id, _, frame, mut thumbnail, mut features)| {
            look(id, frame, &mut thumbnail, &mut features);
        });
    } else if fresh.len() == 1 {
        for (id, _, frame, mut thumbnail, mut features) in &mut frames {
            look(id, frame, &mut thumbnail, &mut features);
        }
    }
}

/// Of fresh frames in order of their ids, those that are to be looked at closely, with their cameras' geometry.
fn due_frames(
    fresh: &[(StableId, Mono)],
    cameras: &Query<(&StableId, &Camera, &LaneTracker)>,
    closer: CloserLook,
) -> BTreeMap<StableId, CameraGeometry> {
    let mut due = BTreeMap::new();
    for (camera, Camera { role, geometry }, tracker) in cameras {
        let mut before = tracker.latest.map(|(_, captured)| captured);
        let own = fresh.iter().filter(|(id, _)| id.stream == camera.stream && *role == CameraRole::Front);
        for &(id, captured) in own {
            if closer.is_due(before.replace(captured), captured) {
                due.insert(id, *geometry);
            }
        }
    }
    due
}

/// What the first look at a frame gives.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstLook {
    /// The small picture.
    pub thumbnail: Thumbnail,
    /// The camera's geometry, if lane features were looked for.
    pub lanes: Option<CameraGeometry>,
    /// What was found of them.
    pub features: LaneFeatures,
}

/// The first look at a frame: a pure function of its bytes, and of the camera's geometry if lane features are wanted.
pub fn first_look(jpeg: &[u8], lanes: Option<CameraGeometry>) -> FirstLook {
    let seen = match lanes {
        Some(geometry) => jpeg::thumbnail_and(jpeg, |grey, width, height| ridges::find(grey, width, height, &geometry)),
        None => jpeg::thumbnail(jpeg).map(|(width, height, luma)| (width, height, luma, LaneFeatures::default())),
    };
    match seen {
        Ok((width, height, luma, features)) => {
            FirstLook { thumbnail: Thumbnail::Ready { width, height, luma }, lanes, features }
        }
        Err(error) => {
            FirstLook { thumbnail: Thumbnail::Broken(error.to_string()), lanes, features: LaneFeatures::default() }
        }
    }
}

/// Judges every new frame, in order of time for each camera.
pub fn gate(
    mut frames: Query<(&StableId, &Stamp, &Thumbnail, &mut GateScore)>,
    mut cameras: Query<(&StableId, &Link, &mut Gate)>,
    (settings, parked): (Res<GateSettings>, Option<Res<Parked>>),
) {
    if !settings.enabled {
        return;
    }
    let settings = settings.of(parked.as_deref());
    let mut fresh: Vec<_> = frames.iter_mut().filter(|(.., score)| **score == GateScore::Pending).collect();
    fresh.sort_unstable_by_key(|(id, ..)| **id);
    for (id, stamp, thumbnail, mut score) in fresh {
        let Some((_, link, mut gate)) = cameras.iter_mut().find(|(camera, ..)| camera.stream == id.stream) else {
            continue;
        };
        *score = match thumbnail {
            Thumbnail::Ready { width, height, luma } if gate::has_its_size(&mut gate, (*width, *height), link) => {
                gate::judge(&mut gate, luma, stamp.captured, &settings)
            }
            Thumbnail::Ready { .. } => GateScore::Unusable,
            Thumbnail::Pending | Thumbnail::Broken(_) => {
                gate.broken += 1;
                GateScore::Unusable
            }
        };
    }
}

/// Looks whether cameras can see at all.
pub fn look_out(
    mut results: MessageReader<JobResult>,
    frames: Query<(&StableId, &Stamp, &Frame, &Thumbnail, &GateScore)>,
    mut cameras: Query<(&StableId, &mut Sight)>,
    motion: Res<EgoMotion>,
) {
    let judged = |(.., score): &(_, _, _, _, &GateScore)| matches!(score, GateScore::Judged { .. });
    let mut all: Vec<_> = frames.iter().filter(judged).collect();
    all.sort_unstable_by_key(|(id, ..)| **id);
    for (id, stamp, frame, thumbnail, _) in all {
        let camera = cameras.iter_mut().find(|(camera, _)| camera.stream == id.stream);
        let (Some((_, mut sight)), Thumbnail::Ready { luma, .. }) = (camera, thumbnail) else { continue };
        // A frame that a job holds stays in the world.
        if id.seq <= sight.latest {
            continue;
        }
        sight.latest = id.seq;
        sight::look(&mut sight, (luma, xxh3_64(&luma.0)), || xxh3_64(&frame.jpeg), stamp.captured, motion.speed_mps);
    }
    for result in results.read() {
        let camera = cameras.iter_mut().find(|(camera, _)| camera.stream == result.frame.stream);
        let frame = frames.iter().find(|(id, ..)| **id == result.frame);
        if let (JobOutput::Segmentation(masks), Some((_, mut sight)), Some((_, stamp, ..))) =
            (&result.output, camera, frame)
        {
            sight::take_road(&mut sight, &masks.drivable, stamp.captured);
        }
    }
}

#[cfg(test)]
mod tests;
