//! The page: one HTML file that needs nothing else.

use std::io::{self, Write};

use lzma_rust2::LzmaReader;
use serde_json::{Value, json};
use waywarden_components::prelude::*;

use super::Replayed;
use super::chart::millis;
use super::facts::Facts;
use super::gather::Gathered;
use crate::session_info;

/// The page without its contents, which go where `{{…}}` stands.
const TEMPLATE: &str = include_str!("../../assets/report.html");

/// Writes the page.
///
/// # Errors
/// When it cannot be written.
pub fn write(gathered: &Gathered, facts: &Facts, replayed: Option<&Replayed>, out: &mut dyn Write) -> io::Result<()> {
    let data = serde_json::to_string(&data(gathered, facts, replayed))?;
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once("{{") {
        out.write_all(before.as_bytes())?;
        let Some((name, after)) = after.split_once("}}") else { break };
        match name {
            "title" => out.write_all(text(&facts.session).as_bytes())?,
            "library" => drop(io::copy(&mut library()?, out)?),
            // In a script element only a closing tag has a meaning.
            "data" => out.write_all(data.replace('<', "\\u003c").as_bytes())?,
            _ => {}
        }
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

/// The element with plotly.js, as the build packed it.
fn library() -> io::Result<impl io::Read> {
    LzmaReader::new_mem_limit(&include_bytes!(concat!(env!("OUT_DIR"), "/plotly.js.lzma"))[..], u32::MAX, None)
}

/// Text in HTML.
fn text(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn data(gathered: &Gathered, facts: &Facts, replayed: Option<&Replayed>) -> Value {
    let start = gathered.base.start;
    let sections: Vec<Value> = gathered
        .sections(replayed)
        .into_iter()
        .filter(|(_, charts)| !charts.is_empty())
        .map(|(title, charts)| json!({ "title": title, "charts": charts }))
        .collect();
    let gaps: Vec<(f64, f64)> =
        gathered.gaps.iter().map(|(from, to, _)| (millis(start, *from), millis(start, *to))).collect();
    let segments: Vec<f64> = gathered.segment_starts.iter().skip(1).map(|at| millis(start, *at)).collect();
    let (lines, left_out) = gathered.devices.lines();
    let info = &gathered.info;
    json!({
        "facts": facts,
        "sections": sections,
        "end_ms": millis(start, gathered.base.end).max(1.0),
        "gaps_ms": gaps,
        "segments_ms": segments,
        "moments": gathered.moments(),
        "lines": lines,
        "lines_left_out": left_out,
        "ran": {
            "build": info.build, "models": info.models, "cpu": info.cpu, "config": info.config, "format": info.format,
            "boot_id": info.boot_id, "streams": info.streams, "model_status": model_status(gathered),
        },
        "made_by": session_info::build(),
    })
}

/// Each role's model, or why there is none.
fn model_status(gathered: &Gathered) -> Vec<(JobRole, String)> {
    let status = gathered.devices.models().map(|models| &models.roles);
    let words = |status: &Result<String, String>| match status {
        Ok(name) => name.clone(),
        Err(reason) => format!("none: {reason}"),
    };
    status.into_iter().flatten().map(|(role, status)| (*role, words(status))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_plotly_alone_and_complete() {
        let library = io::read_to_string(library().unwrap()).unwrap();
        assert!(library.starts_with("<script") && library.contains("plotly.js v3"));
        assert_eq!(library.matches("</script>").count(), 1);
        assert!((3_000_000..6_000_000).contains(&library.len()), "{}", library.len());
    }

    #[test]
    fn every_place_of_the_template_is_known() {
        let names: Vec<&str> = TEMPLATE.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()).collect();
        assert_eq!(names, ["title", "library", "data"]);
        assert!(!TEMPLATE.contains("http:") && !TEMPLATE.contains("https:"), "the page asks for nothing");
    }
}
