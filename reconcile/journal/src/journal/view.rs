//! What guards, merged reads, metrics and reports look at.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crossfade_phase::DirtyKeys;

use super::DirtyKey;
use crate::{Journal, JournalKey, key::pack, table::Table};

/// What a toggle still has in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Dirty keys.
    pub dirty: usize,
    /// As many, by the stores that they are stale in.
    pub stale: DirtyKeys,
    /// Transactions between intent and verdict. Where the rows of the toggle's home have not been read, or a process that is gone may have
    /// transactions there that are not over, one more.
    pub open: usize,
    /// Transactions that the secondary committed and may not have flushed.
    pub unconfirmed: usize,
}

impl Backlog {
    /// Whether the journal has nothing of the toggle: what a guard of a move asks for.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.dirty == 0 && self.open == 0 && self.unconfirmed == 0
    }
}

/// The dirty keys of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyTable {
    /// The toggle it belongs to.
    pub toggle: Arc<str>,
    /// Its qualified name in the old store.
    pub table: Arc<str>,
    /// How many.
    pub keys: usize,
    /// As many, by the stores that they are stale in.
    pub stale: DirtyKeys,
    /// When the oldest of them became dirty, to the second. For display (trap 44).
    pub oldest: Option<SystemTime>,
}

fn unix_time(seconds: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into())
}

impl Journal {
    /// Keys whose repair failed, each with the last error. As many as `limit`, of those whose error was kept.
    #[must_use]
    pub fn failing(&self, toggle: &str, limit: usize) -> Vec<(DirtyKey, String)> {
        let mut failing = Vec::new();
        for table in self.inner.shared.registry.tables_of(toggle) {
            for (key, entry, error) in table.failing(limit - failing.len()) {
                failing.extend(
                    self.dirty_key(&table, &key, entry)
                        .map(|k| (k, error.into())),
                );
            }
        }
        failing
    }

    /// How many keys of a toggle failed to be repaired at least once, as far as their errors were kept.
    #[must_use]
    pub fn failing_count(&self, toggle: &str) -> usize {
        self.inner
            .shared
            .registry
            .tables_of(toggle)
            .iter()
            .map(|t| t.failing_count())
            .sum()
    }

    /// Dirty keys of a toggle.
    #[must_use]
    pub fn dirty_count(&self, toggle: &str) -> usize {
        self.inner
            .shared
            .registry
            .tables_of(toggle)
            .iter()
            .map(|table| table.count())
            .sum()
    }

    /// As many, by the stores that they are stale in.
    #[must_use]
    pub fn stale_count(&self, toggle: &str) -> DirtyKeys {
        let tables = self.inner.shared.registry.tables_of(toggle);
        tables.iter().map(|table| table.counts()).sum()
    }

    /// How deep and how old the dirty keys of every table are that the journal knows.
    #[must_use]
    pub fn dirty_by_table(&self) -> Vec<DirtyTable> {
        let registry = &self.inner.shared.registry;
        let depth = |table: &Arc<Table>| DirtyTable {
            toggle: registry.toggle_of(table),
            table: Arc::clone(&table.name),
            keys: table.count(),
            stale: table.counts(),
            oldest: table.oldest_s().map(unix_time),
        };
        registry.tables().iter().map(depth).collect()
    }

    /// Whether a key of a table is dirty. One atomic load where nothing is.
    #[must_use]
    pub fn is_dirty<P: AsRef<[u8]>>(&self, table: &str, key: &[P]) -> bool {
        let registry = &self.inner.shared.registry;
        registry.dirty() > 0
            && registry
                .table(table)
                .is_some_and(|table| table.count() > 0 && table.get(&pack(key)).is_some())
    }

    /// What is known of one key of a table; `None` when it is clean.
    #[must_use]
    pub fn dirty_key_of<P: AsRef<[u8]>>(&self, table: &str, key: &[P]) -> Option<DirtyKey> {
        let table = self.inner.shared.registry.table(table)?;
        let packed = pack(key);
        let entry = table.get(&packed)?;
        self.dirty_key(&table, &packed, entry)
    }

