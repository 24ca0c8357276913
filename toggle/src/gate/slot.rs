//! A session's place at the gate.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    permit::Permit,
    shared::{Line, Shared, lock},
};
use crate::{Epoch, Snapshot, epoch::Word};

/// A session's place at the gate; at most one transaction at a time pins through it. Dropping it unpins and unregisters.
pub struct Slot {
    gate: Arc<Shared>,
    state: Arc<SlotState>,
    id: u64,
}

/// What the gate sees of a slot.
pub(super) struct SlotState {
    pins: Line<Pins>,
    /// Whether it is a session of this process, and not another proxy.
    pub(super) is_here: bool,
    label: Mutex<Arc<str>>,
}

/// Written by the session alone, read by flips; a cache line of its own.
struct Pins {
    /// The pinned open [`Word`], or 0.
    word: AtomicU64,
    /// When the transaction began ([`Shared::stamp`]), or 0 where nobody said.
    stamp: AtomicU64,
}

/// The barrier is closed: new transactions wait ([`Slot::pin`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the toggle's barrier is closed")]
pub struct Closed;

/// A pin and what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What was pinned.
    pub snapshot: Snapshot,
    /// Time spent at the barrier, for `crossfade_barrier_wait_seconds`; zero when it was open.
    pub waited: Duration,
}

/// The epoch that a job was bound to is over (trap 28): the job must end, and begin again if it still makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("epoch {bound} is over, the toggle is in epoch {} (phase {})", .current.epoch, .current.phase)]
pub struct Outdated {
    /// The epoch that the job was bound to.
    pub bound: Epoch,
    /// What is published now.
    pub current: Snapshot,
}

impl Slot {
    pub(super) fn register(gate: Arc<Shared>, label: Arc<str>) -> Slot {
        Slot::with(gate, label, true)
    }

    /// A slot that stands for another proxy.
    pub(super) fn for_another(gate: Arc<Shared>, label: Arc<str>) -> Slot {
        Slot::with(gate, label, false)
    }

    fn with(gate: Arc<Shared>, label: Arc<str>, is_here: bool) -> Slot {
        let pins = Pins {
            word: AtomicU64::new(0),
            stamp: AtomicU64::new(0),
        };
        let (id, state) = gate.register(SlotState {
            pins: Line(pins),
            is_here,
            label: Mutex::new(label),
        });
        Slot { gate, state, id }
    }

    /// A slot that holds a pin from the beginning, on an epoch that may be over.
    pub(super) fn pinned(gate: Arc<Shared>, label: Arc<str>, to: Snapshot) -> Slot {
        let slot = Slot::register(gate, label);
        slot.state
            .pins
            .0
            .word
            .store(Word::open(to).0, Ordering::SeqCst);
        slot
    }

    pub(super) fn gate(&self) -> &Shared {
        &self.gate
    }

    /// Whether this is the slot's state.
    pub(super) fn is(&self, state: &SlotState) -> bool {
        std::ptr::eq(&*self.state, state)
    }

    /// Changes what reports call the session, once more is known of it.
    pub fn relabel(&self, label: impl Into<Arc<str>>) {
        *lock(&self.state.label) = label.into();
    }

    /// Pins the present snapshot for a transaction, which keeps it to its end (trap 36): while something is pinned, a further call returns the
    /// same. No lock, no allocation, no clock.
    ///
    /// # Errors
    /// [`Closed`] while the barrier is closed; nothing is pinned then.
    #[inline]
    pub fn try_pin(&mut self) -> Result<Snapshot, Closed> {
        self.try_pin_past(|_| {})
    }

    /// [`Slot::try_pin`], telling `past` where it is, so that tests can let a flip happen right there.
    #[inline]
    fn try_pin_past(&mut self, mut past: impl FnMut(Point)) -> Result<Snapshot, Closed> {
        let pins = &self.state.pins.0;
        let held = pins.word.load(Ordering::Relaxed);
        if held != 0 {
            return Ok(Word(held).snapshot());
        }
        // Only a guess, so relaxed will do: the look after the store decides.
        let seen = Word(self.gate.word.0.load(Ordering::Relaxed));
        if seen.is_closed() {
            return Err(Closed);
        }
        past(Point::Looked);
        pins.word.store(seen.0, Ordering::SeqCst);
        past(Point::Published);
        if self.gate.word() == seen {
            return Ok(seen.snapshot());
        }
        self.pin_again()
    }

    /// The gate moved between the two looks.
    #[cold]
    fn pin_again(&mut self) -> Result<Snapshot, Closed> {
        let pins = &self.state.pins.0;
        loop {
            let seen = self.gate.word();
            if seen.is_closed() {
                pins.word.store(0, Ordering::Release);
                self.gate.notify_released();
                return Err(Closed);
            }
            pins.word.store(seen.0, Ordering::SeqCst);
            if self.gate.word() == seen {
                // The older word was in the slot for a moment; a drain may have seen it.
                self.gate.notify_released();
                return Ok(seen.snapshot());
            }
        }
    }

