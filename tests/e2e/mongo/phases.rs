//! The phases in which SQL runs on documents.

use std::time::Duration;

use crossfade_tests::{Traffic, eventually};
use mongodb::bson::doc;

use super::Documents;

#[tokio::test]
async fn traffic_goes_on_through_every_phase_to_the_last() {
    let mut documents = Documents::shop().await;
    let traffic = Traffic::start(&documents.proxy.endpoint(documents.old()), 4).await;
    for phase in ["dual-read", "new-primary", "dual-read", "new-primary"] {
        traffic.progress(50).await;
        documents.proxy.flip(phase).await;
    }
    traffic.progress(50).await;
    // Under traffic some intent is nearly always open.
    documents.proxy.clean().await;
    documents.verify();
    for phase in ["new-writes", "backfill", "new-only"] {
        documents.walk(&[phase]).await;
        traffic.progress(50).await;
    }
    let report = traffic.stop().await;
    assert_eq!(report.errors, [""; 0]);
}

#[tokio::test]
async fn the_last_phase_waits_until_somebody_could_sign_in() {
    let mut documents = Documents::shop().await;
    documents
        .walk(&["dual-read", "new-primary", "new-writes", "backfill"])
        .await;
    let why = documents.proxy.flip_refused("new-only").await;
    assert!(why.contains("crossfade users import"), "{why}");
    // The file still asks for it: once there is a list, the toggle moves by itself.
    documents.proxy.cli(&["users", "import"]).expect(0);
    eventually("the last phase", Duration::from_secs(10), async || {
        documents.proxy.toggle("shop").await["effective"] == "new-only"
    })
    .await;
    documents
        .run("UPDATE orders SET total = 8 WHERE id = 8")
        .await;
}

#[tokio::test]
async fn trap_33_ids_go_on_where_the_old_sequence_was() {
    let mut documents = Documents::shop().await;
    documents.walk(&["dual-read", "new-primary"]).await;
    let client = documents.client().await;
    let insert = "INSERT INTO orders (customer) VALUES ('next') RETURNING id";
    let on_documents: i64 = client.query_one(insert, &[]).await.unwrap().get(0);
    assert_eq!(on_documents, 51);
    documents.proxy.drained().await;
    documents.walk(&["dual-read"]).await;
    let client = documents.client().await;
    let on_rows: i64 = client.query_one(insert, &[]).await.unwrap().get(0);
    assert!(on_rows > on_documents, "{on_rows}");
    documents.proxy.drained().await;
    documents.verify();
}

#[tokio::test]
async fn trap_33_sequences_that_no_counter_follows_are_named_long_before() {
    let mut documents = Documents::of(
        crossfade_tests::Mongod::start().await,
        "CREATE SEQUENCE down START 5 MINVALUE -3; CREATE SEQUENCE round;
         CREATE TABLE visits (id bigint PRIMARY KEY DEFAULT nextval('down'), turn bigint DEFAULT nextval('round'), who text)",
        "[toggle.shop.table.visits]\n",
    )
    .await;
    documents.complete();
    let said = |documents: &Documents| documents.proxy.cli(&["check"]).expect(0).stdout;
    let before = said(&documents);
    assert!(!before.contains("blocks new-primary"), "{before}");
    // Behind the proxy's back: it has learned the table when they counted up.
    let old = documents
        .old()
        .run("ALTER SEQUENCE down INCREMENT -1; ALTER SEQUENCE round CYCLE");
    old.await;
    let named = [
        "\"public.down\" of the column \"id\" counts down",
        "\"public.round\" of the column \"turn\" begins again",
    ];
    let check = said(&documents);
    for name in named {
        let line = format!("blocks new-primary: the sequence {name}");
        assert!(check.contains(&line), "{check}");
    }
    documents
        .run("INSERT INTO visits (who) VALUES ('old')")
        .await;
    documents.walk(&["dual-read"]).await;
    let why = documents.proxy.flip_refused("new-primary").await;
    let check = said(&documents);
    for reason in [
        "\"public.down\" counts down",
        "\"public.round\" begins again",
        "ALTER SEQUENCE public.down INCREMENT 1",
    ] {
        assert!(why.contains(reason), "{why}");
        assert!(check.contains(reason), "{check}");
    }
    let mended = "ALTER SEQUENCE down INCREMENT 3; ALTER SEQUENCE round INCREMENT 10 NO CYCLE";
    documents.old().run(mended).await;
    eventually("it moves by itself", Duration::from_secs(20), async || {
        documents.proxy.toggle("shop").await["effective"] == "new-primary"
    })
    .await;
    let client = documents.client().await;
    let insert = "INSERT INTO visits (who) VALUES ('new') RETURNING id, turn";
    let row = client.query_one(insert, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (8, 11));
    documents.proxy.drained().await;
    documents.verify();
}

