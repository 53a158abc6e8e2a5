//! How many instructions the tick, the door, the gate and the recorder take, against a budget that is committed: counted by
//! valgrind, so whatever else the computer does does not matter.
//!
//! For each this program starts itself once more, under callgrind, which counts while its function `counted_…` runs. Everything
//! is then done by one thread. The budget is that of the profile of tests on x86-64, with libjpeg-turbo's SSE2 code, which every
//! such computer has.

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::io::{self, Write};
use std::process::Command;

use bevy_app::App;
use bevy_ecs::schedule::SingleThreadedExecutor;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use waywarden::config::Config;
use waywarden::{drive, session_info};
use waywarden_components::prelude::*;
use waywarden_systems::camera::jpeg::{RgbPicture, encode_rgb};
use waywarden_systems::camera::{GateSettings, first_look, gate};
use waywarden_systems::ingress::Incoming;
use waywarden_systems::session::{Origin, SegmentWriter};

use crate::report::{Outcome, Report, check};
use crate::tick::{Bench, SENTENCES};

/// Says what is counted, in the processes that are.
const INSIDE: &str = "WAYWARDEN_COUNTED";

/// The budget, and how to renew it.
const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/budget.toml");
const RENEW: &str = "WAYWARDEN_WRITE=1 cargo test --workspace --bench measure -- instructions";

/// What is counted: the function, and what it is.
const COUNTED: [(&str, &str); 5] = [
    ("tick_empty", "a tick in which nothing came in"),
    ("tick_inputs", "a tick with sound, sentences and a distance"),
    ("ingress", "the door for those three inputs"),
    ("gate", "the first look at a picture of 640x360, and its judgement"),
    ("recorder", "a tick with a picture and two small inputs into a session"),
];

/// How often each is done.
const TIMES: u64 = 32;

/// The committed figures.
#[derive(Deserialize, Serialize)]
struct Budget {
    /// By how much a count may be above its budget, as a share of it.
    tolerance: f64,
    /// Instructions of each, once.
    instructions: BTreeMap<String, u64>,
}

/// Counts, and compares with the budget.
pub fn run() -> Outcome {
    if let Some(name) = std::env::var_os(INSIDE) {
        return work(&name.to_string_lossy());
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return skipped("valgrind is not installed (script/bootstrap --tests)");
    }
    if !cfg!(all(target_arch = "x86_64", debug_assertions)) {
        return skipped("the budget is that of the profile of tests on x86-64");
    }
    let mut counted = BTreeMap::new();
    for (name, _) in COUNTED {
        counted.insert(name.to_owned(), count(name)? / TIMES);
    }
    let write = std::env::var_os("WAYWARDEN_WRITE").is_some();
    if write {
        renew(&counted)?;
    }
    let budget: Budget = toml::from_str(&std::fs::read_to_string(BUDGET)?)?;
    let about = format!("Instructions by callgrind, one thread, in the profile of tests; mean of {TIMES}.");
    let mut report = Report::new("instructions", &about);
    let mut wrong = Vec::new();
    for (name, what) in COUNTED {
        let (count, most) = (counted.get(name).copied().unwrap_or_default(), budget.instructions.get(name).copied());
        let most = most.ok_or_else(|| format!("{name} has no budget: {RENEW}"))?;
        let share = count as f64 / most as f64;
        if share > 1.0 + budget.tolerance {
            wrong.push(format!(
                "{name} takes {count} instructions, {:.1} % above its budget of {most}",
                (share - 1.0) * 100.0
            ));
        } else if share < 1.0 - budget.tolerance {
            writeln!(io::stdout(), "{name} takes {:.1} % less than its budget: {RENEW}", (1.0 - share) * 100.0)?;
        }
        report.row(name, what, count as f64, format!("{count}"), &format!("{:.1} % of its budget", share * 100.0));
    }
    report.print()?;
    check(wrong.is_empty(), format!("{}. If that is as it should be: {RENEW}", wrong.join("; ")))
}

/// Says why nothing is counted, with a last line for programs.
fn skipped(why: &str) -> Outcome {
    let mut out = io::stdout().lock();
    writeln!(out, "skipped: instruction counts: {why}")?;
    Ok(writeln!(out, "\n{}", serde_json::json!({ "bench": "instructions", "skipped": why }))?)
}

fn renew(counted: &BTreeMap<String, u64>) -> Outcome {
    let budget = Budget { tolerance: 0.03, instructions: counted.clone() };
    let head = format!(
        "# Instructions that the tick, the door, the gate and the recorder may take: counted by valgrind, in the profile of\n\
         # tests, on x86-64. Renewed, where more is as it should be, by\n#\n#     {RENEW}\n#\n\
         # A count may be above its budget by `tolerance`, as a share of it.\n"
    );
    Ok(std::fs::write(BUDGET, head + &toml::to_string(&budget)?)?)
}

/// Runs this program under callgrind, and gives the instructions of one of its functions.
fn count(name: &str) -> Result<u64, Box<dyn Error>> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(format!("--toggle-collect=*counted_{name}*")).arg(std::env::current_exe()?).arg("instructions");
    command.env(INSIDE, name).env("JSIMD_FORCESSE2", "1").env("WAYWARDEN_LOG", "error");
    let done = command.output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    check(done.status.success(), format!("{command:?}: {said}"))?;
    let count = said.lines().find_map(|line| line.split_once("Collected :")).ok_or("callgrind says no sum")?.1;
    let count = count.trim().parse()?;
    check(count > 0, format!("nothing was counted of {name}"))?;
    Ok(count)
}

