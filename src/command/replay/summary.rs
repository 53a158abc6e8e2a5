//! What came of a replay, for a person and for a program.

use std::collections::BTreeMap;
use std::io::Write;

use bevy_ecs::prelude::*;
use serde::Serialize;
use serde_json::json;
use waywarden_components::prelude::*;
use waywarden_systems::replay::Divergence;
use waywarden_systems::tick::StageSummary;

use super::{JobsMode, ReplayArgs};
use crate::failure::Failure;

/// What is in the world, counted over its devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Frames that came in.
    pub frames: u64,
    /// Of them, those that the gate held back.
    pub gated: u64,
    /// Frames segmented.
    pub segmented: u64,
    /// Frames searched for lanes by the classical estimator.
    pub lane_looks: u64,
    /// Of them, those in which a lane is claimed.
    pub lanes_claimed: u64,
    /// Frames looked at by the detector.
    pub detected: u64,
    /// Frames that a full queue dropped.
    pub dropped: u64,
    /// Frames that nobody could use: broken, or of another size than their camera's.
    pub broken: u64,
    /// Fixes made.
    pub fixes: u64,
    /// Range readings that may be used.
    pub ranges: u64,
    /// Utterances that ended.
    pub utterances: u64,
    /// Samples in utterances.
    pub speech_samples: u64,
}

impl Counts {
    /// Counts what is in the world.
    pub fn of(world: &mut World) -> Self {
        let mut counts = Self::default();
        let mut cameras = world.query::<(&Counters, &Gate, &EgoLane, &LaneTracker, &Obstacles)>();
        for (counters, gate, lane, tracker, obstacles) in cameras.iter(world) {
            counts.frames += counters.received;
            counts.dropped += counters.dropped;
            counts.gated += gate.judged - gate.accepted;
            counts.broken += gate.broken + gate.wrong_size;
            counts.segmented += lane.segmented;
            counts.lane_looks += tracker.looked;
            counts.lanes_claimed += tracker.claims;
            counts.detected += obstacles.detected;
        }
        counts.fixes = world.query::<&GpsState>().iter(world).map(|gps| gps.fixes).sum();
        counts.ranges = world.query::<&RangeState>().iter(world).map(|range| range.valid).sum();
        for voice in world.query::<&Voice>().iter(world) {
            counts.utterances += voice.utterances;
            counts.speech_samples += voice.speech_samples;
        }
        counts
    }

    /// What has been added since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            frames: self.frames.saturating_sub(before.frames),
            gated: self.gated.saturating_sub(before.gated),
            segmented: self.segmented.saturating_sub(before.segmented),
            lane_looks: self.lane_looks.saturating_sub(before.lane_looks),
            lanes_claimed: self.lanes_claimed.saturating_sub(before.lanes_claimed),
            detected: self.detected.saturating_sub(before.detected),
            dropped: self.dropped.saturating_sub(before.dropped),
            broken: self.broken.saturating_sub(before.broken),
            fixes: self.fixes.saturating_sub(before.fixes),
            ranges: self.ranges.saturating_sub(before.ranges),
            utterances: self.utterances.saturating_sub(before.utterances),
            speech_samples: self.speech_samples.saturating_sub(before.speech_samples),
        }
    }

    /// Seconds of speech.
    pub fn speech_s(&self) -> f64 {
        self.speech_samples as f64 / f64::from(SAMPLE_RATE)
    }
}

/// What came of a replay.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Over the digests of all ticks.
    pub digest: u64,
    /// Ticks run.
    pub ticks: u64,
    /// Time of the first tick.
    pub first: Mono,
    /// Time of the last tick.
    pub last: Mono,
    /// Time it took.
    pub wall_s: f64,
    /// CPU time it took.
    pub cpu_s: f64,
    /// What it saw.
    pub counts: Counts,
    /// Times of phases, systems and jobs.
    pub stages: BTreeMap<String, StageSummary>,
    /// How results of jobs came back.
    pub jobs: JobsMode,
    /// Ticks whose digest was compared.
    pub compared: u64,
    /// Of them, those that differ.
    pub differing: u64,
    /// The first difference.
    pub divergence: Option<Divergence>,
    /// Values digested, by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Journalled arrivals of jobs that were not started here.
    pub skipped_arrivals: u64,
    /// Recomputed results that are not the journalled ones.
    pub mismatched_jobs: u64,
    /// What differs from the recorded run, in words.
    pub differences: Vec<String>,
    /// Files that end in the middle.
    pub cuts: Vec<String>,
}

