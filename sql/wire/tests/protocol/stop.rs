//! What stops a statement or a session: cancel requests and time limits.

use std::time::Duration;

use postgres_protocol::message::frontend;

use crate::peer::{Peer, world};

#[tokio::test]
async fn a_cancel_request_stops_the_running_statement() {
    let world = world();
    let mut peer = world.peer().await;
    let (process_id, secret) = peer.key;
    peer.ask("BEGIN").await;
    frontend::query("SELECT sleep()", &mut peer.out).unwrap();
    peer.send().await;
    while !world.toy.log().contains(&"execute".to_owned()) {
        tokio::task::yield_now().await;
    }
    let mut other = Peer::new(world.server.connect(false));
    frontend::cancel_request(process_id, secret ^ 1, &mut other.out);
    assert!(other.go().await.is_empty() && other.closed);
    let mut other = Peer::new(world.server.connect(false));
    frontend::cancel_request(process_id, secret, &mut other.out);
    assert!(other.go().await.is_empty() && other.closed);
    assert_eq!(
        peer.go().await,
        [
            "T sleep:2278:0",
            "E 57014 | canceling statement due to user request",
            "Z E"
        ]
    );
    assert_eq!(world.toy.log(), ["rollback"]);
    peer.ask("ROLLBACK").await;
    // One that comes when nothing runs has no effect.
    let mut other = Peer::new(world.server.connect(false));
    frontend::cancel_request(process_id, secret, &mut other.out);
    other.go().await;
    assert_eq!(peer.ask("SELECT 1").await, ["D 1", "C SELECT 1"]);
}

#[tokio::test]
async fn a_statement_has_its_time() {
    let world = world();
    let mut peer = world.peer().await;
    peer.ask("SET statement_timeout = 30").await;
    assert_eq!(
        peer.query("SELECT sleep()").await[1],
        "E 57014 | canceling statement due to statement timeout"
    );
    peer.run("SELECT sleep()", &[]).sync();
    let answers = peer.go().await;
    assert_eq!(
        answers[2],
        "E 57014 | canceling statement due to statement timeout"
    );
}

#[tokio::test]
async fn an_idle_transaction_has_its_time() {
    let world = world();
    let mut peer = world.peer().await;
    peer.ask("SET idle_in_transaction_session_timeout = '30ms'")
        .await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    peer.ask("BEGIN; SELECT 1").await;
    assert_eq!(
        peer.go().await,
        ["E FATAL | 25P03 | terminating connection due to idle-in-transaction timeout"]
    );
    assert!(peer.closed);
    assert_eq!(world.toy.log().last().unwrap(), "rollback");
}
