//! Four cameras, a microphone and a receiver recorded at once: what it costs beside what decoding costs, and how soon
//! the first frame is there.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use waywarden_components::prelude::*;
use waywarden_systems::clock::boottime;
use waywarden_systems::session::{Record, SessionReader};

use crate::floor::Floor;
use crate::report::{Outcome, Report, check, median, quick, timed};

/// What is measured of a run between two moments in it.
struct Steady {
    /// Seconds of CPU that it used in a second.
    cpu: f64,
    /// Resident memory at the first moment and at the last, in megabytes.
    memory: [f64; 2],
    summary: Value,
    session: PathBuf,
    _folder: tempfile::TempDir,
}

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let seconds = if quick() { 3 } else { 60 };
    let (off, on) = (steady(seconds, false)?, steady(seconds, true)?);
    let (frames, decode) = decoding(&off.session)?;
    for run in [&off, &on] {
        let counts = &run.summary["counts"];
        let got = counts["frames"].as_u64().unwrap_or_default();
        // Small runs, of programs that were not optimised, may be late and drop some.
        let least = if quick() { 0.5 } else { 0.97 };
        check(
            got as f64 >= 4.0 * 30.0 * least * seconds as f64,
            format!("{got} frames of four cameras in {seconds} s"),
        )?;
        check(quick() || counts["dropped"].as_u64() == Some(0), format!("{counts}"))?;
        check(run.summary["lost_ticks"].as_u64() == Some(0), "ticks were not recorded")?;
    }
    let rate = frames as f64 / seconds as f64;
    let floor = rate * decode;
    let more = (on.cpu - off.cpu) / floor;
    let starts: Vec<f64> = (0..if quick() { 1 } else { 5 }).map(|_| start()).collect::<Result<_, _>>()?;

    let mut report = Report::new(
        "cameras",
        &format!(
            "Four simulated cameras of 1280x720 at 30 frames a second, drawn before, a microphone and a receiver, recorded for {seconds} s; {frames} frames, none dropped."
        ),
    );
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    report.row("cpu_off", "**CPU with the gate off**, of one core", off.cpu, percent(off.cpu), "goal: at most 12 %");
    report.row(
        "memory_mb",
        "memory at the end",
        off.memory[1],
        format!("{:.1} MB", off.memory[1]),
        &format!("{:.1} MB a few seconds after the start", off.memory[0]),
    );
    report.row(
        "cpu_on",
        "CPU with the gate on",
        on.cpu,
        percent(on.cpu),
        &format!("decoding alone: {}", percent(floor)),
    );
    report.row(
        "gate_over_floor",
        "**what the gate adds / decoding alone**",
        more,
        format!("{more:.2}"),
        "goal: at most 1.2",
    );
    let first = median(&starts);
    report.row(
        "first_frame_ms",
        "**from the start of the process to the first recorded frame**",
        first,
        format!("{first:.0} ms"),
        "goal: at most 500 ms; one simulated camera, median",
    );
    report.print()
}

fn program(folder: &Path, config: &str, seconds: u64) -> Result<Child, Box<dyn Error>> {
    let path = folder.join("config.toml");
    std::fs::write(&path, config)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_waywarden"));
    command.args(["run", "--simulate", "--json", "--duration", &seconds.to_string(), "--config"]).arg(&path);
    command.arg("--record").arg(folder.join("sessions")).env("WAYWARDEN_MODELS", folder);
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

#[expect(clippy::disallowed_methods, reason = "waits beside another process")]
fn steady(seconds: u64, gate: bool) -> Result<Steady, Box<dyn Error>> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let camera =
        |name: &str, role: &str| format!("[[camera]]\nname = \"{name}\"\nrole = \"{role}\"\nloop_frames = 30\n");
    let cameras =
        [("front", "front"), ("rear", "rear"), ("left", "rear"), ("cabin", "cabin")].map(|(n, r)| camera(n, r));
    // The gate alone: lanes are another bench.
    let config = format!(
        "range = []\n{}\n[gate]\nenabled = {gate}\n[segmentation]\nenabled = false\n[detection]\nenabled = false\n",
        cameras.concat()
    );
    let child = program(folder.path(), &config, seconds)?;
    let sessions = folder.path().join("sessions");
    let mut pause = 0;
    while first_session(&sessions).is_none() {
        thread::sleep(Duration::from_millis(10));
        pause += 1;
        check(pause < 6000, "it does not start")?;
    }
    thread::sleep(Duration::from_secs(seconds / 10 + 1));
    let (began, before) = (boottime(), usage(child.id())?);
    thread::sleep(Duration::from_secs(seconds - seconds / 10 - 2).max(Duration::from_millis(500)));
    let after = usage(child.id())?;
    let lasted = boottime().since(began).as_secs_f64();
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    check(output.status.success(), String::from_utf8_lossy(&output.stderr))?;
    let summary = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    let session = first_session(&sessions).ok_or("no session")?;
    let cpu = (after.0 - before.0) / lasted;
    Ok(Steady { cpu, memory: [before.1, after.1], summary, session, _folder: folder })
}

fn first_session(folder: &Path) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.is_dir())
}

/// Seconds of CPU that a process has used, and its resident memory in megabytes (proc_pid_stat(5)).
fn usage(process: u32) -> Result<(f64, f64), Box<dyn Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(") ").ok_or("no stat")?.1.split(' ').collect();
    // Fields 14, 15 and 24; the one behind the name is field 3. A tick of the kernel is a hundredth, a page 4 kB.
    let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    Ok(((number(14) + number(15)) / 100.0, number(24) * 4096.0 / 1e6))
}

/// Frames of a session, and the seconds that one takes to decode to an eighth, alone on one core.
fn decoding(session: &Path) -> Result<(u64, f64), Box<dyn Error>> {
    let mut reader = SessionReader::open(session)?;
    let (mut frames, mut kept) = (0, Vec::new());
    while let Some(record) = reader.read()? {
        let Record::Tick(incoming) = record else { continue };
        for input in incoming.inputs {
            if let Payload::Frame(jpeg) = input.payload {
                frames += 1;
                if kept.len() < 200 {
                    kept.push(jpeg);
                }
            }
        }
    }
    let mut floor = Floor::new()?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let (sum, took) = timed(|| kept.iter().map(|jpeg| floor.decode(jpeg)).sum::<Result<u64, _>>());
        check(sum? > 0, "the frames are black")?;
        times.push(took / kept.len().max(1) as f64);
    }
    Ok((frames, median(&times)))
}

/// Milliseconds from the start of the process to the first frame that is in its session.
fn start() -> Result<f64, Box<dyn Error>> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let begin = boottime();
    let output = program(folder.path(), "", 1)?.wait_with_output()?;
    check(output.status.success(), String::from_utf8_lossy(&output.stderr))?;
    let session = first_session(&folder.path().join("sessions")).ok_or("no session")?;
    let mut reader = SessionReader::open(&session)?;
    while let Some(record) = reader.read()? {
        let Record::Tick(incoming) = record else { continue };
        if incoming.inputs.iter().any(|input| matches!(input.payload, Payload::Frame(_))) {
            return Ok(incoming.now.since(begin).as_secs_f64() * 1e3);
        }
    }
    Err("no frame was recorded".into())
}
