//! Jobs: work that takes longer than a tick.
//!
//! Systems ask for jobs with [`JobRequest`]s. One frame waits for each (role, camera), the newest wins; the cameras
//! are served in turn; one job of each role runs at a time. The frame stays in the world until the job's result, which
//! comes back through Ingress, has been recorded.

mod arrivals;
mod runner;
mod starvation;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

pub use arrivals::{ArrivalMode, Arrivals, JobMismatch};
pub use runner::JobRunner;

use crate::registry::{Register, RestoreError};

/// Wires the jobs.
pub struct JobsPlugin;

impl Plugin for JobsPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<Jobs>().init_resource::<ModelStatus>();
        app.state_resource::<Jobs>()
            .state_resource::<ModelStatus>()
            .tick_message::<JobRequest>()
            .tick_message::<JobResult>()
            .tick_message::<JobMissed>()
            .exempt::<JobRunner>("threads and models; what they find comes back through Ingress");
        // All ask with the same message: its order is declared, although nothing depends on it.
        app.configure_sets(Perceive, (JobRole::Segmentation, JobRole::Detection).chain());
        app.add_systems(Act, dispatch);
    }
}

/// Takes note of what has ended, keeps the newest frame that waits, and starts the next job of each role.
pub fn dispatch(
    mut jobs: ResMut<Jobs>,
    mut requests: MessageReader<JobRequest>,
    mut results: MessageReader<JobResult>,
    mut missed: MessageReader<JobMissed>,
    frames: Query<(&StableId, &Stamp, &Frame)>,
    clock: Res<Clock>,
    runner: Res<JobRunner>,
) {
    for result in results.read() {
        let queue = jobs.queues.entry(result.job.role).or_default();
        queue.running.take_if(|running| running.job == result.job);
        match result.output {
            JobOutput::Failed(_) => queue.failed += 1,
            _ => queue.done += 1,
        }
    }
    for missed in missed.read() {
        let queue = jobs.queues.entry(missed.job.role).or_default();
        queue.running.take_if(|running| running.job == missed.job);
        queue.missed += 1;
    }
    let mut requests: Vec<JobRequest> = requests.read().copied().collect();
    requests.sort_unstable_by_key(|request| (request.role, request.frame));
    for request in requests {
        let queue = jobs.queues.entry(request.role).or_default();
        if queue.waiting.insert(request.frame.stream, request.frame).is_some() {
            queue.replaced += 1;
        }
        match request.crop {
            Some(crop) => queue.crops.insert(request.frame.stream, crop),
            None => queue.crops.remove(&request.frame.stream),
        };
    }
    for (&role, queue) in &mut jobs.queues {
        if queue.running.is_some() {
            continue;
        }
        let Some(frame) = next_in_turn(queue) else { continue };
        queue.waiting.remove(&frame.stream);
        let crop = queue.crops.remove(&frame.stream);
        // A frame that waits is held in the world; should it be gone all the same, the next one will do.
        let Some((_, stamp, picture)) = frames.iter().find(|(id, ..)| **id == frame) else { continue };
        queue.served = frame.stream;
        queue.started += 1;
        let job = JobId { role, number: queue.started };
        queue.running = Some(Running { job, frame, started: clock.now, crop });
        runner.start(job, Look { frame, captured: stamp.captured, jpeg: picture.jpeg.clone(), crop });
    }
}

/// The waiting frame of the camera after the one that was served last.
fn next_in_turn(queue: &JobQueue) -> Option<StableId> {
    let after = (std::ops::Bound::Excluded(queue.served), std::ops::Bound::Unbounded);
    queue.waiting.range(after).next().or_else(|| queue.waiting.iter().next()).map(|(_, frame)| *frame)
}

/// Starts again what ran when a snapshot was taken.
///
/// # Errors
/// When the frame of a job is not there: its result would be waited for in vain.
pub fn resume(world: &mut World) -> Result<(), RestoreError> {
    let running: Vec<Running> = world.resource::<Jobs>().running().copied().collect();
    let mut frames = world.query::<(&StableId, &Stamp, &Frame)>();
    for running in running {
        let Running { job, frame, crop, .. } = running;
        let held = frames.iter(world).find(|(id, ..)| **id == frame);
        let (_, stamp, picture) = held.ok_or(RestoreError::NoFrame { job, frame })?;
        let look = Look { frame, captured: stamp.captured, jpeg: picture.jpeg.clone(), crop };
        world.resource::<JobRunner>().start(job, look);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
