//! Scenarios of simulated drives: which there are, and how a file of the user's becomes one.

use std::path::Path as FilePath;
use std::sync::LazyLock;

use serde_json::Value;
use waywarden_systems::simulate::Scenario;
use waywarden_systems::simulate::scenario::{BUILT_IN, Car, Distraction, Event, Pedestrian, Span, Stretch};

use super::check::{Violation, check_lists, check_ranges};
use super::explain::Manual;
use super::limits::{Limit, limit};
use super::parse::{self, Document};
use super::path::Path;
use super::problem::{ConfigError, Problem};

/// Lists of a scenario.
const LISTS: [&str; 3] = ["car", "pedestrian", "tunnel"];
/// Cars, pedestrians or tunnels at most, and events of one.
const MOST: usize = 64;

/// The limits of every number in a scenario.
const LIMITS: &[Limit] = &[
    limit("duration_s", 1.0, 86_400.0, "s"),
    limit("road.lanes", 1.0, 4.0, "lanes"),
    limit("road.oncoming_lanes", 0.0, 3.0, "lanes"),
    limit("road.lane_width_m", 2.2, 4.5, "m"),
    limit("road.shoulder_m", 0.2, 5.0, "m"),
    limit("road.bend_radius_m", 80.0, 100_000.0, "m"),
    limit("road.bend_every_m", 60.0, 10_000.0, "m"),
    limit("road.hill_height_m", 0.0, 20.0, "m"),
    limit("road.hill_every_m", 300.0, 10_000.0, "m"),
    limit("paint.width_m", 0.08, 0.5, "m"),
    limit("paint.dash_m", 0.5, 20.0, "m"),
    limit("paint.gap_m", 0.5, 20.0, "m"),
    limit("paint.worn", 0.0, 1.0, ""),
    limit("light.start", 0.0, 1.0, ""),
    limit("light.end", 0.0, 1.0, ""),
    limit("light.rain", 0.0, 1.0, ""),
    limit("light.shadows", 0.0, 1.0, ""),
    limit("ego.lane", 1.0, 4.0, ""),
    limit("ego.speed_kmh", 0.0, 200.0, "km/h"),
    limit("ego.sway_m", 0.0, 0.8, "m"),
    limit("ego.pitch_deg", 0.0, 1.0, "degrees"),
    limit("ego.event.at_s", 0.0, 86_400.0, "s"),
    limit("ego.event.lane", 1.0, 4.0, ""),
    limit("ego.event.over_s", 1.0, 60.0, "s"),
    limit("ego.event.speed_kmh", 0.0, 200.0, "km/h"),
    limit("ego.event.braking_mps2", 0.3, 10.0, "m/s²"),
    limit("ego.distraction.at_s", 0.0, 86_400.0, "s"),
    limit("ego.distraction.for_s", 0.5, 600.0, "s"),
    limit("ego.distraction.looks_up_s", 0.3, 10.0, "s"),
    limit("traffic.per_km", 0.0, 40.0, "vehicles in a kilometre"),
    limit("traffic.oncoming_per_km", 0.0, 40.0, "vehicles in a kilometre"),
    limit("traffic.slowest_kmh", 10.0, 250.0, "km/h"),
    limit("traffic.fastest_kmh", 10.0, 250.0, "km/h"),
    limit("traffic.trucks", 0.0, 1.0, ""),
    limit("car.lane", 1.0, 7.0, ""),
    limit("car.ahead_m", -200.0, 5000.0, "m"),
    limit("car.speed_kmh", 0.0, 250.0, "km/h"),
    limit("car.left_m", -6.0, 6.0, "m"),
    limit("car.event.at_s", 0.0, 86_400.0, "s"),
    limit("car.event.lane", 1.0, 4.0, ""),
    limit("car.event.over_s", 1.0, 60.0, "s"),
    limit("car.event.speed_kmh", 0.0, 250.0, "km/h"),
    limit("car.event.braking_mps2", 0.3, 10.0, "m/s²"),
    limit("pedestrian.ahead_m", 0.0, 100_000.0, "m"),
    limit("pedestrian.when_within_m", 0.0, 300.0, "m"),
    limit("pedestrian.speed_mps", 0.3, 4.0, "m/s"),
    limit("tunnel.from_m", 0.0, 1_000_000.0, "m"),
    limit("tunnel.to_m", 0.0, 1_000_000.0, "m"),
    limit("camera.noise", 0.0, 20.0, "luma levels"),
    limit("camera.blur", 0.0, 1.0, ""),
    limit("camera.vignetting", 0.0, 1.0, ""),
    limit("camera.exposure_swing", 0.0, 0.5, ""),
    limit("faults.missed_frames", 0.0, 0.5, ""),
    limit("faults.gps_drift_m", 0.0, 50.0, "m"),
    limit("faults.gps_outage.from_s", 0.0, 86_400.0, "s"),
    limit("faults.gps_outage.to_s", 0.0, 86_400.0, "s"),
    limit("sound.speech", 0.0, 0.9, ""),
];

/// The default scenario with one item in every list, for hints and the tests.
fn full() -> Scenario {
    let event =
        || Event { at_s: 0.0, lane: Some(1), over_s: Some(4.0), speed_kmh: Some(50.0), braking_mps2: Some(3.0) };
    let mut full = Scenario::default();
    full.ego.event.push(event());
    full.ego.distraction.push(Distraction { at_s: 0.0, for_s: 5.0, looks_up_s: 1.2 });
    full.car.push(Car { event: vec![event()], ..Car::default() });
    full.pedestrian.push(Pedestrian::default());
    full.tunnel.push(Stretch { from_m: 0.0, to_m: 1.0 });
    full.faults.gps_outage.push(Span { from_s: 0.0, to_s: 1.0 });
    full
}

