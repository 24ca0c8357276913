//! Compares two tables, row by row where it must, and calls nothing a difference that is only on its way.

mod judge;
mod narrow;
mod settle;
mod version;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use crossfade_phase::Side;
use crossfade_store::{Form, Key, KeyRange, Row, Store, TableId, TableMap};
use tokio::task::JoinSet;

use crate::{
    Direction, Engine, Error, Verified, Why,
    error::During as _,
    job::Job,
    ledger::Dirty,
    lineage,
    progress::{Meter, OnProgress},
    turns::Turn,
};
pub(crate) use judge::Scope;
pub use judge::{Difference, Values};

/// What a verify is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Repair what differs.
    pub repair: bool,
    /// Most differences to list with key and columns; all are counted.
    pub list: usize,
    /// List values too. They are the application's data: only when asked.
    pub values: bool,
}

/// Enough to see a pattern.
const LIST: usize = 100;

impl Default for VerifyOptions {
    fn default() -> VerifyOptions {
        VerifyOptions {
            repair: false,
            list: LIST,
            values: false,
        }
    }
}

/// What a verify found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Rows compared.
    pub rows: u64,
    /// Rows that differ although nothing is under way for them.
    pub differences: u64,
    /// How many of those are alike now, looked at again after their repair.
    pub repaired: u64,
    /// Rows that differ and that the journal knows: the repairer is at them, or reports why it cannot.
    pub pending: u64,
    /// Rows that differ and whose newer one is where the rows are to arrive: what they would be repaired from is stale.
    pub stale: u64,
    /// Differences, as far as asked for.
    pub listed: Vec<Difference>,
    /// What is on record now: whether the table is complete.
    pub complete: bool,
    /// Why it does not count although it found nothing: what came about while it ran, and what it may have missed. The same has to be asked for once more.
    pub overtaken: Option<String>,
    /// Whether it was held against the old store what the new one has as the primary: a repair only copies what is missing there.
    pub into_primary: bool,
}

impl VerifyReport {
    /// Differences that are still there.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.differences - self.repaired
    }
}

/// What the workers of one verify share.
struct Run {
    engine: Engine,
    table: TableId,
    scope: Scope,
    job: Job,
    options: VerifyOptions,
    meter: Meter,
    found: Found,
    /// Kept until the last worker has gone.
    _turn: Turn,
}

/// What was found so far.
#[derive(Default)]
struct Found {
    /// Differences that a repair has not mended, by key: one that is repaired twice, as it waited for another row, counts once.
    left: Mutex<HashSet<Key>>,
    listed: Mutex<Vec<Difference>>,
    pending: Mutex<Vec<Key>>,
    /// To be repaired again: rows of the table that these refer to, or that refer to these, come first.
    waiting: Mutex<Vec<Key>>,
}

impl Run {
    fn map(&self) -> &TableMap {
        self.engine.map(self.table)
    }
}

impl Engine {
    /// Compares `table` on both sides and records what it found. Beside live writes: a differing row is read again, with growing pauses, and is a
    /// difference only when neither side moves and the journal knows of nothing under way. Waits while another verify or a backfill is at the table.
    ///
    /// May be dropped at any point; nothing is recorded then.
    ///
    /// # Errors
    /// [`Error`]. Nothing is recorded then; repairs made so far stay.
    pub async fn verify(
        &self,
        table: TableId,
        direction: Direction,
        options: VerifyOptions,
        on_progress: OnProgress,
    ) -> Result<VerifyReport, Error> {
        let map = self.map(table);
        let turn = self.turn(map).await?;
        let published = self.published(map).await?;
        // Trap 18: only a complete table tells a row that is not copied yet from one that is deleted.
        let standing = self.ledger.standing(map, Direction::Forward);
        let scope = Scope::of(direction, published.phase, standing)?;
        if options.repair {
            direction.role(published.phase)?;
            self.ledger.knows_all_stale(map, direction.from())?;
        }
        let stands = move |phase| Scope::of(direction, phase, standing) == Ok(scope);
        let job = Job::bind(Arc::clone(&self.gates), &map.toggle, published, stands)?;
        self.nothing_given_up(map).await?;
        let bypasses = match scope.is_recorded() {
            true => self.ledger.verifying(map, direction).await?,
            false => 0,
        };
        let estimated = self
            .stores
            .on(scope.source())
            .estimate_rows(map)
            .await
            .during("counting the rows", map)?;
        let meter = Meter::new(0, estimated, on_progress);
        let run = Arc::new(Run {
            engine: self.clone(),
            table,
            scope,
            job,
            options,
            meter,
            found: Found::default(),
            _turn: turn,
        });
        compare_all(&run).await?;
        run.repair_waiting().await?;
        let (pending, stale) = run.again().await?;
        let pin = run.job.pin().await?;
        let mut report = run.report(pending, stale);
        if scope.is_recorded() {
            let counted = if scope.counts_pending() { pending } else { 0 };
            let found = Verified {
                rows: report.rows,
                differences: report.left() + counted,
                pending: counted,
                snapshot: pin.snapshot(),
                bypasses,
            };
            let doubt = self.ledger.verified(map, direction, found).await?;
            report.overtaken = doubt.filter(|_| found.differences == 0);
        }
        Ok(VerifyReport {
            complete: self.ledger.standing(map, direction).is_complete(),
            ..report
        })
    }
}

