//! The config read anew while the program runs (SIGHUP): all of it or nothing.

use serde_json::Value;

use crate::config::Config;
use crate::failure::Failure;

/// What can be changed while it runs: settings that are looked at anew in each tick. Whatever else differs needs a start.
const CHANGEABLE: [&str; 18] = [
    "gate.",
    "segmentation.rate_hz",
    "detection.rate_hz",
    "voice.enter",
    "voice.exit",
    "voice.silero_enter",
    "voice.silero_exit",
    "voice.hang_over_ms",
    "voice.pre_roll_ms",
    "voice.max_utterance_s",
    "voice.enter_windows",
    "gps_fix.",
    "health.camera_stale_s",
    "health.microphone_stale_s",
    "health.gps_stale_s",
    "health.range_stale_s",
    "segmentation.fallback",
    "warnings.",
];

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its key, with its section.
    pub key: String,
    /// What it was.
    pub from: String,
    /// What it becomes.
    pub to: String,
}

/// What differs between two configs.
///
/// # Errors
/// When something differs that cannot be changed while it runs: then nothing is to be changed.
pub fn changes(old: &Config, new: &Config) -> Result<Vec<Change>, Failure> {
    let mut found = Vec::new();
    let value = |config: &Config| serde_json::to_value(config).unwrap_or_default();
    compare("", &value(old), &value(new), &mut found);
    let changeable = |change: &Change| CHANGEABLE.iter().any(|key| change.key.starts_with(key));
    let fixed: Vec<&str> =
        found.iter().filter(|change| !changeable(change)).map(|change| change.key.as_str()).collect();
    if fixed.is_empty() {
        Ok(found)
    } else {
        Err(Failure::bad_input(format!("{} cannot be changed while it runs", fixed.join(", ")))
            .hint("start the program anew: systemctl restart waywarden"))
    }
}

/// The changes in a line for the log.
pub fn words(changes: &[Change]) -> String {
    let each: Vec<_> = changes.iter().map(|Change { key, from, to }| format!("{key} from {from} to {to}")).collect();
    if each.is_empty() { "nothing differs".to_owned() } else { each.join(", ") }
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<Change>) {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            // Both are configs, so that both have all keys.
            for (key, value) in a {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, value, b.get(key).unwrap_or(&Value::Null), found);
            }
        }
        _ if old == new => {}
        _ => found.push(Change { key: path.to_owned(), from: old.to_string(), to: new.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_toml(text, "test").unwrap()
    }

    #[test]
    fn changes_are_named_with_both_values() {
        let changes = changes(&config(""), &config("[gate]\nthreshold = 5.0\n[voice]\nhang_over_ms = 300")).unwrap();
        assert_eq!(words(&changes), "gate.threshold from 3.0 to 5.0, voice.hang_over_ms from 400 to 300");
        assert_eq!(words(&super::changes(&config(""), &config("")).unwrap()), "nothing differs");
    }

    #[test]
    fn one_that_needs_a_start_changes_nothing() {
        for text in ["[threads]\njobs = 1", "camera = []", "[[camera]]\nname = \"left\"", "[record]\nflush_ms = 100"] {
            let both = format!("{text}\n[gate]\nthreshold = 5.0");
            let failure = changes(&config(""), &config(&both)).unwrap_err().to_string();
            assert!(failure.contains("cannot be changed while it runs") && !failure.contains("gate"), "{failure}");
        }
    }

    #[test]
    fn every_changeable_key_is_a_key() {
        let Value::Object(sections) = serde_json::to_value(Config::default()).unwrap() else { panic!() };
        for key in CHANGEABLE {
            let (section, name) = key.split_once('.').unwrap();
            assert!(name.is_empty() || sections[section].get(name).is_some(), "{key}");
            assert!(sections.contains_key(section), "{key}");
        }
    }
}
