//! The recording of a live run: the recorder's threads, what they are told, and their end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use waywarden_components::prelude::*;
use waywarden_systems::ingress::{Control, Inlet, Wake, channel};
use waywarden_systems::record::{
    Destination, Keeper, KeeperSettings, Limits, Recorder, RecorderSettings, RecorderStats, Told,
};
use waywarden_systems::session::{SessionInfo, WriteError};

use crate::config::{Config, Record};
use crate::failure::Failure;
use crate::pools;

/// What the recorder has to say may wait for a tick: a handful of changes.
const WAITING: usize = 16;

/// How long the disk has to take what waits for it when the program ends. What it does not take by then is lost.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long what is preserved may take after that.
const KEEPING: Duration = Duration::from_millis(300);

/// A recording that has been started.
pub struct Started {
    /// The world's end.
    pub recorder: Recorder,
    /// Where the recorder is heard.
    pub inlet: Inlet,
    /// Where to ask for something to be kept.
    pub keeper: Keeper,
    /// What is left to be done at the end.
    pub recording: Recording,
}

/// A recording in progress.
pub struct Recording {
    written: Receiver<Result<(), WriteError>>,
    kept: Receiver<()>,
    stats: Arc<RecorderStats>,
}

/// A recording that is over.
pub struct Finished {
    /// What was done, or that something could not be written.
    pub stats: Result<Arc<RecorderStats>, Failure>,
    /// Whether the disk answers.
    pub answers: bool,
}

/// Starts to record into `folder`, which is made.
///
/// # Errors
/// When the folder cannot be made, or there is no thread to be had.
pub fn start(
    folder: PathBuf,
    config: &Config,
    info: SessionInfo,
    control: &Control,
    wake: &Wake,
) -> Result<Started, Failure> {
    std::fs::create_dir_all(&folder).map_err(|source| WriteError::Io { path: folder.clone(), source })?;
    let record = &config.record;
    let (outlet, inlet) = channel(StreamId::RECORDER, WAITING, DropPolicy::KeepOldest, wake.clone());
    let (keeper, keeping) = Keeper::new(KeeperSettings { session: folder.clone(), limits: limits(record) });
    let (kept_by, kept) = bounded(1);
    std::thread::Builder::new().name("record keeper".to_owned()).spawn(move || {
        pools::stand_back();
        keeping.run();
        // Nobody may wait for it any more.
        let _ = kept_by.send(());
    })?;
    let settings = RecorderSettings {
        destination: Destination::Folder(folder),
        info,
        queue_bytes: record.queue_mb as usize * 1_000_000,
        patient: false,
        flush: Duration::from_millis(record.flush_ms.into()),
        segment_bytes: u64::from(record.segment_mb) * 1_000_000,
    };
    let told = Told { world: Some(outlet), keeper: Some(keeper.clone()) };
    let (recorder, thread) = Recorder::telling(settings, control.clone(), told);
    let stats = recorder.stats();
    let (written_by, written) = bounded(1);
    std::thread::Builder::new().name("recorder".to_owned()).spawn(move || {
        // Nobody may wait for it any more.
        let _ = written_by.send(thread.run());
    })?;
    preserve_on_signal(Some(keeper.clone()), Duration::from_secs(record.preserve_s.into()))?;
    Ok(Started { recorder, inlet, keeper, recording: Recording { written, kept, stats } })
}

impl Recording {
    /// Waits until everything is on the disk, but not for ever: a disk that does not answer keeps its thread, not the
    /// program.
    pub fn finish(self) -> Finished {
        let written = self.written.recv_timeout(PATIENCE);
        let answers = !matches!(written, Err(RecvTimeoutError::Timeout));
        Finished { stats: self.outcome(written), answers }
    }

    fn outcome(self, written: Result<Result<(), WriteError>, RecvTimeoutError>) -> Result<Arc<RecorderStats>, Failure> {
        let lost = self.stats.lost.load(Ordering::Relaxed);
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Failure::from(error).also(format!("{lost} ticks are not recorded"))),
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::running("the recorder's thread panicked")),
            Err(RecvTimeoutError::Timeout) => {
                let waiting = self.stats.waiting.load(Ordering::Relaxed) as f64 / 1e6;
                let message = format!(
                    "the disk does not answer: the recorder's thread is left behind, {waiting:.1} MB are not written"
                );
                tracing::error!("{message}");
                return Err(Failure::running(message).hint("what was written before is whole: see the disk's health"));
            }
        }
        if self.kept.recv_timeout(KEEPING).is_err() {
            tracing::warn!("what was to be preserved last may be incomplete: the disk does not answer");
        }
        if lost > 0 {
            tracing::warn!("{lost} ticks could not be recorded: the disk was too slow");
        }
        Ok(self.stats)
    }
}

/// Keeps what is recorded around the moment in which SIGUSR1 comes. Without a recording it is said that there is none:
/// left alone, the signal would end the program.
///
/// # Errors
/// When the signal cannot be listened to.
pub fn preserve_on_signal(keeper: Option<Keeper>, around: Duration) -> Result<(), Failure> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGUSR1])?;
    std::thread::Builder::new().name("preserve".to_owned()).spawn(move || {
        for _ in signals.forever() {
            match keeper.as_ref().map(|keeper| keeper.preserve(around, "asked for by SIGUSR1")) {
                None => tracing::warn!("asked to keep what is recorded (SIGUSR1), and nothing is recorded"),
                Some(Err(busy)) => tracing::error!("SIGUSR1: {busy}"),
                Some(Ok(())) => {}
            }
        }
    })?;
    Ok(())
}

/// The limits of the config; 0 stands for none.
fn limits(record: &Record) -> Limits {
    let bytes = |gigabytes: f64| (gigabytes * 1e9) as u64;
    let days = |days: f64| Duration::try_from_secs_f64(days * 86_400.0).unwrap_or(Duration::MAX);
    Limits {
        bytes: (record.keep_gb > 0.0).then(|| bytes(record.keep_gb)),
        age: (record.keep_days > 0.0).then(|| days(record.keep_days)),
        free: bytes(record.free_gb),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_no_limit() {
        let none = Record { free_gb: 0.0, ..Default::default() };
        assert_eq!(limits(&none), Limits::default());
        let some = Record { keep_gb: 0.5, keep_days: 1.5, free_gb: 2.0, ..Default::default() };
        let age = Some(Duration::from_secs(129_600));
        assert_eq!(limits(&some), Limits { bytes: Some(500_000_000), age, free: 2_000_000_000 });
    }
}
