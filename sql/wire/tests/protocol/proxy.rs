//! What the proxy asks of its servers.

use crate::peer::{Peer, world};

const STATEMENTS: &str = "SELECT name, statement, (parameter_types::oid[])::text FROM pg_catalog.pg_prepared_statements WHERE NOT from_sql";
const SQL_STATEMENTS: &str =
    "SELECT name, statement FROM pg_catalog.pg_prepared_statements WHERE from_sql";
const SETTINGS: &str = "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings \
     WHERE source = 'session' AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable') \
     UNION ALL SELECT 'role', pg_catalog.current_setting('role')";
const BOUND: &str = "SELECT 'advisory locks' FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() \
     UNION SELECT 'temporary tables' FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema() AND relkind IN ('r', 'S', 'v') \
     UNION SELECT 'cursors WITH HOLD' FROM pg_catalog.pg_cursors WHERE is_holdable \
     UNION SELECT 'statements of SQL-level PREPARE' FROM pg_catalog.pg_prepared_statements WHERE from_sql";
const NAMES: &str = "SELECT pg_catalog.array_to_string(p, pg_catalog.chr(1)) || pg_catalog.chr(2) || h.list || pg_catalog.chr(2) || pg_catalog.current_setting('client_encoding') \
     || pg_catalog.chr(2) || pg_catalog.current_setting('standard_conforming_strings') FROM \
     (SELECT pg_catalog.current_schemas(true) AS p) AS x, \
     LATERAL (SELECT COALESCE(pg_catalog.string_agg(t.i::pg_catalog.text, pg_catalog.chr(1)), '') AS list \
     FROM (VALUES (0, 'public', 'kv'), (1, 'shop', 'kv')) AS t(i, s, n) \
     JOIN pg_catalog.pg_class AS c ON c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident(t.n)) \
     JOIN pg_catalog.pg_namespace AS ns ON ns.oid = c.relnamespace \
     WHERE ns.nspname <> t.s::pg_catalog.name) AS h";

async fn rows(peer: &mut Peer, sql: &str) -> Vec<String> {
    let mut rows = peer.ask(sql).await;
    rows.retain(|line| line.starts_with('D'));
    rows
}

#[tokio::test]
async fn statements_are_learnt() {
    let world = world();
    let mut peer = world.peer().await;
    peer.parse("s", "SELECT $1", &[23])
        .parse("", "SELECT 1", &[])
        .sync();
    peer.go().await;
    peer.ask("PREPARE p AS SELECT 1").await;
    assert_eq!(rows(&mut peer, STATEMENTS).await, ["D s,SELECT $1,{23}"]);
    assert_eq!(
        rows(&mut peer, SQL_STATEMENTS).await,
        ["D p,PREPARE p AS SELECT 1"]
    );
    assert_eq!(
        rows(&mut peer, BOUND).await,
        ["D statements of SQL-level PREPARE"]
    );
    assert!(world.toy.log().is_empty());
}

#[tokio::test]
async fn settings_are_copied_from_one_server_to_the_other() {
    let world = world();
    let mut from = world.peer_with(&[("extra_float_digits", "2")]).await;
    from.ask(
        "SET statement_timeout = 5000; SET my.tenant = 'a''b\\c'; SET search_path = shop, public",
    )
    .await;
    from.ask("SET ROLE clerk").await;
    let question = format!(
        "{SETTINGS} UNION ALL SELECT 'my.tenant', pg_catalog.current_setting('my.tenant', true) UNION ALL SELECT 'my.other', pg_catalog.current_setting('my.other', true)"
    );
    assert_eq!(
        rows(&mut from, &question).await,
        [
            "D search_path,shop, public",
            "D statement_timeout,5s",
            "D role,clerk",
            "D my.tenant,a'b\\c",
            "D my.other,NULL"
        ]
    );
    let mut to = world.peer_with(&[("role", "app")]).await;
    to.ask("SET jit = off; SET work_mem = '8MB'").await;
    let answers = to
        .query(
            "RESET ALL; SELECT pg_catalog.set_config('search_path', 'shop, public', false); \
             SELECT pg_catalog.set_config('statement_timeout', '5s', false); \
             SELECT pg_catalog.set_config('role', 'clerk', false); \
             SELECT pg_catalog.set_config('my.tenant', E'a''b\\\\c', false)",
        )
        .await;
    assert_eq!(answers.last().unwrap(), "Z I");
    for (name, value) in [
        ("statement_timeout", "5s"),
        ("search_path", "shop, public"),
        ("role", "clerk"),
        ("my.tenant", "a'b\\c"),
        ("jit", "on"),
        ("work_mem", "4MB"),
    ] {
        let shown = to.ask(&format!("SHOW {name}")).await;
        assert_eq!(shown[0], format!("D {value}"), "{name}");
    }
}

