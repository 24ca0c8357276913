//! COPY FROM, TRUNCATE, and transactions that are larger than what a session may hold of them.

use std::{fmt::Write as _, time::Instant};

use bytes::Bytes;
use crossfade_tests::{Mongod, SHOP, SHOP_TABLES};
use futures::{SinkExt as _, TryStreamExt as _, future::join_all};
use mongodb::bson::doc;
use tokio_postgres::Client;

use super::Documents;
use crate::shop::SEED;

async fn copy(client: &Client, first: u32, rows: u32) {
    let sink = client.copy_in("COPY items (order_id, line, product) FROM STDIN (FORMAT csv)");
    let mut sink = std::pin::pin!(sink.await.unwrap());
    for row in first..first + rows {
        let line = Bytes::from(format!("{row},1,\"product, copied\"\n"));
        sink.send(line).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), u64::from(rows));
}

async fn filled_and_emptied(server: Mongod) -> Documents {
    let schema = format!("{SHOP}{SEED}");
    let narrow = "max_transaction_bytes = \"64KiB\"\n";
    let documents = Documents::with(server, &schema, SHOP_TABLES, narrow).await;
    documents.complete();
    fill_and_empty(&documents).await;
    let client = documents.client().await;
    client
        .batch_execute(
            "MERGE INTO counters c USING (SELECT customer, total FROM orders WHERE id > 40) o ON c.name = o.customer \
             WHEN NOT MATCHED THEN INSERT (name, value) VALUES (o.customer, o.total); \
             MERGE INTO counters c USING orders o ON c.name = o.customer WHEN MATCHED AND o.id % 2 = 0 THEN DELETE \
             WHEN MATCHED THEN UPDATE SET name = 'order ' || o.id, value = c.value + 1 WHEN NOT MATCHED AND o.id < 3 THEN INSERT (name) VALUES (o.customer)",
        )
        .await
        .unwrap();
    documents.verify();
    documents
}

async fn fill_and_empty(documents: &Documents) {
    let client = documents.client().await;
    client.batch_execute("TRUNCATE items").await.unwrap();
    copy(&client, 1000, 20).await;
    copy(&client, 2000, 2000).await;
    documents.verify();
    client
        .batch_execute("TRUNCATE counters, items")
        .await
        .unwrap();
    documents.verify();
    // Filled again in one transaction, of which a part is undone, and then all.
    client.batch_execute("BEGIN; TRUNCATE orders RESTART IDENTITY; INSERT INTO orders (customer) SELECT 'many ' || n FROM generate_series(1, 2000) n").await.unwrap();
    copy(&client, 1, 1500).await;
    client.batch_execute("DELETE FROM items WHERE order_id % 3 = 0; UPDATE items SET quantity = 7 WHERE order_id % 2 = 0; COMMIT").await.unwrap();
    documents.proxy.drained().await;
    documents.verify();
    client.batch_execute("BEGIN").await.unwrap();
    copy(&client, 5000, 1500).await;
    client.batch_execute("SAVEPOINT a").await.unwrap();
    copy(&client, 7000, 1500).await;
    client
        .batch_execute("ROLLBACK TO a; COMMIT; BEGIN")
        .await
        .unwrap();
    copy(&client, 9000, 1500).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    // Without transactions the store keeps what it was given, until it is repaired.
    documents.proxy.drained().await;
    documents.verify();
    assert_eq!(
        documents
            .old()
            .value("SELECT count(*) FROM items WHERE order_id >= 5000")
            .await,
        "1500"
    );
}

#[tokio::test]
async fn trap_15_copies_and_truncates_with_transactions() {
    let mut documents = filled_and_emptied(Mongod::start().await).await;
    // The same on documents.
    documents.walk(&["dual-read", "new-primary"]).await;
    fill_and_empty(&documents).await;
}

#[tokio::test]
async fn trap_15_copies_and_truncates_without_transactions() {
    filled_and_emptied(Mongod::standalone().await).await;
}

#[tokio::test]
async fn trap_16_a_copy_into_documents_that_does_not_end_reaches_neither() {
    let mut documents = Documents::shop().await;
    documents.walk(&["dual-read", "new-primary"]).await;
    let client = documents.client().await;
    let before = client.query_one("SELECT count(*) FROM items", &[]).await;
    let before: i64 = before.unwrap().get(0);
    // The client goes in the middle, behind what has been inserted already.
    let gone = documents.client().await;
    {
        let sink = gone.copy_in("COPY items (order_id, line, product) FROM STDIN");
        let mut sink = std::pin::pin!(sink.await.unwrap());
        for row in 0..5000 {
            let line = Bytes::from(format!("{row}\t77\tgone\n"));
            sink.send(line).await.unwrap();
        }
        // Dropped, the copy fails by the client's word.
    }
    drop(gone);
    // An error in the last line, in the transaction's second statement.
    let copy = async |data: &'static str| {
        let sink = client.copy_in("COPY counters (name, value) FROM STDIN (FORMAT csv)");
        let mut sink = std::pin::pin!(sink.await.unwrap());
        sink.send(Bytes::from_static(data.as_bytes()))
            .await
            .unwrap();
        sink.finish().await
    };
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(copy("one,1\ntwo,2\n").await.unwrap(), 2);
    let error = copy("three,3\ncounter 1,x\n").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "22P02");
    let place = "COPY counters, line 2, column value: \"x\"";
    assert_eq!(error.where_(), Some(place));
    client.batch_execute("ROLLBACK").await.unwrap();
    let error = copy("four,4\ncounter 1,1\n").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(
        (error.code().code(), error.where_()),
        ("23505", Some("COPY counters, line 2: \"counter 1,1\""))
    );
    documents.proxy.drained().await;
    documents.verify();
    let left = "SELECT count(*) FROM items UNION ALL SELECT count(*) FROM counters WHERE name IN ('one', 'two', 'three', 'four')";
    let rows = client.query(left, &[]).await.unwrap();
    let counts: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(counts, [before, 0]);
}

