//! MERGE: what it wrote is carried, and the client sees what the primary alone would have answered.

use std::time::{Duration, Instant};

use crate::shop::Shop;
use crossfade_tests::wire::{
    Frame,
    messages::{bind, bind_formats, describe_portal, describe_statement, execute, parse, sync},
    transcript,
};
use futures::future::join_all;

const UPSERT: &str = "MERGE INTO counters AS c USING (VALUES ('counter 1', 5), ('merged', 6), ('more', 7)) AS s (name, n) ON c.name = s.name \
    WHEN MATCHED THEN UPDATE SET value = c.value + s.n, updated_at = 'epoch' WHEN NOT MATCHED AND s.n > 6 THEN DO NOTHING \
    WHEN NOT MATCHED THEN INSERT (name, value, updated_at) VALUES (s.name, n, 'epoch')";

const STATEMENTS: &[&str] = &[
    UPSERT,
    // Every clause, with columns that both sides have and names that only one has.
    "MERGE INTO items USING orders o ON order_id = o.id AND line = 1 WHEN MATCHED AND o.total % 5 = 0 THEN DELETE \
     WHEN MATCHED AND CASE WHEN o.id > 20 THEN quantity = 1 ELSE false END THEN UPDATE SET (quantity, attributes) = (o.total, to_jsonb(items)), product = DEFAULT || 'x' \
     WHEN NOT MATCHED THEN INSERT VALUES (id, 1, customer)",
    "MERGE INTO items USING orders o ON order_id = o.id AND line = 1 WHEN MATCHED AND o.total % 5 = 0 THEN DELETE \
     WHEN MATCHED AND CASE WHEN o.id > 20 THEN quantity = 1 ELSE false END THEN UPDATE SET (quantity, attributes) = (o.total, to_jsonb(items)), product = 'x' \
     WHEN NOT MATCHED THEN INSERT VALUES (id, 1, customer)",
    "MERGE INTO public.items i USING (SELECT n, 'new ' || n AS product FROM generate_series(45, 55) n) s ON i.order_id = n \
     WHEN MATCHED THEN UPDATE SET product = s.product || i.product WHEN NOT MATCHED THEN INSERT (line, order_id, product, quantity) VALUES (2, n, product, DEFAULT)",
    // Keys that change, and change places.
    "MERGE INTO items i USING orders o ON i.order_id = o.id AND o.id BETWEEN 10 AND 14 WHEN MATCHED THEN UPDATE SET line = i.line + 10, product = o.customer",
    "MERGE INTO counters c USING (VALUES ('counter 2'), ('counter 3')) s (name) ON c.name = s.name WHEN MATCHED AND c.name = 'counter 2' THEN DELETE \
     WHEN MATCHED THEN UPDATE SET name = 'counter 2'",
    // WITH queries, a table that is not mapped, itself.
    "WITH big AS (SELECT id, customer FROM orders WHERE total > 45), named (who, much) AS (SELECT customer, count(*) FROM big GROUP BY 1) \
     MERGE INTO counters AS c USING named ON c.name = who WHEN NOT MATCHED THEN INSERT (name, value, updated_at) VALUES (who, much, 'epoch')",
    "MERGE INTO counters c USING counters AS s ON c.name = s.name || '0' WHEN MATCHED THEN UPDATE SET value = s.value + 100 WHEN NOT MATCHED THEN DO NOTHING",
    // Whole rows of the source, which have no column of ours.
    "MERGE INTO items i USING jsonb_to_recordset('[{\"id\": 10, \"value\": 3}, {\"id\": 90}]') AS s (id int, value int) ON order_id = s.id WHEN MATCHED THEN UPDATE SET attributes = to_jsonb(s) \
     WHEN NOT MATCHED THEN INSERT VALUES (s.id, 1, s::text, 1, to_jsonb(s))",
    "MERGE INTO items i USING (SELECT 91 AS k, 'x' AS l) AS product ON order_id = product.k WHEN NOT MATCHED THEN INSERT (order_id, line, product, attributes) \
     VALUES (product.k, 1, (SELECT row_to_json(product)::text), row_to_json(product)::jsonb)",
    // Nothing to do.
    "MERGE INTO counters c USING orders o ON false WHEN MATCHED THEN DELETE",
    "MERGE INTO counters c USING (SELECT 'x' AS name WHERE false) s ON c.name = s.name WHEN NOT MATCHED THEN INSERT (name) VALUES (s.name)",
    // Errors.
    "MERGE INTO counters c USING orders o ON name = o.customer WHEN NOT MATCHED THEN INSERT (name) VALUES (c.name)",
    "MERGE INTO counters c USING (VALUES ('fresh'), ('counter 4')) s (name) ON false WHEN NOT MATCHED THEN INSERT (name) VALUES (s.name)",
    "MERGE INTO counters c USING (VALUES (0)) s (n) ON true WHEN MATCHED THEN UPDATE SET value = 1 / s.n",
    "MERGE INTO counters c USING (VALUES (1)) s (n) ON c.name = 'counter 5' WHEN MATCHED THEN UPDATE SET value = NULL",
    "MERGE INTO counters c USING (VALUES (1)) s (n) ON c.name = 'counter 5' WHEN MATCHED THEN DELETE WHEN MATCHED THEN DO NOTHING",
];

