//! Sessions that are put together from readers instead of driven.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use waywarden_components::prelude::*;
use waywarden_systems::import::{Merge, Reader, merge, plan_ticks};
use waywarden_systems::ingress::Incoming;
use waywarden_systems::session::{Origin, SegmentWriter, Unfinished};

use crate::config::Config;
use crate::failure::Failure;
use crate::progress::{Progress, Show, Unit};
use crate::session_info;

/// Streams and what they are read from.
pub type Sources = Vec<(StreamId, Box<dyn Reader>)>;

/// What to put together.
pub struct Assembly<'a> {
    /// The config that the session is made with.
    pub config: &'a Config,
    /// Its streams.
    pub streams: &'a [StreamSpec],
    /// What each is read from.
    pub sources: Sources,
    /// The session to make. A file of this name is replaced once the new one is whole.
    pub out: &'a Path,
    /// Length of a segment; without it, that of the config.
    pub segment: Option<Duration>,
    /// What is done, for the progress: `importing drive.mp4`.
    pub what: String,
    /// What was done, for the last line of the progress: `imported`.
    pub done: &'static str,
    /// How progress is shown.
    pub show: Show,
}

/// What was put together.
pub struct Assembled {
    /// Ticks.
    pub ticks: u64,
    /// Time of the last one.
    pub last: Mono,
    /// What came from where.
    pub merged: Merge,
}

/// Reads everything and writes a session of it.
///
/// # Errors
/// When a recording cannot be read or the session cannot be written. Nothing is then left under its name.
pub fn assemble(assembly: Assembly<'_>) -> Result<Assembled, Failure> {
    let Assembly { config, streams, sources, out, segment, what, done, show } = assembly;
    let expected = sources.iter().find_map(|(_, reader)| reader.expected_length());
    let total = expected.map(|length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
    let mut progress = Progress::start(what, total, Unit::Millis, show);
    let ids: Vec<StreamId> = streams.iter().map(|spec| spec.id).collect();
    let segment = segment.unwrap_or(Duration::from_secs(config.record.segment_s.into()));
    let period = Duration::from_millis(config.tick.period_ms.into());
    let mut ticks = plan_ticks(merge(sources), &ids, period, segment);
    let info = session_info::describe(Origin::Import, config, streams, BTreeMap::new());
    let file = Unfinished::begin(out)?;
    let mut writer = SegmentWriter::begin(out, file.reopen()?, &info)?;
    let (mut count, mut last) = (0, Mono::default());
    for tick in &mut ticks {
        let tick = tick?;
        (count, last) = (tick.number, tick.at);
        writer.tick(&Incoming { tick: tick.number, now: tick.at, inputs: tick.inputs })?;
        progress.set(last.as_nanos() / 1_000_000);
    }
    writer.finish()?;
    file.finish()?;
    progress.finish(&format!("{done} {:.1} s into {}", last.as_secs_f64(), out.display()));
    Ok(Assembled { ticks: count, last, merged: ticks.into_source() })
}

/// Says what is in a session that has been put together.
///
/// # Errors
/// When that cannot be written.
pub fn report(
    session: &Path,
    streams: &[StreamSpec],
    assembled: &Assembled,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let Assembled { ticks, last, merged } = assembled;
    let name = |id: StreamId| streams.iter().find(|spec| spec.id == id).map_or("", |spec| spec.name.as_str());
    let size = std::fs::metadata(session).map_or(0, |meta| meta.len());
    if json {
        let streams: Vec<_> = merged
            .tallies()
            .iter()
            .map(|t| {
                json!({
                    "name": name(t.stream), "items": t.items, "bytes": t.bytes, "mean_bytes": t.mean(),
                    "smallest_bytes": t.smallest, "largest_bytes": t.largest,
                })
            })
            .collect();
        let warnings: Vec<_> =
            merged.warnings().iter().map(|(id, text)| json!({ "stream": name(*id), "text": text })).collect();
        let session = session.display().to_string();
        let (length, bytes) = (last.as_secs_f64(), size);
        writeln!(
            out,
            "{}",
            json!({ "ok": true, "session": session, "ticks": ticks, "session_s": length, "bytes": bytes,
                "streams": streams, "warnings": warnings })
        )?;
        return Ok(());
    }
    writeln!(out, "{}: {:.1} s, {ticks} ticks, {:.1} MB", session.display(), last.as_secs_f64(), size as f64 / 1e6)?;
    for t in merged.tallies() {
        writeln!(
            out,
            "  {:<12} {} items, {} bytes each ({} to {})",
            name(t.stream),
            t.items,
            t.mean(),
            t.smallest,
            t.largest
        )?;
    }
    for (id, warning) in merged.warnings() {
        writeln!(out, "  warning: {}: {warning}", name(id))?;
    }
    Ok(())
}
