//! Pieces of the recording in progress that are kept: the segments around an event, under other names.
//!
//! A piece is a folder of hard links, so it costs no room while the session itself is there, and the segment that is being
//! written is in it from the start: a power cut a second later loses nothing of it. Where the file system has no links,
//! segments are copied when they are complete.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use waywarden_components::prelude::*;

use super::disk::sync_folder;

/// The folder, among the sessions, in which pieces are.
pub const PRESERVED: &str = "preserved";

/// The longest time before and after an event that can be kept.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// Pieces that may be in the making.
const MOST: usize = 64;

/// What is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// When something happened.
    pub at: Mono,
    /// What is kept before and after it, at most [`LONGEST`].
    pub around: Duration,
    /// What happened: for a person.
    pub why: String,
}

/// A segment of the session in progress.
struct Segment {
    path: PathBuf,
    from: Mono,
    /// Its last tick; none while it is being written.
    to: Option<Mono>,
}

/// A piece in the making.
struct Piece {
    folder: PathBuf,
    from: Mono,
    to: Mono,
    taken: BTreeSet<OsString>,
}

/// The pieces of one session.
pub(super) struct Pieces {
    folder: PathBuf,
    session: String,
    started: Option<Mono>,
    segments: VecDeque<Segment>,
    pieces: Vec<Piece>,
}

impl Pieces {
    /// Pieces of the session in `session`, a folder among others.
    pub fn of(session: &Path) -> Self {
        let name = session.file_name().map_or_else(|| "session".into(), |name| name.to_string_lossy().into_owned());
        let folder = session.parent().unwrap_or(Path::new(".")).join(PRESERVED);
        Self { folder, session: name, started: None, segments: VecDeque::new(), pieces: Vec::new() }
    }

    /// A segment begins.
    pub fn opened(&mut self, path: PathBuf, at: Mono) {
        self.started.get_or_insert(at);
        if let Some(last) = self.segments.back_mut() {
            last.to.get_or_insert(at);
        }
        while self.segments.front().is_some_and(|first| first.to.is_some_and(|to| at.since(to) > LONGEST)) {
            self.segments.pop_front();
        }
        let segment = Segment { path, from: at, to: None };
        self.pieces.retain_mut(|piece| {
            if at <= piece.to {
                piece.take(&segment);
                return true;
            }
            piece.say_complete();
            false
        });
        self.segments.push_back(segment);
    }

    /// A segment is complete, or as complete as it will ever be.
    pub fn closed(&mut self, path: &Path, at: Mono) {
        let Some(segment) = self.segments.iter_mut().find(|segment| segment.path == path) else { return };
        segment.to.get_or_insert(at);
        for piece in &mut self.pieces {
            if piece.wants(segment) {
                piece.take(segment);
            }
        }
    }

    /// A segment was worth nothing and is gone.
    pub fn discarded(&mut self, path: &Path) {
        self.segments.retain(|segment| segment.path != path);
        for piece in &mut self.pieces {
            if let Some(name) = path.file_name().filter(|name| piece.taken.remove(*name)) {
                // Half a file is no harm.
                let _ = std::fs::remove_file(piece.folder.join(name));
            }
        }
    }

    /// Begins a piece. Its folder.
    ///
    /// # Errors
    /// When the disk does not take it, or too many are in the making.
    pub fn begin(&mut self, wish: &Wish) -> io::Result<PathBuf> {
        if self.pieces.len() >= MOST {
            return Err(io::Error::other(format!("{MOST} pieces are in the making: no more at a time")));
        }
        let started = self.started.ok_or_else(|| io::Error::other("nothing has been recorded yet"))?;
        let around = wish.around.min(LONGEST);
        let nanos = u64::try_from(around.as_nanos()).unwrap_or(u64::MAX);
        let (from, to) = (Mono(wish.at.0.saturating_sub(nanos)), Mono(wish.at.0.saturating_add(nanos)));
        let seconds = wish.at.since(started).as_secs();
        let folder = new_folder(&self.folder, &format!("{}-at-{seconds}s", self.session))?;
        let note = serde_json::json!({
            "session": self.session, "why": wish.why, "at_s": seconds, "around_s": around.as_secs_f64(),
        });
        std::fs::write(folder.join("preserved.json"), format!("{note}\n"))?;
        let mut piece = Piece { folder: folder.clone(), from, to, taken: BTreeSet::new() };
        for segment in &self.segments {
            if piece.wants(segment) {
                piece.take(segment);
            }
        }
        sync_folder(&self.folder)?;
        self.pieces.push(piece);
        Ok(folder)
    }

    /// The recording is over: nothing more will come.
    pub fn finish(&mut self) {
        for piece in self.pieces.drain(..) {
            piece.say_complete();
        }
    }
}

impl Piece {
    fn wants(&self, segment: &Segment) -> bool {
        segment.from <= self.to && segment.to.is_none_or(|to| to >= self.from)
    }

