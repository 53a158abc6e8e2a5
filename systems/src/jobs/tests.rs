use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bevy_ecs::system::RunSystemOnce;
use bevy_tasks::{AsyncComputeTaskPool, TaskPool};
use bytes::Bytes;

use super::*;
use crate::camera::jpeg::RgbPicture;
use crate::inference::{Inference, InferenceError, ModelIdentity};
use crate::ingress::Incoming;
use crate::tick::Stages;

/// Finds one box, as wide as the "JPEG" is long; stumbles over empty ones.
struct Ruler(ModelIdentity);

impl Inference for Ruler {
    fn role(&self) -> JobRole {
        JobRole::Detection
    }

    fn identity(&self) -> &ModelIdentity {
        &self.0
    }

    fn look(&self, look: &Look) -> Result<JobOutput, InferenceError> {
        assert!(!look.jpeg.is_empty(), "an empty frame");
        Ok(found(look.jpeg.len()))
    }

    fn infer_rgb(&self, _picture: &RgbPicture, _crop: Option<Crop>) -> Result<JobOutput, InferenceError> {
        Ok(JobOutput::Detections(Vec::new()))
    }
}

fn found(width: usize) -> JobOutput {
    let box_ = Detection { class: ObjectClass::Car, score: 0.5, left: 0.0, top: 0.0, width: width as f32, height: 1.0 };
    JobOutput::Detections(vec![box_])
}

fn runner() -> JobRunner {
    AsyncComputeTaskPool::get_or_init(TaskPool::new);
    let engine: Arc<dyn Inference> = Arc::new(Ruler(ModelIdentity::default()));
    JobRunner::new(BTreeMap::from([(JobRole::Detection, engine)]), None, Stages::default())
}

fn frame(stream: u16, seq: u64) -> StableId {
    StableId::new(StreamId(stream), seq)
}

fn job(number: u64) -> JobId {
    JobId { role: JobRole::Detection, number }
}

/// Jobs with one running, started at `started`.
fn running(number: u64, frame: StableId, started: Mono) -> Jobs {
    let running = Some(Running { job: job(number), frame, started, crop: None });
    Jobs { queues: BTreeMap::from([(JobRole::Detection, JobQueue { running, ..JobQueue::default() })]) }
}

fn incoming(tick: u64, now: u64, inputs: Vec<Input>) -> Incoming {
    Incoming { tick, now: Mono(now), inputs }
}

fn journalled(number: u64, frame: StableId, output: JobOutput) -> Input {
    let payload = Payload::JobDone { job: job(number), frame, took_ns: 77, output };
    Input { stream: StreamId::APP, seq: 0, captured: Mono(1), payload }
}

/// The jobs that arrive, with what they took and found.
fn arrived(incoming: &Incoming) -> Vec<(u64, u64, JobOutput)> {
    let done = |input: &Input| match &input.payload {
        Payload::JobDone { job, took_ns, output, .. } => Some((job.number, *took_ns, output.clone())),
        _ => None,
    };
    incoming.inputs.iter().filter_map(done).collect()
}

fn arrive(arrivals: &mut Arrivals, incoming: &mut Incoming, jobs: &Jobs, runner: &mut JobRunner) {
    arrivals.arrive(incoming, jobs, runner);
}

