//! The section of the config about simulated drives.

use serde::{Deserialize, Serialize};
use waywarden_systems::simulate::perceive::Errors;

use super::check::Violation;
use super::path::Path;
use super::{Config, DeviceSource};

/// Simulated devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Simulation {
    /// The seed of everything that is simulated.
    pub seed: u64,
    /// The scenario: a name of those that are built in, or a path that ends in `.toml`.
    pub scenario: String,
    /// Faults of each simulated device in an hour: a trial of everything that is to survive them.
    pub faults_per_hour: f64,
    /// What simulated cameras show.
    pub pictures: Pictures,
    /// What finds lanes and obstacles.
    pub perceive: Perceive,
    /// How the truth is found, where it is asked.
    pub errors: Errors,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            seed: 1,
            scenario: "motorway".into(),
            faults_per_hour: 0.0,
            pictures: Pictures::Drawn,
            perceive: Perceive::Models,
            errors: Errors::default(),
        }
    }
}

/// What simulated cameras show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pictures {
    /// The drive.
    #[default]
    Drawn,
    /// Shades of grey, at next to no cost.
    Plain,
}

/// What finds lanes and obstacles in pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Perceive {
    /// Models, as on every drive.
    #[default]
    Models,
    /// The simulator, which knows, through an error model.
    Truth,
}

/// Only simulated drives have a truth, and only drawn pictures show something to models.
pub(super) fn check(config: &Config, found: &mut Vec<Violation>) {
    let simulation = &config.simulation;
    let mut wrong = |key: &str, message: &str, hint: &str| {
        let path = Path::default().key("simulation").key(key);
        found.push(Violation { path, message: message.to_owned(), hint: hint.to_owned() });
    };
    if simulation.perceive == Perceive::Truth {
        if let Some(camera) = config.camera.iter().find(|camera| camera.source != DeviceSource::Simulated) {
            let message =
                format!("only simulated drives have a truth, and the camera \"{}\" is a real one", camera.name);
            wrong(
                "perceive",
                &message,
                "set simulation.perceive = \"models\", or source = \"simulated\" for every camera",
            );
        }
        if !config.remote.url.is_empty() {
            let message = "`simulation.perceive` is \"truth\", and `remote.url` names a service that computes models";
            wrong("perceive", message, "leave one of them out");
        }
    }
}
