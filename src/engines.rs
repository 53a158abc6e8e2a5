//! The models of a run: found, checked, loaded; and what computes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waywarden_components::prelude::*;
use waywarden_systems::inference::Inference;
use waywarden_systems::inference::engine::{Engine, EngineKind, LibraryError, OnnxRuntime, onnxruntime};
use waywarden_systems::models::{self, CustomModel, Manifest, MissingModel, ModelError};
use waywarden_systems::session::ModelInfo;

use crate::config::{Config, EngineChoice, Perceive};
use crate::failure::Failure;
use crate::simulated;

/// Models by role, and why there is none for a role.
#[derive(Clone, Default)]
pub struct Engines {
    /// The loaded ones.
    pub loaded: BTreeMap<JobRole, Arc<dyn Inference>>,
    /// What the world is told.
    pub status: ModelStatus,
}

impl Engines {
    /// Loads the models that the config asks for, from the first folder that has them: `folder`, then
    /// `$WAYWARDEN_MODELS`, then the user's data folder.
    ///
    /// `recorded` are the models of a session that is to be run again, if it is by its own config: they are computed
    /// by the same engine again, where it is here.
    ///
    /// # Errors
    /// When a model file is there but is not what it claims to be. One that is not there is no error: health says so.
    /// And when the config asks for an engine that is not here.
    pub fn load(
        config: &Config,
        folder: Option<&Path>,
        recorded: Option<&BTreeMap<JobRole, ModelInfo>>,
    ) -> Result<Self, Failure> {
        if config.simulation.perceive == Perceive::Truth {
            return Self::truth(config);
        }
        let manifest = Manifest::built_in()?;
        let dirs = models::search_dirs(folder);
        let mut engines = Self::default();
        let (segmentation, detection) = (&config.segmentation, &config.detection);
        let wanted = [
            (JobRole::Segmentation, segmentation.enabled, &segmentation.model),
            (JobRole::Detection, detection.enabled, &detection.model),
        ];
        if !wanted.iter().any(|(_, enabled, _)| *enabled) {
            return Ok(engines);
        }
        let engine = match recorded {
            Some(models) => again(models.values().find_map(|model| EngineKind::of(&model.engine)), config),
            None => choose(config)?,
        };
        for (role, enabled, name) in wanted {
            if !enabled {
                continue;
            }
            let found = find(config, &manifest, &dirs, &engine, role, name)?;
            let status = found.as_ref().map(|engine| engine.identity().name.clone()).map_err(String::clone);
            engines.status.roles.insert(role, status);
            if let Ok(engine) = found {
                engines.loaded.insert(role, Arc::from(engine));
            }
        }
        Ok(engines)
    }

    /// What knows the truth of a simulated drive, instead of models.
    fn truth(config: &Config) -> Result<Self, Failure> {
        let (segmentation, detection) = (&config.segmentation, &config.detection);
        let mut engines = Self::default();
        for (role, enabled, rate_hz) in [
            (JobRole::Segmentation, segmentation.enabled, segmentation.rate_hz),
            (JobRole::Detection, detection.enabled, detection.rate_hz),
        ] {
            if enabled {
                let model = simulated::truth_model(config, role, rate_hz)?;
                engines.status.roles.insert(role, Ok(model.identity().name.clone()));
                engines.loaded.insert(role, Arc::new(model));
            }
        }
        Ok(engines)
    }

    /// What a session says of them.
    pub fn describe(&self) -> BTreeMap<JobRole, ModelInfo> {
        let info = |engine: &Arc<dyn Inference>| {
            let identity = engine.identity();
            ModelInfo { name: identity.name.clone(), sha256: identity.sha256.clone(), engine: identity.engine.clone() }
        };
        self.loaded.iter().map(|(role, engine)| (*role, info(engine))).collect()
    }
}

