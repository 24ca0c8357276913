//! Locks, transactions, sequences, dropped calls.

use std::time::Duration;

use bytes::Bytes;
use crossfade_phase::Side;
use crossfade_store::{Change, Form, Key, Mapping, Store as _, StoreError, TableId, TableMap};
use tokio::time::timeout;

use crate::common::Pair;

const SCHEMA: &str = "CREATE TABLE public.parent (id int PRIMARY KEY, name text UNIQUE);
    CREATE TABLE public.child (id int PRIMARY KEY, parent int NOT NULL REFERENCES public.parent, up int REFERENCES public.child DEFERRABLE)";
const FILE: &str = "[toggle.t.table.parent]\n[toggle.t.table.child]\nversion = \"id\"";

fn parent_of(mapping: &Mapping) -> &TableMap {
    let mut tables = mapping.tables.iter();
    tables
        .find(|table| table.old.name.name == "parent")
        .expect("mapped")
}

fn key(id: &str) -> Key {
    Key(vec![Bytes::copy_from_slice(id.as_bytes())])
}

fn upsert(id: &str, rest: &[&str]) -> Change {
    let values = std::iter::once(&id)
        .chain(rest)
        .map(|value| Some(Bytes::copy_from_slice(value.as_bytes())));
    Change::Upsert(crossfade_store::Row(values.collect()))
}

#[tokio::test]
async fn a_locked_row_waits_for_nobody_but_writers() {
    let pair = Pair::new("locks", "", SCHEMA, SCHEMA, FILE).await;
    pair.run(
        Side::Old,
        "INSERT INTO public.parent VALUES (1, 'one'), (2, 'two')",
    )
    .await;
    let mapping = pair.mapping().await;
    let parent = parent_of(&mapping);
    let short = Duration::from_millis(300);
    for released in [true, false] {
        let guard = pair.old.lock_row(parent, &key("1")).await.expect("locked");
        assert_eq!(
            guard.row().and_then(|row| row.0[1].clone()),
            Some(Bytes::from_static(b"one"))
        );
        // Rows that point to it are let in, and other rows.
        pair.run(Side::Old, "INSERT INTO public.child VALUES (1, 1, NULL) ON CONFLICT DO NOTHING; UPDATE public.parent SET name = 'zwei' WHERE id = 2").await;
        let mut update = Box::pin(pair.run(
            Side::Old,
            "UPDATE public.parent SET name = 'one' WHERE id = 1",
        ));
        assert!(
            timeout(short, &mut update).await.is_err(),
            "the update must wait"
        );
        if released {
            guard.release().await.expect("released");
        } else {
            drop(guard);
        }
        timeout(Duration::from_secs(10), update)
            .await
            .expect("the update goes on");
    }
    let absent = pair.old.lock_row(parent, &key("3")).await.expect("asked");
    assert!(absent.row().is_none());
    pair.run(Side::Old, "INSERT INTO public.parent VALUES (3, 'three')")
        .await;
    absent.release().await.expect("released");
}

#[tokio::test]
async fn trap_16_a_lock_that_nobody_lets_go_of_ends_by_itself() {
    let pair = Pair::new("frozen", "", SCHEMA, SCHEMA, FILE).await;
    pair.run(Side::Old, "INSERT INTO public.parent VALUES (1, 'one')")
        .await;
    let mapping = pair.mapping().await;
    let parent = parent_of(&mapping);
    // As of a process that is frozen.
    let guard = pair.old.lock_row(parent, &key("1")).await.expect("locked");
    let update = pair.run(
        Side::Old,
        "UPDATE public.parent SET name = 'uno' WHERE id = 1",
    );
    timeout(Duration::from_secs(20), update)
        .await
        .expect("a client goes on");
    // What was written meanwhile rests on nothing.
    assert!(guard.release().await.is_err());
    for _ in 0..3 {
        let guard = pair.old.lock_row(parent, &key("1")).await.expect("locked");
        let name = guard.row().and_then(|row| row.0[1].clone());
        assert_eq!(name, Some(Bytes::from_static(b"uno")));
        guard.release().await.expect("released");
    }
}

