//! A pin that lets go by itself.

use std::time::Duration;

use super::slot::{Entry, Slot};
use crate::Snapshot;

/// The right to touch a store on behalf of one transaction, stamped with its epoch. The barrier waits until it is dropped.
///
/// It borrows the session's slot: a session that keeps its transaction in a state of its own uses [`Slot::pin`] and [`Slot::unpin`].
#[derive(Debug)]
#[must_use = "dropping the permit lets the barrier go on"]
pub struct Permit<'s> {
    slot: &'s mut Slot,
    entry: Entry,
}

impl<'s> Permit<'s> {
    pub(super) fn new(slot: &'s mut Slot, entry: Entry) -> Permit<'s> {
        Permit { slot, entry }
    }

    /// The pinned epoch and its phase.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.entry.snapshot
    }

    /// Time spent at the barrier; zero when it was open.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.entry.waited
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.slot.unpin();
    }
}
