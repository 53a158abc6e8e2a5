//! Thread pools, sized by the config. Bevy's pools are global to a process: the first call counts.

use bevy_tasks::{AsyncComputeTaskPool, ComputeTaskPool, IoTaskPool, TaskPoolBuilder};
use nix::libc;
use thread_priority::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue,
    ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

/// How many threads there are, and what they may do to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pools {
    /// Threads that run systems.
    pub compute: usize,
    /// Threads that run jobs.
    pub jobs: usize,
    /// Whether ticks must be in time: jobs then run only when nobody else wants to. A replay waits for its jobs, and would
    /// wait for every other program on the computer as well.
    pub live: bool,
    /// Asks for real-time priority for the tick and the systems.
    pub realtime: bool,
}

/// Real-time priority of the tick and of systems (`SCHED_FIFO`, 1 to 99): above all ordinary threads, below what the
/// kernel itself does at 50.
const REALTIME: u8 = 10;

/// Starts the pools. The calling thread is taken for that of the tick.
pub fn start(pools: Pools) {
    let Pools { live, realtime, .. } = pools;
    ComputeTaskPool::get_or_init(|| {
        TaskPoolBuilder::new()
            .num_threads(pools.compute.max(1))
            .thread_name("systems".to_owned())
            .on_thread_spawn(move || {
                if realtime {
                    prefer();
                }
            })
            .build()
    });
    AsyncComputeTaskPool::get_or_init(|| {
        TaskPoolBuilder::new()
            .num_threads(pools.jobs.max(1))
            .thread_name("jobs".to_owned())
            .on_thread_spawn(move || {
                if live {
                    stand_back();
                }
            })
            .build()
    });
    IoTaskPool::get_or_init(|| TaskPoolBuilder::new().num_threads(1).thread_name("io".to_owned()).build());
    if realtime && !prefer() {
        tracing::info!(
            "no real-time priority for the tick: not permitted; give the program CAP_SYS_NICE or LimitRTPRIO=10"
        );
    }
}

/// Gives this thread real-time priority. False where that is not permitted.
pub fn prefer() -> bool {
    let Ok(value) = ThreadPriorityValue::try_from(REALTIME) else { return false };
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy).is_ok()
}

/// Lets this thread, and the threads that it starts, run only when nobody else wants to.
pub fn stand_back() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy).is_err() {
        tracing::warn!("this thread runs at ordinary priority: it may delay ticks");
    }
}

/// Lets all threads of this process that stand back run as others do, where that is permitted (`LimitNICE=+0` or
/// CAP_SYS_NICE): the last thing before the end. A process ends with its last thread, which takes its memory apart; on a
/// computer that other programs keep busy a thread that stands back needs half a minute for that.
pub fn come_forward() {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return };
    for thread in threads.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()) {
        let ordinary = libc::sched_param { sched_priority: 0 };
        #[expect(unsafe_code, reason = "by number, not by handle: libraries start threads too")]
        // SAFETY: the kernel is given numbers, and a structure that outlives the call.
        unsafe {
            if libc::sched_getscheduler(thread) == libc::SCHED_IDLE {
                libc::sched_setscheduler(thread, libc::SCHED_OTHER, &raw const ordinary);
            }
        }
    }
}
