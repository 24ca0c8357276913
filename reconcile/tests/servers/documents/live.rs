//! Clients write while the reconciler works.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::*;

const ROWS: u32 = 400;

#[tokio::test]
async fn trap_08_live_writes_during_a_reverse_backfill_end_alike() {
    let documents = Arc::new(Documents::new(ORDERS, ORDERS_FILE).await);
    let rows: Vec<Row> = (1..=ROWS).map(|id| order(id, "first")).collect();
    documents.put("orders", &rows).await;
    let job = Arc::new(documents.job(Phase::NewPrimary));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|seed| tokio::spawn(write(documents.clone(), job.clone(), stop.clone(), seed)))
        .collect();
    let repairer = tokio::spawn({
        let engine = job.engine.clone();
        async move { engine.run_repairer().await }
    });
    job.backfill("orders", Direction::Reverse).await;
    let live = job.verify("orders", false).await;
    assert_eq!(live.differences, 0, "{:?}", live.listed);
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    while job.journal.dirty_count("shop") > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    repairer.abort();
    let report = job.verify("orders", false).await;
    assert_eq!(report.differences, 0, "{:?}", report.listed);
    let left = documents
        .databases
        .old
        .value("SELECT count(*) FROM orders")
        .await;
    assert_eq!(left, report.rows.to_string());
}

/// Writes documents first and the old store's rows second, in the order of the sandwich; every fifth time the old store's part fails.
async fn write(documents: Arc<Documents>, job: Arc<Job>, stop: Arc<AtomicBool>, seed: u32) {
    let mapping = &documents.mapping;
    let mut primary = documents.new.secondary(mapping.clone()).await.unwrap();
    let mut secondary = documents.old.secondary(mapping.clone()).await.unwrap();
    let mut turn = seed;
    while !stop.load(Ordering::SeqCst) {
        turn += 3;
        let id = (turn * 7919) % ROWS + 1;
        let change = match turn % 4 {
            0 => Change::Delete(key(id)),
            _ => Change::Upsert(order(id, &format!("turn {turn}"))),
        };
        let batch = [(documents.table("orders").id, change)];
        primary.stage(&batch).await.unwrap();
        let parts = key(id).0;
        let name = KeyRef {
            toggle: "shop",
            table: "public.orders",
            parts: &parts,
        };
        let intent = job.journal.intend(Side::Old, &[name]).await.unwrap();
        let staged = !turn.is_multiple_of(5);
        if staged {
            secondary.stage(&batch).await.unwrap();
        }
        primary.commit().await.unwrap();
        if staged {
            secondary.commit().await.unwrap();
            intent.done();
        } else {
            intent.dirty(Reason::SecondaryFailed).await.unwrap();
        }
    }
}
