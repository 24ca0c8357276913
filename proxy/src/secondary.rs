//! Connections for the secondary part of transactions: a pool a thread, and a circuit breaker a store.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossfade_phase::Side;
use crossfade_store::{Change, Mapping, Secondary, Store, StoreError, TableId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::patience::Patience;

/// Pools of both stores.
#[derive(Debug)]
pub struct Secondaries {
    old: Arc<Pool>,
    new: Arc<Pool>,
}

impl Secondaries {
    /// Pools over these stores, each with idle connections for `workers` threads.
    #[must_use]
    pub fn new(
        old: (Arc<dyn Store>, usize),
        new: (Arc<dyn Store>, usize),
        workers: usize,
        breaker: BreakerSettings,
    ) -> Secondaries {
        let pool = |(store, size)| Arc::new(Pool::new(store, size, workers, breaker));
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

/// When a breaker opens and when it tries again.
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// Consecutive failures that open it.
    pub failures: u32,
    /// Time between two trials while it is open.
    pub retry: Duration,
}

/// The connections to one store.
pub struct Pool {
    store: Arc<dyn Store>,
    /// Idle connections by thread: a connection lives on the reactor of the thread that opened it, and using it from another one
    /// costs a wake-up across threads for every answer.
    idle: Vec<Mutex<Vec<Idle>>>,
    permits: Arc<Semaphore>,
    breaker: Breaker,
}

struct Idle {
    secondary: Box<dyn Secondary>,
    mapping: Arc<Mapping>,
    patience: Patience,
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
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The breaker is open: the store was not asked.
    #[error("the circuit breaker is open after repeated failures")]
    BreakerOpen,
    /// No connection or no answer within `secondary_timeout`.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A batch that the secondary holds, uncommitted. Dropped, its connection closes and the store rolls back.
#[must_use = "a staged batch that is not committed is rolled back"]
pub struct Staged {
    pool: Arc<Pool>,
    worker: usize,
    idle: Idle,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    fn new(store: Arc<dyn Store>, size: usize, workers: usize, breaker: BreakerSettings) -> Pool {
        Pool {
            store,
            idle: (0..workers).map(|_| Mutex::default()).collect(),
            permits: Arc::new(Semaphore::new(size)),
            breaker: Breaker::new(breaker),
        }
    }

    /// Whether the breaker is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Stages a batch, all within `within`. Dropped half way, the store rolls back.
    ///
    /// # Errors
    /// When the store did not take the whole batch; then it holds nothing of it.
    pub async fn stage(
        self: &Arc<Self>,
        worker: usize,
        mapping: &Arc<Mapping>,
        batch: &[(TableId, Change)],
        within: Duration,
    ) -> Result<Staged, StageError> {
        if !self.breaker.may_try() {
            return Err(StageError::BreakerOpen);
        }
        let staged = self.stage_now(worker, mapping, batch, within).await;
        match &staged {
            Ok(_) => self.breaker.succeeded(),
            // The store answered: it is there, and refuses this batch (trap 11). The next one may well pass.
            Err(StageError::Store(StoreError::Rejected { .. })) => self.breaker.succeeded(),
            Err(_) => self.breaker.failed(),
        }
        staged
    }

    async fn stage_now(
        self: &Arc<Self>,
        worker: usize,
        mapping: &Arc<Mapping>,
        batch: &[(TableId, Change)],
        within: Duration,
    ) -> Result<Staged, StageError> {
        let began = Instant::now();
        let (permit, mut idle) = match self.at_hand(worker, mapping) {
            Some(both) => both,
            None => tokio::time::timeout(within, self.connect(worker, mapping))
                .await
                .map_err(|_| StageError::TimedOut(within))??,
        };
        let left = within.saturating_sub(began.elapsed());
        let outcome = idle
            .patience
            .within(left, idle.secondary.stage(batch))
            .await;
        let staged = Staged {
            pool: self.clone(),
            worker,
            idle,
            _permit: permit,
        };
        match outcome {
            Some(Ok(())) => Ok(staged),
            Some(Err(error)) => {
                staged.give_back();
                Err(error.into())
            }
            // Dropped with a batch under way: its connection closes, and the store rolls back.
            None => Err(StageError::TimedOut(within)),
        }
    }

    /// A connection that waits for work, when there is one and leave to use it.
    fn at_hand(
        &self,
        worker: usize,
        mapping: &Arc<Mapping>,
    ) -> Option<(OwnedSemaphorePermit, Idle)> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        Some((permit, self.take(worker, mapping)?))
    }

    /// As [`Pool::at_hand`], but waits for leave and opens a connection if need be.
    async fn connect(
        &self,
        worker: usize,
        mapping: &Arc<Mapping>,
    ) -> Result<(OwnedSemaphorePermit, Idle), StageError> {
        // The semaphore is never closed.
        let Ok(permit) = self.permits.clone().acquire_owned().await else {
            return Err(StageError::BreakerOpen);
        };
        if let Some(idle) = self.take(worker, mapping) {
            return Ok((permit, idle));
        }
        let idle = Idle {
            secondary: self.store.secondary(mapping.clone()).await?,
            mapping: mapping.clone(),
            patience: Patience::default(),
        };
        Ok((permit, idle))
    }

    fn take(&self, worker: usize, mapping: &Arc<Mapping>) -> Option<Idle> {
        let mut idle = self.lock(worker);
        // Statements are prepared by one mapping; connections of an older one are of no use.
        idle.retain(|idle| Arc::ptr_eq(&idle.mapping, mapping));
        idle.pop()
    }

    fn lock(&self, worker: usize) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        let index = worker % self.idle.len();
        self.idle[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes idle connections: the phase that needed them is over.
    pub fn close_idle(&self) {
        for worker in 0..self.idle.len() {
            self.lock(worker).clear();
        }
    }
}

impl Staged {
    /// Commits. Not bounded: the outcome is wanted, and the connection's own failure bounds the wait.
    ///
    /// # Errors
    /// When the store did not commit, or the outcome is unknown.
    pub async fn commit(mut self, within: Duration) -> Result<(), StageError> {
        let Idle {
            secondary,
            patience,
            ..
        } = &mut self.idle;
        let outcome = match patience.within(within, secondary.commit()).await {
            Some(outcome) => outcome.map_err(StageError::from),
            None => Err(StageError::TimedOut(within)),
        };
        if outcome.is_err() {
            self.pool.breaker.failed();
        }
        self.give_back();
        outcome
    }

    /// Rolls back. A failure closes the connection, which rolls back as well.
    pub async fn rollback(mut self, within: Duration) {
        let outcome = tokio::time::timeout(within, self.idle.secondary.rollback()).await;
        if !matches!(outcome, Ok(Ok(()))) {
            tracing::warn!("a staged batch was rolled back by closing its connection");
        }
        self.give_back();
    }

    fn give_back(self) {
        let Staged {
            pool, worker, idle, ..
        } = self;
        if idle.secondary.is_usable() {
            pool.lock(worker).push(idle);
        }
    }
}

/// Keeps a store that is down from costing every write a timeout.
#[derive(Debug)]
struct Breaker {
    settings: BreakerSettings,
    born: Instant,
    failures: AtomicU32,
    /// Milliseconds since `born` at which the next trial may be made, while open.
    next_trial: AtomicU64,
}

impl Breaker {
    fn new(settings: BreakerSettings) -> Breaker {
        Breaker {
            settings,
            born: Instant::now(),
            failures: AtomicU32::new(0),
            next_trial: AtomicU64::new(0),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn retry_ms(&self) -> u64 {
        u64::try_from(self.settings.retry.as_millis()).unwrap_or(u64::MAX)
    }

    fn is_open(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= self.settings.failures
    }

    /// While open, lets one caller through each `retry`.
    fn may_try(&self) -> bool {
        if !self.is_open() {
            return true;
        }
        let (now, trial) = (self.now_ms(), self.next_trial.load(Ordering::Relaxed));
        now >= trial
            && self
                .next_trial
                .compare_exchange(
                    trial,
                    now.saturating_add(self.retry_ms()),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    fn succeeded(&self) {
        if self.failures.swap(0, Ordering::Relaxed) >= self.settings.failures {
            tracing::info!("the secondary takes writes again; the circuit breaker is closed");
        }
    }

    fn failed(&self) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        if before.saturating_add(1) >= self.settings.failures {
            self.next_trial.store(
                self.now_ms().saturating_add(self.retry_ms()),
                Ordering::Relaxed,
            );
        }
        if before.saturating_add(1) == self.settings.failures {
            tracing::error!(
                failures = self.settings.failures,
                "the secondary fails; the circuit breaker is open, writes go to the primary and the journal only"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_breaker_lets_one_trial_through_and_closes_when_it_succeeds() {
        let breaker = Breaker::new(BreakerSettings {
            failures: 2,
            retry: Duration::from_secs(0),
        });
        breaker.failed();
        assert!(!breaker.is_open());
        breaker.failed();
        assert!(breaker.is_open() && breaker.may_try());
        breaker.succeeded();
        assert!(!breaker.is_open());
        let breaker = Breaker::new(BreakerSettings {
            failures: 1,
            retry: Duration::from_secs(3600),
        });
        breaker.failed();
        assert!(breaker.is_open() && !breaker.may_try());
    }
}
