//! Waiting until something is on the disk.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};

use crate::{
    JournalError,
    primary::Tickets,
    shared::{Shared, Ticket},
};

/// Resolves when a write is on the disk, or will never be.
///
/// Belongs to no runtime. Dropping it does not undo the write.
#[derive(Debug)]
#[must_use = "the write is not durable before this resolves"]
pub struct Durable {
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting {
        shared: Arc<Shared>,
        ticket: Ticket,
        registered: bool,
    },
    Refused(JournalError),
}

impl Durable {
    pub(crate) fn new(shared: &Arc<Shared>, outcome: Result<Ticket, JournalError>) -> Durable {
        let state = match outcome {
            Ok(ticket) => State::Waiting {
                shared: Arc::clone(shared),
                ticket,
                registered: false,
            },
            Err(error) => State::Refused(error),
        };
        Durable { state }
    }

    /// Waits on this thread. Not for threads that run an async runtime.
    ///
    /// # Errors
    /// As the future.
    pub fn wait(self) -> Result<(), JournalError> {
        block_on(self)
    }
}

impl Future for Durable {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Refused(error) => Poll::Ready(Err(error.clone())),
            State::Waiting {
                shared,
                ticket,
                registered,
            } => match *ticket {
                Ticket::Log(ticket) => poll_ticket(shared, ticket, registered, cx.waker()),
                Ticket::Rows(tickets) => poll_rows(shared, tickets, cx.waker()),
            },
        }
    }
}

/// After a failure and a recovery both marks may cover a ticket. Then it is durable: the snapshot of the recovery held
/// everything that was alive.
fn poll_ticket(
    shared: &Shared,
    ticket: u64,
    registered: &mut bool,
    waker: &Waker,
) -> Poll<Result<(), JournalError>> {
    if shared.durable.load(Ordering::Acquire) >= ticket {
        return Poll::Ready(Ok(()));
    }
    let mut core = shared.lock_core();
    if shared.durable.load(Ordering::Acquire) >= ticket {
        return Poll::Ready(Ok(()));
    }
    if core
        .failed
        .as_ref()
        .is_some_and(|(failed, _)| *failed >= ticket)
    {
        return Poll::Ready(Err(core.unwritable()));
    }
    if core.mode == crate::shared::Mode::Closed {
        return Poll::Ready(Err(JournalError::Closed));
    }
    let same = |(waits_for, known): &(u64, Waker)| *waits_for == ticket && known.will_wake(waker);
    if !*registered || !core.waiters.iter().any(same) {
        core.waiters.push((ticket, waker.clone()));
        *registered = true;
    }
    let queued = core.ticket == ticket;
    drop(core);
    if queued {
        shared.urge();
    }
    Poll::Pending
}

/// Lines that failed are tried again; who waited for them was told, and does not wait for that.
fn poll_rows(shared: &Shared, tickets: Tickets, waker: &Waker) -> Poll<Result<(), JournalError>> {
    if tickets == [0, 0] {
        return Poll::Ready(Ok(()));
    }
    let mut core = shared.lock_core();
    let closed = core.mode == crate::shared::Mode::Closed;
    let Some(rows) = &mut core.rows else {
        return Poll::Ready(Err(JournalError::Closed));
    };
    match rows.state(tickets) {
        Ok(true) => Poll::Ready(Ok(())),
        Err(error) => Poll::Ready(Err(error)),
        Ok(false) if closed => Poll::Ready(Err(JournalError::Closed)),
        Ok(false) => {
            rows.wait(tickets, waker);
            Poll::Pending
        }
    }
}

/// Runs a future of this crate on this thread.
pub(crate) fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut future).poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
