//! Reports: a session as one HTML page with plots, pictures and plain words.
//!
//! One pass over the session gathers what is shown, in bounded memory: each part of the page (the lane, what is ahead,
//! speech …) has a module that takes ticks and gives charts and numbers.

pub mod base;
pub mod chart;
pub mod decimate;
pub mod devices;
pub mod facts;
pub mod frames;
pub mod gather;
pub mod lanes;
pub mod moments;
pub mod objects;
pub mod page;
pub mod position;
pub mod sound;
pub mod words;
pub mod work;

use std::collections::BTreeMap;

use waywarden_systems::tick::StageSummary;

/// What a replay made for the report has measured.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Times of phases, systems and jobs, by name.
    pub stages: BTreeMap<String, StageSummary>,
    /// How results of jobs came back, where what is shown was found by this replay.
    pub findings_from: Option<String>,
}
