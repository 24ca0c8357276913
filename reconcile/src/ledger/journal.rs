//! The ledger on the journal of a `state_dir`.

use crossfade_journal::{
    BackfillCheckpoint, Cause, DirtyKey, Journal, JournalKey, KeyRef, Reason, StateError,
    TableState, Verified as Record,
};
use crossfade_phase::Side;
use crossfade_store::{Key, StoreError, TableMap};
use crossfade_toggle::Snapshot;
use futures::future::BoxFuture;

use super::{
    Checkpoint, Dirty, Ledger, LedgerError, LedgerResult, Standing, Verified, Why,
    standing::{self, record_of},
};
use crate::Direction;

impl Ledger for Journal {
    fn take(&self, toggle: &str, limit: usize, primary: Side) -> Vec<Dirty> {
        self.take_repairable(toggle, limit, primary)
            .into_iter()
            .map(dirty)
            .collect()
    }

    fn page(&self, table: &TableMap, after: Option<&Key>, limit: usize) -> Vec<Dirty> {
        let after = after.map(|key| journal_key(&table.toggle, &table.old.name.to_string(), key));
        self.dirty_keys(&table.old.name.to_string(), after.as_ref(), limit)
            .into_iter()
            .map(dirty)
            .collect()
    }

    fn marks(&self, table: &TableMap, keys: &[Key]) -> Vec<Option<Dirty>> {
        let name = table.old.name.to_string();
        keys.iter()
            .map(|key| self.dirty_key_of(&name, &key.0).map(dirty))
            .collect()
    }

    fn doubts(&self, table: &TableMap, keys: &[Key]) -> Vec<bool> {
        let parts: Vec<_> = keys.iter().map(|key| key.0.as_slice()).collect();
        self.in_doubt(&table.old.name.to_string(), &parts)
    }

    fn intends(&self, table: &TableMap, keys: &[Key]) -> Vec<bool> {
        let parts: Vec<_> = keys.iter().map(|key| key.0.as_slice()).collect();
        self.is_intended(&table.old.name.to_string(), &parts)
    }

    fn clean(&self, dirty: &Dirty) {
        // Marked again since, or cleaned by somebody else: both are as well.
        let _ = Journal::clean(
            self,
            &journal_key(&dirty.toggle, &dirty.table, &dirty.key),
            dirty.generation,
        );
    }

    fn failed(&self, dirty: &Dirty, error: &StoreError) {
        let passing = error.outcome_unknown() || matches!(error, StoreError::Unsettled { .. });
        let cause = if passing { Cause::Passing } else { Cause::Key };
        let key = journal_key(&dirty.toggle, &dirty.table, &dirty.key);
        Journal::failed(self, &key, &error.to_string(), cause);
    }

    fn give_back(&self, dirty: &Dirty) {
        Journal::give_back(self, &journal_key(&dirty.toggle, &dirty.table, &dirty.key));
    }

