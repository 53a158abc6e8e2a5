//! The first divergence: what is different, where, and in which field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use waywarden_components::id::StableId;

use crate::registry::{Registry, Treatment, Values};
use crate::session::{Record, SessionError, SessionReader};

/// The first difference between a session and its replay.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Divergence {
    /// The tick.
    pub tick: u64,
    /// The kind of value.
    pub kind: String,
    /// Whose: the stable id, (0, 0) for a resource, (0, position) for a message.
    pub id: String,
    /// The field, as a path into the value; empty when the whole value is missing on one side.
    pub field: String,
    /// The recorded value of the field.
    pub recorded: Value,
    /// The replayed value of the field.
    pub replayed: Value,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tick, kind, id, field, recorded, replayed } = self;
        let field = if field.is_empty() { String::new() } else { format!(" field `{field}`") };
        write!(f, "tick {tick}: `{kind}` of {id}{field}: recorded {recorded}, replayed {replayed}")
    }
}

/// Finds the first of the `replayed` values that is not what was recorded at the end of `tick`.
///
/// None when all values are equal although the digests are not: the recording was made by a build whose digests are
/// made of other kinds.
///
/// # Errors
/// When the session cannot be read again.
pub fn explain(
    registry: &Registry,
    session: &Path,
    tick: u64,
    replayed: &Values,
) -> Result<Option<Divergence>, SessionError> {
    let recorded = recorded_values(registry, session, tick)?;
    let empty = BTreeMap::new();
    for (kind, replayed) in replayed {
        let recorded = recorded.get(kind).unwrap_or(&empty);
        let ids: BTreeSet<&StableId> = recorded.keys().chain(replayed.keys()).collect();
        for id in ids {
            let (theirs, ours) = (recorded.get(id), replayed.get(id));
            if theirs != ours {
                let describe = |value: Option<&Vec<u8>>| match value {
                    Some(value) => registry.describe(kind, value).unwrap_or_else(|e| Value::String(e.to_string())),
                    None => Value::Null,
                };
                let (field, recorded, replayed) = first_difference(describe(theirs), describe(ours));
                let (kind, id) = (kind.clone(), id.to_string());
                return Ok(Some(Divergence { tick, kind, id, field, recorded, replayed }));
            }
        }
    }
    Ok(None)
}

/// What the session says was in the world at the end of a tick.
fn recorded_values(registry: &Registry, session: &Path, tick: u64) -> Result<Values, SessionError> {
    let mut values = Values::new();
    let mut reader = SessionReader::open(session)?;
    while let Some(record) = reader.read()? {
        match record {
            Record::Snapshot(snapshot) if snapshot.tick <= tick => {
                values.clear();
                for kind in snapshot.kinds {
                    let of_kind = values.entry(kind.kind).or_default();
                    of_kind.extend(kind.values.into_iter().map(|(id, value)| (id, value.into_vec())));
                }
            }
            Record::Outputs(outputs) => {
                for (kind, of_kind) in &mut values {
                    if registry.get(kind).is_some_and(|entry| entry.treatment == Treatment::Message) {
                        of_kind.clear();
                    }
                }
                for change in outputs.changes {
                    let of_kind = values.entry(change.kind.into_owned()).or_default();
                    match change.value {
                        Some(value) => of_kind.insert(change.id, value),
                        None => of_kind.remove(&change.id),
                    };
                }
                if outputs.tick >= tick {
                    break;
                }
            }
            Record::Snapshot(_) | Record::Tick(_) => {}
        }
    }
    Ok(values)
}

/// The path of the first field that differs, and its two values.
fn first_difference(recorded: Value, replayed: Value) -> (String, Value, Value) {
    match (recorded, replayed) {
        (Value::Object(recorded), Value::Object(mut replayed)) => {
            for (key, theirs) in recorded {
                let ours = replayed.remove(&key).unwrap_or(Value::Null);
                if theirs != ours {
                    return below(&key, first_difference(theirs, ours));
                }
            }
            match replayed.into_iter().next() {
                Some((key, ours)) => (key, Value::Null, ours),
                None => (String::new(), Value::Null, Value::Null),
            }
        }
        (Value::Array(recorded), Value::Array(replayed)) => {
            let longest = recorded.len().max(replayed.len());
            let mut pairs = (
                recorded.into_iter().map(Some).chain(std::iter::repeat(None)),
                replayed.into_iter().map(Some).chain(std::iter::repeat(None)),
            );
            for n in 0..longest {
                let theirs = pairs.0.next().flatten().unwrap_or(Value::Null);
                let ours = pairs.1.next().flatten().unwrap_or(Value::Null);
                if theirs != ours {
                    return below(&format!("[{n}]"), first_difference(theirs, ours));
                }
            }
            (String::new(), Value::Null, Value::Null)
        }
        (recorded, replayed) => (String::new(), recorded, replayed),
    }
}

fn below(key: &str, (path, recorded, replayed): (String, Value, Value)) -> (String, Value, Value) {
    let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
    (format!("{key}{dot}{path}"), recorded, replayed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::first_difference;

    #[test]
    fn names_the_field() {
        let a = json!({"boxes": [{"score": 1, "left": 2}], "n": 3});
        let b = json!({"boxes": [{"score": 1, "left": 5}], "n": 3});
        assert_eq!(first_difference(a, b), ("boxes[0].left".to_owned(), json!(2), json!(5)));
    }

    #[test]
    fn names_what_is_missing() {
        let (field, recorded, replayed) = first_difference(json!([1, 2]), json!([1]));
        assert_eq!((field.as_str(), recorded, replayed), ("[1]", json!(2), json!(null)));
    }
}
