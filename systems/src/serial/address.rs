//! Where a device that sends bytes is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where names of serial ports are that do not depend on what was plugged in first.
pub(super) const BY_ID: &str = "/dev/serial/by-id";

/// Where a device that sends bytes is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A serial port, by the path of its file.
    Port(PathBuf),
    /// A server that passes such bytes on: gpsd, a phone, a receiver with a network.
    Server {
        /// Its name or number.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

/// Why an address is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It looks like no address.
    #[error("\"{0}\" is no serial device: a path (\"/dev/ttyUSB0\"), a name under {BY_ID}, or \"tcp://HOST:PORT\"")]
    Unknown(String),
    /// This build cannot open ports.
    #[error("this build opens no serial ports: build it with the feature `serial`, or use \"tcp://HOST:PORT\"")]
    NoPorts,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let unknown = || AddressError::Unknown(text.to_owned());
        if let Some(server) = text.strip_prefix("tcp://") {
            let (host, port) = server.trim_end_matches('/').rsplit_once(':').ok_or_else(unknown)?;
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(unknown)?;
            if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "/@[]".contains(c)) {
                return Err(unknown());
            }
            return Ok(Self::Server { host: host.to_owned(), port });
        }
        if text.starts_with('/') {
            return Ok(Self::Port(text.into()));
        }
        // A name, not a way to somewhere else.
        if text.is_empty() || text.contains(['/', ':']) || text.starts_with('.') {
            return Err(unknown());
        }
        Ok(Self::Port(PathBuf::from(BY_ID).join(text)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(path) => write!(f, "{}", path.display()),
            Self::Server { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Server { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_paths_names_and_servers() {
        for (text, shown) in [
            ("/dev/ttyUSB0", "/dev/ttyUSB0"),
            ("usb-u-blox_AG_7-if00", "/dev/serial/by-id/usb-u-blox_AG_7-if00"),
            ("tcp://192.168.1.7:2947", "tcp://192.168.1.7:2947"),
            ("tcp://phone.local:10110/", "tcp://phone.local:10110"),
            ("tcp://[fe80::1]:2947", "tcp://[fe80::1]:2947"),
        ] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(shown.to_owned()));
        }
        for text in [
            "",
            ".",
            "..",
            "../ttyS0",
            "a/b",
            "COM3:",
            "tcp://",
            "tcp://host",
            "tcp://:1",
            "tcp://h:0",
            "tcp://h:65536",
            "tcp://a b:1",
            "udp://h:1",
            "tcp://u@h:1",
        ] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::Unknown(text.to_owned())), "{text}");
        }
    }
}