in_dual_phases!(
    trap_10_what_a_merge_writes_is_carried,
    async |shop: &Shop| {
        for sql in STATEMENTS {
            // What fails changes nothing in either.
            let _ = shop.client().await.batch_execute(sql).await;
        }
        shop.stores
            .new
            .becomes("SELECT value FROM counters WHERE name = 'merged'", "6")
            .await;
        shop.stores
            .new
            .becomes("SELECT count(*) FROM items WHERE line = 11", "4")
            .await;
    }
);

in_dual_phases!(
    the_answers_of_merge_are_the_primarys,
    async |shop: &Shop| {
        crate::writes::answers::same(shop, STATEMENTS).await;
    }
);

in_dual_phases!(
    trap_12_merges_in_transactions_are_whole_in_both_or_in_neither,
    async |shop: &Shop| {
        shop.run(&format!("BEGIN; {UPSERT}; ROLLBACK")).await;
        shop.run(&format!(
            "BEGIN; UPDATE counters SET value = 1; SAVEPOINT a; {UPSERT}; ROLLBACK TO a; \
             INSERT INTO counters (name) VALUES ('beside'); {}; COMMIT",
            UPSERT.replace("'merged'", "'kept'")
        ))
        .await;
        let count = "SELECT string_agg(name || value, ',' ORDER BY name) FROM counters WHERE name IN ('counter 1', 'merged', 'kept', 'beside')";
        for store in [&shop.stores.old, &shop.stores.new] {
            store.becomes(count, "beside0,counter 16,kept6").await;
        }
        // Several statements in one message, the last of which fails: one transaction.
        let client = shop.client().await;
        let failing = format!("{UPSERT}; INSERT INTO counters (name) VALUES ('counter 1')");
        client.batch_execute(&failing).await.unwrap_err();
        client
            .batch_execute(&format!("{UPSERT}; {UPSERT}; SELECT 1"))
            .await
            .unwrap();
        for store in [&shop.stores.old, &shop.stores.new] {
            store
                .becomes(count, "beside0,counter 116,kept6,merged12")
                .await;
        }
    }
);

