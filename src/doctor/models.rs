//! The models: whether they are here, how long they take, and which others would keep the rates.

use std::collections::BTreeMap;
use std::path::Path;

use waywarden_components::prelude::*;
use waywarden_systems::camera::jpeg;
use waywarden_systems::clock::boottime;
use waywarden_systems::inference::Inference;
use waywarden_systems::models::{Manifest, ModelEntry, search_dirs};
use waywarden_systems::obstacles::crop::around_vanishing_point;
use waywarden_systems::simulate::camera::{CameraSettings, CameraSimulator};
use waywarden_systems::simulate::{Drive, Scenario};
use waywarden_systems::voice::detector::EARSHOT;

use super::Check;
use super::pace::{Advice, Demand, Measured, Threads, advise, load};
use crate::config::{Config, DetectionCrop};
use crate::engines::Engines;
use crate::hearing::Hearing;

/// Runs of a model that are timed, after one that is not.
const RUNS: u32 = 3;

/// Windows of silence that a speech detector is timed on.
const WINDOWS: u32 = 30;

/// Models that take another place's where the computer is slow, the best first, the quickest last.
const FAST: [(JobRole, &[&str]); 2] =
    [(JobRole::Segmentation, &["twinlitenet_plus_nano"]), (JobRole::Detection, &["nanodet_m", "fastestdet"])];

/// Which models there are, what computes them, how long a run takes, and whether that is quick enough.
pub fn models(config: &Config, folder: Option<&Path>) -> Vec<Check> {
    let engines = match Engines::load(config, folder, None) {
        Ok(engines) => engines,
        Err(failure) => return vec![Check::failure("models", &failure)],
    };
    let picture = match picture() {
        Ok(jpeg) => Look { crop: closer(config), ..Look::at(jpeg) },
        Err(error) => return vec![Check::fail("models", error, "please report it")],
    };
    let (mut checks, mut measured) = (Vec::new(), BTreeMap::new());
    for (role, status) in &engines.status.roles {
        let name = role.to_string();
        let check = match (status, engines.loaded.get(role)) {
            (Ok(model), Some(engine)) => {
                let by = &engine.identity().engine;
                match milliseconds(&**engine, &picture) {
                    Err(reason) => Check::fail(&name, format!("{model} on {by}: {reason}"), "another model?"),
                    Ok(took) => {
                        measured.insert(*role, Measured { model: model.clone(), ms: Some(took) });
                        Check::ok(&name, format!("{model} on {by}: {took:.0} ms a run, {:.1} a second", 1000.0 / took))
                    }
                }
            }
            (Ok(model), None) => Check::fail(&name, format!("{model} was not loaded"), "please report it"),
            (Err(reason), _) => Check::warn(&name, reason, "`waywarden models fetch` gets the default ones"),
        };
        checks.push(check);
    }
    checks.extend(pace(config, folder, &picture, measured));
    checks
}

/// What listens for speech, and what share of a core that takes. None where there is no microphone.
pub fn speech(config: &Config, folder: Option<&Path>) -> Option<Check> {
    const NAME: &str = "speech";
    let hearing = match Hearing::load(config, &config.streams(), folder, None) {
        Ok(hearing) => hearing,
        Err(failure) => return Some(Check::failure(NAME, &failure)),
    };
    let by = hearing.describe()?.engine;
    let (name, mut detector) = (&hearing.status.detector, hearing.choice.detector());
    let window = vec![0; detector.window()];
    let begin = boottime();
    for _ in 0..WINDOWS {
        if let Err(error) = detector.hear(&window) {
            return Some(Check::fail(
                NAME,
                format!("{name} on {by}: {error}"),
                "another file, or detector = \"earshot\"",
            ));
        }
    }
    let heard_s = f64::from(WINDOWS) * window.len() as f64 / f64::from(SAMPLE_RATE);
    let share = boottime().since(begin).as_secs_f64() / heard_s * 100.0;
    let found = match name == EARSHOT {
        true => format!("{by}: {share:.2} % of a core"),
        false => format!("{name} on {by}: {share:.2} % of a core"),
    };
    Some(match hearing.status.instead.as_str() {
        "" => Check::ok(NAME, found),
        why => Check::warn(NAME, format!("{found}, because {why}"), "`waywarden models list` says which file it is"),
    })
}

