//! The harness itself, against servers without a proxy.

use crossfade_tests::{Account, Postgres, Stores, Tls, eventually, wire::transcript};
use std::time::Duration;

#[tokio::test]
async fn a_server_starts_stops_and_starts_again() {
    let mut server = Postgres::start();
    let database = server.database("one");
    database.run("CREATE TABLE t (a int)").await;
    server.kill9();
    assert!(database.direct().try_connect().await.is_err());
    server.restart();
    assert_eq!(database.value("SELECT count(*) FROM t").await, "0");
    server.stop_fast();
    assert!(server.log().contains("shut down"), "{}", server.log());
}

#[tokio::test]
async fn every_account_signs_in_its_own_way() {
    let stores = Stores::create("").await;
    for account in Account::PLAIN {
        let endpoint = stores.old.direct().account(account);
        let mut wire = endpoint.wire().await;
        assert_eq!(wire.query("SELECT 1").await.len(), 4);
        let wrong = endpoint.password("wrong").psql(&["-c", "SELECT 1"]);
        assert_eq!(wrong.status.success(), account == Account::Trust);
    }
    let tls = stores.old.direct().account(Account::TlsOnly);
    let params = format!(
        "sslmode=verify-full sslrootcert={}",
        Tls::get().cert.display()
    );
    let output = tls.psql_with(
        &params,
        &[
            "-c",
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        ],
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "t\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        !tls.psql_with("sslmode=disable", &["-c", "SELECT 1"])
            .status
            .success()
    );
}

#[tokio::test]
async fn a_raw_connection_sees_single_frames_and_encrypts() {
    let stores = Stores::create("").await;
    let endpoint = stores.old.direct();
    let mut wire = crossfade_tests::Wire::connect(endpoint.addr).await;
    wire.send(&[crossfade_tests::wire::messages::ssl_request()])
        .await;
    assert_eq!(wire.byte().await, b'S');
    let mut wire = wire.encrypt().await.unwrap();
    wire.sign_in(&endpoint.account(Account::TlsOnly), &[]).await;
    let frames = wire.query("SELECT 1; SELECT 2").await;
    assert_eq!(transcript(&frames), "TDCTDCZ");
}

#[tokio::test]
async fn a_frozen_server_keeps_connections_and_answers_later() {
    let server = Postgres::start();
    let database = server.database("one");
    let client = database.direct().connect().await;
    server.freeze();
    let slow =
        tokio::time::timeout(Duration::from_millis(300), client.simple_query("SELECT 1")).await;
    assert!(slow.is_err());
    server.thaw();
    eventually("the server answers", Duration::from_secs(5), async || {
        client.simple_query("SELECT 1").await.is_ok()
    })
    .await;
}
