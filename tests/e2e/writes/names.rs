//! What a name means is the server's word, at the moment the statement runs.

use crate::shop::Shop;
use crossfade_tests::wire::{
    messages::{bind, copy_data, copy_done, execute, message, parse, query, sync},
    transcript,
};

const SCHEMA: &str = "CREATE TABLE t (id int PRIMARY KEY, a int); CREATE SCHEMA app; CREATE TABLE app.s (id int PRIMARY KEY, x text);
CREATE SCHEMA other; CREATE TABLE other.t (id int PRIMARY KEY, a int);";
const TABLES: &str = "[toggle.shop.table.t]\n[toggle.shop.table.\"app.s\"]\ntarget = \"app.s\"";
const SEED: &str = "INSERT INTO t VALUES (1, 1); INSERT INTO app.s VALUES (1, 'one'); INSERT INTO other.t VALUES (1, 10)";

async fn shop(phase: &str) -> Shop {
    Shop::of(phase, SCHEMA, TABLES, SEED).await
}

async fn assert_equal(shop: &Shop) {
    shop.stores.assert_equal(&["t", "app.s"]).await;
    shop.assert_clean().await;
}

#[tokio::test]
async fn trap_32_a_search_path_that_lasts_as_long_as_its_transaction() {
    let shop = shop("dual-write").await;
    let scripts: &[&[&str]] = &[
        &[
            "INSERT INTO t VALUES (10, 0)",
            "BEGIN",
            "SET LOCAL search_path = app",
            "INSERT INTO s VALUES (10, 'local')",
            "COMMIT",
            "INSERT INTO t VALUES (11, 0)",
        ],
        &[
            "BEGIN",
            "SET search_path = app",
            "INSERT INTO s VALUES (20, 'rolled back')",
            "ROLLBACK",
            "INSERT INTO t VALUES (20, 0)",
            "INSERT INTO t VALUES (21, 0)",
        ],
        &[
            "SELECT 1 FROM t",
            "BEGIN",
            "SELECT set_config('search_path', 'app', true)",
            "INSERT INTO s VALUES (30, 'by a function')",
            "COMMIT",
            "INSERT INTO t VALUES (30, 0)",
        ],
        &[
            "BEGIN",
            "INSERT INTO t VALUES (40, 0)",
            "SAVEPOINT a",
            "SET search_path = app",
            "INSERT INTO s VALUES (40, 'undone')",
            "ROLLBACK TO a",
            "INSERT INTO t VALUES (41, 0)",
            "COMMIT",
        ],
    ];
    for script in scripts {
        let client = shop.client().await;
        for sql in *script {
            client
                .batch_execute(sql)
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    }
    assert_equal(&shop).await;
}

#[tokio::test]
async fn trap_32_a_search_path_that_changes_in_a_pipeline_or_a_query() {
    let shop = shop("dual-write").await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let statement = |sql| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)];
    let pipeline: Vec<_> = [
        "SET search_path = app",
        "INSERT INTO s VALUES (50, 'x')",
        "SET search_path = public",
        "INSERT INTO t VALUES (50, 0)",
    ]
    .into_iter()
    .flat_map(statement)
    .chain([sync()])
    .collect();
    assert_eq!(transcript(&wire.ask(&pipeline).await), "12C12C12C12CZ");
    let both = "SET search_path = app; INSERT INTO s VALUES (51, 'x')";
    assert_eq!(transcript(&wire.ask(&[query(both)]).await), "EZ");
    shop.stores
        .old
        .becomes("SELECT count(*) FROM app.s WHERE id = 51", "0")
        .await;
    assert_equal(&shop).await;
}