/// Cuts the table into chunks and keeps the workers busy with them.
async fn compare_all(run: &Arc<Run>) -> Result<(), Error> {
    let settings = &run.engine.settings;
    let mut workers: JoinSet<Result<(), Error>> = JoinSet::new();
    let mut rest = Some(KeyRange::default());
    loop {
        while let Some(range) = rest.take_if(|_| workers.len() < settings.workers.max(1)) {
            let store = run.engine.stores.on(run.scope.source());
            let upto = store
                .nth_key(run.map(), &range, settings.chunk_rows.max(1))
                .await
                .during("looking for the next chunk", run.map())?;
            rest = upto.clone().map(|after| KeyRange {
                after: Some(after),
                upto: None,
            });
            let (run, range) = (Arc::clone(run), KeyRange { upto, ..range });
            workers.spawn(async move { narrow::compare(&run, range).await });
        }
        let Some(joined) = workers.join_next().await else {
            return Ok(());
        };
        joined.map_err(|_| Error::WorkerLost)??;
    }
}

impl Run {
    /// Takes in a batch of keys whose rows did not look alike.
    async fn suspect(&self, keys: Vec<Key>) -> Result<(), Error> {
        let settled = self
            .engine
            .settle(self.map(), self.scope, keys, self.options.values)
            .await?;
        lock(&self.found.pending).extend(settled.pending);
        self.meter.add(0, settled.differences.len() as u64, false);
        if self.options.repair {
            let keys: Vec<Key> = settled
                .differences
                .iter()
                .map(|difference| difference.key.clone())
                .collect();
            self.repair(keys).await?;
        }
        let mut listed = lock(&self.found.listed);
        let room = self.options.list.saturating_sub(listed.len());
        listed.extend(settled.differences.into_iter().take(room));
        Ok(())
    }

    /// Repairs the rows that had to wait for others of the table, all of them in their order, for as long as that helps.
    async fn repair_waiting(&self) -> Result<(), Error> {
        let mut before = usize::MAX;
        loop {
            let keys = std::mem::take(&mut *lock(&self.found.waiting));
            if keys.is_empty() || keys.len() >= before {
                return Ok(());
            }
            before = keys.len();
            self.repair(self.in_order(keys).await?).await?;
        }
    }

    async fn in_order(&self, keys: Vec<Key>) -> Result<Vec<Key>, Error> {
        let Some(primary) = self.scope.repairs_from() else {
            return Ok(keys);
        };
        let on = |side| &**self.engine.stores.on(side);
        let (primary, secondary) = (on(primary), on(primary.other()));
        let order = lineage::order(primary, secondary, self.map(), &keys).await;
        Ok(match order.during("repairing", self.map())? {
            Some(order) => order.into_iter().map(|at| keys[at].clone()).collect(),
            None => keys,
        })
    }

    /// Repairs what differs, and notes what differs still.
    async fn repair(&self, keys: Vec<Key>) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        {
            let _pin = self.job.pin().await?;
            match self.scope.repairs_from() {
                Some(primary) => {
                    let fixed = self
                        .engine
                        .fix(self.map(), primary, &keys, Why::Verify)
                        .await?;
                    lock(&self.found.waiting).extend(fixed.waiting);
                }
                None => self.copy_up(&keys).await?,
            }
        }
        let settled = self
            .engine
            .settle(self.map(), self.scope, keys.clone(), false)
            .await?;
        let mut left = lock(&self.found.left);
        for key in &keys {
            left.remove(key);
        }
        left.extend(settled.pending);
        left.extend(settled.differences.into_iter().map(|found| found.key));
        Ok(())
    }

    /// Forward in phases 5 to 7: only what the new store does not have at all may come in.
    async fn copy_up(&self, keys: &[Key]) -> Result<(), Error> {
        let hidden = self.engine.hidden_in_old(self.map(), keys);
        let keys: Vec<Key> = std::iter::zip(keys, hidden)
            .filter(|(_, hidden)| !hidden)
            .map(|(key, _)| key.clone())
            .collect();
        let old: &dyn Store = &*self.engine.stores.old;
        let rows = old
            .fetch(self.map(), &keys, Form::Own)
            .await
            .during("reading", self.map())?;
        let rows: Vec<Row> = rows.into_iter().flatten().collect();
        self.engine
            .stores
            .on(Side::New)
            .copy_up(self.map(), &rows)
            .await
            .during("copying", self.map())?;
        Ok(())
    }

    /// Looks once more at what the journal had under way; says how much of it still differs, and how much of that because the store that is right is stale
    /// for it, and only that one: nothing is missing where it should be.
    async fn again(&self) -> Result<(u64, u64), Error> {
        let keys = std::mem::take(&mut *lock(&self.found.pending));
        if keys.is_empty() {
            return Ok((0, 0));
        }
        self.suspect(keys).await?;
        let keys = std::mem::take(&mut *lock(&self.found.pending));
        let right = self.scope.truth();
        let marks = self.engine.ledger.marks(self.map(), &keys);
        let behind = |mark: &&Dirty| mark.is_stale(right) && !mark.is_stale(right.other());
        let stale = marks.iter().flatten().filter(behind).count() as u64;
        Ok((keys.len() as u64 - stale, stale))
    }

    fn report(&self, pending: u64, stale: u64) -> VerifyReport {
        let differences = self.meter.changed();
        let left = if self.options.repair {
            lock(&self.found.left).len() as u64
        } else {
            differences
        };
        VerifyReport {
            rows: self.meter.seen(),
            differences,
            repaired: differences - left,
            pending,
            stale,
            listed: std::mem::take(&mut *lock(&self.found.listed)),
            complete: false,
            overtaken: None,
            into_primary: self.scope.repairs_from().is_none(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
