//! Transactions that go into the secondary together (docs/decision/15).

use std::time::Duration;

use crossfade_tests::eventually;
use futures::future::join_all;

use crate::shop::Shop;

const CLIENTS: usize = 8;
const ROUNDS: usize = 40;

/// One row in this many is not to the taste of somebody.
const BAD: usize = 10;

/// Every client inserts rows of its own, all at once.
async fn insert(shop: &Shop, sql: impl Fn(usize) -> String) -> usize {
    let clients = join_all((0..CLIENTS).map(|_| shop.client())).await;
    let work = join_all(clients.iter().enumerate().map(async |(number, client)| {
        let mut failed = 0;
        for round in 0..ROUNDS {
            let id = 1000 + number * ROUNDS + round;
            failed += usize::from(client.batch_execute(&sql(id)).await.is_err());
        }
        failed
    }));
    work.await.into_iter().sum()
}

#[tokio::test]
async fn trap_11_one_refused_row_spoils_no_other_of_its_group() {
    let shop = Shop::in_phase("dual-write").await;
    shop.stores
        .new
        .run("ALTER TABLE orders ADD CONSTRAINT taste CHECK (customer <> 'bad') NOT VALID")
        .await;
    let failed = insert(&shop, |id| {
        let customer = if id % BAD == 0 { "bad" } else { "good" };
        format!("INSERT INTO orders (id, customer) VALUES ({id}, '{customer}')")
    })
    .await;
    assert_eq!(failed, 0, "the client hears nothing of it");
    let bad = CLIENTS * ROUNDS / BAD;
    shop.proxy.dirty(u64::try_from(bad).unwrap()).await;
    shop.stores
        .new
        .becomes(
            "SELECT count(*) FROM orders WHERE id >= 1000",
            &(CLIENTS * ROUNDS - bad).to_string(),
        )
        .await;
}

#[tokio::test]
async fn trap_11_one_commit_that_the_primary_refuses_loses_no_other_of_its_group() {
    const SCHEMA: &str = "CREATE TABLE pairs (id int PRIMARY KEY, mate int);";
    const DEFERRED: &str = "ALTER TABLE pairs ADD CONSTRAINT mates FOREIGN KEY (mate) REFERENCES pairs DEFERRABLE INITIALLY DEFERRED;";
    let shop = Shop::with(
        "dual-write",
        &format!("{SCHEMA}{DEFERRED}"),
        SCHEMA,
        "[toggle.shop.table.pairs]\n",
        "INSERT INTO pairs VALUES (1, 1)",
        |c| c,
    )
    .await;
    let failed = insert(&shop, |id| {
        let mate = if id % BAD == 0 { 99 } else { id };
        format!("INSERT INTO pairs VALUES ({id}, {mate})")
    })
    .await;
    assert_eq!(failed, CLIENTS * ROUNDS / BAD);
    // Whoever was in a group with one that failed is repaired.
    shop.proxy.drained().await;
    shop.stores.assert_equal(&["pairs"]).await;
}

#[tokio::test]
async fn a_group_that_waits_for_a_lock_does_not_stop_the_others() {
    let shop = Shop::in_phase("dual-write").await;
    let holder = shop.stores.new.direct().connect().await;
    holder
        .batch_execute("BEGIN; SELECT FROM orders WHERE id = 1 FOR UPDATE")
        .await
        .unwrap();
    let (slow, quick) = (shop.client().await, shop.client().await);
    let blocked = async {
        slow.batch_execute("UPDATE orders SET total = 1 WHERE id = 1")
            .await
            .unwrap();
    };
    let others = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let began = std::time::Instant::now();
        for id in 2..12 {
            quick
                .batch_execute(&format!("UPDATE orders SET total = 1 WHERE id = {id}"))
                .await
                .unwrap();
        }
        began.elapsed()
    };
    let ((), took) = tokio::join!(blocked, others);
    assert!(
        took < Duration::from_millis(400),
        "the others took {took:?}"
    );
    holder.batch_execute("ROLLBACK").await.unwrap();
    shop.proxy.drained().await;
    shop.assert_equal().await;
}

#[tokio::test]
async fn a_commit_that_no_other_follows_does_not_linger() {
    let shop = Shop::in_phase("dual-write").await;
    let client = shop.client().await;
    client
        .batch_execute("UPDATE orders SET total = 7 WHERE id = 1")
        .await
        .unwrap();
    let committed = async || {
        shop.stores
            .new
            .value("SELECT total FROM orders WHERE id = 1")
            .await
            == "7.00"
    };
    eventually("it is committed", Duration::from_millis(500), committed).await;
}
