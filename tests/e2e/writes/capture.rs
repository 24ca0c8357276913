//! Statements that are hard to capture: done in both stores, or refused before anything ran. Never in one store only.

use std::time::Duration;

use crate::shop::Shop;
use crossfade_tests::{compare::differences, look_until};

/// Runs a statement that must either be carried to both stores or be refused with 0A000 and leave no trace.
async fn captured_or_refused(shop: &Shop, sql: &str) -> bool {
    let tables = ["orders", "items", "counters"];
    let mut before = Vec::new();
    for table in tables {
        before.push(
            shop.stores
                .old
                .rows(&format!("SELECT * FROM {table}"))
                .await,
        );
    }
    let outcome = shop.client().await.batch_execute(sql).await;
    if let Err(error) = &outcome {
        let refusal = error
            .as_db_error()
            .unwrap_or_else(|| panic!("{sql}: {error:?}"));
        assert_eq!(refusal.code().code(), "0A000", "{sql}: {refusal:?}");
        let said = format!(
            "{} {} {}",
            refusal.message(),
            refusal.detail().unwrap_or(""),
            refusal.hint().unwrap_or("")
        );
        assert!(
            ["orders", "items", "counters"]
                .iter()
                .any(|table| said.contains(table)),
            "no table in: {said}"
        );
        assert!(
            ["dual-write", "dual-read", "new-primary"]
                .iter()
                .any(|phase| said.contains(phase)),
            "no phase in: {said}"
        );
        for (table, rows) in tables.iter().zip(before) {
            let after = shop
                .stores
                .old
                .rows(&format!("SELECT * FROM {table}"))
                .await;
            assert_eq!(
                differences(&rows, &after),
                [""; 0],
                "{sql} was refused and ran"
            );
        }
    }
    for table in tables {
        let rows = format!("SELECT * FROM {table}");
        let look = async || {
            let (old, new) = (&shop.stores.old, &shop.stores.new);
            differences(&old.rows(&rows).await, &new.rows(&rows).await)
        };
        // A client is answered before the secondary has committed.
        let found = look_until(Duration::from_secs(2), look, Vec::is_empty).await;
        assert_eq!(found, [""; 0], "{sql} (refused: {})", outcome.is_err());
    }
    outcome.is_err()
}

in_dual_phases!(
    trap_10_writes_hidden_in_other_statements,
    async |shop: &Shop| {
        for sql in [
            "WITH gone AS (DELETE FROM orders WHERE id = 1 RETURNING *) SELECT count(*) FROM gone",
            "WITH made AS (INSERT INTO orders (customer) VALUES ('cte') RETURNING id) \
         INSERT INTO items (order_id, line, product) SELECT id, 1, 'cte' FROM made",
            "WITH up AS (UPDATE counters SET value = 1 RETURNING 1) UPDATE orders SET total = 0 WHERE id = 2",
            "MERGE INTO counters c USING (VALUES ('counter 1'), ('merged')) AS s (name) ON c.name = s.name \
         WHEN MATCHED THEN UPDATE SET value = 5 WHEN NOT MATCHED THEN INSERT (name) VALUES (s.name)",
            "DO $$ BEGIN UPDATE orders SET total = 0 WHERE id = 3; END $$",
            "EXPLAIN ANALYZE DELETE FROM orders WHERE id = 4",
            "UPDATE orders SET total = 1 FROM items WHERE items.order_id = orders.id AND items.line = 1 AND orders.id < 4",
            "DELETE FROM items USING orders WHERE orders.id = items.order_id AND orders.id < 4",
            "INSERT INTO orders (customer) SELECT product FROM items WHERE order_id < 10",
            "BEGIN; DECLARE c CURSOR FOR SELECT * FROM counters FOR UPDATE; FETCH 1 FROM c; \
         UPDATE counters SET value = 3 WHERE CURRENT OF c; COMMIT",
            "BEGIN; SELECT * FROM orders WHERE id = 5 FOR UPDATE; UPDATE orders SET total = 8 WHERE id = 5; COMMIT",
        ] {
            captured_or_refused(shop, sql).await;
        }
        shop.run("UPDATE orders SET state = 'after'").await;
    }
);

