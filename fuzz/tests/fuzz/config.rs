//! Configuration files: whatever is wrong with one is told by name and place, and an edit changes the phase and nothing else.

use crossfade_config::{
    Config, Mistakes,
    edit::{EditError, set_phase},
    parse,
};
use crossfade_fuzz::{Shown, Target};
use crossfade_phase::Phase;

const DICTIONARY: &[&[u8]] = &[
    b"[old]\n",
    b"[new]\n",
    b"[writes]\n",
    b"[flips]\n",
    b"[reconcile]\n",
    b"[clients]\n",
    b"[tls]\n",
    b"[toggle.shop]\n",
    b"[toggle.shop.table.orders]\n",
    b"[toggle.\"a b\".table.\"x.y\"]\n",
    b"phase = ",
    b"\"dual-write\"",
    b"\"new-only\"",
    b"3",
    b"9",
    b"url = ",
    b"\"postgres://u:p@h:5432/d?sslmode=disable\"",
    b"\"mongodb://h:27017/d?replicaSet=r\"",
    b"${PASSWORD}",
    b"${",
    b"$${",
    b"}",
    b"password_file = ",
    b"key = ",
    b"[\"id\"]",
    b"version = ",
    b"target = ",
    b"column.a = ",
    b"{ to = \"b\", type = \"int\" }",
    b"false",
    b"true",
    b"listen = ",
    b"\"127.0.0.1:0\"",
    b"admin = ",
    b"state_dir = ",
    b"workers = ",
    b"\"auto\"",
    b"\"5s\"",
    b"\"1 KB\"",
    b"\"99999999999999999999h\"",
    b"-1",
    b"1e400",
    b"nan",
    b"0x7fffffffffffffff",
    b"1979-05-27T07:32:00Z",
    b"'''",
    b"\"\"\"",
    b"#",
    b"\\u0000",
    b"\\U0010ffff",
    b"\n",
    b"\r\n",
    b"=",
    b".",
    b"[",
    b"]",
    b"[[",
    b"]]",
    b"{",
    b"}",
    b",",
    b"\"",
    b"'",
    b"\xef\xbb\xbf",
    b"\xff",
    b"schema = ",
    b"on_secondary_error = ",
    b"\"fail\"",
    b"secondary_timeout = ",
    b"%zz",
    b"%00",
    b"@",
    b":",
    b"/",
    b"?",
    b"&",
];

fn env(name: &str) -> Option<String> {
    match name {
        "PASSWORD" => Some("se\"cret\\ $".to_owned()),
        "NEWLINE" => Some("a\nb".to_owned()),
        _ => None,
    }
}

fn read(text: &str) -> Result<crossfade_config::Loaded, Mistakes> {
    parse(text, "crossfade.toml", &env, "/nonexistent")
}

fn check(input: &[u8]) -> Result<Shown, String> {
    let text = String::from_utf8_lossy(input);
    let loaded = match read(&text) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            let told = mistakes.to_string();
            if told.is_empty() {
                return Err("refused without a word".to_owned());
            }
            return Ok(Shown::of(kinds(&told)));
        }
    };
    for name in loaded.config.toggles.keys() {
        edited(&text, name, &loaded.config)?;
    }
    Ok(Shown::of(format!("{:?}", loaded.config)))
}

/// Another phase for one toggle, and nothing else.
fn edited(text: &str, toggle: &str, config: &Config) -> Result<(), String> {
    let phase = Phase::NewPrimary;
    let edited = match set_phase(text, toggle, phase) {
        Ok(edited) => edited,
        Err(EditError::FromEnvironment { .. }) => return Ok(()),
        Err(error) => return Err(format!("what was read cannot be edited: {error}")),
    };
    let again = read(&edited).map_err(|mistakes| format!("after an edit: {mistakes}"))?;
    let mut expected = config.clone();
    if let Some(toggle) = expected.toggles.get_mut(toggle) {
        toggle.phase = phase;
    }
    if again.config != expected {
        return Err(format!("an edit of \"{toggle}\" changed something else"));
    }
    Ok(())
}

/// The mistakes without what was typed.
fn kinds(told: &str) -> String {
    let mut quoted = false;
    told.chars()
        .filter(|char| {
            quoted ^= *char == '"';
            !quoted && char.is_alphabetic()
        })
        .collect()
}

#[test]
fn no_file_of_an_operator_breaks_the_parser() {
    Target {
        name: "config",
        dictionary: DICTIONARY,
        folder: crate::FOLDER,
        check: &check,
    }
    .run();
}
