//! Stores that are slow, full, cut off or restarted, and what the client's write costs meanwhile.

use std::time::{Duration, Instant};

use super::Frail;
use crate::shop::{SEED, Shop};
use crossfade_tests::{
    ConfigBuilder, Postgres, Proxy, SHOP, SHOP_TABLES, Stores, Traffic, compare, eventually,
    wire::messages::{bind, execute, flush, parse},
    within,
};

/// In the new store: does this before each row, although images are written without triggers.
fn before_each_row(does: &str) -> String {
    format!(
        "CREATE FUNCTION sick() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does} RETURN NEW; END $$;
         CREATE TRIGGER sick BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION sick();
         ALTER TABLE orders ENABLE ALWAYS TRIGGER sick"
    )
}

const WELL_AGAIN: &str = "DROP TRIGGER sick ON orders";

async fn in_dual_write(writes: &str) -> Shop {
    let section = format!("[writes]\n{writes}");
    let mut shop = Shop::with("use-old", SHOP, SHOP, SHOP_TABLES, SEED, |config| {
        config.section(&section)
    })
    .await;
    shop.proxy.flip("dual-write").await;
    shop.complete();
    shop
}

#[tokio::test]
async fn slow_by_500_ms_costs_the_timeout_until_the_breaker_opens_and_then_nothing() {
    let writes = "secondary_timeout = \"150ms\"\nbreaker_failures = 3\nbreaker_retry = \"1s\"";
    let shop = in_dual_write(writes).await;
    let slow = before_each_row("PERFORM pg_sleep(0.5);");
    shop.stores.new.run(&slow).await;
    let client = shop.client().await;
    let (began, mut took) = (Instant::now(), Vec::new());
    for id in 1..=40 {
        let sql = format!("UPDATE orders SET total = total + 1 WHERE id = {id}");
        let start = Instant::now();
        let write = client.batch_execute(&sql);
        within(5, "a write beside a slow secondary", write)
            .await
            .unwrap();
        took.push(start.elapsed());
    }
    let waited = took
        .iter()
        .filter(|took| **took >= Duration::from_millis(140));
    // Three that open it, and one trial a second.
    let most = 3 + 1 + usize::try_from(began.elapsed().as_secs()).unwrap();
    let waited = waited.count();
    assert!(
        (3..=most).contains(&waited),
        "{waited} of 40 writes waited for the slow secondary: {took:?}"
    );
    took.sort();
    assert!(took[20] < Duration::from_millis(100), "{took:?}");
    assert_eq!(
        shop.proxy.status().await["stores"]["new"]["breaker_open"],
        true
    );
    shop.stores.new.run(WELL_AGAIN).await;
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn trap_11_a_disk_of_the_secondary_that_is_full() {
    let shop = in_dual_write("").await;
    let full = before_each_row(
        "RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'No space left on device';",
    );
    shop.stores.new.run(&full).await;
    for id in 1..=10 {
        shop.run(&format!("UPDATE orders SET total = 9 WHERE id = {id}"))
            .await;
    }
    // What needs no room goes on.
    shop.run("DELETE FROM orders WHERE id = 50").await;
    shop.stores
        .new
        .becomes("SELECT count(*) FROM orders WHERE id = 50", "0")
        .await;
    eventually(
        "the store's own error is shown",
        Duration::from_secs(10),
        async || {
            let toggle = shop.proxy.toggle("shop").await;
            toggle["failing_keys"].to_string().contains("No space left")
        },
    )
    .await;
    assert_eq!(shop.proxy.dirty_keys().await, 10);
    shop.stores.new.run(WELL_AGAIN).await;
    shop.proxy.cli(&["repair"]).expect(0);
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn trap_16_the_secondary_is_cut_off_in_the_middle_of_a_batch() {
    let shop = in_dual_write("secondary_timeout = \"10s\"").await;
    let stops = before_each_row("IF NEW.id = 25 THEN PERFORM pg_sleep(3); END IF;");
    shop.stores.new.run(&stops).await;
    let client = shop.client().await;
    let write = client.batch_execute("UPDATE orders SET state = 'all of them'");
    let cut = async {
        let sleeping =
            "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        let new = &shop.stores.new;
        new.becomes(&format!("SELECT count(*) {sleeping}"), "1")
            .await;
        new.rows(&format!("SELECT pg_terminate_backend(pid) {sleeping}"))
            .await;
    };
    let (written, ()) = tokio::join!(within(10, "a write that is cut off", write), cut);
    written.unwrap();
    assert!(shop.proxy.dirty_keys().await >= 1);
    shop.stores.new.run(WELL_AGAIN).await;
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn commits_that_the_secondary_had_not_flushed_when_it_crashed_are_made_good() {
    let mut frail = Frail::start().await;
    // It flushes by itself only now and then.
    let lazy = "ALTER SYSTEM SET wal_writer_delay = '10s'";
    frail.new.run(lazy).await;
    frail
        .new
        .run("ALTER SYSTEM SET wal_writer_flush_after = '1GB'")
        .await;
    frail.new.rows("SELECT pg_reload_conf()").await;
    let client = frail.proxy.connect(&frail.stores.old).await;
    for round in 0..4 {
        for id in 1..=20 {
            let sql = format!("UPDATE orders SET total = {round} WHERE id = {id}");
            client.batch_execute(&sql).await.unwrap();
        }
        frail.server.kill9();
        frail.server.restart();
        frail.proxy.drained().await;
        frail.assert_equal().await;
    }
}

#[tokio::test]
async fn trap_43_the_primary_is_restarted_in_the_middle_of_writes() {
    let mut server = Postgres::start();
    let old = server.database("old");
    old.run(SHOP).await;
    old.run(SEED).await;
    let new = Stores::shop().await.new;
    let config = ConfigBuilder::new(old.own(), new.own())
        .section("[flips]\nmismatch_window = \"0s\"")
        .toggle("shop", "use-old", SHOP_TABLES);
    let mut proxy = Proxy::start(config).await;
    proxy.flip("dual-write").await;
    proxy.cli(&["backfill"]).expect(0);
    for _ in 0..2 {
        let traffic = Traffic::start(&proxy.endpoint(&old), 6).await;
        traffic.progress(60).await;
        server.stop();
        let _ = traffic.stop().await;
        server.restart();
        proxy.drained().await;
        for table in ["orders", "items", "counters"] {
            compare::tables(&old, table, &new, table).await;
        }
    }
}

in_dual_phases!(
    trap_16_a_client_that_goes_in_the_middle_of_a_pipeline,
    async |shop: &Shop| {
        // Behind the first message, and behind all but the Sync.
        for messages in 1..=6 {
            let mut client = shop.proxy.wire(&shop.stores.old).await;
            let update = "UPDATE orders SET total = total + 1000 WHERE id = 1";
            let insert = "INSERT INTO orders (customer) VALUES ('never')";
            let all = [
                parse("", update, &[]),
                bind("", "", &[]),
                execute("", 0),
                parse("", insert, &[]),
                bind("", "", &[]),
                execute("", 0),
            ];
            client.send(&all[..messages]).await;
            client.send(&[flush()]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(client);
        }
        eventually("all are gone", Duration::from_secs(5), async || {
            shop.proxy.status().await["clients"] == 0
        })
        .await;
        for store in [&shop.stores.old, &shop.stores.new] {
            let total = store.value("SELECT total FROM orders WHERE id = 1").await;
            assert_eq!(total, "1.00");
            let never = "SELECT count(*) FROM orders WHERE customer = 'never'";
            assert_eq!(store.value(never).await, "0");
        }
        shop.proxy.drained().await;
    }
);

#[tokio::test]
async fn many_dirty_keys_are_repaired_beside_live_writes_that_do_not_wait_for_them() {
    let mut frail = Frail::start().await;
    let old = &frail.stores.old;
    let client = frail.proxy.connect(old).await;
    frail.server.stop();
    let many =
        "INSERT INTO orders (customer) SELECT 'missed ' || n FROM generate_series(1, 20000) n";
    client.batch_execute(many).await.unwrap();
    frail.proxy.dirty(20_000).await;
    frail.server.restart();
    let (mut took, began) = (Vec::new(), Instant::now());
    while frail.proxy.dirty_keys().await > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "not drained");
        for id in 1..=10 {
            let sql = format!("UPDATE orders SET total = total + 1 WHERE id = {id}");
            let start = Instant::now();
            let write = client.batch_execute(&sql);
            within(5, "a write beside the repairer", write)
                .await
                .unwrap();
            took.push(start.elapsed());
        }
    }
    took.sort();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    assert!(
        median < Duration::from_millis(50) && longest < Duration::from_secs(1),
        "{median:?}, {longest:?} at the most, of {} writes",
        took.len()
    );
    frail.assert_equal().await;
}
