//! The program in the virtual vehicle: started, listened to, ended.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::machine::{Machine, look};

/// A run of the program.
pub struct Drive {
    name: String,
    folder: PathBuf,
    /// Where sessions go, in there.
    record: String,
    /// So much of the log has been heard.
    heard: usize,
}

impl Drive {
    /// Starts the program with the vehicle's config. It records into the folder `record` in there.
    pub fn start(machine: &mut Machine, name: &str, record: &str) -> Self {
        let folder = machine.share().join(name);
        fs::create_dir_all(&folder).unwrap();
        machine.sh(&format!(
            "mkdir -p {record}; (sh -c 'echo $$ >/run/{name}; exec waywarden run --config /host/vehicle.toml --record \
             {record} --json >/host/{name}/out 2>/host/{name}/log'; echo $? >/host/{name}/status) >/dev/null 2>&1 &"
        ));
        Self { name: name.to_owned(), folder, record: record.to_owned(), heard: 0 }
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap_or_default()).into_owned()
    }

    /// Waits until it says something of `who` that is `wanted`, behind what was heard before, and returns the line.
    pub fn hear(&mut self, who: &str, wanted: impl Fn(&str) -> bool) -> String {
        let of = format!(" {who}: ");
        let heard = look(|| {
            let (log, mut end) = (self.said(), self.heard);
            // The last line may still be written.
            for line in log[self.heard..].split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                end += line.len();
                if line.contains(&of) && wanted(line) {
                    return Some((end, line.trim().to_owned()));
                }
            }
            let status = fs::read_to_string(self.folder.join("status"));
            assert!(status.is_err(), "{}: it ended ({status:?}) before it said it of {who}\n{log}", self.name);
            None
        });
        let name = &self.name;
        let (end, line) = heard.unwrap_or_else(|| panic!("{name}: it never said it of {who}\n{}", self.said()));
        self.heard = end;
        line
    }

    /// Waits until each of these devices has been called well.
    pub fn hear_well(&mut self, devices: &[&str]) {
        let (before, mut furthest) = (self.heard, self.heard);
        for device in devices {
            self.heard = before;
            self.hear(device, |line| is_well(line.rsplit_once(&format!(" {device}: ")).map_or("", |found| found.1)));
            furthest = furthest.max(self.heard);
        }
        self.heard = furthest;
    }

    /// Waits until its session has grown by so many bytes.
    pub fn recorded(&self, machine: &mut Machine, bytes: u64) {
        machine.sh(&format!(
            "size() {{ du -s {}/ | cut -f1; }}; began=$(size); until [ $(($(size) - began)) -ge {} ]; do sleep 0.1; done",
            self.record,
            bytes / 1000
        ));
    }

    /// Sends it a signal and waits for its end. Returns its status and how long it took, by the clock in there.
    pub fn end(&self, machine: &mut Machine, signal: &str) -> (i32, Duration) {
        let said = machine.sh(&format!(
            "cut -d' ' -f1 /proc/uptime; kill -{signal} $(cat /run/{0}); until [ -s /host/{0}/status ]; do sleep 0.05; \
             done; cut -d' ' -f1 /proc/uptime; cat /host/{0}/status",
            self.name
        ));
        let words: Vec<f64> = said.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let [began, ended, status] = words[..] else { panic!("{said}\n{}", self.said()) };
        (status as i32, Duration::from_secs_f64(ended - began))
    }

    /// Brings its session here: the newest one, the only one there should be.
    pub fn fetch(&self, machine: &mut Machine) -> PathBuf {
        fetch(machine, &self.record, &self.name)
    }
}

/// Brings the newest session of a folder in there here, as `name`.
pub fn fetch(machine: &mut Machine, record: &str, name: &str) -> PathBuf {
    let session = machine.sh(&format!("cd {record} && ls -dt */ | head -n 1"));
    machine.sh(&format!("cp -r {record}/{} /host/{name}/session", session.trim()));
    machine.share().join(name).join("session")
}

/// Whether a device of this health does what it should. No models are in there, which is all that is held against the
/// front camera.
pub fn is_well(health: &str) -> bool {
    health.trim_end() == "active" || health.contains("lanes by the classical estimator")
}
