//! `waywarden evaluate`: what the app sees and warns of, against labels.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgGroup;

use crate::cli::seconds;
use crate::command::args::ModelsFolder;
use crate::config::Config;
use crate::evaluate::{self, Runner, Sheet};
use crate::failure::Failure;

/// Examples of the help.
pub const EXAMPLES: &str = "\
Examples:
  Road, vehicles and people in CamVid's pictures, lines in TuSimple's:
    waywarden evaluate --camvid data/camvid --tusimple data/tusimple

  Simulated drives in two scenarios, ten minutes each, twenty seeds:
    waywarden evaluate --simulate town,motorway --seeds 11-30 --duration 600

  What another config makes of it, for a program; or as a page for people:
    waywarden evaluate --kitti data/kitti --config trial.toml --models models --json
    waywarden evaluate --camvid data/camvid --video drive.mp4 --markdown > perception.md

  How well it is heard that somebody speaks, by each detector that is here:
    waywarden evaluate --speech data/speech --noise data/noise/car.wav --models models

Sessions are made in a folder for temporary files (the environment variable TMPDIR names another one), one at a time; ten
minutes of a simulated drive take about a gigabyte.";

/// What `evaluate` may be told.
#[derive(Clone, Debug, clap::Args)]
#[command(group = ArgGroup::new("data").required(true).multiple(true).args(["camvid", "tusimple", "culane", "kitti", "video", "speech", "noizeus", "noise", "simulate"]))]
pub struct EvaluateArgs {
    /// CamVid with SegNet's classes: a folder with `test` beside `testannot`, and so on.
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub camvid: Option<PathBuf>,

    /// TuSimple: a folder with `*.json` beside `clips`, or with `image` beside `gt_binary_image`.
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub tusimple: Option<PathBuf>,

    /// CULane: a folder with pictures and a `.lines.txt` beside each, at any depth.
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub culane: Option<PathBuf>,

    /// KITTI's object benchmark: a folder with `image_2`, `label_2` and `calib`.
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub kitti: Option<PathBuf>,

    /// Videos without labels.
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Data")]
    pub video: Vec<PathBuf>,

    /// Boxes of things in the first video that somebody has marked (`time_s,name,left,top,right,bottom`): whether they keep their
    /// tracks.
    #[arg(long, value_name = "FILE", help_heading = "Data", requires = "video")]
    pub tracks: Option<PathBuf>,

    /// Recordings of speech: a folder with WAV files, and beside each its labels, `.rttm` or TEN VAD's `.scv`.
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub speech: Option<PathBuf>,

    /// NOIZEUS: a folder with `clean` beside `car_0dB` and others. Where there is speech follows from the clean sentences.
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub noizeus: Option<PathBuf>,

    /// WAV files in which nobody speaks.
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Data")]
    pub noise: Vec<PathBuf>,

    /// Scenarios to simulate, with commas between them: built in, or TOML files.
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',', help_heading = "Data")]
    pub simulate: Vec<String>,

    /// Seeds of the simulated drives: 1-10, or 1,4,7.
    #[arg(long, value_name = "SEEDS", value_parser = seeds, default_value = "1", requires = "simulate")]
    pub seeds: Seeds,

    /// Length of a simulated drive in seconds; without it, that of the scenario.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "simulate")]
    pub duration: Option<Duration>,

    /// The config that is measured; without it, the defaults.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where models are.
    #[command(flatten)]
    pub models: ModelsFolder,

    /// Prints the table as one JSON object, and no progress.
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,

    /// Prints the table as a page in Markdown, with the command that made it.
    #[arg(long)]
    pub markdown: bool,

    /// Title of that page.
    #[arg(long, value_name = "TEXT", requires = "markdown", default_value = "Perception")]
    pub title: String,

    /// Leaves out the rows of single seeds.
    #[arg(long, requires = "simulate")]
    pub brief: bool,
}

/// Seeds of simulated drives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(pub Vec<u64>);

/// `1-3,7`.
impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|a, b| a.checked_add(1) == Some(*b));
        let words = runs.filter_map(|run| match (run.first()?, run.last()?) {
            (first, last) if first == last => Some(first.to_string()),
            (first, last) => Some(format!("{first}-{last}")),
        });
        f.write_str(&words.collect::<Vec<_>>().join(","))
    }
}

/// Most seeds at once.
const MOST_SEEDS: usize = 1000;

