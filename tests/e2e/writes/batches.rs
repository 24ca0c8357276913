//! Several statements in one message or one pipeline.

use crate::shop::Shop;
use bytes::Bytes;
use crossfade_tests::{
    wire::{
        messages::{bind, execute, flush, function_call, parse, query, sync},
        transcript,
    },
    within,
};

fn statement(sql: &str, params: &[Option<&str>]) -> Vec<Bytes> {
    vec![parse("", sql, &[]), bind("", "", params), execute("", 0)]
}

in_dual_phases!(several_statements_in_one_query, async |shop: &Shop| {
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let sql = "INSERT INTO orders (customer) VALUES ('first'); UPDATE orders SET total = 5 WHERE customer = 'first'; \
               SELECT 'between'; DELETE FROM items WHERE order_id = 1; INSERT INTO orders (customer) VALUES ('second')";
    let frames = wire.query(sql).await;
    assert_eq!(transcript(&frames), "CCTDCCCZ", "{frames:?}");
});

in_dual_phases!(
    trap_14_a_failure_in_the_middle_undoes_all_of_the_query_in_both,
    async |shop: &Shop| {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let sql = "INSERT INTO orders (customer) VALUES ('undone'); SELECT 1/0; INSERT INTO orders (customer) VALUES ('never')";
        let frames = wire.query(sql).await;
        assert_eq!(transcript(&frames), "CEZ", "{frames:?}");
        for store in [&shop.stores.old, &shop.stores.new] {
            assert_eq!(
                store
                    .value("SELECT count(*) FROM orders WHERE customer IN ('undone', 'never')")
                    .await,
                "0"
            );
        }
    }
);

in_dual_phases!(transactions_inside_one_query, async |shop: &Shop| {
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let sql = "BEGIN; INSERT INTO orders (customer) VALUES ('kept'); COMMIT; \
               BEGIN; INSERT INTO orders (customer) VALUES ('dropped'); ROLLBACK; \
               INSERT INTO orders (customer) VALUES ('undone'); SELECT 1/0";
    let frames = wire.query(sql).await;
    assert_eq!(
        frames.last().map(|frame| frame.body.clone()),
        Some(Bytes::from_static(b"I"))
    );
    for store in [&shop.stores.old, &shop.stores.new] {
        let found = store.value("SELECT string_agg(customer, ',') FROM orders WHERE customer IN ('kept', 'dropped', 'undone')");
        assert_eq!(found.await, "kept");
    }
});

in_dual_phases!(a_pipeline_of_writes_before_one_sync, async |shop: &Shop| {
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let mut messages = Vec::new();
    for n in 0..50 {
        messages.extend(statement(
            "INSERT INTO counters (name) VALUES ($1)",
            &[Some(&format!("piped {n}"))],
        ));
        messages.extend(statement(
            "UPDATE counters SET value = value + 1 WHERE name = 'counter 1' RETURNING value",
            &[],
        ));
    }
    messages.push(sync());
    let frames = wire.ask(&messages).await;
    assert_eq!(transcript(&frames), "12C12DC".repeat(50) + "Z");
    shop.stores
        .new
        .becomes("SELECT value FROM counters WHERE name = 'counter 1'", "50")
        .await;
});

in_dual_phases!(
    trap_14_an_error_in_a_pipeline_undoes_its_segment_in_both,
    async |shop: &Shop| {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let mut messages = statement("INSERT INTO counters (name) VALUES ('undone')", &[]);
        messages.extend(statement(
            "INSERT INTO counters (name) VALUES ('counter 1')",
            &[],
        ));
        messages.extend(statement(
            "INSERT INTO counters (name) VALUES ('skipped')",
            &[],
        ));
        messages.push(sync());
        messages.extend(statement(
            "INSERT INTO counters (name) VALUES ('kept')",
            &[],
        ));
        messages.push(sync());
        wire.send(&messages).await;
        let mut frames = wire.ready().await;
        frames.extend(wire.ready().await);
        assert_eq!(transcript(&frames), "12C12EZ12CZ", "{frames:?}");
        shop.proxy.drained().await;
        for store in [&shop.stores.old, &shop.stores.new] {
            let found = store.value("SELECT string_agg(name, ',') FROM counters WHERE name IN ('undone', 'skipped', 'kept')");
            assert_eq!(found.await, "kept");
        }
    }
);

