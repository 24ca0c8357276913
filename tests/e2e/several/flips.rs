//! Flips that all proxies make together.

use std::time::Duration;

use crossfade_tests::{Mongod, SHOP_TABLES, Stores, Traffic, within};

use super::{Pair, REFUSE, TAKE, copied, in_phase, write};

#[tokio::test]
pub(crate) async fn one_to_eight_through_one_proxy_while_both_serve() {
    let mut pair = Pair::new().await;
    let [through_a, through_b] = [
        Traffic::start(&pair.a.endpoint(&pair.stores.old), 3).await,
        Traffic::start(&pair.b.endpoint(&pair.stores.old), 3).await,
    ];
    for phase in &crate::shop::PHASES[2..] {
        pair.a.flip(phase).await;
        in_phase(&pair.b, phase).await;
        if *phase == "dual-write" {
            pair.b.cli(&["backfill"]).expect(0);
            pair.a.cli(&["verify"]).expect(0);
        }
        through_a.progress(20).await;
        through_b.progress(20).await;
    }
    for traffic in [through_a, through_b] {
        let report = traffic.stop().await.clean();
        assert!(report.longest < Duration::from_secs(5), "{report:?}");
    }
    let count = "SELECT count(*) FROM orders";
    let rows = pair.stores.new.value(count).await;
    let client = pair.b.connect(&pair.stores.old).await;
    let seen: i64 = client.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(seen.to_string(), rows);
}

