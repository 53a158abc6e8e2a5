//! Satellite receivers and range finders at real ports and servers: the program opens them, records what comes, notices
//! silence, unplugging and nonsense, and the session replays bit for bit.
//!
//! The ports are ptys, and what is said on them comes from the simulators, in real time.

#![cfg(feature = "serial")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/outcome.rs"]
mod outcome;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::Signal;
use outcome::{Outcome, PATIENCE, end, pause, send, sessions, start_after, waywarden};
use serialport::{SerialPort, TTYPort};
use waywarden_components::prelude::*;
use waywarden_systems::clock::boottime;
use waywarden_systems::gps::nmea::{NmeaEvent, NmeaReader};
use waywarden_systems::import::TimedItem;
use waywarden_systems::session::{Findings, Record, SessionReader, TickFindings};
use waywarden_systems::simulate::gps::{GpsSettings, GpsSimulator};
use waywarden_systems::simulate::range::{RangeSettings, RangeSimulator};
use waywarden_systems::simulate::{Drive, Scenario};

/// What is plugged in is to be back within this time, as promised, and what a busy machine may add.
const BACK: Duration = Duration::from_secs(2);
const BUSY: Duration = Duration::from_secs(3);

/// A pty at whose other end somebody speaks in real time.
struct Wire {
    port: TTYPort,
    /// Kept open, so that it can be written to before anybody listens.
    _end: TTYPort,
    next: Box<dyn FnMut() -> TimedItem>,
    waiting: Option<TimedItem>,
    begin: Mono,
    written: Vec<u8>,
}

impl Wire {
    /// Plugs one in, so that it is found at `link`.
    fn plug(link: &Path, next: impl FnMut() -> TimedItem + 'static) -> Self {
        let (port, end) = TTYPort::pair().unwrap();
        let _ = std::fs::remove_file(link);
        std::os::unix::fs::symlink(end.name().unwrap(), link).unwrap();
        Self { port, _end: end, next: Box::new(next), waiting: None, begin: boottime(), written: Vec::new() }
    }

    /// From now on somebody else speaks, from the beginning.
    fn hand_over(&mut self, next: impl FnMut() -> TimedItem + 'static) {
        (self.next, self.waiting, self.begin) = (Box::new(next), None, boottime());
    }

    fn say(&mut self, bytes: &[u8]) {
        self.port.write_all(bytes).unwrap();
        self.written.extend(bytes);
    }

    /// Says what is due; what is due when it is silent is never said.
    fn go_on(&mut self, silent: bool) {
        loop {
            let item = self.waiting.take().unwrap_or_else(&mut self.next);
            if self.begin + Duration::from_nanos(item.at.0) > boottime() {
                self.waiting = Some(item);
                return;
            }
            if let (Payload::Serial(bytes), false) = (item.payload, silent) {
                // Nobody may be listening.
                if self.port.write_all(&bytes).is_ok() {
                    self.written.extend(bytes);
                }
            }
        }
    }
}

fn drive() -> Drive {
    Drive::new(&Scenario::built_in("hard-braking").unwrap(), 4)
}

fn receiver() -> impl FnMut() -> TimedItem {
    let mut simulator = GpsSimulator::new(&drive(), GpsSettings { rate_hz: 10, ..GpsSettings::default() });
    move || simulator.next()
}

fn range_finder() -> impl FnMut() -> TimedItem {
    let mut simulator = RangeSimulator::new(&drive(), RangeSettings::default());
    move || simulator.next()
}

/// A program that runs, and what is plugged into it.
struct Run {
    dir: tempfile::TempDir,
    child: Child,
    wires: Vec<Wire>,
    silent: bool,
    /// Bytes of the log that have been looked at.
    seen: usize,
}

