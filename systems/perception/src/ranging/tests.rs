use proptest::prelude::*;

use super::scenes::{FRAME, project};
use super::*;

const CAR: ObjectClass = ObjectClass::Car;

fn at(seconds: f64) -> Mono {
    Mono::from_secs_f64(100.0 + seconds)
}

/// A box without noise of the end of something `wide` x `tall` metres, this far before the bumper and left of the middle.
fn seen(class: ObjectClass, distance: f64, left: f64, (wide, tall): (f64, f64)) -> Detection {
    let camera = CameraGeometry::default();
    let edge = |left: f64, down: f64| project(&camera, 0.0, distance + camera.bumper_m, left, down);
    let (l, t) = edge(left + wide / 2.0, camera.height_m - tall);
    let (r, b) = edge(left - wide / 2.0, camera.height_m);
    let cut = |edge: f64, most: u32| edge.clamp(0.0, f64::from(most));
    let (l, r, t, b) = (cut(l, FRAME.0), cut(r, FRAME.0), cut(t, FRAME.1), cut(b, FRAME.1));
    let numbers = [l, t, r - l, b - t].map(|number| number as f32);
    Detection { class, score: 0.9, left: numbers[0], top: numbers[1], width: numbers[2], height: numbers[3] }
}

/// A filter and all that a sight wants, by default on a straight lane at 20 m/s.
struct Bench {
    settings: RangingSettings,
    plane: RoadPlane,
    camera: CameraGeometry,
    filter: MotionFilter,
}

impl Bench {
    fn new(class: ObjectClass) -> Self {
        let camera = CameraGeometry::default();
        Self {
            settings: RangingSettings::default(),
            plane: RoadPlane::new(&camera, 0.0, FRAME.0, FRAME.1).expect("a sound geometry"),
            camera,
            filter: MotionFilter::new(class),
        }
    }

    fn sight<'a>(&'a self, seconds: f64, detection: &'a Detection) -> Sight<'a> {
        Sight {
            at: at(seconds),
            detection,
            cut: CutSides::of(&RangingSettings::default(), detection, FRAME.0, FRAME.1),
            plane: &self.plane,
            camera: &self.camera,
            pitch_sigma_rad: 0.003,
            speed_mps: Some(20.0),
            yaw_rate_radps: None,
            lane: Some(LaneGeometry { width_m: 3.5, ..LaneGeometry::default() }),
            range: None,
        }
    }

    fn see(&mut self, seconds: f64, found: &Detection, range: Option<RangeAt>) -> Option<ObjectMotion> {
        let mut filter = self.filter.clone();
        let motion = filter.update(&self.settings, &Sight { range, ..self.sight(seconds, found) });
        self.filter = filter;
        motion
    }

    /// Follows something for `sights` tenths of a second; gives what is said of the last.
    fn follow(&mut self, sights: u32, place: impl Fn(f64) -> (f64, f64), size: (f64, f64)) -> ObjectMotion {
        let mut last = None;
        for n in 0..sights {
            let t = f64::from(n) / 10.0;
            let (distance, left) = place(t);
            last = self.see(t, &seen(self.filter.class, distance, left, size), None);
        }
        last.expect("a motion")
    }
}

#[test]
fn the_pictures_of_the_tests_are_those_of_the_road_plane() {
    let (bench, (x, y)) = (Bench::new(CAR), project(&CameraGeometry::default(), 0.0, 20.0, 2.0, 1.3));
    let road = bench.plane.to_road(ImagePoint { x: x as f32, y: y as f32 }).expect("road");
    assert!((road.forward_m - 20.0).abs() < 1e-3 && (road.left_m - 2.0).abs() < 1e-3, "{road:?}");
}

#[test]
fn a_car_that_comes_nearer_is_where_it_is() {
    let mut bench = Bench::new(CAR);
    let motion = bench.follow(30, |t| (50.0 - 10.0 * t, 0.0), (1.82, 1.5));
    assert!((motion.distance_m - 21.0).abs() < 1.0, "{motion:?}");
    assert!((motion.closing_mps - 10.0).abs() < 1.0 && motion.in_path, "{motion:?}");
    assert!((motion.ttc_s.expect("it closes in") - 2.1).abs() < 0.2, "{motion:?}");
    assert_eq!(motion.sources, MotionSources { ground: true, width: true, scale: true, range: false });
    let goes = Bench::new(CAR).follow(30, |t| (20.0 + 5.0 * t, 0.0), (1.82, 1.5));
    assert!(goes.ttc_s.is_none() && goes.closing_mps < -3.0, "{goes:?}");
}

