//! `waywarden simulate`: a simulated drive made into a session, faster than it would drive.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use waywarden_components::prelude::StreamSpec;

use crate::assemble::{Assembled, Assembly, Sources, assemble, report};
use crate::cli::seconds;
use crate::config::Config;
use crate::failure::Failure;
use crate::progress::Show;
use crate::simulated;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  A minute on the motorway, and what comes of it:
    waywarden simulate --scenario motorway -o drive.mcap
    waywarden replay drive.mcap

  Another drive of the same kind, half a minute of it:
    waywarden simulate --scenario motorway --seed 7 --duration 30 -o drive.mcap

  A scenario of your own:
    waywarden simulate --scenario my-road.toml -o drive.mcap";

/// What `simulate` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulateArgs {
    /// The scenario: one that is built in, or a TOML file. Goes before simulation.scenario of the config.
    #[arg(long, value_name = "NAME|FILE")]
    pub scenario: Option<String>,

    /// The seed: the same seed gives the same drive, byte for byte. Goes before simulation.seed of the config.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=9_007_199_254_740_991))]
    pub seed: Option<u64>,

    /// Length of the drive in seconds; without it, that of the scenario.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,

    /// The session to make. A file of this name is replaced once the new one is whole.
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,

    /// The config that says which devices there are; without it, the defaults and a microphone.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Threads that draw pictures. They do not change any.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: Option<u32>,

    /// Prints the summary as one JSON object, and no progress.
    #[arg(long)]
    pub json: bool,
}

/// Makes a session of a simulated drive and prints to `out` what is in it.
///
/// # Errors
/// When the config or the scenario cannot be used, or the session cannot be written.
pub fn run(args: &SimulateArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    }
    .simulated();
    // Nobody waits for the wall clock: every picture is drawn.
    config.camera.iter_mut().for_each(|camera| camera.loop_frames = 0);
    if let Some(scenario) = &args.scenario {
        config.simulation.scenario.clone_from(scenario);
    }
    if let Some(seed) = args.seed {
        config.simulation.seed = seed;
    }
    let threads = args.threads.map_or_else(cores, |threads| threads as usize);
    let (streams, assembled) = make(&config, args.duration, threads, &args.out, Show::new(args.json))?;
    report(&args.out, &streams, &assembled, args.json, out)
}

/// Makes a session of the drive that a config asks for; without a length, of that of the scenario.
///
/// # Errors
/// As [`run`].
pub fn make(
    config: &Config,
    length: Option<Duration>,
    threads: usize,
    out: &Path,
    show: Show,
) -> Result<(Vec<StreamSpec>, Assembled), Failure> {
    let drive = simulated::drive(config)?;
    let length = length.unwrap_or(Duration::from_secs_f64(drive.scenario().duration_s));
    let streams = config.streams();
    let sources: Result<Sources, Failure> =
        streams.iter().map(|spec| Ok((spec.id, simulated::reader(config, spec, &drive, length, threads)?))).collect();
    let assembled = assemble(Assembly {
        config,
        streams: &streams,
        sources: sources?,
        out,
        segment: None,
        what: format!("simulating {}", config.simulation.scenario),
        done: "simulated",
        show,
    })?;
    Ok((streams, assembled))
}

/// As many threads as there are cores.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(16)
}
