//! The pieces of a date's or time's text.

/// A piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Only digits.
    Number(String),
    /// Digits with `-`, `/` or `.` between.
    Date(String),
    /// Digits with `:` between, and a fraction.
    Time(String),
    /// `+01:30`.
    Offset(String),
    /// Letters, or a zone's name, lower case.
    Word(String),
}

/// Splits; `None` where a character can stand in no form.
pub(super) fn scan(text: &str) -> Option<Vec<Piece>> {
    let lower = text.to_ascii_lowercase();
    let mut rest = lower.as_str();
    let mut pieces = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c', ',']);
        let Some(first) = rest.chars().next() else {
            return Some(pieces);
        };
        let timed = pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Time(_) | Piece::Number(_)));
        let (piece, length) = match first {
            '0'..='9' => number(rest),
            '+' | '-' if timed => (
                None,
                1 + run(&rest[1..], |c| c.is_ascii_digit() || c == ':'),
            ),
            '+' | '-' if !timed && rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let length = 1 + run(&rest[1..], |c| c.is_ascii_alphabetic());
                (Some(Piece::Word(rest[..length].to_owned())), length)
            }
            'a'..='z' => word(rest),
            _ => return None,
        };
        if length == 1 && matches!(first, '+' | '-') {
            return None;
        }
        pieces.push(piece.unwrap_or_else(|| Piece::Offset(rest[..length].to_owned())));
        rest = &rest[length..];
    }
}

fn run(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}

fn number(text: &str) -> (Option<Piece>, usize) {
    let digits = run(text, |c| c.is_ascii_digit());
    let next = text[digits..].chars().next();
    match next {
        Some(':') => {
            let length = run(text, |c| c.is_ascii_digit() || c == ':' || c == '.');
            (Some(Piece::Time(text[..length].to_owned())), length)
        }
        Some(separator @ ('-' | '/' | '.')) => {
            let is_date = |c: char| c.is_ascii_digit() || c == separator;
            let length = run(text, is_date);
            (Some(Piece::Date(text[..length].to_owned())), length)
        }
        _ => (Some(Piece::Number(text[..digits].to_owned())), digits),
    }
}

fn word(text: &str) -> (Option<Piece>, usize) {
    let letters = run(text, |c| c.is_ascii_alphabetic());
    // The mark between an ISO date and its time.
    if &text[..letters] == "t" {
        return (Some(Piece::Word("t".to_owned())), 1);
    }
    let is_zone = matches!(text[letters..].chars().next(), Some('/' | '_'));
    let length = if is_zone {
        run(text, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+')
        })
    } else {
        letters
    };
    (Some(Piece::Word(text[..length].to_owned())), length)
}
