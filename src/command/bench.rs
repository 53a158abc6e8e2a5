//! `waywarden bench`: the program measured on a recorded session.

use std::io::Write;
use std::path::PathBuf;

use crate::bench::{self, Plan, sink};
use crate::failure::Failure;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  A folder of pictures, sound and sentences in real time, as the program is:
    waywarden bench session 1

  As fast as possible, nothing dropped, with each picture decoded whole, compared in colour and encoded anew:
    waywarden bench session 0 --same-work

The last line is one JSON object: CPU, memory, latencies from when something was due, lateness of the tick.";

/// What `bench` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// The folder: frames/*.jpg, audio.wav (16 kHz, mono, 16 bit), gps.nmea, session.json with `fps`.
    #[arg(value_name = "SESSION", required_unless_present = "sink")]
    pub session: Option<PathBuf>,

    /// Times real time; 0 is as fast as possible, with nothing dropped.
    #[arg(value_name = "RATE", required_unless_present = "sink", value_parser = rate)]
    pub rate: Option<f64>,

    /// Decodes every picture whole, compares it in colour with the one before, and encodes those that have changed and every
    /// tenth anew, instead of the scaled decoding and the camera's own JPEG.
    #[arg(long)]
    pub same_work: bool,

    /// Cameras that give the pictures of the folder, at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub cameras: u32,

    /// Only the first pictures, and the sound and sentences that belong to them.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,

    /// Writes the gate's value of each picture, and the size of each JPEG that was passed on, as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub details: Option<PathBuf>,

    /// Is the broker of a bench: prints its port, serves until its input ends, prints when messages came.
    #[arg(long, hide = true, conflicts_with = "session")]
    pub sink: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=1000.0).contains(&rate) => Ok(rate),
        _ => Err("expected a number from 0 to 1000".to_owned()),
    }
}

/// Runs the session, and prints to `out` what was measured.
///
/// # Errors
/// When the folder is no session, or something of the run fails.
pub fn run(args: &BenchArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (Some(session), Some(rate)) = (&args.session, args.rate) else { return sink::serve(out) };
    let plan = Plan {
        session: session.clone(),
        rate,
        same_work: args.same_work,
        cameras: args.cameras as usize,
        limit: args.limit,
        details: args.details.clone(),
    };
    writeln!(out, "{}", bench::run(&plan)?)?;
    Ok(())
}
