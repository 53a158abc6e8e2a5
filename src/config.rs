//! The config: one TOML file, every key with a default, every mistake named with file, line and key.
//!
//! `assets/waywarden.toml` is the reference manual: it holds every key with its unit, range, default and reason.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serializer;
use serde::{Deserialize, Serialize};
use waywarden_components::prelude::{CameraRole, GpsProtocol, StreamId, StreamKind, StreamSpec};
use waywarden_systems::warnings::WarningSettings;

mod check;
mod devices;
mod explain;
mod limits;
pub mod mqtt;
mod network;
mod parse;
mod path;
mod problem;
pub mod scenario;
mod sections;
mod simulation;
mod webrtc;

pub use devices::{Camera, CameraFormat, DeviceSource, Gps, Microphone, Range};
pub use limits::{LIMITS, Limit};
pub use mqtt::Mqtt;
pub use network::{Http, Mcp, Remote};
pub use problem::{ConfigError, Problem};
pub use sections::{
    Detection, DetectionCrop, EngineChoice, Gate, GpsFix, Health, Inference, LaneFallback, Log, LogFormat, LogLevel,
    Model, Parked, Record, Replay, Segmentation, Speaker, Supervisor, Threads, Tick, Voice, VoiceDetector,
};
pub use simulation::{Perceive, Pictures, Simulation};
pub use webrtc::WebRtc;

/// The largest config file that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// The commented default config, which is also the reference manual.
pub const DEFAULT_TOML: &str = include_str!("../assets/waywarden.toml");

/// The keys that stand in double brackets, once for each device or model.
const LISTS: [&str; 5] = ["camera", "microphone", "gps", "range", "model"];

/// Everything that can be told to Waywarden by file. An empty file gives the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Cameras, in the order of their stream numbers.
    pub camera: Vec<Camera>,
    /// Microphones. None by default: nobody is listened to unasked.
    pub microphone: Vec<Microphone>,
    /// Satellite receivers.
    pub gps: Vec<Gps>,
    /// Range sensors.
    pub range: Vec<Range>,
    /// The user's own models, beside the ones that Waywarden knows.
    pub model: Vec<Model>,
    /// Where an operator's voice is heard.
    pub speaker: Speaker,
    /// How failures of devices are answered.
    pub supervisor: Supervisor,
    /// The loop.
    pub tick: Tick,
    /// Who gets how many of the computer's cores.
    pub threads: Threads,
    /// Simulated devices.
    pub simulation: Simulation,
    /// Which frames are worth looking at.
    pub gate: Gate,
    /// What computes models.
    pub inference: Inference,
    /// Road and lane lines.
    pub segmentation: Segmentation,
    /// Obstacles.
    pub detection: Detection,
    /// Voice activity.
    pub voice: Voice,
    /// How sentences of satellite receivers become fixes.
    pub gps_fix: GpsFix,
    /// When a silent device is called stale.
    pub health: Health,
    /// A vehicle that stands and where nothing happens.
    pub parked: Parked,
    /// When warnings are given.
    #[serde(serialize_with = "as_written")]
    pub warnings: WarningSettings,
    /// The broker that the vehicle reports to.
    pub mqtt: Mqtt,
    /// Sessions on disk.
    pub record: Record,
    /// Sessions run again.
    pub replay: Replay,
    /// A service that computes models elsewhere.
    pub remote: Remote,
    /// The HTTP server.
    pub http: Http,
    /// What agents may ask.
    pub mcp: Mcp,
    /// Live video, sound and voice.
    pub webrtc: WebRtc,
    /// What is said while it runs.
    pub log: Log,
}

/// Numbers of single precision as somebody would write them: 0.9, not 0.8999999761581421.
fn as_written<S: Serializer>(settings: &WarningSettings, serializer: S) -> Result<S::Ok, S::Error> {
    fn shorten(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(table) => table.values_mut().for_each(shorten),
            serde_json::Value::Number(number) => {
                let short = number.as_f64().and_then(|number| (number as f32).to_string().parse().ok());
                if let Some(short) = short.and_then(serde_json::Number::from_f64) {
                    *number = short;
                }
            }
            _ => {}
        }
    }
    let mut value = serde_json::to_value(settings).map_err(serde::ser::Error::custom)?;
    shorten(&mut value);
    value.serialize(serializer)
}

impl parse::Document for Config {
    fn manual() -> explain::Manual {
        explain::manual()
    }

    fn violations(&self, relations: bool) -> Vec<check::Violation> {
        check::violations(self, relations)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            camera: vec![Camera::default()],
            microphone: Vec::new(),
            gps: vec![Gps::default()],
            range: vec![Range::default()],
            model: Vec::new(),
            speaker: Speaker::default(),
            supervisor: Supervisor::default(),
            tick: Tick::default(),
            threads: Threads::default(),
            simulation: Simulation::default(),
            gate: Gate::default(),
            inference: Inference::default(),
            segmentation: Segmentation::default(),
            detection: Detection::default(),
            voice: Voice::default(),
            gps_fix: GpsFix::default(),
            health: Health::default(),
            parked: Parked::default(),
            warnings: WarningSettings::default(),
            mqtt: Mqtt::default(),
            record: Record::default(),
            replay: Replay::default(),
            remote: Remote::default(),
            http: Http::default(),
            mcp: Mcp::default(),
            webrtc: WebRtc::default(),
            log: Log::default(),
        }
    }
}

