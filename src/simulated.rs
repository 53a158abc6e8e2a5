//! The simulated devices of a config.

pub mod faults;

use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::time::Duration;

use waywarden_components::prelude::*;
use waywarden_systems::clock::{boottime, system_utc, to_wait};
use waywarden_systems::import::{Reader, TimedItem};
use waywarden_systems::simulate::camera::{CameraSettings, CameraSimulator};
use waywarden_systems::simulate::gps::{GpsSettings, GpsSimulator};
use waywarden_systems::simulate::microphone::MicrophoneSimulator;
use waywarden_systems::simulate::perceive::TruthModel;
use waywarden_systems::simulate::range::{RangeSettings, RangeSimulator};
use waywarden_systems::simulate::reader::{Frames, Simulated};
use waywarden_systems::simulate::{Drive, TruthSimulator};
use waywarden_systems::supervisor::{Driver, DriverError, Lease, Over, Pace};

use self::faults::{Fault, Faults};
use crate::config::{Camera, Config, Pictures, scenario};
use crate::failure::Failure;

/// What a simulated device gives, in order of time since the drive began.
pub type Device = Box<dyn FnMut() -> TimedItem + Send>;

/// When a simulated drive begins: the same moment for all its devices.
#[derive(Clone, Default)]
pub struct Start(Arc<OnceLock<Mono>>);

impl Start {
    /// Begins, unless it has.
    pub fn now(&self) -> Mono {
        *self.0.get_or_init(boottime)
    }
}

/// A simulated device in real time, under the supervisor like any other.
pub struct SimulatedDriver {
    state: Mutex<State>,
    start: Start,
    /// It may hand over several things at a time where ticks are far apart, as devices at serial ports do that send often.
    gathers: bool,
}

struct State {
    next: Device,
    faults: Option<Faults>,
    /// It is unplugged until then.
    back: Mono,
}

/// What a device that was started again has missed for longer than this is missed.
const TOO_LATE: Duration = Duration::from_secs(1);

/// It gives a sign of life whenever it waits, so that a stall is one of the program.
const SILENCE: Duration = Duration::from_secs(2);

/// How long an unplugged device is away.
const AWAY: Duration = Duration::from_secs(3);

impl SimulatedDriver {
    /// This device, from `start` on, with what happens to it.
    pub fn new(device: Device, start: Start, faults: Option<Faults>) -> Self {
        Self { state: Mutex::new(State { next: device, faults, back: Mono::default() }), start, gathers: false }
    }

    /// The same of a device that sends often.
    pub fn gathering(self) -> Self {
        Self { gathers: true, ..self }
    }

    /// When what was `due` is handed over: with the end of so long a piece of the drive.
    fn given(&self, due: Mono, begin: Mono, lease: &Lease) -> Mono {
        let gather = if self.gathers { lease.gather() } else { Duration::ZERO };
        match due.since(begin).as_nanos().checked_rem(gather.as_nanos()) {
            Some(over @ 1..) => due + (gather - Duration::from_nanos(over as u64)),
            _ => due,
        }
    }
}

impl Driver for SimulatedDriver {
    fn run(&self, lease: &Lease) -> Result<(), DriverError> {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(DriverError::Absent("simulated: held by a thread that hangs".to_owned()));
            }
        };
        if boottime() < state.back {
            return Err(DriverError::Absent("simulated: unplugged".to_owned()));
        }
        let begin = self.start.now();
        lease.opened("simulated", Pace { silence: SILENCE })?;
        // Pictures that were taken earlier are old: the camera has rested since.
        let mut rested = Mono::default();
        loop {
            let item = (state.next)();
            let due = begin + Duration::from_nanos(item.at.0);
            let is_picture = matches!(item.payload, Payload::Frame(_));
            if boottime().since(due) > TOO_LATE {
                if lease.is_over() {
                    return Err(Over.into());
                }
                lease.beat();
                continue;
            }
            loop {
                let left = self.given(due, begin, lease).since(boottime());
                if left.is_zero() {
                    break;
                }
                lease.wait(left.min(SILENCE / 4))?;
                lease.beat();
            }
            if let Some(fault) = state.faults.as_mut().and_then(|faults| faults.at(due.since(begin))) {
                happen(fault, &mut state, lease)?;
            }
            if is_picture && due < rested {
                lease.spare();
            } else if !is_picture || lease.wants(due) {
                lease.send(due, item.payload)?;
            } else if lease.rest()? {
                rested = boottime();
            }
        }
    }
}

/// Something happens to a simulated device.
#[expect(clippy::panic, clippy::disallowed_methods, reason = "that is what is tried")]
fn happen(fault: Fault, state: &mut State, lease: &Lease) -> Result<(), DriverError> {
    tracing::debug!("simulated fault: {fault:?}");
    match fault {
        Fault::Unplugged => {
            state.back = boottime() + AWAY;
            Err(DriverError::Absent("simulated: unplugged".to_owned()))
        }
        Fault::Failed => Err(DriverError::Failed("simulated: failed".to_owned())),
        Fault::Panic => panic!("simulated"),
        Fault::Silent => Ok(lease.wait(Duration::from_secs(3600))?),
        Fault::Hung => {
            // It takes no notice of the end of its lease.
            let until = boottime() + SILENCE * 3;
            while boottime() < until {
                std::thread::sleep(to_wait(until.since(boottime())));
            }
            Err(DriverError::Failed("simulated: hung".to_owned()))
        }
    }
}

