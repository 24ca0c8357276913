//! kill -9 of the proxy at every moment of a write.

use crate::shop::Shop;
use crossfade_tests::{Traffic, eventually};
use std::time::Duration;

/// In the new store: each commit that changed an order takes a second, and then fails. It fires although images are
/// written without triggers.
const SLOW_COMMIT: &str = "
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(1); RAISE EXCEPTION 'the commit failed'; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE OR DELETE ON orders DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION slow();
ALTER TABLE orders ENABLE ALWAYS TRIGGER slow;";

#[tokio::test]
pub(crate) async fn trap_03_killed_between_the_two_commits() {
    let mut shop = Shop::in_phase("dual-write").await;
    shop.stores.new.run(SLOW_COMMIT).await;
    let client = shop.client().await;
    let write = tokio::spawn(async move {
        client
            .execute("UPDATE orders SET total = 333 WHERE id = 3", &[])
            .await
    });
    // The primary has committed; the secondary is at it.
    eventually("the primary commits", Duration::from_secs(5), async || {
        shop.stores
            .old
            .value("SELECT total FROM orders WHERE id = 3")
            .await
            == "333.00"
    })
    .await;
    shop.proxy.kill9();
    // It was told so before the secondary was asked to commit, and that is the promise: the primary has it, the journal its key.
    write.await.unwrap().unwrap();
    shop.stores.new.run("DROP TRIGGER slow ON orders").await;
    shop.proxy.restart().await;
    shop.proxy.drained().await;
    shop.stores
        .new
        .becomes("SELECT total FROM orders WHERE id = 3", "333.00")
        .await;
    shop.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn trap_17_a_commit_that_fails_in_the_secondary_only_is_a_success() {
    let shop = Shop::in_phase("dual-write").await;
    shop.stores.new.run(SLOW_COMMIT).await;
    let client = shop.client().await;
    let changed = client
        .execute("UPDATE orders SET total = 444 WHERE id = 4", &[])
        .await
        .unwrap();
    assert_eq!(changed, 1);
    shop.proxy.dirty(1).await;
    shop.stores.new.run("DROP TRIGGER slow ON orders").await;
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn killed_while_the_secondary_is_staging_leaves_no_trace() {
    let mut shop = Shop::in_phase("dual-write").await;
    let holder = shop.stores.new.direct().connect().await;
    holder
        .batch_execute("BEGIN; UPDATE orders SET total = 1 WHERE id = 5")
        .await
        .unwrap();
    let client = shop.client().await;
    let write = tokio::spawn(async move {
        client
            .execute("UPDATE orders SET total = 555 WHERE id = 5", &[])
            .await
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                   OR (NOT granted AND locktype = 'transactionid')";
    eventually("the secondary waits", Duration::from_secs(5), async || {
        shop.stores.new.value(waiting).await != "0"
    })
    .await;
    shop.proxy.kill9();
    write.await.unwrap().unwrap_err();
    holder.batch_execute("ROLLBACK").await.unwrap();
    shop.proxy.restart().await;
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn trap_03_killed_again_and_again_under_load() {
    let mut shop = Shop::in_phase("dual-write").await;
    for round in 0..6 {
        let traffic = Traffic::start(&shop.proxy.endpoint(&shop.stores.old), 6).await;
        traffic.progress(40 + round * 17).await;
        shop.proxy.kill9();
        // The clients see their connections break: that is an error, but never a lost acknowledged write.
        let report = traffic.stop().await;
        assert!(report.operations > 0);
        shop.proxy.restart().await;
        shop.proxy.drained().await;
        shop.assert_equal().await;
    }
}

#[tokio::test]
async fn an_orderly_end_loses_nothing_either() {
    let mut shop = Shop::in_phase("dual-write").await;
    let traffic = Traffic::start(&shop.proxy.endpoint(&shop.stores.old), 4).await;
    traffic.progress(50).await;
    assert_eq!(shop.proxy.stop(), Some(0), "{}", shop.proxy.log());
    let _ = traffic.stop().await;
    shop.proxy.restart().await;
    let log = shop.proxy.log();
    assert!(!log.contains("between their two commits"), "{log}");
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn an_orderly_end_tells_idle_clients_at_once_and_waits_for_transactions() {
    let mut shop = Shop::in_phase("dual-write").await;
    let relayed = shop.proxy.endpoint(&shop.stores.old).database("postgres");
    let unmapped = relayed.connect().await;
    unmapped.simple_query("SELECT 1").await.unwrap();
    let (idle, busy) = (shop.client().await, shop.client().await);
    busy.batch_execute("BEGIN; UPDATE orders SET total = 7 WHERE id = 7")
        .await
        .unwrap();
    shop.proxy.terminate();
    let gone = async |client: &tokio_postgres::Client| {
        let closed = async || client.is_closed();
        eventually("a client is told", Duration::from_secs(3), closed).await;
    };
    gone(&idle).await;
    gone(&unmapped).await;
    busy.batch_execute("UPDATE orders SET total = 8 WHERE id = 8; COMMIT")
        .await
        .unwrap();
    gone(&busy).await;
    assert_eq!(shop.proxy.stop(), Some(0), "{}", shop.proxy.log());
    let log = shop.proxy.log();
    assert!(!log.contains("roll them back"), "{log}");
    shop.assert_equal().await;
    let new = &shop.stores.new;
    assert_eq!(
        new.value("SELECT total FROM orders WHERE id = 8").await,
        "8.00"
    );
}

#[tokio::test]
pub(crate) async fn trap_43_the_primary_dies_in_the_middle_of_writes() {
    let mut server = crossfade_tests::Postgres::start();
    let old = server.database("old");
    old.run(crossfade_tests::SHOP).await;
    old.run(crate::shop::SEED).await;
    let new = crossfade_tests::Stores::shop().await.new;
    let config = crossfade_tests::ConfigBuilder::new(old.own(), new.own())
        .section("[flips]\nmismatch_window = \"0s\"")
        .toggle("shop", "use-old", crossfade_tests::SHOP_TABLES);
    let mut proxy = crossfade_tests::Proxy::start(config).await;
    proxy.flip("dual-write").await;
    proxy.cli(&["backfill"]).expect(0);
    let traffic = Traffic::start(&proxy.endpoint(&old), 6).await;
    traffic.progress(60).await;
    server.kill9();
    let _ = traffic.stop().await;
    server.restart();
    proxy.drained().await;
    for table in ["orders", "items", "counters"] {
        crossfade_tests::compare::tables(&old, table, &new, table).await;
    }
}

#[tokio::test]
pub(crate) async fn trap_43_the_primary_ends_a_session_right_behind_its_commit() {
    let shop = Shop::in_phase("dual-write").await;
    let old = &shop.stores.old;
    old.run(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER slowly AFTER UPDATE ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slowly()",
    )
    .await;
    let client = shop.client().await;
    let update = client.batch_execute("UPDATE orders SET total = 777 WHERE id = 7");
    // The proxy reads the end of the commit and the end of the connection in one go.
    let meddle = async {
        let sessions =
            "FROM pg_stat_activity WHERE datname = current_database() AND usename = 'app'";
        let sleeping = format!("SELECT count(*) {sessions} AND wait_event = 'PgSleep'");
        old.becomes(&sleeping, "1").await;
        shop.proxy.freeze();
        old.becomes("SELECT total FROM orders WHERE id = 7", "777.00")
            .await;
        old.rows(&format!("SELECT pg_terminate_backend(pid) {sessions}"))
            .await;
        old.becomes(&format!("SELECT count(*) {sessions}"), "0")
            .await;
        shop.proxy.thaw();
    };
    let _ = tokio::join!(update, meddle);
    shop.proxy.drained().await;
    shop.assert_equal().await;
}
