//! WITH queries that write, on documents: what every part of them changes reaches the old store.

use crossfade_tests::{Database, SHOP, Stores};
use futures::future::join_all;

use super::Documents;
use crate::shop::SEED;

/// Moves rows from table to table, writes one that nobody reads, changes one row twice, takes a row away and puts it in again.
const MOVES: [(&str, u64); 7] = [
    (
        "WITH gone AS (DELETE FROM items WHERE order_id < 5 RETURNING *), up AS (UPDATE counters SET value = value + 1) \
         INSERT INTO orders (customer) SELECT product FROM gone",
        4,
    ),
    (
        "WITH made AS (INSERT INTO orders (customer, total) VALUES ('a', 1), ('b', 2) RETURNING id, customer) \
         INSERT INTO items (order_id, line, product) SELECT id, 7, customer FROM made",
        2,
    ),
    (
        "WITH up AS (UPDATE counters SET value = 100 WHERE name = 'counter 1' RETURNING name) \
         UPDATE counters SET value = 200 FROM up WHERE counters.name = up.name",
        0,
    ),
    (
        "WITH gone AS (DELETE FROM counters WHERE name = 'counter 2' RETURNING *) \
         INSERT INTO counters (name, value) SELECT name, value + 1000 FROM gone",
        1,
    ),
    (
        "WITH renamed AS (UPDATE counters SET name = 'counter 30' WHERE name = 'counter 3' RETURNING name) \
         DELETE FROM counters USING renamed WHERE counters.name = 'counter 4'",
        1,
    ),
    (
        "WITH up AS (INSERT INTO counters (name, value) VALUES ('counter 5', 5), ('fresh', 6) \
         ON CONFLICT (name) DO UPDATE SET value = counters.value + EXCLUDED.value RETURNING name) SELECT * FROM up",
        2,
    ),
    (
        "WITH a AS (UPDATE orders SET state = 'a' WHERE id = 20), b AS (UPDATE orders SET state = 'b' WHERE id = 20), \
         c AS (DELETE FROM items WHERE order_id = 21) UPDATE orders SET state = 'c' WHERE id BETWEEN 22 AND 25",
        4,
    ),
];

/// Ids that a sequence gave are not told: it goes on behind what is undone.
const STATE: &str = "SELECT (SELECT string_agg(name || '=' || value, ',' ORDER BY name COLLATE \"C\") FROM counters), \
     (SELECT string_agg(customer || state, ',' ORDER BY id) FROM orders), \
     (SELECT string_agg(CASE WHEN order_id > 50 THEN 'new' ELSE order_id::text END || '/' || line || product, ',' ORDER BY order_id, line) FROM items)";

/// What is in the tables, as the client sees it.
pub(super) async fn state(client: &tokio_postgres::Client) -> Vec<String> {
    let row = client.query_one(STATE, &[]).await.unwrap();
    (0..3).map(|column| row.get(column)).collect()
}

/// What the moves leave behind where PostgreSQL alone runs them.
async fn expected(moves: &[(&str, u64)]) -> Vec<String> {
    let stores = Stores::create_with(&format!("{SHOP}{SEED}"), "").await;
    for (sql, _) in moves {
        stores.old.run(sql).await;
    }
    of_rows(&stores.old).await
}

async fn of_rows(database: &Database) -> Vec<String> {
    let rows = database.rows(STATE).await;
    rows[0].iter().map(|value| value.clone().unwrap()).collect()
}

#[tokio::test]
async fn trap_10_with_queries_that_write_do_on_documents_what_they_do_on_rows() {
    alike_on_documents(&MOVES).await;
}

/// Runs the moves in the phases 5 to 7: what they tell, and what they leave in either store.
pub(super) async fn alike_on_documents(moves: &[(&str, u64)]) {
    let expected = expected(moves).await;
    let run = async |client: &tokio_postgres::Client| {
        for (sql, rows) in moves {
            let told = client.execute(*sql, &[]).await.unwrap();
            assert_eq!(told, *rows, "{sql}");
        }
        assert_eq!(state(client).await, expected);
    };
    let mut documents = Documents::shop().await;
    documents.walk(&["dual-read", "new-primary"]).await;
    run(&documents.client().await).await;
    documents.proxy.drained().await;
    documents.verify();
    assert_eq!(of_rows(documents.old()).await, expected);

    let mut documents = Documents::shop().await;
    let untouched = of_rows(documents.old()).await;
    documents
        .walk(&["dual-read", "new-primary", "new-writes"])
        .await;
    let client = documents.client().await;
    client.batch_execute("BEGIN").await.unwrap();
    run(&client).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(state(&client).await, untouched);
    documents.walk(&["backfill"]).await;
    run(&client).await;
    assert_eq!(of_rows(documents.old()).await, untouched);
}

