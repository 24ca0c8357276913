//! CancelRequest.

use super::same::Bench;
use crossfade_tests::{Endpoint, Wire, eventually, wire::messages};
use std::time::{Duration, Instant};

/// Sends a CancelRequest and waits until the peer has taken it: it answers nothing and hangs up.
async fn cancel(endpoint: &Endpoint, key_data: &[u8]) {
    let mut wire = Wire::connect(endpoint.addr).await;
    wire.send(&[messages::cancel_request(key_data)]).await;
    assert_eq!(wire.rest().await, []);
}

#[tokio::test]
async fn trap_16_a_cancel_ends_the_statement_and_not_the_session() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let mut wire = endpoint.wire().await;
            let start = Instant::now();
            wire.send(&[messages::query("SELECT pg_sleep(60)")]).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            cancel(&endpoint, &wire.key_data().clone()).await;
            let mut frames = wire.ready().await;
            assert!(
                start.elapsed() < Duration::from_secs(15),
                "the statement was not cancelled"
            );
            frames.extend(wire.query("SELECT 'still here'").await);
            frames
        })
        .await;
}

#[tokio::test]
async fn a_wrong_key_cancels_nothing() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let mut wire = endpoint.wire().await;
            wire.send(&[messages::query("SELECT pg_sleep(0.6), 'not cancelled'")])
                .await;
            let mut key = wire.key_data().to_vec();
            *key.last_mut().unwrap() ^= 1;
            cancel(&endpoint, &key).await;
            cancel(&endpoint, &[0; 8]).await;
            wire.ready().await
        })
        .await;
}

#[tokio::test]
async fn each_session_has_a_key_of_its_own() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let mut first = proxy.wire(&bench.stores.old).await;
    let mut second = proxy.wire(&bench.stores.old).await;
    assert_ne!(first.key_data(), second.key_data());
    for wire in [&mut first, &mut second] {
        wire.send(&[messages::query("SELECT pg_sleep(60)")]).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    cancel(
        &proxy.endpoint(&bench.stores.old),
        &second.key_data().clone(),
    )
    .await;
    let frames = second.ready().await;
    assert_eq!(
        frames.iter().find_map(|frame| frame.field(b'C')).as_deref(),
        Some("57014")
    );
    first.silence(200).await;
}

#[tokio::test]
async fn a_key_is_forgotten_with_its_session() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let endpoint = proxy.endpoint(&bench.stores.old);
    let mut gone = endpoint.wire().await;
    let key = gone.key_data().clone();
    gone.send(&[messages::terminate()]).await;
    gone.rest().await;
    cancel(&endpoint, &key).await;
    eventually("the proxy goes on", Duration::from_secs(5), async || {
        endpoint.try_connect().await.is_ok()
    })
    .await;
}
