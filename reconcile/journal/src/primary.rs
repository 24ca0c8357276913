//! The journal's second form: intents and dirty keys are rows in the primary (docs/decision/18).
//!
//! Memory is the same as with the log on a disk, and whoever uses the journal sees no difference. What is below it is not: an intent is a row that the
//! client's own transaction inserts, just before it commits; so an intent that anybody can see belongs to a transaction that is committed. Everything else
//! is a change of rows ([`Line`]) that queues up here, by store, and that a *keeper* writes over a connection of the proxy's own
//! ([`Feed`]).
//!
//! - **A failed write is tried again.** The lines stay queued, in their order. Whoever waits is told, and intents are refused until a write succeeds.
//! - **A toggle has a home**: the primary of its phase. Its rows are there and nowhere else; a move of the primary carries what is dirty along.
//! - **Rows have an owner**: the process that wrote them. Nobody changes another's rows but to take over what one left that is gone.

mod body;
mod feed;
mod line;
mod queue;

use std::sync::Arc;

use crossfade_phase::Side;

pub use body::intended_keys;
pub use feed::{Batch, Feed};
pub use line::{DirtyLine, IntentRow, Line};

pub(crate) use body::encode;
pub(crate) use queue::Queue;

use crate::JournalError;

/// The queues of both stores, under the journal's lock.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Whose rows are ours.
    pub(crate) owner: u64,
    queues: [Queue; 2],
    /// The home of each toggle, by its number.
    homes: Vec<Option<Side>>,
}

/// The stores that something was queued for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Touched(pub(crate) [bool; 2]);

impl Touched {
    pub(crate) fn add(&mut self, side: Side) {
        self.0[index(side)] = true;
    }
}

/// With which batch of each store something is durable; 0 where it needs none.
pub(crate) type Tickets = [u64; 2];

pub(crate) fn index(side: Side) -> usize {
    match side {
        Side::Old => 0,
        Side::New => 1,
    }
}

impl Rows {
    pub(crate) fn new(owner: u64) -> Rows {
        Rows {
            owner,
            queues: [Queue::default(), Queue::default()],
            homes: Vec::new(),
        }
    }

    pub(crate) fn on(&mut self, side: Side) -> &mut Queue {
        &mut self.queues[index(side)]
    }

    /// Where the rows of a toggle are; unless it is told, in the old store, where everything begins.
    pub(crate) fn home(&self, toggle: u32) -> Side {
        self.told_home(toggle).unwrap_or(Side::Old)
    }

    pub(crate) fn told_home(&self, toggle: u32) -> Option<Side> {
        self.homes.get(toggle as usize).copied().flatten()
    }

    /// Sets it, and has the store opened. The one that it leaves is still kept: the move may be called off.
    pub(crate) fn set_home(&mut self, toggle: u32, side: Side) {
        let at = toggle as usize;
        if self.homes.len() <= at {
            self.homes.resize(at + 1, None);
        }
        self.homes[at] = Some(side);
        self.on(side).want(true);
    }

    pub(crate) fn is_home(&self, side: Side) -> bool {
        self.homes.contains(&Some(side))
    }

    /// Lets go of a store that is no toggle's home any more, once what is queued for it is written.
    pub(crate) fn release(&mut self, side: Side) {
        if !self.is_home(side) {
            self.on(side).want(false);
        }
    }

    /// Has a store opened that is about to become a home.
    pub(crate) fn need(&mut self, side: Side) {
        self.on(side).want(true);
    }

    pub(crate) fn push(&mut self, side: Side, line: Line) {
        self.on(side).push(line);
    }

    /// Why a store's rows cannot be written now.
    pub(crate) fn refusal(&self, side: Side) -> Option<JournalError> {
        let reason = self.queues[index(side)].sick.as_ref()?;
        Some(JournalError::Unwritable {
            reason: format!("its rows in the {side} store: {reason}").into(),
        })
    }

    /// Whether that was tried, and failed.
    pub(crate) fn has_failed(&self, side: Side) -> bool {
        let queue = &self.queues[index(side)];
        queue.sick.is_some() && queue.failed > 0
    }

    /// Why the rows of any store that is a home cannot be written now.
    pub(crate) fn any_refusal(&self) -> Option<JournalError> {
        [Side::Old, Side::New]
            .into_iter()
            .filter(|side| self.is_home(*side))
            .find_map(|side| self.refusal(side))
    }

    /// With what everything queued for these stores becomes durable.
    pub(crate) fn outcome(&self, touched: Touched) -> Result<Tickets, JournalError> {
        let mut tickets = [0, 0];
        for side in [Side::Old, Side::New] {
            if !touched.0[index(side)] {
                continue;
            }
            if let Some(refusal) = self.refusal(side) {
                return Err(refusal);
            }
            tickets[index(side)] = self.queues[index(side)].last_ticket();
        }
        Ok(tickets)
    }

    /// The stores that something is queued for, or is on its way to.
    pub(crate) fn queued(&self) -> Touched {
        Touched([!self.queues[0].is_empty(), !self.queues[1].is_empty()])
    }

    /// Has what is queued written now.
    pub(crate) fn urge(&mut self) {
        self.queues.iter_mut().for_each(Queue::urge);
    }

    /// Wakes every keeper, whatever it waits for.
    pub(crate) fn poke(&mut self) {
        self.queues.iter_mut().for_each(Queue::poke);
    }

    /// Whether the rows of a toggle's home may still grow by transactions of a process that is gone.
    pub(crate) fn unsettled(&self, toggle: u32) -> bool {
        self.told_home(toggle)
            .is_some_and(|home| self.queues[index(home)].unsettled)
    }

    /// Whether nothing of the journal is in any store, as far as this process knows.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| {
            queue.is_empty() && (!queue.wanted || (queue.is_well() && !queue.unsettled))
        })
    }

    /// Whether every ticket is durable, is not, or nobody knows yet: then `wait` has the stores to wait for.
    pub(crate) fn state(&self, tickets: Tickets) -> Result<bool, JournalError> {
        let mut done = true;
        for side in [Side::Old, Side::New] {
            let (queue, ticket) = (&self.queues[index(side)], tickets[index(side)]);
            if queue.durable >= ticket {
                continue;
            }
            if queue.failed >= ticket {
                return Err(self.refusal(side).unwrap_or_else(|| {
                    let reason: Arc<str> = "a write of its rows failed".into();
                    JournalError::Unwritable { reason }
                }));
            }
            done = false;
        }
        Ok(done)
    }

    /// Registers a waker where a ticket is not durable yet.
    pub(crate) fn wait(&mut self, tickets: Tickets, waker: &std::task::Waker) {
        for (queue, ticket) in std::iter::zip(&mut self.queues, tickets) {
            if queue.durable < ticket {
                queue.wait(ticket, waker);
            }
        }
    }

    /// Everybody who waits for anything.
    pub(crate) fn waiters(&mut self) -> Vec<std::task::Waker> {
        self.queues
            .iter_mut()
            .flat_map(Queue::all_waiters)
            .collect()
    }
}
