//! Crashes and sick stores.

use std::time::{Duration, Instant};

use crossfade_tests::{Mongod, Traffic};
use mongodb::bson::doc;

use super::{DATABASE, Documents};

#[tokio::test]
pub(crate) async fn trap_03_the_proxy_is_killed_under_load() {
    let mut documents = Documents::shop().await;
    for round in 0..3 {
        let traffic = Traffic::start(&documents.proxy.endpoint(documents.old()), 4).await;
        traffic.progress(40 + round * 17).await;
        documents.proxy.kill9();
        let report = traffic.stop().await;
        assert!(report.operations > 0);
        documents.proxy.restart().await;
        documents.proxy.drained().await;
        documents.verify();
    }
}

#[tokio::test]
pub(crate) async fn a_store_that_dies_or_freezes_disturbs_no_client_and_loses_nothing() {
    let mut documents = Documents::shop().await;
    let traffic = Traffic::start(&documents.proxy.endpoint(documents.old()), 4).await;
    traffic.progress(50).await;
    documents.server.kill9();
    traffic.progress(50).await;
    // In words of ours: the driver's own go on for a page.
    let verify = documents.proxy.cli(&["verify", "--table", "orders"]);
    let said = format!("{}{}", verify.stdout, verify.stderr);
    assert!(
        said.contains("cannot be reached: Connection refused"),
        "{said}"
    );
    for word in ["Kind:", "labels:", "Topology"] {
        assert!(!said.contains(word), "{said}");
    }
    documents.server.restart().await;
    traffic.progress(50).await;
    documents.server.freeze();
    traffic.progress(20).await;
    documents.server.thaw();
    traffic.progress(50).await;
    let report = traffic.stop().await;
    assert_eq!(report.errors, [""; 0]);
    documents.proxy.drained().await;
    documents.verify();
}

#[tokio::test]
async fn a_proxy_that_starts_while_the_store_is_down_serves_at_once() {
    let mut documents = Documents::shop().await;
    documents.proxy.kill9();
    documents.server.kill9();
    let began = Instant::now();
    documents.proxy.restart().await;
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    documents
        .run("UPDATE orders SET total = 7 WHERE id = 7")
        .await;
    documents.server.restart().await;
    documents.proxy.drained().await;
    documents.verify();
}

/// The primary refuses to commit a counter of 777.
async fn never_777(documents: &Documents) {
    documents
        .old()
        .run(
            "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'never'; END $$;
             CREATE CONSTRAINT TRIGGER never AFTER UPDATE ON counters DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.value = 777) EXECUTE FUNCTION never()",
        )
        .await;
}

#[tokio::test]
async fn a_server_without_transactions_is_named_and_served() {
    let documents = Documents::shop_on(Mongod::standalone().await).await;
    let check = documents.proxy.cli(&["check"]);
    assert!(
        check.stdout.contains("without a replica set"),
        "{}",
        check.stdout
    );
    let traffic = Traffic::start(&documents.proxy.endpoint(documents.old()), 4).await;
    traffic.progress(100).await;
    let report = traffic.stop().await;
    assert_eq!(report.errors, [""; 0]);
    // Written before the primary refuses it, and repaired.
    never_777(&documents).await;
    let client = documents.client().await;
    let refused = client
        .execute(
            "UPDATE counters SET value = 777 WHERE name = 'counter 2'",
            &[],
        )
        .await;
    assert!(refused.is_err());
    documents.proxy.drained().await;
    documents.verify();
}

#[tokio::test]
async fn a_server_without_transactions_keeps_half_of_what_both_refuse() {
    let documents = Documents::shop_on(Mongod::standalone().await).await;
    never_777(&documents).await;
    let database = documents.server.database(DATABASE).await;
    let validator = doc! { "collMod": "orders", "validator": { "state": { "$ne": "bad" } } };
    database.run_command(validator).await.unwrap();
    // The counter is written before the order is refused; then the primary rolls back both.
    let client = documents.client().await;
    let refused = client
        .batch_execute(
            "BEGIN; UPDATE counters SET value = 777 WHERE name = 'counter 2';
             UPDATE orders SET state = 'bad' WHERE id = 1; COMMIT",
        )
        .await;
    assert!(refused.is_err());
    documents.proxy.drained().await;
    documents.verify();
}
