//! Statements whose WITH queries write: what every one of them did is carried, and the client sees what the primary alone would have answered.

use crate::shop::Shop;
use crossfade_tests::wire::{
    messages::{bind_formats, execute, parse, sync},
    transcript,
};
use futures::future::join_all;

/// Each writes rows in more than one place, or in one that is not the statement itself.
const STATEMENTS: &[&str] = &[
    // A SELECT around a write.
    "WITH gone AS (DELETE FROM orders WHERE id = 1 RETURNING *) SELECT count(*) FROM gone",
    // One table into another, by names that have to be told: `*`, a list, none, an expression, two of the same name.
    "WITH moved AS (DELETE FROM items WHERE order_id < 5 RETURNING *) INSERT INTO orders (customer, total) SELECT product, line FROM moved",
    "WITH made AS (INSERT INTO orders (customer) VALUES ('cte'), ('more') RETURNING id) INSERT INTO items (order_id, line, product) SELECT id, 1, 'cte' FROM made",
    "WITH moved (place, name) AS (DELETE FROM items WHERE order_id = 6 RETURNING order_id, upper(product), product) INSERT INTO counters (name, value) SELECT name, place FROM moved RETURNING value, name",
    "WITH twice AS (UPDATE counters SET value = value + 1 RETURNING name, name, value * 2) SELECT * FROM twice ORDER BY 3 DESC, 1",
    // One beside another, and one that nobody reads.
    "WITH up AS (UPDATE counters SET value = 1 RETURNING 1) UPDATE orders SET total = 0 WHERE id = 2",
    "WITH a AS (UPDATE orders SET state = 'a' WHERE id < 9), b AS (DELETE FROM items WHERE order_id = 9), c AS (INSERT INTO counters (name) VALUES ('unread')) SELECT 1",
    "WITH a AS MATERIALIZED (UPDATE orders SET state = 'b' WHERE id < 9 RETURNING id, state), b AS (SELECT id FROM a WHERE id > 3), \
     c AS (DELETE FROM items USING b WHERE order_id = b.id RETURNING items.order_id, b.id) INSERT INTO counters SELECT 'order ' || order_id, id FROM c",
    // Two that want one row, and two that are about one key.
    "WITH a AS (UPDATE orders SET total = 5 WHERE id = 20 RETURNING id), b AS (UPDATE orders SET total = 6 WHERE id = 20 RETURNING id) SELECT count(*) FROM a, b",
    "WITH a AS (DELETE FROM orders WHERE id = 21 RETURNING id) UPDATE orders SET total = 7 WHERE id IN (21, 22)",
    "WITH a AS (DELETE FROM counters WHERE name = 'counter 3' RETURNING *) INSERT INTO counters SELECT name, value + 50, updated_at FROM a",
    // Keys that change, with rows in the way of each other's new keys.
    "WITH a AS (UPDATE items SET line = line + 10 WHERE order_id > 40 RETURNING order_id AS o, line) SELECT o, line FROM a ORDER BY o LIMIT 3",
    "WITH a AS (UPDATE items SET line = 7 WHERE order_id = 45 AND line = 11 RETURNING *), b AS (UPDATE items SET line = line + 1 WHERE order_id = 46) DELETE FROM items WHERE order_id = 47",
    // Conflicts, defaults, a series, brackets.
    "WITH a (x) AS (INSERT INTO counters (name) VALUES ('counter 5'), ('new one') ON CONFLICT (name) DO UPDATE SET value = counters.value + 100 RETURNING name) SELECT x FROM a",
    "WITH a AS (INSERT INTO orders (customer) VALUES ('d') RETURNING orders.*) UPDATE orders SET customer = a.customer FROM a WHERE orders.id = 30 RETURNING a.state, orders.customer",
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4), put AS (INSERT INTO orders (customer) SELECT 'series ' || i FROM n RETURNING customer) (SELECT customer FROM put) UNION ALL SELECT 'end'",
    "WITH a AS (DELETE FROM orders WHERE id IN (SELECT max(id) FROM orders) RETURNING id) VALUES (1), (2)",
    "WITH keep AS (SELECT id FROM orders WHERE id = 33), a AS (WITH inside AS (SELECT 34 AS id) DELETE FROM orders USING inside WHERE orders.id = inside.id RETURNING orders.id) DELETE FROM orders USING keep WHERE orders.id = keep.id",
    // Nothing happens.
    "WITH a AS (DELETE FROM orders WHERE false RETURNING *) INSERT INTO items (order_id, line, product) SELECT id, 1, customer FROM a",
];

