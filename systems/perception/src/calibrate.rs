//! Where a camera points, learnt from lanes: pitch, yaw and the vanishing point, with an interval and a verdict.
//!
//! On a straight, level road the lines of the lane meet where the vehicle drives to. Over a drive the vehicle's own heading
//! in the lane averages out (it stays in the lane), and so do the nods of the body; what is left is how the camera is
//! mounted. Height and field of view cannot be told from a vanishing point.
//!
//! Looks of one drive are not independent: a drift in the lane lasts for seconds. The interval is therefore taken from
//! means over [`BLOCK_S`] seconds (batch means: J. Banks et al., "Discrete-Event System Simulation", ch. 11).

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;

use crate::road_plane::RoadPlane;

/// Length of a block of looks in seconds: longer than a swing in the lane.
pub const BLOCK_S: f64 = 5.0;
/// Looks that a block has at least, and blocks that a calibration has at least: 30 s of straight driving.
const LEAST_LOOKS: usize = 5;
const LEAST_BLOCKS: usize = 6;
/// Sharpest bend that is straight, in 1/m, and lanes that are clear enough.
const STRAIGHT_PER_M: f64 = 1.0 / 1000.0;
const LEAST_CONFIDENCE: f32 = 0.6;
/// Widest interval that is an answer, in radians, to either side.
const WIDEST_RAD: f64 = 0.005;
/// Farthest that a camera may point aside or up and down, beyond its geometry, and still be learnt, in radians: as far as
/// lanes are followed.
const MOST_RAD: f64 = 0.11;
/// Student's t for 95 % and 3, 4, 5, 7, 10, 15, 20, 30 and more degrees of freedom; and for fewer.
const STUDENT: [(usize, f64); 9] = [
    (3, 3.182),
    (4, 2.776),
    (5, 2.571),
    (7, 2.365),
    (10, 2.228),
    (15, 2.131),
    (20, 2.086),
    (30, 2.042),
    (usize::MAX, 2.0),
];
const FEWEST: f64 = 12.7;
/// Share of the blocks that is left out on either side.
const TRIMMED: f64 = 0.2;

/// What one look at a lane says of the camera.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// When its frame was captured.
    pub captured: Mono,
    /// How far the camera points below what its geometry says, in radians, as learnt by then.
    pub pitch_rad: f64,
    /// Slope of the lane's lines at the lens, to the left, against what the geometry calls straight ahead.
    pub slope: f64,
    /// Curvature of the lane in 1/m.
    pub curvature_per_m: f64,
    /// How sure the lane is, 0 to 1.
    pub confidence: f32,
}

impl Look {
    /// What a claimed lane says; nothing where none is claimed, or none is followed.
    pub fn of(tracker: &LaneTracker, estimate: &LaneEstimate, captured: Mono) -> Option<Self> {
        let shape = tracker.shape.filter(|_| estimate.geometry.is_some())?;
        Some(Self {
            captured,
            pitch_rad: tracker.pitch_rad,
            slope: shape.slope,
            curvature_per_m: shape.curvature_per_m,
            confidence: estimate.confidence,
        })
    }
}

/// A value, and how far to either side it may be in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The value.
    pub value: f64,
    /// Half of the interval's width.
    pub give: f64,
}

/// How a camera is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// How far the axis points below the horizon, in degrees: what belongs into `pitch_down_deg`.
    pub pitch_down_deg: Interval,
    /// How far the axis points to the left of where the vehicle drives, in degrees: what belongs into `yaw_left_deg`.
    pub yaw_left_deg: Interval,
    /// Where lines that run straight ahead meet, in pixels of the frame from its left edge.
    pub vanishing_x: Interval,
    /// Likewise from its top edge.
    pub vanishing_y: Interval,
    /// Looks that it was made from.
    pub looks: usize,
    /// Seconds of straight driving that they cover.
    pub straight_s: f64,
}

/// Why a camera could not be calibrated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impossible {
    /// No lane was claimed at all.
    NoLane,
    /// Too little straight driving with a clear lane: what there was, and what is wanted, in seconds.
    TooShort {
        /// What there was.
        straight_s: f64,
        /// What is wanted.
        wanted_s: f64,
    },
    /// What was seen differs too much for an answer: half of the interval, in degrees.
    TooUncertain {
        /// Of the pitch.
        pitch_deg: f64,
        /// Of the yaw.
        yaw_deg: f64,
    },
    /// The camera points farther off what its geometry says than lanes are followed: the geometry is wrong.
    TooFarOff,
    /// No camera has such a geometry, or such frames.
    NoCamera,
}

impl std::fmt::Display for Impossible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoLane => write!(f, "no lane was seen: drive on a road with two painted lines"),
            Self::TooShort { straight_s, wanted_s } => write!(
                f,
                "{straight_s:.0} s of straight driving in a clear lane are too little: {wanted_s:.0} s are wanted"
            ),
            Self::TooUncertain { pitch_deg, yaw_deg } => write!(
                f,
                "what was seen differs too much: pitch by {pitch_deg:.2} and yaw by {yaw_deg:.2} degrees to either side"
            ),
            Self::TooFarOff => {
                write!(f, "the camera points too far off what `camera.geometry` says: correct that first")
            }
            Self::NoCamera => write!(f, "no camera has such a geometry"),
        }
    }
}

impl std::error::Error for Impossible {}

