//! The commit sandwich (DESIGN 3).
//!
//! ```text
//! 1. secondary: the whole batch, uncommitted      ┐ in parallel, while the primary
//! 2. journal: the intent, durable                 ┘ holds its row locks
//! 3. primary: COMMIT
//! 4. secondary: COMMIT                            ┐ behind the session, while its
//! 5. journal: done                                ┘ client goes on (docs/decision/14)
//! ```
//!
//! Dies the process after 2, the intent is open and its keys become dirty on the next start; before 2, the primary has not committed and
//! both servers roll back (trap 3). The row locks held over 1 order both stores alike (trap 1), and the primary always
//! comes first, so no two clients wait for each other across the stores (trap 2).
//!
//! Kept in the primary (docs/decision/18), the intent is a row that the primary's own transaction inserts just before it commits, in the same trip: 2 is then part of 3,
//! and an intent that is not part of a committed transaction never was.
//!
//! A secondary without transactions keeps whatever step 1 brought it, also half of it. There 2 comes before 1, and keys whose primary rolls back
//! become dirty.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crossfade_config::OnSecondaryError;
use crossfade_crash::{self as crash, Point};
use crossfade_journal::{Intend, Intent, JournalError, KeyRef, Reason};
use crossfade_phase::Side;
use crossfade_store::{
    Change, Given, Key, Mapping, StoreError, TableId, WriteOrder, journal::intend_sql,
};

use prometheus::IntCounterVec;
use tokio::sync::oneshot;

use super::transaction::Transaction;
use crate::{
    errors::ClientError,
    secondary::{StageError, Staged, Work},
    shared::Shared,
};

/// A transaction of the primary between the sandwich's steps 2 and 3.
#[must_use = "the sandwich has to be concluded"]
pub(crate) struct Prepared {
    declared: Declared,
    staged: Result<Staged, Reason>,
}

/// What the journal has of it.
struct Declared {
    shared: Arc<Shared>,
    mapping: Arc<Mapping>,
    secondary: Side,
    tables: Vec<TableId>,
    /// Tables whose rows the secondary's own foreign keys may change on account of it.
    alone: BTreeSet<TableId>,
    /// One, or one for each portion of a large transaction.
    intents: Vec<Intent>,
}

/// What became of the primary's commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It committed.
    Committed,
    /// It did not, and said so.
    RolledBack,
    /// Its answer never came.
    Unknown,
}

/// Steps 1 and 2. `secondary` is the store that gets the images.
///
/// Dropped half way, the secondary rolls back and the intent is taken back: the primary has not committed. Where the secondary cannot roll back, the intent
/// comes first and turns into dirty keys.
///
/// # Errors
/// What the client is told when the primary must not commit.
pub(crate) async fn prepare(
    shared: &Arc<Shared>,
    worker: usize,
    mapping: &Arc<Mapping>,
    order: &Arc<WriteOrder>,
    secondary: Side,
    transaction: &mut Transaction,
) -> Result<Prepared, ClientError> {
    crash::at(Point::PrimaryExecuted);
    let config = shared.config.load();
    let (within, policy) = (
        config.writes.secondary_timeout,
        config.writes.on_secondary_error,
    );
    // An intent that is part of the primary's transaction is durable with its commit: too late for a store that keeps what it is given before.
    if shared.journal.is_in_primary()
        && shared.secondaries.on(secondary).takes_back() == Some(false)
    {
        return Err(not_taken_back(secondary));
    }
    let mut tables: BTreeSet<TableId> = BTreeSet::new();
    let early = transaction.take_early();
    let ahead = early.iter().flat_map(|early| early.tables());
    let ahead: Vec<_> = ahead.map(|table| (table, Given::Image)).collect();
    let folded = transaction.fold();
    let mut alone = changed_alone(mapping, secondary, ahead.into_iter().chain(given(&folded)));
    for table in transaction.take_revived() {
        alone.extend(mapping.acted_on(&mapping.tables[table.0], secondary));
    }
    let keys: Vec<(TableId, Key)> = folded.keys().cloned().collect();
    tables.extend(keys.iter().map(|(table, _)| *table));
    let batch: Vec<(TableId, Change)> = folded
        .into_iter()
        .filter_map(|((table, _), change)| change.map(|change| (table, change)))
        .collect();
    let rest = Rest {
        whole: !transaction.is_keys_only(),
        keys,
        batch,
    };
    let (intents, staged) = match early {
        Some(mut early) => {
            let staged = early.finish(rest).await?;
            let (intents, earlier) = early.into_intents();
            tables.extend(earlier);
            (intents, staged)
        }
        None => {
            let work = |batch| Work {
                mapping: mapping.clone(),
                order: order.clone(),
                batch,
                within,
                // Nobody else's rollback may fail a client that asked for both or none.
                alone: policy == OnSecondaryError::Fail,
            };
            let (intent, staged) = at_once(shared, worker, secondary, rest, work).await?;
            (vec![intent], staged)
        }
    };
    crash::at(Point::IntentDurable);
    let declared = Declared {
        shared: shared.clone(),
        mapping: mapping.clone(),
        secondary,
        tables: tables.into_iter().collect(),
        alone,
        intents,
    };
    match staged {
        Err(reason) if policy == OnSecondaryError::Fail => {
            declared.rolled_back();
            Err(match reason {
                Reason::NotWritten => not_whole(secondary),
                reason => secondary_failed(secondary, reason),
            })
        }
        staged => Ok(Prepared { declared, staged }),
    }
}