#[tokio::test]
async fn trap_43_a_horizon_passes_when_every_writer_of_before_has_ended() {
    let pair = Pair::new("horizon", "", SCHEMA, SCHEMA, FILE).await;
    let writer = pair.session(Side::Old).await;
    writer
        .batch_execute("BEGIN; INSERT INTO public.parent VALUES (1, 'one')")
        .await
        .expect("written");
    let horizon = pair.old.horizon().await.expect("asked");
    // Those who come later do not matter.
    let later = pair.session(Side::Old).await;
    later
        .batch_execute("BEGIN; INSERT INTO public.parent VALUES (2, 'two')")
        .await
        .expect("written");
    assert!(!pair.old.has_passed(horizon).await.expect("asked"));
    writer.batch_execute("COMMIT").await.expect("committed");
    // Others use the server too, and their transactions count.
    while !pair.old.has_passed(horizon).await.expect("asked") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_batch_is_applied_whole_or_not_at_all() {
    let pair = Pair::new("batches", "", SCHEMA, SCHEMA, FILE).await;
    let mapping = pair.mapping().await;
    let [child, parent] = ["child", "parent"].map(|name| {
        mapping
            .tables
            .iter()
            .find(|table| table.old.name.name == name)
            .expect("mapped")
    });
    let mut changes: Vec<_> = (0..1000)
        .map(|id| upsert(&id.to_string(), &[&format!("name {id}")]))
        .collect();
    pair.new.apply(parent, &changes).await.expect("applied");
    changes.truncate(600);
    changes.push(upsert("5000", &["name 999"]));
    let refused = pair.new.apply(parent, &changes).await;
    assert!(
        matches!(&refused, Err(StoreError::Rejected { sqlstate, constraint: Some(name), .. }) if sqlstate == "23505" && name == "parent_name_key"),
        "{refused:?}"
    );
    assert_eq!(
        pair.ask(Side::New, "SELECT count(*) FROM parent").await,
        [Some("1000".to_owned())]
    );
    // Children before the rows of the same table that they point to: a deferrable constraint waits for COMMIT.
    pair.new
        .apply(child, &[upsert("1", &["5", "2"]), upsert("2", &["5", "1"])])
        .await
        .expect("applied");
    pair.new
        .apply(
            child,
            &[
                Change::Delete(key("1")),
                Change::Delete(key("2")),
                Change::Delete(key("77")),
            ],
        )
        .await
        .expect("applied");
    assert_eq!(
        pair.ask(Side::New, "SELECT count(*) FROM child").await,
        [Some("0".to_owned())]
    );
    assert!(mapping.write_order(Side::New).circular() == [child.id]);
}

#[tokio::test]
async fn trap_01_a_delete_waits_for_an_insert_of_its_key_that_is_not_committed() {
    use crossfade_store::postgres::{KEY_LOCKS, key_locks};
    let pair = Pair::new("keylocks", "", SCHEMA, SCHEMA, FILE).await;
    let mapping = pair.mapping().await;
    let parent = parent_of(&mapping);
    let insert = upsert("1", &["one"]);
    // Another proxy has staged the INSERT.
    let other = pair.session(Side::New).await;
    other.batch_execute("BEGIN").await.expect("begun");
    let [ids, deletes] = key_locks(Side::New, [(parent, &insert)])
        .map(|list| String::from_utf8(list.to_vec()).expect("text"));
    assert!(
        other
            .query(KEY_LOCKS, &[&ids, &deletes])
            .await
            .expect("locked")
            .is_empty()
    );
    other
        .batch_execute("INSERT INTO public.parent VALUES (1, 'one')")
        .await
        .expect("inserted");

    let gone = [Change::Delete(key("1"))];
    let mut delete = pair.new.apply(parent, &gone);
    assert!(
        timeout(Duration::from_millis(300), &mut delete)
            .await
            .is_err(),
        "the delete must wait"
    );
    // Writes of other keys do not, and neither does a second write of this one until it comes to the row itself.
    pair.new
        .apply(parent, &[upsert("2", &["two"])])
        .await
        .expect("applied");
    other.batch_execute("COMMIT").await.expect("committed");
    delete.await.expect("deleted");
    assert_eq!(
        pair.ask(Side::New, "SELECT id FROM parent").await,
        [Some("2".to_owned())]
    );
}

#[tokio::test]
async fn trap_08_a_copied_row_waits_for_a_delete_of_its_key_that_is_staged() {
    let pair = Pair::new("copylocks", "", SCHEMA, SCHEMA, FILE).await;
    let mapping = pair.mapping().await;
    let parent = parent_of(&mapping);
    let Change::Upsert(row) = upsert("1", &["one"]) else {
        unreachable!()
    };
    for straight in [false, true] {
        // The DELETE sees no row, and its transaction has not committed in the primary yet.
        let mut secondary = pair.new.secondary(mapping.clone()).await.expect("open");
        secondary
            .stage(&[(parent.id, Change::Delete(key("1")))])
            .await
            .expect("staged");
        let rows = [row.clone()];
        let mut copy = if straight {
            pair.new.copy_into_empty(parent, &rows)
        } else {
            pair.new.insert_absent(parent, &rows)
        };
        assert!(
            timeout(Duration::from_millis(300), &mut copy)
                .await
                .is_err(),
            "a copy that does not wait looks at the primary too early and brings the row back"
        );
        secondary.commit().await.expect("committed");
        assert_eq!(copy.await.expect("copied"), 1);
        // A DELETE that is staged now finds the row.
        secondary
            .stage(&[(parent.id, Change::Delete(key("1")))])
            .await
            .expect("staged");
        secondary.commit().await.expect("committed");
        assert!(
            pair.ask(Side::New, "SELECT id FROM parent")
                .await
                .is_empty()
        );
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing_behind() {
    let pair = Pair::new("dropped", "", SCHEMA, SCHEMA, FILE).await;
    let mapping = pair.mapping().await;
    let parent = parent_of(&mapping);
    let blocker = pair.session(Side::New).await;
    blocker
        .batch_execute("BEGIN; INSERT INTO public.parent VALUES (500, 'in the way')")
        .await
        .expect("begun");
    let changes: Vec<_> = (0..1000)
        .map(|id| upsert(&id.to_string(), &[&format!("name {id}")]))
        .collect();
    let stuck = timeout(Duration::from_millis(500), pair.new.apply(parent, &changes)).await;
    assert!(stuck.is_err(), "the batch must wait for row 500");
    blocker
        .batch_execute("ROLLBACK")
        .await
        .expect("rolled back");
    // The server may take a moment to see that the connection is gone.
    tokio::time::sleep(Duration::from_millis(200)).await;
    pair.new
        .apply(parent, &[upsert("7", &["seven"])])
        .await
        .expect("applied");
    assert_eq!(
        pair.ask(Side::New, "SELECT name FROM parent").await,
        [Some("seven".to_owned())]
    );
    pair.new.ping().await.expect("alive");
    pair.run(Side::New, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'crossfade' AND datname = current_database()").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(pair.all(Side::New, parent, Form::Own).await.len(), 1);
}

#[tokio::test]
async fn trap_33_sequences_move_past_the_other_stores_and_never_back() {
    let old = "CREATE SEQUENCE public.shared; CREATE TABLE public.things (id serial PRIMARY KEY, n bigint DEFAULT nextval('public.shared'), label text);
        CREATE TABLE public.fresh (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)";
    let new = "CREATE SCHEMA app; CREATE TABLE app.things (ident bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n bigint, label text);
        CREATE TABLE public.fresh (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)";
    let file = "[toggle.t.table.things]\ntarget = \"app.things\"\ncolumn.id = \"ident\"\n[toggle.t.table.fresh]";
    let pair = Pair::new("sequences", "", old, new, file).await;
    let mapping = pair.mapping().await;
    let [things, fresh] = ["things", "fresh"].map(|name| {
        mapping
            .tables
            .iter()
            .find(|table| table.old.name.name == name)
            .expect("mapped")
    });
    // Three handed out and rolled back, a greater one stored by hand.
    pair.run(Side::Old, "INSERT INTO things (label) VALUES ('a'); BEGIN; INSERT INTO things (label) VALUES ('b'), ('c'); ROLLBACK; INSERT INTO things VALUES (40, 1, 'd')").await;
    let positions = pair
        .old
        .sequence_positions(things)
        .await
        .expect("positions");
    assert_eq!(
        positions
            .iter()
            .map(|(name, at)| (name.as_str(), *at))
            .collect::<Vec<_>>(),
        [("id", 40), ("n", 3)]
    );
    assert_eq!(
        pair.new
            .sequence_positions(things)
            .await
            .expect("positions")
            .len(),
        0
    );
    let now = pair
        .new
        .advance_sequences(things, &positions)
        .await
        .expect("advanced");
    assert_eq!(now.get("id"), Some(&40));
    assert_eq!(
        pair.ask(
            Side::New,
            "INSERT INTO app.things (label) VALUES ('next') RETURNING ident"
        )
        .await,
        [Some("41".to_owned())]
    );
    // Not back, by an older reading.
    let now = pair
        .new
        .advance_sequences(things, &positions)
        .await
        .expect("advanced");
    assert_eq!(now.get("id"), Some(&41));
    // The way back to phase 4.
    let positions = pair
        .new
        .sequence_positions(things)
        .await
        .expect("positions");
    pair.old
        .advance_sequences(things, &positions)
        .await
        .expect("advanced");
    assert_eq!(
        pair.ask(
            Side::Old,
            "INSERT INTO things (label) VALUES ('back') RETURNING id"
        )
        .await,
        [Some("42".to_owned())]
    );
    // A sequence that has handed out nothing starts at its start.
    assert!(
        pair.old
            .sequence_positions(fresh)
            .await
            .expect("positions")
            .is_empty()
    );
    pair.new
        .advance_sequences(fresh, &[("id".to_owned(), 0)].into())
        .await
        .expect("advanced");
    assert_eq!(
        pair.ask(Side::New, "INSERT INTO fresh DEFAULT VALUES RETURNING id")
            .await,
        [Some("1".to_owned())]
    );
    assert_eq!(mapping.tables[things.id.0].id, TableId(things.id.0));
}

#[tokio::test]
async fn rows_that_come_ahead_are_staged_with_their_batch_and_then_hold_their_keys() {
    let pair = Pair::new("ahead", "", SCHEMA, SCHEMA, FILE).await;
    let mapping = pair.mapping().await;
    let parent = parent_of(&mapping).id;
    let rows = |from: u32, name: &str| -> Vec<(TableId, Change)> {
        (from..from + 200)
            .map(|id| (parent, upsert(&id.to_string(), &[&format!("{name} {id}")])))
            .collect()
    };
    let delete = |id: &str| [(parent, Change::Delete(key(id)))];
    let mut large = pair
        .new
        .secondary(mapping.clone())
        .await
        .expect("connected");
    let mut other = pair
        .new
        .secondary(mapping.clone())
        .await
        .expect("connected");
    large.stage_ahead(&rows(0, "first")).await.expect("taken");
    large
        .stage_ahead(&rows(100, "second"))
        .await
        .expect("taken");
    // As long as more comes, others delete rows of the same lock without a wait.
    let ids: Vec<String> = (1000..3000).map(|id| id.to_string()).collect();
    let others: Vec<_> = ids
        .iter()
        .map(|id| (parent, Change::Delete(key(id))))
        .collect();
    other.stage(&others).await.expect("staged");
    other.commit().await.expect("committed");
    large.stage(&delete("5")).await.expect("staged");
    // From here on a delete of a key that came ahead waits, though it sees no row (trap 1).
    let mut late = Box::pin(async {
        other.stage(&delete("7")).await?;
        other.commit().await
    });
    let waits = timeout(Duration::from_millis(200), &mut late).await;
    assert!(waits.is_err(), "{waits:?}");
    large.commit().await.expect("committed");
    late.await.expect("committed");
    let found = "SELECT count(*) || ' ' || count(*) FILTER (WHERE name LIKE 'second%') FROM parent";
    assert_eq!(
        pair.ask(Side::New, found).await,
        [Some("298 200".to_owned())]
    );
    // Nothing stays of one that is given up, and its connection serves the next.
    large.stage_ahead(&rows(5000, "gone")).await.expect("taken");
    drop(large);
    let mut large = pair.new.secondary(mapping).await.expect("connected");
    large
        .stage_ahead(&rows(6000, "refused"))
        .await
        .expect("taken");
    let twice = [(parent, upsert("7000", &["second 150"]))];
    large.stage_ahead(&twice).await.expect_err("refused");
    assert!(large.is_usable());
    large.stage_ahead(&rows(8000, "kept")).await.expect("taken");
    large.stage(&[]).await.expect("staged");
    large.commit().await.expect("committed");
    assert_eq!(
        pair.ask(Side::New, found).await,
        [Some("498 200".to_owned())]
    );
}
