//! The table: one row a figure, with its interval, how many things it is of, its goal, and whether it may be quoted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;
use serde_json::{Value, json};
use waywarden_components::prelude::JobRole;
use waywarden_perception::score::{Share, Tally, bootstrap, sum};

use crate::config::Config;
use crate::session_info;

/// Seed of all intervals.
const SEED: u64 = 1;

/// Under which conditions figures are made: how the app was set.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Conditions {
    /// Difference from which on the gate lets a frame through; none where everything goes through.
    pub gate_threshold: Option<f64>,
    /// After so many seconds it lets the next frame through.
    pub gate_force_after_s: f64,
    /// How long a job takes, in milliseconds of the session.
    pub virtual_latency_ms: BTreeMap<JobRole, u32>,
    /// Pictures a second that are looked at, at most.
    pub rate_hz: BTreeMap<JobRole, f64>,
    /// The models, or why there is none.
    pub models: BTreeMap<JobRole, Result<String, String>>,
    /// The build.
    pub build: String,
}

impl Conditions {
    /// Those of a config; models are not known before something ran.
    pub fn of(config: &Config) -> Self {
        let (segmentation, detection) = (&config.segmentation, &config.detection);
        let build = session_info::build();
        let gate = config.gate.enabled.then_some(config.gate.threshold).filter(|threshold| *threshold > 0.0);
        Self {
            gate_threshold: gate,
            gate_force_after_s: config.gate.force_after_s,
            virtual_latency_ms: BTreeMap::from([
                (JobRole::Segmentation, segmentation.virtual_latency_ms),
                (JobRole::Detection, detection.virtual_latency_ms),
            ]),
            rate_hz: BTreeMap::from([
                (JobRole::Segmentation, segmentation.rate_hz),
                (JobRole::Detection, detection.rate_hz),
            ]),
            models: BTreeMap::new(),
            build: format!("{} {} {}", build.version, build.commit, build.profile),
        }
    }

    /// Why figures that stand on these jobs may not be quoted; none if they may.
    fn doubt(&self, by: &[JobRole]) -> Option<String> {
        if self.gate_threshold.is_none() {
            return Some("gate off".to_owned());
        }
        let instant = by.iter().find(|role| self.virtual_latency_ms.get(role).is_none_or(|ms| *ms == 0));
        instant.map(|role| format!("no latency of {role}"))
    }

    fn words(&self) -> Vec<(&'static str, String)> {
        let gate = match self.gate_threshold {
            Some(threshold) => {
                format!(
                    "in force: lets through what differs by {threshold} or more, and a frame after {} s",
                    self.gate_force_after_s
                )
            }
            None => "off".to_owned(),
        };
        let each = |value: &dyn Fn(JobRole) -> Option<String>| {
            let words = JobRole::ALL.iter().filter_map(|role| Some(format!("{role} {}", value(*role)?)));
            words.collect::<Vec<_>>().join(", ")
        };
        vec![
            ("gate", gate),
            ("virtual latency", each(&|role| self.virtual_latency_ms.get(&role).map(|ms| format!("{ms} ms")))),
            ("looks", each(&|role| self.rate_hz.get(&role).map(|hz| format!("at most {hz} a second")))),
            (
                "models",
                each(&|role| self.models.get(&role).map(|m| m.clone().unwrap_or_else(|why| format!("none ({why})")))),
            ),
            ("build", self.build.clone()),
        ]
    }
}

/// What a figure is to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal) => value >= goal,
            Self::AtMost(goal) => value <= goal,
        }
    }
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What it was measured on: `CamVid`, `town`.
    pub data: String,
    /// Which part of it: `all`, a drive, a seed.
    pub split: String,
    /// What it is.
    pub what: String,
    /// In what it is measured; empty for shares, which go from 0 to 1.
    pub unit: &'static str,
    /// The figure; none where there was nothing to measure.
    pub value: Option<f64>,
    /// The interval that holds 95 of 100 values when the units are drawn again.
    pub interval: Option<(f64, f64)>,
    /// Of how many things it is.
    pub n: u64,
    /// What these are.
    pub of: String,
    /// What it is to be.
    pub goal: Option<Goal>,
    /// Whether the goal is met.
    pub met: Option<bool>,
    /// Whether it may be quoted.
    pub quotable: bool,
    /// Why not.
    pub doubt: Option<String>,
}

