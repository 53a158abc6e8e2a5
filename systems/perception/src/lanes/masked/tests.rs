//! Drawn masks, whose lanes are known, with noise, gaps, and things that look like lines.

use proptest::prelude::*;

use super::*;
use crate::road_plane::{RoadPlane, RoadPoint};

const SIZE: (u32, u32) = (1280, 720);
const MASK: (u32, u32) = (480, 270);

/// A line, or what looks like one.
#[derive(Clone, Copy)]
struct Line {
    left_m: f64,
    /// Half of its width, in metres.
    half_m: f64,
    /// Lengths of dashes and gaps, in metres; no gaps where there is none.
    dashes: Option<(f64, f64)>,
}

fn line(left_m: f64) -> Line {
    Line { left_m, half_m: 0.1, dashes: None }
}

fn dashed(left_m: f64) -> Line {
    Line { dashes: Some((3.0, 9.0)), ..line(left_m) }
}

/// A road whose masks are drawn.
#[derive(Clone)]
struct Road {
    lines: Vec<Line>,
    /// Right and left edge of the road, in metres left of the lens.
    road: (f64, f64),
    slope: f64,
    curvature: f64,
    /// How far the camera really points down, in radians, whatever its geometry says.
    pitch: f64,
    travelled: f64,
    /// Seconds since the drive began.
    at: f64,
    /// Share of the rows of a line that the mask leaves out, of other pixels that it has, and pixels by which rows are off.
    noise: (f64, f64, f64),
    chance: u32,
}

impl Road {
    fn new(lines: &[Line]) -> Self {
        Self {
            lines: lines.to_vec(),
            road: (-6.0, 6.0),
            slope: 0.0,
            curvature: 0.0,
            pitch: 0.0,
            travelled: 0.0,
            at: 1.0,
            noise: (0.15, 0.002, 1.0),
            chance: 1,
        }
    }

    /// Between 0 and 1.
    fn chance(&mut self) -> f64 {
        self.chance = self.chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.chance >> 8) / f64::from(1u32 << 24)
    }

    fn masks(&mut self, geometry: &CameraGeometry) -> RoadMasks {
        let plane = RoadPlane::new(geometry, self.pitch, SIZE.0, SIZE.1).expect("a sound geometry");
        let scale = SIZE.0 as f32 / MASK.0 as f32;
        let mut pixels = vec![false; (MASK.0 * MASK.1) as usize];
        let mut road = pixels.clone();
        for y in 0..MASK.1 {
            let off = (self.chance() - 0.5) * 2.0 * self.noise.2;
            let left_out: Vec<bool> = self.lines.clone().iter().map(|_| self.chance() < self.noise.0).collect();
            for x in 0..MASK.0 {
                let point = |off: f32| ImagePoint { x: (x as f32 + 0.5 + off) * scale, y: (y as f32 + 0.5) * scale };
                let at = (y * MASK.0 + x) as usize;
                let relative = |point: RoadPoint| {
                    point.left_m
                        - self.slope * point.forward_m
                        - self.curvature * point.forward_m * point.forward_m / 2.0
                };
                if let Some(point) = plane.to_road(point(0.0)).filter(|point| point.forward_m < 60.0) {
                    road[at] = (self.road.0..=self.road.1).contains(&relative(point));
                }
                if let Some(point) = plane.to_road(point(off as f32)).filter(|point| point.forward_m < 60.0) {
                    let blur = 1.2 * f64::from(scale) * point.forward_m / plane.focal_px();
                    pixels[at] = self.lines.iter().zip(&left_out).any(|(line, left_out)| {
                        let on = (relative(point) - line.left_m).abs() <= line.half_m + blur;
                        let dash = |(dash, gap): (f64, f64)| (self.travelled + point.forward_m) % (dash + gap) < dash;
                        on && !left_out && line.dashes.is_none_or(dash)
                    });
                }
                if self.chance() < self.noise.1 {
                    pixels[at] = !pixels[at];
                }
            }
        }
        let mask = |pixels: &[bool]| Mask::encode(MASK.0, MASK.1, |x, y| pixels[(y * MASK.0 + x) as usize]);
        RoadMasks { drivable: mask(&road), lines: mask(&pixels) }
    }
}

