//! The program measured on a recorded session: a folder of pictures, sound and sentences, as cameras, a microphone and a
//! receiver would give them, through the same schedule, channels and link to a broker as a drive.
//!
//! What is printed has the fields of other programs that are measured on the same folder, so that all stand in one table.
//! Times are told from when something was due, so whoever is late with a picture is late with what follows from it.

mod latency;
mod machine;
mod observe;
mod result;
mod same_work;
mod session;
pub mod sink;
mod sources;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use bevy_app::App;
use bevy_ecs::prelude::*;
use serde_json::Value;
use waywarden_components::prelude::*;
use waywarden_systems::clock::boottime;
use waywarden_systems::ingress::{Control, Inlet, LiveSettings, LiveSource, Parking, Wake, channel, wake};
use waywarden_systems::jobs::{ArrivalMode, Arrivals, JobRunner};
use waywarden_systems::log::LogPlugin;
use waywarden_systems::metrics::{MetricsPlugin, Numbers};
use waywarden_systems::mqtt::outbox::Outbox;
use waywarden_systems::scene::{ScenePlugin, Showing};
use waywarden_systems::supervisor::{Supervisor, SupervisorSettings, Task};
use waywarden_systems::tick::{Stages, TickPlugin};

use crate::config::{self, Config};
use crate::failure::Failure;
use crate::network::Network;
use crate::pools::{self, Pools};
use crate::uplink::Uplink;
use crate::{app, devices, drive, uplink};

use machine::Machine;
use observe::{ObservePlugin, Observed};
use result::Ended;
use same_work::{SameWork, SameWorkPlugin};
use session::Session;
use sink::Sink;
use sources::{Start, Told};

/// The gate of what is compared with: frames that differ by more are encoded, in levels of 0 to 255.
pub const THRESHOLD: f64 = 3.0;

/// Every so manieth frame is encoded whatever it shows.
pub const EVERY: u64 = 10;

/// How long the broker has to take what is left when all is done.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time between the last device that is open and the first picture.
const LEAD: Duration = Duration::from_millis(300);

/// Counters are read so long before the first picture.
const BEFORE: Duration = Duration::from_millis(50);

/// How long devices and broker have to be there.
const OPENING: Duration = Duration::from_secs(20);

/// Counters when about half of the pictures were done, and how many were.
type Middle = (Machine, usize);

/// What to run.
pub struct Plan {
    /// The folder of the session.
    pub session: PathBuf,
    /// Times real time; 0 is as fast as possible, with nothing dropped.
    pub rate: f64,
    /// Whether every picture is decoded whole, compared in colour and encoded anew.
    pub same_work: bool,
    /// Cameras that give the pictures of the folder, at once.
    pub cameras: usize,
    /// Only so many pictures.
    pub limit: Option<usize>,
    /// Where the gate's value of each picture is written, and the size of each JPEG that was passed on.
    pub details: Option<PathBuf>,
}

/// Runs the session, and gives what was measured.
///
/// # Errors
/// When the folder is no session, a device or the broker is not there in time, or a system fails.
pub fn run(plan: &Plan) -> Result<Value, Failure> {
    let session = Session::open(&plan.session, plan.limit)?;
    session.warm()?;
    let load = machine::load();
    let spool = tempfile::tempdir()?;
    let sink = Sink::start()?;
    let config = config_of(plan, &session, sink.port, &spool.path().display().to_string());
    let mut bench = Bench::build(plan, &config, &session)?;
    bench.start(plan)?;
    let (before, middle, after) = bench.drive(&sink)?;
    let Bench { app, stages, told, uplink, supervisor, begin, network, .. } = bench;
    for name in supervisor.map(|supervisor| supervisor.stop(PATIENCE)).unwrap_or_default() {
        tracing::warn!("{name}: its thread does not come back and is left behind");
    }
    let lost = uplink.map_or(0, |(uplink, outbox)| {
        let tally = outbox.spool().tally();
        uplink.stop();
        tally.messages + tally.waiting
    });
    drop(network);
    let arrived = sink.stop()?;
    let ended = Ended {
        plan,
        session: &session,
        stages: &stages,
        told: &told,
        begin,
        before,
        middle,
        after,
        arrived,
        lost,
        load,
    };
    let (value, details) = ended.value(app.world())?;
    if let Some(path) = &plan.details {
        let mut file = std::fs::File::create(path)?;
        writeln!(file, "{details}")?;
    }
    Ok(value)
}

