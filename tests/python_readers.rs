//! Sessions can be read by others: by the official `mcap` package, and by a reader that was written from
//! `docs/session-format.md` alone.
//!
//! Both are programs in `tests/python`, run by a virtual environment that the first test makes. The second reader takes
//! the types on the page as its schema, checks every value against them and computes every digest anew, so a page that
//! does not say what is written fails here.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test: what is missing or wrong ends it"
)]

#[path = "support/program.rs"]
mod program;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// A camera small enough for an unoptimised build, and three segments in four seconds.
const CONFIG: &str = r#"
[[camera]]
name = "front"
width = 320
height = 180
fps = 10.0
loop_frames = 10

[record]
segment_s = 1
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder of this test program, empty at first.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python_readers").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a program that must succeed.
fn succeed(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", text(&output.stdout), text(&output.stderr));
    output
}

fn waywarden<S: AsRef<OsStr>>(args: &[S]) -> Output {
    succeed(program::waywarden().args(args))
}

/// The Python of an environment with the packages that the readers need; none where there is no Python at all.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let has = |code: &str| Command::new("python3").args(["-c", code]).output().is_ok_and(|o| o.status.success());
        if !has("import ensurepip, venv") {
            return None;
        }
        let requirements = root().join("tests/python/requirements.txt");
        let wanted = std::fs::read(&requirements).unwrap();
        let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python_environment");
        let (python, made_for) = (environment.join("bin/python"), environment.join("made-for.txt"));
        if std::fs::read(&made_for).ok().as_ref() != Some(&wanted) {
            succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
            succeed(Command::new(&python).args(pip).arg(&requirements));
            std::fs::write(&made_for, &wanted).unwrap();
        }
        Some(python)
    });
    if python.is_none() {
        println!("skipped: no python3 with venv and pip");
    }
    python.as_deref()
}

