//! What a bench prints: a table for a person, and as the last line one JSON object for a program.

use std::error::Error;
use std::io::{self, Write};
use std::time::Instant;

use serde_json::{Map, Value, json};

/// How a bench ends.
pub type Outcome = Result<(), Box<dyn Error>>;

/// Whether only the results are checked, in seconds instead of minutes: so it runs among the tests. `cargo bench`
/// passes `--bench`, `cargo test --benches` does not.
pub fn quick() -> bool {
    !std::env::args().any(|argument| argument == "--bench")
}

/// An error unless `holds`.
pub fn check(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(format!("wrong result: {}", what.into()).into()) }
}

/// What `work` gives, and how many seconds it took.
#[expect(clippy::disallowed_methods, reason = "a bench measures")]
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}

/// The middle one of some measurements. Machines are disturbed now and then: the mean would show it, the median not.
pub fn median(measured: &[f64]) -> f64 {
    let mut sorted = measured.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// The figures of a bench.
pub struct Report {
    name: &'static str,
    lines: Vec<String>,
    figures: Map<String, Value>,
}

impl Report {
    /// A report that begins with a sentence about what was measured.
    pub fn new(name: &'static str, about: &str) -> Self {
        let lines = vec![
            about.to_owned(),
            String::new(),
            "| what | | beside it |".to_owned(),
            "| --- | --- | --- |".to_owned(),
        ];
        Self { name, lines, figures: Map::new() }
    }

    /// A figure: its name in the JSON object, what it is, the value, how a person reads it, what it compares with.
    pub fn row(&mut self, key: &str, what: &str, value: f64, shown: String, beside: &str) {
        self.lines.push(format!("| {what} | {shown} | {beside} |"));
        self.figure(key, value);
    }

    /// A figure for programs alone, which stands in a row beside another for a person.
    pub fn figure(&mut self, key: &str, value: f64) {
        // Nanoseconds of a second, and bytes of a gigabyte, are beyond what is measured.
        self.figures.insert(key.to_owned(), json!((value * 1e9).round() / 1e9));
    }

    /// Prints it.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn print(self) -> Outcome {
        let mut out = io::stdout().lock();
        for line in self.lines {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "\n{}", json!({ "bench": self.name, "quick": quick(), "figures": self.figures }))?;
        Ok(())
    }
}
