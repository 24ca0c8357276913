//! TRUNCATE of mapped tables.

use crate::shop::Shop;

in_dual_phases!(trap_42_truncate_empties_both, async |shop: &Shop| {
    let client = shop.client().await;
    client
        .batch_execute("TRUNCATE counters; INSERT INTO counters (name) VALUES ('after')")
        .await
        .unwrap();
    // What the transaction did before is gone, what it does later is there.
    client
        .batch_execute(
            "BEGIN; INSERT INTO items (order_id, line, product) VALUES (900, 1, 'gone'); UPDATE orders SET total = 5 WHERE id = 1; \
             TRUNCATE TABLE public.items, orders RESTART IDENTITY; INSERT INTO orders (customer) VALUES ('first'); \
             INSERT INTO items (order_id, line, product) VALUES (900, 1, 'again'); COMMIT",
        )
        .await
        .unwrap();
    shop.stores
        .new
        .becomes("SELECT product FROM items", "again")
        .await;
    shop.stores
        .old
        .becomes("SELECT id || customer FROM orders", "1first")
        .await;
    // By the extended protocol, prepared once.
    let truncate = client.prepare("TRUNCATE ONLY counters").await.unwrap();
    for name in ["once", "twice"] {
        assert_eq!(client.execute(&truncate, &[]).await.unwrap(), 0);
        client
            .execute("INSERT INTO counters (name) VALUES ($1)", &[&name])
            .await
            .unwrap();
    }
    shop.stores
        .new
        .becomes("SELECT string_agg(name, ',') FROM counters", "twice")
        .await;
    shop.stores
        .old
        .becomes("SELECT string_agg(name, ',') FROM counters", "twice")
        .await;
});

in_dual_phases!(
    a_truncate_that_is_undone_reaches_neither,
    async |shop: &Shop| {
        shop.run("BEGIN; TRUNCATE orders, items; ROLLBACK").await;
        shop.run("BEGIN; INSERT INTO counters (name) VALUES ('stays'); SAVEPOINT s; TRUNCATE counters; ROLLBACK TO s; UPDATE counters SET value = 7 WHERE name = 'stays'; COMMIT").await;
        for store in [&shop.stores.old, &shop.stores.new] {
            store
                .becomes(
                    "SELECT count(*) FROM counters WHERE name LIKE 'counter%' OR value = 7",
                    "11",
                )
                .await;
            store.becomes("SELECT count(*) FROM orders", "50").await;
        }
    }
);

/// Earlier writers have ended in the primary and not yet in the secondary; later ones come right behind.
#[tokio::test]
async fn trap_01_truncates_between_writers_leave_both_stores_alike() {
    for phase in ["dual-write", "new-primary"] {
        let shop = Shop::in_phase(phase).await;
        let mut writers = Vec::new();
        for writer in 0..4 {
            let client = shop.client().await;
            writers.push(tokio::spawn(async move {
                for n in 0..60 {
                    let name = format!("name {}", (writer * 7 + n) % 10);
                    let sql = "INSERT INTO counters (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = counters.value + 1";
                    client.execute(sql, &[&name, &i64::from(n)]).await.unwrap();
                    if n % 5 == 0 {
                        client.execute("DELETE FROM counters WHERE name = $1", &[&name]).await.unwrap();
                    }
                }
            }));
        }
        let client = shop.client().await;
        for _ in 0..25 {
            client.batch_execute("TRUNCATE counters").await.unwrap();
        }
        for writer in writers {
            writer.await.unwrap();
        }
        client
            .batch_execute("INSERT INTO counters (name) VALUES ('end')")
            .await
            .unwrap();
        shop.assert_equal().await;
        shop.assert_clean().await;
    }
}

#[tokio::test]
async fn trap_10_truncate_cascade_takes_every_mapped_table_along() {
    const SCHEMA: &str = "
        CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE unseen (id int PRIMARY KEY, parent int REFERENCES parent);
        CREATE TABLE child (id int PRIMARY KEY, unseen int REFERENCES unseen);
        CREATE TABLE other (id int PRIMARY KEY);";
    const TABLES: &str =
        "[toggle.shop.table.parent]\n[toggle.shop.table.other]\n[toggle.shop.table.child]\n";
    let seed = "INSERT INTO parent VALUES (1); INSERT INTO unseen VALUES (1, 1); INSERT INTO child VALUES (1, NULL), (2, 1); INSERT INTO other VALUES (1)";
    let new = "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, unseen int); CREATE TABLE other (id int PRIMARY KEY);";
    let shop = Shop::with("dual-write", SCHEMA, new, TABLES, seed, |config| config).await;
    let client = shop.client().await;
    // The server's own refusal, and nothing has happened.
    let error = client.batch_execute("TRUNCATE parent").await.unwrap_err();
    assert_eq!(
        error.code().map(|code| code.code()),
        Some("0A000"),
        "{error:?}"
    );
    shop.stores
        .new
        .becomes("SELECT count(*) FROM parent", "1")
        .await;
    client
        .batch_execute("TRUNCATE parent CASCADE")
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO child VALUES (7, NULL); INSERT INTO parent VALUES (7)")
        .await
        .unwrap();
    shop.stores
        .assert_equal(&["parent", "child", "other"])
        .await;
    shop.assert_clean().await;
}

/// Rows that cannot be read cannot be captured.
#[tokio::test]
async fn a_truncate_that_cannot_be_captured_is_refused_before_anything_ran() {
    let shop = Shop::in_phase("dual-write").await;
    let client = shop.client().await;
    let sql = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; TRUNCATE counters";
    let error = client.batch_execute(sql).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "0A000");
    assert!(
        error.hint().unwrap().contains("READ COMMITTED"),
        "{error:?}"
    );
    client.batch_execute("ROLLBACK").await.unwrap();
    shop.assert_equal().await;
    shop.assert_clean().await;
}
