//! A vehicle in a virtual machine: the program under a stock kernel, with cameras, a microphone and serial lines that are
//! real as far as it can tell, and with everything that vehicles do to hardware.
//!
//! In `tests/vm/`: `image` makes what is booted, `machine.rs` runs it, `vehicle.rs` plays the devices, `faults.rs` is what
//! happens to them, `drive.rs` the program in there (its config is `vehicle.toml`), `journal.rs` what its session says,
//! `outbox.rs` what it could not tell anybody.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "a test of minutes says where it is, and a skipped one why")]

#[path = "vm/drive.rs"]
mod drive;
#[path = "vm/faults.rs"]
mod faults;
#[path = "vm/journal.rs"]
mod journal;
#[path = "vm/machine.rs"]
mod machine;
#[path = "vm/outbox.rs"]
mod outbox;
#[path = "support/pictures.rs"]
mod pictures;
#[path = "support/program.rs"]
mod program;
#[path = "vm/serial_line.rs"]
mod serial_line;
#[path = "support/told.rs"]
mod told;
#[path = "vm/vehicle.rs"]
mod vehicle;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use drive::Drive;
use faults::EMULATED;
use journal::{Event, Journal};
use machine::{Image, Machine};
use program::{json, run, text};
use waywarden_components::prelude::*;

/// The devices, and half of what they deliver: samples a second.
const DEVICES: [(&str, f64); 5] = [("front", 5.0), ("rear", 2.5), ("microphone", 25.0), ("gps", 1.0), ("range", 10.0)];

/// How long an orderly end may take.
const ORDERLY: Duration = Duration::from_secs(3);

/// What a power cut or a crash may cost.
const LOST: Duration = Duration::from_secs(1);

#[test]
fn a_vehicle_in_a_virtual_machine() {
    let Some(image) = Image::make() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (large, small) = (folder.path().join("large"), folder.path().join("small"));
    vehicle::make_disk(&large, 256);
    vehicle::make_disk(&small, 16);

    let mut vm = vehicle::boot(&image, folder.path(), &[&large, &small]);
    devices_that_suffer(&mut vm);
    a_full_disk(&mut vm);
    an_end_under_load(&mut vm);
    a_crash(&mut vm);
    let cut = a_drive_to_be_cut(&mut vm);
    vm.cut_power();

    let mut vm = vehicle::boot(&image, folder.path(), &[&large]);
    after_the_power_cut(&mut vm, cut);
    what_waited_for_the_broker(&mut vm, cut);
    vm.switch_off();
}

/// The session replays here, on another processor, to the digests that it was recorded with.
fn replays(session: &Path) {
    let summary = json(&["replay", text(session), "--verify", "--jobs", "recorded", "--json"]);
    assert_eq!(summary["verified"]["differing"], 0);
    let ticks = summary["verified"]["ticks"].as_u64().unwrap();
    assert!(ticks > 50, "{summary}");
    println!("{ticks} ticks replay to the same digests");
}

/// All devices at once, then all that can happen to them, in one session.
fn devices_that_suffer(vm: &mut Machine) {
    let mut drive = Drive::start(vm, "faults", "/rec/faults");
    drive.hear_well(&DEVICES.map(|(device, _)| device));
    let began = vm.uptime();
    drive.recorded(vm, 3_000_000);
    let calm = vm.uptime();
    let episodes = faults::suffer(vm, &mut drive);
    drive.recorded(vm, 1_000_000);
    assert_eq!(drive.end(vm, "TERM").0, 0, "{}", drive.said());

    let session = drive.fetch(vm);
    replays(&session);
    let journal = Journal::read(&session);
    let rates = DEVICES.map(|(device, _)| (device, journal.rate(device, began, calm, &Event::Sample)));
    println!("samples a second: {rates:.1?}");
    for ((device, rate), (_, least)) in rates.into_iter().zip(DEVICES) {
        assert!(rate >= least, "{device}: {rate} samples a second");
    }
    // What came could be understood.
    assert!(journal.rate("gps", began, calm, &Event::Finding) >= 1.0);
    assert!(journal.rate("range", began, calm, &Event::Finding) >= 10.0);
    assert!(journal.rate("front", began, calm, &Event::Finding) >= 5.0);
    for episode in episodes {
        episode.check(&journal);
    }
    assert_eq!(journal.missing, 0);
}

