//! What says how likely there is speech in a window of sound: earshot, which is built in, or Silero, where its file is.

use std::sync::Arc;

use waywarden_components::audio::VoiceStatus;
use waywarden_perception::speech::{self as earshot, Earshot};

use crate::inference::InferenceError;
use crate::inference::speech::{self, SpeechNetwork};

/// Listens to one microphone. The same sound since the last reset gives the same probabilities, bit for bit.
pub trait Detector: Send + Sync {
    /// Samples of a window, at 16 kHz.
    fn window(&self) -> usize;

    /// The probability, 0 to 1, that there is speech in the next window.
    ///
    /// # Errors
    ///
    /// [`InferenceError`] when it cannot be computed.
    fn hear(&mut self, window: &[i16]) -> Result<f32, InferenceError>;

    /// Forgets what it has heard.
    fn reset(&mut self);
}

/// Which detector listens.
#[derive(Clone, Default)]
pub enum Choice {
    /// earshot: part of this program, always there. Windows of 16 ms.
    #[default]
    Earshot,
    /// Silero VAD: a model. Windows of 32 ms.
    Silero(Arc<SpeechNetwork>),
}

/// The name of earshot.
pub const EARSHOT: &str = "earshot";

impl Choice {
    /// One for a microphone, that has heard nothing.
    pub fn detector(&self) -> Box<dyn Detector> {
        match self {
            Self::Earshot => Box::new(Earshot::new()),
            Self::Silero(network) => Box::new(Silero::new(Arc::clone(network))),
        }
    }

    /// What the world is told of it. `instead` is why it is not the one that was asked for, if it is not.
    pub fn status(&self, instead: String) -> VoiceStatus {
        let (name, window) = match self {
            Self::Earshot => (EARSHOT, earshot::WINDOW),
            Self::Silero(network) => (network.identity().name.as_str(), speech::WINDOW),
        };
        VoiceStatus { detector: name.to_owned(), window_samples: window as u32, instead }
    }
}

impl Detector for Earshot {
    fn window(&self) -> usize {
        earshot::WINDOW
    }

    fn hear(&mut self, window: &[i16]) -> Result<f32, InferenceError> {
        Ok(Earshot::hear(self, window))
    }

    fn reset(&mut self) {
        Earshot::reset(self);
    }
}

/// Silero for one microphone: the network, and what it remembers.
struct Silero {
    network: Arc<SpeechNetwork>,
    /// The end of the window before, and room for the next one. -1 to 1.
    sound: [f32; speech::CONTEXT + speech::WINDOW],
    state: [f32; speech::STATE],
}

impl Silero {
    fn new(network: Arc<SpeechNetwork>) -> Self {
        Self { network, sound: [0.0; speech::CONTEXT + speech::WINDOW], state: [0.0; speech::STATE] }
    }
}

impl Detector for Silero {
    fn window(&self) -> usize {
        speech::WINDOW
    }

    fn hear(&mut self, window: &[i16]) -> Result<f32, InferenceError> {
        self.sound.copy_within(speech::WINDOW.., 0);
        for (sample, heard) in self.sound[speech::CONTEXT..].iter_mut().zip(window) {
            *sample = f32::from(*heard) / 32_768.0;
        }
        self.network.hear(&self.sound, &mut self.state)
    }

    fn reset(&mut self) {
        *self = Self::new(Arc::clone(&self.network));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earshot_says_what_it_is() {
        let choice = Choice::default();
        assert_eq!(choice.status(String::new()), VoiceStatus::default());
        assert_eq!(choice.detector().window() as u32, choice.status(String::new()).window_samples);
    }
}
