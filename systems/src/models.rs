//! The model manifest: which files are known, where they are looked for, and that they are what they claim to be.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use waywarden_components::job::JobRole;

use crate::inference::detect::Thresholds;
use crate::inference::engine::Engine;
use crate::inference::network::{Decoder, Network, NetworkError, NetworkSpec};
use crate::inference::prepare::InputSpec;
use crate::inference::speech::SpeechNetwork;
use crate::inference::{Inference, ModelIdentity};

/// The manifest that is compiled in.
pub const BUILT_IN: &str = include_str!("../../assets/models.toml");

/// Largest file that is taken for a model, in bytes.
pub const MAX_MODEL_BYTES: u64 = 512 * 1024 * 1024;

/// Why a model is not used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The manifest cannot be read.
    #[error("{manifest}: {reason}")]
    Manifest {
        /// Where it came from.
        manifest: String,
        /// What is wrong with it, with line and column where there is one.
        reason: String,
    },
    /// The file cannot be read.
    #[error("model {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than any model.
    #[error("model {}: larger than {MAX_MODEL_BYTES} bytes", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
    },
    /// The file is another one than was asked for.
    #[error(
        "model {}: its SHA-256 is {found}, accepted is {}. It is damaged or another version: get the listed one, \
         or name yours with its SHA-256 in the config", file.display(), accepted.join(" or ")
    )]
    WrongHash {
        /// The file.
        file: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        accepted: Vec<String>,
    },
    /// What is said of the model cannot be.
    #[error("model {}: {reason}", file.display())]
    Description {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is what was asked for, but cannot be used.
    #[error("model {}: {source}", file.display())]
    Network {
        /// The file.
        file: PathBuf,
        /// Why.
        source: NetworkError,
    },
}

/// A model that is known. See `assets/models.toml`, which documents every field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// What it is called in configs, sessions and reports.
    pub name: String,
    /// What it computes.
    pub role: JobRole,
    /// SPDX name of the licence of its weights.
    pub licence: String,
    /// File names that are looked for; the first one is what a download is stored as.
    pub files: Vec<String>,
    /// What it is given.
    pub input: InputSpec,
    /// How its output is read.
    pub decoder: Decoder,
    /// When it is believed.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Where it can be had.
    pub urls: Vec<String>,
    /// SHA-256 of the files that are accepted, in lower-case hexadecimal digits.
    pub sha256: Vec<String>,
}

/// A model that is known and hears whether somebody speaks. See `assets/models.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeechEntry {
    /// What it is called in sessions and reports.
    pub name: String,
    /// SPDX name of the licence of its weights.
    pub licence: String,
    /// File names that are looked for; the first one is what a download is stored as.
    pub files: Vec<String>,
    /// Where it can be had.
    pub urls: Vec<String>,
    /// SHA-256 of the files that are accepted, in lower-case hexadecimal digits.
    pub sha256: Vec<String>,
}

/// A user's own model, as the config names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomModel {
    /// The file: ONNX.
    pub path: PathBuf,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// What it computes.
    pub role: JobRole,
    /// What it is given.
    pub input: InputSpec,
    /// How its output is read.
    pub decoder: Decoder,
    /// When it is believed.
    #[serde(default)]
    pub thresholds: Thresholds,
}

/// The known models, in order of preference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The models.
    #[serde(rename = "model")]
    pub models: Vec<ModelEntry>,
    /// Those that hear whether somebody speaks.
    #[serde(default)]
    pub speech: Vec<SpeechEntry>,
}

/// No file of a role was found. Not an error: the app runs without, and its health says this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no {role} model: looked for {} in {}; get it with `waywarden models fetch`, or pass --models DIR",
    list(files),
    list(dirs)
)]
pub struct MissingModel {
    /// What is missing.
    pub role: JobRole,
    /// The names that were looked for.
    pub files: Vec<String>,
    /// Where.
    pub dirs: Vec<String>,
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "no place".into() } else { items.join(", ") }
}

impl Manifest {
    /// The manifest that is compiled in.
    ///
    /// # Errors
    ///
    /// [`ModelError::Manifest`] never, as a test sees to.
    pub fn built_in() -> Result<Self, ModelError> {
        Self::parse(BUILT_IN, "built-in models.toml")
    }

