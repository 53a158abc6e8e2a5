//! What a tick costs: one in which nothing arrived, one for each kind of input, and the digest in it.

use std::error::Error;

use bevy_app::App;
use bytes::Bytes;
use waywarden::config::Config;
use waywarden::{app, drive, session_info};
use waywarden_components::prelude::*;
use waywarden_systems::ingress::{Control, Incoming};
use waywarden_systems::jobs::{ArrivalMode, Arrivals, JobRunner};
use waywarden_systems::record::{Destination, Recorder, RecorderSettings};
use waywarden_systems::registry::digest_world;
use waywarden_systems::replay::Prepared;
use waywarden_systems::session::Origin;
use waywarden_systems::simulate::camera::{CameraSettings, CameraSimulator};
use waywarden_systems::simulate::{Drive, Scenario};
use waywarden_systems::tick::{Stages, TickPlugin};

use crate::report::{Outcome, Report, check, median, quick, timed};

/// Goal for a tick in which nothing arrived, in microseconds.
const EMPTY_US: f64 = 30.0;

/// Two sentences of one moment.
pub const SENTENCES: &[u8] = b"$GPRMC,120000.00,A,4807.038,N,01131.000,E,022.4,084.4,230326,,,A*6B\r\n\
                           $GPGGA,120000.00,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*58\r\n";

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let (rounds, ticks) = if quick() { (1, 50) } else { (9, 4000) };
    let mut camera = CameraSimulator::new(
        &Drive::new(&Scenario::default(), 1),
        CameraSettings { fps: 25.0, loop_frames: Some(4), ..CameraSettings::default() },
    )?;
    let pictures: Vec<Payload> = (0..4).map(|_| camera.next().payload).collect();
    let sound = Payload::Audio(Bytes::from(vec![0; 640]));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;

    let mut bench = Bench::new(None)?;
    let mut unmeasured = Bench::unmeasured()?;
    let mut recorded = Bench::new(Some(folder.path().join("session.mcap")))?;
    let streams = bench.streams.clone();
    let stream = |wanted: fn(&StreamKind) -> bool| {
        streams.iter().find(|spec| wanted(&spec.kind)).map_or(StreamId::APP, |spec| spec.id)
    };
    let front = stream(|kind| matches!(kind, StreamKind::Camera { .. }));
    let microphone = stream(|kind| matches!(kind, StreamKind::Microphone));
    let gps = stream(|kind| matches!(kind, StreamKind::Gps { .. }));
    let range = stream(|kind| matches!(kind, StreamKind::Range { .. }));
    let frame = |n: usize| vec![(front, pictures[n % pictures.len()].clone())];
    // A vehicle that has been under way for a while: a picture to compare with, a fix, a reading.
    for bench in [&mut bench, &mut unmeasured, &mut recorded] {
        for spec in streams.clone() {
            bench.ticks(1, |_| vec![(spec.id, Payload::Link(LinkState::Connected))])?;
        }
        bench.ticks(8, frame)?;
        bench.ticks(1, |_| vec![(gps, Payload::Serial(Bytes::from_static(SENTENCES)))])?;
    }

    let (mut empty, mut bare, mut kept, mut digest) = (vec![], vec![], vec![], vec![]);
    let (mut small, mut heard, mut seen) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        empty.push(bench.ticks(ticks, |_| Vec::new())?);
        bare.push(unmeasured.ticks(ticks, |_| Vec::new())?);
        kept.push(recorded.ticks(ticks, |_| Vec::new())?);
        digest.push(bench.digest(ticks));
        small.push(bench.ticks(ticks / 4, |_| vec![(range, Payload::Serial(Bytes::from_static(b"12.34\r\n")))])?);
        heard.push(bench.ticks(ticks / 4, |_| vec![(microphone, sound.clone())])?);
        seen.push(bench.ticks(ticks / 16, frame)?);
    }
    bench.check()?;
    unmeasured.check()?;
    recorded.check()?;
    changes_are_seen(&mut bench, front)?;

    let (empty, bare, kept, digest) = (median(&empty), median(&bare), median(&kept), median(&digest));
    let (small, heard, seen) = (median(&small), median(&heard), median(&seen));
    let mut report = Report::new(
        "tick",
        &format!("{} devices, {} ticks in each of {rounds} rounds, medians of their means.", streams.len(), ticks),
    );
    let us = |s: f64| format!("{:.1} µs", s * 1e6);
    report.row(
        "empty_s",
        "**a tick in which nothing arrived**",
        empty,
        format!("**{}**", us(empty)),
        &format!("goal: at most {EMPTY_US} µs"),
    );
    report.row(
        "bare_s",
        "the same, stages not measured",
        bare,
        us(bare),
        &format!("{:.0} % of it", 100.0 * bare / empty),
    );
    report.row("digest_s", "the digest in it", digest, us(digest), &format!("{:.0} % of it", 100.0 * digest / empty));
    report.row("recorded_s", "the same, recorded", kept, us(kept), &format!("{:.1} times it", kept / empty));
    report.row("range_s", "a tick with a range reading", small, us(small), &format!("{:.1} times it", small / empty));
    report.row("audio_s", "a tick with 20 ms of sound", heard, us(heard), &format!("{:.1} times it", heard / empty));
    report.row(
        "frame_s",
        "a tick with a 1280x720 frame",
        seen,
        us(seen),
        &format!("{:.1} times it: decoding", seen / empty),
    );
    report.print()
}

