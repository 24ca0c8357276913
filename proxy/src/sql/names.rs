//! The quick look at a statement: does its text hold a name that matters? Only then is it parsed (DESIGN 6).

mod calls;

use std::collections::HashMap;

use crossfade_store::{Aliases, Mapping};

use super::lexer::{Lexer, Token, TokenKind};

/// What one pass over the text shows. `false` is certain, `true` means that a closer look is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Glance {
    /// An identifier equals the name of a mapped table, or of a view, child or writing function over one.
    pub mapped: bool,
    /// Some statement begins with a word that works on the session or its transaction (BEGIN, SET, PREPARE, FETCH, …), or a function
    /// is named that belongs to one store's session (`nextval`, `set_config`, `pg_advisory_lock`, …), or a temporary table (trap 32).
    pub session: bool,
    /// A function is called that may change what later statements mean, by setting `search_path`, say, and nobody sees it (trap 13).
    pub calls: bool,
    /// A word is there of statements that write without giving their rows back (COPY, TRUNCATE, MERGE).
    pub bulk: bool,
}

impl Glance {
    /// What either of them shows.
    #[must_use]
    pub fn or(self, other: Glance) -> Glance {
        Glance {
            mapped: self.mapped || other.mapped,
            session: self.session || other.session,
            calls: self.calls || other.calls,
            bulk: self.bulk || other.bulk,
        }
    }
}

/// Words that begin a statement on the session or its transaction.
const SESSION_STATEMENTS: [&str; 30] = [
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "prepare",
    "execute",
    // It may be of an EXECUTE.
    "explain",
    "deallocate",
    "set",
    "reset",
    "discard",
    "declare",
    "fetch",
    "move",
    "close",
    "listen",
    "unlisten",
    "notify",
    "lock",
    "copy",
    "do",
    "call",
    "load",
    "checkpoint",
    "reassign",
    "show",
];

/// Words anywhere in a statement that make it one of the session.
const SESSION_WORDS: [&str; 8] = [
    "nextval",
    "currval",
    "lastval",
    "setval",
    "set_config",
    "temp",
    "temporary",
    // A schema that is made, dropped or renamed may hide a mapped table.
    "schema",
];

/// Words of statements that write without giving their rows back.
const BULK_WORDS: [&str; 3] = ["copy", "truncate", "merge"];

/// What settings are written through.
const CALLING_WORDS: [&str; 1] = ["pg_settings"];

const MAPPED: u8 = 1;
const SESSION: u8 = 2;
const OPENS_SESSION: u8 = 4;
const BULK: u8 = 8;
const CALLS: u8 = 16;

/// Longest identifier that PostgreSQL keeps; it cuts longer ones.
pub(crate) const NAME_BYTES: usize = 63;

/// The names to look for.
#[derive(Debug, Clone)]
pub struct NameSet {
    names: HashMap<Box<[u8]>, u8, ahash::RandomState>,
    /// For each first byte (folded) the lengths that occur, one bit each: most words fall through here.
    lengths: [u64; 256],
    /// Mapped names that hold more than the characters of a word.
    unusual: Vec<Box<[u8]>>,
    /// A mapped name holds more than ASCII.
    beyond_ascii: bool,
}

impl NameSet {
    /// The names by which clients reach the tables of `mapping`: those of the old store, whose schema clients speak.
    #[must_use]
    pub fn new(mapping: &Mapping) -> NameSet {
        let mut set = NameSet {
            names: HashMap::default(),
            lengths: [0; 256],
            unusual: Vec::new(),
            beyond_ascii: false,
        };
        for table in &mapping.tables {
            set.add(&table.old.name.name, MAPPED);
        }
        let Aliases {
            views,
            children,
            writing_functions,
            namesakes: _,
        } = &mapping.old_aliases;
        for name in views
            .keys()
            .chain(children.keys())
            .chain(writing_functions.keys())
        {
            set.add(name, MAPPED);
        }
        for word in SESSION_STATEMENTS {
            set.add(word, OPENS_SESSION);
        }
        for word in SESSION_WORDS {
            set.add(word, SESSION);
        }
        for word in BULK_WORDS {
            set.add(word, BULK);
        }
        for word in CALLING_WORDS {
            set.add(word, CALLS);
        }
        set
    }

    fn add(&mut self, name: &str, what: u8) {
        let bytes = name.as_bytes();
        self.beyond_ascii |= !bytes.is_ascii();
        if !bytes.iter().all(|&byte| is_word_byte(byte)) {
            self.unusual.push(bytes.into());
        }
        *self.names.entry(bytes.into()).or_default() |= what;
        // A folded word is looked up by its lower-case first byte, a quoted one by its own.
        if let Some(&first) = bytes.first() {
            self.lengths[usize::from(first)] |= 1 << bytes.len().min(NAME_BYTES);
        }
    }

