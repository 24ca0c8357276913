//! What a store can do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crossfade_config::QualifiedName;
use crossfade_phase::{Phase, Side};
use futures::future::BoxFuture;

use crate::{
    Change, Exchanged, Key, LetGo, Mapping, OwnChanges, Relation, Row, RowCounters, StoreError,
    TableId, TableMap,
};

/// Outcome of a call on a store.
pub type StoreResult<T> = Result<T, StoreError>;

/// A store as the reconciler, the preflight and the repairer use it: with the proxy's own account, from a small pool.
///
/// Every call is one trip or one transaction of its own and may be dropped at any point: a dropped call leaves the
/// store as before it or as after it, never half way.
pub trait Store: Send + Sync + 'static {
    /// Which end of the migration this is.
    fn side(&self) -> Side;

    /// One cheap round trip.
    fn ping(&self) -> BoxFuture<'_, StoreResult<()>>;

    /// What the catalog says of a table; `None` where there is none.
    fn relation<'a>(
        &'a self,
        name: &'a QualifiedName,
    ) -> BoxFuture<'a, StoreResult<Option<Relation>>>;

    /// Names that reach the tables without being them.
    fn aliases<'a>(
        &'a self,
        tables: &'a [QualifiedName],
    ) -> BoxFuture<'a, StoreResult<Vec<(QualifiedName, Alias)>>>;

    /// Everything about one table that the preflight has to weigh.
    fn findings<'a>(
        &'a self,
        table: &'a TableMap,
        mapping: &'a Mapping,
    ) -> BoxFuture<'a, StoreResult<Vec<Finding>>>;

    /// An estimate of the number of rows, from statistics.
    fn estimate_rows<'a>(&'a self, table: &'a TableMap) -> BoxFuture<'a, StoreResult<u64>>;

    /// Up to `limit` rows of `range` in key order.
    fn scan<'a>(
        &'a self,
        table: &'a TableMap,
        range: &'a KeyRange,
        limit: u32,
        form: Form,
    ) -> BoxFuture<'a, StoreResult<Vec<Row>>>;

    /// The rows with these keys, in the order of `keys`.
    fn fetch<'a>(
        &'a self,
        table: &'a TableMap,
        keys: &'a [Key],
        form: Form,
    ) -> BoxFuture<'a, StoreResult<Vec<Option<Row>>>>;

    /// Number and checksum of the rows of `range`, computed inside the store over [`Form::Comparable`].
    fn digest<'a>(
        &'a self,
        table: &'a TableMap,
        range: &'a KeyRange,
    ) -> BoxFuture<'a, StoreResult<Digest>>;

    /// Inserts those rows whose key is absent; says how many were inserted. One transaction.
    fn insert_absent<'a>(
        &'a self,
        table: &'a TableMap,
        rows: &'a [Row],
    ) -> BoxFuture<'a, StoreResult<u64>>;

    /// As [`Store::insert_absent`], for rows of a key range in which this store has no row: it may copy them straight into the table.
    /// Right also where the range is not empty after all, only slower.
    fn copy_into_empty<'a>(
        &'a self,
        table: &'a TableMap,
        rows: &'a [Row],
    ) -> BoxFuture<'a, StoreResult<u64>> {
        self.insert_absent(table, rows)
    }

    /// As [`Store::insert_absent`] into a store that is the primary (phases 5 to 7): inserts those rows whose key is absent *and that no
    /// tombstone hides*, looked up under the lock that a DELETE's tombstone takes, in the same transaction (trap 27). A store that keeps no
    /// tombstones may leave this as it is as long as no row of an incomplete table can be deleted in phases 5 to 7.
    fn copy_up<'a>(
        &'a self,
        table: &'a TableMap,
        rows: &'a [Row],
    ) -> BoxFuture<'a, StoreResult<u64>> {
        self.insert_absent(table, rows)
    }

    /// The key of the `nth` row of `range` (counted from 1) in key order; `None` where the range has fewer rows. Where chunks end: worth an
    /// index-only read in a store that has one.
    fn nth_key<'a>(
        &'a self,
        table: &'a TableMap,
        range: &'a KeyRange,
        nth: u32,
    ) -> BoxFuture<'a, StoreResult<Option<Key>>> {
        Box::pin(async move {
            let rows = self.scan(table, range, nth, Form::Own).await?;
            let enough = u32::try_from(rows.len()).is_ok_and(|found| found >= nth);
            Ok(rows
                .last()
                .filter(|_| enough)
                .and_then(|row| table.key_of(row)))
        })
    }

    /// Applies changes in one transaction.
    fn apply<'a>(
        &'a self,
        table: &'a TableMap,
        changes: &'a [Change],
    ) -> BoxFuture<'a, StoreResult<()>>;

    /// As [`Store::apply`], for rows that are to get unique values which others of them have, and let go of theirs in this way first.
    fn exchange<'a>(
        &'a self,
        table: &'a TableMap,
        way: &'a LetGo,
        changes: &'a [Change],
    ) -> BoxFuture<'a, StoreResult<Exchanged>> {
        Box::pin(async move {
            if let LetGo::Aside(_) = way {
                let why = "this kind of store gives rows no other values meanwhile";
                return Ok(Exchanged::Refused(why.to_owned()));
            }
            let deleted = changes.iter().filter_map(|change| change.delete(table));
            let all: Vec<Change> = deleted.chain(changes.iter().cloned()).collect();
            self.apply(table, &all).await?;
            Ok(Exchanged::Written)
        })
    }

    /// Reads a row ([`Form::Own`]) and keeps it locked against writers until the guard is released or dropped.
    fn lock_row<'a>(
        &'a self,
        table: &'a TableMap,
        key: &'a Key,
    ) -> BoxFuture<'a, StoreResult<Box<dyn LockedRow>>>;

    /// A point behind everything that anybody has written in this store so far, committed or not.
    fn horizon(&self) -> BoxFuture<'_, StoreResult<Horizon>>;

    /// Whether every transaction that had written something when `horizon` was taken has ended. A COMMIT that was sent and never answered may
    /// take effect until then, and not after (trap 43).
    fn has_passed(&self, horizon: Horizon) -> BoxFuture<'_, StoreResult<bool>>;

    /// The backends of clients in the store's database, the asking one left out: which of them are in a transaction, whether it has written something or not.
    ///
    /// # Errors
    /// When the store does not answer, or is of a kind that is never the store the application comes from.
    fn backends(&self) -> BoxFuture<'_, StoreResult<Vec<Backend>>> {
        let store = self.side().to_string();
        Box::pin(async move {
            Err(StoreError::Unexpected {
                store,
                what: "it does not say which transactions are open".to_owned(),
            })
        })
    }

    /// For each carried column that a sequence feeds (by its old name): a value that every value handed out or stored
    /// so far is at most.
    fn sequence_positions<'a>(
        &'a self,
        table: &'a TableMap,
    ) -> BoxFuture<'a, StoreResult<BTreeMap<String, i64>>>;

    /// Moves the sequences past these positions; never back. Returns where each stands now.
    fn advance_sequences<'a>(
        &'a self,
        table: &'a TableMap,
        floor: &'a BTreeMap<String, i64>,
    ) -> BoxFuture<'a, StoreResult<BTreeMap<String, i64>>>;

    /// Makes what the store needs as the primary and a catalog does not give it: in a store without a schema, the table's unique indexes. Idempotent.
    ///
    /// # Errors
    /// When that cannot be had.
    fn ensure_unique<'a>(&'a self, _table: &'a TableMap) -> BoxFuture<'a, StoreResult<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Begins to watch the store's life, for as long as commits of its secondaries have to be confirmed.
    fn life(&self) -> BoxFuture<'_, StoreResult<Box<dyn Life>>>;

    /// Whether what a [`Secondary`] staged, in whole or in part, leaves nothing behind unless it is committed; `None` as long as no connection has
    /// told. A store without transactions has written it: when the primary rolls back, those keys are dirty.
    fn takes_back(&self) -> Option<bool> {
        Some(true)
    }

    /// Whether everything that was written here before the call, by this process or one before it, and was given up without an answer has taken effect or never
    /// will. In a store with transactions it never does: those end with their connection, and until then they hold their locks.
    ///
    /// # Errors
    /// When the store does not answer.
    fn given_up_has_ended(&self) -> BoxFuture<'_, StoreResult<bool>> {
        Box::pin(async { Ok(true) })
    }

    /// What this process changes in the store, where the store counts row changes as well.
    fn own_changes(&self) -> Option<&Arc<OwnChanges>> {
        None
    }

    /// What the store counts of everybody's row changes; `Err` of the inner result says why it cannot be asked.
    fn row_counters<'a>(
        &'a self,
        _tables: &'a [TableMap],
    ) -> BoxFuture<'a, StoreResult<Result<RowCounters, String>>> {
        Box::pin(async { Ok(Err("it does not count the rows that are changed".to_owned())) })
    }

    /// What makes the store change rows of the table by itself, on account of statements on other tables: nobody can tell those from a foreign writer's.
    fn side_effects<'a>(&'a self, _table: &'a TableMap) -> BoxFuture<'a, StoreResult<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Opens a connection for the secondary part of transactions.
    fn secondary(&self, mapping: Arc<Mapping>) -> BoxFuture<'_, StoreResult<Box<dyn Secondary>>>;
}

