//! The sessions in a folder, and the one worker that looks into them: off the tick, one question at a time, never for long.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};
use waywarden_components::prelude::*;
use waywarden_systems::clock::instant;
use waywarden_systems::session::{SessionError, SessionReader};

use super::answers::Unanswered;
use super::index::{self, FileIndex, Mark};
use crate::sessions::Listed;
use crate::{pools, sessions};

/// How long whoever asks waits for the question before theirs.
const QUEUED: Duration = Duration::from_secs(5);

/// Files whose contents are remembered.
const REMEMBERED: usize = 2048;

/// The longest name of a session that is looked for, in bytes.
const LONGEST_NAME: usize = 512;

/// When a question has had its time.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub fn after(time: Duration) -> Self {
        Self(instant() + time)
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        instant() >= self.0
    }

    /// The sooner of this and so long from now.
    pub fn or_after(self, time: Duration) -> Self {
        Self(self.0.min(instant() + time))
    }
}

/// A folder of sessions. Cheap to clone.
#[derive(Clone)]
pub struct Library(Arc<Shelves>);

/// What there is, and what is remembered of it.
pub struct Shelves {
    folder: PathBuf,
    /// The session that is being recorded.
    current: Option<String>,
    /// Whether ticks are run beside it, which come first.
    live: bool,
    index: Mutex<BTreeMap<PathBuf, (Mark, Arc<FileIndex>)>>,
    one_at_a_time: Arc<Semaphore>,
}

impl Library {
    /// The sessions in `folder`. `current` names the one that is being recorded: then ticks are run, and come first.
    pub fn new(folder: PathBuf, current: Option<String>) -> Self {
        Self(Arc::new(Shelves {
            folder,
            live: current.is_some(),
            current,
            index: Mutex::default(),
            one_at_a_time: Arc::new(Semaphore::new(1)),
        }))
    }

    /// Works on a question on a thread of its own, when that before it is answered. It has so much time, which it is told
    /// of; whoever asked may be gone meanwhile.
    ///
    /// # Errors
    /// When others are being answered, or `work` fails.
    pub async fn ask<T: Send + 'static>(
        &self,
        time: Duration,
        work: impl FnOnce(&Shelves, Deadline) -> Result<T, Unanswered> + Send + 'static,
    ) -> Result<T, Unanswered> {
        let busy = || {
            Unanswered::because("another question about recorded sessions is being answered: ask again in some seconds")
        };
        let permit = tokio::time::timeout(QUEUED, self.0.one_at_a_time.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| busy())?.map_err(|_| busy())?;
        let (done, is_done) = oneshot::channel();
        let shelves = self.0.clone();
        let thread = std::thread::Builder::new().name("library".to_owned()).spawn(move || {
            if shelves.live {
                pools::stand_back();
            }
            // Nobody hears it where whoever asked has gone.
            let _ = done.send(work(&shelves, Deadline::after(time)));
            drop(permit);
        });
        thread.map_err(|error| Unanswered(format!("no thread to look into sessions: {error}")))?;
        is_done.await.unwrap_or_else(|_| Err(Unanswered::because("the question could not be answered: see the log")))
    }
}

impl Shelves {
    /// The sessions, the newest first by their names.
    pub fn all(&self) -> Vec<Listed> {
        let mut known = sessions::below(&self.folder);
        known.sort_by(|a, b| b.name.cmp(&a.name));
        known
    }

