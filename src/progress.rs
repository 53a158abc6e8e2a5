//! How far something has come, for whoever waits for it: a bar on a terminal, a line every few seconds in a log, nothing
//! where a program reads.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use waywarden_systems::clock::instant;

/// All bars of the process, so that log lines can step between them.
static BARS: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));

/// Standard error for log lines: bars are taken away while a line is written, and drawn again below it.
pub struct BesideBars;

impl Write for BesideBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        BARS.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// How often a line is written where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// A bar that moves.
    Bar,
    /// A line every few seconds.
    Lines,
    /// Not at all.
    Nothing,
}

impl Show {
    /// The right way for standard error as it is; with `json`, when a program reads, nothing.
    pub fn new(json: bool) -> Self {
        match (json, io::stderr().is_terminal()) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Bar,
            (false, false) => Self::Lines,
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, shown as MB.
    Bytes,
    /// Milliseconds of a recording, shown as seconds.
    Millis,
    /// Frames.
    Frames,
    /// Whole sessions.
    Sessions,
}

/// The progress of one piece of work. Dropped, it is no longer shown.
pub struct Progress {
    what: String,
    unit: Unit,
    total: Option<u64>,
    position: u64,
    view: View,
}

enum View {
    Bar(ProgressBar),
    Lines { started: Instant, last: Instant },
    Nothing,
}

impl Progress {
    /// Begins to show the progress of `what` (`importing drive.mp4`) on the way to `total`, if that is known.
    pub fn start(what: impl Into<String>, total: Option<u64>, unit: Unit, show: Show) -> Self {
        let what = what.into();
        let view = match show {
            Show::Bar => View::Bar(bar(&what, total, unit)),
            Show::Lines => {
                let started = instant();
                View::Lines { started, last: started }
            }
            Show::Nothing => View::Nothing,
        };
        Self { what, unit, total, position: 0, view }
    }

    /// Says that it has come to `position`.
    pub fn set(&mut self, position: u64) {
        self.position = position;
        match &mut self.view {
            View::Bar(bar) => bar.set_position(position),
            View::Lines { started, last } => {
                let now = instant();
                if now.duration_since(*last) >= EVERY {
                    *last = now;
                    let elapsed = now.duration_since(*started);
                    say(&line(&self.what, position, self.total, self.unit, elapsed));
                }
            }
            View::Nothing => {}
        }
    }

    /// Says that it has come `by` further.
    pub fn advance(&mut self, by: u64) {
        self.set(self.position.saturating_add(by));
    }

    /// Ends it with a last line: `imported 250 frames`.
    pub fn finish(self, last: &str) {
        match &self.view {
            View::Bar(bar) => {
                bar.finish_and_clear();
                say(last);
            }
            View::Lines { .. } => say(last),
            View::Nothing => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

/// Writes a line where progress is shown. That nobody reads it is no reason to end the work.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn bar(what: &str, total: Option<u64>, unit: Unit) -> ProgressBar {
    let bar = BARS.add(ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()));
    let count = match unit {
        Unit::Bytes => "{decimal_bytes}/{decimal_total_bytes}",
        Unit::Millis => "{percent}%",
        Unit::Frames => "{pos}/{len} frames",
        Unit::Sessions => "{pos}/{len}",
    };
    let template = match total {
        Some(_) => format!("{{msg}} [{{wide_bar:.green}}] {count} {{eta}}"),
        None => "{msg} {spinner} {human_pos} {elapsed}".to_owned(),
    };
    // The templates are constant; should one be wrong, indicatif's own bar is shown.
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.with_message(what.to_owned())
}

/// A line such as `importing drive.mp4: 12.0 of 50.0 s, 24 %, 4 s`.
fn line(what: &str, position: u64, total: Option<u64>, unit: Unit, elapsed: Duration) -> String {
    let (scale, digits, name) = match unit {
        Unit::Bytes => (1e6, 1, "MB"),
        Unit::Millis => (1e3, 1, "s"),
        Unit::Frames => (1.0, 0, "frames"),
        Unit::Sessions => (1.0, 0, "sessions"),
    };
    let shown = |value: u64| format!("{:.digits$}", value as f64 / scale);
    let mut line = format!("{what}: {}", shown(position));
    // Writing to a string cannot fail.
    let _ = match total.filter(|&total| total > 0) {
        Some(total) => {
            let percent = 100.0 * position.min(total) as f64 / total as f64;
            write!(line, " of {} {name}, {percent:.0} %", shown(total))
        }
        None => write!(line, " {name}"),
    };
    let _ = write!(line, ", after {:.0} s", elapsed.as_secs_f64());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_far_it_is() {
        let elapsed = Duration::from_millis(3600);
        let at = |position, total, unit| line("importing a.mp4", position, total, unit, elapsed);
        assert_eq!(at(12_000, Some(50_000), Unit::Millis), "importing a.mp4: 12.0 of 50.0 s, 24 %, after 4 s");
        assert_eq!(at(1_500_000, None, Unit::Bytes), "importing a.mp4: 1.5 MB, after 4 s");
        assert_eq!(at(7, Some(0), Unit::Frames), "importing a.mp4: 7 frames, after 4 s");
        assert_eq!(at(9, Some(8), Unit::Frames), "importing a.mp4: 9 of 8 frames, 100 %, after 4 s");
    }

    #[test]
    fn every_way_of_showing_takes_every_unit() {
        for show in [Show::Bar, Show::Lines, Show::Nothing] {
            for unit in [Unit::Bytes, Unit::Millis, Unit::Frames, Unit::Sessions] {
                for total in [None, Some(0), Some(10)] {
                    let mut progress = Progress::start("working", total, unit, show);
                    progress.advance(3);
                    progress.advance(u64::MAX);
                    assert_eq!(progress.position, u64::MAX);
                }
            }
        }
        assert_eq!(Show::new(true), Show::Nothing);
    }
}
