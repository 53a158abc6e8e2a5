//! What has come of a file so far.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::DownloadError;

/// The longest note of an origin that is believed, in bytes.
const LONGEST_NOTE: u64 = 16 * 1024;

/// A file in its making, `NAME.part`, locked against others who make the same.
pub(super) struct Part {
    place: PathBuf,
    path: PathBuf,
    /// Where it comes from: address and validator, a line each.
    note: PathBuf,
    file: File,
}

impl Part {
    /// Opens what there is of the file that is to be at `place`, or begins it.
    pub(super) fn open(place: &Path) -> Result<Self, DownloadError> {
        let beside = |suffix: &str| {
            let mut name = place.file_name().unwrap_or_default().to_owned();
            name.push(suffix);
            place.with_file_name(name)
        };
        let (path, note) = (beside(".part"), beside(".part.from"));
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(|source| DownloadError::Disk { file: folder.to_path_buf(), source })?;
        }
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = options.map_err(|source| DownloadError::Disk { file: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DownloadError::Busy { file: path }),
            Err(TryLockError::Error(source)) => return Err(DownloadError::Disk { file: path, source }),
        }
        Ok(Self { place: place.to_path_buf(), path, note, file })
    }

    /// How much of it has come from `url`, and the word by which the server knows the rest again. What came from elsewhere
    /// is of no use. The next byte is written behind it.
    pub(super) fn begun(&mut self, url: &str) -> Result<Option<(u64, String)>, DownloadError> {
        let mut note = String::new();
        let read = File::open(&self.note).and_then(|file| file.take(LONGEST_NOTE).read_to_string(&mut note));
        let length = self.length()?;
        let Some((origin, validator)) = note.split_once('\n').filter(|_| read.is_ok() && length > 0) else {
            return Ok(None);
        };
        let validator = validator.trim_end();
        if origin != url || validator.is_empty() || validator.contains('\n') {
            return Ok(None);
        }
        self.on_disk(|file| file.seek(SeekFrom::End(0)))?;
        Ok(Some((length, validator.to_owned())))
    }

    /// Begins anew with what comes from `url`.
    pub(super) fn restart(&mut self, url: &str, validator: Option<&str>) -> Result<(), DownloadError> {
        self.discard()?;
        if let Some(validator) = validator {
            let written = fs::write(&self.note, format!("{url}\n{validator}\n"));
            written.map_err(|source| DownloadError::Disk { file: self.note.clone(), source })?;
        }
        Ok(())
    }

    /// Forgets all that has come.
    pub(super) fn discard(&mut self) -> Result<(), DownloadError> {
        // First the note: bytes without one are of no use to anybody.
        match fs::remove_file(&self.note) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(DownloadError::Disk { file: self.note.clone(), source });
            }
            _ => {}
        }
        self.on_disk(|file| file.set_len(0).and_then(|()| file.rewind()))
    }

    /// Bytes of it that are here.
    pub(super) fn length(&mut self) -> Result<u64, DownloadError> {
        self.on_disk(|file| file.metadata().map(|metadata| metadata.len()))
    }

    /// Writes what came next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        self.on_disk(|file| file.write_all(bytes))
    }

    /// SHA-256 of all that is here, in lower-case hexadecimal digits.
    pub(super) fn sha256(&mut self) -> Result<String, DownloadError> {
        let mut hash = Sha256::new();
        self.on_disk(|file| {
            file.rewind()?;
            io::copy(file, &mut hash)
        })?;
        Ok(format!("{:x}", hash.finalize()))
    }

    /// Gives it its name: it is whole. A crash leaves it there or not, but never in part.
    pub(super) fn finish(mut self) -> Result<(), DownloadError> {
        self.on_disk(|file| file.sync_all())?;
        let place = |source| DownloadError::Disk { file: self.place.clone(), source };
        fs::rename(&self.path, &self.place).map_err(place)?;
        // A note that stays is of no harm: it is about a file that is no longer there.
        let _ = fs::remove_file(&self.note);
        match self.place.parent() {
            Some(folder) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(place),
            None => Ok(()),
        }
    }

    fn on_disk<T>(&mut self, work: impl FnOnce(&mut File) -> io::Result<T>) -> Result<T, DownloadError> {
        work(&mut self.file).map_err(|source| DownloadError::Disk { file: self.path.clone(), source })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Nothing has come, so nothing is left behind.
        if self.length().is_ok_and(|length| length == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
