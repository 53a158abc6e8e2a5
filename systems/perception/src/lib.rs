//! The arithmetic of seeing and hearing: what a camera's pictures, boxes and masks mean on the road, when that is worth a warning, and
//! whether somebody speaks.
//!
//! Plain functions and plain state. No systems, no I/O, no clock: time comes in with what is measured. State is saved with
//! `serde`, so that whoever holds it can be restored, and goes on bit for bit.

pub mod area;
pub mod calibrate;
pub mod ego;
pub mod labels;
pub mod lanes;
pub mod ranging;
pub mod road_plane;
pub mod score;
pub mod sight;
pub mod speech;
pub mod tracking;
pub mod warnings;
