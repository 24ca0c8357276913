//! COPY, in both directions and in both protocols.

use super::same::{Bench, same};
use bytes::Bytes;
use crossfade_tests::wire::{
    messages::{bind, copy_data, copy_done, copy_fail, execute, parse, query, sync},
    transcript,
};

#[tokio::test]
async fn out_of_a_table_and_out_of_a_query() {
    same(async |wire| {
        let mut frames = wire
            .query("COPY (SELECT * FROM orders ORDER BY id) TO STDOUT")
            .await;
        frames.extend(
            wire.query("COPY numbers TO STDOUT (FORMAT csv, HEADER)")
                .await,
        );
        frames.extend(wire.query("COPY numbers TO STDOUT (FORMAT binary)").await);
        frames.extend(
            wire.query(
                "COPY (SELECT n, repeat('z', 500) FROM generate_series(1, 5000) n) TO STDOUT",
            )
            .await,
        );
        frames
    })
    .await;
}

#[tokio::test]
async fn into_a_table_mapped_or_not() {
    same(async |wire| {
        let mut frames = Vec::new();
        for (table, row) in [
            ("numbers", "901\tnine\n902\tzero\n"),
            ("counters (name, value)", "a\t1\nb\t2\n"),
        ] {
            wire.send(&[query(&format!("COPY {table} FROM STDIN"))])
                .await;
            frames.push(wire.frame().await);
            // A row may be cut anywhere.
            let (first, second) = row.as_bytes().split_at(7);
            frames.extend(
                wire.ask(&[
                    copy_data(first),
                    copy_data(second),
                    copy_data(b""),
                    copy_done(),
                ])
                .await,
            );
        }
        assert_eq!(transcript(&frames), "GCZGCZ");
        frames.extend(
            wire.query("SELECT * FROM numbers WHERE n > 900 ORDER BY n")
                .await,
        );
        frames
    })
    .await;
}

#[tokio::test]
async fn failures_of_the_client_and_of_the_data() {
    same(async |wire| {
        let mut frames = Vec::new();
        let start = || query("COPY numbers FROM STDIN");
        frames.extend(
            wire.ask(&[
                start(),
                copy_data(b"903\tx\n"),
                copy_fail("changed my mind"),
            ])
            .await,
        );
        frames.extend(
            wire.ask(&[
                start(),
                copy_data(b"not a number\tx\n"),
                copy_data(b"904\ty\n"),
                copy_done(),
            ])
            .await,
        );
        frames.extend(
            wire.ask(&[start(), copy_data(b"1\ttwice\n"), copy_done()])
                .await,
        );
        // Messages of a COPY that is over already are dropped by the server, not taken for something else.
        frames.extend(
            wire.ask(&[copy_data(b"905\tlate\n"), copy_done(), query("SELECT 1")])
                .await,
        );
        frames.extend(wire.query("SELECT count(*) FROM numbers").await);
        frames
    })
    .await;
}

#[tokio::test]
async fn in_the_extended_protocol() {
    same(async |wire| {
        let start = [
            parse("", "COPY numbers FROM STDIN", &[]),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ];
        wire.send(&start).await;
        let mut frames = wire.until(b'G').await;
        frames.extend(
            wire.ask(&[copy_data(b"906\tsix\n"), copy_done(), sync()])
                .await,
        );
        let out = [
            parse("", "COPY numbers TO STDOUT", &[]),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ];
        frames.extend(wire.ask(&out).await);
        wire.send(&start).await;
        frames.extend(wire.until(b'G').await);
        frames.extend(wire.ask(&[copy_fail("no"), sync()]).await);
        frames
    })
    .await;
}

#[tokio::test]
async fn several_copies_in_one_query() {
    same(async |wire| {
        wire.send(&[query(
            "COPY numbers FROM STDIN; SELECT 'between'; COPY numbers FROM STDIN; SELECT 1",
        )])
        .await;
        let mut frames = wire.until(b'G').await;
        wire.send(&[copy_data(b"907\tone\n"), copy_done()]).await;
        frames.extend(wire.until(b'G').await);
        frames.extend(wire.ask(&[copy_data(b"908\ttwo\n"), copy_done()]).await);
        frames
    })
    .await;
}

#[tokio::test]
async fn forty_megabytes_each_way_in_bounded_memory() {
    let bench = Bench::new().await;
    let proxy = bench.proxy("use-old").await;
    let mut wire = proxy.wire(&bench.stores.old).await;
    wire.query("CREATE TEMP TABLE bulk (n int, filler text)")
        .await;
    let before = proxy.peak_rss();

    wire.send(&[query("COPY bulk FROM STDIN")]).await;
    wire.until(b'G').await;
    let line = format!("1\t{}\n", "f".repeat(997));
    let chunk: Vec<Bytes> = vec![copy_data(line.repeat(1024).as_bytes())];
    for _ in 0..40 {
        wire.send(&chunk).await;
    }
    let frames = wire.ask(&[copy_done()]).await;
    assert_eq!(frames[0].body, "COPY 40960\0");

    wire.send(&[query("COPY bulk TO STDOUT")]).await;
    let mut rows = 0;
    loop {
        match wire.frame().await.tag {
            b'd' => rows += 1,
            b'Z' => break,
            _ => {}
        }
    }
    assert_eq!(rows, 40_960);
    let grown = proxy.peak_rss() - before;
    assert!(
        grown < 8 << 20,
        "80 MB of COPY took {grown} bytes of memory"
    );
}
