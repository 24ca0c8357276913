//! The secondary is down, hangs, or refuses rows: clients do not notice, and it is made good.

use super::Frail;
use crate::shop::Shop;
use crossfade_tests::{eventually, within};
use std::time::{Duration, Instant};

#[tokio::test]
pub(crate) async fn down_and_back_again() {
    let mut frail = Frail::start().await;
    let client = frail.proxy.connect(&frail.stores.old).await;
    frail.server.stop();
    for id in 1..=20 {
        let sql = format!("UPDATE orders SET total = total + 100 WHERE id = {id}");
        let write = client.batch_execute(&sql);
        within(3, "a write beside a dead secondary", write)
            .await
            .unwrap();
    }
    client
        .batch_execute(
            "DELETE FROM orders WHERE id = 30; INSERT INTO orders (customer) VALUES ('meanwhile')",
        )
        .await
        .unwrap();
    assert!(
        frail.proxy.dirty_keys().await >= 22,
        "{}",
        frail.proxy.toggle("shop").await
    );
    let failures = frail.proxy.metrics().await.sum(
        "crossfade_secondary_write_failures_total",
        &[("toggle", "shop")],
    );
    assert!(
        failures.unwrap_or(0.0) > 0.0,
        "the failures are not counted"
    );
    frail.server.restart();
    frail.proxy.drained().await;
    frail.assert_equal().await;
    client
        .execute("UPDATE orders SET total = 0 WHERE id = 1", &[])
        .await
        .unwrap();
    eventually(
        "writes go to both again",
        Duration::from_secs(10),
        async || {
            frail
                .new
                .value("SELECT total FROM orders WHERE id = 1")
                .await
                == "0.00"
        },
    )
    .await;
}

