//! What all clones of a gate, its slots and its flips share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::slot::SlotState;
use crate::{Epoch, Snapshot, epoch::Word};

/// A drain is woken by the sessions it waits for. Their unpin is one release store and a relaxed load, without a fence
/// between them, so in theory a wake-up can be missed by nanoseconds; then the drain looks again after this time, later ones after
/// twice as long each, up to the longest.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(20);

/// Where the scale of time stamps has the gate's birth: far from both of its ends.
const BORN_US: u64 = 1 << 62;

/// A cache line (two, as processors fetch neighbours in pairs) of its own.
#[repr(align(128))]
pub(super) struct Line<T>(pub(super) T);

pub(super) struct Shared {
    /// The present [`Word`]: read by every transaction, written by flips only.
    pub(super) word: Line<AtomicU64>,
    /// The open word of the last epoch known to have been effective. Only grows.
    effective: AtomicU64,
    slots: Mutex<Slots>,
    /// When the word last changed.
    changed: Mutex<Instant>,
    /// Wakes sessions when the barrier opens.
    opened: Notify,
    /// Wakes drains when a session lets go of an older epoch.
    released: Notify,
    /// Whether a flip is under way.
    pub(super) flipping: AtomicBool,
    /// Sessions at the barrier.
    pub(super) waiting: AtomicUsize,
    /// When the gate was made.
    pub(super) born: Instant,
}

#[derive(Default)]
struct Slots {
    next_id: u64,
    by_id: BTreeMap<u64, Arc<SlotState>>,
}

impl Shared {
    pub(super) fn new(at: Snapshot) -> Shared {
        Shared::following(at, at)
    }

    /// `at` is published, and `effective` the last epoch that is known to have been effective.
    pub(super) fn following(effective: Snapshot, at: Snapshot) -> Shared {
        let now = Instant::now();
        Shared {
            word: Line(AtomicU64::new(Word::open(at).0)),
            effective: AtomicU64::new(Word::open(effective).0),
            slots: Mutex::default(),
            changed: Mutex::new(now),
            opened: Notify::new(),
            released: Notify::new(),
            flipping: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            born: now,
        }
    }

    pub(super) fn word(&self) -> Word {
        Word(self.word.0.load(Ordering::SeqCst))
    }

    /// Changes the word and tells those who wait for it. Only the one flip that is under way calls this.
    pub(super) fn set(&self, word: Word) {
        *lock(&self.changed) = Instant::now();
        self.word.0.store(word.0, Ordering::SeqCst);
        if !word.is_closed() {
            self.opened.notify_waiters();
        }
    }

    pub(super) fn opened(&self) -> &Notify {
        &self.opened
    }

    #[cold]
    pub(super) fn notify_released(&self) {
        self.released.notify_waiters();
    }

    pub(super) fn register(&self, state: SlotState) -> (u64, Arc<SlotState>) {
        let state = Arc::new(state);
        let mut slots = lock(&self.slots);
        let id = slots.next_id;
        slots.next_id += 1;
        slots.by_id.insert(id, Arc::clone(&state));
        (id, state)
    }

    pub(super) fn unregister(&self, id: u64) {
        lock(&self.slots).by_id.remove(&id);
    }

    /// Slots pinned to an epoch before `limit`.
    pub(super) fn pinned_before(&self, limit: Epoch) -> Vec<Arc<SlotState>> {
        let slots = lock(&self.slots);
        slots
            .by_id
            .values()
            .filter(|slot| slot.is_pinned_before(limit))
            .cloned()
            .collect()
    }

    /// The oldest pin before `limit` of a session of this process.
    pub(super) fn pinned_here_before(&self, limit: Epoch) -> Option<Snapshot> {
        let slots = lock(&self.slots);
        slots
            .by_id
            .values()
            .filter(|slot| slot.is_here && slot.is_pinned_before(limit))
            .filter_map(|slot| slot.pinned())
            .min_by_key(|pinned| pinned.epoch)
    }

    /// What a transaction of this process may run in at the earliest.
    pub(super) fn oldest_here(&self) -> Snapshot {
        let current = self.word().snapshot();
        self.pinned_here_before(current.epoch).unwrap_or(current)
    }

    /// Waits until no slot that `counts` is pinned to an epoch before `limit`. The gate's word must already keep new pins from that:
    /// then a slot that was seen without one never gets one again, and only those seen with one are looked at again.
    /// (A session that is just backing out may show such a pin for a moment; it is never handed out.) Cancel-safe.
    pub(super) async fn drained_before(&self, limit: Epoch, counts: impl Fn(&SlotState) -> bool) {
        let mut left = self.pinned_before(limit);
        left.retain(|slot| counts(slot));
        let mut pause = FIRST_LOOK;
        while !left.is_empty() {
            let released = self.released.notified();
            left.retain(|slot| slot.is_pinned_before(limit));
            if left.is_empty() {
                return;
            }
            // Either way it looks again.
            let _ = tokio::time::timeout(pause, released).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }

    /// The epoch before which pins hold up a flip.
    pub(super) fn drain_limit(&self) -> Epoch {
        let word = self.word();
        if word.is_closed() {
            word.epoch().next()
        } else {
            word.epoch()
        }
    }

    /// Notes whether the published epoch has become effective; returns the last one that has.
    pub(super) fn settle(&self) -> Snapshot {
        let current = self.word().snapshot();
        let known = Word(self.effective.load(Ordering::SeqCst)).snapshot();
        if known.epoch >= current.epoch || !self.pinned_before(current.epoch).is_empty() {
            return known;
        }
        let word = Word::open(current).0;
        let before = self.effective.fetch_max(word, Ordering::SeqCst);
        Word(before.max(word)).snapshot()
    }

    /// Notes that the published epoch is effective, as a barrier has just drained all older ones.
    pub(super) fn settled(&self, at: Snapshot) {
        self.effective.fetch_max(Word::open(at).0, Ordering::SeqCst);
    }

    pub(super) fn since_change(&self) -> Duration {
        lock(&self.changed).elapsed()
    }

    /// Microseconds on a scale of the gate's own; never 0. A transaction may be older than the gate.
    pub(super) fn stamp(&self, at: Instant) -> u64 {
        let us = |time: Duration| {
            u64::try_from(time.as_micros())
                .unwrap_or(BORN_US)
                .min(BORN_US - 1)
        };
        let after = us(at.saturating_duration_since(self.born));
        let before = us(self.born.saturating_duration_since(at));
        BORN_US + after - before
    }
}

/// Nothing under these locks can be left half done by a panic, so a poisoned one is as good as another.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
