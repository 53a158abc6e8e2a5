//! What it costs to be watched: nobody, one, four over good links, and three of them beside one over a narrow one; and how late
//! ticks are with two who watch and both models.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use waywarden_systems::clock::boottime;

use crate::lateness;
use crate::puppet::Puppet;
use crate::report::{Outcome, Report, check, median, quick, timed};
use crate::udp_proxy::{Proxy, before};
use crate::viewer::Viewer;

const TOKEN: &str = "0123456789abcdef";

/// Bits a second that the narrow link carries, in thousands.
const NARROW_KBPS: u32 = 500;

/// A run that can be watched.
struct Watched {
    child: Child,
    address: SocketAddr,
    runtime: Arc<Runtime>,
    _folder: tempfile::TempDir,
}

/// What a while of it cost, and what came of it.
struct Cost {
    /// Cores that the program used.
    cpu: f64,
    /// Cores that its encoding thread used.
    encoding: f64,
    /// For each who watched: pictures and bits a second.
    seen: Vec<(f64, f64)>,
    /// How late each picture of the first who watched was, in milliseconds, in order.
    late: Vec<f64>,
}

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let seconds = if quick() { 2 } else { 20 };
    let nobody = Watched::start()?.cost(&[], seconds)?;
    let one = with(1, None, seconds)?;
    let four = with(4, None, seconds)?;
    let narrow = with(3, Some(NARROW_KBPS), seconds)?;
    for cost in [&one, &four, &narrow] {
        // A picture and more each second: small runs, of programs that were not optimised, see few.
        let least = if quick() { 1.0 } else { 25.0 };
        let good = cost.seen.iter().take(if cost.seen.len() == 4 { 3 } else { 1 });
        for (pictures, _) in good {
            check(*pictures >= least, format!("{:?} pictures and bits a second", cost.seen))?;
        }
    }
    let mean = |cost: &Cost, of: usize| {
        let seen = cost.seen.iter().take(of);
        (
            seen.clone().map(|(pictures, _)| pictures).sum::<f64>() / of as f64,
            seen.map(|(_, bits)| bits).sum::<f64>() / of as f64,
        )
    };
    let mut report = Report::new(
        "watching",
        &format!(
            "A simulated camera of 1280x720 at 30 frames a second, drawn before, with microphone and gate; who watches counts packets and decodes nothing, in another process, unless it is a browser; {seconds} s each. The narrow link carries {NARROW_KBPS} kbit/s."
        ),
    );
    let cores = |cores: f64| format!("{:.1} % of a core", cores * 100.0);
    report.row("nobody_cores", "CPU while nobody watches", nobody.cpu, cores(nobody.cpu), "lanes and models off");
    let more = one.cpu - nobody.cpu;
    let (fps, bits) = mean(&one, 1);
    report.row(
        "viewer_cores",
        "**what one who watches adds**",
        more,
        cores(more),
        &format!(
            "goal: at most half a core; {fps:.1} pictures a second at {:.2} Mbit/s, of it encoding {}",
            bits * 1e-6,
            cores(one.encoding)
        ),
    );
    report.row(
        "encode_ms",
        "encoding a picture",
        one.encoding / fps * 1e3,
        format!("{:.2} ms", one.encoding / fps * 1e3),
        "decoding the camera's JPEG included",
    );
    let late_of = |share: f64| one.late.get((one.late.len() as f64 * share) as usize).copied().unwrap_or(f64::INFINITY);
    let (p50, p95) = (late_of(0.5), late_of(0.95));
    report.row(
        "late_p50_ms",
        "from the moment a picture is taken to its last packet, median",
        p50,
        format!("{p50:.1} ms"),
        &format!("95th percentile {p95:.1} ms, loopback; decoding and showing it come on top"),
    );
    report.figure("late_p95_ms", p95);
    shown(&mut report, seconds)?;
    let ratio = four.encoding / one.encoding;
    report.row(
        "encode_ratio",
        "**encoding for four / for one**",
        ratio,
        format!("{ratio:.2}"),
        "goal: no more than for one",
    );
    let sent = (four.cpu - one.cpu) / 3.0;
    report.row("packets_cores", "each further one adds", sent, cores(sent), "packets, encrypted for each");
    let (pictures, rate) = (mean(&narrow, 3), mean(&four, 4));
    let kept = pictures.1 / rate.1;
    let (slow_fps, slow_bits) = narrow.seen.last().copied().unwrap_or_default();
    report.row(
        "kept",
        "**bits of three beside one on a narrow link / of four on good ones**",
        kept,
        format!("{kept:.2}"),
        &format!(
            "they see {:.1} pictures a second, the fourth {slow_fps:.1} at {:.0} kbit/s",
            pictures.0,
            slow_bits * 1e-3
        ),
    );
    report.row(
        "narrow_cores",
        "CPU of encoding then",
        narrow.encoding,
        cores(narrow.encoding),
        "for the narrow link once more, smaller",
    );
    ticks_late(&mut report, seconds)?;
    report.print()
}

