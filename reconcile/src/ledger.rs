//! What a job needs to remember across crashes.

mod journal;
pub mod standing;

use std::any::Any;

use crossfade_phase::Side;
use crossfade_store::{Key, Store, StoreError, TableMap};
use crossfade_toggle::{Epoch, Snapshot};
use futures::future::BoxFuture;

use crate::Direction;

/// The journal or the state files could not be written; the text names the file and says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LedgerError(pub String);

/// Outcome of a durable write.
pub type LedgerResult = Result<(), LedgerError>;

/// A dirty key, as it was when it was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirty {
    /// The toggle of its table.
    pub toggle: String,
    /// Its table, by the old name, as the mapping has it (`schema.table`).
    pub table: String,
    /// Its key.
    pub key: Key,
    /// Which mark it is. A later write to the row gives it a later one, and cleaning the earlier does not hide that (trap 11).
    pub generation: u64,
    /// Whether a transaction of the primary that wrote the row may have been open at a mark.
    pub unanswered: bool,
    /// Whether the row in the old store is suspected.
    pub stale_old: bool,
    /// Whether the row in the new store is suspected.
    pub stale_new: bool,
}

impl Dirty {
    /// Whether the row in the store of `side` is suspected.
    #[must_use]
    pub fn is_stale(&self, side: Side) -> bool {
        match side {
            Side::Old => self.stale_old,
            Side::New => self.stale_new,
        }
    }
}

/// What another process that shares this memory knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// Nothing.
    Nothing,
    /// It is dirty there, or named by an open intent.
    Doubted {
        /// Whether the old store's row is not the one that counts.
        hides_old: bool,
    },
}

impl Elsewhere {
    /// Whether a write to it is known to be under way or unfinished.
    #[must_use]
    pub fn is_doubted(self) -> bool {
        matches!(self, Elsewhere::Doubted { .. })
    }

    /// Whether the old store's row is not the one that counts.
    #[must_use]
    pub fn hides_old(self) -> bool {
        matches!(self, Elsewhere::Doubted { hides_old: true })
    }
}

/// Why a job marks a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A copied row was gone or changed when it was looked up again, or the target refused it.
    Backfill,
    /// Verify found a difference.
    Verify,
    /// A compared read of phase 4 differed.
    Read,
}

/// How far a backfill has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The epoch in which it was noted.
    pub epoch: Epoch,
    /// Every row up to and with this key is copied, and looked up again; `None` at the start.
    pub upto: Option<Key>,
    /// Rows behind `upto` and up to here may have been written by a run that was killed before it looked them up again (trap 8).
    pub reached: Reach,
    /// Rows read up to `upto`.
    pub rows_seen: u64,
}

impl Checkpoint {
    /// The start of a table.
    #[must_use]
    pub fn start(epoch: Epoch) -> Checkpoint {
        Checkpoint {
            epoch,
            upto: None,
            reached: Reach::Nowhere,
            rows_seen: 0,
        }
    }

    /// Where a run in `epoch` goes on. More than one flip later something may have gone round the target (3 → 2 → 3), also behind
    /// the checkpoint: then from the start, with all that was reached in doubt.
    #[must_use]
    pub fn resumed(self, epoch: Epoch) -> Checkpoint {
        if epoch == self.epoch || epoch == self.epoch.next() {
            Checkpoint { epoch, ..self }
        } else {
            Checkpoint {
                reached: self.reached,
                ..Checkpoint::start(epoch)
            }
        }
    }
}

/// How far a backfill may have written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reach {
    /// Not beyond the checkpoint.
    #[default]
    Nowhere,
    /// Not beyond this key.
    Upto(Key),
    /// Perhaps to the end of the table.
    End,
}

/// What a verify that went over a whole table found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Rows compared.
    pub rows: u64,
    /// Rows that differ, after any repair.
    pub differences: u64,
    /// How many of them the journal knows.
    pub pending: u64,
    /// The epoch it ended in.
    pub snapshot: Snapshot,
    /// What [`Ledger::verifying`] has answered.
    pub bypasses: u64,
}

/// What is on record of one table in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether a backfill has gone over the whole table, or a verify found nothing for one to copy, and nothing went round the target since.
    pub backfilled: bool,
    /// Differences that the last verify since then left.
    pub differences: Option<u64>,
    /// A row that only the old store has may be one that was deleted in the new.
    pub deleted_unseen: bool,
}

impl Standing {
    /// Backfilled, and verified since with no difference.
    #[must_use]
    pub fn is_complete(self) -> bool {
        self.backfilled && self.differences == Some(0)
    }
}

