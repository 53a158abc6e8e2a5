//! A microphone through ALSA: a device of type `file`, fed by a FIFO at the pace of sound.
//!
//! cpal's thread reads the FIFO, blocking, so sound goes in as fast as it is written and none is lost on the way: what is
//! recorded is compared with what was written, sample by sample. It is written a whole period at a time, because ALSA fills
//! up what it gets less of with silence.

#![cfg(feature = "sound")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/outcome.rs"]
mod outcome;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use outcome::{end, send, sessions, start_after, until, waywarden};
use waywarden_components::prelude::*;
use waywarden_systems::session::{Record, SessionReader};

const ALSA: &str = "pcm.null { type null }\n";

/// A program that listens to a device `mic`, in a folder of its own.
struct Listener {
    dir: tempfile::TempDir,
    child: Child,
}

/// Writes the files of a device that reads `name`, and opens the FIFO: at both ends, so that nobody waits for the other.
fn fifo(dir: &Path) -> File {
    let path = dir.join("sound");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let fifo = OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(path).unwrap();
    // There is always room for more than a period, so that none is written in part.
    nix::fcntl::fcntl(&fifo, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap();
    fifo
}

/// The device.
fn plug_in(dir: &Path) {
    let path = dir.join("sound");
    let device = format!(
        "{ALSA}pcm.mic {{ type file slave.pcm \"null\" file \"/dev/null\" infile \"{}\" format \"raw\"\n\
         hint {{ show on description \"A test's microphone\" }} }}\n",
        path.display()
    );
    std::fs::write(dir.join("asound.conf"), device).unwrap();
}

/// Runs a program that has nothing but this microphone.
fn listen(dir: tempfile::TempDir, rate_hz: u32) -> Listener {
    let config = format!(
        "camera = []\ngps = []\nrange = []\n[[microphone]]\nsource = \"mic\"\nrate_hz = {rate_hz}\n\
         [segmentation]\nenabled = false\n[detection]\nenabled = false\n"
    );
    std::fs::write(dir.path().join("config.toml"), config).unwrap();
    let alsa = format!("export ALSA_CONFIG_PATH={}/asound.conf;", dir.path().display());
    let child = start_after(dir.path(), &alsa, &["run", "--config", "config.toml", "--record", "rec"]);
    Listener { dir, child }
}

/// What was recorded so far: each input of the microphone with its time.
fn recorded(session: &Path) -> Vec<(Mono, Payload)> {
    let mut inputs = Vec::new();
    let Ok(mut reader) = SessionReader::open(session) else { return inputs };
    while let Ok(Some(record)) = reader.read() {
        let Record::Tick(incoming) = record else { continue };
        let of_device = incoming.inputs.into_iter().filter(|input| input.stream == StreamId(1));
        inputs.extend(of_device.map(|input| (input.captured, input.payload)));
    }
    inputs
}

fn samples(inputs: &[(Mono, Payload)]) -> Vec<i16> {
    let pcm = inputs.iter().filter_map(|(_, payload)| match payload {
        Payload::Audio(pcm) => Some(pcm),
        _ => None,
    });
    pcm.flat_map(|pcm| pcm.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]]))).collect()
}

fn links(inputs: &[(Mono, Payload)]) -> Vec<LinkState> {
    let link = |(_, payload): &(Mono, Payload)| match payload {
        Payload::Link(state) => Some(state.clone()),
        _ => None,
    };
    inputs.iter().filter_map(link).collect()
}

impl Listener {
    /// Waits until what was recorded is as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&[(Mono, Payload)]) -> bool) {
        let folder = self.dir.path().join("rec");
        let so_far = || sessions(&folder).pop().map(|session| recorded(&session)).unwrap_or_default();
        until(&mut self.child, what, || wanted(&so_far()).then_some(()));
    }

    /// Ends it in order. Returns all that was recorded, and what it said.
    fn end(mut self) -> (Vec<(Mono, Payload)>, String) {
        send(&self.child, Signal::SIGTERM);
        let said = end(&mut self.child, self.dir.path()).done().err;
        let session = sessions(&self.dir.path().join("rec")).pop().unwrap();
        let inputs = recorded(&session);
        waywarden(self.dir.path(), &["replay", session.to_str().unwrap(), "--verify"]).done();
        (inputs, said)
    }
}

