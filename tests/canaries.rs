//! Each mistake that makes a run unrepeatable must be caught by the check that every replay goes through.
//!
//! A canary is a plugin with one such mistake. It is recorded live and replayed, in processes of their own, because
//! pools of threads are global to a process; the session without a canary passes the same replays.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: what is wrong ends it")]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the mistakes are what is tested")]

#[path = "support/program.rs"]
mod program;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use bevy_app::App;
use bevy_ecs::prelude::*;
use bevy_tasks::AsyncComputeTaskPool;
use clap::Parser;
use crossbeam_channel::{Receiver, Sender};
use serde::{Deserialize, Serialize};
use waywarden::cli::{Cli, Command as Sub};
use waywarden::command::replay;
use waywarden::config::Config;
use waywarden::live::{self, LiveRun};
use waywarden::progress::Show;
use waywarden_components::prelude::*;
use waywarden_systems::registry::Register;

/// What a canary writes: state like any other.
#[derive(Resource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Song(u64);

/// What the interior canary writes: changed through a shared reference, so that no ambiguity is seen.
#[derive(Resource, Debug, Default, Serialize, Deserialize)]
struct Hidden(AtomicU64);

/// Entities that several systems spawn.
#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Egg(u64);

waywarden_components::kinds! { Song => "song", Hidden => "hidden", Egg => "egg" }

/// The canaries of the design.
const CANARIES: [&str; 7] = [
    "unordered_map",
    "entity_order",
    "wall_clock",
    "unordered_systems",
    "finish_order",
    "channel_outside_ingress",
    "interior_mutability",
];

