//! The file: messages in the order of sending, and a ledger with totals that is written in the same transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Statement, TransactionBehavior, params};

use super::error::{Kind, StoreError};
use super::ledger::{Ledger, Total, signed, unsigned};
use super::waiting::Waiting;
use super::{Entry, OVERHEAD, SpoolId};

/// In the header of the file: it is a spool ("WWSP").
const APPLICATION: i32 = 0x5757_5350;

/// In the header of the file: what its tables look like.
const VERSION: i32 = 1;

/// What a transaction puts in the log are whole pages, and a message that comes alone needs two of them: small ones
/// spare flash memory, while larger ones are better in bulk.
const PAGE: u32 = 2048;

/// Pages in the log after which they are moved to where they belong.
const LOG_PAGES: u32 = 2000;

/// Memory for pages, in KiB.
const CACHE_KIB: u32 = 4096;

/// Numbers are reserved by so many, so that those of messages that never came to disk are not given again.
const RESERVE: u64 = 1 << 20;

/// A piece of the backlog has about so many bytes, and so many expired messages, at the most.
const PIECE_BYTES: u64 = 4 << 20;
const PIECE_EXPIRED: usize = 10_000;

/// A file of no more pages is looked through when it is opened: 16 MiB, which takes a fraction of a second from any disk.
const CHECKED_PAGES: i64 = 8192;

/// A file shrinks when more pages than these are free, and fewer than those are left.
const FREE_PAGES: i64 = 4096;
const LEFT_PAGES: i64 = 1024;

/// Row 0 of `ledger` has the first number that is not reserved and the number of the last group; the others have the
/// messages of a stream and their bytes. One table, because its one page is written with every group.
const SCHEMA: &str = "
    create table ledger (id integer primary key, name text unique, first integer not null, second integer not null);
    insert into ledger values (0, null, 1, 0);
    create table message (key integer primary key, stream integer not null, put_at integer, expires_at integer, \
                          body blob not null);";

pub(super) const COLUMNS: &str = "select key, stream, put_at, expires_at, body from message";

/// What is written as one.
#[derive(Debug, Default)]
pub(super) struct Group<'a> {
    pub(super) entries: Option<&'a Waiting>,
    pub(super) acknowledged: Option<&'a BTreeSet<i64>>,
    pub(super) expired: &'a [i64],
    /// The next number to be given.
    pub(super) next: u64,
    /// See [`super::SpoolSettings::disk_bytes`].
    pub(super) disk_bytes: u64,
}

/// What a group did to a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) inserted: u64,
    pub(super) acknowledged: u64,
    pub(super) expired: u64,
    pub(super) dropped: u64,
}

/// What a group did.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) changes: BTreeMap<Arc<str>, Change>,
    pub(super) total: Total,
    pub(super) oldest: Option<u64>,
}

/// A group that could not be written.
#[derive(Debug)]
pub(super) struct CommitError {
    pub(super) error: StoreError,
    /// What it did if it is on disk all the same, which only shows when the file is opened again; none if it is not.
    pub(super) unsure: Option<Outcome>,
}

impl<E: Into<StoreError>> From<E> for CommitError {
    fn from(error: E) -> Self {
        Self { error: error.into(), unsure: None }
    }
}

/// A piece of what is on disk.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) messages: Vec<(i64, Entry)>,
    pub(super) expired: Vec<i64>,
    /// It was looked at up to here; to the end without.
    pub(super) up_to: Option<i64>,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    ledger: Ledger,
    #[cfg(test)]
    faults: Arc<super::tests::Faults>,
}

