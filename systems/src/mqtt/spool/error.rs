//! What can go wrong with the file.

use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};
use rusqlite::ErrorCode;

/// Why something did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Another process has the file.
    InUse,
    /// It is no spool, or damaged.
    Broken,
    /// The disk.
    Disk,
}

/// What did not work, in words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{words}")]
pub(super) struct StoreError {
    pub(super) kind: Kind,
    pub(super) words: String,
}

impl StoreError {
    /// In other words where the disk itself says more.
    pub(super) fn explained(self, path: &Path) -> Self {
        let disk = path.ancestors().find_map(|path| statvfs(path).ok());
        match (self.kind, disk) {
            (Kind::Disk, Some(disk)) if disk.flags().contains(FsFlags::ST_RDONLY) => {
                Self { words: "the disk is read-only".to_owned(), ..self }
            }
            _ => self,
        }
    }

    pub(super) fn broken(words: &str) -> Self {
        Self { kind: Kind::Broken, words: words.to_owned() }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let (kind, words) = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (Kind::InUse, "it is in use".to_owned()),
            Some(ErrorCode::NotADatabase) => (Kind::Broken, "it is no spool".to_owned()),
            Some(ErrorCode::DatabaseCorrupt) => (Kind::Broken, "it is damaged".to_owned()),
            Some(ErrorCode::DiskFull) => (Kind::Disk, "the disk is full".to_owned()),
            Some(ErrorCode::ReadOnly) => (Kind::Disk, "the disk or the file is read-only".to_owned()),
            Some(ErrorCode::CannotOpen) => (Kind::Disk, "the file cannot be opened".to_owned()),
            Some(ErrorCode::SystemIoFailure) => (Kind::Disk, format!("the disk fails: {error}")),
            // A table that is missing, a column of another type: somebody else wrote it.
            None | Some(ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::ConstraintViolation) => {
                (Kind::Broken, format!("it is damaged: {error}"))
            }
            Some(_) => (Kind::Disk, error.to_string()),
        };
        Self { kind, words }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self { kind: Kind::Disk, words: error.to_string() }
    }
}
