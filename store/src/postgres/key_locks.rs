//! Locks on keys in the secondary, also on those whose row is not there.
//!
//! A DELETE waits for nobody where the row's INSERT is staged by another transaction and not yet committed: it sees no row,
//! and the INSERT commits after it and stays for ever (trap 1). So each batch first takes advisory locks, shared for keys that it writes
//! and exclusive for keys that it deletes, all of them in one order, before it takes any row's lock (trap 2).

use bytes::Bytes;
use crossfade_config::QualifiedName;
use crossfade_phase::Side;

use crate::{Change, Key, TableMap};

/// Takes the locks that [`key_locks`] lists, until the transaction ends. Two parameters of type `text`; answers with no row.
pub const KEY_LOCKS: &str = "SELECT 1 FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text::pg_catalog.int8[]), \
    pg_catalog.unnest($2::pg_catalog.text::pg_catalog.bool[])) AS l(id, deletes) WHERE CASE WHEN l.deletes \
    THEN pg_catalog.pg_advisory_xact_lock(l.id) ELSE pg_catalog.pg_advisory_xact_lock_shared(l.id) END IS NULL";

/// The same for a single lock, by its number: what it costs the server, nearly every transaction pays. They answer with one row.
pub(super) const KEY_LOCK_SHARED: &str = "SELECT pg_catalog.pg_advisory_xact_lock_shared($1)";
/// As [`KEY_LOCK_SHARED`], for a key that is deleted.
pub(super) const KEY_LOCK_EXCLUSIVE: &str = "SELECT pg_catalog.pg_advisory_xact_lock($1)";

/// Locks that all keys share. A server has room for 6,400 by default, which a bulk transaction with a lock for each key would use up; two
/// keys that share one lock cost a short wait, and only where one of them is deleted.
const LOCKS: u64 = 1024;
/// Keeps our locks apart from those of applications, which as a rule count from small numbers: the bytes of `crossfad`.
const NAMESPACE: u64 = 0x6372_6f73_7366_6164;

/// A lock's number, and whether it is for a key that is deleted.
pub(super) type KeyLock = (i64, bool);

/// The locks for a batch of changes on its way into `target`, in the order in which everybody takes them.
pub(super) fn locks_of<'a>(
    target: Side,
    batch: impl IntoIterator<Item = (&'a TableMap, &'a Change)>,
) -> Vec<KeyLock> {
    let mut locks: Vec<(u64, bool)> = batch
        .into_iter()
        .filter_map(|(table, change)| {
            let name = &table.on(target).name;
            match change {
                Change::Upsert(row) => table.key_of(row).map(|key| (lock_of(name, &key), false)),
                Change::Delete(key) => Some((lock_of(name, key), true)),
            }
        })
        .collect();
    // The deleting lock of a number comes first and stands for the other.
    locks.sort_unstable_by_key(|&(lock, deletes)| (lock, !deletes));
    locks.dedup_by_key(|&mut (lock, _)| lock);
    let number = |lock: u64| i64::from_ne_bytes((NAMESPACE ^ lock).to_ne_bytes());
    locks
        .into_iter()
        .map(|(lock, deletes)| (number(lock), deletes))
        .collect()
}

/// `locks` with shared locks of these numbers among them, in the order in which everybody takes them.
pub(super) fn with_shared(
    locks: Vec<KeyLock>,
    shared: impl IntoIterator<Item = i64>,
) -> Vec<KeyLock> {
    let mut all: Vec<KeyLock> = shared.into_iter().map(|id| (id, false)).collect();
    all.extend(locks);
    let order = |id: i64| u64::from_ne_bytes(id.to_ne_bytes()) ^ NAMESPACE;
    all.sort_unstable_by_key(|&(id, deletes)| (order(id), !deletes));
    all.dedup_by_key(|&mut (id, _)| id);
    all
}

/// The parameters of [`KEY_LOCKS`] for a batch of changes on its way into `target`.
#[must_use]
pub fn key_locks<'a>(
    target: Side,
    batch: impl IntoIterator<Item = (&'a TableMap, &'a Change)>,
) -> [Bytes; 2] {
    parameters(&locks_of(target, batch))
}

pub(super) fn parameters(locks: &[KeyLock]) -> [Bytes; 2] {
    let list = |items: Vec<String>| Bytes::from(format!("{{{}}}", items.join(",")));
    [
        list(locks.iter().map(|(id, _)| id.to_string()).collect()),
        list(
            locks
                .iter()
                .map(|(_, deletes)| deletes.to_string())
                .collect(),
        ),
    ]
}

/// FNV-1a: every proxy and every version of it must come to the same number.
fn lock_of(table: &QualifiedName, key: &Key) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for &byte in bytes.iter().chain(&[0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(table.schema.as_bytes());
    add(table.name.as_bytes());
    key.0.iter().for_each(|part| add(part));
    (hash ^ hash >> 32) % LOCKS
}
