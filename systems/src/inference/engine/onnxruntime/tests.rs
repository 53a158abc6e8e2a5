//! Tests of what is no ONNX Runtime; and, where there is one, of what is.

use std::fs;
use std::process::Command;
use std::time::Duration;

use waywarden_components::job::JobOutput;

use super::*;
use crate::camera::jpeg::RgbPicture;
use crate::inference::network::{Decoder, Network, NetworkSpec};
use crate::inference::prepare::{Colour, InputSpec, Layout, Range};
use crate::inference::{Inference as _, ModelIdentity, engine::Engine, tiny_onnx};

/// ONNX Runtime, if it is here.
pub(crate) fn runtime() -> Option<OnnxRuntime> {
    let places = places();
    let found = places.iter().find(|place| place.is_file());
    if found.is_none() {
        println!("skipped: no ONNX Runtime at {places:?}; script/bootstrap --onnxruntime gets one");
    }
    found.map(|place| OnnxRuntime::open(place).unwrap())
}

fn refused(path: &Path) -> String {
    let error = OnnxRuntime::open(path).unwrap_err();
    assert_eq!(error.path, path);
    let message = error.to_string();
    assert!(message.starts_with(&format!("ONNX Runtime cannot be used from {}: ", path.display())), "{message}");
    error.reason
}

/// A shared library made of a few lines of C.
fn library(folder: &Path, name: &str, code: &str) -> PathBuf {
    let (source, path) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.so")));
    fs::write(&source, code).unwrap();
    let done = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&path).arg(&source).status().unwrap();
    assert!(done.success());
    path
}

/// A library that says it is ONNX Runtime, of a certain version.
fn of_version(folder: &Path, name: &str, version: &str) -> PathBuf {
    let code = format!(
        "static const void *api(unsigned v) {{ return 0; }}
         static const char *version(void) {{ return {version}; }}
         static const struct {{ const void *(*a)(unsigned); const char *(*v)(void); }} base = {{ api, version }};
         const void *OrtGetApiBase(void) {{ return &base; }}"
    );
    library(folder, name, &code)
}

#[test]
fn what_is_no_library_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refused(&dir.path().join("gone.so")).contains("No such file"));
    assert!(refused(dir.path()).contains("directory"));
    let text = dir.path().join("text.so");
    fs::write(&text, "#!/bin/sh\n").unwrap();
    assert!(!refused(&text).is_empty());
    fs::write(&text, "").unwrap();
    assert!(!refused(&text).is_empty());
}

#[test]
fn another_or_too_old_a_library_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refused(&library(dir.path(), "other", "int answer(void) { return 42; }")).contains("another library"));
    let nothing = library(dir.path(), "nothing", "const void *OrtGetApiBase(void) { return 0; }");
    assert_eq!(refused(&nothing), "it has no interface");
    let (major, minor) = OLDEST;
    for version in ["1.3.1", "1.19.2", "0.99.0", "2.0.0", "words", ""] {
        let path = of_version(dir.path(), &format!("v{version}"), &format!("{version:?}"));
        let reason = format!("it is version {version}; {major}.{minor} or a newer {major}.x is needed");
        assert_eq!(refused(&path), reason);
    }
    assert_eq!(refused(&of_version(dir.path(), "null", "0")), "its version is no text");
    assert_eq!(refused(&of_version(dir.path(), "latin", "\"1.\\xfc\"")), "its version is no text");
}

#[test]
fn a_version_that_would_report_to_its_makers_is_refused() {
    assert_eq!(library::refusal("1.28.0", false), None);
    for version in ["1.29.0", "1.32.1", "1.100.0"] {
        let reason = library::refusal(version, false).unwrap();
        assert!(reason.contains("ORT_DISABLE_TELEMETRY=1"), "{reason}");
        assert_eq!(library::refusal(version, true), None);
    }
}

