//! `waywarden run`: the program on the vehicle.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::seconds;

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

    /// The folder with model files.
    ///
    /// Without it, the environment variable WAYWARDEN_MODELS, else the user's data folder. A model that is not found is
    /// not used, and health says so.
    #[arg(long, value_name = "DIR")]
    pub models: Option<PathBuf>,

    /// Ends after so many seconds; without it, when told to.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,

    /// Simulates every device, and a microphone if there is none: a drive without a vehicle.
    #[arg(long)]
    pub simulate: bool,

    /// The seed of the simulation: the same seed gives the same drive. Goes before simulation.seed of the config.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=9_007_199_254_740_991))]
    pub seed: Option<u64>,

    /// Prints the summary as one JSON object, and no progress.
    #[arg(long)]
    pub json: bool,
}
