//! Charts as plotly.js takes them: traces and a layout in JSON. Times are milliseconds since the start of the session,
//! which the page shows as hours, minutes and seconds.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use waywarden_components::prelude::*;

use super::decimate::Series;

/// What the devices and the program say.
pub const BLUE: &str = "#2878d0";
/// A second device or value.
pub const ORANGE: &str = "#e07a1f";
/// A third one.
pub const TEAL: &str = "#1a9e8f";
/// A fourth one.
pub const PURPLE: &str = "#8e5bc7";
/// What is true.
pub const TRUTH: &str = "#8a8f98";
/// What is wrong.
pub const RED: &str = "#d43f3a";
/// What is less than it should be.
pub const AMBER: &str = "#e8a317";
/// What is as it should be.
pub const GREEN: &str = "#3a9d4f";

/// Colours for several of a kind, in order.
pub const COLOURS: [&str; 6] = [BLUE, ORANGE, TEAL, PURPLE, "#c2477f", "#6b7d2a"];

/// The colour of the n-th of several.
pub fn colour(n: usize) -> &'static str {
    COLOURS.get(n % COLOURS.len()).copied().unwrap_or(BLUE)
}

/// One chart of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Chart {
    /// Its name in the page, unique.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub note: String,
    /// Whether its x axis is the time of the session: zoomed together with all others of the kind.
    pub timed: bool,
    /// Height in pixels.
    pub height: u32,
    /// Traces of plotly.js.
    pub traces: Vec<Value>,
    /// Layout of plotly.js, beyond what all charts share.
    pub layout: Value,
}

impl Chart {
    /// A chart over the time of the session, with a title for its y axis.
    pub fn timed(id: impl Into<String>, title: impl Into<String>, y: &str, note: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            title: title.into(),
            note: note.into(),
            timed: true,
            height: 260,
            traces: Vec::new(),
            layout: json!({ "yaxis": { "title": { "text": y } } }),
        }
    }

    /// Adds a trace.
    #[must_use]
    pub fn with(mut self, trace: Value) -> Self {
        self.traces.push(trace);
        self
    }

    /// Adds a trace, if there is one.
    #[must_use]
    pub fn with_some(mut self, trace: Option<Value>) -> Self {
        self.traces.extend(trace);
        self
    }

    /// The chart, if it shows anything.
    pub fn if_any(self) -> Option<Self> {
        (!self.traces.is_empty()).then_some(self)
    }
}

/// A number with so many decimals: what nobody sees need not be in the page.
pub fn round(value: f64, decimals: i32) -> f64 {
    let scale = libm::pow(10.0, decimals.into());
    (value * scale).round() / scale
}

/// Milliseconds from the start of the session.
pub fn millis(start: Mono, at: Mono) -> f64 {
    round(at.0 as f64 / 1e6 - start.0 as f64 / 1e6, 1)
}

/// How a line is drawn and read.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Its colour.
    pub colour: &'static str,
    /// Decimals of its values.
    pub decimals: i32,
    /// Their unit.
    pub unit: &'static str,
    /// After how long without values the line is broken.
    pub hole: Duration,
}

impl Style {
    /// A line of this colour, with values in `unit`.
    pub const fn new(colour: &'static str, decimals: i32, unit: &'static str) -> Self {
        Self { colour, decimals, unit, hole: Duration::from_secs(1) }
    }

    fn hover(&self) -> String {
        format!("%{{y:.{}f}} {}", self.decimals, self.unit)
    }
}

/// So many values are drawn as dots, too.
const FEW: usize = 300;

/// A line through a series; none if it is empty.
pub fn line(name: &str, series: &Series, start: Mono, style: Style) -> Option<Value> {
    if series.is_empty() {
        return None;
    }
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for (at, value) in series.points(style.hole) {
        x.push(millis(start, at));
        y.push(value.map(|value| round(value, style.decimals + 1)));
    }
    // Where there are few values, each is to be seen; a single one is no line.
    let mode = if x.len() <= FEW { "lines+markers" } else { "lines" };
    Some(json!({
        "type": "scatter", "mode": mode, "name": name, "x": x, "y": y, "hovertemplate": style.hover(),
        "line": { "color": style.colour, "width": 1.5 }, "marker": { "color": style.colour, "size": 4 },
    }))
}

/// The same for what is true: a broad line behind the others.
pub fn truth_line(name: &str, series: &Series, start: Mono, style: Style) -> Option<Value> {
    let mut trace = line(name, series, start, Style { colour: TRUTH, ..style })?;
    trace["line"] = json!({ "color": TRUTH, "width": 4 });
    trace["opacity"] = json!(0.65);
    Some(trace)
}

/// Dots at `x` (milliseconds) and `y`, with a text each.
pub fn dots(name: &str, x: &[f64], y: &[f64], text: &[String], colour: &str) -> Value {
    json!({
        "type": "scatter", "mode": "markers", "name": name, "x": x, "y": y, "text": text,
        "hovertemplate": "%{text}<extra></extra>", "marker": { "color": colour, "size": 4 },
    })
}

/// A span of time on a row, with a text.
#[derive(Clone, Debug)]
pub struct Span {
    /// From.
    pub from: Mono,
    /// To.
    pub to: Mono,
    /// The row.
    pub row: String,
    /// What is said of it.
    pub text: String,
}

/// Horizontal bars in one colour.
pub fn bars(name: &str, spans: &[Span], start: Mono, colour: &str) -> Option<Value> {
    if spans.is_empty() {
        return None;
    }
    let base: Vec<f64> = spans.iter().map(|span| millis(start, span.from)).collect();
    // What lasted no time is still to be seen.
    let length: Vec<f64> = spans.iter().map(|span| millis(span.from, span.to).max(1.0)).collect();
    let rows: Vec<&str> = spans.iter().map(|span| span.row.as_str()).collect();
    let text: Vec<&str> = spans.iter().map(|span| span.text.as_str()).collect();
    Some(json!({
        "type": "bar", "orientation": "h", "name": name, "base": base, "x": length, "y": rows, "hovertext": text,
        "hovertemplate": "%{hovertext}<extra></extra>", "marker": { "color": colour, "line": { "width": 0 } },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_times_in_milliseconds_and_holes() {
        let mut series = Series::default();
        for (at, value) in [(10.0, 0.123_456), (10.02, 2.0), (15.0, 3.0)] {
            series.push(Mono::from_secs_f64(at), value);
        }
        let start = Mono::from_secs_f64(10.0);
        let trace = line("offset", &series, start, Style::new(BLUE, 2, "m")).unwrap();
        assert_eq!(trace["x"], json!([0.0, 20.0, 20.0, 5000.0]));
        assert_eq!(trace["y"], json!([0.123, 2.0, null, 3.0]));
        assert!(line("none", &Series::default(), start, Style::new(BLUE, 2, "m")).is_none());
    }
}
