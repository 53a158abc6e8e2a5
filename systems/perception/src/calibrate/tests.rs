//! Drives whose camera is known.

use proptest::prelude::*;

use super::*;

const SIZE: (u32, u32) = (1280, 720);

/// Looks of a drive of so many seconds, ten in a second, with a camera that points `pitch` further down and `yaw` further to
/// the left than its geometry says, in radians. The vehicle swings in its lane.
fn drive(seconds: usize, pitch: f64, yaw: f64, curvature_per_m: f64) -> Vec<Look> {
    let look = |n: usize| {
        let at = n as f64 / 10.0;
        let swing = 0.01 * libm::sin(at * 1.7) + 0.004 * libm::sin(at * 0.31);
        Look {
            captured: Mono::from_secs_f64(at),
            pitch_rad: pitch + 0.003 * libm::sin(at * 2.3),
            slope: -libm::tan(yaw) + swing,
            curvature_per_m,
            confidence: 0.9,
        }
    };
    (0..10 * seconds).map(look).collect()
}

#[test]
fn a_camera_is_found_within_its_interval() {
    let geometry = CameraGeometry { pitch_down_deg: 1.0, yaw_left_deg: -0.5, ..CameraGeometry::default() };
    for (pitch, yaw) in [(0.0, 0.0), (0.03, -0.02), (-0.05, 0.04)] {
        let found = calibrate(&drive(60, pitch, yaw, 1e-4), &geometry, SIZE).expect("a calibration");
        let (down, left) = (1.0 + pitch.to_degrees(), -0.5 + yaw.to_degrees());
        assert!((found.pitch_down_deg.value - down).abs() <= found.pitch_down_deg.give, "{found:?}");
        assert!((found.yaw_left_deg.value - left).abs() <= found.yaw_left_deg.give, "{found:?}");
        assert!(found.pitch_down_deg.give < 0.1 && found.yaw_left_deg.give < 0.3, "{found:?}");
        assert_eq!((found.looks, found.straight_s), (600, 60.0));
        // A point very far ahead is seen at the vanishing point.
        let really = CameraGeometry { pitch_down_deg: down, yaw_left_deg: left, ..geometry };
        let plane = RoadPlane::new(&really, 0.0, SIZE.0, SIZE.1).expect("sound");
        let far = plane.to_image(crate::road_plane::RoadPoint { forward_m: 1e6, left_m: 0.0 }).expect("ahead");
        assert!(
            (found.vanishing_x.value - f64::from(far.x)).abs() <= found.vanishing_x.give + 0.5,
            "{found:?} {far:?}"
        );
        assert!(
            (found.vanishing_y.value - f64::from(far.y)).abs() <= found.vanishing_y.give + 0.5,
            "{found:?} {far:?}"
        );
    }
}

#[test]
fn what_cannot_be_told_is_an_error_with_a_reason() {
    let geometry = CameraGeometry::default();
    let of = |looks: &[Look]| calibrate(looks, &geometry, SIZE).expect_err("impossible");
    assert_eq!(of(&[]), Impossible::NoLane);
    assert_eq!(of(&drive(20, 0.0, 0.0, 0.0)), Impossible::TooShort { straight_s: 20.0, wanted_s: 30.0 });
    assert_eq!(of(&drive(60, 0.0, 0.0, 0.004)), Impossible::TooShort { straight_s: 0.0, wanted_s: 30.0 }, "a bend");
    let mut faint = drive(60, 0.0, 0.0, 0.0);
    faint.iter_mut().for_each(|look| look.confidence = 0.3);
    assert_eq!(of(&faint), Impossible::TooShort { straight_s: 0.0, wanted_s: 30.0 });
    assert_eq!(of(&drive(60, 0.0, 0.13, 0.0)), Impossible::TooFarOff);
    let mut wild = drive(60, 0.0, 0.0, 0.0);
    wild.iter_mut().enumerate().for_each(|(n, look)| look.slope += if n / 100 % 2 == 0 { 0.05 } else { -0.05 });
    assert!(matches!(of(&wild), Impossible::TooUncertain { .. }));
    let odd = CameraGeometry { height_m: f64::NAN, ..geometry };
    assert_eq!(calibrate(&drive(60, 0.0, 0.0, 0.0), &odd, SIZE), Err(Impossible::NoCamera));
}

proptest! {
    #[test]
    fn no_looks_make_it_panic(
        numbers in proptest::collection::vec((any::<u64>(), any::<f64>(), any::<f64>(), any::<f64>(), any::<f32>()), 0..60),
        size in any::<(u32, u32)>(),
    ) {
        let look = |(at, pitch_rad, slope, curvature_per_m, confidence)| {
            Look { captured: Mono(at), pitch_rad, slope, curvature_per_m, confidence }
        };
        let looks: Vec<Look> = numbers.into_iter().map(look).collect();
        let _ = calibrate(&looks, &CameraGeometry::default(), size);
    }
}
