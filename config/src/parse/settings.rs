//! The settings outside stores and toggles.

use std::{net::SocketAddr, path::PathBuf};

use toml::de::DeValue;

use crate::{
    ClientSettings, Control, FlipSettings, JournalPlace, OnSecondaryError, ReconcileSettings,
    ServerTls, WriteSettings, defaults, keys,
    reader::{Field, Reader, Section, Zero},
    suggest::nearest,
};

/// More than any machine has; a slip of the finger must not start a million threads.
const MAX_THREADS: u64 = 1_024;

/// PostgreSQL's own highest `max_connections`.
const MAX_SESSIONS: u64 = 262_143;

/// The front end's address and the admin port's.
pub(crate) fn addresses(
    reader: &mut Reader<'_>,
    root: &Section<'_>,
) -> (SocketAddr, Option<SocketAddr>) {
    let listen_field = root.get("listen");
    let listen = listen_field
        .as_ref()
        .and_then(|field| address(reader, field, "6432"))
        .unwrap_or(defaults::LISTEN);
    let admin_field = root.get("admin");
    let admin = match admin_field
        .as_ref()
        .map(|field| (field, field.value.get_ref()))
    {
        None => Some(defaults::ADMIN),
        Some((_, DeValue::Boolean(false))) => None,
        Some((field, DeValue::Boolean(true))) => {
            reader.mistake(
                field.at(),
                "\"admin\" is true",
                "write an address such as \"127.0.0.1:6433\", or false",
            );
            None
        }
        Some((field, _)) => address(reader, field, "6433"),
    };
    if admin.is_some_and(|admin| overlap(listen, admin)) {
        let field = admin_field.or(listen_field);
        let at = field.map_or(0..0, |field| field.at());
        reader.mistake(
            at,
            "\"listen\" and \"admin\" are the same address",
            "give each its own port",
        );
    }
    (listen, admin)
}

/// Port 0 is any free port, and never the same one twice.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_host = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && same_host
}

fn address(reader: &mut Reader<'_>, field: &Field<'_>, port: &str) -> Option<SocketAddr> {
    let expected = format!("an address and a port such as \"127.0.0.1:{port}\"");
    let text = reader.filled(field, &expected)?;
    if let Ok(address) = text.value.trim().parse() {
        return Some(address);
    }
    let instead = match text.value.trim().rsplit_once(':') {
        Some((_, typed)) if typed.parse::<u16>().is_err() => {
            "write a port from 1 to 65535 behind the colon".to_owned()
        }
        Some(("localhost", typed)) => format!("write \"127.0.0.1:{typed}\""),
        Some(("" | "*", typed)) => format!(
            "write \"0.0.0.0:{typed}\" for every interface, \"127.0.0.1:{typed}\" for this machine only"
        ),
        Some(_) | None => format!("write {expected}"),
    };
    reader.mistake(
        field.at(),
        format!("\"{}\" is not an address: {:?}", field.path, text.typed),
        instead,
    );
    None
}

pub(crate) fn state_dir(reader: &mut Reader<'_>, root: &Section<'_>) -> PathBuf {
    let typed = root.get("state_dir").and_then(|field| reader.path(&field));
    typed.unwrap_or_else(|| reader.resolve(defaults::STATE_DIR))
}

pub(crate) fn journal(reader: &mut Reader<'_>, root: &Section<'_>) -> JournalPlace {
    let words = [
        ("state_dir", JournalPlace::StateDir),
        ("primary", JournalPlace::Primary),
    ];
    one_of(reader, root, "journal", words, defaults::JOURNAL)
}

pub(crate) fn control(reader: &mut Reader<'_>, root: &Section<'_>) -> Control {
    let words = [
        ("state_dir", Control::StateDir),
        ("database", Control::Database),
    ];
    one_of(reader, root, "control", words, defaults::CONTROL)
}

pub(crate) fn proxy(reader: &mut Reader<'_>, root: &Section<'_>, listen: SocketAddr) -> String {
    let typed = root
        .get("proxy")
        .and_then(|field| reader.filled(&field, "a name such as \"proxy-1\""));
    typed.map_or_else(|| defaults::proxy(listen), |text| text.value)
}

pub(crate) fn workers(reader: &mut Reader<'_>, root: &Section<'_>) -> usize {
    let Some(field) = root.get("workers") else {
        return defaults::workers();
    };
    if let DeValue::String(typed) = field.value.get_ref()
        && !crate::env::has_placeholder(typed)
    {
        if typed != defaults::WORKERS {
            let what = format!("\"workers\" has no meaning as {typed:?}");
            reader.mistake(
                field.at(),
                what,
                format!(
                    "write a whole number from 1 to {MAX_THREADS}, or \"auto\" for one to two cores"
                ),
            );
        }
        return defaults::workers();
    }
    reader.number(root, "workers", 1..=MAX_THREADS, defaults::workers())
}

pub(crate) fn tls(reader: &mut Reader<'_>, root: &Section<'_>) -> Option<ServerTls> {
    let section = reader.section(root, "tls", &keys::TLS)?;
    let cert = pem(reader, &section, "cert");
    let key = pem(reader, &section, "key");
    let required = reader.boolean(&section, "required", defaults::TLS_REQUIRED);
    Some(ServerTls {
        cert: cert?,
        key: key?,
        required,
    })
}

