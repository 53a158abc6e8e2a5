//! What listens for speech in a run: the detector that the config asks for, or earshot instead.

use std::path::Path;
use std::sync::Arc;

use waywarden_components::prelude::*;
use waywarden_systems::inference::engine::EngineKind;
use waywarden_systems::models::{self, Manifest, ModelError};
use waywarden_systems::session::{ModelInfo, Origin, SessionInfo};
use waywarden_systems::voice::detector::{Choice, EARSHOT};

use crate::config::{Config, VoiceDetector};
use crate::engines;
use crate::failure::Failure;

/// The detector of a run.
#[derive(Clone, Default)]
pub struct Hearing {
    /// Which it is.
    pub choice: Choice,
    /// What the world is told.
    pub status: VoiceStatus,
    /// Whether there is a microphone.
    listens: bool,
}

impl Hearing {
    /// Chooses the detector by the config, and looks for its model where [`crate::engines::Engines::load`] does.
    ///
    /// `recorded` is the session that is to be run again, if it is by its own config: what listened then listens again,
    /// computed by the same engine, where it is here.
    ///
    /// # Errors
    /// When a model file is there but is not what it claims to be; when the config asks for an engine that is not here.
    pub fn load(
        config: &Config,
        streams: &[StreamSpec],
        folder: Option<&Path>,
        recorded: Option<&SessionInfo>,
    ) -> Result<Self, Failure> {
        let listens = streams.iter().any(|spec| matches!(spec.kind, StreamKind::Microphone));
        if !listens {
            return Ok(Self::default());
        }
        let wanted = match recorded {
            // Nothing has listened to an import yet.
            Some(info) if info.origin != Origin::Import => match &info.voice {
                Some(model) if model.name != EARSHOT => VoiceDetector::Silero,
                _ => VoiceDetector::Earshot,
            },
            _ => config.voice.detector,
        };
        let (choice, instead) = match wanted {
            VoiceDetector::Earshot => (Choice::Earshot, String::new()),
            VoiceDetector::Auto => silero(config, folder, recorded)?.unwrap_or_else(|missing| match missing {
                // Nobody asked for what is not there.
                Missing::File(_) => (Choice::Earshot, String::new()),
                Missing::Engine(reason) => (Choice::Earshot, reason),
            }),
            VoiceDetector::Silero => silero(config, folder, recorded)?.unwrap_or_else(|missing| {
                let (Missing::File(reason) | Missing::Engine(reason)) = missing;
                (Choice::Earshot, reason)
            }),
        };
        if !instead.is_empty() {
            tracing::warn!("speech: earshot instead: {instead}");
        }
        Ok(Self { status: choice.status(instead), choice, listens })
    }

    /// What a session says of it. None where nobody is listened to.
    pub fn describe(&self) -> Option<ModelInfo> {
        self.listens.then(|| match &self.choice {
            Choice::Earshot => ModelInfo {
                name: EARSHOT.to_owned(),
                // It is part of the build, which the session names.
                sha256: String::new(),
                engine: format!("{EARSHOT} {}", waywarden_perception::speech::VERSION),
            },
            Choice::Silero(network) => {
                let identity = network.identity();
                let (name, sha256) = (identity.name.clone(), identity.sha256.clone());
                ModelInfo { name, sha256, engine: identity.engine.clone() }
            }
        })
    }

    /// How it differs from what listened when a session was recorded, in words.
    pub fn difference(&self, info: &SessionInfo) -> Option<String> {
        let (then, here) = (info.voice.as_ref()?, self.describe()?);
        if *then == here {
            return None;
        }
        Some(if (&then.name, &then.sha256) == (&here.name, &here.sha256) {
            format!("speech was computed by {}, here by {}", then.engine, here.engine)
        } else {
            format!("speech was heard by {} on {}, here by {} on {}", then.name, then.engine, here.name, here.engine)
        })
    }
}

/// Why Silero does not listen.
enum Missing {
    /// Its file is not here.
    File(String),
    /// The engine cannot compute it.
    Engine(String),
}

type Found = Result<(Choice, String), Missing>;

fn silero(config: &Config, folder: Option<&Path>, recorded: Option<&SessionInfo>) -> Result<Found, Failure> {
    let manifest = Manifest::built_in()?;
    let Some(entry) = manifest.speech.first() else {
        return Ok(Err(Missing::File("no speech model is known".to_owned())));
    };
    let dirs = models::search_dirs(folder);
    let Some(path) = entry.locate(&dirs) else {
        let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        let reason = format!("no {}: looked for {} in {}", entry.name, entry.files.join(", "), dirs.join(", "));
        return Ok(Err(Missing::File(reason)));
    };
    let engine = match recorded {
        Some(info) => engines::again(info.voice.as_ref().and_then(|model| EngineKind::of(&model.engine)), config),
        None => engines::choose(config)?,
    };
    match models::load_speech(entry, &path, &engine) {
        Ok(network) => Ok(Ok((Choice::Silero(Arc::new(network)), String::new()))),
        Err(ModelError::Network { source, .. }) => Ok(Err(Missing::Engine(source.to_string()))),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn microphone() -> Vec<StreamSpec> {
        vec![StreamSpec { id: StreamId(1), name: "microphone".into(), kind: StreamKind::Microphone }]
    }

    fn config(detector: &str) -> Config {
        Config::from_toml(&format!("[voice]\ndetector = \"{detector}\"\n[inference]\nengine = \"rten\""), "test")
            .unwrap()
    }

    #[test]
    fn earshot_listens_where_there_is_no_model_and_says_so_if_another_was_asked_for() {
        let empty = tempfile::tempdir().unwrap();
        for (detector, instead) in [("earshot", false), ("silero", true)] {
            let hearing = Hearing::load(&config(detector), &microphone(), Some(empty.path()), None).unwrap();
            assert!(matches!(hearing.choice, Choice::Earshot) || models::search_dirs(None).iter().any(|d| d.is_dir()));
            if matches!(hearing.choice, Choice::Earshot) {
                assert_eq!(!hearing.status.instead.is_empty(), instead, "{detector}: {}", hearing.status.instead);
                assert_eq!(hearing.describe().unwrap().name, EARSHOT);
            }
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_and_without_a_microphone_nothing_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("silero_vad_16k_op15.onnx"), "damaged").unwrap();
        let error = Hearing::load(&config("auto"), &microphone(), Some(folder.path()), None).err().unwrap();
        assert!(error.to_string().contains("SHA-256"), "{error}");
        let hearing = Hearing::load(&config("auto"), &[], Some(folder.path()), None).unwrap();
        assert_eq!(hearing.describe(), None);
    }
}