/// What a reader prints.
fn read(python: &Path, script: &str, args: &[&Path]) -> Value {
    let script = root().join("tests/python").join(script);
    let output = succeed(Command::new(python).arg(script).args(args));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn second_reader(python: &Path, session: &Path) -> Value {
    read(python, "second_reader.py", &[&root().join("docs/session-format.md"), session])
}

fn inspect(session: &Path) -> Value {
    let output = waywarden(&[OsStr::new("inspect"), OsStr::new("--json"), session.as_os_str()]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A live session of four seconds, in a folder of segments.
fn live_session() -> &'static Path {
    static SESSION: OnceLock<PathBuf> = OnceLock::new();
    SESSION.get_or_init(|| {
        let folder = folder("live");
        let config = folder.join("config.toml");
        let mqtt = format!("[mqtt]\nbroker = \"mqtt://127.0.0.1:1\"\nspool = '{}'\n", folder.join("spool").display());
        std::fs::write(&config, format!("{CONFIG}{mqtt}")).unwrap();
        let (config, record) = (config.display().to_string(), folder.join("sessions").display().to_string());
        let args = ["run", "--simulate", "--config", &config, "--duration", "4", "--record", &record, "--json"];
        let summary: Value = serde_json::from_slice(&waywarden(&args).stdout).unwrap();
        PathBuf::from(summary["session"].as_str().unwrap())
    })
}

/// Files of a session.
fn files(session: &Path) -> Vec<PathBuf> {
    if session.is_file() {
        return vec![session.to_owned()];
    }
    let mut files: Vec<_> = std::fs::read_dir(session).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn official_reader(python: &Path, session: &Path) -> Value {
    let files = files(session);
    read(python, "official_reader.py", &files.iter().map(PathBuf::as_path).collect::<Vec<_>>())
}

/// Checks that the second reader counts what `inspect` counts.
fn assert_same_counts(read: &Value, inspected: &Value) {
    assert_eq!(read["ticks"], inspected["ticks"]);
    let streams = inspected["info"]["streams"].as_array().unwrap();
    // The app's own streams, as the page numbers them.
    let own = |name: &str| match name {
        "recorder" => 32_771,
        "broker" => 32_772,
        "remote" => 32_773,
        "speaker" => 32_774,
        "operators" => 32_775,
        _ => 0,
    };
    let number =
        |name: &str| streams.iter().find(|s| s["name"] == name).map_or(own(name), |s| s["id"].as_u64().unwrap());
    let inputs = inspected["inputs"].as_array().unwrap();
    for input in inputs {
        let key = format!("{} {}", number(input["stream"].as_str().unwrap()), input["kind"].as_str().unwrap());
        assert_eq!(read["inputs"][&key], input["count"], "{key}");
        if matches!(input["kind"].as_str(), Some("frame" | "audio" | "serial")) {
            assert_eq!(read["input_bytes"][&key], input["bytes"], "{key}");
        }
    }
    assert_eq!(read["inputs"].as_object().unwrap().len(), inputs.len());
    assert_eq!(read["changes"], inspected["changes"]);
    let segments: Vec<_> = inspected["segments"].as_array().unwrap().iter().map(|s| s["number"].clone()).collect();
    assert_eq!(read["segments"], Value::Array(segments));
}

fn count_of_input(inspected: &Value, stream: &str, kind: &str) -> Value {
    let inputs = inspected["inputs"].as_array().unwrap();
    inputs.iter().find(|i| i["stream"] == stream && i["kind"] == kind).map_or(Value::Null, |i| i["count"].clone())
}

#[test]
fn the_official_package_reads_a_live_session() {
    let Some(python) = python() else { return };
    let session = live_session();
    let (read, inspected) = (official_reader(python, session), inspect(session));
    let topics = &read["topics"];
    assert_eq!(topics["/waywarden/journal"], inspected["ticks"]);
    assert_eq!(topics["/waywarden/outputs"], inspected["ticks_with_outputs"]);
    assert_eq!(topics["/waywarden/snapshot"], inspected["segments"].as_array().unwrap().len());
    assert_eq!(topics["/front/image"], count_of_input(&inspected, "front", "frame"));
    assert_eq!(topics["/microphone/audio"], count_of_input(&inspected, "microphone", "audio"));
    assert_eq!(topics["/log"], inspected["changes"]["notice"]);
    // Every fix is new in one tick and gone in the next; the last one may be in the last tick.
    let fixes = topics["/gps/fix"].as_u64().unwrap();
    assert!((2 * fixes - 1..=2 * fixes).contains(&inspected["changes"]["gps_fix"].as_u64().unwrap()), "{topics}");
    for topic in ["/front/image", "/microphone/audio", "/gps/fix", "/log"] {
        assert!(topics[topic].as_u64().unwrap() >= 4, "{topics}");
    }
}

#[test]
fn a_reader_written_from_the_page_reads_a_live_session() {
    let Some(python) = python() else { return };
    let session = live_session();
    let (read, inspected) = (second_reader(python, session), inspect(session));
    assert_same_counts(&read, &inspected);
    let counts = &read["counts"];
    assert_eq!(counts["digests"], read["ticks"], "a digest was computed anew for every tick");
    let segments = read["segments"].as_array().unwrap().len() as u64;
    assert!(segments >= 3, "{read}");
    assert_eq!(counts["snapshots compared"], segments - 1);
    assert!(counts["values as the changes made them"].as_u64().unwrap() > 20 * (segments - 1), "{counts}");
}

#[test]
fn a_cut_file_is_read_up_to_its_last_whole_chunk() {
    let Some(python) = python() else { return };
    let whole = &files(live_session())[0];
    let bytes = std::fs::read(whole).unwrap();
    let cut = folder("cut").join("cut.mcap");
    std::fs::write(&cut, &bytes[..bytes.len() * 4 / 5]).unwrap();
    let (read, inspected) = (second_reader(python, &cut), inspect(&cut));
    assert_same_counts(&read, &inspected);
    assert_eq!(read["counts"]["files cut"], 1);
    assert_eq!(inspected["whole"], false);
    assert!(read["ticks"].as_u64().unwrap() > 10, "{read}");
}

#[test]
fn a_folder_with_a_missing_segment_is_read() {
    let Some(python) = python() else { return };
    let kept = folder("kept");
    for (n, file) in files(live_session()).iter().enumerate().filter(|(n, _)| *n != 1) {
        std::fs::copy(file, kept.join(format!("segment-{n:05}.mcap"))).unwrap();
    }
    let (read, inspected) = (second_reader(python, &kept), inspect(&kept));
    assert_same_counts(&read, &inspected);
    assert_eq!(inspected["whole"], false);
    assert_eq!(read["counts"]["digests"], read["ticks"]);
}

#[test]
fn both_read_what_models_found() {
    let (Some(python), Some(models)) = (python(), program::data("models")) else { return };
    let session = folder("annotated").join("session.mcap");
    // Job threads run only when nobody else wants to: this replay waits for them, a live run would not. So it is short.
    let replay = ["replay", "--jobs", "virtual", "--from", "2", "--json"].map(OsStr::new);
    let paths = [live_session().as_os_str(), "--models".as_ref(), models.as_ref(), "--out".as_ref(), session.as_ref()];
    let output = waywarden(&[replay.as_slice(), &paths].concat());
    let replayed: Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
    let inspected = inspect(&session);

    let read = official_reader(python, &session);
    let topics = &read["topics"];
    let found = |what: &str| replayed["frames"][what].as_u64().unwrap();
    // And one from before: the drive was recorded without models, so the restored snapshot holds a lane.
    assert_eq!(topics["/front/lane"], found("segmented") + 1);
    assert_eq!(topics["/front/obstacles"], found("detected"));
    assert!(read["shapes"]["/front/lane"].as_u64().unwrap() > 0, "{read}");

    let read = second_reader(python, &session);
    assert_same_counts(&read, &inspected);
    assert_eq!(read["counts"]["digests"], read["ticks"]);
    assert_eq!(read["inputs"]["0 job_done"], found("segmented") + found("detected"));
}

#[test]
fn both_read_an_imported_session() {
    let Some(python) = python() else { return };
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("skipped: no ffmpeg");
        return;
    }
    let folder = folder("imported");
    let [clip, imported, replayed] = ["clip.mp4", "imported.mcap", "replayed.mcap"].map(|name| folder.join(name));
    let source = ["-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=10:duration=3", "-pix_fmt", "yuv420p"];
    succeed(Command::new("ffmpeg").args(source).arg(&clip));
    let path = |path: &Path| path.display().to_string();
    waywarden(&["import", "--video", &path(&clip), "-o", &path(&imported), "--segment-s", "1", "--json"]);
    waywarden(&["replay", &path(&imported), "--out", &path(&replayed), "--json"]);

    let read = second_reader(python, &imported);
    assert_same_counts(&read, &inspect(&imported));
    assert_eq!(read["inputs"]["1 frame"], 30);
    assert_eq!(read["segments"], Value::Array(Vec::new()), "an import has no snapshots");
    assert_eq!(official_reader(python, &imported)["topics"]["/front/image"], 30);

    let read = second_reader(python, &replayed);
    assert_same_counts(&read, &inspect(&replayed));
    assert_eq!(read["counts"]["digests"], read["ticks"]);
    assert!(read["counts"]["snapshots compared"].as_u64().unwrap() >= 2, "{read}");
    assert_eq!(official_reader(python, &replayed)["topics"]["/front/image"], 30);
}
