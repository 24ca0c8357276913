use std::path::PathBuf;

use super::*;
use crate::TlsMode;

fn env(name: &str) -> Option<String> {
    match name {
        "PW" => Some("p@ss/w:rd%zz?#".to_owned()),
        "URL" => Some("postgres://u:p%40ss@db:6000/shop?sslmode=require".to_owned()),
        "PLACE" => Some("10.0.0.9:7000".to_owned()),
        "BOTH" => Some("user:hunter2".to_owned()),
        _ => None,
    }
}

fn mistakes(typed: &str) -> String {
    let found = parse(typed, &env).expect_err(typed);
    found.iter().map(|mistake| format!("{mistake}\n")).collect()
}

#[test]
fn reads_every_part() {
    let url: StoreUrl = "postgresql://cross%40fade:p%2Fw%3A%C3%A9@db.example:5433/my%20shop?sslmode=verify-full&sslrootcert=roots.pem&application_name=x"
        .parse()
        .expect("a good url");
    assert_eq!(url.kind, StoreKind::Postgres);
    assert_eq!((url.host.as_str(), url.port), ("db.example", 5433));
    assert_eq!(
        (url.user.as_str(), url.password.as_deref()),
        ("cross@fade", Some("p/w:é"))
    );
    assert_eq!(
        (url.database.as_str(), url.tls),
        ("my shop", TlsMode::VerifyFull)
    );
    assert_eq!(url.root_cert, Some(PathBuf::from("roots.pem")));
    assert_eq!(
        url.params.get("application_name").map(String::as_str),
        Some("x")
    );
}

#[test]
fn fills_in_what_a_url_may_leave_out() {
    for (text, kind, port, tls) in [
        (
            "postgres://u@h/d",
            StoreKind::Postgres,
            5432,
            TlsMode::Prefer,
        ),
        ("mysql://u@h/d", StoreKind::MySql, 3306, TlsMode::Prefer),
        ("mariadb://u@h/d", StoreKind::MySql, 3306, TlsMode::Prefer),
        (
            "mongodb://h/d?replicaSet=rs0",
            StoreKind::Mongo,
            27017,
            TlsMode::Disable,
        ),
        (
            "mongodb://h/d?tls=true",
            StoreKind::Mongo,
            27017,
            TlsMode::VerifyFull,
        ),
    ] {
        let url: StoreUrl = text.parse().expect(text);
        assert_eq!(
            (url.kind, url.port, url.tls, url.password),
            (kind, port, tls, None),
            "{text}"
        );
    }
    let url: StoreUrl = "postgres://u@[::1]:99/d".parse().expect("an IPv6 url");
    assert_eq!((url.host.as_str(), url.port), ("::1", 99));
    assert_eq!(url.to_string(), "postgres://u@[::1]:99/d");
}

#[test]
fn a_variable_in_a_part_is_taken_as_it_is() {
    let url = parse("postgres://u:${PW}@h/d", &env).expect("a good url");
    assert_eq!(url.password.as_deref(), Some("p@ss/w:rd%zz?#"));
    assert_eq!(url.host, "h");
    let url = parse("postgres://u:a%40${PW}@${PLACE}/d", &env).expect("a good url");
    assert_eq!(url.password.as_deref(), Some("a@p@ss/w:rd%zz?#"));
    assert_eq!((url.host.as_str(), url.port), ("10.0.0.9", 7000));
    let url = parse("postgres://u:$${PW}@h/d", &env).expect("a good url");
    assert_eq!(url.password.as_deref(), Some("${PW}"));
}

#[test]
fn a_variable_that_holds_the_whole_url_is_read_as_a_url() {
    let url = parse("${URL}", &env).expect("a good url");
    assert_eq!(
        (url.host.as_str(), url.port, url.password.as_deref()),
        ("db", 6000, Some("p@ss"))
    );
}

#[test]
fn every_mistake_of_a_url_is_found_in_one_go() {
    let found = mistakes("postgres://u:%zz@h:99999?sslmode=maybe&password=hunter2");
    for part in [
        "password that is no percent-encoding",
        "port that is not",
        "no database",
        "unknown sslmode",
        "\"password\"",
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
    assert!(!found.contains("hunter2"), "{found}");
}

#[test]
fn refuses_what_cannot_be_a_store() {
    for (typed, part) in [
        ("", "no scheme"),
        ("postgres:u@h/d", "no scheme"),
        ("postgers://u@h/d", "did you mean \"postgres://\"?"),
        ("redis://u@h/d", "unknown scheme \"redis\""),
        ("mongodb+srv://u@h/d", "mongodb+srv"),
        ("postgres://h/d", "names no user"),
        ("postgres://:p@h/d", "names no user"),
        ("postgres://u@/d", "no host"),
        ("postgres://u@h", "no database"),
        ("postgres://u@h:0/d", "port"),
        ("postgres://u@h:/d", "port"),
        ("postgres://u@[::1/d", "unclosed"),
        ("postgres://u@[x]/d", "IPv6"),
        ("postgres://u@a,b/d", "several hosts"),
        ("postgres://u@%2Fvar%2Frun/d", "Unix socket"),
        ("postgres://u@h/d?sslmode=allow", "unknown sslmode"),
        (
            "postgres://u@h/d?ssl_mode=require",
            "did you mean \"sslmode\"?",
        ),
        ("postgres://u@h/d?sslrootcert=x.pem", "does not check"),
        (
            "postgres://u@h/d?sslmode=require&sslrootcert=x.pem",
            "does not check",
        ),
        ("postgres://u@h/d?connect_timeout=3", "beside url"),
        ("postgres://u:${NO}@h/d", "\"NO\" is not set"),
        ("postgres://${BOTH}@h/d", "two variables"),
        ("postgres://u:%00@h/d", "NUL"),
        ("postgres://u:%ff@h/d", "UTF-8"),
    ] {
        assert!(
            mistakes(typed).contains(part),
            "{part} in {}",
            mistakes(typed)
        );
    }
}

#[test]
fn no_mistake_repeats_a_password() {
    // Passwords with characters that ought to be encoded make other parts of what they are.
    for typed in [
        "postgres://u:hun/ter2@h:1/d",
        "postgres://u:hun?ter2@h:1/d",
        "postgres://u:hun?sslmode=ter2@h:1/d",
        "postgres://u:hun#ter2@h:1:2/d",
        "postgres://hunter2",
        "hunter2://x:ter2",
        "hun ter2://x:ter2",
        "u:hunter2@h/d",
        "postgres://u:hun%ter2@h/d",
        "postgres://${BOTH}@h:x/d",
    ] {
        let found = mistakes(typed);
        assert!(
            !found.contains("ter2") || typed.starts_with("hunter2://"),
            "{typed}: {found}"
        );
    }
}

#[test]
fn neither_debug_nor_display_shows_the_password() {
    let url: StoreUrl = "postgres://u:hunter2@h/d?application_name=x"
        .parse()
        .expect("a good url");
    for shown in [format!("{url}"), format!("{url:?}"), format!("{url:#?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