#[tokio::test]
pub(crate) async fn trap_37_four_to_five_and_back_drains_both() {
    let mut pair = Pair::in_phase("dual-read").await;
    let idle = pair.b.connect(&pair.stores.old).await;
    idle.batch_execute("BEGIN; UPDATE orders SET total = 1 WHERE id = 1")
        .await
        .unwrap();
    pair.a.ask("shop", "new-primary");
    tokio::time::sleep(Duration::from_millis(700)).await;
    for proxy in [&pair.a, &pair.b] {
        assert_eq!(proxy.toggle("shop").await["published"], "dual-read");
    }
    idle.batch_execute("COMMIT").await.unwrap();
    pair.both_in("new-primary").await;
    write(&pair.b, &pair.stores, "UPDATE orders SET total = 2 WHERE id = 1; INSERT INTO orders (customer) VALUES ('in five')").await.unwrap();
    pair.drained().await;
    pair.assert_equal().await;
    // Back, asked for at the other one.
    pair.b.flip("dual-read").await;
    pair.both_in("dual-read").await;
    write(
        &pair.a,
        &pair.stores,
        "UPDATE orders SET total = 3 WHERE id = 1",
    )
    .await
    .unwrap();
    pair.drained().await;
    pair.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn trap_36_a_transaction_at_the_other_proxy_calls_the_flip_off() {
    let stores = Stores::shop().await;
    stores.old.run(crate::shop::SEED).await;
    let config = |name: &str| {
        crossfade_tests::ConfigBuilder::new(stores.old.own(), stores.new.own())
            .section("[flips]\nmismatch_window = \"0s\"\ndrain_timeout = \"1s\"")
            .line(&format!("control = \"database\"\nproxy = \"{name}\""))
            .toggle("shop", "use-old", SHOP_TABLES)
    };
    let [mut a, b] = copied(config).await;
    a.flip("dual-read").await;
    let idle = b.connect(&stores.old).await;
    idle.batch_execute("BEGIN; UPDATE orders SET total = 1 WHERE id = 1")
        .await
        .unwrap();
    let refusal = a.flip_refused("new-primary").await;
    assert!(
        refusal.contains("proxy \"b\"") && refusal.contains("drain_timeout"),
        "{refusal}"
    );
    for proxy in [&a, &b] {
        let sql = "UPDATE orders SET total = 2 WHERE id = 2";
        within(
            5,
            "a write after the flip was called off",
            write(proxy, &stores, sql),
        )
        .await
        .unwrap();
        assert_eq!(proxy.toggle("shop").await["effective"], "dual-read");
    }
    idle.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test]
pub(crate) async fn status_lists_the_proxies_with_their_epochs() {
    let pair = Pair::in_phase("dual-write").await;
    for (proxy, here, there) in [(&pair.a, "a", "b"), (&pair.b, "b", "a")] {
        let toggle = proxy.toggle("shop").await;
        let proxies = toggle["proxies"].as_array().unwrap();
        let names: Vec<_> = proxies
            .iter()
            .map(|proxy| proxy["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, [here, there], "{toggle}");
        for one in proxies {
            assert_eq!(
                (&one["epoch"], &one["published"]),
                (&toggle["epoch"], &"dual-write".into()),
                "{toggle}"
            );
        }
        let text = proxy.cli(&["status"]).expect(0).stdout;
        assert!(
            text.contains(&format!("proxy {here} (this one): epoch")),
            "{text}"
        );
        assert!(text.contains(&format!("proxy {there}: epoch")), "{text}");
    }
}

#[tokio::test]
pub(crate) async fn dirty_keys_in_the_other_proxys_journal_hold_up_the_flip() {
    let mut pair = Pair::in_phase("dual-write").await;
    pair.stores
        .new
        .run("ALTER TABLE orders ADD CONSTRAINT short CHECK (length(customer) < 20) NOT VALID")
        .await;
    let long = "UPDATE orders SET customer = 'much too long for the new store' WHERE id = 5";
    write(&pair.b, &pair.stores, long).await.unwrap();
    pair.b.dirty(1).await;
    let refusal = pair.a.flip_refused("dual-read").await;
    assert!(refusal.contains("1 dirty key"), "{refusal}");
    if !crossfade_tests::journal_in_primary() {
        assert!(
            refusal.contains("in the journal of proxy \"b\": `crossfade repair` through that one"),
            "{refusal}"
        );
    }
    pair.stores
        .new
        .run("ALTER TABLE orders DROP CONSTRAINT short")
        .await;
    pair.b.drained().await;
    pair.both_in("dual-read").await;
    pair.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn trap_38_what_the_new_primary_lacks_comes_on_the_way_back_at_every_proxy() {
    let mut pair = Pair::in_phase("dual-read").await;
    let (old, new) = (&pair.stores.old, &pair.stores.new);
    new.run("ALTER TABLE orders ADD CONSTRAINT unlucky CHECK (total <> 13) NOT VALID")
        .await;
    for (proxy, id) in [(&pair.a, 1), (&pair.b, 2)] {
        let update = format!("UPDATE orders SET total = 13 WHERE id = {id}");
        write(proxy, &pair.stores, &update).await.unwrap();
        proxy.dirty(1).await;
    }
    pair.a.force("new-primary", "nobody sleeps tonight").await;
    pair.both_in("new-primary").await;
    new.run("ALTER TABLE orders DROP CONSTRAINT unlucky").await;
    for proxy in [&pair.a, &pair.b] {
        let said = proxy.cli(&["repair"]);
        assert!(
            said.status == 1 && said.stdout.contains("1 stale in the primary"),
            "{said:?}"
        );
        // What the other's journal has of such keys nobody knows here.
        let said = proxy.cli(&["backfill", "--reverse"]);
        assert!(
            said.status != 0 && said.stdout.contains("that the new store is stale for"),
            "{said:?}"
        );
    }
    let kept = "SELECT count(*) FROM orders WHERE total = 13 AND id < 3";
    assert_eq!(old.value(kept).await, "2");
    pair.a.flip("dual-read").await;
    pair.both_in("dual-read").await;
    pair.drained().await;
    pair.assert_equal().await;
    assert_eq!(pair.stores.new.value(kept).await, "2");
}

#[tokio::test]
pub(crate) async fn trap_38_a_compared_read_undoes_nothing_that_another_proxy_knows_to_be_newer() {
    let mut pair = Pair::in_phase("dual-read").await;
    pair.a.flip("new-primary").await;
    pair.both_in("new-primary").await;
    let (old, new) = (&pair.stores.old, &pair.stores.new);
    old.run(REFUSE).await;
    for change in [
        "UPDATE orders SET total = 13 WHERE id = 1",
        "DELETE FROM orders WHERE id = 2",
    ] {
        write(&pair.b, &pair.stores, change).await.unwrap();
    }
    pair.b.dirty(2).await;
    pair.two_keys_are_heard_of().await;
    pair.a.force("dual-read", "nobody sleeps tonight").await;
    pair.both_in("dual-read").await;
    old.run(TAKE).await;
    let client = pair.a.connect(old).await;
    for id in [1_i64, 2] {
        let read = "SELECT total::text FROM orders WHERE id = $1";
        assert_eq!(client.query(read, &[&id]).await.unwrap().len(), 1);
    }
    crossfade_tests::eventually("both reads are compared", super::SOON, async || {
        let metrics = pair.a.metrics().await;
        let compared = metrics.sum("crossfade_reads_compared_total", &[("toggle", "shop")]);
        compared.unwrap_or(0.0) > 1.5
    })
    .await;
    // Time enough for a repairer.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let seen = "SELECT concat_ws(' ', (SELECT total FROM orders WHERE id = 1), (SELECT count(*) FROM orders WHERE id = 2))";
    assert_eq!(new.value(seen).await, "13.00 0");
    pair.a
        .force("new-primary", "the reads that differ are known")
        .await;
    pair.both_in("new-primary").await;
    pair.drained().await;
    pair.assert_equal().await;
    assert_eq!(old.value(seen).await, "13.00 0");
}

#[tokio::test]
pub(crate) async fn phase_7_completes_the_tables_through_one_proxy_at_a_time() {
    let mut pair = Pair::new().await;
    pair.a.flip("dual-write").await;
    for phase in ["dual-read", "new-primary"] {
        pair.a.force(phase, "the backfill comes in phase 7").await;
    }
    pair.a.walk(&["new-writes", "backfill"]).await;
    for proxy in [&pair.a, &pair.b] {
        crossfade_tests::eventually("every table is complete", super::SOON, async || {
            let toggle = proxy.toggle("shop").await;
            let tables = toggle["tables"].as_object().cloned().unwrap_or_default();
            !tables.is_empty() && tables.values().all(|table| table["complete"] == true)
        })
        .await;
    }
    pair.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn documents_in_the_new_store() {
    let server = Mongod::start().await;
    let stores = Stores::create("").await;
    stores
        .old
        .run(&format!("{}{}", crossfade_tests::SHOP, crate::shop::SEED))
        .await;
    let config = |name: &str| {
        crossfade_tests::ConfigBuilder::new(stores.old.own(), stores.old.own())
            .new_url(&server.url("shop"))
            .section("[flips]\nmismatch_window = \"0s\"")
            .line(&format!("control = \"database\"\nproxy = \"{name}\""))
            .toggle("shop", "use-old", SHOP_TABLES)
    };
    let [mut a, b] = copied(config).await;
    for phase in [
        "dual-read",
        "new-primary",
        "dual-read",
        "new-primary",
        "new-writes",
        "backfill",
    ] {
        a.flip(phase).await;
        in_phase(&b, phase).await;
        for proxy in [&a, &b] {
            write(
                proxy,
                &stores,
                "UPDATE orders SET total = total + 1 WHERE id = 1",
            )
            .await
            .unwrap();
        }
        if phase != "new-writes" && phase != "backfill" {
            a.drained().await;
            b.drained().await;
        }
    }
    let client = b.connect(&stores.old).await;
    let total = client
        .query_one("SELECT total::text FROM orders WHERE id = 1", &[])
        .await
        .unwrap();
    assert_eq!(total.get::<_, String>(0), "13.00");
}
