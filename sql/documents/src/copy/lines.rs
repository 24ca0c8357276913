//! From pieces of data to lines (`CopyReadLineText`).

use bytes::{Buf as _, Bytes, BytesMut};
use crossfade_values::{Error, Result};

use super::{LONGEST, Options, bad, too_long};

/// What ends a line: found at the end of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eol {
    Unknown,
    Newline,
    Return,
    Both,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<T> {
    /// This.
    One(T),
    /// Data has to come first.
    More,
    /// Nothing.
    End,
}

/// Data on its way to lines.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Quote and escape.
    csv: Option<(u8, u8)>,
    /// Bytes that end the quick look.
    special: [bool; 256],
    buffer: BytesMut,
    /// Bytes of the present line that were looked at.
    at: usize,
    eol: Eol,
    /// Number of the present line, from 1. Newlines within quotes count.
    pub(crate) number: u64,
    begun: bool,
    quoted: bool,
    escaped: bool,
    /// No more data comes.
    over: bool,
    /// `\.` was there: what follows is no data.
    ended: bool,
}

/// What a look at one character says.
enum Look {
    /// On to this place.
    On(usize),
    /// The line ends before here, and the next begins there.
    Ends(usize),
    /// The data ends before here.
    Marker,
    More,
}

impl Lines {
    pub(crate) fn new(options: &Options) -> Lines {
        let csv = options.is_csv().then_some((options.quote, options.escape));
        let mut special = [false; 256];
        for byte in [b'\\', b'\r', b'\n'] {
            special[usize::from(byte)] = true;
        }
        if let Some((quote, escape)) = csv {
            special[usize::from(quote)] = true;
            special[usize::from(escape)] = true;
        }
        Lines {
            csv,
            special,
            buffer: BytesMut::new(),
            at: 0,
            eol: Eol::Unknown,
            number: 0,
            begun: false,
            quoted: false,
            escaped: false,
            over: false,
            ended: false,
        }
    }

    /// Takes a piece; none at the end.
    pub(crate) fn feed(&mut self, piece: Option<&[u8]>) {
        match piece {
            Some(piece) if !self.ended => self.buffer.extend_from_slice(piece),
            Some(_) => {}
            None => self.over = true,
        }
    }

    /// The next line, without its end.
    pub(crate) fn next(&mut self) -> Result<Next<Bytes>> {
        if !self.begun {
            self.begun = true;
            self.number += 1;
            (self.at, self.quoted, self.escaped) = (0, false, false);
        }
        if self.ended {
            return Ok(if self.over { Next::End } else { Next::More });
        }
        if self.buffer.len() > LONGEST {
            return Err(too_long("line"));
        }
        loop {
            let Some(&byte) = self.buffer.get(self.at) else {
                if !self.over {
                    return Ok(Next::More);
                }
                return Ok(self.last());
            };
            if !self.special[usize::from(byte)] {
                self.escaped = false;
                let rest = &self.buffer[self.at..];
                let plain = rest
                    .iter()
                    .position(|byte| self.special[usize::from(*byte)]);
                self.at += plain.unwrap_or(rest.len());
                continue;
            }
            match self.look(byte)? {
                Look::More => return Ok(Next::More),
                Look::On(at) => self.at = at,
                Look::Ends(next) => {
                    let line = self.buffer.split_to(self.at).freeze();
                    self.buffer.advance(next - self.at);
                    self.begun = false;
                    return Ok(Next::One(line));
                }
                Look::Marker => {
                    self.buffer.truncate(self.at);
                    self.ended = true;
                    return Ok(match self.last() {
                        Next::End if !self.over => Next::More,
                        next => next,
                    });
                }
            }
        }
    }

    /// What is left without an end of its own.
    fn last(&mut self) -> Next<Bytes> {
        if self.buffer.is_empty() {
            return Next::End;
        }
        self.begun = false;
        Next::One(self.buffer.split().freeze())
    }

