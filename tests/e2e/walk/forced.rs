//! Moves of the primary that an operator forces while keys are dirty, and the way back from them.

use std::time::Duration;

use crate::shop::Shop;
use crossfade_tests::{Database, eventually};
use tokio::time::sleep;

/// Makes a store refuse every change of `orders`, as a secondary too.
const REFUSE: &str = "
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE orders ENABLE ALWAYS TRIGGER refuse;";
const TAKE: &str = "DROP TRIGGER refuse ON orders; DROP FUNCTION refuse";
/// What clients were told has happened: a row came, one changed, one went.
const WRITES: [&str; 3] = [
    "INSERT INTO orders (customer) VALUES ('acknowledged')",
    "UPDATE orders SET total = 99 WHERE id = 9",
    "DELETE FROM orders WHERE id = 10",
];
/// By it.
const SEEN: &str = "SELECT concat_ws(' ', (SELECT count(*) FROM orders WHERE customer = 'acknowledged'), (SELECT total FROM orders WHERE id = 9), \
                    (SELECT count(*) FROM orders WHERE id = 10))";
const WRITTEN: &str = "1 99.00 0";
const UNWRITTEN: &str = "0 9.00 1";

/// A shop that was forced out of `from` while the three keys were dirty in what is the primary now.
async fn forced(from: &str, to: &str) -> Shop {
    let mut shop = Shop::in_phase(from).await;
    let missed = on(&shop, to);
    missed.run(REFUSE).await;
    for write in WRITES {
        shop.run(write).await;
    }
    shop.proxy.dirty(3).await;
    let reason = shop.proxy.flip_refused(to).await;
    assert!(reason.contains("3 dirty keys"), "{reason}");
    shop.proxy.ask("shop", from);
    shop.proxy.force(to, "nobody sleeps tonight").await;
    on(&shop, to).run(TAKE).await;
    shop
}

/// The store that is the primary in a phase.
fn on<'a>(shop: &'a Shop, phase: &str) -> &'a Database {
    match phase {
        "dual-read" => &shop.stores.old,
        _new_primary => &shop.stores.new,
    }
}

/// Repairs, copies and verifies whatever can be, and finds both stores as they were.
async fn nothing_undoes_it(shop: &Shop, here: &str, back: &str) {
    let reverse: &[&str] = match here {
        "dual-read" => &[],
        _new_primary => &["--reverse"],
    };
    let next = format!("crossfade phase shop {back}");
    for command in [&["repair"][..], &["verify", "--repair"], &["backfill"]] {
        let command = [command, reverse].concat();
        let said = shop.proxy.cli(&command);
        assert_eq!(said.status, 1, "{command:?}: {said:?}");
        if command[0] == "repair" {
            assert!(
                said.stdout.contains("3 stale in the primary") && said.stdout.contains(&next),
                "{said:?}"
            );
        }
    }
    let status = shop.proxy.cli(&["status"]).expect(0).stdout;
    assert!(
        status.contains("3 of them stale in the primary") && status.contains(&next),
        "{status}"
    );
    let toggle = shop.proxy.toggle("shop").await;
    let table = &toggle["tables"]["public.orders"];
    assert_eq!(
        (&table["dirty_keys"], &table["stale_in_primary"]),
        (&3.into(), &3.into()),
        "{table}"
    );
    assert_eq!(on(shop, back).value(SEEN).await, WRITTEN);
    assert_eq!(on(shop, here).value(SEEN).await, UNWRITTEN);
}

/// A step to where one of the stores is written no more, which has newer rows.
async fn refused_as_newer_beside(shop: &mut Shop, to: &str, side: &str) {
    let here = shop.proxy.toggle("shop").await["published"].clone();
    let reason = shop.proxy.flip_refused(to).await;
    let said = format!("the newer rows may be in the {side} one");
    assert!(
        reason.contains("3 dirty keys") && reason.contains(&said),
        "{reason}"
    );
    shop.proxy.ask("shop", here.as_str().unwrap_or_default());
    let given_up = async || shop.proxy.toggle("shop").await["refusal"].is_null();
    eventually("the wish is given up", Duration::from_secs(10), given_up).await;
}

async fn back_without_loss(shop: &mut Shop, to: &str) {
    shop.run("UPDATE orders SET total = 1 WHERE id = 1").await;
    shop.proxy.flip(to).await;
    shop.proxy.drained().await;
    shop.assert_equal().await;
    assert_eq!(shop.stores.old.value(SEEN).await, WRITTEN);
    assert_eq!(shop.stores.new.value(SEEN).await, WRITTEN);
}

#[tokio::test]
pub(crate) async fn trap_38_what_the_new_primary_lacks_comes_on_the_way_back_to_4() {
    let mut shop = forced("dual-read", "new-primary").await;
    nothing_undoes_it(&shop, "new-primary", "dual-read").await;
    back_without_loss(&mut shop, "dual-read").await;
    shop.proxy.flip("new-primary").await;
}

