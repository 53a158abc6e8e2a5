//! Vehicles on a road, and what an imperfect eye makes of them: a kinematic Monte Carlo of ten looks a second.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use waywarden_components::prelude::*;
use waywarden_perception::warnings::scene::{Conditions, LaneSeen, Look, Scene, Threat};
use waywarden_perception::warnings::{AlertChange, WarningSettings, Warnings};

/// Seconds between two looks.
pub const STEP_S: f32 = 0.1;
/// The eye tells what was so long ago, in seconds.
const LATENCY_S: f32 = 0.15;
/// Time constant with which its closing speed follows the truth, in seconds.
const LAG_S: f32 = 0.25;
/// Errors last: correlation from one look to the next.
const RHO: f32 = 0.7;
/// Share of looks that miss a vehicle.
const MISSES: f64 = 0.1;

/// A vehicle ahead, in truth.
#[derive(Clone, Debug)]
pub struct Car {
    pub gap_m: f32,
    pub speed_mps: f32,
    pub acceleration_mps2: f32,
    pub left_m: f32,
    pub in_path: bool,
    pub class: ObjectClass,
    /// Whether it is something on the road: false for a bridge.
    pub solid: bool,
    /// Chance that a look wrongly begins to take it to be in the path.
    pub strays: f64,
    eye: Eye,
}

/// What the eye knows of one.
#[derive(Clone, Debug, Default)]
struct Eye {
    looks: u64,
    /// Its track: another vehicle is another.
    track: u64,
    age_s: f32,
    bias: f32,
    distance_error: f32,
    closing_error: f32,
    closing_mps: Option<f32>,
    /// Looks for which it goes on straying.
    stray: u8,
    frame: u64,
    past: Vec<(f32, f32, bool)>,
    last: Option<(f32, f32, f32, bool)>,
    left_m: f32,
}

impl Car {
    pub fn new(gap_m: f32, speed_mps: f32) -> Self {
        Self {
            gap_m,
            speed_mps,
            acceleration_mps2: 0.0,
            left_m: 0.0,
            in_path: true,
            class: ObjectClass::Car,
            solid: true,
            strays: 0.0,
            eye: Eye::default(),
        }
    }
}

/// The road, with what warns on it.
pub struct World {
    pub rng: ChaCha8Rng,
    pub now_s: f32,
    pub speed_mps: f32,
    pub acceleration_mps2: f32,
    pub cars: Vec<Car>,
    pub lane: Option<LaneGeometry>,
    pub curvature: f32,
    pub settings: WarningSettings,
    pub warnings: Warnings,
    ticks: u64,
}