#[test]
fn what_is_said_moves_on_with_its_age() {
    let mut bench = Bench::new(CAR);
    let motion = bench.follow(30, |t| (50.0 - 10.0 * t, 0.0), (1.82, 1.5));
    let later = bench.filter.predict(&bench.settings, at(3.2)).expect("a motion");
    let (gone, waited) = (motion.distance_m - later.distance_m, motion.ttc_s.zip(later.ttc_s));
    assert!((gone - 0.3 * motion.closing_mps).abs() < 0.5, "{motion:?} {later:?}");
    assert!(waited.is_some_and(|(before, after)| (before - after - 0.3).abs() < 0.1), "{waited:?}");
    assert!(
        later.distance_sigma_m > motion.distance_sigma_m * 0.9 && later.closing_sigma_mps > motion.closing_sigma_mps
    );
    assert_eq!(bench.filter.predict(&bench.settings, at(0.0)), Some(motion), "not before it was seen");
    assert!(MotionFilter::new(CAR).predict(&bench.settings, at(0.0)).is_none());
}

#[test]
fn the_width_is_learnt_from_where_it_stands() {
    let mut bench = Bench::new(CAR);
    let first = bench.follow(1, |_| (10.0, 0.0), (2.1, 1.9));
    let later = Bench::new(CAR).follow(60, |t| (30.0 - 4.0 * t, 0.0), (2.1, 1.9));
    assert!(first.width_m < 2.05 && (later.width_m - 2.1).abs() < 0.08, "{} {}", first.width_m, later.width_m);
    assert!((later.distance_m - 6.4).abs() < 0.4, "{later:?}");
}

#[test]
fn what_the_frame_cuts_off_is_not_measured() {
    let (size, mut bench) = ((1.82, 1.5), Bench::new(CAR));
    bench.follow(20, |t| (8.0 - 3.0 * t, 0.0), size);
    // At 1.5 m the bottom is below the frame: what was learnt of the width goes on telling.
    let near = seen(CAR, 1.5, 0.0, size);
    assert!(CutSides::of(&RangingSettings::default(), &near, FRAME.0, FRAME.1).bottom);
    let motion = bench.see(2.2, &near, None).expect("a motion");
    assert!(!motion.sources.ground && motion.sources.width && (motion.distance_m - 1.5).abs() < 0.5, "{motion:?}");
    // Cut on both sides nothing tells.
    let whole = Detection { left: 0.0, width: 1280.0, top: 0.0, height: 720.0, ..near };
    assert_eq!(bench.see(2.3, &whole, None).map(|motion| motion.sources), Some(MotionSources::default()));
    assert_eq!(Bench::new(CAR).see(0.0, &whole, None), None, "never located");
}

#[test]
fn a_person_ahead_stands_while_we_come() {
    let motion = Bench::new(ObjectClass::Person).follow(10, |t| (40.0 - 20.0 * t, 0.5), (0.5, 1.75));
    assert!((motion.closing_mps - 20.0).abs() < 2.0 && (motion.distance_m - 22.0).abs() < 2.5, "{motion:?}");
}

#[test]
fn who_jumps_is_somebody_else() {
    let (size, mut bench) = ((1.82, 1.5), Bench::new(CAR));
    bench.follow(20, |_| (40.0, 0.0), size);
    for n in 0..5 {
        bench.see(2.0 + f64::from(n) / 10.0, &seen(CAR, 8.0, 0.0, size), None);
    }
    let motion = bench.filter.predict(&bench.settings, at(2.5)).expect("a motion");
    assert!((motion.distance_m - 8.0).abs() < 1.5 && motion.closing_sigma_mps > 1.0, "{motion:?}");
}

#[test]
fn who_is_hidden_by_somebody_nearer_has_not_come_that_near() {
    let (size, mut bench) = ((1.82, 1.5), Bench::new(CAR));
    bench.follow(20, |_| (57.0, 0.0), size);
    for n in 0..15 {
        let motion = bench.see(2.0 + f64::from(n) / 10.0, &seen(CAR, 35.0, 0.0, size), None).expect("a motion");
        assert!(motion.closing_mps < 3.0 + motion.closing_sigma_mps, "look {n}: {motion:?}");
    }
    let motion = bench.filter.predict(&bench.settings, at(3.4)).expect("a motion");
    assert!((motion.distance_m - 35.0).abs() < 3.0 && motion.closing_mps.abs() < 3.0, "{motion:?}");
    // A single box that is wrong changes nothing.
    let mut bench = Bench::new(CAR);
    let before = bench.follow(20, |_| (57.0, 0.0), size);
    let after = bench.see(2.0, &seen(CAR, 35.0, 0.0, size), None).expect("a motion");
    assert!((after.distance_m - before.distance_m).abs() < 3.0 && after.closing_sigma_mps < 4.0, "{after:?}");
}

