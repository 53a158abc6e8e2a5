//! Reads sessions: a file, or a folder of segments.

mod chunk;
mod order;
mod segment;

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;
use waywarden_components::prelude::*;

use super::format::{OutputsRecord, SessionInfo, SnapshotRecord};
use crate::ingress::Incoming;
use order::Order;
use segment::SegmentFile;

/// Why a session cannot be read.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The file system says no.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder without segments.
    #[error("{path}: no segments (*.mcap) in this folder", path = path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// Not what it should be.
    #[error("{path}, about byte {offset}: {what}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// About where: the damage lies before this byte.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Not a session of ours.
    #[error("{path}: {what}", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// A place to begin that does not exist.
    #[error("{path}: {what}", path = path.display())]
    NoSuchPlace {
        /// The session.
        path: PathBuf,
        /// What was asked for, and what there is.
        what: String,
    },
}

/// One thing read.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A segment begins: the state of the world before its first tick.
    Snapshot(SnapshotRecord),
    /// The inputs of a tick.
    Tick(Incoming),
    /// What was found out in the tick before.
    Outputs(OutputsRecord),
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum From {
    /// At the first tick.
    Start,
    /// At the first tick of a segment.
    Segment(u32),
    /// At the last segment that begins no later than this time after the first tick of the session.
    Seconds(f64),
}

/// What a session is made of.
#[derive(Clone, Debug)]
enum Part {
    File(PathBuf),
    /// Bytes in memory, and what they are called in messages.
    Bytes(PathBuf, Bytes),
}

impl Part {
    fn open(&self) -> Result<(&Path, Box<dyn Read + Send>), SessionError> {
        match self {
            Self::File(path) => {
                let file = std::fs::File::open(path).map_err(|source| io_error(path, source))?;
                Ok((path, Box::new(file)))
            }
            Self::Bytes(name, bytes) => Ok((name, Box::new(Cursor::new(bytes.clone())))),
        }
    }
}

/// Reads a session from start to end in bounded memory.
pub struct SessionReader {
    path: PathBuf,
    parts: Vec<Part>,
    /// Parts that have been opened.
    opened: usize,
    file: Option<SegmentFile>,
    order: Order,
    info: SessionInfo,
    cuts: Vec<String>,
    /// A record that was read ahead.
    pending: Option<Record>,
}

impl SessionReader {
    /// Opens a session: an MCAP file, or a folder of segments in order of their names.
    ///
    /// # Errors
    /// When there is nothing there, or nothing of ours, or a newer format than this build can read.
    pub fn open(path: &Path) -> Result<Self, SessionError> {
        let meta = std::fs::metadata(path).map_err(|source| io_error(path, source))?;
        let files = match (meta.is_dir(), meta.is_file()) {
            (true, _) => segments(path)?,
            (_, true) => vec![path.to_owned()],
            // A pipe would be waited for, and cannot be read a second time.
            _ => return Err(foreign(path, "neither a file nor a folder")),
        };
        Self::begin(path, files.into_iter().map(Part::File).collect())
    }

    /// Reads a session from the bytes of its file; `name` is what it is called in messages.
    ///
    /// # Errors
    /// See [`SessionReader::open`].
    pub fn from_bytes(name: &Path, bytes: Bytes) -> Result<Self, SessionError> {
        Self::begin(name, vec![Part::Bytes(name.to_owned(), bytes)])
    }

    fn begin(path: &Path, parts: Vec<Part>) -> Result<Self, SessionError> {
        let mut cuts = Vec::new();
        for (n, part) in parts.iter().enumerate() {
            if let Some(file) = SegmentFile::open(part.open()?, &mut cuts)? {
                let (path, info, order) = (path.to_owned(), file.info.clone(), Order::default());
                return Ok(Self { path, parts, opened: n + 1, file: Some(file), order, info, cuts, pending: None });
            }
        }
        Err(foreign(path, "ends before it says what it is"))
    }

    /// What the session says of itself.
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// Files that end in the middle, as after a power cut, with what was wrong.
    pub fn cuts(&self) -> &[String] {
        &self.cuts
    }

    /// Size of all files in bytes.
    pub fn size(path: &Path) -> u64 {
        let len = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
        if path.is_dir() { segments(path).unwrap_or_default().iter().map(|file| len(file)).sum() } else { len(path) }
    }