/// Milliseconds of a run.
fn milliseconds(engine: &dyn Inference, picture: &Look) -> Result<f64, String> {
    // The first one fills caches.
    engine.look(picture).map_err(|error| error.to_string())?;
    let begin = boottime();
    for _ in 0..RUNS {
        engine.look(picture).map_err(|error| error.to_string())?;
    }
    Ok(boottime().since(begin).as_secs_f64() * 1000.0 / f64::from(RUNS))
}

/// Whether the rates are kept. None where nothing is asked of models that were measured.
fn pace(
    config: &Config,
    folder: Option<&Path>,
    picture: &Look,
    measured: BTreeMap<JobRole, Measured>,
) -> Option<Check> {
    let threads = Threads {
        jobs: config.threads.jobs,
        model: config.threads.model,
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get().try_into().unwrap_or(u32::MAX)),
    };
    let mut demands: BTreeMap<JobRole, Demand> = measured
        .into_iter()
        .map(|(role, now)| (role, Demand { hz: asked(config, role), now, others: Vec::new() }))
        .filter(|(_, demand)| demand.hz > 0.0)
        .collect();
    if demands.is_empty() {
        return None;
    }
    let manifest = Manifest::built_in().ok()?;
    if advise(&demands, threads) != Advice::Kept {
        // Only now the others are worth the time that measuring them takes.
        for (role, demand) in &mut demands {
            let names = FAST.into_iter().find(|(of, _)| of == role).map_or(&[][..], |(_, names)| names);
            // Of a model that is one of them, those that are quicker.
            let quicker = names.iter().position(|name| *name == demand.now.model).map_or(0, |at| at + 1);
            let others = names.iter().skip(quicker);
            demand.others = others.map(|name| other(config, folder, picture, *role, name)).collect();
        }
    }
    let advice = advise(&demands, threads);
    Some(judge(config, &manifest, &demands, threads, &advice, &|entry| place(entry, folder)))
}

/// Pictures a second that the models of a role are asked for: so many of each front camera, where they are looked at and no
/// service elsewhere does it.
fn asked(config: &Config, role: JobRole) -> f64 {
    let remote = !config.remote.url.is_empty() && config.remote.roles.contains(&role);
    if !config.gate.enabled || remote {
        return 0.0;
    }
    let front = config.camera.iter().filter(|camera| camera.role == CameraRole::Front);
    front.map(|camera| camera.fps.min(rate(config, role))).sum()
}

fn rate(config: &Config, role: JobRole) -> f64 {
    match role {
        JobRole::Segmentation => config.segmentation.rate_hz,
        JobRole::Detection => config.detection.rate_hz,
    }
}

/// Another model, measured if its file is here.
fn other(config: &Config, folder: Option<&Path>, picture: &Look, role: JobRole, name: &str) -> Measured {
    let mut config = config.clone();
    config.segmentation.enabled = role == JobRole::Segmentation;
    config.detection.enabled = role == JobRole::Detection;
    match role {
        JobRole::Segmentation => config.segmentation.model = name.to_owned(),
        JobRole::Detection => config.detection.model = name.to_owned(),
    }
    let engines = Engines::load(&config, folder, None).ok();
    let engine = engines.and_then(|engines| engines.loaded.get(&role).cloned());
    Measured { model: name.to_owned(), ms: engine.and_then(|engine| milliseconds(&*engine, picture).ok()) }
}

/// Where the file of a model is expected.
fn place(entry: &ModelEntry, folder: Option<&Path>) -> String {
    let file = entry.files.first().cloned().unwrap_or_default();
    search_dirs(folder).first().map_or(file.clone(), |dir| dir.join(&file).display().to_string())
}