    /// Pins as [`Slot::try_pin`] does and waits while the barrier is closed, at most about as long as the flip's `drain_timeout`.
    /// Cancel-safe: a dropped call has pinned nothing.
    pub async fn pin(&mut self) -> Entry {
        match self.try_pin() {
            Ok(snapshot) => Entry {
                snapshot,
                waited: Duration::ZERO,
            },
            Err(Closed) => self.pin_at_barrier().await,
        }
    }

    async fn pin_at_barrier(&mut self) -> Entry {
        let began = Instant::now();
        let gate = Arc::clone(&self.gate);
        let _waiting = Waiting::begin(&gate);
        loop {
            // Before the look: what opens after the look wakes it.
            let opened = gate.opened().notified();
            if let Ok(snapshot) = self.try_pin() {
                return Entry {
                    snapshot,
                    waited: began.elapsed(),
                };
            }
            opened.await;
        }
    }

    /// Pins for one step of a job that is bound to an epoch, waiting while the barrier is closed. As long as the step is pinned, no barrier move
    /// is published, so it cannot write the way that the move turns round (trap 28). Cancel-safe.
    ///
    /// # Errors
    /// [`Outdated`] when the epoch is over; nothing is pinned then.
    pub async fn pin_bound(&mut self, bound: Epoch) -> Result<Entry, Outdated> {
        let entry = self.pin().await;
        if entry.snapshot.epoch == bound {
            return Ok(entry);
        }
        self.unpin();
        Err(Outdated {
            bound,
            current: entry.snapshot,
        })
    }

    /// Notes what another proxy may still run in. Whatever this gate shows by now, it is true of the other.
    pub(super) fn pin_for_another(&mut self, oldest: Snapshot) {
        let word = Word::open(oldest).0;
        let before = self.state.pins.0.word.swap(word, Ordering::SeqCst);
        if before != word {
            self.gate.notify_released();
        }
    }

    /// The transaction is over. Does nothing when nothing is pinned.
    #[inline]
    pub fn unpin(&mut self) {
        let pins = &self.state.pins.0;
        let held = pins.word.load(Ordering::Relaxed);
        if held == 0 {
            return;
        }
        pins.stamp.store(0, Ordering::Relaxed);
        // Release: whoever sees the slot free sees what the transaction did.
        pins.word.store(0, Ordering::Release);
        if self.gate.word.0.load(Ordering::Relaxed) != held {
            self.gate.notify_released();
        }
    }

    /// What is pinned.
    #[must_use]
    pub fn held(&self) -> Option<Snapshot> {
        match self.state.pins.0.word.load(Ordering::Relaxed) {
            0 => None,
            word => Some(Word(word).snapshot()),
        }
    }

    /// Tells reports when the pinned transaction began. A pin reads no clock; a session that has read one anyway says so here,
    /// for the price of a store.
    pub fn stamp(&mut self, began: Instant) {
        self.state
            .pins
            .0
            .stamp
            .store(self.gate.stamp(began), Ordering::Relaxed);
    }

    /// [`Slot::try_pin`] with a guard that unpins when dropped.
    ///
    /// # Errors
    /// [`Closed`] while the barrier is closed.
    pub fn try_permit(&mut self) -> Result<Permit<'_>, Closed> {
        let snapshot = self.try_pin()?;
        Ok(Permit::new(
            self,
            Entry {
                snapshot,
                waited: Duration::ZERO,
            },
        ))
    }

    /// [`Slot::pin`] with a guard that unpins when dropped. Cancel-safe.
    pub async fn permit(&mut self) -> Permit<'_> {
        let entry = self.pin().await;
        Permit::new(self, entry)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.unpin();
        self.gate.unregister(self.id);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("label", &self.state.label())
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}

impl SlotState {
    pub(super) fn is_pinned_before(&self, limit: Epoch) -> bool {
        match self.pins.0.word.load(Ordering::SeqCst) {
            0 => false,
            word => Word(word).epoch() < limit,
        }
    }

    pub(super) fn pinned(&self) -> Option<Snapshot> {
        match self.pins.0.word.load(Ordering::SeqCst) {
            0 => None,
            word => Some(Word(word).snapshot()),
        }
    }

    pub(super) fn stamp(&self) -> Option<u64> {
        match self.pins.0.stamp.load(Ordering::Relaxed) {
            0 => None,
            stamp => Some(stamp),
        }
    }

    pub(super) fn label(&self) -> Arc<str> {
        Arc::clone(&lock(&self.label))
    }
}

/// Points of a pin between which a flip can fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// The word was read, the slot is still empty: a scan here does not see the session.
    Looked,
    /// The pin is in the slot, but not yet confirmed.
    Published,
}

/// Counts a session at the barrier for as long as it waits, also when its wait is dropped.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn begin(gate: &'a Shared) -> Waiting<'a> {
        gate.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
