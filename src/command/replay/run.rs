//! The replay itself.

use std::collections::BTreeMap;
use std::time::Duration;

use bevy_app::App;
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;
use waywarden_systems::camera::{CloserLook, first_look};
use waywarden_systems::clock;
use waywarden_systems::ingress::{Control, Door, Incoming};
use waywarden_systems::jobs::{Arrivals, JobRunner};
use waywarden_systems::record::{Destination, Expectation, Recorder, RecorderSettings};
use waywarden_systems::registry::Registry;
use waywarden_systems::replay::{self, Divergence, Feed, FeedSettings, LookAhead, Prepared, Step};
use waywarden_systems::session::{self, Origin, OutputsRecord, SessionReader};
use waywarden_systems::settings::Apply;
use waywarden_systems::tick::{Stages, TickPlugin};
use xxhash_rust::xxh3::Xxh3Default;

use super::plan::Plan;
use super::summary::{Counts, Finished};
use super::{From, JobsMode, ReplayArgs};
use crate::failure::Failure;
use crate::pools::{self, Pools};
use crate::progress::{Progress, Show, Unit};
use crate::{app, drive, session_info};

/// Bytes of outputs that may wait for the disk: a replay waits for it anyway, and its memory is bounded.
const WAITING_BYTES: usize = 4_000_000;

/// Runs the session.
pub fn run(args: &ReplayArgs, plan: Plan, more: impl FnOnce(&mut App)) -> Result<Finished, Failure> {
    let threads = plan.threads(args);
    pools::start(Pools { compute: threads, jobs: plan.config.threads.jobs as usize, live: false, realtime: false });
    let stages = Stages::default();
    let tick = TickPlugin { shuffle: args.shuffle, jitter: args.jitter, stages: Some(stages.clone()) };
    let prepared = Prepared::default();
    let runner = match plan.jobs {
        JobsMode::Recorded => JobRunner::new(Default::default(), None, stages.clone()),
        _ => JobRunner::new(plan.engines.loaded.clone(), None, stages.clone()),
    };
    let parts = app::Parts {
        tick,
        source: Box::new(prepared.clone()),
        arrivals: Arrivals::new(plan.arrivals.clone(), stages.clone()),
        runner,
        models: plan.engines.status.clone(),
        hearing: plan.hearing.clone(),
        // Where there was one it is in the snapshots.
        remote: None,
    };
    let mut app = app::build(&plan.config, &plan.info.streams, parts);
    if args.config.is_some() {
        // The config that is tried stays, whatever was read anew on the drive.
        app.world_mut().remove_resource::<Apply>();
    }
    let recorder = start_recorder(args, &plan, &mut app)?;
    let look_ahead =
        if args.no_look_ahead || !plan.config.gate.enabled { None } else { start_look_ahead(threads, &plan)? };
    if let Some(look_ahead) = &look_ahead {
        app.insert_resource(look_ahead.clone());
    }
    more(&mut app);
    app.finish();
    app.cleanup();
    let feed = Feed::start(
        &FeedSettings {
            path: args.session.clone(),
            from: match args.from {
                None => session::From::Start,
                Some(From::Segment(number)) => session::From::Segment(number),
                Some(From::Time(time)) => session::From::Seconds(time.as_secs_f64()),
            },
            ahead_bytes: plan.config.replay.look_ahead_mb as usize * 1_000_000,
        },
        look_ahead.clone(),
    )?;
    let mut replay = Replay::new(args, &plan, app, prepared, look_ahead.clone());
    let result = replay.run(feed);
    if let Some(look_ahead) = look_ahead {
        look_ahead.close();
    }
    let (mut finished, mut app) = replay.finish();
    if let (Some(out), Err(_)) = (app.world_mut().remove_resource::<Recorder>(), &result) {
        out.abandon();
    }
    if let Some(thread) = recorder {
        thread.join().map_err(|_| Failure::running("the recorder's thread panicked"))??;
    }
    result?;
    finished.stages = stages.summary();
    Ok(finished)
}

type RecorderHandle = std::thread::JoinHandle<Result<(), session::WriteError>>;

