//! A message of the server.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// One message as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub tag: u8,
    /// What follows the length.
    pub body: Bytes,
}

impl Frame {
    /// Takes a whole frame off the front of `buffer`, if one is there.
    pub(super) fn take(buffer: &mut BytesMut) -> Option<Frame> {
        let length =
            usize::try_from(u32::from_be_bytes(buffer.get(1..5)?.try_into().ok()?)).ok()?;
        if buffer.len() < 1 + length {
            return None;
        }
        let tag = buffer.get_u8();
        buffer.advance(4);
        Some(Frame {
            tag,
            body: buffer.split_to(length - 4).freeze(),
        })
    }

    /// A field of an error or a notice, such as `b'C'` for the SQLSTATE.
    #[must_use]
    pub fn field(&self, code: u8) -> Option<String> {
        let fields = self.body.split(|byte| *byte == 0);
        let mut found = fields.filter(|field| field.first() == Some(&code));
        found
            .next()
            .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
    }

    /// The same without what differs from session to session: backend keys and process ids.
    #[must_use]
    pub fn comparable(mut self) -> Frame {
        match self.tag {
            b'K' => self.body = Bytes::from(vec![0; self.body.len()]),
            b'A' => self.body = [&[0; 4], &self.body[4..]].concat().into(),
            _ => {}
        }
        self
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.body[..self.body.len().min(200)];
        write!(
            f,
            "{} {:?}",
            char::from(self.tag),
            String::from_utf8_lossy(shown)
        )?;
        if self.body.len() > shown.len() {
            write!(f, "… ({} bytes)", self.body.len())?;
        }
        Ok(())
    }
}

/// The types of these frames, in order: `"1 2 T D C Z"` without the spaces.
#[must_use]
pub fn transcript(frames: &[Frame]) -> String {
    frames.iter().map(|frame| char::from(frame.tag)).collect()
}