/// The program, with the folder in the place of devices.
struct Bench {
    app: App,
    stages: Stages,
    control: Control,
    told: Told,
    begin: Start,
    network: Network,
    tasks: Vec<Task>,
    waiting: Option<Uplink>,
    uplink: Option<(uplink::RunningUplink, Outbox)>,
    supervisor: Option<Supervisor>,
    observed: Observed,
    /// Results of so many pictures are half of all.
    half: usize,
}

impl Bench {
    fn build(plan: &Plan, config: &Config, session: &Session) -> Result<Self, Failure> {
        let streams = config.streams();
        let (control, stages, parking) = (Control::default(), Stages::default(), Parking::default());
        let network = Network::new(config.threads.network as usize);
        let (waker, woken) = wake();
        let (told, begin) = (Told::default(), Start::default());
        let (mut tasks, mut inlets) = (Vec::new(), Vec::new());
        for spec in &streams {
            let (task, inlet) = source(plan, session, spec, (&waker, &parking), (&told, &begin));
            tasks.push(task);
            inlets.push(inlet);
        }
        let uplink = Uplink::new(config, &streams, "bench", &network, &waker, None)?.map(|(uplink, inlet)| {
            inlets.push(inlet);
            uplink
        });
        let settings = LiveSettings {
            period: Duration::from_millis(config.tick.period_ms.into()),
            min_gap: Duration::from_millis(config.tick.min_gap_ms.into()),
            segment: None,
            duration: None,
            private: Default::default(),
        };
        let first = vec![Payload::Seed(config.simulation.seed)];
        let source = LiveSource::new(settings, inlets, woken, control.clone(), stages.clone(), first);
        let parts = app::Parts {
            tick: TickPlugin { stages: Some(stages.clone()), ..TickPlugin::default() },
            source: Box::new(source.sparing(parking.clone())),
            arrivals: Arrivals::new(ArrivalMode::Live { deadlines: Default::default() }, stages.clone()),
            runner: JobRunner::new(Default::default(), Some(waker), stages.clone()),
            models: ModelStatus::default(),
            hearing: Default::default(),
            remote: None,
        };
        let mut app = app::build(config, &streams, parts);
        app.insert_resource(parking);
        let observed = Observed::new(session, plan, begin.clone(), config);
        app.add_plugins(ObservePlugin { observed: observed.clone() });
        if plan.same_work {
            app.add_plugins(SameWorkPlugin { work: SameWork::new(plan, told.clone())? });
        }
        let showing = Showing::new(uplink::names(&streams).into_iter().collect());
        let numbers = Numbers::new(&streams, &[StreamId::RECORDER, StreamId::BROKER]);
        app.add_plugins((LogPlugin, MetricsPlugin { numbers }, ScenePlugin { showing }));
        app.finish();
        app.cleanup();
        if let Some(uplink) = &uplink {
            app.insert_resource(uplink.outbox().clone());
        }
        let (uplink, waiting) = (None, uplink);
        let half = session.frames.len() * plan.cameras.max(1) / 2;
        let supervisor = None;
        Ok(Self { app, stages, control, told, begin, network, tasks, waiting, uplink, supervisor, observed, half })
    }

    /// Starts devices, link and pools, the latter last, as in a drive.
    fn start(&mut self, plan: &Plan) -> Result<(), Failure> {
        let settings = SupervisorSettings { backoff_min: Duration::from_millis(100), ..SupervisorSettings::default() };
        self.supervisor = Some(Supervisor::start(std::mem::take(&mut self.tasks), settings)?);
        if let Some(uplink) = self.waiting.take() {
            let outbox = uplink.outbox().clone();
            self.uplink = Some((uplink.start()?, outbox));
        }
        let threads = Config::default().threads;
        // Where nothing is due there is nobody to be preferred to.
        let realtime = threads.realtime && plan.rate > 0.0;
        let (compute, jobs) = (threads.compute as usize, threads.jobs as usize);
        pools::start(Pools { compute, jobs, live: true, realtime });
        Ok(())
    }

