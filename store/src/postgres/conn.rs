//! Raw connections to a PostgreSQL server: the stream, the TLS handshake, and the login of the proxy's own account.
//!
//! The session path speaks frames itself and needs neither a task nor a channel for each connection, so it does not go
//! through `tokio-postgres`.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use crossfade_config::{StoreConfig, StoreUrl};
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    },
    message::{
        backend::{self, Message},
        frontend,
    },
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, TlsStream};

use super::tls;
use crate::StoreError;

/// A connection of either role: TCP, in the clear or under TLS, or to a server within the process.
#[derive(Debug)]
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// Within the process.
    Local(DuplexStream),
}

impl Stream {
    /// Whether the stream is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Local(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Local(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Local(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Local(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A server within the process that speaks PostgreSQL's protocol for a store that is none.
pub trait LocalServer: Send + Sync + fmt::Debug {
    /// Opens a connection, served by a task on the caller's runtime. With `trusted`, whatever account the startup packet names is let in:
    /// it is the proxy's own, which needs no password within its own process. Otherwise the server authenticates the client.
    fn connect(&self, trusted: bool) -> DuplexStream;
}

/// How to reach one PostgreSQL server; built once, shared by all sessions.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The store as configured.
    pub config: StoreConfig,
    reach: Reach,
}

#[derive(Debug, Clone)]
enum Reach {
    Tcp(Option<Arc<ClientConfig>>),
    Local(Arc<dyn LocalServer>),
}

impl Endpoint {
    /// Reads the certificates that the URL names.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn new(config: StoreConfig) -> Result<Endpoint, StoreError> {
        let reach = Reach::Tcp(tls::client_config(&config.url)?);
        Ok(Endpoint { config, reach })
    }

    /// A store whose server is part of this process.
    #[must_use]
    pub fn local(config: StoreConfig, server: Arc<dyn LocalServer>) -> Endpoint {
        let reach = Reach::Local(server);
        Endpoint { config, reach }
    }

    /// Connects for a client, which authenticates itself, and does the TLS handshake, within the configured `connect_timeout`. Cancel-safe.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not offer the TLS that is asked for.
    pub async fn open(&self) -> Result<Stream, StoreError> {
        let within = self.config.connect_timeout;
        tokio::time::timeout(within, self.open_now(false))
            .await
            .map_err(|_| StoreError::TimedOut {
                store: self.config.url.to_string(),
                after: within,
            })?
    }

    async fn open_now(&self, trusted: bool) -> Result<Stream, StoreError> {
        match &self.reach {
            Reach::Tcp(tls) => self.dial(tls.as_ref()).await,
            Reach::Local(server) => Ok(Stream::Local(server.connect(trusted))),
        }
    }

    async fn dial(&self, tls: Option<&Arc<ClientConfig>>) -> Result<Stream, StoreError> {
        let url = &self.config.url;
        let broken = |error: io::Error| StoreError::unreachable(url, &error);
        let mut tcp = TcpStream::connect((url.host.as_str(), url.port))
            .await
            .map_err(broken)?;
        tcp.set_nodelay(true).map_err(broken)?;
        let Some(config) = tls else {
            return Ok(Stream::Plain(tcp));
        };
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        tcp.write_all(&request).await.map_err(broken)?;
        // One byte and no more: what a server sends before the handshake must not be taken for its part of it.
        match tcp.read_u8().await.map_err(broken)? {
            b'S' => {
                let name =
                    ServerName::try_from(url.host.clone()).map_err(|error| StoreError::Setup {
                        store: url.to_string(),
                        reason: error.to_string(),
                    })?;
                let stream = TlsConnector::from(config.clone())
                    .connect(name, tcp)
                    .await
                    .map_err(broken)?;
                Ok(Stream::Tls(Box::new(stream.into())))
            }
            _ if tls::may_be_plain(url.tls) => Ok(Stream::Plain(tcp)),
            _ => Err(StoreError::Setup {
                store: url.to_string(),
                reason: "the server does not offer TLS".to_owned(),
            }),
        }
    }

    /// Connects as the proxy's own account, with `settings` as further startup parameters. Cancel-safe.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses the account.
    pub async fn login(&self, settings: &[(&str, &str)]) -> Result<Login, StoreError> {
        let within = self.config.connect_timeout;
        tokio::time::timeout(within, async {
            let stream = self.open_now(true).await?;
            authenticate(stream, &self.config.url, settings).await
        })
        .await
        .map_err(|_| StoreError::TimedOut {
            store: self.config.url.to_string(),
            after: within,
        })?
    }

    /// Asks the server to cancel what the backend with this key is doing.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn cancel(&self, key: BackendKey) -> Result<(), StoreError> {
        let mut stream = self.open().await?;
        let mut request = BytesMut::new();
        frontend::cancel_request(key.process_id, key.secret, &mut request);
        let broken = |error: io::Error| StoreError::unreachable(&self.config.url, &error);
        stream.write_all(&request).await.map_err(broken)?;
        // The server closes when it has dealt with it; only then may the caller think that it has.
        let mut rest = [0; 1];
        stream.read(&mut rest).await.map_err(broken)?;
        Ok(())
    }
}

