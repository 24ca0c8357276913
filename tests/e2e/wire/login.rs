//! Signing in is the old server's own business.

use super::same::Bench;
use crossfade_tests::{Account, wire::Frame};

/// The frames of a connection attempt.
async fn attempt(endpoint: &crossfade_tests::Endpoint, params: &[(&str, &str)]) -> Vec<Frame> {
    let mut wire = crossfade_tests::Wire::connect(endpoint.addr).await;
    wire.sign_in(endpoint, params).await
}

#[tokio::test]
async fn every_way_of_signing_in() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let mut frames = Vec::new();
            for account in Account::PLAIN {
                let mut wire = crossfade_tests::Wire::connect(endpoint.addr).await;
                let endpoint = endpoint.account(account);
                frames.extend(wire.sign_in(&endpoint, &[]).await);
                frames.extend(wire.query("SELECT current_user, 'works'").await);
            }
            frames
        })
        .await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_in_the_servers_words() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let mut frames = Vec::new();
            for account in Account::PLAIN {
                let seen = attempt(&endpoint.account(account).password("wrong"), &[]).await;
                let state = seen.last().and_then(|frame| frame.field(b'C'));
                assert_eq!(
                    state.as_deref() == Some("28P01"),
                    account != Account::Trust,
                    "{account:?}: {seen:?}"
                );
                frames.extend(seen);
            }
            frames
        })
        .await;
}

#[tokio::test]
async fn whoever_the_server_does_not_let_in() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let mut frames = attempt(&endpoint.account(Account::Rejected), &[]).await;
            frames.extend(attempt(&endpoint.account(Account::TlsOnly), &[]).await);
            frames.extend(attempt(&endpoint.database("no such database"), &[]).await);
            frames.extend(attempt(&endpoint, &[("no_such_setting", "1")]).await);
            frames.extend(attempt(&endpoint, &[("options", "-c work_mem=lots")]).await);
            frames
        })
        .await;
}

#[tokio::test]
async fn startup_parameters_arrive() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let params = [
                ("application_name", "the application"),
                ("client_encoding", "LATIN1"),
                (
                    "options",
                    "-c statement_timeout=12345 -c search_path=pg_catalog",
                ),
                ("datestyle", "German"),
                ("extra_float_digits", "2"),
            ];
            let mut wire = crossfade_tests::Wire::connect(endpoint.addr).await;
            let mut frames = wire.sign_in(&endpoint, &params).await;
            for setting in [
                "application_name",
                "client_encoding",
                "statement_timeout",
                "search_path",
                "datestyle",
            ] {
                frames.extend(wire.query(&format!("SHOW {setting}")).await);
            }
            frames
        })
        .await;
}

#[tokio::test]
async fn a_protocol_option_of_tomorrow_is_negotiated_by_the_server() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let frames = attempt(&endpoint, &[("_pq_.tomorrow", "yes")]).await;
            assert!(
                frames.iter().any(|frame| frame.tag == b'v'),
                "no NegotiateProtocolVersion: {frames:?}"
            );
            frames
        })
        .await;
}

#[tokio::test]
async fn another_database_of_the_same_server_is_none_of_our_business() {
    let bench = Bench::new().await;
    let elsewhere = crossfade_tests::Database::unique(bench.stores.old.addr());
    elsewhere.run("CREATE TABLE orders (other int)").await;
    bench
        .same(async |endpoint| {
            let mut wire = endpoint.database(elsewhere.name()).wire().await;
            let mut frames = wire.query("SELECT current_database()").await;
            frames.extend(
                wire.query("INSERT INTO orders VALUES (1); DELETE FROM orders RETURNING other")
                    .await,
            );
            frames
        })
        .await;
}

#[tokio::test]
async fn replication_connections_pass() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let mut wire = crossfade_tests::Wire::connect(endpoint.addr).await;
            let mut frames = wire
                .sign_in(&endpoint, &[("replication", "database")])
                .await;
            frames.extend(wire.query("SHOW wal_level").await);
            frames
        })
        .await;
}
