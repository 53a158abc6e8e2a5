//! Devices of the config: cameras, microphones, satellite receivers, range sensors.

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::{CameraGeometry, CameraRole, RangeProtocol};

/// Where a device's data come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceSource {
    /// A seeded simulation, in real time.
    #[default]
    Simulated,
}

/// A camera.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Camera {
    /// Its name, unique among all devices.
    pub name: String,
    /// Where it looks.
    pub role: CameraRole,
    /// Where its pictures come from.
    pub source: DeviceSource,
    /// Width of its pictures in pixels.
    pub width: u32,
    /// Height of its pictures in pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: f64,
    /// Simulated pictures that are drawn before the start and then shown over and over; 0 draws each anew.
    pub loop_frames: u32,
    /// How it is mounted.
    pub geometry: CameraGeometry,
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            name: "front".into(),
            role: CameraRole::Front,
            source: DeviceSource::Simulated,
            width: 1280,
            height: 720,
            fps: 30.0,
            loop_frames: 0,
            geometry: CameraGeometry::default(),
        }
    }
}

/// A microphone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Microphone {
    /// Its name, unique among all devices.
    pub name: String,
    /// Where its sound comes from.
    pub source: DeviceSource,
}

impl Default for Microphone {
    fn default() -> Self {
        Self { name: "microphone".into(), source: DeviceSource::Simulated }
    }
}

/// A satellite receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gps {
    /// Its name, unique among all devices.
    pub name: String,
    /// Where its sentences come from.
    pub source: DeviceSource,
    /// Simulated fixes a second, in hertz.
    pub rate_hz: f64,
}

impl Default for Gps {
    fn default() -> Self {
        Self { name: "gps".into(), source: DeviceSource::Simulated, rate_hz: 5.0 }
    }
}

/// A range sensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Range {
    /// Its name, unique among all devices.
    pub name: String,
    /// Where its readings come from.
    pub source: DeviceSource,
    /// How it speaks.
    pub protocol: RangeProtocol,
    /// Simulated readings a second, in hertz.
    pub rate_hz: f64,
}

impl Default for Range {
    fn default() -> Self {
        Self { name: "range".into(), source: DeviceSource::Simulated, protocol: RangeProtocol::Tfmini, rate_hz: 100.0 }
    }
}
