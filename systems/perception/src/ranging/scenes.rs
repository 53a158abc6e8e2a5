//! Seeded scenes of the road, for tests: how things truly move, and boxes as a detector would give them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use waywarden_components::prelude::*;

use super::{CutSides, MotionFilter, RangingSettings, Sight};
use crate::road_plane::RoadPlane;

pub(super) const FRAME: (u32, u32) = (1280, 720);
/// Between two frames, and from the shutter until what it saw is used.
const FRAME_S: f64 = 0.1;
const LATENCY_S: f64 = 0.1;
const MISSED: f64 = 0.1;
/// Smaller boxes are not found.
const LEAST_PX: f64 = 10.0;
const NOD_DEG: f64 = 0.15;
const NOD_LASTS_S: f64 = 0.3;
const BIAS_DEG: f64 = 0.2;
const LANE_M: f64 = 3.5;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Play {
    /// The lead keeps about our speed.
    Follow,
    /// We come nearer at this speed in m/s.
    Close(f64),
    /// The lead brakes with 8 m/s² until it stands; we do not.
    Brake,
    /// Somebody changes from the next lane into ours.
    CutIn,
    /// Somebody comes up from behind in the next lane and passes.
    Overtakes,
    /// We pass somebody in the next lane.
    IsPassed,
}

/// How things are at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truth {
    pub t: f64,
    pub distance_m: f64,
    pub left_m: f64,
    pub closing_mps: f64,
    pub speed_mps: f64,
    pub in_lane: bool,
}

impl Truth {
    pub fn ttc_s(&self) -> Option<f64> {
        (self.closing_mps > 0.1).then(|| self.distance_m / self.closing_mps)
    }
}

/// What was said at a time, and what was true then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub truth: Truth,
    pub motion: Option<ObjectMotion>,
}

/// A scene: its play, its numbers drawn by seed.
pub(super) struct Scene {
    play: Play,
    rng: ChaCha8Rng,
    class: ObjectClass,
    /// Width, height and length in metres.
    size: (f64, f64, f64),
    speed_mps: f64,
    start_m: f64,
    side: f64,
    closing_mps: f64,
    over_s: f64,
    phase: f64,
    /// When it happens, in seconds.
    pub event_s: f64,
}