in_dual_phases!(
    trap_34_prepared_merges_take_their_parameters_for_what_they_are,
    async |shop: &Shop| {
        let client = shop.client().await;
        // In binary form, of types that the server infers; the same parameter in several places.
        let merge = client
            .prepare(
                "MERGE INTO counters c USING (SELECT $1 AS name, $2::bigint AS n) s ON c.name = s.name WHEN MATCHED AND c.value < $3 THEN UPDATE SET value = c.value + $3 + s.n \
                 WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (name, value, updated_at) VALUES (s.name, $3, $4)",
            )
            .await
            .unwrap();
        let now = std::time::SystemTime::now();
        let mut written = Vec::new();
        for (name, n, most) in [
            ("counter 1", 1_i64, 10_i64),
            ("prepared", 2, 20),
            ("prepared", 3, 30),
            ("counter 2", 0, 0),
        ] {
            written.push(
                client
                    .execute(&merge, &[&name, &n, &most, &now])
                    .await
                    .unwrap(),
            );
        }
        assert_eq!(written, [1, 1, 1, 1]);
        let sql = "SELECT string_agg(name || '=' || value, ',' ORDER BY name) FROM counters WHERE name IN ('counter 1', 'counter 2', 'prepared')";
        for store in [&shop.stores.old, &shop.stores.new] {
            store.becomes(sql, "counter 1=11,prepared=53").await;
        }
        let mut direct = shop.stores.old.direct().wire().await;
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let sql = "MERGE INTO items i USING orders o ON i.order_id = o.id AND o.id = $1 WHEN MATCHED AND i.line = $2 THEN UPDATE SET quantity = $3, product = $4 \
                   WHEN NOT MATCHED AND o.total = $5 THEN INSERT VALUES ($6, $2, $4)";
        let values = [
            Some("9"),
            Some("1"),
            Some("4"),
            Some("x"),
            Some("3.00"),
            Some("777"),
        ];
        let binary: Vec<Option<&[u8]>> = vec![
            Some(&[0, 0, 0, 0, 0, 0, 0, 8]),
            Some(&[0, 0, 0, 1]),
            Some(&[0, 0, 0, 3]),
            Some(b"y"),
            None,
            None,
        ];
        let messages = [
            parse("named", sql, &[0, 23]),
            describe_statement("named"),
            bind("", "named", &values),
            describe_portal(""),
            execute("", 0),
            bind("other", "named", &values),
            execute("other", 2),
            // What has run cannot run once more.
            execute("other", 0),
            sync(),
            bind_formats("", "named", &[1], &binary, &[]),
            execute("", 0),
            sync(),
        ];
        let mut seen = Vec::new();
        for wire in [&mut direct, &mut wire] {
            wire.query("BEGIN; SAVEPOINT s").await;
            let mut frames = wire.ask(&messages[..9]).await;
            wire.query("ROLLBACK TO s").await;
            frames.extend(wire.ask(&messages[9..]).await);
            frames.extend(
                wire.query(
                    "SELECT quantity, product FROM items WHERE order_id IN (8, 9, 777) ORDER BY 2",
                )
                .await,
            );
            wire.query("ROLLBACK").await;
            let plain = |frame: &Frame| match frame.tag {
                b'E' => format!("E {:?} {:?}", frame.field(b'C'), frame.field(b'M')),
                b'T' => "T".to_owned(),
                _ => format!("{frame:?}"),
            };
            seen.push(frames.iter().map(plain).collect::<Vec<_>>());
        }
        assert_eq!(seen[1], seen[0]);
    }
);

in_dual_phases!(
    trap_14_a_pipeline_with_a_merge_that_fails_is_undone_in_both,
    async |shop: &Shop| {
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let twice = "MERGE INTO counters c USING (VALUES ('counter 3'), ('counter 3')) s (name) ON c.name = s.name WHEN MATCHED THEN UPDATE SET value = 9";
        let frames = wire
            .ask(&[
                parse("", UPSERT, &[]),
                bind("", "", &[]),
                execute("", 0),
                parse("", twice, &[]),
                bind("", "", &[]),
                execute("", 0),
                parse("", UPSERT, &[]),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ])
            .await;
        assert_eq!(transcript(&frames), "12C12EZ", "{frames:?}");
        let error = &frames[5];
        assert_eq!(error.field(b'C').unwrap(), "21000");
        assert_eq!(
            error.field(b'M').unwrap(),
            "MERGE command cannot affect row a second time"
        );
        assert_eq!(
            error.field(b'H').unwrap(),
            "Ensure that not more than one source row matches any one target row."
        );
        // By itself, in a transaction that goes on.
        wire.query("BEGIN; INSERT INTO counters (name) VALUES ('before'); SAVEPOINT s")
            .await;
        let frames = wire.query(twice).await;
        assert_eq!(transcript(&frames), "EZ", "{frames:?}");
        assert_eq!(&frames[1].body[..], b"E");
        wire.query("ROLLBACK TO s; COMMIT").await;
        for store in [&shop.stores.old, &shop.stores.new] {
            store
                .becomes("SELECT count(*) || ' ' || sum(value) FROM counters", "11 0")
                .await;
        }
    }
);

