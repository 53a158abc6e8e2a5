//! Promises of the simulator as a whole: the same bytes for the same seed, and a truth that is one.

use std::time::Duration;

use waywarden_components::geometry::CameraGeometry;
use waywarden_components::input::Payload;
use waywarden_components::perception::ObjectClass;
use waywarden_components::range::RangeProtocol;
use waywarden_components::truth::Truth;
use xxhash_rust::xxh3::Xxh3;

use super::drive::Moment;
use super::gps::GpsSettings;
use super::path::Path;
use super::picture::{Painter, image_box};
use super::range::RangeSettings;
use super::reader::Frames;
use super::scenario::{BUILT_IN, Car, Event};
use super::view::View;
use super::*;

const SIZE: (usize, usize) = (640, 360);

fn scenario(name: &str) -> Scenario {
    Scenario::built_in(name).unwrap_or_else(|| panic!("{name}"))
}

fn small(fps: f64) -> CameraSettings {
    CameraSettings { width: SIZE.0, height: SIZE.1, fps, ..CameraSettings::default() }
}

/// The luma of a moment.
fn picture(drive: &Drive, moment: &Moment) -> Vec<u8> {
    let mut planes = Vec::new();
    let mut painter = Painter::new(drive.plan(), CameraGeometry::default(), SIZE, drive.rng_of(1));
    painter.draw(moment, 0, &mut planes);
    assert_eq!(planes.len(), SIZE.0 * SIZE.1 * 2);
    planes.truncate(SIZE.0 * SIZE.1);
    planes
}

fn truths(scenario: &Scenario, seed: u64, fps: f64, count: usize) -> Vec<(f64, Truth)> {
    let mut simulator = TruthSimulator::new(&Drive::new(scenario, seed), &small(fps));
    let mut next = || {
        let item = simulator.next();
        let Payload::Truth(truth) = item.payload else { panic!() };
        (item.at.as_secs_f64(), *truth)
    };
    (0..count).map(|_| next()).collect()
}

fn serial(payload: &Payload) -> &[u8] {
    let Payload::Serial(bytes) = payload else { panic!("{payload:?}") };
    bytes
}

/// Everything that all devices give in a short piece of a drive, as one number. Of pictures the planes: their JPEGs are
/// up to the library.
fn digest(scenario: &Scenario, seed: u64) -> u64 {
    let mut hash = Xxh3::new();
    let drive = Drive::new(scenario, seed);
    let mut painter = Painter::new(drive.plan(), CameraGeometry::default(), (320, 180), drive.rng_of(1));
    let (mut moments, mut planes) = (drive.clone(), Vec::new());
    for n in 0..4u64 {
        painter.draw(&moments.moment(n as f64 * 5.0), n, &mut planes);
        hash.update(&planes);
    }
    let mut microphone = MicrophoneSimulator::new(&drive);
    for _ in 0..150 {
        let Payload::Audio(pcm) = microphone.next().payload else { panic!() };
        hash.update(&pcm);
    }
    let mut gps = GpsSimulator::new(&drive, GpsSettings::default());
    (0..60).for_each(|_| hash.update(serial(&gps.next().payload)));
    let mut range = RangeSimulator::new(&drive, RangeSettings::default());
    (0..200).for_each(|_| hash.update(serial(&range.next().payload)));
    for (_, truth) in truths(scenario, seed, 5.0, 60) {
        hash.update(format!("{truth:?}").as_bytes());
    }
    hash.digest()
}

#[test]
fn one_seed_gives_the_same_bytes_and_two_differ() {
    for (name, _) in BUILT_IN {
        let scenario = scenario(name);
        assert_eq!(digest(&scenario, 7), digest(&scenario, 7), "{name}");
        assert_ne!(digest(&scenario, 7), digest(&scenario, 8), "{name}");
    }
}

