//! Explicit transactions, savepoints, and their ends.

use crate::shop::Shop;
use crossfade_tests::{eventually, look_until};
use std::time::Duration;

/// Orders of customers whose name begins with `prefix`, in the old store and in the new.
async fn both(shop: &Shop, prefix: &str) -> (String, String) {
    let sql = format!(
        "SELECT coalesce(string_agg(customer, ',' ORDER BY id), '') FROM orders WHERE customer LIKE '{prefix}%'"
    );
    let read = async || {
        let (old, new) = (&shop.stores.old, &shop.stores.new);
        (old.value(&sql).await, new.value(&sql).await)
    };
    // The secondary follows the primary, whichever of the two it is.
    look_until(Duration::from_secs(2), read, |(old, new)| old == new).await
}

in_dual_phases!(a_rollback_reaches_neither_store, async |shop: &Shop| {
    shop.run("BEGIN; INSERT INTO orders (customer) VALUES ('gone'); UPDATE orders SET total = 0; ROLLBACK").await;
    shop.run("BEGIN; DELETE FROM items; ABORT").await;
    assert_eq!(both(shop, "gone").await, (String::new(), String::new()));
});

in_dual_phases!(
    nothing_is_seen_in_either_store_before_the_commit,
    async |shop: &Shop| {
        let client = shop.client().await;
        client
            .batch_execute("BEGIN; INSERT INTO orders (customer) VALUES ('pending')")
            .await
            .unwrap();
        assert_eq!(both(shop, "pending").await, (String::new(), String::new()));
        client.batch_execute("COMMIT").await.unwrap();
        assert_eq!(
            both(shop, "pending").await,
            ("pending".to_owned(), "pending".to_owned())
        );
    }
);

in_dual_phases!(trap_12_savepoints, async |shop: &Shop| {
    let sql = "BEGIN;
        INSERT INTO orders (customer) VALUES ('sp kept 1');
        SAVEPOINT a;
        INSERT INTO orders (customer) VALUES ('sp dropped 1');
        UPDATE counters SET value = 99 WHERE name = 'counter 1';
        SAVEPOINT b;
        INSERT INTO orders (customer) VALUES ('sp dropped 2');
        RELEASE b;
        ROLLBACK TO a;
        INSERT INTO orders (customer) VALUES ('sp kept 2');
        SAVEPOINT a;
        INSERT INTO orders (customer) VALUES ('sp kept 3');
        RELEASE SAVEPOINT a;
        ROLLBACK TO SAVEPOINT a;
        INSERT INTO orders (customer) VALUES ('sp kept 4');
        COMMIT";
    shop.run(sql).await;
    let expected = "sp kept 1,sp kept 4".to_owned();
    assert_eq!(both(shop, "sp").await, (expected.clone(), expected));
    shop.stores
        .new
        .becomes("SELECT value FROM counters WHERE name = 'counter 1'", "0")
        .await;
});

in_dual_phases!(trap_12_an_error_inside_a_savepoint, async |shop: &Shop| {
    let client = shop.client().await;
    client
        .batch_execute("BEGIN; INSERT INTO orders (customer) VALUES ('er kept'); SAVEPOINT s")
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO orders (customer) VALUES ('er dropped')")
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO counters (name) VALUES ('counter 1')")
        .await
        .unwrap_err();
    let refused = client
        .batch_execute("INSERT INTO orders (customer) VALUES ('er refused')")
        .await
        .unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("25P02"));
    client
        .batch_execute(
            "ROLLBACK TO s; INSERT INTO orders (customer) VALUES ('er kept too'); COMMIT",
        )
        .await
        .unwrap();
    let expected = "er kept,er kept too".to_owned();
    assert_eq!(both(shop, "er").await, (expected.clone(), expected));
});

in_dual_phases!(
    trap_12_a_commit_of_a_failed_transaction_is_a_rollback_in_both,
    async |shop: &Shop| {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        wire.query("BEGIN; INSERT INTO orders (customer) VALUES ('failed')")
            .await;
        wire.query("SELECT 1/0").await;
        let frames = wire.query("COMMIT").await;
        assert_eq!(frames[0].body, b"ROLLBACK\0"[..]);
        assert_eq!(both(shop, "failed").await, (String::new(), String::new()));
    }
);

in_dual_phases!(commit_and_chain, async |shop: &Shop| {
    let client = shop.client().await;
    let first = "BEGIN; INSERT INTO orders (customer) VALUES ('chain 1'); COMMIT AND CHAIN";
    client.batch_execute(first).await.unwrap();
    client
        .batch_execute("INSERT INTO orders (customer) VALUES ('chain 2'); ROLLBACK AND CHAIN")
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO orders (customer) VALUES ('chain 3'); END")
        .await
        .unwrap();
    let expected = "chain 1,chain 3".to_owned();
    assert_eq!(both(shop, "chain").await, (expected.clone(), expected));
});

