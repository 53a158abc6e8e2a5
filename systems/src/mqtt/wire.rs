//! What is said over MQTT, as types: the JSON Schemas in `assets/mqtt` and the page `docs/mqtt.md` are made of them.
//!
//! Names and units are those of the COVESA Vehicle Signal Specification (VSS 5) where it has them; what it does not have
//! has a name that ends in its unit.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use waywarden_components::command::Progress;
use waywarden_components::device::FunctionState;

/// The version of everything said here. It grows when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// What every message has around what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope<T> {
    /// Version of the schema.
    pub v: u32,
    /// Number of the message in its stream since the program was started, from 1. With `boot_id` and the topic it names the
    /// message: one that comes twice is the same one.
    pub seq: u64,
    /// Random name of this run of the program.
    pub boot_id: String,
    /// When it was made, UTC, RFC 3339 with milliseconds. Without a date: since 1970 as if the computer had started then.
    pub ts: String,
    /// Whether the vehicle knew the date.
    pub ts_valid: bool,
    /// When it was made, in nanoseconds since the computer was started.
    pub mono_ns: u64,
    /// What is said.
    pub data: T,
    /// Whether it was sent late: it was made before the connection over which it came.
    pub hist: bool,
}

/// `status`, retained: whether the vehicle is there. It is also the last will, with `state` offline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Version of the schema.
    pub v: u32,
    /// Whether it is there.
    pub state: Presence,
    /// Random name of this run of the program.
    pub boot_id: String,
    /// Version of the program.
    pub version: String,
}

/// Whether a vehicle is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It is connected.
    Online,
    /// The broker has lost it.
    Offline,
    /// It was told to end.
    Stopped,
}

/// `birth`, retained: what is to be expected of the vehicle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Birth {
    /// Version of the schema.
    pub v: u32,
    /// Random name of this run of the program.
    pub boot_id: String,
    /// Version of the program.
    pub version: String,
    /// Its devices: what they are, by name.
    pub devices: BTreeMap<String, String>,
    /// The streams that it sends, below the vehicle's topic: `telemetry/position`.
    pub streams: Vec<String>,
    /// The commands that it takes.
    pub commands: Vec<String>,
    /// Its switches.
    pub switches: Vec<String>,
}

/// `telemetry/position`: where the vehicle is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// Degrees north of the equator, WGS 84.
    #[serde(rename = "Vehicle.CurrentLocation.Latitude")]
    pub latitude_deg: f64,
    /// Degrees east of Greenwich, WGS 84.
    #[serde(rename = "Vehicle.CurrentLocation.Longitude")]
    pub longitude_deg: f64,
    /// Metres above mean sea level.
    #[serde(rename = "Vehicle.CurrentLocation.Altitude", skip_serializing_if = "Option::is_none", default)]
    pub altitude_m: Option<f64>,
    /// Degrees clockwise from true north.
    #[serde(rename = "Vehicle.CurrentLocation.Heading", skip_serializing_if = "Option::is_none", default)]
    pub heading_deg: Option<f64>,
    /// Satellites used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub satellites: Option<u32>,
    /// Horizontal dilution of precision, without unit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hdop: Option<f64>,
    /// How old the fix is, in seconds.
    pub age_s: f64,
}

/// `telemetry/speed`: how fast the vehicle goes, by its satellite receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Speed {
    /// Kilometres an hour over ground.
    #[serde(rename = "Vehicle.Speed")]
    pub speed_kmh: f64,
}

/// `telemetry/lane`: the lane that the vehicle is in, by its front camera.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lane {
    /// Whether lanes are looked for and the camera delivers.
    #[serde(rename = "Vehicle.ADAS.LaneDepartureDetection.IsEnabled")]
    pub is_enabled: bool,
    /// Whether the vehicle is about to leave its lane: a warning is being given.
    #[serde(rename = "Vehicle.ADAS.LaneDepartureDetection.IsWarning")]
    pub is_warning: bool,
    /// Whether lanes cannot be looked for.
    #[serde(rename = "Vehicle.ADAS.LaneDepartureDetection.IsError")]
    pub is_error: bool,
    /// How far left of the lane's middle the vehicle is, in metres; negative is right. None where no lane is claimed.
    pub offset_m: Option<f32>,
    /// How far left of the lane's direction the vehicle points, in radians; negative is right.
    pub heading_rad: Option<f32>,
    /// Curvature of the lane in 1/m; positive bends to the left.
    pub curvature_per_m: Option<f32>,
    /// Width of the lane in metres.
    pub width_m: Option<f32>,
    /// How sure it is, 0 to 1.
    pub confidence: f32,
}

