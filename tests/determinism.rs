//! The promise: a live multi-threaded session, recorded and replayed by the same build, gives the same digest in every
//! tick, with 1, 2, 4 or 8 threads, shuffled system order and injected delays, from every segment boundary.
//!
//! Pools of threads are global to a process, so the program itself is run. The covering set holds every value and each
//! pair of threads and shuffle; the whole product is run by `script/test --long`.

#![expect(clippy::unwrap_used, reason = "a test: what is missing or wrong ends it")]

#[path = "support/program.rs"]
mod program;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

const THREADS: [u32; 4] = [1, 2, 4, 8];
const SEEDS: [u64; 3] = [1, 2, 3];
const SEGMENTS: usize = 3;

/// A small camera that looks at something new in every frame, and segments of seven seconds.
const CONFIG: &str = r#"
[[camera]]
name = "front"
width = 640
height = 360
fps = 15
loop_frames = 45

[[camera]]
name = "rear"
role = "rear"
width = 320
height = 180
fps = 10
loop_frames = 20

[gate]
threshold = 0.2

# Somebody ahead brakes: there is something in reach of the range finder.
[simulation]
scenario = "hard-braking"

# Jobs run when nobody else wants to: on a machine that is busy with other tests they wait, and do not hang.
[segmentation]
deadline_ms = 60000

[detection]
deadline_ms = 60000

[record]
segment_s = 7
"#;

/// One test at a time: each wants the machine for itself, the live run most of all.
static MACHINE: Mutex<()> = Mutex::new(());

fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A recorded session, and the models that ran in it.
struct Recorded {
    _folder: TempDir,
    session: PathBuf,
    models: Option<PathBuf>,
    /// Seconds in which a processor had nothing to do meanwhile, added over all.
    idle_s: f64,
}

/// Seconds in which processors had nothing to do since the computer was started, added over all.
fn idle_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let ticks: f64 = stat.split_ascii_whitespace().nth(4).unwrap().parse().unwrap();
    // The kernel's clock ticks for programs: 100 a second on every architecture that there is.
    ticks / 100.0
}

/// Twenty seconds with all simulated devices in real time, and the models if they are there.
fn record_live() -> Recorded {
    let folder = program::folder();
    let config = folder.path().join("config.toml");
    // A broker that nobody reaches: what would be said is said all the same.
    let mqtt =
        format!("[mqtt]\nbroker = \"mqtt://127.0.0.1:1\"\nspool = '{}'\n", folder.path().join("spool").display());
    std::fs::write(&config, format!("{CONFIG}{mqtt}")).unwrap();
    let record = folder.path().join("record");
    let models = program::data("models");
    let mut args = vec!["run", "--simulate", "--duration", "20", "--json", "--config", program::text(&config)];
    args.extend(["--record", program::text(&record)]);
    if let Some(models) = &models {
        args.extend(["--models", program::text(models)]);
    }
    let before = idle_s();
    let summary = program::json(&args);
    let idle_s = idle_s() - before;
    assert_eq!(summary["segments"], SEGMENTS, "{summary}");
    assert_eq!(summary["lost_ticks"], 0, "{summary}");
    assert!(summary["ticks"].as_u64().unwrap() > 2000, "{summary}");
    Recorded { session: program::session_in(&record), _folder: folder, models, idle_s }
}

/// One replay of the product.
#[derive(Clone, Copy, Debug)]
struct Case {
    threads: u32,
    shuffle: u64,
    jitter: u64,
    from: usize,
    run_jobs: bool,
}

impl Case {
    /// Replays, and asserts that every tick is what was recorded.
    fn verify(self, session: &Path, models: Option<&Path>) -> Value {
        let [threads, shuffle, jitter, from] =
            [self.threads.into(), self.shuffle, self.jitter, self.from as u64].map(|n: u64| n.to_string());
        let mut args = vec!["replay", program::text(session), "--verify", "--json", "--threads", &threads];
        args.extend(["--shuffle", &shuffle, "--jitter", &jitter]);
        if self.from > 0 {
            args.extend(["--from", &from]);
        }
        args.extend(["--jobs", if self.run_jobs && models.is_some() { "run" } else { "recorded" }]);
        if let Some(models) = models {
            args.extend(["--models", program::text(models)]);
        }
        let summary = program::json(&args);
        assert_eq!(summary["verified"]["differing"], 0, "{self:?}: {summary}");
        assert_eq!(summary["verified"]["ticks"], summary["ticks"], "{self:?}: {summary}");
        assert!(summary["ticks"].as_u64().unwrap() > 100, "{self:?}: {summary}");
        assert_eq!(summary["mismatched_jobs"], 0, "{self:?}: {summary}");
        summary
    }
}

