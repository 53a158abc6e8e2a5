//! ALSA's devices: what there is, what they offer, how they are opened. Microphones and loudspeakers stand on it.

mod choice;
mod listing;
pub(crate) mod samples;

use cpal::traits::HostTrait;
use cpal::{DeviceId, ErrorKind, HostId};

use crate::supervisor::DriverError;

pub(crate) use choice::{Granted, choose};
pub(crate) use listing::is_hardware;
pub use listing::{SoundListing, microphones, speakers};

/// The one of ALSA's names that no list has to hold.
const DEFAULT: &str = "default";

/// Longest part of what ALSA says that is passed on, in characters.
const MOST_SAID: usize = 200;

/// Rates that can be converted, in hertz.
pub(crate) const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// A device's two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Sound comes from it.
    In,
    /// Sound goes to it.
    Out,
}

/// Keeps what ALSA says of errors on this thread from standard error, as long as the thread lives.
pub(crate) struct Said(Option<std::rc::Rc<std::cell::RefCell<alsa::Output>>>);

impl Said {
    /// Listens from now on.
    pub fn begin() -> Self {
        Self(alsa::Output::local_error_handler().ok())
    }

    /// The last thing that ALSA said, which is the most general.
    fn last(&self) -> Option<String> {
        let text = self.0.as_ref()?.try_borrow().ok()?.to_string();
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        // The name of ALSA's function in front helps nobody.
        let line = line.split_once(": ").map_or(line, |(_, said)| said);
        Some(line.chars().take(MOST_SAID).collect())
    }

    /// Why a device at this address cannot be used, in words that a person can act on.
    pub fn failure(&self, address: &str, way: Way, error: &cpal::Error) -> DriverError {
        let kind = match way {
            Way::In => "microphone",
            Way::Out => "loudspeaker",
        };
        let said = self.last().map(|said| format!(" (ALSA says: {said})")).unwrap_or_default();
        match error.kind() {
            ErrorKind::DeviceNotAvailable => DriverError::Absent(format!("there is no {kind} {address}{said}")),
            ErrorKind::DeviceBusy => {
                DriverError::Absent(format!("{kind} {address} is in use by another program: end that one, or share it"))
            }
            ErrorKind::HostUnavailable => DriverError::Absent(format!("ALSA cannot be used: {error}{said}")),
            ErrorKind::PermissionDenied => DriverError::Failed(format!(
                "{kind} {address}: permission denied. May this user use it? Add it to the group audio"
            )),
            _ => DriverError::Failed(format!("{kind} {address}: {error}{said}")),
        }
    }
}

/// ALSA, and the device at this address. The first is to be kept as long as the second.
pub(crate) fn find(address: &str, way: Way) -> Result<(cpal::Host, cpal::Device), DriverError> {
    let host = cpal::host_from_id(HostId::Alsa)
        .map_err(|error| DriverError::Absent(format!("ALSA cannot be used: {error}")))?;
    let device = match (address, way) {
        (DEFAULT, Way::In) => host.default_input_device(),
        (DEFAULT, Way::Out) => host.default_output_device(),
        _ => host.device_by_id(&DeviceId::new(HostId::Alsa, address)),
    };
    let absent = || {
        DriverError::Absent(format!(
            "there is no ALSA device {address}: is it plugged in? `waywarden devices` lists what there is (a device of \
             your own asound.conf is listed with `hint.show on`)"
        ))
    };
    let device = device.ok_or_else(absent)?;
    Ok((host, device))
}
