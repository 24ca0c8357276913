//! The barrier between primaries, and transactions that keep their phase.

use crate::shop::Shop;
use crossfade_tests::{Traffic, eventually, within};
use std::time::{Duration, Instant};

#[tokio::test]
pub(crate) async fn four_to_five_and_back_under_load_without_an_error() {
    let mut shop = Shop::in_phase("dual-read").await;
    let traffic = Traffic::start(&shop.proxy.endpoint(&shop.stores.old), 8).await;
    for _ in 0..4 {
        traffic.progress(40).await;
        shop.proxy.flip("new-primary").await;
        traffic.progress(40).await;
        shop.proxy.flip("dual-read").await;
    }
    let report = traffic.stop().await.clean();
    assert!(
        report.longest < Duration::from_secs(5),
        "an operation took {:?}",
        report.longest
    );
    shop.proxy.drained().await;
    shop.assert_equal().await;
    let waited = shop
        .proxy
        .metrics()
        .await
        .sum("crossfade_barrier_wait_seconds_count", &[]);
    assert!(
        waited.unwrap_or(0.0) > 0.0,
        "nobody waited at the barrier, or nobody counted"
    );
}

#[tokio::test]
async fn trap_36_an_open_transaction_keeps_its_phase_to_its_end() {
    let mut shop = Shop::in_phase("dual-read").await;
    let client = shop.client().await;
    client
        .batch_execute("BEGIN; INSERT INTO orders (customer) VALUES ('before the flip')")
        .await
        .unwrap();
    shop.proxy.ask("shop", "new-primary");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        shop.proxy.toggle("shop").await["effective"],
        "dual-read",
        "the flip did not wait"
    );
    client
        .batch_execute("UPDATE orders SET total = 8 WHERE customer = 'before the flip'; COMMIT")
        .await
        .unwrap();
    shop.proxy.flip("new-primary").await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn trap_36_a_transaction_that_does_not_end_calls_the_flip_off() {
    let drain = "[flips]\nmismatch_window = \"0s\"\ndrain_timeout = \"1s\"";
    let stores = crossfade_tests::Stores::shop().await;
    stores.old.run(crate::shop::SEED).await;
    let config =
        crossfade_tests::ConfigBuilder::new(stores.old.own(), stores.new.own()).section(drain);
    let config = config.toggle("shop", "use-old", crossfade_tests::SHOP_TABLES);
    let mut shop = Shop {
        proxy: crossfade_tests::Proxy::start(config).await,
        stores,
    };
    shop.proxy.flip("dual-write").await;
    shop.complete();
    shop.proxy.flip("dual-read").await;

    let idle = shop.client().await;
    idle.batch_execute("BEGIN; UPDATE orders SET total = 1 WHERE id = 1")
        .await
        .unwrap();
    let other = shop.client().await;
    let asked = Instant::now();
    shop.proxy.ask("shop", "new-primary");
    tokio::time::sleep(Duration::from_millis(300)).await;
    // New transactions wait at the barrier, see no error, and go on in the old phase when the flip is called off.
    within(
        10,
        "a write at the barrier",
        other.execute("UPDATE orders SET total = 2 WHERE id = 2", &[]),
    )
    .await
    .unwrap();
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "held back for {:?}",
        asked.elapsed()
    );
    let reason = shop.proxy.flip_refused("new-primary").await;
    assert!(reason.contains("drain"), "{reason}");
    assert_eq!(shop.proxy.toggle("shop").await["effective"], "dual-read");
    idle.batch_execute("COMMIT").await.unwrap();
    shop.assert_equal().await;
}

#[tokio::test]
async fn trap_33_sequences_of_the_new_store_are_past_the_olds_after_the_barrier() {
    let mut shop = Shop::in_phase("dual-read").await;
    // Values handed out and rolled back are gone all the same.
    shop.run("BEGIN; INSERT INTO orders (customer) SELECT 'burnt' FROM generate_series(1, 500); ROLLBACK").await;
    shop.run(
        "INSERT INTO orders (id, customer) VALUES (5000, 'explicit, far ahead of the sequence')",
    )
    .await;
    shop.proxy.flip("new-primary").await;
    let client = shop.client().await;
    let id: i64 = client
        .query_one(
            "INSERT INTO orders (customer) VALUES ('x') RETURNING id",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert!(id > 550, "the new store handed out {id}");
    shop.proxy.flip("dual-read").await;
    let back: i64 = client
        .query_one(
            "INSERT INTO orders (customer) VALUES ('y') RETURNING id",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert!(back > id, "back in the old store, {back} follows {id}");
    shop.assert_equal().await;
}

#[tokio::test]
async fn flips_between_2_3_and_4_do_not_wait_for_idle_transactions_to_take_effect_for_others() {
    let mut shop = Shop::in_phase("dual-write").await;
    let idle = shop.client().await;
    idle.batch_execute("BEGIN; UPDATE orders SET total = 1 WHERE id = 1")
        .await
        .unwrap();
    shop.proxy.ask("shop", "dual-read");
    let other = shop.client().await;
    for id in 2..10 {
        let sql = format!("UPDATE orders SET total = 2 WHERE id = {id}");
        let write = other.batch_execute(&sql);
        within(3, "a write during a flip of one primary", write)
            .await
            .unwrap();
    }
    idle.batch_execute("COMMIT").await.unwrap();
    shop.proxy.flip("dual-read").await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn trap_33_a_sequence_that_was_missing_is_seen_once_it_is_there() {
    let mut shop = Shop::in_phase("use-old").await;
    let missing = "ALTER TABLE orders ALTER id DROP IDENTITY IF EXISTS; ALTER TABLE orders ALTER id DROP DEFAULT; DROP SEQUENCE IF EXISTS orders_id_seq";
    shop.stores.new.run(missing).await;
    shop.proxy.flip("dual-write").await;
    shop.complete();
    shop.proxy.flip("dual-read").await;
    let reason = shop.proxy.flip_refused("new-primary").await;
    assert!(reason.contains("sequence"), "{reason}");
    let made = "CREATE SEQUENCE late OWNED BY orders.id; ALTER TABLE orders ALTER id SET DEFAULT nextval('late')";
    shop.stores.new.run(made).await;
    let moved = async || shop.proxy.toggle("shop").await["effective"] == "new-primary";
    eventually("it moves by itself", Duration::from_secs(20), moved).await;
    shop.run("INSERT INTO orders (customer) VALUES ('by the late sequence')")
        .await;
    shop.assert_equal().await;
}
