//! Ways to values in a parsed document.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into an array.
    Index(usize),
}

/// The way from the root of a document to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<Step>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Path {
    /// One step further, into a table.
    pub(super) fn key(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    /// One step further, into an array.
    pub(super) fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    /// The keys alone, as limits and defaults are called: `camera.fps` for `camera[1].fps`.
    pub(super) fn general(&self) -> String {
        let keys = self.0.iter().filter_map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None });
        keys.collect::<Vec<_>>().join(".")
    }

    /// Its last key; empty for the root.
    pub(super) fn last_key(&self) -> &str {
        let keys = self.0.iter().rev();
        keys.filter_map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None }).next().unwrap_or("")
    }

    /// One step back.
    fn parent(&self) -> Self {
        Self(self.0.iter().take(self.0.len().saturating_sub(1)).cloned().collect())
    }

    /// The table that holds the value, as its header stands in a file: `[gate]`, `[[camera]]`; none for the root.
    pub(super) fn header(&self) -> Option<String> {
        match self.0.as_slice() {
            [Step::Key(table), Step::Index(_), Step::Key(_)] => Some(format!("[[{table}]]")),
            [.., _] if self.0.len() > 1 => Some(format!("[{}]", self.parent().general())),
            _ => None,
        }
    }
}

/// The way to the key or value that stands exactly at `span`; the deepest one, because the header `[a.b]` is the place
/// of both `a` and `b`.
pub(super) fn find(table: &DeTable<'_>, span: &Range<usize>) -> Option<Path> {
    table.iter().find_map(|(key, value)| {
        let found = find_in_value(value, span).or_else(|| (key.span() == *span).then(Path::default));
        found.map(|rest| prepend(Step::Key(key.get_ref().to_string()), rest))
    })
}

fn find_in_value(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<Path> {
    let inner = match value.get_ref() {
        DeValue::Table(table) => find(table, span),
        DeValue::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| find_in_value(item, span).map(|rest| prepend(Step::Index(index), rest))),
        _ => None,
    };
    inner.or_else(|| (value.span() == *span).then(Path::default))
}

fn prepend(step: Step, Path(mut rest): Path) -> Path {
    rest.insert(0, step);
    Path(rest)
}

/// Takes the value at `path` out of the document. Says whether it was there.
pub(super) fn remove(table: &mut DeTable<'_>, path: &[Step]) -> bool {
    match path {
        [Step::Key(key)] => table.remove(key.as_str()).is_some(),
        [Step::Key(key), rest @ ..] => table.get_mut(key.as_str()).is_some_and(|value| remove_from_value(value, rest)),
        _ => false,
    }
}

fn remove_from_value(value: &mut Spanned<DeValue<'_>>, path: &[Step]) -> bool {
    match (value.get_mut(), path) {
        (DeValue::Table(table), _) => remove(table, path),
        (DeValue::Array(items), [Step::Index(index)]) if *index < items.len() => {
            let mut rest = DeArray::new();
            let kept = items.iter().enumerate().filter(|(i, _)| i != index);
            kept.for_each(|(_, item)| rest.push(item.clone()));
            *items = rest;
            true
        }
        (DeValue::Array(items), [Step::Index(index), rest @ ..]) => {
            items.get_mut(*index).is_some_and(|item| remove_from_value(item, rest))
        }
        _ => false,
    }
}

/// Where the value at `path` stands; where it does not, the nearest table around it that does.
pub(super) fn locate(table: &DeTable<'_>, path: &[Step]) -> Option<Range<usize>> {
    let (first, rest) = path.split_first()?;
    let Step::Key(key) = first else { return None };
    let value = table.get(key.as_str())?;
    Some(locate_in_value(value, rest).unwrap_or_else(|| value.span()))
}

fn locate_in_value(value: &Spanned<DeValue<'_>>, path: &[Step]) -> Option<Range<usize>> {
    match (value.get_ref(), path) {
        (DeValue::Table(table), _) => locate(table, path),
        (DeValue::Array(items), [Step::Index(index), rest @ ..]) => {
            let item = items.get(*index)?;
            Some(locate_in_value(item, rest).unwrap_or_else(|| item.span()))
        }
        _ => None,
    }
}
