//! The drive: where everything is at every moment.
//!
//! It is worked out in steps of 10 ms; a moment between two steps lies between them. Whoever asks goes forward in time:
//! every device has a copy of its own, and all copies of one seed agree.

use std::sync::Arc;

use libm::{atan2, cos, sin};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

use super::chance::{Swing, mix, smooth};
use super::road::Road;
use super::scenario::{Distraction, Scenario, Span};
use super::traffic::{EgoPlace, Leader, Other, Others, Shift, follow};

/// Seconds of a step.
pub(super) const STEP_S: f64 = 0.01;
const METRES_A_DEGREE: f64 = 111_320.0;

/// What does not change over a drive.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub scenario: Scenario,
    pub seed: u64,
    pub road: Road,
    sways: [Swing; 2],
    speeds: [Swing; 2],
    start: (f64, f64),
}

/// How things are at a step.
#[derive(Clone, Debug, PartialEq)]
struct World {
    s: f64,
    left: f64,
    /// Along the road, and to the left, in m/s.
    speed: f64,
    drift: f64,
    accel: f64,
    /// Direction of the road, radians left of east.
    road_heading: f64,
    east: f64,
    north: f64,
    shift: Shift,
    wanted: f64,
    braking: f64,
    next_event: usize,
    /// The distraction out of which the driver has looked up last.
    looked_up: Option<usize>,
    /// How bright the world around the vehicle is, and for how bright a one the camera is set.
    brightness: f64,
    adapted: f64,
    others: Others,
}

/// A moment of a drive.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// Seconds since the start.
    pub(super) t: f64,
    /// Front bumper along the road, and left of its reference line.
    pub(super) s: f64,
    pub(super) left: f64,
    /// Radians left of the road's direction.
    pub(super) heading: f64,
    /// Radians left of east.
    pub(super) road_heading: f64,
    /// Over ground, in m/s.
    pub(super) speed: f64,
    /// How fast the front bumper moves along the reference line.
    pub(super) advance: f64,
    pub(super) accel: f64,
    /// Degrees, WGS 84.
    pub(super) position: (f64, f64),
    pub(super) altitude: f64,
    /// How far the body points down from level, in radians.
    pub(super) pitch: f64,
    /// Daylight, 0 to 1.
    pub(super) daylight: f64,
    pub(super) adapted: f64,
    pub(super) has_fix: bool,
    pub(super) others: Vec<Other>,
}

/// A simulated drive, at some time since its start.
#[derive(Clone, Debug)]
pub struct Drive {
    plan: Arc<Plan>,
    rng: ChaCha8Rng,
    /// The step of `now`.
    step: u64,
    before: World,
    now: World,
}

impl Drive {
    /// The drive of this scenario and seed, at its start.
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let road = Road::new(scenario, mix(seed, 100), &mut rng);
        let cruise = (scenario.ego.speed_kmh / 3.6).max(3.0);
        let sway = scenario.ego.sway_m;
        let plan = Plan {
            scenario: scenario.clone(),
            seed,
            sways: [
                Swing::about(sway * 0.65, cruise * 12.0, &mut rng),
                Swing::about(sway * 0.35, cruise * 4.7, &mut rng),
            ],
            speeds: [Swing::about(0.02, 41.0, &mut rng), Swing::about(0.01, 13.0, &mut rng)],
            start: (rng.random_range(47.0..49.0), rng.random_range(10.0..12.0)),
            road,
        };
        let world = World::start(&plan, &mut rng);
        Self { plan: Arc::new(plan), rng, step: 0, before: world.clone(), now: world }
    }

    pub(super) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The scenario.
    pub fn scenario(&self) -> &Scenario {
        &self.plan.scenario
    }

    /// A generator of random numbers for one device of the drive. Each `device` gets numbers of its own.
    pub(super) fn rng_of(&self, device: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed);
        rng.set_stream(device);
        rng
    }

    /// How things are `t` seconds after the start. Times before the last one asked for, by more than a step, give the
    /// earliest that is still known.
    pub fn moment(&mut self, t: f64) -> Moment {
        let steps = t / STEP_S;
        while (self.step as f64) < steps {
            self.before = self.now.clone();
            self.step += 1;
            let time = self.step as f64 * STEP_S;
            self.now.advance(&self.plan, time, self.step, &mut self.rng);
        }
        let share = (steps - (self.step as f64 - 1.0)).clamp(0.0, 1.0);
        Moment::between(&self.plan, t, &self.before, &self.now, share)
    }
}

