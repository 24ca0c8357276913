//! From accept to the first `ReadyForQuery`: TLS, the startup packet, and authentication passed through.

use std::{io, sync::Arc};

use bytes::{BufMut as _, Bytes, BytesMut};
use crossfade_phase::Side;
use crossfade_store::{StoreError, postgres::conn::Stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    cancel,
    errors::ClientError,
    shared::Shared,
    wire::{HEADER, ProtocolError, Startup, StartupError, backend, frontend_limit, read_startup},
};

/// A session that has passed its server's authentication.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) client: Stream,
    pub(crate) server: Stream,
    /// Side of `server`.
    pub(crate) side: Side,
    /// Startup parameters as the client sent them.
    pub(crate) parameters: Vec<(String, String)>,
    /// `ParameterStatus` values that the client was told.
    pub(crate) status: Vec<(String, String)>,
    /// Body of `BackendKeyData`.
    pub(crate) key: Option<Bytes>,
    /// Whether toggles concern the session: it is in the mapped database and no replication connection.
    pub(crate) mapped: bool,
}

/// Why no session came about. The client has been told whatever can be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("client: {0}")]
    Client(#[from] io::Error),
    #[error("client: {0}")]
    Startup(#[from] StartupError),
    #[error("client: {0}")]
    Protocol(#[from] ProtocolError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Refused(ClientError),
    /// The server said no; its own error went to the client.
    #[error("the server refused the login")]
    ByServer,
}

/// Greets a client and passes its authentication through. `None` when there is no session to serve: a probe, a cancel request.
///
/// Not cancel-safe; when dropped both connections close.
pub(crate) async fn login(
    shared: &Arc<Shared>,
    tls: Option<&TlsAcceptor>,
    tcp: TcpStream,
) -> Result<Option<LoggedIn>, LoginError> {
    let mut client = Stream::Plain(tcp);
    let start = match greet(shared, tls, &mut client).await {
        Ok(Some(start)) => start,
        Ok(None) => return Ok(None),
        Err(error) => {
            refuse(&mut client, &error).await;
            return Err(error);
        }
    };
    match pass_through(shared, &mut client, start).await {
        Ok(logged_in) => Ok(Some(logged_in.with_client(client))),
        Err(error) => {
            refuse(&mut client, &error).await;
            Err(error)
        }
    }
}

async fn refuse(client: &mut Stream, error: &LoginError) {
    let told = match error {
        LoginError::Client(_) | LoginError::ByServer | LoginError::Startup(StartupError::Io(_)) => {
            return;
        }
        LoginError::Startup(error) => ClientError::new("08P01", error.to_string()),
        LoginError::Protocol(error) => ClientError::new("08P01", error.to_string()),
        LoginError::Refused(error) => error.clone(),
        LoginError::Store(error) => ClientError::new(
            "08001",
            "crossfade cannot reach the database server",
        )
        .detail(error.to_string())
        .hint(
            "the server may be starting or switched off; try again, and see the log of crossfade",
        ),
    };
    let mut out = BytesMut::new();
    told.write(&mut out, "FATAL");
    // The client may be gone already; the error is in the log either way.
    if client.write_all(&out).await.is_ok() && client.shutdown().await.is_ok() {
        tracing::debug!(
            sqlstate = told.sqlstate,
            "told the client why it was refused"
        );
    }
}

struct Start {
    packet: Bytes,
    parameters: Vec<(String, String)>,
}

async fn greet(
    shared: &Arc<Shared>,
    tls: Option<&TlsAcceptor>,
    client: &mut Stream,
) -> Result<Option<Start>, LoginError> {
    loop {
        match read_startup(client).await? {
            None => return Ok(None),
            Some(Startup::Cancel { process_id, secret }) => {
                cancel::cancel(shared, process_id, &secret).await;
                return Ok(None);
            }
            Some(Startup::GssEnc) => client.write_all(b"N").await?,
            Some(Startup::Ssl) => match (tls, &mut *client) {
                (Some(acceptor), Stream::Plain(tcp)) => {
                    tcp.write_all(b"S").await?;
                    let tcp = std::mem::replace(client, closed_stream()?);
                    let Stream::Plain(tcp) = tcp else {
                        return Err(io::Error::from(io::ErrorKind::InvalidData).into());
                    };
                    *client = Stream::Tls(Box::new(acceptor.accept(tcp).await?.into()));
                }
                (_, Stream::Tls(_)) => return Err(ProtocolError::Kind { kind: b'S' }.into()),
                (None, Stream::Plain(_)) | (_, Stream::Local(_)) => client.write_all(b"N").await?,
            },
            Some(Startup::Start { version, .. }) if version >> 16 != 3 => {
                let told = format!(
                    "unsupported frontend protocol {}.{}: crossfade speaks 3.x",
                    version >> 16,
                    version & 0xffff
                );
                return Err(LoginError::Refused(ClientError::new("0A000", told)));
            }
            Some(Startup::Start {
                packet, parameters, ..
            }) => {
                let required = shared
                    .config
                    .load()
                    .tls
                    .as_ref()
                    .is_some_and(|tls| tls.required);
                if required && !client.is_tls() {
                    let told = ClientError::new("28000", "crossfade takes TLS connections only")
                        .hint("connect with sslmode=require");
                    return Err(LoginError::Refused(told));
                }
                return Ok(Some(Start { packet, parameters }));
            }
        }
    }
}

/// A stream that stands in while the real one is being wrapped.
fn closed_stream() -> io::Result<Stream> {
    let socket = std::net::TcpStream::from(socket2::Socket::new(
        socket2::Domain::IPV4,
        socket2::Type::STREAM,
        None,
    )?);
    socket.set_nonblocking(true)?;
    Ok(Stream::Plain(TcpStream::from_std(socket)?))
}

struct Passed {
    server: Stream,
    side: Side,
    parameters: Vec<(String, String)>,
    status: Vec<(String, String)>,
    key: Option<Bytes>,
    mapped: bool,
}

impl Passed {
    fn with_client(self, client: Stream) -> LoggedIn {
        let Passed {
            server,
            side,
            parameters,
            status,
            key,
            mapped,
        } = self;
        LoggedIn {
            client,
            server,
            side,
            parameters,
            status,
            key,
            mapped,
        }
    }
}

async fn pass_through(
    shared: &Shared,
    client: &mut Stream,
    start: Start,
) -> Result<Passed, LoginError> {
    let value = |name: &str| {
        start
            .parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let database = value("database").or(value("user")).unwrap_or_default();
    let replication =
        value("replication").is_some_and(|value| !matches!(value, "false" | "off" | "no" | "0"));
    let mapped = database == shared.config.load().old.url.database && !replication;
    let side = if mapped {
        shared.login_side()
    } else {
        Side::Old
    };
    let endpoint = shared.endpoint(side)?;
    let mut server = endpoint.open().await?;
    let renamed = side == Side::New && endpoint.config.url.database != database;
    let packet = if renamed {
        with_database(&start, &endpoint.config.url.database)
    } else {
        start.packet
    };
    server.write_all(&packet).await?;
    server.flush().await?;
    let mut passing = Passing {
        client,
        server,
        inbound: BytesMut::new(),
        status: Vec::new(),
        key: None,
    };
    passing.run().await?;
    let Passing {
        server,
        status,
        key,
        ..
    } = passing;
    Ok(Passed {
        server,
        side,
        parameters: start.parameters,
        status,
        key,
        mapped,
    })
}

fn with_database(start: &Start, database: &str) -> Bytes {
    let mut packet = BytesMut::new();
    packet.put_slice(&start.packet[..8]);
    let named = start
        .parameters
        .iter()
        .filter(|(name, _)| name != "database")
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in named.chain([("database", database)]) {
        for text in [name, value] {
            packet.put_slice(text.as_bytes());
            packet.put_u8(0);
        }
    }
    packet.put_u8(0);
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    packet[..4].copy_from_slice(&length.to_be_bytes());
    packet.freeze()
}

struct Passing<'a> {
    client: &'a mut Stream,
    server: Stream,
    inbound: BytesMut,
    status: Vec<(String, String)>,
    key: Option<Bytes>,
}

impl Passing<'_> {
    async fn run(&mut self) -> Result<(), LoginError> {
        loop {
            let (kind, body) = self.receive().await?;
            let mut out = BytesMut::new();
            let mut answered = false;
            match (
                kind,
                body.first_chunk().map(|code| u32::from_be_bytes(*code)),
            ) {
                // AuthenticationSASL. Channel binding ties the client's proof to the certificate it sees, which is ours and
                // not the server's: only mechanisms without it can be passed through.
                (b'R', Some(10)) => {
                    backend::with_body(&mut out, b'R', &without_channel_binding(&body));
                    answered = true;
                }
                // AuthenticationOk and AuthenticationSASLFinal want no answer; every other request does.
                (b'R', code) => {
                    backend::with_body(&mut out, b'R', &body);
                    answered = !matches!(code, Some(0 | 12));
                }
                _ => backend::with_body(&mut out, kind, &body),
            }
            self.note(kind, &body);
            self.client.write_all(&out).await?;
            match kind {
                b'Z' => return Ok(self.client.flush().await?),
                b'E' => {
                    self.client.flush().await?;
                    return Err(LoginError::ByServer);
                }
                _ if answered => {
                    self.client.flush().await?;
                    self.answer().await?;
                }
                _ => {}
            }
        }
    }

    fn note(&mut self, kind: u8, body: &Bytes) {
        match kind {
            b'K' => self.key = Some(body.clone()),
            b'S' => {
                let mut rest = &body[..];
                if let (Some(name), Some(value)) = (
                    crate::wire::take_cstr(&mut rest),
                    crate::wire::take_cstr(&mut rest),
                ) {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    self.status.push((text(name), text(value)));
                }
            }
            _ => {}
        }
    }

    /// Passes one message of the client on.
    async fn answer(&mut self) -> Result<(), LoginError> {
        let mut header = [0; HEADER];
        self.client.read_exact(&mut header).await?;
        let [kind, length @ ..] = header;
        let length = u32::from_be_bytes(length);
        // PG_MAX_AUTH_TOKEN_LENGTH is 65,535; nothing that a client sends before it is known may cost more memory.
        if kind != b'p' || frontend_limit(kind).is_none() {
            return Err(ProtocolError::Kind { kind }.into());
        }
        if !(4..=65_535).contains(&length) {
            return Err(ProtocolError::Length { kind, length }.into());
        }
        let mut message = vec![0; length as usize + 1];
        message[..HEADER].copy_from_slice(&header);
        self.client.read_exact(&mut message[HEADER..]).await?;
        self.server.write_all(&message).await?;
        self.server.flush().await?;
        Ok(())
    }

    async fn receive(&mut self) -> Result<(u8, Bytes), LoginError> {
        loop {
            if let Some((kind, length)) = header(&self.inbound)?
                && self.inbound.len() >= HEADER + length
            {
                let mut message = self.inbound.split_to(HEADER + length);
                return Ok((kind, message.split_off(HEADER).freeze()));
            }
            if self.server.read_buf(&mut self.inbound).await? == 0 {
                return Err(LoginError::Client(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

/// Type and body length of the message at the start of `bytes`, once its header is whole.
pub(crate) fn header(bytes: &[u8]) -> Result<Option<(u8, usize)>, ProtocolError> {
    let Some([kind, length @ ..]) = bytes.first_chunk::<HEADER>().copied() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(length);
    match length.checked_sub(4) {
        Some(body) if length <= i32::MAX.unsigned_abs() => Ok(Some((kind, body as usize))),
        _ => Err(ProtocolError::Length { kind, length }),
    }
}

fn without_channel_binding(body: &[u8]) -> Vec<u8> {
    let mut out = body[..4].to_vec();
    let mut rest = &body[4..];
    while let Some(mechanism) = crate::wire::take_cstr(&mut rest) {
        if !mechanism.ends_with(b"-PLUS") {
            out.extend_from_slice(mechanism);
            out.push(0);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_with_channel_binding_are_not_offered() {
        let body = b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
        assert_eq!(
            without_channel_binding(body),
            b"\0\0\0\x0aSCRAM-SHA-256\0\0"
        );
    }
}
