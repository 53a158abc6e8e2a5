//! `waywarden render`: the drive as a video with everything drawn on it.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use waywarden_components::prelude::*;
use waywarden_systems::camera::jpeg;
use waywarden_systems::session::{Findings, SessionReader, Unfinished, WriteError};

use super::replay::{moment, peak_rss_mb};
use crate::failure::Failure;
use crate::progress::{Progress, Show, Unit};
use crate::render::canvas::Canvas;
use crate::render::draw::draw;
use crate::render::scene::{Director, Scene};
use crate::render::video::{VideoError, VideoWriter};
use crate::report::base::Base;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  The drive of the front camera, with lanes, boxes and words:
    waywarden render sessions/SESSION -o drive.mp4

  A minute of it, small, to be sent:
    waywarden render sessions/SESSION -o minute.mp4 --from 1:30 --to 2:30 --width 640

  Of an imported clip, which has to be run first:
    waywarden replay drive.mcap --models models --out drive-run.mcap
    waywarden render drive-run.mcap -o drive.mp4

Sound is not part of the video.";

/// Widest video without --width, in pixels.
const WIDEST: u32 = 1280;

/// What is drawn in advance of `--from`, so that what was found before is known.
const LEAD: Duration = Duration::from_secs(3);

/// What `render` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct RenderArgs {
    /// The session: a file, or the folder with its segments.
    #[arg(value_name = "SESSION")]
    pub session: PathBuf,

    /// The video to make, MP4. A file of this name is replaced once the new one is whole.
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,

    /// Width of the video in pixels; without it, that of the pictures, but no more than 1280. The aspect is kept.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(64..=3840))]
    pub width: Option<u32>,

    /// The camera, by its name; without it, the first one that looks ahead.
    #[arg(long, value_name = "NAME")]
    pub camera: Option<String>,

    /// Where to begin: a time since the session's start (90s, 1:30, 1:02:03.5).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<Duration>,

    /// Where to end, likewise.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub to: Option<Duration>,

    /// Prints the summary as one JSON object, and no progress.
    #[arg(long)]
    pub json: bool,
}

/// What was made.
#[derive(Clone, Debug)]
struct Made {
    width: u32,
    height: u32,
    pictures: u64,
    length: Duration,
    found_anything: bool,
}

/// Makes the video and prints to `out` what it is.
///
/// # Errors
/// When the session cannot be read, has no pictures, or the video cannot be written. Nothing is then left under its name.
pub fn run(args: &RenderArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let made = make(args)?;
    let bytes = std::fs::metadata(&args.out).map_or(0, |meta| meta.len());
    let Made { width, height, pictures, length, found_anything } = made;
    let seconds = length.as_secs_f64();
    if args.json {
        let value = json!({
            "ok": true, "video": args.out.display().to_string(), "bytes": bytes, "width": width, "height": height,
            "frames": pictures, "video_s": seconds, "findings": found_anything, "audio": false,
            "peak_rss_mb": peak_rss_mb(),
        });
        writeln!(out, "{value}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{}: {width}x{height}, {pictures} pictures, {seconds:.1} s, {:.1} MB, without sound",
        args.out.display(),
        bytes as f64 / 1e6
    )?;
    if !found_anything {
        writeln!(
            out,
            "  nothing was ever run on this session, so nothing is drawn on it: waywarden replay {} --out FILE makes one to draw",
            args.session.display()
        )?;
    }
    Ok(())
}

fn make(args: &RenderArgs) -> Result<Made, Failure> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from >= to
    {
        return Err(Failure::bad_input("--from must be before --to"));
    }
    let mut findings = Findings::open(&args.session)?;
    let camera = camera(args, &findings)?;
    let file = Unfinished::begin(&args.out)?;
    let what = format!("rendering {}", args.session.display());
    let total = SessionReader::size(&args.session);
    let mut progress = Progress::start(what, Some(total), Unit::Bytes, Show::new(args.json));
    let mut director = Director::new(camera, &findings.info().streams);
    let mut film =
        Film { args, out: Some(BufWriter::new(file)), video: None, last_at: Duration::ZERO, step: Duration::ZERO };
    let (mut found_anything, mut start, mut frames) = (false, None, 0_u64);
    while let Some(tick) = findings.read()? {
        progress.advance(tick.weight());
        let since = tick.now.since(*start.get_or_insert(tick.now));
        if args.to.is_some_and(|to| since > to + LEAD) {
            break;
        }
        found_anything |= tick.found.is_some();
        frames += tick.frames().filter(|(id, ..)| id.stream == camera).count() as u64;
        for scene in director.tick(&tick) {
            film.add(&scene)?;
        }
    }
    for scene in director.finish() {
        film.add(&scene)?;
    }
    let Some(made) = film.finish(found_anything)? else {
        let message = format!("{}: no pictures to draw", args.session.display());
        return Err(if frames == 0 {
            Failure::bad_input(message)
                .hint("`waywarden inspect SESSION` lists what came in; `waywarden report` shows the rest")
        } else {
            Failure::bad_input(message).hint("there are none from --from to --to that can be decoded")
        });
    };
    progress.finish("rendered to its end");
    Ok(made)
}

