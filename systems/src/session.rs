//! Sessions on disk: MCAP files that open in Foxglove, and from which a drive can be run again bit for bit.
//!
//! The format is described in `docs/session-format.md`; change both together.

mod findings;
pub mod format;
mod foxglove;
mod medium;
mod piece;
mod reader;
mod unfinished;
mod writer;

pub use findings::{Findings, Found, JobEnd, Known, SegmentStart, TickFindings};
pub use format::{
    BuildInfo, FORMAT_MAJOR, FORMAT_MINOR, ModelInfo, Origin, OutputsRecord, SessionInfo, SnapshotRecord,
};
pub use foxglove::{Published, Publisher};
pub use medium::Medium;
pub use piece::{Piece, PieceError, Window, preserve};
pub use reader::{From, Record, SessionError, SessionReader};
pub use unfinished::Unfinished;
pub(crate) use unfinished::folder_of;
pub use writer::{SegmentWriter, WriteError};