/// `telemetry/objects`: what is in the way, by camera and range finder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Objects {
    /// Whether obstacles are looked for and the camera delivers.
    #[serde(rename = "Vehicle.ADAS.ObstacleDetection.IsEnabled")]
    pub is_enabled: bool,
    /// Whether a warning is being given.
    #[serde(rename = "Vehicle.ADAS.ObstacleDetection.IsWarning")]
    pub is_warning: bool,
    /// Whether obstacles cannot be looked for.
    #[serde(rename = "Vehicle.ADAS.ObstacleDetection.IsError")]
    pub is_error: bool,
    /// Distance to the nearest thing that the range finder sees, in metres.
    #[serde(rename = "Vehicle.ADAS.ObstacleDetection.Distance")]
    pub distance_m: Option<f32>,
    /// What the front camera sees, best first.
    pub objects: Vec<Object>,
}

/// One thing that a camera sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Object {
    /// What it is: `car`, `person`.
    pub class: String,
    /// How sure the model is, 0 to 1.
    pub score: f32,
    /// Left edge, top edge, width and height in pixels of the frame.
    pub box_px: [f32; 4],
}

/// `telemetry/voice`: whether somebody speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VoiceActivity {
    /// Whether somebody is speaking now.
    pub speaking: bool,
    /// Utterances heard since the start.
    pub utterances: u64,
}

/// `telemetry/health`: how everything is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReport {
    /// Devices by name, and what else of the program has a health.
    pub devices: BTreeMap<String, DeviceHealth>,
    /// The functions that warn, by name: `forward_collision`.
    pub warnings: BTreeMap<String, DeviceHealth>,
    /// Messages that wait for the broker or its acknowledgement.
    pub waiting: u64,
    /// Messages that were dropped for want of room, or have expired.
    pub lost: u64,
}

/// How a device or a function is, in the words of driver-assistance functions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceHealth {
    /// The state.
    pub state: HealthState,
    /// Why, in words that a person can act on. Empty when active.
    pub reason: String,
}

/// The states of a driver-assistance function (after ISO 15623 and ISO 17361).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Not wanted.
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

impl From<FunctionState> for HealthState {
    fn from(state: FunctionState) -> Self {
        match state {
            FunctionState::Off => Self::Off,
            FunctionState::Standby => Self::Standby,
            FunctionState::Active => Self::Active,
            FunctionState::Degraded => Self::Degraded,
            FunctionState::Fault => Self::Fault,
        }
    }
}

/// `event/<kind>`: something that begins and ends. All that is said of one has one id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its name: with `boot_id` there is none like it.
    pub id: String,
    /// Whether this is its beginning, something new of it, or its end.
    pub phase: Phase,
    /// When it began, in nanoseconds since the computer was started.
    pub started_mono_ns: u64,
    /// The device or function it is about.
    pub source: String,
    /// How urgent it is.
    pub level: Level,
    /// What happens, for a person.
    pub text: String,
    /// Numbers about it, by name and unit: `length_s`, `level_dbfs`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
}

/// How far an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It begins.
    Start,
    /// Something of it has changed.
    Update,
    /// It is over.
    End,
}

/// How urgent an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    Notice,
    /// Look now.
    Caution,
    /// Act now.
    Warning,
}

/// `cmd/<name>`: what somebody wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandRequest {
    /// A name of the sender's choice, 1 to 128 bytes: what comes twice under one name is done once.
    pub id: String,
    /// After this time, RFC 3339, it is not carried out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<String>,
    /// `recording`, `privacy`: `on` or `off`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<String>,
    /// `snapshot`: the camera.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub camera: Option<String>,
    /// `preserve`: seconds before and after now, 1 to 3600.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub around_s: Option<u32>,
    /// `restart-device`: the device.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// `set-rate`: the stream, as `position`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stream: Option<String>,
    /// `set-rate`: messages a second at most, 0 to 50; 0 is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rate_hz: Option<f64>,
}

