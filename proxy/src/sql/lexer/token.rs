//! Tokens.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Spaces, tabs, line ends.
    Space,
    /// `-- …` or `/* … */`.
    Comment,
    /// An identifier or a keyword without quotes.
    Word,
    /// `"…"`.
    Quoted,
    /// `U&"…"`.
    UnicodeQuoted,
    /// `'…'`, with its continuations on further lines.
    Text,
    /// `E'…'`.
    EscapeText,
    /// `U&'…'`.
    UnicodeText,
    /// `N'…'`.
    NationalText,
    /// `B'…'`.
    Bits,
    /// `X'…'`.
    Hex,
    /// `$tag$…$tag$`.
    Dollar,
    /// `12`, `0xff`.
    Integer,
    /// `1.5`, `1e9`.
    Decimal,
    /// `$1`.
    Param,
    /// An operator, `::`, `:=`, `..` and the comparison signs among them.
    Operator,
    /// One of `, ( ) [ ] . ; :`.
    Mark(u8),
    /// Something unterminated, or a byte that SQL does not know.
    Error,
}

impl TokenKind {
    /// Whether the grammar sees the token.
    #[must_use]
    pub fn is_significant(self) -> bool {
        !matches!(self, TokenKind::Space | TokenKind::Comment)
    }

    /// Whether the token is a constant made of characters.
    #[must_use]
    pub fn is_text(self) -> bool {
        use TokenKind::{Bits, Dollar, EscapeText, Hex, NationalText, Text, UnicodeText};
        matches!(
            self,
            Text | EscapeText | UnicodeText | NationalText | Bits | Hex | Dollar
        )
    }
}

/// A piece of the text: bytes `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Token {
    /// The token's own bytes within the text it was read from.
    #[must_use]
    pub fn of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start..self.end]
    }

    /// Whether this is the keyword (given in lower case) rather than a quoted name.
    #[must_use]
    pub fn is_word(&self, text: &[u8], keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.of(text).eq_ignore_ascii_case(keyword.as_bytes())
    }
}
