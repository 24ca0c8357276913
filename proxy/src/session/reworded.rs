//! What a server says of texts that the client has not sent, in the client's terms.

use bytes::{BufMut as _, Bytes, BytesMut};
use crossfade_phase::Side;

use super::{backend::Expect, managed::Managed};
use crate::{
    route::STAGE,
    wire::{backend::error_field, take_cstr},
};

/// What runs in place of the client's statement.
#[derive(Debug)]
pub(super) enum StandIn {
    /// A COPY into a temporary table, in place of the one of this name.
    Stage(Bytes),
    /// What does a MERGE.
    Merge {
        /// Where.
        side: Side,
        /// The server is given the MERGE itself before.
        checked: bool,
    },
}

impl Managed {
    /// The message of a server as the client is to have it, if that is another one.
    pub(super) fn by_its_name(&self, message: &Bytes) -> Option<BytesMut> {
        match &self.stand_in {
            Some(StandIn::Stage(name)) => Some(replaced(message, STAGE.as_bytes(), name)),
            Some(StandIn::Merge { side, checked })
                if !(*checked && self.is_about_its_parse(*side)) =>
            {
                Some(of_a_merge(message))
            }
            _ if error_field(message, b'C').as_deref() == Some("08P01") => self.bound(message),
            _ => None,
        }
    }

    /// Whether the server is at the client's own text, which stands in front of what runs in its place.
    fn is_about_its_parse(&self, side: Side) -> bool {
        self.backends.get(side).is_some_and(|backend| {
            matches!(backend.expect.front(), Some(Expect::Parse { .. }))
                && matches!(backend.expect.get(1), Some(Expect::Close { .. }))
        })
    }

    /// A statement's own name where the server speaks of the one that it has there.
    fn bound(&self, message: &Bytes) -> Option<BytesMut> {
        let quoted = |name: &[u8]| [b"\"", name, b"\""].concat();
        let text = error_field(message, b'M')?;
        [Side::Old, Side::New].into_iter().find_map(|side| {
            let prepared = self.backends.get(side)?.prepared.iter();
            let mut others = prepared.filter(|((name, _), there)| name != *there);
            others.find_map(|((name, _), there)| {
                let there = quoted(there);
                text.contains(&*String::from_utf8_lossy(&there))
                    .then(|| replaced(message, &there, &quoted(name)))
            })
        })
    }
}

fn replaced(message: &[u8], what: &[u8], by: &[u8]) -> BytesMut {
    let mut named = BytesMut::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.windows(what.len()).position(|part| part == what) {
        named.extend_from_slice(&rest[..at]);
        named.extend_from_slice(by);
        rest = &rest[at + what.len()..];
    }
    named.extend_from_slice(rest);
    named
}

/// Without a position, which is one in a text that the client does not know; and what cannot be done is a MERGE.
fn of_a_merge(message: &[u8]) -> BytesMut {
    let read_only = error_field(message, b'C').as_deref() == Some("25006");
    let mut kept = BytesMut::with_capacity(message.len());
    let mut rest = message;
    while let Some((&field, behind)) = rest.split_first() {
        rest = behind;
        if field == 0 {
            break;
        }
        let Some(value) = take_cstr(&mut rest) else {
            break;
        };
        if field == b'P' {
            continue;
        }
        kept.put_u8(field);
        if field == b'M' && read_only {
            let locks = replaced(value, b"SELECT FOR NO KEY UPDATE", b"MERGE");
            kept.extend_from_slice(&replaced(&locks, b"SELECT", b"MERGE"));
        } else {
            kept.extend_from_slice(value);
        }
        kept.put_u8(0);
    }
    kept.put_u8(0);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_is_told_of_as_one() {
        let said = |command: &str| {
            format!(
                "SERROR\0VERROR\0C25006\0Mcannot execute {command} in a read-only transaction\0P17\0Futility.c\0\0"
            )
        };
        let told = "SERROR\0VERROR\0C25006\0Mcannot execute MERGE in a read-only transaction\0Futility.c\0\0";
        for command in ["SELECT FOR NO KEY UPDATE", "SELECT"] {
            assert_eq!(&of_a_merge(said(command).as_bytes())[..], told.as_bytes());
        }
        let other = b"SERROR\0C22012\0MSELECT\0\0";
        assert_eq!(&of_a_merge(other)[..], other);
    }
}
