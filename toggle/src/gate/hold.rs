//! What keeps an epoch from becoming effective besides the transactions of sessions.

use std::sync::Arc;

use super::{Gate, Slot, shared::Shared};
use crate::Snapshot;

/// Stands for work of an epoch that no session answers for any more. Of several proxies each has its own: it waits for none of the others.
///
/// As long as it lives, no later epoch is effective.
#[derive(Debug)]
pub struct Hold {
    slot: Slot,
    epoch: Snapshot,
}

impl Gate {
    /// Holds up the epoch that is published next; `None` while the barrier is closed.
    pub fn hold(&self, label: impl Into<Arc<str>>) -> Option<Hold> {
        let mut slot = self.slot(label);
        let epoch = slot.try_pin().ok()?;
        Some(Hold { slot, epoch })
    }

    /// The gate of a process whose predecessor may have ended before `at` was effective: `before` still is, until the hold is dropped.
    #[must_use]
    pub fn held(before: Snapshot, at: Snapshot, label: impl Into<Arc<str>>) -> (Gate, Hold) {
        let shared = Arc::new(Shared::following(before, at));
        let slot = Slot::pinned(Arc::clone(&shared), label.into(), before);
        let epoch = before;
        (Gate(shared), Hold { slot, epoch })
    }
}

impl Hold {
    /// Changes what reports say it stands for.
    pub fn relabel(&self, label: impl Into<Arc<str>>) {
        self.slot.relabel(label);
    }

    /// Whether no session's transaction is left of its epoch or an older one.
    #[must_use]
    pub fn is_last(&self) -> bool {
        let others = self.slot.gate().pinned_before(self.epoch.epoch.next());
        others
            .iter()
            .all(|other| !other.is_here || self.slot.is(other))
    }

    /// Waits for that. Of use once the next epoch is published: until then sessions go on beginning transactions. Cancel-safe.
    pub async fn last(&self) {
        let (gate, limit) = (self.slot.gate(), self.epoch.epoch.next());
        gate.drained_before(limit, |other| other.is_here && !self.slot.is(other))
            .await;
    }
}