#[test]
fn whoever_stands_behind_the_car_that_is_passed_is_another_one() {
    // Two parked cars: the first leaves the frame, and its track goes over to the second.
    let (size, mut bench) = ((1.82, 1.5), Bench::new(CAR));
    let mut parked = |t: f64, distance: f64| bench.see(t, &seen(CAR, distance, -2.7, size), None);
    for n in 0..20u8 {
        let t = f64::from(n) / 10.0;
        parked(t, 21.0 - 10.0 * t);
    }
    for n in 0..6u8 {
        let t = 2.0 + f64::from(n) / 10.0;
        let motion = parked(t, 7.0 - f64::from(n)).expect("a motion");
        assert!(!motion.in_path && motion.left_m < -2.0, "{t}: {motion:?}");
    }
}

#[test]
fn a_truck_that_comes_round_a_bend_nobody_knew_of_is_not_taken_for_near() {
    let mut bench = Bench::new(ObjectClass::Truck);
    let mut last = None;
    for n in 0..12u8 {
        // 26 m/s against our 14, in a town. The less of the bend is between us, the less it shows its side.
        let distance = 110.0 - 4.0 * f64::from(n);
        let found = seen(ObjectClass::Truck, distance, 0.0, (2.5 + 0.02 * distance, 3.6));
        let mut filter = bench.filter.clone();
        let sight = Sight { speed_mps: Some(14.0), ..bench.sight(f64::from(n) / 10.0, &found) };
        last = filter.update(&bench.settings, &sight);
        bench.filter = filter;
    }
    let motion = last.expect("a motion");
    assert!(motion.distance_m > 0.8 * 66.0 && motion.closing_mps > 25.0, "{motion:?}");
}

#[test]
fn a_class_that_changes_changes_the_size() {
    let (size, mut bench) = ((2.5, 3.6), Bench::new(CAR));
    bench.follow(3, |_| (60.0, 0.0), size);
    let truck = bench.see(0.4, &seen(ObjectClass::Truck, 60.0, 0.0, size), None).expect("a motion");
    assert!(truck.width_m > 2.2 && (truck.distance_m - 60.0).abs() < 8.0, "{truck:?}");
}

#[test]
fn who_turns_out_to_be_a_vehicle_may_show_its_side() {
    let (size, mut bench) = ((0.6, 1.7), Bench::new(ObjectClass::Person));
    let turn = |bench: &Bench| bench.filter.known.as_ref().map(|known| known.modes.belief().sigma(TURN));
    bench.follow(3, |_| (30.0, 0.0), size);
    assert_eq!(turn(&bench), Some(0.0), "who walks is as wide from all sides");
    bench.see(0.4, &seen(CAR, 30.0, 0.0, (1.0, 1.7)), None).expect("a motion");
    let expected = bench.settings.turn(CAR, Some(20.0)).sigma(30.0);
    assert!(turn(&bench).is_some_and(|turn| turn > 0.7 * expected), "{:?} of {expected}", turn(&bench));
}

#[test]
fn a_reading_goes_to_the_car_that_it_means() {
    let size = (1.82, 1.5);
    let (mut ahead, mut beside, mut far) = (Bench::new(CAR), Bench::new(CAR), Bench::new(CAR));
    let before = ahead.follow(20, |_| (8.0, 0.2), size);
    beside.follow(20, |_| (8.0, 3.0), size);
    far.follow(20, |_| (30.0, 0.0), size);
    let all = || [(1, &beside.filter), (2, &far.filter), (3, &ahead.filter)];
    let find = |distance_m: f64, seconds: f64| {
        assign_range(&ahead.settings, RangeAt { at: at(seconds), distance_m }, at(2.0), all())
    };
    let reading = RangeAt { at: at(1.95), distance_m: 8.2 };
    assert_eq!(find(8.2, 1.95), RangeFinding::Of(3, reading));
    assert_eq!(find(8.2, 1.8), RangeFinding::Of(3, RangeAt { at: at(1.8), ..reading }), "measured before the frame");
    assert_eq!(find(3.0, 1.95), RangeFinding::Alone(RangeAlone(RangeAt { distance_m: 3.0, ..reading })));
    for (distance, seconds) in [(30.0, 1.95), (8.2, 1.0), (f64::NAN, 1.95), (-1.0, 1.95), (8.2, 3.0)] {
        assert_eq!(find(distance, seconds), RangeFinding::Nothing, "{distance} {seconds}");
    }
    let none: [(u8, &MotionFilter); 0] = [];
    let alone = assign_range(&ahead.settings, reading, at(2.0), none);
    assert_eq!(alone, RangeFinding::Alone(RangeAlone(reading)), "the range finder alone");

    let motion = ahead.see(2.0, &seen(CAR, 8.2, 0.2, size), Some(reading)).expect("a motion");
    assert!(
        motion.sources.range && motion.distance_sigma_m < 0.12 && motion.distance_sigma_m < before.distance_sigma_m
    );
    let wrong = RangeAt { at: at(2.1), distance_m: 2.0 };
    let motion = ahead.see(2.1, &seen(CAR, 8.2, 0.2, size), Some(wrong)).expect("a motion");
    assert!(!motion.sources.range && motion.distance_m > 7.5, "{motion:?}");
}

