//! What a simulator knows to be true, recorded beside what its devices give.
//!
//! It is journalled, and no system sees it: what perceives must not know the answer.

use serde::{Deserialize, Serialize};

use crate::geometry::LaneGeometry;
use crate::perception::ObjectClass;

/// The truth at one moment, that of the camera's picture with the same time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// The ego lane; none where no lines are painted.
    pub lane: Option<LaneGeometry>,
    /// Speed over ground in m/s.
    pub speed_mps: f32,
    /// Direction of travel in degrees clockwise from true north.
    pub heading_deg: f32,
    /// Latitude in degrees, WGS 84.
    pub latitude_deg: f64,
    /// Longitude in degrees, WGS 84.
    pub longitude_deg: f64,
    /// What is ahead and in reach of the camera, in order of their numbers.
    pub objects: Vec<TrueObject>,
    /// What a range finder on the front bumper would measure in metres if it reached for ever; none if nothing is there.
    pub range_m: Option<f32>,
    /// Whether somebody speaks.
    pub speech: bool,
}

/// One true object.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrueObject {
    /// Its number, the same as long as it exists.
    pub id: u32,
    /// What it is.
    pub class: ObjectClass,
    /// From the front bumper to its nearest point along the road, in metres.
    pub distance_m: f32,
    /// How far its middle is left of the vehicle's middle, in metres; negative is right.
    pub left_m: f32,
    /// How fast the distance shrinks, in m/s; negative when it grows.
    pub closing_mps: f32,
    /// Its width in metres.
    pub width_m: f32,
    /// Its height in metres.
    pub height_m: f32,
    /// Whether it is in the ego lane.
    pub in_lane: bool,
    /// Left, top, right and bottom edge in pixels of the picture, cut to it; none when it is outside.
    pub image: Option<[f32; 4]>,
}
