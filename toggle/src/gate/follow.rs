//! A gate of one of several proxies: it opens, closes and moves on as their common record says, never by itself.

use std::{fmt, sync::Arc};

use super::{Gate, Slot, flip::OnlyFlip, shared::Shared};
use crate::{Epoch, Snapshot, epoch::Word};

impl Gate {
    /// Puts the gate into the hands of whoever follows the common record: from now on [`Gate::prepare`] answers that another flip is under way. `None` while a flip is, or
    /// when somebody has it already.
    #[must_use]
    pub fn follower(&self) -> Option<Follower> {
        let only = OnlyFlip::begin(&self.0)?;
        Some(Follower {
            only,
            closed: false,
        })
    }

    /// The oldest epoch that a transaction of this proxy is pinned to, others not asked; the published one when none is older.
    #[must_use]
    pub fn oldest_here(&self) -> Snapshot {
        self.0.oldest_here()
    }

    /// A place for another proxy of the same migration: as long as it may have transactions of an epoch, nothing later is effective here either.
    #[must_use]
    pub fn stand_in(&self, label: impl Into<Arc<str>>) -> StandIn {
        StandIn(Slot::for_another(Arc::clone(&self.0), label.into()))
    }
}

/// Moves a gate. Dropped, it leaves the gate as it is.
pub struct Follower {
    only: OnlyFlip,
    closed: bool,
}

impl Follower {
    fn gate(&self) -> &Shared {
        self.only.gate()
    }

    /// Whether new transactions wait.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Lets new transactions wait.
    pub fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            let current = self.gate().word().snapshot();
            self.gate().set(Word::closed(current));
        }
    }

    /// Lets them in again, in the phase that it was closed in.
    pub fn open(&mut self) {
        if self.closed {
            self.closed = false;
            let current = self.gate().word().snapshot();
            self.gate().set(Word::open(current));
        }
    }

    /// Whether no transaction of this proxy is pinned, others not asked. Worth something only while the gate is closed.
    #[must_use]
    pub fn is_drained_here(&self) -> bool {
        self.gate()
            .pinned_here_before(Epoch::new(u64::MAX))
            .is_none()
    }

    /// Publishes what the record says, and opens. `false` when `next` is no later epoch; then nothing has changed.
    pub fn publish(&mut self, next: Snapshot) -> bool {
        if next.epoch <= self.gate().word().epoch() {
            return false;
        }
        self.closed = false;
        self.gate().set(Word::open(next));
        // Those who wait for the epoch before have a new one to wait for.
        self.gate().notify_released();
        true
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// Another proxy, as this gate sees it: like a session whose transaction is pinned to what the other may still run. Dropping it forgets the other.
#[derive(Debug)]
pub struct StandIn(Slot);

impl StandIn {
    /// The other may have transactions of `oldest` and of anything later.
    pub fn pin(&mut self, oldest: Snapshot) {
        self.0.pin_for_another(oldest);
    }

    /// Nothing runs there.
    pub fn unpin(&mut self) {
        self.0.unpin();
    }
}
