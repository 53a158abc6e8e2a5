//! Waywarden: one headless program on a vehicle's computer that watches, listens, locates, warns, and records drives
//! that replay bit for bit.

// Of this package a fuzzer builds only the readers that it tries: all of it takes long to build with its counters.

#[cfg(not(fuzzing))]
pub mod access;
#[cfg(not(fuzzing))]
pub mod app;
#[cfg(not(fuzzing))]
pub mod archive;
#[cfg(not(fuzzing))]
pub mod assemble;
#[cfg(not(fuzzing))]
pub mod batch;
#[cfg(not(fuzzing))]
pub mod bench;
#[cfg(not(fuzzing))]
pub mod cli;
#[cfg(not(fuzzing))]
pub mod command;
#[cfg(not(fuzzing))]
pub mod compare;
pub mod config;
#[cfg(not(fuzzing))]
pub mod devices;
#[cfg(not(fuzzing))]
pub mod doctor;
#[cfg(not(fuzzing))]
pub mod download;
#[cfg(not(fuzzing))]
pub mod drive;
#[cfg(not(fuzzing))]
pub mod engines;
#[cfg(not(fuzzing))]
pub mod evaluate;
#[cfg(not(fuzzing))]
pub mod failure;
#[cfg(not(fuzzing))]
pub mod foxglove_live;
#[cfg(not(fuzzing))]
pub mod hearing;
#[cfg(not(fuzzing))]
pub mod http;
#[cfg(not(fuzzing))]
pub mod inference_service;
#[cfg(not(fuzzing))]
pub mod last_words;
#[cfg(not(fuzzing))]
pub mod live;
#[cfg(not(fuzzing))]
pub mod logging;
#[cfg(not(fuzzing))]
pub mod mcp;
#[cfg(not(fuzzing))]
pub mod metrics;
#[cfg(not(fuzzing))]
pub mod network;
#[cfg(all(feature = "webrtc", not(fuzzing)))]
pub mod operators;
#[cfg(not(fuzzing))]
pub mod orders;
#[cfg(not(fuzzing))]
pub mod page;
#[cfg(not(fuzzing))]
pub mod pools;
#[cfg(not(fuzzing))]
pub mod progress;
#[cfg(not(fuzzing))]
pub mod recording;
#[cfg(not(fuzzing))]
pub mod reload;
#[cfg(not(fuzzing))]
pub mod remote;
#[cfg(not(fuzzing))]
pub mod render;
#[cfg(not(fuzzing))]
pub mod report;
#[cfg(not(fuzzing))]
pub mod serving;
#[cfg(not(fuzzing))]
pub mod session_info;
#[cfg(not(fuzzing))]
pub mod sessions;
#[cfg(not(fuzzing))]
pub mod signals;
#[cfg(not(fuzzing))]
pub mod simulated;
#[cfg(not(fuzzing))]
pub mod status;
#[cfg(not(fuzzing))]
pub mod systemd;
#[cfg(not(fuzzing))]
pub mod uplink;
#[cfg(all(feature = "webrtc", not(fuzzing)))]
pub mod whep;

/// The worked example of the architecture page is compiled and run with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/architecture.md")]
mod architecture {}
