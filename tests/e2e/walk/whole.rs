//! All eight phases under live traffic.

use crate::shop::{PHASES, SEED, Shop};
use crossfade_tests::{ConfigBuilder, Postgres, Proxy, SHOP, SHOP_TABLES, Stores, Traffic};
use std::time::Duration;

#[tokio::test]
async fn one_to_eight_under_load_and_the_old_server_switched_off() {
    let mut old_server = Postgres::start();
    let (old, stores) = (old_server.database("old"), Stores::shop().await);
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
        .run("INSERT INTO orders (customer) SELECT 'n' || n FROM generate_series(1, 3000) n")
        .await;
    stores.old.run("INSERT INTO items SELECT n, 1, 'p' FROM generate_series(1, 3000) n; INSERT INTO counters VALUES ('a')").await;
    let mut proxy = Proxy::start(stores.shop_config("use-old")).await;
    // No backfill in 3: every row is missing in the new store until phase 7.
    proxy.walk(&["dual-write", "dual-read"]).await;
    let forced = proxy.cli(&[
        "phase",
        "shop",
        "new-primary",
        "--because",
        "the backfill comes in phase 7",
    ]);
    assert_eq!(forced.status, 0, "{forced:?}");
    proxy.flip("new-primary").await;
    proxy.walk(&["new-writes", "backfill"]).await;
    crossfade_tests::eventually(
        "every table is complete",
        Duration::from_secs(60),
        async || {
            let toggle = proxy.toggle("shop").await;
            toggle["tables"]
                .as_object()
                .is_some_and(|tables| tables.values().all(|table| table["complete"] == true))
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