/// A value that was changed behind Bevy's back is digested as it is.
fn changes_are_seen(bench: &mut Bench, front: StreamId) -> Outcome {
    let world = bench.app.world_mut();
    let before = digest_world(world, None);
    check(digest_world(world, None) == before, "the digest of an unchanged world changed")?;
    let mut cameras = world.query::<(&StableId, &mut Counters)>();
    for (id, mut counters) in cameras.iter_mut(world) {
        if id.stream == front {
            counters.bypass_change_detection().bytes += 1;
        }
    }
    check(digest_world(world, None) != before, "a hidden change is not digested")
}

/// The program without devices: ticks are given to it.
pub struct Bench {
    /// The program.
    pub app: App,
    prepared: Prepared,
    /// Its devices.
    pub streams: Vec<StreamSpec>,
    tick: u64,
    numbers: u64,
    recorder: Option<std::thread::JoinHandle<Result<(), waywarden_systems::session::WriteError>>>,
}

use bevy_ecs::change_detection::DetectChangesMut;

impl Bench {
    /// With its stages measured, recorded into a file if one is named.
    pub fn new(session: Option<std::path::PathBuf>) -> Result<Self, Box<dyn Error>> {
        Self::with(Some(Stages::default()), session)
    }

    fn unmeasured() -> Result<Self, Box<dyn Error>> {
        Self::with(None, None)
    }

    fn with(stages: Option<Stages>, session: Option<std::path::PathBuf>) -> Result<Self, Box<dyn Error>> {
        let config = Config::default().simulated();
        let streams = config.streams();
        let prepared = Prepared::default();
        let measured = stages.clone().unwrap_or_default();
        let parts = app::Parts {
            tick: TickPlugin { stages, ..TickPlugin::default() },
            source: Box::new(prepared.clone()),
            arrivals: Arrivals::new(ArrivalMode::Recorded, measured.clone()),
            runner: JobRunner::new(Default::default(), None, measured),
            models: ModelStatus::default(),
            hearing: Default::default(),
            remote: None,
        };
        let mut app = app::build(&config, &streams, parts);
        let mut recorder = None;
        if let Some(path) = session {
            let settings = RecorderSettings {
                destination: Destination::File(path),
                info: session_info::describe(Origin::Replay, &config, &streams, Default::default()),
                queue_bytes: 64_000_000,
                patient: true,
                flush: std::time::Duration::from_secs(3600),
                segment_bytes: u64::MAX,
            };
            let (end, thread) = Recorder::new(settings, Control::default());
            app.insert_resource(end);
            recorder = Some(std::thread::Builder::new().name("recorder".to_owned()).spawn(move || thread.run())?);
        }
        app.finish();
        app.cleanup();
        let mut bench = Self { app, prepared, streams, tick: 0, numbers: 0, recorder };
        // A recording begins with a snapshot.
        let start = Payload::Boundary { segment: 0, reason: BoundaryReason::Start };
        bench.ticks(1, |_| vec![(StreamId::APP, start.clone())])?;
        Ok(bench)
    }

    /// What the next tick is given.
    pub fn prepare(&mut self, inputs: Vec<(StreamId, Payload)>) {
        self.tick += 1;
        let now = Mono(self.tick * 10_000_000);
        let inputs = inputs.into_iter().map(|(stream, payload)| {
            self.numbers += 1;
            Input { stream, seq: self.numbers, captured: now, payload }
        });
        let inputs = inputs.collect();
        self.prepared.put(Incoming { tick: self.tick, now, inputs });
    }

    /// Runs ticks with these inputs; seconds that one takes.
    pub fn ticks(
        &mut self,
        count: usize,
        inputs: impl Fn(usize) -> Vec<(StreamId, Payload)>,
    ) -> Result<f64, Box<dyn Error>> {
        let (done, seconds) = timed(|| {
            for n in 0..count {
                self.prepare(inputs(n));
                drive::tick(&mut self.app)?;
            }
            Ok::<(), waywarden::failure::Failure>(())
        });
        done.map_err(|failure| failure.to_string())?;
        Ok(seconds / count.max(1) as f64)
    }

    /// Digests the world over and over; seconds that it takes.
    fn digest(&mut self, count: usize) -> f64 {
        let world = self.app.world_mut();
        let (same, seconds) = timed(|| {
            let first = digest_world(world, None);
            (1..count).filter(|_| digest_world(world, None) == first).count() + 1
        });
        if same == count { seconds / count as f64 } else { f64::NAN }
    }

    /// Every tick was run, and nothing was left undone.
    fn check(&mut self) -> Outcome {
        check(drive::outcome(self.app.world()).tick == self.tick, "ticks were left out")?;
        self.app.world_mut().remove_resource::<Recorder>();
        match self.recorder.take().map(std::thread::JoinHandle::join) {
            Some(Ok(written)) => Ok(written?),
            Some(Err(_)) => Err("the recorder panicked".into()),
            None => Ok(()),
        }
    }
}
