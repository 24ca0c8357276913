//! What may come before the startup message.

use super::same::Bench;
use bytes::Bytes;
use crossfade_tests::{Wire, wire::messages};

#[tokio::test]
async fn without_a_certificate_encryption_is_declined_and_the_connection_goes_on() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("deploy-new").await;
    let endpoint = proxy.endpoint(&bench.stores.old);
    let mut wire = Wire::connect(endpoint.addr).await;
    wire.send(&[messages::gssenc_request()]).await;
    assert_eq!(wire.byte().await, b'N');
    wire.send(&[messages::ssl_request()]).await;
    assert_eq!(wire.byte().await, b'N');
    let frames = wire.sign_in(&endpoint, &[]).await;
    assert_eq!(
        frames.last().map(|frame| frame.tag),
        Some(b'Z'),
        "{frames:?}"
    );
    assert_eq!(wire.query("SELECT 1").await.len(), 4);
}

#[tokio::test]
async fn the_order_of_the_two_requests_is_free() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("deploy-new").await;
    let endpoint = proxy.endpoint(&bench.stores.old);
    let mut wire = Wire::connect(endpoint.addr).await;
    for request in [messages::ssl_request(), messages::gssenc_request()] {
        wire.send(&[request]).await;
        assert_eq!(wire.byte().await, b'N');
    }
    assert_eq!(
        wire.sign_in(&endpoint, &[])
            .await
            .last()
            .map(|frame| frame.tag),
        Some(b'Z')
    );
}

#[tokio::test]
async fn a_startup_in_single_bytes_and_with_the_first_query_behind_it() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let mut wire = Wire::connect(endpoint.addr).await;
            let startup =
                messages::startup(&[("user", &endpoint.user), ("database", &endpoint.database)]);
            for at in 0..startup.len() {
                wire.send(&[startup.slice(at..=at)]).await;
            }
            let mut frames = wire.ready().await;
            let mut wire = Wire::connect(endpoint.addr).await;
            wire.send(&[startup, messages::query("SELECT 'sent with the startup'")])
                .await;
            frames.extend(wire.ready().await);
            frames.extend(wire.ready().await);
            frames
        })
        .await;
}

#[tokio::test]
async fn protocols_that_nobody_speaks() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    for version in [0x0004_0000_u32, 0x1234_5678] {
        let mut wire = Wire::connect(proxy.endpoint(&bench.stores.old).addr).await;
        wire.send(&[messages::untyped(
            &[&version.to_be_bytes()[..], b"user\0app\0\0"].concat(),
        )])
        .await;
        let frames = wire.rest().await;
        let error = frames.last().expect("closed without a word");
        assert_eq!(
            (error.tag, error.field(b'S').as_deref()),
            (b'E', Some("FATAL")),
            "{version:x}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_newer_minor_version_is_talked_down_by_the_server() {
    let bench = Bench::new().await;
    bench
        .same(async |endpoint| {
            let mut wire = Wire::connect(endpoint.addr).await;
            let body = format!(
                "\0\x03\0\x02user\0{}\0database\0{}\0\0",
                endpoint.user, endpoint.database
            );
            wire.send(&[messages::untyped(body.as_bytes())]).await;
            wire.ready().await
        })
        .await;
}

#[tokio::test]
async fn clients_that_leave_before_they_said_who_they_are() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let endpoint = proxy.endpoint(&bench.stores.old);
    for said in [
        Bytes::new(),
        Bytes::from_static(b"\0\0"),
        messages::ssl_request(),
    ] {
        let mut wire = Wire::connect(endpoint.addr).await;
        wire.send(&[said]).await;
        drop(wire);
    }
    assert_eq!(endpoint.wire().await.query("SELECT 1").await.len(), 4);
}
