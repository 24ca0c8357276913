//! Rows that foreign keys change in PostgreSQL, with documents as the secondary: those have no constraints at all.

use std::time::Duration;

use crossfade_tests::Mongod;
use tokio_postgres::error::SqlState;

use super::Documents;

const SCHEMA: &str = "
    CREATE TABLE parents (id int PRIMARY KEY, name text);
    CREATE TABLE children (id int PRIMARY KEY, parent int CONSTRAINT kin REFERENCES parents ON DELETE CASCADE);
    CREATE TABLE grandchildren (id int PRIMARY KEY, child int CONSTRAINT grand REFERENCES children ON DELETE CASCADE);
    CREATE TABLE guests (id int PRIMARY KEY, host int CONSTRAINT host REFERENCES parents ON DELETE SET NULL ON UPDATE CASCADE);
    INSERT INTO parents SELECT n, 'p' FROM generate_series(1, 9) n;
    INSERT INTO children SELECT n, n % 9 + 1 FROM generate_series(1, 30) n;
    INSERT INTO grandchildren SELECT n, n % 30 + 1 FROM generate_series(1, 60) n;
    INSERT INTO guests SELECT n, n % 9 + 1 FROM generate_series(1, 20) n;";
const TABLES: &str = "[toggle.shop.table.parents]\n[toggle.shop.table.children]\n[toggle.shop.table.grandchildren]\n[toggle.shop.table.guests]\nacknowledge = [\"host\"]\n";

async fn followed(server: Mongod) {
    let documents = Documents::of(server, SCHEMA, TABLES).await;
    documents.complete();
    documents
        .run("DELETE FROM parents WHERE id < 3; DELETE FROM children WHERE id = 5")
        .await;
    documents
        .run("BEGIN; DELETE FROM parents WHERE id = 4; INSERT INTO parents VALUES (4, 'again'); SAVEPOINT s; DELETE FROM parents WHERE id = 5; ROLLBACK TO s; COMMIT")
        .await;
    documents
        .run("BEGIN; DELETE FROM parents WHERE id = 6; ROLLBACK")
        .await;
    documents.proxy.drained().await;
    documents.verify();
}

#[tokio::test]
async fn trap_10_what_foreign_keys_change_reaches_documents() {
    followed(Mongod::start().await).await;
}

#[tokio::test]
async fn trap_10_what_foreign_keys_change_reaches_documents_without_transactions() {
    followed(Mongod::standalone().await).await;
}

/// A key that the table computes changes without being named.
#[tokio::test]
async fn trap_09_a_computed_key_that_changes_leaves_nothing_behind() {
    let schema =
        "CREATE TABLE pairs (n int, id int GENERATED ALWAYS AS (n * 2) STORED PRIMARY KEY, v text);
        INSERT INTO pairs (n, v) SELECT n, 'v' FROM generate_series(1, 20) n;";
    let mut documents =
        Documents::of(Mongod::start().await, schema, "[toggle.shop.table.pairs]\n").await;
    documents.complete();
    for (phase, n) in [("dual-write", 1), ("dual-read", 2), ("new-primary", 3)] {
        documents.proxy.flip(phase).await;
        let change = format!("UPDATE pairs SET n = {n} + 100, v = 'changed' WHERE id = {n} * 2");
        documents.run(&change).await;
        documents.proxy.drained().await;
        let client = documents.client().await;
        let found = client.query("SELECT id FROM pairs ORDER BY id", &[]);
        let found: Vec<i32> = found.await.unwrap().iter().map(|row| row.get(0)).collect();
        let expected = (n + 1..=20).chain(101..=100 + n).map(|n| n * 2);
        assert_eq!(found, expected.collect::<Vec<_>>(), "{phase}");
    }
    documents.verify();
}

/// Documents delete the children themselves, and the old store by its own constraint, which does not act on a parent that is put in again.
#[tokio::test]
async fn trap_10_a_parent_put_in_again_has_its_children_verified_before_the_step_back() {
    let mut documents = Documents::of(Mongod::start().await, SCHEMA, TABLES).await;
    documents.complete();
    documents.walk(&["dual-read", "new-primary"]).await;
    let client = documents.client().await;
    client
        .batch_execute("DELETE FROM guests; DELETE FROM parents WHERE id = 1")
        .await
        .unwrap();
    documents.proxy.flip("dual-read").await;
    documents.proxy.flip("new-primary").await;
    client
        .batch_execute("BEGIN; DELETE FROM parents WHERE id = 2; INSERT INTO parents VALUES (2, 'again'); COMMIT")
        .await
        .unwrap();
    let reason = documents.proxy.flip_refused("dual-read").await;
    documents.proxy.ask("shop", "new-primary");
    for table in ["children", "grandchildren", "guests"] {
        let command = format!("verify --reverse --repair --table public.{table}");
        assert!(reason.contains(&command), "{reason}");
        let _ = documents
            .proxy
            .cli(&["verify", "--reverse", "--repair", "--table", table]);
        documents
            .proxy
            .cli(&["verify", "--reverse", "--table", table])
            .expect(0);
    }
    documents.proxy.flip("dual-read").await;
    documents.verify();
    let left = "SELECT count(*) FROM children WHERE parent = 2";
    assert_eq!(documents.stores.old.value(left).await, "0");
}

/// A DELETE of a parent waits for another row, and MongoDB has ended what held the parent. A child that comes meanwhile would be left in documents alone, were the DELETE made again.
#[tokio::test]
async fn trap_10_a_child_that_comes_while_its_parents_delete_waits_is_in_both_stores() {
    let mut documents = Documents::of(Mongod::start().await, SCHEMA, TABLES).await;
    documents.complete();
    documents.walk(&["dual-read", "new-primary"]).await;
    documents.run("DELETE FROM guests").await;
    let (deleting, holding) = (documents.client().await, documents.client().await);
    deleting
        .batch_execute("BEGIN; DELETE FROM parents WHERE id = 1")
        .await
        .unwrap();
    holding
        .batch_execute("BEGIN; UPDATE parents SET name = 'held' WHERE id = 9")
        .await
        .unwrap();
    let (waited, ()) = tokio::join!(
        deleting.batch_execute("UPDATE parents SET name = name || '!' WHERE id = 9"),
        async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            documents.run("INSERT INTO children VALUES (100, 1)").await;
            holding.batch_execute("COMMIT").await.unwrap();
        }
    );
    let failed = waited.unwrap_err();
    assert_eq!(failed.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE));
    deleting.batch_execute("ROLLBACK").await.unwrap();
    // Tried again, it takes the child along.
    documents.proxy.drained().await;
    documents.proxy.cli(&["verify", "--reverse"]).expect(0);
    let children = "SELECT count(*) FROM children WHERE id = 100";
    assert_eq!(documents.stores.old.value(children).await, "1");
    documents.run("DELETE FROM parents WHERE id = 1").await;
    documents.proxy.drained().await;
    assert_eq!(documents.stores.old.value(children).await, "0");
    documents.proxy.flip("dual-read").await;
    documents.verify();
}
