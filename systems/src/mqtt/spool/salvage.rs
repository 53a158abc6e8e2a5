//! Files that cannot be used: moved aside, and what can be read of them taken over.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{OpenFlags, Row};

use super::SpoolId;
use super::error::StoreError;
use super::ledger::Ledger;
use super::store::{COLUMNS, Group, Store, connect, entry};
use super::waiting::Waiting;

/// Bytes that are taken over at a time.
const PIECE: u64 = 4 << 20;

/// Broken files that are kept. Another one takes the place of the last.
const MOST_ASIDE: u32 = 9;

/// Moves a file out of the way, with its log. Returns where it is now.
pub(super) fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let named = |n: u32| with_suffix(path, &format!(".broken-{n}"));
    let free = (1..MOST_ASIDE).map(named).find(|aside| !aside.exists());
    let aside = free.unwrap_or_else(|| named(MOST_ASIDE));
    std::fs::rename(path, &aside)?;
    for suffix in ["-wal", "-shm", "-journal"] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&aside, suffix));
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => drop(std::fs::remove_file(&to)),
            Err(error) => return Err(error),
            Ok(()) => {}
        }
    }
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Copies the messages that can be read, from both ends. Returns how many.
///
/// # Errors
/// Those of the new file. It can be done again.
pub(super) fn salvage(aside: &Path, store: &mut Store, disk_bytes: u64) -> Result<u64, StoreError> {
    let Ok(connection) = connect(aside, OpenFlags::SQLITE_OPEN_READ_WRITE) else { return Ok(0) };
    let ledger = Ledger::read(&connection).unwrap_or_default();
    let (mut copy, mut last) =
        (Copy { store, disk_bytes, next: ledger.reserved, piece: Waiting::default(), saved: 0 }, -1);
    let message = |row: &Row<'_>| {
        let name = row.get(1).ok().and_then(|id| ledger.names.get(&id)).cloned();
        entry(row, name.unwrap_or_else(|| Arc::from("unknown")))
    };
    for order in ["", " desc"] {
        let Ok(mut statement) = connection.prepare(&format!("{COLUMNS} where key >= 0 order by key{order}")) else {
            break;
        };
        let Ok(mut rows) = statement.query([]) else { break };
        let whole = loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let Ok((key, entry)) = message(row) else { continue };
                    match order {
                        "" => last = key,
                        _ if key <= last => break true,
                        _ => {}
                    }
                    copy.push(key, entry)?;
                }
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        if whole {
            break;
        }
    }
    copy.write()?;
    Ok(copy.saved)
}

struct Copy<'a> {
    store: &'a mut Store,
    disk_bytes: u64,
    next: u64,
    piece: Waiting,
    saved: u64,
}

impl Copy<'_> {
    fn push(&mut self, key: i64, entry: super::Entry) -> Result<(), StoreError> {
        self.next = self.next.max(SpoolId::from_key(key).number().saturating_add(1));
        self.piece.insert(key, entry);
        if self.piece.bytes() >= PIECE { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let piece = std::mem::take(&mut self.piece);
        let group = Group { entries: Some(&piece), next: self.next, disk_bytes: self.disk_bytes, ..Group::default() };
        self.store.commit(&group).map_err(|failed| failed.error)?;
        self.saved = self.saved.saturating_add(piece.len());
        Ok(())
    }
}
