//! What two runs of one drive found differently.
//!
//! Both sessions are read side by side, tick by tick. What came in must be the same: otherwise they are two drives, and
//! are refused. What was found is compared where it belongs: findings about a sample by the sample's stable id when both
//! runs are done with it, whenever that was; the state of devices and of the app, and messages, tick by tick.

mod page;
mod pair;
mod side;
mod values;

pub use page::page;
pub use pair::{Compared, Limits, Moment, Picture, compare};
pub use values::{Difference, Measure, differences};

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use waywarden_systems::registry::{Registry, Treatment};

use crate::app::{self, Parts};
use crate::config::Config;

/// Bookkeeping of the app itself, which another model or config changes by its nature. Left out unless asked for.
pub const BOOKKEEPING: &[&str] = &[
    "detection_asked",
    "job_missed",
    "job_request",
    "job_result",
    "jobs",
    "model_status",
    "segment_started",
    "segmentation_asked",
    "shutdown_requested",
];

/// How often and by how much one field differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FieldCount {
    /// Values in which it differs.
    pub differ: u64,
    /// Of them, those beyond the tolerance.
    pub beyond: u64,
    /// Largest difference.
    pub largest: f64,
    /// Sum of the differences.
    #[serde(skip)]
    pub sum: f64,
    /// Mean of the differences, where there are any.
    pub mean: f64,
    /// How they are measured.
    pub measure: Option<Measure>,
}

/// How one kind differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KindCount {
    /// Values compared.
    pub compared: u64,
    /// Of them, those that differ.
    pub differ: u64,
    /// Values that only the first session has.
    pub only_a: u64,
    /// Values that only the second session has.
    pub only_b: u64,
    /// By field.
    pub fields: BTreeMap<String, FieldCount>,
}

impl KindCount {
    /// Whether anything is beyond the tolerance.
    pub fn beyond(&self) -> bool {
        self.only_a + self.only_b > 0 || self.fields.values().any(|field| field.beyond > 0)
    }
}

/// The names of all kinds of values that a session may hold.
pub fn known_kinds() -> BTreeSet<String> {
    let app = app::build(&Config::default(), &[], Parts::idle());
    let digested = |treatment| matches!(treatment, Treatment::State | Treatment::Message);
    let entries = app.world().resource::<Registry>().entries();
    entries.filter(|entry| digested(entry.treatment)).map(|entry| entry.name.to_owned()).collect()
}