static DEFAULTS: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(full()).unwrap_or(Value::Null));

/// The names of the scenarios that are built in.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// Whether this is the path of a file and not a name.
pub fn is_file(name: &str) -> bool {
    FilePath::new(name).extension().is_some_and(|extension| extension == "toml")
}

/// What may be named.
pub(super) fn hint() -> String {
    format!("one of {}, or a path that ends in .toml", names().collect::<Vec<_>>().join(", "))
}

/// The scenario of this name or file.
///
/// # Errors
/// When there is none of that name, or the file cannot be read or used, with every mistake in it.
pub fn load(name: &str) -> Result<Scenario, ConfigError> {
    if !is_file(name) {
        let none = || Problem::of_file("scenario", format!("there is no \"{}\"", name.escape_debug()), hint()).into();
        return Scenario::built_in(name).ok_or_else(none);
    }
    from_bytes(&super::read(FilePath::new(name), &format!("name an existing scenario: {}", hint()))?, name)
}

/// A scenario from the bytes of a file; `origin` is what the file is called in messages.
///
/// # Errors
/// Every mistake that can be told apart, each with its place, key and a hint.
pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Scenario, ConfigError> {
    parse::parse(super::text_of(bytes, origin)?, origin)
}

impl Document for Scenario {
    fn manual() -> Manual {
        let reference = "every key of a scenario is explained in assets/scenarios/town.toml";
        Manual { limits: LIMITS, defaults: &DEFAULTS, lists: &LISTS, reference }
    }

    fn violations(&self, relations: bool) -> Vec<Violation> {
        let mut found = Vec::new();
        let values = serde_json::to_value(self).unwrap_or(Value::Null);
        check_ranges(&Self::manual(), &values, &Path::default(), &mut found);
        check_lists(&LISTS, &values, MOST, &mut found);
        if relations && found.is_empty() {
            check_lanes(self, &mut found);
            check_order(self, &mut found);
        }
        found
    }
}

/// Lanes that the road does not have.
fn check_lanes(scenario: &Scenario, found: &mut Vec<Violation>) {
    let lanes = scenario.road.lanes;
    let all = lanes + scenario.road.oncoming_lanes;
    let mut lane = |path: Path, lane: Option<u32>, most: u32| {
        if let Some(lane) = lane.filter(|lane| *lane > most) {
            let message = format!("`{}` is lane {lane} of a road with {most}", path.general());
            let hint = "lanes are counted from the right, from 1, see road.lanes and road.oncoming_lanes".to_owned();
            found.push(Violation { path, message, hint });
        }
    };
    let root = Path::default();
    lane(root.key("ego").key("lane"), Some(scenario.ego.lane), lanes);
    for (n, event) in scenario.ego.event.iter().enumerate() {
        lane(root.key("ego").key("event").index(n).key("lane"), event.lane, lanes);
    }
    for (n, car) in scenario.car.iter().enumerate() {
        let path = root.key("car").index(n);
        lane(path.key("lane"), Some(car.lane), all);
        for (m, event) in car.event.iter().enumerate() {
            lane(path.key("event").index(m).key("lane"), event.lane, lanes);
        }
    }
}

/// What must not come before something else.
fn check_order(scenario: &Scenario, found: &mut Vec<Violation>) {
    let mut ordered = |path: Path, low: (&str, f64), high: (&str, f64)| {
        if low.1 > high.1 {
            let message = format!("`{}` ({}) is above `{}` ({})", low.0, low.1, high.0, high.1);
            found.push(Violation { path, message, hint: format!("lower {} or raise {}", low.0, high.0) });
        }
    };
    let root = Path::default();
    let traffic = &scenario.traffic;
    ordered(
        root.key("traffic").key("slowest_kmh"),
        ("slowest_kmh", traffic.slowest_kmh),
        ("fastest_kmh", traffic.fastest_kmh),
    );
    for (n, tunnel) in scenario.tunnel.iter().enumerate() {
        ordered(root.key("tunnel").index(n).key("from_m"), ("from_m", tunnel.from_m), ("to_m", tunnel.to_m));
    }
    for (n, outage) in scenario.faults.gps_outage.iter().enumerate() {
        let path = root.key("faults").key("gps_outage").index(n).key("from_s");
        ordered(path, ("from_s", outage.from_s), ("to_s", outage.to_s));
    }
    for (n, pair) in scenario.ego.distraction.windows(2).enumerate() {
        let end = pair[0].at_s + pair[0].for_s;
        let path = root.key("ego").key("distraction").index(n + 1).key("at_s");
        ordered(path, ("the end of the distraction before", end), ("at_s", pair[1].at_s));
    }
    let mut events = |path: Path, events: &[Event]| {
        for (n, pair) in events.windows(2).enumerate() {
            ordered(path.index(n + 1).key("at_s"), ("at_s of the event before", pair[0].at_s), ("at_s", pair[1].at_s));
        }
    };
    events(root.key("ego").key("event"), &scenario.ego.event);
    for (n, car) in scenario.car.iter().enumerate() {
        events(root.key("car").index(n).key("event"), &car.event);
    }
}

#[cfg(test)]
mod tests;
