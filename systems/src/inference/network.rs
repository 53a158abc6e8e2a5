//! Networks run by rten, which reads ONNX files and needs nothing but itself.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use rten::{DataType, Dimension, Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueType};
use rten_tensor::{Layout as _, NdTensor};
use serde::{Deserialize, Serialize};
use waywarden_components::job::{JobOutput, JobRole};

use crate::camera::jpeg::RgbPicture;
use crate::inference::detect::{self, Thresholds};
use crate::inference::prepare::{InputSpec, prepare};
use crate::inference::{Inference, InferenceError, ModelIdentity, segment};

/// What runs the networks.
pub const ENGINE: &str = "rten 0.27.0";

/// How the output of a network is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decoder {
    /// TwinLiteNet: drivable area and lane lines, two channels each.
    Twinlitenet,
    /// TwinLiteNet+: the same.
    TwinlitenetPlus,
    /// YOLOX: cells of three grids, 80 classes of COCO.
    Yolox,
}

impl Decoder {
    /// What is found in the output.
    pub fn role(self) -> JobRole {
        match self {
            Self::Twinlitenet | Self::TwinlitenetPlus => JobRole::Segmentation,
            Self::Yolox => JobRole::Detection,
        }
    }

    fn output_shapes(self, input: &InputSpec) -> Vec<Vec<usize>> {
        match self.role() {
            JobRole::Segmentation => vec![segment::output_shape(input).to_vec(); 2],
            JobRole::Detection => vec![detect::output_shape(input).to_vec()],
        }
    }
}

/// What must be known of a network to use it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NetworkSpec {
    /// What it is given.
    pub input: InputSpec,
    /// How its output is read.
    pub decoder: Decoder,
    /// When a detection is believed. Of no meaning to segmentation.
    pub thresholds: Thresholds,
}

/// Why a file is not the network that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No ONNX file, or one that the runtime cannot use.
    #[error("not an ONNX model that {ENGINE} can load: {0}")]
    Unreadable(String),
    /// It has other inputs or outputs than its description says.
    #[error("the model has {what}: {expected} expected; name its input and decoder as they are")]
    Unfit {
        /// What was found.
        what: String,
        /// What was expected.
        expected: String,
    },
}

/// A network, loaded and checked.
pub struct Network {
    identity: ModelIdentity,
    spec: NetworkSpec,
    model: Model,
    input: NodeId,
    threads: usize,
    pool: OnceLock<Arc<ThreadPool>>,
}

impl Network {
    /// Loads an ONNX file. `threads` is how many threads of its own the network computes on, at least 1.
    ///
    /// They are started by the first thread that asks for a result and so have its priority: on Linux a thread inherits
    /// nice value and scheduling policy from the one that starts it.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] when the runtime cannot use the file, or its inputs and outputs are not those of `spec`.
    pub fn load(
        identity: ModelIdentity,
        onnx: Vec<u8>,
        spec: NetworkSpec,
        threads: usize,
    ) -> Result<Self, NetworkError> {
        let load = move || ModelOptions::with_all_ops().load(onnx).map_err(|error| error.to_string());
        let model = unpanicked(load).and_then(|result| result).map_err(NetworkError::Unreadable)?;
        let input = check_inputs(&model, &spec.input)?;
        check_outputs(&model, &spec)?;
        Ok(Self { identity, spec, model, input, threads: threads.max(1), pool: OnceLock::new() })
    }

