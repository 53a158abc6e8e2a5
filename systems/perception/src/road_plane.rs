//! Between the picture and the road: projection by a pinhole over a flat plane (inverse perspective mapping).
//!
//! The road is seen from the **lens**: forward and left in metres from the point of the road below it. Only [`RoadPlane`]
//! knows how the camera is mounted.

use waywarden_components::prelude::*;

/// Flatter than this a ray meets the road too far away to say where: about 130 times the height of the lens.
const LEAST_DEPRESSION: f64 = 0.0075;

/// A direction of view in the vehicle's frame, as slopes against straight ahead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Direction {
    /// To the left, a metre forward.
    pub left: f64,
    /// Downwards, a metre forward.
    pub down: f64,
}

/// A point of the road.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoadPoint {
    /// Metres before the lens.
    pub forward_m: f64,
    /// Metres left of the lens.
    pub left_m: f64,
}

/// A camera over a flat road.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoadPlane {
    /// Pixels of the frame from its left and top edge to its middle.
    middle: (f64, f64),
    /// Focal length in pixels of the frame.
    focal: f64,
    /// Sine and cosine of the pitch.
    pitch: (f64, f64),
    /// Sine and cosine of the yaw.
    yaw: (f64, f64),
    /// Height of the lens in metres.
    height_m: f64,
}

impl RoadPlane {
    /// A camera whose frames are `width` x `height` pixels and whose axis points `more_pitch_rad` further below the
    /// horizon than its geometry says. None for a geometry that no camera has.
    pub fn new(geometry: &CameraGeometry, more_pitch_rad: f64, width: u32, height: u32) -> Option<Self> {
        let half_view = geometry.horizontal_fov_deg.to_radians() / 2.0;
        let pitch = geometry.pitch_down_deg.to_radians() + more_pitch_rad;
        let yaw = geometry.yaw_left_deg.to_radians();
        let plane = Self {
            middle: (f64::from(width) / 2.0, f64::from(height) / 2.0),
            focal: f64::from(width) / 2.0 / libm::tan(half_view),
            pitch: (libm::sin(pitch), libm::cos(pitch)),
            yaw: (libm::sin(yaw), libm::cos(yaw)),
            height_m: geometry.height_m,
        };
        let sound = plane.focal.is_finite()
            && plane.focal >= 1.0
            && half_view > 0.0
            && plane.height_m.is_finite()
            && plane.height_m > 0.0
            && plane.pitch.1 > 0.0
            && plane.yaw.1 > 0.0;
        sound.then_some(plane)
    }

    /// Focal length in pixels of the frame.
    pub fn focal_px(&self) -> f64 {
        self.focal
    }

    /// Middle of the frame in pixels from its left and top edge.
    pub fn middle_px(&self) -> (f64, f64) {
        self.middle
    }

    /// Height of the lens above the road in metres.
    pub fn height_m(&self) -> f64 {
        self.height_m
    }

    /// Where a point of the frame is seen; none behind the camera.
    pub fn direction(&self, x: f64, y: f64) -> Option<Direction> {
        let (right, down) = ((x - self.middle.0) / self.focal, (y - self.middle.1) / self.focal);
        let along = self.pitch.1 - self.pitch.0 * down;
        let forward = along * self.yaw.1 + right * self.yaw.0;
        let left = along * self.yaw.0 - right * self.yaw.1;
        let down = self.pitch.0 + self.pitch.1 * down;
        (forward > 1e-6).then(|| Direction { left: left / forward, down: down / forward })
    }

    /// Where a straight and level road vanishes: the point of the frame, perhaps beyond its edges, at which what is straight
    /// ahead and infinitely far away is seen.
    pub fn vanishing_point(&self) -> ImagePoint {
        let x = self.middle.0 + self.focal * self.yaw.0 / (self.yaw.1 * self.pitch.1);
        let y = self.middle.1 - self.focal * self.pitch.0 / self.pitch.1;
        ImagePoint { x: x as f32, y: y as f32 }
    }

    /// The point of the road that is seen in this direction; none at the horizon and above.
    pub fn road(&self, direction: Direction) -> Option<RoadPoint> {
        let forward_m = self.height_m / direction.down;
        (direction.down >= LEAST_DEPRESSION).then_some(RoadPoint { forward_m, left_m: direction.left * forward_m })
    }

    /// The point of the road at a point of the frame; none at the horizon and above.
    pub fn to_road(&self, point: ImagePoint) -> Option<RoadPoint> {
        self.road(self.direction(point.x.into(), point.y.into())?)
    }

