//! `waywarden check`: whether a config is right, and what it amounts to.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use serde_json::json;
use waywarden_components::prelude::StreamKind;

use crate::config::{Config, DEFAULT_TOML, DeviceSource};
use crate::failure::Failure;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  Begin a config of your own; every key is explained in it:
    waywarden check --print-default > my.toml

  Check it: mistakes are named with line, key and a hint (exit code 2):
    waywarden check --config my.toml

  The whole effective config with all defaults, for a program:
    waywarden check --config my.toml --json";

/// What `check` may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The config; without it, the defaults.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Prints the commented default config, which is the reference of all keys, and checks nothing.
    #[arg(long, conflicts_with_all = ["config", "json"])]
    pub print_default: bool,

    /// Prints one JSON object: `ok`, and `config` with all keys, or `errors`.
    #[arg(long)]
    pub json: bool,
}

/// Checks the config and prints to `out` what it amounts to.
///
/// # Errors
///
/// When the config cannot be read or has mistakes, or `out` cannot be written.
pub fn run(args: &CheckArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if args.print_default {
        out.write_all(DEFAULT_TOML.as_bytes())?;
        return Ok(());
    }
    let config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    let origin = args.config.as_ref().map(|path| path.display().to_string());
    if args.json {
        writeln!(out, "{}", json!({ "ok": true, "file": origin, "config": config }))?;
    } else {
        let origin = origin.unwrap_or_else(|| "the default config".to_owned());
        write!(out, "{origin}: no mistakes\n\n{}", summary(&config))?;
    }
    Ok(())
}

/// What the config amounts to, on one screen.
fn summary(config: &Config) -> String {
    let mut text = String::from("Devices\n");
    // Writing to a string cannot fail.
    for stream in config.streams() {
        let what = match stream.kind {
            StreamKind::Camera { .. } => config.camera.iter().find(|camera| camera.name == stream.name).map(|camera| {
                let role = format!("{:?}", camera.role).to_lowercase();
                format!(
                    "{role} camera, {}x{}, {} frames a second{}",
                    camera.width,
                    camera.height,
                    camera.fps,
                    source(&camera.source)
                )
            }),
            StreamKind::Microphone => {
                let microphones = config.microphone.iter();
                microphones
                    .clone()
                    .find(|microphone| microphone.name == stream.name)
                    .map(|microphone| format!("microphone{}", source(&microphone.source)))
            }
            StreamKind::Gps { .. } => config
                .gps
                .iter()
                .find(|gps| gps.name == stream.name)
                .map(|gps| format!("satellite receiver{}", source(&gps.source))),
            StreamKind::Truth => Some("what the simulation knows to be true".to_owned()),
            StreamKind::Range { protocol } => {
                config.range.iter().find(|range| range.name == stream.name).map(|range| {
                    let protocol = format!("{protocol:?}").to_lowercase();
                    format!("range sensor, {protocol}{}", source(&range.source))
                })
            }
        };
        let _ = writeln!(text, "  {:2}  {:<16}  {}", stream.id.0, stream.name, what.unwrap_or_default());
    }
    if config.microphone.is_empty() {
        text.push_str("      no microphone: nobody is listened to\n");
    }
    let job = |enabled: bool, model: &str, rate: f64| {
        if enabled { format!("{model}, at most {rate} a second") } else { "off".to_owned() }
    };
    let (segmentation, detection, record) = (&config.segmentation, &config.detection, &config.record);
    let recorded = if record.directory.is_empty() {
        "nothing, unless `run --record DIR` says where".to_owned()
    } else {
        format!("into {}, a segment every {} s or {} MB", record.directory, record.segment_s, record.segment_mb)
    };
    let rows = [
        ("Tick", format!("every {} ms, on input after {} ms", config.tick.period_ms, config.tick.min_gap_ms)),
        ("Threads", {
            let threads = &config.threads;
            format!("{} for systems, {} for jobs with {} in each model", threads.compute, threads.jobs, threads.model)
        }),
        (
            "Frames",
            format!(
                "looked at from a difference of {}, or after {} s",
                config.gate.threshold, config.gate.force_after_s
            ),
        ),
        ("Lanes", job(segmentation.enabled, &segmentation.model, segmentation.rate_hz)),
        ("Obstacles", job(detection.enabled, &detection.model, detection.rate_hz)),
        ("Recorded", recorded),
        ("Log", format!("{} and above", config.log.level.name())),
    ];
    text.push('\n');
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<10} {value}");
    }
    text
}

/// A device's source, where it is worth a word.
fn source(source: &DeviceSource) -> String {
    format!(" ({source})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(args: CheckArgs) -> Result<String, Failure> {
        let mut out = Vec::new();
        run(&args, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    fn args() -> CheckArgs {
        CheckArgs { config: None, print_default: false, json: false }
    }

    #[test]
    fn the_default_is_summed_up() {
        let text = output(args()).unwrap();
        for part in ["no mistakes", " 1  front ", "1280x720", "nobody is listened to", "yolox_nano", "every 10 ms"] {
            assert!(text.contains(part), "no `{part}` in:\n{text}");
        }
        assert!(text.lines().count() <= 24, "one screen:\n{text}");
    }

    #[test]
    fn the_printed_default_is_a_config() {
        let text = output(CheckArgs { print_default: true, ..args() }).unwrap();
        assert_eq!(Config::from_toml(&text, "default"), Ok(Config::default()));
    }

    #[test]
    fn a_program_gets_the_whole_config() {
        let text = output(CheckArgs { json: true, ..args() }).unwrap();
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["ok"], json!(true));
        assert_eq!(serde_json::from_value::<Config>(object["config"].clone()).unwrap(), Config::default());
    }

    #[test]
    fn mistakes_are_bad_input() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my.toml");
        std::fs::write(&path, "[gate]\ntreshold = 1\n").unwrap();
        let failure = output(CheckArgs { config: Some(path), ..args() }).expect_err("a mistake");
        assert_eq!(failure.code, crate::failure::Code::BadInput);
        assert!(failure.to_string().contains("my.toml:2:1: unknown key `treshold`"), "{failure}");
    }
}
