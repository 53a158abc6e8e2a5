//! Neural networks behind one trait.

use thiserror::Error;
use waywarden_components::prelude::*;

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelIdentity {
    /// Name in the manifest or config.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// What runs it, with its version.
    pub engine: String,
}

/// Placeholder until merged.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct InferenceError(pub String);

/// A model that looks at pictures.
pub trait Inference: Send + Sync {
    /// What it computes.
    fn role(&self) -> JobRole;
    /// Who it is.
    fn identity(&self) -> &ModelIdentity;
    /// Looks at a JPEG.
    fn infer_jpeg(&self, jpeg: &[u8]) -> Result<JobOutput, InferenceError>;
}