/// `cmd/<name>/ack`: what is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandReply {
    /// The id of the command; empty where it could not be read.
    pub id: String,
    /// How far it is.
    pub status: ReplyStatus,
    /// Why, or what came of it.
    pub reason: String,
}

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplyStatus {
    /// It was understood.
    Received,
    /// It is being carried out.
    Running,
    /// It was carried out.
    Done,
    /// It was refused, or could not be carried out.
    Failed,
    /// It came too late, or took too long.
    Expired,
}

impl From<Progress> for ReplyStatus {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Received => Self::Received,
            Progress::Running => Self::Running,
            Progress::Done => Self::Done,
            Progress::Failed => Self::Failed,
            Progress::Expired => Self::Expired,
        }
    }
}

/// What somebody sends who wants to watch over WebRTC. The topic names the session: any name of letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchOffer {
    /// The description of the connection (SDP).
    pub sdp: String,
    /// The camera by its name; without it the first front camera, else the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// When nobody waits for the answer any more, RFC 3339.
    pub expires_at: String,
}

/// What it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatchAnswer {
    /// 201 where it is accepted; else as HTTP has it: 400 unreadable, 403 refused, 404 no such camera, 422 cannot be met, 503 not now.
    pub status: u16,
    /// The description of the connection (SDP), with all addresses; empty where it is not accepted.
    pub sdp: String,
    /// Why it is not; empty where it is.
    pub reason: String,
}

/// The JSON Schemas of everything that is said and heard: a name, the topic below that of the vehicle, and the schema.
pub fn schemas() -> Vec<(&'static str, &'static str, Schema)> {
    vec![
        ("status", "status", schema_for!(Status)),
        ("birth", "birth", schema_for!(Birth)),
        ("telemetry-position", "telemetry/position", schema_for!(Envelope<Position>)),
        ("telemetry-speed", "telemetry/speed", schema_for!(Envelope<Speed>)),
        ("telemetry-lane", "telemetry/lane", schema_for!(Envelope<Lane>)),
        ("telemetry-objects", "telemetry/objects", schema_for!(Envelope<Objects>)),
        ("telemetry-voice", "telemetry/voice", schema_for!(Envelope<VoiceActivity>)),
        ("telemetry-health", "telemetry/health", schema_for!(Envelope<HealthReport>)),
        ("event", "event/+", schema_for!(Envelope<Event>)),
        ("command", "cmd/+", schema_for!(CommandRequest)),
        ("command-reply", "cmd/+/ack", schema_for!(Envelope<CommandReply>)),
        ("watch-offer", "webrtc/+/offer", schema_for!(WatchOffer)),
        ("watch-answer", "webrtc/+/answer", schema_for!(Envelope<WatchAnswer>)),
    ]
}

/// A time as of RFC 3339, UTC, with milliseconds.
pub fn rfc3339(nanos: i64) -> String {
    DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// How the JSON of an envelope ends that is sent at once, and late.
pub const LIVE_END: &[u8] = br#""hist":false}"#;
/// See [`LIVE_END`].
pub const LATE_END: &[u8] = br#""hist":true}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_ends_with_whether_it_was_late() {
        let envelope = Envelope {
            v: VERSION,
            seq: 1,
            boot_id: "b".into(),
            ts: rfc3339(1_500_000_000),
            ts_valid: true,
            mono_ns: 7,
            data: Speed { speed_kmh: 50.0 },
            hist: false,
        };
        let json = serde_json::to_vec(&envelope).unwrap();
        assert!(json.ends_with(LIVE_END));
        let late = [json.strip_suffix(LIVE_END).unwrap(), LATE_END].concat();
        let back: Envelope<Speed> = serde_json::from_slice(&late).unwrap();
        assert_eq!(back, Envelope { hist: true, ..envelope });
        assert_eq!(back.ts, "1970-01-01T00:00:01.500Z");
    }
}