/// Every value occurs, and each pair of threads and shuffle; jobs are run in three.
fn covering_set() -> Vec<Case> {
    let mut cases = Vec::new();
    for (t, &threads) in THREADS.iter().enumerate() {
        for (s, &shuffle) in SEEDS.iter().enumerate() {
            let n = t * SEEDS.len() + s;
            let run_jobs = n.is_multiple_of(5);
            cases.push(Case { threads, shuffle, jitter: SEEDS[(t + s) % 3], from: (n + 1) % SEGMENTS, run_jobs });
        }
    }
    cases
}

fn product() -> Vec<Case> {
    let mut cases = Vec::new();
    for threads in THREADS {
        for shuffle in SEEDS {
            for jitter in SEEDS {
                for from in 0..SEGMENTS {
                    for run_jobs in [false, true] {
                        cases.push(Case { threads, shuffle, jitter, from, run_jobs });
                    }
                }
            }
        }
    }
    cases
}

#[test]
fn the_covering_set_covers() {
    let cases = covering_set();
    let pairs: BTreeSet<_> = cases.iter().map(|case| (case.threads, case.shuffle)).collect();
    assert_eq!(pairs.len(), THREADS.len() * SEEDS.len());
    assert_eq!(cases.iter().map(|case| case.jitter).collect::<BTreeSet<_>>().len(), SEEDS.len());
    assert_eq!(cases.iter().map(|case| case.from).collect::<BTreeSet<_>>().len(), SEGMENTS);
    assert!(cases.iter().filter(|case| case.run_jobs).count() >= 2);
}

/// Kinds of the registry that a drive with simulated devices cannot have, and why.
const ABSENT: [(&str, &str); 15] = [
    ("alert", "nothing dangerous happens in that drive; tests/warnings replays some"),
    ("track", "a model need not take a drawn car for one; tests/warnings replays some"),
    ("broker_message", "nobody commands; tests/mqtt replays commands"),
    ("command_received", "likewise"),
    ("command_answer", "likewise"),
    ("deed", "likewise"),
    ("deed_done", "likewise"),
    ("switches_restored", "privacy was not wanted before; tests/mqtt replays it"),
    ("remote_api", "tested with remote inference"),
    ("speech_heard", "no service listens; tests/remote_inference replays one that does"),
    ("loudspeaker", "nobody speaks in that drive; tests/speaker replays one"),
    ("operator_session", "nobody watches; tests/webrtc replays some who do"),
    ("operator_said", "likewise"),
    ("operator_order", "likewise"),
    ("job_missed", "no model hangs; tested with jobs"),
];

#[test]
fn a_live_run_replays_bit_for_bit() {
    let _machine = machine();
    let recorded = record_live();
    let mut full = None;
    for case in covering_set() {
        let summary = case.verify(&recorded.session, recorded.models.as_deref());
        if case.from == 0 {
            full = Some(summary);
        }
    }
    let full = full.unwrap();
    // Jobs run when nobody else wants to: on a computer that had no time to spare there may be no results at all.
    let found = |what: &str| full["frames"][what].as_u64().unwrap() > 0;
    let found_all = found("segmented") && found("detected");
    let starved = recorded.models.is_some() && !found_all && recorded.idle_s < 5.0;
    if starved {
        println!("skipped: what models find; other programs left them {:.1} s of processor", recorded.idle_s);
    }
    if recorded.models.is_some() && !starved {
        assert!(found_all, "{full}");
    }
    assert!(full["fixes"].as_u64().unwrap() > 80, "{full}");
    assert!(full["speech_s"].as_f64().unwrap() > 1.0, "{full}");
    assert!(full["ranges"].as_u64().unwrap() > 100, "{full}");
    // A digest of nothing is always the same: every kind must have been there.
    let registered: BTreeSet<&str> = waywarden::app::digested_kinds().into_iter().collect();
    let absent: BTreeSet<&str> = ABSENT.iter().map(|(kind, _)| *kind).collect();
    let without_models = ["job_request", "job_result"];
    for kind in registered {
        let count = full["kinds"][kind].as_u64().unwrap_or(0);
        if absent.contains(kind) || ((starved || recorded.models.is_none()) && without_models.contains(&kind)) {
            continue;
        }
        assert!(count > 0, "`{kind}` was never digested: {}", full["kinds"]);
    }
}

#[test]
#[ignore = "long: the whole product of threads, shuffles, delays, segments and ways of running jobs"]
fn a_live_run_replays_bit_for_bit_in_the_whole_product() {
    let _machine = machine();
    let recorded = record_live();
    let cases = product();
    for (n, case) in cases.iter().enumerate() {
        case.verify(&recorded.session, recorded.models.as_deref());
        println!("{} of {}: {case:?}", n + 1, cases.len());
    }
}