/// Looks at `count` masks at `hz`, at 25 m/s.
fn drive(
    tracker: &mut LaneTracker,
    road: &mut Road,
    geometry: &CameraGeometry,
    (count, hz): (usize, f64),
    mut change: impl FnMut(&mut Road),
) -> Vec<LaneEstimate> {
    (0..count)
        .map(|_| {
            road.at += 1.0 / hz;
            road.travelled += 25.0 / hz;
            change(road);
            look(tracker, &road.masks(geometry), geometry, SIZE, (Mono::from_secs_f64(road.at), None))
        })
        .collect()
}

fn claimed(estimates: &[LaneEstimate]) -> usize {
    estimates.iter().filter(|estimate| estimate.geometry.is_some()).count()
}

#[track_caller]
fn assert_near(name: &str, is: f32, should: f64, tolerance: f64) {
    assert!((f64::from(is) - should).abs() <= tolerance, "{name} is {is}, not {should} within {tolerance}");
}

#[test]
fn a_lane_is_measured_in_metres_whatever_the_pitch() {
    let geometry = CameraGeometry { left_m: 0.2, bumper_m: 1.5, ..CameraGeometry::default() };
    for pitch in [0.0, 0.05, -0.06] {
        let road = Road::new(&[line(1.4), dashed(-2.2)]);
        let mut road = Road { slope: 0.02, curvature: 1.0 / 600.0, pitch, ..road };
        let mut tracker = LaneTracker::default();
        let estimates = drive(&mut tracker, &mut road, &geometry, (40, 10.0), |_| {});
        assert!(claimed(&estimates) >= 33, "{}", claimed(&estimates));
        let lane = estimates[39].geometry.expect("a lane");
        assert_near("offset", lane.offset_m, -0.2 - (-0.4 + 0.03 + 0.002), 0.08);
        assert_near("width", lane.width_m, 3.6, 0.12);
        assert_near("heading", lane.heading_rad, -(0.02 + 1.5 / 600.0), 0.006);
        assert_near("curvature", lane.curvature_per_m, 1.0 / 600.0, 6e-4);
        assert_near("pitch", tracker.pitch_rad as f32, pitch, 0.004);
        // The lines are where the paint is, in the picture.
        let plane = RoadPlane::new(&geometry, pitch, SIZE.0, SIZE.1).expect("sound");
        for (line, at) in [(&estimates[39].left, 1.4), (&estimates[39].right, -2.2)] {
            let line = line.as_ref().expect("a line");
            assert!(line[0].y > line[1].y, "bottom first: {line:?}");
            let paint = RoadPoint { forward_m: 10.0, left_m: at + 0.2 + 100.0 / 1200.0 };
            let paint = plane.to_image(paint).expect("before the camera");
            let near = line.windows(2).find(|pair| pair[1].y <= paint.y).expect("as far as 10 m");
            let share = (near[0].y - paint.y) / (near[0].y - near[1].y);
            let there = near[0].x + share * (near[1].x - near[0].x);
            assert!((there - paint.x).abs() < 12.0, "{there} is not {}", paint.x);
        }
    }
}

#[test]
fn a_weaving_vehicle_is_followed_at_any_rate() {
    let geometry = CameraGeometry::default();
    for (hz, pitch) in [(3.0, 0.0), (10.0, 0.03), (25.0, -0.03)] {
        let mut road = Road { pitch, ..Road::new(&[line(1.8), dashed(-1.8), line(-5.4)]) };
        let count = (20.0 * hz) as usize;
        let mut truth = Vec::new();
        let estimates = drive(&mut LaneTracker::default(), &mut road, &geometry, (count, hz), |road| {
            // Half a metre to either side, in 6 s there and back.
            let phase = std::f64::consts::TAU * road.at / 6.0;
            let offset = 0.5 * libm::sin(phase);
            let slope = -0.5 * std::f64::consts::TAU / 6.0 * libm::cos(phase) / 25.0;
            for (line, at) in road.lines.iter_mut().zip([1.8, -1.8, -5.4]) {
                line.left_m = at - offset - 1.7 * slope;
            }
            road.slope = slope;
            truth.push(offset);
        });
        let off: Vec<f64> = estimates
            .iter()
            .zip(&truth)
            .filter_map(|(estimate, truth)| Some(f64::from(estimate.geometry?.offset_m) - truth))
            .collect();
        let rmse = (off.iter().map(|off| off * off).sum::<f64>() / off.len() as f64).sqrt();
        println!("{hz} Hz: claimed {} of {count}, offset RMSE {rmse:.3} m", off.len());
        assert!(off.len() as f64 > 0.9 * f64::from(count as u32), "{hz} Hz: {} of {count}", off.len());
        assert!(rmse <= 0.10, "{hz} Hz: {rmse}");
    }
}