/// One life of a store: from one crash or restart to the next. What a secondary's commit acknowledged may be lost with it until it was flushed.
pub trait Life: Send {
    /// Makes durable what the store has acknowledged so far. `false` when this life is over, and what was not flushed before may be lost.
    ///
    /// # Errors
    /// When the store does not answer: then nobody knows.
    fn flush(&mut self) -> BoxFuture<'_, StoreResult<bool>>;

    /// Whether the connection that tells one life from the next has gone.
    fn is_over(&self) -> bool {
        false
    }
}

/// The secondary's part of transactions, one at a time (DESIGN 3): stage, then commit or roll back.
///
/// A `Secondary` that answered an error, or whose call was dropped half way, says so in `is_usable` and is thrown away; the
/// store rolls its transaction back.
pub trait Secondary: Send {
    /// Sends the whole batch in one trip and waits until the store holds it, uncommitted. The caller has sorted the batch by
    /// (table, key), one change a key.
    ///
    /// Two batches that name one key are never both staged, here or in [`Store::apply`]: the second waits until the first has
    /// ended, *also where the row is not there*. A DELETE that sees no row waits for nobody, so an INSERT staged before it and committed after
    /// it would stay for ever (trap 1): it takes a lock on the key itself.
    fn stage<'a>(&'a mut self, batch: &'a [(TableId, Change)]) -> BoxFuture<'a, StoreResult<()>>;