impl Run {
    /// Starts the program with these devices. `DIR` stands for a folder of the test's own, in which `wires` are plugged.
    fn start(config: &str, plug: impl FnOnce(&Path) -> Vec<Wire>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config.replace("DIR", dir.path().to_str().unwrap());
        let quick = "[health]\ngps_stale_s = 1.0\nrange_stale_s = 1.0\n";
        std::fs::write(dir.path().join("config.toml"), format!("camera = []\n{config}{quick}")).unwrap();
        std::fs::create_dir_all(dir.path().join("rec")).unwrap();
        let wires = plug(dir.path());
        let prelude = "export WAYWARDEN_LOG=info; ";
        let child = start_after(dir.path(), prelude, &["run", "--config", "config.toml", "--record", "rec"]);
        Self { dir, child, wires, silent: false, seen: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("stderr.txt")).unwrap()).into_owned()
    }

    /// Everybody goes on speaking until `done`.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let begin = boottime();
        while !done(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && boottime().since(begin) < PATIENCE, "no {what}: {ended:?}\n{}", self.log());
            self.wires.iter_mut().for_each(|wire| wire.go_on(self.silent));
            pause(Duration::from_millis(2));
        }
    }

    /// Until the log says this, behind what it was seen to say before.
    fn until_told(&mut self, words: &str) {
        self.until(words, |run| {
            let log = run.log();
            let Some(at) = log[run.seen..].find(words) else { return false };
            run.seen += at + words.len();
            true
        });
    }

    fn go_on_for(&mut self, time: Duration) {
        let begin = boottime();
        self.until("time", |_| boottime().since(begin) >= time);
    }

    /// Ends the run in order, and looks whether its session replays.
    fn end(mut self) -> Recorded {
        send(&self.child, Signal::SIGTERM);
        let outcome = end(&mut self.child, self.dir.path()).done();
        let session = sessions(&self.path("rec")).pop().unwrap();
        let verified = waywarden(self.dir.path(), &["replay", session.to_str().unwrap(), "--verify", "--json"]).done();
        let summary: serde_json::Value = serde_json::from_str(verified.out.lines().last().unwrap()).unwrap();
        assert_eq!(summary["verified"]["differing"], 0, "{summary}");
        assert!(summary["verified"]["ticks"].as_u64().unwrap() > 50, "{summary}");
        let mut findings = Findings::open(&session).unwrap();
        let ticks = std::iter::from_fn(|| findings.read().unwrap()).collect();
        Recorded { outcome, summary, ticks, session, run: self }
    }
}

impl Drop for Run {
    /// A test that fails leaves nobody behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run that is over.
struct Recorded {
    outcome: Outcome,
    summary: serde_json::Value,
    ticks: Vec<TickFindings>,
    session: PathBuf,
    run: Run,
}

impl Recorded {
    fn inputs(&self, stream: u16) -> impl Iterator<Item = &Input> {
        self.ticks.iter().flat_map(|tick| &tick.inputs).filter(move |input| input.stream == StreamId(stream))
    }