/// Reads `1-10`, `3` or `1,4,7-9`.
fn seeds(text: &str) -> Result<Seeds, String> {
    const EXPECTED: &str = "expected seeds such as 1-10 or 1,4,7";
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |word: &str| word.trim().parse::<u64>().ok().filter(|n| *n <= 9_007_199_254_740_991);
        let (Some(first), Some(last)) = (number(first), number(last)) else { return Err(EXPECTED.to_owned()) };
        if last < first || last - first >= MOST_SEEDS as u64 {
            return Err(format!("{EXPECTED}, at most {MOST_SEEDS}"));
        }
        all.extend(first..=last);
    }
    all.sort_unstable();
    all.dedup();
    if all.len() > MOST_SEEDS { Err(format!("{EXPECTED}, at most {MOST_SEEDS}")) } else { Ok(Seeds(all)) }
}

/// Measures, and prints the table to `out`.
///
/// # Errors
/// When the config, a model or labels cannot be used, or the app fails.
pub fn run(args: &EvaluateArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    let runner = Runner::new(config, args.models.folder.clone(), args.json)?;
    let mut sheet = Sheet { conditions: runner.conditions(), ..Sheet::default() };
    type Measure = fn(&Path, &Runner, &mut Sheet) -> Result<(), Failure>;
    let folders: [(&Option<PathBuf>, Measure); 6] = [
        (&args.camvid, evaluate::camvid),
        (&args.tusimple, evaluate::tusimple),
        (&args.culane, evaluate::culane),
        (&args.kitti, evaluate::kitti),
        (&args.speech, evaluate::speech),
        (&args.noizeus, evaluate::noizeus),
    ];
    for (folder, measure) in folders {
        if let Some(folder) = folder {
            measure(folder, &runner, &mut sheet)?;
        }
    }
    let mut tracks = args.tracks.as_deref();
    for video in &args.video {
        evaluate::clip(video, tracks.take(), &runner, &mut sheet)?;
    }
    for file in &args.noise {
        evaluate::noise(file, &runner, &mut sheet)?;
    }
    for scenario in &args.simulate {
        evaluate::drives(scenario, &args.seeds.0, (args.duration, args.brief), &runner, &mut sheet)?;
    }
    sheet.conditions = runner.conditions();
    if args.json {
        writeln!(out, "{}", sheet.to_json())?;
    } else if args.markdown {
        write!(out, "{}", sheet.to_markdown(&args.title, &args.words()))?;
    } else {
        write!(out, "{}", sheet.to_text())?;
    }
    Ok(())
}

impl EvaluateArgs {
    /// The command line that says the same, with data where `$WAYWARDEN_DATA` is named by it: a page is for everybody.
    fn words(&self) -> String {
        let data = std::env::var("WAYWARDEN_DATA").unwrap_or_default();
        let shown = |path: &PathBuf| match path.strip_prefix(&data) {
            Ok(below) if !data.is_empty() => format!("$WAYWARDEN_DATA/{}", below.display()),
            _ => path.display().to_string(),
        };
        let mut words = vec!["waywarden evaluate".to_owned()];
        let folders = [
            ("camvid", &self.camvid),
            ("tusimple", &self.tusimple),
            ("culane", &self.culane),
            ("kitti", &self.kitti),
            ("speech", &self.speech),
            ("noizeus", &self.noizeus),
        ];
        let files = [("config", &self.config), ("models", &self.models.folder)];
        for (name, path) in folders.into_iter().chain(files) {
            words.extend(path.as_ref().map(|path| format!("--{name} {}", shown(path))));
        }
        words.extend(self.video.iter().map(|path| format!("--video {}", shown(path))));
        words.extend(self.tracks.iter().map(|path| format!("--tracks {}", shown(path))));
        words.extend(self.noise.iter().map(|path| format!("--noise {}", shown(path))));
        if !self.simulate.is_empty() {
            words.push(format!("--simulate {} --seeds {}", self.simulate.join(","), self.seeds));
            words.extend(self.duration.map(|length| format!("--duration {}", length.as_secs_f64())));
        }
        words.extend(self.brief.then(|| "--brief".to_owned()));
        words.push("--markdown".to_owned());
        if self.title != "Perception" {
            words.push(format!("--title '{}'", self.title));
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_numbers_and_ranges() {
        assert_eq!(seeds("1-3"), Ok(Seeds(vec![1, 2, 3])));
        assert_eq!(seeds("7,1,3-4,3"), Ok(Seeds(vec![1, 3, 4, 7])));
        assert_eq!(Seeds(vec![1, 3, 4, 7]).to_string(), "1,3-4,7");
        for wrong in ["", "a", "3-1", "1-", "-1", "1-100000", "1,,2", "99999999999999999999"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}
