//! The devices of a config: each a driver under the supervisor, with a channel of its own to the door.

use std::sync::Arc;
use std::time::Duration;

use waywarden_components::prelude::*;
use waywarden_systems::ingress::{Inlet, Parking, Wake, channel};
#[cfg(feature = "sound")]
use waywarden_systems::microphone::AlsaMicrophone;
use waywarden_systems::serial::SerialDevice;
use waywarden_systems::simulate::Drive;
#[cfg(feature = "sound")]
use waywarden_systems::speaker::{Voice, speaker};
use waywarden_systems::supervisor::{self, Driver, Remote, Supervisor, SupervisorSettings, Task, Tried};

use crate::config::{Config, DeviceSource};
use crate::failure::Failure;
use crate::simulated::faults::Faults;
use crate::simulated::{self, SimulatedDriver, Start};

/// Frames that may wait for a tick: what a camera's own buffers would hold.
const WAITING_FRAMES: usize = 4;
/// Pieces of sound that may wait for a tick: two seconds.
const WAITING_SOUND: usize = 100;
/// Pieces of serial bytes that may wait for a tick.
const WAITING_SERIAL: usize = 256;

/// Changes of a loudspeaker's link that may wait for a tick.
#[cfg(feature = "sound")]
const WAITING_WORDS: usize = 16;

/// What the loudspeaker is called.
pub const SPEAKER: &str = "speaker";

/// How long devices have to come back when the program ends. What does not is left behind.
const PATIENCE: Duration = Duration::from_secs(1);

/// Devices that have not been started.
pub struct Devices {
    tasks: Vec<Task>,
    settings: SupervisorSettings,
    start: Start,
    #[cfg(feature = "sound")]
    voice: Option<Voice>,
}

/// Devices that run.
pub struct RunningDevices(Supervisor);

impl Devices {
    /// The devices of `streams`, and the channels through which they are heard.
    ///
    /// # Errors
    /// When one cannot be simulated as it is set, or this build has no driver for it.
    pub fn new(
        config: &Config,
        streams: &[StreamSpec],
        wake: &Wake,
        parking: &Parking,
    ) -> Result<(Self, Vec<Inlet>), Failure> {
        let drive = simulated::drive(config)?;
        let start = Start::default();
        let (mut tasks, mut inlets) = (Vec::new(), Vec::new());
        for spec in streams {
            let (capacity, policy) = waiting(&spec.kind);
            let (outlet, inlet) = channel(spec.id, capacity, policy, wake.clone());
            let outlet = outlet.sparing(parking.clone());
            tasks.push(Task { name: spec.name.clone(), driver: driver(config, spec, &drive, &start)?, outlet });
            inlets.push(inlet);
        }
        #[cfg(feature = "sound")]
        let voice = loudspeaker(config).map(|(driver, voice)| {
            let (outlet, inlet) = channel(StreamId::SPEAKER, WAITING_WORDS, DropPolicy::KeepOldest, wake.clone());
            tasks.push(Task { name: SPEAKER.to_owned(), driver, outlet });
            inlets.push(inlet);
            voice
        });
        let devices = Self {
            tasks,
            settings: settings(config),
            start,
            #[cfg(feature = "sound")]
            voice,
        };
        Ok((devices, inlets))
    }

    /// Where sound for the loudspeaker is put, if the config names one.
    #[cfg(feature = "sound")]
    pub fn voice(&self) -> Option<&Voice> {
        self.voice.as_ref()
    }

    /// Starts them.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(self) -> Result<RunningDevices, Failure> {
        self.start.now();
        Ok(RunningDevices(Supervisor::start(self.tasks, self.settings)?))
    }
}

/// How many samples of a device may wait for a tick, and what becomes of more.
pub(crate) fn waiting(kind: &StreamKind) -> (usize, DropPolicy) {
    match kind {
        StreamKind::Camera { .. } => (WAITING_FRAMES, DropPolicy::KeepNewest),
        StreamKind::Microphone => (WAITING_SOUND, DropPolicy::KeepOldest),
        StreamKind::Gps { .. } | StreamKind::Range { .. } | StreamKind::Truth => {
            (WAITING_SERIAL, DropPolicy::KeepOldest)
        }
    }
}

/// Tries every device of a config, each until it has delivered for a second.
///
/// # Errors
/// When one cannot be simulated as it is set, or this build has no driver for it.
pub fn try_out(config: &Config) -> Result<Vec<Tried>, Failure> {
    let drive = simulated::drive(config)?;
    let start = Start::default();
    let mut devices = Vec::new();
    for spec in config.streams().iter().filter(|spec| spec.kind != StreamKind::Truth) {
        devices.push((spec.name.clone(), driver(config, spec, &drive, &start)?));
    }
    #[cfg(feature = "sound")]
    if let Some((driver, _)) = loudspeaker(config) {
        devices.push((SPEAKER.to_owned(), driver));
    }
    start.now();
    Ok(supervisor::try_out(devices, Duration::from_secs(1), Duration::from_secs(6))?)
}

impl RunningDevices {
    /// Has single devices closed and opened anew.
    pub fn remote(&self) -> Remote {
        self.0.remote()
    }