#[tokio::test]
async fn trap_15_a_large_copy_into_documents_in_bounded_memory() {
    let megabytes = crate::failures::number("CROSSFADE_COPY_MB", 100);
    let schema = format!("{SHOP}{SEED}");
    let narrow = "max_transaction_bytes = \"8MiB\"\n";
    let mut documents = Documents::with(Mongod::start().await, &schema, SHOP_TABLES, narrow).await;
    documents.complete();
    // What is not committed has to fit into a part of MongoDB's cache, which is a small one in tests.
    let admin = documents.server.database("admin").await;
    admin
        .run_command(doc! { "setParameter": 1, "wiredTigerEngineRuntimeConfig": "cache_size=2G" })
        .await
        .unwrap();
    documents.walk(&["dual-read", "new-primary"]).await;
    let client = documents.client().await;
    let filler = "f".repeat(10_000);
    let start = Instant::now();
    let sink = client.copy_in("COPY items (order_id, line, product) FROM STDIN");
    let mut sink = std::pin::pin!(sink.await.unwrap());
    for order in 0..megabytes {
        let mut data = String::with_capacity(1_100_000);
        for line in 0..100 {
            writeln!(data, "{}\t{line}\t{filler}", 1000 + order).unwrap();
        }
        sink.send(Bytes::from(data)).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), megabytes * 100);
    let peak = documents.proxy.peak_rss() >> 20;
    println!(
        "{megabytes} MB in {:?}, at most {peak} MB of memory",
        start.elapsed()
    );
    assert!(peak < 180, "{peak} MB of memory for {megabytes} MB of rows");
    documents.proxy.drained().await;
    let count = "SELECT count(*) FROM items WHERE order_id >= 1000";
    let expected = (megabytes * 100).to_string();
    assert_eq!(documents.old().value(count).await, expected);
}

#[tokio::test]
async fn trap_01_truncates_between_writers_of_documents_leave_both_stores_alike() {
    let mut documents = Documents::shop().await;
    documents.walk(&["dual-read", "new-primary"]).await;
    let writers = (0..3).map(async |writer: i64| {
        let client = documents.client().await;
        for n in 0..30 {
            let name = format!("name {}", (writer * 7 + n) % 10);
            let sql = "INSERT INTO counters (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = counters.value + 1";
            client.execute(sql, &[&name, &n]).await.unwrap();
            if n % 5 == 0 {
                let sql = "DELETE FROM counters WHERE name = $1";
                client.execute(sql, &[&name]).await.unwrap();
            }
        }
    });
    let truncates = async {
        let client = documents.client().await;
        for _ in 0..15 {
            client.batch_execute("TRUNCATE counters").await.unwrap();
        }
    };
    futures::join!(join_all(writers), truncates);
    documents.proxy.drained().await;
    documents.verify();
}

#[tokio::test]
async fn copies_and_truncates_of_documents_alone() {
    let mut documents = Documents::shop().await;
    for phase in ["new-writes", "new-only"] {
        documents
            .walk(match phase {
                "new-writes" => &["dual-read", "new-primary", "new-writes"],
                _ => &["backfill", "new-only"],
            })
            .await;
        let client = documents.client().await;
        client
            .batch_execute("TRUNCATE items, orders RESTART IDENTITY CASCADE")
            .await
            .unwrap();
        copy(&client, 1, 2500).await;
        let sink = client.copy_in("COPY orders (customer) FROM STDIN (FORMAT csv)");
        let mut sink = std::pin::pin!(sink.await.unwrap());
        sink.send(Bytes::from_static(b"a\n\"b, c\"\n"))
            .await
            .unwrap();
        assert_eq!(sink.finish().await.unwrap(), 2);
        let out = client.copy_out("COPY (SELECT id, customer FROM orders ORDER BY id) TO STDOUT");
        let out: Vec<Bytes> = out.await.unwrap().try_collect().await.unwrap();
        assert_eq!(out.concat(), b"1\ta\n2\tb, c\n", "{phase}");
        let out = client.copy_out("COPY items TO STDOUT (FORMAT binary)");
        let out: Vec<Bytes> = out.await.unwrap().try_collect().await.unwrap();
        // The trailer is a message of its own.
        assert_eq!(out.len(), 2501, "{phase}");
    }
}
