//! Networks: an ONNX file, what must be known of it, and an [`Engine`] that computes it.

use serde::{Deserialize, Serialize};
use waywarden_components::job::{Crop, JobOutput, JobRole};

use crate::camera::jpeg::RgbPicture;
use crate::inference::detect::{Thresholds, View, fastestdet, nanodet, yolox};
use crate::inference::engine::{Engine, Graph, Input, Output, Port, unpanicked};
use crate::inference::prepare::{InputSpec, prepare};
use crate::inference::{Inference, InferenceError, ModelIdentity, segment, views};

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
    /// NanoDet: classes of three grids, then edges of the same as distributions, 80 classes of COCO.
    Nanodet,
    /// FastestDet: planes of one grid, 80 classes of COCO.
    Fastestdet,
}

impl Decoder {
    /// What is found in the output.
    pub fn role(self) -> JobRole {
        match self {
            Self::Twinlitenet | Self::TwinlitenetPlus => JobRole::Segmentation,
            Self::Yolox | Self::Nanodet | Self::Fastestdet => JobRole::Detection,
        }
    }

    fn output_shapes(self, input: &InputSpec) -> Vec<Vec<usize>> {
        match self {
            Self::Twinlitenet | Self::TwinlitenetPlus => vec![segment::output_shape(input).to_vec(); 2],
            Self::Yolox => yolox::output_shapes(input),
            Self::Nanodet => nanodet::output_shapes(input),
            Self::Fastestdet => fastestdet::output_shapes(input),
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
    /// When it is believed.
    pub thresholds: Thresholds,
}

/// Why a file is not the network that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No ONNX file, or one that the engine cannot use.
    #[error("not an ONNX model that {engine} can load: {reason}")]
    Unreadable {
        /// What was to compute it, with its version.
        engine: String,
        /// What it said.
        reason: String,
    },
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
    graph: Box<dyn Graph>,
}

impl Network {
    /// Loads an ONNX file. `threads` is how many threads the engine computes on, at least 1. They have the priority of
    /// the first thread that asks for a result.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] when the engine cannot use the file, or its inputs and outputs are not those of `spec`.
    pub fn load(
        identity: ModelIdentity,
        onnx: Vec<u8>,
        spec: NetworkSpec,
        engine: &Engine,
        threads: usize,
    ) -> Result<Self, NetworkError> {
        let unreadable = |reason| NetworkError::Unreadable { engine: engine.name(), reason };
        let graph = engine.load(onnx, threads.max(1)).map_err(unreadable)?;
        check_inputs(graph.inputs(), &spec.input)?;
        check_outputs(graph.outputs(), &spec)?;
        Ok(Self { identity, spec, graph })
    }