#[tokio::test]
pub(crate) async fn trap_38_what_the_new_primary_lacks_keeps_the_old_store_and_comes_on_the_way_back_from_7()
 {
    let mut shop = forced("dual-read", "new-primary").await;
    refused_as_newer_beside(&mut shop, "new-writes", "old").await;
    shop.proxy
        .force("new-writes", "nobody writes those rows there")
        .await;
    shop.proxy.flip("backfill").await;
    let reason = shop.proxy.flip_refused("new-only").await;
    assert!(
        reason.contains("3 dirty keys that are stale in the new store"),
        "{reason}"
    );
    shop.proxy.ask("shop", "backfill");
    shop.run("UPDATE orders SET total = 2 WHERE id = 2").await;
    for phase in ["new-writes", "new-primary", "dual-read"] {
        let said = shop.proxy.cli(&["repair", "--reverse"]);
        assert!(
            said.status == 1
                && said
                    .stdout
                    .contains(&format!("crossfade phase shop {phase}")),
            "{said:?}"
        );
        let said = shop.proxy.cli(&["verify", "--reverse", "--repair"]);
        assert!(
            said.status == 1
                && said
                    .stdout
                    .contains("3 stale where they would be repaired from"),
            "{said:?}"
        );
        assert_eq!(shop.stores.old.value(SEEN).await, WRITTEN);
        shop.proxy.flip(phase).await;
    }
    shop.proxy.drained().await;
    shop.assert_equal().await;
    assert_eq!(shop.stores.new.value(SEEN).await, WRITTEN);
}

#[tokio::test]
pub(crate) async fn trap_38_what_a_step_from_4_to_6_gives_up_is_said_first() {
    let mut shop = Shop::in_phase("dual-read").await;
    shop.stores.new.run(REFUSE).await;
    for write in WRITES {
        shop.run(write).await;
    }
    shop.proxy.dirty(3).await;
    refused_as_newer_beside(&mut shop, "new-writes", "old").await;
    shop.stores.new.run(TAKE).await;
    shop.proxy.drained().await;
    shop.proxy.flip("new-writes").await;
}

#[tokio::test]
pub(crate) async fn trap_38_what_the_old_primary_lacks_comes_on_the_way_forward_to_5() {
    let mut shop = forced("new-primary", "dual-read").await;
    nothing_undoes_it(&shop, "dual-read", "new-primary").await;
    // Also by way of 3: the new store has every write. Not by way of 2, where it has none.
    shop.proxy.flip("dual-write").await;
    for phase in ["use-old", "deploy-new"] {
        refused_as_newer_beside(&mut shop, phase, "new").await;
    }
    shop.proxy.flip("dual-read").await;
    refused_as_newer_beside(&mut shop, "use-old", "new").await;
    back_without_loss(&mut shop, "new-primary").await;
    shop.proxy.flip("dual-read").await;
}

#[tokio::test]
pub(crate) async fn a_key_that_is_stale_in_both_stores_is_an_operators_to_decide() {
    let mut shop = forced("dual-read", "new-primary").await;
    // On top of the row that lacks the write of 4.
    shop.stores.old.run(REFUSE).await;
    shop.run("UPDATE orders SET customer = 'of 5' WHERE id = 9")
        .await;
    let both = async || {
        let toggle = shop.proxy.toggle("shop").await;
        toggle["tables"]["public.orders"]["stale_in_both"] == 1
    };
    eventually("it is dirty", Duration::from_secs(10), both).await;
    shop.stores.old.run(TAKE).await;
    // Time enough for the repairer.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(shop.stores.old.value(SEEN).await, WRITTEN);
    let status = shop.proxy.cli(&["status"]).expect(0).stdout;
    assert!(
        status.contains("2 of them stale in the primary")
            && status.contains("1 of them stale in both stores"),
        "{status}"
    );
    let reason = shop.proxy.flip_refused("dual-read").await;
    assert!(
        reason.contains("1 dirty key that is stale in both stores")
            && reason.contains("crossfade repair"),
        "{reason}"
    );
    shop.proxy.ask("shop", "new-primary");
    // The decision: the primary's row counts. The two others are left.
    let said = shop.proxy.cli(&["repair"]);
    assert!(
        said.status == 1
            && said.stdout.contains("1 written")
            && said.stdout.contains("2 stale in the primary"),
        "{said:?}"
    );
    shop.proxy.flip("dual-read").await;
    shop.proxy.drained().await;
    shop.assert_equal().await;
    let row = "SELECT concat_ws(' ', customer, total) FROM orders WHERE id = 9";
    assert_eq!(shop.stores.old.value(row).await, "of 5 9.00");
}