    /// For each of these keys of a table whether it is dirty or named by an intent without a verdict: then the two stores may differ for it
    /// without anything being wrong. Looks through all running intents: for suspicious keys, not for every one.
    #[must_use]
    pub fn in_doubt<P: AsRef<[u8]>>(&self, table: &str, keys: &[&[P]]) -> Vec<bool> {
        let Some(table) = self.inner.shared.registry.table(table) else {
            return vec![false; keys.len()];
        };
        // First the intents: one that is settled since has made its keys dirty by the time that they are looked up.
        let open = self.running_over(&table);
        keys.iter()
            .map(|key| pack(key))
            .map(|key| open.contains(&key) || table.get(&key).is_some())
            .collect()
    }

    /// For each of these keys of a table whether an intent without a verdict names it: a transaction over it may not have ended. As dear as
    /// [`Journal::in_doubt`].
    #[must_use]
    pub fn is_intended<P: AsRef<[u8]>>(&self, table: &str, keys: &[&[P]]) -> Vec<bool> {
        let Some(table) = self.inner.shared.registry.table(table) else {
            return vec![false; keys.len()];
        };
        let open = self.running_over(&table);
        keys.iter().map(|key| open.contains(&pack(key))).collect()
    }

    /// Keys of a table that running intents name, packed. Of one moment.
    fn running_over(&self, table: &Table) -> HashSet<Vec<u8>> {
        let mut named = HashSet::new();
        let core = self.inner.shared.lock_core();
        for intent in core.open.running() {
            let keys = crate::codec::Keys {
                count: intent.count,
                section: &intent.section,
            };
            // Encoded by this process or read back under a checksum: what can be read is looked at.
            let _ = keys.each(|number, key| {
                if number == table.number {
                    named.insert(key.to_vec());
                }
            });
        }
        named
    }

    /// Up to `limit` dirty keys of a table, in a fixed order, after `after`: for merged reads that hide them and for reports.
    #[must_use]
    pub fn dirty_keys(
        &self,
        table: &str,
        after: Option<&JournalKey>,
        limit: usize,
    ) -> Vec<DirtyKey> {
        let Some(table) = self.inner.shared.registry.table(table) else {
            return Vec::new();
        };
        let after = after.map(|key| pack(&key.key));
        let page = table.page(after.as_deref(), limit);
        page.into_iter()
            .filter_map(|(key, entry)| self.dirty_key(&table, &key, entry))
            .collect()
    }

    /// When the oldest dirty key of a toggle became dirty. For display.
    #[must_use]
    pub fn oldest_dirty(&self, toggle: &str) -> Option<SystemTime> {
        let tables = self.inner.shared.registry.tables_of(toggle);
        let oldest_s = tables.iter().filter_map(|table| table.oldest_s()).min()?;
        Some(unix_time(oldest_s))
    }

    /// What the journal has of a toggle, all of one moment.
    ///
    /// A guard reads it when no transaction of the toggle can begin: a number read earlier says nothing.
    #[must_use]
    pub fn backlog(&self, toggle: &str) -> Backlog {
        let shared = &self.inner.shared;
        let core = shared.lock_core();
        let number = shared.registry.toggle_number(toggle);
        let (open, unconfirmed) = number.map_or((0, 0), |number| core.open.counts(number));
        let unsettled = !core.is_settled(number);
        Backlog {
            dirty: self.dirty_count(toggle),
            stale: self.stale_count(toggle),
            // Of transactions of a process that is gone nobody knows how many.
            open: open + usize::from(unsettled),
            unconfirmed,
        }
    }

    /// Whether everything is known that the journal has of a toggle: the rows of its home are read, and no process that is gone may have
    /// transactions there that are not over. On the disk it always is.
    #[must_use]
    pub fn is_settled(&self, toggle: &str) -> bool {
        let shared = &self.inner.shared;
        let core = shared.lock_core();
        core.is_settled(shared.registry.toggle_number(toggle))
    }

    /// Transactions of a toggle between intent and verdict, the unconfirmed ones not counted.
    #[must_use]
    pub fn open_intents(&self, toggle: &str) -> usize {
        self.backlog(toggle).open
    }
}
