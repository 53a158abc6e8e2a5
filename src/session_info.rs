//! What a session says of the program, the computer and the config that made it.

use std::collections::BTreeMap;

use waywarden_components::prelude::*;
use waywarden_systems::clock;
use waywarden_systems::session::{BuildInfo, FORMAT_MAJOR, FORMAT_MINOR, ModelInfo, Origin, SessionInfo};

use crate::config::Config;

/// Describes a session that begins now.
pub fn describe(
    origin: Origin,
    config: &Config,
    streams: &[StreamSpec],
    models: BTreeMap<JobRole, ModelInfo>,
) -> SessionInfo {
    SessionInfo {
        format: (FORMAT_MAJOR, FORMAT_MINOR),
        session_id: random_name(),
        origin,
        build: build(),
        // The config was read from TOML or checked like it: it can be written as TOML.
        config: config.to_toml().unwrap_or_default(),
        streams: streams.to_vec(),
        models,
        cpu: cpu(),
        boot_id: boot_id(),
        log_time_offset_ns: match origin {
            Origin::Live => clock::system_utc().map_or(0, |utc| utc.offset_ns),
            Origin::Import | Origin::Replay => 0,
        },
        voice: None,
    }
}

/// A name that nothing else has.
pub fn random_name() -> String {
    kernel_line("/proc/sys/kernel/random/uuid").unwrap_or_else(|| format!("{:x}", clock::boottime().0))
}

/// What tells one start of this computer from the others; empty where it is not known.
pub fn boot_id() -> String {
    kernel_line("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// This build.
pub fn build() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("WAYWARDEN_COMMIT").to_owned(),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        target: env!("WAYWARDEN_TARGET").to_owned(),
    }
}

/// Processor features on which the arithmetic of models may depend.
pub fn cpu() -> Vec<String> {
    let mut found = vec![std::env::consts::ARCH.to_owned()];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! ask {
            ($($feature:tt),+) => { $(if std::arch::is_x86_feature_detected!($feature) { found.push($feature.to_owned()); })+ };
        }
        ask!("avx", "avx2", "fma", "avx512f", "avx512vnni");
    }
    #[cfg(target_arch = "aarch64")]
    {
        macro_rules! ask {
            ($($feature:tt),+) => { $(if std::arch::is_aarch64_feature_detected!($feature) { found.push($feature.to_owned()); })+ };
        }
        ask!("dotprod", "fp16", "i8mm", "sve");
    }
    found
}

fn kernel_line(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|line| line.trim().to_owned())
}