/// The engine that the config asks for.
pub(crate) fn choose(config: &Config) -> Result<Engine, Failure> {
    const HINT: &str = "`script/bootstrap --onnxruntime` gets one; inference.engine = \"rten\" does without";
    let inference = &config.inference;
    if inference.engine == EngineChoice::Rten {
        return Ok(Engine::Rten);
    }
    if !inference.onnxruntime.is_empty() {
        let opened = OnnxRuntime::open(Path::new(&inference.onnxruntime));
        return opened
            .map(Engine::OnnxRuntime)
            .map_err(|error| Failure::bad_input(format!("inference.onnxruntime: {error}")).hint(HINT));
    }
    let places = onnxruntime::places();
    match (first(&places), inference.engine) {
        (Some(Ok(library)), _) => Ok(Engine::OnnxRuntime(library)),
        (Some(Err(error)), EngineChoice::Onnxruntime) => Err(Failure::bad_input(error).hint(HINT)),
        (None, EngineChoice::Onnxruntime) => {
            let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            let places = if places.is_empty() { "no place".to_owned() } else { places.join(", ") };
            Err(Failure::bad_input(format!("no ONNX Runtime: looked for {places}")).hint(HINT))
        }
        (Some(Err(error)), _) => {
            tracing::warn!("{error}; rten computes the models");
            Ok(Engine::Rten)
        }
        (None, _) => Ok(Engine::Rten),
    }
}

/// The engine that a session was recorded with, or, if it was not run, that its config asks for, if it is here. Another
/// one is a difference to be told, and no reason to end: the session may come from another computer.
pub(crate) fn again(recorded: Option<EngineKind>, config: &Config) -> Engine {
    let inference = &config.inference;
    let asked = (inference.engine == EngineChoice::Rten).then_some(EngineKind::Rten);
    let kind = recorded.or(asked);
    if kind == Some(EngineKind::Rten) {
        return Engine::Rten;
    }
    let named = Some(&inference.onnxruntime).filter(|path| !path.is_empty()).map(PathBuf::from);
    let places: Vec<PathBuf> = named.into_iter().chain(onnxruntime::places()).collect();
    match first(&places) {
        Some(Ok(library)) => Engine::OnnxRuntime(library),
        Some(Err(error)) => {
            tracing::warn!("{error}; rten computes the models");
            Engine::Rten
        }
        None => Engine::Rten,
    }
}

/// The library in the first of some places that has one.
fn first(places: &[PathBuf]) -> Option<Result<OnnxRuntime, LibraryError>> {
    places.iter().find(|place| place.exists()).map(|place| OnnxRuntime::open(place))
}

/// The model called `name`, or why there is none.
fn find(
    config: &Config,
    manifest: &Manifest,
    dirs: &[PathBuf],
    engine: &Engine,
    role: JobRole,
    name: &str,
) -> Result<Result<Box<dyn Inference>, String>, Failure> {
    let threads = config.threads.model as usize;
    if let Some(own) = config.model.iter().find(|model| model.name == name) {
        if own.role != role {
            return Err(Failure::bad_input(format!("model `{name}` is for {}, not for {role}", own.role)));
        }
        let mut model = CustomModel {
            path: own.path.clone().into(),
            sha256: own.sha256.clone(),
            role,
            input: own.input,
            decoder: own.decoder,
            thresholds: Default::default(),
        };
        model.thresholds.score = config.detection.score as f32;
        return Ok(Ok(models::load_custom(&model, engine, threads)?));
    }
    let Some(entry) = manifest.models.iter().find(|entry| entry.name == name) else {
        let known: Vec<&str> =
            manifest.models.iter().filter(|entry| entry.role == role).map(|entry| entry.name.as_str()).collect();
        return Err(Failure::bad_input(format!("{role}.model: no model is called `{name}`"))
            .hint(format!("known are {}; describe your own under [[model]]", known.join(", "))));
    };
    if entry.role != role {
        return Err(Failure::bad_input(format!("model `{name}` is for {}, not for {role}", entry.role)));
    }
    let Some(path) = entry.locate(dirs) else {
        let dirs = dirs.iter().map(|dir| dir.display().to_string()).collect();
        return Ok(Err(MissingModel { role, files: entry.files.clone(), dirs }.to_string()));
    };
    let mut entry = entry.clone();
    entry.thresholds.score = config.detection.score as f32;
    Ok(Ok(models::load(&entry, &path, engine, threads)?))
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        // The message says what to do.
        Self::bad_input(error)
    }
}
