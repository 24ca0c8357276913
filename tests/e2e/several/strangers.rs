//! Two proxies that know nothing of each other, each with `control = "state_dir"` and a folder of its own.

use std::time::Duration;

use crate::shop::Shop;
use crossfade_tests::{Proxy, eventually};
use serde_json::Value;

/// What goes through the other one misses the new store; to this one it is a writer that goes around it.
#[tokio::test]
async fn trap_37_writes_through_a_proxy_that_nobody_was_told_of_are_noticed() {
    let shop = Shop::in_phase("dual-write").await;
    let stranger = Proxy::start(shop.stores.shop_config("use-old")).await;
    let client = stranger.connect(&shop.stores.old).await;
    let watched = async || {
        let toggle = shop.proxy.toggle("shop").await;
        let around = &toggle["tables"]["public.counters"]["around"];
        // Nothing hides behind the proxy's own writes any more.
        let old = |store: &&Value| store["store"] == "old" && store["hidden"] == 0;
        around
            .as_array()
            .is_some_and(|stores| stores.iter().any(|store| old(&store)))
    };
    eventually("the table is watched", Duration::from_secs(60), watched).await;
    client
        .batch_execute("INSERT INTO counters (name) VALUES ('by the stranger')")
        .await
        .unwrap();
    let said = async || {
        let status = shop.proxy.cli(&["status"]).expect(0).stdout;
        status.contains("around the proxy") && status.contains("public.counters")
    };
    eventually("the operator is told", Duration::from_secs(60), said).await;
    // As the message advises.
    let _ = shop
        .proxy
        .cli(&["verify", "--repair", "--table", "counters"]);
    let count = "SELECT count(*) FROM counters WHERE name = 'by the stranger'";
    assert_eq!(shop.stores.new.value(count).await, "1");
}