impl Store {
    /// Opens it, or begins one.
    pub(super) fn open(path: &Path, #[cfg(test)] faults: Arc<super::tests::Faults>) -> Result<Self, StoreError> {
        #[cfg(test)]
        faults.at_open()?;
        if path.is_dir() {
            return Err(StoreError::broken("it is a folder"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        connection.execute_batch(&format!(
            "pragma page_size = {PAGE}; pragma synchronous = full; \
             pragma wal_autocheckpoint = {LOG_PAGES}; pragma journal_size_limit = {};",
            u64::from(LOG_PAGES) * u64::from(PAGE)
        ))?;
        let mode: String = connection.query_row("pragma journal_mode = wal", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(StoreError {
                kind: Kind::Disk,
                words: "the disk cannot hold a log beside the file".to_owned(),
            });
        }
        if pragma(&connection, "application_id")? == 0 && pragma(&connection, "schema_version")? == 0 {
            connection.execute_batch(&format!(
                "begin immediate; {SCHEMA} pragma application_id = {APPLICATION}; pragma user_version = {VERSION}; commit;"
            ))?;
            // The file is only there after a power cut when its folder is on the disk too.
            std::fs::File::open(folder)?.sync_all()?;
        }
        if pragma(&connection, "application_id")? != i64::from(APPLICATION) {
            return Err(StoreError::broken("it is no spool"));
        }
        if pragma(&connection, "user_version")? != i64::from(VERSION) {
            return Err(StoreError::broken("it is a spool of another version"));
        }
        let ledger = Ledger::read(&connection)?;
        if pragma(&connection, "page_count")? <= CHECKED_PAGES {
            // Rows that a damaged tree hides are missed by nobody else.
            let verdict: String = connection.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
            if verdict != "ok" {
                return Err(StoreError::broken(&format!("it is damaged: {verdict}")));
            }
        }
        let store = Self {
            connection,
            ledger,
            #[cfg(test)]
            faults,
        };
        // Whether a message can be read is better known now.
        store.read(-1, SpoolId::MASK, 1, None)?;
        Ok(store)
    }

    /// The first number that may be given.
    pub(super) fn next(&self) -> u64 {
        self.ledger.reserved
    }

    /// The number of the last group.
    pub(super) fn group(&self) -> u64 {
        self.ledger.group
    }

    /// Messages and bytes of all streams.
    pub(super) fn total(&self) -> Total {
        self.ledger.total()
    }

    /// Messages of each stream.
    pub(super) fn streams(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        self.ledger.totals.iter().map(|(name, (_, total))| (name, total.messages))
    }

    /// Writes a group, and comes back when it is on disk.
    pub(super) fn commit(&mut self, group: &Group<'_>) -> Result<Outcome, CommitError> {
        let mut ledger = self.ledger.clone();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let outcome = write(&transaction, &mut ledger, group)?;
        #[cfg(test)]
        self.faults.before_commit()?;
        #[cfg(test)]
        if let Err(error) = self.faults.instead_of_commit() {
            return Err(CommitError { error, unsure: Some(outcome) });
        }
        let committed = transaction.commit().map_err(StoreError::from);
        #[cfg(test)]
        let committed = committed.and_then(|()| self.faults.after_commit());
        if let Err(error) = committed {
            return Err(CommitError { error, unsure: Some(outcome) });
        }
        self.ledger = ledger;
        Ok(outcome)
    }

    /// So many messages behind `after` whose numbers are below `below`, in the order of sending.
    pub(super) fn read(&self, after: i64, below: u64, count: usize, now: Option<u64>) -> Result<Piece, StoreError> {
        let (mut piece, mut bytes, mut start) = (Piece::default(), 0u64, after.max(-1).saturating_add(1));
        let mut jump = self.connection.prepare_cached("select min(key) from message where key >= ?1")?;
        let mut range =
            self.connection.prepare_cached(&format!("{COLUMNS} where key >= ?1 and key < ?2 order by key"))?;
        while let Some(first) = jump.query_row([start], |row| row.get::<_, Option<i64>>(0))? {
            let border = SpoolId { number: below.min(SpoolId::MASK), ..SpoolId::from_key(first) };
            let mut rows = range.query([first, border.key()])?;
            while let Some(row) = rows.next()? {
                let (key, entry) = self.entry(row)?;
                if entry.has_expired(now) {
                    piece.expired.push(key);
                } else {
                    bytes = bytes.saturating_add(entry.weight());
                    piece.messages.push((key, entry));
                }
                if piece.messages.len() >= count || bytes >= PIECE_BYTES || piece.expired.len() >= PIECE_EXPIRED {
                    piece.up_to = Some(key);
                    return Ok(piece);
                }
            }
            let Some(next) = next_priority(first) else { break };
            start = next;
        }
        Ok(piece)
    }

    fn entry(&self, row: &Row<'_>) -> Result<(i64, Entry), StoreError> {
        let name = self.ledger.names.get(&row.get(1)?);
        let name = name.ok_or_else(|| StoreError::broken("it is damaged: a message belongs to no stream"))?;
        Ok(entry(row, name.clone())?)
    }

    /// Gives room that is free in the file back to the disk, when little is left in it. What is left is written anew
    /// for that, so a file with much in it is better filled again.
    pub(super) fn tidy(&self) -> Result<(), StoreError> {
        let (free, pages) = (pragma(&self.connection, "freelist_count")?, pragma(&self.connection, "page_count")?);
        if free > FREE_PAGES && pages.saturating_sub(free) < LEFT_PAGES {
            self.connection.execute_batch("vacuum; pragma wal_checkpoint(truncate);")?;
        }
        Ok(())
    }

    /// Closes it. Numbers that were reserved and not given are free again.
    pub(super) fn close(self, next: u64) -> Result<(), StoreError> {
        let next = next.max(self.ledger.reserved.saturating_sub(RESERVE));
        self.connection.execute("update ledger set first = ?1 where id = 0", [signed(next)])?;
        self.connection.close().map_err(|(_, error)| error.into())
    }
}

/// Opens a file for this process alone.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_millis(300))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.execute_batch(&format!(
        "pragma locking_mode = exclusive; pragma temp_store = memory; pragma cell_size_check = on; \
         pragma mmap_size = 0; pragma cache_size = -{CACHE_KIB};"
    ))?;
    Ok(connection)
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, StoreError> {
    Ok(connection.query_row(&format!("pragma {name}"), [], |row| row.get(0))?)
}

pub(super) fn entry(row: &Row<'_>, stream: Arc<str>) -> rusqlite::Result<(i64, Entry)> {
    let key: i64 = row.get(0)?;
    let time = |n| row.get::<_, Option<i64>>(n).map(|time| time.map(unsigned));
    let body = Bytes::from(row.get::<_, Vec<u8>>(4)?);
    let priority = SpoolId::from_key(key).priority();
    Ok((key, Entry { stream, priority, put_at: time(2)?, expires_at: time(3)?, body }))
}

/// The first place of the next lower priority.
fn next_priority(key: i64) -> Option<i64> {
    let lower = SpoolId::from_key(key).priority().checked_sub(1)?;
    Some(SpoolId { number: 0, priority: lower }.key())
}

/// Does in a transaction what a group wants.
fn write(connection: &Connection, ledger: &mut Ledger, group: &Group<'_>) -> Result<Outcome, StoreError> {
    let mut changes: BTreeMap<Arc<str>, Change> = BTreeMap::new();
    let mut delete = connection.prepare_cached("delete from message where key = ?1 returning stream, length(body)")?;
    for key in group.acknowledged.into_iter().flatten() {
        if let Some(name) = remove(&mut delete, ledger, *key)? {
            changes.entry(name).or_default().acknowledged += 1;
        }
    }
    for key in group.expired {
        if let Some(name) = remove(&mut delete, ledger, *key)? {
            changes.entry(name).or_default().expired += 1;
        }
    }
    let mut insert = connection.prepare_cached("insert or ignore into message values (?1, ?2, ?3, ?4, ?5)")?;
    for (key, entry) in group.entries.iter().flat_map(|entries| entries.iter()) {
        let change = changes.entry(entry.stream.clone()).or_default();
        let stream = stream(connection, ledger, &entry.stream)?;
        let (put_at, expires_at) = (entry.put_at.map(signed), entry.expires_at.map(signed));
        change.inserted += 1;
        if insert.execute(params![key, stream, put_at, expires_at, &entry.body[..]])? == 0 {
            // Its number was given while the file was not to be had, and is another's.
            change.dropped += 1;
        } else if let Some((_, total)) = ledger.totals.get_mut(&entry.stream) {
            total.add(entry.weight());
        }
    }
    make_room(connection, &mut delete, ledger, &mut changes, group)?;
    let mut update = connection.prepare_cached("update ledger set first = ?2, second = ?3 where id = ?1")?;
    for name in changes.keys() {
        if let Some((id, total)) = ledger.totals.get(name) {
            update.execute([*id, signed(total.messages), signed(total.bytes)])?;
        }
    }
    if group.next.saturating_add(RESERVE / 2) > ledger.reserved {
        ledger.reserved = group.next.saturating_add(RESERVE);
    }
    ledger.group = ledger.group.saturating_add(1);
    update.execute([0, signed(ledger.reserved), signed(ledger.group)])?;
    let oldest = oldest(connection)?;
    Ok(Outcome { changes, total: ledger.total(), oldest })
}

/// Takes a message out. None when it is not there.
fn remove(delete: &mut Statement<'_>, ledger: &mut Ledger, key: i64) -> Result<Option<Arc<str>>, StoreError> {
    let found = delete.query_row([key], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).optional()?;
    let Some((stream, length)) = found else { return Ok(None) };
    let Some(name) = ledger.names.get(&stream).cloned() else {
        return Err(StoreError::broken("it is damaged: a message belongs to no stream"));
    };
    if let Some((_, total)) = ledger.totals.get_mut(&name) {
        total.subtract(unsigned(length).saturating_add(OVERHEAD));
    }
    Ok(Some(name))
}

/// The row of a stream in the ledger.
fn stream(connection: &Connection, ledger: &mut Ledger, name: &Arc<str>) -> Result<i64, StoreError> {
    if let Some((id, _)) = ledger.totals.get(name) {
        return Ok(*id);
    }
    let id = ledger.names.last_key_value().map_or(0, |(id, _)| *id).max(0).saturating_add(1);
    connection.execute("insert into ledger values (?1, ?2, 0, 0)", params![id, &**name])?;
    ledger.names.insert(id, name.clone());
    ledger.totals.insert(name.clone(), (id, Total::default()));
    Ok(id)
}

/// Until the rest is within the limit: takes out the oldest of each priority as long as they have expired, then drops the
/// oldest of the lowest priority.
fn make_room(
    connection: &Connection,
    delete: &mut Statement<'_>,
    ledger: &mut Ledger,
    changes: &mut BTreeMap<Arc<str>, Change>,
    group: &Group<'_>,
) -> Result<(), StoreError> {
    let limit = group.disk_bytes;
    // Nobody asks for the backlog while the broker is out of reach: the date is that of the newest message.
    let now = group.entries.iter().flat_map(|entries| entries.iter()).filter_map(|(_, entry)| entry.put_at).max();
    let mut oldest =
        connection.prepare_cached("select key, expires_at from message where key >= ?1 order by key limit 1")?;
    let mut start = now.and(Some(0));
    while let Some(from) = start.filter(|_| ledger.total().bytes > limit) {
        let row = oldest.query_row([from], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?)));
        let Some((key, expires_at)) = row.optional()? else { break };
        let expired = expires_at.map(unsigned).zip(now).is_some_and(|(at, now)| at <= now);
        if !expired {
            start = next_priority(key);
        } else if let Some(name) = remove(delete, ledger, key)? {
            changes.entry(name).or_default().expired += 1;
        }
    }
    let mut last = connection.prepare_cached("select max(key) from message")?;
    let mut first = connection.prepare_cached("select min(key) from message where key >= ?1")?;
    while ledger.total().bytes > limit {
        let Some(key) = last.query_row([], |row| row.get::<_, Option<i64>>(0))? else { break };
        let lowest = SpoolId { number: 0, ..SpoolId::from_key(key) }.key();
        let victim = first.query_row([lowest], |row| row.get::<_, Option<i64>>(0))?.unwrap_or(key);
        let Some(name) = remove(delete, ledger, victim)? else { break };
        changes.entry(name).or_default().dropped += 1;
    }
    Ok(())
}

/// When the oldest was put: that of the first one of each priority.
fn oldest(connection: &Connection) -> Result<Option<u64>, StoreError> {
    let mut first =
        connection.prepare_cached("select key, put_at from message where key >= ?1 order by key limit 1")?;
    let (mut oldest, mut start) = (None, Some(0));
    while let Some(from) = start {
        let row = first.query_row([from], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?)));
        let Some((key, put_at)) = row.optional()? else { break };
        oldest = [oldest, put_at.map(unsigned)].into_iter().flatten().min();
        start = next_priority(key);
    }
    Ok(oldest)
}