/// Writes sound at its own pace.
struct Feeder {
    thread: JoinHandle<u64>,
    pausing: Arc<AtomicBool>,
    ending: Arc<AtomicBool>,
}

/// Writes `rate` frames a second, each as `frame` gives it, a period of 50 ms at a time.
#[expect(clippy::disallowed_methods, reason = "plays a device in real time")]
fn feed(mut fifo: File, rate: u32, frame: impl Fn(u64) -> Vec<u8> + Send + 'static) -> Feeder {
    let (pausing, ending) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (paused, ended) = (pausing.clone(), ending.clone());
    let feeding = move || {
        let (mut written, mut heard) = (0u64, Duration::ZERO);
        let period = u64::from(rate / 20);
        let mut last = Instant::now();
        while !ended.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
            let now = Instant::now();
            if !paused.load(Ordering::Relaxed) {
                heard += now - last;
                let due = (heard.as_secs_f64() * f64::from(rate)) as u64;
                while due >= written + period {
                    let bytes: Vec<u8> = (written..written + period).flat_map(&frame).collect();
                    match fifo.write(&bytes) {
                        Ok(count) => assert_eq!(count, bytes.len(), "written in part"),
                        // Full: nobody has opened it yet.
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                            break;
                        }
                    }
                    written += period;
                }
            }
            last = now;
        }
        written
    };
    let thread = std::thread::Builder::new().spawn(feeding).unwrap();
    Feeder { thread, pausing, ending }
}