    /// Reads a manifest. `origin` names it in errors.
    ///
    /// # Errors
    ///
    /// [`ModelError::Manifest`] when it is no TOML, has unknown or missing keys, or says what cannot be.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ModelError> {
        let fault = |reason| ModelError::Manifest { manifest: origin.into(), reason };
        let manifest: Self = toml::from_str(text).map_err(|error| fault(error.to_string()))?;
        for (index, model) in manifest.models.iter().enumerate() {
            let about = |reason| fault(format!("model {}: {reason}", model.name));
            if manifest.models[..index].iter().any(|other| other.name == model.name) {
                return Err(about("named twice".into()));
            }
            // A name with a separator would be looked for outside the folders that the user allowed.
            if model.files.is_empty() || model.files.iter().any(|file| !is_file_name(file)) {
                return Err(about("files must be names, without folders".into()));
            }
            if model.sha256.is_empty() {
                return Err(about("sha256 is empty".into()));
            }
            check_description(model.role, model.decoder, &model.input, &model.thresholds, &model.sha256)
                .map_err(about)?;
        }
        for model in &manifest.speech {
            let about = |reason: &str| fault(format!("speech model {}: {reason}", model.name));
            if model.files.is_empty() || model.files.iter().any(|file| !is_file_name(file)) {
                return Err(about("files must be names, without folders"));
            }
            if model.sha256.is_empty() || !model.sha256.iter().all(|hash| is_hash(hash)) {
                return Err(about("sha256 must be 64 hexadecimal digits"));
            }
        }
        Ok(manifest)
    }

    /// The preferred model of a role whose file is in one of `dirs`, and that file. The manifest's order counts before
    /// that of the folders.
    ///
    /// # Errors
    ///
    /// [`MissingModel`] when there is none: a reason for health to give.
    pub fn find(&self, role: JobRole, dirs: &[PathBuf]) -> Result<(&ModelEntry, PathBuf), MissingModel> {
        let of_role = || self.models.iter().filter(|model| model.role == role);
        of_role().find_map(|model| Some((model, model.locate(dirs)?))).ok_or_else(|| MissingModel {
            role,
            files: of_role().flat_map(|model| model.files.clone()).collect(),
            dirs: dirs.iter().map(|dir| dir.display().to_string()).collect(),
        })
    }
}

impl ModelEntry {
    /// Whether a file with this SHA-256 is one of those accepted.
    pub fn accepts(&self, sha256: &str) -> bool {
        self.sha256.iter().any(|accepted| accepted == sha256)
    }

    /// Its file, in the first of `dirs` that has one.
    pub fn locate(&self, dirs: &[PathBuf]) -> Option<PathBuf> {
        locate(&self.files, dirs)
    }
}

impl SpeechEntry {
    /// Its file, in the first of `dirs` that has one.
    pub fn locate(&self, dirs: &[PathBuf]) -> Option<PathBuf> {
        locate(&self.files, dirs)
    }
}

fn locate(files: &[String], dirs: &[PathBuf]) -> Option<PathBuf> {
    let mut places = dirs.iter().flat_map(|dir| files.iter().map(move |file| dir.join(file)));
    places.find(|path| path.is_file())
}

/// The folders in which models are looked for, in this order: the one of the command line, `$WAYWARDEN_MODELS`, and
/// `waywarden/models` in the user's data directory.
pub fn search_dirs(cli: Option<&Path>) -> Vec<PathBuf> {
    folders(cli, variable("WAYWARDEN_MODELS"), data_dir())
}

