//! Other vehicles and people, and how they move.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use waywarden_components::perception::ObjectClass;

use super::chance::{ease_gently, mix, unit};
use super::road::Road;
use super::scenario::{Event, Pedestrian, Scenario, Side, Vehicle};

/// Seconds that a change of lane takes when nobody says.
const CHANGE_S: f64 = 4.0;
/// Braking in m/s² when nobody says.
const BRAKING: f64 = 3.0;
/// Farthest ahead and behind that others are thought of, in metres.
const AHEAD_M: f64 = 320.0;
const BEHIND_M: f64 = 90.0;
/// Who is this far behind our front bumper is beside us.
const SIDE_M: f64 = 20.0;

/// A way from side to side over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shift {
    from: f64,
    pub to: f64,
    over: f64,
    /// Seconds of it that are over.
    spent: f64,
}

impl Shift {
    pub fn keep(left: f64) -> Self {
        Self { from: left, to: left, over: 1.0, spent: 1.0 }
    }

    pub fn begin(&mut self, to: f64, over: f64) {
        *self = Self { from: self.at(), to, over, spent: 0.0 };
    }

    /// Lets `seconds` go by; a vehicle that hardly moves does not get sideways either.
    pub fn advance(&mut self, seconds: f64, speed: f64) {
        self.spent = (self.spent + seconds * (speed / 5.0).clamp(0.0, 1.0)).min(self.over);
    }

    pub fn at(&self) -> f64 {
        self.from + (self.to - self.from) * ease_gently(self.spent / self.over)
    }
}

/// Something on the road beside the own vehicle.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Other {
    pub id: u32,
    pub class: ObjectClass,
    pub vehicle: Vehicle,
    /// A number for its looks.
    pub looks: u64,
    /// The end that is nearer to the beginning of the road, in metres along it.
    pub s: f64,
    pub left: f64,
    /// Radians left of the direction of travel on its side.
    pub heading: f64,
    /// Along the road; negative comes towards us.
    pub speed: f64,
    /// Acceleration in the direction in which it goes.
    pub accel: f64,
    pub length: f64,
    pub width: f64,
    pub height: f64,
    /// Metres walked.
    pub walked: f64,
    shift: Shift,
    wanted: f64,
    braking: f64,
    /// Which part it has in the scenario; none for those who came by chance.
    part: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Car { number: usize, next_event: usize },
    Pedestrian { number: usize },
}

/// Length, width and height in metres.
fn size(vehicle: Vehicle, looks: u64) -> (f64, f64, f64) {
    let some = |range: f64| (unit(looks, 9) - 0.5) * range;
    match vehicle {
        Vehicle::Car => (4.4 + some(0.5), 1.8 + some(0.1), 1.47 + some(0.12)),
        Vehicle::Van => (5.2 + some(0.6), 2.0, 2.1 + some(0.4)),
        Vehicle::Truck => (12.0 + some(6.0), 2.5, 3.7 + some(0.4)),
        Vehicle::Bus => (12.0, 2.55, 3.1),
    }
}

impl Other {
    fn vehicle(id: u32, vehicle: Vehicle, looks: u64, at: (f64, f64), speed: f64, part: Option<Part>) -> Self {
        let class = match vehicle {
            Vehicle::Car | Vehicle::Van => ObjectClass::Car,
            Vehicle::Truck => ObjectClass::Truck,
            Vehicle::Bus => ObjectClass::Bus,
        };
        let ((s, left), (length, width, height)) = (at, size(vehicle, looks));
        let shift = Shift::keep(left);
        Self {
            id,
            class,
            vehicle,
            looks,
            s,
            left,
            heading: 0.0,
            speed,
            accel: 0.0,
            length,
            width,
            height,
            walked: 0.0,
            shift,
            wanted: speed,
            braking: BRAKING,
            part,
        }
    }

    /// Whether it comes towards us.
    pub fn is_oncoming(&self) -> bool {
        self.wanted < 0.0
    }

    pub fn is_person(&self) -> bool {
        self.class == ObjectClass::Person
    }

    /// Whether it is in the way of something `width` wide at `left`, now or soon.
    fn is_before(&self, left: f64, width: f64) -> bool {
        let clear = (self.width + width) / 2.0 + if self.is_person() { 1.2 } else { 0.2 };
        (self.left - left).abs() < clear || (self.shift.to - left).abs() < clear && !self.is_person()
    }

    /// The same at a moment between `before` and this one.
    pub fn between(&self, before: &Self, share: f64) -> Self {
        let mix = |a: f64, b: f64| a + (b - a) * share;
        Self {
            s: mix(before.s, self.s),
            left: mix(before.left, self.left),
            heading: mix(before.heading, self.heading),
            speed: mix(before.speed, self.speed),
            accel: mix(before.accel, self.accel),
            walked: mix(before.walked, self.walked),
            ..self.clone()
        }
    }
}

