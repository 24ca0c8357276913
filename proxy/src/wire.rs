//! PostgreSQL's protocol, version 3, as far as the proxy has to read and write it.
//!
//! The relay only walks over message headers ([`Walker`]); the modules below take apart and put together the few messages that a
//! dual phase has to change. Message names are those of the PostgreSQL documentation, chapter "Frontend/Backend Protocol".

pub mod backend;
pub mod frontend;
mod startup;
mod walk;

pub use startup::{Startup, StartupError, read_startup};
pub use walk::{Step, Walker, frontend_limit};

/// Bytes of a message's type and length.
pub const HEADER: usize = 5;

/// Input that the protocol does not allow. The connection is closed: what follows cannot be told apart any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A length below the minimum or above what the type allows.
    #[error("invalid length {length} of a message of type \"{}\"", kind.escape_ascii())]
    Length {
        /// Type of the message.
        kind: u8,
        /// The length as sent.
        length: u32,
    },
    /// A type that no client sends.
    #[error("invalid message type \"{}\"", kind.escape_ascii())]
    Kind {
        /// Type of the message.
        kind: u8,
    },
    /// A body that does not hold what its type says.
    #[error("malformed message of type \"{}\"", kind.escape_ascii())]
    Body {
        /// Type of the message.
        kind: u8,
    },
}

/// Splits a string that ends with a zero byte off `body`.
pub(crate) fn take_cstr<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = body.iter().position(|&byte| byte == 0)?;
    let text = &body[..end];
    *body = &body[end + 1..];
    Some(text)
}

/// Splits an unsigned 16-bit number off `body`.
pub(crate) fn take_u16(body: &mut &[u8]) -> Option<u16> {
    let (number, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(u16::from_be_bytes(*number))
}

/// Splits a signed 32-bit number off `body`.
pub(crate) fn take_i32(body: &mut &[u8]) -> Option<i32> {
    let (number, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(i32::from_be_bytes(*number))
}