#[tokio::test]
async fn trap_33_a_sequence_that_nobody_has_used_begins_at_its_beginning() {
    let mut documents = Documents::of(
        crossfade_tests::Mongod::start().await,
        "CREATE SEQUENCE tens START 10 INCREMENT 10; CREATE TABLE visits (id bigint PRIMARY KEY DEFAULT nextval('tens'), who text)",
        "[toggle.shop.table.visits]\n",
    )
    .await;
    documents.complete();
    documents.walk(&["dual-read", "new-primary"]).await;
    let client = documents.client().await;
    let insert = "INSERT INTO visits (who) VALUES ('first'), ('second') RETURNING id";
    let rows = client.query(insert, &[]).await.unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(ids, [10, 20]);
    documents.proxy.drained().await;
    documents.verify();
}

#[tokio::test]
async fn a_column_that_is_not_carried_is_refused_and_never_null() {
    let mut documents = Documents::of(
        crossfade_tests::Mongod::start().await,
        "CREATE TABLE people (id int PRIMARY KEY, name text, secret text, at timestamp);
         INSERT INTO people VALUES (1, 'Ann', 's1', '-infinity'), (2, 'Bob', 's2', NULL), (3, 'Eve', 's3', '2020-01-01')",
        "[toggle.shop.table.people]\ncolumn.secret = false\n",
    )
    .await;
    documents.complete();
    documents.walk(&["dual-read", "new-primary"]).await;
    let client = documents.client().await;
    for sql in [
        "SELECT * FROM people WHERE id = 1",
        "SELECT id FROM people WHERE secret IS NULL",
        "SELECT count(secret) FROM people",
        "UPDATE people SET secret = 'x' WHERE id = 1",
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "0A000", "{sql}: {error:?}");
    }
    client
        .batch_execute("UPDATE people SET name = 'Anna' WHERE id = 1")
        .await
        .unwrap();
    let first = |order: &str| format!("SELECT id FROM people ORDER BY at {order}");
    for (order, ids) in [
        ("NULLS FIRST", [2, 1, 3]),
        ("DESC NULLS LAST", [3, 1, 2]),
        ("", [1, 3, 2]),
        ("DESC", [2, 3, 1]),
    ] {
        let rows = client.query(&first(order), &[]).await.unwrap();
        let found: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(found, ids, "{order}");
    }
    documents.proxy.drained().await;
    documents.verify();
    let old = documents.old();
    old.becomes("SELECT name || secret FROM people WHERE id = 1", "Annas1")
        .await;
}

#[tokio::test]
async fn trap_38_from_6_on_back_only_after_a_reverse_reconcile() {
    let mut documents = Documents::shop().await;
    documents
        .walk(&["dual-read", "new-primary", "new-writes"])
        .await;
    documents
        .run(
            "INSERT INTO orders (customer) VALUES ('only in documents'); UPDATE orders SET total = 60 WHERE id = 6; \
             DELETE FROM items WHERE order_id = 7; DELETE FROM orders WHERE id = 7",
        )
        .await;
    let why = documents.proxy.flip_refused("new-primary").await;
    assert!(why.contains("--reverse"), "no command in: {why}");
    documents.proxy.ask("shop", "new-writes");
    documents.proxy.cli(&["backfill", "--reverse"]).expect(0);
    // The first run repairs what it finds, the second proves it.
    let _ = documents.proxy.cli(&["verify", "--reverse", "--repair"]);
    documents.proxy.cli(&["verify", "--reverse"]).expect(0);
    documents.walk(&["new-primary"]).await;
    // What was written between the proof and the step went to the documents alone.
    documents.proxy.cli(&["verify", "--reverse"]).expect(0);
    documents.walk(&["dual-read"]).await;
    let old = documents.old();
    old.becomes("SELECT total FROM orders WHERE id = 6", "60.00")
        .await;
    old.becomes("SELECT count(*) FROM orders WHERE id = 7", "0")
        .await;
    old.becomes(
        "SELECT count(*) FROM orders WHERE customer = 'only in documents'",
        "1",
    )
    .await;
    documents.verify();
}

