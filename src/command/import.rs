//! `waywarden import`: a session made from files.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgGroup;

use crate::cli::{positive, seconds};

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  A dashcam clip; any format that the program ffmpeg reads:
    waywarden import --video drive.mp4 -o drive.mcap

  A clip with its GPS log and its sound:
    waywarden import --video drive.mp4 --audio drive.wav --nmea drive.nmea -o drive.mcap

  A folder of pictures, in the order of their names, 10 a second; JPEGs are stored as they are:
    waywarden import --frames pictures --fps 10 -o drive.mcap

  A GPS log and distances alone:
    waywarden import --nmea drive.nmea --range drive.csv -o drive.mcap";

/// What `import` may be told.
#[derive(Clone, Debug, clap::Args)]
#[command(group = ArgGroup::new("inputs").required(true).multiple(true).args(["video", "frames", "audio", "nmea", "range"]))]
pub struct ImportArgs {
    /// A video file.
    #[arg(long, value_name = "FILE", conflicts_with = "frames")]
    pub video: Option<PathBuf>,

    /// A folder of JPEG or PNG pictures.
    #[arg(long, value_name = "DIR", requires = "fps")]
    pub frames: Option<PathBuf>,

    /// Pictures a second of the folder.
    #[arg(long, value_name = "N", requires = "frames", conflicts_with = "video", value_parser = positive)]
    pub fps: Option<f64>,

    /// A WAV file of any rate and number of channels.
    #[arg(long, value_name = "FILE")]
    pub audio: Option<PathBuf>,

    /// A log of NMEA 0183 sentences, placed by their own times.
    #[arg(long, value_name = "FILE")]
    pub nmea: Option<PathBuf>,

    /// A CSV file of distances: time in seconds, distance in metres, optionally strength.
    #[arg(long, value_name = "FILE")]
    pub range: Option<PathBuf>,

    /// The session to make. A file of this name is replaced once the new one is whole.
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,

    /// Seconds a segment; a replay may begin at any. Without it, record.segment_s of the config.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub segment_s: Option<Duration>,

    /// The config that the session is made with; without it, the defaults.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Prints the summary as one JSON object, and no progress.
    #[arg(long)]
    pub json: bool,
}