#[tokio::test]
async fn names_are_told_in_the_clients_transaction() {
    let world = world();
    let mut peer = world.peer().await;
    assert_eq!(
        rows(&mut peer, NAMES).await,
        ["D pg_catalog\u{1}public\u{2}"]
    );
    peer.ask("BEGIN").await;
    peer.ask("SET LOCAL search_path = shop, public, nowhere")
        .await;
    // As the session asks: by the extended protocol, with a name of its own, within the client's batch.
    peer.close(b'S', "crossfade_question")
        .parse("crossfade_question", NAMES, &[])
        .bind("crossfade_question", "crossfade_question", &[])
        .execute("crossfade_question", 0)
        .close(b'P', "crossfade_question")
        .flush();
    peer.send().await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(peer.next().await.unwrap());
    }
    assert_eq!(
        answers,
        [
            "3",
            "1",
            "2",
            "D pg_catalog\u{1}shop\u{1}public\u{2}0",
            "C SELECT 1",
            "3"
        ]
    );
    peer.sync();
    assert_eq!(peer.go().await, ["Z T"]);
}

#[tokio::test]
async fn a_refusal_is_raised_in_the_statements_place() {
    let world = world();
    let mut peer = world.peer().await;
    let raising = "DO LANGUAGE plpgsql E'BEGIN RAISE EXCEPTION USING ERRCODE = E\\'40001\\', MESSAGE = E\\'table \"a\\\\\\'b\"\\', HINT = E\\'try again\\'; END'";
    let told = "E 40001 | table \"a'b\" | H=try again";
    assert_eq!(peer.query(raising).await, [told, "Z I"]);
    peer.ask("BEGIN").await;
    peer.close(b'S', "crossfade_refusal")
        .parse("crossfade_refusal", raising, &[])
        .bind("crossfade_refusal", "crossfade_refusal", &[])
        .execute("crossfade_refusal", 0)
        .close(b'P', "crossfade_refusal")
        .sync();
    assert_eq!(peer.go().await, ["3", "1", "2", told, "Z E"]);
    // The proxy's own ROLLBACK, without a Sync of its own.
    peer.close(b'S', "crossfade_rollback")
        .parse("crossfade_rollback", "ROLLBACK", &[])
        .bind("crossfade_rollback", "crossfade_rollback", &[])
        .execute("crossfade_rollback", 0)
        .close(b'P', "crossfade_rollback")
        .sync();
    assert_eq!(peer.go().await, ["3", "1", "2", "C ROLLBACK", "3", "Z I"]);
}

#[tokio::test]
async fn the_rest_of_what_it_asks() {
    let world = world();
    let mut peer = world.peer().await;
    let channels = "SELECT pg_catalog.quote_ident(c) FROM pg_catalog.pg_listening_channels() AS c";
    assert!(rows(&mut peer, channels).await.is_empty());
    peer.ask("BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    let level = "SELECT pg_catalog.current_setting('transaction_isolation')";
    assert_eq!(rows(&mut peer, level).await, ["D repeatable read"]);
    peer.ask("SET LOCAL ROLE \"clerk\"").await;
    assert_eq!(peer.ask("SHOW role").await[0], "D clerk");
}

#[tokio::test]
async fn the_commit_sandwich_sees_rows_before_the_commit() {
    let world = world();
    let mut peer = world.peer().await;
    peer.run("INSERT INTO kv VALUES ($1, $2)", &[Some("a"), Some("1")])
        .flush();
    peer.send().await;
    peer.read_until(|line| line.starts_with('C')).await;
    assert_eq!(world.toy.log(), ["begin", "execute"]);
    // The secondary did not take it: the proxy rolls back within the batch.
    peer.parse("crossfade_rollback", "ROLLBACK", &[])
        .bind("crossfade_rollback", "crossfade_rollback", &[])
        .execute("crossfade_rollback", 0)
        .close(b'P', "crossfade_rollback")
        .flush();
    peer.send().await;
    let answers = peer.read_until(|line| line == "3").await;
    assert_eq!(
        answers,
        [
            "1",
            "2",
            "N WARNING | 25P01 | there is no transaction in progress",
            "C ROLLBACK",
            "3"
        ]
    );
    peer.sync();
    assert_eq!(peer.go().await, ["Z I"]);
    assert_eq!(world.toy.log(), ["rollback"]);
}
