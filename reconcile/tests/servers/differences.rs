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
async fn an_exchange_keeps_what_is_not_carried() {
    let old = "CREATE TABLE desks (id int PRIMARY KEY, place int NOT NULL UNIQUE, day date NOT NULL UNIQUE, note text)";
    let new = "CREATE TABLE desks (id int PRIMARY KEY, place int NOT NULL UNIQUE, day date NOT NULL UNIQUE)";
    let tables =
        "[toggle.shop]\nphase = \"use-old\"\n[toggle.shop.table.desks]\ncolumn.note = false\n";
    let pair = Pair::of(Phase::NewPrimary, old, new, tables).await;
    let rows = "INSERT INTO desks SELECT n, n, date '2026-01-01' + n FROM generate_series(1, 6) n";
    pair.databases.old.run(rows).await;
    pair.databases
        .old
        .run("UPDATE desks SET note = 'kept'")
        .await;
    pair.databases.new.run(rows).await;
    let swap = "UPDATE desks SET place = 100 + place; UPDATE desks SET place = 107 - place";
    pair.databases.new.run(swap).await;
    mark(&pair, "public.desks", 1..=6).await;
    let report = pair.engine.repair(None, false).await.unwrap();
    assert_eq!(report.left_dirty, 0, "{report:?}");
    let kept = "SELECT count(*) FROM desks WHERE note = 'kept' AND place = 7 - id";
    assert_eq!(pair.databases.old.value(kept).await, "6");
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

/// Rows that hold unique values of several kinds, in a table that another one refers to and in one that nothing refers to.
const PLACES: &str = "
CREATE TABLE free (id int PRIMARY KEY, place int NOT NULL UNIQUE);
CREATE TABLE taken (id int PRIMARY KEY, place int NOT NULL UNIQUE CHECK (place > 0), code varchar(12) NOT NULL UNIQUE, name text, extra uuid UNIQUE, UNIQUE (name, place));
CREATE TABLE visits (id int PRIMARY KEY, taken int NOT NULL REFERENCES taken ON DELETE CASCADE);
";
const PLACES_TABLES: &str = "
[toggle.shop]
phase = \"use-old\"
[toggle.shop.table.free]
[toggle.shop.table.taken]
[toggle.shop.table.visits]
";

/// `count` rows, each at the place of the one that is `shift` further on.
fn places(count: u32, shift: u32) -> String {
    let place = format!("(n + {shift}) % {count} + 1");
    format!(
        "TRUNCATE free, taken, visits;
         INSERT INTO free SELECT n, {place} FROM generate_series(1, {count}) n;
         INSERT INTO taken SELECT n, {place}, 'code ' || {place}, 'name', md5(({place})::text)::uuid FROM generate_series(1, {count}) n;
         INSERT INTO visits SELECT n, n FROM generate_series(1, {count}) n"
    )
}

#[tokio::test]
async fn rows_that_have_exchanged_their_unique_values_are_repaired_in_one_go() {
    let pair = Pair::of(Phase::DualWrite, PLACES, PLACES, PLACES_TABLES).await;
    let (old, new) = (&pair.databases.old, &pair.databases.new);
    // Two that were swapped, and more than a unit, or a batch, holds.
    for (count, by_verify) in [(2, false), (600, false), (700, true)] {
        old.run(&places(count, 1)).await;
        new.run(&places(count, 0)).await;
        for table in ["free", "taken"] {
            if by_verify {
                let report = pair.verify(table, Direction::Forward, true).await;
                assert_eq!(
                    (report.differences, report.left()),
                    (count.into(), 0),
                    "{table}"
                );
                continue;
            }
            let keys: Vec<u32> = (1..=count).collect();
            mark_stale(&pair, &format!("public.{table}"), Side::New, &keys).await;
            let id = pair.table(&format!("public.{table}"));
            let report = pair.engine.repair(Some(id), false).await.unwrap();
            assert_eq!(report.left_dirty, 0, "{table} {count}: {report:?}");
        }
        assert_eq!(pair.journal.dirty_count("shop"), 0);
        for rows in [
            "SELECT string_agg(f::text, ' ' ORDER BY id) FROM free f",
            "SELECT string_agg(t::text, ' ' ORDER BY id) FROM taken t",
            "SELECT count(*) FROM visits",
        ] {
            assert_eq!(new.value(rows).await, old.value(rows).await);
        }
    }
}

#[tokio::test]
async fn rows_that_have_exchanged_their_unique_values_leave_the_journal_by_themselves() {
    let pair = Pair::of(Phase::DualWrite, PLACES, PLACES, PLACES_TABLES).await;
    let (old, new) = (&pair.databases.old, &pair.databases.new);
    old.run(&places(300, 1)).await;
    new.run(&places(300, 0)).await;
    let keys: Vec<u32> = (1..=300).collect();
    for table in ["public.free", "public.taken"] {
        mark_stale(&pair, table, Side::New, &keys).await;
    }
    let engine = pair.engine.clone();
    let repairer = tokio::spawn(async move { engine.run_repairer().await });
    let journal = pair.journal.clone();
    let clean = async || journal.dirty_count("shop") == 0;
    crossfade_tests::eventually("all are clean", std::time::Duration::from_secs(40), clean).await;
    repairer.abort();
    let rows = "SELECT string_agg(t::text, ' ' ORDER BY id) FROM taken t";
    assert_eq!(new.value(rows).await, old.value(rows).await);
}

/// A row that is stale in the primary is written by nobody, also where another one waits for its place.
#[tokio::test]
async fn an_exchange_leaves_what_is_stale_in_the_primary() {
    let pair = Pair::of(Phase::DualWrite, PLACES, PLACES, PLACES_TABLES).await;
    let (old, new) = (&pair.databases.old, &pair.databases.new);
    old.run(&places(2, 1)).await;
    new.run(&places(2, 0)).await;
    mark_stale(&pair, "public.free", Side::New, &[1]).await;
    mark_stale(&pair, "public.free", Side::Old, &[2]).await;
    let report = pair.engine.repair(None, false).await.unwrap();
    assert_eq!((report.upserted, report.left_dirty), (0, 2), "{report:?}");
    let rows = "SELECT string_agg(f::text, ' ' ORDER BY id) FROM free f";
    assert_eq!(new.value(rows).await, "(1,2) (2,1)");
}

async fn mark_stale(pair: &Pair, table: &str, stale: Side, keys: &[u32]) {
    let parts: Vec<[Bytes; 1]> = keys
        .iter()
        .map(|key| [Bytes::from(key.to_string())])
        .collect();
    let keys: Vec<KeyRef<'_, Bytes>> = parts
        .iter()
        .map(|parts| KeyRef {
            toggle: "shop",
            table,
            parts,
        })
        .collect();
    let intent = pair.journal.intend(stale, &keys).await.unwrap();
    intent.dirty(Reason::SecondaryFailed).await.unwrap();
}
