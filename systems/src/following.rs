//! What is known of obstacles over time: tracks with distances and speeds, kept for whoever follows and whoever warns.

use std::collections::BTreeMap;

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;
use waywarden_perception::ranging::{
    CutSides, MotionFilter, RangeAt, RangeFinding, RangingSettings, Sight, assign_range,
};
use waywarden_perception::road_plane::RoadPlane;
use waywarden_perception::tracking::{Tracked, Tracker, TrackerSettings};

/// Standard deviation of the pitch in radians: as the config says it, and as learnt from many looks at lanes.
const PITCH_SIGMA_RAD: f64 = 0.02;
const LEARNT_SIGMA_RAD: f64 = 0.004;
/// Looks at lanes from which on the pitch counts as learnt.
const LEARNT_LOOKS: u32 = 20;

/// What is known of the obstacles before each camera, in order of the cameras. Written by `obstacles::follow`, read by it and
/// by `warnings::warn`.
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

/// What a frame's boxes are looked at with.
pub(crate) struct View<'a> {
    pub camera: &'a Camera,
    pub size: (u32, u32),
    pub tracker: &'a LaneTracker,
    pub lane: Option<LaneGeometry>,
    pub motion: &'a EgoMotion,
    pub range: Option<RangeAt>,
    pub now: Mono,
}

impl Followed {
    /// Takes the boxes of a frame.
    pub(crate) fn take(&mut self, obstacles: &Obstacles, view: &View, settings: &FollowSettings) {
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
                cut: CutSides::of(&settings.ranging, &detection, view.size.0, view.size.1),
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
    pub(crate) fn forget(&mut self) {
        self.tracker.clear();
        self.filters.clear();
        self.frames.clear();
    }

    /// Whether anything is followed.
    pub(crate) fn has_any(&self) -> bool {
        self.tracker.tracks().len() > 0
    }

    /// What is confirmed, by the number of its track.
    pub(crate) fn confirmed(&self) -> BTreeMap<u64, Tracked> {
        self.tracker.tracks().filter(|tracked| tracked.confirmed).map(|tracked| (tracked.id, tracked)).collect()
    }

    /// A track as it was in the frame in which it was last seen.
    pub(crate) fn as_track(&self, tracked: &Tracked, settings: &RangingSettings) -> Option<Track> {
        let motion = self.filters.get(&tracked.id).and_then(|filter| filter.predict(settings, tracked.last_seen));
        Some(Track {
            class: tracked.class,
            latest: tracked.smooth,
            motion,
            frame: self.frames.get(&tracked.id).copied()?,
            first_seen: tracked.first_seen,
            last_seen: tracked.last_seen,
            lost: false,
        })
    }
}
