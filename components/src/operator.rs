//! Operators: people and programs elsewhere that watch, listen and talk over WebRTC.

use bevy_ecs::component::Component;
use bevy_ecs::message::Message;
use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::SystemSet;
use serde::{Deserialize, Serialize};

use crate::id::StreamId;
use crate::time::Mono;

/// Holds the system that decides about operators: whatever in Sense depends on who talks comes after it.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Negotiating;

/// How an operator and the vehicle found each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signalling {
    /// By WHEP, over the vehicle's own server.
    Http,
    /// Over the broker.
    Mqtt,
}

/// What somebody who wants to watch asks for. The description of the connection itself stays outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorOffer {
    /// How it came.
    pub via: Signalling,
    /// The camera by its name; none: the first front camera, else the first.
    pub camera: Option<String>,
    /// Whether pictures are wanted, in a form that the vehicle can give.
    pub video: bool,
    /// Whether sound is wanted.
    pub audio: bool,
    /// Whether the operator wants to talk, and may.
    pub talk: bool,
    /// Bytes of the description.
    pub bytes: u32,
}

/// How the link to an operator is, as told about once a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatorLink {
    /// What the link is believed to carry, in bits a second.
    pub target_bps: u32,
    /// What was sent over it, in bits a second.
    pub sent_bps: u32,
    /// Share of packets that were lost, 0 to 1.
    pub lost: f32,
    /// The time there and back, in milliseconds; 0 where it is not known.
    pub rtt_ms: f32,
    /// How long pictures wait before they leave, in milliseconds.
    pub waiting_ms: f32,
    /// Whether the other end reports each packet. Without that the link is judged by what was lost.
    pub reports_packets: bool,
}

/// What has come of an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorEvent {
    /// Somebody wants to watch.
    Offered(OperatorOffer),
    /// The connection is made.
    Connected,
    /// How the link is; also a sign of life.
    Link(OperatorLink),
    /// A picture that stands alone is wanted: something was lost.
    KeyframeWanted,
    /// The operator's voice comes in, with this level: root mean square, in decibels below full scale.
    Speaks(f32),
    /// It does not come any more.
    Silent,
    /// The connection has ended, and why.
    Gone(String),
}

/// Something has come of an operator. Written by Ingress.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorSaid {
    /// The number of the session.
    pub session: u64,
    /// When.
    pub at: Mono,
    /// What.
    pub event: OperatorEvent,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorState {
    /// It was accepted, and is not connected yet.
    Offered,
    /// It is connected.
    Connected,
}

/// Which pictures of a camera an operator gets. There are two encodings of a camera at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureSize {
    /// The one for all whose links carry it.
    Full,
    /// A smaller one, for those whose links do not.
    Small,
}

/// A person or program that watches, and may talk. Spawned and written by `webrtc::negotiate`; its number is that of the
/// session.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorSession {
    /// When it began.
    pub started: Mono,
    /// When it was last heard of.
    pub last_heard: Mono,
    /// Whether the operator's voice may come out of the vehicle's loudspeaker.
    pub may_talk: bool,
    /// How it came.
    pub via: Signalling,
    /// How far it is.
    pub state: OperatorState,
    /// The camera that is shown; none where no pictures are.
    pub camera: Option<StreamId>,
    /// Which pictures of it.
    pub size: PictureSize,
    /// When that was decided.
    pub size_since: Mono,
    /// Whether the microphone is heard.
    pub audio: bool,
    /// How its link is, as last told.
    pub link: OperatorLink,
    /// Whether a picture that stands alone is waited for.
    pub wants_keyframe: bool,
    /// When one was last ordered.
    pub keyframe_at: Option<Mono>,
    /// Level of the operator's voice, root mean square, in decibels below full scale; none while it does not come in.
    pub level_dbfs: Option<f32>,
    /// Why it ended: it is gone after the tick.
    pub ended: Option<String>,
}

/// What is to be done about an operator, outside of the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorDeed {
    /// Answer: the session is accepted.
    Accept {
        /// The camera that is shown; none where no pictures are.
        camera: Option<StreamId>,
        /// Whether the microphone is heard.
        audio: bool,
        /// Whether the operator may talk.
        talk: bool,
    },
    /// Answer: it is not, and why.
    Refuse(String),
    /// Show pictures of this size from now on.
    Show(PictureSize),
    /// Send a picture that stands alone.
    Keyframe,
    /// Let the operator's voice be heard in the vehicle, or not.
    Hear(bool),
    /// End it, and say why.
    Close(String),
}

/// Something is to be done about an operator. Written by `webrtc::negotiate`, read in Act; what comes of it comes back through
/// Ingress.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorOrder {
    /// The number of the session.
    pub session: u64,
    /// What.
    pub deed: OperatorDeed,
}

/// Who of the operators is heard in the vehicle. Written by `webrtc::negotiate`.
///
/// Half duplex: while an operator is heard, and a moment longer, what the microphones hear is not taken for somebody in the
/// vehicle who speaks.
#[derive(Resource, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorTalk {
    /// The number of the session of who is heard now.
    pub talker: Option<u64>,
    /// When who is heard now, or was heard last, began.
    pub from: Mono,
    /// Until when what came out of the loudspeaker is still in the air, once nobody is heard any more.
    pub until: Mono,
    /// When the voice last came in.
    pub heard: Mono,
}

impl OperatorTalk {
    /// Whether sound of this time is, or may be, an operator's voice out of the loudspeaker.
    pub fn covers(&self, at: Mono) -> bool {
        at >= self.from && (self.talker.is_some() || at < self.until)
    }
}

crate::kinds! {
    OperatorSaid => "operator_said",
    OperatorSession => "operator_session",
    OperatorOrder => "operator_order",
    OperatorTalk => "operator_talk",
}
