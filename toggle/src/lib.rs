//! The toggle: legal moves, guards, epochs and the drain barrier. No I/O.
//!
//! The life of a flip, in the order of the modules:
//!
//! 1. [`Start`] and [`Plan`] turn a wish (the file's phase) into a [`Move`] or into a refusal that names the next step;
//! 2. [`guard`] weighs the [`Evidence`] somebody else gathered and answers with a [`Proof`] or with a [`Refusal`] that lists
//!    every failing condition and the command that fixes it;
//! 3. [`Gate::flip`] takes the proof, drains what must drain, and publishes a new [`Epoch`]; transactions pin the
//!    gate's [`Snapshot`] through their [`Slot`].

mod epoch;
mod evidence;
mod gate;
mod guard;
mod lease;
mod moves;
mod proof;
mod start;
mod toggle;

pub use crossfade_phase::{Phase, Side};
pub use epoch::{Epoch, Snapshot};
pub use evidence::{Comparison, Evidence, JournalFacts, StoreAnswer, TableFacts};
pub use gate::{
    Closed, Entry, FlipError, Flipped, Follower, Gate, Hold, Holder, Outdated, Permit, Ready, Slot,
    StandIn,
};
pub use guard::{Unmet, guard, shell_word};
pub use lease::Lease;
pub use moves::{IllegalMove, Move};
pub use proof::{Basis, EmptyReason, Proof, Reason, Refusal};
pub use start::{Plan, Start, start};
pub use toggle::Toggle;
