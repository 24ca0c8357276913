//! What this process changes in a store by itself, to be held against what the store counts (trap 41).
//!
//! A store's row counters count everybody's changes. Those that are nobody's of ours were made around the proxy. So each of our own ways to write counts
//! its row changes here, rolled back or not, as the store does.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crossfade_config::QualifiedName;

use crate::TableMap;

/// The row changes of this process in one store, by table.
#[derive(Debug, Default)]
pub struct OwnChanges {
    tables: RwLock<HashMap<QualifiedName, Arc<OwnCount>>>,
}

impl OwnChanges {
    /// The count of a table.
    #[must_use]
    pub fn of(&self, table: &TableMap) -> Arc<OwnCount> {
        let name = &table.old.name;
        let known = self
            .tables
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned();
        known.unwrap_or_else(|| {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            tables.entry(name.clone()).or_default().clone()
        })
    }
}

/// The row changes of this process in one table of one store.
#[derive(Debug, Default)]
pub struct OwnCount {
    begun: AtomicU64,
    ended: AtomicU64,
    unsure: AtomicU64,
}

/// An [`OwnCount`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnTotal {
    /// Row changes, those of open transactions included: the store counts none beyond them.
    pub begun: u64,
    /// Those whose transaction is over. The store counts them by now, or will in a moment.
    pub ended: u64,
    /// How often nobody knew how many they were, or when their transaction would be over.
    pub unsure: u64,
}

impl OwnCount {
    /// At most `rows` changes were made, or are about to be, in a transaction that has not ended.
    pub fn begin(self: &Arc<Self>, rows: u64) -> OwnChange {
        self.begun.fetch_add(rows, Ordering::Relaxed);
        OwnChange {
            count: self.clone(),
            rows,
            over: false,
        }
    }

    /// Nobody knows how many changes were made.
    pub fn unsure(&self) {
        self.unsure.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything until now.
    #[must_use]
    pub fn total(&self) -> OwnTotal {
        // What ends is begun before: read in this order, no change is ended and not begun.
        let ended = self.ended.load(Ordering::Acquire);
        OwnTotal {
            begun: self.begun.load(Ordering::Relaxed),
            ended,
            unsure: self.unsure.load(Ordering::Relaxed),
        }
    }
}

/// Row changes of a transaction that is open. Dropped without [`OwnChange::over`], nobody knows when the store ends it.
#[must_use = "it counts as open until it is over"]
#[derive(Debug)]
pub struct OwnChange {
    count: Arc<OwnCount>,
    rows: u64,
    over: bool,
}

impl OwnChange {
    /// The transaction makes more of them.
    pub fn add(&mut self, rows: u64) {
        self.count.begun.fetch_add(rows, Ordering::Relaxed);
        self.rows += rows;
    }

    /// Whether it is of this count.
    #[must_use]
    pub fn is_of(&self, count: &Arc<OwnCount>) -> bool {
        Arc::ptr_eq(&self.count, count)
    }

    /// The transaction has committed or rolled back.
    pub fn over(mut self) {
        self.over = true;
    }
}

impl Drop for OwnChange {
    fn drop(&mut self) {
        if !self.over {
            self.count.unsure();
        }
        self.count.ended.fetch_add(self.rows, Ordering::Release);
    }
}

/// What a store says of its tables' row counters ([`crate::Store::row_counters`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowCounters {
    /// The store's clock, in microseconds.
    pub now_us: i64,
    /// When the oldest transaction of any client began, by the same clock; `None` when there is none but this question's.
    pub oldest_us: Option<i64>,
    /// Row changes of all times by everybody, for each table that was asked for. They may be behind by as long as the adapter says, and never ahead.
    pub changes: Vec<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_without_an_end_makes_unsure() {
        let count = Arc::new(OwnCount::default());
        let (first, second) = (count.begin(2), count.begin(3));
        let open = OwnTotal {
            begun: 5,
            ended: 0,
            unsure: 0,
        };
        assert_eq!(count.total(), open);
        first.over();
        assert_eq!((count.total().ended, count.total().unsure), (2, 0));
        drop(second);
        assert_eq!((count.total().ended, count.total().unsure), (5, 1));
    }
}
