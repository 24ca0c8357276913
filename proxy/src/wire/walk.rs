//! Walks over the messages of a byte stream without holding them.

use super::{HEADER, ProtocolError};

/// Longest message PostgreSQL takes from a client (`PQ_LARGE_MESSAGE_LIMIT`, one byte below 1 GiB).
const LARGE: u32 = 0x3fff_fffe;

/// Longest of the messages that carry no data (`PQ_SMALL_MESSAGE_LIMIT`).
const SMALL: u32 = 10_000;

/// The longest a client's message of this type may be, or `None` where no client sends the type.
#[must_use]
pub fn frontend_limit(kind: u8) -> Option<u32> {
    match kind {
        b'Q' | b'P' | b'B' | b'F' | b'd' | b'p' => Some(LARGE),
        b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f' => Some(SMALL),
        _ => None,
    }
}

/// Where in a stream of messages we are. Holds no message: a message of any size may pass in pieces of any size.
#[derive(Debug, Default)]
pub struct Walker {
    header: [u8; HEADER],
    held: usize,
    body_left: usize,
}

/// What the walker has come to.
#[derive(Debug)]
pub enum Step<'a> {
    /// A header is complete: type, and length of the body in bytes.
    Head(u8, usize),
    /// Some of the body, never empty; `last` when nothing is left of it.
    Body {
        /// Type of the message.
        kind: u8,
        /// The bytes.
        bytes: &'a [u8],
        /// Whether the message ends here.
        last: bool,
    },
}

impl Walker {
    /// Whether the stream is between two messages.
    #[must_use]
    pub fn between(&self) -> bool {
        self.held == 0 && self.body_left == 0
    }

    /// Walks over `bytes` and tells `see` of each header and each piece of a body.
    ///
    /// # Errors
    /// When a length is below four, or `see` says so.
    #[inline]
    pub fn walk(
        &mut self,
        mut bytes: &[u8],
        mut see: impl FnMut(Step<'_>) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        while !bytes.is_empty() {
            if self.body_left == 0 {
                let Some((kind, body)) = self.head(&mut bytes)? else {
                    return Ok(());
                };
                self.body_left = body;
                see(Step::Head(kind, body))?;
                continue;
            }
            let here = bytes.len().min(self.body_left);
            let (body, rest) = bytes.split_at(here);
            self.body_left -= here;
            bytes = rest;
            see(Step::Body {
                kind: self.header[0],
                bytes: body,
                last: self.body_left == 0,
            })?;
        }
        Ok(())
    }

    #[inline]
    fn head(&mut self, bytes: &mut &[u8]) -> Result<Option<(u8, usize)>, ProtocolError> {
        if self.held == 0
            && let Some((header, rest)) = bytes.split_first_chunk::<HEADER>()
        {
            self.header[0] = header[0];
            *bytes = rest;
            return body_length(header).map(Some);
        }
        let wanted = (HEADER - self.held).min(bytes.len());
        self.header[self.held..self.held + wanted].copy_from_slice(&bytes[..wanted]);
        self.held += wanted;
        *bytes = &bytes[wanted..];
        if self.held < HEADER {
            return Ok(None);
        }
        self.held = 0;
        let header = self.header;
        body_length(&header).map(Some)
    }
}

#[inline]
fn body_length(header: &[u8; HEADER]) -> Result<(u8, usize), ProtocolError> {
    let [kind, length @ ..] = *header;
    let length = u32::from_be_bytes(length);
    match length.checked_sub(4) {
        Some(body) if length <= i32::MAX.unsigned_abs() => Ok((kind, body as usize)),
        _ => Err(ProtocolError::Length { kind, length }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(chunks: &[&[u8]]) -> Result<Vec<(u8, Vec<u8>)>, ProtocolError> {
        let mut walker = Walker::default();
        let mut messages: Vec<(u8, Vec<u8>)> = Vec::new();
        for chunk in chunks {
            walker.walk(chunk, |step| {
                match step {
                    Step::Head(kind, _) => messages.push((kind, Vec::new())),
                    Step::Body { bytes, .. } => {
                        messages.last_mut().unwrap().1.extend_from_slice(bytes)
                    }
                }
                Ok(())
            })?;
        }
        Ok(messages)
    }

    #[test]
    fn messages_are_the_same_however_they_are_cut() {
        let stream = b"Q\0\0\0\x08abc\0S\0\0\0\x04P\0\0\0\x06xy";
        let whole = seen(&[stream]).unwrap();
        assert_eq!(
            whole,
            [
                (b'Q', b"abc\0".to_vec()),
                (b'S', vec![]),
                (b'P', b"xy".to_vec())
            ]
        );
        for cut in 0..stream.len() {
            for second in cut..stream.len() {
                let parts = [&stream[..cut], &stream[cut..second], &stream[second..]];
                assert_eq!(seen(&parts).unwrap(), whole);
            }
        }
    }

    #[test]
    fn absurd_lengths_are_refused() {
        for length in [
            [0, 0, 0, 3],
            [0, 0, 0, 0],
            [0xff, 0xff, 0xff, 0xff],
            [0x80, 0, 0, 0],
        ] {
            let mut stream = vec![b'Q'];
            stream.extend_from_slice(&length);
            assert!(matches!(
                seen(&[&stream]),
                Err(ProtocolError::Length { kind: b'Q', .. })
            ));
        }
    }
}
