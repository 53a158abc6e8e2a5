//! `waywarden report`: a session as one HTML page.

use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use serde_json::json;
use waywarden_systems::session::{Origin, SessionReader, Unfinished, WriteError};

use super::args::ModelsFolder;
use super::replay::{self, ReplayArgs};
use crate::batch::{self, Column, Outcome, Task};
use crate::failure::Failure;
use crate::progress::{Progress, Show, Unit};
use crate::report::facts::Facts;
use crate::report::gather::Gathered;
use crate::report::{Replayed, page};
use crate::sessions;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  Plots, pictures and a summary of a drive, in one file that opens without a network:
    waywarden report sessions/SESSION -o report.html

  Of an imported clip, which is run through everything first; times of systems are measured too:
    waywarden report drive.mcap --replay --models models -o report.html

  Of a whole folder of sessions, a page each:
    waywarden report sessions -o reports

  The numbers for a program:
    waywarden report drive.mcap -o report.html --json";

/// What `report` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct ReportArgs {
    /// The session: a file, the folder with its segments, or a folder of sessions.
    #[arg(value_name = "SESSION")]
    pub session: PathBuf,

    /// More sessions, or folders of them: as many at once as there are cores, with one table and one exit code.
    #[arg(value_name = "MORE")]
    pub more: Vec<PathBuf>,

    /// The page to make; of several sessions, the folder for their pages. A file of this name is replaced once the new
    /// one is whole.
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
    let sessions = sessions::expand(std::iter::once(&args.session).chain(&args.more))?;
    match &sessions[..] {
        [session] if args.more.is_empty() => one(&ReportArgs { session: session.clone(), ..args.clone() }, out),
        _ => several(args, &sessions, out),
    }
}

/// Makes the pages of several sessions, each in a process of its own.
fn several(args: &ReportArgs, sessions: &[PathBuf], out: &mut dyn Write) -> Result<(), Failure> {
    let failed = |source| Failure::from(WriteError::Io { path: args.out.clone(), source });
    std::fs::create_dir_all(&args.out).map_err(failed)?;
    let task = |session: &PathBuf| {
        let name = sessions::label(session, sessions);
        let mut words: Vec<OsString> = vec!["report".into(), session.into(), "--out".into()];
        words.push(args.out.join(format!("{name}.html")).into());
        words.extend(args.replay.then(|| "--replay".into()));
        words.extend(args.models.iter().flat_map(|models| ["--models".into(), OsString::from(models)]));
        Task { name, args: words }
    };
    let columns = [
        Column { title: "MB", value: |outcome| megabytes(outcome, "report_bytes") },
        Column { title: "look at", value: |outcome| length(outcome, "problems") },
        Column { title: "missing", value: |outcome| length(outcome, "missing") },
    ];
    batch::run(sessions.iter().map(task).collect(), &columns, args.json, out)
}

fn megabytes(outcome: &Outcome, field: &str) -> String {
    outcome.field(field).and_then(|bytes| bytes.as_f64()).map(|bytes| format!("{:.1}", bytes / 1e6)).unwrap_or_default()
}

fn length(outcome: &Outcome, field: &str) -> String {
    outcome.field(field).and_then(|list| list.as_array()).map(|list| list.len().to_string()).unwrap_or_default()
}

fn one(args: &ReportArgs, out: &mut dyn Write) -> Result<(), Failure> {
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
    let page_file = Unfinished::begin(&args.out)?;
    let again = if args.replay { Some(replayed(args, origin)?) } else { None };
    let (measured, session) = match &again {
        Some((measured, Some(made))) => (Some(measured), made.partial()),
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
    let io = |source| WriteError::Io { path: args.out.clone(), source };
    page::write(&gathered, &facts, measured, &mut writer).map_err(io)?;
    writer.into_inner().map_err(|error| io(error.into_error()))?.finish()?;
    Ok(facts)
}

/// Runs the session again. Of one that was never run, what came of it is kept in a file of its own.
fn replayed(args: &ReportArgs, origin: Origin) -> Result<(Replayed, Option<Unfinished>), Failure> {
    let made = match origin {
        // It stays unfinished: it goes when the page is made.
        Origin::Import => Some(Unfinished::begin(&args.out)?),
        Origin::Live | Origin::Replay => None,
    };
    let finished = replay::finished(&ReplayArgs {
        out: made.as_ref().map(|file| file.partial().to_owned()),
        models: ModelsFolder { folder: args.models.clone() },
        json: args.json,
        ..ReplayArgs::of(args.session.clone())
    })?;
    let jobs = format!("{:?}", finished.jobs).to_lowercase();
    let replayed = Replayed { stages: finished.stages, findings_from: made.is_some().then_some(jobs) };
    Ok((replayed, made))
}
