//! Drawn roads, whose lanes are known, and pictures without any.

use proptest::prelude::*;
use waywarden_components::prelude::*;
use waywarden_perception::lanes::ridges;

use super::classical::look;
use crate::road_plane::{RoadPlane, RoadPoint};

const SIZE: (u32, u32) = (480, 270);

/// A road with painted lines.
#[derive(Clone)]
struct Road {
    /// Places of the lines at the lens, in metres left of it, and whether they are dashed.
    lines: Vec<(f64, bool)>,
    slope: f64,
    curvature: f64,
    /// How far the camera really points down, in radians, whatever its geometry says.
    pitch: f64,
    /// How far the vehicle has come, in metres, for dashes.
    travelled: f64,
}

impl Road {
    fn new(left_m: f64, right_m: f64) -> Self {
        Self { lines: vec![(left_m, false), (right_m, true)], slope: 0.0, curvature: 0.0, pitch: 0.0, travelled: 0.0 }
    }

    /// 3 m of paint and 6 m of gap.
    fn is_painted(&self, road: RoadPoint) -> bool {
        let x = road.forward_m;
        let left_m = road.left_m - self.slope * x - self.curvature * x * x / 2.0;
        let dash = (self.travelled + x) % 9.0 < 3.0;
        self.lines.iter().any(|(at, dashed)| (left_m - at).abs() <= 0.08 && (!dashed || dash))
    }

    fn picture(&self, geometry: &CameraGeometry) -> Vec<u8> {
        let plane = RoadPlane::new(geometry, self.pitch, SIZE.0, SIZE.1).expect("a sound geometry");
        let pixels = (0..SIZE.1).flat_map(|y| (0..SIZE.0).map(move |x| (x, y)));
        pixels
            .map(|(x, y)| {
                let road = |dx: f32| plane.to_road(ImagePoint { x: x as f32 + dx, y: y as f32 + 0.5 });
                // Two samples a pixel, for lines far away.
                let paint = [0.25, 0.75].into_iter().filter(|dx| road(*dx).is_some_and(|at| self.is_painted(at)));
                80 + 40 * paint.count() as u8
            })
            .collect()
    }

    fn features(&self, geometry: &CameraGeometry) -> LaneFeatures {
        ridges::find(&self.picture(geometry), SIZE.0 as usize, SIZE.1 as usize, geometry)
    }
}

/// Looks at `count` pictures, 0.1 s and 2.5 m apart, made by `change` of the road; the estimates.
fn drive(
    tracker: &mut LaneTracker,
    road: &mut Road,
    geometry: &CameraGeometry,
    count: usize,
    mut change: impl FnMut(&mut Road),
) -> Vec<LaneEstimate> {
    (0..count)
        .map(|_| {
            road.travelled += 2.5;
            change(road);
            let captured = Mono::from_secs_f64(1.0 + road.travelled / 25.0);
            look(tracker, &road.features(geometry), geometry, SIZE, captured)
        })
        .collect()
}

#[track_caller]
fn assert_near(name: &str, is: f32, should: f64, tolerance: f64) {
    assert!((f64::from(is) - should).abs() <= tolerance, "{name} is {is}, not {should} within {tolerance}");
}

