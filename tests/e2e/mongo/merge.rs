//! MERGE on documents: the rows that it writes reach the old store.

use futures::future::join_all;

use super::{
    Documents,
    with::{alike_on_documents, state},
};

/// Every action, several at once, a changed key, a key that is given up and taken again.
const MERGES: [(&str, u64); 6] = [
    (
        "MERGE INTO counters c USING (VALUES ('counter 1', 5), ('counter 2', 0), ('fresh', 7), ('none', 0)) v(name, n) ON c.name = v.name \
         WHEN MATCHED AND v.n = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET value = c.value + v.n \
         WHEN NOT MATCHED AND v.n = 0 THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (name, value) VALUES (v.name, v.n)",
        3,
    ),
    (
        "MERGE INTO counters c USING (SELECT 'counter 3' AS name) v ON c.name = v.name WHEN MATCHED THEN UPDATE SET name = 'counter 33', value = 33",
        1,
    ),
    (
        "MERGE INTO orders o USING items i ON o.id = i.order_id AND i.order_id < 10 \
         WHEN MATCHED AND o.id > 7 THEN DELETE WHEN MATCHED THEN UPDATE SET customer = i.product, state = 'merged'",
        9,
    ),
    (
        "MERGE INTO items i USING orders o ON o.id = i.order_id WHEN NOT MATCHED THEN INSERT (order_id, line, product) VALUES (o.id, 1, o.customer)",
        0,
    ),
    (
        "MERGE INTO items i USING (SELECT id, customer FROM orders WHERE id < 4) o ON i.order_id = o.id AND i.line = 2 \
         WHEN NOT MATCHED THEN INSERT (order_id, line, product) VALUES (o.id, 2, o.customer)",
        3,
    ),
    (
        "WITH s AS (SELECT name FROM counters WHERE value = 0) MERGE INTO counters c USING s ON c.name = s.name \
         WHEN MATCHED AND c.name = 'counter 9' THEN DELETE WHEN MATCHED THEN UPDATE SET value = 100",
        7,
    ),
];

#[tokio::test]
async fn trap_10_merge_does_on_documents_what_it_does_on_rows() {
    alike_on_documents(&MERGES).await;
}

#[tokio::test]
async fn trap_12_merges_on_documents_are_whole_in_both_or_in_neither() {
    let mut documents = Documents::shop().await;
    documents.walk(&["dual-read", "new-primary"]).await;
    let client = documents.client().await;
    let before = state(&client).await;
    let merge = "MERGE INTO counters c USING (VALUES ('counter 4', 4), ('made', 5)) v(name, n) ON c.name = v.name \
        WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (name, value) VALUES (v.name, v.n)";
    client
        .batch_execute(&format!("BEGIN; {merge}; ROLLBACK"))
        .await
        .unwrap();
    assert_eq!(state(&client).await, before);
    client
        .batch_execute(&format!(
            "BEGIN; UPDATE counters SET value = 7 WHERE name = 'counter 7'; SAVEPOINT s; {merge}; ROLLBACK TO s; \
             MERGE INTO counters c USING (VALUES ('counter 7')) v(name) ON c.name = v.name WHEN MATCHED THEN UPDATE SET value = c.value + 1; COMMIT"
        ))
        .await
        .unwrap();
    // Written in the middle, then refused: all of it is undone.
    let twice = "MERGE INTO counters c USING (VALUES ('counter 8', 1), ('counter 9', 1), ('counter 8', 2)) v(name, n) ON c.name = v.name \
        WHEN MATCHED THEN UPDATE SET value = v.n";
    let error = client.batch_execute(twice).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "21000", "{error:?}");
    // What a WITH query in front of it writes could not be captured.
    let with = "WITH gone AS (DELETE FROM items RETURNING *) MERGE INTO orders o USING gone ON o.id = gone.order_id WHEN MATCHED THEN DELETE";
    let error = client.batch_execute(with).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "0A000", "{error:?}");
    documents.proxy.drained().await;
    documents.verify();
    let row = client
        .query_one("SELECT sum(value)::text FROM counters", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "8");
}

/// Clients that count the same rows up, prepared, and make them where they are not there: no step is lost.
#[tokio::test]
async fn trap_01_two_clients_that_merge_into_the_same_row() {
    const STEPS: i64 = 40;
    let mut documents = Documents::shop().await;
    documents.walk(&["dual-read", "new-primary"]).await;
    let clients = join_all((0..2).map(|_| documents.client())).await;
    join_all(clients.iter().map(async |client| {
        let merge = client
            .prepare(
                "MERGE INTO counters c USING (SELECT $1::text AS name) v ON c.name = v.name \
                 WHEN MATCHED THEN UPDATE SET value = c.value + 1 WHEN NOT MATCHED THEN INSERT (name, value) VALUES (v.name, 1)",
            )
            .await
            .unwrap();
        for step in 0..STEPS {
            let name = format!("merged {}", step / 4);
            // Both may find that a row is not there; then PostgreSQL, too, tells the later one of a duplicate.
            while let Err(error) = client.execute(&merge, &[&name]).await {
                assert_eq!(error.code().unwrap().code(), "23505", "{error:?}");
            }
        }
    }))
    .await;
    documents.proxy.drained().await;
    documents.verify();
    let old = documents.old();
    let sum = "SELECT sum(value)::text FROM counters WHERE name LIKE 'merged %'";
    old.becomes(sum, &(2 * STEPS).to_string()).await;
}