/// What makes two machines of one architecture differ (a function of the platform's C library, a fused multiplication,
/// chance from elsewhere) changes these numbers on one of them. So does every change of the simulator; then they are
/// taken anew from what this test prints. Other architectures may round otherwise where `libm` uses their instructions.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_bytes_are_the_same_on_every_machine() {
    let found = BUILT_IN.map(|(name, _)| (name, format!("{:016x}", digest(&scenario(name), 1))));
    let pinned = [
        ("motorway", "50d21a49c2ee1cfe"),
        ("town", "4367087f788ec73f"),
        ("cut-in", "70c329881d8768c3"),
        ("hard-braking", "6a04e376273b3e26"),
        ("distracted", "6d7156aad23c182e"),
        ("tunnel", "b7db5ad812cb4335"),
        ("parked", "8522ca656c4f11d5"),
    ];
    assert_eq!(found, pinned.map(|(name, digest)| (name, digest.to_owned())));
}

#[test]
fn a_moment_does_not_depend_on_who_asked_before() {
    let scenario = scenario("motorway");
    let (mut often, mut seldom) = (Drive::new(&scenario, 3), Drive::new(&scenario, 3));
    let mut last = None;
    for n in 0..4_000 {
        last = Some(often.moment(f64::from(n) * 0.003));
    }
    assert_eq!(last.unwrap(), seldom.moment(3_999.0 * 0.003));
}

#[test]
fn speed_and_heading_are_those_of_the_position() {
    for name in ["motorway", "town", "tunnel"] {
        let mut drive = Drive::new(&scenario(name), 5);
        let mut before = drive.moment(0.0);
        for n in 1..500 {
            let (t, dt) = (f64::from(n) * 0.1, 0.1);
            let now = drive.moment(t);
            let north = (now.position.0 - before.position.0) * 111_320.0;
            let east = (now.position.1 - before.position.1) * 111_320.0 * libm::cos(now.position.0.to_radians());
            let (speed, mean) = (libm::hypot(north, east) / dt, (now.speed + before.speed) / 2.0);
            assert!((speed - mean).abs() < 0.05 + 0.002 * mean, "{name} {t}: {speed} {mean}");
            if speed > 3.0 {
                let heading = libm::atan2(east, north).to_degrees();
                let off = (heading - now.heading_deg() + 540.0).rem_euclid(360.0) - 180.0;
                assert!(off.abs() < 1.5, "{name} {t}: {off}");
            }
            before = now;
        }
    }
}

#[test]
fn closing_speed_is_how_fast_the_distance_shrinks() {
    for name in ["motorway", "cut-in", "hard-braking", "town"] {
        let truths = truths(&scenario(name), 2, 50.0, 50 * 30);
        let mut compared = 0;
        for pair in truths.windows(2) {
            let ((t0, before), (t1, now)) = (&pair[0], &pair[1]);
            for object in &now.objects {
                let Some(earlier) = before.objects.iter().find(|earlier| earlier.id == object.id) else { continue };
                let closing = f64::from(earlier.distance_m - object.distance_m) / (t1 - t0);
                let mean = f64::from(earlier.closing_mps + object.closing_mps) / 2.0;
                assert!((closing - mean).abs() < 0.15, "{name} {t1}: {closing} {mean} {object:?}");
                compared += 1;
            }
        }
        assert!(compared > 500, "{name}: {compared}");
    }
}

#[test]
fn nobody_drives_through_anybody() {
    for (name, _) in BUILT_IN {
        let mut drive = Drive::new(&scenario(name), 4);
        for n in 0..600 {
            let moment = drive.moment(f64::from(n) * 0.1);
            for other in &moment.others {
                let beside = (other.left - moment.left).abs() > (other.width + 1.8) / 2.0 - 0.1;
                let apart = other.s > moment.s || other.s + other.length < moment.s - 4.5;
                assert!(beside || apart, "{name} {n}: {other:?} {} {}", moment.s, moment.left);
            }
        }
    }
}

/// A plain road by day, with a camera that sees it as it is.
fn plain() -> Scenario {
    let mut plain = scenario("motorway");
    plain.traffic.per_km = 0.0;
    plain.paint.worn = 0.0;
    plain.light.shadows = 0.0;
    plain.camera.noise = 0.0;
    plain.faults.missed_frames = 0.0;
    plain
}

