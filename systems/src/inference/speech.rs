//! A network that hears whether somebody speaks: Silero VAD, version 6, for 16 kHz.
//!
//! It is given a window of sound with the last samples of the one before, and what it remembers, and gives a probability
//! and what it remembers now. Source: <https://github.com/snakers4/silero-vad>, `utils_vad.py`.

use crate::inference::engine::{Engine, Graph, Input, Port, unpanicked};
use crate::inference::network::{NetworkError, check_port};
use crate::inference::{InferenceError, ModelIdentity};

/// Samples of a window: 32 ms.
pub const WINDOW: usize = 512;

/// Samples of the window before that it is given again.
pub const CONTEXT: usize = 64;

/// Numbers that it remembers: two layers' worth of 128.
pub const STATE: usize = 2 * 128;

/// Samples a second.
const RATE: i64 = 16_000;

/// The network, loaded and tried. What it remembers is with whoever asks.
pub struct SpeechNetwork {
    identity: ModelIdentity,
    graph: Box<dyn Graph>,
}

impl SpeechNetwork {
    /// Loads an ONNX file, and computes a window of silence: an engine that lacks what the network needs says so here.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] when the engine cannot use the file, or it is another network.
    pub fn load(identity: ModelIdentity, onnx: Vec<u8>, engine: &Engine) -> Result<Self, NetworkError> {
        let unreadable = |reason| NetworkError::Unreadable { engine: engine.name(), reason };
        let graph = engine.load(onnx, 1).map_err(unreadable)?;
        check(graph.inputs(), graph.outputs())?;
        let network = Self { identity, graph };
        let tried = network.hear(&[0.0; CONTEXT + WINDOW], &mut [0.0; STATE]);
        tried.map_err(|error| unreadable(error.to_string()))?;
        Ok(network)
    }

    /// Which model it is.
    pub fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    /// The probability, 0 to 1, that there is speech in the window behind the context, samples being -1 to 1. `state`
    /// becomes what is to be remembered; at first all of it is 0. It stays as it was if there is an error.
    ///
    /// # Errors
    ///
    /// [`InferenceError`] when the engine fails, or gives what is no probability or no memory. Never panics.
    pub fn hear(&self, sound: &[f32; CONTEXT + WINDOW], state: &mut [f32; STATE]) -> Result<f32, InferenceError> {
        let inputs = vec![
            Input::Floats(vec![1, CONTEXT + WINDOW], sound.to_vec()),
            Input::Floats(vec![2, 1, 128], state.to_vec()),
            Input::Whole(RATE),
        ];
        let outputs = unpanicked(|| self.graph.run(inputs))
            .map_err(|reason| InferenceError::Runtime { model: self.identity.name.clone(), reason })?;
        let numbers = |index: usize, length: usize| {
            let found = outputs.get(index);
            let data = found.and_then(|output| output.data.as_deref()).filter(|data| data.len() == length);
            data.ok_or_else(|| InferenceError::Shape {
                output: index,
                found: found.map(|output| output.shape.clone()).unwrap_or_default(),
                expected: format!("{length} 32 bit floats"),
            })
        };
        let (probability, remembered) = (numbers(0, 1)?, numbers(1, STATE)?);
        if let Some(index) = [probability, remembered].iter().position(|all| all.iter().any(|n| !n.is_finite())) {
            return Err(InferenceError::NotFinite { output: index });
        }
        let [probability] = *probability else { return Err(InferenceError::NoProbability { output: 0 }) };
        if probability > 1.0 {
            return Err(InferenceError::NoProbability { output: 0 });
        }
        state.copy_from_slice(remembered);
        Ok(probability.max(0.0))
    }
}

fn check(inputs: &[Port], outputs: &[Port]) -> Result<(), NetworkError> {
    let expected = "input, state and sr, and output and stateN";
    let names = |ports: &[Port]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>();
    let found = [names(inputs), names(outputs)].concat();
    if found != ["input", "state", "sr", "output", "stateN"] {
        return Err(NetworkError::Unfit { what: found.join(", "), expected: expected.into() });
    }
    check_port(&inputs[0], "an input", &[1, CONTEXT + WINDOW])?;
    check_port(&inputs[1], "an input", &[2, 1, 128])?;
    check_port(&outputs[0], "an output", &[1, 1])?;
    check_port(&outputs[1], "an output", &[2, 1, 128])
}

#[cfg(test)]
mod tests;