#[test]
fn what_is_no_lane_is_not_claimed() {
    let geometry = CameraGeometry::default();
    let straight = |at: &[f64]| Road::new(&at.iter().map(|at| line(*at)).collect::<Vec<_>>());
    let roads = [
        ("no line", straight(&[])),
        ("one line", straight(&[1.7])),
        ("too wide", straight(&[3.2, -3.2])),
        ("too narrow", straight(&[0.8, -0.9])),
        ("beside the vehicle", straight(&[5.0, 1.6])),
        ("full of lines", straight(&[1.8, 1.0, 0.4, -0.4, -1.1, -1.8])),
        ("a hairpin", Road { curvature: 1.0 / 15.0, ..straight(&[1.8, -1.8]) }),
        ("no road between the lines", Road { road: (3.0, 9.0), ..straight(&[1.8, -1.8]) }),
        ("road beside one line alone", Road { road: (0.9, 9.0), ..straight(&[1.8, -1.8]) }),
        ("noise", Road { noise: (0.0, 0.3, 0.0), ..straight(&[]) }),
        ("glare", Road { noise: (0.95, 0.01, 3.0), ..straight(&[1.8, -1.8]) }),
    ];
    for (name, mut road) in roads {
        let estimates = drive(&mut LaneTracker::default(), &mut road, &geometry, (30, 10.0), |_| {});
        assert_eq!(claimed(&estimates), 0, "{name}");
        assert!(estimates.iter().all(|estimate| estimate.left.is_none() && estimate.confidence == 0.0));
    }
}

#[test]
fn without_a_drivable_mask_lines_are_enough() {
    let (geometry, mut road) = (CameraGeometry::default(), Road::new(&[line(1.8), line(-1.8)]));
    let mut tracker = LaneTracker::default();
    for n in 1..=10 {
        let masks = RoadMasks { drivable: Mask::default(), ..road.masks(&geometry) };
        look(&mut tracker, &masks, &geometry, SIZE, (Mono::from_secs_f64(f64::from(n) / 10.0), None));
    }
    assert!(tracker.claimed);
}

#[test]
fn a_line_that_is_not_seen_is_kept_for_a_while_and_two_are_not() {
    let geometry = CameraGeometry::default();
    for hz in [3.0, 10.0, 25.0] {
        let mut tracker = LaneTracker::default();
        let mut road = Road::new(&[line(1.8), line(-1.8)]);
        let before = drive(&mut tracker, &mut road, &geometry, ((3.0 * hz) as usize, hz), |_| {});
        assert!(before.last().is_some_and(|last| last.confidence > 0.9 && last.left_line.seen && last.right_line.seen));
        let right = road.lines.pop().expect("a line");
        let without = drive(&mut tracker, &mut road, &geometry, ((4.0 * hz) as usize, hz), |_| {});
        let kept = without.iter().take_while(|estimate| estimate.geometry.is_some()).count();
        assert!((0.5..=1.5).contains(&(kept as f64 / hz)), "{hz} Hz: kept in {kept} looks");
        assert_eq!(claimed(&without), kept, "then there is no lane");
        for pair in without[..kept].windows(2) {
            assert!(pair[1].right_line.confidence < pair[0].right_line.confidence && !pair[1].right_line.seen);
            assert_eq!(pair[1].confidence, pair[1].right_line.confidence);
            assert!(pair[1].left_line.seen && pair[1].left_line.confidence > 0.9);
            assert_near("width", pair[1].geometry.expect("a lane").width_m, 3.6, 0.15);
        }
        road.lines.push(right);
        let again = drive(&mut tracker, &mut road, &geometry, ((2.0 * hz) as usize, hz), |_| {});
        assert!(again.last().is_some_and(|last| last.geometry.is_some()), "{hz} Hz");
        road.lines.clear();
        let none = drive(&mut tracker, &mut road, &geometry, ((2.0 * hz) as usize, hz), |_| {});
        assert_eq!(claimed(&none), 0, "{hz} Hz: no paint, no lane");
    }
}