    fn of_name(&self, name: &[u8], fold: bool) -> u8 {
        let Some(&first) = name.first() else { return 0 };
        let first = if fold {
            first.to_ascii_lowercase()
        } else {
            first
        };
        if name.len() > NAME_BYTES {
            // PostgreSQL cuts it at a character's end, so it may be any name of the full length.
            return if (NAME_BYTES - 3..=NAME_BYTES)
                .any(|length| self.lengths[usize::from(first)] >> length & 1 == 1)
            {
                MAPPED
            } else {
                0
            };
        }
        if self.lengths[usize::from(first)] >> name.len() & 1 == 0 {
            return 0;
        }
        if !fold {
            return self.names.get(name).copied().unwrap_or(0);
        }
        let mut folded = [0_u8; NAME_BYTES];
        let folded = &mut folded[..name.len()];
        folded.copy_from_slice(name);
        folded.make_ascii_lowercase();
        self.names.get(&*folded).copied().unwrap_or(0)
    }

    fn of_token(&self, token: Token, text: &[u8]) -> u8 {
        let bytes = token.of(text);
        match token.kind {
            TokenKind::Word => {
                self.of_name(bytes, true) | if is_advisory(bytes) { SESSION } else { 0 }
            }
            TokenKind::Quoted => {
                let inner = &bytes[1..bytes.len() - 1];
                if inner.contains(&b'"') {
                    self.of_name(&super::text::unquote(bytes), false)
                } else {
                    self.of_name(inner, false)
                }
            }
            // Escapes could spell anything.
            TokenKind::UnicodeQuoted | TokenKind::Error => MAPPED | SESSION | BULK | CALLS,
            _ => 0,
        }
    }

    /// Whether a text in another encoding than UTF-8 could name a mapped table, and not be seen to.
    #[must_use]
    pub fn is_beyond_ascii(&self) -> bool {
        self.beyond_ascii
    }

    /// One pass over the text of a query. `conforming` is the session's `standard_conforming_strings`.
    #[must_use]
    pub fn glance(&self, text: &[u8], conforming: bool) -> Glance {
        let mut glance = Glance::default();
        let (mut first, mut runs_body) = (true, false);
        let mut callee = Callee::default();
        for token in Lexer::new(text, conforming) {
            if !token.kind.is_significant() {
                continue;
            }
            glance.calls |= callee.is_called_by(token, text);
            let found = match token.kind {
                TokenKind::Mark(b';') => {
                    (first, runs_body) = (true, false);
                    continue;
                }
                kind if kind.is_text() => {
                    if runs_body {
                        self.of_body(token.of(text))
                    } else {
                        0
                    }
                }
                _ => self.of_token(token, text),
            };
            glance.mapped |= found & MAPPED != 0;
            glance.session |= found & SESSION != 0 || (first && found & OPENS_SESSION != 0);
            glance.bulk |= found & BULK != 0;
            glance.calls |= found & CALLS != 0;
            if first {
                runs_body = token.is_word(text, "do");
                // `(SELECT …)` and `((…` begin with what is inside.
                first = token.kind == TokenKind::Mark(b'(');
            }
        }
        glance
    }

    /// Whether the text names a mapped table, or something through which one is reached.
    #[must_use]
    pub fn names_mapped(&self, text: &[u8], conforming: bool) -> bool {
        self.glance(text, conforming).mapped
    }

    /// Any run of word characters of a code block may be a name, in whatever quotes it stands: a DO block runs what it says.
    fn of_body(&self, body: &[u8]) -> u8 {
        let unusual = self
            .unusual
            .iter()
            .any(|name| body.windows(name.len()).any(|window| window == &**name));
        body.split(|&byte| !is_word_byte(byte))
            .fold(if unusual { MAPPED } else { 0 }, |found, word| {
                found | self.of_name(word, true) | self.of_name(word, false)
            })
    }

    /// Whether a code block (the constant of a DO) names a mapped table.
    #[must_use]
    pub fn body_names_mapped(&self, body: &[u8]) -> bool {
        self.of_body(body) & MAPPED != 0
    }
}

/// The name before a bracket.
#[derive(Default)]
struct Callee {
    /// The last token, if it is a name.
    name: Option<Token>,
    /// What follows in brackets are columns: it names the target of an INSERT, an alias, or a WITH query.
    is_target: bool,
    /// A point came behind the name: the next one goes on.
    qualifies: bool,
    /// The last token is a closing bracket: a name behind it is an alias.
    closed: bool,
}

impl Callee {
    /// Whether `token` is the bracket behind the name of a function that is not known.
    fn is_called_by(&mut self, token: Token, text: &[u8]) -> bool {
        match token.kind {
            TokenKind::Word | TokenKind::Quoted | TokenKind::UnicodeQuoted => {
                if !self.qualifies {
                    let before = self.name.take().unwrap_or(token);
                    let names = |word| before.is_word(text, word);
                    let mut columns =
                        ["into", "as", "with", "recursive", "copy", "table"].into_iter();
                    self.is_target = self.closed || columns.any(names);
                }
                self.closed = false;
                (self.name, self.qualifies) = (Some(token), false);
                false
            }
            TokenKind::Mark(b'.') => {
                self.qualifies = self.name.is_some();
                false
            }
            TokenKind::Mark(b'(') => {
                self.closed = false;
                let name = self.name.take();
                name.is_some_and(|name| !self.is_target && !is_harmless(name, text))
            }
            _ => {
                *self = Callee {
                    closed: token.kind == TokenKind::Mark(b')'),
                    ..Callee::default()
                };
                false
            }
        }
    }
}