/// What a CancelRequest names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackendKey {
    /// Process id of the backend.
    pub process_id: i32,
    /// Its secret.
    pub secret: i32,
}

/// A connection that is logged in and ready for a query.
#[derive(Debug)]
pub struct Login {
    /// The stream, just after `ReadyForQuery`.
    pub stream: Stream,
    /// For a CancelRequest.
    pub key: BackendKey,
    /// `ParameterStatus` values in the order the server sent them.
    pub parameters: Vec<(String, String)>,
}

async fn authenticate(
    mut stream: Stream,
    url: &StoreUrl,
    settings: &[(&str, &str)],
) -> Result<Login, StoreError> {
    let mut parameters = vec![
        ("user", url.user.as_str()),
        ("database", url.database.as_str()),
    ];
    parameters.extend_from_slice(settings);
    let mut out = BytesMut::new();
    frontend::startup_message(parameters, &mut out)
        .map_err(|error| StoreError::unreachable(url, &error))?;
    let mut peer = Peer {
        stream: &mut stream,
        inbound: BytesMut::new(),
        url,
    };
    peer.send(&mut out).await?;
    let mut scram = None;
    loop {
        match peer.receive().await? {
            Message::AuthenticationOk => break,
            Message::AuthenticationCleartextPassword => {
                frontend::password_message(peer.password()?, &mut out)
                    .map_err(|error| StoreError::unreachable(url, &error))?;
            }
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(url.user.as_bytes(), peer.password()?, body.salt());
                frontend::password_message(hash.as_bytes(), &mut out)
                    .map_err(|error| StoreError::unreachable(url, &error))?;
            }
            Message::AuthenticationSasl(body) => {
                let mut mechanisms = body.mechanisms();
                let mut offered = false;
                while let Ok(Some(mechanism)) =
                    fallible_iterator::FallibleIterator::next(&mut mechanisms)
                {
                    offered |= mechanism == SCRAM_SHA_256;
                }
                if !offered {
                    return Err(peer.unexpected("the server offers no SCRAM-SHA-256"));
                }
                let client = scram.insert(ScramSha256::new(
                    peer.password()?,
                    ChannelBinding::unsupported(),
                ));
                frontend::sasl_initial_response(SCRAM_SHA_256, client.message(), &mut out)
                    .map_err(|error| StoreError::unreachable(url, &error))?;
            }
            Message::AuthenticationSaslContinue(body) => {
                let client = scram
                    .as_mut()
                    .ok_or_else(|| peer.unexpected("a SASL message out of order"))?;
                client
                    .update(body.data())
                    .map_err(|error| StoreError::unreachable(url, &error))?;
                frontend::sasl_response(client.message(), &mut out)
                    .map_err(|error| StoreError::unreachable(url, &error))?;
            }
            Message::AuthenticationSaslFinal(body) => {
                let client = scram
                    .as_mut()
                    .ok_or_else(|| peer.unexpected("a SASL message out of order"))?;
                client
                    .finish(body.data())
                    .map_err(|error| StoreError::unreachable(url, &error))?;
            }
            other => return Err(peer.refused(other)),
        }
        peer.send(&mut out).await?;
    }
    peer.until_ready().await.map(|(key, parameters)| Login {
        stream,
        key,
        parameters,
    })
}

