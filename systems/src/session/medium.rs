//! What a segment is written to, and how far that has come.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, fstatvfs};

/// Bytes that are gathered before they are handed over: the container writes many that are a few bytes long.
const GATHERED: usize = 64 << 10;

/// An open file that only grows. Every call may take as long as the disk likes.
pub trait Medium: Send + Sync + 'static {
    /// Writes all of `bytes` behind what is there.
    ///
    /// # Errors
    /// When the disk does not take them; a part of them may be there.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Waits until the disk has everything.
    ///
    /// # Errors
    /// When it has not.
    fn sync(&self) -> io::Result<()>;

    /// Cuts off what is behind the first `length` bytes.
    ///
    /// # Errors
    /// When the file cannot be changed.
    fn shorten(&self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()?;
        // On a disk that became read-only Linux has nothing to do, calls that success, and forgets what it had not written.
        if fstatvfs(self)?.flags().contains(FsFlags::ST_RDONLY) {
            return Err(Errno::EROFS.into());
        }
        // An ext4 whose journal was given up while this was waiting confirms what it then drops: fdatasync finds its transaction
        // neither running nor committing, takes it for committed and returns success. Only a change that needs the journal is
        // refused from that moment on, and a change of the length to what it is is one. Elsewhere it is next to free.
        self.set_len(self.metadata()?.len())
    }

    fn shorten(&self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.sync_data()
    }
}

impl Medium for Arc<dyn Medium> {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (**self).append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        (**self).sync()
    }

    fn shorten(&self, length: u64) -> io::Result<()> {
        (**self).shorten(length)
    }
}

/// How far a file has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes that the container has written.
    accepted: AtomicU64,
    /// Of them, those that the medium has taken.
    taken: AtomicU64,
    /// Nothing is written any more.
    over: AtomicBool,
}

impl Progress {
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Refuses everything from now on: a container that is dropped would write its footer behind half a chunk.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The container's view of a medium.
///
/// What could not be written once is not tried again: the bytes would follow a hole.
pub(super) struct Tape {
    medium: Arc<dyn Medium>,
    gathered: Vec<u8>,
    progress: Arc<Progress>,
}

impl Tape {
    pub fn new(medium: Arc<dyn Medium>, progress: Arc<Progress>) -> Self {
        Self { medium, gathered: Vec::with_capacity(GATHERED), progress }
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        if self.progress.over.load(Ordering::Relaxed) {
            return Err(io::Error::other("nothing is written behind a failure"));
        }
        self.medium.append(bytes).inspect_err(|_| self.progress.end())?;
        self.progress.taken.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gathered.len() + bytes.len() > GATHERED {
            self.flush()?;
        }
        if bytes.len() >= GATHERED {
            self.append(bytes)?
        } else {
            self.gathered.extend_from_slice(bytes)
        }
        self.progress.accepted.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            self.append(&self.gathered)?;
            self.gathered.clear();
        }
        Ok(())
    }
}

impl Seek for Tape {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        // The container only asks where it is.
        match to {
            SeekFrom::Current(0) => Ok(self.progress.accepted()),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "segments are written from start to end")),
        }
    }
}