fn is_harmless(name: Token, text: &[u8]) -> bool {
    let bytes = name.of(text);
    match name.kind {
        TokenKind::Word => calls::is_harmless(bytes, true),
        TokenKind::Quoted => calls::is_harmless(&bytes[1..bytes.len() - 1], false),
        _ => false,
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn is_advisory(word: &[u8]) -> bool {
    word.len() > 14
        && matches!(word[0] | 0x20, b'p')
        && [&b"pg_advisory_"[..], b"pg_try_advisory_"]
            .iter()
            .any(|prefix| {
                word.len() >= prefix.len() && word[..prefix.len()].eq_ignore_ascii_case(prefix)
            })
}

#[cfg(test)]
mod tests {
    use super::super::testing::mapping;
    use super::{Glance, NameSet};

    fn glance(text: &str) -> Glance {
        NameSet::new(&mapping()).glance(text.as_bytes(), true)
    }

    #[test]
    fn a_name_counts_where_the_grammar_could_see_it() {
        for text in [
            "select * from orders",
            "SELECT * FROM ORDERS",
            "select 1 from \"orders\"",
            "select * from public . Orders",
            "delete from \"Mixed Case\"",
            "select * from U&\"d\\0061t\\+000061\"",
            "select * from order_view",
            "select touch_orders()",
            "do $$ begin execute 'DELETE from orders'; end $$",
            "select 'unterminated",
        ] {
            assert!(glance(text).mapped, "{text}");
        }
        for text in [
            "select * from orders2",
            "select 'orders' from t",
            "select 1 -- orders",
            "/* orders /* */ orders */ select 1",
            "select $$orders$$, $a$ orders $a$",
            "select * from \"Orders\"",
            "select * from \"ORDERS\"",
            "select e'\\' orders'",
            "select * from mixed",
            "",
        ] {
            assert!(!glance(text).mapped, "{text}");
        }
    }

    #[test]
    fn backslashes_count_when_strings_do_not_conform() {
        let names = NameSet::new(&mapping());
        let text = br"select 'a\' from t -- ' from orders";
        assert!(!names.names_mapped(text, true));
        let text = br"select 'a\' from orders -- '";
        assert!(names.names_mapped(text, true));
        assert!(!names.names_mapped(text, false));
    }

    #[test]
    fn trap_13_calls_of_unknown_functions_are_seen() {
        for text in [
            "SELECT become('tenant')",
            "select app . become ( 'tenant' )",
            "SELECT \"become\"/* x */('tenant')",
            "SELECT count(*), app.\"Become\"(1) FROM t",
            "INSERT INTO t (a, b) VALUES (become('x'), 1)",
            "SELECT * FROM become('x') AS f(a)",
            "SELECT \"COUNT\"(1)",
            "SELECT U&\"become\"(1)",
            "UPDATE pg_settings SET setting = 'x'",
        ] {
            assert!(glance(text).calls, "{text}");
        }
        for text in [
            "SELECT count(*) FILTER (WHERE a IN (1, 2)), COALESCE(sum(b), 0) FROM t WHERE (a, b) = ANY (SELECT 1, 2)",
            "INSERT INTO app.t (a, b) VALUES ($1, now()) ON CONFLICT (a) DO UPDATE SET (b, c) = ROW (1, 2) RETURNING (xmax = 0)",
            "WITH RECURSIVE x (a) AS (SELECT 1) SELECT a::numeric(10,2), CAST(a AS varchar(20)), become FROM x AS y (a) JOIN z USING (a)",
            "SELECT row_number() OVER (PARTITION BY a ORDER BY b), extract(epoch FROM c), jsonb_build_object('a', 1) FROM t",
            "COPY app.t (a, b) FROM STDIN",
            "MERGE INTO t USING (VALUES (1, 2)) v(a, b) ON t.a = v.a WHEN MATCHED THEN DELETE",
            "SELECT 'become(1)', $$become(1)$$ -- become(1)",
            "SELECT set_config('app.tenant', $1, true), nextval('s')",
            "EXPLAIN (ANALYZE) SELECT 1",
        ] {
            assert!(!glance(text).calls, "{text}");
        }
    }

    #[test]
    fn trap_32_statements_on_the_session_are_seen() {
        for text in [
            "BEGIN",
            " /* x */ commit",
            "select 1; set search_path = x",
            "prepare p as select 1",
            "select nextval('s')",
            "create temp table x()",
            "select PG_ADVISORY_lock(1)",
            "select pg_try_advisory_xact_lock(1)",
            "fetch 5 from c",
            "explain analyze execute p",
        ] {
            assert!(glance(text).session, "{text}");
        }
        for text in [
            "select begin from t",
            "select 1; update t set a = 1",
            "select 'nextval'",
        ] {
            assert!(!glance(text).session, "{text}");
        }
    }
}
