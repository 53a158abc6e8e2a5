//! Serial ports.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serialport::{ClearBuffer, SerialPort, TTYPort};

use super::READ_TIMEOUT;
use super::search::Line;
use crate::supervisor::DriverError;

/// Programs that are named when a port is taken, at most.
const MOST_NAMED: usize = 3;

/// An open serial port, which nobody else can open meanwhile. 8 data bits, no parity, one stop bit, no flow control.
pub(super) struct Port(TTYPort);

impl Port {
    /// Opens the port at `path`. What was sent before is forgotten: nobody knows how old it is.
    ///
    /// # Errors
    /// [`DriverError::Absent`] when it is not there, [`DriverError::Failed`] when it is and cannot be opened.
    pub(super) fn open(path: &Path, baud: u32) -> Result<Self, DriverError> {
        let name = path.to_str().ok_or_else(|| DriverError::Failed(format!("{path:?} is no text")))?;
        let settings = serialport::new(name, baud).timeout(READ_TIMEOUT);
        let port = settings.open_native().map_err(|error| refused(path, &error))?;
        port.clear(ClearBuffer::Input).map_err(|error| refused(path, &error))?;
        Ok(Self(port))
    }
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Line for Port {
    fn set_rate(&mut self, baud: u32) -> Result<(), DriverError> {
        self.0
            .set_baud_rate(baud)
            .and_then(|()| self.0.clear(ClearBuffer::Input))
            .map_err(|error| DriverError::Absent(format!("it takes no rate of {baud} Bd, or was unplugged: {error}")))
    }
}

/// Why a port cannot be opened, and what to do about it.
fn refused(path: &Path, error: &serialport::Error) -> DriverError {
    let what = path.display();
    if !path.exists() {
        return DriverError::Absent(format!("there is no {what}"));
    }
    match error.kind() {
        serialport::ErrorKind::Io(ErrorKind::NotFound) => DriverError::Absent(format!("there is no {what}")),
        serialport::ErrorKind::Io(ErrorKind::PermissionDenied) => {
            DriverError::Failed(format!("{what}: may this user read it? add it to the group dialout"))
        }
        // EBUSY, or somebody else's lock.
        serialport::ErrorKind::NoDevice => {
            let who = others_at(path).unwrap_or_else(|| "another program".to_owned());
            DriverError::Failed(format!("{what} is in use by {who}: only one can read it"))
        }
        _ => DriverError::Failed(format!("{what} cannot be opened as a serial port: {error}")),
    }
}

/// Other programs that have the file at `path` open, as far as this user may know: `gpsd (512)`.
pub(super) fn others_at(path: &Path) -> Option<String> {
    let file = path.canonicalize().ok()?;
    let own = std::process::id();
    let has_it = |process: &Path| {
        let handles = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        handles.filter_map(|handle| fs::read_link(handle.path()).ok()).any(|target| target == file)
    };
    let mut found: Vec<String> = Vec::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if id != own && has_it(&entry.path()) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            found.push(format!("{} ({id})", name.trim()));
            if found.len() == MOST_NAMED {
                break;
            }
        }
    }
    (!found.is_empty()).then(|| found.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_absent_and_what_is_no_port_fails() {
        let absent = Port::open(Path::new("/dev/serial/by-id/nobody"), 9600).map(drop);
        assert_eq!(absent, Err(DriverError::Absent("there is no /dev/serial/by-id/nobody".to_owned())));
        let Err(DriverError::Failed(why)) = Port::open(Path::new("/dev/null"), 9600).map(drop) else { panic!() };
        assert!(why.starts_with("/dev/null cannot be opened as a serial port: "), "{why}");
    }

    #[test]
    fn permission_and_use_by_others_are_told_with_what_to_do() {
        let denied = serialport::Error::new(serialport::ErrorKind::Io(ErrorKind::PermissionDenied), "");
        let why = refused(Path::new("/dev/null"), &denied).to_string();
        assert_eq!(why, "/dev/null: may this user read it? add it to the group dialout");
        let busy = serialport::Error::new(serialport::ErrorKind::NoDevice, "");
        let DriverError::Failed(why) = refused(Path::new("/dev/tty"), &busy) else { panic!() };
        assert!(why.contains("/dev/tty is in use by "), "{why}");
    }
}
