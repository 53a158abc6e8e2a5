//! Health: how each device is, and why, in words that a person can act on.

use std::time::Duration;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::registry::Register;

/// Judges devices by what comes from them.
#[derive(Resource, Clone, Debug)]
pub struct HealthPlugin {
    /// A camera that is connected and has delivered nothing for this long is degraded.
    pub camera_stale: Duration,
    /// Likewise a microphone.
    pub microphone_stale: Duration,
    /// Likewise a satellite receiver; its last fix may be as old.
    pub gps_stale: Duration,
    /// Likewise a range finder.
    pub range_stale: Duration,
    /// Whether frames are looked at.
    pub gate: bool,
    /// Whether lanes are sought by the classical estimator where there is no segmentation model.
    pub classical_lanes: bool,
    /// Names of the streams, for notices.
    pub names: Vec<(StreamId, String)>,
}

impl Plugin for HealthPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.clone()).exempt::<HealthPlugin>("the config, which the session holds");
        app.add_systems(Understand, assess);
    }
}

impl HealthPlugin {
    fn name(&self, stream: StreamId) -> String {
        self.names
            .iter()
            .find(|(id, _)| *id == stream)
            .map(|(_, name)| name.clone())
            .or_else(|| stream.own_name().map(str::to_owned))
            .unwrap_or_else(|| format!("stream {}", stream.0))
    }
}

/// What is known of a device, for its judgement.
type Device<'a> = (
    &'a StableId,
    &'a Link,
    &'a Counters,
    Option<&'a Camera>,
    Option<&'a Gate>,
    Option<&'a GpsState>,
    Option<&'a RangeState>,
    Option<&'a DriveRecorder>,
    Option<&'a RemoteApi>,
    &'a mut Health,
);

/// Judges every device, and tells the log what has changed.
pub fn assess(
    mut devices: Query<Device>,
    models: Res<ModelStatus>,
    plugin: Res<HealthPlugin>,
    clock: Res<Clock>,
    mut notices: MessageWriter<Notice>,
) {
    let mut changed = Vec::new();
    for (id, link, counters, camera, gate, gps, range, recorder, remote, mut health) in &mut devices {
        let stale_after = match (camera, gps, range) {
            (Some(_), ..) => plugin.camera_stale,
            (_, Some(_), _) => plugin.gps_stale,
            (.., Some(_)) => plugin.range_stale,
            _ => plugin.microphone_stale,
        };
        let (state, reason) = recorder
            .map(|_| judge_recorder(link))
            .or_else(|| remote.map(|remote| judge_remote(link, remote)))
            .or_else(|| judge_link(link, counters, &clock, stale_after))
            .or_else(|| gate.and_then(judge_frames))
            .or_else(|| gps.and_then(|gps| judge_gps(gps, &clock, stale_after)))
            .or_else(|| range.and_then(judge_range))
            .or_else(|| camera.filter(|_| !plugin.gate).and_then(judge_unseen))
            .or_else(|| camera.and_then(|camera| judge_models(camera, &models, plugin.classical_lanes)))
            .unwrap_or((FunctionState::Active, String::new()));
        if health.state != state || health.reason != reason {
            changed.push((*id, state, reason.clone()));
            *health = Health { state, reason };
        }
    }
    changed.sort_unstable_by_key(|(id, ..)| *id);
    for (id, state, reason) in changed {
        let level = match state {
            FunctionState::Fault => NoticeLevel::Error,
            FunctionState::Degraded => NoticeLevel::Warning,
            FunctionState::Off | FunctionState::Standby | FunctionState::Active => NoticeLevel::Info,
        };
        let state = format!("{state:?}").to_lowercase();
        let text = if reason.is_empty() { state } else { format!("{state}: {reason}") };
        notices.write(Notice { level, source: plugin.name(id.stream), text });
    }
}

type Judgement = Option<(FunctionState, String)>;

/// A recorder is given nothing by its link: it is asked for no samples.
fn judge_recorder(link: &Link) -> (FunctionState, String) {
    match &link.state {
        LinkState::Connecting => (FunctionState::Off, "nothing is recorded".to_owned()),
        LinkState::Connected => (FunctionState::Active, String::new()),
        LinkState::Lost(reason) => {
            (FunctionState::Degraded, format!("nothing is recorded, being tried again: {reason}"))
        }
        LinkState::Failed(reason) => (FunctionState::Fault, reason.clone()),
        LinkState::Ended => (FunctionState::Standby, "at its end".to_owned()),
    }
}

