//! How results of jobs come back into the world: live when they are done, in a replay when they did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use waywarden_components::prelude::*;

use super::runner::{Finished, JobRunner};
use crate::ingress::Incoming;
use crate::tick::Stages;

/// Longest that a replay waits for a recomputed result.
const PATIENCE: Duration = Duration::from_secs(300);

/// After so many jobs that never came back, the process is of no more use.
const HUNG_JOBS: usize = 2;

/// When results arrive, and which.
#[derive(Clone, Debug, PartialEq)]
pub enum ArrivalMode {
    /// As they are done. A job that takes longer than its role's deadline is missed; the time in which it got no
    /// processor does not count.
    Live {
        /// By role.
        deadlines: BTreeMap<JobRole, Duration>,
    },
    /// The journalled results, at the journalled ticks. Nothing is computed.
    Recorded,
    /// Recomputed results at the journalled ticks, waited for if need be, and compared with the journalled ones.
    Recompute,
    /// Recomputed results: at the tick the journal knows for this frame, else after a fixed time.
    Virtual {
        /// By role: time from start to arrival.
        latency: BTreeMap<JobRole, Duration>,
        /// The ticks at which results arrived in the recorded run, by role and frame.
        known: BTreeMap<(JobRole, StableId), u64>,
    },
}

/// A recomputed result that is not the journalled one.
#[derive(Clone, Debug, PartialEq)]
pub struct JobMismatch {
    /// The tick in which it arrived.
    pub tick: u64,
    /// The job.
    pub job: JobId,
    /// What the journal has.
    pub recorded: JobOutput,
    /// What came out now.
    pub recomputed: JobOutput,
}

/// The way back for results of jobs.
pub struct Arrivals {
    mode: Arc<ArrivalMode>,
    /// Results that came earlier than they may be delivered.
    stash: BTreeMap<JobId, Finished>,
    /// Jobs that were missed and have not come back since.
    hung: Vec<JobId>,
    stages: Stages,
    /// Journalled arrivals of jobs that were not started in this run.
    pub skipped: u64,
    /// Recomputed results that are not the journalled ones: how many, and the first.
    pub mismatches: (u64, Option<JobMismatch>),
    /// Why the run cannot go on, if so.
    pub failure: Option<String>,
}

impl Arrivals {
    /// A way back in `mode`; times waited are recorded in `stages`.
    pub fn new(mode: ArrivalMode, stages: Stages) -> Self {
        Self {
            mode: Arc::new(mode),
            stash: BTreeMap::new(),
            hung: Vec::new(),
            stages,
            skipped: 0,
            mismatches: (0, None),
            failure: None,
        }
    }

    /// Adds the results that arrive in this tick, and takes out journalled ones that do not belong to this run.
    pub fn arrive(&mut self, incoming: &mut Incoming, jobs: &Jobs, runner: &mut JobRunner) {
        match &*self.mode.clone() {
            ArrivalMode::Live { deadlines } => self.live(incoming, jobs, runner, deadlines),
            ArrivalMode::Recorded => self.journalled(incoming, jobs, None),
            ArrivalMode::Recompute => self.journalled(incoming, jobs, Some(runner)),
            ArrivalMode::Virtual { latency, known } => {
                let due = due(incoming, jobs, latency, known);
                self.virtually(incoming, &due, runner);
            }
        }
    }

    fn live(
        &mut self,
        incoming: &mut Incoming,
        jobs: &Jobs,
        runner: &JobRunner,
        deadlines: &BTreeMap<JobRole, Duration>,
    ) {
        while let Some(finished) = runner.poll() {
            self.hung.retain(|job| *job != finished.job);
            self.stash.insert(finished.job, finished);
        }
        for running in jobs.running() {
            if let Some(finished) = self.stash.remove(&running.job) {
                incoming.inputs.push(done(running, finished, incoming.now));
            } else if deadlines
                .get(&running.job.role)
                .is_some_and(|limit| self.is_late(running, incoming.now, *limit, runner))
            {
                self.hung.push(running.job);
                let payload = Payload::JobMissed { job: running.job, frame: running.frame };
                incoming.inputs.push(app(incoming.now, payload));
            }
        }
        // What is left came too late: its job was missed, and nobody waits for it.
        self.stash.clear();
        if self.hung.len() >= HUNG_JOBS {
            let names: Vec<String> = self.hung.iter().map(ToString::to_string).collect();
            self.failure = Some(format!(
                "jobs {} did not end in time and have not come back: the process must be started anew",
                names.join(" and ")
            ));
        }
    }

