//! The section of the config about simulated drives.

use serde::{Deserialize, Serialize};
use waywarden_systems::simulate::perceive;

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

/// How the truth is found: see [`perceive::Errors`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Errors {
    /// Share of things that are not found.
    pub missed: f64,
    /// Pixels of height below which nothing is found.
    pub smallest_px: f64,
    /// Pixels by which each edge of a box is off: standard deviation.
    pub edge_px: f64,
    /// The same in addition, as a share of the box's height.
    pub edge_share: f64,
    /// Boxes in an hour where nothing is.
    pub false_per_hour: f64,
    /// Metres by which each line is off to the side: standard deviation.
    pub line_m: f64,
    /// Share of lines that are not found.
    pub line_missed: f64,
    /// Share of masks in which nothing is found.
    pub mask_missed: f64,
}

impl Default for Errors {
    fn default() -> Self {
        Self {
            missed: 0.1,
            smallest_px: 10.0,
            edge_px: 1.0,
            edge_share: 0.03,
            false_per_hour: 60.0,
            line_m: 0.05,
            line_missed: 0.03,
            mask_missed: 0.01,
        }
    }
}

impl From<Errors> for perceive::Errors {
    fn from(errors: Errors) -> Self {
        let Errors { missed, smallest_px, edge_px, edge_share, false_per_hour, line_m, line_missed, mask_missed } =
            errors;
        Self { missed, smallest_px, edge_px, edge_share, false_per_hour, line_m, line_missed, mask_missed }
    }
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