/// What the secondary is given of each table. Keys without an image are the repairer's, which sees to the same.
pub(super) fn given(
    folded: &BTreeMap<(TableId, Key), Option<Change>>,
) -> BTreeSet<(TableId, Given)> {
    let given = |((table, _), change): (&(TableId, Key), &Option<Change>)| match change {
        Some(Change::Delete(_)) => Some((*table, Given::Delete)),
        Some(Change::Upsert(_)) => Some((*table, Given::Image)),
        None => None,
    };
    folded.iter().filter_map(given).collect()
}

/// The tables whose rows `secondary` may change by itself on account of that ([`Mapping::changed_alone`]).
pub(super) fn changed_alone(
    mapping: &Mapping,
    secondary: Side,
    given: impl IntoIterator<Item = (TableId, Given)>,
) -> BTreeSet<TableId> {
    let alone = |(table, given): (TableId, Given)| {
        mapping.changed_alone(&mapping.tables[table.0], secondary, given)
    };
    given.into_iter().flat_map(alone).collect()
}

/// What of a transaction's changes has not left the session when it commits.
pub(super) struct Rest {
    /// Every key.
    pub(super) keys: Vec<(TableId, Key)>,
    /// The images of all of them, where `whole`.
    pub(super) batch: Vec<(TableId, Change)>,
    /// Whether there is an image for every key.
    pub(super) whole: bool,
}

/// Steps 1 and 2 of a transaction that is staged in one go: its intent, durable, and what the secondary said.
async fn at_once(
    shared: &Arc<Shared>,
    worker: usize,
    secondary: Side,
    rest: Rest,
    work: impl FnOnce(Vec<(TableId, Change)>) -> Work,
) -> Result<(Intent, Result<Staged, Reason>), ClientError> {
    let Rest { keys, batch, whole } = rest;
    let work = work(batch);
    let mapping = work.mapping.clone();
    let intend = declare(shared, &mapping, secondary, &keys);
    crash::at(Point::IntentDeclared);
    let pool = shared.secondaries.on(secondary);
    let stage = async {
        if !whole {
            return Err(Reason::NotWritten);
        }
        if !may_stage(shared, secondary) {
            return Err(Reason::BreakerOpen);
        }
        let rows = work.batch.len();
        let first = keys.first().map(|(table, _)| name_of(&mapping, *table));
        pool.stage(worker, work)
            .await
            .map_err(|error| reason_of(first.as_deref(), rows, &error))
    };
    if pool.takes_back() == Some(true) {
        // The group has the intent written when it begins. Asked for only behind that, it is nearly always there, and its writer has nobody to wake.
        let staged = stage.await;
        match intend.await {
            Ok(intent) => Ok((intent, staged)),
            Err(error) => {
                staged.into_iter().for_each(Staged::rollback);
                Err(journal_failed(&error))
            }
        }
    } else {
        // What such a store is given it keeps, whatever becomes of this process and of the primary.
        let intent = intend.await.map_err(|error| journal_failed(&error))?;
        Ok((intent, stage.await))
    }
}

