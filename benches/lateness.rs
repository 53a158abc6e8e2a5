//! How late ticks are while both models keep every core busy, beside a bare timer thread at the same time.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use waywarden_components::prelude::Mono;
use waywarden_systems::clock::boottime;

use crate::broker::{Broker, FAST};
use crate::report::{Outcome, Report, check, median, quick, timed};

const PERIOD: Duration = Duration::from_millis(10);

/// A run with every core busy, and a timer beside it.
pub struct Busy {
    /// What the run says of how late its ticks were.
    pub tick: Value,
    /// How late the timer was, in milliseconds, in order.
    pub late: Vec<f64>,
    /// Ticks that were not recorded.
    pub lost_ticks: u64,
    counts: Value,
    deadlines: u64,
    wall: f64,
}

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let seconds = if quick() { 1 } else { 20 };
    let cores = thread::available_parallelism()?.get();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let Busy { tick, counts, deadlines, late, wall, .. } = busy(seconds, cores, "")?;
    let timer = |share: f64| late.get((late.len() as f64 * share) as usize).copied().unwrap_or_default();
    let mut report = Report::new(
        "lateness",
        &format!(
            "A live run of {seconds} s, recorded, {cores} job threads; {} frames, {} segmented, {} looked at for obstacles; {deadlines} deadlines. The timer is a thread of another process, at ordinary priority, in the same {wall:.0} s.",
            counts["frames"], counts["segmented"], counts["detected"]
        ),
    );
    for (key, what, timer) in [
        ("p50_ms", "late, median", median(&late)),
        ("p99_ms", "late, 99th percentile", timer(0.99)),
        ("max_ms", "late, most", timer(1.0 - 1e-9)),
    ] {
        report.row(key, what, ms(&tick, key), format!("{:.3} ms", ms(&tick, key)), &format!("the timer {timer:.3} ms"));
    }
    report.figure("timer_p99_ms", timer(0.99));
    // A broker that answers, and one that is not there: nobody waits for either.
    let with = |port: u16| {
        let spool = folder.path().join(port.to_string());
        let rates =
            "position_hz = 50\nspeed_hz = 50\nlane_hz = 50\nobjects_hz = 50\nheartbeat_s = 1\nlane_deadband_m = 0.0\n";
        busy(
            seconds,
            cores,
            &format!("[mqtt]\nbroker = \"mqtt://127.0.0.1:{port}\"\nspool = '{}'\n{rates}", spool.display()),
        )
    };
    if let Some(broker) = Broker::start(folder.path(), FAST) {
        let (reached, away) = (with(broker.port)?, with(1)?);
        let (reached, away) = (ms(&reached.tick, "p99_ms"), ms(&away.tick, "p99_ms"));
        let beside = format!("with a broker {reached:.3} ms; goal: at most 1 ms more");
        report.row(
            "away_p99_ms",
            "late, 99th percentile, reporting to a broker out of reach",
            away,
            format!("{away:.3} ms"),
            &beside,
        );
        report.figure("reached_p99_ms", reached);
    }
    report.print()
}

fn ms(tick: &Value, name: &str) -> f64 {
    tick[name].as_f64().unwrap_or_default()
}

/// Runs both models on every core, with more lines for the config.
fn busy(seconds: u64, cores: usize, more: &str) -> Result<Busy, Box<dyn Error>> {
    busy_beside(seconds, cores, more, |_| Ok(()))
}

/// The same, with something done beside it that is told where the run writes its log.
pub fn busy_beside(
    seconds: u64,
    cores: usize,
    more: &str,
    meanwhile: impl FnOnce(&Path) -> Result<(), String> + Send,
) -> Result<Busy, Box<dyn Error>> {
    let models =
        std::env::var_os("WAYWARDEN_DATA").map(PathBuf::from).unwrap_or_else(|| "../shared".into()).join("models");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (config, log) = (folder.path().join("busy.toml"), folder.path().join("log.txt"));
    // As many job threads as cores, and more frames than they can take.
    std::fs::write(
        &config,
        format!(
            "threads.jobs = {cores}\ncamera = [{{ loop_frames = 60 }}]\nsegmentation.rate_hz = 100\ndetection.rate_hz = 100\ngate.threshold = 0\n{more}"
        ),
    )?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_waywarden"));
    command.args(["run", "--simulate", "--json", "--duration", &seconds.to_string(), "--config"]).arg(&config);
    command.arg("--record").arg(folder.path().join("sessions")).arg("--models").arg(&models).args(["--log", "info"]);
    let run = command.stdout(Stdio::piped()).stderr(File::create(&log)?).spawn()?;
    let ((run, done), wall) = timed(|| {
        thread::scope(|scope| {
            let done = scope.spawn(|| meanwhile(&log));
            (beside(run), done.join().unwrap_or_else(|_| Err("it panicked".to_owned())))
        })
    });
    let (output, mut late) = run?;
    let text = String::from_utf8_lossy(&output.stdout);
    check(output.status.success(), format!("{command:?}: {}", std::fs::read_to_string(&log)?))?;
    done?;
    let said: Value = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    let tick = said["stages"]["lateness"].clone();
    let deadlines = tick["n"].as_u64().unwrap_or_default();
    check(deadlines + 2 >= 100 * seconds, format!("{deadlines} deadlines counted in {seconds} s"))?;
    late.sort_unstable_by(f64::total_cmp);
    let lost_ticks = said["lost_ticks"].as_u64().ok_or("it does not say what was lost")?;
    Ok(Busy { tick, counts: said["counts"].clone(), deadlines, late, lost_ticks, wall })
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
