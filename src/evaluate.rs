//! How good the app is at seeing and warning: its own pipeline over labelled data, a table of what came of it.
//!
//! Nothing is scored that the app did not conclude. Labelled pictures and videos are imported as `waywarden import` does
//! it, drives are simulated as `waywarden simulate` does it; the session is replayed with virtual arrivals, gate and rates
//! and all, while an observer (`observe`) notes what was concluded of each frame. Findings and labels meet by the frame's
//! stable id, or, in a simulated drive, by its time; scores are those of `waywarden_perception::score`.
//!
//! Each kind of data is a module that gives rows for the `table`.

mod camvid;
mod clips;
mod culane;
mod drives;
mod files;
mod kitti;
mod observe;
mod runner;
mod speech;
mod stills;
mod table;
mod tusimple;

pub use camvid::camvid;
pub use clips::clip;
pub use culane::culane;
pub use drives::drives;
pub use kitti::kitti;
pub use observe::{AlertSeen, FrameSeen, Observer, ObserverPlugin, Seen};
pub use runner::{Listened, Runner};
pub use speech::{noise, noizeus, speech};
pub use table::{Conditions, Goal, Incident, Row, Sheet};
pub use tusimple::tusimple;