#[test]
fn lines_are_painted_where_the_truth_says() {
    let scenario = plain();
    let (mut looked, mut found) = (0, 0);
    for seed in 0..3 {
        let mut drive = Drive::new(&scenario, seed);
        for (t, truth) in truths(&scenario, seed, 0.2, 12) {
            let moment = drive.moment(t);
            let luma = picture(&drive, &moment);
            let view = View::new(SIZE.0, SIZE.1, &CameraGeometry::default(), moment.pitch);
            let lane = truth.lane.unwrap();
            let (offset, heading) = (f64::from(lane.offset_m), f64::from(lane.heading_rad));
            assert!(offset.abs() < 1.9 && heading.abs() < 0.1, "{lane:?}");
            // The right line of the first lane is solid, where the vehicle is not just changing lanes.
            if moment.left > 2.6 {
                continue;
            }
            let light = |x: f64, y: f64| {
                let up = drive.plan().road.rise(moment.s, x);
                let (column, row) = view.project([x, y, up]).unwrap();
                luma.get(row as usize * SIZE.0 + column as usize).filter(|_| (0.0..640.0).contains(&column)).copied()
            };
            for step in 0..20 {
                let x = 4.0 + f64::from(step);
                let line = -f64::from(lane.width_m) / 2.0 - offset;
                let y = line - heading * x + f64::from(lane.curvature_per_m) * x * x / 2.0;
                // Within a hand's breadth, and half a pixel.
                let near = (-6..=6).filter_map(|hand| light(x, y + f64::from(hand) * 0.02)).max();
                let beside = [light(x, y - 0.5), light(x, y + 0.5)].into_iter().flatten().max();
                let (Some(near), Some(beside)) = (near, beside) else { continue };
                looked += 1;
                found += usize::from(near > beside + 40);
            }
        }
    }
    println!("{found} of {looked} points of the line are painted");
    assert!(looked > 200 && found * 100 >= looked * 98, "{found} of {looked}");
}

#[test]
fn boxes_hold_their_car_and_no_more() {
    let mut scenario = plain();
    scenario.road.hill_height_m = 0.0;
    for (lane, ahead_m) in [(1, 8.0), (1, 30.0), (2, 15.0), (2, 60.0)] {
        scenario.car = vec![Car { lane, ahead_m, speed_kmh: 100.0, ..Car::default() }];
        let mut drive = Drive::new(&scenario, 6);
        let moment = drive.moment(0.5);
        let path = Path::new(drive.plan(), &moment);
        let view = View::new(SIZE.0, SIZE.1, &CameraGeometry::default(), moment.pitch);
        let found = image_box(&view, &path, &drive.plan().road, moment.s, &moment.others[0]).unwrap();
        let with = picture(&drive, &moment);
        let without = picture(&drive, &Moment { others: Vec::new(), ..moment.clone() });
        let [left, top, right, bottom] = found.map(f64::from);
        let (mut inside, mut outside) = (0, 0);
        for (n, (a, b)) in with.iter().zip(&without).enumerate().filter(|(_, (a, b))| a.abs_diff(**b) > 12) {
            let (x, y) = ((n % SIZE.0) as f64 + 0.5, (n / SIZE.0) as f64 + 0.5);
            // The lens spreads an edge over a pixel; the shadow lies on the road beside and below.
            let is_in = x > left - 1.5 && x < right + 1.5 && y > top - 1.5 && y < bottom + 1.5;
            let shadow = y > (top + bottom) / 2.0 && b > a;
            inside += usize::from(is_in);
            outside += usize::from(!is_in && !shadow);
        }
        let area = (right - left) * (bottom - top);
        println!("{lane} {ahead_m}: {found:?} {inside} of {area:.0} inside, {outside} outside");
        assert!(inside as f64 > 0.5 * area && outside == 0, "{lane} {ahead_m}: {inside} of {area}, {outside}");
        // As tall as a car of that height at that distance, give or take its length.
        let expected = view.focal * moment.others[0].height / (moment.others[0].s - moment.s + 1.7);
        assert!(((bottom - top) / expected - 1.0).abs() < 0.25, "{} {expected}", bottom - top);
    }
}

