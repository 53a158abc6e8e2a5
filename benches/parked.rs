//! What a parked vehicle costs: a live run in which nothing happens, between two moments in it.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};
use serde_json::Value;

use crate::report::{Outcome, Report, check, quick, timed};

/// Nothing moves, nobody speaks.
const STANDS: &str = "\
duration_s = 3600
[ego]
speed_kmh = 0
sway_m = 0
pitch_deg = 0
[traffic]
per_km = 0
oncoming_per_km = 0
[sound]
engine = false
speech = 0
";

/// The program's own defaults, but for how long it stands first; and nobody asks it anything.
const PARKED: &str = "[parked]\nafter_s = 1\n[http]\nenabled = false\n";
const AWAKE: &str = "[parked]\nafter_s = 0\n[http]\nenabled = false\n";

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let seconds = if quick() { 4 } else { 60 };
    let (parked, said) = share(seconds, PARKED)?;
    let (awake, _) = share(seconds, AWAKE)?;
    let not_wanted = said["not_wanted"].as_u64().unwrap_or_default();
    // Small runs, of programs that were not optimised, may be late and drop some.
    let least = if quick() { 5 } else { 20 };
    check(not_wanted >= least * seconds, format!("{not_wanted} pictures were not handed on: it was not parked"))?;
    check(quick() || said["counts"]["dropped"].as_u64() == Some(0), format!("{said}"))?;
    let late = said["stages"]["lateness"]["p99_ms"].as_f64().unwrap_or_default();
    let about = format!(
        "A camera of 1280x720 at 30 frames a second, drawn before, a microphone, a receiver and a range finder, not recorded, {seconds} s; {not_wanted} pictures were not handed on."
    );
    let mut report = Report::new("parked", &about);
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    report.row("cpu", "**CPU of a parked vehicle**, of one core", parked, percent(parked), "goal: at most 1 %");
    let bare = bare(seconds)?;
    report.row(
        "bare_cpu",
        "threads that wake as often as its own, and do nothing",
        bare,
        percent(bare),
        &format!("{:.2} of it: what waking alone costs here", bare / parked),
    );
    report.row(
        "awake_cpu",
        "the same, never parked",
        awake,
        percent(awake),
        &format!("{:.1} times it", awake / parked),
    );
    report.row("late_p99_ms", "its ticks late, 99th percentile", late, format!("{late:.3} ms"), "10 a second");
    report.print()
}

/// CPU seconds in a second of threads that wake and sleep on, as often as those of the program do while it is parked: camera,
/// microphone, range finder, receiver (a sentence at a time), supervisor and tick.
fn bare(seconds: u64) -> Result<f64, Box<dyn std::error::Error>> {
    const HZ: [u64; 6] = [11, 50, 10, 18, 5, 10];
    let sleepers = HZ.map(|hz| {
        #[expect(clippy::disallowed_methods, reason = "measured by themselves")]
        thread::spawn(move || {
            for _ in 0..hz * seconds {
                pause(Duration::from_secs(1) / hz as u32);
            }
            nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)
        })
    });
    let mut used = 0.0;
    for sleeper in sleepers {
        let time = sleeper.join().map_err(|_| "a thread has panicked")??;
        used += time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9;
    }
    Ok(used / seconds as f64)
}

/// CPU seconds in a second of a run, some seconds after its start, and what it said at its end.
fn share(seconds: u64, config: &str) -> Result<(f64, Value), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (road, file) = (folder.path().join("stands.toml"), folder.path().join("config.toml"));
    std::fs::write(&road, STANDS)?;
    let camera = "camera = [{ loop_frames = 30 }]\n";
    std::fs::write(&file, format!("{camera}{config}[simulation]\nscenario = '{}'\n", road.display()))?;
    // Pictures are drawn, and it stands for a second.
    let before = 4;
    let mut command = Command::new(env!("CARGO_BIN_EXE_waywarden"));
    command
        .args(["run", "--simulate", "--json", "--duration", &(before + seconds + 1).to_string(), "--config"])
        .arg(&file);
    command.env_remove("WAYWARDEN_MODELS").env("XDG_DATA_HOME", "/nonexistent").env("HOME", folder.path());
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    pause(Duration::from_secs(before));
    let first = cpu(&run)?;
    let ((), wall) = timed(|| pause(Duration::from_secs(seconds)));
    let used = cpu(&run)? - first;
    let output = run.wait_with_output()?;
    check(output.status.success(), String::from_utf8_lossy(&output.stderr))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok((used / wall, serde_json::from_str(text.lines().last().unwrap_or_default())?))
}

#[expect(clippy::disallowed_methods, reason = "another process is measured meanwhile")]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// CPU seconds that a program has used.
fn cpu(run: &Child) -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", run.id()))?;
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no stat")?.1.split_ascii_whitespace().collect();
    let ticks: f64 = fields.get(11..13).ok_or("no times")?.iter().filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as f64)
}