// No increment is lost, and nobody is told anything that PostgreSQL does not tell as well.
in_dual_phases!(
    trap_01_merges_of_the_same_rows_lose_nothing,
    async |shop: &Shop| {
        let until = Instant::now() + Duration::from_secs(2);
        let clients = join_all((0..6).map(|_| shop.client())).await;
        let work = join_all(clients.iter().enumerate().map(async |(number, client)| {
            let merge = client
                .prepare(
                    "MERGE INTO counters c USING (SELECT 'hot ' || g AS name FROM generate_series($1::int, $1 + 2) g) s ON c.name = s.name \
                     WHEN MATCHED THEN UPDATE SET value = c.value + 1 WHEN NOT MATCHED THEN INSERT (name, value) VALUES (s.name, 1)",
                )
                .await
                .unwrap();
            let (mut added, mut round) = (0_u64, 0_i32);
            while Instant::now() < until {
                round += 1;
                let first = (round + i32::try_from(number).unwrap()) % 4;
                match client.execute(&merge, &[&first]).await {
                    Ok(rows) => added += rows,
                    Err(error) => {
                        let state = error.code().map(|code| code.code().to_owned());
                        let allowed = ["23505", "40001", "40P01"];
                        assert!(allowed.iter().any(|one| state.as_deref() == Some(one)), "{error:?}");
                    }
                }
            }
            added
        }));
        let added: u64 = crossfade_tests::within(60, "nobody hangs", work)
            .await
            .into_iter()
            .sum();
        // A deadlock, which is possible as long as the rows are not there, costs a second: of the two seconds little may be left.
        assert!(added > 0, "not a row in two seconds");
        for store in [&shop.stores.old, &shop.stores.new] {
            store
                .becomes(
                    "SELECT sum(value) FROM counters WHERE name LIKE 'hot %'",
                    &added.to_string(),
                )
                .await;
        }
    }
);

// Keys come and go under everybody's hands.
in_dual_phases!(
    trap_01_merges_that_insert_and_delete_the_same_keys,
    async |shop: &Shop| {
        let until = Instant::now() + Duration::from_secs(1);
        let clients = join_all((0..5).map(|_| shop.client())).await;
        let work = join_all(clients.iter().enumerate().map(async |(number, client)| {
            let mut round = number;
            while Instant::now() < until {
                round += 1;
                let sql = format!(
                    "MERGE INTO counters c USING (SELECT 'key ' || g AS name, g AS n FROM generate_series({}, {}) g) s ON c.name = s.name \
                     WHEN MATCHED AND c.value > 3 THEN DELETE WHEN MATCHED AND s.n % 2 = 0 THEN UPDATE SET name = 'key ' || (s.n + 20), value = c.value + 1 \
                     WHEN MATCHED THEN UPDATE SET value = c.value + 1 WHEN NOT MATCHED THEN INSERT (name) VALUES (s.name)",
                    round % 5,
                    round % 5 + 3
                );
                if let Err(error) = client.batch_execute(&sql).await {
                    let state = error.code().map(|code| code.code().to_owned());
                    let allowed = ["23505", "40001", "40P01"];
                    assert!(allowed.iter().any(|one| state.as_deref() == Some(one)), "{error:?}");
                }
            }
        }));
        crossfade_tests::within(60, "nobody hangs", work).await;
    }
);

/// Somebody else writes a row that matches: the row is waited for, and written as it is then.
#[tokio::test]
async fn trap_01_a_merge_waits_for_the_row_and_takes_it_as_it_is_then() {
    for phase in ["dual-write", "new-primary"] {
        let shop = Shop::in_phase(phase).await;
        let (first, second) = (shop.client().await, shop.client().await);
        let merge = "MERGE INTO counters c USING (VALUES ('counter 1', 1)) s (name, n) ON c.name = s.name AND c.value < 100 \
            WHEN MATCHED AND c.value > 7 THEN DELETE WHEN MATCHED THEN UPDATE SET value = c.value + s.n WHEN NOT MATCHED THEN INSERT (name) VALUES ('otherwise')";
        for (change, left) in [
            ("value = 5", "counter 1=6"),
            // It goes on to another clause, or does not match any more.
            ("value = 8", ""),
            ("value = 200", "counter 1=200,otherwise=0"),
        ] {
            second
                .batch_execute(
                    "DELETE FROM counters; INSERT INTO counters (name) VALUES ('counter 1')",
                )
                .await
                .unwrap();
            first
                .batch_execute(&format!(
                    "BEGIN; UPDATE counters SET {change} WHERE name = 'counter 1'"
                ))
                .await
                .unwrap();
            let commit = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                first.batch_execute("COMMIT").await
            };
            let (merged, committed) = tokio::join!(second.batch_execute(merge), commit);
            merged.unwrap();
            committed.unwrap();
            for store in [&shop.stores.old, &shop.stores.new] {
                store
                    .becomes(
                        "SELECT string_agg(name || '=' || value, ',' ORDER BY name) FROM counters",
                        left,
                    )
                    .await;
            }
        }
        shop.assert_equal().await;
        shop.assert_clean().await;
    }
}

