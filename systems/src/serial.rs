//! Devices that send bytes: satellite receivers and range finders, at serial ports or at servers that pass such bytes on.
//!
//! [`SerialDevice`] opens one and hands over what comes as it comes, cut anywhere; the parsers are systems. Only to find
//! out an unknown baud rate are the bytes looked at.

mod address;
mod listing;
#[cfg(feature = "serial")]
mod port;
#[cfg(feature = "serial")]
mod search;
mod server;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Read};
use std::time::Duration;

use bytes::Bytes;
use waywarden_components::prelude::*;

pub use address::{Address, AddressError};
pub use listing::{SerialListing, UsbIdentity, serial_ports};

use crate::clock::boottime;
use crate::ingress::PARKED_PERIOD;
use crate::supervisor::{Driver, DriverError, GATHER, Lease, Over, Pace};

/// How long a call may wait for bytes: stopping takes that long at most.
const READ_TIMEOUT: Duration = Duration::from_millis(100);

/// A silence for so long is a stall: the port is opened anew, which brings adapters that hang to life. Health calls a
/// device stale long before. It is no shorter, because opening helps no device that is only without power, and what
/// stalls often is given a rest.
const SILENCE: Duration = Duration::from_secs(5);

/// A device that sends less often may be silent for so many of its periods.
const SILENT_PERIODS: f64 = 5.0;

/// A satellite receiver or range finder.
pub struct SerialDevice {
    address: Address,
    pace: Pace,
    /// It sends more often than there are ticks while the vehicle is parked, and when is of no account then.
    often: bool,
    #[cfg(feature = "serial")]
    rate: Rate,
}

/// The baud rate of a port.
#[cfg(feature = "serial")]
enum Rate {
    Given(u32),
    /// It is to be found. What was found out is for when it is opened again.
    Sought(std::sync::Mutex<search::Memory>),
}

impl SerialDevice {
    /// The device at `address`: at a serial port with `baud` (0 when it is to be found, which only works for what speaks
    /// NMEA or a known binary protocol of receivers), expected to send `rate_hz` times a second.
    ///
    /// # Errors
    /// [`AddressError::NoPorts`] for a port in a build without the feature `serial`.
    pub fn new(address: Address, baud: u32, rate_hz: f64) -> Result<Self, AddressError> {
        if cfg!(not(feature = "serial")) && matches!(address, Address::Port(_)) {
            return Err(AddressError::NoPorts);
        }
        let periods = Duration::try_from_secs_f64(SILENT_PERIODS / rate_hz).unwrap_or_default();
        let pace = Pace { silence: SILENCE.max(periods) };
        #[cfg(feature = "serial")]
        let rate = if baud == 0 { Rate::Sought(std::sync::Mutex::default()) } else { Rate::Given(baud) };
        #[cfg(not(feature = "serial"))]
        let _ = baud;
        Ok(Self {
            address,
            pace,
            often: PARKED_PERIOD.as_secs_f64() * rate_hz > 1.0,
            #[cfg(feature = "serial")]
            rate,
        })
    }

    #[cfg(feature = "serial")]
    fn run_port(&self, path: &std::path::Path, lease: &Lease) -> Result<(), DriverError> {
        use std::sync::PoisonError;

        let what = path.display();
        let others = || match port::others_at(path) {
            Some(who) => format!("; {who} has it open, too, and may take a part of what comes"),
            None => String::new(),
        };
        let sought = match &self.rate {
            Rate::Given(baud) => {
                let mut port = port::Port::open(path, *baud)?;
                lease.opened(&format!("{what}, {baud} Bd{}", others()), self.pace)?;
                return self.pump(&mut port, lease);
            }
            Rate::Sought(memory) => memory,
        };
        // A copy, for a thread that hangs must not keep the next one waiting.
        let mut memory = sought.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut port = port::Port::open(path, memory.first())?;
        let found = search::search(&mut port, &search::SearchSettings::default(), &mut memory, &|| lease.is_over());
        *sought.lock().unwrap_or_else(PoisonError::into_inner) = memory;
        let found = found?;
        lease.opened(&format!("{what}, {} Bd found by its {}{}", found.baud, found.speaks, others()), self.pace)?;
        for (captured, bytes) in found.heard {
            lease.send(captured, Payload::Serial(bytes))?;
        }
        self.pump(&mut port, lease)
    }

    #[cfg(not(feature = "serial"))]
    fn run_port(&self, _: &std::path::Path, _: &Lease) -> Result<(), DriverError> {
        Err(DriverError::Failed(AddressError::NoPorts.to_string()))
    }
}

impl SerialDevice {
    /// Hands over what comes until the lease is over or nothing more can come. Silence is the supervisor's business.
    fn pump(&self, from: &mut dyn Read, lease: &Lease) -> Result<(), DriverError> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(bytes) = read(from, &mut buffer)? {
                lease.send(boottime(), Payload::Serial(Bytes::copy_from_slice(bytes)))?;
                lease.wait(if self.often { lease.gather() } else { GATHER })?;
            } else if lease.is_over() {
                return Err(Over.into());
            }
        }
    }
}

impl Driver for SerialDevice {
    fn run(&self, lease: &Lease) -> Result<(), DriverError> {
        match &self.address {
            Address::Port(path) => self.run_port(path, lease),
            Address::Server { host, port } => {
                let mut server = server::Server::connect(host, *port, &|| lease.is_over())?;
                lease.opened(&format!("{} ({})", self.address, server.peer()), self.pace)?;
                self.pump(&mut server, lease)
            }
        }
    }
}

/// What has come; none when nothing has for a while.
fn read<'a>(from: &mut dyn Read, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>, DriverError> {
    match from.read(buffer) {
        Ok(0) => Err(DriverError::Absent("the other end has closed".to_owned())),
        Ok(count) => Ok(buffer.get(..count)),
        Err(error) => match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(None),
            // What a port says whose adapter is pulled out, and a pty whose other end is gone.
            ErrorKind::BrokenPipe | ErrorKind::NotFound => Err(DriverError::Absent("unplugged".to_owned())),
            _ => Err(DriverError::Absent(format!("unplugged, or broken: {error}"))),
        },
    }
}
