//! From a frame's capture to the tick in which it has been judged whether to warn, with the default models, while recording:
//! on ONNX Runtime, and on rten.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use waywarden_components::prelude::*;
use waywarden_systems::inference::engine::onnxruntime;
use waywarden_systems::models::{Manifest, search_dirs};
use waywarden_systems::session::{Record, SessionReader};

use crate::report::{Outcome, Report, check, quick};

/// What a run gave.
struct Judged {
    /// From capture to the tick in which the boxes of the frame came in, in milliseconds, in order.
    ages: Vec<f64>,
    /// Looks a second.
    detections_hz: f64,
    segmentations_hz: f64,
    /// How long the systems that follow and warn took in a tick: their names, the median and the 99th percentile in microseconds.
    systems: Vec<(String, f64, f64)>,
}

/// Measures, checks and prints.
pub fn run() -> Outcome {
    // Pictures are drawn before the first one is given: few, where time is short.
    let (seconds, pictures) = if quick() { (12, 6) } else { (60, 60) };
    let data = std::env::var_os("WAYWARDEN_DATA").map_or_else(|| "../shared".into(), PathBuf::from);
    let models = data.join("models");
    let mut dirs = vec![models.clone()];
    dirs.extend(search_dirs(None));
    let manifest = Manifest::built_in()?;
    let here = JobRole::ALL.iter().all(|role| manifest.find(*role, &dirs).is_ok());
    let library = onnxruntime::places().into_iter().any(|place| place.is_file());
    let mut report = Report::new(
        "warning",
        &format!(
            "A live run of {seconds} s with a simulated camera of 1280x720 at 30 frames a second, drawn before, recorded; the default models and rates, one thread each. A warning is judged in the tick in which the boxes of a frame come in."
        ),
    );
    if !here {
        report.row("skipped", "skipped", 0.0, "no models".to_owned(), &format!("none in {}", models.display()));
        return report.print();
    }
    for (engine, goals) in [("onnxruntime", true), ("rten", false)] {
        if engine == "onnxruntime" && !library {
            report.row("skipped", "skipped", 0.0, engine.to_owned(), "script/bootstrap --onnxruntime gets it");
            continue;
        }
        let Judged { ages, detections_hz, segmentations_hz, systems } = judged(engine, seconds, pictures, &models)?;
        let at =
            |share: f64| ages.get((ages.len() as f64 * share) as usize).or(ages.last()).copied().unwrap_or(f64::NAN);
        let goal = |text: &str| if goals { format!("goal: {text}") } else { "stated".to_owned() };
        let mut row = |key: &str, what: &str, value: f64, unit: &str, beside: String| {
            let what = format!("{engine}: {what}");
            report.row(&format!("{engine}_{key}"), &what, value, format!("{value:.1} {unit}"), &beside);
        };
        row("p50_ms", "**frame to warning, median**", at(0.5), "ms", goal("at most 120 ms"));
        row("p99_ms", "**frame to warning, 99th percentile**", at(0.99), "ms", goal("at most 250 ms"));
        row("detection_hz", "detection", detections_hz, "a second", goal("at least 10"));
        row("segmentation_hz", "segmentation", segmentations_hz, "a second", goal("at least 3"));
        for (name, median, p99) in systems.iter().filter(|_| goals) {
            let what = format!("system `{name}` in a tick, 99th percentile");
            report.row(
                &format!("{name}_p99_us"),
                &what,
                *p99,
                format!("{p99:.0} µs"),
                &format!("median {median:.0} µs"),
            );
        }
    }
    report.print()
}

fn judged(engine: &str, seconds: u64, pictures: u32, models: &Path) -> Result<Judged, Box<dyn Error>> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let config = folder.path().join("config.toml");
    let camera = format!("[[camera]]\nloop_frames = {pictures}\n");
    std::fs::write(&config, format!("{camera}[inference]\nengine = \"{engine}\"\n[http]\nenabled = false\n"))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_waywarden"));
    command.args(["run", "--simulate", "--json", "--duration", &seconds.to_string(), "--config"]).arg(&config);
    command.arg("--record").arg(folder.path().join("sessions")).arg("--models").arg(models);
    let output = command.output()?;
    check(output.status.success(), format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let said: Value = serde_json::from_str(String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default())?;
    check(said["lost_ticks"].as_u64() == Some(0), format!("{said}"))?;
    let session = PathBuf::from(said["session"].as_str().unwrap_or_default());
    let mut reader = SessionReader::open(&session)?;
    let mut captured: BTreeMap<StableId, Mono> = BTreeMap::new();
    // When results came in, by role, with the age of the frame.
    let mut results: BTreeMap<JobRole, Vec<(Mono, f64)>> = BTreeMap::new();
    while let Some(record) = reader.read()? {
        let Record::Tick(incoming) = record else { continue };
        for input in incoming.inputs {
            match input.payload {
                Payload::Frame(_) => {
                    captured.insert(StableId::new(input.stream, input.seq), input.captured);
                }
                Payload::JobDone { job, frame, .. } => {
                    let age = captured.get(&frame).map(|at| incoming.now.since(*at).as_secs_f64() * 1e3);
                    results.entry(job.role).or_default().extend(age.map(|age| (incoming.now, age)));
                }
                _ => {}
            }
        }
    }
    let of = |role| results.get(&role).cloned().unwrap_or_default();
    // From result to result, so that the start of the run does not count.
    let hz = |results: &[(Mono, f64)]| match (results.first(), results.last()) {
        (Some(first), Some(last)) if results.len() > 1 => {
            (results.len() - 1) as f64 / last.0.since(first.0).as_secs_f64().max(1e-9)
        }
        _ => 0.0,
    };
    let (detections, segmentations) = (of(JobRole::Detection), of(JobRole::Segmentation));
    check(!captured.is_empty(), "no frame was recorded")?;
    // Jobs have the lowest priority: beside other work on every core none may end within a small run.
    check(
        quick() || detections.len() >= 2 && !segmentations.is_empty(),
        format!("{} detections and {} segmentations on {engine}", detections.len(), segmentations.len()),
    )?;
    let mut ages: Vec<f64> = detections.iter().map(|(_, age)| *age).collect();
    ages.sort_unstable_by(f64::total_cmp);
    let us = |stage: &Value, key: &str| stage[key].as_f64().unwrap_or(f64::NAN) * 1e3;
    let stages = said["stages"].as_object().into_iter().flatten();
    let systems = stages
        .filter(|(name, _)| name.ends_with("::follow") || name.ends_with("::warn"))
        .map(|(name, stage)| (name.clone(), us(stage, "p50_ms"), us(stage, "p99_ms")))
        .collect();
    Ok(Judged { ages, detections_hz: hz(&detections), segmentations_hz: hz(&segmentations), systems })
}
