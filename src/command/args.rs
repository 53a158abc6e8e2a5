//! What several commands may be told alike.

use std::path::PathBuf;

/// Where models are.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ModelsFolder {
    /// The folder with model files. What is not found is done without, and said so.
    ///
    /// Without it, the environment variable WAYWARDEN_MODELS, else the user's data folder.
    #[arg(long = "models", value_name = "DIR")]
    pub folder: Option<PathBuf>,
}
