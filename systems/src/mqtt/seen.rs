//! Which commands have come in, over restarts: what was sent twice is not done twice.

use std::path::Path;

use rusqlite::Connection;

/// So many are remembered.
const REMEMBERED: i64 = 10_000;

/// The ids of commands, in a file.
#[derive(Debug)]
pub struct Seen(Connection);

impl Seen {
    /// Opens the file, or begins one. One that cannot be used is begun anew: it is not worth a vehicle that does not
    /// report.
    ///
    /// # Errors
    /// When the disk takes nothing.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        Self::begin(path).or_else(|error| {
            tracing::warn!("{}: begun anew: {error}", path.display());
            // Where there is nothing to remove, the next line says what is the matter.
            let _ = std::fs::remove_file(path);
            Self::begin(path)
        })
    }

    fn begin(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.execute_batch("create table if not exists seen (n integer primary key, id text not null unique)")?;
        Ok(Self(connection))
    }

    /// Whether a command has not come in before. From now on it has, whatever becomes of the program.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn is_first(&self, id: &str) -> rusqlite::Result<bool> {
        let new = self.0.execute("insert or ignore into seen (id) values (?1)", [id])? > 0;
        if new {
            self.0.execute("delete from seen where n <= (select max(n) from seen) - ?1", [REMEMBERED])?;
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.db");
        let seen = Seen::open(&path).unwrap();
        assert!(seen.is_first("a").unwrap() && !seen.is_first("a").unwrap());
        drop(seen);
        let seen = Seen::open(&path).unwrap();
        assert!(!seen.is_first("a").unwrap() && seen.is_first("b'; drop table seen").unwrap());
        drop(seen);
        std::fs::write(&path, [0x55; 5000]).unwrap();
        assert!(Seen::open(&path).unwrap().is_first("a").unwrap(), "a broken file is begun anew");
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let seen = Seen::open(&folder.path().join("seen.db")).unwrap();
        seen.0.pragma_update(None, "synchronous", "off").unwrap();
        for n in 0..REMEMBERED + 5 {
            assert!(seen.is_first(&n.to_string()).unwrap());
        }
        let count: i64 = seen.0.query_row("select count(*) from seen", [], |row| row.get(0)).unwrap();
        assert_eq!(count, REMEMBERED);
        assert!(!seen.is_first("5").unwrap() && seen.is_first("4").unwrap());
    }
}
