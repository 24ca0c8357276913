//! How much there is of everything.

use crossfade_phase::Phase;

/// The bounds of a model: small enough to be visited whole.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Rows of the table, at most [`KEYS`](super::KEYS).
    pub keys: u8,
    /// Proxies: one that both clients use, or one each.
    pub proxies: u8,
    /// Transactions of each client.
    pub writes: u8,
    /// Things that go wrong: crashes, lost answers, refusals.
    pub mishaps: u8,
    /// Flips.
    pub flips: u8,
    /// The phase at the beginning.
    pub phase: Phase,
    /// The first phase that flips may reach.
    pub first_phase: Phase,
    /// The last.
    pub last_phase: Phase,
    /// What is to be copied.
    pub copies: Copies,
    /// Whether keys are repaired in batches without locks (`sweep`), too.
    pub sweeps: bool,
    /// What the secondary can do.
    pub secondary: Kind,
}

/// What a backfill has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// None runs; both stores have all rows.
    Nothing,
    /// The new store is empty. For models without flips: the table is not verified in the end.
    Everything,
    /// Both stores have all rows, and it goes over them once more.
    Again,
}

/// A kind of secondary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Has transactions, and every commit it acknowledged is durable.
    Transactions,
    /// Has transactions, and acknowledges commits before they are on its disk (docs/decision/02).
    Asynchronous,
    /// Has none: what is staged is written (docs/decision/16).
    WritesAtOnce,
}

impl Default for Bounds {
    /// The write path of phase 3.
    fn default() -> Bounds {
        Bounds {
            keys: 1,
            proxies: 2,
            writes: 2,
            mishaps: 1,
            flips: 0,
            phase: Phase::DualWrite,
            first_phase: Phase::UseOld,
            last_phase: Phase::DualWrite,
            copies: Copies::Nothing,
            sweeps: false,
            secondary: Kind::Transactions,
        }
    }
}