/// Where rows cannot be locked before, because a function of the application's would be called twice, a row that is changed meanwhile ends the transaction.
#[tokio::test]
async fn trap_06_a_merge_that_was_overtaken_keeps_nothing() {
    let schema = format!(
        "{}CREATE TABLE called (n int); CREATE FUNCTION mine(v bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.called VALUES (1); RETURN v >= 0; END $$;",
        crossfade_tests::SHOP
    );
    let shop = Shop::of(
        "dual-write",
        &schema,
        crossfade_tests::SHOP_TABLES,
        crate::shop::SEED,
    )
    .await;
    let (first, second) = (shop.client().await, shop.client().await);
    let merge = "MERGE INTO counters c USING (VALUES ('counter 1'), ('counter 2'), ('new')) s (name) ON c.name = s.name \
        WHEN MATCHED AND mine(c.value) THEN UPDATE SET value = c.value + 1 WHEN NOT MATCHED THEN INSERT (name) VALUES (s.name)";
    second.batch_execute(merge).await.unwrap();
    shop.stores
        .old
        .becomes("SELECT count(*) FROM called", "2")
        .await;
    second
        .batch_execute("DELETE FROM counters WHERE name = 'new'")
        .await
        .unwrap();
    first
        .batch_execute("BEGIN; UPDATE counters SET value = value + 10 WHERE name = 'counter 2'")
        .await
        .unwrap();
    let commit = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        first.batch_execute("COMMIT").await
    };
    let (merged, committed) = tokio::join!(second.batch_execute(merge), commit);
    committed.unwrap();
    let error = merged.unwrap_err();
    assert_eq!(
        error.code().map(|code| code.code()),
        Some("40001"),
        "{error:?}"
    );
    for store in [&shop.stores.old, &shop.stores.new] {
        store
            .becomes("SELECT string_agg(value::text, ',' ORDER BY value DESC) FROM counters WHERE name IN ('counter 1', 'counter 2', 'new')", "11,1")
            .await;
    }
    second.batch_execute(merge).await.unwrap();
    shop.assert_equal().await;
    shop.assert_clean().await;
}

/// What is told is told of the MERGE, and not of what runs in its place.
#[tokio::test]
async fn the_errors_of_a_merge_are_about_the_merge() {
    for phase in ["dual-write", "new-primary"] {
        let shop = Shop::in_phase(phase).await;
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let other = shop.client().await;
        let merge = "MERGE INTO counters c USING (VALUES ('counter 1', $1::text), ('counter 2', 'x')) s (name, n) ON c.name = s.name \
            WHEN MATCHED THEN UPDATE SET value = 10 / length(s.n) WHEN NOT MATCHED THEN INSERT (name) VALUES (s.name)";
        let plain = |n: &str| merge.replace("$1", &format!("'{n}'"));
        let told = |frames: &[Frame], state: &str, message: &str| {
            let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
            assert_eq!(error.field(b'C').unwrap(), state, "{phase}: {error:?}");
            assert_eq!(error.field(b'M').unwrap(), message, "{phase}: {error:?}");
            assert_eq!(error.field(b'P'), None, "{phase}: {error:?}");
        };
        wire.query("BEGIN READ ONLY").await;
        let read_only = "cannot execute MERGE in a read-only transaction";
        told(&wire.query(&plain("y")).await, "25006", read_only);
        wire.query("ROLLBACK").await;
        told(&wire.query(&plain("")).await, "22012", "division by zero");
        // Changed or deleted since the transaction's snapshot.
        for (change, verb) in [
            (
                "UPDATE counters SET value = 1 WHERE name = 'counter 2'",
                "update",
            ),
            ("DELETE FROM counters WHERE name = 'counter 2'", "delete"),
        ] {
            wire.query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM counters")
                .await;
            other.batch_execute(change).await.unwrap();
            let message = format!("could not serialize access due to concurrent {verb}");
            told(&wire.query(&plain("y")).await, "40001", &message);
            wire.query("ROLLBACK").await;
        }
        for (columns, message) in [
            (
                "name, value",
                "INSERT has more target columns than expressions",
            ),
            ("", "INSERT has more expressions than target columns"),
        ] {
            let values = if columns.is_empty() {
                "'a', 1, now(), 5"
            } else {
                "'a'"
            };
            let list = if columns.is_empty() {
                String::new()
            } else {
                format!("({columns})")
            };
            let sql = format!(
                "MERGE INTO counters c USING (SELECT 1) s ON false WHEN NOT MATCHED THEN INSERT {list} VALUES ({values})"
            );
            told(&wire.query(&sql).await, "42601", message);
        }
        // A statement has the name that the client gave it.
        let messages = [
            parse("mine", merge, &[]),
            bind("", "mine", &[]),
            execute("", 0),
            sync(),
        ];
        let frames = wire.ask(&messages).await;
        let message =
            "bind message supplies 0 parameters, but prepared statement \"mine\" requires 1";
        told(&frames, "08P01", message);
        shop.assert_equal().await;
        shop.assert_clean().await;
    }
}