/// What is as straight as a line, and parallel to it, but in another place.
#[test]
fn barriers_and_seams_do_not_take_over() {
    let geometry = CameraGeometry::default();
    let strangers = [
        ("a barrier outside", Line { half_m: 0.2, ..line(2.5) }),
        ("a barrier right beside", Line { half_m: 0.15, ..line(2.4) }),
        ("a seam inside", line(0.9)),
        ("a seam near the line", line(1.35)),
        ("the edge of the road", line(-2.6)),
    ];
    for (name, stranger) in strangers {
        for hz in [3.0, 10.0] {
            let looks = |seconds: f64| ((seconds * hz) as usize, hz);
            let mut tracker = LaneTracker::default();
            let mut road = Road::new(&[line(1.8), dashed(-1.8)]);
            drive(&mut tracker, &mut road, &geometry, looks(4.0), |_| {});
            // It appears beside the line.
            road.lines.push(stranger);
            let mut estimates = drive(&mut tracker, &mut road, &geometry, looks(4.0), |_| {});
            assert!(claimed(&estimates) * 10 >= 9 * estimates.len(), "{name} at {hz} Hz: {}", claimed(&estimates));
            // The line ends, and it goes on alone; then the line comes back.
            let gone = road.lines.remove(if stranger.left_m > 0.0 { 0 } else { 1 });
            estimates.extend(drive(&mut tracker, &mut road, &geometry, looks(3.0), |_| {}));
            road.lines.insert(0, gone);
            let back = drive(&mut tracker, &mut road, &geometry, looks(3.0), |_| {});
            assert!(back.last().is_some_and(|last| last.geometry.is_some()), "{name} at {hz} Hz");
            for (lane, most) in [(&estimates, 0.2), (&back, 0.35)]
                .into_iter()
                .flat_map(|(all, most)| all.iter().filter_map(move |estimate| Some((estimate.geometry?, most))))
            {
                assert_near(&format!("{name} at {hz} Hz: width"), lane.width_m, 3.6, 0.25);
                // Found anew, a line and a barrier right beside it are one thing, where the mask does not part them.
                assert_near(&format!("{name} at {hz} Hz: offset"), lane.offset_m, 0.0, most);
            }
        }
    }
}

#[test]
fn another_width_is_believed_in_the_end() {
    let (geometry, mut tracker) = (CameraGeometry::default(), LaneTracker::default());
    let mut road = Road::new(&[line(1.85), line(-1.85)]);
    drive(&mut tracker, &mut road, &geometry, (60, 10.0), |_| {});
    road.lines = vec![line(1.4), line(-1.4)];
    let estimates = drive(&mut tracker, &mut road, &geometry, (80, 10.0), |_| {});
    let narrow = |estimate: &LaneEstimate| estimate.geometry.is_some_and(|lane| lane.width_m < 3.0);
    let first = estimates.iter().position(narrow).expect("the narrow lane");
    assert!((40..60).contains(&first), "after about {ODD_S} s, not {first} looks");
    assert!(estimates[first..].iter().all(narrow));
}