impl Scene {
    pub fn new(play: Play, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x51);
        let (class, size) = match rng.random_range(0..10) {
            0 => (ObjectClass::Truck, (2.5, rng.random_range(3.5..3.9), rng.random_range(9.0..15.0))),
            1 | 2 => (ObjectClass::Car, (2.0, rng.random_range(1.9..2.3), rng.random_range(4.9..5.5))),
            _ => (ObjectClass::Car, (rng.random_range(1.7..1.9), rng.random_range(1.41..1.53), 4.4)),
        };
        let speed_mps: f64 = rng.random_range(20.0..33.0);
        let (start_m, closing_mps) = match play {
            Play::Follow => (rng.random_range(12.0..40.0), 0.0),
            Play::Close(closing) => (120f64.min(closing * 8.0), closing),
            Play::Brake => (rng.random_range(15.0..35.0), 0.0),
            Play::CutIn => (rng.random_range(18.0..35.0), rng.random_range(1.0..3.0)),
            Play::Overtakes => (-3.0, -rng.random_range(1.0..9.0)),
            Play::IsPassed => (25.0, rng.random_range(2.0..8.0)),
        };
        let side = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        let over_s = rng.random_range(2.5..4.0);
        let phase = rng.random_range(0.0..6.0);
        Self { play, rng, class, size, speed_mps, start_m, side, closing_mps, over_s, phase, event_s: 3.0 }
    }

    /// The truth in steps of 10 ms.
    fn truths(&self) -> Vec<Truth> {
        let lasts = match self.play {
            Play::Follow => 10.0,
            Play::Close(_) => 12.0,
            Play::Brake => 7.0,
            Play::CutIn => 8.0,
            Play::Overtakes | Play::IsPassed => 12.0,
        };
        let least_m = if matches!(self.play, Play::Overtakes | Play::IsPassed) { -4.0 } else { 2.0 };
        let (mut distance, mut lead) = (self.start_m, self.speed_mps - self.closing_mps);
        let mut truths = Vec::new();
        for n in 0..(lasts * 100.0) as usize {
            let t = n as f64 / 100.0;
            let accel = match self.play {
                Play::Follow => 0.8 * libm::sin(t * 0.8 + self.phase),
                Play::Brake if t >= self.event_s && lead > 0.0 => -8.0,
                _ => 0.0,
            };
            let share = match self.play {
                Play::CutIn => ((t - self.event_s) / self.over_s).clamp(0.0, 1.0),
                Play::Overtakes | Play::IsPassed => 0.0,
                _ => 1.0,
            };
            let eased = share * share * share * (10.0 + share * (6.0 * share - 15.0));
            let left_m = self.side * LANE_M * (1.0 - eased);
            let in_lane = left_m.abs() < (LANE_M + self.size.0) / 2.0 - 0.3;
            let closing_mps = self.speed_mps - lead;
            truths.push(Truth { t, distance_m: distance, left_m, closing_mps, speed_mps: self.speed_mps, in_lane });
            lead = f64::max(lead + accel * 0.01, 0.0);
            distance -= closing_mps * 0.01;
            if distance < least_m {
                break;
            }
        }
        truths
    }

    /// Plays it through a filter; what the filter says is asked for a latency after each frame.
    pub fn run(mut self, settings: &RangingSettings) -> Vec<Said> {
        let camera = CameraGeometry::default();
        let plane = RoadPlane::new(&camera, 0.0, FRAME.0, FRAME.1).expect("a sound geometry");
        let bias = BIAS_DEG.to_radians() * self.gauss();
        let (kept, mut nod) = (libm::exp(-FRAME_S / NOD_LASTS_S), 0.0);
        let truths = self.truths();
        let mut filter = MotionFilter::new(self.class);
        let mut said = Vec::new();
        for n in (0..).step_by(10) {
            let (Some(truth), Some(then)) = (truths.get(n), truths.get(n + (LATENCY_S * 100.0) as usize)) else {
                break;
            };
            nod = nod * kept + (1.0 - kept * kept).sqrt() * NOD_DEG.to_radians() * self.gauss();
            let found = self.detect(&camera, truth, bias + nod);
            let speed = truth.speed_mps + 0.05 * self.gauss();
            let lane = LaneGeometry {
                offset_m: (0.05 * self.gauss()) as f32,
                heading_rad: (0.003 * self.gauss()) as f32,
                curvature_per_m: (1e-4 * self.gauss()) as f32,
                width_m: LANE_M as f32,
            };
            if let Some(found) = found.filter(|_| !self.rng.random_bool(MISSED)) {
                let sight = Sight {
                    at: Mono::from_secs_f64(10.0 + truth.t),
                    detection: &found,
                    cut: CutSides::of(settings, &found, FRAME.0, FRAME.1),
                    plane: &plane,
                    camera: &camera,
                    pitch_sigma_rad: BIAS_DEG.to_radians(),
                    speed_mps: Some(speed),
                    yaw_rate_radps: None,
                    lane: Some(lane),
                    range: None,
                };
                filter.update(settings, &sight);
            }
            said.push(Said { truth: *then, motion: filter.predict(settings, Mono::from_secs_f64(10.0 + then.t)) });
        }
        said
    }

    /// The box of its body (both ends), with noise on its edges, cut by the frame.
    fn detect(&mut self, camera: &CameraGeometry, truth: &Truth, pitch: f64) -> Option<Detection> {
        let (width, height, length) = self.size;
        let near = truth.distance_m + camera.bumper_m;
        let mut edges = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
        for forward in [near, near + length] {
            for left in [truth.left_m - width / 2.0, truth.left_m + width / 2.0] {
                for down in [camera.height_m, camera.height_m - height] {
                    let (x, y) = project(camera, pitch, forward, left, down);
                    edges = [edges[0].min(x), edges[1].min(y), edges[2].max(x), edges[3].max(y)];
                }
            }
        }
        // A detector sees what is in the frame, and errs about that.
        let (wide, tall) = (f64::from(FRAME.0), f64::from(FRAME.1));
        let [l, t, r, b] = [(0, wide), (1, tall), (2, wide), (3, tall)].map(|(n, most)| edges[n].clamp(0.0, most));
        if r - l < LEAST_PX || b - t < LEAST_PX {
            return None;
        }
        let sigma = libm::hypot(1.0, 0.03 * (b - t));
        let [l, t, r, b] = [l, t, r, b].map(|edge| edge + sigma * self.gauss());
        let (l, r) = (l.clamp(0.0, wide), r.clamp(0.0, wide));
        let (t, b) = (t.clamp(0.0, tall), b.clamp(0.0, tall));
        (b - t >= LEAST_PX && r - l >= LEAST_PX / 2.0).then_some(Detection {
            class: self.class,
            score: 0.9,
            left: l as f32,
            top: t as f32,
            width: (r - l) as f32,
            height: (b - t) as f32,
        })
    }

    fn gauss(&mut self) -> f64 {
        let (a, b): (f64, f64) = (self.rng.random_range(1e-12..1.0), self.rng.random_range(0.0..1.0));
        (-2.0 * libm::log(a)).sqrt() * libm::cos(std::f64::consts::TAU * b)
    }
}

/// Where a point is in the frame: metres before the lens, left of it and below it.
pub(super) fn project(camera: &CameraGeometry, pitch: f64, forward: f64, left: f64, down: f64) -> (f64, f64) {
    let focal = f64::from(FRAME.0) / 2.0 / libm::tan(camera.horizontal_fov_deg.to_radians() / 2.0);
    let pitch = camera.pitch_down_deg.to_radians() + pitch;
    let depth = (forward * libm::cos(pitch) + down * libm::sin(pitch)).max(0.3);
    let below = down * libm::cos(pitch) - forward * libm::sin(pitch);
    (f64::from(FRAME.0) / 2.0 - focal * left / depth, f64::from(FRAME.1) / 2.0 + focal * below / depth)
}
