//! The client's end of a managed session.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes, BytesMut};
use crossfade_store::postgres::conn::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};

use crate::{
    errors::ClientError,
    login::header,
    wire::{HEADER, ProtocolError, frontend_limit},
};

/// Output kept back at most before it goes to the client: large results stream.
const FLUSH_AT: usize = 32 * 1024;

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
    /// The body.
    pub(crate) fn body(&self) -> Bytes {
        self.whole.slice(HEADER..)
    }
}

/// The client's connection, with what was read and not handled and what was answered and not sent.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: Stream,
    pub(crate) inbound: BytesMut,
    pub(crate) out: BytesMut,
}

impl Client {
    pub(crate) fn new(stream: Stream) -> Client {
        Client {
            stream,
            inbound: BytesMut::new(),
            out: BytesMut::new(),
        }
    }

    /// Whether a whole message may be there.
    pub(crate) fn has_message(&self) -> bool {
        matches!(header(&self.inbound), Ok(Some((_, length))) if self.inbound.len() >= HEADER + length)
    }

    /// The next message, if the whole of it has come.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, ProtocolError> {
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

    /// Reads more. `false` at the end of the stream. Cancel-safe.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        if self.inbound.is_empty() && self.inbound.capacity() < 4096 {
            self.inbound = BytesMut::with_capacity(8192);
        }
        Ok(self.stream.read_buf(&mut self.inbound).await? > 0)
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