#[test]
fn a_change_of_lane_is_followed_and_lines_keep_their_kind() {
    let (geometry, mut tracker) = (CameraGeometry::default(), LaneTracker::default());
    // Short gaps: the rows of a mask are coarse.
    let short = |left_m| Line { dashes: Some((3.0, 4.0)), ..line(left_m) };
    let mut road = Road::new(&[line(5.4), short(1.8), short(-1.8)]);
    let before = drive(&mut tracker, &mut road, &geometry, (40, 10.0), |_| {});
    assert_eq!(before[39].left_line.kind, LineKind::Dashed);
    let estimates = drive(&mut tracker, &mut road, &geometry, (50, 10.0), |road| {
        road.slope = if road.lines[0].left_m > 1.8 { 0.03 } else { 0.0 };
        road.lines
            .iter_mut()
            .for_each(|line| line.left_m -= if line.left_m > 1.8 || road.slope > 0.0 { 0.09 } else { 0.0 });
    });
    let offsets: Vec<f32> = estimates.iter().filter_map(|e| e.geometry).map(|lane| lane.offset_m).collect();
    assert!(offsets.len() >= 40, "{offsets:?}");
    assert!(offsets.iter().any(|offset| *offset > 1.4) && offsets.iter().any(|offset| *offset < -1.4), "{offsets:?}");
    assert_near("offset in the new lane", *offsets.last().expect("some"), 0.0, 0.15);
    assert_eq!(estimates[49].right_line.kind, LineKind::Dashed, "it was the left one");
    assert_ne!(estimates[49].left_line.kind, LineKind::Dashed);
}

#[test]
fn what_is_remembered_is_all_there_is() {
    let geometry = CameraGeometry::default();
    let mut road = Road { pitch: 0.02, ..Road::new(&[line(1.7), dashed(-1.9)]) };
    let mut tracker = LaneTracker::default();
    drive(&mut tracker, &mut road, &geometry, (12, 5.0), |_| {});
    let saved = rmp_serde::to_vec_named(&tracker).expect("it can be saved");
    let mut restored: LaneTracker = rmp_serde::from_slice(&saved).expect("and restored");
    assert_eq!(restored, tracker);
    let mut same = road.clone();
    let on = drive(&mut tracker, &mut road, &geometry, (12, 5.0), |_| {});
    assert_eq!(drive(&mut restored, &mut same, &geometry, (12, 5.0), |_| {}), on);
    assert_eq!(restored, tracker);
}

fn any_geometry() -> impl Strategy<Value = CameraGeometry> {
    let number = prop_oneof![4 => -10.0..100.0f64, 1 => any::<f64>()];
    proptest::array::uniform6(number).prop_map(|[fov, height_m, pitch, yaw, left_m, bumper_m]| CameraGeometry {
        horizontal_fov_deg: fov,
        height_m,
        pitch_down_deg: pitch,
        yaw_left_deg: yaw,
        left_m,
        bumper_m,
    })
}

fn any_mask() -> impl Strategy<Value = Mask> {
    let drawn = (1u32..90, 1u32..60, any::<u64>(), 1u32..9).prop_map(|(width, height, bits, size)| {
        Mask::encode(width, height, |x, y| bits >> ((x / size * 7 + y / size * 3) % 64) & 1 == 1)
    });
    let broken = (any::<u32>(), any::<u32>(), proptest::collection::vec(any::<u32>(), 0..9));
    let broken = broken.prop_map(|(width, height, runs)| Mask { width, height, runs });
    prop_oneof![3 => drawn, 1 => broken]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_masks_and_no_past_make_it_panic(
        lines in any_mask(), drivable in any_mask(), geometry in any_geometry(), usual in any::<bool>(),
        size in prop_oneof![Just(SIZE), any::<(u32, u32)>()], width_m in 0.0..5.0f64, learnt in 0u32..70,
        shape in proptest::option::of(proptest::array::uniform4(-5.0..5.0f64)), seconds in 0.0..5.0f64,
    ) {
        let geometry = if usual { CameraGeometry::default() } else { geometry };
        let masks = RoadMasks { drivable, lines };
        let shape = shape.map(|[left_m, right_m, slope, curvature_per_m]| LaneShape { left_m, right_m, slope, curvature_per_m });
        let mut tracker = LaneTracker { shape, seen: Some(Mono::default()), width_m, learnt, ..LaneTracker::default() };
        for n in 1..5 {
            let estimate = look(&mut tracker, &masks, &geometry, size, (Mono::from_secs_f64(seconds * f64::from(n)), None));
            if let Some(lane) = estimate.geometry {
                let numbers = [lane.offset_m, lane.heading_rad, lane.curvature_per_m, lane.width_m];
                prop_assert!(numbers.iter().all(|number| number.is_finite()), "{lane:?}");
            }
            for point in [&estimate.left, &estimate.right].into_iter().flatten().flatten() {
                prop_assert!(point.x.is_finite() && point.y.is_finite());
            }
            prop_assert!((0.0..=1.0).contains(&estimate.confidence) && tracker.pitch_rad.is_finite());
            prop_assert!(tracker.width_m.is_finite() && tracker.drift_mps.is_finite());
        }
    }
}