    /// Ends them. One whose thread hangs in a library is left behind, and ends with the program.
    pub fn stop(self) {
        for name in self.0.stop(PATIENCE) {
            tracing::warn!("{name}: its thread does not come back and is left behind");
        }
    }
}

fn settings(config: &Config) -> SupervisorSettings {
    let supervisor = &config.supervisor;
    let ms = |ms: u32| Duration::from_millis(ms.into());
    let s = |s: u32| Duration::from_secs(s.into());
    SupervisorSettings {
        backoff_min: ms(supervisor.backoff_min_ms),
        backoff_max: ms(supervisor.backoff_max_ms.max(supervisor.backoff_min_ms)),
        absent: ms(supervisor.absent_ms),
        failures: supervisor.failures as usize,
        window: s(supervisor.window_s),
        rest: s(supervisor.rest_s),
        ..SupervisorSettings::default()
    }
}

/// The driver of a stream.
fn driver(config: &Config, spec: &StreamSpec, drive: &Drive, start: &Start) -> Result<Arc<dyn Driver>, Failure> {
    let address = match config.source_of(&spec.name) {
        Some(DeviceSource::At(address)) => address,
        // The truth is what the simulation knows.
        Some(DeviceSource::Simulated) | None => {
            let device = simulated::device(config, spec, drive, simulated::today())?;
            let simulation = &config.simulation;
            let faults = Faults::new(simulation.faults_per_hour, simulation.seed, spec.id.0);
            let driver = SimulatedDriver::new(device, start.clone(), faults);
            let sends_often = matches!(spec.kind, StreamKind::Range { .. });
            return Ok(Arc::new(if sends_often { driver.gathering() } else { driver }));
        }
    };
    match &spec.kind {
        #[cfg(feature = "camera")]
        StreamKind::Camera { .. } => {
            if let Some(camera) = config.camera.iter().find(|camera| camera.name == spec.name) {
                return Ok(Arc::new(v4l2_camera(camera, address)));
            }
        }
        #[cfg(feature = "sound")]
        StreamKind::Microphone => {
            let asked = config.microphone.iter().find(|microphone| microphone.name == spec.name);
            let rate = asked.map(|microphone| microphone.rate_hz).filter(|&rate| rate > 0);
            return Ok(Arc::new(AlsaMicrophone::new(address, rate)));
        }
        StreamKind::Gps { .. } | StreamKind::Range { .. } => return serial(config, spec, address),
        _ => {}
    }
    Err(Failure::bad_input(format!("{}: this build has no driver for {address}", spec.name))
        .hint("source = \"simulated\" needs none"))
}

/// The driver of a satellite receiver or range finder.
fn serial(config: &Config, spec: &StreamSpec, address: &str) -> Result<Arc<dyn Driver>, Failure> {
    let gps = config.gps.iter().map(|gps| (&gps.name, gps.baud, gps.rate_hz));
    let range = config.range.iter().map(|range| (&range.name, range.baud, range.rate_hz));
    let (_, baud, rate_hz) = gps
        .chain(range)
        .find(|(name, ..)| **name == spec.name)
        .ok_or_else(|| Failure::running(format!("stream {} is not in the config", spec.name)))?;
    let device = address.parse().and_then(|address| SerialDevice::new(address, baud, rate_hz));
    let device = device.map_err(|error| {
        Failure::bad_input(format!("{}: {error}", spec.name)).hint("`waywarden devices` lists what is there")
    })?;
    Ok(Arc::new(device))
}

/// A camera of this computer.
#[cfg(feature = "camera")]
fn v4l2_camera(camera: &crate::config::Camera, address: &str) -> waywarden_systems::camera::driver::V4l2Camera {
    use waywarden_systems::camera::driver::{PictureFormat, V4l2Camera, Wanted};
    use waywarden_systems::camera::raw::RawFormat;

    use crate::config::CameraFormat;
    let format = match camera.format {
        CameraFormat::Auto => None,
        CameraFormat::Mjpeg => Some(PictureFormat::Mjpeg),
        CameraFormat::Yuyv => Some(PictureFormat::Raw(RawFormat::Yuyv)),
        CameraFormat::Nv12 => Some(PictureFormat::Raw(RawFormat::Nv12)),
        CameraFormat::Rgb => Some(PictureFormat::Raw(RawFormat::Rgb)),
        CameraFormat::Bgr => Some(PictureFormat::Raw(RawFormat::Bgr)),
    };
    let wanted = Wanted { format, width: camera.width, height: camera.height, fps: camera.fps };
    V4l2Camera { address: address.to_owned(), wanted }
}

/// The loudspeaker, if the config names one, and the way to it.
#[cfg(feature = "sound")]
fn loudspeaker(config: &Config) -> Option<(Arc<dyn Driver>, Voice)> {
    let settings = &config.speaker;
    if settings.device.is_empty() {
        return None;
    }
    let (driver, voice) = speaker(&settings.device, Duration::from_millis(settings.buffer_ms.into()));
    Some((Arc::new(driver), voice))
}