fn start_recorder(args: &ReplayArgs, plan: &Plan, app: &mut App) -> Result<Option<RecorderHandle>, Failure> {
    let Some(path) = &args.out else { return Ok(None) };
    let models = match plan.jobs {
        JobsMode::Recorded => plan.info.models.clone(),
        _ => plan.engines.describe(),
    };
    let mut info = session_info::describe(Origin::Replay, &plan.config, &plan.info.streams, models);
    info.voice = plan.hearing.describe();
    info.log_time_offset_ns = plan.info.log_time_offset_ns;
    let settings = RecorderSettings {
        destination: Destination::File(path.clone()),
        info,
        queue_bytes: (plan.config.record.queue_mb as usize * 1_000_000).min(WAITING_BYTES),
        patient: true,
        flush: Duration::from_secs(3600),
        segment_bytes: u64::MAX,
    };
    let (recorder, thread) = Recorder::new(settings, Control::default());
    app.insert_resource(recorder);
    let handle = std::thread::Builder::new().name("recorder".to_owned()).spawn(move || thread.run())?;
    Ok(Some(handle))
}

fn start_look_ahead(threads: usize, plan: &Plan) -> Result<Option<LookAhead>, Failure> {
    // What the system will want, as far as can be told now; should it want something else, it does so itself.
    let mut lanes = BTreeMap::new();
    if app::classical_lanes(&plan.config) {
        lanes.extend(plan.info.streams.iter().filter_map(|spec| match spec.kind {
            StreamKind::Camera { role: CameraRole::Front, geometry } => Some((spec.id, geometry)),
            _ => None,
        }));
    }
    let closer = CloserLook(Some(app::features_hz(&plan.config)));
    Ok(Some(LookAhead::start(threads, move |frame| {
        let due = closer.is_due(frame.before, frame.captured);
        first_look(&frame.jpeg, lanes.get(&frame.stream).copied().filter(|_| due))
    })?))
}

/// A replay in progress.
struct Replay<'a> {
    args: &'a ReplayArgs,
    app: App,
    prepared: Prepared,
    look_ahead: Option<LookAhead>,
    comparable: bool,
    /// Restores the next snapshot: at the start, and behind a gap.
    restore_next: bool,
    started: bool,
    /// The tick that the world is ready for.
    next_tick: Option<u64>,
    models: Option<(ModelStatus, VoiceStatus)>,
    before: Counts,
    pace: Option<(Mono, Mono)>,
    chain: Xxh3Default,
    finished: Finished,
}

impl<'a> Replay<'a> {
    fn new(args: &'a ReplayArgs, plan: &Plan, app: App, prepared: Prepared, look_ahead: Option<LookAhead>) -> Self {
        // What might have been needs the models that are here, whatever the recorded run had.
        let models =
            (plan.jobs == JobsMode::Virtual).then(|| (plan.engines.status.clone(), plan.hearing.status.clone()));
        Self {
            args,
            app,
            prepared,
            look_ahead,
            comparable: plan.comparable,
            restore_next: true,
            started: false,
            next_tick: None,
            models,
            before: Counts::default(),
            pace: None,
            chain: Xxh3Default::new(),
            finished: Finished { jobs: plan.jobs, differences: plan.differences.clone(), ..Finished::default() },
        }
    }

    fn run(&mut self, mut feed: Feed) -> Result<(), Failure> {
        let (wall, cpu) = (clock::boottime(), clock::process_cpu_seconds());
        let size = SessionReader::size(&self.args.session);
        let what = format!("replaying {}", self.args.session.display());
        let mut progress = Progress::start(what, Some(size), Unit::Bytes, Show::new(self.args.json));
        while let Some(step) = feed.step()? {
            match step {
                Step::Snapshot(snapshot) => {
                    // Files may be missing too: then nothing in the session says so but the numbers.
                    let missing = self.next_tick.is_some_and(|next| snapshot.tick != next);
                    let gap = snapshot.reason == BoundaryReason::Gap || snapshot.lost_ticks > 0 || missing;
                    if self.restore_next || gap {
                        replay::restore(self.app.world_mut(), &snapshot)
                            .map_err(|error| Failure::bad_input(format!("{}: {error}", self.args.session.display())))?;
                        if let Some((models, hearing)) = &self.models {
                            self.app.insert_resource(models.clone());
                            self.app.insert_resource(hearing.clone());
                        }
                        self.before = Counts::of(self.app.world_mut());
                    }
                    self.restore_next = false;
                    self.next_tick = Some(snapshot.tick);
                }
                Step::Tick(incoming, outputs) => {
                    progress.advance(incoming.inputs.iter().map(|input| input.payload.weight() as u64).sum());
                    if !self.tick(incoming, outputs.as_deref())? {
                        break;
                    }
                }
            }
        }
        self.finished.cuts = feed.cuts.clone();
        self.finished.wall_s = clock::boottime().since(wall).as_secs_f64();
        self.finished.cpu_s = clock::process_cpu_seconds() - cpu;
        progress.finish(&format!("replayed {} ticks", self.finished.ticks));
        Ok(())
    }

