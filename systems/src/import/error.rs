//! What can be wrong with somebody else's recording.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Where in a file something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file as a whole.
    Whole,
    /// At this byte, from 0.
    Byte(u64),
    /// In this line, from 1.
    Line(u64),
    /// In or behind this picture, from 1.
    Picture(u64),
    /// At this sample of sound, from 0.
    Sample(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Byte(n) => write!(f, ", byte {n}"),
            Self::Line(n) => write!(f, ", line {n}"),
            Self::Picture(n) => write!(f, ", picture {n}"),
            Self::Sample(n) => write!(f, ", sample {n}"),
        }
    }
}

/// Why a recording cannot be imported: which file, where in it, what is wrong, what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The operating system refused.
    #[error("{}{place}: cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// The reason.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{}{place}: {what}; {hint}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// A program that is needed cannot be started.
    #[error(
        "`{program}` cannot be started: {source}; install it (Debian, Ubuntu: `apt-get install ffmpeg`) and see that it is on PATH"
    )]
    Program {
        /// Its name.
        program: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// An option of the import cannot be used.
    #[error("{option} {value} cannot be used: {hint}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is expected.
        hint: &'static str,
    },
    /// A simulated device cannot go on.
    #[error("the simulation cannot go on: {reason}")]
    Simulation {
        /// The reason.
        reason: String,
    },
    /// The recording goes on for longer than any drive.
    #[error(
        "the recording reaches to {hours:.1} hours, more than the {limit} hours that can be imported at once; look at its times, or cut it"
    )]
    TooLong {
        /// Hours from its start.
        hours: f64,
        /// The limit.
        limit: u64,
    },
}

impl ImportError {
    /// The operating system refused, at `place` of `path`.
    pub(crate) fn io(path: &Path, place: Place, source: io::Error) -> Self {
        Self::Io { path: path.into(), place, source }
    }

    /// Something is wrong at `place` of `path`.
    pub(crate) fn bad(path: &Path, place: Place, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Bad { path: path.into(), place, what: what.into(), hint: hint.into() }
    }
}

/// Fails unless `path` is an ordinary file that is not empty: a pipe would be waited for, a folder cannot be read.
pub(crate) fn ordinary_file(path: &Path) -> Result<u64, ImportError> {
    let about = std::fs::metadata(path).map_err(|source| ImportError::io(path, Place::Whole, source))?;
    if !about.is_file() {
        return Err(ImportError::bad(path, Place::Whole, "is not a file", "give the name of a file"));
    }
    if about.len() == 0 {
        return Err(ImportError::bad(path, Place::Whole, "is empty", "record or copy it again"));
    }
    Ok(about.len())
}
