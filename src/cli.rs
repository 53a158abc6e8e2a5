//! The command line.

use std::path::Path;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::command::{
    bench, calibrate, check, compare, devices, doctor, evaluate, import, init, inspect, mcp, models, preserve, render,
    replay, report, run, serve_inference, simulate,
};
use crate::config::LogFormat;
use crate::failure::Failure;

/// What is said of exit codes at the end of every long help.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  a replay differs from what was recorded, or two runs from each other
  2  bad input or usage: a wrong flag, a broken file, a mistake in the config
  3  failed while running: a full disk, a lost device, an error inside

Errors are lines `error: …` and `hint: …` on standard error; with --json they are one object on standard output.";

/// A headless vehicle computer: watches, listens, locates, warns, and records drives that replay bit for bit.
#[derive(Debug, Parser)]
#[command(name = "waywarden", version, arg_required_else_help = true, subcommand_required = true)]
#[command(long_about = "\
A headless vehicle computer: watches, listens, locates, warns, and records drives that replay bit for bit.

Bring a dashcam clip in, run it through everything, and look at what came of it:
  waywarden import --video drive.mp4 -o drive.mcap
  waywarden replay drive.mcap
  waywarden inspect drive.mcap

Or record a simulated drive and prove that it replays bit for bit:
  waywarden run --simulate --duration 20 --record sessions
  waywarden replay sessions/SESSION --verify")]
#[command(after_long_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// What is logged: off, error, warn, info, debug, trace, or for modules: info,waywarden=trace.
    ///
    /// Goes before the environment variable WAYWARDEN_LOG, which goes before log.level of the config.
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Logging")]
    pub log: Option<String>,

    /// How log lines look on standard error.
    ///
    /// Goes before log.format of the config.
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Logging")]
    pub log_format: Option<LogFormat>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs on the vehicle: reads the devices, and records if told where.
    #[command(after_long_help = run::EXAMPLES)]
    Run(run::RunArgs),
    /// Runs a recorded or imported session again.
    #[command(after_long_help = replay::EXAMPLES)]
    Replay(replay::ReplayArgs),
    /// Makes a session from a video, pictures, sound, a GPS log or distances.
    #[command(after_long_help = import::EXAMPLES)]
    Import(import::ImportArgs),
    /// Makes a session of a simulated drive, faster than it would drive.
    #[command(after_long_help = simulate::EXAMPLES)]
    Simulate(simulate::SimulateArgs),
    /// Says what a session holds.
    #[command(after_long_help = inspect::EXAMPLES)]
    Inspect(inspect::InspectArgs),
    /// Keeps a piece of a session: the segments around a moment, as a session of their own.
    #[command(after_long_help = preserve::EXAMPLES)]
    Preserve(preserve::PreserveArgs),
    /// Lists the cameras, microphones, loudspeakers and serial ports of this computer.
    #[command(after_long_help = devices::EXAMPLES)]
    Devices(devices::DevicesArgs),
    /// Looks whether everything is as it should be: config, devices, disk, clock, models, threads.
    #[command(after_long_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorArgs),
    /// Writes a commented config for this computer.
    #[command(after_long_help = init::EXAMPLES)]
    Init(init::InitArgs),
    /// Lists the models that are known, and downloads them.
    #[command(after_long_help = models::EXAMPLES)]
    Models(models::ModelsArgs),
    /// Says what two runs of one drive found differently.
    #[command(after_long_help = compare::EXAMPLES)]
    Compare(compare::CompareArgs),
    /// Says where a camera points, from a drive: pitch, yaw and vanishing point.
    #[command(after_long_help = calibrate::EXAMPLES)]
    Calibrate(calibrate::CalibrateArgs),
    /// Measures what the app sees and warns of against labelled pictures, videos and simulated drives.
    #[command(after_long_help = evaluate::EXAMPLES)]
    Evaluate(evaluate::EvaluateArgs),
    /// Makes one HTML page of a session: plots, pictures, plain words.
    #[command(after_long_help = report::EXAMPLES)]
    Report(report::ReportArgs),
    /// Makes a video of a session with everything drawn on it.
    #[command(after_long_help = render::EXAMPLES)]
    Render(render::RenderArgs),
    /// Computes models for vehicles that ask: the service that remote.url of their config names.
    #[command(after_long_help = serve_inference::EXAMPLES)]
    ServeInference(serve_inference::ServeInferenceArgs),
    /// Answers agents over standard input and output: about recorded sessions, or a run elsewhere.
    #[command(after_long_help = mcp::EXAMPLES)]
    Mcp(mcp::McpArgs),
    /// Measures the program on a folder of pictures, sound and sentences.
    #[command(after_long_help = bench::EXAMPLES)]
    Bench(bench::BenchArgs),
    /// Checks a config and says what it amounts to.
    #[command(after_long_help = check::EXAMPLES)]
    Check(check::CheckArgs),
}

