//! What vehicles do to hardware, one thing after the other, and what the journal must say of each.

use std::time::Duration;

use waywarden_components::prelude::*;

use super::drive::Drive;
use super::journal::{Event, Journal};
use super::machine::Machine;
use super::serial_line::Line;
use super::vehicle::feed_front_camera;

/// What an emulated machine, on a machine that builds something at the same time, may take longer.
pub const EMULATED: Duration = Duration::from_secs(5);

/// A device that is there again is back after so long.
const BACK: Duration = Duration::from_secs(2);

/// Something that is done to a device, and undone.
struct Fault {
    /// What it is, for whoever reads the output.
    what: &'static str,
    device: &'static str,
    /// What its health says then: one of these is part of the reason.
    reasons: &'static [&'static str],
    /// Whether the driver has to open the device anew.
    reopened: bool,
    inject: fn(&mut Machine),
    /// What ends it; nothing where it ends by itself.
    mend: fn(&mut Machine),
}

/// A fault that has been, by the clock in there.
pub struct Episode {
    fault: &'static Fault,
    injected: Mono,
    mended: Mono,
    over: Mono,
}

static FAULTS: &[Fault] = &[
    Fault {
        what: "camera stalled",
        device: "rear",
        reasons: &["nothing came"],
        reopened: true,
        inject: |vm| drop(vm.sh("v4l2-ctl -d0 -c percentage_of_dropped_buffers=100")),
        mend: |vm| drop(vm.sh("v4l2-ctl -d0 -c percentage_of_dropped_buffers=0")),
    },
    Fault {
        what: "camera frozen for good",
        device: "front",
        reasons: &["nothing came"],
        reopened: true,
        inject: |vm| drop(vm.sh("kill $(cat /run/front-feed)")),
        mend: feed_front_camera,
    },
    Fault {
        what: "camera unplugged",
        device: "rear",
        reasons: &["is it plugged in?"],
        reopened: true,
        inject: |vm| drop(vm.sh("echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind")),
        mend: |vm| drop(vm.sh("echo vivid.0 >/sys/bus/platform/drivers/vivid/bind")),
    },
    Fault {
        what: "microphone unplugged",
        device: "microphone",
        reasons: &["there is no microphone"],
        reopened: true,
        inject: |vm| drop(vm.sh("echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/unbind")),
        mend: |vm| drop(vm.sh("echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/bind")),
    },
    Fault {
        what: "fatal streaming error",
        device: "rear",
        reasons: &["Input/output error"],
        reopened: true,
        inject: |vm| drop(vm.sh("v4l2-ctl -d0 -c inject_fatal_streaming_error=1")),
        mend: |_| {},
    },
    Fault {
        what: "receiver silent",
        device: "gps",
        reasons: &["nothing came", "silent", "no fix"],
        reopened: false,
        inject: |vm| vm.line(Line::Gps).say_nothing(),
        mend: |vm| vm.line(Line::Gps).speak(),
    },
    Fault {
        what: "camera that fails to open",
        device: "rear",
        reasons: &["EINVAL"],
        reopened: true,
        // The second ends the stream, the first meets whoever starts it anew.
        inject: |vm| drop(vm.sh("v4l2-ctl -d0 -c inject_vidioc_streamon_error=1 -c inject_fatal_streaming_error=1")),
        mend: |_| {},
    },
    Fault {
        what: "range sensor silent",
        device: "range",
        reasons: &["nothing came", "silent"],
        reopened: false,
        inject: |vm| vm.line(Line::Range).say_nothing(),
        mend: |vm| vm.line(Line::Range).speak(),
    },
    Fault {
        what: "receiver unplugged",
        device: "gps",
        reasons: &["lost, being tried again: unplugged", "there is no"],
        reopened: true,
        inject: |vm| vm.unplug(Line::Gps),
        mend: |vm| {
            vm.plug_in(Line::Gps);
            vm.line(Line::Gps).speak();
        },
    },
    Fault {
        what: "sentences garbled",
        device: "gps",
        reasons: &["no fix", "checksum"],
        reopened: false,
        inject: |vm| vm.line(Line::Gps).speak_garbled(),
        mend: |vm| vm.line(Line::Gps).speak(),
    },
];

/// Does everything to the devices that is to be done, and waits each time until all is well again.
pub fn suffer(vm: &mut Machine, drive: &mut Drive) -> Vec<Episode> {
    FAULTS.iter().map(|fault| suffer_one(vm, drive, fault)).collect()
}

fn suffer_one(vm: &mut Machine, drive: &mut Drive, fault: &'static Fault) -> Episode {
    let injected = vm.uptime();
    (fault.inject)(vm);
    let said = drive.hear(fault.device, |line| fault.reasons.iter().any(|reason| line.contains(reason)));
    let mended = vm.uptime();
    (fault.mend)(vm);
    drive.hear_well(&[fault.device]);
    let over = vm.uptime();
    println!("{}: {said}; over after {:.1} s", fault.what, over.since(injected).as_secs_f64());
    Episode { fault, injected, mended, over }
}

impl Episode {
    /// The journal says what it was and when, that it was over soon, and samples came again.
    pub fn check(&self, journal: &Journal) {
        let Self { fault, injected, mended, over } = self;
        let (what, device) = (fault.what, fault.device);
        let noticed = journal.trouble(device, *injected, fault.reasons);
        let (noticed, reason) = noticed.unwrap_or_else(|| panic!("{what}: not in the journal"));
        assert!(noticed < *over + EMULATED, "{what}: noticed after it was over");
        let well = journal.well(device, noticed).unwrap_or_else(|| panic!("{what}: never well again"));
        let back = well.since((*mended).max(noticed));
        assert!(back < BACK + EMULATED, "{what}: it took {back:?} to come back");
        let links: Vec<&LinkState> = journal.links(device, *injected, well + EMULATED).collect();
        let lost = links.iter().position(|link| matches!(link, LinkState::Lost(_)));
        let connected = links.iter().rposition(|link| **link == LinkState::Connected);
        assert!(lost < connected || !fault.reopened, "{what}: opened anew? {links:?}");
        let samples = journal.count(device, well, well + EMULATED, &Event::Sample);
        assert!(samples >= 4, "{what}: {samples} samples in {EMULATED:?} after it was over");
        println!("{what}: `{reason}` after {:?}, well after {back:?}", noticed.since(*injected));
    }
}
