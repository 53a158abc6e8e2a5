//! Runs jobs on threads of their own.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bevy_ecs::resource::Resource;
use bevy_tasks::AsyncComputeTaskPool;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use waywarden_components::prelude::*;

use super::starvation::Waits;
use crate::clock::instant;
use crate::inference::Inference;
use crate::ingress::Wake;
use crate::tick::Stages;

/// Results that may wait to be fetched: more than jobs can run.
const RESULTS: usize = 64;

/// A finished job.
pub(super) struct Finished {
    pub job: JobId,
    pub took: Duration,
    pub output: JobOutput,
}

/// The models and the threads that they run on.
#[derive(Resource)]
pub struct JobRunner {
    engines: BTreeMap<JobRole, Arc<dyn Inference>>,
    done: (Sender<Finished>, Receiver<Finished>),
    wake: Option<Wake>,
    stages: Stages,
    /// Of the jobs that have begun: what their threads had waited for a processor by then.
    begun: Arc<Mutex<BTreeMap<JobId, Waits>>>,
}

impl JobRunner {
    /// Runs jobs of the roles of `engines`; jobs of other roles are never finished by this runner. `wake` is called
    /// when a job has ended.
    pub fn new(engines: BTreeMap<JobRole, Arc<dyn Inference>>, wake: Option<Wake>, stages: Stages) -> Self {
        Self { engines, done: bounded(RESULTS), wake, stages, begun: Arc::default() }
    }

    /// Whether jobs of this role can be run.
    pub fn runs(&self, role: JobRole) -> bool {
        self.engines.contains_key(&role)
    }

    /// Starts a job on the job threads.
    pub fn start(&self, job: JobId, look: Look) {
        let Some(engine) = self.engines.get(&job.role).cloned() else { return };
        let (sender, wake, stages) = (self.done.0.clone(), self.wake.clone(), self.stages.clone());
        let begun = self.begun.clone();
        AsyncComputeTaskPool::get()
            .spawn(async move {
                begun.lock().unwrap_or_else(PoisonError::into_inner).insert(job, Waits::now());
                let start = instant();
                let output = run(&*engine, &look);
                let took = start.elapsed();
                stages.record(&format!("job/{}", job.role), took);
                begun.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
                // Full or closed only when nobody fetches results any more: the app is ending.
                let _ = sender.try_send(Finished { job, took, output });
                if let Some(wake) = wake {
                    wake.wake();
                }
            })
            .detach();
    }

    /// How much of its time a job that runs has stood in line for a processor; none if it has not begun.
    pub(super) fn starved(&self, job: JobId) -> Option<Duration> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.get(&job).map(|then| Waits::now().since(then))
    }

    /// Whether any job has begun and not ended.
    pub(super) fn is_busy(&self) -> bool {
        !self.begun.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The next finished job, if there is one.
    pub(super) fn poll(&self) -> Option<Finished> {
        self.done.1.try_recv().ok()
    }

    /// Waits for the next finished job.
    pub(super) fn wait(&self, longest: Duration) -> Result<Finished, RecvTimeoutError> {
        self.done.1.recv_timeout(longest)
    }
}

/// A model that panics has failed at this frame; the app goes on.
fn run(engine: &dyn Inference, look: &Look) -> JobOutput {
    match catch_unwind(AssertUnwindSafe(|| engine.look(look))) {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => JobOutput::Failed(error.to_string()),
        Err(_) => JobOutput::Failed(format!("{} panicked", engine.identity().name)),
    }
}