    /// Links a segment, or copies it if it is complete and cannot be linked.
    fn take(&mut self, segment: &Segment) {
        let Some(name) = segment.path.file_name() else { return };
        if self.taken.contains(name) {
            return;
        }
        let target = self.folder.join(name);
        let taken = match std::fs::hard_link(&segment.path, &target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            Err(_) if segment.to.is_none() => return,
            Err(_) => std::fs::copy(&segment.path, &target).map(drop),
            Ok(()) => Ok(()),
        };
        match taken.and_then(|()| sync_folder(&self.folder)) {
            Ok(()) => {
                self.taken.insert(name.to_owned());
            }
            Err(error) => {
                tracing::error!("{} cannot be kept in {}: {error}", segment.path.display(), self.folder.display());
            }
        }
    }

    fn say_complete(&self) {
        let (count, folder) = (self.taken.len(), self.folder.display());
        let plural = if count == 1 { "" } else { "s" };
        tracing::info!("{folder}: complete, {count} segment{plural}");
    }
}

/// Makes a folder that was not there: `name`, or with a number behind it.
fn new_folder(base: &Path, name: &str) -> io::Result<PathBuf> {
    std::fs::create_dir_all(base)?;
    for n in 1..=1000 {
        let folder = if n == 1 { base.join(name) } else { base.join(format!("{name}-{n}")) };
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(folder),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{name} and many like it are there")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn second(second: u64) -> Mono {
        Mono(second * 1_000_000_000)
    }

    /// A session with segments of ten seconds, from second 100 on.
    struct Session {
        dir: tempfile::TempDir,
        pieces: Pieces,
    }

    impl Session {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let session = dir.path().join("drive");
            std::fs::create_dir(&session).unwrap();
            Self { dir, pieces: Pieces::of(&session) }
        }

        fn path(&self, n: u64) -> PathBuf {
            self.dir.path().join(format!("drive/segment-{n:05}.mcap"))
        }

        fn open(&mut self, n: u64) {
            std::fs::write(self.path(n), format!("begin {n}")).unwrap();
            self.pieces.opened(self.path(n), second(100 + 10 * n));
        }

        fn close(&mut self, n: u64) {
            let path = self.path(n);
            std::fs::write(&path, format!("whole {n}")).unwrap();
            self.pieces.closed(&path, second(110 + 10 * n));
        }

        fn preserve(&mut self, at: u64, around: u64) -> PathBuf {
            let why = "a test".to_owned();
            self.pieces.begin(&Wish { at: second(at), around: Duration::from_secs(around), why }).unwrap()
        }
    }

    fn held(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "mcap"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_piece_holds_what_is_around_the_event_and_nothing_else() {
        let mut session = Session::new();
        for n in 0..4 {
            session.open(n);
            session.close(n);
        }
        session.open(4);
        // Second 145 is in the open segment; 15 s before it, in segment 3; 15 s behind it will be in segment 6.
        let folder = session.preserve(145, 15);
        assert_eq!(folder, session.dir.path().join("preserved/drive-at-45s"));
        assert_eq!(held(&folder), ["begin 4", "whole 2", "whole 3"], "at second 130 both end and begin");
        session.close(4);
        for n in 5..9 {
            session.open(n);
            session.close(n);
        }
        assert_eq!(held(&folder), ["whole 2", "whole 3", "whole 4", "whole 5", "whole 6"]);
        // The session itself may go.
        std::fs::remove_dir_all(session.dir.path().join("drive")).unwrap();
        assert_eq!(held(&folder).len(), 5);
        let note = std::fs::read_to_string(folder.join("preserved.json")).unwrap();
        assert!(note.contains("a test"), "{note}");
    }

    #[test]
    fn events_at_the_same_time_have_pieces_of_their_own_and_there_is_a_limit() {
        let mut session = Session::new();
        let wish = Wish { at: second(101), around: Duration::from_secs(1), why: String::new() };
        assert!(session.pieces.begin(&wish).is_err(), "nothing has been recorded");
        session.open(0);
        let folders: BTreeSet<_> = (0..MOST).map(|_| session.preserve(101, 1)).collect();
        assert_eq!(folders.len(), MOST);
        assert!(session.pieces.begin(&wish).is_err());
        session.close(0);
        session.open(1);
        session.preserve(111, 1);
    }

    #[test]
    fn a_segment_that_was_worth_nothing_is_in_no_piece() {
        let mut session = Session::new();
        session.open(0);
        let folder = session.preserve(105, 60);
        let path = session.path(0);
        session.pieces.discarded(&path);
        assert!(held(&folder).is_empty());
        session.open(1);
        session.close(1);
        assert_eq!(held(&folder), ["whole 1"]);
    }

    #[test]
    fn what_is_long_over_is_forgotten() {
        let mut session = Session::new();
        for n in [0, 1, 500, 501] {
            session.open(n);
            session.close(n);
        }
        let held: Vec<_> = session.pieces.segments.iter().map(|segment| segment.from).collect();
        assert_eq!(held, [second(5100), second(5110)]);
    }
}