/// All rows, and how they were made.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// How the app was set.
    pub conditions: Conditions,
    /// The figures.
    pub rows: Vec<Row>,
    /// What was done wrong, where a person would look first.
    pub incidents: Vec<Incident>,
}

/// Something that was done wrong, and where to find it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Incident {
    /// In which data: `simulated: town`.
    pub data: String,
    /// In which part of it: `seed 3`.
    pub split: String,
    /// When, in seconds since it began.
    pub at_s: f64,
    /// What: `false warning`, `danger not warned of`.
    pub what: &'static str,
    /// What it was about, with what was said.
    pub text: String,
}

/// Rows of one part of some data.
pub struct Part<'a> {
    sheet: &'a mut Sheet,
    data: String,
    split: String,
    by: Vec<JobRole>,
    doubt: Option<String>,
}

impl Sheet {
    /// Begins rows of a part of some data, whose figures stand on jobs of these roles.
    pub fn part(&mut self, data: &str, split: &str, by: &[JobRole]) -> Part<'_> {
        Part { sheet: self, data: data.to_owned(), split: split.to_owned(), by: by.to_vec(), doubt: None }
    }

    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        json!({ "ok": true, "conditions": self.conditions, "rows": self.rows, "incidents": self.incidents })
    }

    /// As a table for people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail, here and below.
        for (what, value) in self.conditions.words() {
            let _ = writeln!(text, "{what:<16} {value}");
        }
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(HEADER);
        self.rows.iter().for_each(|row| {
            table.add_row(row.cells());
        });
        for column in [3, 4, 5] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let _ = writeln!(text, "{table}");
        for Incident { data, split, at_s, what, text: about } in &self.incidents {
            let _ = writeln!(text, "{data}, {split}, {at_s:.1} s: {what}: {about}");
        }
        text
    }

    /// As a page, with the command that made it.
    pub fn to_markdown(&self, title: &str, command: &str) -> String {
        let mut page = format!("# {title}\n\nMade by the command below; do not edit.\n\n    {command}\n\n{ABOUT}\n\n");
        page.push_str("| | |\n| --- | --- |\n");
        for (what, value) in self.conditions.words() {
            let _ = writeln!(page, "| {what} | {} |", escape(&value));
        }
        let mut data = None;
        for row in &self.rows {
            if data != Some(&row.data) {
                data = Some(&row.data);
                let _ = writeln!(page, "\n## {}\n", escape(&row.data));
                let header = HEADER.get(1..).unwrap_or_default();
                let _ = writeln!(page, "| {} |\n|{}", header.join(" | "), " --- |".repeat(header.len()));
            }
            let cells: Vec<String> = row.cells().iter().skip(1).map(|cell| escape(cell)).collect();
            let _ = writeln!(page, "| {} |", cells.join(" | "));
        }
        page
    }
}

const HEADER: [&str; 8] = ["data", "part", "what", "figure", "95 %", "n", "goal", "quotable"];

const ABOUT: &str = "\
Everything went through the app's own pipeline, in virtual time: pictures as they are imported, gate, rates, latency of
models. Shares go from 0 to 1. Intervals: the percentile bootstrap over pictures, or over drives where there are several.
What each figure means is said in `systems/perception/src/score/`. A figure is quotable when the gate was in force and
models took time; what follows from boxes in simulated pictures, when the model found four of five vehicles in them. Of real
clips without labels it is not known how far away anything was, so there distances, times to collision, how early is warned and
whether rightly could not be measured: only how steady lanes are, whether tracks are kept, and how often is warned.

