//! The connection: frames in, bytes out.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use crossfade_values::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::{protocol::startup, report::Report};

/// Output that is written before more of it is made.
pub(crate) const SEND_AT: usize = 64 * 1024;

/// Longest message, as PostgreSQL has it.
const MOST: usize = 0x3fff_ffff;

/// Buffers larger than this are given back between two requests.
const KEEP: usize = 16 * 1024;

/// Why nothing more can be read.
#[derive(Debug)]
pub(crate) enum Gone {
    /// The client closed the connection, or it broke.
    Closed,
    /// The client broke the protocol.
    Malformed(Report),
}

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Gone {
        Gone::Closed
    }
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Io {
    stream: DuplexStream,
    inbound: BytesMut,
    /// Messages for the client that are not written yet.
    pub(crate) out: BytesMut,
    /// The client is gone.
    pub(crate) broken: bool,
}

impl Io {
    pub(crate) fn new(stream: DuplexStream) -> Io {
        Io {
            stream,
            inbound: BytesMut::new(),
            out: BytesMut::new(),
            broken: false,
        }
    }

    /// Writes all output. Cancel-safe: what was not written is kept.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write_buf(&mut self.out).await {
                Ok(count) if count > 0 => {}
                Ok(_) => return self.lost(io::ErrorKind::WriteZero.into()),
                Err(error) => return self.lost(error),
            }
        }
        Ok(())
    }

    fn lost(&mut self, error: io::Error) -> io::Result<()> {
        self.broken = true;
        self.out.clear();
        Err(error)
    }

    /// The kind of the next message, once it is whole.
    pub(crate) fn next_kind(&self) -> Option<u8> {
        let [kind, length @ ..] = *self.inbound.first_chunk::<5>()?;
        let whole = u32::from_be_bytes(length) as usize + 1;
        (self.inbound.len() >= whole).then_some(kind)
    }

    /// The next message. What is written for the client goes out before it is waited for. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<(u8, Bytes), Gone> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            self.flush().await?;
            self.shrink();
            if self.stream.read_buf(&mut self.inbound).await? == 0 {
                return Err(Gone::Closed);
            }
        }
    }

    /// The next piece of the data of a COPY FROM STDIN; `None` at its end. Cancel-safe.
    ///
    /// # Errors
    /// 57014 where the client gives up, 08P01 for a message that does not belong there, 08006 when it is gone.
    pub(crate) async fn next_copy(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.next().await {
                Ok((b'd', data)) => return Ok(Some(data)),
                Ok((b'c', _)) => return Ok(None),
                Ok((b'f', why)) => {
                    let why = why.strip_suffix(b"\0").unwrap_or(&why);
                    let why = String::from_utf8_lossy(why);
                    let told = format!("COPY from stdin failed: {why}");
                    return Err(Error::new("57014", told));
                }
                // A client need not know when the copy begins.
                Ok((b'H' | b'S', _)) => {}
                Ok((kind, _)) if kind != b'X' => {
                    let told =
                        format!("unexpected message type 0x{kind:02X} during COPY from stdin");
                    return Err(Error::new("08P01", told));
                }
                Ok(_) | Err(_) => {
                    self.broken = true;
                    let told = "unexpected EOF on client connection with an open transaction";
                    return Err(Error::new("08006", told));
                }
            }
        }
    }

    fn take_frame(&mut self) -> Result<Option<(u8, Bytes)>, Gone> {
        let Some([kind, length @ ..]) = self.inbound.first_chunk::<5>().copied() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(length) as usize;
        if !(4..=MOST).contains(&length) {
            let told = Report::fatal("08P01", "invalid message length");
            return Err(Gone::Malformed(told));
        }
        if self.inbound.len() <= length {
            self.inbound
                .reserve((length + 1 - self.inbound.len()).min(SEND_AT));
            return Ok(None);
        }
        self.inbound.advance(5);
        Ok(Some((kind, self.inbound.split_to(length - 4).freeze())))
    }

    /// A first packet, without its length. `None` when the client went without a word.
    pub(crate) async fn startup(&mut self) -> Result<Option<Bytes>, Gone> {
        loop {
            if let Some(length) = self.inbound.first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if !(8..=startup::MOST).contains(&length) {
                    let told = Report::fatal("08P01", "invalid length of startup packet");
                    return Err(Gone::Malformed(told));
                }
                if self.inbound.len() >= length {
                    self.inbound.advance(4);
                    return Ok(Some(self.inbound.split_to(length - 4).freeze()));
                }
            }
            self.flush().await?;
            if self.stream.read_buf(&mut self.inbound).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// An idle session holds no large buffers.
    fn shrink(&mut self) {
        if self.inbound.is_empty() && self.inbound.capacity() > KEEP {
            self.inbound = BytesMut::new();
        }
        if self.out.capacity() > KEEP {
            self.out = BytesMut::new();
        }
    }

    /// One byte that is no message.
    pub(crate) fn put_byte(&mut self, byte: u8) {
        self.out.extend_from_slice(&[byte]);
    }
}