#[tokio::test]
async fn hanging_costs_its_timeout_once_and_then_nothing() {
    let frail = Frail::start().await;
    let client = frail.proxy.connect(&frail.stores.old).await;
    client
        .execute("UPDATE orders SET total = 1 WHERE id = 1", &[])
        .await
        .unwrap();
    frail.server.freeze();
    let mut slow = 0;
    for id in 1..=30 {
        let start = Instant::now();
        let sql = format!("UPDATE orders SET total = total + 1 WHERE id = {id}");
        let write = client.batch_execute(&sql);
        within(5, "a write beside a hanging secondary", write)
            .await
            .unwrap();
        if start.elapsed() > Duration::from_millis(200) {
            slow += 1;
        }
    }
    // Five failures open the breaker; one trial now and then may follow.
    assert!(
        slow <= 10,
        "{slow} of 30 writes waited for the hanging secondary"
    );
    frail.server.thaw();
    frail.proxy.drained().await;
    frail.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn the_journal_survives_kill_9_while_the_secondary_is_down() {
    let mut frail = Frail::start().await;
    let client = frail.proxy.connect(&frail.stores.old).await;
    frail.server.stop();
    client
        .batch_execute("UPDATE orders SET state = 'before the kill' WHERE id <= 10")
        .await
        .unwrap();
    frail.proxy.kill9();
    frail.proxy.restart().await;
    assert!(
        frail.proxy.dirty_keys().await >= 10,
        "{}",
        frail.proxy.toggle("shop").await
    );
    frail.server.restart();
    frail.proxy.drained().await;
    frail.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn a_flip_waits_for_an_empty_journal() {
    let mut frail = Frail::start().await;
    let client = frail.proxy.connect(&frail.stores.old).await;
    frail.server.stop();
    client
        .execute("UPDATE orders SET total = 5 WHERE id = 1", &[])
        .await
        .unwrap();
    let reason = frail.proxy.flip_refused("dual-read").await;
    assert!(reason.contains("dirty"), "{reason}");
    assert_eq!(frail.proxy.toggle("shop").await["effective"], "dual-write");
    frail.server.restart();
    frail.proxy.ask("shop", "dual-write");
    frail.proxy.drained().await;
    frail.proxy.flip("dual-read").await;
}

#[tokio::test]
pub(crate) async fn trap_11_a_row_that_only_the_secondary_refuses() {
    let shop = Shop::in_phase("dual-write").await;
    shop.stores
        .new
        .run("ALTER TABLE orders ADD CONSTRAINT short CHECK (length(customer) < 20) NOT VALID")
        .await;
    let long = "a customer with a very long name";
    shop.run(&format!(
        "UPDATE orders SET customer = '{long}' WHERE id = 5"
    ))
    .await;
    shop.proxy.dirty(1).await;
    // Later writes to the key do not hide that it is dirty, and other rows go on.
    for sql in [
        "UPDATE orders SET total = 55 WHERE id = 5",
        "UPDATE orders SET total = 66 WHERE id = 6",
    ] {
        shop.run(sql).await;
    }
    shop.proxy.dirty(1).await;
    shop.stores
        .new
        .becomes("SELECT total FROM orders WHERE id = 6", "66.00")
        .await;
    assert_eq!(
        shop.stores
            .old
            .value("SELECT customer FROM orders WHERE id = 5")
            .await,
        long
    );
    shop.stores
        .new
        .run("ALTER TABLE orders DROP CONSTRAINT short")
        .await;
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn trap_11_a_unique_index_that_only_the_secondary_has() {
    let shop = Shop::in_phase("dual-write").await;
    shop.stores
        .new
        .run("CREATE UNIQUE INDEX one_each ON orders (customer)")
        .await;
    shop.run("INSERT INTO orders (customer) VALUES ('early 1')")
        .await;
    shop.proxy.dirty(1).await;
    shop.run("DELETE FROM orders WHERE customer = 'early 1' AND id > 1")
        .await;
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn on_secondary_error_fail_is_strict() {
    let mut frail = Frail::with("on_secondary_error = \"fail\"").await;
    let client = frail.proxy.connect(&frail.stores.old).await;
    client
        .execute("UPDATE orders SET total = 1 WHERE id = 1", &[])
        .await
        .unwrap();
    frail.server.stop();
    let error = within(
        5,
        "a strict write",
        client.execute("UPDATE orders SET total = 2 WHERE id = 1", &[]),
    )
    .await;
    assert!(
        error.is_err(),
        "the write was acknowledged without the secondary"
    );
    frail
        .stores
        .old
        .becomes("SELECT total FROM orders WHERE id = 1", "1.00")
        .await;
    frail.server.restart();
    eventually("strict writes go on", Duration::from_secs(10), async || {
        let client = frail.proxy.connect(&frail.stores.old).await;
        client
            .execute("UPDATE orders SET total = 3 WHERE id = 1", &[])
            .await
            .is_ok()
    })
    .await;
    frail.proxy.drained().await;
    frail.assert_equal().await;
}

#[tokio::test]
async fn trap_02_a_lock_held_in_the_secondary_costs_the_client_only_the_timeout() {
    let frail = Frail::start().await;
    let client = frail.proxy.connect(&frail.stores.old).await;
    let holder = frail.new.direct().connect().await;
    holder
        .batch_execute("BEGIN; UPDATE orders SET total = 1 WHERE id = 9")
        .await
        .unwrap();
    let write = client.execute("UPDATE orders SET total = 9 WHERE id = 9", &[]);
    within(3, "a write whose row is locked in the secondary", write)
        .await
        .unwrap();
    frail.proxy.dirty(1).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    frail.proxy.drained().await;
    frail.assert_equal().await;
}

#[tokio::test]
async fn trap_11_unique_values_that_were_swapped_are_repaired_together() {
    let schema = "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE)";
    let seed = "INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)";
    let shop = Shop::of("dual-write", schema, "[toggle.shop.table.t]", seed).await;
    shop.run("BEGIN; UPDATE t SET u = u + 100; UPDATE t SET u = 140 - u; COMMIT")
        .await;
    shop.stores
        .old
        .becomes(
            "SELECT string_agg(u::text, ' ' ORDER BY id) FROM t",
            "30 20 10",
        )
        .await;
    shop.proxy.drained().await;
    shop.stores.assert_equal(&["t"]).await;
}
