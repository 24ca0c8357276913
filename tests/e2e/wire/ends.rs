//! How sessions end.

use super::same::Bench;
use crossfade_tests::{Postgres, Proxy, SHOP, Stores, eventually, wire::messages};
use std::time::Duration;

/// Sessions of the application in the database.
async fn sessions(bench: &Bench) -> String {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database()";
    bench.stores.old.value(sql).await
}

#[tokio::test]
async fn terminate_and_a_client_that_just_goes_both_free_the_server() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let mut polite = proxy.wire(&bench.stores.old).await;
    let mut rude = proxy.wire(&bench.stores.old).await;
    rude.query("BEGIN; INSERT INTO numbers VALUES (999, 'lost')")
        .await;
    assert_eq!(sessions(&bench).await, "2");
    polite.send(&[messages::terminate()]).await;
    assert_eq!(polite.rest().await, []);
    drop(rude);
    eventually("both sessions end", Duration::from_secs(5), async || {
        sessions(&bench).await == "0"
    })
    .await;
    bench
        .stores
        .old
        .becomes("SELECT count(*) FROM numbers WHERE n = 999", "0")
        .await;
}

#[tokio::test]
async fn trap_16_a_client_gone_in_the_middle_of_a_statement_frees_the_server() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let mut wire = proxy.wire(&bench.stores.old).await;
    wire.send(&[messages::query(
        "SELECT n, repeat('x', 1000) FROM generate_series(1, 10000000) n",
    )])
    .await;
    wire.frame().await;
    drop(wire);
    eventually("the session ends", Duration::from_secs(10), async || {
        sessions(&bench).await == "0"
    })
    .await;
}

#[tokio::test]
async fn a_session_ended_by_the_administrator_says_so() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let mut wire = endpoint.wire().await;
            let killer = endpoint.connect().await;
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE datname = current_database() AND usename = 'app' AND pid <> pg_backend_pid()";
            killer.simple_query(sql).await.unwrap();
            let frames = wire.rest().await;
            assert_eq!(frames.last().and_then(|frame| frame.field(b'C')).as_deref(), Some("57P01"));
            frames
        })
        .await;
}

#[tokio::test]
async fn trap_43_an_old_server_that_dies_and_comes_back() {
    let mut server = Postgres::start();
    let old = server.database("shop");
    old.run(SHOP).await;
    let stores = Stores::shop().await;
    let config = crossfade_tests::ConfigBuilder::new(old.own(), stores.new.own());
    let proxy =
        Proxy::start(config.toggle("shop", "deploy-new", crossfade_tests::SHOP_TABLES)).await;
    let mut wire = proxy.wire(&old).await;
    server.kill9();
    wire.rest().await;
    // While it is down, clients hear of it in PostgreSQL's words instead of hanging.
    let error = proxy
        .endpoint(&old)
        .try_connect()
        .await
        .expect_err("the server is down");
    let state = error.code().map(|code| code.code().to_owned());
    assert!(
        matches!(
            state.as_deref(),
            Some("08001" | "08006" | "08004" | "57P03")
        ),
        "{error:?}"
    );
    server.restart();
    assert_eq!(proxy.wire(&old).await.query("SELECT 1").await.len(), 4);
}

#[tokio::test]
async fn a_missing_new_server_costs_nothing_in_phase_1() {
    let bench = Bench::new().await;
    let nowhere = crossfade_tests::Port::reserve();
    let missing = crossfade_tests::Endpoint {
        addr: nowhere.addr(),
        ..bench.stores.new.own().clone()
    };
    let config = crossfade_tests::ConfigBuilder::new(bench.stores.old.own(), &missing);
    let proxy =
        Proxy::start(config.toggle("shop", "deploy-new", crossfade_tests::SHOP_TABLES)).await;
    let mut wire = proxy.wire(&bench.stores.old).await;
    assert_eq!(
        wire.query("INSERT INTO orders (customer) VALUES ('relayed') RETURNING id")
            .await
            .len(),
        4
    );
}
