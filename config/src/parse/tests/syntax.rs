use proptest::prelude::*;

use super::{STORES, bad, env, parse};
use crate::load;

const REFERENCE: &str = include_str!("../../../../reference.toml");

#[test]
fn syntax_errors_have_lines_and_do_not_hide_other_mistakes() {
    let text = "listen = 'localhost:1'\nworkers = \n[old]\nurl = \"postgres://u@h/d\npool_size = 0\n[new]\nurl = 'x'\nurl = 'y'\n";
    let mistakes = bad(text);
    let lines: Vec<_> = mistakes
        .list
        .iter()
        .filter_map(|mistake| mistake.at)
        .map(|at| at.line)
        .collect();
    assert_eq!(lines, [1, 2, 4, 5, 7, 8], "{mistakes}");
    assert!(
        mistakes
            .to_string()
            .contains("\"url\" is set twice; leave one of the two"),
        "{mistakes}"
    );
}

#[test]
fn an_open_bracket_does_not_blame_what_follows() {
    for text in [
        "[old\nurl = 'postgres://u@h/d'\n[new]\nurl = 'postgres://u@h/e'\n",
        "x = [1,\n[old]\nurl = 3\n",
    ] {
        let mistakes = bad(text);
        assert!(
            mistakes
                .list
                .iter()
                .all(|mistake| mistake.what.starts_with("not TOML")
                    || mistake.at.is_some_and(|at| at.line == 1)),
            "{mistakes}"
        );
    }
}

#[test]
fn a_table_that_stands_twice_is_refused() {
    let mistakes = bad(&format!("{STORES}[old]\npool_size = 1\n"));
    assert!(
        mistakes
            .to_string()
            .contains("x.toml:5:2: \"old\" is set twice"),
        "{mistakes}"
    );
}

#[test]
fn trap_39_half_a_file_is_a_mistake_with_a_line() {
    let cuts = (0..REFERENCE.len()).filter(|at| REFERENCE.is_char_boundary(*at));
    // Every cut in the dense part at the end, where a table gone would matter; each seventh elsewhere.
    for at in cuts.filter(|at| at % 7 == 0 || REFERENCE.len() - at < 600) {
        let cut = &REFERENCE[..at];
        match parse(cut) {
            Err(mistakes) => {
                assert!(!mistakes.list.is_empty(), "cut at {at}");
                let lines = cut.lines().count().max(1) + 1;
                for mistake in &mistakes.list {
                    assert!(
                        mistake.at.is_some_and(|at| (1..=lines).contains(&at.line)),
                        "cut at {at}: {mistake:?}"
                    );
                }
            }
            Ok(_) => panic!(
                "the reference names files that are not there, and yet no mistake, cut at {at}"
            ),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_never_panics(at in 0..REFERENCE.len(), gone in 0..40usize, put in "[\\PC\n\"'\\[\\]{}=.]{0,6}") {
        let start = (0..=at).rev().find(|at| REFERENCE.is_char_boundary(*at)).unwrap_or(0);
        let end = (start + gone..).find(|end| *end >= REFERENCE.len() || REFERENCE.is_char_boundary(*end)).unwrap_or(start);
        let damaged = format!("{}{put}{}", &REFERENCE[..start], &REFERENCE[end.min(REFERENCE.len())..]);
        if let Err(mistakes) = parse(&damaged) {
            prop_assert!(mistakes.list.iter().all(|mistake| mistake.at.is_some_and(|at| at.line > 0)));
            prop_assert!(!mistakes.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn any_text_at_all_never_panics(text in "\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&text);
        let _ = load::judge(std::path::Path::new("x.toml"), Ok(bytes), &env);
    }

    #[test]
    fn any_url_at_all_never_panics(url in "(postgres://)?[\\PC:@/?#%&=\\[\\]$\\{\\}]{0,60}") {
        let _ = crate::url::parse(&url, &env);
    }
}