/// Rows that triggers change, add or keep as they are.
#[tokio::test]
async fn trap_10_triggers_of_a_merge() {
    let schema = format!(
        "{}ALTER TABLE counters ADD COLUMN double bigint GENERATED ALWAYS AS (value * 2) STORED;
        CREATE FUNCTION mind() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.value = 13 THEN RETURN NULL; END IF; NEW.value := NEW.value + 1; RETURN NEW; END $$;
        CREATE TRIGGER mind BEFORE INSERT OR UPDATE ON counters FOR EACH ROW EXECUTE FUNCTION mind();",
        crossfade_tests::SHOP
    );
    let new = format!(
        "{}ALTER TABLE counters ADD COLUMN double bigint;",
        crossfade_tests::SHOP
    );
    let tables = format!("{}acknowledge = [\"mind\"]\n", crossfade_tests::SHOP_TABLES);
    let shop = Shop::with(
        "dual-write",
        &schema,
        &new,
        &tables,
        crate::shop::SEED,
        |config| config,
    )
    .await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let merge = "MERGE INTO counters c USING (VALUES ('counter 1', 5), ('counter 2', 13), ('counter 3', 7), ('a', 13), ('b', 1)) s (name, n) ON c.name = s.name \
        WHEN MATCHED THEN UPDATE SET value = s.n WHEN NOT MATCHED THEN INSERT (name, value) VALUES (s.name, s.n)";
    let frames = wire.query(merge).await;
    assert_eq!(&frames[0].body[..], b"MERGE 3\0", "{frames:?}");
    for store in [&shop.stores.old, &shop.stores.new] {
        store
            .becomes("SELECT string_agg(name || double, ',' ORDER BY name) FROM counters WHERE name IN ('counter 1', 'counter 2', 'counter 3', 'a', 'b')", "b4,counter 112,counter 22,counter 316")
            .await;
    }
    shop.assert_clean().await;
}

/// A question that crossfade asks about a MERGE may fail by itself; the client has that error, and no completion behind it.
#[tokio::test]
async fn trap_14_a_merge_that_cannot_be_judged_has_failed() {
    let schema = format!(
        "{}DO $$ BEGIN CREATE ROLE sees_nothing; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        CREATE FUNCTION blind() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN SET LOCAL ROLE sees_nothing; RETURN NULL; END $$;
        CREATE TRIGGER blind BEFORE UPDATE ON counters FOR EACH ROW EXECUTE FUNCTION blind();",
        crossfade_tests::SHOP
    );
    let tables = format!(
        "{}acknowledge = [\"blind\"]\n",
        crossfade_tests::SHOP_TABLES
    );
    let seed = crate::shop::SEED;
    let shop = Shop::with(
        "dual-write",
        &schema,
        crossfade_tests::SHOP,
        &tables,
        seed,
        |config| config,
    )
    .await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let merge = "MERGE INTO counters c USING (VALUES ('counter 1'), ('new')) s (name) ON c.name = s.name \
        WHEN MATCHED THEN UPDATE SET value = 5 WHEN NOT MATCHED THEN INSERT (name) VALUES (s.name)";
    let tags = |frames: &[Frame]| frames.iter().map(|frame| frame.tag).collect::<Vec<_>>();
    let frames = wire.query(merge).await;
    assert_eq!(tags(&frames), b"EZ", "{frames:?}");
    assert_eq!(frames[0].field(b'C').unwrap(), "42501", "{frames:?}");
    wire.query("BEGIN").await;
    let frames = wire.query(merge).await;
    assert_eq!(tags(&frames), b"EZ", "{frames:?}");
    assert_eq!(&frames[1].body[..], b"E", "{frames:?}");
    wire.query("ROLLBACK").await;
    for store in [&shop.stores.old, &shop.stores.new] {
        store
            .becomes("SELECT count(*) FROM counters WHERE name = 'new'", "0")
            .await;
    }
    shop.assert_clean().await;
}