/// A file that must be there. It is not opened: a command of the operator may run without the right to read a key.
fn pem(reader: &mut Reader<'_>, section: &Section<'_>, key: &str) -> Option<PathBuf> {
    let Some(field) = section.get(key) else {
        let what = format!("[tls] has no \"{key}\"");
        reader.missing(
            section.at.clone(),
            what,
            "name a PEM file for both cert and key, or leave out [tls]",
        );
        return None;
    };
    let path = reader.path(&field)?;
    if !path.is_file() {
        let what = format!("\"{}\" names no file", field.path);
        reader.mistake(
            field.at(),
            what,
            "name a PEM file; relative paths start at the folder of the configuration file",
        );
        return None;
    }
    Some(path)
}

pub(crate) fn writes(reader: &mut Reader<'_>, root: &Section<'_>) -> WriteSettings {
    let s = &opened(reader, root, "writes", &keys::WRITES);
    WriteSettings {
        secondary_timeout: reader.duration(
            s,
            "secondary_timeout",
            Zero::Refused,
            defaults::SECONDARY_TIMEOUT,
        ),
        on_secondary_error: one_of(
            reader,
            s,
            "on_secondary_error",
            [
                ("journal", OnSecondaryError::Journal),
                ("fail", OnSecondaryError::Fail),
            ],
            defaults::ON_SECONDARY_ERROR,
        ),
        max_transaction_bytes: reader.size(
            s,
            "max_transaction_bytes",
            Zero::Refused,
            defaults::MAX_TRANSACTION_BYTES,
        ),
        breaker_failures: reader.number(
            s,
            "breaker_failures",
            1..=1_000_000,
            defaults::BREAKER_FAILURES,
        ),
        breaker_retry: reader.duration(s, "breaker_retry", Zero::Refused, defaults::BREAKER_RETRY),
    }
}

/// One of a few words.
fn one_of<T: Copy>(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &str,
    words: [(&'static str, T); 2],
    default: T,
) -> T {
    let expected = format!("\"{}\" or \"{}\"", words[0].0, words[1].0);
    let Some(field) = section.get(key) else {
        return default;
    };
    let Some(text) = reader.text(&field, &expected) else {
        return default;
    };
    let meant = words.iter().find(|(word, _)| *word == text.value);
    if let Some((_, meaning)) = meant {
        return *meaning;
    }
    let instead = nearest(&text.value, words.map(|(word, _)| word)).map_or_else(
        || format!("write {expected}"),
        |near| format!("did you mean \"{near}\"?"),
    );
    reader.mistake(
        field.at(),
        format!("\"{}\" has no meaning as {:?}", field.path, text.typed),
        instead,
    );
    default
}

pub(crate) fn flips(reader: &mut Reader<'_>, root: &Section<'_>) -> FlipSettings {
    let s = &opened(reader, root, "flips", &keys::FLIPS);
    FlipSettings {
        drain_timeout: reader.duration(s, "drain_timeout", Zero::Refused, defaults::DRAIN_TIMEOUT),
        mismatch_window: reader.duration(
            s,
            "mismatch_window",
            Zero::Allowed,
            defaults::MISMATCH_WINDOW,
        ),
    }
}

pub(crate) fn reconcile(reader: &mut Reader<'_>, root: &Section<'_>) -> ReconcileSettings {
    let s = &opened(reader, root, "reconcile", &keys::RECONCILE);
    ReconcileSettings {
        chunk_rows: reader.number(s, "chunk_rows", 1..=10_000_000, defaults::CHUNK_ROWS),
        workers: reader.number(s, "workers", 1..=MAX_THREADS, defaults::RECONCILE_WORKERS),
        max_rows_per_s: max_rows_per_s(reader, s),
        brake_latency: reader.duration(s, "brake_latency", Zero::Refused, defaults::BRAKE_LATENCY),
    }
}

fn max_rows_per_s(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<u32> {
    let Some(field) = section.get("max_rows_per_s") else {
        return defaults::MAX_ROWS_PER_S;
    };
    match field.value.get_ref() {
        DeValue::Boolean(false) => None,
        DeValue::Boolean(true) => {
            reader.wrong_type(&field, "a number of rows, or false for no limit");
            None
        }
        _ => reader
            .integer(&field, &(1..=u64::from(u32::MAX)))
            .and_then(|rows| u32::try_from(rows).ok()),
    }
}

pub(crate) fn clients(reader: &mut Reader<'_>, root: &Section<'_>) -> ClientSettings {
    let s = &opened(reader, root, "clients", &keys::CLIENTS);
    ClientSettings {
        max_connections: reader.number(
            s,
            "max_connections",
            1..=MAX_SESSIONS,
            defaults::MAX_CONNECTIONS,
        ),
        login_timeout: reader.duration(s, "login_timeout", Zero::Refused, defaults::LOGIN_TIMEOUT),
    }
}

/// The table at `key`; where the file has none, an empty one, which leaves every default.
fn opened<'t>(
    reader: &mut Reader<'_>,
    root: &Section<'t>,
    key: &str,
    keys: &keys::Keys,
) -> Section<'t> {
    reader.section(root, key, keys).unwrap_or_else(|| Section {
        path: key.to_owned(),
        at: root.at.clone(),
        table: None,
    })
}