in_dual_phases!(
    trap_10_every_write_of_a_statement_is_carried,
    async |shop: &Shop| {
        for sql in STATEMENTS {
            shop.run(sql).await;
        }
        let client = shop.client().await;
        let rows = client
            .query(
                "WITH gone AS (DELETE FROM counters WHERE name = $1 RETURNING *), \
                 put AS (INSERT INTO orders (customer, total) SELECT name, $2::bigint FROM gone RETURNING total::text) \
                 SELECT name, value, total FROM gone, put",
                &[&"counter 7", &77_i64],
            )
            .await
            .unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].get("name"), rows[0].get("total")),
            ("counter 7", "77.00")
        );
    }
);

in_dual_phases!(
    the_answers_of_with_queries_are_the_primarys,
    async |shop: &Shop| {
        // What a clock or a sequence gives differs from one run to the next.
        let statements: Vec<&str> = STATEMENTS.to_vec();
        crate::writes::answers::same(shop, &statements).await;
    }
);

in_dual_phases!(
    row_limits_and_binary_results_of_with_queries,
    async |shop: &Shop| {
        let mut direct = shop.stores.old.direct().wire().await;
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        for sql in [
            "WITH up AS (UPDATE counters SET value = value + 1 RETURNING name, value) SELECT value, name FROM up ORDER BY name",
            "WITH up AS (UPDATE orders SET total = 3 WHERE id < 5) UPDATE counters SET value = value + 1 RETURNING value, name",
        ] {
            let messages = [
                parse("", sql, &[]),
                bind_formats("cut", "", &[], &[], &[1, 0]),
                execute("cut", 4),
                execute("cut", 4),
                execute("cut", 0),
                sync(),
            ];
            direct.query("BEGIN").await;
            let expected = direct.ask(&messages).await;
            direct.query("ROLLBACK").await;
            wire.query("BEGIN").await;
            let frames = wire.ask(&messages).await;
            assert_eq!(transcript(&frames), transcript(&expected), "{sql}");
            assert_eq!(
                frames[2].body[..14],
                [0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]
            );
            wire.query("ROLLBACK").await;
        }
        shop.run("UPDATE counters SET value = 1").await;
    }
);

