//! The journal's part of one transaction.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use crate::{
    Durable, IntentRow, JournalError, Reason,
    durable::block_on,
    open_set::Verdict,
    shared::{Shared, Ticket},
};

/// A durable intent: its keys become dirty unless a verdict says otherwise.
///
/// Dropping it marks its keys dirty ([`Reason::NoVerdict`]): whoever vanished between the commits (trap 16) left two
/// stores that may differ.
#[derive(Debug)]
#[must_use = "dropping an intent marks its keys dirty"]
pub struct Intent {
    shared: Arc<Shared>,
    id: u64,
    /// What the primary's transaction has to insert, where the journal is kept there.
    row: Option<IntentRow>,
    settled: bool,
}

impl Intent {
    /// The row that makes it durable: the primary's transaction has to insert it, and must not commit without. `None` where the intent is durable by itself.
    #[must_use]
    pub fn row(&self) -> Option<&IntentRow> {
        self.row.as_ref()
    }

    /// Both stores have the transaction, or neither has it. Not durable by itself: it goes to the disk with a later batch, and
    /// a crash before that only costs a needless repair.
    pub fn done(mut self) {
        // The verdict stands in memory; that the log is unwritable is told to the next intent.
        let _ = self.settle(Verdict::Done);
    }

    /// The secondary acknowledged the commit but may not have flushed it (`synchronous_commit = off`). Stays open until
    /// [`Journal::confirm`](crate::Journal::confirm) covers it.
    pub fn committed(mut self) {
        // Nothing is written here.
        let _ = self.settle(Verdict::Committed);
    }

    /// The secondary may lack the transaction: its keys become dirty, durable when the future resolves.
    ///
    /// The keys are dirty in memory at once, and no crash can lose them even before the future resolves, since the
    /// intent is durable. An error therefore only says that the journal became unwritable.
    pub fn dirty(mut self, reason: Reason) -> Durable {
        let outcome = self.settle(Verdict::Dirty(reason));
        Durable::new(&self.shared, outcome)
    }

    fn settle(&mut self, verdict: Verdict) -> Result<Ticket, JournalError> {
        self.settled = true;
        self.shared.settle(self.id, verdict)
    }
}

impl Drop for Intent {
    fn drop(&mut self) {
        if !self.settled {
            // As in `dirty`: the intent itself is durable.
            let _ = self.settle(Verdict::Dirty(Reason::NoVerdict));
        }
    }
}

/// Resolves to the [`Intent`] when it is durable.
///
/// Dropped before that, or resolved to an error, the intent is taken back: nobody was told that the primary may commit.
#[derive(Debug)]
#[must_use = "the primary must not commit before this resolves"]
pub struct Intend {
    durable: Durable,
    intent: Option<Intent>,
}

impl Intend {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        opened: Result<(u64, Ticket), JournalError>,
        row: Option<IntentRow>,
    ) -> Intend {
        let intent = opened.as_ref().ok().map(|&(id, _)| Intent {
            shared: Arc::clone(shared),
            id,
            row: row.map(|row| IntentRow { id, ..row }),
            settled: false,
        });
        Intend {
            durable: Durable::new(shared, opened.map(|(_, ticket)| ticket)),
            intent,
        }
    }

    /// Waits on this thread. Not for threads that run an async runtime.
    ///
    /// # Errors
    /// As the future.
    pub fn wait(self) -> Result<Intent, JournalError> {
        block_on(self)
    }

    fn take_back(&mut self) {
        if let Some(intent) = self.intent.take() {
            intent.done();
        }
    }
}

impl Future for Intend {
    type Output = Result<Intent, JournalError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.durable).poll(cx));
        if outcome.is_err() {
            self.take_back();
        }
        Poll::Ready(match self.intent.take() {
            Some(intent) => outcome.map(|()| intent),
            None => Err(outcome.err().unwrap_or(JournalError::Closed)),
        })
    }
}

impl Drop for Intend {
    fn drop(&mut self) {
        self.take_back();
    }
}