/// Whether the secondary may be given anything now. An intent that is part of the primary's transaction comes too late for a store that keeps what it is given,
/// and as long as nobody has connected, nobody knows what store it is: the confirmer connects.
pub(super) fn may_stage(shared: &Shared, secondary: Side) -> bool {
    !shared.journal.is_in_primary() || shared.secondaries.on(secondary).takes_back() == Some(true)
}

/// Declares what is about to be committed.
pub(super) fn declare(
    shared: &Shared,
    mapping: &Mapping,
    secondary: Side,
    keys: &[(TableId, Key)],
) -> Intend {
    let mut tables: Vec<TableId> = keys.iter().map(|(table, _)| *table).collect();
    tables.sort_unstable();
    tables.dedup();
    let names: Vec<String> = tables
        .iter()
        .map(|table| name_of(mapping, *table))
        .collect();
    let named: Vec<KeyRef<'_, bytes::Bytes>> = keys
        .iter()
        .filter_map(|(table, key)| {
            let name = tables.binary_search(table).ok()?;
            Some(KeyRef {
                toggle: &mapping.tables[table.0].toggle,
                table: &names[name],
                parts: &key.0,
            })
        })
        .collect();
    shared.journal.intend(secondary, &named)
}

/// What is left of a sandwich when the primary has answered. Resolves when the secondary has, too, or never will.
#[derive(Debug, Default)]
pub(crate) struct Endings(Vec<oneshot::Receiver<()>>);

impl Endings {
    /// Whether nothing is left.
    pub(crate) fn is_over(&mut self) -> bool {
        self.0.retain_mut(|ending| {
            matches!(ending.try_recv(), Err(oneshot::error::TryRecvError::Empty))
        });
        self.0.is_empty()
    }

    /// Waits until nothing is left. Cancel-safe. Bounded by `secondary_timeout`.
    pub(crate) async fn over(&mut self) {
        while let Some(ending) = self.0.last_mut() {
            // Gone without a word, the secondary's part has ended as well.
            drop(ending.await);
            self.0.pop();
        }
    }
}

impl Prepared {
    /// The statements that the primary's transaction has to run before it commits, where the journal is kept there.
    pub(crate) fn intents_sql(&self) -> impl Iterator<Item = String> {
        self.declared.intents.iter().filter_map(|intent| {
            let row = intent.row()?;
            Some(intend_sql(row.owner, row.id, &row.body))
        })
    }

    /// Steps 4 and 5, once the primary has answered. They go on behind the session.
    pub(crate) fn conclude(self, outcome: Outcome, endings: &mut Endings) {
        let Prepared { declared, staged } = self;
        match (outcome, staged) {
            (Outcome::RolledBack, staged) => {
                staged.into_iter().for_each(Staged::rollback);
                declared.rolled_back();
            }
            (Outcome::Unknown, staged) => {
                drop(staged);
                declared.give_up(Reason::PrimaryUnknown);
            }
            (Outcome::Committed, Ok(staged)) => {
                let (ended, ending) = oneshot::channel();
                endings.0.push(ending);
                staged.commit(Box::new(move |committed| {
                    match committed {
                        Ok(()) => declared.committed(ended),
                        Err(error) => {
                            tracing::warn!(%error, "the secondary's commit failed; its keys go into the journal");
                            declared.give_up(commit_reason(error));
                            // Only now: the session's pin has covered the verdict.
                            drop(ended);
                        }
                    }
                }));
            }
            (Outcome::Committed, Err(reason)) => declared.give_up(reason),
        }
    }
}

impl Declared {
    /// Both stores have the transaction. What the secondary has done by itself is noted before the intents end: after a crash in between, their keys are dirty, and
    /// whoever repairs them notes it.
    fn committed(self, ended: oneshot::Sender<()>) {
        let notes = self.alone.iter().filter_map(|table| {
            let doubts = &self.shared.doubts;
            doubts.note(&self.mapping.tables[table.0], self.secondary)
        });
        let notes: Vec<_> = notes.collect();
        if notes.is_empty() {
            self.close();
            return drop(ended);
        }
        tokio::spawn(async move {
            match futures::future::try_join_all(notes).await {
                Ok(_) => self.close(),
                Err(error) => {
                    tracing::warn!(
                        error,
                        "what the secondary's foreign keys have changed could not be noted; the keys go into the journal"
                    );
                    self.give_up(Reason::NoVerdict);
                }
            }
            drop(ended);
        });
    }

