//! Servers that pass on what a receiver says: NMEA over TCP.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::READ_TIMEOUT;
use crate::supervisor::{DriverError, Over};

/// How long a server has to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How gpsd introduces itself on its port 2947; it says nothing of a receiver before it is asked to.
const GPSD_GREETING: &[u8] = b"{\"class\":\"VERSION\"";

/// What gpsd is asked for: sentences of its receivers, or made of what they say (gpsd_json(5), WATCH).
const GPSD_WATCH: &[u8] = b"?WATCH={\"enable\":true,\"nmea\":true};\n";

/// A connection to a server.
pub(super) struct Server {
    stream: TcpStream,
    peer: SocketAddr,
    greeting: Greeting,
}

impl Server {
    /// Connects; asks gpsd for sentences once it has said that it is one.
    ///
    /// # Errors
    /// [`DriverError::Absent`] when nobody answers at any of its addresses.
    pub(super) fn connect(host: &str, port: u16, over: &dyn Fn() -> bool) -> Result<Self, DriverError> {
        let absent = |error: std::io::Error| DriverError::Absent(format!("{host}, port {port}: {}", reason(&error)));
        let mut failure = DriverError::Absent(format!("{host} has no address"));
        for peer in (host, port).to_socket_addrs().map_err(absent)? {
            if over() {
                return Err(Over.into());
            }
            match TcpStream::connect_timeout(&peer, CONNECT_TIMEOUT) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(READ_TIMEOUT)).map_err(absent)?;
                    stream.set_write_timeout(Some(CONNECT_TIMEOUT)).map_err(absent)?;
                    return Ok(Self { stream, peer, greeting: Greeting::default() });
                }
                Err(error) => failure = absent(error),
            }
        }
        Err(failure)
    }

    /// Who answers.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }
}

/// What is wrong, and what to do about it.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string(),
    }
}

impl Read for Server {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        if self.greeting.is_over(buffer.get(..count).unwrap_or_default()) {
            self.stream.write_all(GPSD_WATCH)?;
        }
        Ok(count)
    }
}

/// Listens to the first bytes: whether they are gpsd's greeting.
#[derive(Default)]
struct Greeting {
    /// Bytes of it that have come; all of them and one more when there is nothing to listen for any more.
    heard: usize,
}

impl Greeting {
    /// Whether it is whole with these bytes.
    fn is_over(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            match GPSD_GREETING.get(self.heard) {
                Some(expected) if expected == byte => self.heard += 1,
                _ => {
                    self.heard = GPSD_GREETING.len() + 1;
                    return false;
                }
            }
            if self.heard == GPSD_GREETING.len() {
                self.heard += 1;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpsd_is_told_by_its_first_bytes_however_they_are_cut() {
        let whole = b"{\"class\":\"VERSION\",\"release\":\"3.25\"}\r\n{\"class\":\"VERSION\"}";
        for size in 1..40 {
            let mut greeting = Greeting::default();
            assert_eq!(whole.chunks(size).filter(|piece| greeting.is_over(piece)).count(), 1, "{size}");
        }
        for other in [&b"$GPRMC,"[..], b"{\"class\":\"TPV\"", b"x{\"class\":\"VERSION\"", b""] {
            assert!(!Greeting::default().is_over(other));
        }
    }

    #[test]
    fn who_does_not_answer_is_absent() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let failed = Server::connect("127.0.0.1", closed, &|| false).map(drop);
        assert_eq!(failed, Err(DriverError::Absent(format!("127.0.0.1, port {closed}: nobody listens there"))));
        assert_eq!(Server::connect("127.0.0.1", closed, &|| true).map(drop), Err(Over.into()));
    }
}
