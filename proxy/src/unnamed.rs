//! The text of the unnamed prepared statement.
//!
//! A server's `pg_prepared_statements` lists the named statements, so a relay need not remember those. The unnamed one is in no catalog; should
//! a toggle move between its Parse and its Bind, the session has to know the text (trap 34).

use crate::wire::{
    HEADER,
    frontend::{self, Parse},
};

/// Texts beyond this are not remembered: a Bind of one over a flip gets the error that PostgreSQL gives for a statement it does not have.
const MOST: usize = 64 * 1024;

/// The last Parse of the unnamed statement, as its body.
#[derive(Debug, Default)]
pub(crate) struct Unnamed {
    body: Vec<u8>,
    coming: usize,
    taking: bool,
    known: bool,
    /// Its Parse was sent in a batch that is not over: the server may skip it.
    unsure: bool,
    /// An error came, and what is sent up to the next Sync is skipped.
    failing: bool,
}

impl Unnamed {
    /// A Parse with a body of this many bytes begins.
    pub(crate) fn begin(&mut self, length: usize) {
        self.coming = length;
        self.taking = false;
    }

    /// Some of its body.
    pub(crate) fn push(&mut self, bytes: &[u8], last: bool) {
        // Only the unnamed statement's Parse begins with the zero byte of an empty name.
        if self.coming > 0 && bytes.first() == Some(&0) {
            self.forget();
            self.taking = self.coming <= MOST;
        }
        self.coming = 0;
        if self.taking {
            self.body.extend_from_slice(bytes);
            // Behind an error the server keeps the one that it had, whose text is not known here any more.
            self.known = last && !self.failing;
            self.unsure = true;
        }
    }

    /// The server raises an error: a Parse of the batches under way may have come behind it, and to nothing. Rather no statement than another one.
    pub(crate) fn fails(&mut self) {
        self.failing = true;
        if self.unsure {
            self.forget();
            self.taking = false;
        }
    }

    /// Nothing is under way any more.
    pub(crate) fn is_over(&mut self) {
        self.unsure = false;
        self.failing = false;
    }

    /// A Query destroys the unnamed statement.
    pub(crate) fn forget(&mut self) {
        self.known = false;
        self.body.clear();
    }

    /// Sets it to what a managed session knows.
    pub(crate) fn know(&mut self, sql: &[u8], types: &[u32]) {
        let mut message = bytes::BytesMut::new();
        frontend::parse(&mut message, b"", sql, types);
        self.begin(message.len() - HEADER);
        self.push(&message[HEADER..], true);
        self.is_over();
    }

    /// The Parse, when the whole of it is known.
    pub(crate) fn parse(&self) -> Option<Parse<'_>> {
        if self.known {
            Parse::read(&self.body).ok()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(unnamed: &mut Unnamed, body: &[u8]) {
        unnamed.begin(body.len());
        let (first, second) = body.split_at(body.len() / 2);
        for (piece, last) in [(first, false), (second, true)] {
            if !piece.is_empty() {
                unnamed.push(piece, last);
            }
        }
    }

    #[test]
    fn trap_34_a_named_parse_leaves_the_unnamed_statement_known() {
        let mut unnamed = Unnamed::default();
        push(&mut unnamed, b"\0SELECT 1\0\0\0");
        push(&mut unnamed, b"s1\0SELECT 2\0\0\0");
        assert_eq!(unnamed.parse().unwrap().sql, b"SELECT 1");
        unnamed.forget();
        assert!(unnamed.parse().is_none());
    }

    #[test]
    fn trap_34_a_parse_that_an_error_may_have_come_before_is_not_known() {
        let mut unnamed = Unnamed::default();
        push(&mut unnamed, b"\0SELECT 1\0\0\0");
        unnamed.is_over();
        unnamed.fails();
        assert!(unnamed.parse().is_some(), "an error behind it");
        push(&mut unnamed, b"\0SELECT 2\0\0\0");
        unnamed.is_over();
        assert!(unnamed.parse().is_none(), "skipped");
        push(&mut unnamed, b"\0SELECT 3\0\0\0");
        unnamed.fails();
        assert!(unnamed.parse().is_none(), "in one batch with the error");
    }

    #[test]
    fn trap_34_a_text_too_long_to_keep_is_not_taken_for_the_one_before() {
        let mut unnamed = Unnamed::default();
        push(&mut unnamed, b"\0SELECT 1\0\0\0");
        let mut long = vec![b'x'; MOST + 1];
        long[0] = 0;
        push(&mut unnamed, &long);
        assert!(unnamed.parse().is_none());
    }
}