#[test]
fn a_range_finder_never_reports_beyond_its_reach() {
    let scenario = scenario("hard-braking");
    let drive = Drive::new(&scenario, 3);
    let mut finder = RangeSimulator::new(&drive, RangeSettings { rate_hz: 50.0, protocol: RangeProtocol::Tfmini });
    let truths = truths(&scenario, 3, 50.0, 50 * 40);
    let (mut seen, mut far) = (0, 0);
    for _ in 0..50 * 38 {
        let item = finder.next();
        let frame = serial(&item.payload);
        assert_eq!((frame.len(), &frame[..2]), (9, [0x59, 0x59].as_slice()));
        assert_eq!(frame[8], frame[..8].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)));
        let distance = u16::from_le_bytes([frame[2], frame[3]]);
        let strength = u16::from_le_bytes([frame[4], frame[5]]);
        assert!(distance <= 1200, "{distance}");
        let t = item.at.as_secs_f64();
        let truth = truths.iter().min_by(|a, b| (a.0 - t).abs().total_cmp(&(b.0 - t).abs())).unwrap();
        if distance > 0 && distance < 1200 {
            let range = f64::from(truth.1.range_m.unwrap());
            assert!((f64::from(distance) / 100.0 - range).abs() < 0.3, "{t}: {distance} {range}");
            seen += usize::from(strength >= 100);
        } else {
            assert!(truth.1.range_m.is_none_or(|range| range > 11.5), "{t}: {truth:?}");
            far += 1;
        }
    }
    assert!(seen > 100 && far > 500, "{seen} {far}");
}

#[test]
fn staged_events_happen() {
    // The car that pulls in is in the own lane, and near.
    let cut_in = truths(&scenario("cut-in"), 1, 5.0, 5 * 20);
    let nearest =
        |truth: &Truth| truth.objects.iter().filter(|o| o.in_lane).map(|o| o.distance_m).fold(999.0, f32::min);
    assert!(nearest(&cut_in[5 * 7].1) > 60.0, "{:?}", cut_in[35]);
    assert!((3.0..30.0).contains(&nearest(&cut_in[5 * 12].1)), "{:?}", cut_in[60]);
    // The car ahead stops, and so do we, within the reach of a range finder.
    let braking = truths(&scenario("hard-braking"), 1, 5.0, 5 * 30);
    assert!(braking.iter().any(|(_, truth)| truth.speed_mps < 0.5 && truth.range_m.is_some_and(|r| r < 12.0)));
    assert!(braking.iter().any(|(_, truth)| truth.objects.iter().any(|o| o.in_lane && o.closing_mps > 4.0)));
    // Who looks away is in danger, and looks up in time.
    let distracted = truths(&scenario("distracted"), 1, 10.0, 10 * 75);
    let ahead = |truth: &Truth| {
        truth
            .objects
            .iter()
            .filter(|o| o.in_lane && o.closing_mps > 1.0)
            .map(|o| o.distance_m / o.closing_mps)
            .fold(999.0, f32::min)
    };
    for (from, to) in [(11, 21), (31, 45), (54, 74)] {
        let least = distracted[10 * from..10 * to].iter().map(|(_, truth)| ahead(truth)).fold(999.0, f32::min);
        assert!((0.3..1.9).contains(&least), "{from} s: {least}");
    }
    assert!(distracted.iter().all(|(_, truth)| truth.objects.iter().all(|o| !o.in_lane || o.distance_m > 0.3)));
    // Somebody crosses, and we do not run into them.
    let town = truths(&scenario("town"), 1, 5.0, 5 * 60);
    let people: Vec<_> =
        town.iter().flat_map(|(_, truth)| &truth.objects).filter(|o| o.class == ObjectClass::Person).collect();
    assert!(people.iter().any(|person| person.in_lane && person.image.is_some()));
    assert!(people.iter().all(|person| !person.in_lane || person.distance_m > 0.8), "{people:?}");
    // There is no lane where there is no paint.
    let parked = truths(&scenario("parked"), 1, 1.0, 20);
    assert!(parked.iter().all(|(_, truth)| truth.lane.is_none() && truth.speed_mps == 0.0));
    // Changes of lane: the truth changes to the other lane in the middle.
    let motorway = truths(&scenario("motorway"), 1, 10.0, 600);
    let jumps = motorway.windows(2).filter(|pair| {
        let offset = |n: usize| pair[n].1.lane.map_or(0.0, |lane| lane.offset_m);
        (offset(0) - offset(1)).abs() > 2.0
    });
    assert_eq!(jumps.count(), 2);
}

