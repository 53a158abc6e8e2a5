//! What `waywarden doctor` looks at, one function a thing.

use std::io::{Seek, Write};
use std::path::Path;

use serde::Serialize;
use waywarden_components::prelude::LinkState;
use waywarden_systems::clock::{boottime, system_utc};
use waywarden_systems::supervisor::Tried;

use crate::config::{Config, DeviceSource};
use crate::failure::Failure;
use crate::pools;

mod broker;
mod files;
mod models;
mod pace;
mod server;
mod service;

pub use broker::broker;
pub use models::{models, speech};
pub use server::server;
pub use service::service;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, and could be better.
    Warn,
    /// It does not work.
    Fail,
}

impl Status {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it is.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
    /// Lines that do it, if they are written into the config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
}

impl Check {
    /// As it should be.
    pub fn ok(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), status: Status::Ok, found: found.into(), todo: None, config: None }
    }

    /// It works, and could be better.
    pub fn warn(name: &str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { name: name.to_owned(), status: Status::Warn, found: found.into(), todo: Some(todo.into()), config: None }
    }

    /// It does not work.
    pub fn fail(name: &str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { name: name.to_owned(), status: Status::Fail, found: found.into(), todo: Some(todo.into()), config: None }
    }

    fn failure(name: &str, failure: &Failure) -> Self {
        let hint = failure.reports.iter().find_map(|report| report.hint.clone());
        Self { name: name.to_owned(), status: Status::Fail, found: failure.to_string(), todo: hint, config: None }
    }
}

/// Opens every device until it has delivered for a second.
pub fn devices(config: &Config) -> Vec<Check> {
    let tried = match crate::devices::try_out(config) {
        Ok(tried) => tried,
        Err(failure) => return vec![Check::failure("devices", &failure)],
    };
    if tried.is_empty() {
        return vec![Check::warn("devices", "the config names none", "`waywarden devices` lists what is there")];
    }
    tried.iter().map(|tried| device(tried, config.source_of(&tried.name))).collect()
}

fn device(tried: &Tried, source: Option<&DeviceSource>) -> Check {
    let Tried { name, description, samples, bytes, trouble, lasted, state, .. } = tried;
    let simulated = source == Some(&DeviceSource::Simulated);
    match (trouble, samples) {
        // It is given sound, and gives none.
        (None, 0) if name == crate::devices::SPEAKER && *state == Some(LinkState::Connected) => {
            Check::ok(name, description)
        }
        (Some(trouble), 0) => Check::fail(name, trouble, "`waywarden devices` lists what is there"),
        (None, 0) => Check::fail(
            name,
            format!("open ({description}), but nothing came"),
            "check the cable; a GPS with the wrong baud rate is silent too",
        ),
        (trouble, _) => {
            let rate = (samples.saturating_sub(1)) as f64 / lasted.as_secs_f64().max(0.001);
            let kilobytes = *bytes as f64 / 1000.0 / lasted.as_secs_f64().max(0.001);
            let found = format!("{description}: {rate:.1} a second, {kilobytes:.1} kB/s");
            match trouble {
                Some(trouble) => Check::warn(name, format!("{found}; at first: {trouble}"), "a loose plug?"),
                None if simulated => {
                    Check::warn(name, found, "simulated: write its address into the config (`waywarden devices`)")
                }
                None => Check::ok(name, found),
            }
        }
    }
}

/// Bytes that are written to see how fast the disk is.
const TRIAL: usize = 64 << 20;

/// Least megabytes a second: four cameras of 720p30 MJPEG and room to spare.
const SLOW_MB_S: f64 = 20.0;

