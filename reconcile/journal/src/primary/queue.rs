//! What waits to be written into one store.

use std::{sync::Arc, task::Waker};

use super::Line;

/// Lines beyond this are written at once.
const LAZY_LINES: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue {
    lines: Vec<Line>,
    /// Of the next batch.
    ticket: u64,
    /// Every batch up to this is in the store.
    pub(crate) durable: u64,
    /// Who waited for a batch up to this was told that it failed.
    pub(crate) failed: u64,
    urgent: bool,
    waiters: Vec<(u64, Waker)>,
    keeper: Option<Waker>,
    poked: bool,
    /// The store is a toggle's home, or is about to become it.
    pub(crate) wanted: bool,
    /// Why nothing is taken.
    pub(crate) sick: Option<Arc<str>>,
    /// A process that is gone may have transactions there that are not over.
    pub(crate) unsettled: bool,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            lines: Vec::new(),
            ticket: 1,
            durable: 0,
            failed: 0,
            urgent: false,
            waiters: Vec::new(),
            keeper: None,
            poked: false,
            wanted: false,
            sick: Some("they have not been read yet".into()),
            unsettled: true,
        }
    }
}

impl Queue {
    pub(super) fn push(&mut self, line: Line) {
        self.lines.push(line);
        if self.lines.len() == LAZY_LINES {
            self.urge();
        }
    }

    /// The ticket with which everything queued becomes durable.
    pub(super) fn last_ticket(&self) -> u64 {
        if self.lines.is_empty() {
            self.ticket - 1
        } else {
            self.ticket
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.durable + 1 >= self.ticket
    }

    pub(super) fn is_well(&self) -> bool {
        self.sick.is_none()
    }

    pub(super) fn want(&mut self, wanted: bool) {
        if self.wanted != wanted {
            self.wanted = wanted;
            self.poke();
        }
    }

    pub(super) fn urge(&mut self) {
        if !self.lines.is_empty() {
            self.urgent = true;
            self.wake_keeper();
        }
    }

    pub(super) fn poke(&mut self) {
        self.poked = true;
        self.wake_keeper();
    }

    fn wake_keeper(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.wake();
        }
    }

    /// Whether the keeper has something to do at once; otherwise it is woken when it has.
    pub(super) fn poll(&mut self, keeper: &Waker) -> bool {
        if std::mem::take(&mut self.poked) || self.urgent {
            return true;
        }
        self.keeper = Some(keeper.clone());
        false
    }

    /// The lines and their ticket; none where there are none.
    pub(super) fn take(&mut self) -> Option<(u64, Vec<Line>)> {
        self.urgent = false;
        if self.lines.is_empty() {
            return None;
        }
        let ticket = self.ticket;
        self.ticket += 1;
        Some((ticket, std::mem::take(&mut self.lines)))
    }

    /// Lines that could not be written go before those that came since.
    pub(super) fn put_back(&mut self, mut lines: Vec<Line>) {
        lines.append(&mut self.lines);
        self.lines = lines;
    }

    /// Nobody wants them any more; whoever wants the store again has it read again.
    pub(super) fn discard(&mut self) {
        *self = Queue {
            ticket: self.ticket,
            durable: self.ticket - 1,
            failed: self.failed,
            waiters: std::mem::take(&mut self.waiters),
            wanted: self.wanted,
            ..Queue::default()
        };
    }

    /// The batch is in the store. Says whom to wake.
    pub(super) fn written(&mut self, ticket: u64) -> Vec<Waker> {
        self.durable = self.durable.max(ticket);
        let upto = self.durable;
        self.waiters_upto(upto)
    }

    /// Lines are taken again.
    pub(super) fn recover(&mut self) {
        self.sick = None;
        if self.lines.is_empty() {
            self.durable = self.ticket - 1;
        }
    }

    /// Nothing is taken until further notice. Says whom to wake.
    pub(super) fn fail(&mut self, reason: &str) -> Vec<Waker> {
        self.sick = Some(reason.into());
        self.failed = self.ticket;
        self.ticket += 1;
        self.urgent = false;
        self.waiters_upto(u64::MAX)
    }

    pub(super) fn wait(&mut self, ticket: u64, waker: &Waker) {
        let same =
            |(waits_for, known): &(u64, Waker)| *waits_for == ticket && known.will_wake(waker);
        if !self.waiters.iter().any(same) {
            self.waiters.push((ticket, waker.clone()));
        }
        self.urge();
    }

    pub(super) fn all_waiters(&mut self) -> Vec<Waker> {
        self.waiters_upto(u64::MAX)
    }

    fn waiters_upto(&mut self, upto: u64) -> Vec<Waker> {
        let woken = self.waiters.extract_if(.., |(ticket, _)| *ticket <= upto);
        woken.map(|(_, waker)| waker).collect()
    }
}
