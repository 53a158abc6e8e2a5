//! Telemetry: what is so, told where it has changed, and now and then where it has not.

use std::time::Duration;

use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use super::super::wire::{DeviceHealth, HealthReport, Lane, Object, Objects, Position, Speed, VoiceActivity};
use super::{Teller, priority};
use crate::scene::report::class_name;

/// The streams, by the names that they have in the config and in commands.
pub const STREAMS: [&str; 6] = ["position", "speed", "lane", "objects", "voice", "health"];

/// Metres of a degree of latitude, about.
const DEGREE_M: f64 = 111_320.0;

/// What is told of.
#[derive(bevy_ecs::system::SystemParam)]
pub struct Known<'w, 's> {
    receivers: Query<'w, 's, (&'static StableId, &'static Fresh, &'static GpsState)>,
    cameras: Query<'w, 's, (&'static StableId, &'static Camera, &'static Fresh, &'static EgoLane, &'static Obstacles)>,
    range_finders: Query<'w, 's, (&'static StableId, &'static Fresh, &'static RangeState)>,
    microphones: Query<'w, 's, (&'static StableId, &'static Voice)>,
    health: Query<'w, 's, (&'static StableId, &'static Health)>,
    uplinks: Query<'w, 's, &'static Uplink>,
    alerts: Query<'w, 's, &'static Alert>,
    models: Res<'w, ModelStatus>,
    functions: Option<Res<'w, WarningFunctions>>,
}

/// Something that may be told.
struct News {
    stream: &'static str,
    numbers: Vec<f64>,
    /// How far a number must have moved to be news.
    deadband: f64,
    words: Vec<String>,
}

impl News {
    fn new(stream: &'static str, numbers: Vec<f64>, deadband: f64, words: Vec<String>) -> Self {
        Self { stream, numbers, deadband, words }
    }

    /// Whether it is to be told now, after what was told last.
    fn is_due(&self, told: Option<&Told>, now: Mono, rate_hz: f64, heartbeat: Duration) -> bool {
        if !is_in_time(told.and_then(|told| told.at), now, rate_hz) {
            return false;
        }
        let Some((told, at)) = told.and_then(|told| Some((told, told.at?))) else { return true };
        let since = now.since(at);
        let moved = |(a, b): (&f64, &f64)| (a - b).abs() > self.deadband;
        self.words != told.words
            || self.numbers.len() != told.numbers.len()
            || self.numbers.iter().zip(&told.numbers).any(moved)
            || since >= heartbeat
    }
}

/// Tells of some streams.
type Tell = fn(&Known, &Rates, &mut Teller);

/// Tells what is due. What cannot be, because it was told a moment ago, is not even looked at.
pub(super) fn tell(known: &Known, rates: &Rates, teller: &mut Teller) {
    let tells: [(&[&str], Tell); 5] = [
        (&["position", "speed"], position),
        (&["lane"], lane),
        (&["objects"], objects),
        (&["voice"], voice),
        (&["health"], health),
    ];
    for (streams, tell) in tells {
        if streams.iter().any(|stream| may_be_due(stream, rates, teller)) {
            tell(known, rates, teller);
        }
    }
}

/// How often a stream may be told, in hertz.
fn rate_hz(stream: &str, rates: &Rates, teller: &Teller) -> f64 {
    rates.0.get(stream).copied().unwrap_or_else(|| teller.plugin.rate_hz(stream))
}

/// Whether a stream's rate lets it be told now, whatever there is to say.
fn may_be_due(stream: &str, rates: &Rates, teller: &Teller) -> bool {
    let told = teller.telemetry.streams.get(&format!("telemetry/{stream}"));
    is_in_time(told.and_then(|told| told.at), teller.clock.now, rate_hz(stream, rates, teller))
}

/// Whether the last message was made long enough ago. A tick early is in time: the next one would be late.
fn is_in_time(last: Option<Mono>, now: Mono, rate_hz: f64) -> bool {
    rate_hz > 0.0 && last.is_none_or(|last| now.since(last).as_secs_f64() >= 1.0 / rate_hz - 0.005)
}

fn say<T: serde::Serialize>(news: News, rates: &Rates, teller: &mut Teller, data: impl FnOnce() -> T) {
    let topic = format!("telemetry/{}", news.stream);
    let plugin = teller.plugin;
    let rate = rate_hz(news.stream, rates, teller);
    let told = teller.telemetry.streams.get(&topic);
    if !news.is_due(told, teller.clock.now, rate, plugin.heartbeat) {
        return;
    }
    let priority = match news.stream {
        "position" | "health" => priority::TRACE,
        _ => priority::TELEMETRY,
    };
    teller.tell(&topic, (priority, plugin.keep_telemetry), data);
    if let Some(told) = teller.telemetry.streams.get_mut(&topic) {
        (told.numbers, told.words) = (news.numbers, news.words);
    }
}

/// Position and speed, by the first receiver that can be relied on.
fn position(known: &Known, rates: &Rates, teller: &mut Teller) {
    let fresh = known.receivers.iter().filter(|(_, fresh, _)| fresh.0).min_by_key(|(id, ..)| **id);
    let Some((fix, at)) = fresh.and_then(|(_, _, gps)| Some((gps.fix.as_ref()?, gps.last_fix?))) else { return };
    let north_m = fix.latitude_deg * DEGREE_M;
    let east_m = fix.longitude_deg * DEGREE_M * libm::cos(fix.latitude_deg.to_radians());
    let age_s = teller.clock.now.since(at).as_secs_f64();
    let plugin = teller.plugin;
    say(News::new("position", vec![north_m, east_m], plugin.position_m, Vec::new()), rates, teller, || Position {
        latitude_deg: fix.latitude_deg,
        longitude_deg: fix.longitude_deg,
        altitude_m: fix.altitude_m,
        heading_deg: fix.course_deg,
        satellites: fix.satellites,
        hdop: fix.hdop,
        age_s: (age_s * 1e3).round() / 1e3,
    });
    if let Some(speed_mps) = fix.speed_mps {
        let speed_kmh = (speed_mps * 3.6 * 100.0).round() / 100.0;
        say(News::new("speed", vec![speed_kmh], plugin.speed_kmh, Vec::new()), rates, teller, || Speed { speed_kmh });
    }
}

/// The front camera, the first if there are several.
fn front<'a>(known: &'a Known) -> Option<(&'a Camera, &'a Fresh, &'a EgoLane, &'a Obstacles)> {
    let fronts = known.cameras.iter().filter(|(_, camera, ..)| camera.role == CameraRole::Front);
    fronts.min_by_key(|(id, ..)| **id).map(|(_, camera, fresh, lane, obstacles)| (camera, fresh, lane, obstacles))
}

fn is_warned_of(known: &Known, kinds: &[AlertKind]) -> bool {
    known.alerts.iter().any(|alert| alert.ended.is_none() && kinds.contains(&alert.kind))
}

fn lane(known: &Known, rates: &Rates, teller: &mut Teller) {
    let Some((_, fresh, lane, _)) = front(known) else { return };
    let is_enabled = teller.plugin.lanes && fresh.0;
    let is_warning = is_warned_of(known, &[AlertKind::LaneDeparture]);
    let is_error = teller.plugin.lanes && !fresh.0;
    let geometry = lane.estimate.geometry.as_ref();
    let numbers = geometry.map(|geometry| vec![f64::from(geometry.offset_m)]).unwrap_or_default();
    let words = vec![format!("{is_enabled} {is_warning} {is_error}")];
    say(News::new("lane", numbers, teller.plugin.lane_m, words), rates, teller, || Lane {
        is_enabled,
        is_warning,
        is_error,
        offset_m: geometry.map(|lane| lane.offset_m),
        heading_rad: geometry.map(|lane| lane.heading_rad),
        curvature_per_m: geometry.map(|lane| lane.curvature_per_m),
        width_m: geometry.map(|lane| lane.width_m),
        confidence: lane.estimate.confidence,
    });
}

fn objects(known: &Known, rates: &Rates, teller: &mut Teller) {
    let nearest = known.range_finders.iter().filter(|(_, fresh, _)| fresh.0);
    let distance_m = nearest.filter_map(|(.., range)| range.distance_m).min_by(f32::total_cmp);
    let front = front(known);
    if front.is_none() && known.range_finders.is_empty() {
        return;
    }
    let detects = known.models.ready(JobRole::Detection);
    let sees = front.is_some_and(|(_, fresh, ..)| fresh.0) && detects;
    let is_enabled = sees || distance_m.is_some();
    let is_warning =
        is_warned_of(known, &[AlertKind::ForwardCollision, AlertKind::VulnerableRoadUser, AlertKind::MovingOff]);
    let is_error = detects && !sees;
    let boxes = front.map(|(.., obstacles)| obstacles.boxes.as_slice()).unwrap_or_default();
    let mut classes: Vec<String> = boxes.iter().map(|found| class_name(found.class)).collect();
    classes.sort_unstable();
    classes.push(format!("{is_enabled} {is_warning} {is_error}"));
    let numbers = distance_m.map(|distance| vec![f64::from(distance)]).unwrap_or_default();
    say(News::new("objects", numbers, teller.plugin.distance_m, classes), rates, teller, || Objects {
        is_enabled,
        is_warning,
        is_error,
        distance_m,
        objects: boxes
            .iter()
            .map(|found| Object {
                class: class_name(found.class),
                score: found.score,
                box_px: [found.left, found.top, found.width, found.height],
            })
            .collect(),
    });
}

fn voice(known: &Known, rates: &Rates, teller: &mut Teller) {
    if known.microphones.is_empty() {
        return;
    }
    let speaking = known.microphones.iter().any(|(_, voice)| voice.speaking);
    let utterances = known.microphones.iter().map(|(_, voice)| voice.utterances).sum();
    say(News::new("voice", Vec::new(), 0.0, vec![speaking.to_string()]), rates, teller, || VoiceActivity {
        speaking,
        utterances,
    });
}

fn health(known: &Known, rates: &Rates, teller: &mut Teller) {
    let mut devices: Vec<_> = known.health.iter().collect();
    devices.sort_unstable_by_key(|(id, _)| **id);
    let functions = known.functions.iter().flat_map(|functions| &functions.0);
    let words = devices.iter().map(|(id, health)| format!("{id} {:?} {}", health.state, health.reason));
    let words = words.chain(functions.clone().map(|(kind, how)| format!("{kind} {:?} {}", how.state, how.reason)));
    let words = words.collect();
    let plugin = teller.plugin;
    let uplink = known.uplinks.iter().next();
    say(News::new("health", Vec::new(), 0.0, words), rates, teller, || HealthReport {
        devices: devices
            .iter()
            .map(|(id, health)| {
                let how = DeviceHealth { state: health.state.into(), reason: health.reason.clone() };
                (plugin.name(id.stream), how)
            })
            .collect(),
        warnings: functions
            .map(|(kind, how)| {
                let function = DeviceHealth { state: how.state.into(), reason: how.reason.clone() };
                (kind.name().to_owned(), function)
            })
            .collect(),
        waiting: uplink.map_or(0, |uplink| uplink.waiting),
        lost: uplink.map_or(0, |uplink| uplink.lost),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(told: &Told, seconds: f64, number: f64, word: &str) -> bool {
        let news = News::new("position", vec![number], 2.0, vec![word.to_owned()]);
        news.is_due(Some(told), Mono::from_secs_f64(seconds), 1.0, Duration::from_secs(60))
    }

    #[test]
    fn what_has_not_changed_is_told_now_and_then() {
        let at = Some(Mono::from_secs_f64(100.0));
        let told = Told { seq: 1, at, numbers: vec![10.0], words: vec!["a".to_owned()] };
        assert!(!due(&told, 100.5, 99.0, "b"), "not more often than wanted");
        assert!(due(&told, 101.0, 99.0, "a") && due(&told, 101.0, 10.0, "b"));
        assert!(!due(&told, 159.9, 11.9, "a"), "a parked car is quiet");
        assert!(due(&told, 160.0, 10.0, "a"));
        let news = News::new("position", Vec::new(), 2.0, Vec::new());
        assert!(news.is_due(None, Mono::default(), 1.0, Duration::MAX));
        assert!(!news.is_due(None, Mono::default(), 0.0, Duration::ZERO), "no rate is none at all");
    }
}
