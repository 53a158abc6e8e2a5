//! Drivers under a supervisor, at servers and at ptys.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use super::*;
use crate::ingress::{Inlet, PARKED_PERIOD, Parking, channel, wake};
use crate::supervisor::{Supervisor, SupervisorSettings, Task};

/// A device under a supervisor, until it has been heard to say what is wanted.
struct Heard {
    inlet: Inlet,
    all: Vec<Payload>,
}

impl Heard {
    fn until(&mut self, wanted: impl Fn(&[Payload]) -> bool) -> &[Payload] {
        let begin = boottime();
        while !wanted(&self.all) {
            assert!(boottime().since(begin) < Duration::from_secs(60), "never came about: {:?}", self.all);
            self.all.extend(self.inlet.drain().into_iter().map(|delivery| delivery.payload));
            pause();
        }
        &self.all
    }

    /// All bytes since the device was opened for the last time.
    fn bytes(all: &[Payload]) -> Vec<u8> {
        let opened = all.iter().rposition(|payload| matches!(payload, Payload::Link(_))).unwrap_or_default();
        let bytes = |payload: &Payload| match payload {
            Payload::Serial(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        };
        all[opened..].iter().flat_map(bytes).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for other threads")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

fn supervise(device: SerialDevice, work: impl FnOnce(&mut Heard)) {
    let (outlet, inlet) = channel(StreamId(1), 1000, DropPolicy::KeepOldest, wake().0);
    let task = Task { name: "device".to_owned(), driver: Arc::new(device), outlet };
    let settings = SupervisorSettings { absent: Duration::from_millis(50), ..SupervisorSettings::default() };
    let supervisor = Supervisor::start(vec![task], settings).unwrap();
    work(&mut Heard { inlet, all: Vec::new() });
    assert!(supervisor.stop(Duration::from_secs(10)).is_empty(), "it does not come back");
}

fn lost(all: &[Payload]) -> Option<&str> {
    all.iter().rev().find_map(|payload| match payload {
        Payload::Link(LinkState::Lost(why)) => Some(why.as_str()),
        _ => None,
    })
}

fn server() -> (TcpListener, SerialDevice) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    (listener, SerialDevice::new(address, 0, 1.0).unwrap())
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().unwrap().0
}

const LINE: &[u8] = b"$GPVTG,87.21,T,,M,0.12,N,0.2,K*5D\r\n";

#[test]
fn a_server_is_heard_lost_and_found() {
    let (listener, device) = server();
    supervise(device, |heard| {
        let mut stream = accept(&listener);
        stream.write_all(LINE).unwrap();
        heard.until(|all| Heard::bytes(all) == LINE);
        assert!(
            heard.all.iter().any(|payload| matches!(payload, Payload::Described(what) if what.starts_with("tcp://")))
        );
        drop(stream);
        assert_eq!(lost(heard.until(|all| lost(all).is_some())), Some("the other end has closed"));
        accept(&listener).write_all(b"again").unwrap();
        heard.until(|all| all.contains(&Payload::Serial(Bytes::from_static(b"again"))));
    });
}

#[test]
fn what_comes_often_is_gathered_while_the_vehicle_is_parked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let parking = Parking::default();
    let (outlet, inlet) = channel(StreamId(1), 1000, DropPolicy::KeepOldest, wake().0);
    let device = SerialDevice::new(address, 0, 100.0).unwrap();
    let task = Task { name: "device".to_owned(), driver: Arc::new(device), outlet: outlet.sparing(parking.clone()) };
    let supervisor = Supervisor::start(vec![task], SupervisorSettings::default()).unwrap();
    let mut heard = Heard { inlet, all: Vec::new() };
    let mut stream = accept(&listener);
    // How many pieces a hundred bytes come in, one every 10 ms, and how long that takes.
    let mut pieces = || {
        heard.all.clear();
        let begin = boottime();
        for _ in 0..100 {
            stream.write_all(b"x").unwrap();
            (0..5).for_each(|_| pause());
        }
        let came = heard.until(|all| Heard::bytes(all).len() >= 100);
        assert_eq!(Heard::bytes(came).len(), 100, "nothing is lost");
        let pieces = came.iter().filter(|payload| matches!(payload, Payload::Serial(_))).count();
        (pieces, boottime().since(begin))
    };
    let (awake, _) = pieces();
    parking.set(true);
    let (parked, took) = pieces();
    println!("{awake} pieces, {parked} while parked");
    assert!(parked as u128 <= took.as_millis() / PARKED_PERIOD.as_millis() + 2, "{parked} pieces in {took:?}");
    assert!(supervisor.stop(Duration::from_secs(10)).is_empty());
}

#[test]
fn gpsd_is_asked_for_sentences_and_nobody_else_is() {
    let (listener, device) = server();
    supervise(device, |heard| {
        let mut stream = accept(&listener);
        stream.write_all(b"{\"class\":\"VERSION\",\"release\":\"3.25\"}\r\n").unwrap();
        let mut asked = [0; 36];
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(std::str::from_utf8(&asked).unwrap(), "?WATCH={\"enable\":true,\"nmea\":true};\n");
        stream.write_all(LINE).unwrap();
        heard.until(|all| Heard::bytes(all).ends_with(LINE));
    });
    let (listener, device) = server();
    supervise(device, |heard| {
        let mut stream = accept(&listener);
        stream.write_all(LINE).unwrap();
        heard.until(|all| Heard::bytes(all) == LINE);
        stream.set_nonblocking(true).unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn silence_lasts_as_long_as_the_device_is_slow() {
    let silence = |rate_hz| {
        let address = Address::Server { host: "localhost".to_owned(), port: 1 };
        SerialDevice::new(address, 0, rate_hz).unwrap().pace.silence
    };
    assert_eq!(silence(100.0), Duration::from_secs(5));
    assert_eq!(silence(0.1), Duration::from_secs(50));
    for absurd in [0.0, -1.0, f64::NAN] {
        assert_eq!(silence(absurd), Duration::from_secs(5));
    }
}

#[cfg(feature = "serial")]
mod ports {
    use std::path::Path;

    use serialport::{SerialPort, TTYPort};

    use super::*;

    /// A pty that is found at `link`: the receiver's end, and the other, which is kept open so that it can be written to
    /// before anybody listens.
    fn plug(link: &Path) -> (TTYPort, TTYPort) {
        let (receiver, end) = TTYPort::pair().unwrap();
        std::os::unix::fs::symlink(end.name().unwrap(), link).unwrap();
        (receiver, end)
    }

    #[test]
    fn a_port_is_waited_for_found_lost_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("gps");
        let device = SerialDevice::new(Address::Port(link.clone()), 9600, 1.0).unwrap();
        supervise(device, |heard| {
            let why = lost(heard.until(|all| lost(all).is_some())).unwrap().to_owned();
            assert_eq!(why, format!("there is no {}", link.display()));
            for _ in 0..2 {
                let (mut receiver, end) = plug(&link);
                let before = heard.all.len();
                heard.until(|all| all[before..].contains(&Payload::Link(LinkState::Connected)));
                receiver.write_all(LINE).unwrap();
                heard.until(|all| Heard::bytes(all) == LINE);
                drop((receiver, end));
                std::fs::remove_file(&link).unwrap();
                let before = heard.all.len();
                heard.until(|all| lost(&all[before..]).is_some());
            }
            assert!(heard.all.contains(&Payload::Link(LinkState::Lost("unplugged".to_owned()))), "{:?}", heard.all);
        });
    }

    #[test]
    fn an_unknown_rate_is_found_and_what_was_heard_is_passed_on() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("gps");
        let (mut receiver, _end) = plug(&link);
        let device = SerialDevice::new(Address::Port(link), 0, 1.0).unwrap();
        supervise(device, |heard| {
            let opened = |all: &[Payload]| all.contains(&Payload::Link(LinkState::Connected));
            while !opened(&heard.all) {
                receiver.write_all(LINE).unwrap();
                heard.all.extend(heard.inlet.drain().into_iter().map(|delivery| delivery.payload));
                pause();
            }
            heard.until(|all| Heard::bytes(all).windows(LINE.len()).any(|piece| piece == LINE));
            let told = heard.all.iter().any(
                |payload| matches!(payload, Payload::Described(what) if what.contains("9600 Bd found by its NMEA")),
            );
            assert!(told, "{:?}", heard.all);
        });
    }
}