    /// The byte so far behind the present one; `None` at the end of the data.
    fn ahead(&self, by: usize) -> Option<u8> {
        self.buffer.get(self.at + by).copied()
    }

    /// Whether a byte so far ahead may still come.
    fn waits(&self, by: usize) -> bool {
        !self.over && self.at + by >= self.buffer.len()
    }

    fn look(&mut self, byte: u8) -> Result<Look> {
        let marks = byte == b'\\' && (self.csv.is_none() || self.at == 0);
        if (marks || byte == b'\r') && self.waits(1) {
            return Ok(Look::More);
        }
        if marks
            && self.ahead(1) == Some(b'.')
            && (self.waits(2) || self.eol == Eol::Both && self.waits(3))
        {
            return Ok(Look::More);
        }
        if let Some((quote, escape)) = self.csv {
            // Where both are the same, the quote alone counts.
            let escape = Some(escape).filter(|escape| *escape != quote);
            if self.quoted && Some(byte) == escape {
                self.escaped = !self.escaped;
            }
            if byte == quote && !self.escaped {
                self.quoted = !self.quoted;
            }
            if Some(byte) != escape {
                self.escaped = false;
            }
            let newline = if self.eol == Eol::Newline {
                b'\n'
            } else {
                b'\r'
            };
            if self.quoted && byte == newline {
                self.number += 1;
            }
        }
        match byte {
            b'\r' if !self.quoted => self.carriage_return(),
            b'\n' if !self.quoted => {
                if matches!(self.eol, Eol::Return | Eol::Both) {
                    return Err(self.stray("newline", "\\n"));
                }
                self.eol = Eol::Newline;
                Ok(Look::Ends(self.at + 1))
            }
            b'\\' if marks => self.backslash(),
            _ => Ok(Look::On(self.at + 1)),
        }
    }

    fn carriage_return(&mut self) -> Result<Look> {
        let newline = self.ahead(1) == Some(b'\n');
        match self.eol {
            Eol::Unknown | Eol::Both if newline => {
                self.eol = Eol::Both;
                Ok(Look::Ends(self.at + 2))
            }
            Eol::Unknown | Eol::Return => {
                self.eol = Eol::Return;
                Ok(Look::Ends(self.at + 1))
            }
            Eol::Both | Eol::Newline => Err(self.stray("carriage return", "\\r")),
        }
    }

    fn stray(&self, what: &str, escape: &str) -> Error {
        match self.csv {
            None => bad(format!("literal {what} found in data"))
                .hint(format!("Use \"{escape}\" to represent {what}.")),
            Some(_) => bad(format!("unquoted {what} found in data"))
                .hint(format!("Use quoted CSV field to represent {what}.")),
        }
    }

    /// `\.` ends the data; before anything else a backslash hides what follows from us, except in CSV.
    fn backslash(&mut self) -> Result<Look> {
        let text = self.csv.is_none();
        let Some(next) = self.ahead(1) else {
            return Ok(Look::On(self.at + 1));
        };
        if next != b'.' {
            return Ok(Look::On(self.at + if text { 2 } else { 1 }));
        }
        let other = || bad("end-of-copy marker does not match previous newline style");
        let corrupt = || bad("end-of-copy marker corrupt");
        let go_on = Ok(Look::On(self.at + 1));
        let mut end = self.ahead(2);
        if self.eol == Eol::Both {
            match end {
                Some(b'\r') => end = self.ahead(3),
                Some(b'\n') if text => return Err(other()),
                _ if text => return Err(corrupt()),
                _ => return go_on,
            }
        }
        match (end, self.eol) {
            (Some(b'\r' | b'\n'), Eol::Unknown)
            | (Some(b'\n'), Eol::Newline | Eol::Both)
            | (Some(b'\r'), Eol::Return) => Ok(Look::Marker),
            (Some(b'\r' | b'\n'), _) => Err(other()),
            _ if text => Err(corrupt()),
            _ => go_on,
        }
    }
}