    /// All bytes of a stream.
    fn bytes(&self, stream: u16) -> Vec<u8> {
        let bytes = |input: &Input| match &input.payload {
            Payload::Serial(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        };
        self.inputs(stream).flat_map(bytes).collect()
    }

    /// The last value of a device.
    fn last<T: Kind + serde::de::DeserializeOwned>(&self, stream: u16) -> T {
        let mut reader = SessionReader::open(&self.session).unwrap();
        let mut last = None;
        while let Some(record) = reader.read().unwrap() {
            let Record::Outputs(outputs) = record else { continue };
            let id = StableId::device(StreamId(stream));
            let mut mine = outputs.changes.into_iter().filter(|change| *change.kind == *T::NAME && change.id == id);
            last = mine.next_back().and_then(|change| change.value).or(last);
        }
        rmp_serde::from_slice(&last.unwrap()).unwrap()
    }

    fn fixes(&self) -> impl Iterator<Item = &GpsFix> {
        self.ticks.iter().filter_map(|tick| tick.found.as_ref()).flat_map(|found| &found.fixes).map(|(_, fix)| fix)
    }

    fn readings(&self) -> impl Iterator<Item = &RangeReading> {
        let found = self.ticks.iter().filter_map(|tick| tick.found.as_ref());
        found.flat_map(|found| &found.ranges).map(|(_, reading)| reading)
    }
}

const BOTH: &str = "\
[[gps]]
source = \"DIR/gps\"
baud = 9600
rate_hz = 10.0
[[range]]
source = \"DIR/range\"
";

/// Sound, but for one byte.
const CORRUPT: &[u8] = b"$GPGGA,120000.00,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*00\r\n";

#[test]
fn a_receiver_and_a_range_finder_are_recorded_and_replay() {
    let mut run = Run::start(BOTH, |dir| {
        vec![Wire::plug(&dir.join("gps"), receiver()), Wire::plug(&dir.join("range"), range_finder())]
    });
    // Nobody speaks before both are open: what was said earlier is forgotten.
    run.silent = true;
    run.until("both ports", |run| run.log().matches("waiting for the first sample").count() == 2);
    // The rest of a line, and one that is made of the beginning of one and the end of another.
    run.wires[0].say(b"07.038,N,01131.000,E,1,08,0.9*5A\r\n$GPGGA,1200,01131.000,E*29\r\n");
    run.wires[1].say(&[0x59, 0x64, 0x00, 0xe8]);
    run.wires[0].hand_over(receiver());
    run.wires[1].hand_over(range_finder());
    run.silent = false;
    run.go_on_for(Duration::from_secs(3));
    run.until("the end of a sentence", |run| run.wires[0].written.ends_with(b"\r\n"));
    (0..3).for_each(|_| run.wires[0].say(CORRUPT));
    run.go_on_for(Duration::from_secs(1));
    let recorded = run.end();

    let received = recorded.bytes(1);
    let written = &recorded.run.wires[0].written;
    let same = written.iter().zip(&received).take_while(|(written, received)| written == received).count();
    let piece = |bytes: &[u8]| String::from_utf8_lossy(&bytes[same..bytes.len().min(same + 80)]).into_owned();
    assert_eq!(same, received.len(), "received {:?}, written {:?}", piece(&received), piece(written));
    assert!(same > 3000, "{same}");
    let (mut good, mut bad, mut ignored) = (0, 0, 0);
    let mut reader = NmeaReader::default();
    reader.resync(|_| ());
    reader.read(&received, |event| match event {
        NmeaEvent::Good(_) => good += 1,
        NmeaEvent::Bad(_) => bad += 1,
        NmeaEvent::Ignored => ignored += 1,
        NmeaEvent::Stray(_) | NmeaEvent::Binary(_) => {}
    });
    let state: GpsState = recorded.last(1);
    assert_eq!((state.good, state.bad, state.ignored), (good, bad, ignored));
    assert_eq!(bad, 3, "the corrupt ones, and not what was cut before");
    assert_eq!(state.stray_bytes, 32 + 26);
    assert_eq!(recorded.summary["fixes"], state.fixes);
    assert!(state.fixes >= 20 && state.doubtful == 0, "{state:?}");
    assert_eq!(recorded.fixes().count() as u64, state.fixes);

    let range: RangeState = recorded.last(2);
    assert_eq!((range.bad, range.stray_bytes), (0, 4));
    assert!(range.valid + range.invalid >= 200, "{range:?}");
    assert_eq!(recorded.readings().count() as u64, range.valid + range.invalid);
    assert_eq!(recorded.inputs(2).filter(|input| matches!(input.payload, Payload::Dropped { .. })).count(), 0);

    // The receiver's date is another than this computer's.
    let told = recorded.outcome.err.lines().filter(|line| line.contains("by satellites")).count();
    assert_eq!(told, 1, "{}", recorded.outcome.err);
}

#[test]
fn silence_is_noticed_and_what_is_unplugged_is_found_again() {
    let gps = "[[gps]]\nsource = \"DIR/gps\"\n";
    let mut run = Run::start(&format!("range = []\n{gps}"), |_| Vec::new());
    let link = run.path("gps");
    run.until_told(&format!("there is no {}", link.display()));
    run.wires.push(Wire::plug(&link, receiver()));
    run.until_told("gps: active");
    run.silent = true;
    run.until_told("gps: degraded: silent");
    run.silent = false;
    run.until_told("gps: active");
    run.wires.clear();
    run.until_told("gps: degraded: lost");
    let plugged = boottime();
    run.wires.push(Wire::plug(&link, receiver()));
    run.until_told("gps: active");
    run.go_on_for(Duration::from_millis(500));
    let recorded = run.end();

    let links: Vec<_> = recorded
        .inputs(1)
        .filter_map(|input| match &input.payload {
            Payload::Link(state) => Some((input.captured, state.clone())),
            _ => None,
        })
        .collect();
    assert!(links.iter().any(|(_, state)| *state == LinkState::Lost("unplugged".to_owned())), "{links:?}");
    let back = links.iter().find(|(at, state)| *at >= plugged && *state == LinkState::Connected).unwrap().0;
    assert!(back.since(plugged) < BACK + BUSY, "{:?}", back.since(plugged));
    let described = |input: &Input| matches!(&input.payload, Payload::Described(what) if what.contains("Bd found by"));
    assert_eq!(recorded.inputs(1).filter(|input| described(input)).count(), 2);
    assert!(recorded.fixes().count() >= 3);
}

#[test]
fn a_binary_receiver_is_named() {
    // UBX-NAV-STATUS, ten a second.
    let body = [0x01, 0x03, 0x10, 0x00, 1, 2, 3, 4, 3, 0xdd, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12];
    let sum = body.iter().fold((0u8, 0u8), |(a, b), byte| {
        let a = a.wrapping_add(*byte);
        (a, b.wrapping_add(a))
    });
    let frame = [&[0xb5, 0x62], &body[..], &[sum.0, sum.1]].concat();
    let mut n = 0;
    let says = move || {
        n += 1;
        TimedItem { at: Mono(n * 100_000_000), payload: Payload::Serial(frame.clone().into()) }
    };
    let mut run =
        Run::start("range = []\n[[gps]]\nsource = \"DIR/gps\"\n", |dir| vec![Wire::plug(&dir.join("gps"), says)]);
    run.until_told("gps: fault: speaks UBX: switch it to NMEA");
    let recorded = run.end();
    let described = |input: &Input| matches!(&input.payload, Payload::Described(what) if what.contains("its UBX"));
    assert!(recorded.inputs(1).any(described));
    assert_eq!(recorded.fixes().count(), 0);
}

/// Sentences of a moment, with their sums.
fn moment(second: u32, position: &str, knots: &str, altitude: &str, date: &str) -> String {
    let with_sum = |body: String| format!("${body}*{:02X}\r\n", body.bytes().fold(0, |sum, byte| sum ^ byte));
    let time = format!("12{:02}{:02}.00", second / 60, second % 60);
    with_sum(format!("GPGGA,{time},{position},1,08,0.9,{altitude},M,46.9,M,,"))
        + &with_sum(format!("GPRMC,{time},A,{position},{knots},84.4,{date},,"))
}

/// Answers as gpsd does, and waits until it is asked for sentences.
fn gpsd(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"{\"class\":\"VERSION\",\"release\":\"3.25\",\"proto_major\":3}\r\n").unwrap();
    let mut asked = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut asked).unwrap();
    assert_eq!(asked, "?WATCH={\"enable\":true,\"nmea\":true};\n");
    stream
}

