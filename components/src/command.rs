//! Commands from outside: what is asked for, how far it is, what is answered.

use std::collections::BTreeMap;
use std::fmt;

use bevy_ecs::message::Message;
use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::SystemSet;
use serde::{Deserialize, Serialize};

use crate::id::StableId;
use crate::time::Mono;

/// Holds the system that obeys commands: whatever in Understand depends on switches comes after it.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Obeying;

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// An answer.
    Ping,
    /// A still picture.
    Snapshot {
        /// Of this camera; without a name of the first front camera, else of the first camera.
        camera: Option<String>,
    },
    /// That what is recorded around now is kept.
    Preserve {
        /// Seconds before and after now; without them those of the config.
        around_s: Option<u32>,
    },
    /// That the drive is recorded, or not.
    Recording(bool),
    /// That nobody is listened to or watched inside of the vehicle, or not.
    Privacy(bool),
    /// That a device is closed and opened anew.
    RestartDevice {
        /// Its name.
        device: String,
    },
    /// Another rate for a stream of telemetry.
    SetRate {
        /// Its name: `position`.
        stream: String,
        /// Messages a second at most; 0 is none at all.
        rate_hz: f64,
    },
}

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It was understood.
    Received,
    /// It is being carried out.
    Running,
    /// It was carried out.
    Done,
    /// It was refused, or could not be carried out.
    Failed,
    /// It came too late, or took too long: nothing more is done about it.
    Expired,
}

impl Progress {
    /// Whether nothing more comes of it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Expired)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Received => "received",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
        })
    }
}

/// A command has come in. Written by the system that reads it: `mqtt::receive`.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandReceived {
    /// The name that who sent it has given it; empty where it cannot be read.
    pub id: String,
    /// What it is called: `ping`; `unknown` for one that there is not.
    pub name: String,
    /// When it expires, in nanoseconds since 1970 UTC.
    pub expires_ns: Option<i64>,
    /// Whether it came in before, in this run or in one before it.
    pub again: bool,
    /// What it asks for, or what is wrong with it.
    pub action: Result<Action, String>,
}

/// What is said of a command to who sent it. Written by `commands::obey`.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandAnswer {
    /// Its id; empty where it could not be read.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// How far it is.
    pub progress: Progress,
    /// Why, or what came of it. May be empty.
    pub reason: String,
}

/// Something outside of the world is to be done. Written by `commands::obey`, read in Act; what comes of it comes back
/// through Ingress.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deed {
    /// The id of the command.
    pub id: String,
    /// What is to be done.
    pub action: Action,
    /// Of a snapshot: the frame.
    pub frame: Option<StableId>,
}

/// What has come of a [`Deed`]. Written by Ingress.
#[derive(Message, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeedDone {
    /// The id of the command.
    pub id: String,
    /// What came of it, or why nothing did.
    pub result: Result<String, String>,
}

/// A command that has been heard of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What it is called.
    pub name: String,
    /// What it asks for.
    pub action: Action,
    /// When it came in.
    pub received: Mono,
    /// When it expires, in nanoseconds since 1970 UTC.
    pub expires_ns: Option<i64>,
    /// How far it is.
    pub progress: Progress,
    /// What was said of it last.
    pub reason: String,
}

/// The commands that were heard of, by id. Written by `commands::obey`.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Orders {
    /// The last ones; those that nothing more comes of are forgotten first.
    pub known: BTreeMap<String, Order>,
    /// Those that could not be read, or were refused for what they are.
    pub refused: u64,
}

impl Orders {
    /// So many are remembered.
    pub const REMEMBERED: usize = 256;
}

/// What can be switched while it runs. Written by `commands::obey`.
#[derive(Resource, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// Whether the drive is recorded, if there is a recorder.
    pub recording: bool,
    /// Whether nobody is listened to or watched inside of the vehicle: microphones and cabin cameras are closed, and what
    /// they said last does not come in.
    pub privacy: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self { recording: true, privacy: false }
    }
}

/// The switches as the run before this one left them. Written by Ingress.
#[derive(Message, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchesRestored(pub Switches);

/// Rates of telemetry that were asked for, in hertz, by stream. Written by `commands::obey`.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates(pub BTreeMap<String, f64>);

crate::kinds! {
    CommandReceived => "command_received",
    CommandAnswer => "command_answer",
    Deed => "deed",
    DeedDone => "deed_done",
    Orders => "orders",
    Switches => "switches",
    SwitchesRestored => "switches_restored",
    Rates => "rates",
}
