//! A primary that fails over to its standby, and one that dies while a client copies rows into it.

use crossfade_tests::{
    ConfigBuilder, Database, Postgres, Proxy, Stores, compare, eventually,
    history::{Broken, HISTORY, HISTORY_SEED, HISTORY_TABLES, History},
    wire::messages::{copy_data, query},
};
use std::time::Duration;

/// A migration in phase 3 whose old store is a server of its own.
struct Failing {
    server: Postgres,
    old: Database,
    new: Database,
    proxy: Proxy,
}

impl Failing {
    async fn start() -> Failing {
        let server = Postgres::start();
        let old = server.database("old");
        let new = Stores::create(HISTORY).await.new;
        old.run(HISTORY).await;
        old.run(HISTORY_SEED).await;
        let config = ConfigBuilder::new(old.own(), new.own())
            .section("[flips]\nmismatch_window = \"0s\"")
            .toggle("shop", "use-old", HISTORY_TABLES);
        let mut proxy = Proxy::start(config).await;
        proxy.flip("dual-write").await;
        proxy.cli(&["backfill"]).expect(0);
        proxy.cli(&["verify"]).expect(0);
        Failing {
            server,
            old,
            new,
            proxy,
        }
    }

    async fn assert_equal(&self) {
        self.proxy.drained().await;
        for table in ["registers", "lists", "accounts"] {
            compare::tables(&self.old, table, &self.new, table).await;
        }
    }
}

#[tokio::test]
async fn trap_43_a_primary_fails_over_to_its_synchronous_standby() {
    let mut failing = Failing::start().await;
    let mut standby = failing.server.standby().await;
    let clients = History::start(
        &failing.proxy.endpoint(&failing.old),
        1,
        6,
        Broken::Reconnect,
    )
    .await;
    clients.progress(200).await;
    failing.server.kill9();
    standby.take_over(&mut failing.server).await;
    clients.progress(200).await;
    let findings = clients.stop().await;
    findings.check(&failing.old).await;
    failing.assert_equal().await;
    // Nothing is missing that no key was dirty for, either.
    failing.proxy.cli(&["verify"]).expect(0);
}

/// Begins a copy and has sent rows of it when this returns.
async fn copying(failing: &Failing) -> crossfade_tests::Wire {
    let mut client = failing.proxy.wire(&failing.old).await;
    client
        .send(&[query("COPY lists (name, entries) FROM STDIN")])
        .await;
    assert_eq!(client.frame().await.tag, b'G');
    for portion in 0..50 {
        let rows: String = (0..100).map(|n| format!("c{portion}.{n}\t,\n")).collect();
        client.send(&[copy_data(rows.as_bytes())]).await;
    }
    client
}

#[tokio::test]
async fn trap_16_a_copy_whose_client_or_primary_is_gone_reaches_neither() {
    let mut failing = Failing::start().await;
    let client = copying(&failing).await;
    drop(client);
    eventually("the client is gone", Duration::from_secs(5), async || {
        failing.proxy.status().await["clients"] == 0
    })
    .await;
    let copied = "SELECT count(*) FROM lists WHERE name LIKE 'c%'";
    failing.old.becomes(copied, "0").await;
    failing.assert_equal().await;

    let mut client = copying(&failing).await;
    failing.server.kill9();
    let end = crossfade_tests::within(10, "the copy ends", client.frame()).await;
    assert_eq!(end.tag, b'E', "{end:?}");
    failing.server.restart();
    failing.old.becomes(copied, "0").await;
    failing.assert_equal().await;
}
