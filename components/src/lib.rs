//! What exists in Waywarden.
//!
//! Plain data and nothing else: the components that devices, samples and findings are made of, the messages that
//! systems send each other, units, stable ids and the phases of a tick. No I/O, no threads, no systems.
//!
//! # Frames of reference
//!
//! * **Image**: origin at the top left pixel's corner, x right, y down, in pixels of the frame as the camera gave it.
//! * **Vehicle** (ISO 8855): x forward, y left, z up, origin on the ground below the middle of the rear axle.
//! * **Earth**: WGS 84, latitude and longitude in degrees, altitude in metres above mean sea level.

pub mod audio;
pub mod command;
pub mod device;
pub mod frame;
pub mod geometry;
pub mod id;
pub mod input;
pub mod job;
pub mod kind;
pub mod lanes;
pub mod motion;
pub mod operator;
pub mod outcome;
pub mod perception;
pub mod phase;
pub mod position;
pub mod range;
pub mod time;
pub mod truth;
pub mod uplink;

pub mod prelude {
    //! Everything a system usually needs.
    pub use crate::audio::*;
    pub use crate::command::*;
    pub use crate::device::*;
    pub use crate::frame::*;
    pub use crate::geometry::*;
    pub use crate::id::*;
    pub use crate::input::*;
    pub use crate::job::*;
    pub use crate::kind::Kind;
    pub use crate::lanes::*;
    pub use crate::motion::*;
    pub use crate::operator::*;
    pub use crate::outcome::*;
    pub use crate::perception::*;
    pub use crate::phase::*;
    pub use crate::position::*;
    pub use crate::range::*;
    pub use crate::time::*;
    pub use crate::truth::*;
    pub use crate::uplink::*;
}
