//! A scene in words and numbers, as it is told over the network: to the operator's page, over data channels, to agents.
//!
//! Names end in their unit. Places in pictures are in pixels of the picture they belong to, from its top left corner.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;

use super::{CameraScene, DeviceScene, Happening, Scene};
use crate::mqtt::wire::{DeviceHealth, rfc3339};

/// How a run is: everything but pictures and sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The tick.
    pub tick: u64,
    /// When it began, in nanoseconds since the computer was started.
    pub mono_ns: u64,
    /// The date, RFC 3339 with milliseconds; none while it is not known.
    pub utc: Option<String>,
    /// Where the vehicle is; none where nothing that can be relied on says so.
    pub position: Option<Position>,
    /// How it moves.
    pub motion: Motion,
    /// What cameras see.
    pub cameras: Vec<CameraReport>,
    /// Distance to the nearest thing that a range finder sees, in metres.
    pub distance_m: Option<f32>,
    /// Warnings that are being given.
    pub alerts: Vec<AlertReport>,
    /// The functions that warn, by name.
    pub functions: BTreeMap<String, DeviceHealth>,
    /// Devices, and what else has a health of its own.
    pub devices: Vec<DeviceReport>,
    /// Whether somebody is speaking.
    pub speaking: bool,
    /// Level of the newest sound, root mean square, in decibels below full scale; none where no sound came in with this tick.
    pub level_dbfs: Option<f32>,
    /// Whether the drive is recorded, as far as commands decide it.
    pub recording: bool,
    /// Whether nobody is listened to or watched inside of the vehicle.
    pub privacy: bool,
}

/// Where the vehicle is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// Degrees north of the equator, WGS 84.
    pub latitude_deg: f64,
    /// Degrees east of Greenwich, WGS 84.
    pub longitude_deg: f64,
    /// Metres above mean sea level.
    pub altitude_m: Option<f64>,
    /// Direction of travel in degrees clockwise from true north, by the receiver.
    pub course_deg: Option<f64>,
    /// Satellites used.
    pub satellites: Option<u32>,
    /// Horizontal dilution of precision, without unit.
    pub hdop: Option<f64>,
    /// How old the fix is, in seconds.
    pub age_s: f64,
}

/// How the vehicle moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Motion {
    /// Kilometres an hour over ground; none where nothing fresh tells it.
    pub speed_kmh: Option<f32>,
    /// Direction of travel in degrees clockwise from true north, as last known while it moved.
    pub heading_deg: Option<f32>,
    /// How fast it turns to the left, in radians a second.
    pub yaw_rate_radps: Option<f32>,
    /// Whether it is known to stand.
    pub standing: bool,
}

/// What a camera sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CameraReport {
    /// Its name.
    pub camera: String,
    /// Where it looks: `front`, `rear`, `cabin`.
    pub role: String,
    /// Whether it can be relied on.
    pub fresh: bool,
    /// The number of its newest picture, and when that was taken, in nanoseconds since the computer was started.
    pub frame: Option<(u64, u64)>,
    /// The lane; none where none is claimed.
    pub lane: Option<LaneReport>,
    /// What is followed in its pictures, the nearest first.
    pub objects: Vec<ObjectReport>,
}

/// The lane that the vehicle is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LaneReport {
    /// The number of the picture in which it was found.
    pub frame: Option<u64>,
    /// How long ago that was taken, in seconds.
    pub age_s: Option<f64>,
    /// How sure it is, 0 to 1.
    pub confidence: f32,
    /// Points of the left line in pixels.
    pub left: Vec<[f32; 2]>,
    /// Points of the right line in pixels.
    pub right: Vec<[f32; 2]>,
    /// How far left of the lane's middle the vehicle is, in metres; negative is right.
    pub offset_m: Option<f32>,
    /// How far left of the lane's direction the vehicle points, in radians; negative is right.
    pub heading_rad: Option<f32>,
    /// Curvature in 1/m; positive bends to the left.
    pub curvature_per_m: Option<f32>,
    /// Width in metres.
    pub width_m: Option<f32>,
}