    /// Whether a job has had its time. Asked every tick, so the cheap question comes first.
    fn is_late(&self, running: &Running, now: Mono, limit: Duration, runner: &JobRunner) -> bool {
        let elapsed = now.since(running.started);
        elapsed > limit
            && match runner.starved(running.job) {
                Some(starved) => is_over(elapsed, starved, limit),
                // It waits for a thread: behind one that starves it is not at fault, behind one that hangs it never comes.
                None => !self.hung.is_empty() || !runner.is_busy(),
            }
    }

    fn journalled(&mut self, incoming: &mut Incoming, jobs: &Jobs, runner: Option<&mut JobRunner>) {
        let runner = runner.as_deref();
        let mut inputs = std::mem::take(&mut incoming.inputs);
        inputs.retain_mut(|input| match &mut input.payload {
            Payload::JobDone { job, output, .. } => {
                if !jobs.running().any(|running| running.job == *job) {
                    self.skipped += 1;
                    return false;
                }
                if let Some(runner) = runner {
                    self.recompute(incoming.tick, *job, output, runner);
                }
                true
            }
            Payload::JobMissed { job, .. } => jobs.running().any(|running| running.job == *job),
            _ => true,
        });
        incoming.inputs = inputs;
    }

    fn recompute(&mut self, tick: u64, job: JobId, output: &mut JobOutput, runner: &JobRunner) {
        if !runner.runs(job.role) {
            return;
        }
        let Some(finished) = self.fetch(job, runner) else { return };
        if finished.output != *output {
            self.mismatches.0 += 1;
            let recorded = std::mem::replace(output, finished.output.clone());
            self.mismatches.1.get_or_insert(JobMismatch { tick, job, recorded, recomputed: finished.output });
        }
    }

    /// Waits for the result of a job that has been started.
    fn fetch(&mut self, job: JobId, runner: &JobRunner) -> Option<Finished> {
        let watch = crate::clock::boottime();
        while !self.stash.contains_key(&job) {
            match runner.wait(PATIENCE) {
                Ok(finished) => {
                    self.stash.insert(finished.job, finished);
                }
                Err(_) => {
                    self.failure.get_or_insert(format!("the result of job {job} did not come in {PATIENCE:?}"));
                    return None;
                }
            }
        }
        self.stages.record("wait for jobs", crate::clock::boottime().since(watch));
        self.stash.remove(&job)
    }

    fn virtually(&mut self, incoming: &mut Incoming, due: &[Running], runner: &JobRunner) {
        let mut skipped = 0;
        incoming.inputs.retain(|input| match input.payload {
            Payload::JobDone { job, frame, .. } | Payload::JobMissed { job, frame } => {
                let here = due.iter().any(|running| running.job.role == job.role && running.frame == frame);
                skipped += u64::from(!here);
                false
            }
            _ => true,
        });
        self.skipped += skipped;
        for running in due {
            // It was started by the recorded run, before the snapshot where this one began.
            if !runner.runs(running.job.role) {
                let payload = Payload::JobMissed { job: running.job, frame: running.frame };
                incoming.inputs.push(app(incoming.now, payload));
                continue;
            }
            if let Some(mut finished) = self.fetch(running.job, runner) {
                // What a job took here is of no consequence there: virtual time is the only time.
                finished.took = incoming.now.since(running.started);
                incoming.inputs.push(done(running, finished, incoming.now));
            }
        }
    }
}

/// Whether a job has had more than its time, what it stood in line for a processor left out.
pub(super) fn is_over(elapsed: Duration, starved: Duration, limit: Duration) -> bool {
    elapsed.saturating_sub(starved) > limit
}

/// The running jobs whose results arrive in this tick, in order of role.
fn due(
    incoming: &Incoming,
    jobs: &Jobs,
    latency: &BTreeMap<JobRole, Duration>,
    known: &BTreeMap<(JobRole, StableId), u64>,
) -> Vec<Running> {
    let arrives = |running: &&Running| match known.get(&(running.job.role, running.frame)) {
        Some(tick) if *tick >= incoming.tick => *tick == incoming.tick,
        _ => {
            let latency = latency.get(&running.job.role).copied().unwrap_or_default();
            incoming.now.since(running.started) >= latency.max(Duration::from_nanos(1))
        }
    };
    jobs.running().filter(arrives).copied().collect()
}

fn done(running: &Running, finished: Finished, now: Mono) -> Input {
    let took_ns = u64::try_from(finished.took.as_nanos()).unwrap_or(u64::MAX);
    app(now, Payload::JobDone { job: running.job, frame: running.frame, took_ns, output: finished.output })
}

fn app(captured: Mono, payload: Payload) -> Input {
    Input { stream: StreamId::APP, seq: 0, captured, payload }
}
