//! Transactions that are larger than what a session may hold of them.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use bytes::Bytes;
use crossfade_tests::eventually;
use futures::SinkExt as _;

use crate::shop::Shop;

/// The usual shop whose sessions hold next to nothing.
async fn narrow(phase: &str, writes: &str) -> Shop {
    let section = format!("[writes]\nmax_transaction_bytes = \"64KiB\"\n{writes}");
    let (schema, tables) = (crossfade_tests::SHOP, crossfade_tests::SHOP_TABLES);
    Shop::with(phase, schema, schema, tables, crate::shop::SEED, |config| {
        config.section(&section)
    })
    .await
}

const MANY: &str =
    "INSERT INTO orders (customer) SELECT 'many ' || n FROM generate_series(1, 3000) n";

/// Waits until the secondary has uncommitted rows of `orders`: what a transaction has sent ahead.
async fn ahead(shop: &Shop) {
    let sql = "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'orders'::regclass AND mode = 'RowExclusiveLock'";
    shop.stores.new.becomes(sql, "t").await;
}

#[tokio::test]
pub(crate) async fn images_go_ahead_of_the_commit_and_keys_stay_clean() {
    for phase in ["dual-write", "new-primary"] {
        let shop = narrow(phase, "").await;
        let client = shop.client().await;
        client.batch_execute("BEGIN").await.unwrap();
        client.batch_execute(MANY).await.unwrap();
        if phase == "dual-write" {
            ahead(&shop).await;
        }
        let toggle = shop.proxy.toggle("shop").await;
        assert!(toggle["open_intents"].as_u64().unwrap() > 0, "{toggle}");
        // Later changes of the same rows: the last one counts, whichever way it went. Few deletes: they stay, and have to fit.
        client.batch_execute("UPDATE orders SET state = 'twice' WHERE id % 2 = 0; DELETE FROM orders WHERE id % 50 = 0; \
            INSERT INTO orders (id, customer) SELECT n, 'again' FROM generate_series(100, 200, 50) n; \
            DELETE FROM items; UPDATE orders SET id = id + 100000 WHERE id % 70 = 0").await.unwrap();
        // Others are not held up: they delete, they insert.
        let other = shop.client().await;
        other.batch_execute("DELETE FROM counters WHERE name = 'counter 1'; INSERT INTO counters (name) VALUES ('beside'); INSERT INTO items (order_id, line, product) VALUES (7777, 1, 'beside')").await.unwrap();
        shop.stores.assert_equal(&["counters"]).await;
        shop.assert_clean().await;
        client.batch_execute("COMMIT").await.unwrap();
        shop.assert_equal().await;
        shop.assert_clean().await;
        client.batch_execute("DELETE FROM orders").await.unwrap();
        client
            .batch_execute("INSERT INTO orders (customer) VALUES ('last')")
            .await
            .unwrap();
        eventually("both are alike", Duration::from_secs(20), async || {
            shop.proxy.dirty_keys().await == 0
        })
        .await;
        shop.assert_equal().await;
    }
}

/// The last portion takes everything along, or what is left is undone: an intent over no key has no place to go to, and nobody needs it.
#[tokio::test]
pub(crate) async fn trap_12_of_a_transaction_that_went_ahead_nothing_may_be_left() {
    for phase in ["dual-write", "new-primary"] {
        let shop = narrow(phase, "").await;
        let client = shop.client().await;
        // As many rows as a session counts before it sends them.
        let rows =
            "INSERT INTO orders (customer) SELECT 'row ' || n FROM generate_series(1, 8192) n";
        client.batch_execute(rows).await.unwrap();
        client
            .batch_execute("BEGIN; INSERT INTO counters (name) VALUES ('kept'); SAVEPOINT a")
            .await
            .unwrap();
        client.batch_execute(MANY).await.unwrap();
        client.batch_execute("ROLLBACK TO a; COMMIT").await.unwrap();
        client
            .batch_execute(
                "WITH u AS (UPDATE orders SET total = 1 RETURNING *) SELECT count(*) FROM u",
            )
            .await
            .unwrap();
        shop.proxy.drained().await;
        shop.assert_equal().await;
    }
}

#[tokio::test]
async fn trap_12_what_went_ahead_is_undone_with_its_part() {
    for phase in ["dual-write", "new-primary"] {
        let shop = narrow(phase, "").await;
        let client = shop.client().await;
        client.batch_execute("BEGIN").await.unwrap();
        client.batch_execute(MANY).await.unwrap();
        client.batch_execute("ROLLBACK").await.unwrap();
        shop.assert_equal().await;
        shop.assert_clean().await;
        // Behind a savepoint that something has gone ahead of, and that nothing has gone ahead of.
        client
            .batch_execute("BEGIN; UPDATE orders SET total = 1 WHERE id < 40; SAVEPOINT a")
            .await
            .unwrap();
        client.batch_execute(MANY).await.unwrap();
        client.batch_execute("UPDATE orders SET total = 2 WHERE id < 20; ROLLBACK TO a; UPDATE orders SET total = 3 WHERE id < 10; COMMIT").await.unwrap();
        shop.proxy.drained().await;
        shop.assert_equal().await;
        client.batch_execute("BEGIN").await.unwrap();
        client.batch_execute(MANY).await.unwrap();
        client.batch_execute("SAVEPOINT b; UPDATE orders SET total = 4 WHERE id = 1; ROLLBACK TO b; UPDATE orders SET total = 5 WHERE id = 2; COMMIT").await.unwrap();
        shop.assert_equal().await;
        shop.assert_clean().await;
        // Gone in the middle.
        let mut gone = shop.proxy.wire(&shop.stores.old).await;
        gone.query("BEGIN").await;
        gone.query(MANY).await;
        drop(gone);
        eventually("nothing is open", Duration::from_secs(10), async || {
            shop.proxy.toggle("shop").await["open_intents"] == 0
        })
        .await;
        shop.assert_equal().await;
        shop.assert_clean().await;
    }
}

