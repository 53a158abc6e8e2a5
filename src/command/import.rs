//! `waywarden import`: a session made from files.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgGroup;
use waywarden_components::prelude::*;
use waywarden_systems::import::gpmf::GpmfTrack;
use waywarden_systems::import::nmea::NmeaLog;
use waywarden_systems::import::range_csv::RangeCsv;
use waywarden_systems::import::stills::Stills;
use waywarden_systems::import::video::Video;
use waywarden_systems::import::wav::Wav;
use waywarden_systems::import::{ImportError, Reader};

use crate::assemble::{Assembly, Sources, assemble, report};
use crate::cli::{positive, seconds};
use crate::config::Config;
use crate::failure::Failure;
use crate::progress::Show;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  A dashcam clip; any format that the program ffmpeg reads:
    waywarden import --video drive.mp4 -o drive.mcap

  A clip of a GoPro camera, with the GPS track that is in it; or without:
    waywarden import --video GX010042.MP4 -o drive.mcap
    waywarden import --video GX010042.MP4 --no-gpmf -o drive.mcap

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
    /// A video file. The GPS track of a GoPro camera inside it is taken too, unless --nmea gives another.
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

    /// Leaves the GPS track inside the video out.
    #[arg(long, requires = "video")]
    pub no_gpmf: bool,

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

/// Makes a session and prints to `out` what is in it.
///
/// # Errors
/// When a recording cannot be read or the session cannot be written. Nothing is then left under its name.
pub fn run(args: &ImportArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    let (streams, sources) = open(args, &config)?;
    let inputs = [&args.video, &args.frames, &args.audio, &args.nmea, &args.range];
    let names: Vec<String> = inputs.into_iter().flatten().map(|path| path.display().to_string()).collect();
    let assembled = assemble(Assembly {
        config: &config,
        streams: &streams,
        sources,
        out: &args.out,
        segment: args.segment_s,
        what: format!("importing {}", names.join(", ")),
        done: "imported",
        show: Show::new(args.json),
    })?;
    report(&args.out, &streams, &assembled, args.json, out)
}

/// The streams that the arguments ask for, named as in the config, and their readers.
fn open(args: &ImportArgs, config: &Config) -> Result<(Vec<StreamSpec>, Sources), Failure> {
    let mut streams = Vec::new();
    let mut sources: Sources = Vec::new();
    let mut add = |name: Option<&str>, usual: &str, kind: StreamKind, reader: Box<dyn Reader>| {
        // A handful of streams: their numbers fit.
        let id = StreamId(streams.len() as u16 + 1);
        streams.push(StreamSpec { id, name: name.unwrap_or(usual).to_owned(), kind });
        sources.push((id, reader));
    };
    let camera = config.camera.first();
    let picture = || StreamKind::Camera {
        role: camera.map_or(CameraRole::Front, |camera| camera.role),
        geometry: camera.map_or_else(CameraGeometry::default, |camera| camera.geometry),
    };
    let camera_name = camera.map(|camera| camera.name.as_str());
    if let Some(path) = &args.video {
        add(camera_name, "front", picture(), Box::new(Video::open(path)?));
    }
    if let (Some(path), Some(fps)) = (&args.frames, args.fps) {
        add(camera_name, "front", picture(), Box::new(Stills::open(path, fps)?));
    }
    if let Some(path) = &args.audio {
        let name = config.microphone.first().map(|microphone| microphone.name.as_str());
        add(name, "microphone", StreamKind::Microphone, Box::new(Wav::open(path)?));
    }
    if let Some(path) = &args.nmea {
        let name = config.gps.first().map(|gps| gps.name.as_str());
        let kind = StreamKind::Gps { protocol: GpsProtocol::Nmea };
        add(name, "gps", kind, Box::new(NmeaLog::open(path)?));
    } else if let Some(path) = args.video.as_ref().filter(|_| !args.no_gpmf)
        && let Some(track) = GpmfTrack::find(path)?
    {
        let name = config.gps.first().map(|gps| gps.name.as_str());
        add(name, "gps", StreamKind::Gps { protocol: GpsProtocol::Gpmf }, Box::new(track));
    }
    if let Some(path) = &args.range {
        let name = config.range.first().map(|range| range.name.as_str());
        let kind = StreamKind::Range { protocol: RangeProtocol::Ascii };
        add(name, "range", kind, Box::new(RangeCsv::open(path)?));
    }
    Ok((streams, sources))
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        // The message says what to do.
        Self::bad_input(error)
    }
}
