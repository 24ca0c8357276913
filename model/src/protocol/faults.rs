//! Cures that can be taken out.

/// What is taken out of the protocol. By default nothing is.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Trap 1: the batch is staged when the primary has committed and its row locks are gone.
    pub row_lock_is_gone: bool,
    /// Trap 1: a batch locks rows, not keys, so that a delete which sees no row waits for nobody (docs/decision/04).
    pub no_key_locks: bool,
    /// Trap 3: no intent before the primary's commit.
    pub no_intent: bool,
    /// Trap 8: the backfill does not look again.
    pub no_look_again: bool,
    /// Trap 8: the backfill inserts without the lock on the key.
    pub copies_without_key_lock: bool,
    /// Trap 8: after a crash the backfill goes on as if nothing of the unfinished chunk had been written.
    pub no_sweep_after_crash: bool,
    /// Trap 8: the primary changes although a backfill that was killed, or failed, may have left a row behind.
    pub forgets_unfinished_chunks: bool,
    /// Trap 11: a repair cleans a key that was marked again meanwhile.
    pub cleans_later_marks: bool,
    /// DESIGN 5: a repair reads the row without its lock.
    pub repairs_without_lock: bool,
    /// DESIGN 5: a repair does not notice that its lock went with the primary.
    pub repairs_with_lost_lock: bool,
    /// DESIGN 5: a repair that deletes does not look again.
    pub deletes_without_second_look: bool,
    /// Trap 28: what repairer and backfill have begun goes on when the primary has changed.
    pub jobs_outlive_their_epoch: bool,
    /// Trap 37: 4 → 5 and 5 → 4 do not wait for transactions of the old epoch.
    pub no_barrier: bool,
    /// Trap 37: each proxy flips when its own transactions have ended and its own journal is empty.
    pub proxies_flip_alone: bool,
    /// Trap 38: the primary changes with keys still dirty.
    pub flips_while_dirty: bool,
    /// Trap 38: a spell in phase 2 leaves the new store trusted.
    pub bypass_is_forgotten: bool,
    /// Trap 43: a key whose commit was never answered is repaired at once.
    pub does_not_settle: bool,
    /// Trap 8: where the secondary writes at once, neither repair nor backfill asks whether an intent on the key is open.
    pub ignores_open_intents: bool,
    /// Trap 16: where the secondary writes at once, a key is repaired while a batch that was given up may still arrive.
    pub repairs_before_the_late: bool,
    /// docs/decision/02: a repair that finds nothing to write takes what it sees for durable.
    pub trusts_unflushed_rows: bool,
    /// Trap 43: phase 3 is effective although a statement of phase 2, whose client is gone, still runs in the primary.
    pub forgets_the_abandoned: bool,
}
