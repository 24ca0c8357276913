//! Repair of single keys: the secondary's row is made like the primary's.

mod exchange;

use std::time::Duration;

use crossfade_crash::{self as crash, Point};
use crossfade_store::{
    Change, Exchanged, Form, Key, LetGo, Row, Store, StoreError, StoreResult, TableMap,
};
use tokio::time::{sleep, timeout};

use crate::{ledger::Ledger, lineage};
pub(crate) use exchange::{Group, clashing, explain};

/// What a repair did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repaired {
    /// The primary's row was written to the secondary.
    Upserted,
    /// The primary has no such row; the secondary has none now.
    Deleted,
    /// Both had the same row, or none.
    AlreadyEqual,
}

/// How often a row that comes and goes is looked at again.
const ATTEMPTS: u32 = 8;
/// Before the second look; doubles.
const PAUSE: Duration = Duration::from_millis(5);

/// What a repair of a table's rows works with.
#[derive(Clone, Copy)]
pub struct Repair<'a> {
    /// The store whose rows count.
    pub primary: &'a dyn Store,
    /// The store that is made like it.
    pub secondary: &'a dyn Store,
    /// The table.
    pub table: &'a TableMap,
    /// Knows the transactions that are under way.
    pub ledger: &'a dyn Ledger,
    /// Longest time that a row of the primary stays locked.
    pub hold: Duration,
}

impl Repair<'_> {
    /// Makes the secondary's row of `key` like the primary's. The primary's row stays locked while it is written, so that no write of a client
    /// can come between (DESIGN 5). Idempotent; when dropped half way the secondary has its old row or the primary's.
    ///
    /// # Errors
    /// The store's own. After any error the row has to be counted as different still.
    pub async fn one(&self, key: &Key) -> StoreResult<Repaired> {
        let mut pause = PAUSE;
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.attempt(key).await? {
                return Ok(done);
            }
            sleep(pause).await;
            pause *= 2;
        }
        Err(StoreError::Unexpected {
            store: self.primary.side().to_string(),
            what: format!(
                "a row of \"{}\" came and went {ATTEMPTS} times while it was being repaired",
                self.table.old.name
            ),
        })
    }

    /// `None` when both sides have to be looked at again.
    async fn attempt(&self, key: &Key) -> StoreResult<Option<Repaired>> {
        let locked = self.primary.lock_row(self.table, key).await?;
        let Some(row) = locked.row().cloned() else {
            locked.release().await?;
            return self.delete(key).await;
        };
        crash::at(Point::RowLocked);
        let done = timeout(self.hold, self.write(key, row)).await;
        let done = done.unwrap_or_else(|_| {
            Err(StoreError::TimedOut {
                store: self.secondary.side().to_string(),
                after: self.hold,
            })
        })?;
        crash::at(Point::RowWritten);
        // Should the lock's connection have broken meanwhile, a write may have come between: an error, and the key stays dirty.
        locked.release().await?;
        Ok(Some(done))
    }

    /// Under the primary's lock.
    async fn write(&self, key: &Key, row: Row) -> StoreResult<Repaired> {
        if same_types(self.table) {
            // Locked, not only read: a transaction that is committed in the primary and not yet in the secondary holds this lock, and the row
            // it leaves is the one that counts.
            let there = self.secondary.lock_row(self.table, key).await?;
            let equal = there.row() == Some(&row);
            there.release().await?;
            if equal {
                return Ok(Repaired::AlreadyEqual);
            }
        }
        self.secondary
            .apply(self.table, &[Change::Upsert(row)])
            .await?;
        Ok(Repaired::Upserted)
    }

    /// The primary has no row, and what is not there cannot be locked: delete, then look whether one came meanwhile.
    async fn delete(&self, key: &Key) -> StoreResult<Option<Repaired>> {
        let (secondary, table) = (self.secondary, self.table);
        let keys = std::slice::from_ref(key);
        let had = is_there(secondary, table, keys).await?;
        // Also where nothing is seen: the delete waits for an insert that is staged (`Secondary::stage`).
        secondary
            .apply(table, &[Change::Delete(key.clone())])
            .await?;
        crash::at(Point::RowDeleted);
        if self.ledger.staged(secondary, table, keys)[0] {
            return Ok(None);
        }
        let back =
            is_there(self.primary, table, keys).await? || is_there(secondary, table, keys).await?;
        Ok(match (back, had) {
            (true, _) => None,
            (false, true) => Some(Repaired::Deleted),
            (false, false) => Some(Repaired::AlreadyEqual),
        })
    }
}

/// Whether another row stands in the way: one that a foreign key asks for, or that points here (`foreign_key_violation`), and that may come or go; or one that has a
/// value of its own still which this one is to get (`unique_violation`).
pub(crate) fn waits_for_another(error: &StoreError) -> bool {
    matches!(error, StoreError::Rejected { sqlstate, .. } if matches!(sqlstate.as_str(), "23503" | "23505"))
}

async fn is_there(store: &dyn Store, table: &TableMap, keys: &[Key]) -> StoreResult<bool> {
    Ok(store
        .fetch(table, keys, Form::Own)
        .await?
        .into_iter()
        .any(|row| row.is_some()))
}

