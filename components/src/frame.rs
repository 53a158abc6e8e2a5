//! Pictures and what is found out about each on the way.

use bevy_ecs::component::Component;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::lanes::LaneFeatures;
use crate::perception::{Detections, LaneEstimate, Segmentation};
use crate::time::Mono;

/// A picture: the camera's own JPEG, reference-counted. Spawned by Ingress with all its findings empty.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[require(Thumbnail, LaneFeatures, GateScore, Segmentation, LaneEstimate, Detections)]
pub struct Frame {
    /// The whole JPEG, SOI to EOI.
    pub jpeg: Bytes,
}

/// Side of the gate's luma picture, in pixels.
pub const THUMBNAIL_SIDE: usize = 64;

/// A small grey picture of the whole frame, 64x64 luma bytes, row by row, squeezed without regard to aspect.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Luma(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl std::fmt::Debug for Luma {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Luma({} bytes)", self.0.len())
    }
}

/// What the first look at a frame gave. Written by `camera::capture`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Thumbnail {
    /// Not looked at yet.
    #[default]
    Pending,
    /// Decoded.
    Ready {
        /// Width of the frame in pixels.
        width: u32,
        /// Height of the frame in pixels.
        height: u32,
        /// The small picture.
        luma: Luma,
    },
    /// Not a JPEG that can be decoded, with the decoder's reason.
    Broken(String),
}

/// Whether a frame is worth looking at. Written by `camera::gate`.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum GateScore {
    /// Not judged yet.
    #[default]
    Pending,
    /// Judged.
    Judged {
        /// Mean absolute luma difference to the last accepted frame of this camera, 0 to 255; 255 for the first.
        difference: f32,
        /// Whether the frame goes on to segmentation and detection.
        accepted: bool,
        /// Whether it was accepted only because the last accepted one is too old.
        forced: bool,
    },
    /// A broken frame, or one of another size than its camera's: nobody uses it.
    Unusable,
}

impl GateScore {
    /// Whether the frame goes on to segmentation and detection.
    pub fn accepted(&self) -> bool {
        matches!(self, Self::Judged { accepted: true, .. })
    }
}

/// What a camera's gate remembers. Written by `camera::gate`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// The last accepted picture.
    pub reference: Option<Luma>,
    /// When it was captured.
    pub accepted_at: Option<Mono>,
    /// When the last one that was judged was captured.
    #[serde(default)]
    pub judged_at: Option<Mono>,
    /// Frames judged.
    pub judged: u64,
    /// Frames accepted, forced ones included.
    pub accepted: u64,
    /// Frames accepted only because the last accepted one was too old.
    pub forced: u64,
    /// Frames that could not be decoded.
    pub broken: u64,
    /// Size of the camera's frames in pixels, (0, 0) before the first.
    pub size: (u32, u32),
    /// Frames of another size, which nobody uses.
    pub wrong_size: u64,
    /// The size of the last one of those, and how many in a row had it: the camera may have been set to it.
    pub other_size: ((u32, u32), u32),
    /// When the camera was opened for the last time: it may have another size since.
    pub opened: Mono,
}

/// Why a camera that gives pictures sees nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SightFault {
    /// All of one shade: covered, or in the dark.
    Blocked,
    /// Blown out.
    Overexposed,
    /// The same picture again and again.
    Frozen,
    /// The road is above.
    UpsideDown,
}

impl SightFault {
    /// What is wrong and what to do, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Blocked => "camera blocked: it sees nothing but one shade; clean the lens, take off what covers it",
            Self::Overexposed => "camera blinded: the picture is blown out; low sun, or its exposure is wrong",
            Self::Frozen => "camera frozen: it gives the same picture again and again; unplug it and plug it in again",
            Self::UpsideDown => "camera upside down: the road is above; turn it",
        }
    }
}

/// Whether a camera can see at all. Written by `camera::look_out`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// Why it cannot.
    pub fault: Option<SightFault>,
    /// Number of the newest frame that was looked at.
    pub latest: u64,
    /// Since when its pictures have been of one shade.
    pub plain: Option<Mono>,
    /// Since when they have been blown out.
    pub bright: Option<Mono>,
    /// Since when they have been the same.
    pub same: Option<Mono>,
    /// Masks in a row that had the road above.
    pub overhead: u32,
    /// A hash of the last small picture.
    pub last: Option<u64>,
    /// A hash of the bytes of the last picture, where it was like the one before.
    pub fingerprint: Option<u64>,
}

crate::kinds! {
    Sight => "sight",
    Frame => "frame",
    Thumbnail => "thumbnail",
    GateScore => "gate_score",
    Gate => "gate",
}
