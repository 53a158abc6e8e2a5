//! How late ticks are while both models keep every core busy, beside a bare timer thread at the same time.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use waywarden_components::prelude::Mono;
use waywarden_systems::clock::boottime;

use crate::report::{Outcome, Report, check, median, quick, timed};

const PERIOD: Duration = Duration::from_millis(10);

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let models =
        std::env::var_os("WAYWARDEN_DATA").map(PathBuf::from).unwrap_or_else(|| "../shared".into()).join("models");
    let seconds = if quick() { 1 } else { 20 };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let config = folder.path().join("busy.toml");
    // As many job threads as cores, and more frames than they can take.
    let cores = thread::available_parallelism()?.get();
    std::fs::write(
        &config,
        format!(
            "threads.jobs = {cores}\ncamera = [{{ loop_frames = 60 }}]\nsegmentation.rate_hz = 100\ndetection.rate_hz = 100\ngate.threshold = 0\n"
        ),
    )?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_waywarden"));
    command.args(["run", "--simulate", "--json", "--duration", &seconds.to_string(), "--config"]).arg(&config);
    command.arg("--record").arg(folder.path().join("sessions")).arg("--models").arg(&models);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (run, wall) = timed(|| beside(run));
    let (output, mut late) = run?;
    let text = String::from_utf8_lossy(&output.stdout);
    check(output.status.success(), format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let said: Value = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    let tick = &said["stages"]["lateness"];
    let deadlines = tick["n"].as_u64().unwrap_or_default();
    check(deadlines + 2 >= 100 * seconds, format!("{deadlines} deadlines counted in {seconds} s"))?;
    let counts = &said["counts"];

    late.sort_unstable_by(f64::total_cmp);
    let timer = |share: f64| late.get((late.len() as f64 * share) as usize).copied().unwrap_or_default();
    let ms = |name: &str| tick[name].as_f64().unwrap_or_default();
    let mut report = Report::new(
        "lateness",
        &format!(
            "A live run of {seconds} s, recorded, {cores} job threads; {} frames, {} segmented, {} looked at for obstacles; {deadlines} deadlines. The timer is a thread of another process, at ordinary priority, in the same {wall:.0} s.",
            counts["frames"], counts["segmented"], counts["detected"]
        ),
    );
    for (key, what, tick, timer) in [
        ("p50_ms", "late, median", ms("p50_ms"), median(&late)),
        ("p99_ms", "late, 99th percentile", ms("p99_ms"), timer(0.99)),
        ("max_ms", "late, most", ms("max_ms"), timer(1.0 - 1e-9)),
    ] {
        report.row(key, what, tick, format!("{tick:.3} ms"), &format!("the timer {timer:.3} ms"));
    }
    report.print()
}

/// Waits for the run, with a timer beside it: how late that was, in milliseconds.
#[expect(clippy::disallowed_methods, reason = "a bare timer is what is measured")]
fn beside(mut run: Child) -> Result<(std::process::Output, Vec<f64>), Box<dyn Error>> {
    let mut late = Vec::new();
    let mut deadline = boottime() + PERIOD;
    while run.try_wait()?.is_none() {
        thread::sleep(deadline.since(boottime()));
        let now: Mono = boottime();
        while deadline <= now {
            late.push(now.since(deadline).as_secs_f64() * 1e3);
            deadline = deadline + PERIOD;
        }
    }
    Ok((run.wait_with_output()?, late))
}
