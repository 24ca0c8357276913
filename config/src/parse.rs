//! From the TOML tree to the configuration: one module a part of the file.

mod columns;
mod settings;
mod stores;
mod tables;
mod toggles;
mod users;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    Config, Mistake, checks, keys,
    load::Content,
    mistake::{Kind, settle},
    reader::{Lookup, Reader, Section},
};
use toml::de::DeTable;

pub(crate) use toggles::PlacedTable;

/// The configuration, or its mistakes; and the password files, as they were read.
pub(crate) type Outcome = (Result<Config, Vec<Mistake>>, Vec<(PathBuf, Content)>);

/// Reads a whole file.
pub(crate) fn config(text: &str, env: Lookup<'_>, base_dir: &Path) -> Outcome {
    let (tree, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader::new(env, base_dir);
    for error in errors {
        syntax_error(&mut reader, text, &error);
    }
    let root = Section {
        path: String::new(),
        at: 0..0,
        table: Some(tree.get_ref()),
    };
    let config = whole(&mut reader, &root);
    let mistakes = settle(text, std::mem::take(&mut reader.found));
    let outcome = match config {
        Some(config) if mistakes.is_empty() => Ok(config),
        Some(_) | None => Err(mistakes),
    };
    (outcome, reader.secrets)
}

/// The admin port, whatever else is wrong with the file. `None` where it is switched off, or where too much is wrong to know.
pub(crate) fn admin(text: &str, env: Lookup<'_>) -> Option<SocketAddr> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    let root = Section {
        path: String::new(),
        at: 0..0,
        table: Some(tree.get_ref()),
    };
    if !errors.is_empty() && root.get("admin").is_none() {
        // It may stand in the part that cannot be read.
        return None;
    }
    settings::addresses(&mut Reader::new(env, Path::new("")), &root).1
}

fn whole(reader: &mut Reader<'_>, root: &Section<'_>) -> Option<Config> {
    reader.refuse_unknown(root, &keys::ROOT);
    let (listen, admin) = settings::addresses(reader, root);
    let state_dir = settings::state_dir(reader, root);
    let journal = settings::journal(reader, root);
    let control = settings::control(reader, root);
    let proxy = settings::proxy(reader, root, listen);
    let workers = settings::workers(reader, root);
    let tls = settings::tls(reader, root);
    let old = stores::store(reader, root, "old");
    let new = stores::store(reader, root, "new");
    let writes = settings::writes(reader, root);
    let flips = settings::flips(reader, root);
    let reconcile = settings::reconcile(reader, root);
    let clients = settings::clients(reader, root);
    let users = users::users(reader, root);
    let (toggles, tables) = toggles::toggles(reader, root, old.as_ref(), new.as_ref());
    checks::tables(reader, &tables, old.as_ref(), new.as_ref());
    Some(Config {
        listen,
        admin,
        state_dir,
        journal,
        control,
        proxy,
        workers,
        tls,
        old: old?,
        new: new?,
        writes,
        flips,
        reconcile,
        clients,
        users,
        toggles,
    })
}

fn syntax_error(reader: &mut Reader<'_>, text: &str, error: &toml::de::Error) {
    let message = error.message();
    let span = error.span().unwrap_or(text.len()..text.len());
    // These may swallow lines that follow, or leave them in the table before.
    let shifts = ["table", "array", "multi-line"]
        .iter()
        .any(|word| message.contains(word));
    let kind = if shifts {
        Kind::Structure
    } else {
        Kind::Syntax
    };
    let (what, instead) = if message.contains("duplicate key") {
        // The parser keeps one of the two, so what follows is still read as meant.
        let name = text.get(span.clone()).unwrap_or_default();
        (
            format!("{name:?} is set twice"),
            "leave one of the two".to_owned(),
        )
    } else {
        let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
        let instead = if expected.is_empty() {
            "write valid TOML".to_owned()
        } else {
            format!("expected {expected}")
        };
        (format!("not TOML: {what}"), instead)
    };
    reader.note(span, kind, what, instead);
}

#[cfg(test)]
mod tests;
