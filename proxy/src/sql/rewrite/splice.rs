//! Splices: what is put before, behind or in place of tokens.

use std::{ops::Range, sync::Arc};

use super::Parts;
use crate::sql::{facts::StatementFacts, lexer::Token};

/// A piece of inserted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it stands.
    Text(String),
    /// What the client wrote at these tokens.
    Tokens(Range<usize>),
}

impl From<String> for Piece {
    fn from(text: String) -> Piece {
        Piece::Text(text)
    }
}

impl From<&str> for Piece {
    fn from(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Before,
    Instead,
    After,
}

#[derive(Debug, Clone)]
struct Splice {
    /// The token; for [`Place::Instead`] the first of `tokens`.
    token: usize,
    place: Place,
    /// How many tokens are replaced.
    tokens: usize,
    pieces: Vec<Piece>,
}

/// How to turn a statement into what is sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    splices: Vec<Splice>,
    /// Columns of the image behind the client's own.
    pub(super) images: usize,
    /// Columns of the old key behind the image.
    pub(super) old_keys: usize,
    /// Behind that, the keys of the rows that foreign keys change come in one column more.
    pub(super) below: bool,
    /// What WITH queries write.
    pub(super) parts: Option<Parts>,
    /// Statements that make the functions which it calls.
    pub(super) functions: Vec<Arc<str>>,
}

impl Plan {
    /// Puts `pieces` before a token, behind what was put there earlier: the outer of two brackets comes first.
    pub(super) fn before(&mut self, token: usize, pieces: Vec<Piece>) {
        self.splices.push(Splice {
            token,
            place: Place::Before,
            tokens: 0,
            pieces,
        });
    }

    /// Puts `pieces` behind a token, and behind what was put there earlier.
    pub(super) fn after(&mut self, token: usize, pieces: Vec<Piece>) {
        self.splices.push(Splice {
            token,
            place: Place::After,
            tokens: 0,
            pieces,
        });
    }

    /// Replaces tokens.
    pub(super) fn replace(&mut self, range: Range<usize>, text: impl Into<Piece>) {
        self.replace_with(range, vec![text.into()]);
    }

    /// Replaces tokens by several pieces.
    pub(super) fn replace_with(&mut self, range: Range<usize>, pieces: Vec<Piece>) {
        self.splices.push(Splice {
            token: range.start,
            place: Place::Instead,
            tokens: range.len(),
            pieces,
        });
    }

    /// Number of splices so far: tells whether something changed in between.
    pub(super) fn len(&self) -> usize {
        self.splices.len()
    }

    /// Applies the splices to a text with these tokens.
    pub(super) fn apply(
        &self,
        text: &[u8],
        tokens: &[Token],
        statement: &StatementFacts,
    ) -> Vec<u8> {
        let own = super::statement_text(text, tokens, statement);
        if self.splices.is_empty() {
            return own.to_vec();
        }
        let mut splices: Vec<&Splice> = self.splices.iter().collect();
        splices.sort_by_key(|splice| (splice.token, splice.place));
        let mut sql = Vec::with_capacity(own.len() + 256);
        let start = statement
            .tokens
            .start
            .checked_sub(1)
            .map_or(0, |before| tokens[before].end);
        let end = start + own.len();
        let mut at = start;
        for splice in splices {
            let token = tokens[splice.token];
            let upto = if splice.place == Place::After {
                token.end
            } else {
                token.start
            };
            if upto > at {
                sql.extend_from_slice(&text[at..upto]);
                at = upto;
            }
            for piece in &splice.pieces {
                match piece {
                    Piece::Text(piece) => sql.extend_from_slice(piece.as_bytes()),
                    Piece::Tokens(range) if range.is_empty() => {}
                    Piece::Tokens(range) => sql.extend_from_slice(
                        &text[tokens[range.start].start..tokens[range.end - 1].end],
                    ),
                }
            }
            if splice.place == Place::Instead {
                at = tokens[splice.token + splice.tokens - 1].end;
            }
        }
        sql.extend_from_slice(&text[at..end]);
        sql
    }
}
