//! A live run, as far as it is shown outside of the world.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use waywarden_components::prelude::*;
use waywarden_systems::scene::{CameraScene, FrameScene, Scene, Showing};

use super::answers::Unanswered;
use super::secrets;
use crate::config::Config;

/// How long the next tick, or the next picture of a camera, is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A live run.
#[derive(Clone, Debug)]
pub struct Live {
    showing: Showing,
    /// What each device of the config is, by name.
    kinds: Arc<BTreeMap<String, StreamKind>>,
    /// The config that it began with, without its secrets.
    config: Arc<str>,
    /// The name of the session that is being recorded.
    session: Option<String>,
}

impl Live {
    /// The run that is shown there, with the config that it began with; `session` names what it records.
    pub fn new(showing: Showing, config: &Config, session: Option<String>) -> Self {
        let kinds = config.streams().into_iter().map(|spec| (spec.name, spec.kind)).collect();
        Self { showing, kinds: Arc::new(kinds), config: secrets::without(config).into(), session }
    }

    /// The config that it began with, as TOML, without its secrets.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// The name of the session that is being recorded.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// What has happened is remembered there.
    pub fn showing(&self) -> &Showing {
        &self.showing
    }

    /// The names of the devices of a kind.
    pub fn named(&self, is: impl Fn(&StreamKind) -> bool) -> Vec<&str> {
        self.kinds.iter().filter(|(_, kind)| is(kind)).map(|(name, _)| name.as_str()).collect()
    }

    /// The scene of the next tick.
    ///
    /// # Errors
    /// When there is none: the run stands still.
    pub async fn now(&self) -> Result<Arc<Scene>, Unanswered> {
        tokio::time::timeout(PATIENCE, self.showing.now()).await.map_err(|_| stands_still())
    }

    /// The scene in which a camera has a picture, and which camera it is: the one of this name, else the first that looks
    /// ahead, else the first.
    ///
    /// # Errors
    /// When there is no such camera, it may not be shown, or no picture comes.
    pub async fn picture(&self, name: Option<&str>) -> Result<(Arc<Scene>, usize, FrameScene), Unanswered> {
        // Pictures are remembered while somebody watches.
        let mut scenes = self.showing.watch();
        let wait = async {
            loop {
                scenes.changed().await.ok()?;
                let scene = scenes.borrow_and_update().clone();
                match camera(&scene, name) {
                    Err(unanswered) => return Some(Err(unanswered)),
                    Ok(n) if is_private(&scene, &scene.cameras[n]) => {
                        let name = &scene.cameras[n].name;
                        return Some(Err(Unanswered(format!(
                            "privacy is on: {name} sees people inside of the vehicle, and shows nothing until privacy is off"
                        ))));
                    }
                    Ok(n) => {
                        if let Some(frame) = scene.cameras[n].frame.clone() {
                            return Some(Ok((scene, n, frame)));
                        }
                    }
                }
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found.unwrap_or_else(|| Err(stands_still())),
            Err(_) => {
                let scene = self.now().await?;
                let camera = &scene.cameras[camera(&scene, name)?];
                let why = why_not(&scene, &camera.name).unwrap_or_else(|| "it delivers nothing".to_owned());
                Err(Unanswered(format!("no picture of {} within {} s: {why}", camera.name, PATIENCE.as_secs())))
            }
        }
    }
}

fn stands_still() -> Unanswered {
    Unanswered(format!("the run made no tick for {} s: it stands still, is ending, or has ended", PATIENCE.as_secs()))
}

/// Which camera is meant.
///
/// # Errors
/// When there is none of this name, or none at all.
pub fn camera(scene: &Scene, name: Option<&str>) -> Result<usize, Unanswered> {
    let cameras = &scene.cameras;
    let found = match name {
        Some(name) => cameras.iter().position(|camera| camera.name == name),
        None if cameras.is_empty() => return Err(Unanswered::because("there is no camera in the config")),
        None => cameras.iter().position(|camera| camera.camera.role == CameraRole::Front).or(Some(0)),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = cameras.iter().map(|camera| camera.name.as_str()).collect();
        Unanswered(format!("there is no camera of that name; there are: {}", names.join(", ")))
    })
}

/// Whether a camera may not be shown now.
pub fn is_private(scene: &Scene, camera: &CameraScene) -> bool {
    scene.switches.privacy && camera.camera.role == CameraRole::Cabin
}

/// How a device is and why, unless it is well.
pub fn why_not(scene: &Scene, device: &str) -> Option<String> {
    let device = scene.devices.iter().find(|known| known.name == device)?;
    let state = format!("{:?}", device.health.state).to_lowercase();
    match device.health.state {
        FunctionState::Active => None,
        _ if device.health.reason.is_empty() => Some(format!("{} is {state}", device.name)),
        _ => Some(format!("{} is {state}: {}", device.name, device.health.reason)),
    }
}
