//! What a replay needs to know before its first tick.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use waywarden_components::prelude::*;
use waywarden_systems::jobs::ArrivalMode;
use waywarden_systems::session::{Origin, Record, SessionInfo, SessionReader};

use super::{JobsMode, ReplayArgs};
use crate::config::Config;
use crate::engines::Engines;
use crate::failure::Failure;
use crate::hearing::Hearing;
use crate::session_info;

/// How the session is run.
pub struct Plan {
    /// What the session says of itself.
    pub info: SessionInfo,
    /// The config in force.
    pub config: Config,
    /// The models in force.
    pub engines: Engines,
    /// What listens for speech.
    pub hearing: Hearing,
    /// How results of jobs come back.
    pub arrivals: ArrivalMode,
    /// Its name, for the summary.
    pub jobs: JobsMode,
    /// Whether the outcome must be what was recorded: nothing was changed on purpose.
    pub comparable: bool,
    /// What differs from the recorded run, in words.
    pub differences: Vec<String>,
}

impl Plan {
    /// Looks at the session and at what there is here to run it with.
    pub fn of(args: &ReplayArgs) -> Result<Self, Failure> {
        let info = SessionReader::open(&args.session)?.info().clone();
        let config = match &args.config {
            Some(path) => Config::load(path)?,
            None => Config::from_toml(&info.config, &format!("config in {}", args.session.display()))?,
        };
        // Results that are fed back need no models.
        let engines = match args.jobs {
            JobsMode::Recorded => Engines::default(),
            _ => {
                let recorded = args.config.is_none().then_some(&info.models);
                Engines::load(&config, args.models.folder.as_deref(), recorded)?
            }
        };
        let mut differences = differences(&info);
        if args.jobs != JobsMode::Recorded {
            differences.extend(model_differences(&info, &engines));
        }
        // It is no job: without it nothing is heard, whatever is fed back.
        let again = args.config.is_none().then_some(&info);
        let hearing = Hearing::load(&config, &info.streams, args.models.folder.as_deref(), again)?;
        let (jobs, what_if) = choose(args, &info, &engines, &differences)?;
        if args.config.is_some() && config.to_toml().ok().as_deref() != Some(info.config.as_str()) {
            differences.push("the config is another one".to_owned());
        }
        // Said last: that another one listens is no reason not to run jobs.
        differences.extend(hearing.difference(&info));
        let arrivals = match jobs {
            JobsMode::Recorded => ArrivalMode::Recorded,
            JobsMode::Run => ArrivalMode::Recompute,
            JobsMode::Virtual | JobsMode::Auto => {
                ArrivalMode::Virtual { latency: latency(&config), known: known_arrivals(&args.session)? }
            }
        };
        Ok(Self {
            comparable: !what_if && args.config.is_none(),
            info,
            config,
            engines,
            hearing,
            arrivals,
            jobs,
            differences,
        })
    }

    /// Seconds of config for a wait that nothing is known of.
    pub fn threads(&self, args: &ReplayArgs) -> usize {
        args.threads.unwrap_or(self.config.threads.compute) as usize
    }
}

/// How long a job takes where nothing is known of it.
fn latency(config: &Config) -> BTreeMap<JobRole, Duration> {
    let ms = |ms: u32| Duration::from_millis(ms.into());
    BTreeMap::from([
        (JobRole::Segmentation, ms(config.segmentation.virtual_latency_ms)),
        (JobRole::Detection, ms(config.detection.virtual_latency_ms)),
    ])
}

/// How results of jobs come back, and whether that makes the replay one of what might have been.
fn choose(
    args: &ReplayArgs,
    info: &SessionInfo,
    engines: &Engines,
    differences: &[String],
) -> Result<(JobsMode, bool), Failure> {
    let missing = info.models.keys().find(|role| !engines.loaded.contains_key(role));
    match (args.jobs, missing) {
        (JobsMode::Run, Some(role)) => Err(Failure::bad_input(format!("no model to run {role} jobs with"))
            .hint("name the folder that holds the model with --models, or use --jobs recorded")),
        (JobsMode::Run, None) if info.origin == Origin::Import => {
            Err(Failure::bad_input("an imported session holds no arrivals of jobs to compare with")
                .hint("use --jobs virtual, which is the default here"))
        }
        (JobsMode::Run, None) => Ok((JobsMode::Run, false)),
        (JobsMode::Recorded, _) => Ok((JobsMode::Recorded, info.origin == Origin::Import)),
        (JobsMode::Virtual, _) => Ok((JobsMode::Virtual, info.origin != Origin::Import)),
        (JobsMode::Auto, _) if info.origin == Origin::Import => Ok((JobsMode::Virtual, false)),
        (JobsMode::Auto, _) if args.config.is_some() => Ok((JobsMode::Virtual, true)),
        // Models named on the command line are meant: what would they have made of it?
        (JobsMode::Auto, None) if args.models.folder.is_some() && !same_models(info, engines) => {
            Ok((JobsMode::Virtual, true))
        }
        (JobsMode::Auto, None) if differences.is_empty() => Ok((JobsMode::Run, false)),
        (JobsMode::Auto, _) => Ok((JobsMode::Recorded, false)),
    }
}

/// Whether the files are the same; whatever computes them.
fn same_models(info: &SessionInfo, engines: &Engines) -> bool {
    let here = engines.describe();
    info.models.iter().all(|(role, model)| here.get(role).is_some_and(|ours| ours.sha256 == model.sha256))
}

/// What may make outputs differ from the recorded ones.
fn differences(info: &SessionInfo) -> Vec<String> {
    let mut found = Vec::new();
    let build = session_info::build();
    if info.build != build {
        found.push(format!(
            "recorded by build {} {}, this is {} {}",
            info.build.commit, info.build.profile, build.commit, build.profile
        ));
    }
    if info.cpu != session_info::cpu() {
        found.push(format!("recorded on a processor with {}", info.cpu.join(", ")));
    }
    found
}

/// Models that are other ones here, or are not here.
fn model_differences(info: &SessionInfo, engines: &Engines) -> Vec<String> {
    let mut found = Vec::new();
    let here = engines.describe();
    for (role, model) in &info.models {
        match here.get(role) {
            Some(ours) if ours == model => {}
            Some(ours) if ours.sha256 == model.sha256 && ours.name == model.name => {
                found.push(format!("{role} was computed by {}, here by {}", model.engine, ours.engine));
            }
            Some(ours) => found
                .push(format!("{role} ran {} on {}, here {} on {}", model.name, model.engine, ours.name, ours.engine)),
            None => found.push(format!("{role} ran {}, which is not here", model.name)),
        }
    }
    found
}

/// The ticks at which results of jobs arrived in the recorded run, by role and frame.
fn known_arrivals(session: &Path) -> Result<BTreeMap<(JobRole, StableId), u64>, Failure> {
    let mut reader = SessionReader::open(session)?;
    let mut known = BTreeMap::new();
    if reader.info().origin == Origin::Import {
        return Ok(known);
    }
    while let Some(record) = reader.read()? {
        let Record::Tick(incoming) = record else { continue };
        for input in &incoming.inputs {
            if let Payload::JobDone { job, frame, .. } = &input.payload {
                known.insert((job.role, *frame), incoming.tick);
            }
        }
    }
    Ok(known)
}
