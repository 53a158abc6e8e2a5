//! From boxes to obstacles that are followed: tracks with distances and speeds.

use std::collections::BTreeMap;

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;
use waywarden_perception::ranging::{
    CutSides, MotionFilter, RangeAt, RangeFinding, RangingSettings, Sight, assign_range,
};
use waywarden_perception::road_plane::RoadPlane;
use waywarden_perception::tracking::{Tracked, Tracker, TrackerSettings};

use crate::emit::Emit;

/// An estimate of a lane older than this tells nobody what is in the path.
const LANE_AGE_S: f64 = 0.6;
/// Standard deviation of the pitch in radians: as the config says it, and as learnt from many looks at lanes.
const PITCH_SIGMA_RAD: f64 = 0.02;
const LEARNT_SIGMA_RAD: f64 = 0.004;
/// Looks at lanes from which on the pitch counts as learnt.
const LEARNT_LOOKS: u32 = 20;
/// A box whose side is so near the frame's edge, in pixels, goes on beyond it.
const EDGE_PX: f32 = 2.0;

/// What is known of the obstacles before each camera, in order of the cameras. Written by [`follow`].
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Following(#[serde(with = "crate::opaque")] pub BTreeMap<StreamId, Followed>);

/// What is known of the obstacles before one camera.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Followed {
    /// Which box is which.
    tracker: Tracker,
    /// Where each is, by the number of its track.
    filters: BTreeMap<u64, MotionFilter>,
    /// The frame in which each was last seen.
    frames: BTreeMap<u64, StableId>,
    /// The newest frame that was looked at.
    pub frame: Option<StableId>,
}

/// An obstacle that is followed, at another time than that of its last frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// The track.
    pub id: StableId,
    /// What the tracker says of it.
    pub tracked: Tracked,
    /// Where it is at that time.
    pub motion: ObjectMotion,
    /// The frame in which it was last seen.
    pub frame: StableId,
}

impl Followed {
    /// All whose place is known, as they are at `now`, in order of their ids.
    pub fn at(&self, camera: StreamId, settings: &RangingSettings, now: Mono) -> Vec<Known> {
        let known = |tracked: Tracked| {
            let motion = self.filters.get(&tracked.id)?.predict(settings, now)?;
            let frame = self.frames.get(&tracked.id).copied()?;
            Some(Known { id: StableId::new(StreamId::tracks_of(camera), tracked.id), tracked, motion, frame })
        };
        self.tracker.tracks().filter_map(known).collect()
    }

    /// When the newest frame that was looked at was captured.
    pub fn captured(&self) -> Option<Mono> {
        self.tracker.at()
    }
}

waywarden_components::kinds! { Following => "following" }

/// How obstacles are followed.
#[derive(Resource, Clone, Debug, Default)]
pub struct FollowSettings {
    /// When boxes are believed and tracks forgotten.
    pub tracker: TrackerSettings,
    /// How distances are made.
    pub ranging: RangingSettings,
}

/// What is known of a camera besides its boxes.
type Watching<'w, 's> = Query<
    'w,
    's,
    (
        &'static StableId,
        &'static Camera,
        &'static Fresh,
        &'static Gate,
        &'static EgoLane,
        &'static LaneTracker,
        &'static Obstacles,
    ),
>;

/// Follows what was found, and keeps the tracks.
pub fn follow(
    cameras: Watching,
    ranges: Query<(&StableId, &Fresh, &RangeState), With<RangeSensor>>,
    (motion, settings, clock): (Res<EgoMotion>, Res<FollowSettings>, Res<Clock>),
    mut following: ResMut<Following>,
    mut tracks: Query<(&StableId, &mut Track)>,
    mut emit: Emit<Track>,
) {
    let range = first_range(&ranges);
    let mut all: Vec<_> = cameras.iter().filter(|(_, camera, ..)| camera.role == CameraRole::Front).collect();
    all.sort_unstable_by_key(|(id, ..)| **id);
    for (id, camera, fresh, gate, lane, tracker, obstacles) in all {
        let known = following.0.get(&id.stream);
        let is_new =
            obstacles.captured.is_some_and(|at| known.and_then(Followed::captured).is_none_or(|last| last < at));
        let has_any = known.is_some_and(|known| known.tracker.tracks().len() > 0);
        if fresh.0 && is_new {
            let followed = following.0.entry(id.stream).or_default();
            let lane = lane.captured.filter(|at| age_s(clock.now, *at) < LANE_AGE_S).and(lane.estimate.geometry);
            let view = View { camera, size: gate.size, tracker, lane, motion: &motion, range, now: clock.now };
            followed.take(obstacles, &view, &settings);
        } else if !fresh.0 && has_any {
            following.0.entry(id.stream).or_default().forget();
        } else {
            continue;
        }
        if let Some(followed) = following.0.get(&id.stream) {
            keep(id.stream, followed, &settings, &mut tracks, &mut emit);
        }
    }
}

