//! What waits in the virtual vehicle for a broker that is never there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use waywarden_components::prelude::Mono;
use waywarden_systems::mqtt::spool::{BacklogRequest, Spool, SpoolSettings};

use super::machine::PATIENCE;

/// The messages of one run.
#[derive(Default)]
pub struct Told {
    /// Of each stream, the numbers of its messages.
    pub streams: BTreeMap<String, Vec<u64>>,
    /// When the last one was made.
    pub last: Mono,
}

impl Told {
    /// No message is missing between the first of a stream and its last.
    pub fn assert_whole(&self) {
        for (stream, numbers) in &self.streams {
            assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{stream}: {numbers:?}");
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.streams.values().map(Vec::len).sum()
    }
}

/// What lies in the spool in a folder, by run.
pub fn read(folder: &Path) -> BTreeMap<String, Told> {
    let (spool, found) = Spool::open(&folder.join("outbox.db"), SpoolSettings::default()).unwrap();
    assert!(found.aside.is_none(), "{found:?}");
    let mut runs: BTreeMap<String, Told> = BTreeMap::new();
    let mut after = None;
    loop {
        let request = BacklogRequest { after, below: u64::MAX, count: 1000, now: None };
        let backlog = spool.backlog(request, PATIENCE).unwrap();
        for (id, entry) in &backlog.messages {
            after = Some(*id);
            // A picture is sent as it is.
            let Ok(message) = serde_json::from_slice::<serde_json::Value>(&entry.body) else { continue };
            let told = runs.entry(message["boot_id"].as_str().unwrap().to_owned()).or_default();
            told.streams.entry(entry.stream.to_string()).or_default().push(message["seq"].as_u64().unwrap());
            told.last = told.last.max(Mono(message["mono_ns"].as_u64().unwrap()));
        }
        if backlog.complete {
            break;
        }
    }
    spool.close(Duration::from_secs(10)).unwrap();
    runs
}
