//! Voice activity.

pub mod endpoint;
