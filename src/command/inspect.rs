//! `waywarden inspect`: what a session holds.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use serde_json::json;
use waywarden_components::prelude::*;
use waywarden_systems::session::{Record, SessionReader};

use crate::failure::Failure;
use crate::progress::{Progress, Show, Unit};

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  Length, segments, streams, counts, the build and models it was made with, and whether it is whole:
    waywarden inspect drive.mcap

  The same for a program, of a session in a folder of segments:
    waywarden inspect sessions/SESSION --json";

/// What `inspect` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct InspectArgs {
    /// The session: a file, or the folder with its segments.
    #[arg(value_name = "SESSION")]
    pub session: PathBuf,

    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// One segment of a session.
#[derive(Clone, Debug, serde::Serialize)]
struct Segment {
    number: u32,
    reason: BoundaryReason,
    /// Its first tick.
    tick: u64,
    /// When it begins, in seconds after the start of the session.
    at_s: f64,
    /// Ticks before it that could not be recorded.
    lost_ticks: u64,
}

/// What was counted in a session.
#[derive(Clone, Debug, Default)]
struct Contents {
    ticks: u64,
    first: Option<Mono>,
    last: Mono,
    segments: Vec<Segment>,
    /// By stream and kind of input.
    inputs: BTreeMap<(StreamId, &'static str), (u64, u64)>,
    /// The first tick: a later one than 1 where only a piece was kept.
    first_tick: Option<u64>,
    /// The last tick.
    last_tick: Option<u64>,
    /// Ticks that are not there between the first and the last: their files are missing, or they were never written.
    missing_ticks: u64,
    /// Ticks whose outputs were recorded.
    outputs: u64,
    /// Changes recorded, by kind of value.
    kinds: BTreeMap<String, u64>,
}

/// Reads the session through and prints to `out` what it holds.
///
/// # Errors
/// When it cannot be read.
pub fn run(args: &InspectArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut reader = SessionReader::open(&args.session)?;
    let size = SessionReader::size(&args.session);
    let what = format!("reading {}", args.session.display());
    let mut progress = Progress::start(what, Some(size), Unit::Bytes, Show::new(args.json));
    let mut contents = Contents::default();
    while let Some(record) = reader.read()? {
        progress.advance(contents.add(&record));
    }
    progress.finish("read to its end");
    if args.json { contents.print_json(args, &reader, size, out) } else { contents.print(args, &reader, size, out) }
}

impl Contents {
    /// Counts a record; returns the bytes of its samples.
    fn add(&mut self, record: &Record) -> u64 {
        match record {
            Record::Snapshot(snapshot) => {
                let first = *self.first.get_or_insert(Mono(snapshot.now));
                self.segments.push(Segment {
                    number: snapshot.segment,
                    reason: snapshot.reason,
                    tick: snapshot.tick,
                    at_s: Mono(snapshot.now).since(first).as_secs_f64(),
                    lost_ticks: snapshot.lost_ticks,
                });
                0
            }
            Record::Tick(incoming) => {
                self.first.get_or_insert(incoming.now);
                self.last = incoming.now;
                self.ticks += 1;
                self.first_tick.get_or_insert(incoming.tick);
                let before = self.last_tick.replace(incoming.tick);
                self.missing_ticks += before.map_or(0, |before| incoming.tick.saturating_sub(before.saturating_add(1)));
                let mut bytes = 0;
                for input in &incoming.inputs {
                    let weight = input.payload.weight() as u64;
                    bytes += weight;
                    let counted = self.inputs.entry((input.stream, input.payload.name())).or_default();
                    *counted = (counted.0 + 1, counted.1 + weight);
                }
                bytes
            }
            Record::Outputs(outputs) => {
                self.outputs += 1;
                for change in &outputs.changes {
                    *self.kinds.entry(change.kind.to_string()).or_default() += 1;
                }
                0
            }
        }
    }

    fn length(&self) -> f64 {
        self.last.since(self.first.unwrap_or(self.last)).as_secs_f64()
    }

