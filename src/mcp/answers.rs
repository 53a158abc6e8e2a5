//! What all answers have in common: when they were made, what is not known and why, and how it is said that there is none.

use rmcp::model::{CallToolResult, ContentBlock};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waywarden_systems::mqtt::wire::rfc3339;
use waywarden_systems::scene::Scene;

use crate::failure::Failure;

/// Why there is no answer, for whoever asked: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered(pub String);

impl Unanswered {
    /// For this reason.
    pub fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// The reason of a failure, with its hint.
    pub fn of(failure: &Failure) -> Self {
        let hint = failure.reports.iter().find_map(|report| report.hint.as_deref());
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        Self(format!("{failure}{hint}"))
    }
}

impl From<Unanswered> for CallToolResult {
    fn from(Unanswered(reason): Unanswered) -> Self {
        Self::error(vec![ContentBlock::text(reason)])
    }
}

/// The moment that an answer is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// The number of the tick.
    pub tick: u64,
    /// When it began, in nanoseconds since the computer was started.
    pub mono_ns: u64,
    /// The date, RFC 3339 with milliseconds; null while the vehicle does not know it.
    pub utc: Option<String>,
}

impl From<&Scene> for Moment {
    fn from(scene: &Scene) -> Self {
        Self { tick: scene.tick, mono_ns: scene.now.as_nanos(), utc: scene.utc_ns.map(rfc3339) }
    }
}

/// Something that is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unknown {
    /// What is not known.
    pub what: String,
    /// Why, and what would change that.
    pub why: String,
}

impl Unknown {
    /// This is not known, for this reason.
    pub fn new(what: &str, why: impl Into<String>) -> Self {
        Self { what: what.to_owned(), why: why.into() }
    }
}
