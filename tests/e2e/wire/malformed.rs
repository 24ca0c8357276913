//! Input that no driver sends: it costs that one connection, says why, and costs nothing else.

use super::same::Bench;
use bytes::Bytes;
use crossfade_tests::{Endpoint, Proxy, Wire, wire::messages};
use std::time::{Duration, Instant};

/// What a malformed message may cost.
const ALLOWED: u64 = 4 << 20;

/// A frame that claims a length it does not have.
fn lying(tag: Option<u8>, length: i32) -> Bytes {
    let head: Vec<u8> = tag.into_iter().chain(length.to_be_bytes()).collect();
    Bytes::from([&head[..], b"SELECT 1\0"].concat())
}

/// Asserts that the peer says what was wrong (class 08) and hangs up.
async fn expect_refusal(mut wire: Wire, what: &str) {
    let frames = wire.rest().await;
    let error = frames
        .iter()
        .rfind(|frame| frame.tag == b'E')
        .unwrap_or_else(|| panic!("{what}: closed without a word"));
    assert_eq!(
        error.field(b'C').as_deref(),
        Some("08P01"),
        "{what}: {error:?}"
    );
    assert_eq!(
        error.field(b'S').as_deref(),
        Some("FATAL"),
        "{what}: {error:?}"
    );
}

/// Sends bytes instead of a startup.
async fn startup(endpoint: &Endpoint, bytes: Bytes, what: &str) {
    let mut wire = Wire::connect(endpoint.addr).await;
    // The peer may hang up before all is sent.
    let _ = wire.try_send(&[bytes]).await;
    expect_refusal(wire, what).await;
}

/// Sends bytes in the middle of a session.
async fn session(endpoint: &Endpoint, bytes: Bytes, what: &str) {
    let mut wire = endpoint.wire().await;
    wire.query("SELECT 1").await;
    let _ = wire.try_send(&[bytes]).await;
    expect_refusal(wire, what).await;
}

async fn start(bench: &Bench) -> (Proxy, Endpoint) {
    let proxy = bench.proxy("use-old").await;
    let endpoint = proxy.endpoint(&bench.stores.old);
    endpoint.wire().await;
    (proxy, endpoint)
}

#[tokio::test]
async fn lengths_that_cannot_be() {
    let bench = Bench::new().await;
    let (proxy, endpoint) = start(&bench).await;
    let mut bystander = endpoint.wire().await;
    let before = proxy.peak_rss();
    for length in [i32::MIN, -1, 0, 3, 7, 20_000, i32::MAX] {
        startup(
            &endpoint,
            lying(None, length),
            &format!("startup of length {length}"),
        )
        .await;
    }
    for tag in [
        b'Q', b'P', b'B', b'E', b'D', b'C', b'd', b'p', b'S', b'H', b'X',
    ] {
        for length in [i32::MIN, -1, 0, 3] {
            session(
                &endpoint,
                lying(Some(tag), length),
                &format!("{} of length {length}", char::from(tag)),
            )
            .await;
        }
    }
    // Small messages that claim to be large: nobody sends an Execute of a gigabyte.
    for tag in [b'E', b'D', b'C', b'S', b'H'] {
        session(
            &endpoint,
            lying(Some(tag), i32::MAX),
            &format!("{} of 2 GB", char::from(tag)),
        )
        .await;
    }
    assert!(
        proxy.peak_rss() - before < ALLOWED,
        "malformed lengths took memory"
    );
    assert_eq!(bystander.query("SELECT 'undisturbed'").await.len(), 4);
}

#[tokio::test]
async fn message_types_that_do_not_exist() {
    let bench = Bench::new().await;
    let (_proxy, endpoint) = start(&bench).await;
    for tag in [0, b'z', b'Z', b'T', 0x16, 0xff] {
        let garbage = messages::message(tag, b"what is this");
        session(&endpoint, garbage, &format!("type {tag:#x}")).await;
    }
}

#[tokio::test]
async fn other_protocols_on_this_port() {
    let bench = Bench::new().await;
    let (_proxy, endpoint) = start(&bench).await;
    startup(
        &endpoint,
        Bytes::from_static(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "HTTP",
    )
    .await;
    startup(
        &endpoint,
        Bytes::from_static(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
        "TLS without SSLRequest",
    )
    .await;
    startup(&endpoint, Bytes::from(vec![0xff; 4096]), "noise").await;
}

#[tokio::test]
async fn startup_parameters_without_their_ends() {
    let bench = Bench::new().await;
    let (_proxy, endpoint) = start(&bench).await;
    for body in [
        &b"\0\x03\0\0"[..],
        b"\0\x03\0\0user",
        b"\0\x03\0\0user\0app",
        b"\0\x03\0\0user\0app\0database\0x",
    ] {
        let mut wire = Wire::connect(endpoint.addr).await;
        wire.send(&[messages::untyped(body)]).await;
        let frames = wire.rest().await;
        assert!(
            frames.iter().any(|frame| frame.tag == b'E'),
            "{body:?}: {frames:?}"
        );
    }
}

#[tokio::test]
async fn a_frame_cut_short_by_the_end_of_the_connection() {
    let bench = Bench::new().await;
    let (_proxy, endpoint) = start(&bench).await;
    let mut wire = endpoint.wire().await;
    wire.send(&[lying(Some(b'Q'), 1 << 29)]).await;
    wire.shutdown().await;
    wire.rest().await;
    assert_eq!(endpoint.wire().await.query("SELECT 1").await.len(), 4);
}

#[tokio::test]
async fn a_client_that_never_finishes_its_startup() {
    let bench = Bench::new().await;
    let config = bench
        .stores
        .shop_config("use-old")
        .section("[clients]\nlogin_timeout = \"1s\"");
    let proxy = Proxy::start(config).await;
    let endpoint = proxy.endpoint(&bench.stores.old);
    let before = proxy.peak_rss();
    let mut slow = Vec::new();
    for said in 0..100 {
        let mut wire = Wire::connect(endpoint.addr).await;
        wire.send(&[Bytes::from(vec![0; said % 4])]).await;
        slow.push(wire);
    }
    // Others sign in meanwhile.
    assert_eq!(endpoint.wire().await.query("SELECT 1").await.len(), 4);
    let start = Instant::now();
    for mut wire in slow {
        wire.rest().await;
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "a silent client was kept for {:?}",
        start.elapsed()
    );
    assert!(
        proxy.peak_rss() - before < ALLOWED,
        "silent clients took memory"
    );
}

#[tokio::test]
async fn a_session_may_idle_longer_than_a_login_may_take() {
    let bench = Bench::new().await;
    let config = bench
        .stores
        .shop_config("use-old")
        .section("[clients]\nlogin_timeout = \"1s\"");
    let proxy = Proxy::start(config).await;
    let mut wire = proxy.wire(&bench.stores.old).await;
    wire.silence(1500).await;
    assert_eq!(wire.query("SELECT 1").await.len(), 4);
}
