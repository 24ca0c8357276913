//! Texts and their tokens.

use proptest::prelude::*;

use super::{Lexer, TokenKind};

fn words(text: &str, conforming: bool) -> Vec<(TokenKind, &str)> {
    Lexer::new(text.as_bytes(), conforming)
        .filter(|token| token.kind.is_significant())
        .map(|token| (token.kind, &text[token.start..token.end]))
        .collect()
}

fn pieces(text: &str) -> Vec<&str> {
    words(text, true)
        .into_iter()
        .map(|(_, piece)| piece)
        .collect()
}

#[test]
fn operators_are_cut_as_the_server_cuts_them() {
    assert_eq!(pieces("a=-5"), ["a", "=", "-", "5"]);
    assert_eq!(pieces("a @-5"), ["a", "@-", "5"]);
    assert_eq!(pieces("a*/*c*/b"), ["a", "*", "b"]);
    assert_eq!(pieces("a<--c\nb"), ["a", "<", "b"]);
    assert_eq!(pieces("x::int[]"), ["x", "::", "int", "[", "]"]);
    assert_eq!(pieces("1..10"), ["1", "..", "10"]);
    assert_eq!(
        pieces("f(a:=1,b=>.5e-3)"),
        ["f", "(", "a", ":=", "1", ",", "b", "=>", ".5e-3", ")"]
    );
}

#[test]
fn constants_end_where_the_server_ends_them() {
    assert_eq!(
        pieces("'it''s' E'a\\'b' $$x'y$$ $t$a$$b$t$"),
        ["'it''s'", "E'a\\'b'", "$$x'y$$", "$t$a$$b$t$"]
    );
    assert_eq!(
        pieces("'a'\n -- more\n 'b' c"),
        ["'a'\n -- more\n 'b'", "c"]
    );
    assert_eq!(pieces("'a' 'b'"), ["'a'", "'b'"]);
    assert_eq!(words("'a\\' x", true)[1], (TokenKind::Word, "x"));
    assert_eq!(words("'a\\' x", false)[0].0, TokenKind::Error);
    assert_eq!(pieces("a$b$c $1"), ["a$b$c", "$1"]);
    assert_eq!(
        pieces("\"a\"\"b\" U&\"d\\0061\" u&'x' B'01' x'ff' n'y'").len(),
        6
    );
    assert_eq!(pieces("/* a /* b */ c */ d"), ["d"]);
}

#[test]
fn what_does_not_end_is_an_error_up_to_the_end() {
    for text in ["'abc", "\"abc", "/* /* */", "$a$ b", "E'\\'"] {
        assert_eq!(words(text, true), [(TokenKind::Error, text)], "{text}");
    }
}

proptest! {
    #[test]
    fn tokens_tile_any_bytes(text in prop::collection::vec(prop_oneof![
        any::<u8>(), prop::sample::select(b"'\"$/*-eExXuU&bBnN\\;:.=<>+ \n01a_".to_vec())
    ], 0..80), conforming: bool) {
        let mut at = 0;
        for token in Lexer::new(&text, conforming) {
            prop_assert_eq!(token.start, at);
            prop_assert!(token.end > token.start);
            at = token.end;
        }
        prop_assert_eq!(at, text.len());
    }
}
