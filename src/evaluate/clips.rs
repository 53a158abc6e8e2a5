//! Videos without labels: what the gate holds back, how often a lane is claimed and how steady it is, how often is warned. And,
//! with boxes that somebody has marked, whether things keep their tracks.

use std::path::Path;

use waywarden_components::prelude::*;
use waywarden_perception::labels::LabelError;
use waywarden_perception::score::Share;
use waywarden_perception::score::errors::Errors;
use waywarden_perception::score::tusimple::at_rows;
use waywarden_perception::tracking::Tracked;
use waywarden_perception::tracking::score::{Label, identity_switches, read_labels};
use waywarden_systems::import::video::Video;

use super::files;
use super::observe::{FrameSeen, Seen};
use super::runner::Runner;
use super::table::{Goal, Sheet};
use crate::failure::Failure;

/// The width of a lane is right within this share of its median.
const WIDTH_SHARE: f64 = 0.15;
/// Where the left line is looked at: this share of the frame's height from its top. And the width, in pixels, to which steps are
/// scaled.
const ROW: f64 = 320.0 / 360.0;
const WIDTH_PX: f64 = 640.0;

/// What clips are to give that are known, by the beginning of their names: the share of looks with the usual width, the step
/// of the left edge.
const STEADY: [(&str, f64, Option<f64>); 2] = [("highway-720p-50s", 0.99, Some(6.0)), ("concrete-shadows", 0.98, None)];
/// In clips whose names begin so there is no road: nothing is to be claimed, and nothing warned of.
const NO_ROAD: &str = "no-road";

/// Measures on a video, with the boxes of things in it where a file of them is given.
///
/// # Errors
/// When a file cannot be read, or the app fails.
pub fn clip(file: &Path, tracks: Option<&Path>, runner: &Runner, sheet: &mut Sheet) -> Result<(), Failure> {
    let camera = runner.config.camera.first();
    let geometry = camera.map_or_else(CameraGeometry::default, |camera| camera.geometry);
    let name = files::name(file);
    // What is broken is told before hours are spent.
    let labels = tracks.map(|path| files::read(path, boxes)).transpose()?;
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
    lanes(&name, &seen, sheet);
    if let Some(labels) = labels {
        followed(&name, &labels, &seen, sheet);
    }
    let mut part = sheet.part("videos", &name, &JobRole::ALL);
    for kind in AlertKind::ALL {
        let given = seen.alerts.values().filter(|alert| alert.kind == kind).count() as u64;
        let hourly = (hours > 0.0).then(|| given as f64 / hours);
        part.figure(format!("{kind}: warnings, right or not"), "/h", hourly, None, (given, "warnings"));
        if name.starts_with(NO_ROAD) {
            part.goal(Goal::AtMost(0.0));
        }
    }
    Ok(())
}

/// How often a lane is claimed, and how steady it is from look to look.
fn lanes(name: &str, seen: &Seen, sheet: &mut Sheet) {
    let looks: Vec<(&FrameSeen, &LaneEstimate)> =
        seen.frames.values().filter_map(|frame| Some((frame, frame.lanes.as_ref()?))).collect();
    let claimed = looks.iter().fold(Share::default(), |sum, (_, lane)| sum + Share::one(lane.geometry.is_some()));
    let mut part = sheet.part("videos", name, &[JobRole::Segmentation]);
    part.share("lane claimed, of the frames looked at", &[claimed], "looks");
    if name.starts_with(NO_ROAD) {
        part.goal(Goal::AtMost(0.0));
    }
    let width = |lane: &LaneEstimate| lane.geometry.map(|geometry| f64::from(geometry.width_m));
    let mut widths: Vec<f64> = looks.iter().filter_map(|(_, lane)| width(lane)).collect();
    widths.sort_unstable_by(f64::total_cmp);
    let Some(&median) = widths.get(widths.len() / 2) else { return };
    let usual = |lane: &LaneEstimate| width(lane).is_some_and(|width| (width - median).abs() <= WIDTH_SHARE * median);
    let steady = looks.iter().fold(Share::default(), |sum, (_, lane)| sum + Share::one(usual(lane)));
    let goals = STEADY.iter().find(|(clip, ..)| name.starts_with(clip));
    part.share("lane claimed, and as wide as usual within 15 %", &[steady], "looks");
    if let Some((_, least, _)) = goals {
        part.goal(Goal::AtLeast(*least));
    }
    let first = looks.iter().position(|(_, lane)| lane.geometry.is_some()).unwrap_or(0);
    let since = looks.iter().skip(first).fold(Share::default(), |sum, (_, lane)| sum + Share::one(usual(lane)));
    part.share("the same, from the first look in which one was claimed", &[since], "looks");
    let edge = |(frame, lane): &(&FrameSeen, &LaneEstimate)| {
        let (width, height) = (f64::from(frame.size.0), f64::from(frame.size.1));
        let x = at_rows(lane.left.as_ref()?, &[ROW * height]).into_iter().next().flatten()?;
        (width > 0.0).then(|| x * WIDTH_PX / width)
    };
    let edges: Vec<Option<f64>> = looks.iter().map(edge).collect();
    let steps = edges.iter().zip(edges.iter().skip(1)).filter_map(|(a, b)| Some(((*b)? - (*a)?).abs()));
    let steps = Errors::new(&[steps.collect()]);
    let n = (steps.len() as u64, "steps");
    part.figure("left edge: step from look to look, 95 %", "px of 640", steps.quantile(0.95), None, n);
    if let Some((_, _, Some(most))) = goals {
        part.goal(Goal::AtMost(*most));
    }
}

/// Whether things that somebody has marked keep their tracks.
fn followed(name: &str, labels: &[Label], seen: &Seen, sheet: &mut Sheet) {
    let looked = seen.frames.values().filter(|frame| frame.boxes.is_some());
    let tracks = looked.map(|frame| {
        let tracks = frame.tracks.iter().map(|(id, track)| Tracked {
            id: id.seq,
            class: track.class,
            score: track.latest.score,
            smooth: track.latest,
            raw: Some(track.latest),
            first_seen: track.first_seen,
            last_seen: track.last_seen,
            hits: 0,
            // One that is not yet is no entity.
            confirmed: true,
        });
        (frame.captured, tracks.collect())
    });
    let found = identity_switches(labels, &tracks.collect::<Vec<(Mono, Vec<Tracked>)>>());
    let mut part = sheet.part("videos", name, &[JobRole::Detection]);
    let n = (u64::from(found.seen), "marked things seen");
    part.figure("tracks: identity switches of what is marked", "", Some(found.switches.into()), None, n);
    part.goal(Goal::AtMost(0.0));
    let whole = u64::from(found.seen + found.missed);
    part.share("tracks: marked things that had one", &[Share { part: found.seen.into(), whole }], "marked things");
}

/// Reads boxes of marked things.
fn boxes(bytes: &[u8]) -> Result<Vec<Label>, LabelError> {
    let bad = |what: String| LabelError { line: None, what };
    let text = std::str::from_utf8(bytes).map_err(|_| bad("is not text (UTF-8)".to_owned()))?;
    read_labels(text).map_err(|line| {
        let line: String = line.chars().take(40).collect();
        bad(format!("expected `time_s,name,left,top,right,bottom`, found `{line}`"))
    })
}
