use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossfade_phase::Phase;
use crossfade_reconcile::{Direction, Error};

use crate::pair::Pair;

#[tokio::test]
async fn copies_and_verifies_renamed_and_retyped_columns_of_every_kind() {
    let pair = Pair::new(Phase::DualWrite).await;
    pair.fill(1000).await;
    assert_eq!(
        pair.backfill("customers", Direction::Forward)
            .await
            .unwrap()
            .rows_copied,
        101
    );
    let report = pair.backfill("orders", Direction::Forward).await.unwrap();
    assert_eq!(
        (
            report.rows_seen,
            report.rows_copied,
            report.repaired,
            report.left_dirty
        ),
        (1000, 1000, 0, 0)
    );
    for table in ["customers", "orders"] {
        let report = pair.verify(table, Direction::Forward, false).await;
        assert!(
            report.complete && report.listed.is_empty(),
            "{:?}",
            report.listed
        );
    }
    let sum = "SELECT md5(string_agg(region || id || ratio || seen || encode(raw, 'hex') || tags || coalesce(note, '-'), ',' ORDER BY id)) FROM ";
    assert_eq!(
        pair.databases.old.value(&format!("{sum} orders")).await,
        pair.databases.new.value(&format!("{sum} app.orders")).await
    );
}

#[tokio::test]
async fn the_way_back_copies_what_the_new_store_has() {
    let pair = Pair::new(Phase::NewWrites).await;
    pair.databases.new.run("INSERT INTO app.clients VALUES (1, 'a'); INSERT INTO app.orders SELECT 'eu', n, 1, n FROM generate_series(1, 300) n").await;
    for table in ["customers", "orders"] {
        pair.backfill(table, Direction::Reverse).await.unwrap();
        assert_eq!(
            pair.verify(table, Direction::Reverse, false)
                .await
                .differences,
            0
        );
    }
    pair.databases.new.run("UPDATE app.orders SET note = 'later' WHERE id < 50; DELETE FROM app.orders WHERE id = 300").await;
    let report = pair.verify("orders", Direction::Reverse, true).await;
    assert_eq!((report.differences, report.left()), (49, 0));
    assert_eq!(
        pair.databases
            .old
            .value("SELECT count(*) FROM orders WHERE note = 'later'")
            .await,
        "49"
    );
    assert_eq!(
        pair.databases
            .old
            .value("SELECT count(*) FROM orders")
            .await,
        "300",
        "not complete: perhaps never copied"
    );
}

#[tokio::test]
async fn a_table_whose_parents_are_not_copied_yet_says_which_order_helps() {
    let pair = Pair::new(Phase::DualWrite).await;
    pair.fill(2000).await;
    let refused = pair
        .backfill("orders", Direction::Forward)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Error::Refused { .. })
            && refused.to_string().contains("copy that one first"),
        "{refused}"
    );
    assert_eq!(pair.journal.dirty_count("shop"), 0);
    pair.backfill("customers", Direction::Forward)
        .await
        .unwrap();
    pair.backfill("orders", Direction::Forward).await.unwrap();
    assert!(
        pair.verify("orders", Direction::Forward, false)
            .await
            .complete
    );
}

#[tokio::test]
async fn trap_11_a_value_that_only_the_new_store_finds_too_long_stays_dirty() {
    let pair = Pair::new(Phase::DualWrite).await;
    pair.fill(1000).await;
    pair.databases
        .old
        .run("UPDATE orders SET note = repeat('x', 30) WHERE id = 500")
        .await;
    pair.backfill("customers", Direction::Forward)
        .await
        .unwrap();
    let report = pair.backfill("orders", Direction::Forward).await.unwrap();
    assert_eq!((report.rows_copied, report.left_dirty), (999, 1));
    let (key, error) = pair.journal.failing("shop", 9).remove(0);
    assert_eq!(key.key.key, [b"us".to_vec(), b"500".to_vec()]);
    assert!(error.contains("22001"), "{error}");
    pair.databases
        .new
        .run("ALTER TABLE app.orders ALTER note TYPE text")
        .await;
    assert_eq!(pair.engine.repair(None, false).await.unwrap().upserted, 1);
    assert!(
        pair.verify("orders", Direction::Forward, false)
            .await
            .complete
    );
}

#[tokio::test]
async fn trap_08_live_writes_during_backfill_repair_and_verify_end_alike() {
    let pair = Arc::new(Pair::new(Phase::DualRead).await);
    pair.fill(1500).await;
    pair.backfill("customers", Direction::Forward)
        .await
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|seed| tokio::spawn(write(Arc::clone(&pair), Arc::clone(&stop), seed)))
        .collect();
    let repairer = tokio::spawn({
        let engine = pair.engine.clone();
        async move { engine.run_repairer().await }
    });
    pair.backfill("orders", Direction::Forward).await.unwrap();
    let live = pair.verify("orders", Direction::Forward, false).await;
    assert_eq!(live.differences, 0, "{:?}", live.listed);
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    while pair.journal.dirty_count("shop") > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    repairer.abort();
    let report = pair.verify("orders", Direction::Forward, false).await;
    assert!(report.complete, "{:?}", report.listed);
}

/// Updates and deletes orders, and inserts them again, until told to stop.
async fn write(pair: Arc<Pair>, stop: Arc<AtomicBool>, seed: u32) {
    let mut clients = pair.clients().await;
    let mut turn = seed;
    while !stop.load(Ordering::SeqCst) {
        turn += 3;
        let id = (turn * 7919) % 1500 + 1;
        let region = ["eu", "Ä", "us"][id as usize % 3];
        let at = format!("WHERE region = '{region}' AND id = {id}");
        let (old, new) = match turn % 4 {
            0 => (
                format!("DELETE FROM orders {at}"),
                format!("DELETE FROM app.orders {at}"),
            ),
            _ => {
                let values = format!("VALUES ('{region}', {id}, 1, {turn}, 'turn {turn}', {turn})");
                let upsert = |table: &str, customer: &str, total: &str| {
                    format!(
                        "INSERT INTO {table} (region, id, {customer}, {total}, note, version) {values} ON CONFLICT (region, id) DO UPDATE SET \
                         {customer} = excluded.{customer}, {total} = excluded.{total}, ratio = NULL, seen = NULL, raw = NULL, tags = NULL, \
                         note = excluded.note, version = excluded.version"
                    )
                };
                (
                    upsert("orders", "customer", "total"),
                    upsert("app.orders", "client", "amount"),
                )
            }
        };
        pair.dual(&mut clients, id, &old, &new).await;
    }
}
