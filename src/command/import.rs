//! `waywarden import`: a session made from files.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgGroup;
use serde_json::json;
use waywarden_components::prelude::*;
use waywarden_systems::import::gpmf::GpmfTrack;
use waywarden_systems::import::nmea::NmeaLog;
use waywarden_systems::import::range_csv::RangeCsv;
use waywarden_systems::import::stills::Stills;
use waywarden_systems::import::video::Video;
use waywarden_systems::import::wav::Wav;
use waywarden_systems::import::{ImportError, Merge, Reader, merge, plan_ticks};
use waywarden_systems::ingress::Incoming;
use waywarden_systems::session::{Origin, SegmentWriter, WriteError, unfinished};

use crate::cli::{positive, seconds};
use crate::config::Config;
use crate::failure::Failure;
use crate::progress::{Progress, Show, Unit};
use crate::session_info;

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
    let expected = sources.iter().find_map(|(_, reader)| reader.expected_length());
    let total = expected.map(|length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
    let inputs = [&args.video, &args.frames, &args.audio, &args.nmea, &args.range];
    let names: Vec<String> = inputs.into_iter().flatten().map(|path| path.display().to_string()).collect();
    let mut progress =
        Progress::start(format!("importing {}", names.join(", ")), total, Unit::Millis, Show::new(args.json));
    let ids: Vec<StreamId> = streams.iter().map(|spec| spec.id).collect();
    let segment = args.segment_s.unwrap_or(Duration::from_secs(config.record.segment_s.into()));
    let period = Duration::from_millis(config.tick.period_ms.into());
    let mut ticks = plan_ticks(merge(sources), &ids, period, segment);
    let info = session_info::describe(Origin::Import, &config, &streams, BTreeMap::new());
    let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let io = |source| WriteError::Io { path: args.out.clone(), source };
    // Under another name until it is complete.
    let temporary = unfinished(folder).map_err(io)?;
    let mut writer = SegmentWriter::begin(&args.out, temporary.reopen().map_err(io)?, &info)?;
    let (mut count, mut last) = (0, Mono::default());
    for tick in &mut ticks {
        let tick = tick?;
        (count, last) = (tick.number, tick.at);
        writer.tick(&Incoming { tick: tick.number, now: tick.at, inputs: tick.inputs })?;
        progress.set(last.as_nanos() / 1_000_000);
    }
    writer.finish()?;
    temporary.persist(&args.out).map_err(|error| io(error.error))?;
    progress.finish(&format!("imported {:.1} s into {}", last.as_secs_f64(), args.out.display()));
    report(args, &streams, ticks.source(), count, last, out)
}

type Sources = Vec<(StreamId, Box<dyn Reader>)>;

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

fn report(
    args: &ImportArgs,
    streams: &[StreamSpec],
    merged: &Merge,
    ticks: u64,
    last: Mono,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let name = |id: StreamId| streams.iter().find(|spec| spec.id == id).map_or("", |spec| spec.name.as_str());
    let size = std::fs::metadata(&args.out).map_or(0, |meta| meta.len());
    if args.json {
        let streams: Vec<_> = merged
            .tallies()
            .iter()
            .map(|t| {
                json!({
                    "name": name(t.stream), "items": t.items, "bytes": t.bytes, "mean_bytes": t.mean(),
                    "smallest_bytes": t.smallest, "largest_bytes": t.largest,
                })
            })
            .collect();
        let warnings: Vec<_> =
            merged.warnings().iter().map(|(id, text)| json!({ "stream": name(*id), "text": text })).collect();
        let session = args.out.display().to_string();
        let (length, bytes) = (last.as_secs_f64(), size);
        writeln!(
            out,
            "{}",
            json!({ "ok": true, "session": session, "ticks": ticks, "session_s": length, "bytes": bytes,
                "streams": streams, "warnings": warnings })
        )?;
        return Ok(());
    }
    writeln!(out, "{}: {:.1} s, {ticks} ticks, {:.1} MB", args.out.display(), last.as_secs_f64(), size as f64 / 1e6)?;
    for t in merged.tallies() {
        writeln!(
            out,
            "  {:<12} {} items, {} bytes each ({} to {})",
            name(t.stream),
            t.items,
            t.mean(),
            t.smallest,
            t.largest
        )?;
    }
    for (id, warning) in merged.warnings() {
        writeln!(out, "  warning: {}: {warning}", name(id))?;
    }
    Ok(())
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        // The message says what to do.
        Self::bad_input(error)
    }
}
