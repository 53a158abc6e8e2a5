//! CULane: lines drawn wide, by its own rule.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use waywarden_components::prelude::*;
use waywarden_perception::labels::culane::lines;
use waywarden_perception::score::Tally;
use waywarden_perception::score::culane::judge;

use super::files;
use super::runner::Runner;
use super::stills::{self, Still};
use super::table::Sheet;
use crate::failure::Failure;

const DATA: &str = "CULane";

/// Measures on a folder with pictures and a `.lines.txt` beside each, at any depth: all, and by folder.
///
/// # Errors
/// When a file is not what it should be, or the app fails.
pub fn culane(folder: &Path, runner: &Runner, sheet: &mut Sheet) -> Result<(), Failure> {
    let mut labelled: Vec<(PathBuf, String, Vec<Vec<ImagePoint>>)> = Vec::new();
    for labels in files::find(folder, ".lines.txt")? {
        let name = files::name(&labels);
        let file = labels.with_file_name(name.trim_end_matches(".lines.txt")).with_extension("jpg");
        let drive = labels.parent().map(files::name).unwrap_or_default();
        if file.is_file() {
            labelled.push((file, drive, files::read(&labels, lines)?));
        }
    }
    if labelled.is_empty() {
        return Err(files::nothing(folder, "are pictures such as `00000.jpg` with a `00000.lines.txt` beside each"));
    }
    let geometry = CameraGeometry::default();
    let stills: Vec<Still> = labelled.iter().map(|(file, ..)| Still { file: file.clone(), geometry }).collect();
    let frames = stills::watch(runner, DATA, &stills, false)?;
    let scored: Vec<(&String, Tally)> = labelled
        .iter()
        .zip(&frames)
        .filter_map(|((_, drive, labels), frame)| {
            let frame = frame.as_ref()?;
            let estimate = frame.lanes.as_ref()?;
            let found: Vec<_> = [&estimate.left, &estimate.right].into_iter().flatten().cloned().collect();
            Some((drive, judge(&found, labels, frame.size.0, frame.size.1)))
        })
        .collect();
    let rows = |sheet: &mut Sheet, split: &str, tallies: &[Tally]| {
        let mut part = sheet.part(DATA, split, &[JobRole::Segmentation]);
        part.tally("lines 30 px wide, IoU > 0.5, the two ego lines against all", tallies, "lines", "labels");
    };
    rows(sheet, "all", &scored.iter().map(|(_, tally)| *tally).collect::<Vec<_>>());
    let drives: BTreeSet<&String> = scored.iter().map(|(drive, _)| *drive).collect();
    for drive in drives.iter().filter(|_| drives.len() > 1) {
        let members = scored.iter().filter(|(of, _)| of == drive).map(|(_, tally)| *tally);
        rows(sheet, &format!("drive {drive}"), &members.collect::<Vec<_>>());
    }
    Ok(())
}
