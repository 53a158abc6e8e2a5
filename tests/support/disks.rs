//! Small disks that are mounted for a test, and made to fail. All of it needs root; a test without is skipped.

#![expect(clippy::print_stdout, reason = "a skipped test says why")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Cuts a file system off from its disk: `FS_IOC_SHUTDOWN`, without writing the log.
const SHUT_DOWN: &str = "\
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))
";

/// A disk that is mounted as long as this lives.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    /// The device, if there is one: `loop3`.
    device: Option<String>,
}

/// A disk that does not answer as long as this lives.
pub struct Frozen<'a>(&'a Disk);

fn did(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

fn skipped<T>(why: &str) -> Option<T> {
    println!("skipped: {why}");
    None
}

impl Disk {
    /// A disk in memory at `folder`, of a size such as `40m`.
    pub fn memory(folder: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let folder = folder.to_owned();
        if !did("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", folder.to_str().unwrap()]) {
            return skipped("this user may not mount a small disk");
        }
        Some(Self { folder, device: None })
    }

    /// A new disk of 64 MB at `folder`, whose content is in the file `image`.
    pub fn image(folder: &Path, image: &Path) -> Option<Self> {
        File::create(image).unwrap().set_len(64 << 20).unwrap();
        if !did("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]) {
            return skipped("there is no mkfs.ext4");
        }
        Self::mount(folder, image).or_else(|| skipped("this user may not mount an image"))
    }

    /// The disk in the file `image`, as it was left.
    pub fn mount(folder: &Path, image: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let place = folder.to_str().unwrap();
        let options = "loop,noatime,errors=remount-ro";
        if !did("mount", &["-t", "ext4", "-o", options, image.to_str().unwrap(), place]) {
            return None;
        }
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let device = mounts.lines().find_map(|line| {
            let mut words = line.split(' ');
            let device = words.next()?.strip_prefix("/dev/")?;
            (words.next() == Some(place)).then(|| device.to_owned())
        });
        // Whatever is broken below must never be another disk.
        let device = device.filter(|device| device.starts_with("loop"));
        assert!(device.is_some(), "{place} is not where it was mounted");
        Some(Self { folder: folder.to_owned(), device })
    }

    fn place(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    /// Fills it to the last byte with a file, which is returned.
    pub fn fill(&self) -> PathBuf {
        let path = self.folder.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
        path
    }

    /// Unmounts it, whoever uses it: they keep what they have opened.
    pub fn pull(self) {
        drop(self);
    }

    /// The kernel finds an error on it, and lets nobody write any more.
    pub fn make_read_only(&self) -> bool {
        let device = self.device.as_deref().unwrap();
        let done = std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").is_ok();
        done || skipped::<()>("this kernel injects no errors into ext4").is_some()
    }

    /// The disk itself is gone: every access fails.
    pub fn fail(&self) -> bool {
        assert!(self.device.is_some());
        did("python3", &["-c", SHUT_DOWN, self.place()])
            || skipped::<()>("no Python, or a kernel that does not cut ext4 off").is_some()
    }

    /// The disk does not answer any more.
    pub fn freeze(&self) -> Option<Frozen<'_>> {
        assert!(self.device.is_some());
        if did("fsfreeze", &["--freeze", self.place()]) { Some(Frozen(self)) } else { skipped("no fsfreeze") }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        did("fsfreeze", &["--unfreeze", self.0.place()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        did("umount", &["--lazy", self.place()]);
    }
}
