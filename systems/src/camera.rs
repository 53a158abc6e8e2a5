//! Cameras: the first look at every frame, and the gate that decides which ones are worth more.

pub mod gate;
pub mod jpeg;
