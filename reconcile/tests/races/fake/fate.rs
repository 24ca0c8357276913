//! When the process dies.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What both stores of one test share: the number of steps so far, and the step at which the process dies.
#[derive(Default)]
pub(crate) struct Fate {
    steps: AtomicUsize,
    dies_at: AtomicUsize,
    died: Notify,
    dead: AtomicBool,
}

impl Fate {
    /// Lets the process die at the `step`-th step from now, counted from 1.
    pub(crate) fn die_at(&self, step: usize) {
        self.steps.store(0, Ordering::SeqCst);
        self.dead.store(false, Ordering::SeqCst);
        self.dies_at.store(step, Ordering::SeqCst);
    }

    /// Resolves when it died.
    pub(crate) async fn death(&self) {
        loop {
            let died = self.died.notified();
            if self.dead.load(Ordering::SeqCst) {
                return;
            }
            died.await;
        }
    }

    /// A new process.
    pub(crate) fn revive(&self) {
        self.dies_at.store(0, Ordering::SeqCst);
        self.dead.store(false, Ordering::SeqCst);
    }

    pub(super) async fn step(&self) {
        let step = self.steps.fetch_add(1, Ordering::SeqCst) + 1;
        let dies_at = self.dies_at.load(Ordering::SeqCst);
        if dies_at != 0 && step >= dies_at {
            self.dead.store(true, Ordering::SeqCst);
            self.died.notify_waiters();
            std::future::pending::<()>().await;
        }
    }
}
