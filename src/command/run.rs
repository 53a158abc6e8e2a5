//! `waywarden run`: the program on the vehicle.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use waywarden_systems::clock;

use crate::cli::seconds;
use crate::command::args::ModelsFolder;
use crate::config::Config;
use crate::failure::Failure;
use crate::live::{self, LiveRun};
use crate::progress::Show;
use crate::signals::Reread;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  A simulated drive of 20 seconds, recorded into a new session under sessions/:
    waywarden run --simulate --duration 20 --record sessions

  The same drive again, as JSON for a program:
    waywarden run --simulate --seed 7 --duration 20 --record sessions --json

  On the vehicle, until it is told to end (SIGTERM or Ctrl-C):
    waywarden run --config /etc/waywarden.toml --record /var/lib/waywarden";

/// What `run` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The config; without it, the defaults (see `waywarden check --print-default`).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The folder in which a session is recorded. Goes before record.directory of the config.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,

    /// Where models are.
    #[command(flatten)]
    pub models: ModelsFolder,

    /// Ends after so many seconds; without it, when told to.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,

    /// Simulates every device, and a microphone if there is none: a drive without a vehicle.
    #[arg(long)]
    pub simulate: bool,

    /// The seed of the simulation: the same seed gives the same drive. Goes before simulation.seed of the config.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=9_007_199_254_740_991))]
    pub seed: Option<u64>,

    /// Drives so many times as fast as time passes: for long trials. Only with simulated devices.
    #[arg(long, value_name = "N", requires = "simulate", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub speed: Option<u32>,

    /// Prints the summary as one JSON object, and no progress.
    #[arg(long)]
    pub json: bool,
}

/// Runs until it is told to end, and prints to `out` what happened.
///
/// # Errors
/// When the config or a model cannot be used, the session cannot be written, or a system fails.
pub fn run(args: &RunArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if let Some(speed) = args.speed {
        clock::set_speed(speed.into());
    }
    let config = config(args)?;
    if config.streams().is_empty() {
        return Err(Failure::bad_input("no devices: nothing to run").hint("name some in the config, or add --simulate"));
    }
    let again = args.clone();
    let reread = args.config.is_some().then(|| -> Reread { Box::new(move || self::config(&again)) });
    let folder = match (&args.record, config.record.directory.as_str()) {
        (Some(folder), _) => Some(folder.clone()),
        (None, "") => None,
        (None, folder) => Some(PathBuf::from(folder)),
    };
    let session = folder.as_deref().map(session_folder);
    let plan = LiveRun {
        config,
        reread,
        session: session.clone(),
        models: args.models.folder.clone(),
        duration: args.duration,
        show: Show::new(args.json),
    };
    let summary = live::run(plan)?;
    if args.json {
        let mut value = serde_json::to_value(&summary).unwrap_or_default();
        value["ok"] = json!(true);
        value["session"] = json!(session.map(|path| path.display().to_string()));
        writeln!(out, "{value}")?;
    } else {
        writeln!(
            out,
            "ran {:.1} s, {} ticks; {} frames, {} segmented, {} looked at for obstacles, {} fixes, {} range readings, {} utterances",
            summary.session_s,
            summary.ticks,
            summary.counts.frames,
            summary.counts.segmented,
            summary.counts.detected,
            summary.counts.fixes,
            summary.counts.ranges,
            summary.counts.utterances
        )?;
        if let Some(session) = session {
            let plural = if summary.segments == 1 { "" } else { "s" };
            writeln!(out, "recorded {} segment{plural} in {}", summary.segments, session.display())?;
            writeln!(out, "replay them: waywarden replay {} --verify", session.display())?;
        }
    }
    Ok(())
}

/// The config, with what the command line says on top.
fn config(args: &RunArgs) -> Result<Config, Failure> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    if args.simulate {
        config = config.simulated();
    }
    if let Some(seed) = args.seed {
        config.simulation.seed = seed;
    }
    Ok(config)
}

/// A new folder for a session: named by the date, or by the boot and the time since while the date is unknown.
fn session_folder(base: &Path) -> PathBuf {
    let name = match clock::system_utc() {
        Some(utc) => {
            let seconds = (clock::boottime().0 as i64 + utc.offset_ns) / 1_000_000_000;
            live::date_name(seconds)
        }
        None => {
            let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            let boot: String = boot.chars().take(8).collect();
            format!("boot-{boot}-{:.0}", clock::boottime().as_secs_f64())
        }
    };
    let mut path = base.join(&name);
    for n in 2.. {
        if !path.exists() {
            break;
        }
        path = base.join(format!("{name}-{n}"));
    }
    path
}
