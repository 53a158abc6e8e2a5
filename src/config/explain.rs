//! What the parser and serde say, in words that a person can act on.

use std::sync::LazyLock;

use serde_json::Value;

use super::devices::Microphone;
use super::limits::{LIMITS, Limit};
use super::path::Path;
use super::{Config, LISTS};

/// How alike two words must be, from 0 to 1, for one to be taken for the other mistyped.
const ALIKE: f64 = 0.5;

/// The default config with one device of each kind, for the defaults in hints.
static DEFAULTS: LazyLock<Value> = LazyLock::new(|| {
    let config = Config { microphone: vec![Microphone::default()], ..Config::default() };
    serde_json::to_value(config).unwrap_or(Value::Null)
});

/// What may stand in a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manual {
    /// Its numbers.
    pub(super) limits: &'static [Limit],
    /// Its defaults; a list holds one item.
    pub(super) defaults: &'static Value,
    /// Its lists.
    pub(super) lists: &'static [&'static str],
    /// Where all of it is explained.
    pub(super) reference: &'static str,
}

/// The manual of the config.
pub(super) fn manual() -> Manual {
    let reference = "see the reference: `waywarden check --print-default`";
    Manual { limits: LIMITS, defaults: &DEFAULTS, lists: &LISTS, reference }
}

/// The default of the key `general` (`gate.threshold`, `camera.fps`) as TOML writes it.
pub(super) fn default_of(manual: &Manual, general: &str) -> Option<String> {
    let value = general.split('.').try_fold(manual.defaults, |value, key| {
        let table = if let Value::Array(items) = value { items.first()? } else { value };
        table.get(key)
    })?;
    match value {
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.to_string()),
        _ => None,
    }
}

/// What may stand at the key `general`: its range and its default.
pub(super) fn allowed(manual: &Manual, general: &str) -> String {
    let range = Limit::among(manual.limits, general).map(|limit| format!("allowed: {limit}"));
    let default = default_of(manual, general).map(|default| format!("default: {default}"));
    let both: Vec<String> = range.into_iter().chain(default).collect();
    if both.is_empty() { manual.reference.to_owned() } else { both.join("; ") }
}

/// The word of `words` that `wrong` was probably meant to be.
fn did_you_mean<'a>(wrong: &str, words: &[&'a str]) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let likeness = |word: &&str| strsim::normalized_damerau_levenshtein(&wrong, word);
    words.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|word| likeness(word) >= ALIKE)
}

/// The words in backticks of a message by serde: first the wrong one, then what would be right.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

/// A hint from the word that is wrong and those that would be right.
fn hint_of_words(wrong: &str, right: &[&str], title: &str) -> String {
    let list = format!("{title}: {}", right.join(", "));
    match did_you_mean(wrong, right) {
        Some(word) => format!("did you mean `{word}`? {list}"),
        None => list,
    }
}

/// Message and hint for what serde said of the key or value at `path`.
pub(super) fn explain(manual: &Manual, said: &str, path: Option<&Path>) -> (String, String) {
    let general = path.map_or(String::new(), Path::general);
    let header = path.and_then(Path::header);
    if said.starts_with("unknown field") {
        // The wrong key may hold backticks itself, so the right ones are looked for behind it.
        let wrong = path.map_or("", Path::last_key);
        let right = quoted(said.rsplit_once("`, expected ").map_or("", |(_, expected)| expected));
        return match header {
            Some(header) => (
                format!("unknown key `{}` in {header}", wrong.escape_debug()),
                hint_of_words(wrong, &right, &format!("keys of {header}")),
            ),
            None => {
                (format!("unknown section or key `{}`", wrong.escape_debug()), hint_of_words(wrong, &right, "sections"))
            }
        };
    }
    if said.starts_with("unknown variant") {
        let (wrong, expected) = said.rsplit_once("`, expected ").unwrap_or((said, ""));
        let wrong = wrong.split_once('`').map_or("", |(_, wrong)| wrong);
        let message = format!("`{general}` cannot be \"{}\"", wrong.escape_debug());
        return (message, hint_of_words(wrong, &quoted(expected), "allowed"));
    }
    if let Some(missing) = missing_key(said) {
        return (format!("`{general}` has no `{missing}`"), format!("add `{missing} = …` to it"));
    }
    if let Some((found, expected)) = wrong_type(said) {
        let message = if path.is_none() {
            format!("expected {expected}, found {found}")
        } else {
            format!("`{general}` must be {expected}, not {found}")
        };
        let hint = match expected {
            "a section" => format!("write [{general}] on a line of its own, and its keys below"),
            "a list" if manual.lists.contains(&general.as_str()) => {
                format!("write [[{general}]] with two brackets, once for each")
            }
            _ => allowed(manual, &general),
        };
        return (message, hint);
    }
    (said.to_owned(), allowed(manual, &general))
}

/// The key that serde misses, if that is what it said.
pub(super) fn missing_key(said: &str) -> Option<&str> {
    said.strip_prefix("missing field `")?.strip_suffix('`')
}

/// What serde found and what it expected, in the words of TOML.
fn wrong_type(said: &str) -> Option<(String, &'static str)> {
    let said = said.strip_prefix("invalid type: ").or_else(|| said.strip_prefix("invalid value: "))?;
    let (found, expected) = said.rsplit_once(", expected ")?;
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        expected if expected.starts_with("struct ") => "a section",
        _ => "something else",
    };
    let mut found = found.replace("floating point", "the number").replace("integer", "the number");
    found = found.replace("boolean", "the value").replace("sequence", "a list").replace("map", "a section");
    if let Some(text) = found.strip_prefix("string ") {
        found = format!("the text {text}");
    }
    const LONGEST: usize = 80;
    if found.chars().count() > LONGEST {
        found = found.chars().take(LONGEST).chain(['…']).collect();
    }
    Some((found, expected))
}

/// A hint for what the TOML parser said.
pub(super) fn syntax_hint(said: &str) -> String {
    let hint = if said.contains("duplicate key") {
        "each key and each [section] may stand in the file once; devices are [[lists]]"
    } else if said.contains("string") || said.contains("quote") {
        "text stands in double quotes: name = \"front\""
    } else {
        "the file is TOML: [section] lines, and below them lines of the form key = value"
    };
    hint.to_owned()
}