#[tokio::test]
async fn trap_12_with_queries_in_transactions_are_whole_in_both_or_in_neither() {
    let mut documents = Documents::shop().await;
    documents.walk(&["dual-read", "new-primary"]).await;
    let client = documents.client().await;
    let before = state(&client).await;
    let moves = "WITH gone AS (DELETE FROM items WHERE order_id = 8 RETURNING *) \
        INSERT INTO orders (customer) SELECT product FROM gone";
    client
        .batch_execute(&format!("BEGIN; {moves}; ROLLBACK"))
        .await
        .unwrap();
    assert_eq!(state(&client).await, before);
    client
        .batch_execute(&format!(
            "BEGIN; UPDATE counters SET value = 7 WHERE name = 'counter 7'; SAVEPOINT s; {moves}; ROLLBACK TO s; \
             WITH up AS (UPDATE counters SET value = value + 1 WHERE name = 'counter 7' RETURNING value) \
             INSERT INTO items (order_id, line, product) SELECT 1, 99, value::text FROM up; COMMIT"
        ))
        .await
        .unwrap();
    // One part fails, and all of the statement is undone.
    let error = client
        .batch_execute(
            "WITH up AS (UPDATE counters SET value = 0 RETURNING name) \
             INSERT INTO items (order_id, line, product) SELECT 2, 1, name FROM up",
        )
        .await
        .unwrap_err();
    assert_eq!(error.code().unwrap().code(), "23505", "{error:?}");
    documents.proxy.drained().await;
    documents.verify();
    let read = async |sql: &str| {
        let row = client.query_one(sql, &[]).await.unwrap();
        row.get::<_, String>(0)
    };
    let sum = read("SELECT sum(value)::text FROM counters").await;
    assert_eq!(sum, "8");
    let made = read("SELECT product FROM items WHERE line = 99").await;
    assert_eq!(made, "8");
}

/// Clients that take steps of one counter, each of which puts its number down in a row of its own: none is lost or taken twice.
#[tokio::test]
async fn trap_01_two_clients_with_the_same_row_in_a_with_query() {
    const STEPS: usize = 40;
    let mut documents = Documents::shop().await;
    documents.walk(&["dual-read", "new-primary"]).await;
    let clients = join_all((0..2).map(|_| documents.client())).await;
    let sql = "WITH step AS (UPDATE counters SET value = value + 1 WHERE name = 'counter 1' RETURNING value) \
        INSERT INTO items (order_id, line, product) SELECT 1000, value::int, $1 FROM step RETURNING line";
    let taken = join_all(clients.iter().enumerate().map(async |(number, client)| {
        let mut taken = Vec::new();
        for _ in 0..STEPS {
            let row = client.query_one(sql, &[&format!("client {number}")]).await;
            taken.push(row.unwrap().get::<_, i32>(0));
        }
        taken
    }))
    .await;
    let mut taken = taken.concat();
    taken.sort_unstable();
    let all: Vec<i32> = (1..=i32::try_from(2 * STEPS).unwrap()).collect();
    assert_eq!(taken, all);
    documents.proxy.drained().await;
    documents.verify();
    let old = documents.old();
    old.becomes("SELECT value FROM counters WHERE name = 'counter 1'", "80")
        .await;
    old.becomes("SELECT count(*) FROM items WHERE order_id = 1000", "80")
        .await;
}

/// More images than a session holds back: the rows that go, and those that come.
#[tokio::test]
async fn trap_12_a_large_with_query_reaches_the_old_store_whole() {
    const ROWS: u64 = 5000;
    let mut documents = Documents::shop().await;
    documents.walk(&["dual-read", "new-primary"]).await;
    let client = documents.client().await;
    let fill = format!(
        "INSERT INTO items (order_id, line, product) SELECT 100, n, 'p' || n FROM generate_series(1, {ROWS}) n"
    );
    client.batch_execute(&fill).await.unwrap();
    let sql = "WITH gone AS (DELETE FROM items WHERE order_id = 100 RETURNING *) \
        INSERT INTO items (order_id, line, product) SELECT 200, line, product FROM gone WHERE line > 10";
    assert_eq!(client.execute(sql, &[]).await.unwrap(), ROWS - 10);
    let merge = "MERGE INTO items i USING (SELECT line, line % 3 AS rest FROM items WHERE order_id = 200) s ON i.order_id = 200 AND i.line = s.line \
        WHEN MATCHED AND rest = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET quantity = 7";
    assert_eq!(client.execute(merge, &[]).await.unwrap(), ROWS - 10);
    documents.proxy.drained().await;
    documents.verify();
    let old = documents.old();
    old.becomes("SELECT count(*) FROM items WHERE order_id = 100", "0")
        .await;
    let left = "SELECT count(*) FROM items WHERE order_id = 200 AND quantity = 7";
    let rest = (11..=ROWS).filter(|line| line % 3 != 0).count();
    old.becomes(left, &rest.to_string()).await;
}
