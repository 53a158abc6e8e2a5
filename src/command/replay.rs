//! `waywarden replay`: a session run again.

mod plan;
mod run;
mod summary;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bevy_app::App;

use crate::batch::{self, Column, Task};
use crate::cli::{positive, seconds};
use crate::command::args::ModelsFolder;
use crate::failure::Failure;
use crate::sessions;

pub use summary::{Counts, Finished, peak_rss_mb};

/// Runs a session again and prints to `out` what came of it.
///
/// # Errors
/// When the session, the config or a model cannot be used, a system fails, or, with `--verify`, a tick gives anything
/// but what was recorded.
pub fn run(args: &ReplayArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let sessions = sessions::expand(std::iter::once(&args.session).chain(&args.more))?;
    match &sessions[..] {
        [one] if args.more.is_empty() => {
            let args = ReplayArgs { session: one.clone(), ..args.clone() };
            run_with(&args, out, |_| {})
        }
        _ => several(args, &sessions, out),
    }
}

/// Runs several sessions, each in a process of its own.
fn several(args: &ReplayArgs, sessions: &[PathBuf], out: &mut dyn Write) -> Result<(), Failure> {
    if let Some(folder) = &args.out {
        let failed = |error| Failure::bad_input(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let task = |session: &PathBuf| {
        let name = sessions::label(session, sessions);
        let out = args.out.as_ref().map(|folder| folder.join(format!("{name}.mcap")));
        // They share the cores: one thread each, unless told otherwise.
        let threads = args.threads.or(Some(1));
        let one = ReplayArgs { session: session.clone(), more: Vec::new(), threads, out, ..args.clone() };
        Task { name, args: one.words() }
    };
    let columns = [
        Column { title: "seconds", value: |outcome| outcome.number("session_s", 1) },
        Column { title: "ticks", value: |outcome| outcome.number("ticks", 0) },
        Column { title: "frames", value: |outcome| outcome.number("frames.in", 0) },
        Column { title: "verified", value: |outcome| outcome.number("verified.ticks", 0) },
        Column {
            title: "digest",
            value: |outcome| outcome.field("digest").and_then(|digest| digest.as_str()).unwrap_or_default().to_owned(),
        },
        Column { title: "took s", value: |outcome| outcome.number("wall_s", 2) },
    ];
    batch::run(sessions.iter().map(task).collect(), &columns, args.json, out)
}

impl ReplayArgs {
    /// A replay of one session, as it is without any option.
    pub fn of(session: PathBuf) -> Self {
        Self {
            session,
            more: Vec::new(),
            verify: false,
            threads: None,
            shuffle: None,
            jitter: None,
            jobs: JobsMode::Auto,
            speed: None,
            from: None,
            out: None,
            models: ModelsFolder::default(),
            config: None,
            no_look_ahead: false,
            json: false,
        }
    }

    /// The command line that says the same, without `--json`.
    fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["replay".into(), self.session.clone().into()];
        words.extend(self.more.iter().map(OsString::from));
        let mut flag = |name: &str, value: Option<OsString>| {
            if let Some(value) = value {
                words.extend([OsString::from(name), value]);
            }
        };
        flag("--threads", self.threads.map(|threads| threads.to_string().into()));
        flag("--shuffle", self.shuffle.map(|seed| seed.to_string().into()));
        flag("--jitter", self.jitter.map(|seed| seed.to_string().into()));
        let jobs = (self.jobs != JobsMode::Auto).then(|| format!("{:?}", self.jobs).to_lowercase().into());
        flag("--jobs", jobs);
        flag("--speed", self.speed.map(|speed| speed.to_string().into()));
        flag(
            "--from",
            self.from.map(|from| match from {
                From::Segment(segment) => segment.to_string().into(),
                From::Time(time) => format!("{}s", time.as_secs_f64()).into(),
            }),
        );
        flag("--out", self.out.as_ref().map(OsString::from));
        flag("--models", self.models.folder.as_ref().map(OsString::from));
        flag("--config", self.config.as_ref().map(OsString::from));
        words.extend(self.verify.then(|| "--verify".into()));
        words.extend(self.no_look_ahead.then(|| "--no-look-ahead".into()));
        words
    }
}

/// The same with plugins of the caller's beside the usual ones.
///
/// # Errors
/// As [`run`].
pub fn run_with(args: &ReplayArgs, out: &mut dyn Write, more: impl FnOnce(&mut App)) -> Result<(), Failure> {
    let plan = plan::Plan::of(args)?;
    let finished = run::run(args, plan, more)?;
    finished.print(args, out)
}

/// Runs a session again, and returns what came of it instead of printing it.
///
/// # Errors
/// When the session, the config or a model cannot be used, or a system fails.
pub fn finished(args: &ReplayArgs) -> Result<Finished, Failure> {
    run::run(args, plan::Plan::of(args)?, |_| {})
}

/// The same with plugins of the caller's beside the usual ones: to watch what the app concludes.
///
/// # Errors
/// As [`finished`].
pub fn watched(args: &ReplayArgs, more: impl FnOnce(&mut App)) -> Result<Finished, Failure> {
    run::run(args, plan::Plan::of(args)?, more)
}

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  Run a session as fast as the computer can, and print a summary:
    waywarden replay drive.mcap

  Prove that it gives what was recorded, tick for tick, on four threads in another order of systems:
    waywarden replay drive.mcap --verify --threads 4 --shuffle 1 --jitter 1

  Only from the third segment on, or from a minute and a half after the start:
    waywarden replay drive.mcap --verify --from 2
    waywarden replay drive.mcap --from 1:30

  What another config would have made of it, as a new session:
    waywarden replay drive.mcap --config trial.toml --models models --out trial.mcap

  Prove it of a whole folder of sessions, as many at once as there are cores:
    waywarden replay sessions --verify

  At the speed of the drive; and figures for a program, the last line being one JSON object:
    waywarden replay drive.mcap --speed 1
    waywarden replay drive.mcap --json | tail -n 1";

/// What `replay` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// The session: a file, the folder with its segments, or a folder of sessions.
    #[arg(value_name = "SESSION")]
    pub session: PathBuf,

    /// More sessions, or folders of them: as many at once as there are cores, with one table and one exit code.
    #[arg(value_name = "MORE")]
    pub more: Vec<PathBuf>,

    /// Compares each tick with what was recorded, and names the first difference (exit code 1).
    #[arg(long)]
    pub verify: bool,

    /// Threads that run systems. Changes no result. Without it, threads.compute of the session's config.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: Option<u32>,

    /// Shuffles the order of systems within what they declare. Changes no result.
    #[arg(long, value_name = "SEED")]
    pub shuffle: Option<u64>,

    /// Delays systems at random. Changes no result.
    #[arg(long, value_name = "SEED")]
    pub jitter: Option<u64>,

    /// Where results of models come from.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub jobs: JobsMode,

    /// Times the speed of the drive; without it, as fast as the computer can.
    #[arg(long, value_name = "X", value_parser = positive)]
    pub speed: Option<f64>,

    /// Where to begin: a segment's number from 0 (2), or a time since the session's start (90s, 1:30, 1:02:03.5).
    ///
    /// A time begins with the segment that holds it.
    #[arg(long, value_name = "SEGMENT|TIME")]
    pub from: Option<From>,

    /// Writes what came of it to a session of its own; of several sessions, to files in this folder.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Where models are.
    #[command(flatten)]
    pub models: ModelsFolder,

    /// Another config than the session's own: what would have been.
    #[arg(long, value_name = "FILE", conflicts_with = "verify")]
    pub config: Option<PathBuf>,

    /// Decodes nothing ahead of the tick. Slower; changes no result.
    #[arg(long)]
    pub no_look_ahead: bool,

    /// Prints one JSON object as the last line, and no progress.
    #[arg(long)]
    pub json: bool,
}

