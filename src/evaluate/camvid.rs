//! CamVid: road, vehicles and people, pixel by pixel.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use waywarden_components::prelude::*;
use waywarden_perception::labels::camvid::{class, classes};
use waywarden_perception::score::blobs::{self, Found};
use waywarden_perception::score::boxes::{Area, Size};
use waywarden_perception::score::road::{Overlap, at_size, either, overlap};
use waywarden_perception::score::{Share, Tally};

use super::files;
use super::observe::FrameSeen;
use super::runner::Runner;
use super::stills::{self, Still};
use super::table::{Goal, Sheet};
use crate::failure::Failure;

/// What the drivable area and the lines together are to share with the labelled road, at least.
const ROAD_GOAL: Goal = Goal::AtLeast(0.84);
/// How many of the vehicles are to be found, and of the boxes right, at least.
const RECALL_GOAL: Goal = Goal::AtLeast(0.93);
const PRECISION_GOAL: Goal = Goal::AtLeast(0.95);

/// A labelled picture.
struct Labelled {
    file: PathBuf,
    labels: PathBuf,
    /// The folder: `train`, `val`, `test`.
    split: String,
    /// The drive, from the name of the file: `0001TP`.
    drive: String,
}

/// What came of a picture.
struct Scored {
    split: String,
    drive: String,
    held: Share,
    road: Option<(Overlap, Overlap)>,
    vehicles: Option<Found>,
    people: Option<Found>,
}

/// Measures on a folder with `test` beside `testannot`, and so on: road, vehicles, people; all, by split, by drive.
///
/// # Errors
/// When a file is not what it should be, or the app fails.
pub fn camvid(folder: &Path, runner: &Runner, sheet: &mut Sheet) -> Result<(), Failure> {
    let labelled = labelled(folder)?;
    // What is broken is told before hours are spent.
    labelled.iter().try_for_each(|one| files::read(&one.labels, classes).map(drop))?;
    let geometry = CameraGeometry::default();
    let stills: Vec<Still> = labelled.iter().map(|one| Still { file: one.file.clone(), geometry }).collect();
    let frames = stills::watch(runner, "CamVid", &stills, true)?;
    let scored: Vec<Scored> = labelled
        .iter()
        .zip(&frames)
        .filter_map(|(one, frame)| Some(score(one, frame.as_ref()?)))
        .collect::<Result<_, _>>()?;
    rows(sheet, "all", &scored.iter().collect::<Vec<_>>(), true);
    for (name, of) in [("split", (|one| &one.split) as fn(&Scored) -> &String), ("drive", |one| &one.drive)] {
        let parts: BTreeSet<&String> = scored.iter().map(of).collect();
        for part in parts {
            let members: Vec<&Scored> = scored.iter().filter(|one| of(one) == part).collect();
            rows(sheet, &format!("{name} {part}"), &members, false);
        }
    }
    Ok(())
}

fn labelled(folder: &Path) -> Result<Vec<Labelled>, Failure> {
    let mut found = Vec::new();
    for labels in files::list(folder)?.iter().filter(|path| path.is_dir()) {
        let Some(split) = files::name(labels).strip_suffix("annot").map(str::to_owned) else { continue };
        for file in files::pictures(&folder.join(&split))? {
            let labels = labels.join(files::name(&file)).with_extension("png");
            if labels.is_file() {
                let name = files::stem(&file);
                let drive = name.split_once('_').map_or(name.as_str(), |(drive, _)| drive).to_owned();
                found.push(Labelled { file, labels, split: split.clone(), drive });
            }
        }
    }
    if found.is_empty() {
        return Err(files::nothing(
            folder,
            "are folders such as `test` beside `testannot`, with pictures of the same names",
        ));
    }
    Ok(found)
}

fn score(one: &Labelled, frame: &FrameSeen) -> Result<Scored, Failure> {
    let labels = files::read(&one.labels, classes)?;
    let road = frame.masks.as_ref().map(|masks| {
        let mask = |mask| at_size(mask, labels.width, labels.height);
        let drivable = mask(&masks.drivable);
        (overlap(&drivable, &labels), overlap(&either(drivable.clone(), &mask(&masks.lines)), &labels))
    });
    // Labels may have another size than pictures.
    let scale = (
        f64::from(labels.width) / f64::from(frame.size.0.max(1)),
        f64::from(labels.height) / f64::from(frame.size.1.max(1)),
    );
    let scaled = |area: Area| Area {
        left: area.left * scale.0,
        top: area.top * scale.1,
        right: area.right * scale.0,
        bottom: area.bottom * scale.1,
    };
    let found = |class, holds: fn(ObjectClass) -> bool| {
        let boxes = frame.boxes.as_ref()?.iter().filter(|found| holds(found.class));
        Some(blobs::compare(&boxes.map(|found| scaled(Area::of(found))).collect::<Vec<_>>(), &labels, class))
    };
    Ok(Scored {
        split: one.split.clone(),
        drive: one.drive.clone(),
        held: Share::one(!frame.gate.accepted()),
        road,
        vehicles: found(class::CAR, ObjectClass::is_vehicle),
        people: found(class::PEDESTRIAN, |class| class == ObjectClass::Person),
    })
}

fn rows(sheet: &mut Sheet, split: &str, scored: &[&Scored], all: bool) {
    const DATA: &str = "CamVid";
    let roads: Vec<&(Overlap, Overlap)> = scored.iter().filter_map(|one| one.road.as_ref()).collect();
    let shares = |of: fn(&(Overlap, Overlap)) -> Share| roads.iter().map(|road| of(road)).collect::<Vec<Share>>();
    let mut part = sheet.part(DATA, split, &[JobRole::Segmentation]);
    part.share("road: IoU, drivable area", &shares(|road| road.0.iou), "px").share(
        "road: IoU, drivable area and lines",
        &shares(|road| road.1.iou),
        "px",
    );
    if all {
        part.goal(ROAD_GOAL).share("road: precision, drivable area", &shares(|road| road.0.precision), "px").share(
            "road: recall, drivable area",
            &shares(|road| road.0.recall),
            "px",
        );
    }
    let held: Vec<Share> = scored.iter().map(|one| one.held).collect();
    let mut part = sheet.part(DATA, split, &[JobRole::Detection]);
    let vehicles: Vec<&Found> = scored.iter().filter_map(|one| one.vehicles.as_ref()).collect();
    let tallies: Vec<Tally> = vehicles.iter().map(|found| found.tally).collect();
    part.tally("vehicles", &tallies, "boxes", "blobs");
    if all {
        part.goal_of("vehicles: precision", PRECISION_GOAL).goal_of("vehicles: recall", RECALL_GOAL);
        for size in Size::ALL {
            let of_size = |found: &&Found| {
                let blobs = found.blobs.iter().filter(|(pixels, _)| Size::of(*pixels as f64) == size);
                blobs.fold(Share::default(), |sum, (_, found)| sum + Share::one(*found))
            };
            let shares: Vec<Share> = vehicles.iter().map(of_size).collect();
            part.share(format!("vehicles: recall, {}", size.name()), &shares, "blobs");
        }
        let people: Vec<Tally> = scored.iter().filter_map(|one| Some(one.people.as_ref()?.tally)).collect();
        part.tally("people", &people, "boxes", "blobs");
        sheet.part(DATA, split, &[]).share("gate: held back", &held, "pictures");
    }
}
