//! Lanes: from what a picture shows of lines to the lane around the vehicle, in the picture and in metres.
//!
//! [`masked`] follows the lines of a segmentation model's masks, [`classical`] those that a filter found in the picture
//! itself. Both search, fit and measure in the same way, and what one has learnt of the camera the other one knows too.
//! [`ridges`] is that filter, [`paint`] tells solid lines from dashed ones.

pub mod classical;
pub mod masked;
pub mod paint;
pub mod ridges;
pub mod shape;
