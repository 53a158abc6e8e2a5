//! The vehicle around the program: what its devices show and say.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use super::machine::{Image, Machine};
use super::pictures::pictures;
use super::serial_line::Line;

/// Boots a machine with `disks`, the first of which is for recordings, and makes its devices speak.
pub fn boot(image: &Image, folder: &Path, disks: &[&Path]) -> Machine {
    let share = folder.join("share");
    if !share.exists() {
        // Four seconds of a road.
        let count = pictures("[[camera]]\nwidth = 320\nheight = 180\nfps = 10.0\n", "4", &share.join("pictures"));
        assert!(count > 30, "{count} pictures");
        make_sound(&share.join("tone.wav"));
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/vehicle.toml");
        fs::copy(config, share.join("vehicle.toml")).unwrap();
    }
    let mut vm = Machine::boot(image, folder, disks);
    vm.sh("mount -t ext4 /dev/vda /rec && cp -r /host/pictures /host/tone.wav /tmp/");
    // The node is to keep its format while nobody feeds it.
    vm.sh("v4l2-ctl -d20 -c keep_format=1 && v4l2-ctl -d20 --set-fmt-video-out=width=320,height=180,pixelformat=MJPG");
    feed_front_camera(&mut vm);
    // Who unplugs the microphone ends this as well: again, then.
    vm.sh("(while :; do aplay -q -D plughw:0,1,0 /tmp/tone.wav || sleep 0.1; done) >/dev/null 2>&1 &");
    for line in [Line::Gps, Line::Range] {
        vm.line(line).speak();
    }
    vm
}

/// Writes JPEGs to the camera that takes them, from now on.
pub fn feed_front_camera(vm: &mut Machine) {
    vm.sh("feed /dev/video20 /tmp/pictures 0.06 >/dev/null 2>&1 & echo $! >/run/front-feed");
}

/// Ten seconds of a tone. The other end of the loopback has to take it as it is.
fn make_sound(path: &Path) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for n in 0..160_000 {
        let phase = f64::from(n) * 440.0 / 16_000.0 * std::f64::consts::TAU;
        writer.write_sample((libm::sin(phase) * 10_000.0) as i16).unwrap();
    }
    writer.finalize().unwrap();
}

/// An empty disk of so many megabytes, with a file system.
pub fn make_disk(path: &Path, megabytes: u64) {
    File::create(path).unwrap().set_len(megabytes << 20).unwrap();
    let made = Command::new("/sbin/mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(path).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