/// What is said of the rates.
fn judge(
    config: &Config,
    manifest: &Manifest,
    demands: &BTreeMap<JobRole, Demand>,
    threads: Threads,
    advice: &Advice,
    place: &dyn Fn(&ModelEntry) -> String,
) -> Check {
    let wanted = demands.iter().map(|(role, demand)| {
        let ms = demand.now.ms.unwrap_or_default();
        format!("{:.1} a second for {role} by {} of {ms:.0} ms", demand.hz, demand.now.model)
    });
    let share = load(demands.values().map(|demand| (demand.hz, &demand.now)), threads).unwrap_or_default();
    let wanted = wanted.collect::<Vec<_>>().join(", ");
    let jobs = if threads.jobs == 1 { "one job thread".to_owned() } else { format!("{} job threads", threads.jobs) };
    let found = format!("{wanted}: {:.0} % of what {jobs} can do", share * 100.0);
    let set = |change: &BTreeMap<JobRole, Measured>| change.values().map(said).collect::<Vec<_>>().join(", ");
    let entry = |model: &str| manifest.models.iter().find(|entry| entry.name == model);
    let (todo, change, rates) = match advice {
        Advice::Kept => return Check::ok("rates", found),
        Advice::Change(change) => (format!("write the fast set into the config: {}", set(change)), change, 1.0),
        Advice::Try(change) => {
            let missing = change.values().filter(|model| model.ms.is_none()).filter_map(|model| entry(&model.model));
            let missing = missing.map(|entry| format!("{} is expected as {}", entry.name, place(entry)));
            let missing = missing.collect::<Vec<_>>().join(", ");
            let todo = format!(
                "the fast set may keep them: {}; {missing}. `waywarden models list` says where it comes from; then ask \
                 again, and write it into the config",
                set(change)
            );
            (todo, change, 1.0)
        }
        Advice::Slow { change, rates } if change.is_empty() => {
            ("no model that is known is quicker: lower the rates, or a quicker computer".to_owned(), change, *rates)
        }
        Advice::Slow { change, rates } => {
            (format!("the fast set is not fast enough either, so lower the rates too: {}", set(change)), change, *rates)
        }
    };
    let mut check = Check::warn("rates", format!("{found}, so they are not kept"), todo);
    let lines: Vec<String> = demands
        .keys()
        .filter_map(|role| {
            let mut lines = String::new();
            if let Some(model) = change.get(role) {
                lines += &format!("\nmodel = \"{}\"", model.model);
                if let Some(entry) = entry(&model.model).filter(|entry| entry.role == JobRole::Detection) {
                    // Scores of different networks mean different things.
                    lines += &format!("\nscore = {}", entry.thresholds.score);
                }
            }
            if rates < 1.0 {
                let tenths = (rate(config, *role) * rates * 10.0).floor().max(1.0);
                lines += &format!("\nrate_hz = {:.1}", tenths / 10.0);
            }
            (!lines.is_empty()).then(|| format!("[{role}]{lines}"))
        })
        .collect();
    check.config = Some(lines.join("\n"));
    check
}

fn said(model: &Measured) -> String {
    match model.ms {
        Some(ms) => format!("{} of {ms:.0} ms", model.model),
        None => format!("{}, not measured", model.model),
    }
}

/// The part of the picture that a detector looks at more closely, as in a drive.
fn closer(config: &Config) -> Option<Crop> {
    let settings = CameraSettings::default();
    let size = (settings.width as u32, settings.height as u32);
    let wanted = config.detection.crop == DetectionCrop::VanishingPoint;
    let share = config.detection.crop_share as f32;
    wanted.then(|| around_vanishing_point(&settings.geometry, 0.0, size, share)).flatten()
}