    fn close(self) {
        count(
            &self.shared.metrics.secondary_writes,
            &self.mapping,
            &self.tables,
        );
        crash::at(Point::SecondaryCommitted);
        self.intents.into_iter().for_each(Intent::committed);
        crash::at(Point::IntentClosed);
    }

    /// The primary has not committed, and so the secondary has nothing of it either, unless it keeps what it was given.
    fn rolled_back(self) {
        let pool = self.shared.secondaries.on(self.secondary);
        if pool.takes_back() == Some(false) {
            self.give_up(Reason::NotTakenBack);
        } else {
            self.intents.into_iter().for_each(Intent::done);
        }
    }

    /// The secondary may differ: the keys become dirty.
    fn give_up(self, reason: Reason) {
        count(
            &self.shared.metrics.secondary_failures,
            &self.mapping,
            &self.tables,
        );
        // The keys are dirty in memory at once, and the intent is durable until that mark is: nobody has to wait for it. Should the journal fail
        // now, the next write is refused.
        for intent in self.intents {
            drop(intent.dirty(reason));
        }
        crash::at(Point::GivenUp);
    }
}

fn commit_reason(error: &StageError) -> Reason {
    match error {
        StageError::Companion => Reason::Companion,
        error if error.is_refusal() => Reason::SecondaryFailed,
        _unknown => Reason::OutcomeUnknown,
    }
}

/// The name by which the journal knows a table.
pub(super) fn name_of(mapping: &Mapping, table: TableId) -> String {
    mapping.tables[table.0].old.name.to_string()
}

pub(super) fn count(metric: &IntCounterVec, mapping: &Mapping, tables: &[TableId]) {
    for table in tables {
        metric
            .with_label_values(&[
                mapping.tables[table.0].toggle.as_str(),
                &name_of(mapping, *table),
            ])
            .inc();
    }
}

pub(super) fn reason_of(table: Option<&str>, rows: usize, error: &StageError) -> Reason {
    let table = table.unwrap_or("");
    let timed_out = match error {
        StageError::BreakerOpen => return Reason::BreakerOpen,
        StageError::TimedOut(_) => true,
        StageError::Store(error) => matches!(**error, StoreError::TimedOut { .. }),
        StageError::Companion | StageError::Stopping => false,
    };
    if timed_out {
        tracing::warn!(%error, table, rows, "the secondary did not take a write in time; its keys go into the journal");
        return Reason::SecondaryTimedOut;
    }
    tracing::warn!(%error, table, rows, "the secondary did not take a write; its keys go into the journal");
    Reason::SecondaryFailed
}

fn secondary_failed(side: Side, reason: Reason) -> ClientError {
    ClientError::new("40001", format!("the write was rolled back because the {side} store did not take it: {reason}"))
        .hint("try again; writes.on_secondary_error = \"journal\" lets such writes through and repairs the other store later")
}

/// Its images were given up: it deletes very much, or has taken back a part of what had gone ahead.
fn not_whole(side: Side) -> ClientError {
    ClientError::new(
        "54000",
        format!("the transaction was rolled back because it is too large to be written into the {side} store as a whole"),
    )
    .hint("make it several smaller ones, without ROLLBACK TO SAVEPOINT, or raise writes.max_transaction_bytes; writes.on_secondary_error = \"journal\" lets it through and repairs the other store later")
}

fn not_taken_back(side: Side) -> ClientError {
    ClientError::new(
        "0A000",
        format!("the write was refused because the {side} store has no transactions, and a journal that is kept in the primary needs them"),
    )
    .hint("make the store a replica set, set journal = \"state_dir\", or go back to phase use-old")
}

/// The primary refused the intent's row itself: nothing of the transaction is committed.
pub(super) fn intent_refused(side: Side, message: &str) -> ClientError {
    ClientError::new(
        "58030",
        format!("the write was refused because its intent could not be written into the journal in the {side} store: {message}"),
    )
    .hint("`crossfade check` says what is missing there; phase use-old needs no journal")
}

pub(super) fn journal_failed(error: &JournalError) -> ClientError {
    ClientError::new(
        "58030",
        format!("the write was refused because crossfade's journal cannot be written: {error}"),
    )
    .hint("`crossfade status` shows the journal: make room on the disk of state_dir (or see to the primary, where it is kept there), or go back to phase use-old, which needs no journal")
}
