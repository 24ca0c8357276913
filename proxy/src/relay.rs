//! The relay of phases 1, 2 and 8: bytes go on as they lie in the read buffer.
//!
//! Both halves of a session are polled by one task on one thread, so a message costs one read, one write and a walk over its
//! headers. Buffers belong to the thread, not to the session: an idle session holds none. Only what a slow peer did not take yet is
//! kept with the session, and while there is any, nothing more is read for that peer.

use std::{
    cell::RefCell,
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use crossfade_store::postgres::conn::Stream;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::{
    pins::Pins,
    shapes::Tally,
    shared::Shared,
    unnamed::Unnamed,
    wire::{ProtocolError, Step, Walker, backend::Status, frontend_limit},
};

/// Size of a thread's read buffer. Large results are read in pieces of this size: one system call where a 4 KiB buffer takes sixteen.
/// It stays well inside a core's second-level cache.
const READ_BUFFER: usize = 64 * 1024;

thread_local! {
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER].into_boxed_slice());
}

/// Why a relay ended.
#[derive(Debug)]
pub(crate) enum Exit {
    /// The client closed its connection, or it broke.
    ClientGone,
    /// The server closed its connection, or it broke; everything it sent has been passed on.
    ServerGone,
    /// Between two transactions, a toggle moved, its barrier is closed, or the proxy stops. The bytes were read from the client and belong to its next
    /// transaction.
    Changed(BytesMut),
    /// The client or the server broke the protocol.
    Malformed(ProtocolError),
}

/// What the relay knows of a session. Survives from one relay to the next.
#[derive(Debug)]
pub(crate) struct RelayState {
    front: Walker,
    back: Walker,
    /// `ReadyForQuery` messages that the server still owes.
    awaited: u32,
    /// Extended-protocol messages went out and no Sync after them yet.
    batch_open: bool,
    /// The last message that runs something was an Execute, not a Query.
    by_execute: bool,
    /// The server takes `CopyData`, and ignores Sync, until `CopyDone` or `CopyFail`.
    copy_in: bool,
    status: Status,
    /// The text of the unnamed statement, which no catalog of the server shows.
    pub(crate) unnamed: Unnamed,
    to_server: BytesMut,
    to_client: BytesMut,
}

impl Default for RelayState {
    fn default() -> Self {
        RelayState {
            front: Walker::default(),
            back: Walker::default(),
            awaited: 0,
            batch_open: false,
            by_execute: false,
            copy_in: false,
            status: Status::Idle,
            unnamed: Unnamed::default(),
            to_server: BytesMut::new(),
            to_client: BytesMut::new(),
        }
    }
}

impl RelayState {
    /// Whether no transaction and no request is under way.
    pub(crate) fn idle(&self) -> bool {
        self.awaited == 0
            && self.status == Status::Idle
            && !self.batch_open
            && !self.copy_in
            && self.front.between()
            && self.back.between()
            && self.to_client.is_empty()
    }

    fn client_sent(
        &mut self,
        bytes: &[u8],
        mut tally: Option<&mut Tally>,
    ) -> Result<(), ProtocolError> {
        let RelayState {
            front,
            awaited,
            batch_open,
            by_execute,
            copy_in,
            unnamed,
            ..
        } = self;
        front.walk(bytes, |step| match step {
            Step::Head(kind, body) => {
                match frontend_limit(kind) {
                    Some(limit) if body < limit as usize => {}
                    Some(_) => {
                        let length = u32::try_from(body + 4).unwrap_or(u32::MAX);
                        return Err(ProtocolError::Length { kind, length });
                    }
                    None => return Err(ProtocolError::Kind { kind }),
                }
                match kind {
                    b'Q' => {
                        *awaited += 1;
                        *by_execute = false;
                        unnamed.forget();
                    }
                    b'F' => *awaited += 1,
                    b'S' if *copy_in => {}
                    b'S' => {
                        *awaited += 1;
                        *batch_open = false;
                    }
                    b'P' => {
                        *batch_open = true;
                        unnamed.begin(body);
                    }
                    b'E' => {
                        *batch_open = true;
                        *by_execute = true;
                    }
                    b'B' | b'D' | b'C' | b'H' => *batch_open = true,
                    b'c' | b'f' if *copy_in => {
                        *copy_in = false;
                        // Syncs sent since the Execute were ignored; the one that counts is still to come.
                        if *by_execute {
                            *awaited = 0;
                            *batch_open = true;
                        }
                    }
                    _ => {}
                }
                Ok(())
            }
            Step::Body { kind, bytes, last } => {
                if kind == b'P' {
                    unnamed.push(bytes, last);
                }
                if let Some(tally) = &mut tally {
                    tally.body(kind, bytes, last);
                }
                Ok(())
            }
        })
    }

