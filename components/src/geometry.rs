//! How a camera is mounted, and the lane in metres.

use serde::{Deserialize, Serialize};

/// How a camera looks at the road: a pinhole without distortion whose axis passes through the middle of the picture.
///
/// In the vehicle frame (ISO 8855). Roll is not modelled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CameraGeometry {
    /// Horizontal field of view in degrees, above 0 and below 180.
    pub horizontal_fov_deg: f64,
    /// Height of the lens above the road in metres.
    pub height_m: f64,
    /// How far the axis points below the horizon, in degrees; negative is above it.
    pub pitch_down_deg: f64,
    /// How far the axis points to the left of straight ahead, in degrees.
    pub yaw_left_deg: f64,
    /// Distance of the lens left of the vehicle's middle, in metres.
    pub left_m: f64,
    /// Distance from the lens forward to the front bumper, in metres.
    pub bumper_m: f64,
}

impl Default for CameraGeometry {
    /// A dashcam behind the windscreen of a car.
    fn default() -> Self {
        Self {
            horizontal_fov_deg: 60.0,
            height_m: 1.3,
            pitch_down_deg: 0.0,
            yaw_left_deg: 0.0,
            left_m: 0.0,
            bumper_m: 1.7,
        }
    }
}

/// The ego lane in metres, seen from the vehicle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneGeometry {
    /// How far left of the lane's middle the vehicle's middle is, at the front bumper, in metres; negative is right.
    pub offset_m: f32,
    /// How far left of the lane's direction the vehicle points, in radians; negative is right.
    pub heading_rad: f32,
    /// Curvature of the lane in 1/m; positive bends to the left.
    pub curvature_per_m: f32,
    /// Distance between the middles of the two lines in metres.
    pub width_m: f32,
}
