//! Statements of phase 2 whose clients are gone, and which the old store goes on with.

use std::time::Duration;

use crate::shop::Shop;
use crossfade_tests::{eventually, wire::messages::query};
use tokio_postgres::Client;

const SOON: Duration = Duration::from_secs(10);

/// A shop in phase 2 whose old store is at a statement that nobody waits for any more: it waits for a row that the connection holds.
async fn shop_with_a_straggler() -> (Shop, Client) {
    let shop = Shop::in_phase("use-old").await;
    let holder = shop.stores.old.direct().connect().await;
    holder
        .batch_execute("BEGIN; UPDATE orders SET state = 'held' WHERE id = 1")
        .await
        .unwrap();
    let mut client = shop.proxy.wire(&shop.stores.old).await;
    client
        .send(&[query("UPDATE orders SET total = 777 WHERE id = 1")])
        .await;
    shop.stores
        .old
        .becomes("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())", "1")
        .await;
    drop(client);
    eventually("the session is gone", SOON, async || {
        shop.proxy.status().await["clients"] == 0
    })
    .await;
    (shop, holder)
}

async fn published(shop: &Shop, phase: &str) {
    eventually("the phase is published", SOON, async || {
        shop.proxy.toggle("shop").await["published"] == phase
    })
    .await;
}

/// Phase 3 is published and not effective, which says why.
async fn assert_held(shop: &Shop) {
    eventually("the straggler is named", SOON, async || {
        let holders = shop.proxy.toggle("shop").await["holders"].to_string();
        holders.contains("pg_terminate_backend") && holders.contains("holding the flip for")
    })
    .await;
    assert_eq!(shop.proxy.toggle("shop").await["effective"], "use-old");
    let early = shop.proxy.cli(&["backfill"]);
    assert_ne!(early.status, 0, "{early:?}");
}

/// It ends; then everything is as if it had come before the flip.
async fn ends_alike(shop: &Shop, holder: Client) {
    shop.run("UPDATE orders SET total = 2 WHERE id = 2").await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    eventually("phase 3 is effective", SOON, async || {
        shop.proxy.toggle("shop").await["effective"] == "dual-write"
    })
    .await;
    let changed = "SELECT total FROM orders WHERE id = 1";
    assert_eq!(shop.stores.old.value(changed).await, "777.00");
    shop.complete();
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn trap_43_phase_3_waits_for_a_statement_whose_client_is_gone() {
    let (mut shop, holder) = shop_with_a_straggler().await;
    shop.proxy.ask("shop", "dual-write");
    published(&shop, "dual-write").await;
    assert_held(&shop).await;
    eventually("the log names it", SOON, async || {
        shop.proxy.log().contains("pg_terminate_backend")
    })
    .await;
    ends_alike(&shop, holder).await;
}

#[tokio::test]
async fn trap_43_phase_3_waits_for_a_statement_whose_proxy_was_killed() {
    let (mut shop, holder) = shop_with_a_straggler().await;
    shop.proxy.kill9();
    shop.proxy.restart().await;
    shop.proxy.ask("shop", "dual-write");
    published(&shop, "dual-write").await;
    assert_held(&shop).await;
    ends_alike(&shop, holder).await;
}

#[tokio::test]
async fn trap_43_phase_3_waits_for_it_also_after_a_kill_in_between() {
    let (mut shop, holder) = shop_with_a_straggler().await;
    shop.proxy.ask("shop", "dual-write");
    published(&shop, "dual-write").await;
    shop.proxy.kill9();
    shop.proxy.restart().await;
    assert_held(&shop).await;
    ends_alike(&shop, holder).await;
}

#[tokio::test]
async fn trap_43_a_flip_back_does_not_wait_for_it() {
    let (mut shop, holder) = shop_with_a_straggler().await;
    shop.proxy.ask("shop", "dual-write");
    published(&shop, "dual-write").await;
    shop.proxy.flip("use-old").await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    shop.proxy.flip("dual-write").await;
    shop.complete();
    shop.assert_equal().await;
}
