//! Lanes without a model: right where they are claimed, and not claimed where there are none.
//!
//! Simulated drives carry their truth. Real clips are looked for in `$WAYWARDEN_DATA`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test: what is missing or wrong ends it, figures are printed"
)]

#[path = "support/program.rs"]
mod program;

use std::path::Path;

use waywarden_components::prelude::*;
use waywarden_systems::camera::first_look;
use waywarden_systems::lanes::classical;
use waywarden_systems::session::{Record, SessionReader};
use waywarden_systems::simulate::{CameraSettings, CameraSimulator, Drive, Scenario, TruthSimulator};

/// Looks a second, as the config has it.
const LOOKS_PER_S: f64 = 10.0;

/// How far off claimed lanes were.
#[derive(Default)]
struct Errors {
    looked: usize,
    claimed: usize,
    /// Sum of the squared errors of the offset, in m².
    squares: f64,
}

impl Errors {
    fn add(&mut self, estimate: &LaneEstimate, truth: &Truth) {
        let Some(lane) = &truth.lane else { return };
        self.looked += 1;
        let Some(claimed) = &estimate.geometry else { return };
        self.claimed += 1;
        let off = f64::from(claimed.offset_m - lane.offset_m);
        self.squares += off * off;
    }

    fn share(&self) -> f64 {
        self.claimed as f64 / self.looked as f64
    }

    fn rmse_m(&self) -> f64 {
        (self.squares / self.claimed as f64).sqrt()
    }
}

/// Looks at the first seconds of a simulated drive.
fn drive(scenario: &str, seed: u64, seconds: f64) -> Errors {
    let drive = Drive::new(&Scenario::built_in(scenario).unwrap(), seed);
    let settings = CameraSettings { width: 640, height: 360, fps: LOOKS_PER_S, ..CameraSettings::default() };
    let mut camera = CameraSimulator::new(&drive, settings).unwrap();
    let mut truth = TruthSimulator::new(&drive, &settings);
    let (mut tracker, mut errors) = (LaneTracker::default(), Errors::default());
    for _ in 0..(seconds * LOOKS_PER_S) as usize {
        let (frame, truth) = (camera.next(), truth.next());
        assert_eq!(frame.at, truth.at);
        let (Payload::Frame(jpeg), Payload::Truth(truth)) = (&frame.payload, &truth.payload) else { continue };
        let look = first_look(jpeg, Some(settings.geometry));
        let Thumbnail::Ready { width, height, .. } = look.thumbnail else { continue };
        let estimate = classical::look(&mut tracker, &look.features, &settings.geometry, (width, height), frame.at);
        errors.add(&estimate, truth);
    }
    errors
}

#[test]
fn the_offset_on_a_motorway_is_right() {
    let (mut squares, mut claimed, mut looked) = (0.0, 0, 0);
    for seed in 1..=10 {
        let errors = drive("motorway", seed, 6.0);
        println!("seed {seed}: offset RMSE {:.3} m, claimed in {:.0} %", errors.rmse_m(), 100.0 * errors.share());
        squares += errors.squares;
        claimed += errors.claimed;
        looked += errors.looked;
    }
    let (rmse, share) = ((squares / f64::from(claimed as u32)).sqrt(), claimed as f64 / looked as f64);
    println!("10 seeds: offset RMSE {rmse:.3} m (at most 0.15), claimed in {:.1} % (at least 80)", 100.0 * share);
    assert!(rmse <= 0.15);
    assert!(share >= 0.8);
}

/// What the program makes of a clip without any model: the lanes of the frames that it looked at.
fn lanes_of(clip: &str) -> Option<Vec<LaneEstimate>> {
    let clip = program::data(&format!("data/video/{clip}"))?;
    let folder = program::folder();
    let (imported, full) = (folder.path().join("imported.mcap"), folder.path().join("full.mcap"));
    let import = program::text(&imported);
    program::json(&["import", "--video", program::text(&clip), "-o", import, "--json"]);
    let summary = program::json(&["replay", import, "--out", program::text(&full), "--json"]);
    let lanes = recorded(&full);
    let claimed = lanes.iter().filter(|lane| lane.geometry.is_some()).count();
    assert_eq!(summary["lanes"]["looked"], lanes.len(), "{summary}");
    assert_eq!(summary["lanes"]["claimed"], claimed, "{summary}");
    assert!(lanes.len() as u64 * 3 >= summary["frames"]["in"].as_u64().unwrap(), "10 in a second: {summary}");
    println!("{}: claimed in {claimed} of {} frames looked at", clip.display(), lanes.len());
    Some(lanes)
}

/// The estimates that a session holds.
fn recorded(session: &Path) -> Vec<LaneEstimate> {
    let mut reader = SessionReader::open(session).unwrap();
    let mut lanes = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        let Record::Outputs(outputs) = record else { continue };
        let values = outputs.changes.iter().filter(|change| change.kind == LaneEstimate::NAME);
        let estimates =
            values.filter_map(|change| rmp_serde::from_slice::<LaneEstimate>(change.value.as_deref()?).ok());
        lanes.extend(estimates.filter(|estimate| estimate.source == LaneSource::Classical));
    }
    lanes
}

#[test]
fn the_width_of_a_real_lane_is_steady() {
    let Some(lanes) = lanes_of("highway-720p-50s.mp4") else { return };
    let mut widths: Vec<f32> = lanes.iter().filter_map(|lane| lane.geometry).map(|lane| lane.width_m).collect();
    widths.sort_unstable_by(f32::total_cmp);
    let median = widths[widths.len() / 2];
    let near = widths.iter().filter(|width| (*width - median).abs() <= 0.15 * median).count();
    let (steady, claimed) = (near as f64 / widths.len() as f64, widths.len() as f64 / lanes.len() as f64);
    println!("median {median:.2} m, {:.1} % within 15 % of it (at least 97)", 100.0 * steady);
    assert!(steady >= 0.97);
    assert!(claimed >= 0.8, "a driver sees lines nearly everywhere");
    assert!((3.0..4.3).contains(&median), "a lane of 12 feet, with a camera that nobody measured: {median} m");
}

#[test]
fn where_there_is_no_road_no_lane_is_claimed() {
    for clip in ["no-road-1080p-6s.mp4", "walking-with-gps-480p-10s.mp4"] {
        let Some(lanes) = lanes_of(clip) else { return };
        assert!(lanes.len() > 50);
        assert!(lanes.iter().all(|lane| lane.geometry.is_none() && lane.left.is_none() && lane.right.is_none()));
    }
}
