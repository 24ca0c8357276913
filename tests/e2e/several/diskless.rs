//! Proxies that have no disk: their journals are in the primary, and so is all that they share.

use std::time::Duration;

use crossfade_tests::{
    ConfigBuilder, InPrimary, Postgres, Proxy, SHOP, SHOP_TABLES, Stores, eventually,
};

use super::{Pair, SOON, in_phase, write};

/// The new store refuses one value, so that a key stays dirty for as long as this is there.
const REFUSE: &str = "ALTER TABLE orders ADD CONSTRAINT unlucky CHECK (total <> 13) NOT VALID";
const TAKE: &str = "ALTER TABLE orders DROP CONSTRAINT unlucky";
const DIRTY: &str = "SELECT count(*) FROM crossfade.journal_dirty";
/// Until a proxy that says nothing may be forgotten.
const SILENT: Duration = Duration::from_secs(8);

fn refused(id: u32) -> String {
    format!("UPDATE orders SET total = 13 WHERE id = {id}")
}

/// Two proxies in phase 3 or 4, each with a key that the new store refuses.
async fn with_dirty_keys(phase: &str) -> Pair {
    let pair = Pair::in_phase(phase).await;
    pair.stores.new.run(REFUSE).await;
    for (proxy, id) in [(&pair.a, 1), (&pair.b, 2)] {
        write(proxy, &pair.stores, &refused(id)).await.unwrap();
        proxy.dirty(1).await;
    }
    pair.stores.old.becomes(DIRTY, "2").await;
    eventually("each knows how many the other has", SOON, async || {
        let (a, b) = (pair.a.toggle("shop").await, pair.b.toggle("shop").await);
        [a, b].iter().all(|toggle| {
            let proxies = toggle["proxies"].as_array().unwrap();
            proxies.iter().all(|proxy| proxy["dirty_keys"] == 1)
        })
    })
    .await;
    pair
}

