//! The client's end of a managed session.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use crossfade_store::postgres::conn::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};

use crate::{
    errors::ClientError,
    login::header,
    wire::{HEADER, ProtocolError, backend, frontend_limit},
};

/// Output kept back at most before it goes to the client: large results stream.
const FLUSH_AT: usize = 32 * 1024;

/// Data of a copy that is passed on before the whole of its message has come.
const COPY_PIECE: usize = 64 * 1024;

/// What is read of a client at most while its session is at something else.
const AHEAD: usize = 64 * 1024;

/// How long a client may stay behind the last words.
const PARTING: Duration = Duration::from_secs(1);

/// Sync.
const SYNC: &[u8] = b"S\0\0\0\x04";

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// Its type.
    pub(crate) kind: u8,
    /// Header and body.
    pub(crate) whole: Bytes,
}

impl Frame {
    /// A message of this type with this body.
    pub(crate) fn new(kind: u8, body: &[u8]) -> Frame {
        let mut whole = BytesMut::with_capacity(HEADER + body.len());
        backend::with_body(&mut whole, kind, body);
        Frame {
            kind,
            whole: whole.freeze(),
        }
    }

    /// The body.
    pub(crate) fn body(&self) -> Bytes {
        self.whole.slice(HEADER..)
    }
}

/// What a client sends while a server takes its copy's data.
#[derive(Debug)]
pub(crate) enum CopyInput {
    /// Data that has come of a message that has not come whole.
    Piece(Bytes),
    /// A message.
    Message(Frame),
}

/// The client's connection, with what was read and not handled and what was answered and not sent.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: Stream,
    pub(crate) inbound: BytesMut,
    pub(crate) out: BytesMut,
    /// Bytes of a copy's data that belong to a message of which the beginning was handled.
    copy_left: usize,
}

impl Client {
    pub(crate) fn new(stream: Stream) -> Client {
        Client {
            stream,
            inbound: BytesMut::new(),
            out: BytesMut::new(),
            copy_left: 0,
        }
    }

    /// Whether a whole message may be there.
    pub(crate) fn has_message(&self) -> bool {
        self.copy_left == 0
            && matches!(header(&self.inbound), Ok(Some((_, length))) if self.inbound.len() >= HEADER + length)
    }

    /// The next message, if the whole of it has come.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, ProtocolError> {
        // The server has ended the copy before its data.
        self.pass_copy();
        if self.copy_left > 0 {
            return Ok(None);
        }
        let Some((kind, length)) = header(&self.inbound)? else {
            return Ok(None);
        };
        match frontend_limit(kind) {
            None => return Err(ProtocolError::Kind { kind }),
            Some(limit) if length >= limit as usize => {
                return Err(ProtocolError::Length {
                    kind,
                    length: u32::try_from(length + 4).unwrap_or(u32::MAX),
                });
            }
            Some(_) => {}
        }
        if self.inbound.len() < HEADER + length {
            return Ok(None);
        }
        Ok(Some(Frame {
            kind,
            whole: self.inbound.split_to(HEADER + length).freeze(),
        }))
    }

    /// What has come of the message that is passed on in pieces.
    fn pass_copy(&mut self) -> Bytes {
        let here = self.copy_left.min(self.inbound.len());
        self.copy_left -= here;
        self.inbound.split_to(here).freeze()
    }

    /// The next message, or a piece of one: a client may put all of its data into a single message.
    pub(crate) fn next_copy(&mut self) -> Result<Option<CopyInput>, ProtocolError> {
        if self.copy_left == 0
            && let Some((b'd', length)) = header(&self.inbound)?
            && length < frontend_limit(b'd').unwrap_or(0) as usize
            && self.inbound.len() < HEADER + length
            && self.inbound.len() >= COPY_PIECE
        {
            self.inbound.advance(HEADER);
            self.copy_left = length;
        }
        if self.copy_left > 0 {
            let piece = self.pass_copy();
            return Ok((!piece.is_empty()).then_some(CopyInput::Piece(piece)));
        }
        Ok(self.next()?.map(CopyInput::Message))
    }

    /// As [`Client::fill`], with room for much.
    pub(crate) async fn fill_copy(&mut self) -> io::Result<bool> {
        self.inbound.reserve(COPY_PIECE);
        self.fill().await
    }

    /// Reads more. `false` at the end of the stream. Cancel-safe.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        if self.inbound.is_empty() && self.inbound.capacity() < 4096 {
            self.inbound = BytesMut::with_capacity(8192);
        }
        Ok(self.stream.read_buf(&mut self.inbound).await? > 0)
    }

    /// Waits until the client has left and everything that it has asked for is done. Cancel-safe.
    pub(crate) async fn gone(&mut self) {
        while self.inbound.len() < AHEAD {
            match self.fill().await {
                Ok(true) => {}
                // Terminate is all that it has said, if anything.
                _ if self.inbound.first().is_none_or(|kind| *kind == b'X') => return,
                _ => break,
            }
        }
        std::future::pending().await
    }

    /// Sends what is kept back. Not cancel-safe.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await?;
            self.out.clear();
        }
        Ok(())
    }

    /// Behind the last words: waits for a moment until the client has left. Words of its own that nobody takes would cost it ours.
    pub(super) async fn part(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let left = async {
            self.inbound.clear();
            while self.fill().await.unwrap_or(false) {
                self.inbound.clear();
            }
        };
        if tokio::time::timeout(PARTING, left).await.is_err() {
            tracing::debug!("a client stayed behind the last words");
        }
    }

    /// Takes a Sync, if that is the next message and has come.
    pub(crate) fn take_sync(&mut self) -> bool {
        let found = self.inbound.starts_with(SYNC);
        if found {
            self.inbound.advance(SYNC.len());
        }
        found
    }

    /// Sends what is kept back once it is much. Not cancel-safe.
    pub(crate) async fn flush_if_large(&mut self) -> io::Result<()> {
        if self.out.len() >= FLUSH_AT {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Answers with an error of the proxy's own.
    pub(crate) fn error(&mut self, error: &ClientError) {
        error.write(&mut self.out, "ERROR");
    }

    /// Frees what an idle session need not hold.
    pub(crate) fn shrink(&mut self) {
        if self.inbound.is_empty() {
            self.inbound = BytesMut::new();
        }
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
    }
}

/// Writes as much of `out` as the other end takes without a wait; what is left wakes the task when there is room.
pub(super) fn write_now(
    cx: &mut Context<'_>,
    stream: &mut Stream,
    out: &mut BytesMut,
) -> io::Result<()> {
    let mut wrote = false;
    while !out.is_empty() {
        match Pin::new(&mut *stream).poll_write(cx, out)? {
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(count) => out.advance(count),
            Poll::Pending => break,
        }
        wrote = true;
    }
    if wrote && let Poll::Ready(Err(error)) = Pin::new(stream).poll_flush(cx) {
        return Err(error);
    }
    Ok(())
}