#[test]
fn a_lane_is_measured_in_metres() {
    let geometry = CameraGeometry { pitch_down_deg: 2.0, left_m: 0.2, bumper_m: 1.5, ..CameraGeometry::default() };
    let mut road = Road { slope: 0.02, curvature: 1.0 / 600.0, ..Road::new(1.4, -2.2) };
    let estimates = drive(&mut LaneTracker::default(), &mut road, &geometry, 25, |_| {});
    let claimed: Vec<usize> = (0..25).filter(|n| estimates[*n].geometry.is_some()).collect();
    assert_eq!(claimed, (claimed[0]..25).collect::<Vec<_>>(), "once claimed it stays");
    assert!((5..=10).contains(&claimed[0]), "trust grows over looks: {claimed:?}");
    let last = &estimates[24];
    let lane = last.geometry.expect("a lane");
    // The vehicle's middle is 0.2 m right of the lens; the lane's middle at the bumper is at -0.4 + 0.02 x 1.5 + 0.002.
    assert_near("offset", lane.offset_m, -0.2 - (-0.4 + 0.03 + 0.002), 0.05);
    assert_near("width", lane.width_m, 3.6, 0.08);
    assert_near("heading", lane.heading_rad, -(0.02 + 1.5 / 600.0), 0.004);
    assert_near("curvature", lane.curvature_per_m, 1.0 / 600.0, 4e-4);
    assert_eq!(last.source, LaneSource::Classical);
    // The lines are where the paint is, in the picture.
    let plane = RoadPlane::new(&geometry, 0.0, SIZE.0, SIZE.1).expect("sound");
    for (line, at) in [(&last.left, 1.4), (&last.right, -2.2)] {
        let line = line.as_ref().expect("a line");
        assert!(line[0].y > line[1].y && line[0].y > 262.0, "bottom first: {line:?}");
        let x = 10.0;
        let paint = RoadPoint { forward_m: x, left_m: at + 0.02 * x + x * x / 1200.0 };
        let paint = plane.to_image(paint).expect("before the camera");
        let near = line.windows(2).find(|pair| pair[1].y <= paint.y).expect("as far as 10 m");
        let share = (near[0].y - paint.y) / (near[0].y - near[1].y);
        let there = near[0].x + share * (near[1].x - near[0].x);
        assert!((there - paint.x).abs() < 3.0, "{there} is not {}", paint.x);
    }
}

#[test]
fn the_pitch_is_learnt() {
    let geometry = CameraGeometry::default();
    for pitch_deg in [-4.0f64, 3.0, 6.0] {
        let mut tracker = LaneTracker::default();
        let mut road = Road { pitch: pitch_deg.to_radians(), ..Road::new(1.9, -1.6) };
        let estimates = drive(&mut tracker, &mut road, &geometry, 40, |_| {});
        let lane = estimates[39].geometry.unwrap_or_else(|| panic!("no lane at {pitch_deg} degrees"));
        assert_near("pitch", tracker.pitch_rad as f32, pitch_deg.to_radians(), 0.004);
        assert_near("offset", lane.offset_m, -0.15, 0.05);
        assert_near("width", lane.width_m, 3.5, 0.12);
    }
}

#[test]
fn what_is_no_lane_is_not_claimed() {
    let geometry = CameraGeometry::default();
    let lines = |lines: &[(f64, bool)]| Road { lines: lines.to_vec(), ..Road::new(0.0, 0.0) };
    let roads = [
        ("no line", lines(&[])),
        ("one line", lines(&[(1.7, false)])),
        ("too wide", lines(&[(3.2, false), (-3.2, false)])),
        ("too narrow", lines(&[(0.8, false), (-0.9, false)])),
        ("beside the vehicle", lines(&[(5.0, false), (1.6, false)])),
        (
            "full of lines",
            lines(&[(1.8, false), (1.0, false), (0.4, false), (-0.4, false), (-1.1, false), (-1.8, false)]),
        ),
    ];
    for (name, mut road) in roads {
        let estimates = drive(&mut LaneTracker::default(), &mut road, &geometry, 25, |_| {});
        let claimed = estimates.iter().filter(|estimate| estimate.geometry.is_some()).count();
        assert_eq!(claimed, 0, "{name}");
        assert!(estimates.iter().all(|estimate| estimate.left.is_none() && estimate.source == LaneSource::Classical));
    }
}

#[test]
fn a_lane_that_ends_is_given_up_at_once_and_found_again() {
    let geometry = CameraGeometry::default();
    let (mut tracker, mut road) = (LaneTracker::default(), Road::new(1.8, -1.8));
    let before = drive(&mut tracker, &mut road, &geometry, 25, |_| {});
    assert!(before[24].geometry.is_some());
    let lines = std::mem::take(&mut road.lines);
    let without = drive(&mut tracker, &mut road, &geometry, 15, |_| {});
    assert!(without.iter().all(|estimate| estimate.geometry.is_none()), "what is not seen is not claimed");
    assert_eq!((tracker.trust, tracker.claimed, tracker.shape), (0.0, false, None));
    assert!(tracker.learnt > 0, "the camera has not moved");
    road.lines = lines;
    let again = drive(&mut tracker, &mut road, &geometry, 10, |_| {});
    assert!(again[9].geometry.is_some());
}

