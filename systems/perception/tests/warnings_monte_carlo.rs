//! How early, how surely and how falsely warnings come, over simulated drives. Thresholds are chosen on the seeds 1 to
//! 10; what is asserted and told is of the seeds 11 to 30. `WAYWARDEN_SEEDS=1-10` looks at others.

#[path = "warnings/world.rs"]
mod world;

use waywarden_components::prelude::*;
use world::{Car, World, begins};

fn seeds() -> std::ops::RangeInclusive<u64> {
    let asked = std::env::var("WAYWARDEN_SEEDS").unwrap_or_default();
    match asked.split_once('-').and_then(|(a, b)| Some(a.parse().ok()?..=b.parse().ok()?)) {
        Some(range) => range,
        None => 11..=30,
    }
}

fn sorted(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_by(f32::total_cmp);
    values
}

#[test]
fn steady_collision_courses_are_warned_of_in_time() {
    let mut left = Vec::new();
    for seed in seeds() {
        for course in 0..50 {
            let mut world = World::new(seed * 1000 + course, 0.0);
            world.speed_mps = world.even(30.0, 130.0) / 3.6;
            // Standing, or slower by at least 18 km/h.
            let slower = world.even(5.0, world.speed_mps);
            let closing = if world.even(0.0, 1.0) < 0.4 { world.speed_mps } else { slower };
            let start_s = world.even(5.0, 8.0);
            world.cars.push(Car::new(closing * start_s, world.speed_mps - closing));
            let mut warned = None;
            while world.cars[0].gap_m > 0.0 {
                let changes = world.step();
                if warned.is_none() && begins(&changes, AlertKind::ForwardCollision) {
                    warned = Some(world.true_ttc());
                }
            }
            left.push(warned.unwrap_or(0.0));
        }
    }
    let left = sorted(left);
    let late = left.iter().filter(|s| **s < 1.9).count();
    let (n, median) = (left.len(), left[left.len() / 2]);
    let (first, tenth, most) = (left[0], left[n / 10], left[n - 1]);
    println!(
        "steady: {n} courses, warned {median:.2} s before contact (median), least {first:.2}, p10 {tenth:.2}, most {most:.2}; {late} below 1.9 s"
    );
    assert!(late == 0, "{late} of {n} later than 1.9 s");
    assert!(median >= 2.4, "{median}");
    assert!(left[n * 9 / 10] < 4.0, "not so early that nobody believes it: {:?}", left[n * 9 / 10]);
}

#[test]
fn hard_braking_ahead_is_warned_of_by_the_time_its_own_time_to_collision_is_short() {
    let mut delays = Vec::new();
    for seed in seeds() {
        for course in 0..50 {
            let mut world = World::new(seed * 1000 + course, 0.0);
            world.speed_mps = world.even(40.0, 130.0) / 3.6;
            let gap = world.even(1.0, 2.2) * world.speed_mps;
            world.cars.push(Car::new(gap, world.speed_mps));
            let (brakes_s, brakes) = (world.even(3.0, 5.0), world.even(5.0, 8.0));
            let (mut warned, mut crossed) = (None, None);
            while world.cars[0].gap_m > 0.0 {
                if world.now_s >= brakes_s {
                    world.cars[0].acceleration_mps2 = -brakes;
                }
                let changes = world.step();
                if begins(&changes, AlertKind::ForwardCollision) {
                    warned = warned.or(Some(world.now_s));
                }
                if world.true_ttc() <= world.settings.forward_collision.caution_s {
                    crossed = crossed.or(Some(world.now_s));
                }
            }
            delays.push(warned.unwrap_or(f32::MAX) - crossed.expect("it brakes to a stand"));
        }
    }
    println!("hard braking: {}", judge(delays));
}

#[test]
fn who_cuts_in_is_warned_of_soon() {
    let mut delays = Vec::new();
    for seed in seeds() {
        for course in 0..50 {
            let mut world = World::new(seed * 1000 + course, 0.0);
            world.speed_mps = world.even(60.0, 130.0) / 3.6;
            let closing = world.even(5.0, 12.0);
            let (enters_s, start_s) = (world.even(1.2, 2.6), world.even(5.0, 6.0));
            world.cars.push(Car::new(closing * start_s, world.speed_mps - closing));
            (world.cars[0].in_path, world.cars[0].left_m) = (false, 3.5);
            // It crosses the line, half a lane beside, at the time chosen.
            let sideways = world.even(0.8, 1.6);
            let (mut warned, mut crossed) = (None, None);
            while world.cars[0].gap_m > 0.0 {
                let changes = world.step();
                let left_m = 1.75 + (world.cars[0].gap_m / closing - enters_s) * sideways;
                world.cars[0].left_m = left_m.clamp(0.0, 3.5);
                world.cars[0].in_path |= left_m <= 1.75;
                if begins(&changes, AlertKind::ForwardCollision) {
                    warned = warned.or(Some(world.now_s));
                }
                if world.true_ttc() <= world.settings.forward_collision.caution_s {
                    crossed = crossed.or(Some(world.now_s));
                }
            }
            delays.push(warned.unwrap_or(f32::MAX) - crossed.expect("it is reached"));
        }
    }
    println!("cut-in: {}", judge(delays));
}