/// Where a camera points whose frames are `size` pixels. `looks` are in order of time, made with this `geometry`.
///
/// # Errors
///
/// Where that cannot be told, with the reason.
pub fn calibrate(looks: &[Look], geometry: &CameraGeometry, size: (u32, u32)) -> Result<Calibration, Impossible> {
    RoadPlane::new(geometry, 0.0, size.0, size.1).ok_or(Impossible::NoCamera)?;
    if looks.is_empty() {
        return Err(Impossible::NoLane);
    }
    let blocks = blocks(looks);
    let straight_s = blocks.len() as f64 * BLOCK_S;
    if blocks.len() < LEAST_BLOCKS {
        return Err(Impossible::TooShort { straight_s, wanted_s: LEAST_BLOCKS as f64 * BLOCK_S });
    }
    let pitch = interval(&blocks.iter().map(|block| block.pitch_rad).collect::<Vec<_>>());
    // A lane that runs to the left of the axis is a camera that points to the right.
    let yaw = interval(&blocks.iter().map(|block| -libm::atan(block.slope)).collect::<Vec<_>>());
    if !(pitch.value.abs() <= MOST_RAD && yaw.value.abs() <= MOST_RAD) {
        return Err(Impossible::TooFarOff);
    }
    if !(pitch.give <= WIDEST_RAD && yaw.give <= WIDEST_RAD) {
        let (pitch_deg, yaw_deg) = (pitch.give.to_degrees(), yaw.give.to_degrees());
        return Err(Impossible::TooUncertain { pitch_deg, yaw_deg });
    }
    let degrees =
        |base: f64, more: Interval| Interval { value: base + more.value.to_degrees(), give: more.give.to_degrees() };
    let pitch_down_deg = degrees(geometry.pitch_down_deg, pitch);
    let yaw_left_deg = degrees(geometry.yaw_left_deg, yaw);
    let half_view = geometry.horizontal_fov_deg.to_radians() / 2.0;
    let focal = f64::from(size.0) / 2.0 / libm::tan(half_view);
    let (down, left) = (pitch_down_deg.value.to_radians(), yaw_left_deg.value.to_radians());
    let vanishing = |value: f64, give: f64| Interval { value, give };
    Ok(Calibration {
        pitch_down_deg,
        yaw_left_deg,
        // Straight ahead is to the right of an axis that points to the left, and above one that points down.
        vanishing_x: vanishing(f64::from(size.0) / 2.0 + focal * libm::tan(left) / libm::cos(down), focal * yaw.give),
        vanishing_y: vanishing(f64::from(size.1) / 2.0 - focal * libm::tan(down), focal * pitch.give),
        looks: blocks.iter().map(|block| block.looks).sum(),
        straight_s,
    })
}

/// Means over a block of looks.
struct Block {
    pitch_rad: f64,
    slope: f64,
    looks: usize,
}

/// The blocks with enough straight driving in a clear lane.
fn blocks(looks: &[Look]) -> Vec<Block> {
    let clear = |look: &&Look| {
        let numbers = [look.pitch_rad, look.slope, look.curvature_per_m];
        look.confidence >= LEAST_CONFIDENCE
            && numbers.iter().all(|number| number.is_finite())
            && look.curvature_per_m.abs() <= STRAIGHT_PER_M
    };
    let clear: Vec<&Look> = looks.iter().filter(clear).collect();
    let number = |look: &Look| (look.captured.as_secs_f64() / BLOCK_S) as u64;
    let mean = |block: &[&Look], of: fn(&Look) -> f64| {
        block.iter().map(|look| of(look)).sum::<f64>() / block.len().max(1) as f64
    };
    clear
        .chunk_by(|a, b| number(a) == number(b))
        .filter(|block| block.len() >= LEAST_LOOKS)
        .map(|block| Block {
            pitch_rad: mean(block, |look| look.pitch_rad),
            slope: mean(block, |look| look.slope),
            looks: block.len(),
        })
        .collect()
}

/// The middle of these values, two at least, with its interval: the mean without the lowest and the highest fifth (J. W.
/// Tukey, D. H. McLaughlin, "Less vulnerable confidence and significance procedures for location based on a single sample",
/// Sankhya A 25, 1963). A change of lane is an outlier, and no reason to drive again.
fn interval(values: &[f64]) -> Interval {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (count, cut) = (sorted.len(), (sorted.len() as f64 * TRIMMED) as usize);
    let kept = sorted.get(cut..count - cut).unwrap_or_default();
    let (Some(lowest), Some(highest)) = (kept.first(), kept.last()) else {
        return Interval { value: 0.0, give: f64::MAX };
    };
    let value = kept.iter().sum::<f64>() / kept.len() as f64;
    // What is cut off counts as if it were at the edge.
    let pulled: Vec<f64> = sorted.iter().map(|value| value.clamp(*lowest, *highest)).collect();
    let mean = pulled.iter().sum::<f64>() / count as f64;
    let squares = pulled.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
    let deviation = libm::sqrt(squares / count.saturating_sub(1).max(1) as f64);
    let error = deviation / ((1.0 - 2.0 * TRIMMED) * libm::sqrt(count as f64));
    let freedom = kept.len().saturating_sub(1);
    // The nearest table entry that is not narrower.
    let student = STUDENT.iter().rev().find(|(degrees, _)| *degrees <= freedom).map_or(FEWEST, |(_, t)| *t);
    Interval { value, give: student * error }
}

#[cfg(test)]
mod tests;
