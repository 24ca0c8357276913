//! The commit sandwich (DESIGN 3).
//!
//! ```text
//! 1. secondary: the whole batch, uncommitted      ┐ in parallel, while the primary
//! 2. journal: the intent, durable                 ┘ holds its row locks
//! 3. primary: COMMIT
//! 4. secondary: COMMIT
//! 5. journal: done
//! ```
//!
//! Dies the process after 2, the intent is open and its keys become dirty on the next start; before 2, the primary has not committed and
//! both servers roll back (trap 3). The row locks held over 1 order both stores alike (trap 1), and the primary always
//! comes first, so no two clients wait for each other across the stores (trap 2).

use std::{sync::Arc, time::Duration};

use crossfade_config::OnSecondaryError;
use crossfade_journal::{Intent, JournalError, KeyRef, Reason};
use crossfade_phase::Side;
use crossfade_store::{Change, Key, Mapping, StoreError, TableId, WriteOrder};

use prometheus::IntCounterVec;

use super::transaction::Transaction;
use crate::{
    errors::ClientError,
    secondary::{StageError, Staged},
    shared::Shared,
};

/// A transaction of the primary between the sandwich's steps 2 and 3.
#[must_use = "the sandwich has to be concluded"]
pub(crate) struct Prepared {
    shared: Arc<Shared>,
    mapping: Arc<Mapping>,
    tables: Vec<TableId>,
    intent: Intent,
    staged: Result<Staged, Reason>,
    within: Duration,
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
/// Dropped half way, the secondary rolls back and the intent is taken back: the primary has not committed.
///
/// # Errors
/// What the client is told when the primary must not commit.
pub(crate) async fn prepare(
    shared: &Arc<Shared>,
    worker: usize,
    mapping: &Arc<Mapping>,
    order: &WriteOrder,
    secondary: Side,
    transaction: &Transaction,
) -> Result<Prepared, ClientError> {
    let config = shared.config.load();
    let (within, policy) = (
        config.writes.secondary_timeout,
        config.writes.on_secondary_error,
    );
    let folded = transaction.fold();
    let keys: Vec<(TableId, Key)> = folded.keys().cloned().collect();
    let mut tables: Vec<TableId> = keys.iter().map(|(table, _)| *table).collect();
    tables.dedup();
    let names: Vec<String> = tables
        .iter()
        .map(|table| name_of(mapping, *table))
        .collect();
    let named: Vec<KeyRef<'_, bytes::Bytes>> = keys
        .iter()
        .filter_map(|(table, key)| {
            let name = tables.iter().position(|known| known == table)?;
            Some(KeyRef {
                toggle: &mapping.tables[table.0].toggle,
                table: &names[name],
                parts: &key.0,
            })
        })
        .collect();
    let intend = shared.journal.intend(secondary, &named);
    let stage = async {
        if transaction.is_keys_only() {
            return Err(Reason::NotWritten);
        }
        let mut batch: Vec<(TableId, Change)> = folded
            .into_iter()
            .filter_map(|((table, _), change)| change.map(|change| (table, change)))
            .collect();
        // By (table, key) within what foreign keys demand of the order of tables (trap 2).
        order.sort(mapping, &mut batch);
        shared
            .secondaries
            .on(secondary)
            .stage(worker, mapping, &batch, within)
            .await
            .map_err(|error| reason_of(mapping, &batch, &error))
    };
    // The intent is on its way to the disk since it was declared. Asked for only now, it is nearly always there, and its writer has nobody to wake.
    let staged = stage.await;
    match (intend.await, staged) {
        (Ok(intent), Err(reason))
            if policy == OnSecondaryError::Fail && reason != Reason::NotWritten =>
        {
            intent.done();
            Err(secondary_failed(secondary, reason))
        }
        (Ok(intent), staged) => Ok(Prepared {
            shared: shared.clone(),
            mapping: mapping.clone(),
            tables,
            intent,
            staged,
            within,
        }),
        (Err(error), staged) => {
            if let Ok(staged) = staged {
                staged.rollback(within).await;
            }
            Err(journal_failed(&error))
        }
    }
}

impl Prepared {
    /// Steps 4 and 5, once the primary has answered.
    pub(crate) async fn conclude(self, outcome: Outcome) {
        let Prepared {
            shared,
            mapping,
            tables,
            intent,
            staged,
            within,
        } = self;
        match (outcome, staged) {
            (Outcome::RolledBack, staged) => {
                if let Ok(staged) = staged {
                    staged.rollback(within).await;
                }
                intent.done();
            }
            (Outcome::Unknown, staged) => {
                drop(staged);
                give_up(&shared, &mapping, &tables, intent, Reason::PrimaryUnknown).await;
            }
            (Outcome::Committed, Ok(staged)) => match staged.commit(within).await {
                Ok(()) => {
                    count(&shared.metrics.secondary_writes, &mapping, &tables);
                    intent.committed();
                }
                Err(error) => {
                    tracing::warn!(%error, "the secondary's commit failed; its keys go into the journal");
                    let known = matches!(error, StageError::Store(StoreError::Rejected { .. }));
                    let reason = if known {
                        Reason::SecondaryFailed
                    } else {
                        Reason::OutcomeUnknown
                    };
                    give_up(&shared, &mapping, &tables, intent, reason).await;
                }
            },
            (Outcome::Committed, Err(reason)) => {
                give_up(&shared, &mapping, &tables, intent, reason).await
            }
        }
    }
}

/// The secondary lacks the transaction: its keys become dirty.
async fn give_up(
    shared: &Shared,
    mapping: &Mapping,
    tables: &[TableId],
    intent: Intent,
    reason: Reason,
) {
    count(&shared.metrics.secondary_failures, mapping, tables);
    // The intent is durable, so the keys are safe; should the journal fail now, the next write is refused.
    if let Err(error) = intent.dirty(reason).await {
        tracing::error!(%error, "the journal failed; the keys of this write stay in it as an open intent");
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

fn reason_of(mapping: &Mapping, batch: &[(TableId, Change)], error: &StageError) -> Reason {
    let table = batch
        .first()
        .map_or_else(String::new, |(table, _)| name_of(mapping, *table));
    match error {
        StageError::BreakerOpen => return Reason::BreakerOpen,
        StageError::TimedOut(_) | StageError::Store(StoreError::TimedOut { .. }) => {
            tracing::warn!(%error, table, rows = batch.len(), "the secondary did not take a write in time; its keys go into the journal");
            return Reason::SecondaryTimedOut;
        }
        StageError::Store(_) => {}
    }
    tracing::warn!(%error, table, rows = batch.len(), "the secondary did not take a write; its keys go into the journal");
    Reason::SecondaryFailed
}

fn secondary_failed(side: Side, reason: Reason) -> ClientError {
    ClientError::new("40001", format!("the write was rolled back because the {side} store did not take it: {reason}"))
        .hint("try again; writes.on_secondary_error = \"journal\" lets such writes through and repairs the other store later")
}

pub(super) fn journal_failed(error: &JournalError) -> ClientError {
    ClientError::new(
        "58030",
        format!("the write was refused because crossfade's journal cannot be written: {error}"),
    )
    .hint("make room on the disk of state_dir, or go back to phase use-old, which needs no journal")
}