impl Command {
    /// The config file that the command is told to use, if any.
    pub fn config(&self) -> Option<&Path> {
        match self {
            Self::Run(args) => args.config.as_deref(),
            Self::Replay(args) => args.config.as_deref(),
            Self::Import(args) => args.config.as_deref(),
            Self::ServeInference(args) => args.config.as_deref(),
            Self::Simulate(args) => args.config.as_deref(),
            Self::Check(args) => args.config.as_deref(),
            Self::Doctor(args) => args.config.as_deref(),
            Self::Evaluate(args) => args.config.as_deref(),
            Self::Models(args) => args.config(),
            Self::Devices(_)
            | Self::Bench(_)
            | Self::Init(_)
            | Self::Calibrate(_)
            | Self::Inspect(_)
            | Self::Mcp(_)
            | Self::Preserve(_)
            | Self::Compare(_)
            | Self::Report(_)
            | Self::Render(_) => None,
        }
    }

    /// Whether a program reads what is printed.
    pub fn json(&self) -> bool {
        match self {
            Self::Run(args) => args.json,
            Self::Replay(args) => args.json,
            Self::Import(args) => args.json,
            Self::ServeInference(args) => args.json,
            Self::Simulate(args) => args.json,
            Self::Inspect(args) => args.json,
            Self::Preserve(args) => args.json,
            Self::Mcp(_) => false,
            Self::Init(args) => args.json,
            Self::Models(args) => args.json(),
            Self::Compare(args) => args.json,
            Self::Calibrate(args) => args.json,
            Self::Evaluate(args) => args.json,
            Self::Report(args) => args.json,
            Self::Render(args) => args.json,
            Self::Check(args) => args.json,
            Self::Devices(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Bench(_) => false,
        }
    }
}

impl Cli {
    /// Reads the command line of this process. Help and version are printed, and the process ends.
    ///
    /// # Errors
    ///
    /// When the command line is wrong and a program reads (`--json`). A person gets clap's own
    /// message, and the process ends with the same exit code, 2.
    pub fn from_process() -> Result<Self, Failure> {
        Self::try_parse().map_err(|error| {
            if !error.use_stderr() || !std::env::args_os().any(|arg| arg == "--json") {
                error.exit();
            }
            usage(&error)
        })
    }
}

/// A wrong command line as a failure: clap's message without its prefix, and its advice as the hint.
fn usage(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let (message, advice) = text.split_once("\n\n").unwrap_or((text, "see --help"));
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    Failure::bad_input(one_line(message)).hint(one_line(advice))
}

/// Reads a number above zero.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a number above 0".to_owned()),
    }
}

/// Reads a time span in seconds: `20`, `0.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number = positive(text).map_err(|_| "expected a number of seconds above 0, such as 20 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_example_in_the_help_is_accepted() {
        let mut command = Cli::command();
        let mut help = command.render_long_help().to_string();
        let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for name in names.iter().filter(|name| *name != "help") {
            let command = command.find_subcommand_mut(name).unwrap();
            let text = command.render_long_help().to_string();
            let examples =
                text.lines().filter(|line| line.trim_start().starts_with(&format!("waywarden {name}"))).count();
            assert!(examples >= 2, "`{name} --help` has {examples} examples");
            help.push_str(&text);
        }
        for line in help.lines().map(str::trim).filter(|line| line.starts_with("waywarden ")) {
            let shell = line.split(['>', '|']).next().unwrap();
            parse(shell).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        assert!(Cli::command().render_long_help().to_string().contains("Exit codes:"));
    }

    #[test]
    fn wrong_numbers_are_refused() {
        for line in [
            "waywarden replay a.mcap --speed 0",
            "waywarden replay a.mcap --speed nan",
            "waywarden replay a.mcap --threads 0",
            "waywarden replay a.mcap --from x",
            "waywarden replay a.mcap --jobs some",
            "waywarden run --duration -1",
            "waywarden run --duration 1e300",
            "waywarden import -o a.mcap",
            "waywarden import --video a.mp4 --frames b --fps 10 -o a.mcap",
            "waywarden import --frames b -o a.mcap",
            "waywarden import --video a.mp4 --fps 10 -o a.mcap",
            "waywarden",
        ] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_wrong_command_line_is_a_failure_for_programs() {
        let failure = usage(&parse("waywarden replay --json").expect_err("no session"));
        assert_eq!(failure.to_json()["code"], 2);
        assert!(failure.to_string().contains("<SESSION>"), "{failure:?}");
        let hint = failure.reports[0].hint.as_deref().unwrap();
        assert!(hint.contains("Usage: waywarden replay"), "{hint}");
    }

    #[test]
    fn places_in_a_session_are_segments_or_times() {
        use replay::From;
        let from = |text: &str| text.parse::<From>();
        assert_eq!(from("3"), Ok(From::Segment(3)));
        assert_eq!(from("12.5s"), Ok(From::Time(Duration::from_millis(12_500))));
        assert_eq!(from("1:02.5"), Ok(From::Time(Duration::from_millis(62_500))));
        assert_eq!(from("1:00:00"), Ok(From::Time(Duration::from_secs(3600))));
        for wrong in ["", "-1", "1.5", ":", "1:", "1:60", "1:2:3:4", "nan:1", "1e999s", "-1s", "99999999999999:00:00"] {
            assert!(from(wrong).is_err(), "{wrong}");
        }
    }
}
