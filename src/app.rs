//! Which plugins a run gets, and the world that it begins with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bevy_app::App;
use waywarden_components::prelude::*;
use waywarden_systems::camera::{CameraPlugin, GateSettings};
use waywarden_systems::commands::CommandPlugin;
use waywarden_systems::devices::{self, DevicesPlugin};
use waywarden_systems::ego::EgoPlugin;
use waywarden_systems::gps::GpsPlugin;
use waywarden_systems::health::HealthPlugin;
use waywarden_systems::ingress::{Door, IngressPlugin, Source};
use waywarden_systems::jobs::{ArrivalMode, Arrivals, JobRunner, JobsPlugin};
use waywarden_systems::lanes::LanePlugin;
use waywarden_systems::mqtt::publish;
use waywarden_systems::obstacles::ObstaclePlugin;
use waywarden_systems::parked::ParkedPlugin;
use waywarden_systems::range::RangePlugin;
use waywarden_systems::record::RecordPlugin;
use waywarden_systems::registry::{Registry, Treatment};
use waywarden_systems::replay::Prepared;
use waywarden_systems::retire::RetirePlugin;
use waywarden_systems::settings::{Apply, SettingsPlugin};
use waywarden_systems::tick::{Stages, TickPlugin};
use waywarden_systems::voice::endpoint::VoiceSettings;
use waywarden_systems::voice::{Detectors, VoicePlugin};
use waywarden_systems::warnings::WarningPlugin;
use waywarden_systems::webrtc::WebRtcPlugin;

use crate::config::{Config, DetectionCrop, LaneFallback};
use crate::hearing::Hearing;
use crate::uplink;

/// What a run is made of.
pub struct Parts {
    /// How ticks are run.
    pub tick: TickPlugin,
    /// Where ticks come from.
    pub source: Box<dyn Source>,
    /// How results of jobs come back.
    pub arrivals: Arrivals,
    /// What runs jobs.
    pub runner: JobRunner,
    /// Which models can be run.
    pub models: ModelStatus,
    /// What listens for speech.
    pub hearing: Hearing,
    /// The roles that a service alone computes, if there is a service.
    pub remote: Option<BTreeSet<JobRole>>,
}

/// The app with everything that runs both live and in a replay: a replay lacks only what reaches outside.
///
/// Plugins may still be added; [`App::finish`] and [`App::cleanup`] come before the first tick.
pub fn build(config: &Config, streams: &[StreamSpec], parts: Parts) -> App {
    let mut app = App::empty();
    app.add_plugins((parts.tick, DevicesPlugin, IngressPlugin, JobsPlugin, RecordPlugin, RetirePlugin));
    app.add_plugins((camera(config), lanes(config), obstacles(config), gps(config), RangePlugin, voice(config)));
    app.add_plugins((EgoPlugin, warnings(config), parked(config)));
    app.add_plugins((health(config, streams), SettingsPlugin { apply: apply(streams) }));
    let commands = CommandPlugin { names: uplink::names(streams), telemetry: publish::STREAMS.to_vec() };
    app.add_plugins((commands, uplink::plugin(config, streams), webrtc(config, streams)));
    app.insert_resource(Door { source: parts.source, arrivals: parts.arrivals })
        .insert_resource(parts.runner)
        .insert_resource(parts.models)
        .insert_resource(Detectors::new(parts.hearing.choice))
        .insert_resource(parts.hearing.status);
    devices::spawn(app.world_mut(), streams);
    if !config.speaker.device.is_empty() {
        devices::spawn_speaker(app.world_mut());
    }
    if let Some(alone) = parts.remote {
        devices::spawn_remote(app.world_mut(), alone);
    }
    app
}

/// Puts another config in force, of which [`crate::reload`] has seen that no more differs than can be changed now.
fn apply(streams: &[StreamSpec]) -> Apply {
    let streams = streams.to_vec();
    Apply(Arc::new(move |world, toml| {
        // It was checked before it came in; one that this build refuses all the same changes nothing.
        let Ok(config) = Config::from_toml(toml, "the config that was read anew") else { return };
        camera(&config).apply(world);
        gps(&config).apply(world);
        voice(&config).apply(world);
        world.insert_resource(lanes(&config));
        world.insert_resource(obstacles(&config));
        world.insert_resource(warnings(&config));
        world.insert_resource(parked(&config));
        world.insert_resource(health(&config, &streams));
    }))
}