/// A run that so many watch over good links, and one more over a narrow one.
fn with(good: usize, narrow: Option<u32>, seconds: u64) -> Result<Cost, Box<dyn Error>> {
    let run = Watched::start()?;
    let mut viewers = Vec::new();
    for _ in 0..good {
        viewers.push(Viewer::watch(&run.runtime, run.address, TOKEN, |answer| answer)?);
    }
    let mut proxy = None;
    if let Some(kbps) = narrow {
        let through = |answer| {
            let (changed, new): (String, Proxy) = before(answer);
            new.impairment.set(0, 10, kbps);
            proxy = Some(new);
            changed
        };
        viewers.push(Viewer::watch(&run.runtime, run.address, TOKEN, through)?);
    }
    // Until rates have found where they stay.
    pause(Duration::from_secs(if quick() { 1 } else { 12 }));
    let cost = run.cost(&viewers, seconds);
    drop(viewers);
    cost
}

/// How late pictures are shown by a real browser, over a good link and over the narrow one.
fn shown(report: &mut Report, seconds: u64) -> Outcome {
    let links = [(0, "shown"), (NARROW_KBPS, "shown_narrow")];
    for (kbps, figure) in links.into_iter().take(if quick() { 1 } else { 2 }) {
        let run = Watched::start()?;
        let url = format!("http://{}", run.address);
        let Some(mut browser) = Puppet::browser(&url, TOKEN, &json!({ "proxy": kbps > 0 })) else { return Ok(()) };
        let mut proxy = None;
        browser.open(|answer| {
            if kbps == 0 {
                return answer;
            }
            let (changed, new): (String, Proxy) = before(answer);
            new.impairment.set(0, 10, kbps);
            proxy = Some(new);
            changed
        });
        pause(Duration::from_secs(if quick() { 3 } else { 15 }));
        browser.told("latencies");
        let first = browser.told("stats");
        pause(Duration::from_secs(seconds));
        let (late, last) = (browser.told("latencies"), browser.told("stats"));
        let grown = |path: &str| {
            let number = |of: &Value| of.pointer(path).and_then(Value::as_f64).unwrap_or_default();
            number(&last) - number(&first)
        };
        let (p50, p95) = (late["p50"].as_f64(), late["p95"].as_f64());
        let (Some(p50), Some(p95)) = (p50, p95) else { return Err(format!("nothing was shown: {last}").into()) };
        let (freezes, size) =
            (grown("/video/freezeCount"), (&last["video"]["frameWidth"], &last["video"]["frameHeight"]));
        let per_second = |path: &str| grown(path) / seconds as f64;
        let (label, goal) = if kbps == 0 {
            ("**from the moment a picture is taken to its being shown in Chromium**, median", "goal: at most 60 ms")
        } else {
            ("the same over the narrow link, 10 ms each way", "no goal")
        };
        let about = format!(
            "95th percentile {p95:.1} ms, {goal}; {:.1} pictures of {}x{} a second at {:.2} Mbit/s, {freezes:.0} freezes",
            per_second("/video/framesDecoded"),
            size.0,
            size.1,
            per_second("/video/bytesReceived") * 8e-6,
        );
        report.row(&format!("{figure}_p50_ms"), label, p50, format!("{p50:.1} ms"), &about);
        report.figure(&format!("{figure}_p95_ms"), p95);
    }
    Ok(())
}