in_dual_phases!(many_syncs_in_one_write, async |shop: &Shop| {
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let mut messages = Vec::new();
    for n in 0..30 {
        messages.extend(statement(
            "INSERT INTO counters (name) VALUES ($1)",
            &[Some(&format!("synced {n}"))],
        ));
        messages.push(sync());
    }
    wire.send(&messages).await;
    for _ in 0..30 {
        assert_eq!(transcript(&wire.ready().await), "12CZ");
    }
});

in_dual_phases!(reads_and_writes_mixed_in_a_pipeline, async |shop: &Shop| {
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let mut messages = statement("SELECT 1", &[]);
    messages.extend(statement(
        "UPDATE counters SET value = 7 WHERE name = 'counter 2'",
        &[],
    ));
    messages.extend(statement(
        "SELECT value FROM counters WHERE name = 'counter 2'",
        &[],
    ));
    messages.push(sync());
    let frames = wire.ask(&messages).await;
    assert_eq!(transcript(&frames), "12DC12C12DCZ");
    assert_eq!(frames[9].body, b"\0\x01\0\0\0\x017"[..], "{frames:?}");
});

in_dual_phases!(
    trap_14_a_block_that_failed_says_nothing_of_the_next_one,
    async |shop: &Shop| {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        for begun in [
            "BEGIN; SELECT 1/0",
            "BEGIN; INSERT INTO counters (name) VALUES ('of a failed block'); SELECT 1/0",
        ] {
            wire.query(begun).await;
            let messages = [
                "COMMIT",
                "BEGIN",
                "INSERT INTO counters (name, updated_at) VALUES ('of the next', 'epoch') ON CONFLICT (name) DO UPDATE SET value = counters.value + 1",
                "COMMIT",
            ];
            let messages: Vec<_> = messages
                .into_iter()
                .flat_map(|sql| statement(sql, &[]))
                .chain([sync()])
                .collect();
            let frames = wire.ask(&messages).await;
            assert_eq!(transcript(&frames), "12C12C12C12CZ", "{frames:?}");
        }
        let value = "SELECT value FROM counters WHERE name = 'of the next'";
        for store in [&shop.stores.old, &shop.stores.new] {
            store.becomes(value, "1").await;
        }
    }
);

in_dual_phases!(
    trap_14_what_a_failed_batch_skips_is_skipped_whatever_it_is,
    async |shop: &Shop| {
        const WRITE: &str = "INSERT INTO orders (customer) VALUES ('skipped')";
        // An error of the server's, and a refusal of the proxy's; the client waits for it, or has sent everything at once.
        for (bad, waits) in [
            ("SELECT 1/0", true),
            ("SELECT 1/0", false),
            ("ALTER TABLE orders ADD COLUMN more int", true),
            ("ALTER TABLE orders ADD COLUMN more int", false),
        ] {
            for skipped in [
                query(WRITE),
                query("SELECT 3"),
                function_call(0, &[]),
                query("BEGIN; INSERT INTO orders (customer) VALUES ('skipped'); COMMIT"),
            ] {
                let mut wire = shop.proxy.wire(&shop.stores.old).await;
                let mut messages = statement(bad, &[]);
                if waits {
                    messages.push(flush());
                    wire.send(&messages).await;
                    messages.clear();
                    while wire.frame().await.tag != b'E' {}
                }
                messages.extend([skipped, sync()]);
                let frames = within(10, "the end of the batch", wire.ask(&messages)).await;
                let end = transcript(&frames);
                assert!(
                    end.ends_with('Z') && !end.contains('C'),
                    "{bad}: {frames:?}"
                );
                let frames = within(10, "the next one", wire.query("SELECT 4")).await;
                assert_eq!(transcript(&frames), "TDCZ", "{bad}: {frames:?}");
            }
        }
        for store in [&shop.stores.old, &shop.stores.new] {
            let skipped = "SELECT count(*) FROM orders WHERE customer = 'skipped'";
            assert_eq!(store.value(skipped).await, "0");
        }
    }
);
