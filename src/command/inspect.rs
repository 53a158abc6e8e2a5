//! `waywarden inspect`: what a session holds.

use std::path::PathBuf;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  Length, segments, streams, counts, the build and models it was made with, and whether it is whole:
    waywarden inspect drive.mcap

  The same for a program, of a session in a folder of segments:
    waywarden inspect sessions/SESSION --json";

/// What `inspect` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct InspectArgs {
    /// The session: a file, or the folder with its segments.
    #[arg(value_name = "SESSION")]
    pub session: PathBuf,

    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}
