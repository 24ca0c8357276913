//! Drivers as people use them, through a proxy that relays.

use super::same::Bench;
use crossfade_tests::{Proxy, eventually};
use futures::{SinkExt, StreamExt, TryStreamExt, future::join_all, pin_mut};
use std::{process::Output, time::Duration};
use tokio_postgres::{AsyncMessage, NoTls};

fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &said
}

#[tokio::test]
async fn pgbench_in_every_mode_with_and_without_mapping() {
    let bench = Bench::new().await;
    succeeded(&bench.stores.old.direct().pgbench(&["-i", "-q", "-s", "1"]));
    let mapped = "[toggle.shop.table.pgbench_accounts]\n[toggle.shop.table.pgbench_tellers]\n\
                  [toggle.shop.table.pgbench_branches]\n[toggle.shop.table.pgbench_history]\nkey = [\"tid\"]\n";
    for (phase, tables) in [
        ("use-old", crossfade_tests::SHOP_TABLES),
        ("deploy-new", mapped),
    ] {
        let proxy = Proxy::start(bench.stores.config(phase, tables)).await;
        let endpoint = proxy.endpoint(&bench.stores.old);
        for mode in ["simple", "extended", "prepared"] {
            for script in ["select-only", "tpcb-like"] {
                let said = succeeded(
                    &endpoint.pgbench(&["-M", mode, "-b", script, "-c", "4", "-t", "50", "-n"]),
                );
                assert!(
                    said.contains("number of failed transactions: 0"),
                    "{mode} {script}: {said}"
                );
            }
        }
    }
}

#[tokio::test]
async fn pgbench_loads_its_tables_through_the_proxy() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    succeeded(
        &proxy
            .endpoint(&bench.stores.old)
            .pgbench(&["-i", "-q", "-s", "2"]),
    );
    bench
        .stores
        .old
        .becomes("SELECT count(*) FROM pgbench_accounts", "200000")
        .await;
}

#[tokio::test]
async fn psql_with_its_own_questions() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let (direct, through) = (bench.stores.old.direct(), proxy.endpoint(&bench.stores.old));
    for command in [
        "\\d orders",
        "\\dt",
        "\\df warn",
        "\\copy numbers to stdout",
        "\\l template1",
        "SELECT * FROM orders",
    ] {
        let args = ["-c", command];
        assert_eq!(
            succeeded(&direct.psql(&args)),
            succeeded(&through.psql(&args)),
            "{command}"
        );
    }
}

#[tokio::test]
async fn tokio_postgres_prepared_transactions_copy_and_portals() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let mut client = proxy.connect(&bench.stores.old).await;
    let statement = client
        .prepare("SELECT word FROM numbers WHERE n = $1")
        .await
        .unwrap();
    // All under way at once: the driver pipelines them.
    let keys: Vec<i32> = (1..=20).collect();
    let rows = join_all(
        keys.iter()
            .map(async |key| client.query_one(&statement, &[key]).await.unwrap()),
    )
    .await;
    assert_eq!(rows[6].get::<_, String>(0), "word 7");

    let transaction = client.transaction().await.unwrap();
    let portal = transaction
        .bind("SELECT n FROM numbers ORDER BY n", &[])
        .await
        .unwrap();
    assert_eq!(
        transaction.query_portal(&portal, 15).await.unwrap().len(),
        15
    );
    assert_eq!(
        transaction.query_portal(&portal, 15).await.unwrap().len(),
        5
    );
    transaction.rollback().await.unwrap();

    let sink = client.copy_in("COPY numbers FROM STDIN").await.unwrap();
    pin_mut!(sink);
    sink.send(bytes::Bytes::from_static(b"500\tcopied\n"))
        .await
        .unwrap();
    assert_eq!(sink.finish().await.unwrap(), 1);
    let out = client
        .copy_out("COPY (SELECT * FROM numbers WHERE n = 500) TO STDOUT")
        .await
        .unwrap();
    let chunks: Vec<bytes::Bytes> = out.try_collect().await.unwrap();
    assert_eq!(chunks.concat(), b"500\tcopied\n");
}

#[tokio::test]
async fn tokio_postgres_notifications_and_cancel() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let endpoint = proxy.endpoint(&bench.stores.old);
    let (client, mut connection) = endpoint.driver().connect(NoTls).await.unwrap();
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) =
            futures::stream::poll_fn(|context| connection.poll_message(context))
                .next()
                .await
        {
            if let AsyncMessage::Notification(note) = message {
                let _ = heard.send(note.payload().to_owned());
            }
        }
    });
    client.batch_execute("LISTEN news").await.unwrap();
    endpoint
        .connect()
        .await
        .batch_execute("NOTIFY news, 'hello'")
        .await
        .unwrap();
    assert_eq!(hears.recv().await.as_deref(), Some("hello"));

    let token = client.cancel_token();
    let sleeping = client.simple_query("SELECT pg_sleep(60)");
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        token.cancel_query(NoTls).await.unwrap();
    };
    let (outcome, ()) = futures::future::join(sleeping, cancelling).await;
    assert_eq!(
        outcome.unwrap_err().code().map(|code| code.code()),
        Some("57014")
    );
}

#[tokio::test]
async fn a_hundred_clients_at_once() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let endpoint = proxy.endpoint(&bench.stores.old);
    let clients = join_all((0..100).map(|_| endpoint.connect())).await;
    let answers = join_all(
        clients
            .iter()
            .map(|client| client.query_one("SELECT pg_backend_pid()", &[])),
    )
    .await;
    let mut pids: Vec<i32> = answers.into_iter().map(|row| row.unwrap().get(0)).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 100, "every client has a session of its own");
    drop(clients);
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database()";
    eventually("all sessions end", Duration::from_secs(5), async || {
        bench.stores.old.value(sql).await == "0"
    })
    .await;
}
