//! Milliseconds that a model takes for a frame: rten against ONNX Runtime, on one thread and on two.

use std::error::Error;
use std::path::PathBuf;

use waywarden_systems::camera::jpeg::RgbPicture;
use waywarden_systems::inference::Inference;
use waywarden_systems::inference::engine::{Engine, OnnxRuntime, onnxruntime};
use waywarden_systems::models::{self, Manifest};

use crate::report::{Outcome, Report, check, median, quick, timed};

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let data = std::env::var_os("WAYWARDEN_DATA").map_or_else(|| "../shared".into(), PathBuf::from);
    let mut dirs = vec![data.join("models")];
    dirs.extend(models::search_dirs(None));
    let library = onnxruntime::places().into_iter().find(|place| place.is_file());
    let library = library.map(|place| OnnxRuntime::open(&place)).transpose()?.map(Engine::OnnxRuntime);
    let rounds = if quick() { 1 } else { 15 };
    let with =
        library.as_ref().map_or("no ONNX Runtime here: script/bootstrap --onnxruntime gets it".into(), Engine::name);
    let about = format!(
        "A frame of 1280x720, with preparing it and reading the result; {} and {with}; medians of {rounds} rounds.",
        Engine::Rten.name()
    );
    let mut report = Report::new("inference", &about);
    let picture = picture();
    for entry in &Manifest::built_in()?.models {
        let Some(path) = entry.locate(&dirs) else { continue };
        for threads in [1, 2] {
            let name = format!("{}, {threads} thread{}", entry.name, if threads == 1 { "" } else { "s" });
            let rten = models::load(entry, &path, &Engine::Rten, threads)?;
            let other = library.as_ref().map(|engine| models::load(entry, &path, engine, threads)).transpose()?;
            let (mut slow, mut fast) = (Vec::new(), Vec::new());
            // In turn, so that a machine that is slower for a while is slower for both. The first run is not counted.
            for round in 0..=rounds {
                let seconds = [Some(&rten), other.as_ref()].map(|model| model.map(|model| once(&**model, &picture)));
                let [Some(rten), other] = seconds else { return Err("rten is always there".into()) };
                let (rten, other) = (rten?, other.transpose()?);
                if round > 0 {
                    slow.push(rten);
                    fast.extend(other);
                }
            }
            let (slow, fast) = (median(&slow) * 1e3, median(&fast) * 1e3);
            let beside = match &library {
                Some(_) => format!("{fast:.1} ms on ONNX Runtime: {:.1} times as fast", slow / fast),
                None => "no ONNX Runtime here".to_owned(),
            };
            report.row(
                &format!("{}_{threads}_rten_ms", entry.name),
                &name,
                slow,
                format!("{slow:.1} ms on rten"),
                &beside,
            );
            if library.is_some() {
                report.figure(&format!("{}_{threads}_onnxruntime_ms", entry.name), fast);
            }
        }
    }
    report.print()
}

/// Seconds that a model takes for a picture.
fn once(model: &dyn Inference, picture: &RgbPicture) -> Result<f64, Box<dyn Error>> {
    let (result, seconds) = timed(|| model.infer_rgb(picture, None));
    check(result.is_ok(), format!("{}: {result:?}", model.identity().name))?;
    Ok(seconds)
}

/// What is in a picture does not matter to the time that a network takes.
fn picture() -> RgbPicture {
    let (width, height) = (1280, 720);
    let data = (0..width * height * 3).map(|byte| (byte / 3 % width / 5) as u8).collect();
    RgbPicture { width, height, data }
}
