//! The normal form of a statement: constants replaced by placeholders of their kind, space and comments collapsed, so that one parse serves
//! every text that differs in nothing else. Token *i* of the text is token *i* of the normal form.

use super::lexer::{Lexer, Token, TokenKind};

/// Statements whose constants are facts: settings, code blocks, file names.
const VERBATIM: [&str; 8] = [
    "set", "do", "create", "alter", "copy", "prepare", "commit", "rollback",
];

/// The grammar's tokens of one text and its normal form.
#[derive(Debug, Default)]
pub(super) struct Normal {
    /// Tokens of the text, without space and comments.
    pub(super) tokens: Vec<Token>,
    /// The normal form.
    pub(super) form: Vec<u8>,
    /// Where each token begins in the normal form.
    pub(super) starts: Vec<usize>,
    /// Something that the grammar reads only after an escape: names in `U&"…"`, broken tokens.
    pub(super) opaque: bool,
}

impl Normal {
    /// Reads `text`; what was there before is gone.
    pub(super) fn read(&mut self, text: &[u8], conforming: bool) {
        self.tokens.clear();
        self.form.clear();
        self.starts.clear();
        self.opaque = false;
        let mut state = State {
            first: true,
            ..State::default()
        };
        for token in Lexer::new(text, conforming).filter(|token| token.kind.is_significant()) {
            self.opaque |= matches!(token.kind, TokenKind::UnicodeQuoted | TokenKind::Error);
            if self.tokens.last().is_some_and(|last| is_junk(*last, token)) {
                // The grammar refuses `1x` and takes `1 x`.
                self.form.pop();
            }
            self.starts.push(self.form.len());
            self.put(token, text, &state);
            self.form.push(b' ');
            state.after(token, text);
            self.tokens.push(token);
        }
    }

    fn put(&mut self, token: Token, text: &[u8], state: &State) {
        use TokenKind::{
            Bits, Decimal, Dollar, EscapeText, Hex, Integer, NationalText, Text, UnicodeText, Word,
        };
        let bytes = token.of(text);
        let placeholder: &[u8] = match token.kind {
            Word => {
                let at = self.form.len();
                self.form.extend_from_slice(bytes);
                self.form[at..].make_ascii_lowercase();
                return;
            }
            _ if state.verbatim => bytes,
            // The escape character of `U&'…' UESCAPE '!'` must stay one.
            Text if state.uescape => bytes,
            // The grammar looks into these, and refuses what is no character.
            UnicodeText => bytes,
            EscapeText if has_codes(bytes) => bytes,
            Text | EscapeText | Dollar => b"''",
            NationalText => b"N''",
            Bits => b"B''",
            Hex => b"X''",
            // `ORDER BY 2` names a column.
            Integer if state.positions => bytes,
            // The grammar counts the digits of `0b12`.
            Integer if bytes.get(1).is_some_and(u8::is_ascii_alphabetic) => bytes,
            Integer => b"1",
            Decimal => b"1.5",
            _ => bytes,
        };
        self.form.extend_from_slice(placeholder);
    }

    /// The token that begins at this byte of the normal form, or the last one before it.
    pub(super) fn token_at(starts: &[usize], location: usize) -> usize {
        starts
            .partition_point(|&start| start <= location)
            .saturating_sub(1)
    }
}

/// Whether `token` clings to a number or parameter before it.
fn is_junk(last: Token, token: Token) -> bool {
    use TokenKind::{Decimal, Integer, Param, Word};
    last.end == token.start
        && matches!(last.kind, Integer | Decimal | Param)
        && matches!(token.kind, Integer | Decimal | Word)
}

/// Whether characters are given by their codes.
fn has_codes(text: &[u8]) -> bool {
    let is_code =
        |pair: &[u8]| pair[0] == b'\\' && matches!(pair[1], b'u' | b'U' | b'x' | b'0'..=b'7');
    text.windows(2).any(is_code)
}

#[derive(Default)]
struct State {
    first: bool,
    verbatim: bool,
    uescape: bool,
    /// Within a list after BY, where an integer is a position.
    positions: bool,
}

impl State {
    fn after(&mut self, token: Token, text: &[u8]) {
        self.uescape = false;
        match token.kind {
            TokenKind::Mark(b';') => {
                *self = State {
                    first: true,
                    ..State::default()
                }
            }
            TokenKind::Word => {
                if self.first {
                    let word = token.of(text);
                    self.verbatim = VERBATIM
                        .iter()
                        .any(|verbatim| word.eq_ignore_ascii_case(verbatim.as_bytes()));
                }
                self.first = false;
                self.uescape = token.is_word(text, "uescape");
                self.positions = if self.positions {
                    ![
                        "limit",
                        "offset",
                        "having",
                        "for",
                        "fetch",
                        "returning",
                        "union",
                        "where",
                    ]
                    .iter()
                    .any(|word| token.is_word(text, word))
                } else {
                    token.is_word(text, "by")
                };
            }
            _ => {
                self.first = false;
                self.positions &= !matches!(token.kind, TokenKind::Mark(b')' | b'('));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Normal;

    fn form(text: &str) -> String {
        let mut normal = Normal::default();
        normal.read(text.as_bytes(), true);
        assert_eq!(normal.tokens.len(), normal.starts.len());
        String::from_utf8(normal.form).unwrap()
    }

    #[test]
    fn texts_that_differ_in_constants_share_a_form() {
        let one = form("UPDATE t SET a = a + -5 WHERE id = 4567 AND s = 'x' -- one");
        assert_eq!(one, "update t set a = a + - 1 where id = 1 and s = '' ");
        assert_eq!(
            one,
            form("update t SET a=a+-77/* two */WHERE id=1 and s = $q$y$q$")
        );
        assert_ne!(
            one,
            form("UPDATE t SET a = a + -5 WHERE id = $1 AND s = 'x'")
        );
        assert_ne!(
            one,
            form("UPDATE t SET a = a + -5.0 WHERE id = 4567 AND s = 'x'")
        );
    }

    #[test]
    fn what_clings_to_a_number_clings_to_it_in_the_form() {
        assert_eq!(
            form("select 12x, 1.5e, $1and 2"),
            "select 1x , 1.5e , $1and 1 "
        );
        assert_eq!(form("select 12 x"), "select 1 x ");
    }

    #[test]
    fn characters_given_by_their_codes_stay() {
        assert_eq!(form(r"select U&'\', E'\u12'"), r"select U&'\' , E'\u12' ");
        assert_eq!(form(r"select E'a\'b'"), "select '' ");
        assert_eq!(form("select 0b12, 0x1F, 12"), "select 0b12 , 0x1F , 1 ");
        assert_eq!(form("select X'1f''2'"), "select X'' '' ");
    }

    #[test]
    fn positions_and_settings_stay() {
        assert_eq!(
            form("select a, 5 from t group by 1, 2 limit 3"),
            "select a , 1 from t group by 1 , 2 limit 1 "
        );
        assert_eq!(
            form("SET search_path = 'a'; select 'a'"),
            "set search_path = 'a' ; select '' "
        );
        assert_eq!(
            form("select U&'d!0061' UESCAPE '!'"),
            "select U&'d!0061' uescape '!' "
        );
    }
}
