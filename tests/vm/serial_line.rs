//! The devices at the other end of serial lines: a receiver and a range sensor, played from here.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::machine::pause;

/// Which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The receiver's.
    Gps,
    /// The range sensor's.
    Range,
}

impl Line {
    /// Its name, which is that of the stream as well.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gps => "gps",
            Self::Range => "range",
        }
    }
}

const SILENT: u8 = 0;
const SPEAKING: u8 = 1;
const GARBLED: u8 = 2;
const OVER: u8 = 3;

/// A device that speaks as it is told to; silent at first.
pub struct SerialLine {
    mode: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

impl SerialLine {
    /// The device `name` ("gps" or "range") at the other end of a line.
    pub fn new(name: &'static str, line: UnixStream) -> Self {
        line.set_nonblocking(true).unwrap();
        let mode = Arc::new(AtomicU8::new(SILENT));
        let heard = mode.clone();
        let speaker = std::thread::Builder::new().name(name.to_owned());
        let thread = speaker.spawn(move || speak(name, line, &heard)).unwrap();
        Self { mode, thread: Some(thread) }
    }

    /// Says nothing from now on.
    pub fn say_nothing(&self) {
        self.mode.store(SILENT, Ordering::SeqCst);
    }

    /// Says what such a device says.
    pub fn speak(&self) {
        self.mode.store(SPEAKING, Ordering::SeqCst);
    }

    /// Says what arrives over a bad cable.
    pub fn speak_garbled(&self) {
        self.mode.store(GARBLED, Ordering::SeqCst);
    }
}

impl Drop for SerialLine {
    fn drop(&mut self) {
        self.mode.store(OVER, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A receiver speaks twice a second, a range sensor twenty times.
fn speak(name: &str, mut line: UnixStream, mode: &AtomicU8) {
    let gps = name == "gps";
    let period = Duration::from_millis(if gps { 500 } else { 50 });
    for n in 0.. {
        let mut bytes = if gps { sentences(n) } else { range_frame(n).to_vec() };
        match mode.load(Ordering::SeqCst) {
            OVER => return,
            SILENT => bytes.clear(),
            // A flipped bit in every piece: no sentence and no frame keeps its checksum.
            GARBLED => bytes.iter_mut().skip(5).step_by(40).for_each(|byte| *byte ^= 0x04),
            _ => {}
        }
        // What the other side writes is thrown away, or it would wait for us. What does not fit is lost, as on a wire.
        let mut thrown = [0; 256];
        while line.read(&mut thrown).is_ok_and(|read| read > 0) {}
        match line.write(&bytes) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return,
            _ => pause(period),
        }
    }
}

/// A vehicle on its way to the north-east, at 50 knots: where and how fast, half a second later each time.
fn sentences(n: u32) -> Vec<u8> {
    let (seconds, hundredths) = (n / 2, n % 2 * 50);
    let time = format!("{:02}{:02}{:02}.{hundredths:02}", 8 + seconds / 3600 % 12, seconds / 60 % 60, seconds % 60);
    // 12.9 m in half a second, by minutes of arc.
    let (latitude, longitude) = (7.1 + f64::from(n) * 0.004_9, 31.2 + f64::from(n) * 0.007_4);
    let place = format!("48{latitude:07.4},N,011{longitude:07.4},E");
    let mut said = Vec::new();
    for body in [
        format!("GPGGA,{time},{place},1,09,0.9,545.4,M,46.9,M,,"),
        format!("GPRMC,{time},A,{place},050.0,045.0,231126,,,A"),
    ] {
        let checksum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        said.extend_from_slice(format!("${body}*{checksum:02X}\r\n").as_bytes());
    }
    said
}

/// A TFmini that sees something between 5 and 7 m away.
fn range_frame(n: u32) -> [u8; 9] {
    let centimetres = (500 + n % 200) as u16;
    let mut frame = [0x59, 0x59, 0, 0, 0x10, 0x02, 0, 0x08, 0];
    frame[2..4].copy_from_slice(&centimetres.to_le_bytes());
    frame[8] = frame[..8].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    frame
}
