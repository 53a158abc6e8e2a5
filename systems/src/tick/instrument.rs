//! Measuring and disturbing systems from outside: each one is wrapped, none needs to know.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bevy_ecs::change_detection::{CheckChangeTicks, Tick};
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{InternedSystemSet, SystemWithAccess};
use bevy_ecs::system::{RunSystemError, SystemAccess, SystemIn, SystemStateFlags};
use bevy_ecs::world::{DeferredWorld, unsafe_world_cell::UnsafeWorldCell};
use bevy_utils::prelude::DebugName;
use hdrhistogram::Histogram;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::clock::instant;

/// Longest delay that jitter puts before a system.
const LONGEST_DELAY: Duration = Duration::from_micros(200);

/// How long something took, over and over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageSummary {
    /// How often.
    pub n: u64,
    /// Median in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile in milliseconds.
    pub p95_ms: f64,
    /// 99th percentile in milliseconds.
    pub p99_ms: f64,
    /// Longest, in milliseconds.
    pub max_ms: f64,
}

/// How often something took how long.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageTimes {
    /// How often it was done.
    pub n: u64,
    /// What all of it took.
    pub sum: Duration,
    /// How often it took no longer than each of the bounds that were asked for, and longer than the one before. What took
    /// longer than all of them is in `n` alone. A time may be taken for one that is a hundredth longer.
    pub up_to: Vec<u64>,
}

/// Times by name: of phases, systems, and whatever else is measured outside the world. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Stages(Arc<Mutex<BTreeMap<String, Stage>>>);

impl Stages {
    /// The stage of this name, for those who measure it again and again.
    pub fn stage(&self, name: &str) -> Stage {
        let mut stages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match stages.get(name) {
            Some(stage) => stage.clone(),
            None => stages.entry(name.to_owned()).or_default().clone(),
        }
    }

    /// Forgets what was measured so far, of all stages: what is measured from now on stands alone. Their memory is kept.
    pub fn forget(&self) {
        let stages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for stage in stages.values() {
            let mut measured = stage.0.lock().unwrap_or_else(PoisonError::into_inner);
            measured.sum_ns = 0;
            if let Some(histogram) = &mut measured.histogram {
                histogram.reset();
            }
        }
    }

    /// Adds one measurement.
    pub fn record(&self, name: &str, took: Duration) {
        self.stage(name).record(took);
    }

    /// What was measured, by name, where `bounds` are of interest: growing, in the order of [`StageTimes::up_to`]. Those who
    /// measure are kept for the time that copying takes.
    pub fn times<'a>(&self, bounds: impl Fn(&str) -> Option<&'a [Duration]>) -> BTreeMap<String, StageTimes> {
        let stages = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stages
            .into_iter()
            .filter_map(|(name, stage)| Some((bounds(&name)?, name, stage)))
            .map(|(bounds, name, stage)| (name, stage.times(bounds)))
            .collect()
    }

    /// What was measured, by name.
    pub fn summary(&self) -> BTreeMap<String, StageSummary> {
        let stages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stages.iter().filter_map(|(name, stage)| Some((name.clone(), stage.summary()?))).collect()
    }
}

/// The times of one stage. Cheap to clone; nobody waits for anybody who measures another one.
#[derive(Clone, Debug, Default)]
pub struct Stage(Arc<Mutex<Measured>>);

/// What was measured of one stage.
#[derive(Clone, Debug, Default)]
struct Measured {
    /// In nanoseconds; none before the first.
    histogram: Option<Histogram<u64>>,
    /// All of it in nanoseconds, exactly.
    sum_ns: u64,
}

impl Stage {
    /// Adds one measurement.
    pub fn record(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let mut measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        measured.sum_ns = measured.sum_ns.saturating_add(ns);
        if measured.histogram.is_none() {
            measured.histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 2).ok();
        }
        if let Some(histogram) = &mut measured.histogram {
            histogram.saturating_record(ns);
        }
    }

    /// What was measured, if anything.
    fn summary(&self) -> Option<StageSummary> {
        let measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let h = measured.histogram.as_ref().filter(|histogram| !histogram.is_empty())?;
        let ms = |ns: u64| ns as f64 / 1e6;
        Some(StageSummary {
            n: h.len(),
            p50_ms: ms(h.value_at_quantile(0.5)),
            p95_ms: ms(h.value_at_quantile(0.95)),
            p99_ms: ms(h.value_at_quantile(0.99)),
            max_ms: ms(h.max()),
        })
    }

    fn times(&self, bounds: &[Duration]) -> StageTimes {
        let Measured { histogram, sum_ns } = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut times = StageTimes { n: 0, sum: Duration::from_nanos(sum_ns), up_to: vec![0; bounds.len()] };
        let Some(histogram) = histogram else { return times };
        times.n = histogram.len();
        for step in histogram.iter_recorded() {
            let took = Duration::from_nanos(step.value_iterated_to());
            let bucket = bounds.partition_point(|bound| *bound < took);
            if let Some(count) = times.up_to.get_mut(bucket) {
                *count += step.count_since_last_iteration();
            }
        }
        times
    }
}

/// What is put around systems.
#[derive(Resource, Clone, Debug)]
pub struct Instruments {
    jitter: Option<u64>,
    stages: Option<Stages>,
}

impl Instruments {
    pub(super) fn new(jitter: Option<u64>, stages: Option<Stages>) -> Self {
        Self { jitter, stages }
    }