/// Somebody ahead: how far, and how fast.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leader {
    pub gap: f64,
    pub speed: f64,
}

/// Acceleration of a driver who would like to go at `wanted` and sees `leader` ahead (Treiber, Hennecke, Helbing,
/// "Congested traffic states in empirical observations and microscopic simulations", 2000).
pub(super) fn follow(speed: f64, wanted: f64, braking: f64, leader: Option<Leader>) -> f64 {
    const MOST: f64 = 1.6;
    const COMFORTABLE: f64 = 2.2;
    const HEADWAY_S: f64 = 1.3;
    const STANDSTILL_M: f64 = 3.0;
    const HARDEST: f64 = 9.0;
    let free = if speed > wanted + 0.3 {
        -braking
    } else {
        let share = speed / wanted.max(0.1);
        MOST * (1.0 - share * share * share * share).max(-1.0)
    };
    let held = leader.map_or(0.0, |leader| {
        let closing = speed - leader.speed;
        let brake = speed * closing / (2.0 * (MOST * COMFORTABLE).sqrt());
        let wish = STANDSTILL_M + (speed * HEADWAY_S + brake).max(0.0);
        let share = wish / leader.gap.max(0.3);
        MOST * share * share
    });
    (free - held).max(-braking.max(HARDEST))
}

/// The own vehicle, as the others see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct EgoPlace {
    /// Front bumper.
    pub s: f64,
    pub left: f64,
    pub speed: f64,
}

const EGO_LENGTH: f64 = 4.5;
const EGO_WIDTH: f64 = 1.8;

/// All the others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Others {
    pub all: Vec<Other>,
    next_id: u32,
}

impl Others {
    /// Those of the beginning: staged ones, and by chance as many as the road holds.
    pub fn new(scenario: &Scenario, road: &Road, ego: EgoPlace, rng: &mut ChaCha8Rng) -> Self {
        let mut others = Self { all: Vec::new(), next_id: 1 };
        others.stage(scenario, road, ego, false, rng);
        for lane in 1..=road.lanes + road.oncoming {
            let comes = lane > road.lanes;
            let per_km = if comes { scenario.traffic.oncoming_per_km } else { scenario.traffic.per_km };
            let mut s = ego.s - BEHIND_M + 1000.0 / per_km.max(1e-3) * rng.random_range(0.0..1.0);
            while s < ego.s + AHEAD_M {
                others.by_chance(scenario, road, lane, s, ego, rng);
                s += 1000.0 / per_km.max(1e-3) * rng.random_range(0.5..1.5);
            }
        }
        others
    }

    /// Puts everybody with a part where the scenario wants them. When a drive goes on, nobody vanishes or appears before its eyes:
    /// who is in sight drives on as one of those who are there by chance, or walks on; who would stand in sight comes where that ends.
    pub fn stage(&mut self, scenario: &Scenario, road: &Road, ego: EgoPlace, goes_on: bool, rng: &mut ChaCha8Rng) {
        let in_sight = |s: f64| goes_on && (ego.s - SIDE_M..ego.s + AHEAD_M).contains(&s);
        self.all.retain(|other| other.part.is_none() || in_sight(other.s));
        for other in self.all.iter_mut().filter(|other| !other.is_person()) {
            other.part = None;
        }
        let staged = |ahead: f64| {
            let s = ego.s + ahead;
            if in_sight(s) { s + AHEAD_M } else { s }
        };
        let mut placed: Vec<(f64, f64)> = Vec::new();
        for (number, car) in scenario.car.iter().enumerate() {
            let comes = car.lane > road.lanes;
            let speed = car.speed_kmh / 3.6 * if comes { -1.0 } else { 1.0 };
            let left = road.lane_middle(car.lane) + car.left_m;
            let part = Some(Part::Car { number, next_event: 0 });
            let at = (staged(car.ahead_m), left);
            placed.push(at);
            self.add(|id, looks| Other::vehicle(id, car.vehicle, looks, at, speed, part), rng);
        }
        for (number, person) in scenario.pedestrian.iter().enumerate() {
            let left = match person.from {
                Side::Right => road.paved.0 - 0.6,
                Side::Left => road.paved.1 + 0.6,
            };
            let part = Some(Part::Pedestrian { number });
            if self.all.iter().any(|other| other.part == part) {
                continue;
            }
            let at = (staged(person.ahead_m), left);
            placed.push(at);
            let somebody = |id, looks| {
                let height = 1.6 + 0.25 * unit(looks, 9);
                let class = ObjectClass::Person;
                let body = Other::vehicle(id, Vehicle::Car, looks, at, 0.0, part);
                Other { class, length: 0.4, width: 0.55, height, ..body }
            };
            self.add(somebody, rng);
        }
        // Whoever is here by chance makes room.
        self.all.retain(|other| {
            let near = |&(s, left): &(f64, f64)| (other.s - s).abs() < 35.0 && (other.left - left).abs() < 2.0;
            other.part.is_some() || !placed.iter().any(near)
        });
    }

