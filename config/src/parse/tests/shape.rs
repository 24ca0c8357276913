use std::path::PathBuf;

use crossfade_phase::Phase;

use super::{STORES, good, with_table};
use crate::{ColumnConfig, QualifiedName, StoreKind, defaults};

const DESIGN: &str = r#"
listen    = "127.0.0.1:6432"            # PostgreSQL wire
admin     = "127.0.0.1:6433"
state_dir = "crossfade-state"

[old]
url    = "postgres://crossfade:${OLD_PW}@10.0.0.5:5432/shop"
schema = "public"

[new]
url    = "mongodb://10.0.0.6:27017/shop?replicaSet=rs0"

[toggle.shop]
phase = "use-old"

[toggle.shop.table.orders]
key     = ["id"]
version = "updated_at"
target  = "orders"
column.id    = "_id"
column.total = { to = "amount", type = "numeric(12,2)" }
column.note  = false
"#;

fn name(schema: &str, name: &str) -> QualifiedName {
    QualifiedName {
        schema: schema.to_owned(),
        name: name.to_owned(),
    }
}

fn carry(to: &str, ty: Option<&str>) -> ColumnConfig {
    ColumnConfig::Carry {
        to: to.to_owned(),
        ty: ty.map(str::to_owned),
    }
}

#[test]
fn the_example_of_the_design_means_what_it_says() {
    let config = good(DESIGN);
    assert_eq!(config.state_dir, PathBuf::from("/nowhere/crossfade-state"));
    assert_eq!(config.old.url.password.as_deref(), Some("hunter2"));
    assert_eq!(
        (config.new.url.kind, config.new.schema.as_str()),
        (StoreKind::Mongo, "")
    );
    assert_eq!(
        config.new.url.params.get("replicaSet").map(String::as_str),
        Some("rs0")
    );
    let toggle = &config.toggles["shop"];
    assert_eq!(toggle.phase, Phase::UseOld);
    let table = &toggle.tables[0];
    assert_eq!(
        (&table.old, &table.new),
        (&name("public", "orders"), &name("", "orders"))
    );
    assert_eq!(table.key, Some(vec!["id".to_owned()]));
    assert_eq!(table.version.as_deref(), Some("updated_at"));
    assert_eq!(table.columns["id"], carry("_id", None));
    assert_eq!(
        table.columns["total"],
        carry("amount", Some("numeric(12,2)"))
    );
    assert_eq!(table.columns["note"], ColumnConfig::Drop);
}

#[test]
fn a_file_with_two_urls_is_enough() {
    let config = good(STORES);
    assert_eq!(config.listen, defaults::LISTEN);
    assert_eq!(config.admin, Some(defaults::ADMIN));
    assert_eq!(config.workers, defaults::workers());
    assert_eq!(config.tls, None);
    assert_eq!(config.old.schema, defaults::SCHEMA);
    assert_eq!(config.old.pool_size, defaults::POOL_SIZE);
    assert_eq!(config.old.connect_timeout, defaults::CONNECT_TIMEOUT);
    assert_eq!(config.old.url.tls, defaults::TLS_MODE);
    assert_eq!(config.writes.secondary_timeout, defaults::SECONDARY_TIMEOUT);
    assert_eq!(
        config.writes.on_secondary_error,
        defaults::ON_SECONDARY_ERROR
    );
    assert_eq!(
        config.writes.max_transaction_bytes,
        defaults::MAX_TRANSACTION_BYTES
    );
    assert_eq!(config.writes.breaker_failures, defaults::BREAKER_FAILURES);
    assert_eq!(config.writes.breaker_retry, defaults::BREAKER_RETRY);
    assert_eq!(config.flips.drain_timeout, defaults::DRAIN_TIMEOUT);
    assert_eq!(config.flips.mismatch_window, defaults::MISMATCH_WINDOW);
    assert_eq!(config.reconcile.chunk_rows, defaults::CHUNK_ROWS);
    assert_eq!(config.reconcile.workers, defaults::RECONCILE_WORKERS);
    assert_eq!(config.reconcile.max_rows_per_s, defaults::MAX_ROWS_PER_S);
    assert_eq!(config.reconcile.brake_latency, defaults::BRAKE_LATENCY);
    assert_eq!(config.clients.max_connections, defaults::MAX_CONNECTIONS);
    assert_eq!(config.clients.login_timeout, defaults::LOGIN_TIMEOUT);
    assert!(config.toggles.is_empty());
}