    /// The files of a session with the time at which the first tick in each begins. Files that hold none are left out.
    ///
    /// # Errors
    /// When one cannot be read, or belongs to another session.
    pub fn files(path: &Path) -> Result<Vec<(PathBuf, Mono)>, SessionError> {
        let mut session = Self::open(path)?;
        session.opened = 0;
        session.cuts.clear();
        let mut found = Vec::new();
        while let Some(mut file) = session.next_file()? {
            match file.read()? {
                Some(Record::Snapshot(snapshot)) => found.push((file.path, Mono(snapshot.now))),
                Some(Record::Tick(incoming)) => found.push((file.path, incoming.now)),
                Some(Record::Outputs(_)) | None => {}
            }
        }
        Ok(found)
    }

    /// The next record; None at the end.
    ///
    /// # Errors
    /// When the file is damaged. A file that merely ends too early is not: see [`SessionReader::cuts`].
    pub fn read(&mut self) -> Result<Option<Record>, SessionError> {
        if let Some(record) = self.pending.take() {
            return Ok(Some(record));
        }
        while let Some(file) = &mut self.file {
            if let Some(record) = file.read()? {
                self.order.check(&record).map_err(|what| file.damaged(what))?;
                return Ok(Some(record));
            }
            self.cuts.extend(file.cut.take());
            self.order.next_file();
            self.file = self.next_file()?;
        }
        Ok(None)
    }

    /// Opens the next file that says what it is: one that was begun just before the power went does not.
    fn next_file(&mut self) -> Result<Option<SegmentFile>, SessionError> {
        while let Some(part) = self.parts.get(self.opened) {
            self.opened += 1;
            let Some(file) = SegmentFile::open(part.open()?, &mut self.cuts)? else { continue };
            if file.info.session_id != self.info.session_id {
                let (theirs, ours) = (&file.info.session_id, &self.info.session_id);
                return Err(foreign(&file.path, format!("belongs to session {theirs}, not to {ours}")));
            }
            return Ok(Some(file));
        }
        Ok(None)
    }

    /// Reads on to a place to begin; the next record is then a snapshot, unless it is the start of a session without.
    ///
    /// # Errors
    /// When the session has no such place, or is damaged before it.
    pub fn seek(&mut self, from: From) -> Result<(), SessionError> {
        let target = match from {
            From::Start => return Ok(()),
            From::Segment(number) => number,
            From::Seconds(seconds) => self.segment_at(seconds)?,
        };
        let mut last = None;
        while let Some(record) = self.read()? {
            if let Record::Snapshot(snapshot) = &record {
                last = Some(snapshot.segment);
                if snapshot.segment == target {
                    self.pending = Some(record);
                    return Ok(());
                }
            }
        }
        let what = match last {
            Some(last) => format!("no segment {target}; those that are there end with {last}"),
            None => "has no snapshots to begin at; make some with `waywarden replay SESSION --out FILE`".to_owned(),
        };
        Err(SessionError::NoSuchPlace { path: self.path.clone(), what })
    }

    fn segment_at(&self, seconds: f64) -> Result<u32, SessionError> {
        let mut other = Self::begin(&self.path, self.parts.clone())?;
        let (mut first, mut best) = (None, 0);
        while let Some(record) = other.read()? {
            match record {
                Record::Tick(incoming) => {
                    first.get_or_insert(incoming.now);
                }
                Record::Snapshot(snapshot) => {
                    let start = *first.get_or_insert(Mono(snapshot.now));
                    if Mono(snapshot.now).since(start).as_secs_f64() > seconds {
                        break;
                    }
                    best = snapshot.segment;
                }
                Record::Outputs(_) => {}
            }
        }
        Ok(best)
    }
}

fn io_error(path: &Path, source: std::io::Error) -> SessionError {
    SessionError::Io { path: path.to_owned(), source }
}

fn foreign(path: &Path, what: impl Into<String>) -> SessionError {
    SessionError::Foreign { path: path.to_owned(), what: what.into() }
}

fn segments(folder: &Path) -> Result<Vec<PathBuf>, SessionError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|source| io_error(folder, source))? {
        let path = entry.map_err(|source| io_error(folder, source))?.path();
        if path.extension().is_some_and(|extension| extension == "mcap") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(SessionError::Empty { path: folder.to_owned() }) } else { Ok(files) }
}
