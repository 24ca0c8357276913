//! The repairer's side: taking dirty keys, cleaning them, putting them off.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use crossfade_phase::Side;

use crate::{
    Cause, Journal, JournalKey, Reason, Stale,
    key::{pack, unpack},
    table::{Entry, Table},
};

/// Keys looked at in one table by one [`Journal::take_dirty`], so that keys that wait for another attempt cannot stall it.
const SCAN_KEYS: usize = 1 << 16;

/// One key for the repairer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyKey {
    /// The key.
    pub key: JournalKey,
    /// Of its last mark; [`Journal::clean`] wants it back.
    pub generation: u64,
    /// Why it was marked last.
    pub reason: Reason,
    /// Where it is suspected.
    pub stale: Stale,
    /// Failed repairs since the proxy started.
    pub attempts: u16,
    /// When it became dirty. For display only: clocks order nothing (trap 44).
    pub since: SystemTime,
}

impl Journal {
    /// Up to `limit` dirty keys of a toggle for repair, those that wait for another attempt left out. A taken key is not given out
    /// again until it is cleaned, has failed and waited, was marked again and cleaned in vain, or a minute has passed.
    #[must_use]
    pub fn take_dirty(&self, toggle: &str, limit: usize) -> Vec<DirtyKey> {
        self.take(toggle, limit, None)
    }

    /// The same without the keys whose row in the store of `primary` is suspected itself: they can be taken as soon as it is not the primary any more.
    #[must_use]
    pub fn take_repairable(&self, toggle: &str, limit: usize, primary: Side) -> Vec<DirtyKey> {
        self.take(toggle, limit, Some(primary))
    }

    fn take(&self, toggle: &str, limit: usize, primary: Option<Side>) -> Vec<DirtyKey> {
        let tables = self.inner.shared.registry.tables_of(toggle);
        if tables.is_empty() {
            return Vec::new();
        }
        let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        let fair = limit.div_ceil(tables.len());
        let now = Instant::now();
        let mut taken = Vec::new();
        for share in [fair, limit] {
            for at in 0..tables.len() {
                let table = &tables[(turn + at) % tables.len()];
                let share = share.min(limit - taken.len());
                let keys = table.take(share, SCAN_KEYS, primary, now);
                taken.extend(
                    keys.into_iter()
                        .filter_map(|(k, e)| self.dirty_key(table, &k, e)),
                );
            }
        }
        taken
    }

    pub(super) fn dirty_key(&self, table: &Table, key: &[u8], entry: Entry) -> Option<DirtyKey> {
        let toggle = self.inner.shared.registry.toggle_of(table);
        // Keys are packed by this crate and read back under a checksum.
        let key = unpack(key).ok()?;
        Some(DirtyKey {
            key: JournalKey {
                toggle,
                table: Arc::clone(&table.name),
                key,
            },
            generation: entry.generation,
            reason: entry.reason,
            stale: entry.stale,
            attempts: entry.attempts,
            since: SystemTime::UNIX_EPOCH + Duration::from_secs(entry.since_s.into()),
        })
    }

    /// The key is repaired as of its mark of `generation`. Says whether it is clean now: `false` when it was marked again
    /// meanwhile (then the repair may have read the row too early) or was not dirty. Not durable by itself: a crash only costs a
    /// needless repair.
    pub fn clean(&self, key: &JournalKey, generation: u64) -> bool {
        let shared = &self.inner.shared;
        let Some(table) = shared.registry.table(&key.table) else {
            return false;
        };
        shared.clean(&table, &pack(&key.key), generation)
    }

    /// The key was taken and not tried: it is given out again at once.
    pub fn give_back(&self, key: &JournalKey) {
        if let Some(table) = self.inner.shared.registry.table(&key.table) {
            table.give_back(&pack(&key.key), Instant::now());
        }
    }

    /// The key could not be repaired; it is given out again after a wait that doubles with each failure: up to a minute, or, where that may be no
    /// fault of the key's, up to two seconds.
    pub fn failed(&self, key: &JournalKey, error: &str, cause: Cause) {
        if let Some(table) = self.inner.shared.registry.table(&key.table) {
            table.failed(&pack(&key.key), error, cause, Instant::now());
        }
    }
}