/// Room and speed of the disk.
pub fn disk(folder: &Path, recorded: bool) -> Vec<Check> {
    let shown = folder.display();
    let mut checks = Vec::new();
    if !recorded {
        let todo = "write record.directory into the config, or give --record";
        checks.push(Check::warn("recording", "nothing is recorded", todo));
    }
    match nix::sys::statvfs::statvfs(folder) {
        Ok(disk) => {
            let free = disk.blocks_available() as f64 * disk.fragment_size() as f64 / 1e9;
            // 100 kB a picture, 30 a second.
            let hours = free * 1e9 / (3.0e6 * 3600.0);
            let found = format!("{shown}: {free:.1} GB free, about {hours:.0} hours of one 720p camera");
            checks.push(if free < 2.0 {
                Check::warn("space", found, "make room, or let record.keep_gb keep it free")
            } else {
                Check::ok("space", found)
            });
        }
        Err(error) => {
            return vec![Check::fail(
                "space",
                format!("{shown}: {error}"),
                "make the folder, and let this user write there",
            )];
        }
    }
    checks.push(match write_speed(folder) {
        Ok(speed) if speed < SLOW_MB_S => Check::warn(
            "disk",
            format!("{shown}: {speed:.0} MB/s"),
            "cameras may bring more: fewer, smaller or slower ones",
        ),
        Ok(speed) => Check::ok("disk", format!("{shown}: {speed:.0} MB/s written and on the disk")),
        Err(error) => Check::fail("disk", format!("{shown}: {error}"), "may this user write there?"),
    });
    checks
}

/// Megabytes a second that reach the disk.
fn write_speed(folder: &Path) -> std::io::Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let block = vec![0x5a; 1 << 20];
    let begin = boottime();
    for _ in 0..TRIAL / block.len() {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let took = boottime().since(begin);
    file.rewind()?;
    Ok(TRIAL as f64 / 1e6 / took.as_secs_f64().max(1e-6))
}

/// Whether the date is known, and from where.
pub fn clock() -> Check {
    let synchronised = Path::new("/run/systemd/timesync/synchronized").exists();
    match system_utc() {
        Some(_) if synchronised => Check::ok("clock", "the date is kept by a time server"),
        Some(_) => Check::ok("clock", "the date is that of the clock chip, until a satellite receiver knows better"),
        None => Check::warn(
            "clock",
            "the date is not known: sessions are named by the boot",
            "a satellite receiver or a time server sets it; nothing has to be done",
        ),
    }
}

/// Cores, and whether the tick may go before the models.
pub fn threads(config: &Config) -> Vec<Check> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = &config.threads;
    let busy = threads.jobs * threads.model;
    let found = format!("{cores} cores; {} threads for systems, {busy} for models", threads.compute);
    let cores_check = if busy as usize >= cores.max(2) * 2 {
        Check::warn("threads", found, "models slow each other down: fewer threads.jobs or threads.model")
    } else {
        Check::ok("threads", found)
    };
    let realtime = match (threads.realtime, may_be_realtime()) {
        (false, _) => Check::ok("priority", "real-time priority is not asked for"),
        (true, true) => Check::ok("priority", "the tick may go before everything else"),
        (true, false) => Check::warn(
            "priority",
            "no real-time priority: models may delay the tick by milliseconds",
            "LimitRTPRIO=20 in the unit (it is in the one that `waywarden init --unit` prints), or CAP_SYS_NICE",
        ),
    };
    vec![cores_check, realtime]
}

/// Tries it on a thread that ends at once.
fn may_be_realtime() -> bool {
    let thread = std::thread::Builder::new().name("priority".to_owned()).spawn(pools::prefer);
    thread.is_ok_and(|thread| thread.join().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_device_is_judged_by_what_came_of_it() {
        let tried = Tried { name: "front".to_owned(), description: "a camera".to_owned(), ..Tried::default() };
        let at = DeviceSource::At("/dev/video0".to_owned());
        let judge = |tried: &Tried| device(tried, Some(&at)).status;
        assert_eq!(judge(&tried), Status::Fail);
        assert_eq!(judge(&Tried { trouble: Some("no such device".to_owned()), ..tried.clone() }), Status::Fail);
        let works = Tried { samples: 31, bytes: 3_000_000, lasted: Duration::from_secs(1), ..tried };
        assert_eq!(device(&works, Some(&at)).found, "a camera: 30.0 a second, 3000.0 kB/s");
        assert_eq!(judge(&works), Status::Ok);
        assert_eq!(device(&works, Some(&DeviceSource::Simulated)).status, Status::Warn);
        assert_eq!(judge(&Tried { trouble: Some("stalled".to_owned()), ..works }), Status::Warn);
    }

    #[test]
    fn a_disk_has_room_and_speed_or_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let checks = disk(folder.path(), true);
        assert_eq!(checks.iter().map(|check| check.name.as_str()).collect::<Vec<_>>(), ["space", "disk"]);
        assert!(checks.iter().all(|check| check.status != Status::Fail), "{checks:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(disk(&folder.path().join("none"), true)[0].status, Status::Fail);
    }
}
