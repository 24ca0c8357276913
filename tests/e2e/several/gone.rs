//! Proxies that are frozen, killed, ended, forgotten, and that come back.

use std::time::Duration;

use crossfade_tests::{eventually, journal_in_primary, within};

use super::{Pair, REFUSE, SOON, TAKE, in_phase, write};

#[tokio::test]
pub(crate) async fn a_frozen_proxy_holds_up_the_flip_and_no_client() {
    let mut pair = Pair::in_phase("dual-read").await;
    pair.b.freeze();
    pair.a.ask("shop", "new-primary");
    let client = pair.a.connect(&pair.stores.old).await;
    for id in 1..20 {
        let sql = format!("UPDATE orders SET total = 7 WHERE id = {id}");
        within(
            1,
            "a write beside a flip that is not called yet",
            client.batch_execute(&sql),
        )
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(pair.a.toggle("shop").await["published"], "dual-read");
    pair.b.thaw();
    pair.both_in("new-primary").await;
    write(
        &pair.b,
        &pair.stores,
        "UPDATE orders SET total = 8 WHERE id = 1",
    )
    .await
    .unwrap();
    pair.drained().await;
    pair.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn trap_40_a_restart_with_an_older_file_follows_the_others() {
    let mut pair = Pair::in_phase("dual-read").await;
    pair.b.kill9();
    // A step back is free, and what the killed one still ran is over with it: it counts when it is back.
    pair.a.ask("shop", "dual-write");
    eventually("the step is published", SOON, async || {
        pair.a.toggle("shop").await["published"] == "dual-write"
    })
    .await;
    assert_eq!(pair.a.toggle("shop").await["effective"], "dual-read");
    for file in ["deploy-new", "dual-read", "new-only"] {
        pair.b.kill9();
        pair.b.ask("shop", file);
        pair.b.restart().await;
        pair.both_in("dual-write").await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(
            pair.b.toggle("shop").await["wanted"],
            "dual-write",
            "{file}"
        );
        assert!(pair.b.log().contains("which is no wish to move on a start"));
    }
    // Asked for, it is one. What the killed one may have had open passes by itself.
    pair.a.ask("shop", "dual-read");
    pair.both_in("dual-read").await;
    pair.b
        .cli(&["phase", "shop", "dual-write", "--wait"])
        .expect(0);
    pair.both_in("dual-write").await;
    pair.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn trap_03_a_killed_proxy_blocks_what_needs_its_journal_until_it_is_back() {
    let mut pair = Pair::in_phase("dual-write").await;
    pair.b.kill9();
    eventually("it is missed", SOON, async || {
        let proxies = pair.a.toggle("shop").await["proxies"].clone();
        proxies[1]["heard_ms_ago"]
            .as_u64()
            .is_some_and(|ms| ms > 5_000)
    })
    .await;
    let refusal = pair.a.flip_refused("dual-read").await;
    assert!(
        refusal.contains("proxy \"b\" has not been heard of")
            && refusal.contains("crossfade forget b"),
        "{refusal}"
    );
    pair.b.restart().await;
    pair.both_in("dual-read").await;
}

#[tokio::test]
pub(crate) async fn one_that_is_ended_in_order_counts_no_more() {
    let mut pair = Pair::in_phase("dual-read").await;
    assert_eq!(pair.b.stop(), Some(0));
    pair.a.flip("new-primary").await;
    let proxies = pair.a.toggle("shop").await["proxies"].clone();
    assert_eq!(proxies.as_array().map(Vec::len), Some(1), "{proxies}");
    pair.b.restart().await;
    in_phase(&pair.b, "new-primary").await;
    write(
        &pair.b,
        &pair.stores,
        "UPDATE orders SET total = 4 WHERE id = 4",
    )
    .await
    .unwrap();
    pair.drained().await;
    pair.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn a_forgotten_proxy_leaves_tables_to_verify_and_may_come_back() {
    if journal_in_primary() {
        // Then it leaves its keys to the others, and no table to verify.
        return;
    }
    let mut pair = Pair::in_phase("dual-write").await;
    let alive = pair.a.cli(&["forget", "b", "--because", "a test"]);
    assert!(
        alive.status != 0 && alive.stderr.contains("was heard of"),
        "{alive:?}"
    );
    pair.b.freeze();
    tokio::time::sleep(Duration::from_secs(8)).await;
    pair.a
        .cli(&["forget", "b", "--because", "its disk burnt"])
        .expect(0);
    let refusal = pair.a.flip_refused("dual-read").await;
    assert!(refusal.contains("crossfade verify"), "{refusal}");
    pair.a.cli(&["verify"]).expect(0);
    in_phase(&pair.a, "dual-read").await;
    pair.a.flip("new-primary").await;
    // It was only frozen: it notices, and is brought to where the others are before it serves.
    pair.b.thaw();
    in_phase(&pair.b, "new-primary").await;
    write(
        &pair.b,
        &pair.stores,
        "UPDATE orders SET total = 9 WHERE id = 9",
    )
    .await
    .unwrap();
    pair.both_in("new-primary").await;
    pair.drained().await;
    pair.assert_equal().await;
}

/// Two proxies in 4, of which one has two dirty keys that only its journal knows: an update and a delete.
async fn with_two_keys_at_b() -> Pair {
    let pair = Pair::in_phase("dual-read").await;
    pair.stores.new.run(REFUSE).await;
    for change in [
        "UPDATE orders SET total = 13 WHERE id = 1",
        "DELETE FROM orders WHERE id = 2",
    ] {
        write(&pair.b, &pair.stores, change).await.unwrap();
    }
    pair.b.dirty(2).await;
    pair
}

/// Ends the second proxy for good.
async fn without_b(pair: &mut Pair) {
    pair.b.kill9();
    tokio::time::sleep(Duration::from_secs(8)).await;
    pair.a
        .cli(&["forget", "b", "--because", "its machine is gone"])
        .expect(0);
}

/// By the two changes.
const SEEN: &str = "SELECT concat_ws(' ', (SELECT total FROM orders WHERE id = 1), (SELECT count(*) FROM orders WHERE id = 2))";

#[tokio::test]
pub(crate) async fn trap_38_what_only_a_forgotten_journal_knew_to_be_newer_is_not_overwritten() {
    if journal_in_primary() {
        return;
    }
    let mut pair = with_two_keys_at_b().await;
    pair.two_keys_are_heard_of().await;
    pair.a.force("new-primary", "nobody sleeps tonight").await;
    pair.both_in("new-primary").await;
    pair.stores.new.run(TAKE).await;
    without_b(&mut pair).await;
    let status = pair.a.cli(&["status"]).expect(0).stdout;
    assert!(
        status.contains("which had 2 keys that the new store is stale for"),
        "{status}"
    );
    let refusal = pair.a.flip_refused("dual-read").await;
    assert!(refusal.contains("without the old store"), "{refusal}");
    pair.a.ask("shop", "new-primary");
    for command in [
        &["verify", "--reverse", "--repair"][..],
        &["backfill", "--reverse"],
        &["repair"],
    ] {
        let said = pair.a.cli(command);
        if command[0] != "repair" {
            let text = format!("{}{}", said.stdout, said.stderr);
            assert!(
                said.status != 0 && text.contains("forgotten with 2 keys"),
                "{said:?}"
            );
            assert!(text.contains("crossfade phase shop dual-read"), "{text}");
        }
        assert_eq!(pair.stores.old.value(SEEN).await, "13.00 0");
    }
    let refusal = pair.a.flip_refused("new-writes").await;
    assert!(
        refusal.contains("2 dirty keys") && refusal.contains("gives them up"),
        "{refusal}"
    );
    pair.a.ask("shop", "new-primary");
    // The way that it names.
    pair.a.force("dual-read", "the old store has them").await;
    let refusal = pair.a.flip_refused("new-primary").await;
    assert!(refusal.contains("crossfade verify"), "{refusal}");
    pair.a.ask("shop", "dual-read");
    pair.a.cli(&["verify", "--repair"]).expect(0);
    pair.assert_equal().await;
    assert_eq!(pair.stores.new.value(SEEN).await, "13.00 0");
    pair.a.walk(&["new-primary", "new-writes"]).await;
}

#[tokio::test]
pub(crate) async fn trap_38_a_forgotten_proxy_that_comes_back_revives_no_key_of_its_journal() {
    if journal_in_primary() {
        return;
    }
    let mut pair = with_two_keys_at_b().await;
    // Before the store takes them: the repairer of that proxy is to have no chance.
    without_b(&mut pair).await;
    pair.stores.new.run(TAKE).await;
    pair.a.cli(&["verify", "--repair"]).expect(0);
    pair.a.flip("new-primary").await;
    pair.b.restart().await;
    in_phase(&pair.b, "new-primary").await;
    let status = pair.b.cli(&["status"]).expect(0).stdout;
    assert!(!status.contains("stale in the primary"), "{status}");
    pair.b.drained().await;
    pair.a.flip("new-writes").await;
    pair.both_in("new-writes").await;
    let change = "UPDATE orders SET total = 99 WHERE id = 1";
    write(&pair.a, &pair.stores, change).await.unwrap();
    for phase in ["new-primary", "dual-read"] {
        pair.a.cli(&["repair", "--reverse"]).expect(0);
        pair.a.cli(&["verify", "--reverse", "--repair"]).expect(0);
        pair.a.flip(phase).await;
        pair.both_in(phase).await;
    }
    // Time enough for a repairer.
    tokio::time::sleep(Duration::from_secs(1)).await;
    pair.drained().await;
    pair.assert_equal().await;
    assert_eq!(pair.stores.old.value(SEEN).await, "99.00 0");
}

#[cfg(debug_assertions)]
#[tokio::test]
pub(crate) async fn trap_37_a_flipper_that_is_killed_leaves_one_primary() {
    for (point, phase) in [
        ("flip-ready", "dual-read"),
        ("flip-recorded", "new-primary"),
    ] {
        let mut pair = Pair::in_phase("dual-read").await;
        pair.a.arm(point).await;
        pair.both_in("dual-read").await;
        let client = pair.b.connect(&pair.stores.old).await;
        pair.a.ask("shop", "new-primary");
        assert!(pair.a.crashed(SOON).await, "{point}");
        // In the barrier clients wait until somebody calls it off.
        within(
            15,
            "a write at the other one",
            client.batch_execute("UPDATE orders SET total = 5 WHERE id = 5"),
        )
        .await
        .unwrap();
        assert_eq!(pair.b.toggle("shop").await["published"], phase, "{point}");
        pair.a.restart().await;
        pair.both_in(phase).await;
        for proxy in [&pair.a, &pair.b] {
            write(
                proxy,
                &pair.stores,
                "UPDATE orders SET total = total + 1 WHERE id = 6",
            )
            .await
            .unwrap();
        }
        pair.drained().await;
        pair.assert_equal().await;
    }
}
