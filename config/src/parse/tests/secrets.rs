use std::fs;

use super::{bad, env, good, parse};
use crate::load;

#[test]
fn no_debug_of_a_configuration_shows_a_password() {
    let text =
        "[old]\nurl = 'postgres://u:hunter2@h/d'\n[new]\nurl = 'postgres://u:${OLD_PW}@g/d'\n";
    let loaded = parse(text).expect("a good file");
    for shown in [
        format!("{loaded:?}"),
        format!("{loaded:#?}"),
        format!("{:?}", good(text)),
        loaded.config.old.url.to_string(),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn no_mistake_shows_a_password() {
    let stores = "[new]\nurl = 'postgres://u@h/d'\n[old]\n";
    for body in [
        "url = 'postgres://u:hunter2@h:x/d'",
        "url = 'postgres//u:hunter2@h:1/d'",
        "url = 'postgres://u:hunter2'",
        "url = 'postgres://u:hunter2@h/d",
        "url = postgres://u:hunter2@h/d",
        "url = 'postgres://u:${OLD_PW}@h:x/d'",
        "url = '${OLD_PW}'",
        "url = 'postgres://u@h/d'\npassword = 'hunter2'",
        "url = 'postgres://u@h/d'\npassword_file = 'hunter2'",
        "url = 'postgres://u@h/d'\npassword_file = '${OLD_PW}'",
        "url = 'postgres://u@h/d'\nconnect_timeout = '${OLD_PW}'",
        "url = 'postgres://u@h/d'\npool_size = '${OLD_PW}'",
        "url = ['postgres://u:hunter2@h/d']",
        "url = { password = 'hunter2' }",
    ] {
        let mistakes = bad(&format!("{stores}{body}\n"));
        for shown in [mistakes.to_string(), format!("{mistakes:?}")] {
            assert!(!shown.contains("hunter2"), "{body}\n{shown}");
        }
    }
}

#[test]
fn password_files_hold_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let text =
        "[old]\nurl = 'postgres://u@h/d'\npassword_file = 'pw'\n[new]\nurl = 'postgres://u@g/d'\n";
    let parse = |text: &str| load::parse(text, "x.toml", &env, folder.path());
    for (content, password) in [
        ("hunter2", "hunter2"),
        ("hunter2\n", "hunter2"),
        ("hunter2\r\n", "hunter2"),
        (" a b ", " a b "),
    ] {
        fs::write(folder.path().join("pw"), content).expect("write");
        let config = parse(text).expect("a good file").config;
        assert_eq!(config.old.url.password.as_deref(), Some(password));
    }
    for (content, why) in [
        ("", "is empty"),
        ("\n", "is empty"),
        ("hunter2\nhunter3", "more than one line"),
    ] {
        fs::write(folder.path().join("pw"), content).expect("write");
        let shown = parse(text).expect_err(content).to_string();
        assert!(shown.contains(why) && !shown.contains("hunter"), "{shown}");
    }
    fs::write(folder.path().join("pw"), "hunter2").expect("write");
    let both = parse(&text.replace("//u@h", "//u:hunter3@h"))
        .expect_err("both")
        .to_string();
    assert!(
        both.contains("a password in its url and a password_file") && !both.contains("hunter"),
        "{both}"
    );
}

#[test]
fn a_list_of_users_is_read_and_what_is_wrong_told_by_its_line() {
    const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let folder = tempfile::tempdir().expect("a folder");
    let text = "[old]\nurl = 'postgres://u@h/d'\n[new]\nurl = 'mongodb://u@g/d'\n[users]\nfile = 'users.txt'\n";
    let parse = || load::parse(text, "x.toml", &env, folder.path());
    let listed = |loaded: load::Loaded| loaded.config.users.map(|list| list.users.len());
    assert_eq!(listed(parse().expect("not there yet")), Some(0));
    let file = folder.path().join("users.txt");
    fs::write(&file, format!("app {VERIFIER}\n")).expect("write");
    let loaded = parse().expect("a good file");
    assert!(loaded.files().contains(&file.as_path()));
    assert_eq!(listed(loaded), Some(1));
    fs::write(&file, format!("app {VERIFIER}\nother hunter2\n")).expect("write");
    let shown = parse().expect_err("no verifier").to_string();
    assert!(shown.contains("line 2 has a password"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
