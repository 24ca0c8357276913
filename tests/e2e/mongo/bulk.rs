//! COPY FROM, TRUNCATE, and transactions that are larger than what a session may hold of them.

use bytes::Bytes;
use crossfade_tests::{Mongod, SHOP, SHOP_TABLES};
use futures::SinkExt as _;
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
    // SQL on documents has no MERGE.
    let sql =
        "MERGE INTO items i USING items s ON i.order_id = s.order_id WHEN MATCHED THEN DELETE";
    let refused = documents.client().await.batch_execute(sql).await;
    let error = refused.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "0A000", "{error:?}");
    assert!(
        error.message().contains("items\" in phase new-primary"),
        "{error:?}"
    );
}

#[tokio::test]
async fn trap_15_copies_and_truncates_without_transactions() {
    filled_and_emptied(Mongod::standalone().await).await;
}
