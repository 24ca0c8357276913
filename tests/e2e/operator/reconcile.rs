//! `backfill`, `verify`, `repair` as commands.

use crate::shop::Shop;
use crossfade_tests::Traffic;

#[tokio::test]
async fn backfill_is_idempotent_and_verify_finds_what_differs() {
    let shop = Shop::in_phase("dual-write").await;
    shop.proxy.cli(&["backfill"]).expect(0);
    shop.assert_equal().await;
    let new = &shop.stores.new;
    new.run("UPDATE orders SET total = 999 WHERE id = 11; DELETE FROM orders WHERE id = 12")
        .await;
    new.run("INSERT INTO orders (id, customer) VALUES (777, 'only here')")
        .await;
    let said = shop.proxy.cli(&["verify"]).expect(1).stdout;
    for key in ["11", "12", "777", "total"] {
        assert!(said.contains(key), "{key} is not named: {said}");
    }
    shop.proxy.cli(&["repair"]).expect(0);
    // Whether it ends with 0 or with 1 after it repaired what it found is not the point here.
    let _ = shop.proxy.cli(&["verify", "--repair"]);
    shop.proxy.cli(&["verify"]).expect(0);
    shop.assert_equal().await;
}

#[tokio::test]
async fn one_table_alone() {
    let shop = Shop::in_phase("dual-write").await;
    shop.stores
        .new
        .run("DELETE FROM orders; DELETE FROM items")
        .await;
    shop.proxy.cli(&["backfill", "--table", "orders"]).expect(0);
    shop.stores.assert_equal(&["orders"]).await;
    shop.stores
        .new
        .becomes("SELECT count(*) FROM items", "0")
        .await;
    shop.proxy.cli(&["verify", "--table", "orders"]).expect(0);
    shop.proxy.cli(&["verify", "--table", "items"]).expect(1);
}

#[tokio::test]
async fn trap_07_and_08_backfill_beside_live_writes_and_deletes() {
    let shop = Shop::in_phase("dual-write").await;
    let (old, new) = (&shop.stores.old, &shop.stores.new);
    old.run("INSERT INTO orders (customer) SELECT 'bulk' FROM generate_series(1, 20000)")
        .await;
    let traffic = Traffic::start(&shop.proxy.endpoint(old), 4).await;
    let deleter = shop.client().await;
    let deleting = async {
        for id in (100..20_000_i64).step_by(40) {
            deleter
                .execute(
                    "DELETE FROM orders WHERE id = $1 AND customer = 'bulk'",
                    &[&id],
                )
                .await
                .unwrap();
        }
    };
    let copying = async {
        let path = shop.proxy.config_path();
        let run = move || {
            std::process::Command::new(crossfade_tests::binary())
                .arg("backfill")
                .arg("-c")
                .arg(path)
                .output()
                .unwrap()
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    };
    let (output, ()) = futures::future::join(copying, deleting).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let _ = traffic.stop().await.clean();
    shop.proxy.drained().await;
    shop.assert_equal().await;
    assert_ne!(new.value("SELECT count(*) FROM orders").await, "0");
    shop.proxy.cli(&["verify"]).expect(0);
}

#[tokio::test]
async fn the_reverse_direction() {
    let shop = Shop::in_phase("new-writes").await;
    shop.run("INSERT INTO orders (customer) VALUES ('only in the new'); UPDATE orders SET total = 60 WHERE id = 6").await;
    shop.proxy.cli(&["verify", "--reverse"]).expect(1);
    shop.proxy.cli(&["backfill", "--reverse"]).expect(0);
    // Whether it ends with 0 or with 1 after it repaired what it found is not the point here.
    let _ = shop.proxy.cli(&["verify", "--reverse", "--repair"]);
    shop.proxy.cli(&["verify", "--reverse"]).expect(0);
    shop.stores.assert_equal(&["orders"]).await;
}
