//! A live run: devices on threads of their own, the tick, the recorder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bevy_app::App;
use serde::Serialize;
use waywarden_components::prelude::*;
use waywarden_systems::clock::system_utc;
use waywarden_systems::commands::Hands;
use waywarden_systems::ingress::{Control, LiveSettings, LiveSource, Parking, wake};
use waywarden_systems::jobs::{ArrivalMode, Arrivals, JobRunner};
use waywarden_systems::log::LogPlugin;
use waywarden_systems::metrics::{MetricsPlugin, Numbers};
use waywarden_systems::record::Recorder;
use waywarden_systems::scene::{ScenePlugin, Showing};
use waywarden_systems::session::Origin;
use waywarden_systems::tick::{StageSummary, Stages, TickPlugin};

use crate::access::Access;
use crate::archive::Archive;
use crate::command::replay::Counts;
use crate::config::Config;
use crate::devices::Devices;
use crate::engines::Engines;
use crate::failure::Failure;
use crate::hearing::Hearing;
use crate::last_words::LastWords;
use crate::metrics::Observed;
use crate::network::Network;
use crate::pools::{self, Pools};
use crate::progress::{Progress, Show, Unit};
use crate::recording::{self, Recording, Started};
use crate::serving::{self, Shown};
use crate::signals::{Anew, Reread};
use crate::systemd::Systemd;
use crate::uplink::{self, Uplink};
use crate::{app, drive, remote, session_info, signals};
#[cfg(feature = "webrtc")]
use crate::{operators, whep};

/// What to run.
pub struct LiveRun {
    /// The config.
    pub config: Config,
    /// Reads the config again, as it was read for this run: with what the command line says on top.
    pub reread: Option<Reread>,
    /// The folder of the session, if it is recorded.
    pub session: Option<PathBuf>,
    /// The folder to look for models in first.
    pub models: Option<PathBuf>,
    /// How long to run; until told to end, if none.
    pub duration: Option<Duration>,
    /// How progress is shown, if it is known how long it takes.
    pub show: Show,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Ticks run.
    pub ticks: u64,
    /// Time from the first tick to the last.
    pub session_s: f64,
    /// What was seen.
    pub counts: Counts,
    /// Pictures that cameras did not hand on because the vehicle was parked.
    pub not_wanted: u64,
    /// Segments recorded.
    pub segments: u64,
    /// Bytes recorded.
    pub bytes: u64,
    /// Ticks that could not be recorded.
    pub lost_ticks: u64,
    /// Times of phases, systems and jobs, and lateness.
    pub stages: std::collections::BTreeMap<String, StageSummary>,
}

/// Runs until told to end.
///
/// # Errors
/// When a model cannot be used, the session cannot be written, or a system fails.
pub fn run(plan: LiveRun) -> Result<Summary, Failure> {
    run_with(plan, |_| {})
}

