//! Writes into the secondary: what sessions commit at about the same time goes there as one group (docs/decision/15).

mod ahead;
mod breaker;
mod group;
mod lane;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crossfade_journal::Journal;
use crossfade_phase::Side;
use crossfade_store::{Change, Mapping, OwnChanges, Store, StoreError, TableId, WriteOrder};
use tokio::sync::{Semaphore, oneshot};

pub(crate) use ahead::Ahead;
use breaker::Breaker;
pub use breaker::BreakerSettings;

use group::Request;
pub use group::{Concluded, Staged};
use lane::Lane;

/// Rows from which a transaction gets a connection of its own: the others would wait for it.
const LARGE: usize = 64;
/// Changes that a store should take within `secondary_timeout`.
pub(crate) const PORTION_ROWS: usize = 8192;
/// How long every transaction is on its own after one has taken a whole group down.
const APART: Duration = Duration::from_secs(1);

/// Pools of both stores.
#[derive(Debug)]
pub struct Secondaries {
    old: Arc<Pool>,
    new: Arc<Pool>,
}

impl Secondaries {
    /// Pools over these stores, each with a lane for each of `workers` threads.
    #[must_use]
    pub fn new(
        old: (Arc<dyn Store>, usize),
        new: (Arc<dyn Store>, usize),
        workers: usize,
        breaker: BreakerSettings,
        journal: &Arc<Journal>,
    ) -> Secondaries {
        let pool =
            |(store, size)| Arc::new(Pool::new(store, size, workers, breaker, journal.clone()));
        Secondaries {
            old: pool(old),
            new: pool(new),
        }
    }

    /// The pool of a side.
    #[must_use]
    pub fn on(&self, side: Side) -> &Arc<Pool> {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }
}

/// The connections to one store.
pub struct Pool {
    store: Arc<dyn Store>,
    /// By thread: a connection lives on the reactor of the thread that opened it, and using it from another one costs a wake-up across threads for every answer.
    lanes: Vec<Lane>,
    permits: Arc<Semaphore>,
    /// Of those permits, how many large transactions may have, which keep them for long.
    large: Arc<Semaphore>,
    breaker: Breaker,
    /// The intents of a group go to the disk together.
    journal: Arc<Journal>,
    /// Until when no groups are formed.
    apart_until: Mutex<Option<Instant>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("side", &self.store.side())
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

/// Why the secondary did not take a batch.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StageError {
    /// The breaker is open: the store was not asked.
    #[error("the circuit breaker is open after repeated failures")]
    BreakerOpen,
    /// No connection or no answer within `secondary_timeout`.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The store failed.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// Another transaction of the group was rolled back by the primary, or its outcome there is unknown.
    #[error("it went together with a transaction that the primary did not commit")]
    Companion,
    /// The proxy stops.
    #[error("the proxy stops")]
    Stopping,
}

impl From<StoreError> for StageError {
    fn from(error: StoreError) -> StageError {
        StageError::Store(Arc::new(error))
    }
}

impl StageError {
    /// The store answered: it is there, and refuses this very batch (trap 11).
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, StageError::Store(error) if matches!(**error, StoreError::Rejected { .. }))
    }
}

/// One transaction's part of the secondary.
#[derive(Debug)]
pub struct Work {
    /// The mapping by which the changes are made.
    pub mapping: Arc<Mapping>,
    /// The order in which the store takes them.
    pub order: Arc<WriteOrder>,
    /// One change a key.
    pub batch: Vec<(TableId, Change)>,
    /// Bound on every wait for the store.
    pub within: Duration,
    /// Shares its fate with no other transaction.
    pub alone: bool,
}

impl Pool {
    fn new(
        store: Arc<dyn Store>,
        size: usize,
        workers: usize,
        breaker: BreakerSettings,
        journal: Arc<Journal>,
    ) -> Pool {
        Pool {
            store,
            lanes: (0..workers.max(1)).map(|_| Lane::default()).collect(),
            permits: Arc::new(Semaphore::new(size)),
            large: Arc::new(Semaphore::new(size / 2)),
            breaker: Breaker::new(breaker),
            journal,
            apart_until: Mutex::default(),
        }
    }

    /// Whether a batch that failed, or that was not committed, leaves nothing behind in the store; `None` as long as there was no connection to it, and so
    /// no batch.
    #[must_use]
    pub fn takes_back(&self) -> Option<bool> {
        self.store.takes_back()
    }

    /// What this process changes in the store, where the store counts as well.
    #[must_use]
    pub fn own_changes(&self) -> Option<&Arc<OwnChanges>> {
        self.store.own_changes()
    }

    /// Whether the breaker is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Stages a transaction, within the time that it allows. Dropped half way, the store rolls back, if it [can](Pool::takes_back).
    ///
    /// # Errors
    /// When the store did not take all of it; then it holds nothing of it, if it takes back.
    pub async fn stage(self: &Arc<Self>, worker: usize, work: Work) -> Result<Staged, StageError> {
        if !self.breaker.may_try() {
            return Err(StageError::BreakerOpen);
        }
        let alone = work.alone || work.batch.len() >= LARGE || self.keeps_apart();
        let (answer, answered) = oneshot::channel();
        let request = Request::new(work, answer);
        if alone {
            group::spawn(self.clone(), worker, vec![request], None);
        } else {
            lane::join(self, worker, request);
        }
        let staged = answered.await.unwrap_or(Err(StageError::Stopping));
        self.note(&staged);
        staged
    }

    /// Tells the breaker how the store did.
    fn note<T>(&self, outcome: &Result<T, StageError>) {
        match outcome {
            Err(error) if !error.is_refusal() => self.breaker.failed(),
            _answered => self.breaker.succeeded(),
        }
    }

    fn lane(&self, worker: usize) -> &Lane {
        &self.lanes[worker % self.lanes.len()]
    }

    /// Whether a group was lost a moment ago.
    fn keeps_apart(&self) -> bool {
        let until = self
            .apart_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn keep_apart(&self) {
        let mut until = self
            .apart_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *until = Some(Instant::now() + APART);
    }

    /// Closes idle connections: the phase that needed them is over.
    pub fn close_idle(&self) {
        self.lanes.iter().for_each(Lane::close_idle);
    }
}
