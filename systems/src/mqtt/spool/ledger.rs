//! Totals and numbers, which are kept beside the messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::SpoolId;
use super::error::StoreError;

/// Messages and bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Total {
    pub(super) fn add(&mut self, bytes: u64) {
        self.messages = self.messages.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(super) fn subtract(&mut self, bytes: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// The streams, their totals, and the numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) names: BTreeMap<i64, Arc<str>>,
    pub(super) totals: BTreeMap<Arc<str>, (i64, Total)>,
    pub(super) reserved: u64,
    pub(super) group: u64,
}

impl Ledger {
    pub(super) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let mut ledger = Self::default();
        let mut statement = connection.prepare("select id, name, first, second from ledger")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, first, second) = (row.get(0)?, unsigned(row.get(2)?), unsigned(row.get(3)?));
            if id == 0 {
                (ledger.reserved, ledger.group) = (first.max(1), second);
            } else {
                let name: Arc<str> = row.get::<_, String>(1)?.into();
                ledger.names.insert(id, name.clone());
                ledger.totals.insert(name, (id, Total { messages: first, bytes: second }));
            }
        }
        if ledger.reserved == 0 || ledger.reserved > SpoolId::MASK {
            return Err(StoreError::broken("it is damaged: its numbers are gone"));
        }
        Ok(ledger)
    }

    pub(super) fn total(&self) -> Total {
        let sum = |sum: Total, one: Total| Total {
            messages: sum.messages.saturating_add(one.messages),
            bytes: sum.bytes.saturating_add(one.bytes),
        };
        self.totals.values().map(|(_, total)| *total).fold(Total::default(), sum)
    }
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