What was chosen, and on what: warnings and following on seeds 1 to 10 of the simulator, of which none is reported; speech on
sentences 1 to 15 of NOIZEUS. Real pictures that influenced a choice: CamVid's, all of them seen, by the figures of `train`
(size of the second look, least scores, the probability from which road counts), and the clips of the highway and of concrete
and shadows (how lanes are followed). TuSimple's, the clip without a road, and the other recordings influenced none.";

impl Row {
    fn set_goal(&mut self, goal: Goal) {
        self.goal = Some(goal);
        // What may not be quoted meets no goal, and misses none.
        self.met = self.value.filter(|_| self.quotable).map(|value| goal.is_met(value));
    }

    fn cells(&self) -> [String; 8] {
        let goal = match (self.goal, self.met) {
            (Some(Goal::AtLeast(goal)), met) => format!("≥ {goal}{}", verdict(met)),
            (Some(Goal::AtMost(goal)), met) => format!("≤ {goal}{}", verdict(met)),
            (None, _) => String::new(),
        };
        let figure = self.value.map_or("–".to_owned(), |value| {
            let space = if self.unit.is_empty() { "" } else { " " };
            format!("{value:.3}{space}{}", self.unit)
        });
        [
            self.data.clone(),
            self.split.clone(),
            self.what.clone(),
            figure,
            self.interval.map(|(low, high)| format!("{low:.3} to {high:.3}")).unwrap_or_default(),
            format!("{} {}", self.n, self.of),
            goal,
            self.doubt.as_ref().map_or("yes".to_owned(), |doubt| format!("not quotable: {doubt}")),
        ]
    }
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => ", met",
        Some(false) => ", missed",
        None => "",
    }
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

