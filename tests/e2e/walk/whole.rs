//! All eight phases under live traffic.

use crate::shop::{PHASES, SEED, Shop};
use crossfade_tests::{ConfigBuilder, Postgres, Proxy, SHOP, SHOP_TABLES, Stores, Traffic};
use std::time::Duration;

#[tokio::test]
pub(crate) async fn one_to_eight_under_load_and_the_old_server_switched_off() {
    let mut old_server = Postgres::start();
    // To a later release, as most who move go to.
    let (old, stores) = (
        old_server.database("old"),
        Stores::to_later(SHOP, SHOP).await,
    );
    old.run(SHOP).await;
    old.run(SEED).await;
    let config = ConfigBuilder::new(old.own(), stores.new.own())
        .section("[flips]\nmismatch_window = \"0s\"")
        .toggle("shop", "deploy-new", SHOP_TABLES);
    let mut proxy = Proxy::start(config).await;
    let traffic = Traffic::start(&proxy.endpoint(&old), 6).await;
    for phase in PHASES {
        proxy.flip(phase).await;
        if phase == "dual-write" {
            proxy.cli(&["backfill"]).expect(0);
            proxy.cli(&["verify"]).expect(0);
        }
        traffic.progress(60).await;
    }
    let report = traffic.stop().await.clean();
    assert!(
        report.longest < Duration::from_secs(5),
        "an operation took {:?}",
        report.longest
    );
    assert!(report.operations >= 480);

    // Everything that was acknowledged is in the new store, which now stands alone.
    old_server.stop();
    let again = proxy.endpoint(&old).connect().await;
    let count: i64 = again
        .query_one("SELECT count(*) FROM orders", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        count.to_string(),
        stores.new.value("SELECT count(*) FROM orders").await
    );
    let traffic = Traffic::start(&proxy.endpoint(&old), 4).await;
    traffic.progress(50).await;
    let _ = traffic.stop().await.clean();
}

#[tokio::test]
async fn phase_7_copies_what_only_the_old_store_has_and_phase_8_waits_for_it() {
    let stores = Stores::shop().await;
    stores
        .old
        .run("INSERT INTO orders (customer) SELECT 'n' || n FROM generate_series(1, 4000) n")
        .await;
    let others = "INSERT INTO items SELECT n, 1, 'p' FROM generate_series(1, 2000) n; INSERT INTO counters VALUES ('a')";
    stores.old.run(others).await;
    // Slow enough for somebody who asks for phase 8 too early.
    let slow = "[reconcile]\nchunk_rows = 500\nmax_rows_per_s = 1000";
    let mut proxy = Proxy::start(stores.shop_config("use-old").section(slow)).await;
    // No backfill in 3: every row is missing in the new store until phase 7.
    proxy.flip("dual-write").await;
    for phase in ["dual-read", "new-primary"] {
        proxy.force(phase, "the backfill comes in phase 7").await;
    }
    proxy.walk(&["new-writes", "backfill"]).await;
    let reason = proxy.flip_refused("new-only").await;
    assert!(
        reason.contains("crossfade backfill") && reason.contains("orders"),
        "{reason}"
    );
    proxy.ask("shop", "backfill");
    crossfade_tests::eventually(
        "every table is complete",
        Duration::from_secs(60),
        async || {
            let toggle = proxy.toggle("shop").await;
            let tables = toggle["tables"].as_object().cloned().unwrap_or_default();
            !tables.is_empty() && tables.values().all(|table| table["complete"] == true)
        },
    )
    .await;
    stores.assert_equal(&["orders", "items", "counters"]).await;
    proxy.flip("new-only").await;
}

#[tokio::test]
async fn forward_and_back_and_forward_again_under_load() {
    let mut shop = Shop::in_phase("dual-write").await;
    let traffic = Traffic::start(&shop.proxy.endpoint(&shop.stores.old), 6).await;
    let walk = [
        "dual-read",
        "new-primary",
        "dual-read",
        "dual-write",
        "dual-read",
        "new-primary",
        "dual-read",
    ];
    for phase in walk {
        traffic.progress(30).await;
        shop.proxy.flip(phase).await;
    }
    traffic.progress(30).await;
    let _ = traffic.stop().await.clean();
    shop.proxy.drained().await;
    shop.assert_equal().await;
}
