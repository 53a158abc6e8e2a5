//! Whether the values of a config make sense: ranges, names, and how values stand to each other.

use std::collections::BTreeMap;

use serde_json::Value;
use waywarden_components::prelude::JobRole;

use super::explain::{Manual, allowed, manual};
use super::limits::Limit;
use super::path::Path;
use super::{Config, DeviceSource, network, scenario};

/// Longest name of a device or model, in characters.
const MAX_NAME: usize = 32;

/// Devices of one kind, or models, at most.
const MAX_DEVICES: usize = 16;

/// A value that makes no sense.
pub(super) struct Violation {
    /// The value.
    pub(super) path: Path,
    /// What is wrong with it.
    pub(super) message: String,
    /// What to do about it.
    pub(super) hint: String,
}

/// All values of `config` that make no sense; how they stand to each other is looked at if `relations` says so.
pub(super) fn violations(config: &Config, relations: bool) -> Vec<Violation> {
    let mut found = Vec::new();
    // JSON, because it takes any number that the config's types can hold.
    let values = serde_json::to_value(config).unwrap_or(Value::Null);
    check_ranges(&manual(), &values, &Path::default(), &mut found);
    check_lists(&super::LISTS, &values, MAX_DEVICES, &mut found);
    check_names(config, &mut found);
    check_sources(config, &mut found);
    check_models(config, &mut found);
    check_scenario(config, &mut found);
    super::mqtt::check(&config.mqtt, &mut found);
    network::check(config, &mut found);
    super::webrtc::check(&config.webrtc, &mut found);
    if relations && found.is_empty() {
        check_relations(config, &mut found);
        super::simulation::check(config, &mut found);
    }
    found
}

pub(super) fn check_ranges(manual: &Manual, value: &Value, path: &Path, found: &mut Vec<Violation>) {
    match value {
        Value::Object(table) => {
            table.iter().for_each(|(key, value)| check_ranges(manual, value, &path.key(key), found))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| check_ranges(manual, value, &path.index(i), found));
        }
        // JSON has no infinity and no not-a-number; both become null.
        Value::Number(_) | Value::Null => {
            let general = path.general();
            let Some(limit) = Limit::among(manual.limits, &general) else { return };
            if !value.as_f64().is_some_and(|number| limit.allows(number)) {
                let shown = if value.is_null() { "not a finite number".to_owned() } else { format!("{value}") };
                let message = format!("`{general}` is {shown}, which is outside {limit}");
                found.push(Violation { path: path.clone(), message, hint: allowed(manual, &general) });
            }
        }
        _ => {}
    }
}

pub(super) fn check_lists(lists: &[&str], values: &Value, most: usize, found: &mut Vec<Violation>) {
    for &key in lists {
        let length = values.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        if length > most {
            found.push(Violation {
                path: Path::default().key(key).index(most),
                message: format!("{length} times [[{key}]]"),
                hint: format!("at most {most} of a kind"),
            });
        }
    }
}

/// Names with their ways.
type Names<'a> = Vec<(Path, &'a str)>;

/// The names of devices, which are unique among each other, and those of models, likewise.
fn names(config: &Config) -> [Names<'_>; 2] {
    fn of<'a, T>(list: &str, items: &'a [T], name: impl Fn(&'a T) -> &'a str) -> Names<'a> {
        let path = Path::default().key(list);
        items.iter().enumerate().map(|(i, item)| (path.index(i).key("name"), name(item))).collect()
    }
    let mut devices = of("camera", &config.camera, |camera| &camera.name);
    devices.extend(of("microphone", &config.microphone, |microphone| &microphone.name));
    devices.extend(of("gps", &config.gps, |gps| &gps.name));
    devices.extend(of("range", &config.range, |range| &range.name));
    [devices, of("model", &config.model, |model| &model.name)]
}

fn check_names(config: &Config, found: &mut Vec<Violation>) {
    for group in names(config) {
        let mut seen: BTreeMap<&str, Path> = BTreeMap::new();
        for (path, name) in group {
            if !is_name(name) {
                let message = format!("\"{}\" is no name", name.escape_debug());
                let hint = format!(
                    "1 to {MAX_NAME} of a-z, 0-9, - and _, beginning with a letter or digit: it becomes part of file names \
                     and topics"
                );
                found.push(Violation { path, message, hint });
            } else if let Some(first) = seen.get(name) {
                let message = format!("the name \"{name}\" is taken by {first}");
                let hint = format!("give each its own, for example name = \"{name}-2\"");
                found.push(Violation { path, message, hint });
            } else {
                seen.insert(name, path);
            }
        }
    }
}

