//! A piece of a session, kept: the segments around a moment, as a session of their own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use waywarden_components::prelude::*;

use super::format::{FORMAT_MAJOR, FORMAT_MINOR};
use super::{Record, SegmentWriter, SessionError, SessionReader, WriteError};

/// Why a piece cannot be kept.
#[derive(Debug, Error)]
pub enum PieceError {
    /// The session cannot be read.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The piece cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// There are sessions where it is to be.
    #[error("{path}: there are segments in it already", path = path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The session is shorter.
    #[error("{path}: is only {length_s:.1} s long", path = path.display())]
    Beyond {
        /// The session.
        path: PathBuf,
        /// Its length in seconds.
        length_s: f64,
    },
}

/// What is to be kept of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When something happened, from the start of the session.
    pub at: Duration,
    /// What is kept before and after it.
    pub around: Duration,
}

/// What was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its files, in order.
    pub files: Vec<PathBuf>,
    /// Where it begins, from the start of the session.
    pub from: Duration,
    /// Where it ends.
    pub to: Duration,
    /// Its size.
    pub bytes: u64,
}

/// A stretch of the session that can be taken by itself.
struct Stretch {
    /// When its first tick begins.
    from: Mono,
    /// When the next one begins, or the session ends.
    to: Mono,
    /// Its file.
    file: PathBuf,
    /// The number of its segment, if it is known.
    segment: Option<u32>,
}

/// Keeps the segments of `session` that overlap `window`, in the folder `out`, which may be there and hold no segments.
///
/// Files are linked where the file system can, else copied. Segments that stand in one file are written anew.
///
/// # Errors
/// When the session cannot be read or is shorter, or the piece cannot be written.
pub fn preserve(session: &Path, window: Window, out: &Path) -> Result<Piece, PieceError> {
    let stretches = if session.is_dir() { of_folder(session)? } else { of_file(session)? };
    let (Some(first), Some(last)) = (stretches.first(), stretches.last()) else {
        return Err(SessionError::NoSuchPlace { path: session.to_owned(), what: "holds no ticks".to_owned() }.into());
    };
    let (start, end) = (first.from, last.to);
    if window.at > end.since(start) {
        return Err(PieceError::Beyond { path: session.to_owned(), length_s: end.since(start).as_secs_f64() });
    }
    let (from, to) = (start + window.at.saturating_sub(window.around), start + window.at.saturating_add(window.around));
    let wanted = |stretch: &Stretch| stretch.from <= to && stretch.to >= from;
    let one_file = stretches.len() > 1 && !session.is_dir();
    prepare(out)?;
    let mut files: Vec<PathBuf> = Vec::new();
    if one_file {
        files = write_anew(session, &stretches, wanted, out)?;
    } else {
        for stretch in stretches.iter().filter(|stretch| wanted(stretch)) {
            let target = out.join(stretch.file.file_name().unwrap_or("segment-00000.mcap".as_ref()));
            link_or_copy(&stretch.file, &target).map_err(|source| io_error(&target, source))?;
            files.push(target);
        }
    }
    fs::File::open(out).and_then(|folder| folder.sync_all()).map_err(|source| io_error(out, source))?;
    let kept: Vec<&Stretch> = stretches.iter().filter(|stretch| wanted(stretch)).collect();
    let time = |time: Option<Mono>| time.unwrap_or(start).since(start);
    Ok(Piece {
        bytes: files.iter().filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum(),
        files,
        from: time(kept.first().map(|stretch| stretch.from)),
        to: time(kept.last().map(|stretch| stretch.to)),
    })
}

fn of_folder(session: &Path) -> Result<Vec<Stretch>, SessionError> {
    let files = SessionReader::files(session)?;
    let end = match files.last() {
        Some((file, from)) => last_tick(file)?.unwrap_or(*from),
        None => Mono::default(),
    };
    let starts: Vec<Mono> = files.iter().map(|(_, from)| *from).collect();
    let stretch = |(n, (file, from)): (usize, (PathBuf, Mono))| Stretch {
        from,
        to: starts.get(n + 1).copied().unwrap_or(end),
        file,
        segment: None,
    };
    Ok(files.into_iter().enumerate().map(stretch).collect())
}

fn last_tick(file: &Path) -> Result<Option<Mono>, SessionError> {
    let mut reader = SessionReader::open(file)?;
    let mut last = None;
    while let Some(record) = reader.read()? {
        if let Record::Tick(incoming) = record {
            last = Some(incoming.now);
        }
    }
    Ok(last)
}

fn of_file(session: &Path) -> Result<Vec<Stretch>, SessionError> {
    let mut reader = SessionReader::open(session)?;
    let mut found: Vec<Stretch> = Vec::new();
    let begin = |from, segment| Stretch { from, to: from, file: session.to_owned(), segment };
    while let Some(record) = reader.read()? {
        match record {
            Record::Snapshot(snapshot) => {
                let from = Mono(snapshot.now);
                if let Some(last) = found.last_mut() {
                    last.to = from;
                }
                found.push(begin(from, Some(snapshot.segment)));
            }
            Record::Tick(incoming) => match found.last_mut() {
                Some(last) => last.to = incoming.now,
                None => found.push(begin(incoming.now, None)),
            },
            Record::Outputs(_) => {}
        }
    }
    Ok(found)
}

fn write_anew(
    session: &Path,
    stretches: &[Stretch],
    wanted: impl Fn(&Stretch) -> bool,
    out: &Path,
) -> Result<Vec<PathBuf>, PieceError> {
    let mut reader = SessionReader::open(session)?;
    let mut info = reader.info().clone();
    info.format = (FORMAT_MAJOR, FORMAT_MINOR);
    let mut files = Vec::new();
    let mut begin = |n: usize| -> Result<Option<SegmentWriter>, PieceError> {
        let Some(stretch) = stretches.get(n).filter(|stretch| wanted(stretch)) else { return Ok(None) };
        let number = stretch.segment.map_or(n, |segment| segment as usize);
        let path = out.join(format!("segment-{number:05}.mcap"));
        files.push(path.clone());
        Ok(Some(SegmentWriter::create(&path, &info)?))
    };
    let (mut open, mut next, mut now) = (None, 0, Mono::default());
    while let Some(record) = reader.read()? {
        if matches!(record, Record::Snapshot(_)) || next == 0 {
            if let Some(writer) = std::mem::replace(&mut open, begin(next)?) {
                SegmentWriter::finish(writer)?;
            }
            next += 1;
        }
        let Some(writer) = &mut open else { continue };
        match record {
            Record::Snapshot(snapshot) => writer.snapshot(&snapshot)?,
            Record::Tick(incoming) => {
                now = incoming.now;
                writer.tick(&incoming)?;
            }
            Record::Outputs(outputs) => writer.outputs(now, &outputs)?,
        }
    }
    if let Some(writer) = open {
        writer.finish()?;
    }
    Ok(files)
}

fn prepare(out: &Path) -> Result<(), PieceError> {
    fs::create_dir_all(out).map_err(|source| io_error(out, source))?;
    let entries = fs::read_dir(out).map_err(|source| io_error(out, source))?;
    let is_segment = |path: PathBuf| path.extension().is_some_and(|extension| extension == "mcap");
    if entries.flatten().any(|entry| is_segment(entry.path())) {
        return Err(PieceError::Occupied { path: out.to_owned() });
    }
    Ok(())
}

fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to)?;
    fs::File::open(to)?.sync_all()
}

fn io_error(path: &Path, source: io::Error) -> WriteError {
    WriteError::Io { path: path.to_owned(), source }
}