    /// The numbers of every output, of the shape that the decoder reads.
    ///
    /// # Errors
    ///
    /// [`InferenceError`] when the engine fails, or an output has another shape or type.
    fn run(&self, input: Vec<f32>) -> Result<Vec<Vec<f32>>, InferenceError> {
        let InputSpec { width, height, .. } = self.spec.input;
        let input = Input::Floats(vec![1, 3, height as usize, width as usize], input);
        let outputs = unpanicked(|| self.graph.run(vec![input]))
            .map_err(|reason| InferenceError::Runtime { model: self.identity.name.clone(), reason })?;
        let shapes = self.spec.decoder.output_shapes(&self.spec.input);
        let shape_error = |output, found, expected: &[usize]| InferenceError::Shape {
            output,
            found,
            expected: format!("{expected:?} of 32 bit floats"),
        };
        if outputs.len() < shapes.len() {
            return Err(shape_error(outputs.len(), Vec::new(), &shapes[outputs.len()]));
        }
        let mut numbers = Vec::with_capacity(shapes.len());
        for (index, (Output { shape, data }, expected)) in outputs.into_iter().zip(&shapes).enumerate() {
            match data {
                Some(data) if shape == *expected => numbers.push(data),
                _ => return Err(shape_error(index, shape, expected)),
            }
        }
        Ok(numbers)
    }
}

impl Inference for Network {
    fn role(&self) -> JobRole {
        self.spec.decoder.role()
    }

    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn infer_rgb(&self, picture: &RgbPicture, crop: Option<Crop>) -> Result<JobOutput, InferenceError> {
        let thresholds = self.spec.thresholds;
        let crop = crop.and_then(|crop| crop.within(picture.width, picture.height));
        let Some(crop) = crop.filter(|_| self.role() == JobRole::Detection && picture.is_sound()) else {
            return self.infer_view(picture, &thresholds);
        };
        let weak = Thresholds { score: thresholds.score.min(views::SUPPORT), ..thresholds };
        match (self.infer_view(picture, &weak)?, self.infer_view(&picture.part(crop), &weak)?) {
            (JobOutput::Detections(whole), JobOutput::Detections(closer)) => {
                let closer: Vec<_> = closer.into_iter().map(|found| views::in_frame(found, crop)).collect();
                let frame = (picture.width, picture.height);
                Ok(JobOutput::Detections(views::merge(&whole, &closer, crop, frame, &thresholds)))
            }
            // What a detector does not find.
            (whole, _) => Ok(whole),
        }
    }
}

impl Network {
    /// One look at all of a picture.
    fn infer_view(&self, picture: &RgbPicture, thresholds: &Thresholds) -> Result<JobOutput, InferenceError> {
        let NetworkSpec { input: spec, decoder, .. } = &self.spec;
        let (input, place) = prepare(picture, spec)?;
        let outputs = self.run(input)?;
        let view = View { spec, place: &place, frame: (picture.width, picture.height), thresholds };
        match decoder {
            Decoder::Twinlitenet | Decoder::TwinlitenetPlus => match &outputs[..] {
                [drivable, lines] => {
                    segment::decode([drivable, lines], spec, &place, thresholds.drivable).map(JobOutput::Segmentation)
                }
                // `run` gives as many as the decoder has.
                others => {
                    let reason = format!("{} outputs are not those of a {}", others.len(), self.role());
                    Err(InferenceError::Runtime { model: self.identity.name.clone(), reason })
                }
            },
            Decoder::Yolox => yolox::decode(&outputs, &view).map(JobOutput::Detections),
            Decoder::Nanodet => nanodet::decode(&outputs, &view).map(JobOutput::Detections),
            Decoder::Fastestdet => fastestdet::decode(&outputs, &view).map(JobOutput::Detections),
        }
    }
}

fn check_inputs(inputs: &[Port], spec: &InputSpec) -> Result<(), NetworkError> {
    let [input] = inputs else {
        let what = format!("{} inputs", inputs.len());
        return Err(NetworkError::Unfit { what, expected: "one".into() });
    };
    check_port(input, "an input", &[1, 3, spec.height as usize, spec.width as usize])
}

fn check_outputs(outputs: &[Port], spec: &NetworkSpec) -> Result<(), NetworkError> {
    let shapes = spec.decoder.output_shapes(&spec.input);
    if outputs.len() != shapes.len() {
        let what = format!("{} outputs", outputs.len());
        return Err(NetworkError::Unfit { what, expected: shapes.len().to_string() });
    }
    outputs.iter().zip(&shapes).try_for_each(|(port, shape)| check_port(port, "an output", shape))
}

/// Compares what a file says of a value with what is expected of it. What it leaves open is checked at every run.
pub(super) fn check_port(port: &Port, what: &str, expected: &[usize]) -> Result<(), NetworkError> {
    let Port { name, shape, other_type } = port;
    if let Some(shape) = shape {
        let fits = shape.len() == expected.len()
            && shape.iter().zip(expected).all(|(found, expected)| found.is_none_or(|found| found == *expected));
        if !fits {
            let sizes: Vec<String> =
                shape.iter().map(|size| size.map_or("?".into(), |size| size.to_string())).collect();
            let what = format!("{what} ({name}) of shape [{}]", sizes.join(", "));
            return Err(NetworkError::Unfit { what, expected: format!("{expected:?}") });
        }
    }
    match other_type {
        None => Ok(()),
        Some(other) => {
            let what = format!("{what} ({name}) of type {other}");
            Err(NetworkError::Unfit { what, expected: "32 bit floats".into() })
        }
    }
}

#[cfg(test)]
mod tests;
