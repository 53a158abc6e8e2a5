//! What warnings are made of: what is known now, and which of it can be believed.

use waywarden_components::prelude::*;

use super::settings::WarningSettings;

/// Faster than this nothing on a road is, in m/s.
const MOST_SPEED_MPS: f32 = 120.0;
/// Farther than this nothing is seen, in metres.
const MOST_DISTANCE_M: f32 = 500.0;
/// So old may be what the own speed was told by, in seconds: a GPS receiver speaks once a second.
const SPEED_STALE_S: f64 = 2.5;

/// All that is known at a tick.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Now.
    pub now: Mono,
    /// How the own vehicle moves.
    pub ego: &'a EgoMotion,
    /// The ego lane as last seen; none where none is claimed.
    pub lane: Option<LaneSeen>,
    /// The last picture in which objects were looked for, found or not; none before the first.
    pub look: Option<Look>,
    /// What is followed.
    pub objects: &'a [Threat],
    /// The latest reading of the range finder that looks ahead; none where nothing is within its reach.
    pub range: Option<RangeSeen>,
    /// Whether what warnings need works.
    pub conditions: &'a Conditions,
}

/// The ego lane as it was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaneSeen {
    /// The lane in metres.
    pub geometry: LaneGeometry,
    /// How long ago the picture was taken, in seconds.
    pub age_s: f32,
    /// How sure it is, 0 to 1.
    pub confidence: f32,
    /// The picture.
    pub frame: StableId,
}

/// A picture in which objects were looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// The picture.
    pub frame: StableId,
    /// How long ago it was taken, in seconds.
    pub age_s: f32,
}

/// An obstacle that is followed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threat {
    /// The track.
    pub id: StableId,
    /// What it is.
    pub class: ObjectClass,
    /// Where it is and how it moves, predicted to now.
    pub motion: ObjectMotion,
    /// How long ago the picture in which it was last seen was taken, in seconds.
    pub age_s: f32,
    /// Whether it has been seen often enough to be something on the road.
    pub confirmed: bool,
    /// The picture in which it was last seen.
    pub evidence: StableId,
}

/// A reading of the range finder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeSeen {
    /// The reading.
    pub id: StableId,
    /// From the front bumper in metres.
    pub distance_m: f32,
    /// How fast it shrinks in m/s, where that is known; otherwise it is made of the readings.
    pub closing_mps: Option<f32>,
    /// How long ago it was measured, in seconds.
    pub age_s: f32,
}

/// Whether what warnings need works. An error is a fault, in words that a person can act on; what merely has not come
/// yet is none, and missing in the [`Scene`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Whether warnings are permitted: an error switches them off.
    pub privacy: Result<(), String>,
    /// Whether the front camera sees.
    pub cameras: Result<(), String>,
    /// Whether lanes are looked for.
    pub lanes: Result<(), String>,
    /// Whether objects are looked for.
    pub detection: Result<(), String>,
    /// Whether there is a range finder that looks ahead and works, whether or not something is within its reach.
    pub range: Result<(), String>,
    /// Whether something tells the own speed. Missing, functions wait.
    pub speed: Result<(), String>,
}

impl Default for Conditions {
    /// All works.
    fn default() -> Self {
        Self { privacy: Ok(()), cameras: Ok(()), lanes: Ok(()), detection: Ok(()), range: Ok(()), speed: Ok(()) }
    }
}

/// What of a scene is fresh and makes sense.
pub(super) struct View<'a> {
    pub now: Mono,
    /// Own speed in m/s.
    pub speed_mps: Option<f32>,
    /// Own deceleration in m/s², 0 when it is not known to brake.
    pub braking_mps2: f32,
    /// Whether the own vehicle is known to stand.
    pub standing: bool,
    /// Curvature of the path in 1/m without its sign: as the vehicle turns, or as the lane does.
    pub curvature_per_m: f32,
    /// Curvature of the path in 1/m to the left: as the vehicle turns, and as the lane does.
    curvatures: [Option<f32>; 2],
    pub lane: Option<LaneSeen>,
    pub look: Option<Look>,
    /// Without what is stale or nonsense, in the order of the tracks' ids.
    pub objects: Vec<&'a Threat>,
    pub range: Option<RangeSeen>,
    pub conditions: &'a Conditions,
}