    /// Runs a tick. False when the replay is of no more use.
    fn tick(&mut self, mut incoming: Incoming, recorded: Option<&OutputsRecord>) -> Result<bool, Failure> {
        let now = incoming.now;
        self.restore_next = false;
        self.next_tick = incoming.tick.checked_add(1);
        self.pace(now);
        if self.models.is_some() {
            // What might have been is computed here, whether or not a service answered then.
            incoming.inputs.retain(|input| input.stream != StreamId::REMOTE);
        }
        let frames = incoming.inputs.iter().filter(|input| matches!(input.payload, Payload::Frame(_)));
        let frames: Vec<_> = frames.map(|input| StableId::new(input.stream, input.seq)).collect();
        self.prepared.put(incoming);
        let expected = recorded.filter(|_| self.comparable).map(|recorded| recorded.digest);
        self.app.world_mut().resource_mut::<Expectation>().digest = expected;
        drive::tick(&mut self.app)?;
        if let Some(look_ahead) = &self.look_ahead {
            // A gate that a config read anew has switched off asks for none.
            frames.into_iter().for_each(|id| look_ahead.forget(id));
        }
        let outcome = drive::outcome(self.app.world());
        self.chain.update(&outcome.tick.to_le_bytes());
        self.chain.update(&outcome.digest.to_le_bytes());
        if !self.started {
            self.started = true;
            self.finished.first = now;
        }
        self.finished.last = now;
        self.finished.ticks += 1;
        if let (true, Some(recorded)) = (self.comparable, recorded) {
            self.finished.compared += 1;
            if recorded.digest != outcome.digest {
                self.finished.divergence = Some(self.explain(recorded)?);
                return Ok(!self.args.verify);
            }
        }
        Ok(true)
    }

    fn explain(&mut self, recorded: &OutputsRecord) -> Result<Divergence, Failure> {
        self.finished.differing += 1;
        if let Some(first) = &self.finished.divergence {
            return Ok(first.clone());
        }
        let world = self.app.world_mut();
        let evidence = world.resource_mut::<Expectation>().evidence.take().unwrap_or_default();
        let explained = replay::explain(world.resource::<Registry>(), &self.args.session, recorded.tick, &evidence)?;
        Ok(explained.unwrap_or_else(|| Divergence {
            tick: recorded.tick,
            kind: "digest".to_owned(),
            id: String::new(),
            field: String::new(),
            recorded: format!("{:016x}", recorded.digest).into(),
            replayed: "the same values, but another digest: made by a build that digests other kinds".into(),
        }))
    }

    /// Waits until a tick is due, if the replay runs at a given speed.
    fn pace(&mut self, now: Mono) {
        let Some(speed) = self.args.speed else { return };
        let (wall, first) = *self.pace.get_or_insert((clock::boottime(), now));
        let due = wall + Duration::try_from_secs_f64(now.since(first).as_secs_f64() / speed).unwrap_or(Duration::MAX);
        #[expect(clippy::disallowed_methods, reason = "the replay's own pace; no system waits")]
        std::thread::sleep(due.since(clock::boottime()));
    }

    fn finish(mut self) -> (Finished, App) {
        let world = self.app.world_mut();
        let mut finished = self.finished;
        finished.digest = self.chain.digest();
        finished.counts = Counts::of(world).since(&self.before);
        let door = world.resource::<Door>();
        finished.skipped_arrivals = door.arrivals.skipped;
        finished.mismatched_jobs = door.arrivals.mismatches.0;
        finished.kinds = world
            .resource::<Registry>()
            .entries()
            .filter(|entry| entry.digested > 0)
            .map(|entry| (entry.name.to_owned(), entry.digested))
            .collect();
        (finished, self.app)
    }
}
