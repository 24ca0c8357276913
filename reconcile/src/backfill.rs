//! Copies what the target does not have yet, by chunks in key order.
//!
//! From its first chunk to its end the target counts as one that something went round: a job that dies may leave a row there that is deleted.
//!
//! A chunk goes like this, and each step closes a trap:
//!
//! 1. the end of the chunk is noted as *reached*, durably, before anything of it is written: after a kill the next run knows where an unfinished
//!    chunk may have left a row that was deleted meanwhile (trap 8);
//! 2. its rows are read from the source;
//! 3. under a pin on the epoch (trap 28) those that the target lacks are inserted; what is there is never overwritten (trap 7);
//! 4. still under the pin, the keys are looked up again in the source; what vanished or changed is marked dirty and repaired (trap 8);
//! 5. the checkpoint moves over the chunk when all before it are done.
//!
//! A row that the journal knows to be stale in the source is left out: after a forced move of the primary the target may be right where it lacks it.
//!
//! Forward in phases 5 to 7 the target is the primary: dirty keys are left out (there the new store is right and the old stale), the store itself looks
//! for tombstones as it inserts (trap 27), and step 4 falls away.

mod chunk;
mod insert;
mod record;
mod walk;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crossfade_crash::{self as crash, Point};
use crossfade_store::{Store, TableId, TableMap};
use tokio::task::JoinSet;

use crate::{
    Direction, Engine, Error, Role,
    error::During as _,
    job::Job,
    ledger::Checkpoint,
    pace::Pace,
    progress::{Meter, OnProgress},
    turns::Turn,
};
use chunk::{Copied, Refused};
use record::Record;
use walk::{Span, Walk};

/// What a backfill did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackfillReport {
    /// Whether there was nothing to do: the table is complete, or was until a verify found differences, and in this phase what only the old store has was deleted in the new.
    pub already_complete: bool,
    /// Whether it went on where an earlier run had ended.
    pub resumed: bool,
    /// Rows read, with those of the earlier run.
    pub rows_seen: u64,
    /// Rows that the target did not have.
    pub rows_copied: u64,
    /// Keys that changed while they were copied and were repaired.
    pub repaired: u64,
    /// Keys that the target refused, or that are stale in the source. They are dirty in the journal and reported by `crossfade status`.
    pub left_dirty: u64,
}

/// What the workers of one backfill share.
struct Run {
    engine: Engine,
    table: TableId,
    direction: Direction,
    role: Role,
    job: Job,
    pace: Pace,
    meter: Meter,
    repaired: AtomicU64,
    left_dirty: AtomicU64,
    refused: AtomicU64,
    /// Kept until the last worker has gone.
    _turn: Turn,
}

impl Run {
    fn map(&self) -> &TableMap {
        self.engine.map(self.table)
    }

    fn source(&self) -> &dyn Store {
        &**self.engine.stores.on(self.direction.from())
    }

    fn target(&self) -> &dyn Store {
        &**self.engine.stores.on(self.direction.to())
    }
}

impl Engine {
    /// Copies the rows of `table` that the target of `direction` does not have. Goes on where an earlier run ended; running it again on a
    /// copied table reads everything once and copies nothing. Waits while another backfill or verify is at the table.
    ///
    /// May be dropped at any point, or killed: what the checkpoint covers is done, and the next run looks again at the rest.
    ///
    /// # Errors
    /// [`Error`]. The table is not marked as backfilled then.
    pub async fn backfill(
        &self,
        table: TableId,
        direction: Direction,
        on_progress: OnProgress,
    ) -> Result<BackfillReport, Error> {
        let map = self.map(table);
        let turn = self.turn(map).await?;
        let published = self.published(map).await?;
        let role = direction.role(published.phase)?;
        let job = Job::bind(
            Arc::clone(&self.gates),
            &map.toggle,
            published,
            move |phase| direction.role(phase) == Ok(role),
        )?;
        let standing = self.ledger.standing(map, direction);
        if role == Role::IntoPrimary && (standing.is_complete() || standing.deleted_unseen) {
            // Traps 18 and 27: a row that only the old store has is a deleted one.
            return Ok(BackfillReport {
                already_complete: true,
                ..BackfillReport::default()
            });
        }
        self.ledger.knows_all_stale(map, direction.from())?;
        self.nothing_given_up(map).await?;
        let found = self.ledger.checkpoint(map, direction);
        let resumed = found.is_some();
        let checkpoint = found.map_or_else(
            || Checkpoint::start(published.epoch),
            |found| found.resumed(published.epoch),
        );
        let estimated = self
            .stores
            .on(direction.from())
            .estimate_rows(map)
            .await
            .during("counting the rows", map)?;
        let run = Arc::new(Run {
            engine: self.clone(),
            table,
            direction,
            role,
            job,
            pace: Pace::new(self.settings.max_rows_per_s, self.settings.brake_latency),
            meter: Meter::new(checkpoint.rows_seen, estimated, on_progress),
            repaired: AtomicU64::new(0),
            left_dirty: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            _turn: turn,
        });
        let mut walk = Walk::new(&checkpoint);
        let mut record = Record::new(Arc::clone(&self.ledger), direction, checkpoint);
        if role == Role::FromPrimary {
            self.ledger.copying(map, direction).await?;
        }
        let outcome = copy_all(&run, &mut walk, &mut record).await;
        record.save(map).await?;
        if let Some(refused) = outcome? {
            return Err(refused.into_error(&run));
        }
        let pin = run.job.pin().await?;
        crash::at(Point::BeforeBackfilled);
        self.ledger
            .backfilled(map, direction, pin.snapshot())
            .await?;
        crash::at(Point::Backfilled);
        Ok(BackfillReport {
            already_complete: false,
            resumed,
            rows_seen: run.meter.seen(),
            rows_copied: run.meter.changed(),
            repaired: run.repaired.load(Ordering::Relaxed),
            left_dirty: run.left_dirty.load(Ordering::Relaxed),
        })
    }
}

/// Keeps the workers busy until the walk ends. Gives the last refused row of a copy into the primary, whose chunk stays open.
async fn copy_all(
    run: &Arc<Run>,
    walk: &mut Walk,
    record: &mut Record,
) -> Result<Option<Refused>, Error> {
    let mut workers: JoinSet<Result<(u64, Copied), Error>> = JoinSet::new();
    let mut refused = None;
    let mut next_index = 0;
    let mut walking = true;
    loop {
        while walking && workers.len() < run.engine.settings.workers.max(1) {
            match walk.next(run, record).await? {
                Some(span) => {
                    record.begin(next_index, &span);
                    spawn(&mut workers, run, next_index, span);
                    next_index += 1;
                }
                None => walking = false,
            }
        }
        let Some(joined) = workers.join_next().await else {
            return Ok(refused);
        };
        let (index, copied) = joined.map_err(|_| Error::WorkerLost)??;
        refused = copied.stuck.clone().or(refused);
        record.end(index, &copied, run.map()).await?;
    }
}

fn spawn(
    workers: &mut JoinSet<Result<(u64, Copied), Error>>,
    run: &Arc<Run>,
    index: u64,
    span: Span,
) {
    let run = Arc::clone(run);
    workers.spawn(async move { Ok((index, chunk::copy(&run, &span).await?)) });
}