    fn server_sent(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let RelayState {
            back,
            awaited,
            copy_in,
            status,
            by_execute,
            unnamed,
            batch_open,
            ..
        } = self;
        back.walk(bytes, |step| {
            match step {
                Step::Head(b'G', _) => *copy_in = true,
                // An error ends a copy. A Sync that was sent during the copy of an Execute was ignored, so it is owed no answer;
                // the client sends another one.
                Step::Head(b'E', _) => {
                    *copy_in &= *by_execute;
                    unnamed.fails();
                }
                Step::Body {
                    kind: b'Z', bytes, ..
                } => {
                    *status = bytes
                        .first()
                        .copied()
                        .and_then(Status::read)
                        .ok_or(ProtocolError::Body { kind: b'Z' })?;
                    *awaited = awaited.saturating_sub(1);
                    *copy_in = false;
                    if *awaited == 0 && !*batch_open {
                        unnamed.is_over();
                    }
                }
                Step::Head(..) | Step::Body { .. } => {}
            }
            Ok(())
        })
    }
}

/// One session's relay between its client and its home server.
pub(crate) struct Relay<'a> {
    pub(crate) client: &'a mut Stream,
    pub(crate) server: &'a mut Stream,
    pub(crate) state: &'a mut RelayState,
    /// `None` for connections that no toggle concerns.
    pub(crate) pins: Option<&'a mut Pins>,
    /// Counts statements, where they are counted.
    pub(crate) tally: Option<&'a mut Tally>,
    pub(crate) shared: &'a Shared,
}

