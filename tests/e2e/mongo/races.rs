//! Several clients at once.

use futures::future::join_all;

use super::Documents;

#[tokio::test]
async fn trap_01_two_clients_on_one_row_leave_both_stores_alike() {
    let documents = Documents::shop().await;
    let clients = join_all((0..4).map(|_| documents.client())).await;
    join_all(clients.iter().enumerate().map(async |(number, client)| {
        for round in 0..50 {
            let state = format!("{number}/{round}");
            client
                .execute("UPDATE orders SET state = $1 WHERE id = 1", &[&state])
                .await
                .unwrap();
            let count = "UPDATE counters SET value = value + 1 WHERE name = 'counter 1'";
            client.execute(count, &[]).await.unwrap();
        }
    }))
    .await;
    documents.proxy.drained().await;
    documents.verify();
}

#[tokio::test]
async fn trap_01_insert_and_delete_of_one_key() {
    let documents = Documents::shop().await;
    let clients = join_all((0..4).map(|_| documents.client())).await;
    join_all(clients.iter().enumerate().map(async |(number, client)| {
        for round in 0..40 {
            let value = i64::try_from(number * 1000 + round).unwrap();
            let insert = "INSERT INTO counters VALUES ('contended', $1) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value";
            client.execute(insert, &[&value]).await.unwrap();
            if round % 3 == 0 {
                client.execute("DELETE FROM counters WHERE name = 'contended'", &[]).await.unwrap();
            }
        }
    }))
    .await;
    documents.proxy.drained().await;
    documents.verify();
}

#[tokio::test]
async fn transactions_end_alike_in_both() {
    let documents = Documents::shop().await;
    documents
        .run("BEGIN; UPDATE orders SET total = 9 WHERE id = 1; ROLLBACK")
        .await;
    documents
        .run("BEGIN; UPDATE orders SET total = 8 WHERE id = 2; SAVEPOINT s; DELETE FROM orders; ROLLBACK TO s; DELETE FROM orders WHERE id = 3; COMMIT")
        .await;
    documents
        .run("INSERT INTO orders (customer) SELECT 'bulk ' || n FROM generate_series(1, 3000) n")
        .await;
    documents
        .run("UPDATE items SET line = line + 1 WHERE order_id < 5")
        .await;
    documents.proxy.drained().await;
    documents.verify();
}
