//! Sections of the config: what is done with what the devices give.

use serde::{Deserialize, Serialize};
use waywarden_components::prelude::JobRole;
use waywarden_systems::inference::network::Decoder;
use waywarden_systems::inference::prepare::InputSpec;

/// Where an operator's voice is heard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Speaker {
    /// The output device. Empty: nobody is heard.
    pub device: String,
    /// Milliseconds of sound that wait before they are played, against a network that brings it unevenly.
    pub buffer_ms: u32,
}

impl Default for Speaker {
    fn default() -> Self {
        Self { device: String::new(), buffer_ms: 120 }
    }
}

/// How failures of devices are answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Supervisor {
    /// Milliseconds before the first restart.
    pub backoff_min_ms: u32,
    /// Milliseconds to which the pause between restarts grows.
    pub backoff_max_ms: u32,
    /// Milliseconds before a device that is not there is looked for again.
    pub absent_ms: u32,
    /// Failures within `window_s` after which a device is given a rest.
    pub failures: u32,
    /// See `failures`.
    pub window_s: u32,
    /// Seconds of that rest.
    pub rest_s: u32,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { backoff_min_ms: 100, backoff_max_ms: 5000, absent_ms: 500, failures: 10, window_s: 60, rest_s: 60 }
    }
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tick {
    /// Milliseconds from deadline to deadline.
    pub period_ms: u32,
    /// Least milliseconds between two ticks, on the average, when input wakes the loop before its deadline.
    pub min_gap_ms: u32,
}

impl Default for Tick {
    fn default() -> Self {
        Self { period_ms: 10, min_gap_ms: 2 }
    }
}

/// Who gets how many of the computer's cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Threads {
    /// Threads that run systems.
    pub compute: u32,
    /// Threads that run jobs, so models that may run at the same time.
    pub jobs: u32,
    /// Threads inside one run of a model.
    pub model: u32,
    /// Threads of the network: the HTTP server, and what is asked over it.
    pub network: u32,
    /// Whether the tick asks for real-time scheduling (`SCHED_FIFO`).
    pub realtime: bool,
}

impl Default for Threads {
    fn default() -> Self {
        Self { compute: 2, jobs: 2, model: 1, network: 1, realtime: true }
    }
}

/// Which frames are worth looking at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// Whether frames are looked at.
    pub enabled: bool,
    /// Mean absolute luma difference to the last accepted frame from which a frame is accepted, 0 to 255.
    pub threshold: f64,
    /// Seconds after which a frame is accepted however little has changed.
    pub force_after_s: f64,
}

impl Default for Gate {
    fn default() -> Self {
        Self { enabled: true, threshold: 3.0, force_after_s: 1.0 }
    }
}

/// Road and lane lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Segmentation {
    /// Whether front frames are segmented.
    pub enabled: bool,
    /// The model: one that Waywarden knows, or one of [`super::Config::model`].
    pub model: String,
    /// What is done about lanes where the model is not there.
    pub fallback: LaneFallback,
    /// Highest rate at which frames are segmented, or searched for lanes without a model, in hertz.
    pub rate_hz: f64,
    /// Milliseconds after which a job counts as hung.
    pub deadline_ms: u32,
    /// Milliseconds that a job takes in a replay whose journal does not say.
    pub virtual_latency_ms: u32,
}

impl Default for Segmentation {
    fn default() -> Self {
        Self {
            enabled: true,
            model: "twinlitenet".into(),
            fallback: LaneFallback::Classical,
            rate_hz: 5.0,
            deadline_ms: 15_000,
            virtual_latency_ms: 150,
        }
    }
}

/// What is done about lanes where there is no model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneFallback {
    /// They are sought by the classical estimator.
    #[default]
    Classical,
    /// Nothing.
    None,
}

/// Obstacles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Detection {
    /// Whether front frames are searched for obstacles.
    pub enabled: bool,
    /// The model: one that Waywarden knows, or one of [`super::Config::model`].
    pub model: String,
    /// Highest rate at which frames are searched, in hertz.
    pub rate_hz: f64,
    /// Least score of a box, 0 to 1.
    pub score: f64,
    /// Which part of a frame is looked at more closely as well.
    pub crop: DetectionCrop,
    /// Width of that part as a share of the frame's, above 0 to 1.
    pub crop_share: f64,
    /// Milliseconds after which a job counts as hung.
    pub deadline_ms: u32,
    /// Milliseconds that a job takes in a replay whose journal does not say.
    pub virtual_latency_ms: u32,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            enabled: true,
            model: "yolox_nano".into(),
            rate_hz: 10.0,
            score: 0.32,
            crop: DetectionCrop::VanishingPoint,
            crop_share: 0.54,
            deadline_ms: 15_000,
            virtual_latency_ms: 60,
        }
    }
}

/// Which part of a frame is looked at more closely as well, for what is far away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DetectionCrop {
    /// The square around the point in which a straight road vanishes.
    #[default]
    VanishingPoint,
    /// None.
    None,
}

