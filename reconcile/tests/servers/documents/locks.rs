//! What holds writers of documents off while a key is repaired, and what tells that they have ended.

use std::time::Duration;

use crossfade_store::Secondary;
use tokio::time::{sleep, timeout};

use super::*;

const MOMENT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

/// Transactions as the application's writes make them.
async fn writer(documents: &Documents) -> Box<dyn Secondary> {
    documents
        .new
        .secondary(documents.mapping.clone())
        .await
        .unwrap()
}

async fn stage(documents: &Documents, writer: &mut Box<dyn Secondary>, change: Change) {
    let batch = [(documents.table("orders").id, change)];
    writer.stage(&batch).await.unwrap();
}

#[tokio::test]
async fn a_locked_document_waits_for_its_writer_and_holds_the_next_off() {
    let documents = Documents::new(ORDERS, ORDERS_FILE).await;
    let table = documents.table("orders");
    documents.put("orders", &[order(1, "first")]).await;

    let mut first = writer(&documents).await;
    stage(&documents, &mut first, Change::Upsert(order(1, "second"))).await;
    let key = key(1);
    let lock = documents.new.lock_row(table, &key);
    tokio::pin!(lock);
    assert!(
        timeout(MOMENT, &mut lock).await.is_err(),
        "its writer has not ended"
    );
    first.commit().await.unwrap();
    let locked = timeout(LONG, lock).await.unwrap().unwrap();
    assert_eq!(locked.row(), Some(&order(1, "second")));

    let mut next = writer(&documents).await;
    {
        let third = stage(&documents, &mut next, Change::Upsert(order(1, "third")));
        tokio::pin!(third);
        assert!(timeout(MOMENT, &mut third).await.is_err(), "the lock holds");
        locked.release().await.unwrap();
        timeout(LONG, third).await.unwrap();
    }
    next.commit().await.unwrap();
    let keys = [self::key(1)];
    let rows = documents
        .new
        .fetch(table, &keys, crossfade_store::Form::Own);
    assert_eq!(rows.await.unwrap(), [Some(order(1, "third"))]);
}

#[tokio::test]
async fn the_first_two_writers_of_a_collection_both_commit() {
    let documents = Documents::new(ORDERS, ORDERS_FILE).await;
    let mut writers = [writer(&documents).await, writer(&documents).await];
    for (id, writer) in (1..).zip(&mut writers) {
        stage(&documents, writer, Change::Upsert(order(id, "first"))).await;
    }
    for mut writer in writers {
        writer.commit().await.unwrap();
    }
}

#[tokio::test]
async fn an_idle_transaction_of_a_live_process_is_nobody_s_to_end() {
    let documents = Documents::new(ORDERS, ORDERS_FILE).await;
    documents.put("orders", &[order(1, "first")]).await;
    let mut first = writer(&documents).await;
    stage(&documents, &mut first, Change::Upsert(order(1, "slow"))).await;
    let other = MongoStore::new(documents.config.new.clone(), Side::New);
    // Long enough for whoever meets it to take it for one that was left behind.
    let met = timeout(Duration::from_secs(4), async {
        loop {
            let change = [Change::Upsert(order(1, "other"))];
            let applied = other.apply(documents.table("orders"), &change).await;
            assert!(applied.is_err());
        }
    });
    assert!(met.await.is_err());
    first.commit().await.unwrap();
}

#[tokio::test]
async fn a_transaction_of_a_process_that_is_gone_is_ended() {
    let documents = Documents::new(ORDERS, ORDERS_FILE).await;
    documents.put("orders", &[order(1, "first")]).await;
    documents.server.leave_behind("shop", "sales").await;
    let began = std::time::Instant::now();
    let key = key(1);
    let locked = loop {
        match documents
            .new
            .lock_row(documents.table("orders"), &key)
            .await
        {
            Ok(locked) => break locked,
            Err(error) => assert!(began.elapsed() < LONG, "{error}"),
        }
    };
    assert_eq!(locked.row(), Some(&order(1, "first")));
    locked.release().await.unwrap();
}

#[tokio::test]
async fn trap_43_a_horizon_passes_when_the_transactions_before_it_have_ended() {
    let documents = Documents::new(ORDERS, ORDERS_FILE).await;
    let mut first = writer(&documents).await;
    stage(&documents, &mut first, Change::Upsert(order(1, "slow"))).await;
    sleep(Duration::from_millis(5)).await;
    let horizon = documents.new.horizon().await.unwrap();
    assert!(!documents.new.has_passed(horizon).await.unwrap());
    sleep(Duration::from_millis(5)).await;
    let mut later = writer(&documents).await;
    stage(&documents, &mut later, Change::Upsert(order(2, "later"))).await;
    first.commit().await.unwrap();
    assert!(documents.new.has_passed(horizon).await.unwrap());
    later.rollback().await.unwrap();
}

#[tokio::test]
async fn a_document_that_comes_while_its_key_is_repaired_is_not_lost() {
    let documents = Documents::new(ORDERS, ORDERS_FILE).await;
    documents
        .databases
        .old
        .run("INSERT INTO orders VALUES ('Ä', 1, 'left over')")
        .await;
    let job = documents.job(Phase::NewPrimary);
    job.mark("orders", &[region(1).to_owned(), "1".to_owned()])
        .await;
    // Inserted, not committed: there is nothing to lock.
    let mut writer = writer(&documents).await;
    stage(&documents, &mut writer, Change::Upsert(order(1, "new"))).await;
    let mut image = documents
        .old
        .secondary(documents.mapping.clone())
        .await
        .unwrap();
    stage(&documents, &mut image, Change::Upsert(order(1, "new"))).await;
    let repair = job.engine.repair(None, false);
    tokio::pin!(repair);
    assert!(
        timeout(MOMENT, &mut repair).await.is_err(),
        "the key's image is staged"
    );
    writer.commit().await.unwrap();
    image.commit().await.unwrap();
    timeout(LONG, repair).await.unwrap().unwrap();
    assert_eq!(
        documents
            .databases
            .old
            .value("SELECT note FROM orders")
            .await,
        "new"
    );
}
