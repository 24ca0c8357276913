//! Messages larger than any buffer.

use super::same::Bench;
use crossfade_tests::wire::messages::{bind, execute, parse, query, sync};

/// 64 MB, more than a proxy may hold.
const HUGE: usize = 64 << 20;

/// What a huge message may cost: buffers, and what the allocator keeps of them.
const ALLOWED: u64 = 8 << 20;

#[tokio::test]
async fn a_huge_value_streams_to_the_client() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let mut wire = proxy.wire(&bench.stores.old).await;
    wire.query("SELECT 1").await;
    let before = proxy.peak_rss();
    wire.send(&[query(&format!("SELECT repeat('x', {HUGE})"))])
        .await;
    assert_eq!(wire.frame().await.tag, b'T');
    let row = wire.frame().await;
    assert_eq!((row.tag, row.body.len()), (b'D', HUGE + 6));
    assert!(
        row.body[6..].iter().all(|byte| *byte == b'x'),
        "bytes changed on the way"
    );
    wire.ready().await;
    let grown = proxy.peak_rss() - before;
    assert!(
        grown < ALLOWED,
        "a value of {HUGE} bytes took {grown} bytes of memory"
    );
}

#[tokio::test]
async fn a_huge_parameter_streams_to_the_server() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let mut wire = proxy.wire(&bench.stores.old).await;
    wire.query("SELECT 1").await;
    let before = proxy.peak_rss();
    let value = "y".repeat(HUGE);
    let messages = [
        parse("", "SELECT length($1), md5($1)", &[25]),
        bind("", "", &[Some(&value)]),
        execute("", 0),
        sync(),
    ];
    let frames = wire.ask(&messages).await;
    let row = String::from_utf8_lossy(&frames[2].body).into_owned();
    assert!(row.contains(&HUGE.to_string()), "{frames:?}");
    let grown = proxy.peak_rss() - before;
    assert!(
        grown < ALLOWED,
        "a parameter of {HUGE} bytes took {grown} bytes of memory"
    );
}

#[tokio::test]
async fn a_huge_query_text_that_names_no_table_streams_too() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let mut wire = proxy.wire(&bench.stores.old).await;
    wire.query("SELECT 1").await;
    let before = proxy.peak_rss();
    let frames = wire
        .query(&format!("SELECT length('{}')", "z".repeat(HUGE)))
        .await;
    assert!(
        String::from_utf8_lossy(&frames[1].body).contains(&HUGE.to_string()),
        "{frames:?}"
    );
    let grown = proxy.peak_rss() - before;
    assert!(
        grown < ALLOWED,
        "a query of {HUGE} bytes took {grown} bytes of memory"
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_server_back_and_not_the_proxys_memory() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let mut wire = proxy.wire(&bench.stores.old).await;
    let before = proxy.peak_rss();
    wire.send(&[query(
        "SELECT repeat('x', 10000) FROM generate_series(1, 20000)",
    )])
    .await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let grown = proxy.peak_rss() - before;
    assert!(
        grown < ALLOWED,
        "200 MB that nobody reads took {grown} bytes of memory"
    );
}
