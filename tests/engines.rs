//! What computes models: sessions say which engine it was, and a replay knows when it is another one.
//!
//! ONNX Runtime is looked for as the program looks for it; `script/bootstrap --onnxruntime` gets it.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test: what is missing or wrong ends it")]

#[path = "support/program.rs"]
mod program;
#[path = "../systems/src/inference/tiny_onnx.rs"]
mod tiny_onnx;

use std::path::{Path, PathBuf};
use std::process::Output;

use program::{folder, session_in, text, waywarden};
use serde_json::Value;
use sha2::{Digest, Sha256};
use waywarden_systems::inference::engine::onnxruntime;

/// The library, if it is here.
fn library() -> Option<PathBuf> {
    let places = onnxruntime::places();
    let found = places.iter().find(|place| place.is_file()).cloned();
    if found.is_none() {
        println!("skipped: no ONNX Runtime at {places:?}; script/bootstrap --onnxruntime gets one");
    }
    found
}

/// A config with small models of our own, and with `inference` as the lines of that section.
fn config(folder: &Path, inference: &str) -> PathBuf {
    let mut config = format!(
        "[segmentation]\nmodel = \"tiny-lanes\"\n[detection]\nmodel = \"tiny-boxes\"\n[inference]\n{inference}\n\
         [[camera]]\nwidth = 320\nheight = 180\nfps = 10\nloop_frames = 10\n"
    );
    for (name, role, decoder, onnx) in [
        ("tiny-lanes", "segmentation", "twinlitenet", tiny_onnx::segmentation(64, 32, "Sigmoid")),
        ("tiny-boxes", "detection", "yolox", tiny_onnx::detection(85, true)),
    ] {
        let path = folder.join(format!("{name}.onnx"));
        std::fs::write(&path, &onnx).unwrap();
        config += &format!(
            "[[model]]\nname = \"{name}\"\nrole = \"{role}\"\ndecoder = \"{decoder}\"\npath = {path:?}\nsha256 = \"{:x}\"\n\
             input = {{ width = 64, height = 32, layout = \"stretched\", colour = \"rgb\", range = \"0-1\" }}\n",
            Sha256::digest(&onnx)
        );
    }
    let path = folder.join("config.toml");
    std::fs::write(&path, config).unwrap();
    path
}

fn run(config: &Path, record: &Path, environment: &[(&str, &str)]) -> Output {
    let mut command = waywarden();
    command.args([
        "run",
        "--simulate",
        "--duration",
        "2",
        "--json",
        "--config",
        text(config),
        "--record",
        text(record),
    ]);
    command.env("WAYWARDEN_LOG", "warn").envs(environment.iter().copied()).output().unwrap()
}

fn json(args: &[&str]) -> Value {
    let output = waywarden().args(args).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{args:?}: {out}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

/// What computed segmentation, as the session says.
fn engine(session: &Path) -> String {
    json(&["inspect", text(session), "--json"])["info"]["models"]["segmentation"]["engine"].as_str().unwrap().to_owned()
}

#[test]
fn a_session_of_onnx_runtime_replays_bit_for_bit_and_elsewhere_with_recorded_results() {
    let Some(library) = library() else { return };
    let folder = folder();
    // In a place of its own, so that it can go away.
    let own = folder.path().join("libonnxruntime.so");
    std::fs::copy(&library, &own).unwrap();
    let config = config(folder.path(), &format!("engine = \"onnxruntime\"\nonnxruntime = {own:?}"));
    // Not live: there models wait for whoever else wants the processor, which other tests do.
    let (drive, session) = (folder.path().join("drive.mcap"), folder.path().join("session.mcap"));
    json(&["simulate", "--duration", "2", "--config", text(&config), "-o", text(&drive), "--json"]);
    json(&["replay", text(&drive), "--out", text(&session), "--json"]);
    assert!(engine(&session).starts_with("onnxruntime 1."), "{}", engine(&session));
    let inspected = String::from_utf8(waywarden().args(["inspect", text(&session)]).output().unwrap().stdout).unwrap();
    assert!(inspected.contains("segmentation: tiny-lanes.onnx on onnxruntime 1."), "{inspected}");

    let replayed = json(&["replay", text(&session), "--verify", "--json"]);
    assert_eq!((replayed["jobs"].as_str(), &replayed["differences"]), (Some("run"), &Value::Array(vec![])));
    assert!(replayed["frames"]["segmented"].as_u64() > Some(0), "{replayed}");
    assert_eq!(replayed["verified"]["differing"], 0);

    std::fs::remove_file(&own).unwrap();
    let replayed = json(&["replay", text(&session), "--verify", "--json"]);
    assert_eq!(replayed["jobs"], "recorded");
    let differences = replayed["differences"].to_string();
    assert!(differences.contains("segmentation was computed by onnxruntime 1."), "{differences}");
    assert!(differences.contains("here by rten"), "{differences}");
}

/// A replay computes as the session was computed, whatever is here now.
#[test]
fn a_session_of_rten_replays_on_rten() {
    let Some(library) = library() else { return };
    let folder = folder();
    let config = config(folder.path(), "");
    let output = run(&config, &folder.path().join("sessions"), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let session = session_in(&folder.path().join("sessions"));
    assert!(engine(&session).starts_with("rten "), "{}", engine(&session));
    let output = waywarden()
        .args(["replay", text(&session), "--verify", "--json"])
        .env("ORT_DYLIB_PATH", library)
        .output()
        .unwrap();
    let replayed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), replayed["jobs"].as_str()), (Some(0), Some("run")), "{replayed}");
}

#[test]
fn a_library_that_is_asked_for_and_cannot_be_used_is_one_clear_error() {
    let folder = folder();
    let text = folder.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    for (inference, parts) in [
        (format!("onnxruntime = {text:?}"), ["inference.onnxruntime: ONNX Runtime cannot be used from", "text.so"]),
        ("onnxruntime = \"/gone.so\"".to_owned(), ["/gone.so", "No such file"]),
        ("engine = \"onnxruntime\"".to_owned(), ["no ONNX Runtime: looked for", "/nonexistent/waywarden/onnxruntime"]),
    ] {
        let output = run(&config(folder.path(), &inference), &folder.path().join("sessions"), &[]);
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &object["code"]), (Some(2), &Value::from(2)), "{object}");
        let error = object["error"].as_str().unwrap();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        assert!(object["hint"].as_str().unwrap().contains("script/bootstrap --onnxruntime"), "{object}");
    }
}

#[test]
fn a_library_that_is_merely_found_and_cannot_be_used_is_a_warning() {
    let folder = folder();
    let broken = folder.path().join("text.so");
    std::fs::write(&broken, "no library").unwrap();
    let sessions = folder.path().join("sessions");
    let output = run(&config(folder.path(), ""), &sessions, &[("ORT_DYLIB_PATH", text(&broken))]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("ONNX Runtime cannot be used from") && said.contains("rten computes the models"), "{said}");
    assert!(engine(&session_in(&sessions)).starts_with("rten "));
}
