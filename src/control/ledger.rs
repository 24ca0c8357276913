//! The reconciler's memory where several proxies share a migration: dirty keys are each proxy's own, and can be looked up where they are rows in the
//! primary; what is known of tables is in the record.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_journal::{BackfillCheckpoint, Journal, TableState};
use crossfade_phase::{Phase, Side};
use crossfade_reconcile::{
    Checkpoint, Direction, Dirty, Elsewhere, Ledger, LedgerError, LedgerResult, Standing, Verified,
    Why, standing,
};
use crossfade_store::{Key, StoreError, TableMap};
use crossfade_toggle::Snapshot;
use futures::future::BoxFuture;

use super::{
    record::Record,
    row::Row,
    seat::{LEASE, MARGIN, Other, Seat, Trouble},
};
use crate::app::Others;

/// Time between two looks at whether another proxy's job has ended.
const LOOK: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Clone)]
pub(crate) struct SharedLedger {
    journal: Arc<Journal>,
    seats: Arc<Vec<Arc<Seat>>>,
    /// `None` where each proxy's journal is its own.
    others: Option<Others>,
}

impl SharedLedger {
    pub(crate) fn new(
        journal: Arc<Journal>,
        seats: Vec<Arc<Seat>>,
        others: Option<Others>,
    ) -> SharedLedger {
        SharedLedger {
            journal,
            seats: Arc::new(seats),
            others,
        }
    }

    fn seat(&self, table: &TableMap) -> Result<&Arc<Seat>, LedgerError> {
        let seat = self.seats.iter().find(|seat| seat.toggle == table.toggle);
        seat.ok_or_else(|| {
            LedgerError(format!(
                "toggle \"{}\" is not shared: it waits for a restart",
                table.toggle
            ))
        })
    }

    /// Changes what is known of a table, first for everybody, then here.
    fn change<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        change: impl Fn(&mut TableState, &mut Option<BackfillCheckpoint>) + Send + Sync + 'a,
    ) -> BoxFuture<'a, LedgerResult> {
        let name = standing::record_of(table, direction);
        self.change_record(table, move |record| {
            let mut checkpoint = record.checkpoints.remove(&name);
            change(
                record.tables.entry(name.clone()).or_default(),
                &mut checkpoint,
            );
            if let Some(checkpoint) = checkpoint {
                record.checkpoints.insert(name.clone(), checkpoint);
            }
        })
    }

    /// The same with all of the toggle's record.
    fn change_record<'a>(
        &'a self,
        table: &'a TableMap,
        change: impl Fn(&mut Record) + Send + Sync + 'a,
    ) -> BoxFuture<'a, LedgerResult> {
        Box::pin(async move {
            let seat = self.seat(table)?;
            let change = |record: &mut Record| {
                change(record);
                Ok(record.tables.clone())
            };
            let tables = seat
                .change(change)
                .await
                .map_err(|error| unshared(&error))?;
            let state = self.journal.state();
            match state.toggle(&table.toggle) {
                Some(toggle) => state
                    .follow(&table.toggle, &toggle, &tables)
                    .map_err(|error| LedgerError(error.to_string())),
                None => Ok(()),
            }
        })
    }
}

fn unshared(trouble: &Trouble) -> LedgerError {
    LedgerError(format!("{trouble}; run the command again"))
}

/// The right to be the one job over a table, among all proxies.
struct Held {
    seat: Arc<Seat>,
    table: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        let (seat, table) = (Arc::clone(&self.seat), self.table.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        // Should that fail, this proxy's next start takes it back.
        runtime.spawn(async move {
            let give_back = |record: &mut Record| {
                if record.jobs.get(&table) == Some(&seat.me.id) {
                    record.jobs.remove(&table);
                }
                Ok(())
            };
            if let Err(error) = seat.change(give_back).await {
                tracing::warn!(table, %error, "the others still think that a job of this proxy is at work on the table");
            }
        });
    }
}

impl Ledger for SharedLedger {
    fn take(&self, toggle: &str, limit: usize, primary: Side) -> Vec<Dirty> {
        Ledger::take(&*self.journal, toggle, limit, primary)
    }

    fn page(&self, table: &TableMap, after: Option<&Key>, limit: usize) -> Vec<Dirty> {
        self.journal.page(table, after, limit)
    }

    fn marks(&self, table: &TableMap, keys: &[Key]) -> Vec<Option<Dirty>> {
        self.journal.marks(table, keys)
    }

    fn doubts(&self, table: &TableMap, keys: &[Key]) -> Vec<bool> {
        self.journal.doubts(table, keys)
    }

