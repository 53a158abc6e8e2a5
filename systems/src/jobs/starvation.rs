//! Whether a job is slow because it does not get a processor.
//!
//! Jobs run when nobody else wants to (`SCHED_IDLE`), so on a computer that other programs keep busy they take long
//! without being at fault. The kernel counts for each thread how long it stood in line
//! (`/proc/self/task/TID/schedstat`, see `Documentation/scheduler/sched-stats.rst` of Linux); elsewhere nothing is known,
//! and nothing is excused.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long each thread of this process has stood in line for a processor, by thread id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits(BTreeMap<u32, Duration>);

impl Waits {
    /// As the kernel has it now. A thread that stands in line right now is counted up to when it began to.
    pub fn now() -> Self {
        let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Self::default() };
        let wait = |thread: std::fs::DirEntry| {
            let id = thread.file_name().to_str()?.parse().ok()?;
            let counters = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            Some((id, parse(&counters)?))
        };
        Self(threads.flatten().filter_map(wait).collect())
    }

    /// The most that any thread has stood in line since `earlier`: a job may compute on several, and waits for the last.
    pub fn since(&self, earlier: &Self) -> Duration {
        let grown = |(id, wait): (&u32, &Duration)| wait.saturating_sub(earlier.0.get(id).copied().unwrap_or_default());
        self.0.iter().map(grown).max().unwrap_or_default()
    }
}

/// The second of three numbers: nanoseconds in line.
fn parse(counters: &str) -> Option<Duration> {
    counters.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_counts() {
        assert_eq!(parse("12 3456 7\n"), Some(Duration::from_nanos(3456)));
        assert_eq!(parse("12"), None);
        assert_eq!(parse("1 x 2"), None);
    }

    #[test]
    fn threads_that_came_since_count_whole_and_gone_ones_not() {
        let waits = |of: &[(u32, u64)]| Waits(of.iter().map(|&(id, ns)| (id, Duration::from_nanos(ns))).collect());
        let (before, after) = (waits(&[(1, 100), (2, 5)]), waits(&[(1, 130), (3, 40)]));
        assert_eq!(after.since(&before), Duration::from_nanos(40));
        assert_eq!(before.since(&after), Duration::from_nanos(5), "never negative");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_that_share_one_processor_stand_in_line() {
        use nix::sched::{CpuSet, sched_setaffinity};
        use nix::unistd::Pid;
        use std::sync::atomic::{AtomicBool, Ordering};

        let before = Waits::now();
        if before.0.is_empty() {
            println!("skipped: this kernel keeps no schedstat");
            return;
        }
        let (stop, enough) = (AtomicBool::new(false), Duration::from_millis(100));
        let waited = std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut one = CpuSet::new();
                    one.set(0).unwrap();
                    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            // Two of three wait at any time; a minute is for a computer that is busy besides.
            let mut waited = Duration::ZERO;
            for _ in 0..6000 {
                #[expect(clippy::disallowed_methods, reason = "waits for other threads")]
                std::thread::sleep(Duration::from_millis(10));
                waited = Waits::now().since(&before);
                if waited > enough {
                    break;
                }
            }
            stop.store(true, Ordering::Relaxed);
            waited
        });
        assert!(waited > enough, "{waited:?}");
    }
}
