//! The Model Context Protocol: what an agent may ask of a vehicle, live, and of recorded sessions.
//!
//! One server, which looks at what it is given: a run, through [`Showing`](waywarden_systems::scene::Showing), and the
//! folder of sessions beside it; or, on a desk, a folder of sessions alone. It reads what was left for it outside of the
//! world. What it may do beside that goes the way of every other command, by Ingress, and only where the config lets it.

mod acting;
mod answers;
mod bridge;
mod events;
mod index;
mod library;
mod live;
mod now;
mod picture;
mod recorded;
mod resources;
mod search;
mod secrets;
mod server;
mod stdio;
mod tools;
mod web;

pub use acting::Acting;
pub use bridge::{Bridge, carry};
pub use library::Library;
pub use live::Live;
pub use server::Mcp;
pub use stdio::converse;
pub use tools::page;
pub use web::routes;

/// The largest request that is read, in bytes.
pub const LARGEST_REQUEST: usize = 64 * 1024;