#[test]
fn phases_have_names_and_numbers() {
    for phase in Phase::ALL {
        for typed in [
            format!("{}", phase.number()),
            format!("\"{phase}\""),
            format!("\"{}\"", phase.number()),
        ] {
            let config = good(&format!(
                "{STORES}[toggle.a]\nphase = {typed}\n[toggle.a.table.t]\n"
            ));
            assert_eq!(config.toggles["a"].phase, phase, "{typed}");
        }
    }
    let config = good(&format!(
        "{STORES}[toggle.a]\nphase = '${{PHASE}}'\n[toggle.a.table.t]\n"
    ));
    assert_eq!(config.toggles["a"].phase, Phase::DualWrite);
}

#[test]
fn numbers_come_from_the_environment_too() {
    let config = good(&format!(
        "workers = '${{SEVEN}}'\n{STORES}[writes]\nbreaker_failures = '${{SEVEN}}'\n"
    ));
    assert_eq!((config.workers, config.writes.breaker_failures), (7, 7));
    assert_eq!(good(&format!("workers = 0x1F\n{STORES}")).workers, 31);
}

#[test]
fn false_switches_off() {
    let config = good(&format!(
        "admin = false\n{STORES}[reconcile]\nmax_rows_per_s = false\n"
    ));
    assert_eq!(
        (config.admin, config.reconcile.max_rows_per_s),
        (None, None)
    );
    let config = good(&format!("{STORES}[reconcile]\nmax_rows_per_s = 50_000\n"));
    assert_eq!(config.reconcile.max_rows_per_s, Some(50_000));
}

#[test]
fn tables_take_the_schema_of_their_store() {
    let text = "[old]\nurl = 'postgres://u@h/shop'\nschema = 'a'\n[new]\nurl = 'postgres://u@h/shop'\nschema = 'b'\n\
                [toggle.x]\nphase = 1\n[toggle.x.table.t]\n[toggle.x.table.'c.u']\n[toggle.x.table.v]\ntarget = 'd.w'\n";
    let tables = &good(text).toggles["x"].tables;
    let names: Vec<_> = tables
        .iter()
        .map(|table| (table.old.to_string(), table.new.to_string()))
        .collect();
    let expected = [("a.t", "b.t"), ("c.u", "b.u"), ("a.v", "d.w")];
    assert_eq!(
        names,
        expected.map(|(old, new)| (old.to_owned(), new.to_owned()))
    );
}

#[test]
fn a_column_may_change_its_type_alone() {
    let config = good(&with_table(
        "column.a = { type = 'text' }\ncolumn.b = { to = 'c' }\n",
    ));
    let columns = &config.toggles["a"].tables[0].columns;
    assert_eq!(
        (&columns["a"], &columns["b"]),
        (&carry("a", Some("text")), &carry("c", None))
    );
}

#[test]
fn two_columns_may_swap_their_names() {
    good(&with_table("column.a = 'b'\ncolumn.b = 'a'\n"));
    // The old "b" leaves the place that "a" takes.
    good(&with_table(
        "key = ['b']\ncolumn.a = 'b'\ncolumn.b = 'id'\n",
    ));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_no_mistakes() {
    let text = format!(
        "\u{feff}{}",
        with_table("column.a = 'b' # c").replace('\n', "\r\n")
    );
    assert_eq!(good(&text), good(&with_table("column.a = 'b' # c")));
}