    fn mark<'a>(
        &'a self,
        table: &'a TableMap,
        keys: &'a [Key],
        stale: Side,
        why: Why,
    ) -> BoxFuture<'a, LedgerResult> {
        Box::pin(async move {
            let name = table.old.name.to_string();
            let refs: Vec<_> = keys
                .iter()
                .map(|key| KeyRef {
                    toggle: &table.toggle,
                    table: &name,
                    parts: &key.0,
                })
                .collect();
            let reason = match why {
                Why::Backfill => Reason::Backfill,
                Why::Verify => Reason::VerifyDifference,
                Why::Read => Reason::ReadMismatch,
            };
            self.mark_dirty(stale, &refs, reason)
                .await
                .map_err(|error| LedgerError(error.to_string()))
        })
    }

    fn dirty_count(&self, toggle: &str) -> u64 {
        Journal::dirty_count(self, toggle) as u64
    }

    fn checkpoint(&self, table: &TableMap, direction: Direction) -> Option<Checkpoint> {
        let found = self.state().backfill(&record_of(table, direction))?;
        Some(standing::checkpoint(found))
    }

    fn save_checkpoint<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        at: &'a Checkpoint,
    ) -> BoxFuture<'a, LedgerResult> {
        let (record, note) = (record_of(table, direction), standing::note(at));
        blocking(self, move |journal| {
            let change = |checkpoint: &mut BackfillCheckpoint| *checkpoint = note;
            journal.state().update_backfill(&record, change)
        })
    }

    fn copying<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
    ) -> BoxFuture<'a, LedgerResult> {
        let record = record_of(table, direction);
        blocking(self, move |journal| {
            journal
                .state()
                .update_table(&record, standing::copying)
                .map(drop)
        })
    }

    fn backfilled<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        at: Snapshot,
    ) -> BoxFuture<'a, LedgerResult> {
        let record = record_of(table, direction);
        blocking(self, move |journal| {
            // In this order: a crash in between repeats a copy that finds nothing to do.
            let change = |table: &mut TableState| standing::backfilled(table, at);
            journal.state().update_table(&record, change)?;
            journal.state().clear_backfill(&record)
        })
    }

    fn verified<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        found: Verified,
    ) -> BoxFuture<'a, Result<Option<String>, LedgerError>> {
        let record = record_of(table, direction);
        Box::pin(async move {
            let name = record.clone();
            let written = blocking(self, move |journal| {
                let change = |table: &mut TableState| standing::verified(table, found);
                journal.state().update_table(&name, change).map(drop)
            });
            written.await?;
            Ok(self.state().table(&record).bypassed)
        })
    }

    fn verifying<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
    ) -> BoxFuture<'a, Result<u64, LedgerError>> {
        let record = record_of(table, direction);
        Box::pin(async move {
            let bypasses = self.state().table(&record).bypasses;
            if self.is_doubted(table, direction) {
                let written = blocking(self, move |journal| {
                    let change = standing::verifying;
                    journal.state().update_table(&record, change).map(drop)
                });
                written.await?;
            }
            Ok(bypasses)
        })
    }

    fn is_doubted(&self, table: &TableMap, direction: Direction) -> bool {
        self.state()
            .table(&record_of(table, direction))
            .doubt
            .is_some()
    }

    fn doubt<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        why: &'a str,
    ) -> BoxFuture<'a, LedgerResult> {
        if self.is_doubted(table, direction) {
            return Box::pin(std::future::ready(Ok(())));
        }
        let record = record_of(table, direction);
        let why = why.to_owned();
        blocking(self, move |journal| {
            let change = |table: &mut TableState| standing::doubt(table, &why);
            journal.state().update_table(&record, change).map(drop)
        })
    }

    fn standing(&self, table: &TableMap, direction: Direction) -> Standing {
        let known = self.state().table(&record_of(table, direction));
        let since = known.backfilled_at_epoch;
        let counts = |verified: &&Record| {
            known.bypassed.is_none() && since.is_none_or(|since| verified.at_epoch >= since)
        };
        let differences = known
            .verified
            .as_ref()
            .filter(counts)
            .map(|verified| verified.differences);
        Standing {
            backfilled: since.is_some(),
            differences,
            deleted_unseen: known.deleted_unseen,
        }
    }
}

/// State files are flushed on the spot; not on a thread that serves sessions.
fn blocking<'a>(
    journal: &Journal,
    write: impl FnOnce(&Journal) -> Result<(), StateError> + Send + 'static,
) -> BoxFuture<'a, LedgerResult> {
    let journal = journal.clone();
    Box::pin(async move {
        let written = tokio::task::spawn_blocking(move || write(&journal)).await;
        let written = written.map_err(|_| {
            LedgerError("the thread that writes the state files ended unexpectedly".into())
        })?;
        written.map_err(|error| LedgerError(error.to_string()))
    })
}

fn journal_key(toggle: &str, table: &str, key: &Key) -> JournalKey {
    JournalKey {
        toggle: toggle.into(),
        table: table.into(),
        key: key.0.iter().map(|part| part.to_vec()).collect(),
    }
}

fn dirty(found: DirtyKey) -> Dirty {
    Dirty {
        toggle: found.key.toggle.to_string(),
        table: found.key.table.to_string(),
        key: Key(found.key.key.into_iter().map(Into::into).collect()),
        generation: found.generation,
        unanswered: found.reason.primary_may_be_open(),
        stale_old: found.stale.contains(Side::Old),
        stale_new: found.stale.contains(Side::New),
    }
}
