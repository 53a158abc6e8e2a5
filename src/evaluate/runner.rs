//! Sessions made for a moment and replayed while somebody watches.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use waywarden_components::prelude::*;
use waywarden_systems::import::Reader;
use waywarden_systems::import::wav::Wav;
use waywarden_systems::session::{Record, SessionReader};

use super::observe::{Observer, ObserverPlugin, Seen, SoundSeen};
use super::table::Conditions;
use crate::assemble::{Assembly, assemble};
use crate::command::args::ModelsFolder;
use crate::command::replay::{self, ReplayArgs};
use crate::command::simulate;
use crate::config::{Config, VoiceDetector};
use crate::failure::Failure;
use crate::hearing::Hearing;
use crate::progress::Show;

/// What a detector made of a recording.
#[derive(Clone, Debug)]
pub struct Listened {
    /// The detector.
    pub detector: String,
    /// What computed it, with its version.
    pub by: String,
    /// What it heard.
    pub sound: SoundSeen,
}

/// Makes sessions in a folder that is gone afterwards, and replays them.
pub struct Runner {
    /// The config that all of them have.
    pub config: Config,
    models: Option<PathBuf>,
    json: bool,
    folder: TempDir,
    /// The models of the runs so far.
    ran: RefCell<ModelStatus>,
}

impl Runner {
    /// One with this config, and models from this folder. With `json` no progress is shown.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn new(config: Config, models: Option<PathBuf>, json: bool) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("waywarden-evaluate-").tempdir();
        let folder = folder.map_err(|error| {
            Failure::running(format!("no folder for sessions can be made: {error}"))
                .hint("the environment variable TMPDIR names another place")
        })?;
        Ok(Self { config, models, json, folder, ran: RefCell::default() })
    }

    /// Imports what one front camera gives, and replays it.
    ///
    /// # Errors
    /// When it cannot be read, or a replay fails.
    pub fn watch(
        &self,
        name: &str,
        geometry: CameraGeometry,
        reader: Box<dyn Reader>,
        masks: bool,
    ) -> Result<Seen, Failure> {
        let kind = StreamKind::Camera { role: CameraRole::Front, geometry };
        let camera = StreamSpec { id: StreamId(1), name: "front".to_owned(), kind };
        let (out, streams) = (self.session(), [camera]);
        assemble(Assembly {
            config: &self.config,
            streams: &streams,
            sources: vec![(StreamId(1), reader)],
            out: &out,
            segment: None,
            what: format!("importing {name}"),
            done: "imported",
            show: Show::new(self.json),
        })?;
        let seen = self.replay(&out, StreamId(1), masks);
        std::fs::remove_file(&out)?;
        seen
    }

    /// Has a microphone give what is in a WAV file, listened to by this detector, and replays it. None where that detector is
    /// not to be had.
    ///
    /// # Errors
    /// When it cannot be read, or a replay fails.
    pub fn listen(&self, name: &str, wav: &Path, detector: VoiceDetector) -> Result<Option<Listened>, Failure> {
        let mut config = self.config.clone();
        config.voice.detector = detector;
        let streams = [StreamSpec { id: StreamId(1), name: "microphone".to_owned(), kind: StreamKind::Microphone }];
        let hearing = Hearing::load(&config, &streams, self.models.as_deref(), None)?;
        if !hearing.status.instead.is_empty() {
            return Ok(None);
        }
        let by = hearing.describe().map_or_else(String::new, |listener| listener.engine);
        let detector = hearing.status.detector.clone();
        let out = self.session();
        assemble(Assembly {
            config: &config,
            streams: &streams,
            sources: vec![(StreamId(1), Box::new(Wav::open(wav)?))],
            out: &out,
            segment: None,
            what: format!("importing {name}"),
            done: "imported",
            show: Show::new(self.json),
        })?;
        let seen = self.replay(&out, StreamId(1), false);
        std::fs::remove_file(&out)?;
        Ok(Some(Listened { detector, by, sound: seen?.sound }))
    }

    /// A file of this name in the folder for sessions.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Simulates a drive, and replays it. The truth of each picture comes along, in order of time.
    ///
    /// # Errors
    /// When the scenario cannot be used, or a replay fails.
    pub fn drive(
        &self,
        scenario: &str,
        seed: u64,
        length: Option<Duration>,
    ) -> Result<(Seen, Vec<(Mono, Truth)>), Failure> {
        let mut config = self.config.clone().simulated();
        config.camera.iter_mut().for_each(|camera| camera.loop_frames = 0);
        scenario.clone_into(&mut config.simulation.scenario);
        config.simulation.seed = seed;
        let out = self.session();
        let (streams, _) = simulate::make(&config, length, simulate::cores(), &out, Show::new(self.json))?;
        let front = |spec: &&StreamSpec| matches!(spec.kind, StreamKind::Camera { role: CameraRole::Front, .. });
        let camera = streams.iter().find(front).map_or(StreamId(1), |spec| spec.id);
        let seen = self.replay(&out, camera, false).and_then(|seen| Ok((seen, truth(&out)?)));
        std::fs::remove_file(&out)?;
        seen
    }

    fn session(&self) -> PathBuf {
        self.folder.path().join("session.mcap")
    }

    fn replay(&self, session: &Path, camera: StreamId, masks: bool) -> Result<Seen, Failure> {
        let observer = Observer::new(camera, masks);
        // Its jobs are virtual, because it is an import.
        let args = ReplayArgs {
            models: ModelsFolder { folder: self.models.clone() },
            json: self.json,
            ..ReplayArgs::of(session.to_owned())
        };
        replay::watched(&args, |app| {
            app.add_plugins(ObserverPlugin(observer.clone()));
        })?;
        let seen = observer.take();
        self.ran.borrow_mut().roles.extend(seen.models.roles.clone());
        Ok(seen)
    }

    /// Under which conditions figures are made; which models there are is known after a run.
    pub fn conditions(&self) -> Conditions {
        Conditions { models: self.ran.borrow().roles.clone(), ..Conditions::of(&self.config) }
    }
}

/// What was true in a simulated drive, from its journal: no system sees it.
fn truth(session: &Path) -> Result<Vec<(Mono, Truth)>, Failure> {
    let mut reader = SessionReader::open(session)?;
    let mut found = Vec::new();
    while let Some(record) = reader.read()? {
        let Record::Tick(incoming) = record else { continue };
        for input in incoming.inputs {
            if let Payload::Truth(truth) = input.payload {
                found.push((input.captured, *truth));
            }
        }
    }
    Ok(found)
}