/// The camera whose pictures are drawn.
fn camera(args: &RenderArgs, findings: &Findings) -> Result<StreamId, Failure> {
    let streams = &findings.info().streams;
    let names: Vec<&str> = streams
        .iter()
        .filter(|spec| matches!(spec.kind, StreamKind::Camera { .. }))
        .map(|spec| spec.name.as_str())
        .collect();
    let found = match &args.camera {
        Some(name) => {
            streams.iter().find(|spec| spec.name == *name && names.contains(&name.as_str())).map(|spec| spec.id)
        }
        None => Base::new(streams).front_camera(),
    };
    found.ok_or_else(|| {
        let session = args.session.display();
        match (&args.camera, names.as_slice()) {
            (_, []) => Failure::bad_input(format!("{session}: no camera, so no pictures to draw"))
                .hint("`waywarden report` shows what there is"),
            (name, _) => Failure::bad_input(format!("{session}: no camera `{}`", name.as_deref().unwrap_or_default()))
                .hint(format!("its cameras: {}", names.join(", "))),
        }
    })
}

type File = BufWriter<Unfinished>;

/// The video in the making: it begins with the first picture, whose size says how large it is.
struct Film<'a> {
    args: &'a RenderArgs,
    out: Option<File>,
    video: Option<(VideoWriter<File>, Canvas)>,
    last_at: Duration,
    /// Time between the last two pictures.
    step: Duration,
}

impl Film<'_> {
    fn add(&mut self, scene: &Scene) -> Result<(), Failure> {
        let args = self.args;
        let at = scene.since_start;
        if args.from.is_some_and(|from| at < from) || args.to.is_some_and(|to| at >= to) {
            return Ok(());
        }
        if self.video.is_none() {
            let Some(size) = scene.jpeg.as_ref().and_then(|jpeg| jpeg::thumbnail(jpeg).ok()) else { return Ok(()) };
            let Some(out) = self.out.take() else { return Ok(()) };
            let width = args.width.unwrap_or(size.0.min(WIDEST));
            let height = (u64::from(size.1) * u64::from(width) / u64::from(size.0.max(1))).clamp(16, 4096);
            let canvas = Canvas::new(width, height as u32);
            let video = VideoWriter::new(out, canvas.width(), canvas.height(), 30.0);
            self.video = Some((video.map_err(|error| self.failed(&error))?, canvas));
            self.last_at = at;
        }
        let Some((video, canvas)) = &mut self.video else { return Ok(()) };
        draw(canvas, scene);
        let step = at.saturating_sub(self.last_at);
        if !step.is_zero() {
            self.step = step;
        }
        self.last_at = at;
        video.picture(canvas, at).map_err(|error| failed(args, &error))
    }

    fn failed(&self, error: &VideoError) -> Failure {
        failed(self.args, error)
    }

    /// Completes the video and gives it its name; none without pictures.
    fn finish(self, found_anything: bool) -> Result<Option<Made>, Failure> {
        let Some((video, canvas)) = self.video else { return Ok(None) };
        let pictures = video.pictures();
        // The last one is shown as long as the one before it.
        let last = if self.step.is_zero() { Duration::from_millis(40) } else { self.step.min(Duration::from_secs(1)) };
        let (file, length) = video.finish(last).map_err(|error| failed(self.args, &error))?;
        let io = |source| WriteError::Io { path: self.args.out.clone(), source };
        file.into_inner().map_err(|error| io(error.into_error()))?.finish()?;
        Ok(Some(Made { width: canvas.width(), height: canvas.height(), pictures, length, found_anything }))
    }
}

fn failed(args: &RenderArgs, error: &VideoError) -> Failure {
    let failure = Failure::running(format!("{}: {error}", args.out.display()));
    match error {
        VideoError::Io(_) => failure.hint("is there room on the disk, and may this user write there?"),
        _ => failure.hint("please report it; does another --width help?"),
    }
}
