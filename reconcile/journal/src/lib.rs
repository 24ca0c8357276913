//! What must survive `kill -9` and power loss: intents, dirty keys, effective phases, checkpoints. One folder, one process.
//!
//! *An acknowledged write is in the primary; and it is in the secondary or its key is in the journal.* A session opens an [`Intent`]
//! before the first commit and settles it after the second; between the two the intent on the disk stands for what may
//! differ (trap 3). Keys that are known or suspected to differ are *dirty* until a repairer [cleans](Journal::clean) them.
//!
//! # Why it is built like this
//!
//! - **One writer thread, group commit.** Sessions queue records under one lock held for a memory copy; the thread takes the whole
//!   queue, writes it with one call, flushes once and wakes everybody. While it flushes, the next queue fills. So many sessions
//!   share a flush without a timer, and a lone one does not wait for company.
//! - **A batch carries the checksum.** It is what becomes durable at once. A batch is written only after the one before was
//!   flushed: so a broken batch with nothing whole behind it is a *torn end*, of which nobody was told that it is durable, and is cut; a
//!   broken one with a whole one behind it is *damage*, and opening fails with file and offset. Batches are numbered over all segments, so that a
//!   sealed segment cannot lose its end unnoticed, and the checksum covers the segment's number, so that a file can be used
//!   again without erasing it.
//! - **Segments of zeros, overwritten in place.** A flush then need not make a new file size durable (measured: 180 µs against
//!   220 µs). The next segment is prepared beside the work.
//! - **Carry-over instead of rewriting.** What still lives in the oldest segment is appended to the newest in small steps, then the
//!   oldest goes. Strictly oldest first, each removal durable before the next: a record that closes something outlives
//!   what it closes. The log stays below twice what lives in it plus a few segments, and no session waits for a compaction.
//! - **Generations.** Each mark gets a number that only grows. Cleaning names the number the repair started from, and a later mark wins,
//!   in memory and on replay alike, in whatever order the records lie.
//! - **Losing a *close* is harmless, losing an *open* is not.** Intents and marks are durable before anyone is told; verdicts and cleans
//!   travel with a later batch, 100 ms later at the latest. A crash then repairs a few keys that needed none.
//! - **A failed flush ends a file.** The kernel may drop the pages and report success the next time. So after any failure the
//!   journal refuses everything ([`JournalError::Unwritable`]) until a snapshot of memory is whole in a *new* file; opening goes
//!   the same way, so that recovery is exercised on every start. Memory always knows at least as much as the disk.
//! - **Ordered maps for dirty keys.** A hash map doubles at once, which ten million keys would feel; an ordered one grows evenly, can be read bit by
//!   bit, and hands the repairer neighbouring keys.
//! - **A cap, not an out-of-memory kill.** Dirty and open keys together are limited; past it intents fail with [`JournalError::Full`] and
//!   dual phases refuse writes. An admitted intent can always become dirty.
//! - **Clocks order nothing** (trap 44): times are kept for display only.
//!
//! The futures of this crate belong to no runtime; any number of them may wait from any number of runtimes.

mod codec;
mod disk;
mod durable;
mod error;
mod frame;
mod intent;
mod journal;
mod key;
mod lock;
mod open_set;
mod primary;
mod reason;
mod registry;
mod replay;
mod segment;
mod shared;
mod state;
mod sync;
mod table;
mod writer;

pub use durable::Durable;
pub use error::{JournalError, OpenError, StateError};
pub use intent::{Intend, Intent};
pub use journal::{Backlog, DirtyKey, DirtyTable, Health, Horizon, Journal, Options};
pub use key::{JournalKey, KeyRef, Keyed, packed_key};
pub use primary::{Batch, DirtyLine, Feed, IntentRow, Line, intended_keys};
pub use reason::{Reason, Stale};
pub use state::{
    BackfillCheckpoint, KeyBounds, KeyText, PhaseChange, State, TableState, ToggleState, Verified,
    Why,
};
pub use table::Cause;

#[cfg(test)]
mod tests;