/// The drive that a config asks for.
///
/// # Errors
/// When its scenario cannot be read or is none.
pub fn drive(config: &Config) -> Result<Drive, Failure> {
    Ok(Drive::new(&scenario::load(&config.simulation.scenario)?, config.simulation.seed))
}

fn camera_settings(config: &Config, camera: &Camera) -> CameraSettings {
    CameraSettings {
        width: camera.width as usize,
        height: camera.height as usize,
        fps: camera.fps,
        geometry: camera.geometry,
        loop_frames: (camera.loop_frames > 0).then_some(camera.loop_frames as usize),
        plain: config.simulation.pictures == Pictures::Plain,
        counter: camera.counter,
    }
}

/// The settings of the camera of this stream.
fn camera_of(config: &Config, spec: &StreamSpec) -> Result<CameraSettings, Failure> {
    let camera = config.camera.iter().find(|camera| camera.name == spec.name).ok_or_else(|| unknown(spec))?;
    Ok(camera_settings(config, camera))
}

/// What finds in pictures of the config's front cameras what is true of its drive, through the config's error model.
///
/// # Errors
/// As [`drive`].
pub fn truth_model(config: &Config, role: JobRole, rate_hz: f64) -> Result<TruthModel, Failure> {
    let fronts = config.streams().into_iter().filter_map(|spec| match spec.kind {
        StreamKind::Camera { role: CameraRole::Front, .. } => Some(spec),
        _ => None,
    });
    let cameras = fronts.map(|spec| Ok((spec.id, camera_of(config, &spec)?))).collect::<Result<_, Failure>>()?;
    Ok(TruthModel::new(role, &drive(config)?, cameras, config.simulation.errors, rate_hz))
}

fn unknown(spec: &StreamSpec) -> Failure {
    Failure::running(format!("stream {} is not in the config", spec.name))
}

fn camera_failure(spec: &StreamSpec) -> impl Fn(waywarden_systems::simulate::camera::CameraError) -> Failure {
    let name = spec.name.clone();
    move |error| Failure::bad_input(format!("camera {name}: {error}"))
}

/// Today, in seconds since 1970, if this computer knows it: a receiver that is simulated in a live run says no other date
/// than the computer.
pub fn today() -> Option<u32> {
    let now = i64::try_from(boottime().0).ok()?.checked_add(system_utc()?.offset_ns)?;
    u32::try_from((now + 500_000_000) / 1_000_000_000).ok()
}

/// The simulated device of a stream, in a drive that begins at `date`, in seconds since 1970; at always the same if none.
///
/// # Errors
/// When it is not in the config, or cannot be simulated as it is set.
pub fn device(config: &Config, spec: &StreamSpec, drive: &Drive, date: Option<u32>) -> Result<Device, Failure> {
    Ok(match &spec.kind {
        StreamKind::Camera { .. } => {
            let settings = camera_of(config, spec)?;
            let mut simulator = CameraSimulator::new(drive, settings).map_err(camera_failure(spec))?;
            Box::new(move || simulator.next())
        }
        StreamKind::Microphone => {
            let mut simulator = MicrophoneSimulator::new(drive);
            Box::new(move || simulator.next())
        }
        StreamKind::Gps { .. } => {
            let gps = config.gps.iter().find(|gps| gps.name == spec.name).ok_or_else(|| unknown(spec))?;
            let utc_start = date.unwrap_or(GpsSettings::default().utc_start);
            let settings = GpsSettings { rate_hz: gps.rate_hz.round() as u32, utc_start };
            let mut simulator = GpsSimulator::new(drive, settings);
            Box::new(move || simulator.next())
        }
        StreamKind::Truth => {
            let camera = config.true_camera().ok_or_else(|| unknown(spec))?;
            let mut simulator = TruthSimulator::new(drive, &camera_settings(config, camera));
            Box::new(move || simulator.next())
        }
        StreamKind::Range { protocol } => {
            let range = config.range.iter().find(|range| range.name == spec.name).ok_or_else(|| unknown(spec))?;
            let settings = RangeSettings { rate_hz: range.rate_hz, protocol: *protocol };
            let mut simulator = RangeSimulator::new(drive, settings);
            Box::new(move || simulator.next())
        }
    })
}

/// The simulated device of a stream as a recording of this length. Cameras draw on `threads` threads.
///
/// # Errors
/// As [`device`].
pub fn reader(
    config: &Config,
    spec: &StreamSpec,
    drive: &Drive,
    length: Duration,
    threads: usize,
) -> Result<Box<dyn Reader>, Failure> {
    if let StreamKind::Camera { .. } = spec.kind {
        let settings = camera_of(config, spec)?;
        if settings.loop_frames.is_none() && !settings.plain {
            let frames = Frames::new(drive, &settings, length, threads).map_err(camera_failure(spec))?;
            return Ok(Box::new(frames));
        }
    }
    Ok(Box::new(Simulated::new(device(config, spec, drive, None)?, length)))
}