/// The memory of the reconciler: the journal of dirty keys, and a record for each table. Another form of journal (in the primary itself,
/// say) is another implementation.
pub trait Ledger: Send + Sync + 'static {
    /// Up to `limit` dirty keys of a toggle that wait for nothing and are not stale in the store of `primary`; each is kept from other takers until it
    /// is cleaned, failed, or a lease runs out.
    fn take(&self, toggle: &str, limit: usize, primary: Side) -> Vec<Dirty>;

    /// Every dirty key of a table behind `after`, at most `limit`, in an order of the journal's own.
    fn page(&self, table: &TableMap, after: Option<&Key>, limit: usize) -> Vec<Dirty>;

    /// The marks of these keys, in the order of `keys`; `None` for a clean one.
    fn marks(&self, table: &TableMap, keys: &[Key]) -> Vec<Option<Dirty>>;

    /// Whether each key is dirty or named by an open intent: a write to it is known to be under way or unfinished.
    fn doubts(&self, table: &TableMap, keys: &[Key]) -> Vec<bool>;

    /// What others that share this memory know of each key. Asked for before [`Ledger::doubts`]: what this process takes over from another is here before it is gone there.
    fn elsewhere<'a>(
        &'a self,
        _table: &'a TableMap,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Elsewhere>, LedgerError>> {
        Box::pin(async move { Ok(vec![Elsewhere::Nothing; keys.len()]) })
    }

    /// Whether an open intent names each key: a transaction over it may not have ended in the primary.
    fn intends(&self, table: &TableMap, keys: &[Key]) -> Vec<bool>;

    /// The row is alike on both sides. Does nothing if it was marked again since.
    fn clean(&self, dirty: &Dirty);

    /// The repair failed: not before a back-off that grows with each failure is the key given out again. It stays short where the key may be in order:
    /// the store did not answer, or something has to end first.
    fn failed(&self, dirty: &Dirty, error: &StoreError);

    /// A taken key was not tried after all: it is given out again at once.
    fn give_back(&self, dirty: &Dirty);

    /// Marks keys whose row in the store of `stale` is suspected; durable when it resolves.
    fn mark<'a>(
        &'a self,
        table: &'a TableMap,
        keys: &'a [Key],
        stale: Side,
        why: Why,
    ) -> BoxFuture<'a, LedgerResult>;

    /// Number of dirty keys of a toggle.
    fn dirty_count(&self, toggle: &str) -> u64;

    /// How far the backfill of a table has come; `None` when there is none under way.
    fn checkpoint(&self, table: &TableMap, direction: Direction) -> Option<Checkpoint>;

    /// Notes how far it has come; durable when it resolves.
    fn save_checkpoint<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        at: &'a Checkpoint,
    ) -> BoxFuture<'a, LedgerResult>;

    /// A backfill from the primary begins: until it has ended, or a verify went over the table, the target is in doubt, as a chunk that does not get
    /// to its end may leave a row that was deleted meanwhile (trap 8); durable when it resolves.
    fn copying<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
    ) -> BoxFuture<'a, LedgerResult>;

    /// The whole table is copied: forgets the checkpoint, and the doubt; durable when it resolves.
    fn backfilled<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        at: Snapshot,
    ) -> BoxFuture<'a, LedgerResult>;

    /// Notes what a verify found; durable when it resolves. Answers why the target is in doubt all the same, if it is: where the verify found nothing, on account of
    /// what came about while it ran.
    fn verified<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        found: Verified,
    ) -> BoxFuture<'a, Result<Option<String>, LedgerError>>;

    /// A verify over the whole table begins: what is doubted from now on is in doubt when it has ended, too; durable when it resolves. Answers how often the target was
    /// bypassed until now: what bypasses it from now on the verify may not see.
    fn verifying<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
    ) -> BoxFuture<'a, Result<u64, LedgerError>>;

    /// Whether [`Ledger::doubt`] was called since the last verify of the table began.
    fn is_doubted(&self, table: &TableMap, direction: Direction) -> bool;

    /// Notes that the target of `direction` may differ in rows of the table that no key stands for, until a verify that begins later has gone over it; durable when it
    /// resolves. Called behind what it is about: a verify that began before may have passed those rows. Costs nothing where that is known already.
    fn doubt<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        why: &'a str,
    ) -> BoxFuture<'a, LedgerResult>;

    /// What is on record of a table.
    fn standing(&self, table: &TableMap, direction: Direction) -> Standing;

    /// Waits until no job of another process that shares this memory is at a table, and keeps others away until the answer is dropped. Cancel-safe.
    ///
    /// # Errors
    /// When the memory cannot be written.
    fn turn<'a>(
        &'a self,
        _table: &'a TableMap,
    ) -> BoxFuture<'a, Result<Box<dyn Any + Send + Sync>, LedgerError>> {
        Box::pin(async { Ok(Box::new(()) as Box<dyn Any + Send + Sync>) })
    }

    /// Whether every key of a table that the store of `from` may be stale for is known here. Asked for before rows come over from it.
    ///
    /// # Errors
    /// When another process that shares this memory may know of more.
    fn knows_all_stale(&self, _table: &TableMap, _from: Side) -> LedgerResult {
        Ok(())
    }

    /// Whether every key of a table that the store of `from` is stale for at this moment, also by a write that is under way, is known here or can be looked up
    /// ([`Ledger::elsewhere`]). Asked for before a look at rows that the other store may have deleted. May wait for what is under way.
    ///
    /// # Errors
    /// When another process that shares this memory may know of more.
    fn knows_all_under_way<'a>(
        &'a self,
        _table: &'a TableMap,
        _from: Side,
    ) -> BoxFuture<'a, LedgerResult> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl dyn Ledger + '_ {
    /// Whether the target may hold something of each key that the primary has not committed. Only in a store without transactions, which keeps what
    /// is staged and locks nothing: what was written there beside it says nothing until that transaction has ended (trap 8).
    pub(crate) fn staged(&self, target: &dyn Store, table: &TableMap, keys: &[Key]) -> Vec<bool> {
        if target.takes_back() == Some(false) {
            self.intends(table, keys)
        } else {
            vec![false; keys.len()]
        }
    }
}
