//! A drive in which Silero listened replays bit for bit, with any number of threads and from any segment.
//!
//! Its file is looked for in `$WAYWARDEN_SILERO`, and in the folder models of the data.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test: what is missing or wrong ends it")]

#[path = "support/program.rs"]
mod program;

use std::path::PathBuf;

use program::{data, folder, json, session_in, text};

const FILE: &str = "silero_vad_16k_op15.onnx";

#[test]
fn a_drive_in_which_silero_listened_replays_bit_for_bit() {
    let own = std::env::var_os("WAYWARDEN_SILERO").map(PathBuf::from);
    let Some(file) = own.or_else(|| data(&format!("models/{FILE}"))).filter(|path| path.is_file()) else {
        println!("skipped: Silero, whose file is not in WAYWARDEN_SILERO either");
        return;
    };
    let place = folder();
    let (models, sessions, config) =
        (place.path().join("models"), place.path().join("sessions"), place.path().join("config.toml"));
    std::fs::create_dir(&models).unwrap();
    std::fs::copy(&file, models.join(FILE)).unwrap();
    std::fs::write(
        &config,
        "camera = []\ngps = []\nrange = []\n[[microphone]]\n[voice]\ndetector = \"silero\"\n[record]\nsegment_s = 4\n\
         [http]\nenabled = false\n[inference]\nengine = \"rten\"\n",
    )
    .unwrap();
    let run = json(&[
        "run",
        "--simulate",
        "--config",
        text(&config),
        "--record",
        text(&sessions),
        "--models",
        text(&models),
        "--duration",
        "14",
        "--json",
    ]);
    assert!(run["counts"]["utterances"].as_u64() > Some(0), "{run}");
    let session = session_in(&sessions);
    let info = json(&["inspect", text(&session), "--json"]);
    assert_eq!(info["info"]["voice"]["name"], "silero_vad", "{info}");
    let segments = std::fs::read_dir(&session).unwrap().count();
    assert!(segments >= 3, "{segments}");
    let replay = |more: &[&str]| {
        let replayed =
            json(&[&["replay", text(&session), "--models", text(&models), "--verify", "--json"], more].concat());
        assert_eq!(replayed["verified"]["differing"], 0, "{more:?}: {replayed}");
        assert!(replayed["verified"]["ticks"].as_u64() > Some(100), "{replayed}");
    };
    for threads in ["1", "4"] {
        replay(&["--threads", threads, "--shuffle", "7"]);
    }
    for from in 1..segments {
        replay(&["--from", &from.to_string()]);
    }
}