    fn run(&self, input: Vec<f32>) -> Result<Vec<Value>, InferenceError> {
        let InputSpec { width, height, .. } = self.spec.input;
        let runtime = |reason| InferenceError::Runtime { model: self.identity.name.clone(), reason };
        let input = NdTensor::try_from_data([1, 3, height as usize, width as usize], input)
            .map_err(|error| runtime(error.to_string()))?;
        let pool = self.pool.get_or_init(|| Arc::new(ThreadPool::with_num_threads(self.threads)));
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(pool)));
        let run = || self.model.run(vec![(self.input, input.into())], self.model.output_ids(), Some(options));
        unpanicked(run).and_then(|result| result.map_err(|error| error.to_string())).map_err(runtime)
    }

    /// The numbers of every output, of the shape that the decoder reads.
    fn outputs(&self, values: Vec<Value>) -> Result<Vec<Vec<f32>>, InferenceError> {
        let shapes = self.spec.decoder.output_shapes(&self.spec.input);
        let shape_error = |output, found, expected: &[usize]| InferenceError::Shape {
            output,
            found,
            expected: format!("{expected:?} of 32 bit floats"),
        };
        if values.len() < shapes.len() {
            return Err(shape_error(values.len(), Vec::new(), &shapes[values.len()]));
        }
        let mut outputs = Vec::with_capacity(shapes.len());
        for (index, (value, expected)) in values.into_iter().zip(&shapes).enumerate() {
            let found = value.shape().to_vec();
            match value.into_tensor::<f32>() {
                Some(tensor) if found == *expected => outputs.push(tensor.into_data()),
                _ => return Err(shape_error(index, found, expected)),
            }
        }
        Ok(outputs)
    }
}

impl Inference for Network {
    fn role(&self) -> JobRole {
        self.spec.decoder.role()
    }

    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn infer_rgb(&self, picture: &RgbPicture) -> Result<JobOutput, InferenceError> {
        let NetworkSpec { input: spec, thresholds, .. } = &self.spec;
        let (input, place) = prepare(picture, spec)?;
        let outputs = self.outputs(self.run(input)?)?;
        match (self.role(), &outputs[..]) {
            (JobRole::Segmentation, [drivable, lines]) => {
                segment::decode([drivable, lines], spec, &place).map(JobOutput::Segmentation)
            }
            (JobRole::Detection, [output]) => {
                let frame = (picture.width, picture.height);
                detect::decode(output, spec, &place, frame, thresholds).map(JobOutput::Detections)
            }
            // `outputs` gives as many as the decoder has.
            (role, _) => {
                let reason = format!("{} outputs are not those of a {role}", outputs.len());
                Err(InferenceError::Runtime { model: self.identity.name.clone(), reason })
            }
        }
    }
}

/// Runs what may panic, and gives the panic's message. Sound for the runtime: a loaded model does not change, and
/// buffers of a run that ended early are dropped with it.
fn unpanicked<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| format!("it panicked: {}", panic_message(&*panic)))
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("for a reason that is no text")
}

fn check_inputs(model: &Model, spec: &InputSpec) -> Result<NodeId, NetworkError> {
    let &[input] = model.input_ids() else {
        let what = format!("{} inputs", model.input_ids().len());
        return Err(NetworkError::Unfit { what, expected: "one".into() });
    };
    let expected = [1, 3, spec.height as usize, spec.width as usize];
    check_node(model, input, "an input", &expected)?;
    Ok(input)
}

fn check_outputs(model: &Model, spec: &NetworkSpec) -> Result<(), NetworkError> {
    let shapes = spec.decoder.output_shapes(&spec.input);
    let outputs = model.output_ids();
    if outputs.len() != shapes.len() {
        let what = format!("{} outputs", outputs.len());
        return Err(NetworkError::Unfit { what, expected: shapes.len().to_string() });
    }
    outputs.iter().zip(&shapes).try_for_each(|(&node, shape)| check_node(model, node, "an output", shape))
}

/// Compares what a file says of a value with what is expected of it. What it leaves open is checked at every run.
fn check_node(model: &Model, node: NodeId, what: &str, expected: &[usize]) -> Result<(), NetworkError> {
    let Some(info) = model.node_info(node) else { return Ok(()) };
    let name = info.name().unwrap_or("without name");
    if let Some(shape) = info.shape() {
        let fits = shape.len() == expected.len()
            && shape.iter().zip(expected).all(|(found, expected)| match found {
                Dimension::Fixed(size) => size == expected,
                Dimension::Symbolic(_) => true,
            });
        if !fits {
            let what = format!("{what} ({name}) of shape {shape:?}");
            return Err(NetworkError::Unfit { what, expected: format!("{expected:?}") });
        }
    }
    match info.dtype() {
        None | Some(ValueType::Tensor(DataType::Float)) => Ok(()),
        Some(other) => {
            let what = format!("{what} ({name}) of type {other}");
            Err(NetworkError::Unfit { what, expected: "32 bit floats".into() })
        }
    }
}

#[cfg(test)]
mod tests;
