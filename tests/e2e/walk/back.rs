//! Going back.

use std::time::Duration;

use crate::shop::Shop;
use crossfade_tests::eventually;

#[tokio::test]
async fn trap_38_back_from_4_and_3_is_free_and_makes_the_new_store_untrusted() {
    let mut shop = Shop::in_phase("dual-read").await;
    shop.proxy.walk(&["dual-write", "use-old"]).await;
    shop.run("UPDATE orders SET total = 12 WHERE id = 1; INSERT INTO orders (customer) VALUES ('past the new store')").await;
    shop.proxy.flip("dual-write").await;
    let reason = shop.proxy.flip_refused("dual-read").await;
    assert!(
        reason.contains("crossfade verify"),
        "no command in: {reason}"
    );
    shop.proxy.ask("shop", "dual-write");
    shop.proxy.cli(&["backfill"]).expect(0);
    // Whether it ends with 0 or with 1 after it repaired what it found is not the point here.
    let _ = shop.proxy.cli(&["verify", "--repair"]);
    shop.proxy.cli(&["verify"]).expect(0);
    shop.proxy.flip("dual-read").await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn trap_38_five_to_four_with_everything_confirmed_in_the_old() {
    let mut shop = Shop::in_phase("new-primary").await;
    shop.run("INSERT INTO orders (customer) VALUES ('in five'); UPDATE orders SET total = 50 WHERE id = 5").await;
    shop.proxy.flip("dual-read").await;
    shop.stores
        .old
        .becomes("SELECT total FROM orders WHERE id = 5", "50.00")
        .await;
    shop.run(
        "UPDATE orders SET total = 51 WHERE id = 5; DELETE FROM orders WHERE customer = 'in five'",
    )
    .await;
    shop.assert_equal().await;
}

#[tokio::test]
pub(crate) async fn trap_38_five_to_four_with_a_dirty_key_in_the_old_is_refused() {
    let mut shop = Shop::in_phase("new-primary").await;
    shop.stores
        .old
        .run("ALTER TABLE orders ADD CONSTRAINT short CHECK (length(customer) < 20) NOT VALID")
        .await;
    shop.run("UPDATE orders SET customer = 'much too long for the old store' WHERE id = 5")
        .await;
    let reason = shop.proxy.flip_refused("dual-read").await;
    assert!(reason.contains("dirty"), "{reason}");
    shop.stores
        .old
        .run("ALTER TABLE orders DROP CONSTRAINT short")
        .await;
    shop.proxy.ask("shop", "new-primary");
    shop.proxy.drained().await;
    shop.proxy.flip("dual-read").await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn trap_38_from_6_on_back_only_after_a_reverse_reconcile() {
    let mut shop = Shop::in_phase("new-writes").await;
    shop.run("INSERT INTO orders (customer) VALUES ('only in the new'); UPDATE orders SET total = 60 WHERE id = 6; \
              DELETE FROM orders WHERE id = 7").await;
    let reason = shop.proxy.flip_refused("new-primary").await;
    assert!(reason.contains("--reverse"), "no command in: {reason}");
    assert_eq!(shop.proxy.toggle("shop").await["effective"], "new-writes");
    assert_eq!(
        shop.stores
            .old
            .value("SELECT total FROM orders WHERE id = 6")
            .await,
        "6.00",
        "the old is read-only in 6"
    );
    shop.run("UPDATE orders SET total = 61 WHERE id = 6").await;
}

#[tokio::test]
async fn eight_is_the_end_of_the_old_store() {
    let mut shop = Shop::in_phase("new-only").await;
    shop.run("INSERT INTO orders (customer) VALUES ('only in the new')")
        .await;
    for phase in ["backfill", "dual-read", "deploy-new"] {
        shop.proxy.flip_refused(phase).await;
    }
    shop.run("UPDATE orders SET total = 1 WHERE id = 1").await;
    shop.stores
        .old
        .becomes(
            "SELECT count(*) FROM orders WHERE customer = 'only in the new'",
            "0",
        )
        .await;
}

#[tokio::test]
async fn trap_27_what_was_deleted_in_6_stays_deleted_on_the_way_back_and_forth() {
    let mut shop = Shop::in_phase("new-writes").await;
    let count = "SELECT count(*) FROM items WHERE order_id = 7";
    let gone = async |shop: &Shop| assert_eq!(shop.stores.new.value(count).await, "0");
    shop.proxy.cli(&["backfill", "--reverse"]).expect(0);
    shop.proxy.cli(&["verify", "--reverse"]).expect(0);
    // Behind the verify that the step rests on.
    shop.run("DELETE FROM items WHERE order_id = 7; INSERT INTO items VALUES (7777, 1, 'late')")
        .await;
    shop.proxy.flip("new-primary").await;
    let said = shop.proxy.cli(&["status"]).expect(0).stdout;
    assert!(said.contains("the old store may lack writes"), "{said}");
    // A look, a repair and a copy: none of them brings it back, and the table stays complete.
    shop.proxy.cli(&["verify"]).expect(0);
    shop.proxy.cli(&["verify", "--repair"]).expect(0);
    shop.proxy.cli(&["backfill"]).expect(0);
    gone(&shop).await;
    shop.proxy.walk(&["new-writes", "backfill"]).await;
    shop.proxy.cli(&["backfill"]).expect(0);
    shop.proxy.cli(&["verify", "--repair"]).expect(0);
    gone(&shop).await;
    let toggle = shop.proxy.toggle("shop").await;
    assert_eq!(toggle["tables"]["public.items"]["complete"], true);
    // Back to 4, by the commands that are named.
    for phase in ["new-writes", "new-primary"] {
        let _ = shop.proxy.cli(&["verify", "--reverse", "--repair"]);
        shop.proxy.cli(&["verify", "--reverse"]).expect(0);
        shop.proxy.flip(phase).await;
    }
    let reason = shop.proxy.flip_refused("dual-read").await;
    assert!(reason.contains("--reverse"), "{reason}");
    let _ = shop.proxy.cli(&["verify", "--reverse", "--repair"]);
    let moved = async || shop.proxy.toggle("shop").await["effective"] == "dual-read";
    eventually("the toggle moves by itself", Duration::from_secs(20), moved).await;
    shop.assert_equal().await;
    gone(&shop).await;
}

/// A spell in 2 with a table that is empty in the new store: nothing in it can be stale, so the guards let it pass, but it is not known to have every row.
#[tokio::test]
async fn an_empty_table_is_complete_again_by_a_verify_and_named_at_the_flip_until_then() {
    let mut shop = Shop::in_phase("dual-read").await;
    shop.run("DELETE FROM counters").await;
    shop.proxy.drained().await;
    shop.proxy
        .walk(&["dual-write", "use-old", "dual-write"])
        .await;
    for table in ["orders", "items"] {
        shop.proxy
            .cli(&["verify", "--table", &format!("public.{table}")])
            .expect(0);
    }
    shop.proxy.flip("dual-read").await;
    let to_5 = ["phase", "shop", "new-primary", "--wait"];
    let said = shop.proxy.cli(&to_5).expect(0).stdout;
    assert!(said.contains("not complete: public.counters;"), "{said}");
    let select = "SELECT count(*) FROM counters";
    let refused = shop.client().await.batch_execute(select).await.unwrap_err();
    assert_eq!(
        refused.code().map(|code| code.code()),
        Some("0A000"),
        "{refused:?}"
    );
    shop.proxy
        .cli(&["phase", "shop", "dual-read", "--wait"])
        .expect(0);
    let said = shop.proxy.cli(&["verify", "--table", "public.counters"]);
    assert!(
        said.expect(0).stdout.contains("the table is complete"),
        "in 4 both are written"
    );
    let said = shop.proxy.cli(&to_5).expect(0).stdout;
    assert!(!said.contains("not complete"), "{said}");
    shop.run(select).await;
    shop.run("INSERT INTO counters (name) VALUES ('in five')")
        .await;
    shop.assert_equal().await;
}
