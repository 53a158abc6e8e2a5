//! Videos: the drive with everything drawn on it, as H.264 in an MP4 file.
//!
//! Results of models come some ticks after their picture. So pictures wait for a second of the session before they are
//! drawn: lines and boxes lie on the picture in which they were found, and pictures in between show the newest ones.

pub mod canvas;
pub mod draw;
pub mod scene;
pub mod video;
