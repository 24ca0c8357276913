//! What a trigger's function visibly assigns to columns of the row that is being written.

use std::collections::BTreeSet;

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A name or keyword: folded, except in quotes.
    Word(String),
    /// `:=`, `>>`, or one character.
    Mark(&'static str),
}

/// The columns that the PL/pgSQL text `source` assigns by `NEW.column := …`, `NEW.column = …` or `INTO NEW.column`. Columns to which it gives back what they
/// were (`NEW.id := OLD.id;`) are none.
pub(super) fn assigned(source: &str) -> BTreeSet<String> {
    let tokens = tokens(source);
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    let mark = |at: usize| match tokens.get(at) {
        Some(Token::Mark(mark)) => *mark,
        _ => "",
    };
    let field = |at: usize, row: &str| {
        let named = word(at) == row && mark(at + 1) == "." && !word(at + 2).is_empty();
        named.then(|| word(at + 2).to_owned())
    };
    let mut found = BTreeSet::new();
    for at in 0..tokens.len() {
        let Some(column) = field(at, "new") else {
            continue;
        };
        let behind = |word_before: &[&str]| at > 0 && word_before.contains(&word(at - 1));
        let begins = at == 0
            || matches!(mark(at - 1), ";" | ">>")
            || behind(&["begin", "then", "else", "loop"]);
        let assigns = begins && matches!(mark(at + 3), ":=" | "=");
        let restores = field(at + 4, "old").as_ref() == Some(&column) && mark(at + 7) == ";";
        if assigns && !restores || behind(&["into", "strict"]) {
            found.insert(column);
        }
    }
    found
}

/// The words and marks of a text, without comments and constants.
fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let end = match first {
            _ if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => comment(rest),
            '\'' => quoted(rest, '\''),
            '"' => {
                let end = quoted(rest, '"');
                let inside = rest[1..end].trim_end_matches('"');
                tokens.push(Token::Word(inside.replace("\"\"", "\"")));
                end
            }
            '$' => constant(rest),
            _ if first.is_alphabetic() || first == '_' => {
                let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..end].to_lowercase()));
                end
            }
            _ => {
                let known = [":=", ">>", ";", ".", "="];
                let mark = known.into_iter().find(|mark| rest.starts_with(mark));
                if !first.is_whitespace() {
                    tokens.push(Token::Mark(mark.unwrap_or("?")));
                }
                mark.map_or(first.len_utf8(), str::len)
            }
        };
        rest = &rest[end..];
    }
    tokens
}

/// The end of what stands in quotes; a quote inside is written twice.
fn quoted(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(end) = text[at..].find(quote) {
        at += end + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

/// The end of a comment, which may hold others.
fn comment(text: &str) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let Some(next) = text[at..].find(['*', '/']) else {
            return text.len();
        };
        at += next;
        let (step, change) = match &text[at..] {
            rest if rest.starts_with("*/") => (2, -1),
            rest if rest.starts_with("/*") => (2, 1),
            _ => (1, 0),
        };
        at += step;
        depth += change;
    }
    at
}

/// The end of `$tag$ … $tag$`, or of a lone `$`.
fn constant(text: &str) -> usize {
    let tag = text[1..].find('$').map(|end| &text[..end + 2]);
    let tag = tag.filter(|tag| {
        let inside = &tag[1..tag.len() - 1];
        inside.chars().all(|c| c.is_alphanumeric() || c == '_')
    });
    let close = tag.and_then(|tag| Some(tag.len() + text[tag.len()..].find(tag)? + tag.len()));
    close.unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> String {
        let found: Vec<String> = assigned(source).into_iter().collect();
        found.join(" ")
    }

    #[test]
    fn what_begins_a_statement_is_an_assignment() {
        let source = "BEGIN new.id := 1; NEW . Code = lower(NEW.name); IF NEW.a = 1 AND new.b = 2 THEN NEW.c := 3; ELSE NEW.\"Odd \"\"N\" := 4; END IF; \
            <<here>> NEW.d := 5; SELECT 1 INTO NEW.e; SELECT 1 INTO STRICT NEW.f; PERFORM x WHERE y = NEW.g; RETURN NEW; END";
        assert_eq!(found(source), "Odd \"N c code d e f id");
    }

    #[test]
    fn comments_and_constants_assign_nothing() {
        let source = "BEGIN -- new.a := 1;\n /* new.b := 2; /* */ ; new.c := 3; */ RAISE NOTICE '; new.d := ''4'';'; EXECUTE $x$; new.e := 5;$x$; x := $1; new.f := 6; END";
        assert_eq!(found(source), "f");
        for unfinished in ["'", "\"", "/* *", "$a$ x", "--", "new.", "new.a", "$"] {
            assert_eq!(found(unfinished), "", "{unfinished}");
        }
    }

    #[test]
    fn what_is_given_back_as_it_was_is_not_changed() {
        assert_eq!(
            found("BEGIN NEW.id := OLD.id; NEW.a = old.b; NEW.b := OLD.b + 1; END"),
            "a b"
        );
    }
}