impl World {
    fn start(plan: &Plan, rng: &mut ChaCha8Rng) -> Self {
        let ego = &plan.scenario.ego;
        let left = plan.road.lane_middle(ego.lane);
        let speed = ego.speed_kmh / 3.6;
        let place = EgoPlace { s: 0.0, left, speed };
        let brightness = plan.brightness(0.0, 0.0);
        Self {
            s: 0.0,
            left: left + plan.sway(0.0),
            speed,
            drift: 0.0,
            accel: 0.0,
            road_heading: rng.random_range(0.0..TAU),
            east: 0.0,
            north: 0.0,
            shift: Shift::keep(left),
            wanted: speed,
            braking: 3.0,
            next_event: 0,
            looked_up: None,
            brightness,
            adapted: brightness,
            others: Others::new(&plan.scenario, &plan.road, place, rng),
        }
    }

    fn place(&self) -> EgoPlace {
        EgoPlace { s: self.s, left: self.left, speed: self.speed }
    }

    /// One step, which ends at `time`.
    fn advance(&mut self, plan: &Plan, time: f64, step: u64, rng: &mut ChaCha8Rng) {
        let Plan { scenario, road, .. } = plan;
        let in_round = time % scenario.duration_s;
        if in_round < STEP_S {
            self.begin_again(plan, rng);
        }
        self.act(plan, in_round);
        let place = self.place();
        self.others.step(scenario, road, place, in_round, STEP_S);
        // Ten times a second is often enough for those who come and go.
        if step.is_multiple_of(10) {
            self.others.come_and_go(scenario, road, place, rng);
        }
        let swing: f64 = plan.speeds.iter().map(|swing| swing.at(time)).sum();
        let leader =
            self.others.leader_of_ego(place, self.shift.to).filter(|leader| self.sees(plan, in_round, *leader));
        let stands = self.wanted == 0.0 && self.speed == 0.0;
        let accel = if stands { 0.0 } else { follow(self.speed, self.wanted * (1.0 + swing), self.braking, leader) };
        let speed = (self.speed + accel * STEP_S).max(0.0);
        let curvature = road.curvature(self.s);
        // Along the reference line it is shorter or longer than where the vehicle is.
        let travelled = (self.speed + speed) / 2.0 * STEP_S;
        let ds = travelled / (1.0 - curvature * self.left);
        self.accel = (speed - self.speed) / STEP_S;
        self.speed = speed;
        self.s += ds;
        let turned = road.curvature(self.s - ds / 2.0) * ds;
        let left = self.left;
        self.shift.advance(STEP_S, speed);
        self.left = self.shift.at() + plan.sway(self.s);
        let sideways = self.left - left;
        self.drift = sideways / STEP_S;
        let direction = self.road_heading + turned / 2.0;
        let (sine, cosine) = (sin(direction), cos(direction));
        self.east += travelled * cosine - sideways * sine;
        self.north += travelled * sine + sideways * cosine;
        self.road_heading += turned;
        self.brightness = plan.brightness(self.s, time);
        // A camera takes about half a second to get used to another light.
        self.adapted += (self.brightness - self.adapted) * (STEP_S / 0.5);
    }

    fn act(&mut self, plan: &Plan, in_round: f64) {
        let events = &plan.scenario.ego.event;
        let Some(event) = events.get(self.next_event).filter(|event| event.at_s <= in_round) else { return };
        self.next_event += 1;
        if let Some(lane) = event.lane {
            self.shift.begin(plan.road.lane_middle(lane), event.over_s.unwrap_or(4.0));
        }
        if let Some(speed) = event.speed_kmh {
            self.wanted = speed / 3.6;
        }
        self.braking = event.braking_mps2.unwrap_or(3.0);
    }

    /// Whether the driver looks at the road, with somebody ahead.
    fn sees(&mut self, plan: &Plan, in_round: f64, leader: Leader) -> bool {
        let away = |&(_, away): &(usize, &Distraction)| (away.at_s..away.at_s + away.for_s).contains(&in_round);
        let Some((n, away)) = plan.scenario.ego.distraction.iter().enumerate().find(away) else { return true };
        if leader.gap < (self.speed - leader.speed) * away.looks_up_s {
            self.looked_up = Some(n);
        }
        self.looked_up == Some(n)
    }

