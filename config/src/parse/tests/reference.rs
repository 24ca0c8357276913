//! `reference.toml` is the documentation: it parses, it has every key, and the defaults it tells are the real ones.

use std::{collections::BTreeSet, fs};

use toml::de::{DeTable, DeValue};

use super::{STORES, bad, env, good};
use crate::{Config, defaults, keys, keys::Keys, load};

const REFERENCE: &str = include_str!("../../../../reference.toml");

fn reference() -> Config {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["server.crt", "server.key", "roots.pem", "old-password"] {
        fs::write(folder.path().join(file), "hunter2\n").expect("write");
    }
    match load::parse(REFERENCE, "reference.toml", &env, folder.path()) {
        Ok(loaded) => loaded.config,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

#[test]
fn it_parses() {
    let config = reference();
    assert_eq!(config.toggles["shop"].tables.len(), 2);
    assert_eq!(config.old.url.password.as_deref(), Some("hunter2"));
    assert!(
        config
            .users
            .is_some_and(|list| list.file.ends_with("users.txt"))
    );
}

#[test]
fn the_defaults_it_tells_are_the_defaults() {
    let (told, real) = (reference(), good(STORES));
    assert_eq!(
        (told.listen, told.admin, told.workers),
        (real.listen, real.admin, real.workers)
    );
    assert_eq!(told.journal, real.journal);
    assert_eq!(told.control, real.control);
    assert_eq!(real.proxy, defaults::proxy(real.listen));
    assert!(told.state_dir.ends_with(defaults::STATE_DIR));
    assert_eq!(
        told.tls.map(|tls| tls.required),
        Some(defaults::TLS_REQUIRED)
    );
    for (told, real) in [(told.old, real.old), (told.new, real.new)] {
        assert_eq!(
            (told.schema, told.pool_size, told.connect_timeout),
            (real.schema, real.pool_size, real.connect_timeout)
        );
    }
    assert_eq!(told.writes, real.writes);
    assert_eq!(told.flips, real.flips);
    assert_eq!(told.reconcile, real.reconcile);
    assert_eq!(told.clients, real.clients);
}

/// The text before the first key of each table, with `{}` where a key of it goes.
fn homes(keys: &Keys) -> &'static str {
    const OLD: &str = "[new]\nurl = 'postgres://u@new/shop'\n[old]\n{}\n";
    match keys {
        keys if *keys == keys::ROOT => "{}",
        keys if *keys == keys::TLS => "[tls]\n{}\n",
        keys if *keys == keys::STORE => OLD,
        keys if *keys == keys::WRITES => "[writes]\n{}\n",
        keys if *keys == keys::FLIPS => "[flips]\n{}\n",
        keys if *keys == keys::RECONCILE => "[reconcile]\n{}\n",
        keys if *keys == keys::CLIENTS => "[clients]\n{}\n",
        keys if *keys == keys::USERS => "[users]\n{}\n",
        keys if *keys == keys::TOGGLE => "[toggle.a]\n{}\n",
        keys if *keys == keys::TABLE => "[toggle.a.table.t]\n{}\n",
        _ => "[toggle.a.table.t.column.c]\n{}\n",
    }
}

#[test]
fn every_key_that_is_known_is_read() {
    for keys in keys::ALL {
        for key in keys.names {
            // No setting is a date, so whoever reads the key complains of it.
            let mistakes =
                bad(&homes(keys).replace("{}", &format!("{key} = 1979-05-27"))).to_string();
            assert!(
                mistakes.contains("is a date"),
                "\"{key}\" of {} is not read:\n{mistakes}",
                keys.table
            );
        }
    }
}

fn collect<'t>(table: &'t DeTable<'t>, found: &mut BTreeSet<&'t str>) {
    found.extend(table.keys().map(|key| key.get_ref().as_ref()));
}

fn inner<'t>(table: &'t DeTable<'t>, key: &str) -> &'t DeTable<'t> {
    match table.get(key).map(toml::Spanned::get_ref) {
        Some(DeValue::Table(table)) => table,
        other => panic!("{key} is {other:?}"),
    }
}

#[test]
fn it_sets_every_key() {
    let tree = DeTable::parse(REFERENCE).expect("TOML");
    let root = tree.get_ref();
    let toggle = inner(inner(root, "toggle"), "shop");
    let table = inner(inner(toggle, "table"), "orders");
    let column = inner(inner(table, "column"), "total");
    for (keys, place) in [
        (&keys::ROOT, root),
        (&keys::TLS, inner(root, "tls")),
        (&keys::STORE, inner(root, "old")),
        (&keys::WRITES, inner(root, "writes")),
        (&keys::FLIPS, inner(root, "flips")),
        (&keys::RECONCILE, inner(root, "reconcile")),
        (&keys::CLIENTS, inner(root, "clients")),
        (&keys::USERS, inner(root, "users")),
        (&keys::TOGGLE, toggle),
        (&keys::TABLE, table),
        (&keys::COLUMN, column),
    ] {
        let mut found = BTreeSet::new();
        collect(place, &mut found);
        let known: BTreeSet<&str> = keys.names.iter().copied().collect();
        assert_eq!(found, known, "{}", keys.table);
    }
}

/// Keys that need no words of their own: those of [new] stand in [old].
const SAME_AS_OLD: &str = "[new]";

#[test]
fn every_key_has_a_comment_above_it_or_behind_it() {
    let mut section = "";
    let mut before = "";
    for line in REFERENCE.lines() {
        if line.starts_with('[') {
            section = line;
        } else if line.contains(" = ")
            && !line.starts_with('#')
            && section != SAME_AS_OLD
            && !section.contains("billing")
        {
            assert!(
                before.starts_with('#') || line.contains(" # "),
                "no comment at {line}"
            );
        }
        before = line;
    }
}