#[tokio::test]
async fn a_table_that_hides_the_mapped_one_is_no_mapped_one() {
    for phase in ["dual-write", "dual-read"] {
        let shop = shop(phase).await;
        let client = shop.client().await;
        for sql in [
            "INSERT INTO public.t VALUES (60, 0)",
            "INSERT INTO t VALUES (61, 0)",
            "SET search_path = other, public",
            "INSERT INTO t VALUES (2, 666)",
            "DELETE FROM t WHERE id = 1",
            "SET search_path = public, other",
            "INSERT INTO t VALUES (62, 0)",
        ] {
            client
                .batch_execute(sql)
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
        shop.stores
            .old
            .becomes(
                "SELECT array_agg(id ORDER BY id)::text FROM t",
                "{1,60,61,62}",
            )
            .await;
        shop.stores.old.becomes("SELECT id FROM other.t", "2").await;
        assert_equal(&shop).await;
    }
}

#[tokio::test]
async fn a_temporary_table_from_before_the_flip_stays_one() {
    let mut shop = shop("use-old").await;
    let client = shop.client().await;
    client
        .batch_execute(
            "CREATE TEMP TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 5)",
        )
        .await
        .unwrap();
    shop.proxy.flip("dual-write").await;
    shop.complete();
    client
        .batch_execute("DELETE FROM t WHERE id = 1")
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO t VALUES (901, 666)")
        .await
        .unwrap();
    assert_equal(&shop).await;
}

#[tokio::test]
async fn a_write_in_another_encoding_is_refused_and_bad_bytes_are_told() {
    let shop = Shop::in_phase("dual-write").await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let raw = |sql: &[u8]| message(b'Q', &[sql, b"\0"].concat());
    let bad = wire
        .ask(&[raw(b"INSERT INTO orders (customer) VALUES ('\xff\xfe')")])
        .await;
    assert!(format!("{bad:?}").contains("22021"), "{bad:?}");
    wire.query("SET client_encoding = 'LATIN1'").await;
    let write = raw(b"INSERT INTO orders (customer) VALUES ('caf\xe9')");
    let refused = wire.ask(std::slice::from_ref(&write)).await;
    assert!(format!("{refused:?}").contains("0A000"), "{refused:?}");
    let unmapped = raw(b"UPDATE unmapped SET note = 'caf\xe9'");
    assert_eq!(transcript(&wire.ask(&[unmapped]).await), "CZ");
    shop.stores
        .old
        .becomes("SELECT note FROM unmapped", "caf\u{e9}")
        .await;
    wire.query("SET client_encoding = 'UTF8'").await;
    assert_eq!(
        transcript(
            &wire
                .query("INSERT INTO orders (customer) VALUES ('caf\u{e9}')")
                .await
        ),
        "CZ"
    );
    shop.assert_equal().await;
    shop.assert_clean().await;
}

#[tokio::test]
async fn trap_14_answers_of_two_stores_come_in_the_order_of_the_questions() {
    let shop = Shop::in_phase("new-primary").await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let slow = "SELECT 'old' FROM unmapped, pg_sleep(0.3)";
    wire.send(&[query(slow), query("SELECT 'new'")]).await;
    let (first, second) = (wire.ready().await, wire.ready().await);
    assert!(format!("{first:?}").contains("old"), "{first:?}");
    assert!(format!("{second:?}").contains("new"), "{second:?}");
    let one = |sql| {
        [
            parse("", sql, &[]),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ]
    };
    wire.send(&[one(slow), one("SELECT 'new'")].concat()).await;
    let (first, second) = (wire.ready().await, wire.ready().await);
    assert!(format!("{first:?}").contains("old"), "{first:?}");
    assert!(format!("{second:?}").contains("new"), "{second:?}");
}

#[tokio::test]
async fn an_implicit_transaction_over_both_stores_is_refused_whole() {
    let shop = Shop::in_phase("new-primary").await;
    let mut wire = shop.proxy.wire(&shop.stores.old).await;
    let (mapped, unmapped) = (
        "INSERT INTO orders (customer) VALUES ('both')",
        "UPDATE unmapped SET note = 'both'",
    );
    for (first, second) in [(mapped, unmapped), (unmapped, mapped)] {
        let statement = |sql| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)];
        let pipeline: Vec<_> = [first, second]
            .into_iter()
            .flat_map(statement)
            .chain([sync()])
            .collect();
        let answer = wire.ask(&pipeline).await;
        assert!(format!("{answer:?}").contains("0A000"), "{answer:?}");
        let stores = &shop.stores;
        stores
            .new
            .becomes("SELECT count(*) FROM orders WHERE customer = 'both'", "0")
            .await;
        stores
            .old
            .becomes("SELECT count(*) FROM unmapped WHERE note = 'both'", "0")
            .await;
    }
    shop.assert_equal().await;
}

#[tokio::test]
async fn copy_data_that_comes_before_it_is_asked_for() {
    for phase in ["dual-write", "new-primary"] {
        let shop = Shop::in_phase(phase).await;
        let mut wire = shop.proxy.wire(&shop.stores.old).await;
        let copy = "COPY unmapped FROM STDIN";
        wire.send(&[
            query(copy),
            copy_data(b"7\tseven\n"),
            copy_done(),
            query("SELECT 1"),
        ])
        .await;
        assert_eq!(transcript(&wire.ready().await), "GCZ", "{phase}");
        assert_eq!(transcript(&wire.ready().await), "TDCZ", "{phase}");
        let extended = [
            parse("", copy, &[]),
            bind("", "", &[]),
            execute("", 0),
            copy_data(b"8\teight\n"),
            copy_done(),
            sync(),
        ];
        assert_eq!(transcript(&wire.ask(&extended).await), "12GCZ", "{phase}");
        assert_eq!(
            shop.stores.old.value("SELECT count(*) FROM unmapped").await,
            "3",
            "{phase}"
        );
    }
}

#[tokio::test]
async fn a_custom_setting_moves_with_its_session() {
    let mut shop = Shop::in_phase("dual-read").await;
    let client = shop.client().await;
    client
        .batch_execute("SET myapp.tenant = 'seven'")
        .await
        .unwrap();
    shop.proxy.flip("new-primary").await;
    let row = client
        .query_one("SELECT current_setting('myapp.tenant', true)", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, Option<String>>(0).as_deref(), Some("seven"));
}
