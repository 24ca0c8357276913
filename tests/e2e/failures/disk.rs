//! The journal's disk is full.

use std::time::Duration;

use crossfade_tests::eventually;
use tokio_postgres::Client;

use super::Frail;

/// The journal has no room from here on. What the test's proxy logs is far less, and what its journal holds is more.
const ROOM: u64 = 256 << 10;

/// SQLSTATE, hint.
async fn refused(client: &Client, sql: &str) -> (String, String) {
    let error = client.batch_execute(sql).await.unwrap_err();
    let error = error.as_db_error().expect("an error of the server's kind");
    (
        error.code().code().to_owned(),
        error.hint().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else_until_there_is_room() {
    let mut frail = Frail::start().await;
    let client = frail.proxy.connect(&frail.stores.old).await;
    frail.server.stop();
    client
        .batch_execute(
            "INSERT INTO counters SELECT repeat('k', 200) || n FROM generate_series(1, 2000) n",
        )
        .await
        .unwrap();
    frail.proxy.dirty(2000).await;
    let before = frail
        .stores
        .old
        .value("SELECT sum(total) FROM orders")
        .await;

    frail.proxy.limit_files(Some(ROOM));
    let write = "UPDATE orders SET total = total + 1 WHERE id = 1";
    for _ in 0..2 {
        let (code, hint) = refused(&client, write).await;
        assert_eq!(code, "58030");
        assert!(
            hint.contains("make room on the disk of state_dir"),
            "{hint}"
        );
    }
    // A block is told at its COMMIT, and the session goes on.
    let block = format!("BEGIN; {write}; COMMIT");
    assert_eq!(refused(&client, &block).await.0, "58030");
    let _ = client.batch_execute("ROLLBACK").await;
    assert_eq!(
        frail
            .stores
            .old
            .value("SELECT sum(total) FROM orders")
            .await,
        before,
        "a refused write was made"
    );
    // Reads, and writes that nobody has to carry anywhere, go on.
    let row = client
        .query_one("SELECT customer FROM orders WHERE id = 1", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "early 1");
    client
        .execute("UPDATE unmapped SET note = 'written'", &[])
        .await
        .unwrap();
    assert_eq!(frail.proxy.fetch("/readyz").await.0, 503);
    let status = frail.proxy.status().await;
    assert_eq!(status["journal"]["healthy"], false, "{}", status["journal"]);
    let said = frail.proxy.cli(&["status"]).expect(0).stdout;
    assert!(said.contains("the journal takes no writes"), "{said}");
    let writable = async || {
        let metrics = frail.proxy.metrics().await;
        metrics.sum("crossfade_journal_writable", &[])
    };
    assert_eq!(writable().await, Some(0.0));
    eventually("the log says it", Duration::from_secs(5), async || {
        frail.proxy.log().contains("the journal takes no writes")
    })
    .await;

    // There is room again: it recovers by itself, and has forgotten nothing.
    frail.proxy.limit_files(None);
    eventually("writes go on", Duration::from_secs(10), async || {
        client.batch_execute(write).await.is_ok()
    })
    .await;
    assert_eq!(writable().await, Some(1.0));
    assert_eq!(frail.proxy.fetch("/readyz").await.0, 200);
    assert!(frail.proxy.dirty_keys().await > 2000);
    frail.server.restart();
    let _ = frail.proxy.cli(&["repair"]);
    frail.proxy.drained().await;
    frail.assert_equal().await;
}
