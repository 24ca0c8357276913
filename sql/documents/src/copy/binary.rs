//! The binary form: a signature, and fields with their lengths.

use bytes::{Buf as _, Bytes, BytesMut};
use crossfade_values::{Error, Result};

use super::{LONGEST, bad, lines::Next, too_long};

/// What the data begins with.
pub(crate) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Data on its way to rows.
#[derive(Debug, Default)]
pub(crate) struct Binary {
    buffer: BytesMut,
    begun: bool,
    over: bool,
    /// The trailer was there.
    ended: bool,
    /// Bytes that the next row takes at least.
    wanted: usize,
    /// Number of the present row.
    pub(crate) number: u64,
    /// The field that is read.
    pub(crate) field: Option<usize>,
    /// See [`Binary::before`].
    before: Vec<Option<Bytes>>,
}

impl Binary {
    /// Takes a piece; none at the end.
    pub(crate) fn feed(&mut self, piece: Option<&[u8]>) {
        match piece {
            Some(piece) => self.buffer.extend_from_slice(piece),
            None => self.over = true,
        }
    }

    /// Whether the signature was read: what fails before has no line.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// The next row of so many fields; `None` is NULL.
    pub(crate) fn next(&mut self, columns: usize) -> Result<Next<Vec<Option<Bytes>>>> {
        if self.buffer.len() < self.wanted && !self.over {
            return Ok(Next::More);
        }
        if !self.begun {
            match self.header()? {
                Some(length) => self.buffer.advance(length),
                None => return Ok(Next::More),
            }
            (self.begun, self.number) = (true, 1);
        }
        if self.ended {
            if !self.buffer.is_empty() {
                return Err(bad("received copy data after EOF marker"));
            }
            return Ok(if self.over { Next::End } else { Next::More });
        }
        self.row(columns)
    }

    /// Of the row that cannot be read the fields before the one at fault. Their values come first: PostgreSQL reads a field when it is there.
    pub(crate) fn before(&mut self) -> Vec<Option<Bytes>> {
        std::mem::take(&mut self.before)
    }

    /// So many bytes from `at` on; `None` while they may come.
    fn bytes(
        &mut self,
        at: usize,
        count: usize,
        told: impl FnOnce() -> Error,
    ) -> Result<Option<&[u8]>> {
        if at + count > LONGEST {
            return Err(too_long("row"));
        }
        if self.buffer.len() < at + count {
            self.wanted = at + count;
            return if self.over { Err(told()) } else { Ok(None) };
        }
        Ok(Some(&self.buffer[at..at + count]))
    }

    fn number(&mut self, at: usize, told: impl FnOnce() -> Error) -> Result<Option<i32>> {
        let bytes = self.bytes(at, 4, told)?;
        Ok(bytes.and_then(|bytes| bytes.first_chunk().copied().map(i32::from_be_bytes)))
    }

    /// The length of the header.
    fn header(&mut self) -> Result<Option<usize>> {
        let unknown = || bad("COPY file signature not recognized");
        match self.bytes(0, SIGNATURE.len(), unknown)? {
            None => return Ok(None),
            Some(signature) if signature != SIGNATURE => return Err(unknown()),
            Some(_) => {}
        }
        let missing =
            |what: &'static str| move || bad(format!("invalid COPY file header ({what})"));
        let at = SIGNATURE.len();
        let Some(flags) = self.number(at, missing("missing flags"))? else {
            return Ok(None);
        };
        if flags & (1 << 16) != 0 {
            return Err(missing("WITH OIDS")());
        }
        if flags >> 16 != 0 {
            return Err(bad("unrecognized critical flags in COPY file header"));
        }
        let Some(length) = self.number(at + 4, missing("missing length"))? else {
            return Ok(None);
        };
        let length = usize::try_from(length).map_err(|_| missing("missing length")())?;
        let there = self.bytes(at + 8, length, missing("wrong length"))?;
        Ok(there.map(|_| at + 8 + length))
    }

    fn row(&mut self, columns: usize) -> Result<Next<Vec<Option<Bytes>>>> {
        if self.buffer.len() < 2 {
            self.wanted = 2;
            return Ok(if self.over { Next::End } else { Next::More });
        }
        let count = i16::from_be_bytes([self.buffer[0], self.buffer[1]]);
        if count == -1 {
            self.buffer.advance(2);
            (self.ended, self.wanted) = (true, 0);
            return self.next(columns);
        }
        if usize::try_from(count) != Ok(columns) {
            let told = format!("row field count is {count}, expected {columns}");
            return Err(bad(told));
        }
        let mut lengths = Vec::with_capacity(columns);
        match self.lengths(columns, &mut lengths) {
            Ok(true) => {}
            Ok(false) => return Ok(Next::More),
            Err(error) => {
                self.before = self.fields(lengths);
                return Err(error);
            }
        }
        (self.wanted, self.field) = (0, None);
        self.number += 1;
        Ok(Next::One(self.fields(lengths)))
    }

    /// The lengths of a row's fields, as far as they are right; whether all of it is there.
    fn lengths(&mut self, columns: usize, lengths: &mut Vec<Option<usize>>) -> Result<bool> {
        let short = || bad("unexpected EOF in COPY data");
        let mut at = 2;
        for field in 0..columns {
            self.field = Some(field);
            let Some(length) = self.number(at, short)? else {
                return Ok(false);
            };
            at += 4;
            if length < -1 {
                return Err(bad("invalid field size"));
            }
            let length = usize::try_from(length).ok();
            if self.bytes(at, length.unwrap_or(0), short)?.is_none() {
                return Ok(false);
            }
            self.field = None;
            at += length.unwrap_or(0);
            lengths.push(length);
        }
        Ok(true)
    }

    /// Takes fields of these lengths out of the data, behind their count.
    fn fields(&mut self, lengths: Vec<Option<usize>>) -> Vec<Option<Bytes>> {
        self.buffer.advance(2);
        let field = |length: Option<usize>| {
            self.buffer.advance(4);
            length.map(|length| self.buffer.split_to(length).freeze())
        };
        lengths.into_iter().map(field).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(row: &[u8]) -> Binary {
        let mut binary = Binary::default();
        let head: Vec<u8> = SIGNATURE.iter().copied().chain([0; 8]).collect();
        binary.feed(Some(&head));
        binary.feed(Some(row));
        binary
    }

    #[test]
    fn a_field_that_no_document_could_hold_is_refused_before_it_comes() {
        let mut binary = begun(b"\0\x02\0\0\0\x01a\x3f\0\0\0");
        let error = binary.next(2).unwrap_err();
        assert_eq!(error.sqlstate, "53200");
        assert_eq!(binary.before(), [Some(Bytes::from_static(b"a"))]);
        // Nor may the header say so.
        let mut binary = Binary::default();
        let head: Vec<u8> = SIGNATURE.iter().copied().chain([0; 4]).collect();
        binary.feed(Some(&head));
        binary.feed(Some(&i32::MAX.to_be_bytes()));
        assert_eq!(binary.next(2).unwrap_err().sqlstate, "53200");
    }

    #[test]
    fn the_fields_before_one_that_is_wrong_are_known() {
        let mut binary = begun(b"\0\x03\0\0\0\x01a\xff\xff\xff\xff\xff\xff\xff\xfe");
        let error = binary.next(3).unwrap_err();
        assert_eq!(
            (&*error.message, binary.field),
            ("invalid field size", Some(2))
        );
        assert_eq!(binary.before(), [Some(Bytes::from_static(b"a")), None]);
    }
}
