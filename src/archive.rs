//! What this vehicle has recorded, for those who look from outside: which sessions there are, and a report of each.
//!
//! A session is named by a key that is looked up among those that are there: nothing that comes over the network becomes part of a
//! path. A report is read off the recording, never run again; one at a time, by a thread that stands back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use sha2::{Digest, Sha256};
use waywarden_systems::record::PRESERVED;
use waywarden_systems::session::SessionReader;

use crate::command::report::{self, ReportArgs};
use crate::pools;
use crate::sessions::{self, Listed};

/// Sessions that are listed: the newest.
const MOST: usize = 200;

/// Reports that are kept, each some megabytes.
const MOST_REPORTS: usize = 8;

/// A report of a drive that goes on is good for so long.
const FRESH: Duration = Duration::from_secs(120);

/// The largest report that is sent, in bytes.
const LARGEST: u64 = 64 << 20;

/// The sessions of a vehicle. Cheap to clone.
#[derive(Clone)]
pub struct Archive(Arc<Kept>);

struct Kept {
    /// The folder of all sessions; none where nothing is recorded.
    folder: Option<PathBuf>,
    /// The session in progress.
    current: Option<PathBuf>,
    /// Where reports are kept.
    reports: PathBuf,
    making: Mutex<Making>,
}

#[derive(Default)]
struct Making {
    /// The session of which a report is being made.
    now: Option<String>,
    /// The last one of which none could be made, and why.
    failed: Option<(String, String)>,
}

/// A recorded session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recorded {
    /// By this it is asked for.
    pub key: String,
    /// The name of its folder.
    pub name: String,
    /// When it began, RFC 3339; none where the date was not known.
    pub started_utc: Option<String>,
    /// How long it is, in seconds, as far as the files' dates tell it.
    pub length_s: Option<f64>,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// Whether it is being recorded.
    pub live: bool,
    /// Whether it is a piece that was preserved.
    pub preserved: bool,
    /// Whether there is a report: `none`, `making`, `ready`.
    pub report: &'static str,
    /// Why none could be made. May be empty.
    pub problem: String,
    #[serde(skip)]
    path: PathBuf,
}

/// Why no report is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMade {
    /// There is no such session.
    Unknown,
    /// Another one is being made.
    Busy,
}

impl Archive {
    /// The sessions beside the one in progress; reports are kept in `reports`.
    pub fn new(current: Option<&Path>, reports: PathBuf) -> Self {
        let folder = current.and_then(Path::parent).map(Path::to_owned);
        Self(Arc::new(Kept { folder, current: current.map(Path::to_owned), reports, making: Mutex::default() }))
    }

    /// Whether anything is recorded.
    pub fn records(&self) -> bool {
        self.0.folder.is_some()
    }