    fn elsewhere<'a>(
        &'a self,
        table: &'a TableMap,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Elsewhere>, LedgerError>> {
        Box::pin(async move {
            let Some(others) = &self.others else {
                return Ok(vec![Elsewhere::Nothing; keys.len()]);
            };
            let home = self.seat(table)?.record().state.phase.primary();
            let known = others.know(home, table, keys).await;
            known.map_err(|error| LedgerError(format!("{error}; run the command again")))
        })
    }

    fn intends(&self, table: &TableMap, keys: &[Key]) -> Vec<bool> {
        self.journal.intends(table, keys)
    }

    fn give_back(&self, dirty: &Dirty) {
        Ledger::give_back(&*self.journal, dirty);
    }

    fn clean(&self, dirty: &Dirty) {
        Ledger::clean(&*self.journal, dirty);
    }

    fn failed(&self, dirty: &Dirty, error: &StoreError) {
        Ledger::failed(&*self.journal, dirty, error);
    }

    fn mark<'a>(
        &'a self,
        table: &'a TableMap,
        keys: &'a [Key],
        stale: Side,
        why: Why,
    ) -> BoxFuture<'a, LedgerResult> {
        self.journal.mark(table, keys, stale, why)
    }

    fn dirty_count(&self, toggle: &str) -> u64 {
        Ledger::dirty_count(&*self.journal, toggle)
    }

    fn checkpoint(&self, table: &TableMap, direction: Direction) -> Option<Checkpoint> {
        let record = self.seat(table).ok()?.record();
        let found = record
            .checkpoints
            .get(&standing::record_of(table, direction))?;
        Some(standing::checkpoint(found.clone()))
    }

    fn save_checkpoint<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        at: &'a Checkpoint,
    ) -> BoxFuture<'a, LedgerResult> {
        self.change(table, direction, |_, checkpoint| {
            *checkpoint = Some(standing::note(at))
        })
    }

    fn copying<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
    ) -> BoxFuture<'a, LedgerResult> {
        self.change(table, direction, |table, _| standing::copying(table))
    }

    fn backfilled<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        at: Snapshot,
    ) -> BoxFuture<'a, LedgerResult> {
        self.change(table, direction, move |table, checkpoint| {
            standing::backfilled(table, at);
            *checkpoint = None;
        })
    }

    fn verified<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
        found: Verified,
    ) -> BoxFuture<'a, Result<Option<String>, LedgerError>> {
        let names = [Direction::Forward, Direction::Reverse]
            .map(|direction| standing::record_of(table, direction));
        let name = standing::record_of(table, direction);
        Box::pin(async move {
            let written = self.change_record(table, |record| {
                standing::verified(record.tables.entry(name.clone()).or_default(), found);
                if found.differences == 0 && compares_all(direction, found.snapshot.phase) {
                    // Whatever a forgotten journal knew of is the same on both sides now.
                    record.lost.retain(|name, _| !names.contains(name));
                }
            });
            written.await?;
            let record = self.seat(table)?.record();
            let known = record.tables.get(&name);
            Ok(known.and_then(|known| known.bypassed.clone()))
        })
    }

    fn verifying<'a>(
        &'a self,
        table: &'a TableMap,
        direction: Direction,
    ) -> BoxFuture<'a, Result<u64, LedgerError>> {
        Box::pin(async move {
            let record = self.seat(table)?.record();
            let known = record.tables.get(&standing::record_of(table, direction));
            let bypasses = known.map_or(0, |known| known.bypasses);
            if self.is_doubted(table, direction) {
                self.change(table, direction, |table, _| standing::verifying(table))
                    .await?;
                // By then every other proxy has read it, or commits nothing: whatever it did before and thought to be known already, the verify sees.
                tokio::time::sleep(LEASE + MARGIN).await;
            }
            Ok(bypasses)
        })
    }

    fn is_doubted(&self, table: &TableMap, direction: Direction) -> bool {
        self.journal.is_doubted(table, direction)
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
        self.change(table, direction, move |table, _| {
            standing::doubt(table, why)
        })
    }

    fn standing(&self, table: &TableMap, direction: Direction) -> Standing {
        self.journal.standing(table, direction)
    }

    fn knows_all_stale(&self, table: &TableMap, from: Side) -> LedgerResult {
        let seat = self.seat(table)?;
        others_hide_nothing(seat, from)?;
        nothing_is_lost(seat, table, from)
    }

    fn knows_all_under_way<'a>(
        &'a self,
        table: &'a TableMap,
        from: Side,
    ) -> BoxFuture<'a, LedgerResult> {
        Box::pin(async move {
            let seat = self.seat(table)?;
            if self.others.is_some() {
                return Ok(());
            }
            let until = Instant::now() + LEASE + MARGIN;
            loop {
                let heard = seat.hear_all().await;
                heard.map_err(|error| LedgerError(format!("{error}; run the command again")))?;
                match others_are_done(seat, from) {
                    Err(_) if Instant::now() < until => tokio::time::sleep(LOOK).await,
                    Err(error) => return Err(error),
                    Ok(()) => return nobody_was_forgotten(seat, table),
                }
            }
        })
    }

    fn turn<'a>(
        &'a self,
        table: &'a TableMap,
    ) -> BoxFuture<'a, Result<Box<dyn Any + Send + Sync>, LedgerError>> {
        Box::pin(async move {
            let (seat, name) = (self.seat(table)?, table.old.name.to_string());
            let mut told = false;
            loop {
                let mine = seat.me.id.clone();
                let holder = seat.change(|record| {
                    let holder = record
                        .jobs
                        .entry(name.clone())
                        .or_insert_with(|| mine.clone());
                    Ok(holder.clone())
                });
                let holder = holder.await.map_err(|error| unshared(&error))?;
                if holder == seat.me.id {
                    let held = Held {
                        seat: Arc::clone(seat),
                        table: name,
                    };
                    return Ok(Box::new(held) as Box<dyn Any + Send + Sync>);
                }
                if !std::mem::replace(&mut told, true) {
                    let view = seat.record();
                    let by = view
                        .members
                        .get(&holder)
                        .map_or("another proxy", |member| member.name.as_str());
                    tracing::info!(
                        toggle = table.toggle,
                        table = name,
                        by,
                        "waits: a job of proxy \"{by}\" is at work on the table (`crossfade status`)"
                    );
                }
                tokio::time::sleep(LOOK).await;
            }
        })
    }
}