/// The same with plugins of the caller's beside the usual ones.
///
/// # Errors
/// As [`run`].
pub fn run_with(plan: LiveRun, more: impl FnOnce(&mut App)) -> Result<Summary, Failure> {
    let LiveRun { config, reread, session, models, duration, show } = plan;
    let streams = config.streams();
    let mut engines = Engines::load(&config, models.as_deref(), None)?;
    let hearing = Hearing::load(&config, &streams, models.as_deref(), None)?;
    let threads = &config.threads;
    let (compute, jobs, realtime) = (threads.compute as usize, threads.jobs as usize, threads.realtime);
    let control = Control::default();
    let stages = Stages::default();
    let network = Network::new(threads.network as usize);
    let (waker, woken) = wake();
    let parking = Parking::default();
    let (devices, mut inlets) = Devices::new(&config, &streams, &waker, &parking)?;
    let service = remote::connect(&config, &network, &waker, &mut engines)?;
    let (mut own, mut remote, mut asked, mut listens) = (vec![StreamId::RECORDER], None, None, None);
    own.extend((!config.speaker.device.is_empty()).then_some(StreamId::SPEAKER));
    if let Some(remote::Connected { remote: service, inlet, alone, speech }) = service {
        own.push(inlet.stream);
        inlets.push(inlet);
        (remote, asked, listens) = (Some(alone), Some(service.stats()), speech);
    }
    let (last_words, earlier) = session.as_deref().map(begin_last_words).unwrap_or_default();
    let mut info = session_info::describe(Origin::Live, &config, &streams, engines.describe());
    info.voice = hearing.describe();
    let run = info.session_id.clone();
    let archive = Archive::new(session.as_deref(), uplink::state_folder().join("reports"));
    #[cfg(feature = "webrtc")]
    let operators = config.webrtc.enabled.then(|| {
        let (outlet, inlet) = operators::door(&waker);
        inlets.push(inlet);
        outlet
    });
    #[cfg(feature = "webrtc")]
    let (aside, called) = operators::calls::line(&config).unzip();
    #[cfg(not(feature = "webrtc"))]
    let aside = None;
    let uplink = Uplink::new(&config, &streams, &info.session_id, &network, &waker, aside)?.map(|(uplink, inlet)| {
        own.push(inlet.stream);
        inlets.push(inlet);
        uplink
    });
    let recorded = session.clone();
    let recorder = session.map(|folder| recording::start(folder, &config, info, &control, &waker)).transpose()?;
    let mut keeper = None;
    let recorder = match recorder {
        Some(Started { recorder, inlet, keeper: own, recording }) => {
            inlets.push(inlet);
            keeper = Some((own, Duration::from_secs(config.record.preserve_s.into())));
            Some((recorder, recording))
        }
        None => {
            recording::preserve_on_signal(None, Duration::ZERO)?;
            None
        }
    };
    let private: Vec<&StreamSpec> = streams.iter().filter(|spec| is_inside(&spec.kind)).collect();
    let marker = uplink::state_folder().join("privacy");
    let mut first = vec![Payload::Seed(config.simulation.seed)];
    if marker.exists() {
        // Whoever wanted nobody to listen wants it of this run too, from its first sample on.
        control.set_private(true);
        first.push(Payload::Switches(Switches { privacy: true, ..Switches::default() }));
    }
    first.extend(system_utc().map(Payload::Utc));
    first.extend(earlier.into_iter().map(warning));
    let observed = Observed {
        numbers: Numbers::new(&streams, &own),
        stages: stages.clone(),
        channels: inlets.iter().map(|inlet| (inlet.stream, inlet.waiting())).collect(),
        recorder: recorder
            .as_ref()
            .map(|(recorder, _)| (recorder.stats(), u64::from(config.record.queue_mb) * 1_000_000)),
        connections: Arc::default(),
        remote: asked,
        outbox: uplink.as_ref().map(|uplink| uplink.outbox().clone()),
    };
    let settings = LiveSettings {
        period: Duration::from_millis(config.tick.period_ms.into()),
        min_gap: Duration::from_millis(config.tick.min_gap_ms.into()),
        segment: recorder.is_some().then(|| Duration::from_secs(config.record.segment_s.into())),
        duration,
        private: private.iter().map(|spec| spec.id).collect(),
    };
    let source = LiveSource::new(settings, inlets, woken, control.clone(), stages.clone(), first);
    let source = source.sparing(parking.clone());
    let parts = app::Parts {
        tick: TickPlugin { stages: Some(stages.clone()), ..TickPlugin::default() },
        source: Box::new(source),
        arrivals: Arrivals::new(ArrivalMode::Live { deadlines: deadlines(&config) }, stages.clone()),
        runner: JobRunner::new(engines.loaded.clone(), Some(waker), stages.clone()),
        models: engines.status.clone(),
        hearing,
        remote,
    };
    let mut app = app::build(&config, &streams, parts);
    let recording = recorder.map(|(recorder, recording)| {
        app.insert_resource(recorder);
        recording
    });
    app.insert_resource(parking.clone());
    more(&mut app);
    let showing = Showing::new(uplink::names(&streams).into_iter().collect());
    let metrics = MetricsPlugin { numbers: observed.numbers.clone() };
    app.add_plugins((LogPlugin, metrics, ScenePlugin { showing: showing.clone() }));
    app.finish();
    app.cleanup();
    let access = config.http.enabled.then(|| Access::begin(&config.http)).transpose()?;
    signals::listen(&control, Anew { config: config.clone(), reread, access: access.clone() })?;
    #[cfg(feature = "webrtc")]
    let hub = operators.map(|outlet| operators::serve(&config, &streams, &network, outlet, (&showing, &devices)));
    #[cfg(feature = "webrtc")]
    let hub = hub.transpose()?.map(|(hub, world)| {
        app.insert_resource(world);
        hub
    });
    #[cfg(feature = "webrtc")]
    if let (Some(hub), Some(called), Some(uplink)) = (&hub, called, &uplink) {
        network.handle()?.spawn(operators::calls::answer(called, hub.clone(), uplink.outbox().clone()));
    }
    if let Some(access) = access {
        #[cfg(feature = "webrtc")]
        let more = hub.clone().map(|hub| whep::routes(hub, access.clone())).unwrap_or_default();
        #[cfg(not(feature = "webrtc"))]
        let more = axum::Router::new();
        let shown = Shown { control: &control, showing: &showing, archive, access, run, session: recorded, more };
        serving::listen(&config, observed, &network, shown)?;
    }
    let devices = devices.start()?;
    app.world_mut().insert_resource(Hands {
        control: control.clone(),
        keeper,
        devices: Some(devices.remote()),
        private: private.iter().map(|spec| spec.name.clone()).collect(),
        marker: Some(marker),
    });
    if let Some(uplink) = &uplink {
        app.insert_resource(uplink.outbox().clone());
    }
    if let Some(listens) = listens {
        app.insert_resource(listens);
    }
    let uplink = uplink.map(Uplink::start).transpose()?;
    // Last of all: threads started after this one is preferred would be preferred as well.
    pools::start(Pools { compute, jobs, live: true, realtime });
    let ran = drive_until_end(&mut app, duration, show);
    devices.stop();
    #[cfg(feature = "webrtc")]
    if let Some(hub) = hub {
        hub.stop();
    }
    if let Some(uplink) = uplink {
        uplink.stop();
    }
    drop(network);
    app.world_mut().remove_resource::<Recorder>();
    // Whatever ended the run: what was recorded is completed first.
    let finished = recording.map(Recording::finish);
    // A disk that does not answer would keep this thread as well; the next run is then told of a kill.
    let answers = finished.as_ref().is_none_or(|finished| finished.answers);
    if let Some(last_words) = last_words.filter(|_| answers) {
        last_words.end(ran.as_ref().err().map(|failure| failure.to_string()).as_deref());
    }
    let (first, last, ticks) = ran?;
    let stats = finished.map(|finished| finished.stats).transpose()?.unwrap_or_default();
    Ok(Summary {
        ticks,
        session_s: last.since(first).as_secs_f64(),
        counts: Counts::of(app.world_mut()),
        not_wanted: parking.not_wanted(),
        segments: stats.segments.load(Ordering::Relaxed),
        bytes: stats.bytes.load(Ordering::Relaxed),
        lost_ticks: stats.lost.load(Ordering::Relaxed),
        stages: stages.summary(),
    })
}