/// Where results of models come from in a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum JobsMode {
    /// `run` where build, models, runtime and processor are those of the session; `recorded` where they differ;
    /// `virtual` where the config differs or the session was imported.
    #[default]
    Auto,
    /// Models run again; each result is delivered in the tick in which it was, and compared with what it was.
    Run,
    /// Models do not run; the recorded results are delivered.
    Recorded,
    /// Models run; each result is delivered after the config's virtual latency.
    Virtual,
}

/// Where a replay begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With this segment, counted from 0.
    Segment(u32),
    /// With the segment that holds this time since the session's start.
    Time(Duration),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(segment) = text.parse() {
            return Ok(Self::Segment(segment));
        }
        time(text)
            .map(Self::Time)
            .ok_or_else(|| "expected a segment's number (2) or a time (90s, 1:30, 1:02:03.5)".into())
    }
}

/// Reads a time since the start of a session.
pub(crate) fn moment(text: &str) -> Result<Duration, String> {
    time(text).ok_or_else(|| "expected a time since the session's start (90s, 1:30, 1:02:03.5)".to_owned())
}

/// Reads `90s`, `1:30` or `1:02:03.5`.
fn time(text: &str) -> Option<Duration> {
    if let Some(number) = text.strip_suffix('s') {
        return if number == "0" { Some(Duration::ZERO) } else { seconds(number).ok() };
    }
    let (whole, last) = text.rsplit_once(':')?;
    let below_sixty = |number: &f64| (0.0..60.0).contains(number);
    let second = last.parse::<f64>().ok().filter(below_sixty)?;
    let (hour, minute) = match whole.split_once(':') {
        Some((hour, minute)) => (hour.parse::<u32>().ok()?, minute.parse::<u32>().ok().filter(|minute| *minute < 60)?),
        None => (0, whole.parse::<u32>().ok()?),
    };
    let minutes = u64::from(hour) * 60 + u64::from(minute);
    Some(Duration::from_secs(minutes * 60) + Duration::try_from_secs_f64(second).ok()?)
}
