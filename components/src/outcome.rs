//! What outlives a sample: things followed over time, warnings, people connected, and what is told to a reader of the log.

use bevy_ecs::component::Component;
use bevy_ecs::message::Message;
use serde::{Deserialize, Serialize};

use crate::id::StableId;
use crate::perception::{Detection, ObjectClass};
use crate::time::Mono;

/// An obstacle followed over frames of a camera. Spawned and written by `obstacles::follow`; gone when it is lost.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// What it is.
    pub class: ObjectClass,
    /// The box in the frame in which it was last seen, in pixels of the frame, smoothed over the frames before.
    pub latest: Detection,
    /// Where it is and how it moves, at the time of the frame in which it was last seen; none where that cannot be told.
    pub motion: Option<ObjectMotion>,
    /// The frame in which it was last seen.
    pub frame: StableId,
    /// When it was first seen.
    pub first_seen: Mono,
    /// When it was last seen.
    pub last_seen: Mono,
    /// Whether it is lost: it is gone after the tick.
    #[serde(default)]
    pub lost: bool,
}

/// Where something is and how it moves, in the vehicle's frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectMotion {
    /// From the front bumper to its nearest point along the road, in metres.
    pub distance_m: f32,
    /// Standard deviation of it, in metres.
    pub distance_sigma_m: f32,
    /// How far its middle is left of the vehicle's middle, in metres; negative is right.
    pub left_m: f32,
    /// Its width in metres.
    pub width_m: f32,
    /// How fast the distance shrinks, in m/s; negative when it grows.
    pub closing_mps: f32,
    /// Standard deviation of it, in m/s.
    pub closing_sigma_mps: f32,
    /// Time to collision in seconds, at constant closing speed; none where it does not come nearer.
    pub ttc_s: Option<f32>,
    /// Whether it is in the vehicle's path: in the ego lane, or where none is known in the path that the vehicle takes.
    pub in_path: bool,
    /// What agrees on the distance.
    pub sources: MotionSources,
}

/// What a distance was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MotionSources {
    /// Where the box stands on the road.
    pub ground: bool,
    /// How wide the box is.
    pub width: bool,
    /// How the box grows.
    pub scale: bool,
    /// A range finder.
    pub range: bool,
}

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertLevel {
    /// Worth knowing.
    Notice,
    /// Look now.
    Caution,
    /// Act now.
    Warning,
}

/// What a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A collision with what is ahead is near (FCW, after ISO 15623).
    ForwardCollision,
    /// The vehicle ahead is followed too closely.
    Headway,
    /// The vehicle leaves its lane (LDW, after ISO 17361).
    LaneDeparture,
    /// A pedestrian or cyclist is ahead, at low speed.
    VulnerableRoadUser,
    /// Something stands close ahead of a vehicle that moves off.
    MovingOff,
}

impl AlertKind {
    /// All of them.
    pub const ALL: [AlertKind; 5] =
        [Self::ForwardCollision, Self::Headway, Self::LaneDeparture, Self::VulnerableRoadUser, Self::MovingOff];

    /// Its name in configs, journals, topics and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForwardCollision => "forward_collision",
            Self::Headway => "headway",
            Self::LaneDeparture => "lane_departure",
            Self::VulnerableRoadUser => "vulnerable_road_user",
            Self::MovingOff => "moving_off",
        }
    }
}

impl std::fmt::Display for AlertKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A warning from its start to its end. Spawned and written by `warnings::warn`.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is about.
    pub kind: AlertKind,
    /// How urgent it is now.
    pub level: AlertLevel,
    /// When it began.
    pub started: Mono,
    /// What happens, with its figures, for a person: `time to collision 1.9 s, car, 17 m`.
    pub text: String,
    /// The frames, tracks or readings that agree, in order.
    pub evidence: Vec<StableId>,
    /// When it ended: it is gone after the tick.
    #[serde(default)]
    pub ended: Option<Mono>,
}

/// How serious a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeLevel {
    /// Good to know.
    Info,
    /// Something is less than it should be.
    Warning,
    /// Something does not work.
    Error,
}

/// A line for the log of the session and of the process.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// How serious.
    pub level: NoticeLevel,
    /// Who says so: the name of a stream or function.
    pub source: String,
    /// What.
    pub text: String,
}

crate::kinds! {
    Track => "track",
    Alert => "alert",
    Notice => "notice",
}
