//! How a run ended, for the one after it.
//!
//! A run that records leaves a file beside its sessions while it lasts, and what becomes of it is written behind the first
//! line: by the run itself when it ends, by a signal handler when C code takes the process down with it. A file without
//! an ending is that of a run that was killed, or of a computer that went off. The next run tells, in its log and session.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use nix::unistd::{Pid, write};
use serde::{Deserialize, Serialize};

use crate::session_info::boot_id;

/// What the names of such files begin with; the number of the process follows.
const PREFIX: &str = ".waywarden-run-";

/// Signals that mean that something is broken beyond repair.
const FATAL: [Signal; 5] = [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT];

/// A run, as it writes itself down.
#[derive(Serialize, Deserialize)]
struct Run {
    session: String,
    pid: i32,
    boot_id: String,
}

/// The file of this run.
pub struct LastWords {
    path: PathBuf,
    file: File,
}

impl LastWords {
    /// Begins the file of a run that records `session` into `folder`, and reads those that earlier runs left there:
    /// returns a line for each that did not end as it should.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn begin(folder: &Path, session: &str) -> std::io::Result<(Self, Vec<String>)> {
        let earlier = earlier(folder)?;
        let path = folder.join(format!("{PREFIX}{}", std::process::id()));
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
        let run = Run { session: session.to_owned(), pid: Pid::this().as_raw(), boot_id: boot_id() };
        writeln!(file, "{}", serde_json::to_string(&run)?)?;
        file.sync_data()?;
        Ok((Self { path, file }, earlier))
    }

    /// Has a crash of this process written into the file.
    ///
    /// # Errors
    /// When the system refuses the handler.
    pub fn listen(&self) -> nix::Result<()> {
        FILE.store(self.file.as_raw_fd(), Ordering::SeqCst);
        let flags = SaFlags::SA_RESETHAND | SaFlags::SA_NODEFER | SaFlags::SA_ONSTACK;
        let action = SigAction::new(SigHandler::Handler(crashed), flags, SigSet::empty());
        for signal in FATAL {
            #[expect(unsafe_code, reason = "there is no other way to hear of a crash in C code")]
            // SAFETY: the handler does nothing but load an atomic, write(2) and raise(3), all of them async-signal-safe.
            unsafe {
                sigaction(signal, &action)?;
            }
        }
        Ok(())
    }

    /// Writes the end: an orderly one takes the file away.
    pub fn end(mut self, failure: Option<&str>) {
        FILE.store(-1, Ordering::SeqCst);
        let written = match failure {
            None => std::fs::remove_file(&self.path),
            Some(reason) => writeln!(self.file, "failed: {}", reason.replace('\n', " ")),
        };
        if let Err(error) = written {
            tracing::warn!("{}: {error}", self.path.display());
        }
    }
}

/// The file of this run, for the handler; -1 for none.
static FILE: AtomicI32 = AtomicI32::new(-1);

/// Writes the name of the signal behind the first line, and lets it do what it would have done.
extern "C" fn crashed(number: i32) {
    let signal = Signal::try_from(number).unwrap_or(Signal::SIGABRT);
    let words: &[u8] = match signal {
        Signal::SIGSEGV => b"crashed: SIGSEGV\n",
        Signal::SIGBUS => b"crashed: SIGBUS\n",
        Signal::SIGILL => b"crashed: SIGILL\n",
        Signal::SIGFPE => b"crashed: SIGFPE\n",
        _ => b"crashed: SIGABRT (the watchdog of systemd, or a library)\n",
    };
    cry(words);
    // SA_RESETHAND: this time it is the default, which ends the process.
    let _ = raise(signal);
}

/// Writes words of the last moment, from any thread.
pub fn cry(words: &[u8]) {
    let file = FILE.load(Ordering::SeqCst);
    if file >= 0 {
        #[expect(unsafe_code, reason = "a signal handler, too, has nothing but the number")]
        // SAFETY: the file is closed only after the number has been taken back.
        let _ = write(unsafe { std::os::fd::BorrowedFd::borrow_raw(file) }, words);
    }
}

/// What became of earlier runs that did not end as they should. Their files are taken away.
fn earlier(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_unstable();
    for path in paths {
        if !path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX)) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some(line) = ending(&text, &boot_id(), is_running) {
            found.extend(line);
            std::fs::remove_file(&path)?;
        }
    }
    Ok(found)
}

/// What the file of an earlier run says: none if that run still runs, `Some(None)` if there is nothing to say.
fn ending(text: &str, boot_id: &str, is_running: impl Fn(i32) -> bool) -> Option<Option<String>> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(run) = serde_json::from_str::<Run>(first) else { return Some(None) };
    let same_boot = run.boot_id == boot_id;
    let how = match rest.lines().last() {
        Some(words) => words.to_owned(),
        None if same_boot && is_running(run.pid) => return None,
        None if same_boot => "was killed (SIGKILL: by hand, or for lack of memory?)".to_owned(),
        None => "ended with the computer: power cut, reset or crash".to_owned(),
    };
    Some(Some(format!("the run before, of session {}, {how}", run.session)))
}

/// Whether the process is there, and is one of this program.
fn is_running(pid: i32) -> bool {
    pid != Pid::this().as_raw()
        && std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "waywarden")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"{"session":"2026-11-23T08-15-00Z","pid":77,"boot_id":"a"}"#;

    #[test]
    fn every_end_is_told_from_the_others() {
        let told = |rest: &str, boot| ending(&format!("{RUN}\n{rest}"), boot, |_| false).unwrap().unwrap();
        assert!(told("crashed: SIGSEGV\n", "a").ends_with("of session 2026-11-23T08-15-00Z, crashed: SIGSEGV"));
        assert!(told("failed: two jobs hang\n", "a").ends_with("failed: two jobs hang"));
        assert!(told("", "a").contains("was killed"));
        assert!(told("", "b").contains("power cut"));
    }

    #[test]
    fn a_run_that_still_runs_is_let_be() {
        assert_eq!(ending(RUN, "a", |pid| pid == 77), None);
        // The number may be another's after the computer was started anew.
        assert!(ending(RUN, "b", |pid| pid == 77).is_some());
        assert_eq!(ending("rubbish", "a", |_| true), Some(None));
    }

    #[test]
    fn an_orderly_end_leaves_nothing_and_a_failure_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let begin = || LastWords::begin(folder.path(), "s").unwrap();
        begin().0.end(None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        begin().0.end(Some("the disk\nis gone"));
        let (words, earlier) = begin();
        assert_eq!(earlier, ["the run before, of session s, failed: the disk is gone"]);
        words.end(None);
        assert!(begin().1.is_empty());
    }
}
