//! Recordings of others made into sessions: readers for video, pictures, sound, NMEA text, GPMF and ranges.
//!
//! Every reader is an iterator of [`TimedItem`]s in order of time that holds a bounded part of its file in memory,
//! however long the recording is. [`merge()`] joins several of them into one stream, [`plan_ticks`] cuts that stream into
//! the ticks that a live run would have had.

mod ffmpeg;
mod nmea_time;
mod timeline;

pub mod error;
pub mod gpmf;
pub mod merge;
pub mod nmea;
pub mod plan;
pub mod range_csv;
pub mod stills;
pub mod video;
pub mod wav;

pub use error::{ImportError, Place};
pub use merge::{Merge, Tally, merge};
pub use plan::{PlannedTick, Ticks, plan_ticks};

use std::time::Duration;

use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

/// One thing that a device gave, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedItem {
    /// Time from the start of the recording.
    pub at: Mono,
    /// What it is: a frame, sound or serial bytes.
    pub payload: Payload,
}

/// A reader of somebody else's recording: items in order of time, the first error ends it.
pub trait Reader: Iterator<Item = Result<TimedItem, ImportError>> + Send {
    /// What was odd about the recording but did not stop it, each with how often. Complete only after the last item.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// About how many items there will be, where that is known before reading: for a progress bar.
    fn expected_items(&self) -> Option<u64> {
        None
    }

    /// About how long the recording is, where that is known before reading.
    fn expected_length(&self) -> Option<Duration> {
        None
    }
}

/// Items made beforehand.
impl Reader for std::vec::IntoIter<Result<TimedItem, ImportError>> {}

/// Largest picture that is read, in pixels: that of 8K television. A header that claims more is taken for a broken one.
pub const MAX_PIXELS: u64 = 7680 * 4320;

/// Where recordings of others lie on the machine that runs the tests; prints why when they do not.
#[cfg(test)]
pub(crate) fn test_data(path: &str) -> Option<std::path::PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared");
    let data = std::env::var_os("WAYWARDEN_DATA").unwrap_or_else(|| beside.into());
    let path = std::path::Path::new(&data).join(path);
    if !path.exists() {
        println!("skipped: no data at {}", path.display());
    }
    path.exists().then_some(path)
}
