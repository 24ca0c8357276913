//! PostgreSQL's lexical rules over bytes: every byte belongs to exactly one token, and no input is refused.
//!
//! Source: `src/backend/parser/scan.l`. A server in a client encoding that hides ASCII bytes inside characters
//! (SJIS, BIG5, GBK, …) reads quotes elsewhere than this lexer does; sessions in such an encoding must not be analysed.

mod token;

#[cfg(test)]
mod tests;

pub use token::{Token, TokenKind};

/// Splits a text into tokens that tile it.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    conforming: bool,
}

impl<'a> Lexer<'a> {
    /// A lexer over `text`. `conforming` is the session's `standard_conforming_strings`.
    #[must_use]
    pub fn new(text: &'a [u8], conforming: bool) -> Lexer<'a> {
        Lexer {
            text,
            at: 0,
            conforming,
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn scan(&mut self) -> TokenKind {
        let first = self.text[self.at];
        match first {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => {
                self.skip(SPACE);
                TokenKind::Space
            }
            b'-' if self.byte(self.at + 1) == b'-' => {
                self.skip_while(|byte| byte != b'\n' && byte != b'\r');
                TokenKind::Comment
            }
            b'/' if self.byte(self.at + 1) == b'*' => self.block_comment(),
            b'\'' => self.text_constant(1, !self.conforming, TokenKind::Text),
            b'"' => self.quoted(1, TokenKind::Quoted),
            b'$' => self.dollar(),
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(self.at + 1).is_ascii_digit() => self.number(),
            b',' | b'(' | b')' | b'[' | b']' | b'.' | b';' | b':' => self.mark(first),
            _ if is(first, OPERATOR) => self.operator(),
            _ if is(first, WORD_START) => self.word(first),
            _ => {
                self.at += 1;
                TokenKind::Error
            }
        }
    }

    fn skip(&mut self, classes: u8) {
        let rest = &self.text[self.at..];
        self.at += rest
            .iter()
            .position(|&byte| !is(byte, classes))
            .unwrap_or(rest.len());
    }

    fn skip_while(&mut self, keep: impl Fn(u8) -> bool) {
        while self.at < self.text.len() && keep(self.text[self.at]) {
            self.at += 1;
        }
    }

    fn block_comment(&mut self) -> TokenKind {
        let mut depth = 0_usize;
        while self.at < self.text.len() {
            match (self.text[self.at], self.byte(self.at + 1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return TokenKind::Comment;
                    }
                }
                _ => self.at += 1,
            }
        }
        TokenKind::Error
    }

    /// A constant whose opening quote is the last of `prefix` bytes.
    fn text_constant(&mut self, prefix: usize, backslash: bool, kind: TokenKind) -> TokenKind {
        // Digits have no quotes among them.
        let doubles = !matches!(kind, TokenKind::Bits | TokenKind::Hex);
        self.at += prefix;
        while self.at < self.text.len() {
            match self.text[self.at] {
                b'\\' if backslash => self.at = (self.at + 2).min(self.text.len()),
                b'\'' if doubles && self.byte(self.at + 1) == b'\'' => self.at += 2,
                b'\'' => {
                    self.at += 1;
                    match self.continuation() {
                        Some(next) => self.at = next,
                        None => return kind,
                    }
                }
                _ => self.at += 1,
            }
        }
        TokenKind::Error
    }

    /// `'a'` and `'b'` on a later line, with nothing but space and `--` comments between, are one constant. The position after
    /// the next opening quote, if there is one.
    fn continuation(&self) -> Option<usize> {
        let (mut at, mut newline) = (self.at, false);
        loop {
            match self.byte(at) {
                b'\n' | b'\r' => {
                    newline = true;
                    at += 1;
                }
                b' ' | b'\t' | 0x0b | 0x0c => at += 1,
                b'-' if self.byte(at + 1) == b'-' => {
                    while at < self.text.len() && !matches!(self.text[at], b'\n' | b'\r') {
                        at += 1;
                    }
                }
                b'\'' if newline => return Some(at + 1),
                _ => return None,
            }
        }
    }

    fn quoted(&mut self, prefix: usize, kind: TokenKind) -> TokenKind {
        self.at += prefix;
        while self.at < self.text.len() {
            match (self.text[self.at], self.byte(self.at + 1)) {
                (b'"', b'"') => self.at += 2,
                (b'"', _) => {
                    self.at += 1;
                    return kind;
                }
                _ => self.at += 1,
            }
        }
        TokenKind::Error
    }

    fn dollar(&mut self) -> TokenKind {
        let start = self.at;
        let mut end = start + 1;
        if self.byte(end).is_ascii_digit() {
            self.at = end;
            self.skip_while(|byte| byte.is_ascii_digit());
            return TokenKind::Param;
        }
        if is(self.byte(end), WORD_START) {
            while is(self.byte(end), WORD_START | DIGIT) {
                end += 1;
            }
        }
        if self.byte(end) != b'$' {
            self.at = start + 1;
            return TokenKind::Error;
        }
        let tag = &self.text[start..=end];
        let body = end + 1;
        match find(&self.text[body..], tag) {
            Some(offset) => {
                self.at = body + offset + tag.len();
                TokenKind::Dollar
            }
            None => {
                self.at = self.text.len();
                TokenKind::Error
            }
        }
    }

    fn number(&mut self) -> TokenKind {
        if self.text[self.at] == b'0'
            && matches!(self.byte(self.at + 1) | 0x20, b'x' | b'o' | b'b')
            && self.byte(self.at + 2).is_ascii_hexdigit()
        {
            self.at += 2;
            self.skip_while(|byte| byte.is_ascii_hexdigit() || byte == b'_');
            return TokenKind::Integer;
        }
        let mut kind = TokenKind::Integer;
        self.digits();
        // `1..10` is an integer, two dots and an integer.
        if self.byte(self.at) == b'.' && self.byte(self.at + 1) != b'.' {
            kind = TokenKind::Decimal;
            self.at += 1;
            self.digits();
        }
        if self.byte(self.at) | 0x20 == b'e' {
            let sign = usize::from(matches!(self.byte(self.at + 1), b'+' | b'-'));
            if self.byte(self.at + 1 + sign).is_ascii_digit() {
                kind = TokenKind::Decimal;
                self.at += 1 + sign;
                self.digits();
            }
        }
        kind
    }

    fn digits(&mut self) {
        while self.byte(self.at).is_ascii_digit()
            || (self.byte(self.at) == b'_' && self.byte(self.at + 1).is_ascii_digit())
        {
            self.at += 1;
        }
    }

    fn mark(&mut self, first: u8) -> TokenKind {
        let pair = matches!(
            (first, self.byte(self.at + 1)),
            (b':', b':' | b'=') | (b'.', b'.')
        );
        self.at += 1 + usize::from(pair);
        if pair {
            TokenKind::Operator
        } else {
            TokenKind::Mark(first)
        }
    }

    fn operator(&mut self) -> TokenKind {
        let start = self.at;
        let mut end = start;
        while is(self.byte(end), OPERATOR) {
            // A comment ends an operator.
            if end > start
                && matches!(
                    (self.byte(end), self.byte(end + 1)),
                    (b'-', b'-') | (b'/', b'*')
                )
            {
                break;
            }
            end += 1;
        }
        // SQL wants `a=-1` to be two operators: a long one keeps a final sign only if it has an unusual character.
        let unusual = self.text[start..end]
            .iter()
            .any(|byte| b"~!@#^&|`?%".contains(byte));
        while end - start > 1 && !unusual && matches!(self.text[end - 1], b'+' | b'-') {
            end -= 1;
        }
        self.at = end;
        TokenKind::Operator
    }

    fn word(&mut self, first: u8) -> TokenKind {
        match (first | 0x20, self.byte(self.at + 1), self.byte(self.at + 2)) {
            (b'e', b'\'', _) => return self.text_constant(2, true, TokenKind::EscapeText),
            (b'b', b'\'', _) => return self.text_constant(2, false, TokenKind::Bits),
            (b'x', b'\'', _) => return self.text_constant(2, false, TokenKind::Hex),
            (b'n', b'\'', _) => {
                return self.text_constant(2, !self.conforming, TokenKind::NationalText);
            }
            (b'u', b'&', b'\'') => return self.text_constant(3, false, TokenKind::UnicodeText),
            (b'u', b'&', b'"') => return self.quoted(3, TokenKind::UnicodeQuoted),
            _ => {}
        }
        self.skip(WORD_START | DIGIT | DOLLAR);
        TokenKind::Word
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        if self.at >= self.text.len() {
            return None;
        }
        let start = self.at;
        let kind = self.scan();
        Some(Token {
            kind,
            start,
            end: self.at,
        })
    }
}

const SPACE: u8 = 1;
const OPERATOR: u8 = 2;
const WORD_START: u8 = 4;
const DIGIT: u8 = 8;
const DOLLAR: u8 = 16;

/// What each byte may be part of: one look decides for most bytes of a statement.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => SPACE,
            b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*'
            | b'/' | b'%' | b'<' | b'>' | b'=' => OPERATOR,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => WORD_START,
            b'0'..=b'9' => DIGIT,
            b'$' => DOLLAR,
            _ => 0,
        };
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

fn is(byte: u8, classes: u8) -> bool {
    CLASSES[usize::from(byte)] & classes != 0
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
