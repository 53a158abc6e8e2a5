//! What was seen in pictures.

use std::collections::BTreeMap;

use bevy_ecs::component::Component;
use bevy_ecs::resource::Resource;
use serde::{Deserialize, Serialize};

use crate::geometry::LaneGeometry;
use crate::id::{StableId, StreamId};
use crate::time::Mono;

/// A black and white picture, run-length encoded row by row: runs alternate, beginning with a (possibly empty) black one.
///
/// A mask always covers the whole frame, whatever the model's own input was; only its resolution differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Lengths of the runs; they add up to width x height.
    pub runs: Vec<u32>,
}

impl Mask {
    /// Pixels of the largest mask that is sound: more than any model gives.
    pub const MOST_PIXELS: u64 = 1 << 24;

    /// Encodes `width * height` pixels, white where `white` says so.
    pub fn encode(width: u32, height: u32, mut white: impl FnMut(u32, u32) -> bool) -> Self {
        let mut runs = Vec::new();
        let (mut colour, mut run) = (false, 0u32);
        for y in 0..height {
            for x in 0..width {
                if white(x, y) == colour {
                    run += 1;
                } else {
                    runs.push(run);
                    (colour, run) = (!colour, 1);
                }
            }
        }
        if run > 0 {
            runs.push(run);
        }
        Self { width, height, runs }
    }

    /// Whether the runs fill the picture, and it is of a size that pictures have.
    pub fn is_sound(&self) -> bool {
        let size = u64::from(self.width) * u64::from(self.height);
        size <= Self::MOST_PIXELS && self.runs.iter().map(|&run| u64::from(run)).sum::<u64>() == size
    }

    /// Decodes to one byte a pixel: 0 black, 1 white. A mask that is not [sound](Mask::is_sound) gives none.
    pub fn decode(&self) -> Vec<u8> {
        if !self.is_sound() {
            return Vec::new();
        }
        let mut pixels = Vec::with_capacity(self.width as usize * self.height as usize);
        for (colour, &run) in [0, 1].into_iter().cycle().zip(&self.runs) {
            pixels.resize(pixels.len() + run as usize, colour);
        }
        pixels
    }

    /// White pixels.
    pub fn count(&self) -> u64 {
        self.runs.iter().skip(1).step_by(2).map(|&run| u64::from(run)).sum()
    }
}

/// What a segmentation model said of a frame. Written by `lanes::understand` when the job's result arrives.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Segmentation {
    /// Where one can drive, and where lines are painted; none until a result is there.
    pub masks: Option<RoadMasks>,
}

/// The two masks of a road segmentation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoadMasks {
    /// Drivable area.
    pub drivable: Mask,
    /// Lane lines.
    pub lines: Mask,
}

/// A point of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImagePoint {
    /// Pixels from the left edge.
    pub x: f32,
    /// Pixels from the top edge.
    pub y: f32,
}

/// Where a lane estimate comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneSource {
    /// Nowhere: nothing was looked at yet.
    #[default]
    None,
    /// The mask of a segmentation model.
    Model,
    /// The classical estimator, which needs no model.
    Classical,
}

/// How a line is painted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// It cannot be told, or not yet.
    #[default]
    Unknown,
    /// Without gaps.
    Solid,
    /// With gaps.
    Dashed,
}

/// What is known of one of the two lines of a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LineSight {
    /// How sure it is that the line is there, 0 to 1. It falls while the line is not seen.
    pub confidence: f32,
    /// Whether its paint was seen in this frame; if not, its place follows from the other line and the usual width.
    pub seen: bool,
    /// How it is painted.
    pub kind: LineKind,
}