/// What computes models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inference {
    /// Which engine.
    pub engine: EngineChoice,
    /// The library of ONNX Runtime. Empty: it is looked for.
    pub onnxruntime: String,
}

/// Which engine computes models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineChoice {
    /// ONNX Runtime where it is found, else rten.
    #[default]
    Auto,
    /// rten, which is part of the program.
    Rten,
    /// ONNX Runtime, or none.
    Onnxruntime,
}

/// A user's own model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name by which `segmentation.model` and `detection.model` call it.
    pub name: String,
    /// What it is for.
    pub role: JobRole,
    /// The ONNX file; a relative path starts at the working directory.
    pub path: String,
    /// SHA-256 of the file, 64 hexadecimal digits. Any other file is refused.
    pub sha256: String,
    /// How its output is read.
    pub decoder: Decoder,
    /// What it is given.
    pub input: InputSpec,
}

/// Voice activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Voice {
    /// What listens.
    pub detector: VoiceDetector,
    /// Speech probability of earshot from which somebody is taken to speak, 0 to 1.
    pub enter: f64,
    /// Speech probability of earshot below which nobody is taken to speak, 0 to 1.
    pub exit: f64,
    /// `enter` where Silero listens.
    pub silero_enter: f64,
    /// `exit` where Silero listens.
    pub silero_exit: f64,
    /// Times of 16 ms at or above `enter` before an utterance begins, whatever the length of the detector's windows.
    pub enter_windows: u32,
    /// Milliseconds below `exit` before an utterance ends.
    pub hang_over_ms: u32,
    /// Milliseconds before its first speech that belong to an utterance.
    pub pre_roll_ms: u32,
    /// Seconds after which an utterance is cut.
    pub max_utterance_s: u32,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            detector: VoiceDetector::Auto,
            enter: 0.7,
            exit: 0.7,
            silero_enter: 0.5,
            silero_exit: 0.35,
            enter_windows: 3,
            hang_over_ms: 400,
            pre_roll_ms: 300,
            max_utterance_s: 30,
        }
    }
}

/// What listens for speech.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VoiceDetector {
    /// Silero where its file is, else earshot.
    #[default]
    Auto,
    /// earshot, which is built in.
    Earshot,
    /// Silero, a model.
    Silero,
}

/// How sentences of satellite receivers become fixes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpsFix {
    /// Milliseconds that the first sentence of an epoch waits for the others.
    pub max_wait_ms: u32,
}

impl Default for GpsFix {
    fn default() -> Self {
        Self { max_wait_ms: 900 }
    }
}

/// When a silent device is called stale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// Seconds without a frame.
    pub camera_stale_s: f64,
    /// Seconds without sound.
    pub microphone_stale_s: f64,
    /// Seconds without a fix.
    pub gps_stale_s: f64,
    /// Seconds without a reading.
    pub range_stale_s: f64,
}

impl Default for Health {
    fn default() -> Self {
        Self { camera_stale_s: 1.0, microphone_stale_s: 1.0, gps_stale_s: 3.0, range_stale_s: 1.0 }
    }
}

/// A vehicle that stands and where nothing happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parked {
    /// Seconds that it stands before it watches less closely; 0: it never does.
    pub after_s: u32,
}

impl Default for Parked {
    fn default() -> Self {
        Self { after_s: 120 }
    }
}

/// Sessions on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Record {
    /// The folder in which each run makes a session. Empty: nothing is recorded.
    pub directory: String,
    /// Seconds after which a new segment begins.
    pub segment_s: u32,
    /// Megabytes after which a new segment begins.
    pub segment_mb: u32,
    /// Megabytes that may wait for the disk.
    pub queue_mb: u32,
    /// Milliseconds after which what was recorded is handed to the disk.
    pub flush_ms: u32,
    /// Gigabytes of segments that are kept in `directory`; 0: no limit.
    pub keep_gb: f64,
    /// Days after which segments are deleted; 0: never.
    pub keep_days: f64,
    /// Gigabytes of the disk that stay free; 0: none.
    pub free_gb: f64,
    /// Seconds before and after now that SIGUSR1 keeps.
    pub preserve_s: u32,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            directory: String::new(),
            segment_s: 60,
            segment_mb: 256,
            queue_mb: 64,
            flush_ms: 500,
            keep_gb: 0.0,
            keep_days: 0.0,
            free_gb: 1.0,
            preserve_s: 30,
        }
    }
}

/// Sessions run again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replay {
    /// Megabytes that may be read and decoded ahead of the tick.
    pub look_ahead_mb: u32,
}

impl Default for Replay {
    fn default() -> Self {
        Self { look_ahead_mb: 16 }
    }
}

/// What is said while it runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important thing that is said.
    pub level: LogLevel,
    /// For whom.
    pub format: LogFormat,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Nothing is said.
    Off,
    /// Something is lost.
    Error,
    /// Something is worse than it should be.
    Warn,
    /// Starts, ends and changes of state.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Its name in filters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// For whom log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for a person.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}
