use bytes::Bytes;
use crossfade_journal::{KeyRef, Reason};
use crossfade_phase::{Phase, Side};
use crossfade_reconcile::{Comparison, Direction};
use crossfade_store::Key;

use crate::pair::Pair;

async fn copied(phase: Phase) -> Pair {
    let pair = Pair::new(phase).await;
    pair.fill(2000).await;
    for table in ["customers", "orders"] {
        pair.backfill(table, Direction::Forward).await.unwrap();
    }
    pair
}

#[tokio::test]
async fn a_differing_row_among_thousands_is_named_with_its_old_columns_and_repaired() {
    let pair = copied(Phase::DualRead).await;
    pair.databases
        .new
        .run(
            "UPDATE app.orders SET amount = amount + 0.0001 WHERE id = 777;
             UPDATE app.orders SET note = NULL, tags = '{}' WHERE id = 1234;
             DELETE FROM app.orders WHERE id = 1;
             INSERT INTO app.orders VALUES ('zz', 99999, 1, 1)",
        )
        .await;
    let report = pair.verify("orders", Direction::Forward, false).await;
    let mut found: Vec<String> = report.listed.iter().map(ToString::to_string).collect();
    found.sort();
    assert_eq!(
        found,
        [
            "(eu, 777): differs in total",
            "(zz, 99999): missing in the old store",
            "(Ä, 1): missing in the new store",
            "(Ä, 1234): differs in tags, note",
        ]
    );
    assert!(!report.complete);
    let report = pair.verify("orders", Direction::Forward, true).await;
    assert_eq!(
        (report.differences, report.left(), report.complete),
        (4, 0, true)
    );
    assert_eq!(pair.journal.dirty_count("shop"), 0);
}

