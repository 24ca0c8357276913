//! Reads in phases 4 to 8.

use crate::shop::Shop;
use crossfade_tests::{eventually, within};
use std::time::Duration;
use tokio_postgres::Client;

async fn total(client: &Client, id: i64) -> Option<String> {
    let row = client
        .query_opt("SELECT total::text FROM orders WHERE id = $1", &[&id])
        .await
        .unwrap();
    row.map(|row| row.get(0))
}

async fn mismatches(shop: &Shop) -> f64 {
    shop.proxy
        .metrics()
        .await
        .sum("crossfade_read_mismatches_total", &[("toggle", "shop")])
        .unwrap_or(0.0)
}

#[tokio::test]
async fn trap_35_phase_4_counts_a_difference_answers_from_the_old_and_repairs() {
    let shop = Shop::in_phase("dual-read").await;
    let client = shop.client().await;
    assert_eq!(total(&client, 1).await.as_deref(), Some("1.00"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        mismatches(&shop).await < 0.5,
        "equal rows were reported as different"
    );
    shop.stores
        .new
        .run("UPDATE orders SET total = 2718281 WHERE id = 1; DELETE FROM orders WHERE id = 2")
        .await;
    assert_eq!(total(&client, 1).await.as_deref(), Some("1.00"));
    assert_eq!(total(&client, 2).await.as_deref(), Some("2.00"));
    eventually(
        "both differences are counted",
        Duration::from_secs(10),
        async || mismatches(&shop).await >= 2.0,
    )
    .await;
    shop.proxy.drained().await;
    shop.assert_equal().await;
    let log = shop.proxy.log();
    // Not a number that a time or a port may hold.
    assert!(!log.contains("2718281"), "values are in the log: {log}");
}

#[tokio::test]
async fn phase_4_counts_what_it_compares_and_what_it_does_not() {
    let shop = Shop::in_phase("dual-read").await;
    let client = shop.client().await;
    for id in 1..=5 {
        total(&client, id).await;
    }
    for _ in 0..3 {
        client
            .query("SELECT count(*) FROM orders", &[])
            .await
            .unwrap();
        client
            .simple_query("SELECT * FROM items WHERE product LIKE 'p%'")
            .await
            .unwrap();
    }
    client.simple_query("SELECT 1").await.unwrap();
    let count = async |name: &str, labels: &[(&str, &str)]| {
        let metrics = shop.proxy.metrics().await;
        metrics.sum(name, labels).unwrap_or(0.0)
    };
    eventually(
        "five lookups are compared",
        Duration::from_secs(10),
        async || {
            count(
                "crossfade_reads_compared_total",
                &[("table", "public.orders")],
            )
            .await
                > 4.5
        },
    )
    .await;
    let others = count(
        "crossfade_reads_not_compared_total",
        &[("reason", "not-by-key")],
    )
    .await;
    assert!((others - 6.0).abs() < 0.5, "{others}");
}

#[tokio::test]
async fn a_new_store_that_hangs_does_not_slow_reads_in_4() {
    let server = crossfade_tests::Postgres::start();
    let (new, old) = (
        server.database("new"),
        crossfade_tests::Stores::shop().await.old,
    );
    for (store, sql) in [(&old, crate::shop::SEED), (&new, crossfade_tests::SHOP)] {
        store.run(sql).await;
    }
    let config = crossfade_tests::ConfigBuilder::new(old.own(), new.own())
        .section("[flips]\nmismatch_window = \"0s\"\n[writes]\nsecondary_timeout = \"200ms\"")
        .toggle("shop", "use-old", crossfade_tests::SHOP_TABLES);
    let mut proxy = crossfade_tests::Proxy::start(config).await;
    proxy.flip("dual-write").await;
    proxy.cli(&["backfill"]).expect(0);
    proxy.cli(&["verify"]).expect(0);
    proxy.flip("dual-read").await;
    let client = proxy.connect(&old).await;
    assert!(total(&client, 1).await.is_some());
    server.freeze();
    for id in 1..10 {
        let read = within(3, "a read beside a hanging new store", total(&client, id));
        assert!(read.await.is_some());
    }
    server.thaw();
}

#[tokio::test]
async fn phases_5_to_8_answer_by_key_and_by_anything_when_complete() {
    for phase in ["new-primary", "new-writes", "backfill", "new-only"] {
        let shop = Shop::in_phase(phase).await;
        let client = shop.client().await;
        assert_eq!(total(&client, 7).await.as_deref(), Some("7.00"), "{phase}");
        assert_eq!(total(&client, 7000).await, None, "{phase}");
        let row = client
            .query_one(
                "SELECT count(*), sum(total)::text FROM orders WHERE id > 10",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(
            (row.get::<_, i64>(0), row.get::<_, String>(1)),
            (40, "1220.00".to_owned()),
            "{phase}"
        );
        let joined = "SELECT o.customer, i.product FROM orders o JOIN items i ON i.order_id = o.id ORDER BY o.id LIMIT 3";
        assert_eq!(client.query(joined, &[]).await.unwrap().len(), 3, "{phase}");
    }
}

#[tokio::test]
async fn trap_30_a_client_reads_what_it_wrote_over_the_change_of_the_primary() {
    let mut shop = Shop::in_phase("dual-read").await;
    let client = shop.client().await;
    for (step, phase) in ["new-primary", "dual-read", "new-primary"]
        .iter()
        .enumerate()
    {
        let state = format!("step {step}");
        client
            .execute("UPDATE orders SET state = $1 WHERE id = 3", &[&state])
            .await
            .unwrap();
        shop.proxy.flip(phase).await;
        let row = client
            .query_one("SELECT state FROM orders WHERE id = 3", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, String>(0), state, "{phase}");
    }
}

#[tokio::test]
async fn an_incomplete_table_is_refused_rather_than_answered_wrongly() {
    // Never backfilled: what was there before the dual writes is in the old store only.
    let stores = crossfade_tests::Stores::shop().await;
    stores.old.run(crate::shop::SEED).await;
    let mut proxy = crossfade_tests::Proxy::start(stores.shop_config("use-old")).await;
    proxy.flip("dual-write").await;
    proxy
        .force("dual-read", "a test of incomplete tables")
        .await;
    proxy
        .force("new-primary", "a test of incomplete tables")
        .await;
    let client = proxy.connect(&stores.old).await;
    assert_eq!(
        total(&client, 7).await.as_deref(),
        Some("7.00"),
        "a row by key is filled in from the old store"
    );
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await
        .unwrap();
    let one_snapshot = client
        .query_opt("SELECT total::text FROM orders WHERE id = 7", &[])
        .await
        .unwrap_err();
    assert_eq!(
        one_snapshot.code().map(|code| code.code()),
        Some("0A000"),
        "trap 31: {one_snapshot:?}"
    );
    let failed = client.batch_execute("SELECT 1").await.unwrap_err();
    assert_eq!(failed.code().map(|code| code.code()), Some("25P02"));
    client.batch_execute("ROLLBACK; BEGIN").await.unwrap();
    assert_eq!(total(&client, 8).await.as_deref(), Some("8.00"));
    client.batch_execute("COMMIT").await.unwrap();
    match client.query("SELECT id FROM orders ORDER BY id", &[]).await {
        Ok(rows) => assert_eq!(rows.len(), 50, "a range was answered from one store only"),
        Err(error) => assert_eq!(
            error.code().map(|code| code.code()),
            Some("0A000"),
            "{error:?}"
        ),
    }
    match client
        .execute(
            "UPDATE orders SET total = 1 WHERE customer LIKE 'early%'",
            &[],
        )
        .await
    {
        Ok(changed) => assert_eq!(changed, 50, "rows that only the old store has were missed"),
        Err(error) => assert_eq!(
            error.code().map(|code| code.code()),
            Some("0A000"),
            "{error:?}"
        ),
    }
    match client
        .execute("INSERT INTO counters (name) VALUES ('counter 1')", &[])
        .await
    {
        Ok(_) => panic!("trap 22: the key is taken in the old store"),
        Err(error) => {
            assert!(
                matches!(
                    error.code().map(|code| code.code()),
                    Some("0A000" | "23505")
                ),
                "{error:?}"
            );
        }
    }
}

#[tokio::test]
async fn trap_31_one_snapshot_answers_a_repeatable_read_transaction() {
    for phase in ["dual-read", "new-primary"] {
        let shop = Shop::in_phase(phase).await;
        let (reader, writer) = (shop.client().await, shop.client().await);
        reader
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            .await
            .unwrap();
        let first = total(&reader, 5).await;
        writer
            .execute(
                "UPDATE orders SET total = 500, updated_at = clock_timestamp() WHERE id = 5",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(total(&reader, 5).await, first, "{phase}");
        reader.batch_execute("COMMIT").await.unwrap();
        assert_eq!(
            total(&reader, 5).await.as_deref(),
            Some("500.00"),
            "{phase}"
        );
    }
}