/// Something that is followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectReport {
    /// Its stable id: the same for as long as it is followed.
    pub id: String,
    /// What it is: `car`, `person`.
    pub class: String,
    /// How sure the detector was, 0 to 1.
    pub score: f32,
    /// The number of the picture in which it was seen last.
    pub frame: u64,
    /// How long ago that was taken, in seconds.
    pub age_s: f64,
    /// Left edge, top edge, width and height in pixels of that picture.
    pub box_px: [f32; 4],
    /// How far away it is, in metres.
    pub distance_m: Option<f32>,
    /// How fast it comes nearer, in m/s; negative goes away.
    pub closing_mps: Option<f32>,
    /// Time to collision in seconds; none where it does not come nearer.
    pub ttc_s: Option<f32>,
    /// Whether it is in the vehicle's path.
    pub in_path: bool,
}

/// A warning that is being given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertReport {
    /// Its stable id.
    pub id: String,
    /// Which function gives it: `forward_collision`.
    pub kind: String,
    /// How urgent it is: `notice`, `caution`, `warning`.
    pub level: String,
    /// What it says.
    pub text: String,
    /// Since when, in seconds.
    pub since_s: f64,
}

/// A device, or something of the app's own that has a health.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceReport {
    /// Its name.
    pub name: String,
    /// How it is, and why.
    #[serde(flatten)]
    pub health: DeviceHealth,
    /// What it is, as it was last opened.
    pub description: String,
    /// Samples that came from it.
    pub received: u64,
    /// Samples that were dropped.
    pub dropped: u64,
}

/// Something that has happened, or goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventReport {
    /// Its number; with the run's name there is none like it.
    pub number: u64,
    /// What it is: `alert`, `health`, `utterance`, `notice`, `command`.
    pub kind: String,
    /// What it is about: a device, a warning function.
    pub source: String,
    /// How urgent it is: `notice`, `caution`, `warning`.
    pub level: String,
    /// What happened, for a person.
    pub text: String,
    /// When it began, RFC 3339; none where the date was not known.
    pub utc: Option<String>,
    /// When it began, in nanoseconds since the computer was started.
    pub started_mono_ns: u64,
    /// How long it took, in seconds; none while it goes on.
    pub length_s: Option<f64>,
}

/// What a class is called.
pub fn class_name(class: ObjectClass) -> String {
    match class {
        ObjectClass::Person => "person".to_owned(),
        ObjectClass::Bicycle => "bicycle".to_owned(),
        ObjectClass::Car => "car".to_owned(),
        ObjectClass::Motorcycle => "motorcycle".to_owned(),
        ObjectClass::Bus => "bus".to_owned(),
        ObjectClass::Truck => "truck".to_owned(),
        ObjectClass::Other(number) => format!("coco-{number}"),
    }
}

fn level_name(level: AlertLevel) -> String {
    match level {
        AlertLevel::Notice => "notice",
        AlertLevel::Caution => "caution",
        AlertLevel::Warning => "warning",
    }
    .to_owned()
}

impl From<&Scene> for Report {
    fn from(scene: &Scene) -> Self {
        let motion = &scene.motion;
        Self {
            tick: scene.tick,
            mono_ns: scene.now.as_nanos(),
            utc: scene.utc_ns.map(rfc3339),
            position: scene.fix.as_ref().map(|(fix, at)| Position {
                latitude_deg: fix.latitude_deg,
                longitude_deg: fix.longitude_deg,
                altitude_m: fix.altitude_m,
                course_deg: fix.course_deg,
                satellites: fix.satellites,
                hdop: fix.hdop,
                age_s: scene.now.since(*at).as_secs_f64(),
            }),
            motion: Motion {
                speed_kmh: motion.speed_mps.map(|speed| speed * 3.6),
                heading_deg: motion.heading_deg,
                yaw_rate_radps: motion.yaw_rate_radps,
                standing: motion.standing,
            },
            cameras: scene.cameras.iter().map(|camera| camera_report(scene, camera)).collect(),
            distance_m: scene.distance_m,
            alerts: scene.alerts.iter().map(|(id, alert)| alert_report(scene, *id, alert)).collect(),
            functions: scene
                .functions
                .0
                .iter()
                .map(|(kind, function)| {
                    let how = DeviceHealth { state: function.state.into(), reason: function.reason.clone() };
                    (kind.name().to_owned(), how)
                })
                .collect(),
            devices: scene.devices.iter().map(DeviceReport::from).collect(),
            speaking: scene.speaking,
            level_dbfs: scene.level_dbfs,
            recording: scene.switches.recording,
            privacy: scene.switches.privacy,
        }
    }
}

