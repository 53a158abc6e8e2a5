//! `waywarden report`: a session as one HTML page.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::NamedTempFile;
use waywarden_systems::session::{Origin, SessionReader, WriteError, unfinished};

use super::replay::{self, JobsMode, ReplayArgs};
use crate::failure::Failure;
use crate::progress::{Progress, Show, Unit};
use crate::report::facts::Facts;
use crate::report::gather::Gathered;
use crate::report::{Replayed, page};

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  Plots, pictures and a summary of a drive, in one file that opens without a network:
    waywarden report sessions/SESSION -o report.html

  Of an imported clip, which is run through everything first; times of systems are measured too:
    waywarden report drive.mcap --replay --models models -o report.html

  The numbers for a program:
    waywarden report drive.mcap -o report.html --json";

/// What `report` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct ReportArgs {
    /// The session: a file, or the folder with its segments.
    #[arg(value_name = "SESSION")]
    pub session: PathBuf,

    /// The page to make. A file of this name is replaced once the new one is whole.
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,

    /// Runs the session again, to measure what each system costs.
    ///
    /// Of a session that was never run, as an import, the page then also shows what this run finds.
    #[arg(long)]
    pub replay: bool,

    /// The folder with model files, for --replay.
    ///
    /// Without it, the environment variable WAYWARDEN_MODELS, else the user's data folder.
    #[arg(long, value_name = "DIR", requires = "replay")]
    pub models: Option<PathBuf>,

    /// Prints the numbers of the report as one JSON object, and no progress.
    #[arg(long)]
    pub json: bool,
}

/// Makes the page and prints to `out` what it says.
///
/// # Errors
/// When the session cannot be read or the page cannot be written. Nothing is then left under its name.
pub fn run(args: &ReportArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let facts = make(args)?;
    let size = std::fs::metadata(&args.out).map_or(0, |meta| meta.len());
    if args.json {
        let mut value = serde_json::to_value(&facts).unwrap_or_default();
        value["ok"] = json!(true);
        value["report"] = json!(args.out.display().to_string());
        value["report_bytes"] = json!(size);
        value["peak_rss_mb"] = json!(replay::peak_rss_mb());
        writeln!(out, "{value}")?;
        return Ok(());
    }
    writeln!(out, "{}: {:.1} MB", args.out.display(), size as f64 / 1e6)?;
    for line in &facts.summary {
        writeln!(out, "  {line}")?;
    }
    for problem in &facts.problems {
        writeln!(out, "  look at: {}", problem.text)?;
    }
    for missing in &facts.missing {
        writeln!(out, "  missing: {missing}")?;
    }
    Ok(())
}

/// Makes the page of one session; returns what it says in numbers.
///
/// # Errors
/// See [`run`].
pub fn make(args: &ReportArgs) -> Result<Facts, Failure> {
    // What cannot be read is found out before anything is made.
    let origin = SessionReader::open(&args.session)?.info().origin;
    let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let io = |source| Failure::from(WriteError::Io { path: args.out.clone(), source });
    let page_file = unfinished(folder).map_err(io)?;
    let again = if args.replay { Some(replayed(args, origin, folder)?) } else { None };
    let (measured, session) = match &again {
        Some((measured, Some(made))) => (Some(measured), made.path()),
        Some((measured, None)) => (Some(measured), args.session.as_path()),
        None => (None, args.session.as_path()),
    };
    let what = format!("reading {}", args.session.display());
    let total = SessionReader::size(session);
    let mut progress = Progress::start(what, Some(total), Unit::Bytes, Show::new(args.json));
    let mut gathered = Gathered::read(session, |bytes| progress.advance(bytes))?;
    progress.finish("read to its end");
    if measured.is_some_and(|measured| measured.findings_from.is_some()) {
        // What is shown is of the session that was named, though a replay found it.
        gathered.info.origin = origin;
    }
    let bytes = SessionReader::size(&args.session);
    let facts = Facts::of(&gathered, args.session.display().to_string(), bytes, measured);
    let mut writer = BufWriter::new(page_file);
    page::write(&gathered, &facts, measured, &mut writer).map_err(io)?;
    let page_file = writer.into_inner().map_err(|error| io(error.into_error()))?;
    page_file.persist(&args.out).map_err(|error| io(error.error))?;
    Ok(facts)
}

/// Runs the session again. Of one that was never run, what came of it is kept in a file of its own.
fn replayed(args: &ReportArgs, origin: Origin, folder: &Path) -> Result<(Replayed, Option<NamedTempFile>), Failure> {
    let made = match origin {
        Origin::Import => Some(
            unfinished(folder).map_err(|source| Failure::from(WriteError::Io { path: folder.to_owned(), source }))?,
        ),
        Origin::Live | Origin::Replay => None,
    };
    let finished = replay::finished(&ReplayArgs {
        session: args.session.clone(),
        verify: false,
        threads: None,
        shuffle: None,
        jitter: None,
        jobs: JobsMode::Auto,
        speed: None,
        from: None,
        out: made.as_ref().map(|file| file.path().to_owned()),
        models: args.models.clone(),
        config: None,
        no_look_ahead: false,
        json: args.json,
    })?;
    let jobs = format!("{:?}", finished.jobs).to_lowercase();
    let replayed = Replayed { stages: finished.stages, findings_from: made.is_some().then_some(jobs) };
    Ok((replayed, made))
}