struct Peer<'a> {
    stream: &'a mut Stream,
    inbound: BytesMut,
    url: &'a StoreUrl,
}

impl Peer<'_> {
    async fn send(&mut self, out: &mut BytesMut) -> Result<(), StoreError> {
        self.stream
            .write_all(out)
            .await
            .map_err(|error| StoreError::unreachable(self.url, &error))?;
        self.stream
            .flush()
            .await
            .map_err(|error| StoreError::unreachable(self.url, &error))?;
        out.clear();
        Ok(())
    }

    async fn receive(&mut self) -> Result<Message, StoreError> {
        loop {
            let broken = |error: io::Error| StoreError::unreachable(self.url, &error);
            if let Some(message) = Message::parse(&mut self.inbound).map_err(broken)? {
                return Ok(message);
            }
            if self
                .stream
                .read_buf(&mut self.inbound)
                .await
                .map_err(broken)?
                == 0
            {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    async fn until_ready(&mut self) -> Result<(BackendKey, Vec<(String, String)>), StoreError> {
        let mut key = BackendKey {
            process_id: 0,
            secret: 0,
        };
        let mut parameters = Vec::new();
        loop {
            match self.receive().await? {
                Message::BackendKeyData(body) => {
                    key = BackendKey {
                        process_id: body.process_id(),
                        secret: body.secret_key(),
                    };
                }
                Message::ParameterStatus(body) => {
                    let text = |part: io::Result<&str>| {
                        part.map(str::to_owned)
                            .map_err(|error| StoreError::unreachable(self.url, &error))
                    };
                    parameters.push((text(body.name())?, text(body.value())?));
                }
                Message::ReadyForQuery(_) if self.inbound.has_remaining() => {
                    return Err(self.unexpected("data after the first ReadyForQuery"));
                }
                Message::ReadyForQuery(_) => return Ok((key, parameters)),
                Message::NoticeResponse(_) => {}
                other => return Err(self.refused(other)),
            }
        }
    }

    fn password(&self) -> Result<&[u8], StoreError> {
        self.url.password.as_deref().map(str::as_bytes).ok_or_else(|| StoreError::Setup {
            store: self.url.to_string(),
            reason: "the server asks for a password and the configuration has none; set it in the url or in password_file".to_owned(),
        })
    }

    fn unexpected(&self, what: &str) -> StoreError {
        StoreError::unexpected(self.url, what)
    }

    fn refused(&self, message: Message) -> StoreError {
        match message {
            Message::ErrorResponse(body) => rejected(self.url, &body),
            _ => self.unexpected("a message that has no place in a login"),
        }
    }
}

/// The server's own error, as a [`StoreError`].
pub(crate) fn rejected(url: &StoreUrl, body: &backend::ErrorResponseBody) -> StoreError {
    let (mut sqlstate, mut message, mut constraint) = (String::new(), String::new(), None);
    let mut fields = body.fields();
    while let Ok(Some(field)) = fallible_iterator::FallibleIterator::next(&mut fields) {
        let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => sqlstate = value,
            b'M' => message = value,
            b'D' => {
                message.push_str("; ");
                message.push_str(&value);
            }
            b'n' => constraint = Some(value),
            _ => {}
        }
    }
    StoreError::Rejected {
        store: url.to_string(),
        sqlstate,
        message,
        constraint,
    }
}