in_dual_phases!(
    every_word_for_the_beginning_and_the_end,
    async |shop: &Shop| {
        for (begin, end) in [
            ("START TRANSACTION", "END"),
            ("BEGIN WORK", "COMMIT WORK"),
            (
                "BEGIN ISOLATION LEVEL REPEATABLE READ",
                "COMMIT TRANSACTION",
            ),
            (
                "begin transaction isolation level serializable",
                "end transaction",
            ),
        ] {
            shop.run(&format!(
                "{begin}; INSERT INTO orders (customer) VALUES ('{begin}'); {end}"
            ))
            .await;
            let count = format!("SELECT count(*) FROM orders WHERE customer = '{begin}'");
            shop.stores.new.becomes(&count, "1").await;
        }
    }
);

in_dual_phases!(
    one_row_changed_many_times_in_one_transaction,
    async |shop: &Shop| {
        let client = shop.client().await;
        client.batch_execute("BEGIN").await.unwrap();
        for value in 0..200_i64 {
            client
                .execute(
                    "UPDATE counters SET value = $1 WHERE name = 'counter 3'",
                    &[&value],
                )
                .await
                .unwrap();
        }
        client.batch_execute("COMMIT").await.unwrap();
        shop.stores
            .new
            .becomes("SELECT value FROM counters WHERE name = 'counter 3'", "199")
            .await;
    }
);

in_dual_phases!(ten_thousand_rows_in_one_transaction, async |shop: &Shop| {
    shop.run("BEGIN; INSERT INTO orders (customer) SELECT repeat('many', 50) FROM generate_series(1, 10000); \
              UPDATE orders SET total = 2 WHERE id % 2 = 0; COMMIT").await;
});

in_dual_phases!(
    trap_16_a_client_that_goes_in_mid_transaction,
    async |shop: &Shop| {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        wire.query("BEGIN; INSERT INTO orders (customer) VALUES ('vanished'); UPDATE orders SET total = 3 WHERE id = 1").await;
        drop(wire);
        // Its locks go with it.
        let client = shop.client().await;
        let update = client
            .batch_execute("SET lock_timeout = '10s'; UPDATE orders SET total = 4 WHERE id = 1");
        crossfade_tests::within(15, "the lock is free", update)
            .await
            .unwrap();
        assert_eq!(both(shop, "vanished").await, (String::new(), String::new()));
    }
);

in_dual_phases!(
    trap_16_cancel_and_statement_timeout_in_a_transaction,
    async |shop: &Shop| {
        let client = shop.client().await;
        let cancelled = "BEGIN; INSERT INTO orders (customer) VALUES ('timed out'); SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(5)";
        let error = client.batch_execute(cancelled).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("57014"));
        client.batch_execute("COMMIT").await.unwrap();
        assert_eq!(
            both(shop, "timed out").await,
            (String::new(), String::new())
        );
    }
);

#[tokio::test]
async fn trap_11_what_the_primary_refuses_at_commit_reaches_neither() {
    const SCHEMA: &str = "CREATE TABLE pairs (id int PRIMARY KEY, mate int);";
    const DEFERRED: &str = "ALTER TABLE pairs ADD CONSTRAINT mates FOREIGN KEY (mate) REFERENCES pairs DEFERRABLE INITIALLY DEFERRED;";
    let old = format!("{SCHEMA}{DEFERRED}");
    let shop = Shop::with(
        "dual-write",
        &old,
        SCHEMA,
        "[toggle.shop.table.pairs]\n",
        "INSERT INTO pairs VALUES (1, 1)",
        |c| c,
    )
    .await;
    let client = shop.client().await;
    client
        .batch_execute("BEGIN; INSERT INTO pairs VALUES (2, 99)")
        .await
        .unwrap();
    let error = client.batch_execute("COMMIT").await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("23503"));
    let autocommitted = client
        .execute("INSERT INTO pairs VALUES (3, 98)", &[])
        .await
        .unwrap_err();
    assert_eq!(autocommitted.code().map(|code| code.code()), Some("23503"));
    client
        .batch_execute(
            "BEGIN; INSERT INTO pairs VALUES (4, 5); INSERT INTO pairs VALUES (5, 4); COMMIT",
        )
        .await
        .unwrap();
    shop.stores.assert_equal(&["pairs"]).await;
    eventually("nothing stays dirty", Duration::from_secs(10), async || {
        shop.proxy.dirty_keys().await == 0
    })
    .await;
}
