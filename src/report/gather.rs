//! One pass over a session: everything that a report shows, in bounded memory.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use waywarden_components::prelude::*;
use waywarden_systems::session::{Findings, SessionInfo, TickFindings};

use super::Replayed;
use super::base::Base;
use super::chart::Chart;
use super::devices::Devices;
use super::frames::Frames;
use super::lanes::Lanes;
use super::moments::{Moment, Moments};
use super::objects::Objects;
use super::position::Positions;
use super::sound::Sounds;
use super::work::Work;
use crate::config::Config;
use crate::failure::Failure;

/// Starts of segments and gaps that are kept; more are counted.
const MOST_MARKS: usize = 500;

/// What a session holds, ready to be drawn and told.
pub struct Gathered {
    /// What the session says of itself.
    pub info: SessionInfo,
    /// Its streams and times.
    pub base: Base,
    /// Ticks.
    pub ticks: u64,
    /// Ticks whose outputs were recorded.
    pub ticks_with_outputs: u64,
    /// Segments.
    pub segments: u64,
    /// When segments began.
    pub segment_starts: Vec<Mono>,
    /// Holes: from, to, and the ticks that are missing.
    pub gaps: Vec<(Mono, Mono, u64)>,
    /// Ticks that are not there between the first and the last.
    pub missing_ticks: u64,
    /// Files that end in the middle.
    pub cuts: Vec<String>,
    /// The date, from the first source that knew it.
    pub utc: Option<UtcOffset>,
    /// Inputs and their bytes, by stream and kind.
    pub inputs: BTreeMap<(StreamId, &'static str), (u64, u64)>,
    /// Values that this build cannot read, by kind.
    pub unreadable: BTreeMap<String, u64>,
    /// The lane.
    pub lanes: Lanes,
    /// What is ahead.
    pub objects: Objects,
    /// Where it was.
    pub positions: Positions,
    /// Speech.
    pub sounds: Sounds,
    /// Pictures.
    pub frames: Frames,
    /// Times.
    pub work: Work,
    /// How the devices were.
    pub devices: Devices,
    moments: Moments,
    last: Option<Mono>,
}

impl Gathered {
    /// Reads a session from start to end. `progress` is told the bytes of samples as they are read.
    ///
    /// # Errors
    /// When the session cannot be read, or is damaged.
    pub fn read(path: &Path, mut progress: impl FnMut(u64)) -> Result<Self, Failure> {
        Self::read_while(path, |bytes| {
            progress(bytes);
            ControlFlow::Continue(())
        })
    }

    /// Reads a session from its start as long as `go_on`, which is told the bytes of samples with each tick, says so.
    ///
    /// # Errors
    /// As [`Gathered::read`].
    pub fn read_while(path: &Path, mut go_on: impl FnMut(u64) -> ControlFlow<()>) -> Result<Self, Failure> {
        let mut findings = Findings::open(path)?;
        let mut gathered = Self::new(findings.info());
        while let Some(tick) = findings.read()? {
            gathered.add(&tick);
            if go_on(tick.weight()).is_break() {
                break;
            }
        }
        gathered.cuts = findings.cuts().to_vec();
        Ok(gathered)
    }

    fn new(info: &SessionInfo) -> Self {
        let base = Base::new(&info.streams);
        // The config of another version may not be readable here: its period is then the usual one.
        let period = Config::from_toml(&info.config, "config of the session").unwrap_or_default().tick.period_ms;
        Self {
            info: info.clone(),
            moments: Moments::new(base.front_camera()),
            base,
            ticks: 0,
            ticks_with_outputs: 0,
            segments: 0,
            segment_starts: Vec::new(),
            gaps: Vec::new(),
            missing_ticks: 0,
            cuts: Vec::new(),
            utc: None,
            inputs: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            lanes: Lanes::default(),
            objects: Objects::default(),
            positions: Positions::default(),
            sounds: Sounds::default(),
            frames: Frames::default(),
            work: Work::new(Duration::from_millis(period.into())),
            devices: Devices::default(),
            last: None,
        }
    }

    fn add(&mut self, tick: &TickFindings) {
        let base = &mut self.base;
        base.add(tick);
        self.ticks += 1;
        self.ticks_with_outputs += u64::from(tick.found.is_some());
        for input in &tick.inputs {
            let counted = self.inputs.entry((input.stream, input.payload.name())).or_default();
            *counted = (counted.0 + 1, counted.1 + input.payload.weight() as u64);
            if let Payload::Utc(utc) = &input.payload {
                self.utc.get_or_insert(*utc);
            }
        }
        // Satellites know the date better than the computer.
        if self.utc.is_none_or(|utc| utc.source != UtcSource::Gps) {
            self.utc = tick.found.as_ref().and_then(|found| found.date).or(self.utc);
        }
        if let Some(segment) = &tick.segment {
            self.segments += 1;
            if self.segment_starts.len() < MOST_MARKS {
                self.segment_starts.push(tick.now);
            }
            if segment.missing_ticks > 0 {
                self.missing_ticks += segment.missing_ticks;
                if self.gaps.len() < MOST_MARKS {
                    self.gaps.push((self.last.unwrap_or(tick.now), tick.now, segment.missing_ticks));
                }
            }
        }
        self.last = Some(tick.now);
        for (kind, count) in tick.found.iter().flat_map(|found| &found.unreadable) {
            *self.unreadable.entry(kind.clone()).or_default() += count;
        }
        self.lanes.add(tick, base);
        self.objects.add(tick, base);
        self.positions.add(tick);
        self.sounds.add(tick);
        self.frames.add(tick, base);
        self.work.add(tick, base);
        let happened = self.devices.add(tick, base);
        self.moments.add(tick, &happened, base);
    }

    /// The charts, in sections with their titles.
    pub fn sections(&self, replayed: Option<&Replayed>) -> Vec<(&'static str, Vec<Chart>)> {
        let base = &self.base;
        let live = self.waited_for();
        vec![
            ("Health and alerts", self.devices.charts(base)),
            ("The lane", self.lanes.charts(base)),
            ("What is ahead", self.objects.charts(base)),
            ("Position and speed", self.positions.charts(base)),
            ("Speech", self.sounds.charts(base)),
            ("Pictures", self.frames.charts(base)),
            ("The computer", self.work.charts(base, live, replayed.map(|replayed| &replayed.stages))),
        ]
    }

    /// Whether somebody waited for its ticks, so that they could be late.
    pub fn waited_for(&self) -> bool {
        use waywarden_systems::session::Origin;
        // The second tick of an import is exactly one period behind the first; what a replay made keeps the times.
        self.info.origin == Origin::Live || (self.info.origin == Origin::Replay && !self.on_the_grid())
    }

    fn on_the_grid(&self) -> bool {
        self.work.times().get("late").is_none_or(|late| late.max_ms < 0.001)
    }

    /// Pictures of the moments that matter.
    pub fn moments(&self) -> Vec<Moment> {
        self.moments.all(&self.base)
    }
}