    fn print_json(
        &self,
        args: &InspectArgs,
        reader: &SessionReader,
        size: u64,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let inputs: Vec<_> = self
            .inputs
            .iter()
            .map(|((stream, kind), (count, bytes))| {
                json!({ "stream": name(reader, *stream), "kind": kind, "count": count, "bytes": bytes })
            })
            .collect();
        let value = json!({
            "ok": true, "session": args.session.display().to_string(), "bytes": size, "ticks": self.ticks,
            "session_s": self.length(), "whole": reader.cuts().is_empty() && self.missing_ticks == 0, "first_tick": self.first_tick, "missing_ticks": self.missing_ticks, "cut": reader.cuts(),
            "segments": self.segments, "inputs": inputs, "ticks_with_outputs": self.outputs, "changes": self.kinds,
            "info": reader.info(),
        });
        writeln!(out, "{value}")?;
        Ok(())
    }

    fn print(&self, args: &InspectArgs, reader: &SessionReader, size: u64, out: &mut dyn Write) -> Result<(), Failure> {
        let info = reader.info();
        let origin = format!("{:?}", info.origin).to_lowercase();
        writeln!(
            out,
            "{}: {:.1} s, {} ticks, {:.1} MB",
            args.session.display(),
            self.length(),
            self.ticks,
            size as f64 / 1e6
        )?;
        writeln!(out, "  format     {}.{}, {origin}, session {}", info.format.0, info.format.1, info.session_id)?;
        let build = &info.build;
        writeln!(out, "  build      {} {} {} for {}", build.version, build.commit, build.profile, build.target)?;
        for (role, model) in &info.models {
            writeln!(out, "  model      {role}: {} on {} (sha256 {})", model.name, model.engine, model.sha256)?;
        }
        if info.models.is_empty() {
            writeln!(out, "  model      none")?;
        }
        if let Some(voice) = &info.voice {
            let hash = if voice.sha256.is_empty() { "part of the build" } else { &voice.sha256 };
            writeln!(out, "  model      speech: {} on {} (sha256 {hash})", voice.name, voice.engine)?;
        }
        for ((stream, kind), (count, bytes)) in &self.inputs {
            let size = if *bytes > 0 { format!(", {:.2} MB", *bytes as f64 / 1e6) } else { String::new() };
            writeln!(out, "  input      {}: {count} {kind}{size}", name(reader, *stream))?;
        }
        for segment in &self.segments {
            let lost = if segment.lost_ticks > 0 {
                format!(", {} ticks lost before it", segment.lost_ticks)
            } else {
                String::new()
            };
            let reason = format!("{:?}", segment.reason).to_lowercase();
            writeln!(
                out,
                "  segment    {} at {:.1} s, tick {} ({reason}{lost})",
                segment.number, segment.at_s, segment.tick
            )?;
        }
        if self.segments.is_empty() {
            writeln!(out, "  segment    no snapshots: a replay can only begin at the start")?;
        }
        if self.outputs == 0 {
            writeln!(out, "  outputs    none recorded")?;
        } else {
            writeln!(out, "  outputs    of {} ticks", self.outputs)?;
        }
        for cut in reader.cuts() {
            writeln!(out, "  cut        {cut}")?;
        }
        if let Some(first) = self.first_tick.filter(|first| *first > 1) {
            writeln!(out, "  begins     with tick {first}: those before it are not here")?;
        }
        if self.missing_ticks > 0 {
            writeln!(out, "  missing    {} ticks between the first and the last", self.missing_ticks)?;
        }
        if reader.cuts().is_empty() && self.missing_ticks == 0 {
            writeln!(out, "  whole      yes")?;
        }
        Ok(())
    }
}

fn name(reader: &SessionReader, stream: StreamId) -> String {
    if let Some(name) = stream.own_name() {
        return name.to_owned();
    }
    let spec = reader.info().streams.iter().find(|spec| spec.id == stream);
    spec.map_or_else(|| format!("stream {}", stream.0), |spec| spec.name.clone())
}