    /// The scenario is over, and the drive is not.
    fn begin_again(&mut self, plan: &Plan, rng: &mut ChaCha8Rng) {
        let ego = &plan.scenario.ego;
        self.next_event = 0;
        self.looked_up = None;
        self.wanted = ego.speed_kmh / 3.6;
        self.braking = 3.0;
        self.shift.begin(plan.road.lane_middle(ego.lane), 4.0);
        self.others.stage(&plan.scenario, &plan.road, self.place(), true, rng);
    }
}

impl Plan {
    fn sway(&self, s: f64) -> f64 {
        self.sways.iter().map(|swing| swing.at(s)).sum()
    }

    /// Daylight, 0 to 1.
    fn daylight(&self, t: f64) -> f64 {
        let light = &self.scenario.light;
        let share = (t / self.scenario.duration_s).min(1.0);
        light.start + (light.end - light.start) * share
    }

    /// How bright the world is around `s`, 1 by day in the sun.
    pub fn brightness(&self, s: f64, t: f64) -> f64 {
        let ahead = s + 12.0;
        if self.road.tunnel(ahead).is_some() { TUNNEL_LIGHT } else { daylight_brightness(self.daylight(t)) }
    }

    fn has_fix(&self, s: f64, t: f64) -> bool {
        let in_round = t % self.scenario.duration_s;
        let out = |span: &Span| (span.from_s..span.to_s).contains(&in_round);
        self.road.tunnel(s).is_none() && !self.scenario.faults.gps_outage.iter().any(out)
    }
}

/// How bright a tunnel is, 1 being day.
pub(super) const TUNNEL_LIGHT: f64 = 0.3;

/// How bright the world is at this daylight: at the end of dusk a tenth.
pub(super) fn daylight_brightness(daylight: f64) -> f64 {
    0.1 + 0.9 * daylight * daylight
}

impl Moment {
    fn between(plan: &Plan, t: f64, before: &World, now: &World, share: f64) -> Self {
        let mix = |a: f64, b: f64| a + (b - a) * share;
        let s = mix(before.s, now.s);
        let (along, across) = (mix(before.speed, now.speed), mix(before.drift, now.drift));
        let left = mix(before.left, now.left);
        let (east, north) = (mix(before.east, now.east), mix(before.north, now.north));
        let latitude = plan.start.0 + north / METRES_A_DEGREE;
        let longitude = plan.start.1 + east / (METRES_A_DEGREE * cos(plan.start.0.to_radians()));
        let others =
            now.others.all.iter().map(|other| match before.others.all.iter().find(|earlier| earlier.id == other.id) {
                Some(earlier) => other.between(earlier, share),
                None => other.clone(),
            });
        let bounce = plan.scenario.ego.pitch_deg.to_radians();
        let waves = (smooth(plan.seed, s / 9.0) - 0.5) + (smooth(plan.seed ^ 1, s / 31.0) - 0.5);
        let accel = mix(before.accel, now.accel);
        Self {
            t,
            s,
            left,
            heading: atan2(across, along.max(0.1)),
            road_heading: mix(before.road_heading, now.road_heading),
            speed: (along * along + across * across).sqrt(),
            advance: along / (1.0 - plan.road.curvature(s) * left),
            accel,
            position: (latitude, longitude),
            altitude: plan.road.altitude(s),
            // Braking lowers the nose.
            pitch: bounce * (2.0 * waves - accel * 0.5),
            daylight: plan.daylight(t),
            adapted: mix(before.adapted, now.adapted),
            has_fix: plan.has_fix(s, t),
            others: others.collect(),
        }
    }

    /// Speed over ground in m/s.
    pub fn speed_mps(&self) -> f64 {
        self.speed
    }

    /// Direction of travel in degrees clockwise from true north, 0 to 360.
    pub fn heading_deg(&self) -> f64 {
        (90.0 - (self.road_heading + self.heading).to_degrees()).rem_euclid(360.0)
    }

    /// Latitude and longitude in degrees, WGS 84.
    pub fn position(&self) -> (f64, f64) {
        self.position
    }
}

/// Metres north and east as degrees at a latitude.
pub(super) fn degrees_of(north: f64, east: f64, latitude: f64) -> (f64, f64) {
    (north / METRES_A_DEGREE, east / (METRES_A_DEGREE * cos(latitude.to_radians())))
}