#[test]
fn gpsd_is_a_receiver_and_nonsense_is_used_by_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = format!("[[gps]]\nsource = \"tcp://{address}\"\n[[range]]\nsource = \"DIR/range\"\n");
    let mut run = Run::start(&config, |dir| {
        // Weak, blinded, too far, nothing, the codes of errors, and one that may be used.
        let values: [(u16, u16); 8] =
            [(500, 99), (500, 65535), (1300, 500), (0, 500), (65535, 500), (65534, 500), (65533, 500), (500, 500)];
        let mut n = 0;
        let says = move || {
            let (distance, strength) = values[n as usize % values.len()];
            let mut frame = [&[0x59, 0x59][..], &distance.to_le_bytes(), &strength.to_le_bytes(), &[0, 9]].concat();
            frame.push(frame.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)));
            n += 1;
            TimedItem { at: Mono(n * 20_000_000), payload: Payload::Serial(frame.into()) }
        };
        vec![Wire::plug(&dir.join("range"), says)]
    });
    let mut stream = gpsd(&listener);
    let here = "4807.038,N,01131.000,E";
    for (second, said) in [
        (0, moment(0, here, "10.0", "545.4", "231126")),
        (1, moment(1, "0000.000,N,00000.000,E", "10.0", "545.4", "231126")),
        (2, moment(2, here, "486.0", "545.4", "231126")),
        (3, moment(3, here, "10.0", "-9999.0", "231126")),
        (4, moment(4, "9107.038,N,01131.000,E", "10.0", "545.4", "231126")),
        (5, moment(5, "1207.038,N,01131.000,E", "10.0", "545.4", "231126")),
        (6, moment(6, here, "10.0", "545.4", "090407")),
        (7, moment(7, here, "10.0", "545.4", "060180")),
    ] {
        stream.write_all(said.as_bytes()).unwrap();
        if second == 0 {
            run.until_told("gps: active");
        }
    }
    run.until_told("gps: degraded");
    run.go_on_for(Duration::from_secs(1));
    let recorded = run.end();

    use FixValidity::{Altitude, Jumped, NullIsland, TooFast, Valid};
    let fixes: Vec<_> = recorded.fixes().map(|fix| fix.validity).collect();
    assert_eq!(fixes, [Valid, NullIsland, TooFast, Altitude, Jumped, Valid, Valid]);
    let dates: Vec<_> = recorded.fixes().map(|fix| (fix.date, fix.rollovers)).collect();
    assert_eq!(dates[5..], [(Some((2026, 11, 23)), 1), (None, 0)]);
    let state: GpsState = recorded.last(1);
    assert_eq!((state.fixes, state.doubtful, state.bad), (7, 4, 2));
    assert!((state.fix.unwrap().latitude_deg - 48.1173).abs() < 1e-6);

    let range: RangeState = recorded.last(2);
    assert!(range.valid >= 5 && range.invalid >= 6 * range.valid, "{range:?}");
    assert_eq!(range.distance_m, Some(5.0));
    let usable = |reading: &RangeReading| reading.distance_m == 5.0 && reading.strength == Some(500);
    assert!(recorded.readings().all(|reading| (reading.validity == RangeValidity::Valid) == usable(reading)));
}

#[test]
fn an_address_that_is_none_is_refused_with_what_it_could_be() {
    let dir = tempfile::tempdir().unwrap();
    for source in ["COM3:", "tcp://192.168.1.7", "../ttyUSB0"] {
        let config = format!("camera = []\nrange = []\n[[gps]]\nsource = \"{source}\"\n");
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        let outcome = waywarden(dir.path(), &["run", "--config", "config.toml", "--duration", "1"]);
        outcome.refused(&["gps", source, "/dev/ttyUSB0", "/dev/serial/by-id", "tcp://HOST:PORT"]);
    }
}
