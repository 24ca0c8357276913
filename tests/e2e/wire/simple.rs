//! The simple protocol.

use super::same::same;
use crossfade_tests::wire::{Frame, messages, transcript};

/// Runs each text as a query of its own on one connection.
async fn queries(texts: &[&str]) {
    same(async |wire| {
        let mut frames = Vec::new();
        for text in texts {
            frames.extend(wire.query(text).await);
        }
        frames
    })
    .await;
}

#[tokio::test]
async fn answers_of_every_shape() {
    queries(&[
        "SELECT 1",
        "",
        "   -- nothing but a comment",
        "SELECT",
        "SELECT 1 WHERE false",
        "SELECT NULL::text, ''::text, E'\\x00ff'::bytea, 1.50::numeric, 'NaN'::float8, ARRAY[1,NULL,3], '{\"a\":1}'::jsonb",
        "SELECT * FROM orders ORDER BY id",
        "SELECT n, repeat('x', n) FROM generate_series(1, 3000) n",
        "SHOW server_version",
        "TABLE numbers",
        "VALUES (1, 'one'), (2, 'two')",
        "EXPLAIN (COSTS OFF) SELECT * FROM orders WHERE id = 1",
    ])
    .await;
}

#[tokio::test]
async fn writes_and_their_tags() {
    queries(&[
        "INSERT INTO numbers VALUES (101, 'a'), (102, 'b')",
        "UPDATE numbers SET word = 'c' WHERE n > 100 RETURNING n",
        "DELETE FROM numbers WHERE n > 100",
        "INSERT INTO orders (customer) VALUES ('relayed')",
        "UPDATE orders SET total = total + 1 WHERE id < 5",
        "DELETE FROM orders WHERE id = 1 RETURNING id, customer",
        "CREATE TEMP TABLE mine (a int)",
        "SELECT a + 0 AS a FROM mine",
        "DROP TABLE mine",
    ])
    .await;
}

#[tokio::test]
async fn several_statements_in_one_message() {
    queries(&[
        "SELECT 1; SELECT 'two', 2; SELECT 3 WHERE false",
        "SELECT 1;; ;SELECT 2;",
        "INSERT INTO numbers VALUES (201, 'x'); SELECT 1/0; SELECT 'never'",
        "SELECT count(*) FROM numbers WHERE n = 201",
        "BEGIN; INSERT INTO numbers VALUES (202, 'x'); COMMIT; SELECT 1/0",
        "SELECT count(*) FROM numbers WHERE n = 202",
        "SELECT ';'; SELECT $$;$$ /* ; */; SELECT 1 -- ;",
    ])
    .await;
}

#[tokio::test]
async fn transactions_and_their_states() {
    queries(&[
        "BEGIN",
        "SAVEPOINT a",
        "SELECT 1/0",
        "SELECT 'refused until the end'",
        "ROLLBACK TO a",
        "RELEASE a",
        "INSERT INTO numbers VALUES (301, 'x')",
        "COMMIT AND CHAIN",
        "ROLLBACK",
        "COMMIT",
        "ROLLBACK",
        "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
        "DELETE FROM numbers",
        "END",
    ])
    .await;
}

#[tokio::test]
async fn errors_and_notices_keep_every_field() {
    queries(&[
        "SELEC 1",
        "SELECT * FROM nowhere",
        "SELECT n, wrod FROM numbers",
        "INSERT INTO numbers VALUES (1, 'twice')",
        "INSERT INTO numbers VALUES (401, 'forbidden')",
        "INSERT INTO numbers VALUES (402, NULL)",
        "SELECT 'x'::int",
        "SELECT warn('first'), warn('second')",
        "DROP TABLE IF EXISTS nowhere",
        "DO $$ BEGIN RAISE EXCEPTION 'own' USING ERRCODE = 'ABCDE', HINT = 'a hint', COLUMN = 'c', TABLE = 't'; END $$",
        "SET client_min_messages = debug1",
        "SELECT warn('third')",
    ])
    .await;
}

#[tokio::test]
async fn settings_reported_to_the_client() {
    queries(&[
        "SET application_name = 'another'",
        "SET client_encoding = 'LATIN1'",
        "SELECT 'grün'",
        "SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'",
        "SELECT timestamptz '2026-01-02 03:04:05+00'",
        "BEGIN; SET LOCAL timezone = 'UTC'",
        "ROLLBACK",
        "RESET ALL",
        "DISCARD ALL",
    ])
    .await;
}

#[tokio::test]
async fn sql_level_cursors_and_prepared_statements() {
    queries(&[
        "PREPARE p (int) AS SELECT * FROM numbers WHERE n = $1",
        "EXECUTE p (3)",
        "DEALLOCATE p",
        "EXECUTE p (3)",
        "BEGIN; DECLARE c CURSOR FOR SELECT * FROM orders ORDER BY id",
        "FETCH 2 FROM c",
        "MOVE 3 FROM c",
        "FETCH ALL FROM c",
        "CLOSE c; COMMIT",
    ])
    .await;
}

#[tokio::test]
async fn messages_in_one_write_and_in_single_bytes() {
    same(async |wire| {
        let together: Vec<_> = (0..50)
            .map(|n| messages::query(&format!("SELECT {n}")))
            .collect();
        wire.send(&together).await;
        let mut frames: Vec<Frame> = Vec::new();
        for _ in &together {
            frames.extend(wire.ready().await);
        }
        let slow = messages::query("SELECT 'one byte at a time'");
        for at in 0..slow.len() {
            wire.send(&[slow.slice(at..=at)]).await;
        }
        frames.extend(wire.ready().await);
        assert_eq!(transcript(&frames[frames.len() - 4..]), "TDCZ");
        frames
    })
    .await;
}