    /// Ticks until everything has been done; what the computer said before the first picture, when half of them were done, with how
    /// many that were, and behind the last result.
    fn drive(&mut self, sink: &Sink) -> Result<(Machine, Option<Middle>, Machine), Failure> {
        let mut links = self.app.world_mut().query::<(&StableId, &Link)>();
        let opened = boottime();
        let (mut before, mut middle, mut after, mut done_at) = (None, None, None, None);
        while drive::tick(&mut self.app)? {
            let now = boottime();
            let world = self.app.world();
            let mut is = |state: LinkState| {
                let mut links = links.iter(world).filter(|(id, _)| id.stream != StreamId::RECORDER);
                // The broker's link does not end before it is told to.
                let broker_too = state == LinkState::Connected;
                links.all(|(id, link)| link.state == state || (id.stream == StreamId::BROKER && !broker_too))
            };
            let (connected, ended) = (is(LinkState::Connected), is(LinkState::Ended));
            match (self.begin.get(), before.is_some()) {
                (None, _) if connected => self.begin.set(now + LEAD),
                (None, _) if now.since(opened) > OPENING => {
                    self.control.shut_down();
                    return Err(Failure::running("devices and broker of the bench were not there in 20 s"));
                }
                (Some(begin), false) if now + BEFORE >= begin => {
                    self.stages.forget();
                    before = Some(Machine::now(sink.id()));
                }
                (Some(_), true) if middle.is_none() && self.observed.seen().gates.len() >= self.half => {
                    middle = Some((Machine::now(sink.id()), self.observed.seen().gates.len()));
                }
                (Some(_), true) if ended && self.told.idle() => {
                    let since = *done_at.get_or_insert(now);
                    if after.is_none() && (self.delivered() || now.since(since) > PATIENCE) {
                        after = Some(Machine::now(sink.id()));
                        self.control.shut_down();
                    }
                }
                _ => {}
            }
        }
        let (before, after) =
            before.zip(after).ok_or_else(|| Failure::running("the bench ended before its session did"))?;
        Ok((before, middle, after))
    }

    /// Whether the broker has everything.
    fn delivered(&self) -> bool {
        self.uplink.as_ref().is_none_or(|(_, outbox)| {
            let tally = outbox.spool().tally();
            tally.messages + tally.waiting == 0
        })
    }
}

/// What stands in the place of a device, and where it is heard.
fn source(
    plan: &Plan,
    session: &Session,
    spec: &StreamSpec,
    (waker, parking): (&Wake, &Parking),
    (told, begin): (&Told, &Start),
) -> (Task, Inlet) {
    let (capacity, policy) = devices::waiting(&spec.kind);
    // As fast as possible nothing is dropped: whoever is too fast waits.
    let policy = if plan.rate > 0.0 { policy } else { DropPolicy::Block };
    let (outlet, inlet) = channel(spec.id, capacity, policy, waker.clone());
    let driver = sources::driver(&spec.kind, session, plan.rate, told, begin);
    (Task { name: spec.name.clone(), driver, outlet: outlet.sparing(parking.clone()) }, inlet)
}

/// The defaults of a vehicle with a microphone and a broker, without models and lanes: what is compared with has none.
fn config_of(plan: &Plan, session: &Session, port: u16, spool: &str) -> Config {
    let mut config = Config::default();
    let camera = |n: usize| config::Camera {
        name: if n == 0 { "front".to_owned() } else { format!("camera-{n}") },
        role: if n == 0 { CameraRole::Front } else { CameraRole::Rear },
        fps: session.fps,
        ..config::Camera::default()
    };
    config.camera = (0..plan.cameras.max(1)).map(camera).collect();
    config.microphone = vec![config::Microphone::default()];
    config.range.clear();
    config.segmentation.enabled = false;
    config.detection.enabled = false;
    config.gate.enabled = !plan.same_work;
    config.gate.threshold = THRESHOLD;
    config.mqtt.broker = format!("mqtt://127.0.0.1:{port}");
    config.mqtt.vehicle = "bench".to_owned();
    config.mqtt.spool = spool.to_owned();
    config
}