    fn add(&mut self, make: impl FnOnce(u32, u64) -> Other, rng: &mut ChaCha8Rng) {
        let looks = mix(rng.random::<u64>(), 1);
        self.all.push(make(self.next_id, looks));
        self.next_id += 1;
    }

    fn by_chance(&mut self, scenario: &Scenario, road: &Road, lane: u32, s: f64, ego: EgoPlace, rng: &mut ChaCha8Rng) {
        let traffic = &scenario.traffic;
        let comes = lane > road.lanes;
        let is_truck = rng.random_bool(traffic.trucks) && (lane == 1 || comes);
        let share = if road.lanes > 1 && !comes {
            (f64::from(lane - 1) + rng.random_range(0.0..1.0)) / f64::from(road.lanes)
        } else {
            rng.random_range(0.0..1.0)
        };
        let speed = traffic.slowest_kmh + (traffic.fastest_kmh - traffic.slowest_kmh).max(0.0) * share;
        let speed = if is_truck { speed.min(88.0) } else { speed } / 3.6;
        let vehicle = match (is_truck, rng.random_range(0..10)) {
            (true, 0) => Vehicle::Bus,
            (true, _) => Vehicle::Truck,
            (false, 0 | 1) => Vehicle::Van,
            (false, _) => Vehicle::Car,
        };
        let left = road.lane_middle(lane) + rng.random_range(-0.25..0.25);
        let near = |at: f64, left_of: f64, room: f64| (at - s).abs() < room && (left_of - left).abs() < 2.0;
        if near(ego.s, ego.left, 45.0) || self.all.iter().any(|other| near(other.s, other.left, 30.0)) {
            return;
        }
        let speed = if comes { -speed } else { speed };
        self.add(|id, looks| Other::vehicle(id, vehicle, looks, (s, left), speed, None), rng);
    }

    /// Who is ahead of something at `s` (its front) that keeps to `left` and is `width` wide.
    pub fn leader(&self, s: f64, left: f64, width: f64) -> Option<Leader> {
        let ahead = self.all.iter().filter(|other| !other.is_oncoming());
        let ahead = ahead.filter(|other| other.s + other.length * 0.5 > s && other.is_before(left, width));
        let nearest = ahead.min_by(|a, b| a.s.total_cmp(&b.s))?;
        Some(Leader { gap: nearest.s - s, speed: if nearest.is_person() { 0.0 } else { nearest.speed } })
    }

    /// What the own driver sees ahead, where it is now and where it is going.
    pub fn leader_of_ego(&self, ego: EgoPlace, to: f64) -> Option<Leader> {
        let leaders = [self.leader(ego.s, ego.left, EGO_WIDTH), self.leader(ego.s, to, EGO_WIDTH)];
        leaders.into_iter().flatten().min_by(|a, b| a.gap.total_cmp(&b.gap))
    }

    /// Lets `dt` seconds go by, `time` seconds after this round of the scenario began.
    pub fn step(&mut self, scenario: &Scenario, road: &Road, ego: EgoPlace, time: f64, dt: f64) {
        let before = self.clone();
        for (n, other) in self.all.iter_mut().enumerate() {
            match other.part {
                Some(Part::Pedestrian { number }) => {
                    if let Some(person) = scenario.pedestrian.get(number) {
                        walk(other, person, road, ego, dt);
                    }
                    continue;
                }
                Some(Part::Car { number, next_event }) => {
                    let events = scenario.car.get(number).map_or(&[][..], |car| &car.event);
                    if let Some(event) = events.get(next_event).filter(|event| event.at_s <= time) {
                        other.part = Some(Part::Car { number, next_event: next_event + 1 });
                        act(other, event, road);
                    }
                }
                None => {}
            }
            drive(n, other, &before, ego, dt);
        }
    }

    /// Takes away who is out of sight, and lets others come where the road is empty.
    pub fn come_and_go(&mut self, scenario: &Scenario, road: &Road, ego: EgoPlace, rng: &mut ChaCha8Rng) {
        let seen = |other: &Other| (ego.s - BEHIND_M - 20.0..ego.s + AHEAD_M + 20.0).contains(&other.s);
        self.all.retain(|other| other.part.is_some() || seen(other));
        for lane in 1..=road.lanes + road.oncoming {
            let comes = lane > road.lanes;
            let per_km = if comes { scenario.traffic.oncoming_per_km } else { scenario.traffic.per_km };
            let middle = road.lane_middle(lane);
            let here = self.all.iter().filter(|other| (other.left - middle).abs() < road.lane_width / 2.0).count();
            let room = per_km * (AHEAD_M + BEHIND_M) / 1000.0 - here as f64;
            // Not all at once: about one in 5 s for each that is missing.
            if room > 0.0 && rng.random_bool((room * 0.02).min(1.0)) {
                let at = if comes || rng.random_bool(0.5) { ego.s + AHEAD_M } else { ego.s - BEHIND_M };
                self.by_chance(scenario, road, lane, at, ego, rng);
            }
        }
    }
}

