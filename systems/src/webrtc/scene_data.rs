//! What is known of a picture, as it goes over a data channel beside it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use waywarden_components::prelude::*;

use crate::camera::jpeg;
use crate::scene::report::{AlertReport, CameraReport, DeviceReport, Motion, Position, Report};
use crate::scene::{CameraScene, Scene};

/// What is known at the time of a picture. Places are in pixels of the picture.
#[derive(Serialize)]
struct SceneData<'a> {
    /// The number of the picture; none where no pictures are watched.
    frame: Option<u64>,
    /// When it was taken, in nanoseconds since the computer was started.
    captured_ns: Option<u64>,
    /// Its width in pixels, as the camera gave it: the video may be smaller.
    width: u32,
    /// Its height.
    height: u32,
    camera: Option<&'a CameraReport>,
    alerts: &'a [AlertReport],
    position: &'a Option<Position>,
    motion: &'a Motion,
    devices: &'a [DeviceReport],
    speaking: bool,
    recording: bool,
    privacy: bool,
    utc: &'a Option<String>,
}

/// A scene in words, for one camera; none where it cannot be said.
pub(super) fn of(scene: &Scene, report: &Report, camera: Option<StreamId>) -> Option<Arc<str>> {
    let place = |wanted: StreamId| scene.cameras.iter().position(|known| known.stream == wanted);
    let place = camera.and_then(place);
    let shown: Option<&CameraScene> = place.map(|place| &scene.cameras[place]);
    let frame = shown.and_then(|shown| shown.frame.as_ref());
    let (width, height) = frame.and_then(|frame| jpeg::size(&frame.frame.jpeg).ok()).unwrap_or_default();
    let data = SceneData {
        frame: frame.map(|frame| frame.id.seq),
        captured_ns: frame.map(|frame| frame.captured.as_nanos()),
        width,
        height,
        camera: place.and_then(|place| report.cameras.get(place)),
        alerts: &report.alerts,
        position: &report.position,
        motion: &report.motion,
        devices: &report.devices,
        speaking: report.speaking,
        recording: report.recording,
        privacy: report.privacy,
        utc: &report.utc,
    };
    serde_json::to_string(&data).ok().map(Arc::from)
}

/// What is said over a data channel before it is closed.
pub(super) fn farewell(why: &str) -> String {
    serde_json::json!({ "ended": why }).to_string()
}

/// What is said of the operator's own voice: whether it is heard in the vehicle, how loud it comes in, and how long it takes until it
/// is heard, if that is known.
pub(super) fn voice(heard: bool, level_dbfs: Option<f32>, delay: Option<Duration>) -> String {
    let delay_ms = delay.map(|delay| delay.as_millis() as u64);
    serde_json::json!({ "talk": { "heard": heard, "level_dbfs": level_dbfs, "delay_ms": delay_ms } }).to_string()
}