/// The newest reading of the first range finder that can be relied on.
pub(crate) fn first_range(ranges: &Query<(&StableId, &Fresh, &RangeState), With<RangeSensor>>) -> Option<RangeAt> {
    let (_, _, state) = ranges.iter().filter(|(_, fresh, _)| fresh.0).min_by_key(|(id, ..)| **id)?;
    Some(RangeAt { at: state.last_valid?, distance_m: state.distance_m?.into() })
}

fn age_s(now: Mono, at: Mono) -> f64 {
    now.since(at).as_secs_f64()
}

/// What a frame's boxes are looked at with.
struct View<'a> {
    camera: &'a Camera,
    size: (u32, u32),
    tracker: &'a LaneTracker,
    lane: Option<LaneGeometry>,
    motion: &'a EgoMotion,
    range: Option<RangeAt>,
    now: Mono,
}

impl Followed {
    /// Takes the boxes of a frame.
    fn take(&mut self, obstacles: &Obstacles, view: &View, settings: &FollowSettings) {
        let (Some(frame), Some(captured)) = (obstacles.frame, obstacles.captured) else { return };
        if !self.tracker.update(&settings.tracker, captured, &obstacles.boxes, view.size) {
            return;
        }
        self.frame = Some(frame);
        let seen: Vec<Tracked> = self.tracker.tracks().collect();
        self.filters.retain(|id, _| seen.iter().any(|tracked| tracked.id == *id));
        self.frames.retain(|id, _| seen.iter().any(|tracked| tracked.id == *id));
        let more_pitch = if view.tracker.learnt > 0 { view.tracker.pitch_rad } else { 0.0 };
        let geometry = &view.camera.geometry;
        let Some(plane) = RoadPlane::new(geometry, more_pitch, view.size.0, view.size.1) else { return };
        let range = view.range.map_or(RangeFinding::Nothing, |reading| {
            assign_range(&settings.ranging, reading, view.now, self.filters.iter().map(|(id, filter)| (*id, filter)))
        });
        for tracked in seen {
            let Some(raw) = tracked.raw else { continue };
            self.frames.insert(tracked.id, frame);
            // Its own class flickers; what it is over time does not.
            let detection = Detection { class: tracked.class, ..raw };
            let sight = Sight {
                at: captured,
                detection: &detection,
                cut: CutSides::of(&detection, view.size.0, view.size.1, EDGE_PX),
                plane: &plane,
                camera: geometry,
                pitch_sigma_rad: if view.tracker.learnt >= LEARNT_LOOKS { LEARNT_SIGMA_RAD } else { PITCH_SIGMA_RAD },
                speed_mps: view.motion.speed_mps.map(f64::from),
                yaw_rate_radps: view.motion.yaw_rate_radps.map(f64::from),
                lane: view.lane,
                range: match range {
                    RangeFinding::Of(id, reading) if id == tracked.id => Some(reading),
                    _ => None,
                },
            };
            let filter = self.filters.entry(tracked.id).or_insert_with(|| MotionFilter::new(tracked.class));
            let _ = filter.update(&settings.ranging, &sight);
        }
    }

    /// Nothing can be concluded from what was seen.
    fn forget(&mut self) {
        self.tracker.clear();
        self.filters.clear();
        self.frames.clear();
    }
}

/// Makes the tracks of a camera what its tracker says: confirmed things, each as it was in the frame in which it was last
/// seen.
fn keep(
    camera: StreamId,
    followed: &Followed,
    settings: &FollowSettings,
    tracks: &mut Query<(&StableId, &mut Track)>,
    emit: &mut Emit<Track>,
) {
    let stream = StreamId::tracks_of(camera);
    let mut confirmed: BTreeMap<u64, Tracked> =
        followed.tracker.tracks().filter(|tracked| tracked.confirmed).map(|tracked| (tracked.id, tracked)).collect();
    for (id, mut track) in tracks.iter_mut().filter(|(id, _)| id.stream == stream) {
        match confirmed.remove(&id.seq) {
            Some(tracked) if tracked.last_seen == track.last_seen => {}
            Some(tracked) => {
                if let Some(now) = as_track(&tracked, followed, settings) {
                    *track = now;
                }
            }
            None => track.lost = true,
        }
    }
    for (number, tracked) in confirmed {
        if let Some(track) = as_track(&tracked, followed, settings) {
            emit.spawn((StableId::new(stream, number), track));
        }
    }
}

fn as_track(tracked: &Tracked, followed: &Followed, settings: &FollowSettings) -> Option<Track> {
    let motion =
        followed.filters.get(&tracked.id).and_then(|filter| filter.predict(&settings.ranging, tracked.last_seen));
    Some(Track {
        class: tracked.class,
        latest: tracked.smooth,
        motion,
        frame: followed.frames.get(&tracked.id).copied()?,
        first_seen: tracked.first_seen,
        last_seen: tracked.last_seen,
        lost: false,
    })
}

#[cfg(test)]
mod tests;
