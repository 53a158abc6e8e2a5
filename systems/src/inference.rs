//! Neural networks behind one trait: a picture in, masks or boxes in the frame's own coordinates out.
//!
//! [`prepare`] makes a network's input of a frame, an [`engine`] computes the [`network`], [`segment`] and [`detect`] read
//! its output, [`views`] puts together what two looks found. [`remote`] has a service compute it, which answers by its [`api`].

pub mod api;
pub mod detect;
pub mod engine;
pub mod network;
pub mod prepare;
#[cfg(not(fuzzing))]
pub mod remote;
pub mod segment;
pub mod speech;
#[cfg(test)]
pub(crate) mod tiny_onnx;
pub mod views;

use serde::{Deserialize, Serialize};
use waywarden_components::job::{Crop, JobOutput, JobRole, Look};

use crate::camera::jpeg::{self, JpegError, RgbPicture};

/// Which model computes, and on what: part of a session's metadata, compared before results are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// Its name in the manifest; for a user's own model the name of its file.
    pub name: String,
    /// SHA-256 of its file, in lower-case hexadecimal digits.
    pub sha256: String,
    /// What computes it, with its version: `rten 0.27.0`.
    pub engine: String,
}

/// Why a picture gave no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InferenceError {
    /// The frame cannot be decoded.
    #[error(transparent)]
    Jpeg(#[from] JpegError),
    /// The picture has no pixels, too many, or another number of bytes than its size asks for.
    #[error("a picture of {width}x{height} pixels with {bytes} bytes cannot be looked at")]
    Picture {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes in it.
        bytes: usize,
    },
    /// A service that computes elsewhere did not.
    #[error("remote: {reason}")]
    Remote {
        /// Why not.
        reason: String,
    },
    /// Asked of what knows the truth of simulated drives.
    #[error("simulation: {reason}")]
    Simulation {
        /// Why it cannot say.
        reason: &'static str,
    },
    /// The engine refused or failed.
    #[error("model {model}: {reason}")]
    Runtime {
        /// The model.
        model: String,
        /// What the engine said.
        reason: String,
    },
    /// An output is not what the decoder reads.
    #[error("output {output} of the model has the shape {found:?}: {expected} expected")]
    Shape {
        /// Which, from 0.
        output: usize,
        /// Its shape.
        found: Vec<usize>,
        /// What it should be.
        expected: String,
    },
    /// An output holds a probability above 1.
    #[error("output {output} of the model holds probabilities above 1: it is not what its decoder reads")]
    NoProbability {
        /// Which, from 0.
        output: usize,
    },
    /// An output holds a number that is infinite or none.
    #[error("output {output} of the model holds values that are not finite")]
    NotFinite {
        /// Which, from 0.
        output: usize,
    },
}

/// A model that is ready to look at pictures. The same picture gives the same result, bit for bit, on any thread.
pub trait Inference: Send + Sync {
    /// What it computes.
    fn role(&self) -> JobRole;

    /// Which model it is.
    fn identity(&self) -> &ModelIdentity;

    /// Looks at a frame as the camera gave it.
    ///
    /// # Errors
    ///
    /// [`InferenceError`] when it cannot be decoded, or as [`Self::infer_rgb`].
    fn look(&self, look: &Look) -> Result<JobOutput, InferenceError> {
        self.infer_rgb(&jpeg::decode_rgb(&look.jpeg)?, look.crop)
    }

    /// Looks at a picture, and at a part of it more closely where that is asked for and the model makes use of it. Masks
    /// cover the whole picture; boxes are in its pixels.
    ///
    /// # Errors
    ///
    /// [`InferenceError`] when the engine fails, or gives what cannot be a result. Never panics.
    fn infer_rgb(&self, picture: &RgbPicture, crop: Option<Crop>) -> Result<JobOutput, InferenceError>;
}
