//! A loudspeaker of ALSA's that a test hears: a device of type `file` that writes into a FIFO.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// What a device that takes anything is given: 48 kHz, two channels, floating point.
pub const RATE: f64 = 48_000.0;
/// Bytes of a frame.
pub const FRAME: usize = 8;

/// The device `out` of the `asound.conf` that is written here, and what it writes into. Whoever reads does it at the pace of sound.
pub fn loudspeaker(dir: &Path) -> File {
    let path = dir.join("sound");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let alsa = format!(
        "pcm.null {{ type null }}\npcm.out {{ type file slave.pcm \"null\" file \"{}\" format \"raw\"\n\
         hint {{ show on description \"A test's loudspeaker\" }} }}\n",
        path.display()
    );
    std::fs::write(dir.join("asound.conf"), alsa).unwrap();
    OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).unwrap()
}