#[test]
fn an_imported_clip_replays_bit_for_bit() {
    let _machine = machine();
    let folder = program::folder();
    let (imported, full) = (folder.path().join("imported.mcap"), folder.path().join("full.mcap"));
    let Some(clip) = program::data("data/video/concrete-shadows-720p-10s.mp4") else { return };
    let models = program::data("models");
    let (clip, import) = (program::text(&clip), program::text(&imported));
    program::json(&["import", "--video", clip, "-o", import, "--segment-s", "4", "--json"]);
    let mut args = vec!["replay", import, "--out", program::text(&full), "--json"];
    if let Some(models) = &models {
        args.extend(["--models", program::text(models)]);
    }
    let first = program::json(&args);
    assert_eq!(first["frames"]["in"], 251, "{first}");
    if models.is_some() {
        assert!(first["frames"]["segmented"].as_u64().unwrap() > 20, "{first}");
    }
    for case in covering_set().into_iter().step_by(3) {
        let run_jobs = case.threads == 2;
        let summary = Case { run_jobs, ..case }.verify(&full, models.as_deref());
        if case.from == 0 {
            assert_eq!(summary["digest"], first["digest"]);
        }
    }
    // The same from the import itself: virtual latencies do not depend on how fast the models are here.
    if models.is_none() {
        let again = program::json(&["replay", import, "--json", "--threads", "4", "--no-look-ahead"]);
        assert_eq!(again["digest"], first["digest"]);
    }
}

#[test]
fn what_might_have_been_is_repeatable() {
    let _machine = machine();
    let folder = program::folder();
    let (config, trial) = (folder.path().join("config.toml"), folder.path().join("trial.toml"));
    std::fs::write(&config, CONFIG).unwrap();
    // Another gate lets other frames through: jobs are started that the journal does not know, and the other way round.
    std::fs::write(&trial, CONFIG.replace("threshold = 0.2", "threshold = 20.0")).unwrap();
    let record = folder.path().join("record");
    let mut args = vec!["run", "--simulate", "--duration", "4", "--json", "--config", program::text(&config)];
    args.extend(["--record", program::text(&record)]);
    let models = program::data("models");
    let models = models.as_deref().map(|models| ["--models", program::text(models)]);
    args.extend(models.iter().flatten());
    program::json(&args);
    let session = program::session_in(&record);
    let replay = |more: &[&str]| {
        let mut args = vec!["replay", program::text(&session), "--json"];
        args.extend(models.iter().flatten());
        args.extend(more);
        program::json(&args)
    };
    let recorded = replay(&["--jobs", "recorded", "--verify"]);
    let trial = ["--config", program::text(&trial)];
    let once = replay(&trial);
    let again =
        replay(&[&trial[..], &["--threads", "4", "--shuffle", "2", "--jitter", "3", "--no-look-ahead"]].concat());
    assert_eq!(once["jobs"], "virtual", "{once}");
    assert_eq!(once["verified"]["ticks"], 0, "what might have been is not compared: {once}");
    assert_eq!((&once["digest"], &once["frames"]), (&again["digest"], &again["frames"]));
    assert_ne!(once["digest"], recorded["digest"]);
    assert!(once["frames"]["gated"].as_u64() > recorded["frames"]["gated"].as_u64(), "{once}");
}

#[test]
fn look_ahead_changes_nothing() {
    let _machine = machine();
    let Some(clip) = program::data("data/video/highway-540p-9s.mp4") else { return };
    let folder = program::folder();
    let imported = folder.path().join("imported.mcap");
    let import = program::text(&imported);
    program::json(&["import", "--video", program::text(&clip), "-o", import, "--json"]);
    let with = program::json(&["replay", import, "--json"]);
    let without = program::json(&["replay", import, "--json", "--no-look-ahead", "--threads", "4", "--shuffle", "9"]);
    assert_eq!(with["digest"], without["digest"]);
    assert_eq!(with["frames"]["in"], 221);
}

#[test]
fn lanes_without_a_model_replay_bit_for_bit() {
    let _machine = machine();
    let Some(clip) = program::data("data/video/highway-540p-9s.mp4") else { return };
    let folder = program::folder();
    let (imported, full) = (folder.path().join("imported.mcap"), folder.path().join("full.mcap"));
    let import = program::text(&imported);
    program::json(&["import", "--video", program::text(&clip), "-o", import, "--segment-s", "3", "--json"]);
    let first = program::json(&["replay", import, "--out", program::text(&full), "--json"]);
    assert!(first["lanes"]["claimed"].as_u64().unwrap() > 40, "{first}");
    assert!(first["kinds"]["lane_tracker"].as_u64().unwrap() > 0, "{first}");
    // A lane that is followed goes on behind a boundary.
    for (case, from) in covering_set().into_iter().step_by(4).zip([0, 1, 2]) {
        Case { from, run_jobs: false, ..case }.verify(&full, None);
    }
}