    /// The session of a name, which is looked for among those that there are and never taken for a path.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, name: &str) -> Result<Listed, Unanswered> {
        let none = || {
            Unanswered::because(
                "there is no session of that name: search_sessions lists the names of those that there are",
            )
        };
        if name.len() > LONGEST_NAME {
            return Err(none());
        }
        self.all().into_iter().find(|known| known.name == name).ok_or_else(none)
    }

    /// Whether a session is the one that is being recorded.
    pub fn is_current(&self, name: &str) -> bool {
        self.current.as_deref() == Some(name)
    }

    /// A text of the app's own without the paths of this computer in it.
    pub fn without_paths(&self, text: &str) -> String {
        let folder = self.folder.display().to_string();
        text.replace(&format!("{folder}/"), "").replace(&folder, "this folder")
    }

    /// Why a session cannot be read, in the words of its reader.
    pub fn unreadable(&self, error: impl std::fmt::Display) -> Unanswered {
        Unanswered(self.without_paths(&error.to_string()))
    }

    /// What the files of a session hold, in order. A file that has been read and has not changed is not read again.
    ///
    /// # Errors
    /// When a file cannot be read, or is no part of a session.
    pub fn look_into(&self, session: &Listed, deadline: Deadline, each: Duration) -> Result<LookedInto, Unanswered> {
        let mut looked = LookedInto { files: Vec::new(), complete: true, bytes: 0 };
        let mut unreadable = None;
        for path in sessions::files(&session.path).map_err(|error| self.unreadable(error))? {
            let Some(mark) = index::mark(&path) else { continue };
            looked.bytes += mark.0;
            if let Some(known) = self.remembered(&path, mark) {
                looked.files.push(known);
                continue;
            }
            if deadline.is_over() {
                looked.complete = false;
                continue;
            }
            let read = index::read(&path, deadline.or_after(each));
            let index = match read {
                Ok(Some(index)) => Arc::new(index),
                Ok(None) => continue,
                // One that was begun just now, or just before the power went, does not say what it is.
                Err(error @ SessionError::Foreign { .. }) => {
                    unreadable = Some(self.unreadable(error));
                    continue;
                }
                Err(error) => return Err(self.unreadable(error)),
            };
            looked.complete &= index.whole || !deadline.is_over();
            self.remember(&path, mark, &index, deadline);
            looked.files.push(index);
        }
        looked.files.sort_by_key(|file| file.from);
        match unreadable {
            Some(why) if looked.files.is_empty() => Err(why),
            _ => Ok(looked),
        }
    }

    fn remembered(&self, path: &Path, mark: Mark) -> Option<Arc<FileIndex>> {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.get(path).filter(|(known, _)| *known == mark).map(|(_, index)| index.clone())
    }

    fn remember(&self, path: &Path, mark: Mark, read: &Arc<FileIndex>, deadline: Deadline) {
        // A large file of which no more can be read in its time is remembered so; one that came last gets another chance.
        if !read.whole && deadline.is_over() {
            return;
        }
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if index.len() >= REMEMBERED && !index.contains_key(path) {
            // The oldest by name: sessions are looked into from the newest on.
            index.pop_first();
        }
        index.insert(path.to_owned(), (mark, read.clone()));
    }
}

/// What the files of a session hold.
pub struct LookedInto {
    /// Each file, in order of time.
    pub files: Vec<Arc<FileIndex>>,
    /// Whether there was time for all of them.
    pub complete: bool,
    /// The bytes of all files.
    pub bytes: u64,
}

impl LookedInto {
    /// The first tick.
    pub fn from(&self) -> Option<Mono> {
        self.files.iter().map(|file| file.from).min()
    }

    /// The last tick.
    pub fn to(&self) -> Option<Mono> {
        self.files.iter().map(|file| file.to).max()
    }

    /// What is to be added to times to get nanoseconds since 1970 UTC, by the first file that knows.
    pub fn utc_offset_ns(&self) -> Option<i64> {
        self.files.iter().find_map(|file| file.utc_offset_ns)
    }

    /// Nanoseconds since 1970 UTC.
    pub fn utc_ns(&self, at: Mono) -> Option<i64> {
        i64::try_from(at.as_nanos()).ok()?.checked_add(self.utc_offset_ns()?)
    }
}

/// Size of all files of a session in bytes.
pub fn size(session: &Listed) -> u64 {
    SessionReader::size(&session.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_never_taken_for_paths() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("sessions");
        std::fs::create_dir_all(folder.join("kept")).unwrap();
        for name in ["../secret.mcap", "a.mcap", "kept/b.mcap"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let library = Library::new(folder.clone(), Some("a.mcap".to_owned()));
        let names: Vec<String> = library.0.all().into_iter().map(|known| known.name).collect();
        assert_eq!(names, ["kept/b.mcap", "a.mcap"]);
        assert!(library.0.find("kept/b.mcap").is_ok() && library.0.is_current("a.mcap"));
        let absolute = folder.join("a.mcap").display().to_string();
        for name in
            ["../secret.mcap", "secret.mcap", "./a.mcap", "kept/../a.mcap", "", "a", &absolute, &"a".repeat(9999)]
        {
            let why = library.0.find(name).unwrap_err();
            // What was asked for is not said again, nor is where the sessions are.
            assert!(why.0.contains("no session of that name") && !why.0.contains("secret"), "{why:?}");
        }
        let text = library.0.without_paths(&format!("{}: cut, in {}", absolute, folder.display()));
        assert_eq!(text, "a.mcap: cut, in this folder");
    }

    #[tokio::test]
    async fn one_question_is_answered_at_a_time_and_has_its_time() {
        let library = Library::new("nowhere".into(), None);
        let (let_go, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let first = library.clone();
        let first = tokio::spawn(async move {
            first
                .ask(Duration::from_secs(60), move |_, _| {
                    let _ = wait.recv();
                    Ok(1)
                })
                .await
        });
        tokio::task::yield_now().await;
        let second = library.clone();
        let second =
            tokio::spawn(async move { second.ask(Duration::ZERO, |_, deadline| Ok(deadline.is_over())).await });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        let_go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(1));
        assert_eq!(second.await.unwrap(), Ok(true));
        // One that fails badly is not waited for, and does not keep others out.
        let failed = library.ask(Duration::ZERO, |_, _| -> Result<(), _> { panic!("on purpose") }).await;
        assert!(failed.is_err());
        assert_eq!(library.ask(Duration::ZERO, |_, _| Ok(2)).await, Ok(2));
    }
}