#[tokio::test]
async fn trap_11_a_secondary_that_refuses_a_portion_costs_the_images_and_no_more() {
    let shop = narrow("dual-write", "").await;
    shop.stores
        .new
        .run("ALTER TABLE orders ADD CHECK (customer <> 'many 2500')")
        .await;
    shop.run(MANY).await;
    shop.stores
        .old
        .becomes(
            "SELECT count(*) FROM orders WHERE customer LIKE 'many%'",
            "3000",
        )
        .await;
    eventually(
        "all but one are repaired",
        Duration::from_secs(20),
        async || shop.proxy.dirty_keys().await == 1,
    )
    .await;
    shop.stores
        .new
        .becomes(
            "SELECT count(*) FROM orders WHERE customer LIKE 'many%'",
            "2999",
        )
        .await;
    shop.stores
        .new
        .run("ALTER TABLE orders DROP CONSTRAINT orders_customer_check")
        .await;
    shop.proxy.drained().await;
    shop.assert_equal().await;
    // Who wants both or none gets none.
    let strict = narrow("dual-write", "on_secondary_error = \"fail\"\n").await;
    strict
        .stores
        .new
        .run("ALTER TABLE orders ADD CHECK (customer <> 'many 2500')")
        .await;
    let error = strict.client().await.batch_execute(MANY).await.unwrap_err();
    assert_eq!(
        error.code().map(|code| code.code()),
        Some("40001"),
        "{error:?}"
    );
    strict.assert_equal().await;
    strict.assert_clean().await;
}

#[tokio::test]
async fn who_wants_both_or_none_gets_none_of_what_cannot_go_as_a_whole() {
    let strict = narrow("dual-write", "on_secondary_error = \"fail\"\n").await;
    strict.run(MANY).await;
    let client = strict.client().await;
    // More deletes than a session may hold; and a part taken back of what has gone ahead.
    let undone = format!(
        "BEGIN; SAVEPOINT a; {MANY}; ROLLBACK TO a; UPDATE orders SET total = 7 WHERE id = 7; COMMIT"
    );
    for sql in ["DELETE FROM orders", &undone] {
        let error = client.batch_execute(sql).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "54000", "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("smaller")));
    }
    strict.assert_equal().await;
    strict.assert_clean().await;
    let count = "SELECT count(*) FROM orders WHERE customer LIKE 'many%' AND total = 0";
    assert_ne!(strict.stores.old.value(count).await, "0");
}

#[tokio::test]
async fn large_transactions_come_by_on_the_connections_that_are_there() {
    let shop = narrow("dual-write", "").await;
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'crossfade'";
    let connections = async || -> u32 { shop.stores.new.value(count).await.parse().unwrap() };
    let client = shop.client().await;
    client.batch_execute(MANY).await.unwrap();
    let before = connections().await;
    for total in 0..12 {
        let sql = format!("UPDATE orders SET total = {total}");
        client.batch_execute(&sql).await.unwrap();
    }
    let after = connections().await;
    assert!(after <= before + 1, "{before} connections, then {after}");
    shop.assert_equal().await;
}

/// A deferred constraint fails in the primary, behind all that went ahead.
#[tokio::test]
async fn a_commit_that_the_primary_refuses_takes_back_what_went_ahead() {
    let shop = narrow("dual-write", "").await;
    shop.stores.old.run("ALTER TABLE orders ADD CONSTRAINT once UNIQUE (customer) DEFERRABLE INITIALLY DEFERRED").await;
    let client = shop.client().await;
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute(MANY).await.unwrap();
    client
        .batch_execute("INSERT INTO orders (customer) VALUES ('many 5')")
        .await
        .unwrap();
    let error = client.batch_execute("COMMIT").await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("23505"));
    shop.assert_equal().await;
    shop.assert_clean().await;
}

/// `CROSSFADE_COPY_MB` of rows through a session that holds little.
#[tokio::test]
async fn trap_15_a_large_copy_in_bounded_memory() {
    let megabytes = crate::failures::number("CROSSFADE_COPY_MB", 100);
    let shop = Shop::in_phase("dual-write").await;
    let client = shop.client().await;
    let filler = "f".repeat(1000);
    let start = Instant::now();
    let sink = client.copy_in("COPY items (order_id, line, product) FROM STDIN");
    let mut sink = std::pin::pin!(sink.await.unwrap());
    for order in 0..megabytes {
        let mut data = String::with_capacity(1_100_000);
        for line in 0..1000 {
            writeln!(data, "{}\t{line}\t{filler}", 1000 + order).unwrap();
        }
        sink.send(Bytes::from(data)).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), megabytes * 1000);
    let peak = shop.proxy.peak_rss() >> 20;
    println!(
        "{megabytes} MB in {:?}, at most {peak} MB of memory",
        start.elapsed()
    );
    assert!(peak < 150, "{peak} MB of memory for {megabytes} MB of rows");
    // Nothing was left to the journal.
    shop.assert_clean().await;
    let sum = "SELECT count(*) || ' ' || sum(order_id * 1000 + line) FROM items";
    let expected = shop.stores.old.value(sum).await;
    shop.stores.new.becomes(sum, &expected).await;
    shop.assert_clean().await;
}
