//! Prepared statements, and flips between their preparation and their use.

use crate::shop::Shop;
use crossfade_tests::wire::{
    messages::{bind, close_portal, close_statement, describe_statement, execute, parse, sync},
    transcript,
};

in_dual_phases!(
    prepared_statements_with_parameters_of_both_formats,
    async |shop: &Shop| {
        let client = shop.client().await;
        let insert = client
            .prepare("INSERT INTO orders (customer, state) VALUES ($1, $2) RETURNING id, total")
            .await
            .unwrap();
        assert_eq!(insert.columns().len(), 2);
        let update = client
            .prepare("UPDATE orders SET state = $2 WHERE id = $1")
            .await
            .unwrap();
        assert_eq!(update.columns().len(), 0);
        for n in 0..20 {
            let row = client
                .query_one(&insert, &[&format!("prepared {n}"), &"new"])
                .await
                .unwrap();
            assert_eq!(row.len(), 2);
            assert_eq!(
                client
                    .execute(&update, &[&row.get::<_, i64>(0), &"done"])
                    .await
                    .unwrap(),
                1
            );
        }
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let prepare = [
            parse("named", "DELETE FROM orders WHERE customer = $1", &[]),
            describe_statement("named"),
            sync(),
        ];
        assert_eq!(transcript(&wire.ask(&prepare).await), "1tnZ");
        let twice = [
            bind("a", "named", &[Some("prepared 1")]),
            bind("b", "named", &[Some("prepared 2")]),
            execute("b", 0),
            execute("a", 0),
            close_statement("named"),
            sync(),
        ];
        assert_eq!(transcript(&wire.ask(&twice).await), "22CC3Z");
    }
);

#[tokio::test]
async fn trap_34_a_write_of_sql_level_prepare_is_refused_once_it_would_miss_a_store() {
    let mut shop = Shop::in_phase("use-old").await;
    let client = shop.client().await;
    client
        .batch_execute(
            "PREPARE w (text) AS INSERT INTO orders (customer) VALUES ($1); PREPARE r AS SELECT count(*) FROM orders",
        )
        .await
        .unwrap();
    client.batch_execute("EXECUTE w('before')").await.unwrap();
    shop.proxy.flip("dual-write").await;
    for sql in ["EXECUTE w('missed')", "EXPLAIN ANALYZE EXECUTE w('missed')"] {
        let error = client.batch_execute(sql).await.unwrap_err();
        let said = error.as_db_error().unwrap();
        assert_eq!(said.code().code(), "0A000", "{sql}: {said:?}");
        assert!(said.hint().is_some(), "{said:?}");
    }
    client.batch_execute("EXECUTE r").await.unwrap();
    let count = "SELECT count(*) FROM orders WHERE customer = 'missed'";
    shop.stores.old.becomes(count, "0").await;
    shop.complete();
    shop.assert_equal().await;
}

#[tokio::test]
async fn trap_34_statements_prepared_once_and_used_through_every_flip() {
    let mut shop = Shop::in_phase("use-old").await;
    let client = shop.client().await;
    let insert = client
        .prepare("INSERT INTO orders (customer) VALUES ($1) RETURNING id")
        .await
        .unwrap();
    let update = client
        .prepare("UPDATE orders SET total = total + 1 WHERE id = $1")
        .await
        .unwrap();
    let select = client
        .prepare("SELECT customer FROM orders WHERE id = $1")
        .await
        .unwrap();
    let delete = client
        .prepare("DELETE FROM orders WHERE id = $1")
        .await
        .unwrap();
    let walk = [
        "use-old",
        "dual-write",
        "dual-read",
        "new-primary",
        "dual-read",
        "dual-write",
    ];
    for (step, phase) in walk.iter().enumerate() {
        shop.proxy.flip(phase).await;
        if step == 1 {
            shop.complete();
        }
        let row = client
            .query_one(&insert, &[phase])
            .await
            .unwrap_or_else(|error| panic!("{phase}: {error:?}"));
        let id: i64 = row.get(0);
        assert_eq!(client.execute(&update, &[&id]).await.unwrap(), 1, "{phase}");
        assert_eq!(
            client
                .query_one(&select, &[&id])
                .await
                .unwrap()
                .get::<_, String>(0),
            *phase
        );
        let gone = client
            .query_one(&insert, &[&"gone"])
            .await
            .unwrap()
            .get::<_, i64>(0);
        assert_eq!(
            client.execute(&delete, &[&gone]).await.unwrap(),
            1,
            "{phase}"
        );
        if step >= 1 {
            shop.assert_equal().await;
        }
    }
}