    /// Sends rows ahead of their transaction's batch, as often as there are more: the transaction stays open, and [`Secondary::stage`] ends it with the rest,
    /// which may be nothing. Upserts only, one a key in each call; of two calls the later one wins.
    ///
    /// What `stage` promises of its keys holds for these when `stage` has answered, and not before: until then the primary's transaction is open and
    /// holds their rows, so that no other one can have changed them and come here. A transaction that takes its time would otherwise keep everybody waiting
    /// who deletes a row.
    fn stage_ahead<'a>(
        &'a mut self,
        rows: &'a [(TableId, Change)],
    ) -> BoxFuture<'a, StoreResult<()>>;

    /// Commits what was staged. An error of kind [`StoreError::Unreachable`] means that the outcome is unknown.
    fn commit(&mut self) -> BoxFuture<'_, StoreResult<()>>;

    /// Commits what was staged, then stages the next batch: what [`Secondary::commit`] and [`Secondary::stage`] answer, but in one trip where the
    /// store can. Where the commit fails, the batch may be staged all the same.
    fn commit_and_stage<'a>(
        &'a mut self,
        batch: &'a [(TableId, Change)],
    ) -> BoxFuture<'a, (StoreResult<()>, StoreResult<()>)> {
        Box::pin(async move {
            let committed = self.commit().await;
            (committed, self.stage(batch).await)
        })
    }

    /// Whether [`Secondary::commit_and_stage`] is one trip: then a commit that nobody waits for is worth keeping back for a moment.
    fn commits_with_next(&self) -> bool {
        false
    }

    /// Drops what was staged.
    fn rollback(&mut self) -> BoxFuture<'_, StoreResult<()>>;

    /// Whether another transaction may use this connection.
    fn is_usable(&self) -> bool;
}

/// A row held under its lock.
pub trait LockedRow: Send {
    /// The row, or `None` where there is none (then nothing is locked).
    fn row(&self) -> Option<&Row>;

    /// Lets go of the lock.
    fn release(self: Box<Self>) -> BoxFuture<'static, StoreResult<()>>;
}

/// A point in a store's history, in the store's own counting ([`Store::horizon`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon(pub i64);

/// A server's end of a client's connection, or what has outlived one: a transaction of two-phase commit that waits for its COMMIT PREPARED.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The server's process; 0 where there is none any more.
    pub pid: i32,
    /// The transaction that is open there. No other one of the server's life has its name.
    pub transaction: Option<String>,
    /// User and application, for reports.
    pub who: String,
    /// How long the transaction has been open, where the account may know.
    pub open_for: Option<Duration>,
}

/// How a name reaches a mapped table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alias {
    /// The view (unqualified name) reads the table.
    View(String),
    /// The partition or inheritance child (unqualified name).
    Child(String),
    /// The function (unqualified name) whose body names the table together with a word that writes.
    WritingFunction(String),
    /// A relation of the table's name in this schema: earlier in a path it hides the table.
    Namesake(String),
}

/// Which form the values of a scan take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Canonical text of this store's own column types: what [`Store::apply`] of the other store takes.
    Own,
    /// Each value cast to the new column's type first, then canonical text: the same on both sides when the rows are alike.
    Comparable,
}

/// The keys greater than `after` and not greater than `upto`, in key order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRange {
    /// Exclusive lower end; `None` from the first key on.
    pub after: Option<Key>,
    /// Inclusive upper end; `None` to the last key.
    pub upto: Option<Key>,
}

/// A checksum over a range of rows that does not depend on their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Number of rows.
    pub rows: u64,
    /// The checksum, as the stores write it.
    pub sum: String,
    /// The greatest key of the range, `None` when it is empty.
    pub last: Option<Key>,
}

/// One fact that the preflight weighs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Table the finding is about (its old name, as in the file).
    pub table: QualifiedName,
    /// Name by which the operator can acknowledge it; `None` where it cannot be.
    pub name: Option<String>,
    /// The phase that it stands in the way of.
    pub blocks: Option<Phase>,
    /// What is so, and what it would do.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}