impl Part<'_> {
    /// Has the figures that follow not be quoted, and says why; with none they may be.
    pub fn doubted(mut self, doubt: Option<&str>) -> Self {
        self.doubt = doubt.map(str::to_owned);
        self
    }

    /// A figure as it is.
    pub fn figure(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        value: Option<f64>,
        interval: Option<(f64, f64)>,
        (n, of): (u64, &str),
    ) -> &mut Self {
        let doubt = match value {
            None => Some("nothing to measure".to_owned()),
            Some(_) => self.sheet.conditions.doubt(&self.by).or_else(|| self.doubt.clone()),
        };
        let interval = interval.filter(|_| value.is_some());
        let (data, split, what, of) = (self.data.clone(), self.split.clone(), what.into(), of.to_owned());
        let quotable = doubt.is_none();
        let row = Row { data, split, what, unit, value, interval, n, of, goal: None, met: None, quotable, doubt };
        self.sheet.rows.push(row);
        self
    }

    /// A figure of units that are drawn again for its interval; the statistic is told how often each counts.
    pub fn drawn(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        units: usize,
        (n, of): (u64, &str),
        statistic: impl Fn(&[u32]) -> Option<f64>,
    ) -> &mut Self {
        let value = statistic(&vec![1; units]);
        let interval = bootstrap::interval(units, SEED, statistic);
        self.figure(what, unit, value, interval, (n, of))
    }

    /// A share over units.
    pub fn share(&mut self, what: impl Into<String>, units: &[Share], of: &str) -> &mut Self {
        let n = units.iter().map(|share| share.whole).sum();
        self.drawn(what, "", units.len(), (n, of), |weights| sum(units, weights).value())
    }

    /// Precision, recall and F1 over units.
    pub fn tally(&mut self, what: &str, units: &[Tally], found: &str, labelled: &str) -> &mut Self {
        let precision: Vec<Share> = units.iter().map(|unit| unit.precision).collect();
        let recall: Vec<Share> = units.iter().map(|unit| unit.recall).collect();
        self.share(format!("{what}: precision"), &precision, found);
        self.share(format!("{what}: recall"), &recall, labelled);
        let n = recall.iter().map(|share| share.whole).sum();
        self.drawn(format!("{what}: F1"), "", units.len(), (n, labelled), |weights| sum(units, weights).f1())
    }

    /// What the last figure is to be.
    pub fn goal(&mut self, goal: Goal) -> &mut Self {
        if let Some(row) = self.sheet.rows.last_mut() {
            row.set_goal(goal);
        }
        self
    }

    /// What the figure of this name is to be.
    pub fn goal_of(&mut self, what: &str, goal: Goal) -> &mut Self {
        let (data, split) = (&self.data, &self.split);
        let found = |row: &&mut Row| row.what == what && row.data == *data && row.split == *split;
        if let Some(row) = self.sheet.rows.iter_mut().rev().find(found) {
            row.set_goal(goal);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(config: &str) -> Sheet {
        let config = Config::from_toml(config, "test").unwrap();
        let mut sheet = Sheet { conditions: Conditions::of(&config), ..Sheet::default() };
        let units = [Share { part: 1, whole: 2 }, Share { part: 3, whole: 4 }];
        sheet.part("a|b", "all", &[JobRole::Detection]).share("found", &units, "cars").goal(Goal::AtLeast(0.7));
        sheet.part("a|b", "none", &[]).share("nothing", &[], "cars").goal(Goal::AtMost(1.0));
        sheet
    }

    #[test]
    fn a_figure_without_gate_or_latency_is_not_quotable() {
        let doubts = |config: &str| sheet(config).rows[0].doubt.clone();
        assert_eq!(doubts(""), None);
        assert_eq!(doubts("[gate]\nenabled = false"), Some("gate off".to_owned()));
        assert_eq!(doubts("[gate]\nthreshold = 0.0"), Some("gate off".to_owned()));
        assert_eq!(doubts("[detection]\nvirtual_latency_ms = 0"), Some("no latency of detection".to_owned()));
        assert_eq!(doubts("[segmentation]\nvirtual_latency_ms = 0"), None, "no segmentation in it");
        assert_eq!(sheet("").rows[1].doubt.as_deref(), Some("nothing to measure"));
        let met = |config: &str| sheet(config).rows[0].met;
        assert_eq!((met(""), met("[gate]\nenabled = false")), (Some(false), None));
    }

    #[test]
    fn a_figure_that_stands_on_too_little_is_not_quotable() {
        let mut sheet = Sheet { conditions: Conditions::of(&Config::default()), ..Sheet::default() };
        for doubt in [None, Some("half of it was not seen")] {
            let mut part = sheet.part("data", "all", &[]).doubted(doubt);
            part.figure("errors", "m", Some(1.0), None, (9, "looks")).goal(Goal::AtMost(2.0));
        }
        let said: Vec<_> = sheet.rows.iter().map(|row| (row.met, row.quotable, row.doubt.as_deref())).collect();
        assert_eq!(said, [(Some(true), true, None), (None, false, Some("half of it was not seen"))]);
    }

    #[test]
    fn rows_say_figure_interval_number_and_goal() {
        let sheet = sheet("");
        let row = &sheet.rows[0];
        assert_eq!((row.value, row.n, row.met), (Some(4.0 / 6.0), 6, Some(false)));
        assert_eq!(row.interval, Some((0.5, 0.75)));
        assert_eq!((sheet.rows[1].value, sheet.rows[1].met), (None, None));
        let text = sheet.to_text();
        for part in ["in force", "segmentation 150 ms", "0.667", "0.500 to 0.750", "6 cars", "≥ 0.7, missed", "–"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let page = sheet.to_markdown("A page", "waywarden evaluate");
        assert!(page.starts_with("# A page\n"));
        assert!(page.contains("\n## a\\|b\n") && page.contains("| all | found | 0.667 |"), "{page}");
        assert_eq!(page.matches("| part | what |").count(), 1);
        let json = sheet.to_json();
        assert_eq!((&json["rows"][0]["goal"]["at_least"], &json["rows"][0]["quotable"]), (&json!(0.7), &json!(true)));
    }
}