/// Whether the canonical text of a row is the same on both sides.
fn same_types(table: &TableMap) -> bool {
    table
        .columns
        .iter()
        .all(|column| column.old.type_name == column.new.type_name)
}

/// How a sweep writes.
#[derive(Debug, Clone, Copy)]
enum Manner<'a> {
    /// Row by row.
    InPlace,
    /// After all the rows have been deleted.
    Anew,
    /// Row by row as the group has them, after some of them have got values that are in nobody's way.
    Aside(&'a Group),
    /// Row by row as they were given: see [`lineage`]. Should it meet a batch of a client's in the other order, one of the two is ended, and this one goes
    /// on key by key.
    Lineage,
}

/// Why a sweep has written nothing.
#[derive(Debug)]
enum Unswept {
    Store(StoreError),
    /// What would have to be done first is not.
    Refused(String),
}

impl From<StoreError> for Unswept {
    fn from(error: StoreError) -> Unswept {
        Unswept::Store(error)
    }
}

impl Repair<'_> {
    /// Repairs many keys: all of them in one write where nobody writes them meanwhile, the others one by one. The keys must be dirty in
    /// the journal until the outcome is known: after a crash between the write and the second look an older row may stand in the secondary. So nobody else may be at work
    /// on them (`AtWork`).
    ///
    /// Sound without locks: whatever a client commits in the secondary before this write, it has committed in the primary before
    /// the second look, which then differs from the first.
    ///
    /// # Errors
    /// The outcome of each key, in the order of `keys`.
    pub(crate) async fn many(&self, keys: &[Key]) -> Vec<StoreResult<Repaired>> {
        let order = lineage::order(self.primary, self.secondary, self.table, keys).await;
        // A store that does not answer says so below.
        let Some(order) = order.unwrap_or_default() else {
            return self.in_turn(keys, Manner::InPlace).await;
        };
        let ordered: Vec<Key> = order.iter().map(|&index| keys[index].clone()).collect();
        let outcomes = self.in_turn(&ordered, Manner::Lineage).await;
        let mut placed: Vec<(usize, _)> = std::iter::zip(order, outcomes).collect();
        placed.sort_by_key(|(index, _)| *index);
        placed.into_iter().map(|(_, outcome)| outcome).collect()
    }

    async fn in_turn(&self, keys: &[Key], manner: Manner<'_>) -> Vec<StoreResult<Repaired>> {
        let swept = if keys.len() > 1 {
            self.sweep(keys, manner).await.unwrap_or_default()
        } else {
            Vec::new()
        };
        let mut outcomes = Vec::with_capacity(keys.len());
        let mut silent = 0;
        for (index, key) in keys.iter().enumerate() {
            match swept.get(index).copied().flatten() {
                Some(done) => outcomes.push(Ok(done)),
                None => outcomes.push(self.one(key).await),
            }
            if let Some(Err(error)) = outcomes.last()
                && error.outcome_unknown()
            {
                silent += 1;
                // One row may be locked there, which is nothing to the others.
                if silent == 1 && matches!(error, StoreError::TimedOut { .. }) {
                    continue;
                }
                // The store is gone; asking it for every further key would only take time.
                let error = error.to_string();
                let store = self.secondary.side();
                outcomes.extend(keys[index + 1..].iter().map(|_| {
                    Err(StoreError::Unreachable {
                        store: store.to_string(),
                        reason: error.clone(),
                    })
                }));
                break;
            }
        }
        outcomes
    }

    /// One write for all keys; `None` for those that changed meanwhile.
    async fn sweep(
        &self,
        keys: &[Key],
        manner: Manner<'_>,
    ) -> Result<Vec<Option<Repaired>>, Unswept> {
        let before = self.primary.fetch(self.table, keys, Form::Own).await?;
        crash::at(Point::SweepRead);
        // In the order of the clients' own batches, so that two batches never wait for each other (trap 2).
        let mut order: Vec<usize> = (0..keys.len()).collect();
        if matches!(manner, Manner::InPlace | Manner::Anew) {
            order.sort_by(|&a, &b| keys[a].cmp(&keys[b]));
        }
        let change = |index: usize| match &before[index] {
            Some(row) => Change::Upsert(row.clone()),
            None => Change::Delete(keys[index].clone()),
        };
        let changes: Vec<Change> = order.into_iter().map(change).collect();
        let way = match manner {
            Manner::InPlace | Manner::Lineage => None,
            Manner::Aside(group) => Some(LetGo::Aside(self.asides(group, &before))),
            Manner::Anew => Some(LetGo::Anew),
        };
        if let Some(way) = way {
            let exchanged = self.secondary.exchange(self.table, &way, &changes).await?;
            if let Exchanged::Refused(why) = exchanged {
                return Err(Unswept::Refused(why));
            }
        } else {
            self.secondary.apply(self.table, &changes).await?;
        }
        crash::at(Point::SweepWritten);
        // Asked before the second look: who begins later writes behind what was written here.
        let staged = self.ledger.staged(self.secondary, self.table, keys);
        let after = self.primary.fetch(self.table, keys, Form::Own).await?;
        let outcome = |index: usize| match &before[index] {
            _ if staged[index] || before[index] != after[index] => None,
            Some(_) => Some(Repaired::Upserted),
            None => Some(Repaired::Deleted),
        };
        Ok((0..keys.len()).map(outcome).collect())
    }
}
