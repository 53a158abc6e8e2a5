//! The config without its secrets.

use toml::{Table, Value};

use crate::config::Config;

/// What stands in the place of what is left out.
const LEFT_OUT: &str = "(left out)";

/// Texts that are shown. All others are left out, so also those of keys that come to be: files, user names, addresses
/// with passwords in them.
const SHOWN: [&str; 30] = [
    "camera.name",
    "camera.role",
    "camera.source",
    "camera.format",
    "microphone.name",
    "microphone.source",
    "gps.name",
    "gps.source",
    "range.name",
    "range.source",
    "range.protocol",
    "speaker.device",
    "simulation.scenario",
    "simulation.pictures",
    "simulation.perceive",
    "inference.engine",
    "segmentation.model",
    "segmentation.fallback",
    "detection.model",
    "detection.crop",
    "voice.detector",
    "mqtt.broker",
    "mqtt.vehicle",
    "mqtt.prefix",
    "mqtt.home_assistant",
    "log.level",
    "log.format",
    "http.listen",
    "remote.url",
    "remote.roles",
];

/// The config as TOML. Texts that may be secrets, or say where secrets are, are left out; so is what is before the `@` of
/// addresses, and what is behind their `?`.
pub fn without(config: &Config) -> String {
    let mut table: Table = config.to_toml().unwrap_or_default().parse().unwrap_or_default();
    for (key, value) in &mut table {
        clean(key, value);
    }
    toml::to_string(&table).unwrap_or_default()
}

fn clean(key: &str, value: &mut Value) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                clean(&format!("{key}.{name}"), value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| clean(key, item)),
        Value::String(text) if text.is_empty() => {}
        Value::String(text) if SHOWN.contains(&key) => *text = plain(text),
        Value::String(text) => LEFT_OUT.clone_into(text),
        _ => {}
    }
}

/// An address without who asks and what is asked; any other text as it is.
fn plain(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts `mark` into every text of a table that is not named there.
    fn mark(key: &str, value: &mut Value, marked: &mut Vec<String>) {
        match value {
            Value::Table(table) => {
                table.iter_mut().for_each(|(name, value)| mark(&format!("{key}.{name}"), value, marked));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| mark(key, item, marked)),
            Value::String(text) if !SHOWN.contains(&key) => {
                *text = format!("SECRET {key}");
                marked.push(key.to_owned());
            }
            _ => {}
        }
    }

    #[test]
    fn what_is_not_known_to_be_harmless_is_left_out() {
        let mut table: Table = Config::default().simulated().to_toml().unwrap().parse().unwrap();
        let mut marked = Vec::new();
        table.iter_mut().for_each(|(key, value)| mark(key, value, &mut marked));
        for file in ["http.token_file", "http.tls_key", "mqtt.password_file", "mqtt.username", "remote.token_file"] {
            assert!(marked.iter().any(|key| key == file), "{file} is not in {marked:?}");
        }
        table.iter_mut().for_each(|(key, value)| clean(key, value));
        let shown = toml::to_string(&table).unwrap();
        assert!(!shown.contains("SECRET"), "{shown}");
        assert!(shown.contains("name = \"front\"") && shown.contains("period_ms"), "{shown}");
    }

    #[test]
    fn every_text_that_is_shown_is_a_key_of_the_config() {
        let all = include_str!("../../assets/waywarden.toml");
        let mut section = String::new();
        let mut keys = Vec::new();
        for line in all.lines().map(|line| line.trim_start_matches('#').trim()) {
            if line.starts_with('[') && line.ends_with(']') {
                section = line.trim_matches(['[', ']']).to_owned();
            } else if let Some((key, _)) = line.split_once(" = ") {
                keys.push(format!("{section}.{key}"));
            }
        }
        for key in SHOWN {
            assert!(keys.iter().any(|known| known == key), "{key}");
        }
    }

    #[test]
    fn addresses_say_where_and_not_who() {
        for (text, shown) in [
            ("mqtts://me:secret@broker.example:8883", "mqtts://broker.example:8883"),
            ("https://a@b@box.example/x?token=secret", "https://box.example/x"),
            ("https://box.example/me@home", "https://box.example/me@home"),
            ("motorway", "motorway"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }
}
