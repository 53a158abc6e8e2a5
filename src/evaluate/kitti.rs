//! KITTI: vehicles and people with boxes, by difficulty, size and distance; and how far away they are said to be.

use std::path::{Path, PathBuf};

use waywarden_components::prelude::*;
use waywarden_perception::labels::kitti::{Calibration, Object, calibration, objects};
use waywarden_perception::score::boxes::{Area, Curve, Matched, Size, match_boxes};
use waywarden_perception::score::errors::Errors;
use waywarden_perception::score::kitti::{Difficulty, Group, labels};
use waywarden_perception::score::truth::TRACK_IOU;
use waywarden_perception::score::{Share, Tally};

use super::files;
use super::observe::FrameSeen;
use super::runner::Runner;
use super::stills::{self, Still};
use super::table::{Part, Sheet};
use crate::failure::Failure;

const DATA: &str = "KITTI";
/// Height of KITTI's cameras above the road, in metres (Geiger et al., 2013).
const HEIGHT_M: f64 = 1.65;
/// Distances that are told apart, in metres.
const DISTANCES: [(f64, f64); 3] = [(0.0, 20.0), (20.0, 40.0), (40.0, 80.0)];

/// A labelled picture.
struct Labelled {
    file: PathBuf,
    objects: Vec<Object>,
    calibration: Calibration,
}

/// Measures on a folder with `image_2`, `label_2` and `calib`, or with these in `training`.
///
/// # Errors
/// When a file is not what it should be, or the app fails.
pub fn kitti(folder: &Path, runner: &Runner, sheet: &mut Sheet) -> Result<(), Failure> {
    let labelled = labelled(folder)?;
    let stills = labelled.iter().map(|one| Ok(Still { file: one.file.clone(), geometry: geometry(one)? }));
    let stills: Vec<Still> = stills.collect::<Result<_, Failure>>()?;
    let frames = stills::watch(runner, DATA, &stills, false)?;
    let seen: Vec<(&Labelled, &FrameSeen)> =
        labelled.iter().zip(&frames).filter_map(|(one, frame)| Some((one, frame.as_ref()?))).collect();
    for group in Group::ALL {
        rows(&mut sheet.part(DATA, "all", &[JobRole::Detection]), group, &seen);
    }
    let held: Vec<Share> = seen.iter().map(|(_, frame)| Share::one(!frame.gate.accepted())).collect();
    sheet.part(DATA, "all", &[]).share("gate: held back", &held, "pictures");
    Ok(())
}

fn rows(part: &mut Part<'_>, group: Group, seen: &[(&Labelled, &FrameSeen)]) {
    let name = group.name();
    let matched = |counts: &dyn Fn(&Object) -> bool, left_out: &dyn Fn(&Area) -> bool| -> Vec<Matched> {
        let one = |(one, frame): &(&Labelled, &FrameSeen)| {
            let found = frame.boxes.as_ref()?.iter().filter(|found| group.holds(found.class));
            let found: Vec<_> = found.map(|found| (found.score, Area::of(found))).collect();
            Some(match_boxes(&found, &labels(&one.objects, group, counts), left_out))
        };
        seen.iter().filter_map(one).collect()
    };
    let labelled = |units: &[Matched]| units.iter().map(|unit| unit.recall.whole).sum::<u64>();
    let precise = |part: &mut Part<'_>, what: String, units: &[Matched]| {
        let curve = Curve::new(units);
        part.drawn(what, "", units.len(), (labelled(units), "labels"), |weights| curve.average_precision(weights));
    };
    for level in Difficulty::ALL {
        let units = matched(&|object| level.holds(object), &|area| area.height() < level.least_height());
        precise(part, format!("{name}, {}: AP50", level.name()), &units);
        if level == Difficulty::Moderate {
            let tallies: Vec<Tally> = units.iter().map(Matched::tally).collect();
            part.tally(&format!("{name}, {}", level.name()), &tallies, "boxes", "labels");
        }
    }
    let hard = |object: &Object| Difficulty::Hard.holds(object);
    for size in Size::ALL {
        let units = matched(&|object| hard(object) && Size::of(object.area.size()) == size, &|area| {
            Size::of(area.size()) != size || area.height() < Difficulty::Hard.least_height()
        });
        precise(part, format!("{name}, {}: AP50", size.name()), &units);
    }
    for (from, to) in DISTANCES {
        let units = matched(&|object| hard(object) && (from..to).contains(&object.nearest_m()), &|_| false);
        let shares: Vec<Share> = units.iter().map(|unit| unit.recall).collect();
        part.share(format!("{name}, {from} to {to} m: recall"), &shares, "labels");
    }
    let errors = Errors::new(&seen.iter().map(|(one, frame)| distances(one, frame, group)).collect::<Vec<_>>());
    for (what, share) in [("median", 0.5), ("90 %", 0.9)] {
        let n = (errors.len() as u64, "tracks");
        let what = format!("{name}: distance error, {what}");
        part.drawn(what, "m", seen.len(), n, |weights| errors.weighted_quantile(share, weights));
    }
}

/// How far the distances of tracks are off, in metres, where a picture has any.
fn distances(one: &Labelled, frame: &FrameSeen, group: Group) -> Vec<f64> {
    let bumper_m = CameraGeometry::default().bumper_m;
    let tracks = frame.tracks.values().filter(|track| group.holds(track.class));
    let error = |track: &Track| {
        let (motion, area) = (track.motion?, Area::of(&track.latest));
        let overlaps = one.objects.iter().map(|object| (area.iou(&object.area), object));
        let near = overlaps.filter(|(iou, object)| *iou >= TRACK_IOU && object.class != "DontCare");
        let (_, object) = near.max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(f64::from(motion.distance_m) - (object.nearest_m() - bumper_m))
    };
    tracks.filter_map(error).collect()
}

fn labelled(folder: &Path) -> Result<Vec<Labelled>, Failure> {
    let inside = folder.join("training");
    let folder = if inside.is_dir() { inside.as_path() } else { folder };
    let images = folder.join("image_2");
    let mut found = Vec::new();
    for file in if images.is_dir() { files::pictures(&images)? } else { Vec::new() } {
        let beside = |of: &str| folder.join(of).join(files::name(&file)).with_extension("txt");
        let (labels, camera) = (beside("label_2"), beside("calib"));
        if labels.is_file() {
            let (objects, calibration) = (files::read(&labels, objects)?, files::read(&camera, calibration)?);
            found.push(Labelled { file, objects, calibration });
        }
    }
    if found.is_empty() {
        return Err(files::nothing(folder, "is a folder with `image_2`, `label_2` and `calib`"));
    }
    Ok(found)
}

/// How the camera is mounted: its view and its axis from the calibration, as far as a level camera without shift can say it.
fn geometry(one: &Labelled) -> Result<CameraGeometry, Failure> {
    let size = image::image_dimensions(&one.file);
    let (width, height) =
        size.map_err(|error| Failure::bad_input(format!("{}: is no picture: {error}", one.file.display())))?;
    let Calibration { focal_px, middle_px } = one.calibration;
    let degrees = |pixels: f64| libm::atan(pixels / focal_px).to_degrees();
    Ok(CameraGeometry {
        horizontal_fov_deg: 2.0 * degrees(f64::from(width) / 2.0),
        height_m: HEIGHT_M,
        // The middle of the picture lies below the axis by so much.
        pitch_down_deg: degrees(f64::from(height) / 2.0 - middle_px.1),
        yaw_left_deg: degrees(middle_px.0 - f64::from(width) / 2.0),
        ..CameraGeometry::default()
    })
}
