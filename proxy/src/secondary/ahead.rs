//! Large transactions: rows that go to the secondary before their primary commits (DESIGN 3, memory).
//!
//! The order of two writes of one row stays the primary's: every row that is sent is locked there by the transaction that sends it.
//!
//! But the secondary's rows are locked while the primary's transaction still runs, and may come to wait for somebody who waits here: for a
//! row that only the secondary has a conflict over (a unique index, a foreign key). No server sees such a circle. It ends by the secondary's lock timeout, which
//! is shorter than `secondary_timeout`: one of the two goes on with the journal alone, and neither is a client's failure (trap 2).

use std::{sync::Arc, time::Duration};

use crossfade_crash::{self as crash, Point};
use crossfade_store::{Change, Mapping, TableId, WriteOrder};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    PORTION_ROWS, Pool, StageError, Staged,
    group::{self, commit_now},
    lane::{self, Idle, Owed},
};

/// A transaction's rows that the secondary holds, on a connection of their own, while the primary's goes on. Dropped, the store rolls back, if it
/// [can](Pool::takes_back).
pub(crate) struct Ahead {
    pool: Arc<Pool>,
    worker: usize,
    idle: Idle,
    order: Arc<WriteOrder>,
    within: Duration,
    _large: OwnedSemaphorePermit,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    /// A connection for a large transaction.
    ///
    /// # Errors
    /// When there is none within `within`; with half of the connections in use by large transactions there is none, so that the small ones go on.
    pub(crate) async fn begin_ahead(
        self: &Arc<Self>,
        worker: usize,
        mapping: &Arc<Mapping>,
        order: Arc<WriteOrder>,
        within: Duration,
    ) -> Result<Ahead, StageError> {
        if !self.breaker.may_try() {
            return Err(StageError::BreakerOpen);
        }
        let connect = async {
            let stopping = |_| StageError::Stopping;
            let large = self.large.clone().acquire_owned().await.map_err(stopping)?;
            let permit = self
                .permits
                .clone()
                .acquire_owned()
                .await
                .map_err(stopping)?;
            let idle = match self.lane(worker).take_free(mapping) {
                Some(idle) => idle,
                None => Idle::new(
                    self.store.secondary(mapping.clone()).await?,
                    mapping.clone(),
                ),
            };
            Ok((large, permit, idle))
        };
        let connected = tokio::time::timeout(within, connect)
            .await
            .unwrap_or(Err(StageError::TimedOut(within)));
        if connected.is_err() {
            self.note(&connected);
        }
        let (large, permit, idle) = connected?;
        Ok(Ahead {
            pool: self.clone(),
            worker,
            idle,
            order,
            within,
            _large: large,
            permit,
        })
    }
}

impl Ahead {
    /// Sends rows, one upsert a key, within the time that a batch may take.
    ///
    /// # Errors
    /// When the store did not take them: then it holds nothing of the transaction any more.
    pub(crate) async fn put(&mut self, rows: &[(TableId, Change)]) -> Result<(), StageError> {
        let put = self.idle.secondary.stage_ahead(rows);
        let outcome = match self.idle.patience.within(self.within, put).await {
            Some(outcome) => outcome.map_err(StageError::from),
            None => Err(StageError::TimedOut(self.within)),
        };
        self.pool.note(&outcome);
        crash::at_if(Point::PortionSent, || outcome.is_ok());
        outcome
    }

    /// Stages the rest of the transaction, which may be nothing: from here on it is like any other. The deletes of a large transaction are all in the rest, and
    /// have as much time as portions of that size would.
    ///
    /// # Errors
    /// As [`Ahead::put`].
    pub(crate) async fn stage(
        mut self,
        mut rest: Vec<(TableId, Change)>,
    ) -> Result<Staged, StageError> {
        self.order.sort(&self.idle.mapping, &mut rest);
        let portions = u32::try_from(1 + rest.len() / PORTION_ROWS).unwrap_or(u32::MAX);
        let within = self.within.saturating_mul(portions);
        let stage = self.idle.secondary.stage(&rest);
        let outcome = match self.idle.patience.within(within, stage).await {
            Some(outcome) => outcome.map_err(StageError::from),
            None => Err(StageError::TimedOut(within)),
        };
        self.pool.note(&outcome);
        outcome?;
        crash::at(Point::Staged);
        let (votes, inbox) = mpsc::unbounded_channel();
        tokio::spawn(self.see_through(inbox));
        Ok(Staged::new(votes))
    }

    /// Waits for the primary, and follows it.
    async fn see_through(self, inbox: mpsc::UnboundedReceiver<group::Vote>) {
        let Ahead {
            pool,
            worker,
            mut idle,
            within,
            _large,
            permit,
            ..
        } = self;
        match group::count(&mut idle.patience, (1, inbox), within).await {
            Some(members) => {
                crash::at(Point::GroupCommitted);
                idle.owed = Some(Owed::new(members, within));
                commit_now(pool, worker, idle, Some(permit));
            }
            None => {
                group::take_back(&mut idle, within).await;
                if idle.secondary.is_usable() {
                    lane::give_back(&pool, worker, idle);
                }
            }
        }
    }
}
