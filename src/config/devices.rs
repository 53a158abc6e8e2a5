//! Devices of the config: cameras, microphones, satellite receivers, range sensors.

use std::fmt;

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::{CameraGeometry, CameraRole, RangeProtocol};

/// Where a device's data come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum DeviceSource {
    /// A seeded simulation, in real time.
    #[default]
    Simulated,
    /// A device at this address: see the manual for what the addresses of its kind look like.
    At(String),
}

impl From<String> for DeviceSource {
    fn from(text: String) -> Self {
        if text == SIMULATED { Self::Simulated } else { Self::At(text) }
    }
}

impl From<DeviceSource> for String {
    fn from(source: DeviceSource) -> Self {
        source.to_string()
    }
}

impl fmt::Display for DeviceSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simulated => SIMULATED,
            Self::At(address) => address,
        })
    }
}

const SIMULATED: &str = "simulated";

/// How a camera's pictures come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CameraFormat {
    /// MJPEG if it has that, else what it has.
    #[default]
    Auto,
    /// JPEGs, taken as they come.
    Mjpeg,
    /// Raw: 4:2:2, packed.
    Yuyv,
    /// Raw: 4:2:0, luma and then chroma.
    Nv12,
    /// Raw: red, green, blue.
    Rgb,
    /// Raw: blue, green, red.
    Bgr,
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
    /// How its pictures come.
    pub format: CameraFormat,
    /// Width of its pictures in pixels.
    pub width: u32,
    /// Height of its pictures in pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: f64,
    /// Simulated pictures that are drawn before the start and then shown over and over; 0 draws each anew.
    pub loop_frames: u32,
    /// Whether simulated pictures show their numbers.
    pub counter: bool,
    /// How it is mounted.
    pub geometry: CameraGeometry,
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            name: "front".into(),
            role: CameraRole::Front,
            source: DeviceSource::Simulated,
            format: CameraFormat::Auto,
            width: 1280,
            height: 720,
            fps: 30.0,
            loop_frames: 0,
            counter: false,
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
    /// Samples a second that it is asked for; 0 takes what suits it.
    pub rate_hz: u32,
}

impl Default for Microphone {
    fn default() -> Self {
        Self { name: "microphone".into(), source: DeviceSource::Simulated, rate_hz: 0 }
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
    /// Baud rate of its serial line; 0 when it is to be found.
    pub baud: u32,
    /// Simulated fixes a second, in hertz.
    pub rate_hz: f64,
}

impl Default for Gps {
    fn default() -> Self {
        Self { name: "gps".into(), source: DeviceSource::Simulated, baud: 0, rate_hz: 5.0 }
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
    /// Baud rate of its serial line.
    pub baud: u32,
    /// Simulated readings a second, in hertz.
    pub rate_hz: f64,
}

impl Default for Range {
    fn default() -> Self {
        Self {
            name: "range".into(),
            source: DeviceSource::Simulated,
            protocol: RangeProtocol::Tfmini,
            baud: 115_200,
            rate_hz: 100.0,
        }
    }
}
