//! Rows that a store keeps for the journal where it is the primary (docs/decision/18).

use futures::future::BoxFuture;

use crate::{
    Store, StoreResult,
    hex::{hex, unhex},
};

/// A dirty key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyRow {
    /// Whose mark.
    pub owner: i64,
    /// The toggle.
    pub toggle: String,
    /// The table's name in the old store.
    pub table: String,
    /// The key, in the journal's own encoding.
    pub key: Vec<u8>,
    /// Which mark of the owner's.
    pub generation: i64,
    /// Why, in the journal's own numbers.
    pub reason: i16,
    /// Where it is suspected, in the journal's own numbers.
    pub stale: i16,
    /// When it became dirty, in Unix seconds. For display only (trap 44).
    pub since_s: i64,
}

/// A mark that goes, unless it is of a later generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanRow {
    /// Whose mark.
    pub owner: i64,
    /// The table's name in the old store.
    pub table: String,
    /// The key, in the journal's own encoding.
    pub key: Vec<u8>,
    /// The last generation that goes.
    pub generation: i64,
}

/// An intent, inserted by the transaction that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentRow {
    /// Whose intent.
    pub owner: i64,
    /// Its number among the owner's.
    pub id: i64,
    /// The keys, in the journal's own encoding.
    pub body: Vec<u8>,
}

/// Changes of the rows. No key of an owner is named twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalChanges {
    /// Rows to put, in the place of older ones.
    pub dirty: Vec<DirtyRow>,
    /// Rows to take out.
    pub clean: Vec<CleanRow>,
    /// Intents to take out: owner and number.
    pub closed: Vec<(i64, i64)>,
}

/// A store that can keep them, with the proxy's own account.
pub trait JournalRows: Store {
    /// Makes the tables, where they are not there. Idempotent.
    fn prepare(&self) -> BoxFuture<'_, StoreResult<()>>;

    /// Why they can be neither used nor made, with what to do; `None` where they can.
    fn obstacle(&self) -> BoxFuture<'_, StoreResult<Option<String>>>;

    /// Notes that `owner` lives, and tells every owner's last sign of life: a number that grows with each.
    fn beat(&self, owner: i64) -> BoxFuture<'_, StoreResult<Vec<(i64, i64)>>>;

    /// Everybody who has a row.
    fn owners(&self) -> BoxFuture<'_, StoreResult<Vec<i64>>>;

    /// Dirty keys of an owner, up to `limit`.
    fn dirty_of(&self, owner: i64, limit: u32) -> BoxFuture<'_, StoreResult<Vec<DirtyRow>>>;

    /// Dirty keys of these owners among `keys` of a table.
    fn dirty_among<'a>(
        &'a self,
        owners: &'a [i64],
        table: &'a str,
        keys: &'a [Vec<u8>],
    ) -> BoxFuture<'a, StoreResult<Vec<DirtyRow>>>;

    /// Intents of an owner whose transactions are committed, the first `limit`.
    fn intents_of(&self, owner: i64, limit: u32) -> BoxFuture<'_, StoreResult<Vec<IntentRow>>>;

    /// Makes the changes, durably. What is put is there before anything is taken out.
    fn write<'a>(&'a self, changes: &'a JournalChanges) -> BoxFuture<'a, StoreResult<()>>;

    /// Forgets that `owner` ever lived; its rows stay.
    fn forget(&self, owner: i64) -> BoxFuture<'_, StoreResult<()>>;
}

const INTEND: [&str; 4] = [
    "SELECT crossfade.intend(",
    ", ",
    ", pg_catalog.decode('",
    "', 'hex'))",
];

/// The statement by which a session's transaction inserts its intent.
#[must_use]
pub fn intend_sql(owner: u64, id: u64, body: &[u8]) -> String {
    let [select, comma, decode, end] = INTEND;
    let body = String::from_utf8(hex(body)).unwrap_or_default();
    format!("{select}{owner}{comma}{id}{decode}{body}{end}")
}

/// Reads [`intend_sql`], for a server that has no functions; `None` for every other statement.
#[must_use]
pub fn read_intend(sql: &str) -> Option<IntentRow> {
    let [select, comma, decode, end] = INTEND;
    let (owner, rest) = sql.strip_prefix(select)?.split_once(comma)?;
    let (id, rest) = rest.split_once(decode)?;
    Some(IntentRow {
        owner: owner.parse().ok()?,
        id: id.parse().ok()?,
        body: unhex(rest.strip_suffix(end)?.as_bytes())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_is_read_back_and_no_other_is() {
        let sql = intend_sql(7, 12, &[0, 255, 16]);
        let row = IntentRow {
            owner: 7,
            id: 12,
            body: vec![0, 255, 16],
        };
        assert_eq!(read_intend(&sql), Some(row));
        assert_eq!(read_intend("SELECT crossfade.intend(1, 2, 'x')"), None);
        assert_eq!(read_intend("SELECT 1"), None);
    }
}