#[tokio::test]
async fn a_merge_that_cannot_be_captured_is_refused() {
    let schema = format!(
        "{}ALTER TABLE counters ENABLE ROW LEVEL SECURITY;",
        crossfade_tests::SHOP
    );
    let shop = Shop::with(
        "dual-write",
        &schema,
        crossfade_tests::SHOP,
        crossfade_tests::SHOP_TABLES,
        crate::shop::SEED,
        |config| config,
    )
    .await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    for (sql, advice) in [
        (
            "MERGE INTO orders o USING items i ON o.id = i.order_id WHEN MATCHED THEN DELETE RETURNING o.id",
            "RETURNING",
        ),
        (
            "MERGE INTO orders o USING items i ON o.id = i.order_id WHEN NOT MATCHED BY SOURCE THEN DELETE",
            "of its own",
        ),
        (
            "MERGE INTO orders o USING items i JOIN counters c ON true ON o.id = i.order_id WHEN MATCHED THEN DELETE",
            "sub-select",
        ),
        (
            "MERGE INTO items i USING orders o ON o.id = i.order_id WHEN MATCHED THEN UPDATE SET product = described(o)",
            "name its columns",
        ),
        (
            "MERGE INTO items i USING generate_series(1, 3) AS s (k) ON s.k = i.order_id WHEN MATCHED THEN UPDATE SET attributes = to_jsonb(s)",
            "name its columns",
        ),
        (
            "WITH a AS (DELETE FROM orders RETURNING *) MERGE INTO counters c USING a ON c.name = a.customer WHEN MATCHED THEN DELETE",
            "of its own",
        ),
        (
            "EXPLAIN ANALYZE MERGE INTO orders o USING items i ON o.id = i.order_id WHEN MATCHED THEN DELETE",
            "EXPLAIN",
        ),
        (
            "PREPARE p AS MERGE INTO orders o USING items i ON o.id = i.order_id WHEN MATCHED THEN DELETE",
            "extended protocol",
        ),
    ] {
        let frames = wire.query(sql).await;
        let error = frames
            .iter()
            .find(|frame| frame.tag == b'E')
            .unwrap_or_else(|| panic!("{sql}: {frames:?}"));
        assert_eq!(error.field(b'C').unwrap(), "0A000", "{sql}: {error:?}");
        assert!(
            error.field(b'H').unwrap_or_default().contains(advice),
            "{sql}: {error:?}"
        );
        assert!(
            error.field(b'M').unwrap().contains("in phase dual-write"),
            "{sql}: {error:?}"
        );
    }
    // The table's owner passes over its policies, others do not.
    let role = "DO $$ BEGIN CREATE ROLE merging; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT ALL ON counters, orders TO merging";
    shop.stores.old.run(role).await;
    wire.query("BEGIN; SET LOCAL ROLE merging").await;
    let frames = wire.query("MERGE INTO counters c USING orders o ON c.name = o.customer WHEN NOT MATCHED THEN INSERT (name) VALUES (o.customer)").await;
    assert_eq!(frames[0].field(b'C').unwrap(), "0A000", "{frames:?}");
    assert!(
        frames[0]
            .field(b'H')
            .unwrap()
            .contains("row-level security"),
        "{frames:?}"
    );
    wire.query("ROLLBACK").await;
    shop.assert_equal().await;
    shop.assert_clean().await;
}
