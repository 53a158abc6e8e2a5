//! How a vehicle is now: its state, position, lane, obstacles and health.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waywarden_components::prelude::*;
use waywarden_systems::mqtt::wire::DeviceHealth;
use waywarden_systems::scene::report::{
    AlertReport, DeviceReport, Motion, ObjectReport, Position, Report, camera_report,
};
use waywarden_systems::scene::{CameraScene, Scene};

use super::answers::{Moment, Unanswered, Unknown};
use super::live::{self, Live};

/// Objects that are listed at most, the nearest first.
const MOST_OBJECTS: usize = 32;

/// Which camera is asked about.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OfCamera {
    /// The name of a camera, as `health` lists it. Without it the first camera that looks ahead.
    pub camera: Option<String>,
}

/// How the vehicle is, in short.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct VehicleState {
    /// The moment that this is about: now.
    pub at: Moment,
    /// Where the vehicle is; null where it is not known.
    pub position: Option<Position>,
    /// How it moves.
    pub motion: Motion,
    /// How far left of the middle of its lane it is, in metres; negative is right; null where no lane is claimed.
    pub lane_offset_m: Option<f32>,
    /// The nearest object in its path; null where none is seen.
    pub nearest_in_path: Option<ObjectReport>,
    /// Distance to the nearest thing that a range finder sees, in metres; null where none measures one.
    pub range_m: Option<f32>,
    /// Warnings that are being given to the driver right now.
    pub alerts: Vec<AlertReport>,
    /// What is not as it should be: devices and warning functions, with the reason. Empty when all is well.
    pub troubles: Vec<Trouble>,
    /// Whether somebody is speaking in the vehicle right now.
    pub speaking: bool,
    /// The name of the session that is being recorded, for `session_summary`; null where nothing is recorded.
    pub session: Option<String>,
    /// Whether recording is switched on, if there is a recorder.
    pub recording: bool,
    /// Whether privacy is on: nobody is listened to or watched inside of the vehicle.
    pub privacy: bool,
    /// What is not known, and why.
    pub unknown: Vec<Unknown>,
}

/// A device or function that is not as it should be.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Trouble {
    /// Its name.
    pub name: String,
    /// How it is, and why.
    #[serde(flatten)]
    pub health: DeviceHealth,
}

/// Where the vehicle is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Whereabouts {
    /// The moment that this is about: now.
    pub at: Moment,
    /// Where it is, and how old the fix is; null where it is not known.
    pub position: Option<Position>,
    /// How it moves.
    pub motion: Motion,
    /// What is not known, and why.
    pub unknown: Vec<Unknown>,
}

/// The lane that the vehicle is in.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Lane {
    /// The moment that this is about: now.
    pub at: Moment,
    /// The camera that looks for it.
    pub camera: String,
    /// The lane; null where none is claimed.
    pub lane: Option<LaneFound>,
    /// The function that warns of leaving the lane.
    pub departure_warning: Option<DeviceHealth>,
    /// Whether it warns right now.
    pub warning: bool,
    /// What is not known, and why.
    pub unknown: Vec<Unknown>,
}

/// A lane that is claimed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LaneFound {
    /// How old the picture is in which it was found, in seconds.
    pub age_s: Option<f64>,
    /// How sure it is, 0 to 1.
    pub confidence: f32,
    /// How far left of the lane's middle the vehicle is, in metres; negative is right.
    pub offset_m: Option<f32>,
    /// How far left of the lane's direction the vehicle points, in radians; negative is right.
    pub heading_rad: Option<f32>,
    /// Curvature in 1/m; positive bends to the left.
    pub curvature_per_m: Option<f32>,
    /// Width in metres.
    pub width_m: Option<f32>,
    /// Whether the left line is seen.
    pub left_line: bool,
    /// Whether the right line is seen.
    pub right_line: bool,
}

/// What is around the vehicle.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Around {
    /// The moment that this is about: now.
    pub at: Moment,
    /// What is followed, the nearest first, at most 32.
    pub objects: Vec<Object>,
    /// Objects that are not listed because there are more than 32.
    pub left_out: u64,
    /// Distance to the nearest thing that a range finder sees, in metres; null where none measures one.
    pub range_m: Option<f32>,
    /// What is not known, and why.
    pub unknown: Vec<Unknown>,
}

/// Something that is followed, and by which camera.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Object {
    /// The camera that sees it.
    pub camera: String,
    /// What is known of it.
    #[serde(flatten)]
    pub object: ObjectReport,
}