#[tokio::test]
async fn trap_03_one_that_is_gone_for_good_leaves_its_dirty_keys_to_the_others() {
    let _form = InPrimary::begin();
    let mut pair = with_dirty_keys("dual-write").await;
    assert!(!pair.b.state_dir().exists(), "nothing was put on a disk");
    pair.b.kill9();
    let refusal = pair.a.flip_refused("dual-read").await;
    assert!(refusal.contains("2 dirty keys"), "{refusal}");
    tokio::time::sleep(SILENT).await;
    pair.a
        .cli(&["forget", "b", "--because", "its machine burnt"])
        .expect(0);
    pair.a.dirty(2).await;
    // Until now it may have been refused for the other's silence.
    eventually("the guard counts its keys", SOON, async || {
        let toggle = pair.a.toggle("shop").await;
        let why = toggle["refusal"].as_str();
        why.is_some_and(|why| why.contains("2 dirty keys"))
    })
    .await;
    pair.stores.new.run(TAKE).await;
    pair.a.cli(&["repair"]).expect(0);
    // No table has lost anybody's trust.
    in_phase(&pair.a, "dual-read").await;
    pair.a.drained().await;
    pair.assert_equal().await;
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn trap_03_one_that_dies_between_the_two_commits_leaves_its_intent_to_the_others() {
    let _form = InPrimary::begin();
    let mut pair = Pair::in_phase("dual-write").await;
    pair.b.arm("primary-committed").await;
    let _lost = write(
        &pair.b,
        &pair.stores,
        "UPDATE orders SET total = 77 WHERE id = 7",
    )
    .await;
    assert!(pair.b.crashed(SOON).await);
    pair.stores
        .old
        .becomes("SELECT total FROM orders WHERE id = 7", "77.00")
        .await;
    tokio::time::sleep(SILENT).await;
    pair.a
        .cli(&["forget", "b", "--because", "its machine burnt"])
        .expect(0);
    pair.a.flip("dual-read").await;
    pair.assert_equal().await;
}

#[tokio::test]
async fn one_that_restarts_finds_its_rows_again() {
    let _form = InPrimary::begin();
    let mut pair = with_dirty_keys("dual-write").await;
    pair.b.kill9();
    pair.b.restart().await;
    pair.b.dirty(1).await;
    pair.a.dirty(1).await;
    let said = pair
        .a
        .cli(&["verify", "--table", "orders"])
        .expect(1)
        .stdout;
    assert!(said.contains("0 differ, 2 wait for repair"), "{said}");
    let proxies = pair.a.toggle("shop").await["proxies"].clone();
    assert_eq!(proxies.as_array().map(Vec::len), Some(2), "{proxies}");
    pair.stores.new.run(TAKE).await;
    pair.drained().await;
    pair.a.flip("dual-read").await;
    pair.both_in("dual-read").await;
    pair.assert_equal().await;
}

#[tokio::test]
async fn one_that_ends_in_order_leaves_its_dirty_keys_to_the_others() {
    let _form = InPrimary::begin();
    let mut pair = with_dirty_keys("dual-write").await;
    assert_eq!(pair.b.stop(), Some(0));
    eventually("the other one has its key", SOON, async || {
        pair.a.dirty_keys().await == 2
    })
    .await;
    let proxies = pair.a.toggle("shop").await["proxies"].clone();
    assert_eq!(proxies.as_array().map(Vec::len), Some(1), "{proxies}");
    pair.stores.new.run(TAKE).await;
    pair.a.drained().await;
    pair.a.flip("dual-read").await;
    pair.assert_equal().await;
}

#[tokio::test]
async fn a_verify_through_one_knows_what_the_other_has_to_repair() {
    let _form = InPrimary::begin();
    let pair = with_dirty_keys("dual-read").await;
    for proxy in [&pair.a, &pair.b] {
        let said = proxy.cli(&["verify", "--table", "orders"]).expect(1).stdout;
        assert!(said.contains("0 differ, 2 wait for repair"), "{said}");
        // Nor is a compared read of the other's key a mismatch.
        let client = proxy.connect(&pair.stores.old).await;
        for id in [1, 2] {
            let read = format!("SELECT total FROM orders WHERE id = {id}");
            client.query_one(&read, &[]).await.unwrap();
        }
    }
    // A difference that nobody knows is one.
    pair.stores
        .new
        .run("UPDATE orders SET customer = 'another' WHERE id = 3")
        .await;
    let said = pair
        .b
        .cli(&["verify", "--table", "orders"])
        .expect(1)
        .stdout;
    assert!(
        said.contains("1 differ") && said.contains("customer"),
        "{said}"
    );
    for proxy in [&pair.a, &pair.b] {
        let mismatches = proxy
            .metrics()
            .await
            .sum("crossfade_read_mismatches_total", &[]);
        assert!(
            mismatches.is_none_or(|count| count == 0.0),
            "{mismatches:?}"
        );
    }
}

#[tokio::test]
async fn keys_that_are_dirty_at_both_move_along_with_a_forced_move_of_the_primary() {
    let _form = InPrimary::begin();
    let mut pair = with_dirty_keys("dual-read").await;
    let (old, new) = (&pair.stores.old, &pair.stores.new);
    pair.a.force("new-primary", "a test").await;
    pair.both_in("new-primary").await;
    new.becomes(DIRTY, "2").await;
    old.becomes(DIRTY, "0").await;
    for proxy in [&mut pair.a, &mut pair.b] {
        proxy.kill9();
        proxy.restart().await;
        proxy.dirty(1).await;
    }
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn trap_37_a_flipper_that_is_killed_leaves_every_dirty_key_where_the_primary_is() {
    for (point, phase) in [
        ("flip-ready", "dual-read"),
        ("flip-recorded", "new-primary"),
    ] {
        let _form = InPrimary::begin();
        let mut pair = with_dirty_keys("dual-read").await;
        pair.a.arm(point).await;
        pair.both_in("dual-read").await;
        pair.a.dirty(1).await;
        let _broken = pair
            .a
            .cli(&["phase", "shop", "new-primary", "--because", "a test"]);
        assert!(pair.a.crashed(SOON).await, "{point}");
        eventually("the other one is where the record is", SOON, async || {
            let toggle = pair.b.toggle("shop").await;
            toggle["published"] == phase && toggle["barrier"] == false
        })
        .await;
        // It dies, too, before it can tell anybody what it knows.
        pair.b.kill9();
        pair.a.restart().await;
        pair.b.restart().await;
        in_phase(&pair.a, phase).await;
        in_phase(&pair.b, phase).await;
        pair.a.dirty(1).await;
        pair.b.dirty(1).await;
        if phase == "dual-read" {
            pair.stores.new.run(TAKE).await;
            pair.drained().await;
            pair.assert_equal().await;
        }
    }
}

#[tokio::test]
async fn a_second_one_of_the_same_name_is_refused() {
    let _form = InPrimary::begin();
    let pair = Pair::in_phase("dual-write").await;
    let twin = Proxy::new(super::config(&pair.stores, "b"));
    let refused = twin.cli(&["serve"]);
    assert!(
        refused.status != 0 && refused.stderr.contains("another proxy is called \"b\""),
        "{refused:?}"
    );
    write(
        &pair.b,
        &pair.stores,
        "UPDATE orders SET total = 1 WHERE id = 1",
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn one_with_its_journal_on_a_disk_is_refused_among_those_without() {
    let stores: Stores;
    let pair = {
        let _form = InPrimary::begin();
        let pair = Pair::in_phase("dual-write").await;
        stores = pair.stores;
        (pair.a, pair.b)
    };
    let other = Proxy::new(super::config(&stores, "c"));
    let refused = other.cli(&["serve"]);
    assert!(
        refused.status != 0 && refused.stderr.contains("the same journal"),
        "{refused:?}"
    );
    drop(pair);
}

#[tokio::test]
async fn a_start_needs_the_primary_alone() {
    let _form = InPrimary::begin();
    let mut servers = [Postgres::start(), Postgres::start()];
    let [old, new] = [servers[0].database("old"), servers[1].database("new")];
    for store in [&old, &new] {
        store.run(SHOP).await;
    }
    let config = ConfigBuilder::new(old.own(), new.own())
        .section("[flips]\nmismatch_window = \"0s\"")
        .line("control = \"database\"\nproxy = \"a\"")
        .toggle("shop", "use-old", SHOP_TABLES)
        .without_disk();
    let mut proxy = Proxy::start(config).await;
    proxy.flip("dual-write").await;
    proxy.cli(&["backfill"]).expect(0);
    proxy.cli(&["verify"]).expect(0);
    // The secondary is down.
    servers[1].kill9();
    proxy.kill9();
    proxy.restart().await;
    let insert = "INSERT INTO counters VALUES ('beside a secondary that is down')";
    proxy
        .connect(&old)
        .await
        .batch_execute(insert)
        .await
        .unwrap();
    proxy.dirty(1).await;
    servers[1].restart();
    proxy.drained().await;
    proxy
        .walk(&[
            "dual-read",
            "new-primary",
            "new-writes",
            "backfill",
            "new-only",
        ])
        .await;
    // The old store is switched off.
    servers[0].kill9();
    proxy.kill9();
    proxy.restart().await;
    let client = proxy.connect(&old).await;
    let rows = client
        .query("SELECT name FROM counters", &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn trap_37_one_that_restarts_while_the_gates_are_closed_loses_no_key() {
    let _form = InPrimary::begin();
    let mut pair = with_dirty_keys("dual-read").await;
    let open = pair.a.connect(&pair.stores.old).await;
    open.batch_execute("BEGIN; UPDATE orders SET total = 5 WHERE id = 5")
        .await
        .unwrap();
    let asked = pair
        .a
        .cli(&["phase", "shop", "new-primary", "--because", "a test"]);
    asked.expect(0);
    eventually("the gates are closed", SOON, async || {
        pair.b.toggle("shop").await["barrier"] == true
    })
    .await;
    // It has answered by now, or is about to.
    tokio::time::sleep(Duration::from_millis(200)).await;
    pair.b.kill9();
    pair.b.restart().await;
    open.batch_execute("COMMIT").await.unwrap();
    pair.both_in("new-primary").await;
    pair.a.dirty(1).await;
    pair.b.dirty(1).await;
    // What the earlier run had carried is taken over once more, later on.
    let keys = "SELECT count(DISTINCT (table_name, key)) FROM crossfade.journal_dirty";
    pair.stores.new.becomes(keys, "2").await;
}
