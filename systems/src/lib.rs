//! What happens in Waywarden: one module a capability, each a Bevy plugin of free functions, and the machinery that
//! they stand on: tick, ingress, jobs, record and replay.

mod budget;
pub mod buffers;
pub mod camera;
pub mod clock;
pub mod commands;
pub mod devices;
pub mod ego;
pub mod emit;
pub mod following;
pub mod gps;
pub mod health;
pub mod import;
pub mod inference;
pub mod ingress;
pub mod jobs;
pub mod lanes;
pub mod log;
pub mod memory;
pub mod metrics;
#[cfg(feature = "sound")]
pub mod microphone;
pub mod models;
pub mod mqtt;
mod msgpack;
pub mod obstacles;
mod opaque;
pub mod parked;
pub mod range;
pub mod record;
pub mod registry;
pub mod replay;
mod resample;
pub mod retire;
pub mod scene;
pub mod serial;
pub mod session;
pub mod settings;
pub mod simulate;
#[cfg(feature = "sound")]
pub mod sound;
#[cfg(feature = "sound")]
pub mod speaker;
pub mod supervisor;
pub mod tick;
pub mod voice;
pub mod warnings;
pub mod webrtc;

pub use waywarden_perception::road_plane;
