//! Files that get their names when they are complete.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::WriteError;

/// A file in the making, beside the place where it will be: whatever ends the program before [`Unfinished::finish`],
/// nothing half-written is left under the name that was asked for, and what was there before stays.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    file: NamedTempFile,
}

impl Unfinished {
    /// Begins the file that will be at `path`. Its folder must be there.
    ///
    /// Like any other new file it can be read by whoever the umask lets; temporary files are otherwise their owner's
    /// alone, and stay so under their new name.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(path: &Path) -> Result<Self, WriteError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".waywarden-").suffix(".partial");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder_of(path)).map_err(|source| failed(path, source))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Where it is until it is complete.
    pub fn partial(&self) -> &Path {
        self.file.path()
    }

    /// Another handle of the same file, for a writer that wants to own one.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn reopen(&self) -> Result<File, WriteError> {
        self.file.reopen().map_err(|source| failed(&self.path, source))
    }

    /// Gives it its name, in place of whatever has that name.
    ///
    /// # Errors
    /// When that is not possible. Nothing of the file is left.
    pub fn finish(self) -> Result<(), WriteError> {
        let Self { path, file } = self;
        file.persist(&path).map(drop).map_err(|error| failed(&path, error.error))
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Unfinished {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// The folder that a file is in: the current one for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn failed(path: &Path, source: io::Error) -> WriteError {
    WriteError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_finished_file_is_as_readable_as_any_new_one() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let (session, other) = (folder.path().join("session.mcap"), folder.path().join("other"));
        Unfinished::begin(&session).unwrap().finish().unwrap();
        std::fs::write(&other, b"").unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&session), mode(&other));
    }

    #[test]
    fn nothing_is_left_of_what_was_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        std::fs::write(&path, b"before").unwrap();
        let mut file = Unfinished::begin(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

        let mut file = Unfinished::begin(&path).unwrap();
        file.write_all(b"whole").unwrap();
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
    }
}