#[tokio::test]
async fn trap_34_a_named_statement_may_be_made_again_after_a_flip() {
    let mut shop = Shop::in_phase("use-old").await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let prepare = [
        parse("s", "INSERT INTO orders (customer) VALUES ($1)", &[]),
        sync(),
    ];
    assert_eq!(transcript(&wire.ask(&prepare).await), "1Z");
    shop.proxy.flip("dual-write").await;
    shop.complete();
    let again = wire.ask(&prepare).await;
    assert_eq!(again[0].field(b'C').as_deref(), Some("42P05"), "{again:?}");
    let used = [
        bind("", "s", &[Some("after the flip")]),
        execute("", 0),
        sync(),
    ];
    assert_eq!(transcript(&wire.ask(&used).await), "2CZ");
    let anew = [
        close_statement("s"),
        parse("s", "DELETE FROM orders WHERE customer = $1", &[]),
        sync(),
    ];
    assert_eq!(transcript(&wire.ask(&anew).await), "31Z");
    let used = [
        bind("", "s", &[Some("after the flip")]),
        execute("", 0),
        sync(),
    ];
    assert_eq!(transcript(&wire.ask(&used).await), "2CZ");
    shop.assert_equal().await;
}

in_dual_phases!(statements_prepared_in_sql, async |shop: &Shop| {
    let client = shop.client().await;
    // Whoever cannot see through PREPARE has to refuse it, or its EXECUTE.
    let sql = "PREPARE up (text) AS UPDATE counters SET value = value + 1 WHERE name = $1; EXECUTE up ('counter 1')";
    if let Err(error) = client.batch_execute(sql).await {
        assert_eq!(
            error.code().map(|code| code.code()),
            Some("0A000"),
            "{error:?}"
        );
    }
});

#[tokio::test]
async fn a_portal_that_is_closed_in_the_same_pipeline_hands_out_its_rows_first() {
    let shop = Shop::in_phase("dual-write").await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let write = "INSERT INTO orders (customer) SELECT 'portion ' || n FROM generate_series(1, 5) n RETURNING customer";
    let pipeline = [
        parse("", write, &[]),
        bind("p", "", &[]),
        execute("p", 2),
        close_portal("p"),
        sync(),
    ];
    assert_eq!(transcript(&wire.ask(&pipeline).await), "12DDs3Z");
    let count = "SELECT count(*) FROM orders WHERE customer LIKE 'portion%'";
    shop.stores.old.becomes(count, "5").await;
    shop.assert_equal().await;
}

in_dual_phases!(
    completions_of_portions_count_their_own_rows,
    async |shop: &Shop| {
        let statements = [
            "UPDATE counters SET value = value + 1 WHERE name < 'counter 5' RETURNING 1",
            "WITH gone AS (DELETE FROM items WHERE order_id < 3) \
         INSERT INTO counters (name) SELECT 'portion ' || n FROM generate_series(1, 5) n RETURNING name",
            "DELETE FROM counters WHERE name < 'counter 4' RETURNING 2",
        ];
        for sql in statements {
            let mut seen = Vec::new();
            for endpoint in [
                shop.stores.old.direct(),
                shop.proxy.endpoint(&shop.stores.old),
            ] {
                let mut wire = endpoint.wire().await;
                wire.query("BEGIN").await;
                let mut pipeline = vec![parse("", sql, &[]), bind("p", "", &[])];
                pipeline.extend((0..4).map(|_| execute("p", 2)));
                pipeline.push(sync());
                let frames = wire.ask(&pipeline).await;
                wire.query("ROLLBACK").await;
                seen.push(frames);
            }
            assert_eq!(seen[1], seen[0], "{sql}");
        }
    }
);
