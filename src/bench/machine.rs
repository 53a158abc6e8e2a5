//! What the kernel says of this process and of the computer.

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};
use waywarden_components::prelude::Mono;
use waywarden_systems::clock::boottime;

/// Counters at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// When.
    pub at: Mono,
    /// CPU seconds of this process: user and system.
    pub cpu_s: f64,
    /// Page faults of this process that no disk was needed for.
    pub faults: i64,
    /// CPU seconds of all programs.
    pub busy_s: f64,
    /// Seconds that the computer under this one had taken.
    pub steal_s: f64,
    /// CPU seconds of the broker.
    pub sink_s: f64,
    /// Times that threads of this process gave up a processor to wait, and that one was taken from them.
    pub switches: (i64, i64),
}

impl Machine {
    /// Now; `sink` is the broker's process.
    pub fn now(sink: u32) -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF);
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        let (busy_s, steal_s) = busy();
        Self {
            at: boottime(),
            cpu_s: usage.as_ref().map_or(0.0, |usage| seconds(usage.user_time()) + seconds(usage.system_time())),
            faults: usage.as_ref().map_or(0, |usage| usage.minor_page_faults()),
            busy_s,
            steal_s,
            sink_s: cpu_of(sink),
            switches: usage
                .as_ref()
                .map_or((0, 0), |usage| (usage.voluntary_context_switches(), usage.involuntary_context_switches())),
        }
    }
}

/// Ticks of the kernel's clock for programs in a second.
fn hertz() -> f64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().map_or(100.0, |ticks| ticks as f64)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// CPU seconds of all programs, and those taken by the computer below.
fn busy() -> (f64, f64) {
    let stat = read("/proc/stat");
    let numbers: Vec<f64> =
        stat.lines().next().unwrap_or_default().split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    let at = |n: usize| numbers.get(n).copied().unwrap_or_default();
    // user, nice, system, irq, softirq; steal.
    ((at(0) + at(1) + at(2) + at(5) + at(6)) / hertz(), at(7) / hertz())
}

/// CPU seconds of another process.
fn cpu_of(process: u32) -> f64 {
    let stat = read(&format!("/proc/{process}/stat"));
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let fields: Vec<f64> = behind.split_ascii_whitespace().map(|word| word.parse().unwrap_or_default()).collect();
    fields.get(11..13).map_or(0.0, |times| times.iter().sum::<f64>() / hertz())
}

/// Programs that wanted a processor in the last minute.
pub fn load() -> f64 {
    read("/proc/loadavg").split_ascii_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Most memory that this process has had, and its share of what it has now, in megabytes of 2^20 bytes.
pub fn memory() -> (f64, f64) {
    let kilobytes = |path: &str, key: &str| {
        let text = read(path);
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    (kilobytes("/proc/self/status", "VmHWM:") / 1024.0, kilobytes("/proc/self/smaps_rollup", "Pss:") / 1024.0)
}