fn mix(hash: u64, value: u64) -> u64 {
    (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

fn unordered_map(mut song: ResMut<Song>, clock: Res<Clock>) {
    let map: HashMap<u64, u64> = (0..16).map(|n| (n, clock.tick)).collect();
    song.0 = map.keys().fold(song.0, |hash, key| mix(hash, *key));
}

fn lay<const N: u64>(mut commands: Commands, clock: Res<Clock>) {
    let id = StableId::new(StreamId(0x9000 + N as u16), clock.tick);
    commands.spawn((id, Stamp { captured: clock.now, seq: clock.tick }, Egg(N)));
}

fn entity_order(eggs: Query<(Entity, &Egg)>, mut song: ResMut<Song>) {
    let mut eggs: Vec<_> = eggs.iter().collect();
    eggs.sort_by_key(|(entity, _)| *entity);
    song.0 = eggs.iter().fold(song.0, |hash, (_, egg)| mix(hash, egg.0));
}

fn wall_clock(mut song: ResMut<Song>) {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    song.0 = START.elapsed().as_micros() as u64;
}

fn sing<const N: u64>(mut song: ResMut<Song>) {
    song.0 = mix(song.0, N);
}

type Answers = (Sender<u64>, Receiver<u64>);
static ANSWERS: LazyLock<Answers> = LazyLock::new(|| crossbeam_channel::bounded(4096));

/// Takes results of tasks as they come instead of through Ingress.
fn finish_order(mut song: ResMut<Song>, clock: Res<Clock>) {
    for n in 0..4 {
        let (sender, work) = (ANSWERS.0.clone(), mix(clock.tick, n) % 2000);
        AsyncComputeTaskPool::get()
            .spawn(async move {
                std::thread::sleep(Duration::from_micros(work));
                let _ = sender.try_send(n);
            })
            .detach();
    }
    song.0 = ANSWERS.1.try_iter().fold(song.0, mix);
}

static HEARD: LazyLock<Mutex<Option<Receiver<u64>>>> = LazyLock::new(Default::default);

fn channel_outside_ingress(mut song: ResMut<Song>) {
    let mut heard = HEARD.lock().unwrap();
    let receiver = heard.get_or_insert_with(|| {
        let (sender, receiver) = crossbeam_channel::bounded(64);
        std::thread::Builder::new()
            .spawn(move || {
                for n in 0.. {
                    std::thread::sleep(Duration::from_millis(7));
                    if sender.send(n).is_err() {
                        return;
                    }
                }
            })
            .unwrap();
        receiver
    });
    song.0 = receiver.try_iter().fold(song.0, mix);
}

fn hide<const N: u64>(hidden: Res<Hidden>) {
    hidden.0.store(N, Ordering::SeqCst);
}

/// Adds the canary of this name, and the state that it writes.
fn add_canary(app: &mut App, name: &str) {
    app.init_resource::<Song>().init_resource::<Hidden>();
    app.state_resource::<Song>().state_resource::<Hidden>().state::<Egg>();
    match name {
        "none" => {}
        "unordered_map" => drop(app.add_systems(Sense, unordered_map)),
        "entity_order" => {
            app.add_systems(Sense, (lay::<1>, lay::<2>, lay::<3>, lay::<4>)).add_systems(Understand, entity_order);
        }
        "wall_clock" => drop(app.add_systems(Sense, wall_clock)),
        "unordered_systems" => {
            // Silenced, as somebody in a hurry would.
            app.add_systems(
                Sense,
                (
                    sing::<1>.ambiguous_with_all(),
                    sing::<2>.ambiguous_with_all(),
                    sing::<3>.ambiguous_with_all(),
                    sing::<4>.ambiguous_with_all(),
                ),
            );
        }
        "finish_order" => drop(app.add_systems(Sense, finish_order)),
        "channel_outside_ingress" => drop(app.add_systems(Sense, channel_outside_ingress)),
        "interior_mutability" => drop(app.add_systems(Sense, (hide::<1>, hide::<2>, hide::<3>, hide::<4>))),
        other => panic!("no canary `{other}`"),
    }
}

/// Runs in a process of its own, started by the other tests: records or replays with a canary.
#[test]
fn child() {
    let Ok(canary) = std::env::var("CANARY") else { return };
    if let Ok(session) = std::env::var("CANARY_RECORD") {
        let mut config = Config::default().simulated();
        config.camera[0].width = 320;
        config.camera[0].height = 180;
        config.camera[0].loop_frames = 10;
        config.threads.compute = 4;
        let duration = Some(Duration::from_secs(2));
        let session = Some(session.into());
        let plan = LiveRun { config, reread: None, session, models: None, duration, show: Show::Nothing };
        live::run_with(plan, |app| add_canary(app, &canary)).unwrap();
        return;
    }
    let args = std::env::var("CANARY_REPLAY").unwrap();
    let cli = Cli::try_parse_from(args.split('\n')).unwrap();
    let Sub::Replay(args) = &cli.command else { panic!("not a replay") };
    let mut out = Vec::new();
    let result = replay::run_with(args, &mut out, |app| add_canary(app, &canary));
    if let Err(failure) = result {
        println!("CAUGHT {} {failure}", failure.code as u8);
    } else {
        println!("PASSED");
    }
}

fn child_with(canary: &str, variable: &str, value: &str) -> Output {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
        .env("CANARY", canary)
        .env("XDG_DATA_HOME", "/nonexistent")
        .env(variable, value)
        .output()
        .unwrap();
    assert!(output.status.success(), "{canary}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Threads, shuffle and jitter of the replays that a session must pass.
const REPLAYS: [(&str, &str, &str); 6] =
    [("1", "1", "1"), ("2", "2", "2"), ("4", "3", "3"), ("8", "1", "2"), ("4", "2", "1"), ("2", "3", "3")];

/// Records with a canary and replays; the differences that were found, of the replays that were made.
fn differences(canary: &str, stop_at_first: bool) -> Vec<String> {
    let folder = program::folder();
    let session = folder.path().join("session");
    child_with(canary, "CANARY_RECORD", program::text(&session));
    let mut caught = Vec::new();
    for (threads, shuffle, jitter) in REPLAYS {
        if let Some(difference) = replay_once(canary, &session, threads, shuffle, jitter) {
            caught.push(difference);
            if stop_at_first {
                break;
            }
        }
    }
    caught
}

fn replay_once(canary: &str, session: &Path, threads: &str, shuffle: &str, jitter: &str) -> Option<String> {
    let args = ["waywarden", "replay", program::text(session), "--verify", "--json", "--threads", threads];
    let args = [&args[..], &["--shuffle", shuffle, "--jitter", jitter]].concat().join("\n");
    let output = child_with(canary, "CANARY_REPLAY", &args);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if out.contains("PASSED") {
        return None;
    }
    let line = out.lines().find_map(|line| line.split_once("CAUGHT ")).map(|(_, difference)| difference.to_owned());
    Some(line.unwrap_or_else(|| panic!("{canary}: neither passed nor caught:\n{out}")))
}

#[test]
fn every_canary_is_caught() {
    for canary in CANARIES {
        let caught = differences(canary, true);
        let difference = caught.first().unwrap_or_else(|| panic!("`{canary}` got through every replay"));
        println!("{canary}: {difference}");
        // Code 1 is a difference: not bad input, not a crash. It names tick, kind and both values.
        assert!(difference.starts_with("1 "), "{canary}: {difference}");
        assert!(difference.contains("tick ") && difference.contains("recorded"), "{canary}: {difference}");
        assert!(
            ["`song`", "`hidden`", "`egg`"].iter().any(|kind| difference.contains(kind)),
            "{canary}: blamed on something else: {difference}"
        );
    }
}

#[test]
fn without_a_canary_every_replay_passes() {
    assert_eq!(differences("none", false), Vec::<String>::new());
}

/// Two systems that write the same and are not ordered do not even get to run.
#[test]
#[should_panic(expected = "ambig")]
fn undeclared_order_is_an_error() {
    let parts = waywarden::app::Parts::idle();
    let mut app = waywarden::app::build(&Config::default(), &[], parts);
    add_canary(&mut app, "none");
    app.add_systems(Sense, (sing::<1>, sing::<2>));
    app.finish();
    app.cleanup();
    app.world_mut().run_schedule(Sense);
}