#[test]
fn a_restored_filter_goes_on_bit_for_bit() {
    let (size, mut bench) = ((1.82, 1.5), Bench::new(CAR));
    bench.follow(15, |t| (30.0 - 5.0 * t, 1.0), size);
    let saved = serde_json::to_value(&bench.filter).expect("saved");
    let mut restored = Bench::new(CAR);
    restored.filter = serde_json::from_value(saved).expect("restored");
    let next = seen(CAR, 22.0, 1.0, size);
    assert_eq!(bench.see(1.7, &next, None), restored.see(1.7, &next, None));
    assert_eq!(bench.filter, restored.filter);
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let (size, mut bench) = ((1.82, 1.5), Bench::new(CAR));
    bench.follow(10, |_| (20.0, 0.0), size);
    let (before, good) = (bench.filter.clone(), seen(CAR, 20.0, 0.0, size));
    let nothing = Detection { width: 0.0, height: 0.0, ..good };
    for (seconds, found) in [
        (0.9, good),
        (0.2, good),
        (1.0, nothing),
        (1.0, Detection { left: f32::NAN, ..good }),
        (1.0, Detection { height: f32::INFINITY, ..good }),
        (1.0, Detection { width: -50.0, ..good }),
    ] {
        assert_eq!(bench.see(seconds, &found, None), None, "{seconds} {found:?}");
        assert_eq!(bench.filter, before);
    }
    let mut filter = before.clone();
    let odd = CameraGeometry { bumper_m: f64::NAN, ..CameraGeometry::default() };
    assert_eq!(filter.update(&bench.settings, &Sight { camera: &odd, ..bench.sight(1.0, &good) }), None);
    let fast = Some(f64::INFINITY);
    assert_eq!(filter.update(&bench.settings, &Sight { speed_mps: fast, ..bench.sight(1.0, &good) }), None);
    assert_eq!(filter, before);
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), -50.0..50.0, 0.0..1300.0]
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(
        sights in proptest::collection::vec((
            (any::<u64>(), 0u64..400_000_000), proptest::array::uniform10(number()), any::<[bool; 6]>(), 0u16..9,
        ), 1..20),
        (fov, height, pitch) in (1.0..179.0f64, 0.1..5.0f64, -40.0..40.0f64),
    ) {
        let settings = RangingSettings::default();
        let camera = CameraGeometry { horizontal_fov_deg: fov, height_m: height, pitch_down_deg: pitch, ..Default::default() };
        let Some(plane) = RoadPlane::new(&camera, 0.0, 1280, 720) else { return Ok(()) };
        let mut filter = MotionFilter::new(CAR);
        let mut now = 0u64;
        for ((jump, step), numbers, flags, class) in sights {
            let [left, top, width, height, sigma, speed, yaw, range, a, b] = numbers;
            now = if flags[0] && flags[1] { jump } else { now.saturating_add(step) };
            let detection = Detection {
                class: ObjectClass::from_coco(class),
                score: 0.5,
                left: left as f32, top: top as f32, width: width as f32, height: height as f32,
            };
            let range = RangeAt { at: Mono(now), distance_m: range };
            let sight = Sight {
                at: Mono(now),
                detection: &detection,
                cut: CutSides { left: flags[2], right: flags[3], top: flags[4], bottom: flags[5] },
                plane: &plane,
                camera: &camera,
                pitch_sigma_rad: if flags[0] { sigma } else { 0.003 },
                speed_mps: flags[1].then_some(speed),
                yaw_rate_radps: flags[2].then_some(yaw),
                lane: flags[3].then_some(LaneGeometry {
                    offset_m: a as f32, heading_rad: b as f32, curvature_per_m: (a / 1e4) as f32, width_m: b as f32,
                }),
                range: flags[4].then_some(range),
            };
            let said = filter.update(&settings, &sight);
            let later = filter.predict(&settings, Mono(jump));
            let _ = assign_range(&settings, range, Mono(now), [((), &filter)]);
            for motion in [said, later].into_iter().flatten() {
                let all = [
                    motion.distance_m, motion.distance_sigma_m, motion.left_m, motion.width_m, motion.closing_mps,
                    motion.closing_sigma_mps, motion.ttc_s.unwrap_or_default(),
                ];
                prop_assert!(all.iter().all(|number| number.is_finite()), "{motion:?}");
                prop_assert!(motion.distance_m >= 0.0 && motion.width_m > 0.0);
            }
        }
    }
}
