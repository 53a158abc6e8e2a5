//! Two systems that have nothing to do with each other, side by side and one after the other.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bevy_app::App;
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;
use waywarden_systems::tick::{Activity, TickPlugin};

use crate::report::{Outcome, Report, check, median, quick, timed};

/// How long each system computes, in seconds.
const WORK_S: f64 = 0.005;

/// Steps of computing for that. Work, not time: what shares a core must take longer.
#[derive(Resource, Clone, Copy)]
struct Steps(u64);

#[derive(Resource, Default)]
struct Left(u64);

#[derive(Resource, Default)]
struct Right(u64);

/// Systems that compute now, and the most that ever did.
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Whether each computes only once it has seen the other one begin, [`MEETING`] at most.
///
/// That they can run at once must not hang on a core being free for the second within the few milliseconds that the
/// first one computes.
static MEET: AtomicBool = AtomicBool::new(false);
const MEETING: Duration = Duration::from_secs(10);

fn compute(steps: u64, seed: u64) -> u64 {
    let running = RUNNING.fetch_add(1, Ordering::Relaxed) + 1;
    MOST.fetch_max(running, Ordering::Relaxed);
    if MEET.load(Ordering::Relaxed) {
        meet();
    }
    let result = (0..steps).fold(seed | 1, |x, _| {
        let x = black_box(x) ^ (x << 13);
        let x = x ^ (x >> 7);
        x ^ (x << 17)
    });
    RUNNING.fetch_sub(1, Ordering::Relaxed);
    result
}

#[expect(clippy::disallowed_methods, reason = "the systems wait for each other in real time")]
fn meet() {
    let since = Instant::now();
    while MOST.load(Ordering::Relaxed) < 2 && since.elapsed() < MEETING {
        std::thread::yield_now();
    }
}

fn left(steps: Res<Steps>, mut result: ResMut<Left>) {
    result.0 = compute(steps.0, result.0);
}

fn right(steps: Res<Steps>, mut result: ResMut<Right>) {
    result.0 = compute(steps.0, result.0.wrapping_add(7));
}

fn app(steps: Steps, add: impl FnOnce(&mut App)) -> App {
    let mut app = App::empty();
    app.add_plugins(TickPlugin::default());
    app.insert_resource(steps).init_resource::<Left>().init_resource::<Right>();
    add(&mut app);
    // Sense runs where something has come in, on several threads where that is work for them.
    app.insert_resource(Activity { inputs: 2, for_several: true });
    app.finish();
    app.cleanup();
    app
}

fn results(app: &App) -> (u64, u64) {
    (app.world().resource::<Left>().0, app.world().resource::<Right>().0)
}

/// Measures, checks and prints.
pub fn run() -> Outcome {
    let rounds = if quick() { 3 } else { 200 };
    let trial = 1_000_000;
    let measured: Vec<f64> = (0..9).map(|_| timed(|| black_box(compute(trial, 1))).1).collect();
    let steps = Steps((trial as f64 * WORK_S / median(&measured)) as u64);
    MOST.store(0, Ordering::Relaxed);

    let mut chained = app(steps, |app| {
        app.add_systems(Sense, (left, right).chain());
    });
    let mut free = app(steps, |app| {
        app.add_systems(Sense, (left, right));
    });
    let (mut one_after_the_other, mut side_by_side) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        one_after_the_other.push(timed(|| chained.update()).1);
        check(MOST.swap(0, Ordering::Relaxed) == 1, "chained systems ran at once")?;
        side_by_side.push(timed(|| free.update()).1);
        MOST.store(0, Ordering::Relaxed);
    }
    check(results(&chained) == results(&free), "the order of independent systems changes their results")?;
    MEET.store(true, Ordering::Relaxed);
    free.update();
    MEET.store(false, Ordering::Relaxed);
    check(MOST.load(Ordering::Relaxed) == 2, "independent systems did not run at once")?;

    let (chained, free) = (median(&one_after_the_other), median(&side_by_side));
    let mut report = Report::new(
        "parallel",
        &format!("Two systems of {:.0} ms in Sense on two threads; medians of {rounds} ticks.", WORK_S * 1e3),
    );
    let ms = |s: f64| format!("{:.2} ms", s * 1e3);
    report.row("chained_s", "one after the other", chained, ms(chained), "declared with `.chain()`");
    report.row("free_s", "side by side", free, ms(free), "nothing declared, nothing shared");
    report.row(
        "ratio",
        "**times as fast**",
        chained / free,
        format!("**{:.2}**", chained / free),
        "goal: at least 1.8",
    );
    report.print()
}