/// The loader would map such a file, and the process would die of reading what is not there.
#[test]
fn a_library_that_is_cut_off_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = of_version(dir.path(), "whole", "\"1.19.0\"");
    let whole = fs::read(&path).unwrap();
    for length in [64, 4096, whole.len() / 2, whole.len() - 1] {
        let cut = dir.path().join(format!("cut{length}.so"));
        fs::write(&cut, &whole[..length]).unwrap();
        assert!(refused(&cut).contains("cut off"), "{length}");
    }
}

#[test]
fn one_library_is_opened_and_stays() {
    let Some(runtime) = runtime() else { return };
    let again = OnnxRuntime::open(runtime.path()).unwrap();
    assert_eq!((again.path(), again.version()), (runtime.path(), runtime.version()));
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("libonnxruntime.so");
    fs::copy(runtime.path(), &other).unwrap();
    assert!(refused(&other).contains("this process runs on"));
    let name = Engine::OnnxRuntime(runtime).name();
    assert!(name.starts_with("onnxruntime 1."), "{name}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "waits until threads have started")]
fn threads_of_a_network_have_the_priority_of_the_job_that_asks() {
    use thread_priority::unix::{set_thread_priority_and_policy, thread_native_id};
    use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

    let Some(runtime) = runtime() else { return };
    let input = InputSpec { width: 64, height: 32, layout: Layout::Stretched, colour: Colour::Rgb, range: Range::Unit };
    let spec = NetworkSpec { input, decoder: Decoder::Twinlitenet, thresholds: Default::default() };
    let load = || {
        let onnx = tiny_onnx::segmentation(64, 32, "Identity");
        Network::load(ModelIdentity::default(), onnx, spec, &Engine::OnnxRuntime(runtime.clone()), 8).unwrap()
    };
    let picture = RgbPicture { width: 64, height: 32, data: vec![9; 64 * 32 * 3] };
    let run = |network: &Network| assert!(matches!(network.infer_rgb(&picture, None), Ok(JobOutput::Segmentation(_))));

    // Seven of its own besides the one that asks. Networks of other tests come and go meanwhile, but have fewer.
    let own = |task: &(String, String, String)| {
        matches!(task.1.as_str(), "onnxruntime-5" | "onnxruntime-6" | "onnxruntime-7")
    };
    // A thread gives itself its name once it runs.
    let started = || {
        (0..1000)
            .map(|_| tasks().into_iter().filter(own).collect::<Vec<_>>())
            .inspect(|threads| std::thread::sleep(Duration::from_millis(if threads.len() == 3 { 0 } else { 10 })))
            .find(|threads| threads.len() == 3)
            .expect("the threads of the network")
    };
    let network = load();
    let threads = started();
    assert!(threads.iter().all(|(_, _, policy)| policy == SCHED_OTHER), "{threads:?}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle).unwrap();
            run(&network);
        });
    });
    let threads = started();
    assert!(threads.iter().all(|(_, _, policy)| policy == SCHED_IDLE), "{threads:?}");
    drop(network);

    // One that asks in a hurry is not held back.
    let network = load();
    run(&network);
    let threads = started();
    assert!(threads.iter().all(|(_, _, policy)| policy == SCHED_OTHER), "{threads:?}");
}

const SCHED_OTHER: &str = "0";
const SCHED_IDLE: &str = "5";

/// The threads of this process: number, name, policy.
fn tasks() -> Vec<(String, String, String)> {
    let task = |entry: std::io::Result<fs::DirEntry>| {
        // A thread of another test may be gone by now.
        let entry = entry.ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, fields) = stat.split_once('(')?.1.rsplit_once(") ")?;
        // proc_pid_stat(5): the policy is field 41, and the one behind the name is field 3.
        Some((entry.file_name().into_string().ok()?, name.to_owned(), fields.split(' ').nth(41 - 3)?.to_owned()))
    };
    fs::read_dir("/proc/self/task").unwrap().filter_map(task).collect()
}
