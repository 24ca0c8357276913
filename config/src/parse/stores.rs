//! `[old]` and `[new]`.

use std::ops::Range;

use crate::{
    StoreConfig, StoreKind, StoreUrl, defaults, keys,
    load::{Content, read},
    names,
    reader::{Reader, Section, Zero},
    url,
};

/// What a URL looks like.
const URL: &str = "a url such as \"postgres://USER@HOST:5432/DATABASE\"";

/// No server takes more connections.
const MAX_POOL: u64 = 10_000;

/// Reads the store of one side.
pub(crate) fn store(
    reader: &mut Reader<'_>,
    root: &Section<'_>,
    side: &str,
) -> Option<StoreConfig> {
    if root.get(side).is_none() {
        let what = format!("the file has no [{side}]");
        reader.missing(
            0..0,
            what,
            format!("add [{side}] with url = \"postgres://USER@HOST:5432/DATABASE\""),
        );
        return None;
    }
    let section = &reader.section(root, side, &keys::STORE)?;
    let found = store_url(reader, section);
    let password = password_file(reader, section);
    let pool_size = reader.number(section, "pool_size", 1..=MAX_POOL, defaults::POOL_SIZE);
    let connect_timeout = reader.duration(
        section,
        "connect_timeout",
        Zero::Refused,
        defaults::CONNECT_TIMEOUT,
    );
    // Without a url the kind is unknown; PostgreSQL's rules find the most.
    let kind = found
        .as_ref()
        .map_or(StoreKind::Postgres, |(url, _)| url.kind);
    let typed_schema = schema(reader, section, kind);

    let (mut url, at) = found?;
    if let Some(password) = password {
        if url.password.is_some() {
            let at = section
                .get("password_file")
                .map_or(at.clone(), |field| field.at());
            let what = format!("[{side}] has a password in its url and a password_file");
            reader.mistake(at, what, "leave one of the two");
        }
        url.password = Some(password);
    }
    url.root_cert = url.root_cert.map(|path| reader.base_dir.join(path));
    if url.root_cert.as_ref().is_some_and(|path| !path.is_file()) {
        let what = format!("\"{side}.url\" has a root certificate that is no file");
        let instead =
            "name a PEM file; relative paths start at the folder of the configuration file";
        reader.mistake(at.clone(), what, instead);
    }
    let schema = typed_schema.unwrap_or_else(|| match url.kind {
        StoreKind::Postgres => defaults::SCHEMA.to_owned(),
        StoreKind::MySql => url.database.clone(),
        StoreKind::Mongo => String::new(),
    });
    Some(StoreConfig {
        url,
        schema,
        pool_size,
        connect_timeout,
    })
}

fn store_url(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<(StoreUrl, Range<usize>)> {
    let Some(field) = section.get("url") else {
        let what = format!("[{}] has no \"url\"", section.path);
        reader.missing(
            section.at.clone(),
            what,
            format!("add url = \"{}\"", URL.split('"').nth(1).unwrap_or(URL)),
        );
        return None;
    };
    let toml::de::DeValue::String(typed) = field.value.get_ref() else {
        reader.wrong_type(&field, URL);
        return None;
    };
    match url::parse(typed, reader.env) {
        Ok(url) => Some((url, field.at())),
        Err(mistakes) => {
            for mistake in mistakes {
                reader.mistake(
                    field.at(),
                    format!("\"{}\" {}", field.path, mistake.what),
                    mistake.instead,
                );
            }
            None
        }
    }
}

/// The first line of the password file. No message repeats the path: who types the password itself by mistake
/// must not find it in a log.
fn password_file(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<String> {
    let field = section.get("password_file")?;
    let path = reader.path(&field)?;
    let content = read(&path);
    reader.secrets.push((path, content.clone()));
    match first_line(content) {
        Ok(password) => Some(password),
        Err(why) => {
            let what = format!("\"{}\" names a file that {why}", field.path);
            let instead = "name a file that holds the password on one line; relative paths start at the folder of the configuration file";
            reader.mistake(field.at(), what, instead);
            None
        }
    }
}

fn first_line(content: Content) -> Result<String, String> {
    let bytes = content.map_err(|kind| format!("cannot be read: {kind}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err("is empty".to_owned());
    }
    if line.contains(['\n', '\0']) {
        return Err("has more than one line".to_owned());
    }
    Ok(line.to_owned())
}

fn schema(reader: &mut Reader<'_>, section: &Section<'_>, kind: StoreKind) -> Option<String> {
    let field = section.get("schema")?;
    let text = reader.filled(&field, "the name of a schema in quotes")?;
    if kind == StoreKind::Mongo {
        let what = format!("\"{}\" is set, and MongoDB has no schemas", field.path);
        reader.mistake(
            field.at(),
            what,
            "leave it out; the database is part of url",
        );
        return None;
    }
    if let Err(why) = names::identifier(&text.value, kind) {
        reader.mistake(
            field.at(),
            format!("\"{}\" {why}", field.path),
            "write the name of one schema, without a dot or quotes",
        );
        return None;
    }
    Some(text.value)
}