/// Does what is counted.
fn work(name: &str) -> Outcome {
    match name {
        "gate" => gates(),
        "recorder" => records(),
        _ => ticks(name),
    }
}

fn ticks(name: &str) -> Outcome {
    let mut bench = Bench::new(None)?;
    // What several threads do at once differs from run to run.
    bench.app.edit_schedule(Sense, |schedule| {
        schedule.set_executor(SingleThreadedExecutor::new());
    });
    let stream = |bench: &Bench, wanted: fn(&StreamKind) -> bool| {
        bench.streams.iter().find(|spec| wanted(&spec.kind)).map_or(StreamId::APP, |spec| spec.id)
    };
    let microphone = stream(&bench, |kind| matches!(kind, StreamKind::Microphone));
    let gps = stream(&bench, |kind| matches!(kind, StreamKind::Gps { .. }));
    let range = stream(&bench, |kind| matches!(kind, StreamKind::Range { .. }));
    let connected = |id| (id, Payload::Link(LinkState::Connected));
    bench.ticks(1, |_| vec![connected(microphone), connected(gps), connected(range)])?;
    let inputs = |_| {
        vec![
            (microphone, Payload::Audio(Bytes::from_static(&[3; 640]))),
            (gps, Payload::Serial(Bytes::from_static(SENTENCES))),
            (range, Payload::Serial(Bytes::from_static(b"12.34\r\n"))),
        ]
    };
    bench.ticks(16, inputs)?;
    bench.ticks(64, |_| Vec::new())?;
    for n in 0..TIMES {
        match name {
            "tick_empty" => {
                bench.prepare(Vec::new());
                counted_tick_empty(&mut bench.app)?;
            }
            "tick_inputs" => {
                bench.prepare(inputs(n as usize));
                counted_tick_inputs(&mut bench.app)?;
            }
            _ => {
                bench.prepare(inputs(n as usize));
                counted_ingress(&mut bench.app);
                bench.app.world_mut().run_schedule(Retire);
            }
        }
    }
    Ok(())
}

fn gates() -> Outcome {
    let jpegs = [pattern(0)?, pattern(9)?];
    let mut judged = Gate::default();
    for (n, jpeg) in (0..TIMES).zip(jpegs.iter().cycle()) {
        counted_gate(&mut judged, jpeg, Mono(n * 33_000_000));
    }
    check(judged.judged == TIMES && judged.accepted > 1, format!("{judged:?}"))
}

fn records() -> Outcome {
    let jpegs = [pattern(0)?, pattern(9)?];
    let folder = tempfile::tempdir()?;
    let config = Config::default();
    let info = session_info::describe(Origin::Live, &config, &config.streams(), Default::default());
    let mut writer = SegmentWriter::create(&folder.path().join("counted.mcap"), &info)?;
    for (tick, jpeg) in (1..=TIMES).zip(jpegs.iter().cycle()) {
        let now = Mono(tick * 10_000_000);
        let input = |stream: u16, payload| Input { stream: StreamId(stream), seq: tick, captured: now, payload };
        let mut inputs = vec![
            input(1, Payload::Frame(jpeg.clone())),
            input(2, Payload::Audio(Bytes::from_static(&[3; 640]))),
            input(3, Payload::Serial(Bytes::from_static(SENTENCES))),
        ];
        if tick == 1 {
            let start = Payload::Boundary { segment: 0, reason: BoundaryReason::Start };
            inputs.insert(0, Input { stream: StreamId::APP, seq: 0, captured: now, payload: start });
        }
        counted_recorder(&mut writer, &Incoming { tick, now, inputs })?;
    }
    Ok(writer.finish()?)
}

/// A pattern with a bar at a place, as a JPEG of 640x360.
fn pattern(bar: u32) -> Result<Bytes, Box<dyn Error>> {
    let (width, height) = (640, 360);
    let pixel = |x: u32, y: u32| match x / 64 {
        column if column == bar => [255; 3],
        _ => [(x * y % 97) as u8, (x % 251) as u8, (y % 241) as u8],
    };
    let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    Ok(encode_rgb(&RgbPicture { width, height, data }, 85)?)
}

#[inline(never)]
fn counted_tick_empty(app: &mut App) -> Outcome {
    // Not the last thing that is done, or the call might become a jump, which is not counted.
    black_box(once(app))
}

#[inline(never)]
fn counted_tick_inputs(app: &mut App) -> Outcome {
    black_box(once(app))
}

#[inline(never)]
fn counted_ingress(app: &mut App) {
    app.world_mut().run_schedule(Ingress);
    black_box(app);
}

#[inline(never)]
fn counted_gate(judged: &mut Gate, jpeg: &[u8], captured: Mono) {
    let look = first_look(black_box(jpeg), None);
    if let Thumbnail::Ready { luma, .. } = &look.thumbnail {
        black_box(gate::judge(judged, luma, captured, &GateSettings::default()));
    }
}

#[inline(never)]
fn counted_recorder(writer: &mut SegmentWriter, incoming: &Incoming) -> Outcome {
    let done = black_box(writer.tick(incoming));
    Ok(done?)
}

/// One tick.
fn once(app: &mut App) -> Outcome {
    match drive::tick(app) {
        Ok(_) => Ok(()),
        Err(failure) => Err(failure.to_string().into()),
    }
}