#[test]
fn what_was_learnt_is_forgotten_in_the_end() {
    let geometry = CameraGeometry::default();
    let (mut tracker, mut road) = (LaneTracker::default(), Road::new(1.8, -1.8));
    drive(&mut tracker, &mut road, &geometry, 15, |_| {});
    let (learnt, looked) = (tracker.learnt, tracker.looked);
    assert!(learnt > 0);
    let later = Mono::from_secs_f64(1000.0);
    look(&mut tracker, &LaneFeatures { width: 640, height: 360, ridges: Vec::new() }, &geometry, SIZE, later);
    assert_eq!((tracker.learnt, tracker.pitch_rad, tracker.looked), (0, 0.0, looked + 1));
}

#[test]
fn a_change_of_lane_is_followed() {
    let geometry = CameraGeometry::default();
    let mut road = Road { lines: vec![(5.4, false), (1.8, true), (-1.8, false)], ..Road::new(0.0, 0.0) };
    let mut tracker = LaneTracker::default();
    drive(&mut tracker, &mut road, &geometry, 20, |_| {});
    // 3.6 m to the left in 4 s: lines move to the right.
    let estimates = drive(&mut tracker, &mut road, &geometry, 40, |road| {
        road.lines.iter_mut().for_each(|(at, _)| *at -= 0.09);
    });
    let offsets: Vec<f32> = estimates.iter().filter_map(|e| e.geometry).map(|lane| lane.offset_m).collect();
    assert!(offsets.len() >= 30, "{offsets:?}");
    assert!(offsets.iter().any(|offset| *offset > 1.4) && offsets.iter().any(|offset| *offset < -1.4), "{offsets:?}");
    assert_near("offset in the new lane", *offsets.last().expect("some"), 0.0, 0.1);
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

fn assert_finite(estimate: &LaneEstimate, tracker: &LaneTracker) -> Result<(), TestCaseError> {
    if let Some(lane) = estimate.geometry {
        let numbers = [lane.offset_m, lane.heading_rad, lane.curvature_per_m, lane.width_m];
        prop_assert!(numbers.iter().all(|number| number.is_finite()), "{lane:?}");
    }
    for point in [&estimate.left, &estimate.right].into_iter().flatten().flatten() {
        prop_assert!(point.x.is_finite() && point.y.is_finite());
    }
    prop_assert!((0.0..=1.0).contains(&estimate.confidence) && tracker.pitch_rad.is_finite());
    prop_assert!(tracker.width_m.is_finite());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_picture_and_no_geometry_makes_it_panic(
        geometry in any_geometry(), width in 0usize..200, height in 0usize..60, bytes in any::<[u8; 31]>(),
        usual in any::<bool>(),
    ) {
        let geometry = if usual { CameraGeometry::default() } else { geometry };
        let grey: Vec<u8> = (0..width * height).map(|i| bytes[(i * i / 7 + i) % 31]).collect();
        let features = ridges::find(&grey, width, height, &geometry);
        let mut tracker = LaneTracker::default();
        for n in 0..5 {
            let size = (width as u32, height as u32);
            let estimate = look(&mut tracker, &features, &geometry, size, Mono::from_secs_f64(f64::from(n) / 10.0));
            assert_finite(&estimate, &tracker)?;
        }
    }

    #[test]
    fn no_features_and_no_past_make_it_panic(
        geometry in any_geometry(), usual in any::<bool>(),
        ridges in proptest::collection::vec((any::<u16>(), 0u16..400, any::<u8>(), any::<u8>()), 0..200),
        shape in proptest::option::of(proptest::array::uniform4(-5.0..5.0f64)),
        pitch_rad in -0.12..0.12f64, width_m in 0.0..5.0f64, learnt in 0u32..70, seconds in 0.0..5.0f64,
    ) {
        let geometry = if usual { CameraGeometry::default() } else { geometry };
        let ridge = |(x16, row, width4, contrast)| Ridge { x16, row, width4, contrast };
        let features = LaneFeatures { width: 640, height: 360, ridges: ridges.into_iter().map(ridge).collect() };
        let mut tracker = LaneTracker {
            shape: shape.map(|[left_m, right_m, slope, curvature_per_m]| LaneShape { left_m, right_m, slope, curvature_per_m }),
            seen: Some(Mono::default()), pitch_rad, width_m, learnt, ..LaneTracker::default()
        };
        for n in 1..4 {
            let at = Mono::from_secs_f64(seconds * f64::from(n));
            let estimate = look(&mut tracker, &features, &geometry, SIZE, at);
            assert_finite(&estimate, &tracker)?;
        }
    }
}