/// A dirty key says in which store the row is not the one that counts. Only the proxy that has the key in its journal knows.
fn others_hide_nothing(seat: &Seat, from: Side) -> LedgerResult {
    // One that was not heard of since it began may have some.
    let hides = |row: &Row| row.stale().stale(from) > 0;
    none_hides(seat, from, |other| other.row().is_none_or(hides))
}

/// The same of what they have under way: a write whose intent is open becomes such a key when it does not get into the store.
fn others_are_done(seat: &Seat, from: Side) -> LedgerResult {
    let hides = |row: &Row| row.stale().stale(from) > 0 || row.open > 0 || row.unsettled;
    none_hides(seat, from, |other| other.row().is_none_or(hides))
}

/// Who asks began when every row that only the old store has had to be in the new one. Since then a proxy was forgotten that may have deleted some.
fn nobody_was_forgotten(seat: &Seat, table: &TableMap) -> LedgerResult {
    let record = seat.record();
    let forward = standing::record_of(table, Direction::Forward);
    match record.tables.get(&forward) {
        Some(known) if known.deleted_unseen => Err(LedgerError(
            "a proxy was forgotten meanwhile, and nobody knows any more which rows it has deleted; run the command again".to_owned(),
        )),
        Some(_) | None => Ok(()),
    }
}

fn none_hides(seat: &Seat, from: Side, hides: impl Fn(&Other) -> bool) -> LedgerResult {
    match seat.others().into_iter().find(hides) {
        None => Ok(()),
        Some(other) => Err(LedgerError(format!(
            "proxy \"{}\" may have keys in its journal that the {from} store is stale for: wait until it has repaired them, or run the job through that proxy",
            other.name
        ))),
    }
}

/// Whether a verify looks at every row of both stores.
fn compares_all(direction: Direction, phase: Phase) -> bool {
    match direction {
        Direction::Forward => matches!(phase, Phase::DualWrite | Phase::DualRead),
        Direction::Reverse => phase.primary() == Side::New,
    }
}

/// Nobody knows any more which keys a forgotten proxy had that the store of `from` is stale for.
fn nothing_is_lost(seat: &Seat, table: &TableMap, from: Side) -> LedgerResult {
    let record = seat.record();
    let stale = standing::record_of(table, Direction::into_store(from));
    let Some(keys) = record.lost.get(&stale) else {
        return Ok(());
    };
    let (there, way, gone) = match from {
        // There a row that only the old store has may not be copied yet as well: nothing is deleted.
        Side::Old => (
            Phase::NewPrimary,
            " --reverse",
            ", and `crossfade verify` for rows that only the old store has: that proxy may have deleted some",
        ),
        Side::New => (Phase::DualRead, "", ""),
    };
    Err(LedgerError(format!(
        "a proxy was forgotten with {keys} keys in its journal that the {from} store is stale for, and whose newer rows the {} store has: this would overwrite them. Go to {there} with a reason \
         (`crossfade phase {} {there} --because \"…\"`) and `crossfade verify{way} --repair` there{gone}; or move on to where the {} store is not written, which gives those rows up",
        from.other(),
        seat.toggle,
        from.other()
    )))
}