/// Longest address of a device, in bytes.
const MAX_ADDRESS: usize = 256;

/// Whether addresses of devices can be any. Which ones are there is found out when they are opened.
fn check_sources(config: &Config, found: &mut Vec<Violation>) {
    let cameras = config.camera.iter().map(|device| &device.source).enumerate().map(|item| ("camera", item));
    let microphones =
        config.microphone.iter().map(|device| &device.source).enumerate().map(|item| ("microphone", item));
    let gps = config.gps.iter().map(|device| &device.source).enumerate().map(|item| ("gps", item));
    let ranges = config.range.iter().map(|device| &device.source).enumerate().map(|item| ("range", item));
    for (list, (n, source)) in cameras.chain(microphones).chain(gps).chain(ranges) {
        let DeviceSource::At(address) = source else { continue };
        if address.trim() != address
            || address.is_empty()
            || address.len() > MAX_ADDRESS
            || address.contains(char::is_control)
        {
            found.push(Violation {
                path: Path::default().key(list).index(n).key("source"),
                message: format!("\"{}\" is no address of a device", address.escape_debug()),
                hint: "`waywarden devices` lists what is there; \"simulated\" needs nothing".to_owned(),
            });
        }
    }
}

/// Whether `name` is safe in paths and topics.
pub(super) fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= MAX_NAME && name.as_bytes().first().is_some_and(first) && name.bytes().all(inner)
}

fn check_models(config: &Config, found: &mut Vec<Violation>) {
    for (i, model) in config.model.iter().enumerate() {
        let path = Path::default().key("model").index(i);
        if model.path.is_empty() {
            let message = "`model.path` is empty".to_owned();
            found.push(Violation { path: path.key("path"), message, hint: "name the ONNX file".to_owned() });
        }
        if model.sha256.len() != 64 || !model.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let message = "`model.sha256` is not 64 hexadecimal digits".to_owned();
            let hint = "take the first word that `sha256sum FILE` prints".to_owned();
            found.push(Violation { path: path.key("sha256"), message, hint });
        }
    }
    for (section, name) in [("segmentation", &config.segmentation.model), ("detection", &config.detection.model)] {
        if !is_name(name) {
            let message = format!("\"{}\" is no model's name", name.escape_debug());
            let hint = format!("{}, or the name of a [[model]]", allowed(&manual(), &format!("{section}.model")));
            found.push(Violation { path: Path::default().key(section).key("model"), message, hint });
        }
    }
}

fn check_scenario(config: &Config, found: &mut Vec<Violation>) {
    let name = &config.simulation.scenario;
    if !scenario::is_file(name) && !scenario::names().any(|known| known == name) {
        found.push(Violation {
            path: Path::default().key("simulation").key("scenario"),
            message: format!("there is no scenario \"{}\"", name.escape_debug()),
            hint: scenario::hint(),
        });
    }
}

fn check_relations(config: &Config, found: &mut Vec<Violation>) {
    let mut ordered = |section: &str, low: (&str, f64), high: (&str, f64)| {
        if low.1 > high.1 {
            found.push(Violation {
                path: Path::default().key(section).key(low.0),
                message: format!("`{section}.{}` ({}) is above `{section}.{}` ({})", low.0, low.1, high.0, high.1),
                hint: format!("lower {} or raise {}", low.0, high.0),
            });
        }
    };
    let (tick, voice) = (&config.tick, &config.voice);
    ordered("tick", ("min_gap_ms", f64::from(tick.min_gap_ms)), ("period_ms", f64::from(tick.period_ms)));
    ordered("voice", ("exit", voice.exit), ("enter", voice.enter));
    ordered("voice", ("silero_exit", voice.silero_exit), ("silero_enter", voice.silero_enter));
    if let Some(fault) = config.warnings.fault() {
        found.push(Violation {
            path: Path::default().key("warnings"),
            message: format!("`warnings.{fault}`"),
            hint: "what comes sooner may not come later".to_owned(),
        });
    }
    for (section, role, name) in [
        ("segmentation", JobRole::Segmentation, &config.segmentation.model),
        ("detection", JobRole::Detection, &config.detection.model),
    ] {
        if let Some(model) = config.model.iter().find(|model| model.name == *name && model.role != role) {
            found.push(Violation {
                path: Path::default().key(section).key("model"),
                message: format!("the model \"{name}\" is for {}, not for {role}", model.role),
                hint: format!("name another, or give that [[model]] role = \"{role}\""),
            });
        }
    }
}
