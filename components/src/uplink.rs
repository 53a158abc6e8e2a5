//! The link to an MQTT broker, and what goes over it.

use std::collections::BTreeMap;

use bevy_ecs::component::Component;
use bevy_ecs::message::Message;
use bevy_ecs::resource::Resource;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::device::{Counters, Description, Health, Link};
use crate::outcome::AlertLevel;
use crate::time::Mono;

/// The broker that the vehicle reports to.
#[derive(Component, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[require(Link, Description, Counters, Health, Uplink)]
pub struct Broker;

/// How what was handed to the broker's link fares. Told about once a second. Written by Ingress.
#[derive(Component, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uplink {
    /// Messages that wait: for the broker, or for its acknowledgement.
    pub waiting: u64,
    /// Messages that the broker has acknowledged.
    pub delivered: u64,
    /// Messages that were dropped for want of room, or have expired.
    pub lost: u64,
    /// What is wrong with the disk that keeps them; empty where nothing is.
    pub trouble: String,
}

/// A message that came from the broker, or from somebody whom the app let in itself. Written by Ingress.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerMessage {
    /// When it arrived.
    pub at: Mono,
    /// Its topic below those of the vehicle: `cmd/ping`.
    pub topic: String,
    /// What it says.
    pub bytes: Bytes,
    /// Whether the broker had kept it: it may be of any age.
    pub retained: bool,
    /// Whether a command of this id came in before, in a run before this one.
    pub again: bool,
    /// Who sent it, by the name of his token. Empty: it came from the broker, which does not say.
    #[serde(default)]
    pub by: String,
}

/// What was last told of a stream of telemetry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Messages so far. The number of the last one.
    pub seq: u64,
    /// When the last one was made.
    pub at: Option<Mono>,
    /// Its numbers, to see how far they have moved.
    pub numbers: Vec<f64>,
    /// Its words, to see whether they are others.
    pub words: Vec<String>,
}

/// Something that was told to have begun, and not to have ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenEvent {
    /// Its name.
    pub id: String,
    /// What it is about: `voice`, `health`, `lane_departure`.
    pub kind: String,
    /// The device or function it is about.
    pub source: String,
    /// When it began.
    pub started: Mono,
    /// How urgent it is.
    pub level: AlertLevel,
    /// What happens, for a person.
    pub text: String,
}

/// What was told. Written by `mqtt::publish`.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Telemetry {
    /// By stream: `telemetry/position`.
    pub streams: BTreeMap<String, Told>,
    /// What goes on, by what it is about.
    pub open: BTreeMap<String, OpenEvent>,
}

crate::kinds! {
    Broker => "broker",
    Uplink => "uplink",
    BrokerMessage => "broker_message",
    Telemetry => "telemetry",
}