impl<'a> View<'a> {
    pub fn new(settings: &WarningSettings, scene: &Scene<'a>) -> Self {
        let fresh = |age_s: f32| (0.0..=settings.stale_s).contains(&age_s);
        let ego = scene.ego;
        let old = ego.measured.is_some_and(|at| scene.now.since(at).as_secs_f64() > SPEED_STALE_S);
        let speed_mps = ego.speed_mps.filter(|v| (0.0..=MOST_SPEED_MPS).contains(v) && !old);
        let acceleration = ego.acceleration_mps2.filter(|a| a.abs() <= 15.0).unwrap_or(0.0);
        let lane = scene.lane.filter(|lane| fresh(lane.age_s) && sound_lane(lane));
        let turning = match (ego.yaw_rate_radps, speed_mps) {
            (Some(yaw), Some(v)) if yaw.abs() <= 2.0 && v >= 5.0 => Some(yaw / v),
            _ => None,
        };
        let bends = lane.map(|l| l.geometry.curvature_per_m);
        let mut objects: Vec<_> =
            scene.objects.iter().filter(|object| fresh(object.age_s) && sound_motion(&object.motion)).collect();
        objects.sort_by_key(|object| object.id);
        objects.dedup_by_key(|object| object.id);
        let range = scene.range.filter(|r| fresh(r.age_s) && (0.0..=MOST_DISTANCE_M).contains(&r.distance_m));
        Self {
            now: scene.now,
            speed_mps,
            braking_mps2: if speed_mps.is_some() { (-acceleration).max(0.0) } else { 0.0 },
            standing: ego.standing && !old,
            curvature_per_m: turning.or(bends).unwrap_or(0.0).abs(),
            curvatures: [turning, bends],
            lane,
            look: scene.look.filter(|look| fresh(look.age_s)),
            objects,
            range: range.map(|r| RangeSeen { closing_mps: r.closing_mps.filter(|c| c.abs() <= MOST_SPEED_MPS), ..r }),
            conditions: scene.conditions,
        }
    }
}

impl View<'_> {
    /// Curvature of the path in 1/m without its sign: as the vehicle turns or as the lane does, whichever is sharper.
    pub fn most_curvature_per_m(&self) -> f32 {
        self.curvatures.iter().flatten().fold(0.0, |most, curvature| most.max(curvature.abs()))
    }

    /// How far left of the path something lies, in metres: of the path that the vehicle takes by its turning or of the one
    /// that the lane takes, whichever is `nearer`, or farther. None where neither is known.
    pub fn off_path(&self, m: &ObjectMotion, nearer: bool) -> Option<f32> {
        let off = |curvature: f32| m.left_m - curvature * m.distance_m * m.distance_m / 2.0;
        let offs = self.curvatures.iter().flatten().map(|c| off(*c));
        let by = |a: &f32, b: &f32| a.abs().total_cmp(&b.abs());
        if nearer { offs.min_by(by) } else { offs.max_by(by) }
    }
}

fn sound_lane(lane: &LaneSeen) -> bool {
    let g = &lane.geometry;
    lane.confidence.is_finite()
        && g.offset_m.abs() <= 10.0
        && g.heading_rad.abs() <= 0.5
        && g.curvature_per_m.abs() <= 0.2
        && (2.0..=6.0).contains(&g.width_m)
}

fn sound_motion(m: &ObjectMotion) -> bool {
    (-5.0..=MOST_DISTANCE_M).contains(&m.distance_m)
        && (0.0..=MOST_DISTANCE_M).contains(&m.distance_sigma_m)
        && m.left_m.abs() <= 100.0
        && (0.0..=20.0).contains(&m.width_m)
        && m.closing_mps.abs() <= 2.0 * MOST_SPEED_MPS
        && (0.0..=MOST_SPEED_MPS).contains(&m.closing_sigma_mps)
}
