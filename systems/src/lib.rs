//! What happens in Waywarden: one module a capability, each a Bevy plugin of free functions, and the machinery that
//! they stand on: tick, ingress, jobs, record and replay.

pub mod camera;
pub mod emit;
pub mod gps;
pub mod import;
pub mod inference;
pub mod models;
pub mod range;
pub mod simulate;
pub mod voice;