fn camera(config: &Config) -> CameraPlugin {
    CameraPlugin {
        gate: GateSettings {
            enabled: config.gate.enabled,
            threshold: config.gate.threshold as f32,
            force_after: seconds(config.gate.force_after_s),
        },
        classical_lanes_hz: classical_lanes(config).then(|| features_hz(config)),
    }
}

fn lanes(config: &Config) -> LanePlugin {
    LanePlugin { rate_hz: config.segmentation.rate_hz as f32, classical: classical_lanes(config) }
}

fn obstacles(config: &Config) -> ObstaclePlugin {
    let detection = &config.detection;
    let crop_share = (detection.crop == DetectionCrop::VanishingPoint).then_some(detection.crop_share as f32);
    ObstaclePlugin { rate_hz: detection.rate_hz as f32, crop_share }
}

fn warnings(config: &Config) -> WarningPlugin {
    WarningPlugin {
        settings: config.warnings,
        lanes: config.segmentation.enabled,
        detection: config.detection.enabled,
        classical: classical_lanes(config),
    }
}

fn webrtc(config: &Config, streams: &[StreamSpec]) -> WebRtcPlugin {
    let webrtc = &config.webrtc;
    WebRtcPlugin {
        enabled: webrtc.enabled,
        sessions: webrtc.sessions as usize,
        offer: Duration::from_secs(webrtc.offer_s.into()),
        audio: webrtc.audio && !config.microphone.is_empty(),
        loudspeaker: !config.speaker.device.is_empty(),
        // The loudspeaker's own queue, and how long it sounds on in a vehicle.
        tail: Duration::from_millis(u64::from(config.speaker.buffer_ms) + 400),
        names: uplink::names(streams),
    }
}

fn parked(config: &Config) -> ParkedPlugin {
    let after = Duration::from_secs(config.parked.after_s.into());
    ParkedPlugin { after: Some(after).filter(|after| !after.is_zero()) }
}

fn gps(config: &Config) -> GpsPlugin {
    GpsPlugin { max_wait: Duration::from_millis(config.gps_fix.max_wait_ms.into()) }
}

/// How often frames are looked at closely, for lanes without a model and for how lines are painted: as often as any model is asked,
/// because it costs little.
pub(crate) fn features_hz(config: &Config) -> f32 {
    config.segmentation.rate_hz.max(config.detection.rate_hz) as f32
}

/// Whether lanes are sought without a model, if there is none.
pub fn classical_lanes(config: &Config) -> bool {
    config.segmentation.enabled && config.segmentation.fallback == LaneFallback::Classical
}

fn voice(config: &Config) -> VoicePlugin {
    let voice = &config.voice;
    let settings = VoiceSettings {
        enter: voice.enter as f32,
        exit: voice.exit as f32,
        enter_ms: voice.enter_windows.saturating_mul(16),
        hang_over_ms: voice.hang_over_ms,
        pre_roll_ms: voice.pre_roll_ms,
        max_utterance_s: voice.max_utterance_s,
        silero: (voice.silero_enter as f32, voice.silero_exit as f32),
        ..VoiceSettings::default()
    };
    VoicePlugin { settings }
}

fn health(config: &Config, streams: &[StreamSpec]) -> HealthPlugin {
    let health = &config.health;
    HealthPlugin {
        camera_stale: seconds(health.camera_stale_s),
        microphone_stale: seconds(health.microphone_stale_s),
        gps_stale: seconds(health.gps_stale_s),
        range_stale: seconds(health.range_stale_s),
        gate: config.gate.enabled,
        classical_lanes: classical_lanes(config),
        names: uplink::names(streams),
    }
}

/// A time of the config, which has checked it.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// The names of all kinds whose values are digested.
pub fn digested_kinds() -> Vec<&'static str> {
    let app = build(&Config::default(), &[], Parts::idle());
    let registry = app.world().resource::<Registry>();
    registry
        .entries()
        .filter(|entry| matches!(entry.treatment, Treatment::State | Treatment::Message))
        .map(|entry| entry.name)
        .collect()
}

impl Parts {
    /// Parts of a run that is never given a tick and has no models: to look at what the app is made of.
    pub fn idle() -> Self {
        let stages = Stages::default();
        Self {
            tick: TickPlugin::default(),
            source: Box::new(Prepared::default()),
            arrivals: Arrivals::new(ArrivalMode::Recorded, stages.clone()),
            runner: JobRunner::new(Default::default(), None, stages),
            models: ModelStatus::default(),
            hearing: Hearing::default(),
            remote: None,
        }
    }
}
