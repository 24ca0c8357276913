//! The form of a statement: its words in lower case, without comments and without a single value. What differs in values, or in how many of
//! them a list has, is one shape; and a form can be shown to anybody.

use crate::sql::{Lexer, Token, TokenKind};

/// Statements that hold nothing but a name of the client's own making, which may be another one each time.
const NAMING: [&[u8]; 8] = [
    b"savepoint",
    b"release",
    b"rollback",
    b"deallocate",
    b"execute",
    b"fetch",
    b"move",
    b"close",
];

/// Words of those statements that are no names.
const NO_NAMES: [&[u8]; 20] = [
    b"to",
    b"savepoint",
    b"work",
    b"transaction",
    b"and",
    b"no",
    b"chain",
    b"all",
    b"prepare",
    b"prepared",
    b"next",
    b"prior",
    b"first",
    b"last",
    b"absolute",
    b"relative",
    b"forward",
    b"backward",
    b"from",
    b"in",
];

/// Words that are followed by a space even before a parenthesis: what else stands there is the name of a function or a table.
const SPACED: [&[u8]; 20] = [
    b"in", b"values", b"and", b"or", b"not", b"as", b"on", b"where", b"select", b"from", b"join",
    b"over", b"by", b"using", b"exists", b"any", b"all", b"set", b"when", b"then",
];

/// What stands for the rest of a list.
const MORE: &str = ", …";

/// The form of a text.
pub(super) fn form(text: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    for token in Lexer::new(text, true).filter(|token| token.kind.is_significant()) {
        writer.put(token, text);
        if token.kind == TokenKind::Error {
            // A constant without an end, perhaps: nothing of it is shown.
            break;
        }
    }
    writer.out
}

/// What a statement begins with decides on what may be shown of it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Statement {
    /// Nothing of it is there yet.
    #[default]
    Begins,
    /// SET: what comes behind the sign is a value, whatever it looks like.
    Sets,
    /// The value of a SET has been written.
    HasSet,
    /// One of [`NAMING`].
    Names,
    /// Any other.
    Other,
}

/// The last thing written.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Last {
    #[default]
    Nothing,
    Tight,
    Name,
    Word,
    /// A value that begins a list or goes on with it; the list may have been shortened already.
    Value {
        sign: &'static str,
        shortened: bool,
    },
    /// The comma behind such a value.
    Comma {
        sign: &'static str,
        shortened: bool,
    },
    Other,
}

/// A parenthesised group that may come again: `(…), (…)`.
#[derive(Clone, Copy)]
struct Group {
    begin: usize,
    /// One past its own end.
    stop: usize,
    /// One past the end of what was written for it and its likes.
    end: usize,
    shortened: bool,
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    statement: Statement,
    last: Last,
    /// Where the open parentheses are.
    open: Vec<usize>,
    /// The last group closed, by depth.
    closed: Vec<Option<Group>>,
}

impl Writer {
    fn put(&mut self, token: Token, text: &[u8]) {
        use TokenKind::{
            Decimal, Error, Integer, Mark, Operator, Param, Quoted, UnicodeQuoted, Word,
        };
        if self.statement == Statement::HasSet && token.kind != Mark(b';') {
            return;
        }
        let bytes = token.of(text);
        match token.kind {
            Mark(b'(') => self.open(),
            Mark(b')') => self.close(),
            Mark(b',') => self.comma(),
            Mark(b';') => {
                self.tight(b";", Last::Other);
                self.statement = Statement::Begins;
            }
            Mark(b'.' | b'[') => self.tight(bytes, Last::Tight),
            Mark(_) => self.tight(bytes, Last::Other),
            Operator if bytes == b"::" => self.tight(bytes, Last::Tight),
            Operator => {
                self.spaced(bytes, Last::Other);
                self.sign(bytes == b"=");
            }
            Word => self.word(&bytes.to_ascii_lowercase()),
            Quoted | UnicodeQuoted if self.statement == Statement::Names => {
                self.spaced(b"name", Last::Name);
            }
            Quoted | UnicodeQuoted => self.spaced(bytes, Last::Name),
            Integer | Decimal => self.value("?"),
            Param => self.value("$n"),
            Error => self.spaced("…".as_bytes(), Last::Other),
            _text => self.value("'?'"),
        }
        if self.statement == Statement::Begins && !matches!(token.kind, Mark(b';')) {
            self.statement = Statement::Other;
        }
    }

    fn word(&mut self, word: &[u8]) {
        match self.statement {
            Statement::Begins => {
                self.statement = match word {
                    b"set" => Statement::Sets,
                    _ if NAMING.contains(&word) => Statement::Names,
                    _ => Statement::Other,
                };
            }
            Statement::Names if !NO_NAMES.contains(&word) => {
                return self.spaced(b"name", Last::Name);
            }
            Statement::Names | Statement::Sets | Statement::HasSet | Statement::Other => {}
        }
        let last = if SPACED.contains(&word) {
            Last::Word
        } else {
            Last::Name
        };
        self.spaced(word, last);
        self.sign(word == b"to");
    }