#[test]
fn a_drive_that_goes_on_begins_its_events_anew() {
    let mut short = scenario("cut-in");
    short.duration_s = 10.0;
    short.ego.event = vec![Event { at_s: 1.0, lane: Some(1), ..Event::default() }];
    let truths = truths(&short, 1, 5.0, 5 * 35);
    let ids = |n: usize| truths[n].1.objects.iter().map(|o| o.id).collect::<Vec<_>>();
    let before: Vec<u32> = (0..5 * 10).flat_map(ids).collect();
    let after: Vec<u32> = (5 * 10..5 * 35).flat_map(ids).collect();
    assert!(after.iter().any(|id| !before.contains(id)), "those with a part come again");
    // Nobody vanishes, or comes from nowhere, in sight: only beside us and far away.
    for pair in truths.windows(2) {
        let only_in = |a: usize, b: usize| {
            let others: Vec<u32> = pair[b].1.objects.iter().map(|o| o.id).collect();
            pair[a].1.objects.iter().filter(|o| !others.contains(&o.id)).map(|o| o.distance_m).collect::<Vec<_>>()
        };
        let changed = [only_in(0, 1), only_in(1, 0)].concat();
        assert!(changed.iter().all(|m| !(15.0..120.0).contains(m)), "at {:?}: {changed:?}", pair[1].0);
    }
    assert!(truths.iter().all(|(_, truth)| truth.lane.unwrap().offset_m.abs() < 1.9));
}

#[test]
fn in_a_tunnel_there_is_no_fix_and_it_is_dark() {
    let tunnel = scenario("tunnel");
    let drive = Drive::new(&tunnel, 2);
    let mut receiver = GpsSimulator::new(&drive, GpsSettings::default());
    let (mut text, mut at) = (Vec::new(), 0.0);
    while at < 48.0 {
        let item = receiver.next();
        at = item.at.as_secs_f64();
        text.extend_from_slice(serial(&item.payload));
    }
    let text = String::from_utf8(text).unwrap();
    let lines =
        |start: &str, part: &str| text.lines().filter(|line| line.starts_with(start) && line.contains(part)).count();
    let lost = lines("$GPRMC", ",V,,,,,,,");
    assert!((100..200).contains(&lost), "{lost}");
    assert_eq!(lines("$GPGGA", ",,,,,0,00"), lost);
    assert!(lines("$GPRMC", ",A,") > 60);
    let mean = |t: f64| {
        let mut drive = drive.clone();
        let moment = drive.moment(t);
        let luma = picture(&drive, &moment);
        luma.iter().map(|&value| u64::from(value)).sum::<u64>() / luma.len() as u64
    };
    // At the entry the camera is still set for the day; seconds later it has got used to it.
    let inside = (0..500).map(|n| f64::from(n) * 0.1).find(|t| {
        let moment = drive.clone().moment(*t);
        moment.s > 265.0
    });
    let inside = inside.unwrap();
    assert!(mean(inside) + 15 < mean(inside + 4.0), "{} {}", mean(inside), mean(inside + 4.0));
    assert!(mean(5.0) > mean(inside));
}

#[test]
fn threads_draw_what_one_would() {
    let scenario = scenario("town");
    let drive = Drive::new(&scenario, 9);
    let mut camera = CameraSimulator::new(&drive, small(30.0)).unwrap();
    let alone: Vec<_> = (0..14).map(|_| camera.next()).collect();
    for threads in [1, 3] {
        let frames = Frames::new(&drive, &small(30.0), Duration::from_millis(400), threads).unwrap();
        let together: Vec<_> = frames.map(|frame| frame.unwrap()).collect();
        assert!((10..=13).contains(&together.len()), "{}", together.len());
        assert_eq!(together, alone[..together.len()]);
    }
}
