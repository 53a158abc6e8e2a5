//! `waywarden calibrate`: where a camera points, from a drive.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use serde_json::json;
use waywarden_components::prelude::*;
use waywarden_perception::calibrate::{Calibration, Interval, Look, calibrate};
use waywarden_systems::jobs::dispatch;
use waywarden_systems::registry::Register;
use waywarden_systems::session::SessionReader;

use crate::command::args::ModelsFolder;
use crate::command::replay::{self, ReplayArgs};
use crate::failure::Failure;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  From a drive on a straight road with painted lines, half a minute of it at least:
    waywarden calibrate sessions/SESSION

  Of another camera than the front one, with models, for a program:
    waywarden calibrate drive.mcap --camera rear --models models --json";

/// What `calibrate` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct CalibrateArgs {
    /// The session: a file, or the folder with its segments.
    #[arg(value_name = "SESSION")]
    pub session: PathBuf,

    /// The camera; without it, the front camera.
    #[arg(long, value_name = "NAME")]
    pub camera: Option<String>,

    /// Where models are.
    #[command(flatten)]
    pub models: ModelsFolder,

    /// Prints one JSON object, and no progress.
    #[arg(long)]
    pub json: bool,
}

/// Runs the session again, and says where its camera points.
///
/// # Errors
/// When the session cannot be used, has no such camera, or says too little of it.
pub fn run(args: &CalibrateArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (camera, name, geometry) = camera(args)?;
    let looks = Looks { camera, seen: Arc::default() };
    let replayed = ReplayArgs { models: args.models.clone(), json: args.json, ..ReplayArgs::of(args.session.clone()) };
    replay::watched(&replayed, |app| {
        app.add_plugins(LooksPlugin(looks.clone()));
    })?;
    let Seen { looks, size, .. } = std::mem::take(&mut *looks.seen.lock().unwrap_or_else(PoisonError::into_inner));
    let calibration = calibrate(&looks, &geometry, size).map_err(|impossible| {
        Failure::bad_input(format!("{}: {name}: {impossible}", args.session.display()))
            .hint("drive a minute straight ahead on a road with two painted lines, in the middle of the lane, by day")
    })?;
    if args.json {
        let printed = json!({ "ok": true, "camera": name, "geometry": geometry, "calibration": calibration });
        writeln!(out, "{printed}")?;
        return Ok(());
    }
    print(&name, &geometry, &calibration, out)
}

/// The camera that is asked for.
fn camera(args: &CalibrateArgs) -> Result<(StreamId, String, CameraGeometry), Failure> {
    let reader = SessionReader::open(&args.session)?;
    let cameras = || {
        reader.info().streams.iter().filter_map(|spec| match spec.kind {
            StreamKind::Camera { role, geometry } => Some((spec, role, geometry)),
            _ => None,
        })
    };
    let found = cameras().find(|(spec, role, _)| match &args.camera {
        Some(name) => spec.name == *name,
        None => *role == CameraRole::Front,
    });
    found.map(|(spec, _, geometry)| (spec.id, spec.name.clone(), geometry)).ok_or_else(|| {
        let names: Vec<_> = cameras().map(|(spec, ..)| spec.name.as_str()).collect();
        let wanted = args.camera.as_ref().map_or("front camera".to_owned(), |name| format!("camera \"{name}\""));
        let hint = match names[..] {
            [] => "it was recorded without any camera".to_owned(),
            _ => format!("--camera takes one of: {}", names.join(", ")),
        };
        Failure::bad_input(format!("{}: there is no {wanted}", args.session.display())).hint(hint)
    })
}

fn print(name: &str, before: &CameraGeometry, found: &Calibration, out: &mut dyn Write) -> Result<(), Failure> {
    let Calibration { pitch_down_deg: pitch, yaw_left_deg: yaw, vanishing_x: x, vanishing_y: y, .. } = found;
    let row = |what: &str, of: &Interval, digits: usize, unit: &str, before: Option<f64>| {
        let was = before.map_or(String::new(), |before| format!("   (so far {before:.digits$})"));
        format!("  {what:<16} {:>8.digits$} +- {:.digits$} {unit}{was}", of.value, of.give)
    };
    writeln!(
        out,
        "{name}: {} looks at lanes, {:.0} s of straight driving; 95 of 100 cases",
        found.looks, found.straight_s
    )?;
    writeln!(out, "{}", row("pitch, down", pitch, 2, "degrees", Some(before.pitch_down_deg)))?;
    writeln!(out, "{}", row("yaw, left", yaw, 2, "degrees", Some(before.yaw_left_deg)))?;
    writeln!(out, "{}", row("vanishing point", x, 1, "pixels from the left", None))?;
    writeln!(out, "{}", row("", y, 1, "pixels from the top", None))?;
    writeln!(out, "\nIn the config, at this camera:\n")?;
    writeln!(out, "[camera.geometry]\npitch_down_deg = {:.2}\nyaw_left_deg = {:.2}", pitch.value, yaw.value)?;
    Ok(())
}

/// What is noted of the lanes before one camera. Cheap to clone.
#[derive(Resource, Clone)]
struct Looks {
    camera: StreamId,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    looks: Vec<Look>,
    /// Width and height of its frames.
    size: (u32, u32),
    last: Option<Mono>,
}

struct LooksPlugin(Looks);

impl Plugin for LooksPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.0.clone())
            .exempt::<Looks>("written for the outside, and read by no system")
            .add_systems(Act, note.after(dispatch));
    }
}

/// Notes each new look at the lane.
fn note(noted: Res<Looks>, cameras: Query<(&StableId, &Gate, &LaneTracker, &EgoLane)>) {
    let mut seen = noted.seen.lock().unwrap_or_else(PoisonError::into_inner);
    for (_, gate, tracker, lane) in cameras.iter().filter(|(id, ..)| id.stream == noted.camera) {
        let Some(captured) = lane.captured.filter(|at| seen.last.is_none_or(|last| last < *at)) else { continue };
        (seen.last, seen.size) = (Some(captured), gate.size);
        seen.looks.extend(Look::of(tracker, &lane.estimate, captured));
    }
}