in_dual_phases!(
    trap_14_a_with_query_that_fails_leaves_neither_store_ahead,
    async |shop: &Shop| {
        let client = shop.client().await;
        for (sql, state) in [
            (
                "WITH gone AS (DELETE FROM orders WHERE id < 10 RETURNING id) INSERT INTO counters (name) SELECT 'counter 1' FROM gone",
                "23505",
            ),
            (
                "WITH gone AS (DELETE FROM orders WHERE id < 10 RETURNING id) SELECT 1 / (id - 5) FROM gone",
                "22012",
            ),
            (
                "WITH gone AS (DELETE FROM orders WHERE id < 10) SELECT * FROM gone",
                "0A000",
            ),
        ] {
            let error = client.batch_execute(sql).await.unwrap_err();
            assert_eq!(error.code().map(|code| code.code()), Some(state), "{sql}");
            // In a block the part of it before the savepoint stays.
            client
                .batch_execute("BEGIN; UPDATE counters SET value = value + 1 WHERE name = 'counter 2'; SAVEPOINT s")
                .await
                .unwrap();
            client.batch_execute(sql).await.unwrap_err();
            client.batch_execute("ROLLBACK TO s; COMMIT").await.unwrap();
        }
        let left: i64 = client
            .query_one("SELECT count(*) FROM orders WHERE id < 10", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(left, 9);
    }
);

in_dual_phases!(
    trap_01_rows_moved_by_several_clients,
    async |shop: &Shop| {
        let mover = async |client: i64| {
            let connection = shop.client().await;
            for round in 0..20_i64 {
                let order = (client + round) % 6 + 1;
                let sql = if (client + round) % 2 == 0 {
                    "WITH gone AS (DELETE FROM items WHERE order_id = $1 RETURNING order_id, line, product) \
                 INSERT INTO items (order_id, line, product) SELECT order_id, line + 1, product FROM gone"
                } else {
                    "WITH up AS (UPDATE items SET quantity = quantity + 1 WHERE order_id = $1 RETURNING order_id, quantity) \
                 UPDATE orders SET total = up.quantity FROM up WHERE id = up.order_id"
                };
                let outcome = connection.execute(sql, &[&order]).await;
                // Each of these locks a child and then its parent: the primary may have to break a deadlock, and nothing else goes wrong.
                if let Err(error) = outcome {
                    let code = error.code().map(|code| code.code().to_owned());
                    assert!(
                        matches!(code.as_deref(), Some("40P01" | "23505")),
                        "{error:?}"
                    );
                }
            }
        };
        join_all((0..4).map(mover)).await;
    }
);

#[tokio::test]
async fn a_with_query_of_a_mapped_table_fills_one_that_is_not() {
    let shop = Shop::in_phase("dual-read").await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let frames = wire
        .query("WITH gone AS (DELETE FROM orders WHERE id BETWEEN 11 AND 13 RETURNING id, customer) INSERT INTO unmapped SELECT id, customer FROM gone")
        .await;
    let tags: Vec<u8> = frames.iter().map(|frame| frame.tag).collect();
    assert_eq!(tags, *b"CZ", "{frames:?}");
    assert_eq!(&frames[0].body[..], b"INSERT 0 3\0");
    let frames = wire
        .query("WITH gone AS (DELETE FROM orders WHERE id = 14 RETURNING id, customer), kept AS (INSERT INTO unmapped SELECT * FROM gone RETURNING note) SELECT note FROM kept")
        .await;
    let tags: Vec<u8> = frames.iter().map(|frame| frame.tag).collect();
    assert_eq!(tags, *b"TDCZ", "{frames:?}");
    shop.stores
        .old
        .becomes("SELECT count(*) FROM unmapped", "5")
        .await;
    shop.assert_equal().await;
    shop.assert_clean().await;
}

#[tokio::test]
async fn what_is_refused_says_what_to_do() {
    let shop = Shop::in_phase("dual-write").await;
    let client = shop.client().await;
    for (sql, advice) in [
        (
            "WITH a AS (DELETE FROM orders USING unmapped RETURNING *) SELECT 1 FROM a",
            "name them in its RETURNING",
        ),
        (
            "CREATE TABLE copied AS WITH a AS (DELETE FROM orders RETURNING *) SELECT * FROM a",
            "statement of its own",
        ),
        ("SELECT * INTO counters FROM orders", "use-old"),
        ("ALTER TABLE orders ADD COLUMN more int", "phase"),
    ] {
        let error = client.batch_execute(sql).await.unwrap_err();
        let told = error
            .as_db_error()
            .unwrap_or_else(|| panic!("{sql}: {error:?}"));
        assert_eq!(told.code().code(), "0A000", "{sql}: {told:?}");
        let hint = told.hint().unwrap_or_default();
        assert!(hint.contains(advice), "{sql}: {told:?}");
    }
    shop.assert_equal().await;
    shop.assert_clean().await;
}
