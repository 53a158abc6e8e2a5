//! Videos without labels: what the gate holds back, how often a lane is claimed, how often is warned.

use std::path::Path;

use waywarden_components::prelude::*;
use waywarden_perception::score::Share;
use waywarden_systems::import::video::Video;

use super::files;
use super::observe::FrameSeen;
use super::runner::Runner;
use super::table::Sheet;
use crate::failure::Failure;

/// Measures on a video.
///
/// # Errors
/// When it cannot be read, or the app fails.
pub fn clip(file: &Path, runner: &Runner, sheet: &mut Sheet) -> Result<(), Failure> {
    let camera = runner.config.camera.first();
    let geometry = camera.map_or_else(CameraGeometry::default, |camera| camera.geometry);
    let name = files::name(file);
    let seen = runner.watch(&name, geometry, Box::new(Video::open(file)?), false)?;
    let hours = seen.last.as_secs_f64() / 3600.0;
    let share = |of: &dyn Fn(&FrameSeen) -> Option<bool>| -> Vec<Share> {
        let each = seen.frames.values().filter_map(of);
        vec![each.fold(Share::default(), |sum, yes| sum + Share::one(yes))]
    };
    let judged = |frame: &FrameSeen| match frame.gate {
        GateScore::Judged { accepted, .. } => Some(!accepted),
        _ => None,
    };
    sheet.part("videos", &name, &[]).share("gate: held back", &share(&judged), "frames");
    let lane = |frame: &FrameSeen| frame.lanes.as_ref().map(|lanes| lanes.geometry.is_some());
    let mut part = sheet.part("videos", &name, &[JobRole::Segmentation]);
    part.share("lane claimed, of the frames looked at", &share(&lane), "frames");
    let mut part = sheet.part("videos", &name, &JobRole::ALL);
    for kind in AlertKind::ALL {
        let given = seen.alerts.values().filter(|alert| alert.kind == kind).count() as u64;
        let hourly = (hours > 0.0).then(|| given as f64 / hours);
        part.figure(format!("{kind}: warnings, right or not"), "/h", hourly, None, (given, "warnings"));
    }
    Ok(())
}
