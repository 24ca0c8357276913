//! What a job tells while it runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Rows read from the source, with those of earlier runs.
    pub rows_seen: u64,
    /// Rows written (backfill), or found to differ (verify), in this run.
    pub rows_changed: u64,
    /// How many there are to read, from the store's statistics; never less than `rows_seen`.
    pub estimated_rows: u64,
    /// Rows read a second since this run began.
    pub rows_per_s: f64,
    /// Time left at that rate; `None` as long as there is no rate.
    pub eta: Option<Duration>,
    /// Whether the brake is on.
    pub braked: bool,
}

/// Called after each chunk, from the task of the worker that finished it: it must not block.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// Counts rows and reports.
pub(crate) struct Meter {
    began: Instant,
    earlier: u64,
    seen: AtomicU64,
    changed: AtomicU64,
    estimated: u64,
    report: OnProgress,
}

impl Meter {
    pub(crate) fn new(earlier: u64, estimated: u64, report: OnProgress) -> Meter {
        Meter {
            began: Instant::now(),
            earlier,
            seen: AtomicU64::new(earlier),
            changed: AtomicU64::new(0),
            estimated,
            report,
        }
    }

    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    pub(crate) fn changed(&self) -> u64 {
        self.changed.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, seen: u64, changed: u64, braked: bool) {
        let rows_seen = self.seen.fetch_add(seen, Ordering::Relaxed) + seen;
        let rows_changed = self.changed.fetch_add(changed, Ordering::Relaxed) + changed;
        let elapsed = self.began.elapsed().as_secs_f64();
        let rows_per_s = if elapsed > 0.0 {
            float(rows_seen - self.earlier) / elapsed
        } else {
            0.0
        };
        let estimated_rows = self.estimated.max(rows_seen);
        let left = float(estimated_rows - rows_seen);
        let eta = (rows_per_s > 0.0)
            .then(|| Duration::try_from_secs_f64(left / rows_per_s).unwrap_or(Duration::MAX));
        (self.report)(Progress {
            rows_seen,
            rows_changed,
            estimated_rows,
            rows_per_s,
            eta,
            braked,
        });
    }
}

/// Rows as a float: what is lost beyond 2^53 of them does not show in a rate.
#[allow(clippy::cast_precision_loss)]
fn float(rows: u64) -> f64 {
    rows as f64
}