in_dual_phases!(trap_42_changes_of_the_schema, async |shop: &Shop| {
    for sql in [
        "ALTER TABLE orders ADD COLUMN surprise text",
        "ALTER TABLE orders RENAME TO orders_old",
        "DROP TABLE items",
        "CREATE TABLE IF NOT EXISTS public.orders (id int)",
    ] {
        let refused = captured_or_refused(shop, sql).await;
        assert!(refused || sql.starts_with("CREATE"), "{sql} went through");
    }
    shop.run("INSERT INTO counters (name) VALUES ('still works')")
        .await;
});

in_dual_phases!(
    a_refusal_in_a_transaction_leaves_the_rest_to_the_client,
    async |shop: &Shop| {
        let client = shop.client().await;
        client
            .batch_execute("BEGIN; INSERT INTO orders (customer) VALUES ('before the refusal')")
            .await
            .unwrap();
        let error = client
            .batch_execute("ALTER TABLE orders ADD COLUMN surprise text")
            .await
            .unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("0A000"));
        // As after any error: the transaction is dead until it ends.
        let dead = client
            .batch_execute("INSERT INTO orders (customer) VALUES ('dead')")
            .await
            .unwrap_err();
        assert_eq!(
            dead.code().map(|code| code.code()),
            Some("25P02"),
            "{dead:?}"
        );
        client.batch_execute("ROLLBACK").await.unwrap();
        client
            .batch_execute("INSERT INTO orders (customer) VALUES ('alive')")
            .await
            .unwrap();
    }
);

#[tokio::test]
async fn trap_10_views_and_functions_over_mapped_tables() {
    let hidden = format!(
        "{}
        CREATE VIEW open_orders AS SELECT * FROM orders WHERE state = 'new';
        CREATE FUNCTION close_all() RETURNS void LANGUAGE sql AS $$ UPDATE orders SET state = 'closed' $$;",
        crossfade_tests::SHOP
    );
    let tables = crossfade_tests::SHOP_TABLES;
    let shop = Shop::with(
        "dual-write",
        &hidden,
        crossfade_tests::SHOP,
        tables,
        crate::shop::SEED,
        |config| config,
    )
    .await;
    for sql in [
        "UPDATE open_orders SET total = 5 WHERE id = 1",
        "INSERT INTO open_orders (customer) VALUES ('through the view')",
        "DELETE FROM open_orders WHERE id = 2",
        "SELECT close_all()",
        "SELECT public.close_all(), 1",
    ] {
        captured_or_refused(&shop, sql).await;
    }
    // Reading through a view is free.
    let count: i64 = shop
        .client()
        .await
        .query_one("SELECT count(*) FROM open_orders", &[])
        .await
        .unwrap()
        .get(0);
    assert!(count > 0);
}

#[tokio::test]
async fn what_is_refused_later_passes_in_phase_2() {
    let shop = Shop::in_phase("use-old").await;
    shop.run(
        "WITH gone AS (DELETE FROM orders WHERE id = 1 RETURNING *) SELECT count(*) FROM gone",
    )
    .await;
    shop.run("TRUNCATE counters; ALTER TABLE unmapped ADD COLUMN more text")
        .await;
    shop.stores
        .old
        .becomes("SELECT count(*) FROM counters", "0")
        .await;
    shop.stores
        .new
        .becomes("SELECT count(*) FROM orders", "0")
        .await;
}

#[tokio::test]
async fn explain_runs_nothing_and_definitions_are_refused() {
    for phase in ["dual-write", "new-primary"] {
        let shop = Shop::in_phase(phase).await;
        let client = shop.client().await;
        for sql in [
            "EXPLAIN INSERT INTO orders (customer) VALUES ('never')",
            "EXPLAIN (COSTS OFF) UPDATE orders SET total = 0",
        ] {
            let plan = client.simple_query(sql).await;
            assert!(plan.is_ok(), "{phase}: {sql}: {plan:?}");
        }
        for sql in [
            "EXPLAIN ANALYZE DELETE FROM orders",
            "CREATE VIEW seen AS SELECT id, customer FROM orders",
            "ALTER TABLE orders ADD COLUMN note text",
        ] {
            let error = client.batch_execute(sql).await.unwrap_err();
            let code = error.code().map(|code| code.code().to_owned());
            assert_eq!(code.as_deref(), Some("0A000"), "{phase}: {sql}: {error:?}");
        }
        shop.assert_equal().await;
        shop.assert_clean().await;
    }
}