/// The disk is full: the program goes on and says so, and records again when there is room.
fn a_full_disk(vm: &mut Machine) {
    vm.sh("mkdir /small && mount -t ext4 /dev/vdb /small");
    let mut drive = Drive::start(vm, "full", "/small/rec");
    drive.hear_well(&DEVICES.map(|(device, _)| device));
    drive.recorded(vm, 300_000);
    let (status, _) = vm.try_sh("dd if=/dev/zero of=/small/other bs=64k");
    assert_ne!(status, 0, "the disk is not full");
    let said = drive.hear("recorder", |line| line.contains("No space left"));
    vm.sh("rm /small/other");
    drive.hear("recorder", |line| line.contains("active"));
    let mended = vm.uptime();
    drive.recorded(vm, 300_000);
    // What was lost is a failure, in the end.
    assert_eq!(drive.end(vm, "TERM").0, 3, "{}", drive.said());
    let session = drive.fetch(vm);
    vm.sh("umount /small");
    replays(&session);
    let journal = Journal::read(&session);
    println!("full disk: {said}; {} ticks were lost", journal.missing);
    assert!(journal.missing > 0, "nothing was lost?");
    for (device, _) in DEVICES {
        assert!(journal.count(device, mended, journal.last, &Event::Sample) > 0, "{device} behind the gap");
    }
}

/// It is told to end while others want the processor.
fn an_end_under_load(vm: &mut Machine) {
    let mut drive = Drive::start(vm, "load", "/rec/load");
    drive.hear_well(&DEVICES.map(|(device, _)| device));
    vm.sh("for n in 1 2 3 4; do yes >/dev/null & echo $! >>/run/load-pids; done");
    drive.recorded(vm, 1_000_000);
    let (status, took) = drive.end(vm, "TERM");
    vm.sh("kill $(cat /run/load-pids)");
    println!("SIGTERM under load: ended after {took:?}");
    assert_eq!(status, 0, "{}", drive.said());
    assert!(took < ORDERLY + EMULATED, "{took:?}");
    let session = drive.fetch(vm);
    let inspected = String::from_utf8(run(&["inspect", text(&session)]).stdout).unwrap();
    assert!(inspected.contains("  whole      yes"), "{inspected}");
    replays(&session);
}

/// It crashes as C code may make it: what was recorded can be used, and the next session says what happened.
fn a_crash(vm: &mut Machine) {
    let mut drive = Drive::start(vm, "crash", "/rec/crash");
    drive.hear_well(&DEVICES.map(|(device, _)| device));
    drive.recorded(vm, 1_000_000);
    let crashed = vm.uptime();
    assert_eq!(drive.end(vm, "SEGV").0, 128 + 11, "{}", drive.said());
    let session = drive.fetch(vm);
    replays(&session);
    let lost = crashed.since(Journal::read(&session).last);
    println!("SIGSEGV: {lost:?} are lost");
    assert!(lost <= LOST + EMULATED, "{lost:?} are lost");

    let mut drive = Drive::start(vm, "after", "/rec/crash");
    drive.hear_well(&DEVICES.map(|(device, _)| device));
    assert_eq!(drive.end(vm, "TERM").0, 0, "{}", drive.said());
    let journal = Journal::read(&drive.fetch(vm));
    let told = journal.notices.iter().find(|(_, _, text)| text.contains("SIGSEGV"));
    println!("the next session: {:?}", told.unwrap_or_else(|| panic!("not a word of it: {:?}", journal.notices)));
}

/// Records, until just before the power is cut.
fn a_drive_to_be_cut(vm: &mut Machine) -> Mono {
    let mut drive = Drive::start(vm, "cut", "/rec/cut");
    drive.hear_well(&DEVICES.map(|(device, _)| device));
    drive.recorded(vm, 2_000_000);
    vm.uptime()
}

/// What was there a second before the power was cut can be read, and replays.
fn after_the_power_cut(vm: &mut Machine, cut: Mono) {
    let session = drive::fetch(vm, "/rec/cut", "cut");
    let lost = cut.since(Journal::read(&session).last);
    println!("power cut: {lost:?} are lost");
    assert!(lost <= LOST + EMULATED, "{lost:?} are lost");
    replays(&session);
}

/// There never was a broker. What was there to tell is on disk, over a crash and the power cut: all of what ended in order,
/// and of what did not all but the last moments.
fn what_waited_for_the_broker(vm: &mut Machine, cut: Mono) {
    vm.sh("cp -r /rec/spool /host/");
    let runs = outbox::read(&vm.share().join("spool"));
    assert!(runs.len() >= 6, "{:?}", runs.keys());
    for waits in runs.values() {
        waits.assert_whole();
    }
    for orderly in ["faults", "load"] {
        let (run, told) = told::told(&vm.share().join(orderly).join("session"));
        let waits: BTreeMap<String, u64> =
            runs[&run].streams.iter().map(|(stream, numbers)| (stream.clone(), numbers.len() as u64)).collect();
        assert_eq!(waits, told, "{orderly}");
    }
    let (run, _) = told::told(&vm.share().join("cut/session"));
    let lost = cut.since(runs[&run].last);
    let count: usize = runs.values().map(outbox::Told::count).sum();
    println!(
        "{count} messages of {} runs wait for a broker; of the last {lost:?} before the power cut none",
        runs.len()
    );
    assert!(lost <= LOST + EMULATED, "{lost:?} are lost");
}