/// A change of lane on a road with dashed lines on both sides, in so many seconds, in a bend, with a camera that looks past where the
/// vehicle goes. What the offset is off in each look, in metres, and whether a lane was claimed.
fn change_lane(
    hz: f64,
    over_s: f64,
    curvature: f64,
    yaw: f64,
    chance: u32,
    speed_mps: Option<f64>,
) -> Vec<Option<f64>> {
    let geometry = CameraGeometry { bumper_m: 0.0, ..CameraGeometry::default() };
    let lines = [line(5.4), dashed(1.8), dashed(-1.8), line(-5.4)];
    let mut road = Road { chance, curvature, ..Road::new(&[]) };
    let mut tracker = LaneTracker::default();
    let look_at = |n: u32| {
        let at = f64::from(n) / hz;
        let done = ((at - 6.0) / over_s).clamp(0.0, 1.0);
        let across = 3.6 * done * done * (3.0 - 2.0 * done);
        let rate = 3.6 * 6.0 * done * (1.0 - done) / over_s;
        road.lines = lines.iter().map(|line| Line { left_m: line.left_m - across, ..*line }).collect();
        (road.road, road.slope) = ((-8.0 - across, 8.0 - across), yaw - rate / 30.0);
        (road.at, road.travelled) = (1.0 + at, 30.0 * at);
        let masks = road.masks(&geometry);
        let captured = Mono::from_secs_f64(road.at);
        let lane = look(&mut tracker, &masks, &geometry, SIZE, (captured, speed_mps)).geometry?;
        let truth = across - if across > 1.8 { 3.6 } else { 0.0 };
        let off = f64::from(lane.offset_m) - truth;
        // Which lane it is while the vehicle is on the line is a matter of centimetres.
        Some(if (across - 1.8).abs() < 0.25 && off.abs() > 1.8 { off - 3.6 * off.signum() } else { off })
    };
    (0..(16.0 * hz) as u32).map(look_at).skip((2.0 * hz) as usize).collect()
}

#[test]
fn a_change_of_lane_is_measured_where_the_speed_is_known() {
    let scenes = [
        (5.0, 0.0, 0.0),
        (5.0, 0.001, 0.02),
        (4.0, 0.0, -0.02),
        (5.0, -0.001, 0.0),
        (3.5, 0.0, 0.0),
        (6.0, 0.002, 0.0),
    ];
    for hz in [5.0, 10.0] {
        let (mut squares, mut looks, mut worst) = (0.0, 0.0, 0.0_f64);
        for (chance, (over_s, curvature, yaw)) in (1..).zip(scenes) {
            // The speed is not known better than that.
            let speed = 30.0 * if chance % 2 == 0 { 0.97 } else { 1.03 };
            for off in change_lane(hz, over_s, curvature, yaw, chance, Some(speed)).into_iter().flatten() {
                (squares, looks, worst) = (squares + off * off, looks + 1.0, worst.max(off.abs()));
            }
        }
        let rmse = libm::sqrt(squares / looks);
        println!("{hz} Hz: {looks} looks, offset RMSE {rmse:.3} m, at most {worst:.2} m");
        assert!(looks > 14.0 * hz * 6.0 * 0.75 && rmse <= 0.05 && worst < 0.3, "{looks} {rmse} {worst}");
    }
}
