//! The spool's thread: writes groups, reads the backlog, looks after the file.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::error::{Kind, StoreError};
use super::salvage::{move_aside, salvage};
use super::state::{Request, State};
use super::store::{Group, Outcome, Piece, Store};
use super::{Aside, Backlog, BacklogRequest, Found, Shared, SpoolError, SpoolId, later};
use crate::clock::{instant, utc_seconds};

/// So many acknowledgements are written at once before more of what is on disk is handed out. While they wait for a disk
/// in trouble, nothing is.
const MOST_ACKNOWLEDGED: usize = 20_000;

/// Numbers begin here where there is no disk to ask, so that they are most likely not another's.
const WITHOUT_DISK: u64 = 1 << 54;

/// Writes groups. Run it on a thread of its own.
pub(super) struct SpoolThread {
    shared: Arc<Shared>,
    /// None after a failure: SQLite's state is then best read anew.
    store: Option<Store>,
    /// A group whose end is not known: its number, and what it did if it is on disk.
    unsure: Option<(u64, Outcome)>,
    /// What is the matter with the file, which is to be moved aside.
    broken: Option<String>,
    /// Moved aside, and not yet looked through.
    salvage: Option<Aside>,
    /// When the disk is tried again.
    retry_at: Option<Instant>,
    pause: Duration,
    /// There may be free room in the file, at which is looked then.
    untidy: bool,
    tidy_at: Instant,
}

/// What is to be done.
enum Job {
    Answer(Request),
    Commit,
    Tidy,
    Close,
}

impl SpoolThread {
    /// Opens the file.
    pub(super) fn begin(shared: Arc<Shared>) -> Result<(Self, Found), SpoolError> {
        let pause = shared.settings.retry;
        let mut thread = Self {
            shared: shared.clone(),
            store: None,
            unsure: None,
            broken: None,
            salvage: None,
            retry_at: None,
            pause,
            untidy: true,
            tidy_at: instant(),
        };
        shared.lock().next = 1;
        match thread.reopen() {
            Ok(()) => drop(thread.write(true, &[])),
            Err(error) if error.kind == Kind::InUse => return Err(SpoolError::InUse(shared.path.clone())),
            Err(error) => {
                shared.lock().next = WITHOUT_DISK | ((utc_seconds() << 20) % WITHOUT_DISK);
                thread.failed(error);
            }
        }
        let tally = shared.lock().tally();
        let found = Found { messages: tally.messages, bytes: tally.bytes, aside: tally.aside.last().cloned() };
        Ok((thread, found))
    }

    /// Works until the spool is closed.
    pub(super) fn run(mut self) {
        loop {
            match self.next_job() {
                Job::Answer(Request::Backlog(request, answer)) => answer(self.backlog(&request)),
                Job::Answer(Request::Flush(answer)) => answer(self.attempt()),
                Job::Commit => drop(self.attempt()),
                Job::Tidy => self.tidy(),
                Job::Close => break,
            }
        }
        self.attempt();
        let next = self.shared.lock().next;
        if let Some(Err(error)) = self.store.take().map(|store| store.close(next)) {
            // All messages are on disk.
            tracing::warn!("the spool {} could not be closed: {error}", self.shared.path.display());
        }
    }

