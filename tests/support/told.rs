//! What a session says was told to the broker.

#![expect(clippy::unwrap_used, reason = "a test: what cannot be read ends it")]

use std::collections::BTreeMap;
use std::path::Path;

use waywarden_components::prelude::*;
use waywarden_systems::session::{Record, SessionReader};

/// The run that a session is of, and of each of its streams the number of the last message.
pub fn told(session: &Path) -> (String, BTreeMap<String, u64>) {
    let mut told = BTreeMap::new();
    let mut reader = SessionReader::open(session).unwrap();
    let run = reader.info().session_id.clone();
    while let Some(record) = reader.read().unwrap() {
        let Record::Outputs(outputs) = record else { continue };
        let changes = outputs.changes.into_iter().filter(|change| change.kind == Telemetry::NAME);
        for telemetry in changes.filter_map(|change| change.value) {
            let telemetry: Telemetry = rmp_serde::from_slice(&telemetry).unwrap();
            for (stream, known) in telemetry.streams {
                // Switches are retained, not counted; pictures carry no number.
                if known.seq > 0 && !stream.ends_with("/state") && !stream.starts_with("snapshot/") {
                    told.insert(stream, known.seq);
                }
            }
        }
    }
    (run, told)
}
