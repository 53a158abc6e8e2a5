//! What is wrong with a config, and where.

use std::fmt;

use serde::Serialize;

/// One mistake in a config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1; none when it is about no certain place.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// The key with its section: `gate.threshold`, `camera[0].fps`. Empty when it is about no key.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Problem {
    /// A problem of the file as a whole.
    pub(super) fn of_file(file: &str, message: String, hint: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, column: None, key: String::new(), message, hint: hint.into() }
    }

    /// A problem at the byte `offset` of the file whose content is `bytes`.
    pub(super) fn at_byte(file: &str, bytes: &[u8], offset: usize, message: String, hint: impl Into<String>) -> Self {
        let before = &bytes[..offset.min(bytes.len())];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        // A column counts characters, so bytes that continue one do not count.
        let column = before[line_start..].iter().filter(|&&byte| byte & 0xC0 != 0x80).count() + 1;
        Self { line: Some(line), column: Some(column), ..Self::of_file(file, message, hint) }
    }

    /// The same problem, of `key`.
    pub(super) fn with_key(self, key: String) -> Self {
        Self { key, ..self }
    }

    /// Where it is: `file:line:column`, as editors understand it.
    pub fn place(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.file),
            _ => self.file.clone(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.message)
    }
}

/// Why a config was refused: at least one problem, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// The problems.
    pub problems: Vec<Problem>,
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem} (hint: {})", problem.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
