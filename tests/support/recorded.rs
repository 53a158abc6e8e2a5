//! A session that was recorded once for all tests of a binary, and what can be done to it.

#![allow(dead_code, clippy::allow_attributes, reason = "each test uses what it needs")]
#![expect(clippy::unwrap_used, reason = "a test: what cannot be made ends it")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use tempfile::TempDir;
use waywarden_systems::session::{Record, SessionError, SessionReader};

use super::forge::Session;
use super::outcome::{SMALL, sessions, waywarden};

/// A live session of three segments, and a replay of it as one file, whose bytes come in more chunks.
pub struct Recorded {
    _dir: TempDir,
    pub folder: PathBuf,
    pub file: PathBuf,
    pub bytes: Vec<u8>,
}

pub fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), SMALL).unwrap();
        waywarden(dir.path(), &["run", "--config", "config.toml", "--simulate", "--duration", "3", "--record", "rec"])
            .done();
        let folder = sessions(&dir.path().join("rec")).pop().unwrap();
        let file = dir.path().join("one.mcap");
        let (from, to) = (folder.to_str().unwrap(), file.to_str().unwrap());
        waywarden(dir.path(), &["replay", from, "--verify", "--out", to]).done();
        // In many chunks, as a live session is.
        let bytes = Session::of(&std::fs::read(&file).unwrap()).bytes();
        Recorded { _dir: dir, folder, file, bytes }
    })
}

/// Reads bytes as a session: its records, the files that end in the middle, and the error that ended it.
pub fn read(bytes: Vec<u8>) -> (Vec<Record>, Vec<String>, Option<SessionError>) {
    let mut records = Vec::new();
    let mut reader = match SessionReader::from_bytes(Path::new("some.mcap"), Bytes::from(bytes)) {
        Ok(reader) => reader,
        Err(error) => return (records, Vec::new(), Some(error)),
    };
    let error = loop {
        match reader.read() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    (records, reader.cuts().to_vec(), error)
}

/// A folder with these files.
pub fn folder_of(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// Runs `inspect`, `replay` and `replay --from` on what lies at `path`, and expects each to refuse it.
pub fn refused(path: &Path, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let path = path.to_str().unwrap();
    waywarden(dir.path(), &["inspect", path]).refused(words);
    waywarden(dir.path(), &["replay", path, "--out", "out.mcap"]).refused(words);
    waywarden(dir.path(), &["replay", path, "--verify", "--from", "1"]).refused(words);
    nothing_left(dir.path());
}

/// Nothing lies in `dir` but what the program printed.
pub fn nothing_left(dir: &Path) {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.filter(|name| name != "stdout.txt" && name != "stderr.txt").collect();
    assert!(names.is_empty(), "left behind: {names:?}");
}

/// A file with what a forger made of the recorded session.
pub fn forged(change: impl FnOnce(&mut Session)) -> (TempDir, PathBuf) {
    let mut session = Session::of(&recorded().bytes);
    change(&mut session);
    let dir = folder_of(&[("forged.mcap", &session.bytes())]);
    let path = dir.path().join("forged.mcap");
    (dir, path)
}

pub fn segments() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&recorded().folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    files
}

/// Changes the description of a session, and its checksum with it.
pub fn describe(session: &mut Session, change: impl FnOnce(&mut serde_json::Value)) {
    let metadata = session.metadata.get_mut("waywarden.session").unwrap();
    let mut info = serde_json::from_str(&metadata["session"]).unwrap();
    change(&mut info);
    let text = info.to_string();
    metadata.insert("checksum".to_owned(), waywarden_systems::session::format::checksum(&text));
    metadata.insert("session".to_owned(), text);
}
