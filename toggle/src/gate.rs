//! The gate of one toggle: epochs and the barrier (DESIGN 4).
//!
//! It stands on the hot path of every transaction, so a pin is a store to the session's own cache line and a load of a line that
//! changes only when somebody flips. It works like a hazard pointer:
//!
//! - a session publishes the word it saw in its slot, then looks again whether the gate still shows that word; if not, it
//!   takes the pin back and starts over;
//! - a flip changes the gate's word, then looks through the slots.
//!
//! Both sides store first and load second, all four accesses `SeqCst`. So in their one total order either the session's second look
//! comes after the flip's store, and it backs out, or the flip's scan comes after the session's store, and it sees the pin. There is
//! no third way, and no lock.
//!
//! # Several proxies
//!
//! The gates of several proxies move together ([`Follower`]): a record that they share says which epoch is published and whether the barrier is closed. Each stands for the
//! others in its own gate ([`StandIn`]), as if they were sessions, so that 'effective' means effective everywhere.
//!
//! # Several toggles
//!
//! A session has one slot a toggle and may hold a pin on A while it waits at B's barrier. There is no lock order to keep: B's drain waits only for pins on
//! B, never for A's. What can happen is a cycle through two barriers that close at once (one transaction holds A and waits at B,
//! another holds B and waits at A), or through row locks (a pinned transaction waits for a row that a transaction
//! at the barrier has locked). The gate does not look for cycles. Every barrier opens again after its flip's `drain_timeout`, in the old phase,
//! and the clients go on without an error: the cost of a cycle is bounded and the flip says who held it.

mod flip;
mod follow;
mod hold;
mod holders;
mod permit;
mod shared;
mod slot;

pub use flip::{FlipError, Flipped, Ready};
pub use follow::{Follower, StandIn};
pub use hold::Hold;
pub use holders::Holder;
pub use permit::Permit;
pub use slot::{Closed, Entry, Outdated, Slot};

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use crossfade_phase::Phase;

use crate::{Epoch, Snapshot};
use shared::Shared;

/// The gate of one toggle. Clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<Shared>);

impl Gate {
    /// An open gate. At the start of a process nothing runs, so `at` (the durable snapshot) is effective.
    #[must_use]
    pub fn new(at: Snapshot) -> Gate {
        Gate(Arc::new(Shared::new(at)))
    }

    /// Registers a session; its transactions pin through the slot. `label` is what reports call it: a pid, user and
    /// application name, say.
    #[must_use]
    pub fn slot(&self, label: impl Into<Arc<str>>) -> Slot {
        Slot::register(Arc::clone(&self.0), label.into())
    }

    /// The published snapshot: what a transaction that begins now would pin. While the barrier is closed, the one it was closed in.
    #[must_use]
    pub fn current(&self) -> Snapshot {
        self.0.word().snapshot()
    }

    /// A number that differs from an earlier answer when anything changed since (a new epoch, or the barrier). One relaxed load:
    /// fit for a look at every message.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.word.0.load(Ordering::Relaxed)
    }

    /// Whether new transactions wait.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.word().is_closed()
    }

    /// Number of sessions that wait at the barrier.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Whether the published epoch is effective: no transaction is pinned to an older one.
    #[must_use]
    pub fn is_effective(&self) -> bool {
        self.0.settle() == self.current()
    }

    /// The last epoch that was effective and its phase: what guards, backfill and reports count on. A free way back that was published
    /// before its forerunner became effective does not show here until it is effective itself.
    #[must_use]
    pub fn effective_snapshot(&self) -> Snapshot {
        self.0.settle()
    }

    /// The phase of [`Gate::effective_snapshot`].
    #[must_use]
    pub fn effective_phase(&self) -> Phase {
        self.effective_snapshot().phase
    }

    /// Waits until the published epoch is effective and returns it. Should another flip be published meanwhile, waits for that
    /// one. Unbounded: a transaction may stay open for as long as its client likes. Cancel-safe.
    pub async fn effective(&self) -> Snapshot {
        loop {
            let current = self.current();
            self.0.drained_before(current.epoch, |_| true).await;
            if self.0.settle() == current {
                return current;
            }
        }
    }

    /// The transactions that hold up the present flip: those pinned to an older epoch, or, while the barrier is closed, all that
    /// are pinned. Longest first.
    #[must_use]
    pub fn holders(&self) -> Vec<Holder> {
        self.0.holders(self.0.drain_limit())
    }

    /// Every pinned transaction, longest first. For the status page: an idle one shows here before it holds up a flip (trap 36).
    #[must_use]
    pub fn pinned(&self) -> Vec<Holder> {
        self.0.holders(Epoch::new(u64::MAX))
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.0.word();
        f.debug_struct("Gate")
            .field("current", &word.snapshot())
            .field("closed", &word.is_closed())
            .finish_non_exhaustive()
    }
}
