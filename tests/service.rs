//! The program as a service: what systemd hears of it, the config read anew, and what the next run says of a crash.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/outcome.rs"]
mod outcome;

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use outcome::{PATIENCE, SMALL, end, send, sessions, start_after, until, wait, waywarden};
use waywarden_components::prelude::*;
use waywarden_systems::session::{Record, SessionReader};

const RUN: [&str; 6] = ["run", "--config", "config.toml", "--simulate", "--record", "rec"];

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.toml"), SMALL).unwrap();
    dir
}

/// The newest session.
fn newest(dir: &Path) -> Option<PathBuf> {
    sessions(&dir.join("rec")).pop()
}

fn segments(session: &Path) -> usize {
    std::fs::read_dir(session).map_or(0, Iterator::count)
}

fn notices(session: &Path) -> Vec<String> {
    let mut reader = SessionReader::open(session).unwrap();
    let mut found = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        if let Record::Tick(incoming) = record {
            found.extend(incoming.inputs.into_iter().filter_map(|input| match input.payload {
                Payload::Notice(notice) => Some(format!("{}: {}", notice.source, notice.text)),
                _ => None,
            }));
        }
    }
    found
}

fn verify(dir: &Path, more: &[&str]) -> String {
    let session = newest(dir).unwrap();
    let args = [&["replay", session.to_str().unwrap(), "--verify"], more].concat();
    waywarden(dir, &args).done().out
}

#[test]
fn systemd_hears_that_it_is_ready_that_it_lives_and_that_it_ends() {
    let dir = folder();
    let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // The shell that starts it becomes the program, so that the watchdog is meant for it.
    let prelude = "export NOTIFY_SOCKET=$PWD/notify WATCHDOG_USEC=400000 WATCHDOG_PID=$$;";
    let mut child = start_after(dir.path(), prelude, &RUN);
    let hear = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert!(hear().starts_with("READY=1"));
    for _ in 0..3 {
        assert_eq!(hear().trim_end(), "WATCHDOG=1");
    }
    send(&child, Signal::SIGTERM);
    while hear().trim_end() != "STOPPING=1" {}
    end(&mut child, dir.path()).done();
}

#[test]
fn a_config_read_anew_is_in_force_at_once_recorded_and_replayed_from_every_segment() {
    let dir = folder();
    let path = dir.path().join("config.toml");
    // A gate that lets through only what it must.
    let first = format!("{SMALL}[gate]\nthreshold = 255.0\n");
    std::fs::write(&path, &first).unwrap();
    let mut child = start_after(dir.path(), "", &RUN);
    let session = until(&mut child, "a session", || newest(dir.path()));
    until(&mut child, "a second segment", || (segments(&session) >= 2).then_some(()));
    // All frames, all the time: from now on the gate holds nothing back.
    std::fs::write(&path, format!("{SMALL}[gate]\nthreshold = 0.0\n")).unwrap();
    send(&child, Signal::SIGHUP);
    until(&mut child, "two more segments", || (segments(&session) >= 4).then_some(()));
    // A mistake, and something that needs a start: all or nothing.
    std::fs::write(&path, format!("{SMALL}[gate]\nthreshold = 300.0\n")).unwrap();
    send(&child, Signal::SIGHUP);
    until(&mut child, "a complaint", || {
        std::fs::read_to_string(dir.path().join("stderr.txt")).unwrap().contains("outside 0 to 255").then_some(())
    });
    std::fs::write(&path, format!("{SMALL}flush_ms = 100\n[gate]\nthreshold = 200.0\n")).unwrap();
    send(&child, Signal::SIGHUP);
    until(&mut child, "another complaint", || {
        std::fs::read_to_string(dir.path().join("stderr.txt")).unwrap().contains("record.flush_ms").then_some(())
    });
    send(&child, Signal::SIGTERM);
    end(&mut child, dir.path()).done();

    let told = notices(&session);
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0], "config: read anew: gate.threshold from 255.0 to 0.0");
    assert!(told[1].starts_with("config: not taken, the one before stays: ") && told[1].contains("gate.threshold"));
    assert!(told[2].contains("record.flush_ms cannot be changed while it runs"));
    verify(dir.path(), &[]);
    for segment in 0..segments(&session) {
        verify(dir.path(), &["--from", &segment.to_string()]);
    }
    // It made a difference: with the first config alone the digests are others.
    let args = ["replay", session.to_str().unwrap(), "--json", "--jobs", "recorded"];
    let digest = |more: &[&str]| {
        let out = waywarden(dir.path(), &[&args[..], more].concat()).done().out;
        serde_json::from_str::<serde_json::Value>(out.lines().last().unwrap()).unwrap()["digest"].clone()
    };
    std::fs::write(&path, first).unwrap();
    assert_ne!(digest(&[]), digest(&["--config", "config.toml"]));
}

#[test]
fn a_service_whose_config_is_missing_says_so_and_ends() {
    let dir = folder();
    waywarden(dir.path(), &["run", "--config", "other.toml"]).refused(&["other.toml"]);
}

#[test]
fn a_crash_in_c_code_costs_the_process_and_the_next_session_says_why() {
    for (signal, words) in [(Signal::SIGSEGV, "crashed: SIGSEGV"), (Signal::SIGKILL, "was killed")] {
        let dir = folder();
        let mut child = start_after(dir.path(), "ulimit -c 0;", &RUN);
        let first = until(&mut child, "a session", || newest(dir.path()));
        until(&mut child, "a second segment", || (segments(&first) >= 2).then_some(()));
        send(&child, signal);
        let status = wait(&mut child, PATIENCE);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(signal as i32));
        verify(dir.path(), &[]);

        let again = [&RUN[..], &["--duration", "1"]].concat();
        waywarden(dir.path(), &again).done();
        let second = newest(dir.path()).unwrap();
        assert_ne!(first, second);
        let told = notices(&second);
        assert!(told.len() == 1 && told[0].contains(words), "{told:?}");
        assert!(told[0].contains(first.file_name().unwrap().to_str().unwrap()));
        verify(dir.path(), &[]);
        // It is told once.
        waywarden(dir.path(), &again).done();
        assert!(notices(&newest(dir.path()).unwrap()).is_empty());
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let unit = waywarden(dir.path(), &["init", "--unit"]).done().out;
    let path = dir.path().join("waywarden.service");
    // Nobody has installed it here.
    std::fs::write(&path, unit.replace("/usr/local/bin/waywarden", env!("CARGO_BIN_EXE_waywarden"))).unwrap();
    let Ok(verdict) = std::process::Command::new("systemd-analyze").arg("verify").arg(&path).output() else {
        println!("skipped: systemd-analyze is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&verdict.stderr).into_owned();
    assert!(verdict.status.success() && !said.contains("waywarden.service"), "{said}");
}