/// What a camera of a scene sees.
pub fn camera_report(scene: &Scene, camera: &CameraScene) -> CameraReport {
    let stream = StreamId::tracks_of(camera.stream);
    let mut objects: Vec<_> = scene
        .tracks
        .iter()
        .filter(|(id, track)| id.stream == stream && !track.lost)
        .map(|(id, track)| object_report(scene, *id, track))
        .collect();
    let far = |object: &ObjectReport| object.distance_m.unwrap_or(f32::MAX);
    objects.sort_by(|a, b| far(a).total_cmp(&far(b)));
    let estimate = &camera.lane.estimate;
    let points = |line: &Option<Vec<ImagePoint>>| {
        line.as_ref().map(|line| line.iter().map(|point| [point.x, point.y]).collect::<Vec<_>>())
    };
    let claimed = camera.fresh && (estimate.left.is_some() || estimate.right.is_some() || estimate.geometry.is_some());
    let geometry = estimate.geometry;
    CameraReport {
        camera: camera.name.clone(),
        role: format!("{:?}", camera.camera.role).to_lowercase(),
        fresh: camera.fresh,
        frame: camera.frame.as_ref().map(|frame| (frame.id.seq, frame.captured.as_nanos())),
        lane: claimed.then(|| LaneReport {
            frame: camera.lane.frame.map(|frame| frame.seq),
            age_s: camera.lane.captured.map(|at| scene.now.since(at).as_secs_f64()),
            confidence: estimate.confidence,
            left: points(&estimate.left).unwrap_or_default(),
            right: points(&estimate.right).unwrap_or_default(),
            offset_m: geometry.map(|lane| lane.offset_m),
            heading_rad: geometry.map(|lane| lane.heading_rad),
            curvature_per_m: geometry.map(|lane| lane.curvature_per_m),
            width_m: geometry.map(|lane| lane.width_m),
        }),
        objects,
    }
}

fn object_report(scene: &Scene, id: StableId, track: &Track) -> ObjectReport {
    let (found, motion) = (&track.latest, &track.motion);
    ObjectReport {
        id: id.to_string(),
        class: class_name(track.class),
        score: found.score,
        frame: track.frame.seq,
        age_s: scene.now.since(track.last_seen).as_secs_f64(),
        box_px: [found.left, found.top, found.width, found.height],
        distance_m: motion.map(|motion| motion.distance_m),
        closing_mps: motion.map(|motion| motion.closing_mps),
        ttc_s: motion.and_then(|motion| motion.ttc_s),
        in_path: motion.is_some_and(|motion| motion.in_path),
    }
}

fn alert_report(scene: &Scene, id: StableId, alert: &Alert) -> AlertReport {
    AlertReport {
        id: id.to_string(),
        kind: alert.kind.name().to_owned(),
        level: level_name(alert.level),
        text: alert.text.clone(),
        since_s: scene.now.since(alert.started).as_secs_f64(),
    }
}

impl From<&DeviceScene> for DeviceReport {
    fn from(device: &DeviceScene) -> Self {
        let health = DeviceHealth { state: device.health.state.into(), reason: device.health.reason.clone() };
        Self {
            name: device.name.clone(),
            health,
            description: device.description.clone(),
            received: device.received,
            dropped: device.dropped,
        }
    }
}

impl From<&Happening> for EventReport {
    fn from(happening: &Happening) -> Self {
        let length = happening.ended.map(|ended| ended.since(happening.started).as_secs_f64());
        Self {
            number: happening.number,
            kind: happening.kind.clone(),
            source: happening.source.clone(),
            level: level_name(happening.level),
            text: happening.text.clone(),
            utc: happening.utc_ns.map(rfc3339),
            started_mono_ns: happening.started.as_nanos(),
            length_s: length,
        }
    }
}
