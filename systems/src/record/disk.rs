//! What the recorder must know of the disk that it writes to.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

/// Room on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What this user may still write.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// The room on the disk of `path`.
///
/// # Errors
/// When there is no such disk.
pub fn space(path: &Path) -> io::Result<Space> {
    let disk = statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size() as u64);
    Ok(Space { free: bytes(disk.blocks_available() as u64), total: bytes(disk.blocks() as u64) })
}

/// The disk on which a folder was when the recording began.
///
/// The folder of a disk that has been unmounted is still there, or can be made, but it is on another disk: often the
/// small one that the computer starts from, which must not be filled.
#[derive(Clone, Debug)]
pub struct Home {
    folder: PathBuf,
    /// The disk on which the mount point is; none for a folder on the root file system.
    below: Option<u64>,
}

impl Home {
    /// The disk of `folder`, which is there.
    pub fn of(folder: &Path) -> Self {
        let resolved = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let disks: Vec<u64> =
            resolved.ancestors().filter_map(|path| path.metadata().ok()).map(|meta| meta.dev()).collect();
        let below = disks.iter().copied().find(|disk| Some(disk) != disks.first());
        Self { folder: resolved, below }
    }

    /// Makes sure that something is mounted where the disk was: the same disk again, or another one.
    ///
    /// # Errors
    /// When nothing is.
    pub fn check(&self) -> io::Result<()> {
        let nearest = self.folder.ancestors().find_map(|path| path.metadata().ok());
        match (self.below, nearest.as_ref().map(Metadata::dev)) {
            (Some(below), Some(disk)) if disk == below => {
                Err(io::Error::new(io::ErrorKind::NotFound, "the disk is gone: it is not mounted any more"))
            }
            _ => Ok(()),
        }
    }
}

/// A new file is only there after a power cut when its folder is on the disk too.
///
/// # Errors
/// When the disk does not take it.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_on_a_disk_and_none_where_there_is_no_disk() {
        let folder = tempfile::tempdir().unwrap();
        let space = space(folder.path()).unwrap();
        assert!(space.total > 0 && space.free <= space.total, "{space:?}");
        assert!(super::space(&folder.path().join("nothing")).is_err());
    }

    #[test]
    fn a_folder_that_fell_through_to_the_disk_below_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let session = folder.path().join("session");
        std::fs::create_dir(&session).unwrap();
        let mut home = Home::of(&session);
        home.check().unwrap();
        // As if another disk had been mounted there: what is found now is the disk below.
        home.below = Some(folder.path().metadata().unwrap().dev());
        assert!(home.check().is_err());
        std::fs::remove_dir(&session).unwrap();
        assert!(home.check().is_err(), "the folder above tells");
        home.below = None;
        home.check().unwrap();
    }
}