impl World {
    pub fn new(seed: u64, speed_mps: f32) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            now_s: 0.0,
            speed_mps,
            acceleration_mps2: 0.0,
            cars: Vec::new(),
            lane: None,
            curvature: 0.0,
            settings: WarningSettings::default(),
            warnings: Warnings::default(),
            ticks: 0,
        }
    }

    /// A number of the normal distribution, by the sum of twelve even ones.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.rng.random::<f32>()).sum::<f32>() - 6.0
    }

    /// From `least` to `most`, evenly.
    pub fn even(&mut self, least: f32, most: f32) -> f32 {
        self.rng.random_range(least..most)
    }

    /// Time to collision of what is truly nearest in the path, at constant speeds.
    pub fn true_ttc(&self) -> f32 {
        let of = |c: &Car| {
            let closing = self.speed_mps - c.speed_mps;
            if closing > 0.1 { c.gap_m / closing } else { f32::MAX }
        };
        self.cars.iter().filter(|c| c.in_path && c.solid).map(of).fold(f32::MAX, f32::min)
    }

    /// A tenth of a second on.
    pub fn step(&mut self) -> Vec<AlertChange> {
        self.ticks += 1;
        self.now_s += STEP_S;
        let own = self.speed_mps;
        self.speed_mps = (own + self.acceleration_mps2 * STEP_S).max(0.0);
        for car in &mut self.cars {
            let was = car.speed_mps;
            car.speed_mps = if was > 0.0 { (was + car.acceleration_mps2 * STEP_S).max(0.0) } else { was };
            car.gap_m += ((was + car.speed_mps) - (own + self.speed_mps)) / 2.0 * STEP_S;
        }
        let mut cars = std::mem::take(&mut self.cars);
        let objects: Vec<_> = cars.iter_mut().enumerate().filter_map(|(i, car)| self.see(i, car)).collect();
        self.cars = cars;
        let frame = StableId::new(StreamId(1), self.ticks);
        let now = Mono::from_secs_f64((self.ticks as f64 * 0.1) + 100.0);
        let (speed_error, brake_error) = (self.normal() * 0.15, self.normal() * 0.2);
        let ego = EgoMotion {
            at: now,
            speed_mps: Some((self.speed_mps + speed_error).max(0.0)),
            acceleration_mps2: Some(self.acceleration_mps2 + brake_error),
            yaw_rate_radps: Some(self.curvature * self.speed_mps),
            measured: Some(now),
            standing: self.speed_mps < 0.1,
            heading_deg: None,
        };
        let (offset_error, heading_error) = (self.normal() * 0.05, self.normal() * 0.006);
        let lane = self.lane.map(|g| LaneSeen {
            geometry: LaneGeometry {
                offset_m: g.offset_m + offset_error,
                heading_rad: g.heading_rad + heading_error,
                curvature_per_m: self.curvature,
                ..g
            },
            age_s: LATENCY_S,
            confidence: 0.9,
            frame,
        });
        let conditions = Conditions { range: Err("no range finder".into()), ..Conditions::default() };
        let look = Some(Look { frame, age_s: LATENCY_S });
        let scene = Scene { now, ego: &ego, lane, look, objects: &objects, range: None, conditions: &conditions };
        self.warnings.step(&self.settings, &scene)
    }

    fn see(&mut self, index: usize, car: &mut Car) -> Option<Threat> {
        let closing = self.speed_mps - car.speed_mps;
        if car.eye.track == 0 {
            car.eye.bias = self.normal() * 0.04;
            car.eye.track = self.ticks * 10 + index as u64;
        }
        car.eye.past.push((car.gap_m, closing, car.in_path));
        // Half of the looks see what was 0.1 s ago, half what was 0.2 s ago.
        let back = 1 + usize::from(self.rng.random_bool(0.5));
        let seen = *car.eye.past.get(car.eye.past.len().checked_sub(1 + back)?)?;
        if car.eye.past.len() > 8 {
            car.eye.past.remove(0);
        }
        let (closing_sigma, distance_sigma) = ((0.5 + 0.02 * seen.0).min(2.0), 0.06);
        let fresh = (1.0 - RHO * RHO).sqrt();
        car.eye.distance_error = RHO * car.eye.distance_error + fresh * self.normal() * distance_sigma;
        car.eye.closing_error = RHO * car.eye.closing_error + fresh * self.normal() * closing_sigma;
        let noise = self.normal();
        let eye = &mut car.eye;
        let followed = eye.closing_mps.map_or(seen.1, |was| was + STEP_S / (STEP_S + LAG_S) * (seen.1 - was));
        eye.closing_mps = Some(followed);
        if self.rng.random_bool(car.strays) {
            eye.stray = 2;
        }
        let in_path = seen.2 || eye.stray > 0;
        eye.stray = eye.stray.saturating_sub(1);
        let closing_seen = followed + eye.closing_error;
        if self.rng.random_bool(MISSES) && eye.looks > 0 {
            eye.age_s += STEP_S;
            let last = eye.last.as_mut()?;
            last.0 -= last.1 * STEP_S;
        } else {
            eye.looks += 1;
            eye.age_s = LATENCY_S;
            eye.frame = self.ticks;
            let sideways = 0.2 + 0.01 * seen.0;
            eye.left_m = car.left_m + sideways * noise;
            let distance = seen.0 * (1.0 + eye.bias + eye.distance_error);
            eye.last = Some((distance - closing_seen * back as f32 * STEP_S, closing_seen, closing_sigma, in_path));
        }
        let (distance_m, closing_mps, closing_sigma_mps, in_path) = eye.last?;
        (seen.0 > 0.0 && seen.0 < 150.0).then_some(Threat {
            id: StableId::new(StreamId::tracks_of(StreamId(1)), eye.track),
            class: car.class,
            motion: ObjectMotion {
                distance_m,
                distance_sigma_m: 0.07 * seen.0,
                left_m: eye.left_m + self.curvature * car.gap_m * car.gap_m / 2.0,
                width_m: 1.8,
                closing_mps,
                closing_sigma_mps,
                ttc_s: None,
                in_path,
                sources: MotionSources { ground: true, width: true, scale: false, range: false },
            },
            age_s: eye.age_s,
            confirmed: car.solid && eye.looks >= 3,
            evidence: StableId::new(StreamId(1), eye.frame),
        })
    }
}

/// Whether a warning of this kind begins among the changes.
pub fn begins(changes: &[AlertChange], kind: AlertKind) -> bool {
    changes.iter().any(|c| matches!(c, AlertChange::Start { alert, .. } if alert.kind == kind))
}