/// The user's data directory: `$XDG_DATA_HOME`, by default `~/.local/share`. None for a user without a home.
pub fn data_dir() -> Option<PathBuf> {
    data_home(variable("XDG_DATA_HOME"), variable("HOME"))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn data_home(data: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    // The XDG base directory specification has relative paths ignored.
    data.filter(|dir| dir.is_absolute()).or_else(|| Some(home?.join(".local/share")))
}

fn folders(cli: Option<&Path>, own: Option<PathBuf>, data: Option<PathBuf>) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = Vec::new();
    for dir in [cli.map(Path::to_path_buf), own, data.map(|dir| dir.join("waywarden/models"))].into_iter().flatten() {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs
}

/// Loads a known model from a file, to be computed by `engine` on `threads` threads.
///
/// # Errors
///
/// [`ModelError`] when the file cannot be read, is not one of those accepted, or cannot be used.
pub fn load(
    entry: &ModelEntry,
    path: &Path,
    engine: &Engine,
    threads: usize,
) -> Result<Box<dyn Inference>, ModelError> {
    let spec = NetworkSpec { input: entry.input, decoder: entry.decoder, thresholds: entry.thresholds };
    load_checked(entry.name.clone(), path, &entry.sha256, spec, engine, threads)
}

/// Loads a user's own model, to be computed by `engine` on `threads` threads.
///
/// # Errors
///
/// As [`load`]; and when its description cannot be.
pub fn load_custom(model: &CustomModel, engine: &Engine, threads: usize) -> Result<Box<dyn Inference>, ModelError> {
    let accepted = [model.sha256.to_ascii_lowercase()];
    check_description(model.role, model.decoder, &model.input, &model.thresholds, &accepted)
        .map_err(|reason| ModelError::Description { file: model.path.clone(), reason })?;
    let name = model.path.file_name().unwrap_or(model.path.as_os_str()).to_string_lossy().into_owned();
    let spec = NetworkSpec { input: model.input, decoder: model.decoder, thresholds: model.thresholds };
    load_checked(name, &model.path, &accepted, spec, engine, threads)
}

/// Loads a known model that hears, to be computed by `engine`.
///
/// # Errors
///
/// As [`load`].
pub fn load_speech(entry: &SpeechEntry, path: &Path, engine: &Engine) -> Result<SpeechNetwork, ModelError> {
    let (identity, bytes) = checked(entry.name.clone(), path, &entry.sha256, engine)?;
    SpeechNetwork::load(identity, bytes, engine)
        .map_err(|source| ModelError::Network { file: path.to_path_buf(), source })
}

fn load_checked(
    name: String,
    path: &Path,
    accepted: &[String],
    spec: NetworkSpec,
    engine: &Engine,
    threads: usize,
) -> Result<Box<dyn Inference>, ModelError> {
    let (identity, bytes) = checked(name, path, accepted, engine)?;
    let network = Network::load(identity, bytes, spec, engine, threads)
        .map_err(|source| ModelError::Network { file: path.to_path_buf(), source })?;
    Ok(Box::new(network))
}

/// Reads a file that must be one of those accepted.
fn checked(
    name: String,
    path: &Path,
    accepted: &[String],
    engine: &Engine,
) -> Result<(ModelIdentity, Vec<u8>), ModelError> {
    let bytes = read(path)?;
    let found = format!("{:x}", Sha256::digest(&bytes));
    if !accepted.contains(&found) {
        return Err(ModelError::WrongHash { file: path.to_path_buf(), found, accepted: accepted.to_vec() });
    }
    Ok((ModelIdentity { name, sha256: found, engine: engine.name() }, bytes))
}

/// SHA-256 of a file, in lower-case hexadecimal digits.
///
/// # Errors
///
/// When it cannot be read.
pub fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(format!("{:x}", hash.finalize()))
}

fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    let failed = |source| ModelError::Read { file: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_MODEL_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_MODEL_BYTES {
        return Err(ModelError::TooLarge { file: path.to_path_buf() });
    }
    Ok(bytes)
}

fn check_description(
    role: JobRole,
    decoder: Decoder,
    input: &InputSpec,
    thresholds: &Thresholds,
    sha256: &[String],
) -> Result<(), String> {
    if decoder.role() != role {
        return Err(format!("its decoder reads a {}, its role is {role}", decoder.role()));
    }
    if !sha256.iter().all(|hash| is_hash(hash)) {
        return Err("sha256 must be 64 hexadecimal digits".into());
    }
    input.fault().or_else(|| thresholds.fault()).map_or(Ok(()), Err)
}

fn is_hash(hash: &str) -> bool {
    hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_file_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| file == name)
}

#[cfg(test)]
mod tests;
