//! An operator's voice through ALSA: a device of type `file` that writes into a FIFO, read at the pace of sound.

#![cfg(feature = "sound")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::disallowed_methods, reason = "plays a network and a device in real time, with any sine")]

#[path = "support/loudspeaker.rs"]
mod loudspeaker;
#[path = "support/outcome.rs"]
mod outcome;

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use loudspeaker::{FRAME, RATE, loudspeaker};
use nix::sys::signal::Signal;
use outcome::{end, send, sessions, start_after, until, waywarden};
use waywarden_components::prelude::*;
use waywarden_systems::ingress::{channel, wake};
use waywarden_systems::speaker::speaker;
use waywarden_systems::supervisor::{Supervisor, SupervisorSettings, Task};

/// Set in the process that plays: ALSA reads where its config is once.
const PLAYS: &str = "WAYWARDEN_TEST_PLAYS";

/// Samples of a voice in a piece.
const PIECE: usize = 320;
/// Time that a voice is heard.
const LENGTH: Duration = Duration::from_secs(4);
/// No test takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

fn sine(n: u64) -> i16 {
    ((std::f64::consts::TAU * 440.0 * n as f64 / 16_000.0).sin() * 16_384.0) as i16
}

/// Says something into the device, as unevenly as a network brings it: out of order, with a piece missing.
fn play() -> ! {
    let (driver, voice) = speaker("out", Duration::from_millis(400));
    let (outlet, _inlet) = channel(StreamId::APP, 1, DropPolicy::KeepNewest, wake().0);
    let task = Task { name: "speaker".to_owned(), driver: Arc::new(driver), outlet };
    let _supervisor = Supervisor::start(vec![task], SupervisorSettings::default()).unwrap();
    let begin = Instant::now();
    let mut n = 0;
    while begin.elapsed() < LENGTH {
        std::thread::sleep(Duration::from_millis(2));
        let due = begin.elapsed().as_millis() as u64 / 40;
        while n < due {
            for half in [2 * n + 1, 2 * n] {
                let at = half * PIECE as u64;
                if half != 30 {
                    voice.push(at, &(at..at + PIECE as u64).map(sine).collect::<Vec<_>>());
                }
            }
            n += 1;
        }
    }
    // Nothing is closed: ALSA's `file` insists on a device that has taken everything, or aborts.
    std::process::exit(0);
}

/// Takes what is played at the pace of the device, until the other process ends. Both channels of each frame.
fn take(mut fifo: File, child: &mut Child) -> Vec<[f32; 2]> {
    let begin = Instant::now();
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        std::thread::sleep(Duration::from_millis(5));
        let due = (begin.elapsed().as_secs_f64() * RATE) as usize * FRAME;
        let wanted = (due.saturating_sub(bytes.len())).min(buffer.len());
        match fifo.read(&mut buffer[..wanted]) {
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(_) => {
                // What was not there cannot be taken later.
                if bytes.is_empty() {
                    continue;
                }
            }
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "still plays");
    }
    let (samples, _) = bytes.as_chunks::<4>();
    let (frames, _) = samples.as_chunks::<2>();
    frames.iter().map(|[left, right]| [f32::from_ne_bytes(*left), f32::from_ne_bytes(*right)]).collect()
}

/// Whether this is nothing but the sine: its frequency and level.
fn is_sine(sound: &[f32]) -> bool {
    let up: Vec<usize> = (1..sound.len()).filter(|&n| sound[n - 1] < 0.0 && sound[n] >= 0.0).collect();
    let hertz = RATE * (up.len().max(2) - 1) as f64 / (up.last().unwrap_or(&1) - up.first().unwrap_or(&0)) as f64;
    let power = sound.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>() / sound.len() as f64;
    let (least, most) = (RATE / 440.0 - 2.0, RATE / 440.0 + 2.0);
    let even = up.windows(2).all(|two| (least..most).contains(&((two[1] - two[0]) as f64)));
    even && (hertz - 440.0).abs() < 1.0 && ((2.0 * power).sqrt() - 0.5).abs() < 0.01
}

#[test]
fn a_voice_is_heard_through_a_device_of_another_rate_and_format() {
    if std::env::var_os(PLAYS).is_some() {
        play();
    }
    let dir = tempfile::tempdir().unwrap();
    let fifo = loudspeaker(dir.path());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_voice_is_heard_through_a_device_of_another_rate_and_format", "--nocapture"])
        .env("ALSA_CONFIG_PATH", dir.path().join("asound.conf"))
        .env(PLAYS, "1")
        .spawn()
        .unwrap();
    let frames = take(fifo, &mut child);
    assert!(frames.iter().all(|[left, right]| left == right), "one voice, both sides");
    let sound: Vec<f32> = frames.iter().map(|frame| frame[0]).collect();
    // It waits until its buffer is filled.
    let begin = sound.iter().position(|sample| sample.abs() > 0.01).expect("something is heard");
    assert!(begin as f64 > 0.1 * RATE, "heard after {begin} frames");
    // Somewhere half a second of it is whole, whatever the computer was busy with.
    let half = RATE as usize / 2;
    assert!(sound[begin..].windows(half).step_by(100).any(is_sine), "of {} frames none is the voice", sound.len());
}

#[test]
fn a_loudspeaker_has_a_health_like_every_device_and_it_replays() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    let config = "camera = []\nrange = []\n[[gps]]\nsource = \"simulated\"\n[speaker]\ndevice = \"out\"\n\
                  [segmentation]\nenabled = false\n[detection]\nenabled = false\n[http]\nenabled = false\n";
    std::fs::write(here.join("config.toml"), config).unwrap();
    let silent = "pcm.null { type null }\n";
    std::fs::write(here.join("asound.conf"), silent).unwrap();
    let alsa = format!("export ALSA_CONFIG_PATH={}/asound.conf;", here.display());
    let mut child = start_after(here, &alsa, &["run", "--config", "config.toml", "--record", "rec"]);
    let log = || std::fs::read_to_string(here.join("stderr.txt")).unwrap_or_default();
    let mut said = |words: &str| until(&mut child, words, || log().contains(words).then_some(()));
    said("speaker: degraded: nobody is heard through it, being tried again: there is no ALSA device out");
    let device = format!("{silent}pcm.out {{ type null hint {{ show on description \"A test's loudspeaker\" }} }}\n");
    std::fs::write(here.join("asound.conf"), device).unwrap();
    said("speaker: active");
    send(&child, Signal::SIGTERM);
    end(&mut child, here).done();
    let session = sessions(&here.join("rec")).pop().unwrap();
    let session = session.to_str().unwrap();
    waywarden(here, &["replay", session, "--verify"]).done();
    let seen = waywarden(here, &["inspect", session, "--json"]).done();
    assert!(seen.out.contains("\"speaker\""), "{}", seen.out);
}
