//! The effective phase is durable state; the file is a wish.

use crate::shop::Shop;

#[tokio::test]
async fn every_phase_survives_kill_9() {
    for phase in ["use-old", "dual-write", "new-primary", "new-only"] {
        let mut shop = Shop::in_phase(phase).await;
        shop.proxy.kill9();
        shop.proxy.restart().await;
        assert_eq!(shop.proxy.toggle("shop").await["effective"], phase);
        shop.run("INSERT INTO orders (customer) VALUES ('after the restart'); UPDATE orders SET total = 1 WHERE id = 1").await;
        if phase == "dual-write" || phase == "new-primary" {
            shop.assert_equal().await;
        }
    }
}

#[tokio::test]
async fn trap_40_a_restart_with_an_older_file_does_not_revive_an_older_phase() {
    let mut shop = Shop::in_phase("new-writes").await;
    shop.run("INSERT INTO orders (customer) VALUES ('only in the new')")
        .await;
    for older in ["deploy-new", "use-old", "dual-write"] {
        shop.proxy.kill9();
        shop.proxy.ask("shop", older);
        shop.proxy.restart().await;
        let toggle = shop.proxy.toggle("shop").await;
        assert_eq!(
            (&toggle["effective"], &toggle["wanted"]),
            (&"new-writes".into(), &older.into()),
            "{toggle}"
        );
        assert!(
            toggle["refusal"].is_string(),
            "nothing is said about it: {toggle}"
        );
        let count: i64 = shop
            .client()
            .await
            .query_one(
                "SELECT count(*) FROM orders WHERE customer = 'only in the new'",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(count, 1, "the write of phase 6 is not seen any more");
    }
}

#[tokio::test]
async fn trap_40_a_restart_with_a_file_one_step_back_moves_by_the_rules() {
    let mut shop = Shop::in_phase("dual-read").await;
    shop.proxy.kill9();
    shop.proxy.ask("shop", "dual-write");
    shop.proxy.restart().await;
    shop.proxy.flip("dual-write").await;
    shop.run("UPDATE orders SET total = 9 WHERE id = 9").await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn a_kill_during_the_barrier_leaves_one_primary() {
    let mut shop = Shop::in_phase("dual-read").await;
    let idle = shop.client().await;
    idle.batch_execute("BEGIN; UPDATE orders SET total = 1 WHERE id = 1")
        .await
        .unwrap();
    shop.proxy.ask("shop", "new-primary");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    shop.proxy.kill9();
    drop(idle);
    shop.proxy.restart().await;
    // The file still asks for 5, and nothing stands in its way any more.
    shop.proxy.drained().await;
    shop.proxy.flip("new-primary").await;
    shop.run("UPDATE orders SET total = 2 WHERE id = 1").await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn a_lock_on_a_table_of_the_secondary_keeps_no_proxy_from_starting() {
    for (phase, secondary) in [("dual-write", "new"), ("new-primary", "old")] {
        let mut shop = Shop::in_phase(phase).await;
        shop.proxy.kill9();
        let store = match secondary {
            "new" => &shop.stores.new,
            _ => &shop.stores.old,
        };
        let maintenance = store.own().connect().await;
        maintenance
            .batch_execute("BEGIN; LOCK TABLE orders")
            .await
            .unwrap();
        shop.proxy.restart().await;
        shop.run("INSERT INTO orders (customer) VALUES ('while it is locked'); UPDATE orders SET total = 1 WHERE id = 1").await;
        let count = "SELECT count(*) FROM orders WHERE customer = 'while it is locked'";
        let row = shop.client().await.query_one(count, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 1);
        maintenance.batch_execute("COMMIT").await.unwrap();
        shop.proxy.drained().await;
        shop.assert_equal().await;
    }
}