#[tokio::test]
async fn a_write_that_the_old_store_refuses_is_repaired_before_the_way_back() {
    let mut documents = Documents::shop().await;
    documents.walk(&["dual-read", "new-primary"]).await;
    documents
        .old()
        .run("ALTER TABLE orders ADD CONSTRAINT short CHECK (length(customer) < 20) NOT VALID")
        .await;
    documents
        .run("UPDATE orders SET customer = 'much too long for the old store' WHERE id = 5")
        .await;
    let why = documents.proxy.flip_refused("dual-read").await;
    assert!(why.contains("dirty"), "{why}");
    documents
        .old()
        .run("ALTER TABLE orders DROP CONSTRAINT short")
        .await;
    documents.proxy.ask("shop", "new-primary");
    documents.proxy.drained().await;
    documents.walk(&["dual-read"]).await;
    documents.verify();
}

#[tokio::test]
async fn trap_3_a_proxy_that_dies_in_phase_5_leaves_both_stores_alike() {
    let mut documents = Documents::shop().await;
    documents.walk(&["dual-read", "new-primary"]).await;
    let traffic = Traffic::start(&documents.proxy.endpoint(documents.old()), 4).await;
    traffic.progress(60).await;
    documents.proxy.kill9();
    drop(traffic.stop().await);
    documents.proxy.restart().await;
    documents.proxy.drained().await;
    documents.verify();
    documents
        .run("UPDATE orders SET total = 9 WHERE id = 9")
        .await;
}

#[tokio::test]
async fn the_last_phase_needs_no_old_store_and_no_memory_of_the_process() {
    let mut documents = Documents::shop().await;
    documents
        .walk(&[
            "dual-read",
            "new-primary",
            "new-writes",
            "backfill",
            "new-only",
        ])
        .await;
    documents
        .old()
        .run("ALTER TABLE orders RENAME TO gone")
        .await;
    documents.proxy.kill9();
    documents.proxy.restart().await;
    let client = documents.client().await;
    let insert = "INSERT INTO orders (customer) VALUES ('after the restart') RETURNING id, state";
    let row = client.query_one(insert, &[]).await.unwrap();
    let (id, state): (i64, String) = (row.get(0), row.get(1));
    assert_eq!(state, "new");
    let orders = documents.collection("orders").await;
    let document = orders.find_one(doc! { "_id": id }).await.unwrap();
    assert_eq!(
        document.unwrap().get_str("customer").unwrap(),
        "after the restart"
    );
}

/// Documents know no schemas but those of the mapping; clients speak the old store's.
#[tokio::test]
async fn trap_13_a_name_means_what_it_means_in_the_old_store() {
    let mut documents = Documents::of(
        crossfade_tests::Mongod::start().await,
        "CREATE TABLE notes (id int PRIMARY KEY, a text); INSERT INTO notes SELECT n, 'public' FROM generate_series(1, 9) n;
         CREATE SCHEMA archive; CREATE TABLE archive.notes AS SELECT * FROM notes",
        "[toggle.shop.table.notes]\n",
    )
    .await;
    documents.complete();
    documents.walk(&["dual-read", "new-primary"]).await;
    for (id, (path, means)) in [
        ("archive, public", "archive"),
        ("public, archive", "public"),
        ("\"$user\", public", "public"),
    ]
    .into_iter()
    .enumerate()
    {
        let client = documents.client().await;
        let set = format!("SET search_path = {path}");
        client.batch_execute(&set).await.unwrap();
        let delete = format!("DELETE FROM notes WHERE id = {}", id + 1);
        client.batch_execute(&delete).await.unwrap();
        documents.proxy.drained().await;
        for schema in ["archive", "public"] {
            let left = format!("SELECT count(*) FROM {schema}.notes WHERE id = {}", id + 1);
            let expected = if schema == means { "0" } else { "1" };
            assert_eq!(
                documents.old().value(&left).await,
                expected,
                "{path}: {schema}"
            );
        }
    }
    documents.verify();
}
