//! Epochs, and the one word in which a gate keeps its present state.

use std::fmt;

use crossfade_phase::Phase;

/// Counts the flips of one toggle; each published flip has the next number. Durable beside the phase, so that a job
/// that outlives a restart still knows whether its epoch is the present one (trap 28).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of a toggle that was never flipped.
    pub const FIRST: Epoch = Epoch(1);

    /// The epoch with this number, as durable state has it. Numbers of 2^56 and above are cut; a flip a microsecond would get there
    /// in two thousand years.
    #[must_use]
    pub fn new(number: u64) -> Epoch {
        Epoch(number & (u64::MAX >> EPOCH_SHIFT))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch::new(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a transaction pins: the phase it runs in, to its end, and the epoch that says which flip brought it (trap 36).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// The epoch.
    pub epoch: Epoch,
    /// The phase of that epoch.
    pub phase: Phase,
}

impl Snapshot {
    /// The snapshot of a toggle that was never flipped.
    #[must_use]
    pub fn first(phase: Phase) -> Snapshot {
        Snapshot {
            epoch: Epoch::FIRST,
            phase,
        }
    }

    /// What a flip to `phase` publishes.
    #[must_use]
    pub fn next(self, phase: Phase) -> Snapshot {
        Snapshot {
            epoch: self.epoch.next(),
            phase,
        }
    }
}

const EPOCH_SHIFT: u32 = 8;
const CLOSED: u64 = 1 << 7;
const PHASE: u64 = CLOSED - 1;

/// A snapshot and whether the barrier is closed, in one word that fits an atomic. Words of later epochs compare greater.
/// No word is 0, so 0 can stand for 'nothing pinned'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    pub(crate) fn open(snapshot: Snapshot) -> Word {
        Word((snapshot.epoch.0 << EPOCH_SHIFT) | u64::from(snapshot.phase.number()))
    }

    pub(crate) fn closed(snapshot: Snapshot) -> Word {
        Word(Word::open(snapshot).0 | CLOSED)
    }

    pub(crate) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    pub(crate) fn epoch(self) -> Epoch {
        Epoch(self.0 >> EPOCH_SHIFT)
    }

    pub(crate) fn snapshot(self) -> Snapshot {
        let phase = u8::try_from(self.0 & PHASE)
            .ok()
            .and_then(Phase::from_number)
            .expect("a word is only ever built from a phase");
        Snapshot {
            epoch: self.epoch(),
            phase,
        }
    }
}
