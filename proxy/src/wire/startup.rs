//! The first packets of a connection, which have no type byte.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest startup packet PostgreSQL takes (`MAX_STARTUP_PACKET_LENGTH`).
const MAX_STARTUP: usize = 10_000;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;

/// A first packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Startup {
    /// The client asks for TLS.
    Ssl,
    /// The client asks for GSSAPI encryption.
    GssEnc,
    /// The client asks to cancel what another connection does.
    Cancel {
        /// Process id of the backend.
        process_id: i32,
        /// Its secret, as sent.
        secret: Bytes,
    },
    /// The client asks to begin.
    Start {
        /// The whole packet as sent.
        packet: Bytes,
        /// Protocol version as sent.
        version: u32,
        /// The parameters, in order.
        parameters: Vec<(String, String)>,
    },
}

/// A first packet that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// The client is gone.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Length outside of what the protocol allows.
    #[error("invalid length of startup packet")]
    Length,
    /// The body does not hold what it should.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
}

/// Reads one first packet. `None` when the client closed without sending anything, as probes of load balancers do.
///
/// Takes no byte beyond the packet. Not cancel-safe: a dropped call may have taken part of the packet.
///
/// # Errors
/// When the client is gone half way or the packet is malformed.
pub async fn read_startup(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<Startup>, StartupError> {
    let mut length = [0; 4];
    let first = stream.read(&mut length).await?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[first..]).await?;
    let length = u32::from_be_bytes(length) as usize;
    if !(8..=MAX_STARTUP).contains(&length) {
        return Err(StartupError::Length);
    }
    let mut packet = BytesMut::zeroed(length);
    #[allow(clippy::cast_possible_truncation)] // at most MAX_STARTUP
    packet[..4].copy_from_slice(&(length as u32).to_be_bytes());
    stream.read_exact(&mut packet[4..]).await?;
    let packet = packet.freeze();
    let mut body = packet.slice(4..);
    match body.get_u32() {
        SSL_REQUEST => Ok(Some(Startup::Ssl)),
        GSSENC_REQUEST => Ok(Some(Startup::GssEnc)),
        CANCEL_REQUEST if body.len() > 4 => Ok(Some(Startup::Cancel {
            process_id: body.get_i32(),
            secret: body,
        })),
        version => {
            let parameters = parameters(&body).ok_or(StartupError::Layout)?;
            Ok(Some(Startup::Start {
                packet,
                version,
                parameters,
            }))
        }
    }
}

fn parameters(mut body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut parameters = Vec::new();
    loop {
        let name = super::take_cstr(&mut body)?;
        if name.is_empty() {
            return body.is_empty().then_some(parameters);
        }
        let value = super::take_cstr(&mut body)?;
        parameters.push((text(name), text(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Option<Startup>, StartupError> {
        read_startup(&mut &*bytes).await
    }

    #[tokio::test]
    async fn a_start_is_read_whole_and_nothing_beyond_it() {
        let body = b"\0\0\0\x1e\0\x03\0\0user\0app\0database\0s\0\0";
        let mut stream: Vec<u8> = body.to_vec();
        stream[3] = u8::try_from(body.len()).unwrap();
        stream.extend_from_slice(b"rest");
        let mut reader = &stream[..];
        let Some(Startup::Start {
            parameters,
            version,
            ..
        }) = read_startup(&mut reader).await.unwrap()
        else {
            panic!()
        };
        assert_eq!(version, 0x0003_0000);
        assert_eq!(
            parameters,
            [
                ("user".into(), "app".into()),
                ("database".into(), "s".into())
            ]
        );
        assert_eq!(reader, b"rest");
    }

    #[tokio::test]
    async fn lengths_outside_of_the_protocol_are_refused_before_anything_is_allocated() {
        for length in [0_u32, 7, 10_001, u32::MAX] {
            assert!(matches!(
                read(&length.to_be_bytes()).await,
                Err(StartupError::Length)
            ));
        }
    }

    #[tokio::test]
    async fn a_packet_without_its_last_zero_is_refused() {
        assert!(matches!(
            read(b"\0\0\0\x0d\0\x03\0\0user\0").await,
            Err(StartupError::Layout)
        ));
    }
}