impl Relay<'_> {
    /// Relays until one of the ends closes or, between two transactions, a toggle has moved. `input` was read from the client already.
    ///
    /// Not cancel-safe: bytes may be under way.
    pub(crate) async fn run(mut self, input: BytesMut) -> Exit {
        let mut flipped = pin!(self.shared.flips.notified());
        let mut registered = false;
        if !input.is_empty() {
            if let Err(exit) = self.pin_if_idle(&input) {
                return exit;
            }
            if let Err(error) = self.state.client_sent(&input, self.tally.as_deref_mut()) {
                return Exit::Malformed(error);
            }
            self.state.to_server = input;
        }
        poll_fn(|cx| {
            // One registration is enough: the waker of a task does not change, and every wake-up polls all below.
            if !registered {
                registered = flipped.as_mut().poll(cx).is_pending();
            }
            self.poll(cx)
        })
        .await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        if let Poll::Ready(exit) = self.poll_client_to_server(cx) {
            return Poll::Ready(exit);
        }
        if let Poll::Ready(exit) = self.poll_server_to_client(cx) {
            return Poll::Ready(exit);
        }
        if self.changed() && self.state.idle() && self.state.to_server.is_empty() {
            return Poll::Ready(Exit::Changed(BytesMut::new()));
        }
        Poll::Pending
    }

    /// Whether the session has to look about it between two transactions.
    fn changed(&self) -> bool {
        match &self.pins {
            Some(pins) => pins.changed(),
            None => self.shared.stopping(),
        }
    }

    fn poll_client_to_server(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        loop {
            if ready!(poll_drain(cx, self.server, &mut self.state.to_server)).is_err() {
                return Poll::Ready(Exit::ServerGone);
            }
            let exit = READ.with_borrow_mut(|buffer| {
                let mut read = ReadBuf::new(buffer);
                match ready!(Pin::new(&mut *self.client).poll_read(cx, &mut read)) {
                    Ok(()) if !read.filled().is_empty() => {}
                    _ => return Poll::Ready(Some(Exit::ClientGone)),
                }
                let bytes = read.filled();
                if let Err(exit) = self.pin_if_idle(bytes) {
                    return Poll::Ready(Some(exit));
                }
                if let Err(error) = self.state.client_sent(bytes, self.tally.as_deref_mut()) {
                    return Poll::Ready(Some(Exit::Malformed(error)));
                }
                Poll::Ready(
                    forward(cx, self.server, bytes, &mut self.state.to_server)
                        .err()
                        .map(|_| Exit::ServerGone),
                )
            });
            if let Some(exit) = ready!(exit) {
                return Poll::Ready(exit);
            }
        }
    }

    fn poll_server_to_client(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        loop {
            if ready!(poll_drain(cx, self.client, &mut self.state.to_client)).is_err() {
                return Poll::Ready(Exit::ClientGone);
            }
            let exit = READ.with_borrow_mut(|buffer| {
                let mut read = ReadBuf::new(buffer);
                match ready!(Pin::new(&mut *self.server).poll_read(cx, &mut read)) {
                    Ok(()) if !read.filled().is_empty() => {}
                    _ => return Poll::Ready(Some(Exit::ServerGone)),
                }
                let bytes = read.filled();
                if let Err(error) = self.state.server_sent(bytes) {
                    return Poll::Ready(Some(Exit::Malformed(error)));
                }
                Poll::Ready(
                    forward(cx, self.client, bytes, &mut self.state.to_client)
                        .err()
                        .map(|_| Exit::ClientGone),
                )
            });
            if let Some(exit) = ready!(exit) {
                return Poll::Ready(exit);
            }
            if self.state.idle()
                && let Some(pins) = &mut self.pins
            {
                pins.unpin();
            }
        }
    }

    /// Pins every toggle when `bytes` begin a transaction. When that cannot be, the bytes go back to the caller.
    fn pin_if_idle(&mut self, bytes: &[u8]) -> Result<(), Exit> {
        let Some(pins) = &mut self.pins else {
            return Ok(());
        };
        if pins.pinned() || pins.try_pin_unchanged() {
            Ok(())
        } else {
            Err(Exit::Changed(BytesMut::from(bytes)))
        }
    }
}

/// Writes what it can now and keeps the rest.
fn forward(
    cx: &mut Context<'_>,
    to: &mut Stream,
    bytes: &[u8],
    rest: &mut BytesMut,
) -> std::io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match Pin::new(&mut *to).poll_write(cx, &bytes[written..])? {
            Poll::Ready(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Poll::Ready(count) => written += count,
            Poll::Pending => {
                rest.extend_from_slice(&bytes[written..]);
                return Ok(());
            }
        }
    }
    match Pin::new(to).poll_flush(cx) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Ok(()),
    }
}

/// Writes what is kept. Frees its memory once it is gone: an idle session holds no buffer.
fn poll_drain(
    cx: &mut Context<'_>,
    to: &mut Stream,
    rest: &mut BytesMut,
) -> Poll<std::io::Result<()>> {
    if rest.is_empty() {
        return Poll::Ready(Ok(()));
    }
    while !rest.is_empty() {
        match ready!(Pin::new(&mut *to).poll_write(cx, rest))? {
            0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
            count => rest.advance(count),
        }
    }
    *rest = BytesMut::new();
    Pin::new(to).poll_flush(cx)
}
