//! Devices: entities that live as long as the app.

use std::collections::BTreeSet;

use bevy_ecs::component::Component;
use bevy_ecs::schedule::SystemSet;
use serde::{Deserialize, Serialize};

use crate::audio::{Voice, VoiceBuffer};
use crate::frame::{Gate, Sight};
use crate::geometry::CameraGeometry;
use crate::job::JobRole;
use crate::lanes::LaneTracker;
use crate::perception::{EgoLane, Obstacles};
use crate::position::{GpsProtocol, GpsState};
use crate::range::{RangeProtocol, RangeState};
use crate::time::Mono;

/// Where a camera looks. Only front cameras feed lanes and forward warnings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CameraRole {
    /// Ahead, through the windscreen.
    #[default]
    Front,
    /// Behind.
    Rear,
    /// At the driver and passengers.
    Cabin,
}

/// A camera.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[require(Link, Description, Counters, Fresh, Health, Gate, Sight, EgoLane, LaneTracker, Obstacles)]
pub struct Camera {
    /// Where it looks.
    pub role: CameraRole,
    /// How it is mounted.
    pub geometry: CameraGeometry,
}

/// A microphone.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[require(Link, Description, Counters, Fresh, Health, Voice, VoiceBuffer)]
pub struct Microphone;

/// A satellite receiver.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[require(Link, Description, Counters, Fresh, Health, GpsState)]
pub struct GpsReceiver {
    /// How it speaks.
    pub protocol: GpsProtocol,
}

/// A range finder.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[require(Link, Description, Counters, Fresh, Health, RangeState)]
pub struct RangeSensor {
    /// How it speaks.
    pub protocol: RangeProtocol,
}

/// What records the drive. Its link says whether the disk takes what is recorded, and its counters how many ticks could
/// not be: as `dropped`.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[require(Link, Description, Counters, Health)]
pub struct DriveRecorder;

/// A loudspeaker, through which an operator is heard. It gives no samples: its link says whether it plays.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[require(Link, Description, Counters, Health)]
pub struct Loudspeaker;

/// A service that computes models elsewhere. Its link says whether it answers.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[require(Link, Description, Counters, Health)]
pub struct RemoteApi {
    /// The roles for which there is no model on this computer: without the service nothing computes them.
    pub alone: BTreeSet<JobRole>,
}

/// What a device thread says of its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Being opened, or waited for.
    Connecting,
    /// Open and expected to deliver.
    Connected,
    /// Gone, with the reason; it will be tried again.
    Lost(String),
    /// Given up, with the reason.
    Failed(String),
    /// At its end: a file was read through.
    Ended,
}

/// The link of a device as last heard. Written by Ingress.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// What was said.
    pub state: LinkState,
    /// When.
    pub since: Mono,
}

impl Default for Link {
    fn default() -> Self {
        Self { state: LinkState::Connecting, since: Mono::default() }
    }
}

/// What a device is, as last opened: a line for a person, with what was asked for and what was granted. Empty before it
/// was opened. Written by Ingress.
#[derive(Component, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description(pub String);

/// What came from a device, counted. Written by Ingress.
#[derive(Component, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Samples, or chunks of serial bytes, that came in.
    pub received: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Items that its queue dropped.
    pub dropped: u64,
    /// When the last one came in.
    pub last: Option<Mono>,
}

/// Whether a device can be relied on in this tick: its link is up, and the last thing that could be used is younger than the
/// config allows. Where it is false, nothing is concluded from what the device said before. Written by `health::freshen`,
/// in [`Freshening`]: Understand sees this tick's, Sense that of the tick before.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fresh(pub bool);

/// Holds the system that writes [`Fresh`]: whatever in Understand depends on it comes after it.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Freshening;

/// The states of a driver-assistance function (after ISO 15623 and ISO 17361).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionState {
    /// Not wanted by the config.
    Off,
    /// Wanted, and waiting for its conditions.
    Standby,
    /// Working.
    Active,
    /// Working with less than it should have.
    Degraded,
    /// Not working.
    Fault,
}

/// How a device or function is, in the words of driver-assistance functions. Written by `health::assess`.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// The state.
    pub state: FunctionState,
    /// Why, in words that a person can act on. Empty when active.
    pub reason: String,
}

impl Default for Health {
    fn default() -> Self {
        Self { state: FunctionState::Standby, reason: "waiting for the first sample".into() }
    }
}

crate::kinds! {
    Camera => "camera",
    Microphone => "microphone",
    GpsReceiver => "gps_receiver",
    RangeSensor => "range_sensor",
    DriveRecorder => "drive_recorder",
    Loudspeaker => "loudspeaker",
    RemoteApi => "remote_api",
    Link => "link",
    Description => "description",
    Counters => "counters",
    Fresh => "fresh",
    Health => "health",
}