    /// All sessions, the newest first. It reads the disk.
    pub fn list(&self) -> Vec<Recorded> {
        let Some(folder) = &self.0.folder else { return Vec::new() };
        let found = sessions::below(folder).into_iter();
        let mut found: Vec<_> = found.filter_map(|session| Some((session.changed()?, session))).collect();
        found.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| other.name.cmp(&one.name)));
        found.truncate(MOST);
        found.into_iter().filter_map(|(changed, session)| self.look(&session, changed)).collect()
    }

    /// The session of this key. It reads the disk.
    pub fn one(&self, key: &str) -> Option<Recorded> {
        self.list().into_iter().find(|session| session.key == key)
    }

    fn look(&self, session: &Listed, changed: SystemTime) -> Option<Recorded> {
        let path = session.path.as_path();
        let reader = SessionReader::open(path).ok()?;
        let name = path.file_name()?.to_string_lossy().into_owned();
        let preserved = Path::new(&session.name).starts_with(PRESERVED);
        let key = key(&session.name);
        let began = SessionReader::files(path).ok()?.first().map(|(_, at)| *at)?;
        let offset = reader.info().log_time_offset_ns;
        let since_1970 = |ns: i64| SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(u64::try_from(ns).ok()?));
        // Without a date the session counts from the start of the computer.
        let started = i64::try_from(began.as_nanos()).ok().filter(|_| offset != 0).map(|at| at.saturating_add(offset));
        let length = started.and_then(since_1970).and_then(|started| changed.duration_since(started).ok());
        let made = self.page(&key).metadata().and_then(|meta| meta.modified()).ok();
        let making = self.0.making.lock().unwrap_or_else(PoisonError::into_inner);
        let report = match made {
            _ if making.now.as_ref() == Some(&key) => "making",
            Some(made) if changed <= made + FRESH => "ready",
            _ => "none",
        };
        let problem = making.failed.as_ref().filter(|(failed, _)| *failed == key).map(|(_, why)| why.clone());
        Some(Recorded {
            key,
            name,
            started_utc: started.map(waywarden_systems::mqtt::wire::rfc3339),
            length_s: length.map(|length| length.as_secs_f64()),
            bytes: SessionReader::size(path),
            live: self.0.current.as_deref() == Some(path),
            preserved,
            report,
            problem: problem.unwrap_or_default(),
            path: path.to_owned(),
        })
    }

    /// Begins to make a report. It reads the disk.
    ///
    /// # Errors
    /// [`NotMade`].
    pub fn make(&self, key: &str) -> Result<(), NotMade> {
        let session = self.one(key).ok_or(NotMade::Unknown)?;
        {
            let mut making = self.0.making.lock().unwrap_or_else(PoisonError::into_inner);
            if making.now.is_some() {
                return Err(NotMade::Busy);
            }
            *making = Making { now: Some(session.key.clone()), failed: None };
        }
        let archive = self.clone();
        let mut done = Done { archive, key: session.key.clone(), why: "it broke off".to_owned() };
        let task = move || {
            pools::stand_back();
            done.why = done.archive.write(&session).err().unwrap_or_default();
        };
        // One that cannot be started drops what it was to do, which says so.
        if let Err(error) = std::thread::Builder::new().name("session report".to_owned()).spawn(task) {
            tracing::warn!("no report can be made: {error}");
        }
        Ok(())
    }

    fn write(&self, session: &Recorded) -> Result<(), String> {
        let folder = &self.0.reports;
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let args = ReportArgs {
            session: session.path.clone(),
            more: Vec::new(),
            out: self.page(&session.key),
            replay: false,
            models: None,
            json: true,
        };
        report::make(&args).map_err(|failure| failure.to_string())?;
        forget(folder);
        Ok(())
    }

    /// The report of a session, if it was made. It reads the disk.
    pub fn report(&self, key: &str) -> Option<Vec<u8>> {
        let session = self.one(key).filter(|session| session.report == "ready")?;
        let path = self.page(&session.key);
        path.metadata().ok().filter(|meta| meta.len() <= LARGEST)?;
        std::fs::read(path).ok()
    }

    /// Where a report is: of a key that is known.
    fn page(&self, key: &str) -> PathBuf {
        self.0.reports.join(format!("{key}.html"))
    }
}

/// Says how the making of a report has ended, also where it panicked.
struct Done {
    archive: Archive,
    key: String,
    why: String,
}

impl Drop for Done {
    fn drop(&mut self) {
        let mut making = self.archive.0.making.lock().unwrap_or_else(PoisonError::into_inner);
        making.now = None;
        let why = std::mem::take(&mut self.why);
        if !why.is_empty() {
            tracing::warn!("the report of a session could not be made: {why}");
            making.failed = Some((self.key.clone(), why));
        }
    }
}

/// What a session is called over the network.
fn key(name: &str) -> String {
    let digest = Sha256::digest(name);
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Removes the oldest reports, where there are too many.
fn forget(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut reports: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "html"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    reports.sort();
    for (_, path) in reports.iter().rev().skip(MOST_REPORTS) {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::debug!("{}: {error}", path.display());
        }
    }
}