/// How devices and functions are.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct HealthNow {
    /// The moment that this is about: now.
    pub at: Moment,
    /// Whether every device works, and no warning function has a fault.
    pub well: bool,
    /// Devices, and what else has a health of its own (recorder, broker, remote models).
    pub devices: Vec<DeviceReport>,
    /// The functions that warn the driver, by name.
    pub functions: BTreeMap<String, DeviceHealth>,
    /// Whether recording is switched on, if there is a recorder.
    pub recording: bool,
    /// Whether privacy is on: devices that see or hear people inside are then off on purpose.
    pub privacy: bool,
}

impl Live {
    /// How the vehicle is, in short.
    ///
    /// # Errors
    /// When the run stands still.
    pub async fn vehicle_state(&self) -> Result<VehicleState, Unanswered> {
        let scene = self.now().await?;
        let report = Report::from(&*scene);
        let in_path = report.cameras.iter().flat_map(|camera| &camera.objects).filter(|object| object.in_path);
        let far = |object: &&ObjectReport| object.distance_m.unwrap_or(f32::MAX);
        let nearest_in_path = in_path.min_by(|a, b| far(a).total_cmp(&far(b))).cloned();
        let lane_offset_m = report.cameras.iter().find_map(|camera| camera.lane.as_ref()?.offset_m);
        let mut unknown = self.not_known_of_motion(&scene);
        if lane_offset_m.is_none() {
            unknown.extend(self.why_no_lane(&scene, None));
        }
        unknown.extend(self.why_blind(&scene));
        Ok(VehicleState {
            at: Moment::from(&*scene),
            position: report.position,
            motion: report.motion,
            lane_offset_m,
            nearest_in_path,
            range_m: report.distance_m,
            alerts: report.alerts,
            troubles: troubles(&report.devices, &report.functions),
            speaking: report.speaking,
            session: self.session().map(str::to_owned),
            recording: report.recording,
            privacy: report.privacy,
            unknown,
        })
    }

    /// Where the vehicle is.
    ///
    /// # Errors
    /// When the run stands still.
    pub async fn position(&self) -> Result<Whereabouts, Unanswered> {
        let scene = self.now().await?;
        let Report { position, motion, .. } = Report::from(&*scene);
        Ok(Whereabouts { at: Moment::from(&*scene), position, motion, unknown: self.not_known_of_motion(&scene) })
    }

    /// The lane that the vehicle is in.
    ///
    /// # Errors
    /// When the run stands still, or there is no such camera.
    pub async fn lane(&self, of: &OfCamera) -> Result<Lane, Unanswered> {
        let scene = self.now().await?;
        let camera = &scene.cameras[live::camera(&scene, of.camera.as_deref())?];
        let report = Report::from(&*scene);
        let kind = AlertKind::LaneDeparture.name();
        let lane = camera_report(&scene, camera).lane.map(|lane| LaneFound {
            age_s: lane.age_s,
            confidence: lane.confidence,
            offset_m: lane.offset_m,
            heading_rad: lane.heading_rad,
            curvature_per_m: lane.curvature_per_m,
            width_m: lane.width_m,
            left_line: !lane.left.is_empty(),
            right_line: !lane.right.is_empty(),
        });
        let unknown = match &lane {
            None => self.why_no_lane(&scene, Some(camera)),
            Some(lane) if lane.offset_m.is_none() => {
                Some(Unknown::new("offset_m", "lines are seen, but not surely enough for a lane in metres"))
            }
            Some(_) => None,
        };
        Ok(Lane {
            at: Moment::from(&*scene),
            camera: camera.name.clone(),
            lane,
            departure_warning: report.functions.get(kind).cloned(),
            warning: report.alerts.iter().any(|alert| alert.kind == kind),
            unknown: unknown.into_iter().collect(),
        })
    }

    /// What is around the vehicle.
    ///
    /// # Errors
    /// When the run stands still, or there is no such camera.
    pub async fn obstacles(&self, of: &OfCamera) -> Result<Around, Unanswered> {
        let scene = self.now().await?;
        let only = match &of.camera {
            Some(name) => Some(live::camera(&scene, Some(name))?),
            None => None,
        };
        let cameras = scene.cameras.iter().enumerate().filter(|(n, _)| only.is_none_or(|only| only == *n));
        let mut objects: Vec<Object> = cameras
            .flat_map(|(_, camera)| {
                let found = camera_report(&scene, camera).objects.into_iter();
                found.map(|object| Object { camera: camera.name.clone(), object })
            })
            .collect();
        let far = |found: &Object| found.object.distance_m.unwrap_or(f32::MAX);
        objects.sort_by(|a, b| far(a).total_cmp(&far(b)));
        let left_out = objects.len().saturating_sub(MOST_OBJECTS) as u64;
        objects.truncate(MOST_OBJECTS);
        let unknown = self.why_blind(&scene);
        Ok(Around { at: Moment::from(&*scene), objects, left_out, range_m: scene.distance_m, unknown })
    }

