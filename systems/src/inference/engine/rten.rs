//! Networks computed by rten, which reads ONNX files and needs nothing but itself.

use std::sync::{Arc, OnceLock};

use rten::{DataType, Dimension, Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueType};
use rten_tensor::{Layout as _, Tensor};

use super::{Graph, Input, Output, Port};

/// The version that is linked.
pub const VERSION: &str = "0.27.0";

struct Rten {
    model: Model,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    threads: usize,
    pool: OnceLock<Arc<ThreadPool>>,
}

/// Loads a file. The threads are started by the first thread that asks for a result, and so have its priority: on Linux
/// a thread inherits nice value and scheduling policy from the one that starts it.
pub(super) fn load(onnx: Vec<u8>, threads: usize) -> Result<Box<dyn Graph>, String> {
    let model = ModelOptions::with_all_ops().load(onnx).map_err(|error| error.to_string())?;
    let ports = |nodes: &[NodeId]| nodes.iter().map(|&node| port(&model, node)).collect();
    let (inputs, outputs) = (ports(model.input_ids()), ports(model.output_ids()));
    Ok(Box::new(Rten { model, inputs, outputs, threads, pool: OnceLock::new() }))
}

fn port(model: &Model, node: NodeId) -> Port {
    let Some(info) = model.node_info(node) else {
        return Port { name: "without name".into(), shape: None, other_type: None };
    };
    let size = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => Some(*size),
        Dimension::Symbolic(_) => None,
    };
    Port {
        name: info.name().unwrap_or("without name").into(),
        shape: info.shape().map(|shape| shape.iter().map(size).collect()),
        other_type: match info.dtype() {
            None | Some(ValueType::Tensor(DataType::Float)) => None,
            Some(other) => Some(other.to_string()),
        },
    }
}

impl Graph for Rten {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&self, inputs: Vec<Input>) -> Result<Vec<Output>, String> {
        let nodes = self.model.input_ids();
        if nodes.len() != inputs.len() {
            return Err(format!("it has {} inputs", self.inputs.len()));
        }
        let values: Result<Vec<_>, String> =
            nodes.iter().zip(inputs).map(|(&node, input)| Ok((node, value(input)?.into()))).collect();
        let pool = self.pool.get_or_init(|| Arc::new(ThreadPool::with_num_threads(self.threads)));
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(pool)));
        let values = self.model.run(values?, self.model.output_ids(), Some(options));
        Ok(values.map_err(|error| error.to_string())?.into_iter().map(output).collect())
    }
}

fn value(input: Input) -> Result<Value, String> {
    match input {
        Input::Floats(shape, data) => {
            Ok(Tensor::try_from_data(&shape[..], data).map_err(|error| error.to_string())?.into())
        }
        // Where a file says 64 bits, rten reads 32.
        Input::Whole(number) => {
            let number = i32::try_from(number).map_err(|error| error.to_string())?;
            Ok(Tensor::from(number).into())
        }
    }
}

fn output(value: Value) -> Output {
    let shape = value.shape().to_vec();
    Output { shape, data: value.into_tensor::<f32>().map(|tensor| tensor.into_data()) }
}
