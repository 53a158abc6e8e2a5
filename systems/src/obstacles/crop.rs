//! Which part of a front frame is worth a second look: the square around the point in which a straight road vanishes.

use waywarden_components::prelude::*;
use waywarden_perception::road_plane::RoadPlane;

/// Edges lie at whole multiples of this, in pixels of the frame: a pitch that is still being learnt moves the square rarely.
/// It is also the side of the blocks of a JPEG.
const STEP: u32 = 16;

/// Smallest side of a square that is worth it, in pixels.
const LEAST_SIDE: u32 = 64;

/// The square of `share` of the frame's width around the vanishing point, in a frame of `width` x `height` pixels of a camera
/// whose axis points `more_pitch_rad` further below the horizon than its geometry says. None where there is no such point,
/// or where the square would be too small, or all of the frame.
pub fn around_vanishing_point(
    geometry: &CameraGeometry,
    more_pitch_rad: f64,
    (width, height): (u32, u32),
    share: f32,
) -> Option<Crop> {
    let side = (share * width as f32) as u32 / STEP * STEP;
    let (across, down) = (side.min(width), side.min(height));
    if across < LEAST_SIDE || down < LEAST_SIDE || (across == width && down == height) {
        return None;
    }
    let vanishing = RoadPlane::new(geometry, more_pitch_rad, width, height)?.vanishing_point();
    let edge = |middle: f32, length: u32, whole: u32| {
        // A quarter, because frames and squares are mostly of whole steps: a level camera's square then wants to lie on a step
        // or between two, and either is far from where rounding changes.
        let wanted = (middle - length as f32 / 2.0) / STEP as f32 + 0.25;
        // A point outside of the frame leaves the square at the frame's edge; one that is no number at its beginning.
        let steps = wanted.max(0.0) as u32;
        steps.saturating_mul(STEP).min(whole - length)
    };
    Some(Crop {
        left: edge(vanishing.x, across, width),
        top: edge(vanishing.y, down, height),
        width: across,
        height: down,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(geometry: &CameraGeometry, more: f64) -> Option<Crop> {
        around_vanishing_point(geometry, more, (1280, 720), 0.5)
    }

    #[test]
    fn it_lies_around_the_vanishing_point_and_in_the_frame() {
        let level = CameraGeometry::default();
        assert_eq!(of(&level, 0.0), Some(Crop { left: 320, top: 32, width: 640, height: 640 }));
        // An axis that points down has the horizon above the middle; the frame has an edge there.
        let down = CameraGeometry { pitch_down_deg: 5.0, ..level };
        assert_eq!(of(&down, 0.0), Some(Crop { left: 320, top: 0, width: 640, height: 640 }));
        assert_eq!(of(&level, -3f64.to_radians()).map(|crop| crop.top), Some(80), "what is learnt counts as well");
        let left = CameraGeometry { yaw_left_deg: 10.0, ..level };
        assert_eq!(of(&left, 0.0).map(|crop| crop.left), Some(512), "straight ahead is right of the axis");
    }

    #[test]
    fn a_pitch_that_wavers_leaves_it_where_it_is() {
        let level = CameraGeometry::default();
        let tops = (-20..=20).filter_map(|n| of(&level, f64::from(n) * 1e-4)).map(|crop| crop.top);
        assert!(tops.clone().all(|top| top == 32), "{:?}", tops.collect::<Vec<_>>());
    }

    #[test]
    fn there_is_none_where_it_would_be_of_no_use() {
        let level = CameraGeometry::default();
        assert_eq!(around_vanishing_point(&level, 0.0, (640, 480), 1.0), None, "all of it");
        assert_eq!(around_vanishing_point(&level, 0.0, (100, 80), 0.5), None, "a stamp");
        assert_eq!(around_vanishing_point(&level, f64::NAN, (640, 480), 0.5), None);
    }

    proptest! {
        #[test]
        fn it_is_always_in_the_frame(
            fov in any::<f64>(), pitch in any::<f64>(), yaw in any::<f64>(), more in any::<f64>(),
            size in (0u32..9000, 0u32..9000), share in any::<f32>(),
        ) {
            let geometry = CameraGeometry {
                horizontal_fov_deg: fov, pitch_down_deg: pitch, yaw_left_deg: yaw, ..CameraGeometry::default()
            };
            if let Some(crop) = around_vanishing_point(&geometry, more, size, share) {
                prop_assert_eq!(crop.within(size.0, size.1), Some(crop));
            }
        }
    }
}
