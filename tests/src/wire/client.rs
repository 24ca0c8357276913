//! A raw connection.

use std::{io, net::SocketAddr};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split},
    net::TcpStream,
};

use super::{Frame, messages, tls};
use crate::within;

/// Longest wait for an answer: far above what a busy machine needs, far below what a test may take.
const PATIENCE_S: u64 = 20;

/// A byte stream, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Stream for S {}

/// A connection that sends and receives single frames. Every wait is bounded: a silent peer fails the test.
#[derive(Debug)]
pub struct Wire {
    reader: Reader,
    writer: Writer,
    /// The body of BackendKeyData, once signed in.
    pub(super) key_data: Bytes,
}

/// The half that receives.
#[derive(Debug)]
pub struct Reader {
    stream: ReadHalf<Box<dyn Stream>>,
    received: BytesMut,
}

/// The half that sends.
#[derive(Debug)]
pub struct Writer(WriteHalf<Box<dyn Stream>>);

impl Wire {
    /// A bare TCP connection: nothing is sent.
    pub async fn connect(addr: SocketAddr) -> Wire {
        let stream = within(PATIENCE_S, "connect", TcpStream::connect(addr))
            .await
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Wire::over(Box::new(stream))
    }

    /// Encrypts the connection; the peer must already have answered `S` to an SSLRequest.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn encrypt(self) -> io::Result<Wire> {
        let Wire { reader, writer, .. } = self;
        assert!(
            reader.received.is_empty(),
            "the peer sent {:?} before the handshake",
            reader.received
        );
        let stream = reader.stream.unsplit(writer.0);
        Ok(Wire::over(
            within(PATIENCE_S, "TLS handshake", tls::connect(stream)).await?,
        ))
    }

    fn over(stream: Box<dyn Stream>) -> Wire {
        let (read, write) = split(stream);
        let reader = Reader {
            stream: read,
            received: BytesMut::new(),
        };
        Wire {
            reader,
            writer: Writer(write),
            key_data: Bytes::new(),
        }
    }

    /// Both halves, to send and receive at the same time.
    pub fn split(&mut self) -> (&mut Reader, &mut Writer) {
        (&mut self.reader, &mut self.writer)
    }

    /// The body of BackendKeyData as the peer sent it.
    #[must_use]
    pub fn key_data(&self) -> &Bytes {
        &self.key_data
    }

    /// Sends these messages in one write.
    ///
    /// # Panics
    /// When the connection is closed.
    pub async fn send(&mut self, messages: &[Bytes]) {
        self.writer.send(messages).await;
    }

    /// As [`Wire::send`], for a peer that may have hung up.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn try_send(&mut self, messages: &[Bytes]) -> io::Result<()> {
        self.writer.try_send(messages).await
    }

    /// Closes our half of the connection.
    pub async fn shutdown(&mut self) {
        // The peer may have closed its own already.
        let _ = self.writer.0.shutdown().await;
    }

    /// One byte, outside of any frame: the answer to SSLRequest.
    ///
    /// # Panics
    /// When the connection is closed instead.
    pub async fn byte(&mut self) -> u8 {
        self.try_byte()
            .await
            .expect("closed instead of an answer of one byte")
    }

    /// As [`Wire::byte`]; `None` when the connection is closed instead.
    pub async fn try_byte(&mut self) -> Option<u8> {
        while self.reader.received.is_empty() {
            if !self.reader.fill().await {
                return None;
            }
        }
        Some(self.reader.received.split_to(1)[0])
    }

    /// The next frame; `None` when the peer closed the connection in order or reset it.
    pub async fn try_frame(&mut self) -> Option<Frame> {
        self.reader.try_frame().await
    }

    /// The next frame.
    ///
    /// # Panics
    /// When the connection is closed instead.
    pub async fn frame(&mut self) -> Frame {
        self.reader.frame().await
    }

    /// Every frame up to and including one of type `tag`.
    pub async fn until(&mut self, tag: u8) -> Vec<Frame> {
        self.reader.until(tag).await
    }

    /// Every frame up to and including ReadyForQuery.
    pub async fn ready(&mut self) -> Vec<Frame> {
        self.reader.ready().await
    }

    /// Sends messages and takes the answers up to ReadyForQuery.
    pub async fn ask(&mut self, messages: &[Bytes]) -> Vec<Frame> {
        self.send(messages).await;
        self.ready().await
    }

    /// A simple query and its answers.
    pub async fn query(&mut self, sql: &str) -> Vec<Frame> {
        self.ask(&[messages::query(sql)]).await
    }

    /// Every frame until the peer closes the connection.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.try_frame().await {
            frames.push(frame);
        }
        frames
    }

    /// Every byte until the peer closes the connection, in frames or not.
    pub async fn raw_rest(&mut self) -> Bytes {
        while self.reader.fill().await {}
        self.reader.received.split().freeze()
    }

    /// Asserts that nothing arrives for a while.
    ///
    /// # Panics
    /// When something does.
    pub async fn silence(&mut self, ms: u64) {
        let next =
            tokio::time::timeout(std::time::Duration::from_millis(ms), self.try_frame()).await;
        assert!(next.is_err(), "expected silence, got {next:?}");
    }
}

impl Writer {
    /// As [`Wire::send`].
    ///
    /// # Panics
    /// When the connection is closed.
    pub async fn send(&mut self, messages: &[Bytes]) {
        self.try_send(messages).await.unwrap();
    }

    /// As [`Wire::try_send`].
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn try_send(&mut self, messages: &[Bytes]) -> io::Result<()> {
        let bytes = messages.concat();
        within(PATIENCE_S, "send", async {
            self.0.write_all(&bytes).await?;
            self.0.flush().await
        })
        .await
    }
}

impl Reader {
    /// As [`Wire::try_frame`].
    ///
    /// # Panics
    /// When the stream ends inside a frame.
    pub async fn try_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Frame::take(&mut self.received) {
                return Some(frame);
            }
            if !self.fill().await {
                assert!(
                    self.received.is_empty(),
                    "closed in the middle of a frame: {:?}",
                    self.received
                );
                return None;
            }
        }
    }

    /// As [`Wire::frame`].
    ///
    /// # Panics
    /// When the connection is closed instead.
    pub async fn frame(&mut self) -> Frame {
        self.try_frame().await.expect("closed instead of a frame")
    }

    /// As [`Wire::until`].
    pub async fn until(&mut self, tag: u8) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await;
            let last = frame.tag == tag;
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }

    /// As [`Wire::ready`].
    pub async fn ready(&mut self) -> Vec<Frame> {
        self.until(b'Z').await
    }

    /// Takes `bytes` of the stream in whatever frames they come, and forgets them: for answers too large to keep.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn skip(&mut self, mut bytes: usize) {
        while bytes > 0 {
            assert!(
                !self.received.is_empty() || self.fill().await,
                "closed with {bytes} bytes to come"
            );
            let taken = bytes.min(self.received.len());
            drop(self.received.split_to(taken));
            bytes -= taken;
        }
    }

    /// Reads once; `false` at the end of the stream. A reset is an end too: the peer may close with our bytes unread.
    async fn fill(&mut self) -> bool {
        match within(
            PATIENCE_S,
            "an answer",
            self.stream.read_buf(&mut self.received),
        )
        .await
        {
            Ok(read) => read > 0,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => false,
            // TLS without close_notify: PostgreSQL itself hangs up like that.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => panic!("cannot read: {error}"),
        }
    }
}