/// Whether a device sees or hears people inside of the vehicle.
fn is_inside(kind: &StreamKind) -> bool {
    matches!(kind, StreamKind::Microphone | StreamKind::Camera { role: CameraRole::Cabin, .. })
}

/// Says that this run is under way, and hears how those before it ended. Where that cannot be written the run goes on.
fn begin_last_words(session: &Path) -> (Option<LastWords>, Vec<String>) {
    let folder = session.parent().unwrap_or(session);
    let name = session.file_name().unwrap_or_default().to_string_lossy();
    match std::fs::create_dir_all(folder).and_then(|()| LastWords::begin(folder, &name)) {
        Ok((last_words, earlier)) => {
            if let Err(error) = last_words.listen() {
                tracing::warn!("a crash of this run will not be told from a kill: {error}");
            }
            (Some(last_words), earlier)
        }
        Err(error) => {
            tracing::warn!("{}: the next run will not know how this one ended: {error}", folder.display());
            (None, Vec::new())
        }
    }
}

fn warning(text: String) -> Payload {
    Payload::Notice(Notice { level: NoticeLevel::Warning, source: "waywarden".to_owned(), text })
}

fn drive_until_end(app: &mut App, duration: Option<Duration>, show: Show) -> Result<(Mono, Mono, u64), Failure> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut progress = duration.map(|length| Progress::start("running", Some(millis(length)), Unit::Millis, show));
    let (mut first, mut last, mut ticks) = (None, Mono::default(), 0);
    let mut systemd = Systemd::default();
    while drive::tick(app)? {
        let outcome = drive::outcome(app.world());
        systemd.tick(outcome.now);
        let start = *first.get_or_insert(outcome.now);
        last = outcome.now;
        ticks += 1;
        if let Some(progress) = &mut progress {
            progress.set(millis(last.since(start)));
        }
    }
    systemd.stopping();
    if let Some(progress) = progress {
        progress.finish("the drive is over");
    }
    Ok((first.unwrap_or(last), last, ticks))
}

fn deadlines(config: &Config) -> std::collections::BTreeMap<JobRole, Duration> {
    let ms = |ms: u32| Duration::from_millis(ms.into());
    [
        (JobRole::Segmentation, ms(config.segmentation.deadline_ms)),
        (JobRole::Detection, ms(config.detection.deadline_ms)),
    ]
    .into()
}

/// `2026-11-23T08-15-00Z` for seconds since 1970.
pub fn date_name(seconds: i64) -> String {
    // Days to a civil date after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::date_name;

    #[test]
    fn dates_are_civil() {
        assert_eq!(date_name(0), "1970-01-01T00-00-00Z");
        assert_eq!(date_name(951_827_696), "2000-02-29T12-34-56Z");
        assert_eq!(date_name(1_795_420_799), "2026-11-23T07-59-59Z");
    }
}
