//! From text to a config or another document, with all its mistakes.
//!
//! Serde alone knows the keys and their types, and it stops at the first mistake. So each mistake is noted, taken out
//! of the parsed document and the rest read again, until what is left is right; then its values are checked.

use serde::de::DeserializeOwned;
use toml::de::{DeTable, Deserializer};

use super::check::Violation;
use super::explain::{Manual, explain, missing_key, syntax_hint};
use super::path::Path;
use super::path::{find, locate, remove};
use super::problem::{ConfigError, Problem};

/// Problems that are listed at most; nobody reads more, and a hostile file could have a hundred thousand.
const MAX_PROBLEMS: usize = 20;

/// Something that is written in TOML.
pub(super) trait Document: DeserializeOwned {
    /// What may stand in it.
    fn manual() -> Manual;

    /// All its values that make no sense; how they stand to each other is looked at if `relations` says so.
    fn violations(&self, relations: bool) -> Vec<Violation>;
}

/// Reads a document; see [`super::Config::from_toml`].
pub(super) fn parse<D: Document>(text: &str, origin: &str) -> Result<D, ConfigError> {
    let (mut root, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<(usize, Problem)> = Vec::new();
    let mut note = |offset: usize, message: String, hint: String, key: String| {
        let problem = Problem::at_byte(origin, text.as_bytes(), offset, message, hint).with_key(key);
        problems.push((offset, problem));
        problems.len() < MAX_PROBLEMS
    };

    let manual = D::manual();
    // Where the text is not TOML, what the parser saved of it would only give mistakes that are none.
    for error in errors.iter().take(MAX_PROBLEMS) {
        let offset = error.span().map_or(0, |span| span.start);
        note(offset, error.message().to_owned(), syntax_hint(error.message()), String::new());
    }
    let mut document: Option<D> = None;
    let mut go_on = errors.is_empty();
    let mut mistyped = false;
    let mut removed: Vec<Path> = Vec::new();
    while go_on {
        let error = match D::deserialize(Deserializer::from(root.clone())) {
            Ok(read) => {
                document = Some(read);
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
            let (message, hint) = explain(&manual, error.message(), path.as_ref());
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
    if let Some(document) = &document {
        // With a mistyped value taken out, how values stand to each other says nothing.
        for violation in document.violations(!mistyped) {
            let offset = locate(root.get_ref(), &violation.path.0).map_or(0, |span| span.start);
            if !note(offset, violation.message, violation.hint, violation.path.to_string()) {
                break;
            }
        }
    }
    match document {
        Some(document) if problems.is_empty() => Ok(document),
        _ => {
            problems.sort_by_key(|(offset, _)| *offset);
            Err(ConfigError { problems: problems.into_iter().map(|(_, problem)| problem).collect() })
        }
    }
}

/// Checks the values of a document that has no text; see [`super::Config::validate`].
pub(super) fn validate(document: &impl Document, origin: &str) -> Result<(), ConfigError> {
    let problems: Vec<Problem> = document
        .violations(true)
        .into_iter()
        .take(MAX_PROBLEMS)
        .map(|violation| {
            Problem::of_file(origin, violation.message, violation.hint).with_key(violation.path.to_string())
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
}
