//! From text to a config, with all its mistakes.
//!
//! Serde alone knows the keys and their types, and it stops at the first mistake. So each mistake is noted, taken out
//! of the parsed document and the rest read again, until what is left is right; then its values are checked.

use serde::Deserialize;
use toml::de::{DeTable, Deserializer};

use super::check;
use super::explain::{explain, missing_key, syntax_hint};
use super::path::{find, locate, remove};
use super::problem::{ConfigError, Problem};
use super::{Config, path::Path};

/// Problems that are listed at most; nobody reads more, and a hostile file could have a hundred thousand.
const MAX_PROBLEMS: usize = 20;

/// Reads a config; see [`Config::from_toml`].
pub(super) fn parse(text: &str, origin: &str) -> Result<Config, ConfigError> {
    let (mut root, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<(usize, Problem)> = Vec::new();
    let mut note = |offset: usize, message: String, hint: String, key: String| {
        let problem = Problem::at_byte(origin, text.as_bytes(), offset, message, hint).with_key(key);
        problems.push((offset, problem));
        problems.len() < MAX_PROBLEMS
    };

    // Where the text is not TOML, what the parser saved of it would only give mistakes that are none.
    for error in errors.iter().take(MAX_PROBLEMS) {
        let offset = error.span().map_or(0, |span| span.start);
        note(offset, error.message().to_owned(), syntax_hint(error.message()), String::new());
    }
    let mut config = None;
    let mut go_on = errors.is_empty();
    let mut mistyped = false;
    let mut removed: Vec<Path> = Vec::new();
    while go_on {
        let error = match Config::deserialize(Deserializer::from(root.clone())) {
            Ok(read) => {
                config = Some(read);
                break;
            }
            Err(error) => error,
        };
        mistyped = true;
        let span = error.span().unwrap_or(0..0);
        let path = find(root.get_ref(), &span);
        // A key that is missing because its wrong value has just been taken out is no mistake of its own.
        let consequence =
            path.as_ref().zip(missing_key(error.message())).is_some_and(|(path, key)| removed.contains(&path.key(key)));
        if !consequence {
            let (message, hint) = explain(error.message(), path.as_ref());
            go_on = note(span.start, message, hint, path.as_ref().map_or(String::new(), Path::to_string));
        }
        match path {
            Some(path) if remove(root.get_mut(), &path.0) => {
                // What comes behind a removed item of a list moves up to its place.
                removed.retain(|other| !other.0.starts_with(&path.0));
                removed.push(path);
            }
            _ => go_on = false,
        }
    }
    if let Some(config) = &config {
        // With a mistyped value taken out, how values stand to each other says nothing.
        for violation in check::violations(config, !mistyped) {
            let offset = locate(root.get_ref(), &violation.path.0).map_or(0, |span| span.start);
            if !note(offset, violation.message, violation.hint, violation.path.to_string()) {
                break;
            }
        }
    }
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => {
            problems.sort_by_key(|(offset, _)| *offset);
            Err(ConfigError { problems: problems.into_iter().map(|(_, problem)| problem).collect() })
        }
    }
}

/// Checks the values of a config that has no text; see [`Config::validate`].
pub(super) fn validate(config: &Config, origin: &str) -> Result<(), ConfigError> {
    let problems: Vec<Problem> = check::violations(config, true)
        .into_iter()
        .take(MAX_PROBLEMS)
        .map(|violation| {
            Problem::of_file(origin, violation.message, violation.hint).with_key(violation.path.to_string())
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
}
