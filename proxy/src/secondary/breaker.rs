//! The circuit breaker of a store.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// When a breaker opens and when it tries again.
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// Consecutive failures that open it.
    pub failures: u32,
    /// Time between two trials while it is open.
    pub retry: Duration,
}

/// Keeps a store that is down from costing every write a timeout.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    born: Instant,
    failures: AtomicU32,
    /// Milliseconds since `born` at which the next trial may be made, while open.
    next_trial: AtomicU64,
}

impl Breaker {
    pub(super) fn new(settings: BreakerSettings) -> Breaker {
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

    pub(super) fn is_open(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= self.settings.failures
    }

    /// While open, lets one caller through each `retry`.
    pub(super) fn may_try(&self) -> bool {
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

    pub(super) fn succeeded(&self) {
        if self.failures.swap(0, Ordering::Relaxed) >= self.settings.failures {
            tracing::info!("the secondary takes writes again; the circuit breaker is closed");
        }
    }

    pub(super) fn failed(&self) {
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