fn act(other: &mut Other, event: &Event, road: &Road) {
    if let Some(lane) = event.lane {
        other.shift.begin(road.lane_middle(lane), event.over_s.unwrap_or(CHANGE_S));
    }
    if let Some(speed) = event.speed_kmh {
        let comes = if other.is_oncoming() { -1.0 } else { 1.0 };
        other.wanted = comes * speed / 3.6;
    }
    other.braking = event.braking_mps2.unwrap_or(BRAKING);
}

fn drive(n: usize, other: &mut Other, before: &Others, ego: EgoPlace, dt: f64) {
    let comes = other.is_oncoming();
    let (speed, wanted) = (other.speed.abs(), other.wanted.abs());
    let front = other.s + other.length;
    let mut leader: Option<Leader> = None;
    let mut see = |gap: f64, speed: f64| {
        if leader.is_none_or(|known| gap < known.gap) {
            leader = Some(Leader { gap, speed });
        }
    };
    for (m, ahead) in before.all.iter().enumerate().filter(|(m, ahead)| *m != n && ahead.is_oncoming() == comes) {
        if !ahead.is_before(other.left, other.width) && !ahead.is_before(other.shift.to, other.width) {
            continue;
        }
        // Of two that overlap one must give way, and not both.
        let is_ahead = |theirs: f64, own: f64| theirs > own || theirs == own && m > n;
        if comes && is_ahead(-ahead.s, -other.s) {
            see(other.s - (ahead.s + ahead.length), -ahead.speed);
        } else if !comes && is_ahead(ahead.s, other.s) {
            see(ahead.s - front, ahead.speed);
        }
    }
    let beside = |left: f64| (ego.left - left).abs() < (EGO_WIDTH + other.width) / 2.0 + 0.2;
    if !comes && ego.s > front && beside(other.left) {
        see(ego.s - EGO_LENGTH - front, ego.speed);
    }
    let accel = if wanted == 0.0 && speed == 0.0 { 0.0 } else { follow(speed, wanted, other.braking, leader) };
    let next = (speed + accel * dt).max(0.0);
    let travelled = (speed + next) / 2.0 * dt;
    other.accel = (next - speed) / dt;
    let sign = if comes { -1.0 } else { 1.0 };
    other.speed = sign * next;
    other.s += sign * travelled;
    let left = other.left;
    other.shift.advance(dt, next);
    other.left = other.shift.at();
    other.heading = libm::atan2((other.left - left) * sign, travelled.max(0.02));
}

/// Crosses the road once the own vehicle is near.
fn walk(other: &mut Other, person: &Pedestrian, road: &Road, ego: EgoPlace, dt: f64) {
    let (from, to) = match person.from {
        Side::Right => (road.paved.0 - 0.6, road.paved.1 + 0.6),
        Side::Left => (road.paved.1 + 0.6, road.paved.0 - 0.6),
    };
    let begun = other.left != from;
    let arrived = (other.left - from).abs() >= (to - from).abs();
    other.heading = if to > from { std::f64::consts::FRAC_PI_2 } else { -std::f64::consts::FRAC_PI_2 };
    if arrived || !begun && other.s - ego.s > person.when_within_m {
        return;
    }
    let stepped = person.speed_mps * dt;
    other.left += stepped.copysign(to - from);
    other.walked += stepped;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_keep_their_distance() {
        let (mut gap, mut speed) = (60.0, 30.0);
        for _ in 0..3_000 {
            let accel = follow(speed, 33.0, 3.0, Some(Leader { gap, speed: 20.0 }));
            assert!((-9.0..=1.6).contains(&accel), "{accel}");
            speed = f64::max(speed + accel * 0.01, 0.0);
            gap += (20.0 - speed) * 0.01;
            assert!(gap > 5.0, "{gap}");
        }
        assert!((speed - 20.0).abs() < 0.5 && (20.0..45.0).contains(&gap), "{speed} {gap}");
    }

    #[test]
    fn a_shift_is_smooth_and_arrives() {
        let mut shift = Shift::keep(1.75);
        shift.begin(5.25, 4.0);
        let mut last = shift.at();
        for _ in 0..500 {
            shift.advance(0.01, 30.0);
            assert!((0.0..0.02).contains(&(shift.at() - last)));
            last = shift.at();
        }
        assert_eq!(shift.at(), 5.25);
    }
}