/// A service is asked, and gives nothing by its link.
fn judge_remote(link: &Link, remote: &RemoteApi) -> (FunctionState, String) {
    let instead = if remote.alone.is_empty() { ": the models on this computer are used" } else { "" };
    match &link.state {
        LinkState::Connecting => (FunctionState::Standby, "not asked yet".to_owned()),
        LinkState::Connected => (FunctionState::Active, String::new()),
        LinkState::Lost(reason) => (FunctionState::Degraded, format!("left alone for a while{instead}: {reason}")),
        LinkState::Failed(reason) => (FunctionState::Fault, reason.clone()),
        LinkState::Ended => (FunctionState::Standby, "at its end".to_owned()),
    }
}

fn judge_link(link: &Link, counters: &Counters, clock: &Clock, stale_after: Duration) -> Judgement {
    match &link.state {
        LinkState::Lost(reason) => Some((FunctionState::Degraded, format!("lost, being tried again: {reason}"))),
        LinkState::Failed(reason) => Some((FunctionState::Fault, reason.clone())),
        LinkState::Ended => Some((FunctionState::Standby, "at its end".to_owned())),
        LinkState::Connecting => Some((FunctionState::Standby, "being opened".to_owned())),
        LinkState::Connected => match counters.last {
            None if clock.now.since(link.since) < stale_after => {
                Some((FunctionState::Standby, "waiting for the first sample".to_owned()))
            }
            None => Some((FunctionState::Degraded, "connected, but nothing has come: check the cable".to_owned())),
            Some(last) if clock.now.since(last) >= stale_after => {
                Some((FunctionState::Degraded, "silent: check the cable and the device".to_owned()))
            }
            Some(_) => None,
        },
    }
}

fn judge_frames(gate: &Gate) -> Judgement {
    // Every frame so far was broken: the camera does not speak JPEG.
    (gate.broken > 0 && gate.judged == 0)
        .then(|| (FunctionState::Fault, "no frame can be decoded: is it set to MJPEG?".to_owned()))
}

fn judge_gps(gps: &GpsState, clock: &Clock, stale_after: Duration) -> Judgement {
    match (gps.last_fix, &gps.binary) {
        (Some(fix), _) if clock.now.since(fix) < stale_after => None,
        (_, Some(protocol)) if gps.good == 0 => {
            Some((FunctionState::Fault, format!("speaks {protocol}: switch it to NMEA")))
        }
        _ if gps.good + gps.ignored == 0 && (gps.bad > MOST_BAD || gps.stray_bytes > MOST_STRAY) => Some((
            FunctionState::Fault,
            "nothing that it says can be read: check the baud rate, and that it speaks NMEA".to_owned(),
        )),
        _ => Some(match (gps.doubt, gps.last_fix) {
            (Some((at, why)), _) if clock.now.since(at) < stale_after => {
                (FunctionState::Degraded, format!("its fixes are not believed: {}", why.words()))
            }
            (_, Some(_)) => (FunctionState::Degraded, "no fix: no view of the sky?".to_owned()),
            (_, None) => (FunctionState::Standby, "no fix yet".to_owned()),
        }),
    }
}

/// Broken sentences or frames, and bytes outside of any, after which something is wrong if nothing else has come.
const MOST_BAD: u64 = 20;
const MOST_STRAY: u64 = 2000;

fn judge_range(range: &RangeState) -> Judgement {
    let read = range.valid + range.invalid;
    (read == 0 && (range.bad > MOST_BAD || range.stray_bytes > MOST_STRAY)).then(|| {
        (FunctionState::Fault, "nothing that it says can be read: check `protocol` and the baud rate".to_owned())
    })
}

fn judge_unseen(camera: &Camera) -> Judgement {
    (camera.role == CameraRole::Front)
        .then(|| (FunctionState::Off, "recorded, not looked at: gate.enabled is false".to_owned()))
}

fn judge_models(camera: &Camera, models: &ModelStatus, classical_lanes: bool) -> Judgement {
    if camera.role != CameraRole::Front {
        return None;
    }
    let missing: Vec<String> = models
        .roles
        .iter()
        .filter_map(|(role, status)| {
            let reason = status.as_ref().err()?;
            let instead = *role == JobRole::Segmentation && classical_lanes;
            Some(if instead {
                format!("lanes by the classical estimator: {reason}")
            } else {
                format!("no {role}: {reason}")
            })
        })
        .collect();
    (!missing.is_empty()).then(|| (FunctionState::Degraded, missing.join("; ")))
}