impl Config {
    /// Reads the config file at `path`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is larger than [`MAX_BYTES`], is not UTF-8, is not TOML, or says something that
    /// [`Config::from_toml`] refuses.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let origin = path.display().to_string();
        let hint = "name an existing TOML file with --config, or leave it out to use the defaults";
        Self::from_bytes(&read(path, hint)?, &origin)
    }

    /// Reads a config from the bytes of a file; `origin` is what the file is called in messages.
    ///
    /// # Errors
    ///
    /// See [`Config::load`].
    pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Self, ConfigError> {
        Self::from_toml(text_of(bytes, origin)?, origin)
    }

    /// Reads a config from TOML; `origin` is what the text is called in messages.
    ///
    /// # Errors
    ///
    /// Every mistake that can be told apart, each with its place, key and a hint: bad syntax, unknown keys, wrong
    /// types, values out of range, names that are used twice or are no names.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, ConfigError> {
        parse::parse(text, origin)
    }

    /// Checks a config that was built or changed by the program itself, as if it had been read from `origin`.
    ///
    /// # Errors
    ///
    /// Every value that [`Config::from_toml`] would refuse, without line and column.
    pub fn validate(&self, origin: &str) -> Result<(), ConfigError> {
        parse::validate(self, origin)
    }

    /// The effective config as TOML, all keys written out. [`Config::from_toml`] reads it back to an equal config.
    ///
    /// # Errors
    ///
    /// When a number does not fit TOML, which [`Config::validate`] would have refused.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The same config with every device simulated, and a simulated microphone if there was none: simulated sound is
    /// nobody's voice.
    pub fn simulated(mut self) -> Self {
        self.camera.iter_mut().for_each(|camera| camera.source = DeviceSource::Simulated);
        self.microphone.iter_mut().for_each(|microphone| microphone.source = DeviceSource::Simulated);
        self.gps.iter_mut().for_each(|gps| gps.source = DeviceSource::Simulated);
        self.range.iter_mut().for_each(|range| range.source = DeviceSource::Simulated);
        if self.microphone.is_empty() {
            let mut microphone = Microphone::default();
            while self.names().any(|name| name == microphone.name) {
                microphone.name.push_str("-simulated");
            }
            self.microphone.push(microphone);
        }
        self
    }

    /// The names of all devices, in the order of their stream numbers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let cameras = self.camera.iter().map(|camera| camera.name.as_str());
        let microphones = self.microphone.iter().map(|microphone| microphone.name.as_str());
        let gps = self.gps.iter().map(|gps| gps.name.as_str());
        let ranges = self.range.iter().map(|range| range.name.as_str());
        cameras.chain(microphones).chain(gps).chain(ranges)
    }

    /// Where the data of the device of this name come from; none if there is no such device.
    pub fn source_of(&self, name: &str) -> Option<&DeviceSource> {
        let cameras = self.camera.iter().map(|device| (&device.name, &device.source));
        let microphones = self.microphone.iter().map(|device| (&device.name, &device.source));
        let gps = self.gps.iter().map(|device| (&device.name, &device.source));
        let ranges = self.range.iter().map(|device| (&device.name, &device.source));
        let mut all = cameras.chain(microphones).chain(gps).chain(ranges);
        all.find(|(device, _)| *device == name).map(|(_, source)| source)
    }

    /// The camera whose pictures the truth of the simulation is about: the first that looks ahead, if it draws a drive
    /// and does not repeat pictures.
    pub fn true_camera(&self) -> Option<&Camera> {
        let front = self.camera.iter().find(|camera| camera.role == CameraRole::Front);
        front.filter(|camera| camera.source == DeviceSource::Simulated && camera.loop_frames == 0)
    }

    /// A name for the stream of what the simulation knows to be true.
    fn truth_name(&self) -> String {
        let mut name = "truth".to_owned();
        while self.names().any(|taken| taken == name) {
            name.push_str("-simulated");
        }
        name
    }

    /// The streams, numbered from 1: cameras, microphones, satellite receivers, range sensors, each in the order of the
    /// file; then the truth, where there is one.
    pub fn streams(&self) -> Vec<StreamSpec> {
        let cameras =
            self.camera.iter().map(|camera| StreamKind::Camera { role: camera.role, geometry: camera.geometry });
        let microphones = self.microphone.iter().map(|_| StreamKind::Microphone);
        let gps = self.gps.iter().map(|_| StreamKind::Gps { protocol: GpsProtocol::Nmea });
        let ranges = self.range.iter().map(|range| StreamKind::Range { protocol: range.protocol });
        let kinds = cameras.chain(microphones).chain(gps).chain(ranges);
        let devices = self.names().map(str::to_owned).zip(kinds);
        let truth = self.true_camera().map(|_| (self.truth_name(), StreamKind::Truth));
        (1u16..)
            .zip(devices.chain(truth))
            .map(|(id, (name, kind))| StreamSpec { id: StreamId(id), name, kind })
            .collect()
    }
}

/// The bytes of a file, and one more than allowed at most.
fn read(path: &Path, hint: &str) -> Result<Vec<u8>, ConfigError> {
    let mut bytes = Vec::new();
    // One byte more than allowed is asked for, so that a file without a known size is bounded as well.
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => {
            Err(Problem::of_file(&path.display().to_string(), format!("cannot be read: {error}"), hint).into())
        }
    }
}

/// The text of a file.
fn text_of<'a>(bytes: &'a [u8], origin: &str) -> Result<&'a str, ConfigError> {
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("is larger than {MAX_BYTES} bytes");
        return Err(Problem::of_file(origin, message, "is this really a config file?").into());
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let message = "not UTF-8 text".to_owned();
        Problem::at_byte(origin, bytes, error.valid_up_to(), message, "save the file as UTF-8").into()
    })
}

#[cfg(test)]
mod tests;