/// The lines beside the vehicle in one frame. Written by `lanes::understand`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneEstimate {
    /// Left line, bottom first, in image coordinates; none when it was not seen.
    pub left: Option<Vec<ImagePoint>>,
    /// Right line, likewise.
    pub right: Option<Vec<ImagePoint>>,
    /// How sure it is, 0 to 1. Of a model's masks: the confidence of the less sure line. Of the classical estimator: how well
    /// the lane has held over the last looks. 0 where no lane is claimed.
    pub confidence: f32,
    /// The lane in metres; none where it is not claimed. As good as the camera's geometry is known.
    pub geometry: Option<LaneGeometry>,
    /// Where it comes from.
    pub source: LaneSource,
    /// The left line by itself.
    #[serde(default)]
    pub left_line: LineSight,
    /// The right line by itself.
    #[serde(default)]
    pub right_line: LineSight,
}

/// What an obstacle is (a coarse view of the COCO classes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectClass {
    /// A person on foot.
    Person,
    /// A bicycle, with or without its rider.
    Bicycle,
    /// A car or van.
    Car,
    /// A motorcycle.
    Motorcycle,
    /// A bus.
    Bus,
    /// A truck.
    Truck,
    /// Anything else that the model knows, by its COCO number.
    Other(u16),
}

impl ObjectClass {
    /// The class with this number among the 80 of COCO, counted from 0.
    pub fn from_coco(number: u16) -> Self {
        match number {
            0 => Self::Person,
            1 => Self::Bicycle,
            2 => Self::Car,
            3 => Self::Motorcycle,
            5 => Self::Bus,
            7 => Self::Truck,
            other => Self::Other(other),
        }
    }

    /// Whether it is a motor vehicle.
    pub fn is_vehicle(self) -> bool {
        matches!(self, Self::Car | Self::Motorcycle | Self::Bus | Self::Truck)
    }
}

/// A box around an obstacle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// What it is.
    pub class: ObjectClass,
    /// How sure the model is, 0 to 1.
    pub score: f32,
    /// Left edge in pixels of the frame.
    pub left: f32,
    /// Top edge in pixels of the frame.
    pub top: f32,
    /// Width in pixels.
    pub width: f32,
    /// Height in pixels.
    pub height: f32,
}

/// What a detector said of a frame. Written by `obstacles::understand` when the job's result arrives.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detections {
    /// The boxes, best first; none until a result is there.
    pub boxes: Option<Vec<Detection>>,
}

/// What has been asked for of a camera's frames. Written by the capability that asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Number of the newest frame that was considered.
    pub considered: u64,
    /// When the newest frame that was asked for was due: about when it was captured.
    pub asked: Option<Mono>,
}

/// Frames for which segmentation was asked, by camera. Written by `lanes::request`.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SegmentationAsked(pub BTreeMap<StreamId, Asked>);

/// Frames for which detection was asked, by camera. Written by `obstacles::request`.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DetectionAsked(pub BTreeMap<StreamId, Asked>);

/// What is known of the ego lane of a camera: the newest estimate and the frame it was made from, none of both where the
/// camera's pictures are no longer fresh. Written by `lanes::understand`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EgoLane {
    /// The frame.
    pub frame: Option<StableId>,
    /// When it was captured.
    pub captured: Option<Mono>,
    /// What was seen in it.
    pub estimate: LaneEstimate,
    /// Frames segmented.
    pub segmented: u64,
    /// Segmentations that failed.
    pub failed: u64,
}

/// What is known of the obstacles before a camera; nothing where its pictures are no longer fresh. Written by `obstacles::understand`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Obstacles {
    /// The frame.
    pub frame: Option<StableId>,
    /// When it was captured.
    pub captured: Option<Mono>,
    /// The boxes found in it, best first.
    pub boxes: Vec<Detection>,
    /// Frames looked at.
    pub detected: u64,
    /// Detections that failed.
    pub failed: u64,
}

crate::kinds! {
    Segmentation => "segmentation",
    LaneEstimate => "lane_estimate",
    Detections => "detections",
    SegmentationAsked => "segmentation_asked",
    DetectionAsked => "detection_asked",
    EgoLane => "ego_lane",
    Obstacles => "obstacles",
}
