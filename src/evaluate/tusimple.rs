//! TuSimple: lines pixel by pixel, and by the challenge's own rule.

use std::path::{Path, PathBuf};

use waywarden_components::prelude::*;
use waywarden_perception::labels::tusimple::{Picture, instances, mask, pictures};
use waywarden_perception::score::tusimple::{Verdict, at_rows, ego_pair, judge};
use waywarden_perception::score::{lane_pixels, road};

use super::files;
use super::observe::FrameSeen;
use super::runner::Runner;
use super::stills::{self, Still};
use super::table::{Goal, Sheet};
use crate::failure::Failure;

const DATA: &str = "TuSimple";
/// F1 of the pixels of lines, at least.
const LINES_GOAL: Goal = Goal::AtLeast(0.75);

/// A labelled picture: what there is of labels.
struct Labelled {
    file: PathBuf,
    /// Lines drawn into a mask.
    mask: Option<PathBuf>,
    /// Lines as points.
    lanes: Option<Picture>,
}

/// Measures on a folder of the challenge (`*.json` beside `clips`), or one with pictures in `image` and masks in
/// `gt_binary_image` and `gt_instance_image`.
///
/// # Errors
/// When a file is not what it should be, or the app fails.
pub fn tusimple(folder: &Path, runner: &Runner, sheet: &mut Sheet) -> Result<(), Failure> {
    let labelled = labelled(folder)?;
    let geometry = CameraGeometry::default();
    let stills: Vec<Still> = labelled.iter().map(|one| Still { file: one.file.clone(), geometry }).collect();
    let frames = stills::watch(runner, DATA, &stills, true)?;
    let seen: Vec<(&Labelled, &FrameSeen)> =
        labelled.iter().zip(&frames).filter_map(|(one, frame)| Some((one, frame.as_ref()?))).collect();
    let mut pixels = Vec::new();
    for (one, frame) in &seen {
        if let (Some(path), Some(masks)) = (&one.mask, &frame.masks) {
            let drawn = files::read(path, mask)?.at_size(lane_pixels::WIDTH, lane_pixels::HEIGHT);
            pixels.push(lane_pixels::compare(
                &road::at_size(&masks.lines, lane_pixels::WIDTH, lane_pixels::HEIGHT),
                &drawn,
            ));
        }
    }
    let mut part = sheet.part(DATA, "all", &[JobRole::Segmentation]);
    if labelled.iter().any(|one| one.mask.is_some()) {
        part.tally("line pixels, ±6 px", &pixels, "px", "px").goal(LINES_GOAL);
    }
    let all: Vec<Verdict> = verdicts(&seen, false);
    let pair: Vec<Verdict> = verdicts(&seen, true);
    for (of, verdicts) in [("all lines", &all), ("the two ego lines", &pair)] {
        let mut mean = |what: &str, value: fn(&Verdict) -> f64| {
            let n = (verdicts.len() as u64, "pictures");
            part.drawn(format!("point rule, {of}: {what}"), "", verdicts.len(), n, |weights| {
                let whole: u32 = weights.iter().sum();
                let sum: f64 = verdicts.iter().zip(weights).map(|(one, times)| value(one) * f64::from(*times)).sum();
                (whole > 0).then(|| sum / f64::from(whole))
            });
        };
        mean("accuracy", |verdict| verdict.accuracy);
        mean("false lines", |verdict| verdict.false_positive);
        mean("missed lines", |verdict| verdict.false_negative);
    }
    Ok(())
}

/// What the rule says of the lines beside the vehicle, of which the app claims two at most.
fn verdicts(seen: &[(&Labelled, &FrameSeen)], pair: bool) -> Vec<Verdict> {
    let verdict = |(one, frame): &(&Labelled, &FrameSeen)| {
        let labels = one.lanes.as_ref()?;
        // A picture that nobody looked at is left out; one in which nothing was claimed counts.
        let estimate = frame.lanes.as_ref()?;
        let claimed = [&estimate.left, &estimate.right].into_iter().flatten();
        let found: Vec<Vec<Option<f64>>> = claimed.map(|line| at_rows(line, &labels.rows)).collect();
        let lanes = match pair {
            true => ego_pair(&labels.lanes, f64::from(frame.size.0) / 2.0),
            false => labels.lanes.clone(),
        };
        Some(judge(&found, &lanes, &labels.rows))
    };
    seen.iter().filter_map(verdict).collect()
}

fn labelled(folder: &Path) -> Result<Vec<Labelled>, Failure> {
    let mut found = Vec::new();
    for list in files::list(folder)?.iter().filter(|path| path.extension().is_some_and(|ending| ending == "json")) {
        for picture in files::read(list, pictures)? {
            let file = folder.join(&picture.file);
            if file.is_file() {
                found.push(Labelled { file, mask: None, lanes: Some(picture) });
            }
        }
    }
    let image = folder.join("image");
    for file in if image.is_dir() { files::pictures(&image)? } else { Vec::new() } {
        let beside = |of: &str| Some(folder.join(of).join(files::name(&file)).with_extension("png"));
        let mask_file = beside("gt_binary_image").filter(|path| path.is_file());
        let lanes = beside("gt_instance_image").filter(|path| path.is_file());
        // What is broken is told before hours are spent.
        mask_file.iter().try_for_each(|path| files::read(path, mask).map(drop))?;
        let lanes = lanes.map(|path| files::read(&path, instances)).transpose()?;
        if mask_file.is_some() || lanes.is_some() {
            found.push(Labelled { file, mask: mask_file, lanes });
        }
    }
    if found.is_empty() {
        let expected = "is a folder with `*.json` beside `clips`, or with `image` beside `gt_binary_image`";
        return Err(files::nothing(folder, expected));
    }
    Ok(found)
}
