//! What can happen.

use crossfade_phase::Phase;

use crate::Row;

/// One step of somebody. Clients, keys and proxies are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A client writes a row in the primary, [`NONE`](crate::NONE) to delete it, and holds its lock.
    Begin {
        /// The client.
        client: usize,
        /// The key.
        key: usize,
        /// The image.
        row: Row,
    },
    /// Step 1 of the sandwich.
    Stage(usize),
    /// Step 1 failed or took too long. Where `true`, it still is on its way.
    StageFails(usize, bool),
    /// Step 2: the intent is durable.
    Intend(usize),
    /// Step 3.
    Commit(usize, Outcome),
    /// Steps 4 and 5.
    Conclude(usize, Outcome),
    /// A transaction whose connection is gone ends; it commits where `true`.
    Vanished(usize, bool),
    /// A batch that was given up is written after all, where `true`, or never will be.
    LandsLate(usize, bool),
    /// A proxy is killed and starts again.
    Crash(usize),
    /// The secondary has flushed everything, and the journal knows.
    Confirm,
    /// The primary dies and comes back: what was open there is rolled back, and every lock is gone.
    PrimaryDies,
    /// The secondary loses what it has not flushed.
    SecondaryDies,
    /// A repairer takes a dirty key.
    Take {
        /// Whose.
        proxy: usize,
        /// The key.
        key: usize,
        /// With others, and without locks.
        sweeps: bool,
    },
    /// The next step of a repair.
    Repair(usize),
    /// The next step of the backfill.
    Copy,
    /// The barrier closes before a move to this phase.
    Close(usize, Phase),
    /// A phase is published.
    Publish(usize, Phase),
    /// The barrier opens in the old phase.
    CallOff(usize),
    /// Both stores are compared, and differences marked.
    Verify,
}

/// How a commit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Done,
    /// It did not take place, and says so.
    Failed,
    /// Its answer never came.
    Lost,
}
