//! `waywarden preserve`: a piece of a session kept for itself.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use waywarden_systems::session::{PieceError, Window, preserve};

use crate::cli::seconds;
use crate::command::replay::moment;
use crate::failure::Failure;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  The half minute before and after 12:05 into the drive, as a session of its own, and the proof that it replays:
    waywarden preserve sessions/2026-11-23T08-15-00Z --at 12:05 --around 30 -o incident
    waywarden replay incident --verify

  The same for a program:
    waywarden preserve drive.mcap --at 90s --around 10 -o incident --json

While it is being recorded, `kill -USR1` of the running program keeps record.preserve_s before and after that moment, in
record.directory/preserved.";

/// What `preserve` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct PreserveArgs {
    /// The session: a file, or the folder with its segments. It may still be being recorded.
    #[arg(value_name = "SESSION")]
    pub session: PathBuf,

    /// When it happened: a time since the session's start (90s, 12:05, 1:02:03.5).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub at: Duration,

    /// How many seconds before and after it are kept, and up to a segment more on each side: a piece is made of whole
    /// segments.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub around: Duration,

    /// The folder of the piece. Files are linked if it is on the disk of the session, else copied.
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,

    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Keeps a piece of a session and prints to `out` what it holds.
///
/// # Errors
/// When the session cannot be read or is shorter, or the piece cannot be written.
pub fn run(args: &PreserveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let window = Window { at: args.at, around: args.around };
    let piece = preserve(&args.session, window, &args.out)?;
    let (from, to) = (piece.from.as_secs_f64(), piece.to.as_secs_f64());
    let (folder, count) = (args.out.display(), piece.files.len());
    if args.json {
        let files: Vec<String> = piece.files.iter().map(|file| file.display().to_string()).collect();
        let value = json!({
            "ok": true, "session": args.session.display().to_string(), "piece": folder.to_string(), "from_s": from,
            "to_s": to, "bytes": piece.bytes, "files": files,
        });
        writeln!(out, "{value}")?;
    } else {
        let plural = if count == 1 { "" } else { "s" };
        let size = piece.bytes as f64 / 1e6;
        writeln!(out, "kept {from:.1} s to {to:.1} s of it, {count} segment{plural}, {size:.1} MB, in {folder}")?;
        writeln!(out, "replay them: waywarden replay {folder} --verify")?;
    }
    Ok(())
}

impl From<PieceError> for Failure {
    fn from(error: PieceError) -> Self {
        match error {
            PieceError::Session(error) => error.into(),
            PieceError::Write(error) => error.into(),
            PieceError::Occupied { .. } => Self::bad_input(error).hint("name a folder that is new or empty with -o"),
            PieceError::Beyond { .. } => {
                Self::bad_input(error).hint("--at is a time since its start; `waywarden inspect` says how long it is")
            }
        }
    }
}
