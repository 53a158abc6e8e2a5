//! The threads of a model in ONNX Runtime.
//!
//! It starts them when a model is loaded, by a thread that is in a hurry; those that ask for results stand back
//! (`SCHED_IDLE`), and so must these. So they are started here, and told by the first thread that asks.

use std::os::unix::thread::JoinHandleExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle};

use ort::environment::ThreadManager;
use thread_priority::unix::{ThreadId, set_thread_priority_and_policy, thread_schedule_policy};
use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

/// The threads of one model. Clones are the same ones.
#[derive(Clone, Default)]
pub(super) struct Workers {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    threads: Mutex<Vec<ThreadId>>,
    followed: OnceLock<()>,
}

const IDLE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

impl Workers {
    /// Gives them the lowest priority if this thread has it, the first time this is asked for. They live as long as
    /// their model.
    pub(super) fn follow(&self) {
        self.shared.followed.get_or_init(|| {
            if thread_schedule_policy() != Ok(IDLE) {
                return;
            }
            let threads = self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner);
            for &thread in threads.iter() {
                if set_thread_priority_and_policy(thread, ThreadPriority::Min, IDLE).is_err() {
                    tracing::warn!("a thread of ONNX Runtime runs at ordinary priority: models may delay ticks");
                }
            }
        });
    }
}

impl ThreadManager for Workers {
    type Thread = JoinHandle<()>;

    fn create(&self, work: impl FnOnce() + Send + 'static) -> ort::Result<Self::Thread> {
        let mut threads = self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Builder::new().name(format!("onnxruntime-{}", threads.len() + 1)).spawn(work);
        let thread = started.map_err(|error| ort::Error::new(format!("no thread for a model: {error}")))?;
        threads.push(thread.as_pthread_t());
        Ok(thread)
    }

    fn join(thread: Self::Thread) -> ort::Result<()> {
        thread.join().map_err(|_| ort::Error::new("a thread of a model panicked"))
    }
}
