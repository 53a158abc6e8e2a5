//! Networks computed by [ONNX Runtime](https://onnxruntime.ai), a shared library that is opened where there is one.
//!
//! Nothing of it is linked. Its C interface grows and stays compatible: any version from [`OLDEST`] on will do. Newer ones
//! report to their makers over the network, unless told by [`SILENCE`] not to; without that they are refused.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueType};

use super::{Graph, Input, Output, Port, unpanicked};
use workers::Workers;

mod library;
mod workers;

pub use library::{OLDEST, SILENCE, places};

/// Why ONNX Runtime cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ONNX Runtime cannot be used from {}: {reason}", path.display())]
pub struct LibraryError {
    /// The library.
    pub path: PathBuf,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

/// ONNX Runtime, opened. Clones are the same one.
#[derive(Clone, Debug)]
pub struct OnnxRuntime {
    loaded: &'static Loaded,
}

#[derive(Debug)]
struct Loaded {
    path: PathBuf,
    version: String,
    environment: Environment,
}

/// A process can open it once: it has global state of its own.
static LOADED: OnceLock<Loaded> = OnceLock::new();

/// Held while it is opened.
static OPENING: Mutex<()> = Mutex::new(());

impl OnnxRuntime {
    /// Opens the library at `path`. The first one that could be opened stays for the life of the process.
    ///
    /// # Errors
    ///
    /// [`LibraryError`] when there is no such file, it is another library, damaged, for another processor or older than
    /// [`OLDEST`]; when it would report to its makers; and when another one has been opened before.
    pub fn open(path: &Path) -> Result<Self, LibraryError> {
        let error = |reason| LibraryError { path: path.to_path_buf(), reason };
        let path = std::path::absolute(path).map_err(|fault| error(fault.to_string()))?;
        let _guard = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = match LOADED.get() {
            Some(loaded) if loaded.path == path => loaded,
            other => {
                let version = unpanicked(|| library::check(&path)).map_err(error)?;
                if let Some(other) = other {
                    return Err(error(format!("this process runs on {} already", other.path.display())));
                }
                let loaded = unpanicked(|| open(path, version)).map_err(error)?;
                LOADED.get_or_init(|| loaded)
            }
        };
        Ok(Self { loaded })
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.loaded.path
    }

    /// Its version, as it gives it: `1.28.0`.
    pub fn version(&self) -> &str {
        &self.loaded.version
    }

    /// Loads an ONNX file. With one thread the one that asks for a result computes; of more, the others stand back
    /// when the first one that asks does so.
    pub(super) fn load(&self, onnx: &[u8], threads: usize) -> Result<Box<dyn Graph>, String> {
        let workers = Workers::default();
        let session = session(&self.loaded.environment, onnx, threads, workers.clone()).map_err(|e| e.to_string())?;
        let ports = |outlets: &[Outlet]| outlets.iter().map(port).collect();
        let (inputs, outputs) = (ports(session.inputs()), ports(session.outputs()));
        Ok(Box::new(Model { session: Mutex::new(session), inputs, outputs, workers }))
    }
}

fn open(path: PathBuf, version: String) -> Result<Loaded, String> {
    let environment = ort::init_from(&path)
        .map_err(|error| error.to_string())?
        .with_name("waywarden")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| error.to_string())?;
    environment.set_log_level(LogLevel::Warning);
    Ok(Loaded { path, version, environment })
}

/// What fails is returned as an error, too: nothing of it is news for a person.
fn log(level: LogLevel, _category: &str, _id: &str, place: &str, message: &str) {
    tracing::debug!(target: "onnxruntime", ?level, place, "{message}");
}

fn session(environment: &Environment, onnx: &[u8], threads: usize, workers: Workers) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_deterministic_compute(true)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        // Threads that spin while they wait would take the cores from the rest of the program.
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_thread_manager(workers)?
        .commit_from_memory(onnx)
}

fn port(outlet: &Outlet) -> Port {
    let name = outlet.name().to_owned();
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => Port {
            name,
            shape: Some(shape.iter().map(|&size| usize::try_from(size).ok()).collect()),
            other_type: (*ty != TensorElementType::Float32).then(|| ty.to_string()),
        },
        other => Port { name, shape: None, other_type: Some(other.to_string()) },
    }
}

struct Model {
    /// Its runs need it alone. One job of a role runs at a time, so nobody waits.
    session: Mutex<Session>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    workers: Workers,
}

impl Graph for Model {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&self, inputs: Vec<Input>) -> Result<Vec<Output>, String> {
        self.workers.follow();
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let values: ort::Result<Vec<SessionInputValue<'_>>> = inputs.into_iter().map(value).collect();
        let values = values.and_then(|values| session.run(&values[..])).map_err(|error| error.to_string())?;
        Ok(values.values().map(|value| output(&value)).collect())
    }
}

fn value(input: Input) -> ort::Result<SessionInputValue<'static>> {
    Ok(match input {
        Input::Floats(shape, data) => Tensor::from_array((shape, data))?.into(),
        Input::Whole(number) => Tensor::from_array(([0_usize; 0], vec![number]))?.into(),
    })
}

fn output(value: &DynValue) -> Output {
    let shape = match value.dtype() {
        ValueType::Tensor { shape, .. } => shape.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect(),
        _ => Vec::new(),
    };
    Output { shape, data: value.try_extract_tensor::<f32>().ok().map(|(_, data)| data.to_vec()) }
}

#[cfg(test)]
pub(crate) mod tests;
