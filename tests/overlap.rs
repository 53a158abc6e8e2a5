//! The scheduler is the worker pool: two systems of a parallel phase are seen running at once.

#![expect(clippy::disallowed_methods, reason = "the systems wait for each other in real time")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use waywarden::app::{self, Parts};
use waywarden::config::Config;
use waywarden::pools::{self, Pools};
use waywarden_components::prelude::*;
use waywarden_systems::tick::Activity;

static INSIDE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Stays until it has seen another one inside, two seconds at most.
fn stay<const N: usize>() {
    let inside = INSIDE.fetch_add(1, Ordering::SeqCst) + 1;
    MOST.fetch_max(inside, Ordering::SeqCst);
    let start = Instant::now();
    while MOST.load(Ordering::SeqCst) < 2 && start.elapsed() < Duration::from_secs(2) {
        std::thread::yield_now();
    }
    INSIDE.fetch_sub(1, Ordering::SeqCst);
}

#[test]
fn two_systems_run_at_once() {
    // As the program starts them by default: pools are global to the process, which this test has to itself.
    let threads = Config::default().threads;
    pools::start(Pools { compute: threads.compute as usize, jobs: threads.jobs as usize, live: true, realtime: false });
    let mut app = app::build(&Config::default(), &[], Parts::idle());
    app.add_systems(Sense, (stay::<1>, stay::<2>));
    app.finish();
    app.cleanup();
    // A tick with work for two.
    *app.world_mut().resource_mut::<Activity>() = Activity { inputs: 2, for_several: true };
    app.world_mut().run_schedule(Sense);
    assert_eq!(MOST.load(Ordering::SeqCst), 2, "no two systems were inside at the same time");
}
