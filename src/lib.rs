//! Waywarden: one headless program on a vehicle's computer that watches, listens, locates, warns, and records drives
//! that replay bit for bit.

pub mod app;
pub mod assemble;
pub mod batch;
pub mod cli;
pub mod command;
pub mod compare;
pub mod config;
pub mod devices;
pub mod download;
pub mod drive;
pub mod engines;
pub mod failure;
pub mod live;
pub mod logging;
pub mod pools;
pub mod progress;
pub mod recording;
pub mod render;
pub mod report;
pub mod session_info;
pub mod sessions;
pub mod simulated;

/// The worked example of the architecture page is compiled and run with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/architecture.md")]
mod architecture {}
