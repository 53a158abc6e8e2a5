//! How the program ends when it could not do what it was told: one message, one hint, one exit code.
//!
//! Libraries below return their own errors. A command turns them into a [`Failure`], which is printed once, by
//! [`Failure::print`], where the program ends.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use waywarden_systems::session::{SessionError, WriteError};

use crate::config::{ConfigError, Problem};

/// Exit codes, besides 0 for success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Code {
    /// 1: everything ran, and a replay differs from what was recorded.
    Difference = 1,
    /// 2: what was given cannot be used: a wrong flag, a broken file, a mistake in the config.
    BadInput = 2,
    /// 3: it failed while running: a full disk, a lost device, a panic.
    Running = 3,
}

/// One thing that went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What, and where: with the file, and its line or offset.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The place and key in a config, when it is about one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A place in a config file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// The key with its section.
    pub key: String,
}

/// Why a command did not do what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What went wrong, the first thing first; never empty.
    pub reports: Vec<Report>,
}

impl Failure {
    /// Something that went wrong, with the exit code `code`.
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code, reports: vec![Report { message: message.to_string(), ..Report::default() }] }
    }

    /// What was given cannot be used.
    pub fn bad_input(message: impl fmt::Display) -> Self {
        Self::new(Code::BadInput, message)
    }

    /// It failed while running.
    pub fn running(message: impl fmt::Display) -> Self {
        Self::new(Code::Running, message)
    }

    /// A replay differs from what was recorded.
    pub fn difference(message: impl fmt::Display) -> Self {
        Self::new(Code::Difference, message)
    }

    /// The same failure with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        if let Some(report) = self.reports.last_mut() {
            report.hint = Some(hint.to_string());
        }
        self
    }

    /// The same failure with something else that went wrong.
    #[must_use]
    pub fn also(mut self, message: impl fmt::Display) -> Self {
        self.reports.push(Report { message: message.to_string(), ..Report::default() });
        self
    }

    /// The failure as one JSON object: `ok` (false), `code`, `kind`, `error`, `hint`, and `errors`, which lists all.
    pub fn to_json(&self) -> serde_json::Value {
        let first = self.reports.first();
        json!({
            "ok": false,
            "code": self.code as u8,
            "kind": self.code,
            "error": first.map_or("", |report| report.message.as_str()),
            "hint": first.and_then(|report| report.hint.as_deref()),
            "errors": self.reports,
        })
    }

    /// Prints the failure: `error: …` and `hint: …` lines to `err`, or with `as_json` one object to `out`.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn print(&self, as_json: bool, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        if as_json {
            writeln!(out, "{}", self.to_json())?;
            return out.flush();
        }
        for report in &self.reports {
            writeln!(err, "error: {}", report.message)?;
            if let Some(hint) = &report.hint {
                writeln!(err, "hint: {hint}")?;
            }
        }
        err.flush()
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(code as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<&str> = self.reports.iter().map(|report| report.message.as_str()).collect();
        f.write_str(&messages.join("; "))
    }
}

impl std::error::Error for Failure {}

/// Standard output went away or cannot be written.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::running(format!("cannot write the output: {error}"))
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        let hint = match &error {
            SessionError::Io { .. } => "name a session: an .mcap file, or a folder of segments",
            SessionError::Empty { .. } => {
                "name the folder of one session; `run --record DIR` makes one in DIR for each run"
            }
            SessionError::Damaged { .. } => "what lies before the damage can be copied with `mcap recover`",
            SessionError::Foreign { .. } => "only sessions made by `waywarden` run, import or replay can be read",
            SessionError::NoSuchPlace { .. } => "`waywarden inspect SESSION` lists the segments",
        };
        Self::bad_input(error).hint(hint)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self::running(error).hint("is there room on the disk, and may this user write there?")
    }
}

impl From<Problem> for Report {
    fn from(problem: Problem) -> Self {
        let message = problem.to_string();
        let Problem { file, line, column, key, hint, .. } = problem;
        Self { message, hint: Some(hint), place: Some(Place { file, line, column, key }) }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { code: Code::BadInput, reports: error.problems.into_iter().map(Report::from).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn printed(failure: &Failure, as_json: bool) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        failure.print(as_json, &mut out, &mut err).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_person_gets_error_and_hint() {
        let failure = Failure::running("the disk is full").hint("make room");
        assert_eq!(printed(&failure, false), (String::new(), "error: the disk is full\nhint: make room\n".to_owned()));
    }

    #[test]
    fn a_program_gets_one_object() {
        let error = Config::from_toml("[gate]\ntreshold = 1\nforce_after_s = -1", "f.toml").expect_err("two mistakes");
        let (out, err) = printed(&Failure::from(error), true);
        assert_eq!(err, "");
        let object: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(out.lines().count(), 1);
        assert_eq!((&object["ok"], &object["code"], &object["kind"]), (&json!(false), &json!(2), &json!("bad_input")));
        assert_eq!(object["errors"][1]["line"], json!(3));
        assert_eq!(object["errors"][0]["key"], json!("gate.treshold"));
        assert!(object["hint"].as_str().unwrap().contains("did you mean `threshold`?"), "{object}");
    }
}