    fn next_job(&self) -> Job {
        let mut state = self.shared.lock();
        loop {
            // First, so that no number of requests holds it up.
            let due = self.retry_at.or_else(|| state.due(&self.shared.settings));
            let patience = due.map(|due| due.saturating_duration_since(instant()));
            if patience.is_some_and(|patience| patience.is_zero()) && !state.closing {
                return Job::Commit;
            }
            if let Some(request) = state.requests.pop_front() {
                return Job::Answer(request);
            }
            if state.closing {
                return Job::Close;
            }
            let tidy = (self.untidy && self.store.is_some()).then(|| self.tidy_at.saturating_duration_since(instant()));
            if tidy.is_some_and(|patience| patience.is_zero()) {
                return Job::Tidy;
            }
            state = match [patience, tidy].into_iter().flatten().min() {
                None => self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    self.shared.work.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Writes what is waiting. False when it is not on disk.
    fn attempt(&mut self) -> bool {
        if let Err(error) = self.reopen() {
            self.failed(error);
            return false;
        }
        // After trouble a group of nothing shows whether it is over.
        let is_trial = self.retry_at.is_some();
        self.write(is_trial, &[])
    }

    /// Opens the file if it is not open.
    fn reopen(&mut self) -> Result<(), StoreError> {
        if self.store.is_some() {
            return Ok(());
        }
        if let Some(why) = self.broken.clone() {
            self.set_aside(why)?;
            self.broken = None;
        }
        let mut store = match self.open() {
            Err(error) if error.kind == Kind::Broken => {
                self.set_aside(error.words)?;
                self.open()?
            }
            other => other?,
        };
        if let Some(aside) = &mut self.salvage {
            aside.saved = salvage(&aside.path, &mut store, self.shared.settings.disk_bytes)?;
        }
        let aside = self.salvage.take();
        let mut state = self.shared.lock();
        if let Some((number, outcome)) = self.unsure.take() {
            if store.group() == number && aside.is_none() {
                state.group_written(&outcome);
            } else {
                state.group_failed();
            }
        }
        state.reconcile(&store);
        if let Some(aside) = aside {
            let (why, to, saved) = (&aside.why, aside.path.display(), aside.saved);
            tracing::error!("the spool {}: {why}; moved to {to}, {saved} messages saved", self.shared.path.display());
            state.aside.push(aside);
        }
        self.shared.done.notify_all();
        drop(state);
        self.store = Some(store);
        self.untidy = true;
        Ok(())
    }

    fn open(&self) -> Result<Store, StoreError> {
        Store::open(
            &self.shared.path,
            #[cfg(test)]
            self.shared.faults.clone(),
        )
    }

    fn set_aside(&mut self, why: String) -> Result<(), StoreError> {
        let path: PathBuf = move_aside(&self.shared.path)?;
        self.salvage = Some(Aside { path, why, saved: 0 });
        Ok(())
    }

    /// Writes a group, one of nothing only as a trial. False when it is not on disk.
    fn write(&mut self, is_trial: bool, expired: &[i64]) -> bool {
        let Some(store) = &mut self.store else { return false };
        let mut state = self.shared.lock();
        if state.is_settled() && expired.is_empty() && !is_trial {
            return true;
        }
        let (entries, acknowledged) = state.begin_group();
        let next = state.next;
        drop(state);
        let group = Group {
            entries: Some(&entries),
            acknowledged: Some(&acknowledged),
            expired,
            next,
            disk_bytes: self.shared.settings.disk_bytes,
        };
        let result = store.commit(&group);
        let number = store.group().saturating_add(1);
        // Memory that only the group holds is given back here, not under the lock.
        let mut state = self.shared.lock();
        match result {
            Ok(outcome) => {
                state.group_written(&outcome);
                if state.trouble.take().is_some() {
                    tracing::info!("the spool {} is written again", self.shared.path.display());
                }
                self.shared.done.notify_all();
                drop(state);
                (self.retry_at, self.pause, self.untidy) = (None, self.shared.settings.retry, true);
                true
            }
            Err(failed) => {
                match failed.unsure {
                    Some(outcome) => self.unsure = Some((number, outcome)),
                    None => state.group_failed(),
                }
                drop(state);
                self.failed(failed.error);
                false
            }
        }
    }

    /// Something did not work: it is tried again after a pause.
    fn failed(&mut self, error: StoreError) {
        self.store = None;
        let error = error.explained(&self.shared.path);
        if error.kind == Kind::Broken {
            self.broken = Some(error.words.clone());
        }
        let words = format!("the spool {} cannot be used: {error}", self.shared.path.display());
        let mut state = self.shared.lock();
        if state.trouble.is_none() {
            tracing::error!("{words}; messages wait in memory");
        }
        state.last_error = Some(words.clone());
        state.trouble = Some(words);
        drop(state);
        self.retry_at = Some(later(instant(), self.pause));
        self.pause = self.pause.saturating_mul(2).min(self.shared.settings.retry_most);
    }

    fn tidy(&mut self) {
        self.untidy = false;
        self.tidy_at = later(instant(), self.shared.settings.tidy);
        match self.store.as_ref().map(Store::tidy) {
            Some(Err(error)) if error.kind == Kind::Broken => self.failed(error),
            // There is another time.
            Some(Err(error)) => tracing::debug!("the spool does not shrink: {error}"),
            Some(Ok(())) | None => {}
        }
    }

    fn backlog(&mut self, request: &BacklogRequest) -> Backlog {
        let after = request.after.map_or(-1, SpoolId::key);
        let opened = self.reopen();
        if let (Err(error), None) = (opened, self.retry_at) {
            self.failed(error);
        }
        let piece = self.read(after, request);
        let mut state = self.shared.lock();
        let (up_to, mut complete) = match &piece {
            Some(piece) => (piece.up_to, piece.up_to.is_none()),
            None => (None, !state.has_stored()),
        };
        let mut messages = piece.map(|piece| piece.messages).unwrap_or_default();
        messages.retain(|(key, _)| !state.is_acknowledged(*key));
        let memory = state.in_memory(after, request.below, request.now);
        messages.extend(memory.into_iter().filter(|(key, _)| up_to.is_none_or(|up_to| *key <= up_to)));
        drop(state);
        messages.sort_unstable_by_key(|(key, _)| *key);
        if messages.len() > request.count {
            messages.truncate(request.count);
            complete = false;
        }
        let messages = messages.into_iter().map(|(key, entry)| (SpoolId::from_key(key), entry)).collect();
        Backlog { messages, complete }
    }

    /// Reads a piece of what is on disk, and deletes what has expired. None when that is not possible.
    fn read(&mut self, after: i64, request: &BacklogRequest) -> Option<Piece> {
        let mut from = after;
        loop {
            let many = self.shared.lock().acknowledged.len() > MOST_ACKNOWLEDGED;
            if many && (self.retry_at.is_some() || !self.write(false, &[])) {
                return None;
            }
            let piece = match self.store.as_ref()?.read(from, request.below, request.count, request.now) {
                Ok(piece) => piece,
                Err(error) => {
                    self.failed(error);
                    return None;
                }
            };
            if !piece.expired.is_empty() && self.retry_at.is_none() {
                self.write(false, &piece.expired);
            }
            let all_acknowledged = || {
                let state: &State = &self.shared.lock();
                piece.messages.iter().all(|(key, _)| state.is_acknowledged(*key))
            };
            // A piece of which nothing is left says nothing to who asks; the next one may.
            match piece.up_to {
                Some(up_to) if all_acknowledged() => from = up_to,
                _ => return Some(piece),
            }
        }
    }
}

impl Drop for SpoolThread {
    fn drop(&mut self) {
        // The file is closed before it is said.
        self.store = None;
        let mut state = self.shared.lock();
        state.ended = true;
        state.requests.clear();
        self.shared.done.notify_all();
    }
}
