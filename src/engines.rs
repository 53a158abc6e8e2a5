//! The models of a run: found, checked, loaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waywarden_components::prelude::*;
use waywarden_systems::inference::Inference;
use waywarden_systems::models::{self, CustomModel, Manifest, MissingModel, ModelError};
use waywarden_systems::session::ModelInfo;

use crate::config::Config;
use crate::failure::Failure;

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
    /// # Errors
    /// When a model file is there but is not what it claims to be. One that is not there is no error: health says so.
    pub fn load(config: &Config, folder: Option<&Path>) -> Result<Self, Failure> {
        let manifest = Manifest::built_in()?;
        let dirs = models::search_dirs(folder);
        let mut engines = Self::default();
        let (segmentation, detection) = (&config.segmentation, &config.detection);
        let wanted = [
            (JobRole::Segmentation, segmentation.enabled, &segmentation.model),
            (JobRole::Detection, detection.enabled, &detection.model),
        ];
        for (role, enabled, name) in wanted {
            if !enabled {
                continue;
            }
            let found = find(config, &manifest, &dirs, role, name)?;
            let status = found.as_ref().map(|engine| engine.identity().name.clone()).map_err(String::clone);
            engines.status.roles.insert(role, status);
            if let Ok(engine) = found {
                engines.loaded.insert(role, Arc::from(engine));
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

/// The model called `name`, or why there is none.
fn find(
    config: &Config,
    manifest: &Manifest,
    dirs: &[PathBuf],
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
        return Ok(Ok(models::load_custom(&model, threads)?));
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
    Ok(Ok(models::load(&entry, &path, threads)?))
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        // The message says what to do.
        Self::bad_input(error)
    }
}