#[tokio::test]
async fn a_compared_read_is_equal_across_types_and_names_what_differs() {
    let pair = copied(Phase::DualRead).await;
    let key = Key(vec!["eu".into(), "3".into()]);
    let orders = pair.table("public.orders");
    assert_eq!(
        pair.engine.compare_key(orders, &key, false).await.unwrap(),
        Comparison::Equal
    );
    pair.databases
        .new
        .run("UPDATE app.orders SET client = 2 WHERE id = 3")
        .await;
    match pair.engine.compare_key(orders, &key, false).await.unwrap() {
        Comparison::Differs(difference) => assert_eq!(difference.columns, ["customer"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        pair.engine
            .repair(Some(orders), false)
            .await
            .unwrap()
            .upserted,
        1
    );
    assert_eq!(
        pair.engine.compare_key(orders, &key, false).await.unwrap(),
        Comparison::Equal
    );
}

#[tokio::test]
async fn dirty_keys_are_drained_towards_the_old_store_in_phase_5() {
    let pair = copied(Phase::DualRead).await;
    let after = Pair::new(Phase::NewPrimary).await;
    drop(pair);
    after.databases.new.run("INSERT INTO app.clients VALUES (1, 'a'); INSERT INTO app.orders SELECT 'eu', n, 1, n FROM generate_series(1, 100) n").await;
    after
        .databases
        .old
        .run("INSERT INTO customers VALUES (1, 'a'); INSERT INTO orders VALUES ('eu', 500, 1, 1)")
        .await;
    for id in (1..=100).chain([500]) {
        let parts = ["eu".to_owned(), id.to_string()];
        let key = crossfade_journal::KeyRef {
            toggle: "shop",
            table: "public.orders",
            parts: &parts,
        };
        after
            .journal
            .mark_dirty(
                Side::Old,
                &[key],
                crossfade_journal::Reason::SecondaryFailed,
            )
            .await
            .unwrap();
    }
    let report = after.engine.repair(None, false).await.unwrap();
    assert_eq!(
        (report.upserted, report.deleted, report.left_dirty),
        (100, 1, 0)
    );
    assert_eq!(
        after
            .verify("orders", Direction::Reverse, false)
            .await
            .differences,
        0
    );
}

#[tokio::test]
async fn a_row_that_somebody_has_locked_in_the_secondary_holds_up_no_other() {
    let pair = Pair::of(Phase::NewPrimary, TREE, TREE, TREE_TABLES).await;
    let (old, new) = (&pair.databases.old, &pair.databases.new);
    new.run("INSERT INTO tree SELECT n, NULL, 'new' FROM generate_series(1, 20) n")
        .await;
    old.run("INSERT INTO tree SELECT n, NULL, 'old' FROM generate_series(1, 20) n")
        .await;
    mark(&pair, "public.tree", 1..=20).await;
    let somebody = old.own().connect().await;
    somebody
        .batch_execute("BEGIN; SELECT FROM tree WHERE id = 3 FOR UPDATE")
        .await
        .unwrap();
    let report = pair.engine.repair(None, false).await.unwrap();
    assert_eq!((report.upserted, report.left_dirty), (19, 1), "{report:?}");
    somebody.batch_execute("COMMIT").await.unwrap();
    let report = pair.engine.repair(None, false).await.unwrap();
    assert_eq!((report.upserted, report.left_dirty), (1, 0), "{report:?}");
}

/// Rows that refer to rows of their own table, and rows of another that refer to them.
const TREE: &str = "
CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree, name text);
CREATE TABLE leaves (id int PRIMARY KEY, tree int NOT NULL REFERENCES tree);
";
const TREE_TABLES: &str = "
[toggle.shop]
phase = \"use-old\"
[toggle.shop.table.tree]
[toggle.shop.table.leaves]
";

/// Chains that go up and chains that go down, longer than what is repaired at once.
const CHAINS: &str = "
INSERT INTO tree SELECT n, CASE WHEN n < 200 THEN n + 1 END FROM generate_series(1, 200) n;
INSERT INTO tree SELECT n, CASE WHEN n > 1001 THEN n - 1 END FROM generate_series(1001, 1200) n;
INSERT INTO leaves SELECT n, n FROM generate_series(1, 1200, 50) n WHERE n <= 200 OR n > 1000;
";

#[tokio::test]
async fn a_table_that_refers_to_itself_is_repaired_in_one_go() {
    let pair = Pair::of(Phase::NewWrites, TREE, TREE, TREE_TABLES).await;
    let (old, new) = (&pair.databases.old, &pair.databases.new);
    new.run(CHAINS).await;
    let report = pair.verify("tree", Direction::Reverse, true).await;
    assert_eq!((report.differences, report.left()), (400, 0));
    assert_eq!(pair.journal.dirty_count("shop"), 0);
    assert_eq!(old.value("SELECT count(*) FROM tree").await, "400");
}

#[tokio::test]
async fn dirty_keys_of_tables_that_wait_for_each_other_are_repaired_in_one_go() {
    let pair = Pair::of(Phase::NewWrites, TREE, TREE, TREE_TABLES).await;
    let (old, new) = (&pair.databases.old, &pair.databases.new);
    let tables = ["public.tree", "public.leaves"].map(|name| pair.table(name));
    for (rows, order) in [(CHAINS, [1, 0]), ("TRUNCATE tree CASCADE", [0, 1])] {
        new.run(rows).await;
        mark(&pair, "public.tree", 1..=1200).await;
        mark(&pair, "public.leaves", 1..=1200).await;
        let order = order.map(|index| tables[index]);
        let reports = pair.engine.repair_all(&order, true).await;
        for report in reports {
            assert_eq!(report.unwrap().left_dirty, 0);
        }
        assert_eq!(pair.journal.dirty_count("shop"), 0);
        for table in ["tree", "leaves"] {
            let count = format!("SELECT count(*) FROM {table}");
            assert_eq!(old.value(&count).await, new.value(&count).await);
        }
    }
}

async fn mark(pair: &Pair, table: &str, keys: std::ops::RangeInclusive<u32>) {
    let parts: Vec<[Bytes; 1]> = keys.map(|key| [Bytes::from(key.to_string())]).collect();
    let keys: Vec<KeyRef<'_, Bytes>> = parts
        .iter()
        .map(|parts| KeyRef {
            toggle: "shop",
            table,
            parts,
        })
        .collect();
    let intent = pair.journal.intend(Side::Old, &keys).await.unwrap();
    intent.dirty(Reason::SecondaryFailed).await.unwrap();
}
