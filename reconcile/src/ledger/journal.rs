//! The ledger on the journal of a `state_dir`.

use crossfade_journal::{
    DirtyKey, Journal, JournalKey, KeyBounds, KeyRef, KeyText, Reason, StateError, TableState,
    Verified as Record,
};
use crossfade_phase::Side;
use crossfade_store::{Key, TableMap};
use crossfade_toggle::{Epoch, Snapshot};
use futures::future::BoxFuture;

use super::{Checkpoint, Dirty, Ledger, LedgerError, LedgerResult, Reach, Standing, Verified, Why};
use crate::Direction;

/// Why a table is in doubt for as long as a backfill over it has begun and not ended. Whatever else went round the store is not forgotten with it.
const UNFINISHED: &str = "a backfill has begun and not ended";

impl Ledger for Journal {
    fn take(&self, toggle: &str, limit: usize) -> Vec<Dirty> {
        self.take_dirty(toggle, limit)
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

    fn failed(&self, dirty: &Dirty, error: &str) {
        Journal::failed(
            self,
            &journal_key(&dirty.toggle, &dirty.table, &dirty.key),
            error,
        );
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
        let mut bounds = found.done.into_iter();
        let done = bounds.next();
        let reached = match bounds.next() {
            None => Reach::Nowhere,
            Some(KeyBounds {
                upto: Some(key), ..
            }) => Reach::Upto(from_text(key)),
            Some(KeyBounds { upto: None, .. }) => Reach::End,
        };
        Some(Checkpoint {
            epoch: Epoch::new(found.epoch),
            upto: done.and_then(|done| done.upto).map(from_text),
            reached,
            rows_seen: found.rows,
        })
    }

    fn save_checkpoint<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        at: &'a Checkpoint,
    ) -> BoxFuture<'a, LedgerResult> {
        let (record, at) = (record_of(table, direction), at.clone());
        let upto = at.upto.as_ref().map(to_text);
        let mut done = vec![KeyBounds {
            after: None,
            upto: upto.clone(),
        }];
        match &at.reached {
            Reach::Nowhere => {}
            Reach::Upto(key) => done.push(KeyBounds {
                after: upto,
                upto: Some(to_text(key)),
            }),
            Reach::End => done.push(KeyBounds {
                after: upto,
                upto: None,
            }),
        }
        blocking(self, move |journal| {
            journal.state().update_backfill(&record, |checkpoint| {
                checkpoint.epoch = at.epoch.number();
                checkpoint.rows = at.rows_seen;
                checkpoint.done = done;
            })
        })
    }

    fn copying<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
    ) -> BoxFuture<'a, LedgerResult> {
        let record = record_of(table, direction);
        blocking(self, move |journal| {
            let doubt = |table: &mut TableState| {
                table.verified = None;
                table.bypassed.get_or_insert_with(|| UNFINISHED.to_owned());
            };
            journal.state().update_table(&record, doubt).map(drop)
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
            journal.state().update_table(&record, |table| {
                table.backfilled_at_epoch = Some(at.epoch.number());
                // What was verified before says nothing about the rows that came in since.
                table.verified = None;
                table.bypassed.take_if(|why| why == UNFINISHED);
            })?;
            journal.state().clear_backfill(&record)
        })
    }

    fn verified<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        found: Verified,
    ) -> BoxFuture<'a, LedgerResult> {
        let record = record_of(table, direction);
        blocking(self, move |journal| {
            let change = |table: &mut TableState| {
                table.verified = Some(Record {
                    at_unix_s: unix_now_s(),
                    at_epoch: found.snapshot.epoch.number(),
                    rows: found.rows,
                    differences: found.differences,
                });
                if found.differences == 0 {
                    // Whatever went round the store is there now (trap 38).
                    table.bypassed = None;
                }
            };
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
        }
    }
}

/// The name under which the state files keep a table. The reverse direction has a record of its own: that the old store has all rows of the
/// new says nothing about the other way round.
pub(crate) fn record_of(table: &TableMap, direction: Direction) -> String {
    match direction {
        Direction::Forward => table.old.name.to_string(),
        Direction::Reverse => format!("{} (reverse)", table.old.name),
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

fn to_text(key: &Key) -> KeyText {
    KeyText(key.0.iter().map(|part| part.to_vec()).collect())
}

fn from_text(key: KeyText) -> Key {
    Key(key.0.into_iter().map(Into::into).collect())
}

/// For display only (trap 44).
fn unix_now_s() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