fn judge(delays: Vec<f32>) -> String {
    let delays = sorted(delays);
    let (n, late) = (delays.len(), delays.iter().filter(|d| **d > 0.5).count());
    let (median, p95, most) = (delays[n / 2], delays[n * 19 / 20], delays[n - 1]);
    // Nineteen of twenty. Within 0.5 s always is not reached: of the seeds 11 to 30, 2.7 % who cut in were told of later.
    assert!(p95 <= 0.5, "{p95}");
    format!(
        "{n} courses, warned {median:+.2} s after the truth's 2.7 s (median), p95 {p95:+.2}, most {most:+.2}; {late} later than 0.5 s"
    )
}

/// An ordinary half hour: following in waves, queues to brake for, next lanes in bends, oncoming traffic, bridges, own
/// changes of lanes. The driver sees to it that nothing gets dangerous.
#[test]
fn ordinary_driving_is_left_in_peace() {
    const HALF_HOUR: u32 = 18_000;
    let (mut hours, mut started, mut falsely) = (0.0, [0u32; 5], [0u32; 5]);
    for seed in seeds() {
        let mut drive = Drive::new(seed);
        for _ in 0..HALF_HOUR {
            let changes = drive.step();
            for (i, kind) in AlertKind::ALL.into_iter().enumerate() {
                if begins(&changes, kind) {
                    started[i] += 1;
                    falsely[i] += u32::from(!drive.was_so(kind));
                }
            }
        }
        hours += f64::from(HALF_HOUR) / 36_000.0;
    }
    println!("ordinary driving, {hours} h: begun {started:?}, of them false {falsely:?} ({:?})", AlertKind::ALL);
    let an_hour = f64::from(falsely.iter().sum::<u32>()) / hours;
    println!("false warnings an hour: {an_hour:.2}");
    assert!(an_hour <= 1.0, "{an_hour}");
}

/// An ordinary drive.
struct Drive {
    world: World,
    cruise_mps: f32,
    gap_s: f32,
    next_s: f32,
    changing: Option<(f32, f32)>,
    sway: f32,
    lead_mps: f32,
    lead_until_s: f32,
    seen_ttc: Vec<f32>,
    margin_m: Vec<f32>,
    bend_per_m: f32,
}