/// A picture like those of a camera.
fn picture() -> Result<bytes::Bytes, String> {
    let scenario = Scenario::built_in("motorway").ok_or("the built-in scenario is missing")?;
    let mut camera = CameraSimulator::new(&Drive::new(&scenario, 1), CameraSettings::default())
        .map_err(|error| error.to_string())?;
    match camera.next().payload {
        Payload::Frame(bytes) => jpeg::decode_rgb(&bytes).map(|_| bytes).map_err(|error| error.to_string()),
        _ => Err("the simulated camera gives no picture".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    fn measured(model: &str, ms: impl Into<Option<f64>>) -> Measured {
        Measured { model: model.to_owned(), ms: ms.into() }
    }

    fn said_of(config: &Config, demands: &BTreeMap<JobRole, Demand>) -> Check {
        let threads = Threads { jobs: 1, model: 1, cores: 2 };
        let place = |entry: &ModelEntry| format!("/models/{}", entry.files[0]);
        judge(config, &Manifest::built_in().unwrap(), demands, threads, &advise(demands, threads), &place)
    }

    fn demand(now: Measured, others: Vec<Measured>) -> Demand {
        Demand { hz: 10.0, now, others }
    }

    /// The default models of a small computer, and the fast ones.
    fn demands(lanes: [Option<f64>; 2], boxes: [Option<f64>; 3]) -> BTreeMap<JobRole, Demand> {
        let segmentation = demand(measured("twinlitenet", lanes[0]), vec![measured("twinlitenet_plus_nano", lanes[1])]);
        let others = vec![measured("nanodet_m", boxes[1]), measured("fastestdet", boxes[2])];
        [(JobRole::Segmentation, segmentation), (JobRole::Detection, demand(measured("yolox_nano", boxes[0]), others))]
            .into()
    }

    #[test]
    fn the_fast_models_are_known_under_their_roles() {
        let manifest = Manifest::built_in().unwrap();
        for (role, names) in FAST {
            for name in names {
                let entry = manifest.models.iter().find(|entry| entry.name == *name).unwrap();
                assert_eq!(entry.role, role);
            }
        }
    }

    #[test]
    fn what_is_said_holds_lines_that_a_config_takes() {
        let config = Config::default();
        let kept = said_of(&config, &demands([Some(40.0), None], [Some(16.0), None, None]));
        assert_eq!((kept.status, kept.config), (Status::Ok, None));
        assert!(kept.found.contains("70 % of what one job thread can do"), "{}", kept.found);

        let change = said_of(&config, &demands([Some(120.0), Some(60.0)], [Some(40.0), Some(45.0), Some(10.0)]));
        assert_eq!(change.status, Status::Warn);
        let lines = change.config.unwrap();
        let expected =
            "[segmentation]\nmodel = \"twinlitenet_plus_nano\"\n[detection]\nmodel = \"fastestdet\"\nscore = 0.5";
        assert_eq!(lines, expected);
        let taken = Config::from_toml(&lines, "proposal").unwrap();
        assert_eq!((taken.detection.model.as_str(), taken.detection.score), ("fastestdet", 0.5));

        let missing = said_of(&config, &demands([Some(120.0), None], [Some(40.0), None, None]));
        let todo = missing.todo.unwrap();
        for part in ["/models/twinlitenetplus_nano.onnx", "/models/fastestdet.onnx", "not measured", "models list"] {
            assert!(todo.contains(part), "{todo}");
        }
        assert_eq!(missing.config.as_deref(), Some(expected));

        let slow = said_of(&config, &demands([Some(500.0), Some(150.0)], [Some(90.0), Some(80.0), Some(50.0)]));
        let taken = Config::from_toml(&slow.config.unwrap(), "proposal").unwrap();
        assert_eq!((taken.segmentation.rate_hz, taken.detection.rate_hz), (4.0, 4.0));
    }

    #[test]
    fn what_others_compute_is_not_asked_of_this_computer() {
        let mut config =
            Config::from_toml("[[camera]]\nfps = 30.0\n[[camera]]\nname = \"left\"\nfps = 5.0\n", "").unwrap();
        assert_eq!(asked(&config, JobRole::Segmentation), 15.0);
        config.remote.url = "https://box.example".to_owned();
        config.remote.roles = vec![JobRole::Segmentation];
        assert_eq!((asked(&config, JobRole::Segmentation), asked(&config, JobRole::Detection)), (0.0, 15.0));
        config.gate.enabled = false;
        assert_eq!(asked(&config, JobRole::Detection), 0.0);
    }
}
