//! What the journal's lock protects.

use std::{sync::Arc, task::Waker};

use crate::{
    JournalError,
    codec::Record,
    frame::FRAME_HEADER,
    open_set::OpenSet,
    primary::{Rows, Tickets, Touched},
};

/// What the lock protects.
#[derive(Debug)]
pub(crate) struct Core {
    /// Records for the next batch, behind room for the batch's header.
    pub(crate) pending: Vec<u8>,
    /// Ticket of the next batch.
    pub(crate) ticket: u64,
    /// Somebody waits for the next batch.
    pub(crate) urgent: bool,
    /// How many wait for the next batch.
    pub(crate) wanted: usize,
    /// Who waits for which ticket.
    pub(crate) waiters: Vec<(u64, Waker)>,
    pub(crate) open: OpenSet,
    pub(crate) next_generation: u64,
    pub(crate) mode: Mode,
    /// The last ticket that failed, and why.
    pub(crate) failed: Option<(u64, Arc<str>)>,
    pub(crate) sleep: Sleep,
    pub(crate) stop: bool,
    pub(crate) recover: bool,
    /// Ended attempts to recover.
    pub(crate) attempts: u64,
    /// Where the journal is kept in the primary: then nothing is queued for the disk.
    pub(crate) rows: Option<Rows>,
}

/// When something is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// With this batch of the log.
    Log(u64),
    /// With these batches of rows.
    Rows(Tickets),
}

/// Whether the log takes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It does.
    Healthy,
    /// A write failed. Memory goes on changing; a snapshot will hold it all.
    Poisoned,
    /// A snapshot is being written; records queue up for the segment after it.
    Recovering,
    /// The writer has gone.
    Closed,
}

/// What the writer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// Works, or was woken.
    Awake,
    /// Waits for a while, for lazy records.
    Light,
    /// Waits until it is woken.
    Deep,
}

impl Core {
    pub(crate) fn has_pending(&self) -> bool {
        self.pending.len() > FRAME_HEADER
    }

    /// Whether records are taken at all.
    pub(super) fn logs(&self) -> bool {
        self.rows.is_none() && matches!(self.mode, Mode::Healthy | Mode::Recovering)
    }

    /// Notes that something was queued; says whether the writer sleeps too deep for it.
    #[must_use]
    pub(super) fn must_wake(&mut self, urgent: bool) -> bool {
        self.urgent |= urgent;
        self.wanted += usize::from(urgent);
        let wakes = match self.sleep {
            Sleep::Awake => false,
            Sleep::Light => urgent,
            Sleep::Deep => true,
        };
        if wakes {
            self.sleep = Sleep::Awake;
        }
        wakes
    }

    /// Queues a record.
    pub(crate) fn log(&mut self, record: &Record<'_>) {
        if self.logs() {
            record.put(&mut self.pending);
        }
    }

    /// The ticket with which everything logged so far becomes durable; of rows, what was queued for these stores.
    pub(crate) fn outcome(&self, touched: Touched) -> Result<Ticket, JournalError> {
        if self.mode == Mode::Closed {
            return Err(JournalError::Closed);
        }
        if let Some(rows) = &self.rows {
            return rows.outcome(touched).map(Ticket::Rows);
        }
        let last = if self.has_pending() {
            self.ticket
        } else {
            self.ticket - 1
        };
        self.refusal().map_or(Ok(Ticket::Log(last)), Err)
    }

    /// Whether everything is known that the journal has of a toggle.
    pub(crate) fn is_settled(&self, toggle: Option<u32>) -> bool {
        let unsettled = toggle
            .zip(self.rows.as_ref())
            .is_some_and(|(toggle, rows)| rows.unsettled(toggle));
        !unsettled
    }

    /// The stores that lines are queued for.
    pub(crate) fn queued(&self) -> Touched {
        self.rows.as_ref().map(Rows::queued).unwrap_or_default()
    }

    /// Why a durable write cannot be taken now.
    pub(crate) fn refusal(&self) -> Option<JournalError> {
        match self.mode {
            Mode::Healthy => self.rows.as_ref().and_then(Rows::any_refusal),
            Mode::Closed => Some(JournalError::Closed),
            Mode::Poisoned | Mode::Recovering => Some(self.unwritable()),
        }
    }

    pub(crate) fn unwritable(&self) -> JournalError {
        let reason = self.failed.as_ref().map(|(_, reason)| Arc::clone(reason));
        JournalError::Unwritable {
            reason: reason.unwrap_or_else(|| "it is being opened".into()),
        }
    }
}
