//! Frames of a simulated drive as files, which say nothing of how they came to be.

#![expect(clippy::unwrap_used, reason = "a test: what cannot be made ends it")]

use std::fs;
use std::path::Path;

use waywarden_components::prelude::Payload;
use waywarden_systems::session::{Record, SessionReader};

use super::program::{json, text};

/// Simulates so many seconds by a config, and writes each frame into `frames` as a JPEG file, named in order. What else is
/// made lies beside that folder. Gives how many there are.
pub fn pictures(config: &str, seconds: &str, frames: &Path) -> usize {
    let dir = frames.parent().unwrap();
    let (file, drive) = (dir.join("pictures.toml"), dir.join("pictures.mcap"));
    fs::create_dir_all(frames).unwrap();
    fs::write(&file, config).unwrap();
    json(&["simulate", "--config", text(&file), "--duration", seconds, "--json", "-o", text(&drive)]);
    let mut reader = SessionReader::open(&drive).unwrap();
    let mut count = 0;
    while let Some(record) = reader.read().unwrap() {
        let Record::Tick(tick) = record else { continue };
        for input in tick.inputs {
            if let Payload::Frame(jpeg) = input.payload {
                fs::write(frames.join(format!("{count:05}.jpg")), jpeg).unwrap();
                count += 1;
            }
        }
    }
    count
}
