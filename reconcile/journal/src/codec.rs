//! The records of the log, as bytes.
//!
//! A record is a tag and its fields; numbers are LEB128, strings carry their length. Checksums are not here but around
//! a whole batch (`frame`), because a batch is what becomes durable at once.

use crossfade_phase::Side;

use crate::{Reason, Stale};

/// Bytes whose checksum is right and that still make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record is malformed")]
pub(crate) struct Malformed;

/// One record of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// From here on `number` means this table.
    Table {
        number: u32,
        toggle: &'a str,
        table: &'a str,
    },
    /// A transaction is about to commit in both stores.
    Intent {
        id: u64,
        target: Side,
        keys: Keys<'a>,
    },
    /// The intent is settled.
    Close { id: u64 },
    /// These keys are dirty; the generation of the n-th is `generation + n`.
    Mark {
        generation: u64,
        reason: Reason,
        stale: Stale,
        since_s: u32,
        keys: Keys<'a>,
    },
    /// The key is clean, unless it was marked with a later generation.
    Clean {
        generation: u64,
        table: u32,
        key: &'a [u8],
    },
}

/// A list of (table number, packed key).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keys<'a> {
    /// How many.
    pub(crate) count: u32,
    /// The list as encoded.
    pub(crate) section: &'a [u8],
}

impl<'a> Keys<'a> {
    /// Calls `visit` with each key; stops at the first that is malformed.
    pub(crate) fn each(self, mut visit: impl FnMut(u32, &'a [u8])) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(self.section);
        for _ in 0..self.count {
            visit(cursor.u32()?, cursor.bytes()?);
        }
        if cursor.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

const PADDING: u8 = 0;
const TABLE: u8 = 1;
const INTENT: u8 = 2;
const CLOSE: u8 = 3;
const MARK: u8 = 4;
const CLEAN: u8 = 5;

impl Record<'_> {
    /// Appends the record.
    pub(crate) fn put(&self, buf: &mut Vec<u8>) {
        match *self {
            Record::Table {
                number,
                toggle,
                table,
            } => {
                buf.push(TABLE);
                put_varint(buf, number.into());
                put_bytes(buf, toggle.as_bytes());
                put_bytes(buf, table.as_bytes());
            }
            Record::Intent { id, target, keys } => {
                buf.push(INTENT);
                put_varint(buf, id);
                buf.push(side_byte(target));
                put_keys(buf, keys);
            }
            Record::Close { id } => {
                buf.push(CLOSE);
                put_varint(buf, id);
            }
            Record::Mark {
                generation,
                reason,
                stale,
                since_s,
                keys,
            } => {
                buf.push(MARK);
                put_varint(buf, generation);
                buf.push(reason.byte());
                buf.push(stale.0);
                put_varint(buf, since_s.into());
                put_keys(buf, keys);
            }
            Record::Clean {
                generation,
                table,
                key,
            } => {
                buf.push(CLEAN);
                put_varint(buf, generation);
                put_varint(buf, table.into());
                put_bytes(buf, key);
            }
        }
    }
}

fn put_keys(buf: &mut Vec<u8>, keys: Keys<'_>) {
    put_varint(buf, keys.count.into());
    put_bytes(buf, keys.section);
}

/// The records of one batch.
pub(crate) fn each_record<'a>(
    payload: &'a [u8],
    mut visit: impl FnMut(Record<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(payload);
    while !cursor.is_empty() {
        let record = match cursor.byte()? {
            PADDING => continue,
            TABLE => Record::Table {
                number: cursor.u32()?,
                toggle: cursor.str()?,
                table: cursor.str()?,
            },
            INTENT => Record::Intent {
                id: cursor.varint()?,
                target: cursor.side()?,
                keys: cursor.keys()?,
            },
            CLOSE => Record::Close {
                id: cursor.varint()?,
            },
            MARK => Record::Mark {
                generation: cursor.varint()?,
                reason: Reason::from_byte(cursor.byte()?).ok_or(Malformed)?,
                stale: Stale::from_byte(cursor.byte()?).ok_or(Malformed)?,
                since_s: cursor.u32()?,
                keys: cursor.keys()?,
            },
            CLEAN => Record::Clean {
                generation: cursor.varint()?,
                table: cursor.u32()?,
                key: cursor.bytes()?,
            },
            _unknown => return Err(Malformed),
        };
        visit(record)?;
    }
    Ok(())
}

pub(crate) fn side_byte(side: Side) -> u8 {
    match side {
        Side::Old => 0,
        Side::New => 1,
    }
}

/// Appends a number.
pub(crate) fn put_varint(buf: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buf.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    buf.push((value & 0x7f) as u8);
}

/// How many bytes [`put_varint`] takes.
pub(crate) fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends bytes with their length in front.
pub(crate) fn put_bytes(buf: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(buf, bytes.len() as u64);
    buf.extend_from_slice(bytes);
}

/// Reads what the `put_` functions wrote.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Cursor<'a> {
        Cursor { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(first)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    pub(crate) fn side(&mut self) -> Result<Side, Malformed> {
        match self.byte()? {
            0 => Ok(Side::Old),
            1 => Ok(Side::New),
            _unknown => Err(Malformed),
        }
    }

    fn keys(&mut self) -> Result<Keys<'a>, Malformed> {
        Ok(Keys {
            count: self.u32()?,
            section: self.bytes()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back_and_take_the_length_that_was_said(value: u64) {
            let mut buf = Vec::new();
            put_varint(&mut buf, value);
            prop_assert_eq!(buf.len(), varint_len(value));
            let mut cursor = Cursor::new(&buf);
            prop_assert_eq!(cursor.varint(), Ok(value));
            prop_assert!(cursor.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = each_record(&bytes, |record| match record {
                Record::Intent { keys, .. } | Record::Mark { keys, .. } => keys.each(|_, _| ()),
                Record::Table { .. } | Record::Close { .. } | Record::Clean { .. } => Ok(()),
            });
        }
    }
}