    /// The stage of this name, if anybody wants to know.
    pub(super) fn stage(&self, name: &str) -> Option<Stage> {
        self.stages.as_ref().map(|stages| stages.stage(name))
    }

    /// Wraps every system of a schedule that has not been initialised yet.
    pub(super) fn install(&self, schedule: &mut Schedule) {
        if self.jitter.is_none() && self.stages.is_none() {
            return;
        }
        let label = format!("{:?}", schedule.label()).to_lowercase();
        let systems = &mut schedule.graph_mut().systems;
        let keys: Vec<_> = systems.iter().map(|(key, ..)| key).collect();
        for key in keys {
            let Some(slot) = systems.get_mut(key) else { continue };
            let inner = std::mem::replace(slot, SystemWithAccess::new(Box::new(IntoSystem::into_system(|| {}))));
            let name = format!("{label}/{}", short_name(&inner.name().to_string()));
            let seed = self.jitter.map(|seed| xxh3_64_with_seed(name.as_bytes(), seed));
            let stage = self.stage(&name);
            *slot = SystemWithAccess::new(Box::new(Instrumented { inner, delay: seed, runs: 0, stage }));
        }
    }
}

/// `waywarden_systems::camera::gate` as `camera::gate`.
fn short_name(path: &str) -> &str {
    let path = path.split('<').next().unwrap_or(path);
    match path.rmatch_indices("::").nth(1) {
        Some((at, _)) => &path[at + 2..],
        None => path,
    }
}

/// Does `work`, and measures it if there is a stage for it.
pub(super) fn measured<T>(stage: Option<&Stage>, work: impl FnOnce() -> T) -> T {
    let Some(stage) = stage else { return work() };
    let start = instant();
    let result = work();
    stage.record(start.elapsed());
    result
}

/// A system with a watch and a delay around it.
struct Instrumented {
    inner: SystemWithAccess,
    delay: Option<u64>,
    runs: u64,
    stage: Option<Stage>,
}

impl Instrumented {
    /// Half of the runs are not delayed at all, a quarter sleeps (another thread gets the core), a quarter spins.
    fn delay(&mut self) {
        let Some(seed) = self.delay else { return };
        self.runs += 1;
        let dice = xxh3_64_with_seed(&self.runs.to_le_bytes(), seed);
        let length = Duration::from_nanos((dice >> 8) % LONGEST_DELAY.as_nanos() as u64);
        match dice % 4 {
            #[expect(clippy::disallowed_methods, reason = "to delay is what it is for")]
            0 => std::thread::sleep(length),
            1 => {
                let start = instant();
                while start.elapsed() < length {
                    std::hint::spin_loop();
                }
            }
            _ => {}
        }
    }
}

impl System for Instrumented {
    type In = ();
    type Out = ();

    fn name(&self) -> DebugName {
        self.inner.name()
    }

    fn flags(&self) -> SystemStateFlags {
        self.inner.flags()
    }

    #[expect(unsafe_code, reason = "hands the caller's promise on to the wrapped system unchanged")]
    unsafe fn run_unsafe(
        &mut self,
        input: SystemIn<'_, Self>,
        world: UnsafeWorldCell,
    ) -> Result<Self::Out, RunSystemError> {
        self.delay();
        let Self { inner, stage, .. } = self;
        // SAFETY: the caller upholds for `self` what `inner` asks for: `initialize` returned the access of `inner`.
        measured(stage.as_ref(), || unsafe { inner.run_unsafe(input, world) })
    }

    fn apply_deferred(&mut self, world: &mut World) {
        self.inner.apply_deferred(world);
    }

    fn queue_deferred(&mut self, world: DeferredWorld) {
        self.inner.queue_deferred(world);
    }

    fn initialize(&mut self, world: &mut World) -> SystemAccess {
        self.inner.initialize(world)
    }

    fn check_change_tick(&mut self, check: CheckChangeTicks) {
        self.inner.check_change_tick(check);
    }

    fn default_system_sets(&self) -> Vec<InternedSystemSet> {
        self.inner.default_system_sets()
    }

    fn get_last_run(&self) -> Tick {
        self.inner.get_last_run()
    }

    fn set_last_run(&mut self, last_run: Tick) {
        self.inner.set_last_run(last_run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_of_one_name_are_one() {
        let stages = Stages::default();
        let handle = stages.stage("a");
        stages.stage("never measured");
        handle.record(Duration::from_millis(1));
        stages.record("a", Duration::from_millis(3));
        let summary = stages.summary();
        assert_eq!(summary.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(summary["a"].n, 2);
        assert!((summary["a"].max_ms - 3.0).abs() < 0.05);
    }

    #[test]
    fn times_are_sorted_into_what_is_asked_for() {
        let stages = Stages::default();
        for ms in [1, 1, 3, 40] {
            stages.record("a", Duration::from_millis(ms));
        }
        stages.record("b", Duration::from_millis(1));
        let bounds = [2, 4, 8].map(Duration::from_millis);
        let times = stages.times(|name| (name == "a").then_some(&bounds[..]));
        let a = StageTimes { n: 4, sum: Duration::from_millis(45), up_to: vec![2, 1, 0] };
        assert_eq!(times, [("a".to_owned(), a)].into());
    }

    #[test]
    fn names_are_short() {
        assert_eq!(short_name("waywarden_systems::camera::gate"), "camera::gate");
        assert_eq!(short_name("a::b::c<d::e::f>"), "b::c");
        assert_eq!(short_name("alone"), "alone");
    }
}