impl Default for Finished {
    fn default() -> Self {
        Self {
            digest: 0,
            ticks: 0,
            first: Mono::default(),
            last: Mono::default(),
            wall_s: 0.0,
            cpu_s: 0.0,
            counts: Counts::default(),
            stages: BTreeMap::new(),
            jobs: JobsMode::Auto,
            compared: 0,
            differing: 0,
            divergence: None,
            kinds: BTreeMap::new(),
            skipped_arrivals: 0,
            mismatched_jobs: 0,
            differences: Vec::new(),
            cuts: Vec::new(),
        }
    }
}

impl Finished {
    fn session_s(&self) -> f64 {
        self.last.since(self.first).as_secs_f64()
    }

    /// Prints it.
    ///
    /// # Errors
    /// With `--verify`, when a tick differs or there is nothing to compare with.
    pub fn print(&self, args: &ReplayArgs, out: &mut dyn Write) -> Result<(), Failure> {
        if args.json {
            writeln!(out, "{}", self.to_json(args))?;
        } else {
            self.write_text(out)?;
        }
        if !args.verify {
            return Ok(());
        }
        if let Some(divergence) = &self.divergence {
            return Err(Failure::difference(format!("{}: {divergence}", args.session.display()))
                .hint(format!("this run repeats it: {}", repeat(args))));
        }
        if self.compared == 0 {
            return Err(Failure::bad_input(format!("{}: no outputs to compare with", args.session.display()))
                .hint("an imported session has none; make some with `waywarden replay SESSION --out FILE`"));
        }
        Ok(())
    }

    fn to_json(&self, args: &ReplayArgs) -> serde_json::Value {
        let c = &self.counts;
        json!({
            "session": args.session.display().to_string(),
            "digest": format!("{:016x}", self.digest),
            "ticks": self.ticks,
            "session_s": self.session_s(),
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
            "peak_rss_mb": peak_rss_mb(),
            "frames": {
                "in": c.frames, "gated": c.gated, "segmented": c.segmented, "detected": c.detected,
                "dropped": c.dropped, "broken": c.broken,
            },
            "lanes": { "looked": c.lane_looks, "claimed": c.lanes_claimed },
            "fixes": c.fixes,
            "ranges": c.ranges,
            "utterances": c.utterances,
            "speech_s": c.speech_s(),
            "jobs": format!("{:?}", self.jobs).to_lowercase(),
            "verified": { "ticks": self.compared, "differing": self.differing, "first": self.divergence },
            "skipped_arrivals": self.skipped_arrivals,
            "mismatched_jobs": self.mismatched_jobs,
            "differences": self.differences,
            "cut": self.cuts,
            "kinds": self.kinds,
            "stages": self.stages,
        })
    }

    fn write_text(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let c = &self.counts;
        let faster = self.session_s() / self.wall_s.max(1e-9);
        writeln!(
            out,
            "{:.1} s of session in {:.2} s ({faster:.1} x real time), {:.2} s of CPU, {:.0} MB at most",
            self.session_s(),
            self.wall_s,
            self.cpu_s,
            peak_rss_mb()
        )?;
        writeln!(out, "  ticks      {}, digest {:016x}", self.ticks, self.digest)?;
        writeln!(
            out,
            "  frames     {} in, {} held back by the gate, {} segmented, {} looked at for obstacles, {} dropped, {} broken",
            c.frames, c.gated, c.segmented, c.detected, c.dropped, c.broken
        )?;
        if c.lane_looks > 0 {
            writeln!(
                out,
                "  lanes      sought in {} frames without a model, claimed in {}",
                c.lane_looks, c.lanes_claimed
            )?;
        }
        writeln!(out, "  position   {} fixes", c.fixes)?;
        writeln!(out, "  distance   {} readings", c.ranges)?;
        writeln!(out, "  speech     {} utterances, {:.1} s", c.utterances, c.speech_s())?;
        for cut in &self.cuts {
            writeln!(out, "  cut        {cut}")?;
        }
        for difference in &self.differences {
            writeln!(out, "  different  {difference}")?;
        }
        match (&self.divergence, self.compared) {
            (Some(divergence), _) => writeln!(out, "  DIFFERS    in {} ticks, first {divergence}", self.differing)?,
            (None, 0) => writeln!(out, "  verified   nothing: no recorded outputs that would have to be the same")?,
            (None, ticks) => writeln!(out, "  verified   {ticks} ticks give what was recorded")?,
        }
        Ok(())
    }
}

/// The command that repeats a run.
fn repeat(args: &ReplayArgs) -> String {
    let words = args.words();
    let quoted = words.iter().map(|word| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+".contains(c);
        if word.chars().all(plain) { word.into_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    format!("waywarden {}", quoted.collect::<Vec<_>>().join(" "))
}

/// The most memory that this process has had, in megabytes of 10^6 bytes; 0 where the system does not say.
pub fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0 / 1e6
}
