//! What is deleted to make room: the oldest segments of the oldest sessions, and nothing else.
//!
//! Taken are files `FOLDER/SESSION/segment-N.mcap` that say of themselves that they are segments. Never one that is being
//! written (it is locked), and nothing deeper, such as what was preserved.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::{self, Space};
use super::preserve::PRESERVED;
use crate::session::SessionReader;

/// Dates before 2020 are those of a computer that did not know the date.
const YEAR_2020: Duration = Duration::from_secs(1_577_836_800);

/// What may be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all segments.
    pub bytes: Option<u64>,
    /// Time since a segment was last written to.
    pub age: Option<Duration>,
    /// Bytes of the disk that are to stay free; never more than a tenth of it.
    pub free: u64,
}

/// A segment on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was last written to, since 1970.
    pub modified: Duration,
    /// It has another name, so that deleting this one frees nothing: it was preserved.
    pub shared: bool,
}

/// Why a segment is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surplus {
    /// There is too much of all.
    Bytes,
    /// It is too old.
    Age,
    /// The disk is too full.
    Space,
}

impl std::fmt::Display for Surplus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes => "more is kept than record.keep_gb",
            Self::Age => "it is older than record.keep_days",
            Self::Space => "less of the disk is free than record.free_gb",
        })
    }
}

/// Which of `stored`, the oldest first, must go, and why.
///
/// The date is `now`, if it is known, since 1970. Without it nothing is too old, and what was written while it was not
/// known is never too old.
pub fn surplus(
    stored: &[Stored],
    limits: &Limits,
    space: Option<Space>,
    now: Option<Duration>,
) -> Vec<(usize, Surplus)> {
    let mut kept: u64 = stored.iter().fold(0, |sum, segment| sum.saturating_add(segment.bytes));
    let floor = space.map_or(0, |space| limits.free.min(space.total / 10));
    let mut free = space.map_or(u64::MAX, |space| space.free);
    let mut found = Vec::new();
    for (n, segment) in stored.iter().enumerate() {
        let age = now.filter(|_| segment.modified >= YEAR_2020).map(|now| now.saturating_sub(segment.modified));
        let why = if limits.bytes.is_some_and(|bytes| kept > bytes) {
            Surplus::Bytes
        } else if free < floor {
            Surplus::Space
        } else if age.zip(limits.age).is_some_and(|(age, limit)| age > limit) {
            Surplus::Age
        } else {
            continue;
        };
        kept = kept.saturating_sub(segment.bytes);
        if !segment.shared {
            free = free.saturating_add(segment.bytes);
        }
        found.push((n, why));
    }
    found
}

/// All segments in the sessions of `folder`, the oldest first: sessions by their last change, then by their names.
///
/// # Errors
/// When the folder cannot be listed. What cannot be looked at in it is passed over.
pub fn stored(folder: &Path) -> io::Result<Vec<Stored>> {
    let mut sessions = Vec::new();
    for entry in std::fs::read_dir(folder)?.flatten() {
        // A link is not followed: what it leads to is not ours.
        if entry.file_name() != PRESERVED && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let segments = segments(&entry.path());
            if let Some(last) = segments.iter().map(|segment| segment.modified).max() {
                sessions.push((last, entry.file_name(), segments));
            }
        }
    }
    sessions.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    Ok(sessions.into_iter().flat_map(|(.., segments)| segments).collect())
}

/// The segments of a session, in order of their numbers.
fn segments(session: &Path) -> Vec<Stored> {
    let Ok(entries) = std::fs::read_dir(session) else { return Vec::new() };
    let mut found: Vec<Stored> = entries
        .flatten()
        .filter(|entry| is_segment_name(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| {
            let meta = entry.path().symlink_metadata().ok().filter(|meta| meta.is_file())?;
            let modified = Duration::from_secs(u64::try_from(meta.mtime()).unwrap_or_default());
            Some(Stored { path: entry.path(), bytes: meta.len(), modified, shared: meta.nlink() > 1 })
        })
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Whether the recorder gives such names to segments: `segment-00012.mcap`.
fn is_segment_name(name: &str) -> bool {
    let number = name.strip_prefix("segment-").and_then(|rest| rest.strip_suffix(".mcap"));
    number.is_some_and(|number| number.len() >= 5 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Deletes what is too much in `folder`, until `interrupted`. The number of segments deleted, and their bytes.
///
/// # Errors
/// When the folder cannot be listed, or a segment that is too much cannot be deleted.
pub fn tidy(
    folder: &Path,
    limits: &Limits,
    now: Option<Duration>,
    interrupted: impl Fn() -> bool,
) -> io::Result<(usize, u64)> {
    let stored = stored(folder)?;
    let (mut segments, mut bytes) = (0, 0u64);
    for (n, why) in surplus(&stored, limits, disk::space(folder).ok(), now) {
        let Some(segment) = stored.get(n) else { continue };
        if interrupted() {
            break;
        }
        if delete(&segment.path)? {
            tracing::info!("deleted {} ({:.1} MB): {why}", segment.path.display(), segment.bytes as f64 / 1e6);
            (segments, bytes) = (segments + 1, bytes.saturating_add(segment.bytes));
        }
    }
    Ok((segments, bytes))
}

/// Deletes a segment, and its folder with the last one. False when it is none, or is being written.
fn delete(path: &Path) -> io::Result<bool> {
    let Ok(file) = File::open(path) else { return Ok(false) };
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Ok(false);
    }
    // One that was begun just before the power went is empty, and one of nobody else.
    let ours = file.metadata().is_ok_and(|meta| meta.len() == 0) || SessionReader::open(path).is_ok();
    if !ours {
        tracing::debug!("{}: has a segment's name and is none; it stays", path.display());
        return Ok(false);
    }
    std::fs::remove_file(path)?;
    if let Some(session) = path.parent() {
        // It goes when nothing is left in it, and stays otherwise.
        let _ = std::fs::remove_dir(session);
    }
    Ok(true)
}

#[cfg(test)]
#[path = "retention/tests.rs"]
mod tests;