/// How late ticks are.
fn ticks_late(report: &mut Report, seconds: u64) -> Outcome {
    let cores = thread::available_parallelism()?.get();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN)?;
    let more = format!("[http]\nlisten = \"127.0.0.1:0\"\ntoken_file = '{}'\n", token.display());
    let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?);
    let mut viewers = Vec::new();
    let busy = lateness::busy_beside(seconds.max(5), cores, &more, |log| {
        let address = listens(log, || true)?;
        for _ in 0..2 {
            let viewer = Viewer::watch(&runtime, address, TOKEN, |answer| answer);
            viewers.push(viewer.map_err(|error| error.to_string())?);
        }
        Ok(())
    })?;
    let pictures: Vec<u64> = viewers.iter().map(|viewer| viewer.seen.pictures.load(Ordering::Relaxed)).collect();
    check(pictures.iter().all(|pictures| *pictures > 0), format!("{pictures:?} pictures"))?;
    check(busy.lost_ticks == 0, format!("{} ticks were not recorded", busy.lost_ticks))?;
    let p99 = busy.tick["p99_ms"].as_f64().unwrap_or_default();
    let timer = busy.late.get(busy.late.len() * 99 / 100).copied().unwrap_or_default();
    report.row("ticks_late_p99_ms", "**ticks late, 99th percentile, two watch and both models keep all cores busy**", p99, format!("{p99:.3} ms"), &format!("a bare timer at ordinary priority {timer:.3} ms, median {:.3}; goal: at most 2 ms above it; nothing was lost of the recording, {pictures:?} pictures seen", median(&busy.late)));
    report.figure("ticks_late_timer_p99_ms", timer);
    Ok(())
}

/// Where a run says in its log that it listens, while it is `alive`.
fn listens(log: &Path, mut alive: impl FnMut() -> bool) -> Result<SocketAddr, String> {
    let begin = boottime();
    loop {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let address = said.split_once("listening on http://").and_then(|(_, rest)| rest.split_whitespace().next());
        if let Some(address) = address.and_then(|address| address.parse().ok()) {
            return Ok(address);
        }
        if !alive() || boottime().since(begin) > Duration::from_secs(20) {
            return Err(format!("it does not listen: {said}"));
        }
        pause(Duration::from_millis(20));
    }
}

impl Watched {
    fn start() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let place = |name: &str| folder.path().join(name);
        std::fs::write(place("token"), TOKEN)?;
        let off = "segmentation.enabled = false\ndetection.enabled = false\n";
        let config = format!(
            "{off}range = []\n[[camera]]\nloop_frames = 60\n[[microphone]]\n[http]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"token\"\n"
        );
        std::fs::write(place("config.toml"), config)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_waywarden"));
        command.args(["run", "--simulate", "--config", "config.toml", "--log", "info"]).current_dir(folder.path());
        command.env("XDG_STATE_HOME", folder.path()).env("WAYWARDEN_MODELS", folder.path());
        command.stdout(Stdio::null()).stderr(std::fs::File::create(place("stderr.txt"))?);
        let mut child = command.spawn()?;
        let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?);
        let address = listens(&place("stderr.txt"), || child.try_wait().is_ok_and(|ended| ended.is_none()));
        let mut run = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), runtime, _folder: folder };
        run.address = address?;
        Ok(run)
    }

    /// What so many seconds cost.
    fn cost(&self, viewers: &[Viewer], seconds: u64) -> Result<Cost, Box<dyn Error>> {
        let pid = self.child.id();
        let counted = || -> Vec<(u64, u64)> {
            let of = |viewer: &Viewer| {
                (viewer.seen.pictures.load(Ordering::Relaxed), viewer.seen.bytes.load(Ordering::Relaxed))
            };
            viewers.iter().map(of).collect()
        };
        let (usage, first) = (usage(pid)?, counted());
        let ((), wall) = timed(|| pause(Duration::from_secs(seconds)));
        let (now, last) = (self::usage(pid)?, counted());
        let seen = first
            .iter()
            .zip(&last)
            .map(|(first, last)| ((last.0 - first.0) as f64 / wall, (last.1 - first.1) as f64 * 8.0 / wall));
        let late =
            viewers.first().map(|viewer| viewer.seen.late_ms.lock().map(|late| late.clone()).unwrap_or_default());
        // Only of this while: those before it were of a rate that was still being found.
        let first = first.first().map_or(0, |(pictures, _)| *pictures as usize);
        let mut late = late.unwrap_or_default().split_off(first);
        late.sort_unstable_by(f64::total_cmp);
        Ok(Cost { cpu: (now.0 - usage.0) / wall, encoding: (now.1 - usage.1) / wall, seen: seen.collect(), late })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds of CPU that a process has used, and its encoding threads of them.
fn usage(pid: u32) -> Result<(f64, f64), Box<dyn Error>> {
    let spent = |stat: &str| -> Option<(bool, f64)> {
        let (name, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some((name.contains("(video-"), ticks as f64 / 100.0))
    };
    let whole = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, whole) = spent(&whole).ok_or("no figures of the process")?;
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    let encoding = stats.filter_map(|stat| spent(&stat)).filter(|(encodes, _)| *encodes).map(|(_, spent)| spent).sum();
    Ok((whole, encoding))
}

#[expect(clippy::disallowed_methods, reason = "waits beside another process")]
fn pause(time: Duration) {
    thread::sleep(time);
}
