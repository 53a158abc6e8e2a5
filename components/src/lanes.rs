//! What the classical lane estimator sees in a picture, and what is remembered of lanes.

use bevy_ecs::component::Component;
use serde::{Deserialize, Serialize};

use crate::time::Mono;

/// A short bright piece of one row of a picture with darker road on both sides: perhaps a painted line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ridge {
    /// Its middle, in sixteenths of a pixel of the scaled picture from its left edge.
    pub x16: u16,
    /// Its row in the scaled picture, from the top.
    pub row: u16,
    /// Its width in quarters of a pixel of the scaled picture; 255 stands for more.
    pub width4: u8,
    /// How many luma levels it is brighter than the darker road beside it, at least on both sides.
    pub contrast: u8,
}

/// The ridges of a front frame. Written by `camera::capture`, emptied by `lanes::understand` in the same tick.
#[derive(Component, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneFeatures {
    /// Width of the scaled picture in pixels; 0 where nothing was looked for.
    pub width: u16,
    /// Height of the scaled picture in pixels.
    pub height: u16,
    /// Row by row from the top, in each from the left.
    pub ridges: Vec<Ridge>,
}

impl LaneFeatures {
    /// Every so manieth row is looked at.
    pub const ROW_STEP: usize = 2;
}

/// The ego lane in the terms of the estimator: two parallel lines of one curvature on a flat road.
///
/// A line runs at `left = a + slope x + curvature x² / 2`, x metres before the lens and relative to it, `left` in metres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneShape {
    /// `a` of the left line.
    pub left_m: f64,
    /// `a` of the right line.
    pub right_m: f64,
    /// Slope of both lines at the lens, to the left; a number without unit, about radians.
    pub slope: f64,
    /// Curvature of both lines in 1/m; positive bends to the left.
    pub curvature_per_m: f64,
}

/// One of the two lines of a lane, as it is followed from mask to mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LineTrack {
    /// How sure it is that the line is there, 0 to 1.
    pub confidence: f32,
    /// What its gaps, or that it has none, have said so far: from -1, surely dashed, to 1, surely solid.
    pub solidity: f32,
}

/// How sure a lane is that is followed at a known speed, and what that has taught of the camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneDoubt {
    /// Covariance of the lines at the lens, left and right, in metres, of their slope and curvature (1/m) as in [`LaneShape`], and of
    /// the yaw of the camera in radians.
    pub covariance: [[f64; 5]; 5],
    /// How far left the camera looks of where the vehicle goes, beyond what the config says, in radians.
    pub yaw_rad: f64,
}

/// What is remembered of the lanes that a camera sees. Written by `lanes::understand`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneTracker {
    /// Number and time of capture of the newest frame, looked at or not.
    pub latest: Option<(u64, Mono)>,
    /// The lane as last seen, claimed or not; none when there is nothing to go on.
    pub shape: Option<LaneShape>,
    /// When it was last seen.
    pub seen: Option<Mono>,
    /// How far the axis points below the horizon beyond what the config says, in radians: learnt from the lanes.
    pub pitch_rad: f64,
    /// Usual width of the lane in metres, learnt likewise.
    pub width_m: f64,
    /// Looks that pitch and width were learnt from, up to a limit; 0 when they are not known.
    pub learnt: u32,
    /// How well the lane has held over the last looks, 0 to 1.
    pub trust: f32,
    /// Whether it is claimed.
    pub claimed: bool,
    /// As long as the pitch is not known: the one that was best when all were tried last, in radians.
    pub candidate_rad: Option<f64>,
    /// Frames looked at.
    pub looked: u64,
    /// Frames in which the lane was claimed.
    pub claims: u64,
    /// The left line, as followed from mask to mask.
    #[serde(default)]
    pub left: LineTrack,
    /// The right line, likewise.
    #[serde(default)]
    pub right: LineTrack,
    /// Speed of both lines to the left, relative to the vehicle, in m/s.
    #[serde(default)]
    pub drift_mps: f64,
    /// When the newest frame was captured whose masks were looked at.
    #[serde(default)]
    pub masked: Option<Mono>,
    /// Since when lanes have been seen that are not as wide as usual, and how wide the newest was, in metres.
    #[serde(default)]
    pub odd: Option<(Mono, f64)>,
    /// How sure the lane is; none where the vehicle's speed is not known.
    #[serde(default)]
    pub doubt: Option<LaneDoubt>,
}

crate::kinds! {
    LaneFeatures => "lane_features",
    LaneTracker => "lane_tracker",
}
