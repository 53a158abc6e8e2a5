//! Runs the program, and looks for data to run it on.

#![allow(dead_code, clippy::allow_attributes, reason = "each test uses what it needs")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test: what is missing or wrong ends it"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The program under test.
pub fn waywarden() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waywarden"));
    // What the person who runs the tests has set for themselves must not matter.
    command.env_remove("WAYWARDEN_MODELS").env_remove("ORT_DYLIB_PATH");
    command.env("XDG_DATA_HOME", "/nonexistent").env("WAYWARDEN_LOG", "error");
    command
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Output {
    waywarden().args(args).output().unwrap()
}

/// Runs the program, which must succeed, and reads the JSON object in the last line that it prints.
pub fn json(args: &[&str]) -> Value {
    let output = run(args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "waywarden {}: {}\n{out}{err}", args.join(" "), output.status);
    let last = out.lines().last().unwrap_or_else(|| panic!("waywarden {}: nothing printed\n{err}", args.join(" ")));
    serde_json::from_str(last).unwrap()
}

/// A folder of the test's own, empty, gone when dropped.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The only session in a folder that `run --record` was given.
pub fn session_in(folder: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Real clips, labels and models, if they are there; prints why not.
pub fn data(path: &str) -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let found = std::env::var_os("WAYWARDEN_DATA").map_or_else(default, PathBuf::from).join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: no data at {}", found.display());
    None
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