    /// Behind the sign of a SET there is nothing but its value.
    fn sign(&mut self, is_sign: bool) {
        if is_sign && self.statement == Statement::Sets {
            self.spaced(b"?", Last::Other);
            self.statement = Statement::HasSet;
        }
    }

    fn spaced(&mut self, bytes: &[u8], last: Last) {
        if !matches!(self.last, Last::Nothing | Last::Tight) {
            self.out.push(b' ');
        }
        self.tight(bytes, last);
    }

    fn tight(&mut self, bytes: &[u8], last: Last) {
        self.out.extend_from_slice(bytes);
        self.last = last;
    }

    /// A value, or one more of a list of its kind.
    fn value(&mut self, sign: &'static str) {
        let shortened = match self.last {
            Last::Comma {
                sign: before,
                shortened,
            } if before == sign => {
                self.out.pop();
                if !shortened {
                    self.out.extend_from_slice(MORE.as_bytes());
                }
                true
            }
            _ => {
                self.spaced(sign.as_bytes(), Last::Other);
                false
            }
        };
        self.last = Last::Value { sign, shortened };
    }

    fn comma(&mut self) {
        let last = match self.last {
            Last::Value { sign, shortened } => Last::Comma { sign, shortened },
            _ => Last::Other,
        };
        self.tight(b",", last);
    }

    fn open(&mut self) {
        if !matches!(self.last, Last::Nothing | Last::Tight | Last::Name) {
            self.out.push(b' ');
        }
        self.open.push(self.out.len());
        self.closed.resize(self.open.len(), None);
        self.closed.push(None);
        self.tight(b"(", Last::Tight);
    }

    fn close(&mut self) {
        self.tight(b")", Last::Other);
        let Some(begin) = self.open.pop() else {
            return;
        };
        let depth = self.open.len();
        let end = self.out.len();
        let mut group = Group {
            begin,
            stop: end,
            end,
            shortened: false,
        };
        if let Some(Some(before)) = self.closed.get(depth)
            && self.out[before.end..begin] == *b", "
            && self.out[before.begin..before.stop] == self.out[begin..end]
        {
            self.out.truncate(before.end);
            if !before.shortened {
                self.out.extend_from_slice(MORE.as_bytes());
            }
            group = Group {
                end: self.out.len(),
                shortened: true,
                ..*before
            };
        }
        self.closed.truncate(depth);
        self.closed.push(Some(group));
    }
}

#[cfg(test)]
mod tests {
    fn form(text: &str) -> String {
        String::from_utf8(super::form(text.as_bytes())).unwrap()
    }

    #[test]
    fn what_differs_in_values_alone_has_one_form() {
        let one =
            form("SELECT count(*) FROM public.\"Orders\" o WHERE id=4711 AND note = 'x' -- who");
        assert_eq!(
            one,
            "select count(*) from public.\"Orders\" o where id = ? and note = '?'"
        );
        assert_eq!(
            one,
            form(
                "select count(*) from public.\"Orders\" o\n where id = 1 and note = $$it's$$ /* trace 00-4bf9 */"
            )
        );
        assert_ne!(
            one,
            form("SELECT count(*) FROM public.orders o WHERE id = 1")
        );
    }

    #[test]
    fn lists_have_one_form_whatever_their_length() {
        let rows = form("INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4), ($5, $6)");
        assert_eq!(rows, "insert into t(a, b) values ($n, …), …");
        assert_eq!(rows, form("INSERT INTO t (a,b) VALUES ($1,$2),($3,$4)"));
        assert_eq!(
            form("select 1 where a in (1, 2, 3)"),
            form("select 5 where a in (7,8)")
        );
        assert_eq!(
            form("values (1, 'a', now()), (2, 'b', now()), (f((3)), 'c')"),
            "values (?, '?', now()), …, (f((?)), '?')"
        );
    }

    #[test]
    fn no_value_is_ever_shown() {
        for text in [
            "SET app.tenant = 'secret'",
            "SET LOCAL app.tenant TO secret, secret",
            "SELECT U&'secret', E'sec\\'ret', B'101', X'1F', $x$secret$x$, 0x1F, 'un",
            "SELECT 'secret",
            "DO $$ secret $$; CREATE ROLE a PASSWORD 'secret'",
            "SAVEPOINT secret; ROLLBACK TO SAVEPOINT \"secret\"; EXECUTE secret(1, 'secret')",
            "COPY t FROM '/secret' -- secret",
        ] {
            let form = form(text);
            assert!(!form.contains("secret") && !form.contains("1F"), "{form}");
        }
        assert_eq!(form("set a.b to x; select 1"), "set a.b to ?; select ?");
        assert_eq!(
            form("BEGIN ISOLATION LEVEL SERIALIZABLE"),
            "begin isolation level serializable"
        );
        assert_eq!(
            form("rollback to savepoint s1_x2"),
            "rollback to savepoint name"
        );
    }

    #[test]
    fn nothing_and_nonsense_have_forms_too() {
        for text in [
            "",
            " -- ",
            ";",
            ")))",
            "((",
            "\u{0}\u{1}",
            "'",
            "\"",
            "(,),(,),(",
        ] {
            form(text);
        }
    }
}