    /// How devices and functions are.
    ///
    /// # Errors
    /// When the run stands still.
    pub async fn health(&self) -> Result<HealthNow, Unanswered> {
        let scene = self.now().await?;
        let Report { devices, functions, recording, privacy, .. } = Report::from(&*scene);
        let well = troubles(&devices, &functions).is_empty();
        Ok(HealthNow { at: Moment::from(&*scene), well, devices, functions, recording, privacy })
    }

    /// What is not known of place and speed, and why.
    fn not_known_of_motion(&self, scene: &Scene) -> Vec<Unknown> {
        let receivers = self.named(|kind| matches!(kind, StreamKind::Gps { .. }));
        let why = || {
            let first = receivers.iter().find_map(|name| live::why_not(scene, name));
            match first {
                _ if receivers.is_empty() => "there is no satellite receiver in the config".to_owned(),
                Some(why) => why,
                None => "no fix that can be relied on has come yet, or the last one is too old".to_owned(),
            }
        };
        let mut unknown = Vec::new();
        if scene.fix.is_none() {
            unknown.push(Unknown::new("position", why()));
        }
        if scene.motion.speed_mps.is_none() {
            unknown.push(Unknown::new("speed_kmh", why()));
        }
        if scene.utc_ns.is_none() {
            unknown.push(Unknown::new("utc", "no clock of this computer, time server or satellite has told the date"));
        }
        unknown
    }

    /// Why no lane is claimed.
    fn why_no_lane(&self, scene: &Scene, camera: Option<&CameraScene>) -> Option<Unknown> {
        let front = || scene.cameras.iter().find(|camera| camera.camera.role == CameraRole::Front);
        let why = match camera.or_else(front) {
            None => "there is no camera that looks ahead".to_owned(),
            Some(camera) if camera.camera.role != CameraRole::Front => {
                format!("{} does not look ahead: lanes are looked for in front cameras alone", camera.name)
            }
            Some(camera) if !camera.fresh => live::why_not(scene, &camera.name)
                .unwrap_or_else(|| format!("{} delivers no usable picture", camera.name)),
            Some(camera) => match camera.lane.captured {
                None => format!("no picture of {} has been looked at yet", camera.name),
                Some(at) => {
                    let age_s = scene.now.since(at).as_secs_f64();
                    format!("no lane was seen surely enough in the picture of {} taken {age_s:.1} s ago", camera.name)
                }
            },
        };
        Some(Unknown::new("lane", why))
    }

    /// Why an empty list of objects need not mean an empty road.
    fn why_blind(&self, scene: &Scene) -> Vec<Unknown> {
        let mut unknown = Vec::new();
        for camera in scene.cameras.iter().filter(|camera| camera.camera.role == CameraRole::Front) {
            if let Some(why) = live::why_not(scene, &camera.name) {
                unknown.push(Unknown::new("obstacles", why));
            }
        }
        if scene.distance_m.is_none() {
            let finders = self.named(|kind| matches!(kind, StreamKind::Range { .. }));
            let first = finders.iter().find_map(|name| live::why_not(scene, name));
            let why = match first {
                _ if finders.is_empty() => "there is no range finder in the config".to_owned(),
                Some(why) => why,
                None => "nothing is within its reach, or its last reading is too old".to_owned(),
            };
            unknown.push(Unknown::new("range_m", why));
        }
        unknown
    }
}

/// What is not as it should be: not active, and not off because nobody wants it.
fn troubles(devices: &[DeviceReport], functions: &BTreeMap<String, DeviceHealth>) -> Vec<Trouble> {
    use waywarden_systems::mqtt::wire::HealthState as State;
    let devices = devices
        .iter()
        .filter(|device| !matches!(device.health.state, State::Active | State::Off))
        .map(|device| Trouble { name: device.name.clone(), health: device.health.clone() });
    // A function that waits for its conditions is well.
    let functions = functions
        .iter()
        .filter(|(_, health)| matches!(health.state, State::Degraded | State::Fault))
        .map(|(name, health)| Trouble { name: name.clone(), health: health.clone() });
    devices.chain(functions).collect()
}
