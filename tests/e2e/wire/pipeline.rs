//! Many requests before the first answer.

use super::same::same;
use bytes::Bytes;
use crossfade_tests::wire::messages::{bind, execute, parse, query, sync};

fn statement(sql: &str, params: &[Option<&str>]) -> Vec<Bytes> {
    vec![parse("", sql, &[]), bind("", "", params), execute("", 0)]
}

#[tokio::test]
async fn a_hundred_statements_before_one_sync() {
    same(async |wire| {
        let mut messages: Vec<Bytes> = Vec::new();
        for n in 0..100 {
            messages.extend(statement(
                "SELECT $1::int, repeat('y', $1::int)",
                &[Some(&n.to_string())],
            ));
        }
        messages.push(sync());
        wire.ask(&messages).await
    })
    .await;
}

#[tokio::test]
async fn many_syncs_in_one_write() {
    same(async |wire| {
        let mut messages: Vec<Bytes> = Vec::new();
        for n in 0..30 {
            messages.extend(statement(
                "INSERT INTO numbers VALUES ($1, 'piped')",
                &[Some(&(n + 900).to_string())],
            ));
            messages.push(sync());
        }
        wire.send(&messages).await;
        let mut frames = Vec::new();
        for _ in 0..30 {
            frames.extend(wire.ready().await);
        }
        frames.extend(wire.query("SELECT count(*) FROM numbers").await);
        frames
    })
    .await;
}

#[tokio::test]
async fn trap_14_an_error_skips_to_the_next_sync_and_undoes_the_segment() {
    same(async |wire| {
        let mut messages = statement("INSERT INTO numbers VALUES (801, 'lost')", &[]);
        messages.extend(statement("SELECT 1/0", &[]));
        messages.extend(statement(
            "INSERT INTO numbers VALUES (802, 'skipped')",
            &[],
        ));
        messages.push(sync());
        messages.extend(statement("INSERT INTO numbers VALUES (803, 'kept')", &[]));
        messages.push(sync());
        wire.send(&messages).await;
        let mut frames = wire.ready().await;
        frames.extend(wire.ready().await);
        frames.extend(wire.query("SELECT n FROM numbers WHERE n > 800").await);
        frames
    })
    .await;
}

#[tokio::test]
async fn a_simple_query_among_extended_ones() {
    same(async |wire| {
        let mut messages = statement("SELECT 1", &[]);
        messages.push(query("SELECT 2"));
        messages.extend(statement("SELECT 3", &[]));
        messages.push(sync());
        wire.send(&messages).await;
        let mut frames = wire.ready().await;
        frames.extend(wire.ready().await);
        frames
    })
    .await;
}

#[tokio::test]
async fn transactions_inside_a_pipeline() {
    same(async |wire| {
        let mut messages = statement("BEGIN", &[]);
        messages.extend(statement(
            "INSERT INTO orders (customer) VALUES ('piped') RETURNING id",
            &[],
        ));
        messages.push(sync());
        messages.extend(statement("ROLLBACK", &[]));
        messages.extend(statement("SELECT count(*) FROM orders", &[]));
        messages.push(sync());
        wire.send(&messages).await;
        let mut frames = wire.ready().await;
        frames.extend(wire.ready().await);
        frames
    })
    .await;
}

#[tokio::test]
async fn answers_flow_while_requests_are_still_sent() {
    // More in both directions than all buffers between client and server hold: who does not read while it writes, hangs.
    same(async |wire| {
        let padding = "p".repeat(1 << 20);
        let mut frames = Vec::new();
        let request: Vec<Bytes> = [
            statement("SELECT $1", &[Some(padding.as_str())]),
            vec![sync()],
        ]
        .concat();
        let all: Vec<Bytes> = (0..8).flat_map(|_| request.clone()).collect();
        let (reader, writer) = wire.split();
        let sending = writer.send(&all);
        let reading = async {
            for _ in 0..8 {
                frames.extend(reader.ready().await);
            }
        };
        futures::future::join(sending, reading).await;
        frames
    })
    .await;
}