impl Drive {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, 25.0);
        world.lane = Some(LaneGeometry { width_m: 3.5, ..LaneGeometry::default() });
        let gap_s = world.even(1.1, 2.2);
        world.cars.push(Car::new(40.0, 25.0));
        // Next lane, oncoming and a bridge, put ahead again and again.
        for (class, solid, left_m) in
            [(ObjectClass::Car, true, -3.5), (ObjectClass::Truck, true, 3.7), (ObjectClass::Truck, false, 0.0)]
        {
            let mut car = Car::new(-1.0, 0.0);
            (car.class, car.solid, car.left_m, car.in_path) = (class, solid, left_m, !solid);
            world.cars.push(car);
        }
        Self {
            world,
            cruise_mps: 25.0,
            gap_s,
            next_s: 5.0,
            changing: None,
            sway: 0.0,
            lead_mps: 25.0,
            lead_until_s: 0.0,
            seen_ttc: Vec::new(),
            margin_m: Vec::new(),
            bend_per_m: 0.0,
        }
    }

    /// Whether within the last second, or now, it was nearly so.
    fn was_so(&self, kind: AlertKind) -> bool {
        let least = |values: &[f32]| values.iter().rev().take(10).fold(f32::MAX, |a, b| a.min(*b));
        match kind {
            AlertKind::ForwardCollision => least(&self.seen_ttc) <= 3.2,
            AlertKind::Headway => self.world.cars[0].gap_m / self.world.speed_mps.max(1.0) < 1.0,
            // The change of lanes that the driver makes is one, and indicators are not known.
            AlertKind::LaneDeparture => least(&self.margin_m) <= 0.3 || self.changing.is_some(),
            _ => false,
        }
    }

    fn step(&mut self) -> Vec<waywarden_perception::warnings::AlertChange> {
        let now = self.world.now_s;
        self.traffic(now);
        self.drive();
        self.steer(now);
        let changes = self.world.step();
        self.seen_ttc.push(self.world.true_ttc());
        changes
    }

    /// What the others do.
    fn traffic(&mut self, now: f32) {
        let w = &mut self.world;
        if now >= self.lead_until_s {
            self.lead_mps = w.even(8.0, 36.0);
            self.lead_until_s = now + w.even(8.0, 30.0);
            self.cruise_mps = self.lead_mps + 4.0;
        }
        let wanted = self.lead_mps - w.cars[0].speed_mps;
        // Bends begin and end gently.
        w.curvature += (self.bend_per_m - w.curvature).clamp(-0.0002, 0.0002);
        w.cars[0].acceleration_mps2 = wanted.clamp(-2.5, 1.5) * (wanted.abs().min(1.0));
        if now < self.next_s {
            return;
        }
        self.next_s = now + w.even(4.0, 9.0);
        // A bend half of the time, in which the eye takes who is beside for in the path now and then.
        let bend = w.even(0.0, 1.0) < 0.5;
        self.bend_per_m = if bend { w.even(0.001, 0.004) } else { 0.0 };
        let strays = if bend { 0.03 } else { 0.003 };
        let own = w.speed_mps;
        let beside = own * w.even(0.0, 0.9);
        let far = w.even(60.0, 140.0);
        for (i, speed) in [(1, beside), (2, -own.max(15.0)), (3, 0.0)] {
            let (class, solid, left_m) = (w.cars[i].class, w.cars[i].solid, w.cars[i].left_m);
            let mut car = Car::new(far + 10.0 * i as f32, speed);
            (car.class, car.solid, car.left_m, car.in_path, car.strays) = (class, solid, left_m, !solid, strays);
            w.cars[i] = car;
        }
    }

    /// The intelligent driver model (Treiber, Hennecke, Helbing 2000).
    fn drive(&mut self) {
        let (v, lead) = (self.world.speed_mps, &self.world.cars[0]);
        let closing = v - lead.speed_mps;
        let (most, gentle) = (1.4f32, 2.0f32);
        let wish = 2.0 + (v * self.gap_s + v * closing / (2.0 * (most * gentle).sqrt())).max(0.0);
        let (free, near) = (v / self.cruise_mps.max(1.0), wish / lead.gap_m.max(0.5));
        self.world.acceleration_mps2 = (most * (1.0 - free * free * free * free - near * near)).clamp(-6.0, most);
    }

    /// Sways in the lane, and changes it now and then within 4 to 6 seconds.
    fn steer(&mut self, now: f32) {
        let w = &mut self.world;
        let Some(mut lane) = w.lane else { return };
        let was = lane.offset_m;
        if self.changing.is_none() && now % 60.0 < 0.05 && now > 10.0 {
            self.changing = Some((now, w.even(4.0, 6.0)));
        }
        let normal = w.normal();
        self.sway = 0.998 * self.sway + 0.2 * 0.063 * normal * 0.3;
        let mut offset = self.sway + 0.1 * libm::sinf(now * 0.4);
        if let Some((since, takes)) = self.changing {
            let t = ((now - since) / takes).min(1.0);
            let moved = lane.width_m * (t * t * (3.0 - 2.0 * t));
            offset += if moved > lane.width_m / 2.0 { moved - lane.width_m } else { moved };
            if t >= 1.0 {
                self.changing = None;
            }
        }
        let moved = if (offset - was).abs() > 1.5 { 0.0 } else { (offset - was) / 0.1 };
        (lane.offset_m, lane.heading_rad) = (offset, moved / w.speed_mps.max(5.0));
        self.margin_m.push((lane.width_m - w.settings.vehicle_width_m) / 2.0 - offset.abs());
        w.lane = Some(lane);
    }
}

/// ISO 17361: a departure at 0.1 to 0.8 m/s is warned of before the outer edge is 0.3 m beyond the line, and not before
/// 0.75 m, or 1.5 s, inside it. What comes back is not warned of again.
#[test]
fn lane_departures_are_warned_of_between_the_earliest_and_the_latest_line() {
    let mut beyond = Vec::new();
    for seed in seeds() {
        for course in 0..20 {
            let mut world = World::new(seed * 1000 + course, 0.0);
            world.speed_mps = world.even(65.0, 130.0) / 3.6;
            let (rate, width) = (world.even(0.15, 0.8), world.even(3.0, 3.75));
            let side = if world.even(0.0, 1.0) < 0.5 { 1.0 } else { -1.0 };
            let mut offset = 0.0f32;
            let (mut warned, mut count, mut back) = (None, 0, false);
            while !(back && offset < 0.0) {
                let drifts = world.now_s > 3.0;
                let heading_rad = if drifts { side * if back { -rate } else { rate } / world.speed_mps } else { 0.0 };
                world.lane =
                    Some(LaneGeometry { offset_m: side * offset, heading_rad, width_m: width, ..Default::default() });
                if begins(&world.step(), AlertKind::LaneDeparture) {
                    warned = warned.or(Some(offset + 0.9 - width / 2.0));
                    count += 1;
                }
                if drifts {
                    offset += if back { -rate } else { rate } * world::STEP_S;
                }
                back |= offset + 0.9 - width / 2.0 > 0.5;
            }
            assert!(count <= 1, "warned {count} times");
            beyond.push(warned.unwrap_or(f32::MAX));
        }
    }
    let beyond = sorted(beyond);
    let (n, late) = (beyond.len(), beyond.iter().filter(|b| **b > 0.3).count());
    let (first, median, last) = (beyond[0], beyond[n / 2], beyond[n - 1]);
    println!(
        "lane departure: {n}, warned {median:+.2} m beyond the line (median), first {first:+.2}, last {last:+.2}; {late} beyond +0.3 m"
    );
    assert!(late == 0 && first >= -0.75, "{late} late, first {first}");
}
