//! Several sessions at once: each in a process of its own, as many at a time as there are cores.
//!
//! Processes, because thread pools are global to one, and because a session that ends a process must not end the others.

use std::ffi::OsString;
use std::io::Write;
use std::num::NonZero;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::{Value, json};

use crate::failure::{Code, Failure};
use crate::progress::{Progress, Show, Unit};

/// One session's work: what the program is told, without `--json`.
#[derive(Clone, Debug)]
pub struct Task {
    /// What it is called.
    pub name: String,
    /// The arguments.
    pub args: Vec<OsString>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it is called.
    pub name: String,
    /// Exit code; none if it was ended by a signal.
    pub code: Option<i32>,
    /// The JSON objects that it printed, one a line.
    pub printed: Vec<Value>,
    /// The end of what it said besides.
    pub said: String,
}

impl Outcome {
    /// A field of the first object that has it: `frames.in`.
    pub fn field(&self, path: &str) -> Option<&Value> {
        self.printed.iter().find_map(|object| path.split('.').try_fold(object, |value, key| value.get(key)))
    }

    /// A number as text with so many digits behind the point, or nothing.
    pub fn number(&self, path: &str, digits: usize) -> String {
        self.field(path).and_then(Value::as_f64).map(|number| format!("{number:.digits$}")).unwrap_or_default()
    }

    /// The exit code as it counts for all: a process that a signal has ended failed while running.
    fn severity(&self) -> i32 {
        self.code.unwrap_or(Code::Running as i32)
    }

    /// In a word or a sentence.
    fn result(&self) -> String {
        match (self.code, self.field("error").and_then(Value::as_str)) {
            (Some(0), _) => "ok".to_owned(),
            (_, Some(error)) => error.to_owned(),
            (Some(code), None) => format!("exit code {code}: {}", self.said.trim()),
            (None, None) => format!("ended by a signal: {}", self.said.trim()),
        }
    }
}

/// A column of the table.
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// What stands in it.
    pub value: fn(&Outcome) -> String,
}

/// Runs all tasks, prints a table of what came of them, or with `json` one object a session and one for all.
///
/// # Errors
/// With the worst exit code of all, when one of them failed.
pub fn run(tasks: Vec<Task>, columns: &[Column], json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let total = tasks.len();
    let at_once = std::thread::available_parallelism().map_or(1, NonZero::get).min(total.max(1));
    let show = Show::new(json);
    let progress = Mutex::new(Progress::start(
        format!("{total} sessions, {at_once} at a time"),
        Some(total as u64),
        Unit::Sessions,
        show,
    ));
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new((0..total).map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(at) else { break };
                    let outcome = work(task);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes[at] = Some(outcome);
                    }
                    if let Ok(mut progress) = progress.lock() {
                        progress.advance(1);
                    }
                }
            });
        }
    });
    let outcomes: Vec<Outcome> = outcomes.into_inner().unwrap_or_default().into_iter().flatten().collect();
    if let Ok(progress) = progress.into_inner() {
        progress.finish("all done");
    }
    print(&outcomes, columns, json, out)
}

fn work(task: &Task) -> Outcome {
    let failed = |error: std::io::Error| Outcome {
        name: task.name.clone(),
        code: Some(Code::Running as i32),
        printed: Vec::new(),
        said: format!("cannot be started: {error}"),
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return failed(error),
    };
    match Command::new(program).args(&task.args).arg("--json").stdin(std::process::Stdio::null()).output() {
        Err(error) => failed(error),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let said = String::from_utf8_lossy(&output.stderr);
            let end = said.char_indices().rev().nth(400).map_or(0, |(at, _)| at);
            Outcome {
                name: task.name.clone(),
                code: output.status.code(),
                printed: text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
                said: said[end..].to_owned(),
            }
        }
    }
}

fn print(outcomes: &[Outcome], columns: &[Column], json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let bad: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.severity() != 0).collect();
    if json {
        for outcome in outcomes {
            let line = json!({ "name": outcome.name, "code": outcome.severity(), "result": outcome.result(), "printed": outcome.printed });
            writeln!(out, "{line}")?;
        }
        writeln!(out, "{}", json!({ "sessions": outcomes.len(), "failed": bad.len() }))?;
    } else {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        let titles = columns.iter().map(|column| column.title);
        table.set_header(["session"].into_iter().chain(titles).chain(["result"]));
        for outcome in outcomes {
            let values = columns.iter().map(|column| (column.value)(outcome));
            table.add_row([outcome.name.clone()].into_iter().chain(values).chain([outcome.result()]));
        }
        for column in table.column_iter_mut().skip(1).take(columns.len()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(out, "{table}")?;
    }
    let worst = bad.iter().map(|outcome| outcome.severity()).max();
    let Some(worst) = worst else { return Ok(()) };
    let code = match worst {
        1 => Code::Difference,
        2 => Code::BadInput,
        _ => Code::Running,
    };
    Err(Failure::new(code, format!("{} of {} sessions: see the table", bad.len(), outcomes.len()))
        .hint("run one of them alone to see more of it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &str, code: Option<i32>, printed: Vec<Value>) -> Outcome {
        Outcome { name: name.into(), code, printed, said: "last words".into() }
    }

    #[test]
    fn the_worst_exit_code_is_that_of_all() {
        let code = |codes: &[Option<i32>]| {
            let outcomes: Vec<_> = codes.iter().map(|code| outcome("a", *code, Vec::new())).collect();
            print(&outcomes, &[], false, &mut Vec::new()).map_err(|failure| failure.code as u8).err()
        };
        assert_eq!(code(&[Some(0), Some(0)]), None);
        assert_eq!(code(&[Some(0), Some(1)]), Some(1));
        assert_eq!(code(&[Some(1), Some(2), Some(0)]), Some(2));
        assert_eq!(code(&[None, Some(2)]), Some(3));
    }

    #[test]
    fn the_table_holds_what_each_printed() {
        let columns = [Column { title: "frames", value: |outcome| outcome.number("frames.in", 0) }];
        let outcomes = [
            outcome("first", Some(0), vec![json!({ "frames": { "in": 250 } })]),
            outcome("second", Some(2), vec![json!({ "ok": false, "error": "no such file" })]),
            outcome("third", None, vec![]),
        ];
        let mut text = Vec::new();
        assert!(print(&outcomes, &columns, false, &mut text).is_err());
        let text = String::from_utf8(text).unwrap();
        for part in ["first", "250", "ok", "no such file", "ended by a signal: last words"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let mut lines = Vec::new();
        assert!(print(&outcomes, &columns, true, &mut lines).is_err());
        let lines: Vec<Value> =
            String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[3]["failed"]), (4, &json!(2)));
    }
}