/// Asks live ticks for the result until it is there.
fn live_until_done(arrivals: &mut Arrivals, jobs: &Jobs, runner: &mut JobRunner) -> Incoming {
    for tick in 1..10_000 {
        let mut incoming = incoming(tick, tick, Vec::new());
        arrive(arrivals, &mut incoming, jobs, runner);
        if !incoming.inputs.is_empty() {
            return incoming;
        }
        #[expect(clippy::disallowed_methods, reason = "waits for another thread")]
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the job never came back");
}

#[test]
fn live_results_come_when_they_are_done() {
    let mut runner = runner();
    let mut arrivals = Arrivals::new(ArrivalMode::Live { deadlines: BTreeMap::new() }, Stages::default());
    let jobs = running(1, frame(1, 5), Mono(0));
    runner.start(job(1), Look::at(Bytes::from_static(b"1234")));
    let incoming = live_until_done(&mut arrivals, &jobs, &mut runner);
    assert_eq!(arrived(&incoming).into_iter().map(|(n, _, o)| (n, o)).collect::<Vec<_>>(), [(1, found(4))]);
}

#[test]
fn a_panicking_model_has_failed_at_this_frame() {
    let mut runner = runner();
    let mut arrivals = Arrivals::new(ArrivalMode::Live { deadlines: BTreeMap::new() }, Stages::default());
    runner.start(job(1), Look::at(Bytes::new()));
    let incoming = live_until_done(&mut arrivals, &running(1, frame(1, 5), Mono(0)), &mut runner);
    assert!(matches!(&arrived(&incoming)[..], [(1, _, JobOutput::Failed(why))] if why.contains("panicked")));
}

#[test]
fn a_job_beyond_its_deadline_is_missed_and_two_end_the_run() {
    let mut runner = runner();
    let deadlines = BTreeMap::from([(JobRole::Detection, Duration::from_nanos(100))]);
    let mut arrivals = Arrivals::new(ArrivalMode::Live { deadlines }, Stages::default());
    // Never started in the runner: they hang as far as anybody can tell.
    for (number, failed) in [(1, false), (2, true)] {
        let jobs = running(number, frame(1, number), Mono(0));
        let mut early = incoming(1, 100, Vec::new());
        arrive(&mut arrivals, &mut early, &jobs, &mut runner);
        assert_eq!(early.inputs, []);
        let mut late = incoming(2, 101, Vec::new());
        arrive(&mut arrivals, &mut late, &jobs, &mut runner);
        let missed = Payload::JobMissed { job: job(number), frame: frame(1, number) };
        assert_eq!(late.inputs.iter().map(|input| &input.payload).collect::<Vec<_>>(), [&missed]);
        assert_eq!(arrivals.failure.is_some(), failed);
    }
    assert!(arrivals.failure.unwrap().contains("detection#1 and detection#2"));
}

#[test]
fn time_in_line_for_a_processor_is_not_counted() {
    let over = |elapsed, starved| {
        arrivals::is_over(Duration::from_secs(elapsed), Duration::from_secs(starved), Duration::from_secs(15))
    };
    assert!(over(16, 0) && over(40, 20));
    assert!(!over(15, 0) && !over(40, 25) && !over(40, 50));
}

/// Takes as long as it is told to by the other end of a channel.
struct Patient(ModelIdentity, crossbeam_channel::Receiver<()>);

impl Inference for Patient {
    fn role(&self) -> JobRole {
        JobRole::Detection
    }

    fn identity(&self) -> &ModelIdentity {
        &self.0
    }

    fn look(&self, _look: &Look) -> Result<JobOutput, InferenceError> {
        // An end that is gone is as good as a word.
        let _ = self.1.recv();
        Ok(found(1))
    }

    fn infer_rgb(&self, _picture: &RgbPicture, _crop: Option<Crop>) -> Result<JobOutput, InferenceError> {
        Ok(found(1))
    }
}

#[test]
fn a_job_that_waits_behind_another_is_late_only_if_that_one_hangs() {
    AsyncComputeTaskPool::get_or_init(TaskPool::new);
    let (release, released) = crossbeam_channel::bounded(1);
    let engine: Arc<dyn Inference> = Arc::new(Patient(ModelIdentity::default(), released));
    let mut runner = JobRunner::new(BTreeMap::from([(JobRole::Detection, engine)]), None, Stages::default());
    let limit = Duration::from_secs(3600);
    let deadlines = BTreeMap::from([(JobRole::Detection, limit)]);
    let mut arrivals = Arrivals::new(ArrivalMode::Live { deadlines }, Stages::default());
    runner.start(job(1), Look::at(Bytes::new()));
    while !runner.is_busy() {
        std::thread::yield_now();
    }
    let late = 2 * limit.as_nanos() as u64;
    let missed = |arrivals: &mut Arrivals, number, runner: &mut JobRunner| {
        let mut tick = incoming(1, late, Vec::new());
        arrive(arrivals, &mut tick, &running(number, frame(1, number), Mono(0)), runner);
        !tick.inputs.is_empty()
    };
    assert!(!missed(&mut arrivals, 2, &mut runner), "the first one may only be starving");
    assert!(missed(&mut arrivals, 1, &mut runner), "an hour of doing nothing");
    assert!(missed(&mut arrivals, 2, &mut runner), "behind one that hangs");
    release.send(()).unwrap();
}

#[test]
fn recorded_results_are_fed_back_and_unknown_ones_skipped() {
    let mut runner = runner();
    let mut arrivals = Arrivals::new(ArrivalMode::Recorded, Stages::default());
    let jobs = running(3, frame(1, 9), Mono(0));
    let inputs = vec![journalled(3, frame(1, 9), found(1)), journalled(4, frame(1, 10), found(2))];
    let mut incoming = incoming(1, 50, inputs);
    arrive(&mut arrivals, &mut incoming, &jobs, &mut runner);
    assert_eq!(arrived(&incoming), [(3, 77, found(1))]);
    assert_eq!(arrivals.skipped, 1);
}

#[test]
fn recomputed_results_come_at_the_journalled_tick_and_are_compared() {
    let mut runner = runner();
    let mut arrivals = Arrivals::new(ArrivalMode::Recompute, Stages::default());
    for (number, bytes, recorded, mismatches) in [(1, "abc", 3, 0), (2, "abcd", 3, 1)] {
        let jobs = running(number, frame(1, number), Mono(0));
        runner.start(job(number), Look::at(Bytes::copy_from_slice(bytes.as_bytes())));
        // However fast it was: nothing arrives before the journal says so.
        let mut before = incoming(number * 10, 1, Vec::new());
        arrive(&mut arrivals, &mut before, &jobs, &mut runner);
        assert_eq!(before.inputs, []);
        let mut at = incoming(number * 10 + 1, 2, vec![journalled(number, frame(1, number), found(recorded))]);
        arrive(&mut arrivals, &mut at, &jobs, &mut runner);
        assert_eq!(arrived(&at), [(number, 77, found(bytes.len()))], "what came out here, with the time it took there");
        assert_eq!(arrivals.mismatches.0, mismatches);
    }
    let mismatch = arrivals.mismatches.1.unwrap();
    assert_eq!((mismatch.tick, mismatch.job, mismatch.recorded, mismatch.recomputed), (21, job(2), found(3), found(4)));
}

#[test]
fn virtual_results_come_after_the_latency_or_when_the_journal_knows() {
    let mut runner = runner();
    let latency = BTreeMap::from([(JobRole::Detection, Duration::from_nanos(30))]);
    let known = BTreeMap::from([((JobRole::Detection, frame(1, 2)), 7)]);
    let mut arrivals = Arrivals::new(ArrivalMode::Virtual { latency, known }, Stages::default());

    // Unknown to the journal: 30 ns after its start, whenever the model is done; the journalled arrival of a job that
    // was not started here is skipped.
    let jobs = running(1, frame(1, 1), Mono(100));
    runner.start(job(1), Look::at(Bytes::from_static(b"ab")));
    for (now, expected) in [(129, vec![]), (130, vec![(1, 30, found(2))])] {
        let mut incoming = incoming(1, now, vec![journalled(9, frame(1, 77), found(5))]);
        arrive(&mut arrivals, &mut incoming, &jobs, &mut runner);
        assert_eq!(arrived(&incoming), expected, "at {now}");
    }
    assert_eq!(arrivals.skipped, 2);

    // Known: at its tick, not earlier.
    let jobs = running(2, frame(1, 2), Mono(200));
    runner.start(job(2), Look::at(Bytes::from_static(b"abc")));
    for (tick, expected) in [(6, vec![]), (7, vec![(2, 300, found(3))])] {
        let mut incoming = incoming(tick, 500, Vec::new());
        arrive(&mut arrivals, &mut incoming, &jobs, &mut runner);
        assert_eq!(arrived(&incoming), expected, "in tick {tick}");
    }
}

#[test]
fn a_job_without_its_model_is_missed_at_once() {
    let mut nobody = JobRunner::new(BTreeMap::new(), None, Stages::default());
    let mode = ArrivalMode::Virtual { latency: BTreeMap::new(), known: BTreeMap::new() };
    let mut arrivals = Arrivals::new(mode, Stages::default());
    let mut incoming = incoming(1, 5, Vec::new());
    arrive(&mut arrivals, &mut incoming, &running(1, frame(1, 1), Mono(1)), &mut nobody);
    let missed = Payload::JobMissed { job: job(1), frame: frame(1, 1) };
    assert_eq!(incoming.inputs.iter().map(|input| &input.payload).collect::<Vec<_>>(), [&missed]);
}

/// A world in which `dispatch` can run, with these frames.
fn world(frames: &[StableId]) -> World {
    let mut world = World::new();
    world.init_resource::<Jobs>();
    world.init_resource::<Clock>();
    world.init_resource::<Messages<JobRequest>>();
    world.init_resource::<Messages<JobResult>>();
    world.init_resource::<Messages<JobMissed>>();
    AsyncComputeTaskPool::get_or_init(TaskPool::new);
    world.insert_resource(JobRunner::new(BTreeMap::new(), None, Stages::default()));
    for id in frames {
        world.spawn((*id, Stamp { captured: Mono(7), seq: id.seq }, Frame { jpeg: Bytes::from_static(b"x") }));
    }
    world
}

fn ask(world: &mut World, frames: &[StableId]) -> JobQueue {
    world.resource_mut::<Messages<JobRequest>>().clear();
    world.resource_mut::<Messages<JobResult>>().clear();
    for frame in frames {
        world.write_message(JobRequest { role: JobRole::Detection, frame: *frame, crop: None });
    }
    dispatched(world)
}

fn end(world: &mut World, number: u64, frame: StableId) -> JobQueue {
    world.resource_mut::<Messages<JobRequest>>().clear();
    world.resource_mut::<Messages<JobResult>>().clear();
    world.write_message(JobResult { job: job(number), frame, took_ns: 1, output: found(1) });
    dispatched(world)
}

fn dispatched(world: &mut World) -> JobQueue {
    world.run_system_once(dispatch).unwrap();
    world.resource::<Jobs>().queues[&JobRole::Detection].clone()
}

#[test]
fn the_newest_frame_of_a_camera_waits_and_cameras_are_served_in_turn() {
    let frames = [frame(1, 1), frame(1, 2), frame(1, 3), frame(2, 1), frame(3, 1), frame(3, 2)];
    let mut world = world(&frames);
    let queue = ask(&mut world, &[frame(3, 1), frame(1, 1), frame(2, 1)]);
    assert_eq!(queue.running.unwrap().frame, frame(1, 1), "the first camera first, whoever asked first");
    let queue = ask(&mut world, &[frame(1, 2), frame(3, 2)]);
    let queue2 = ask(&mut world, &[frame(1, 3)]);
    assert_eq!((queue.replaced, queue2.replaced), (1, 2));
    let expected = BTreeMap::from([(StreamId(1), frame(1, 3)), (StreamId(2), frame(2, 1)), (StreamId(3), frame(3, 2))]);
    assert_eq!(queue2.waiting, expected);
    let mut order = Vec::new();
    for number in 1..=3 {
        let running = world.resource::<Jobs>().queues[&JobRole::Detection].running.unwrap();
        assert_eq!(running.job.number, number);
        order.push(end(&mut world, number, running.frame).running.unwrap().frame);
    }
    assert_eq!(order, [frame(2, 1), frame(3, 2), frame(1, 3)]);
    let queue = end(&mut world, 4, frame(1, 3));
    assert_eq!((queue.running, queue.started, queue.done), (None, 4, 4));
}

#[test]
fn a_crop_waits_and_goes_with_its_frame() {
    let mut world = world(&[frame(1, 1), frame(1, 2), frame(1, 3), frame(1, 4)]);
    let crop = |left| Some(Crop { left, top: 2, width: 3, height: 4 });
    let mut wish = |seq, crop| {
        world.resource_mut::<Messages<JobRequest>>().clear();
        world.write_message(JobRequest { role: JobRole::Detection, frame: frame(1, seq), crop });
        dispatched(&mut world)
    };
    let queue = wish(1, crop(1));
    assert_eq!((queue.running.unwrap().crop, queue.crops.len()), (crop(1), 0));
    assert_eq!(wish(2, crop(2)).crops, BTreeMap::from([(StreamId(1), crop(2).unwrap())]));
    assert_eq!(wish(3, None).crops, BTreeMap::new(), "that of a frame that was replaced is gone");
    assert_eq!(wish(4, crop(4)).crops.len(), 1);
    let queue = end(&mut world, 1, frame(1, 1));
    assert_eq!((queue.running.unwrap().frame, queue.running.unwrap().crop), (frame(1, 4), crop(4)));
    assert_eq!(queue.crops, BTreeMap::new());
}

#[test]
fn jobs_of_older_sessions_are_read() {
    #[derive(serde::Serialize)]
    struct Older {
        job: JobId,
        frame: StableId,
        started: Mono,
    }
    let older = rmp_serde::to_vec_named(&Older { job: job(1), frame: frame(1, 2), started: Mono(3) }).unwrap();
    let read: Running = crate::msgpack::decode(&older).unwrap();
    assert_eq!(read, Running { job: job(1), frame: frame(1, 2), started: Mono(3), crop: None });
}

#[test]
fn the_late_result_of_a_missed_job_ends_no_other() {
    let mut world = world(&[frame(1, 1), frame(1, 2)]);
    ask(&mut world, &[frame(1, 1)]);
    world.resource_mut::<Messages<JobRequest>>().clear();
    world.write_message(JobMissed { job: job(1), frame: frame(1, 1) });
    let queue = dispatched(&mut world);
    assert_eq!((queue.running, queue.missed), (None, 1));
    world.resource_mut::<Messages<JobMissed>>().clear();
    ask(&mut world, &[frame(1, 2)]);
    let queue = end(&mut world, 1, frame(1, 1));
    assert_eq!(queue.running.unwrap().job, job(2));
}

#[test]
fn a_job_that_ran_at_a_snapshot_is_started_again() {
    let seen: Arc<Mutex<Vec<Look>>> = Arc::default();
    struct Witness(ModelIdentity, Arc<Mutex<Vec<Look>>>);
    impl Inference for Witness {
        fn role(&self) -> JobRole {
            JobRole::Detection
        }
        fn identity(&self) -> &ModelIdentity {
            &self.0
        }
        fn look(&self, look: &Look) -> Result<JobOutput, InferenceError> {
            self.1.lock().unwrap().push(look.clone());
            Ok(found(look.jpeg.len()))
        }
        fn infer_rgb(&self, _picture: &RgbPicture, _crop: Option<Crop>) -> Result<JobOutput, InferenceError> {
            Ok(found(0))
        }
    }
    let mut world = world(&[frame(1, 8)]);
    let engine: Arc<dyn Inference> = Arc::new(Witness(ModelIdentity::default(), seen.clone()));
    let mut again = JobRunner::new(BTreeMap::from([(JobRole::Detection, engine)]), None, Stages::default());
    let crop = Some(Crop { left: 1, top: 2, width: 3, height: 4 });
    let mut jobs = running(4, frame(1, 8), Mono(10));
    for queue in jobs.queues.values_mut() {
        queue.running = queue.running.map(|running| Running { crop, ..running });
    }
    world.insert_resource(jobs);
    std::mem::swap(&mut again, &mut world.resource_mut::<JobRunner>());
    resume(&mut world).unwrap();
    let mut arrivals = Arrivals::new(ArrivalMode::Recompute, Stages::default());
    let mut incoming = incoming(1, 50, vec![journalled(4, frame(1, 8), found(1))]);
    let jobs = world.resource::<Jobs>().clone();
    arrivals.arrive(&mut incoming, &jobs, &mut world.resource_mut::<JobRunner>());
    assert_eq!(arrived(&incoming), [(4, 77, found(1))]);
    let look = Look { frame: frame(1, 8), captured: Mono(7), jpeg: Bytes::from_static(b"x"), crop };
    assert_eq!(*seen.lock().unwrap(), [look]);
}