impl Feeder {
    fn end(self) -> u64 {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Noise in which no two places look alike.
fn noise(n: u64) -> i16 {
    (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as u16 as i16
}

#[test]
fn every_sample_is_recorded_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    plug_in(dir.path());
    let feeder = feed(fifo(dir.path()), 16_000, |n| noise(n).to_ne_bytes().to_vec());
    let mut listener = listen(dir, 16_000);
    listener.until("five seconds of sound", |inputs| samples(inputs).len() >= 5 * 16_000);
    // While it ends sound still comes.
    let (inputs, said) = listener.end();
    let written = feeder.end();
    let heard = samples(&inputs);
    assert!(heard.len() as u64 <= written);
    let wrong = heard.iter().zip(0..).find(|&(&sample, n)| sample != noise(n));
    assert_eq!(wrong, None, "of {} samples", heard.len());
    assert!(!inputs.iter().any(|(_, payload)| matches!(payload, Payload::Dropped { .. })));
    let described = inputs.iter().find_map(|(_, payload)| match payload {
        Payload::Described(what) => Some(what.clone()),
        _ => None,
    });
    assert!(described.unwrap().starts_with("ALSA mic: 16000 Hz, 1 channel, i16, 800 frames at a time"));
    assert!(!said.contains("ALSA lib"), "{said}");
    let times: Vec<Mono> =
        inputs.iter().filter(|(_, payload)| matches!(payload, Payload::Audio(_))).map(|(at, _)| *at).collect();
    assert!(times.is_sorted_by(|a, b| a < b));
    // The feeder goes by the clock of this computer, so in the long run chunks of 20 ms come every 20 ms.
    let (first, last) = (times[times.len() / 3], times[times.len() - 1]);
    let mean = last.since(first).as_secs_f64() / (times.len() - 1 - times.len() / 3) as f64;
    assert!((0.015..0.030).contains(&mean), "a chunk every {mean} s");
}

/// Frequency in hertz by zero crossings, and amplitude by the root mean square, full scale 1.
fn measure(samples: &[i16]) -> (f64, f64) {
    let up: Vec<f64> = (1..samples.len())
        .filter(|&n| samples[n - 1] < 0 && samples[n] >= 0)
        .map(|n| n as f64 - f64::from(samples[n]) / f64::from(samples[n] - samples[n - 1]))
        .collect();
    let period = (up[up.len() - 1] - up[0]) / (up.len() - 1) as f64;
    let power = samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>() / samples.len() as f64;
    (16_000.0 / period, (2.0 * power).sqrt() / 32_768.0)
}

#[expect(clippy::disallowed_methods, reason = "a test signal may sway by the platform's sine")]
fn sine(n: u64, rate: u32) -> f64 {
    (std::f64::consts::TAU * 440.0 * n as f64 / f64::from(rate)).sin()
}

#[test]
fn stereo_of_48_khz_becomes_the_mean_at_16_khz() {
    let dir = tempfile::tempdir().unwrap();
    plug_in(dir.path());
    let frame = |n| {
        let value = sine(n, 48_000) as f32;
        [value * 0.5, value * 0.3].into_iter().flat_map(f32::to_ne_bytes).collect()
    };
    let feeder = feed(fifo(dir.path()), 48_000, frame);
    // What takes anything is taken as recommended.
    let mut listener = listen(dir, 0);
    listener.until("three seconds of sound", |inputs| samples(inputs).len() >= 3 * 16_000);
    let (inputs, said) = listener.end();
    let written = feeder.end();
    let heard = samples(&inputs);
    assert!(heard.len() as u64 <= written / 3);
    let (hertz, level) = measure(&heard[1600..]);
    assert!((hertz - 440.0).abs() < 0.1 && (level - 0.4).abs() < 0.004, "{hertz} Hz, level {level}, {said}");
}

#[test]
fn a_microphone_that_falls_silent_is_lost_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    plug_in(dir.path());
    let feeder = feed(fifo(dir.path()), 16_000, |n| noise(n).to_ne_bytes().to_vec());
    let mut listener = listen(dir, 16_000);
    listener.until("a second of sound", |inputs| samples(inputs).len() >= 16_000);
    feeder.pausing.store(true, Ordering::Relaxed);
    let lost = |inputs: &[(Mono, Payload)]| {
        inputs.iter().position(|(_, payload)| matches!(payload, Payload::Link(LinkState::Lost(_))))
    };
    listener.until("lost", |inputs| lost(inputs).is_some());
    feeder.pausing.store(false, Ordering::Relaxed);
    let again = |inputs: &[(Mono, Payload)]| lost(inputs).map_or(0, |lost| samples(&inputs[lost..]).len());
    listener.until("found again", |inputs| again(inputs) >= 16_000);
    let (inputs, _) = listener.end();
    feeder.end();
    let states = links(&inputs);
    assert_eq!(states[..2], [LinkState::Connecting, LinkState::Connected]);
    assert!(matches!(&states[2], LinkState::Lost(why) if why.starts_with("nothing came for 1.")), "{states:?}");
    assert_eq!(states.last(), Some(&LinkState::Connected));
}

#[test]
fn a_microphone_that_is_not_there_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("asound.conf"), ALSA).unwrap();
    let mut listener = listen(dir, 16_000);
    let absent = |state: &LinkState| matches!(state, LinkState::Lost(why) if why.contains("no ALSA device mic"));
    listener.until("missed", |inputs| links(inputs).iter().any(absent));
    let feeder = feed(fifo(listener.dir.path()), 16_000, |n| noise(n).to_ne_bytes().to_vec());
    plug_in(listener.dir.path());
    listener.until("a second of sound", |inputs| samples(inputs).len() >= 16_000);
    let (inputs, said) = listener.end();
    feeder.end();
    assert_eq!(links(&inputs).last(), Some(&LinkState::Connected));
    assert!(!said.contains("ALSA lib"), "{said}");
    assert!(samples(&inputs).iter().zip(0..).all(|(&sample, n)| sample == noise(n)));
}
