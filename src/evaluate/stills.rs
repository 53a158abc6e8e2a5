//! Labelled pictures that have nothing to do with each other, as a camera that takes one a second.

use std::path::{Path, PathBuf};

use waywarden_components::prelude::CameraGeometry;
use waywarden_systems::import::stills::Stills;

use super::observe::FrameSeen;
use super::runner::Runner;
use crate::failure::Failure;

/// Pictures a second: so far apart that the gate looks at each of them if it is asked to look again after a second.
const RATE: f64 = 1.0;

/// A picture, and how the camera that took it was mounted.
#[derive(Clone, Debug)]
pub struct Still {
    /// The file.
    pub file: PathBuf,
    /// The camera.
    pub geometry: CameraGeometry,
}

/// Shows pictures to the app, those of a size and a camera together, because a camera has one size. Returns what was
/// concluded of each, in their order.
///
/// # Errors
/// When a picture cannot be read, or a replay fails.
pub fn watch(runner: &Runner, name: &str, stills: &[Still], masks: bool) -> Result<Vec<Option<FrameSeen>>, Failure> {
    let mut groups: Vec<((u32, u32), CameraGeometry, Vec<usize>)> = Vec::new();
    for (n, still) in stills.iter().enumerate() {
        let size = size(&still.file)?;
        match groups.iter_mut().find(|group| group.0 == size && group.1 == still.geometry) {
            Some(group) => group.2.push(n),
            None => groups.push((size, still.geometry, vec![n])),
        }
    }
    let mut all = vec![None; stills.len()];
    for (_, geometry, members) in groups {
        let mut files: Vec<PathBuf> =
            members.iter().filter_map(|n| stills.get(*n)).map(|still| still.file.clone()).collect();
        // The last one again: a session ends with its last picture, and what is found in that one comes later.
        files.extend(files.last().cloned());
        let mut seen = runner.watch(name, geometry, Box::new(Stills::of(files, RATE)?), masks)?;
        // An import numbers its frames from 1.
        for (number, n) in (1..).zip(members) {
            if let Some(slot) = all.get_mut(n) {
                *slot = seen.frames.remove(&number);
            }
        }
    }
    Ok(all)
}

fn size(file: &Path) -> Result<(u32, u32), Failure> {
    image::image_dimensions(file).map_err(|error| {
        Failure::bad_input(format!("{}: is no picture that can be read: {error}", file.display()))
            .hint("take it out of the folder, or make it anew")
    })
}
