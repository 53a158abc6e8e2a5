//! What computes a network: engines behind one trait, so that all that is done before and after is done once.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub mod onnxruntime;
mod rten;

pub use onnxruntime::{LibraryError, OnnxRuntime};
pub use rten::VERSION as RTEN_VERSION;

/// What computes networks.
#[derive(Clone, Debug, Default)]
pub enum Engine {
    /// rten: in Rust, part of this program, always there.
    #[default]
    Rten,
    /// ONNX Runtime: a shared library, two to five times as fast where there is one.
    OnnxRuntime(OnnxRuntime),
}

impl Engine {
    /// What sessions and reports call it, with its version: `rten 0.27.0`, `onnxruntime 1.28.0`.
    pub fn name(&self) -> String {
        match self {
            Self::Rten => format!("{} {RTEN_VERSION}", EngineKind::Rten.name()),
            Self::OnnxRuntime(library) => format!("{} {}", EngineKind::OnnxRuntime.name(), library.version()),
        }
    }

    /// Loads an ONNX file, to be computed on `threads` threads.
    pub(super) fn load(&self, onnx: Vec<u8>, threads: usize) -> Result<Box<dyn Graph>, String> {
        unpanicked(|| match self {
            Self::Rten => rten::load(onnx, threads),
            Self::OnnxRuntime(library) => library.load(&onnx, threads),
        })
    }
}

/// The kinds of engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// See [`Engine::Rten`].
    Rten,
    /// See [`Engine::OnnxRuntime`].
    OnnxRuntime,
}

impl EngineKind {
    /// How its name begins.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rten => "rten",
            Self::OnnxRuntime => "onnxruntime",
        }
    }

    /// The kind of an engine that calls itself `engine`.
    pub fn of(engine: &str) -> Option<Self> {
        let name = engine.split(' ').next();
        [Self::Rten, Self::OnnxRuntime].into_iter().find(|kind| Some(kind.name()) == name)
    }
}

/// A network as an engine has loaded it.
pub(super) trait Graph: Send + Sync {
    /// What it is given.
    fn inputs(&self) -> &[Port];

    /// What it gives.
    fn outputs(&self) -> &[Port];

    /// Computes its outputs, in order, from its inputs, in order.
    fn run(&self, inputs: Vec<Input>) -> Result<Vec<Output>, String>;
}

/// What an input is given.
pub(super) enum Input {
    /// 32 bit floats of a shape.
    Floats(Vec<usize>, Vec<f32>),
    /// A whole number, 64 bits, without a shape.
    Whole(i64),
}

/// What a file says of an input or output.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Port {
    /// Its name.
    pub name: String,
    /// Its shape. None is left open.
    pub shape: Option<Vec<Option<usize>>>,
    /// The type of its numbers, if they are no 32 bit floats.
    pub other_type: Option<String>,
}

/// What an output turned out to be.
pub(super) struct Output {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers. None if they are no 32 bit floats.
    pub data: Option<Vec<f32>>,
}

/// Runs what may panic, and gives the panic's message. Sound for engines: a loaded model does not change, and buffers of
/// a run that ended early are dropped with it.
pub(super) fn unpanicked<R>(work: impl FnOnce() -> Result<R, String>) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_message(&*panic))))
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("for a reason that is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_an_engine_is_an_error() {
        let panicked = unpanicked(|| -> Result<u8, String> { panic!("at the {}", "disco") });
        assert_eq!(panicked, Err("it panicked: at the disco".into()));
    }

    #[test]
    fn engines_are_known_by_their_names() {
        assert_eq!(EngineKind::of(&Engine::Rten.name()), Some(EngineKind::Rten));
        assert_eq!(EngineKind::of("onnxruntime 1.28.0"), Some(EngineKind::OnnxRuntime));
        assert_eq!(EngineKind::of("abacus 1"), None);
    }

    #[test]
    fn the_version_is_the_one_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        let entry = format!("name = \"rten\"\nversion = \"{RTEN_VERSION}\"\n");
        assert!(lock.contains(&entry), "rten {RTEN_VERSION} is not in Cargo.lock");
    }
}