    /// Where a point of the road is in the frame, perhaps beyond its edges; none behind the camera.
    pub fn to_image(&self, point: RoadPoint) -> Option<ImagePoint> {
        let along = point.forward_m * self.yaw.1 + point.left_m * self.yaw.0;
        let right = point.forward_m * self.yaw.0 - point.left_m * self.yaw.1;
        let depth = along * self.pitch.1 + self.height_m * self.pitch.0;
        let down = self.height_m * self.pitch.1 - along * self.pitch.0;
        let x = self.middle.0 + self.focal * right / depth;
        let y = self.middle.1 + self.focal * down / depth;
        (depth > 0.1).then_some(ImagePoint { x: x as f32, y: y as f32 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plane(geometry: &CameraGeometry) -> RoadPlane {
        RoadPlane::new(geometry, 0.0, 1280, 720).expect("a sound geometry")
    }

    #[test]
    fn a_level_camera_sees_the_road_by_similar_triangles() {
        let plane = plane(&CameraGeometry { horizontal_fov_deg: 90.0, height_m: 1.5, ..CameraGeometry::default() });
        assert!((plane.focal_px() - 640.0).abs() < 1e-9);
        // 64 pixels below the middle is a tenth of the focal length: 15 m away. 128 pixels to the right is 3 m.
        let road = plane.to_road(ImagePoint { x: 768.0, y: 424.0 }).expect("below the horizon");
        assert!((road.forward_m - 15.0).abs() < 1e-6 && (road.left_m + 3.0).abs() < 1e-6, "{road:?}");
        assert_eq!(plane.to_road(ImagePoint { x: 640.0, y: 360.0 }), None, "the horizon");
        assert_eq!(plane.to_road(ImagePoint { x: 640.0, y: 100.0 }), None, "the sky");
    }

    #[test]
    fn pitch_and_yaw_turn_the_right_way() {
        // An axis that points 5 degrees down meets the road at height / tan 5 degrees.
        let down = plane(&CameraGeometry { pitch_down_deg: 5.0, ..CameraGeometry::default() });
        let road = down.to_road(ImagePoint { x: 640.0, y: 360.0 }).expect("below the horizon");
        assert!((road.forward_m - 1.3 / 0.087_488_66).abs() < 1e-4, "{road:?}");
        // One that also points 5 degrees left sees there what is to the left.
        let left = plane(&CameraGeometry { pitch_down_deg: 5.0, yaw_left_deg: 5.0, ..CameraGeometry::default() });
        let road = left.to_road(ImagePoint { x: 640.0, y: 360.0 }).expect("below the horizon");
        assert!((road.left_m / road.forward_m - 0.087_488_66).abs() < 1e-6, "{road:?}");
        let more = RoadPlane::new(&CameraGeometry::default(), 5f64.to_radians(), 1280, 720).expect("sound");
        assert!((more.to_road(ImagePoint { x: 640.0, y: 360.0 }).expect("road").forward_m - 14.859).abs() < 1e-3);
    }

    #[test]
    fn a_straight_road_vanishes_straight_ahead() {
        for (pitch, yaw) in [(0.0, 0.0), (5.0, 0.0), (0.0, -8.0), (-3.0, 4.0)] {
            let plane =
                plane(&CameraGeometry { pitch_down_deg: pitch, yaw_left_deg: yaw, ..CameraGeometry::default() });
            let point = plane.vanishing_point();
            let seen = plane.direction(point.x.into(), point.y.into()).expect("before the camera");
            assert!(seen.left.abs() < 1e-6 && seen.down.abs() < 1e-6, "{pitch} {yaw}: {seen:?}");
        }
    }

    proptest! {
        #[test]
        fn road_and_picture_are_inverse(
            fov in 20.0..150.0f64, height in 0.3..4.0f64, pitch in -10.0..10.0f64, yaw in -20.0..20.0f64,
            forward_m in 3.0..60.0f64, left_m in -8.0..8.0f64,
        ) {
            let geometry = CameraGeometry {
                horizontal_fov_deg: fov, height_m: height, pitch_down_deg: pitch, yaw_left_deg: yaw,
                ..CameraGeometry::default()
            };
            let plane = plane(&geometry);
            let Some(image) = plane.to_image(RoadPoint { forward_m, left_m }) else { return Ok(()) };
            let (x, y) = (f64::from(image.x), f64::from(image.y));
            prop_assume!(x.abs() < 1e4 && y.abs() < 1e4);
            let Some(back) = plane.to_road(image) else { return Ok(()) };
            // A pixel's rounding in f32, seen from afar.
            let tolerance = 1e-3 * forward_m * forward_m / height;
            prop_assert!((back.forward_m - forward_m).abs() < tolerance, "{back:?}");
            prop_assert!((back.left_m - left_m).abs() < tolerance, "{back:?}");
        }

        #[test]
        fn no_geometry_makes_it_panic(numbers in proptest::array::uniform8(any::<f64>()), width: u32, height: u32) {
            let [fov, height_m, pitch, yaw, more, x, y, _] = numbers;
            let geometry = CameraGeometry {
                horizontal_fov_deg: fov, height_m, pitch_down_deg: pitch, yaw_left_deg: yaw, ..CameraGeometry::default()
            };
            if let Some(plane) = RoadPlane::new(&geometry, more, width, height)
                && let Some(direction) = plane.direction(x, y)
                && let Some(road) = plane.road(direction)
            {
                let _ = plane.to_image(road);
            }
        }
    }
}
