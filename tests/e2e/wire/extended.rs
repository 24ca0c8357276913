//! The extended protocol.

use super::same::same;
use bytes::Bytes;
use crossfade_tests::{
    Wire,
    wire::{
        Frame,
        messages::{
            bind, bind_formats, close_portal, close_statement, describe_portal, describe_statement,
            execute, flush, parse, query, sync,
        },
        transcript,
    },
};

/// Asks each group in turn, each ended by a Sync.
async fn groups(wire: &mut Wire, groups: &[&[Bytes]]) -> Vec<Frame> {
    let mut frames = Vec::new();
    for group in groups {
        let mut messages = group.to_vec();
        messages.push(sync());
        frames.extend(wire.ask(&messages).await);
    }
    frames
}

#[tokio::test]
async fn unnamed_statement_and_portal() {
    same(async |wire| {
        let one = [
            parse("", "SELECT $1::int + 1, $2::text", &[]),
            describe_statement(""),
            bind("", "", &[Some("41"), None]),
            describe_portal(""),
            execute("", 0),
        ];
        let insert = [
            parse("", "INSERT INTO orders (customer) VALUES ($1)", &[]),
            describe_statement(""),
            bind("", "", &[Some("x")]),
            execute("", 0),
        ];
        let empty = [
            parse("", "", &[]),
            describe_statement(""),
            bind("", "", &[]),
            describe_portal(""),
            execute("", 0),
        ];
        let frames = groups(wire, &[&one, &insert, &empty]).await;
        assert_eq!(transcript(&frames), "1tT2TDCZ1tn2CZ1tn2nIZ");
        frames
    })
    .await;
}

#[tokio::test]
async fn named_statements_and_portals() {
    same(async |wire| {
        let prepare = [
            parse("by_n", "SELECT * FROM numbers WHERE n = $1", &[23]),
            describe_statement("by_n"),
        ];
        let twice = [
            bind("p1", "by_n", &[Some("1")]),
            bind("p2", "by_n", &[Some("2")]),
            execute("p2", 0),
            execute("p1", 0),
            close_portal("p1"),
        ];
        let again = [bind("", "by_n", &[Some("3")]), execute("", 0)];
        let taken = [parse("by_n", "SELECT 1", &[])];
        let closed = [
            close_statement("by_n"),
            close_statement("never was"),
            bind("", "by_n", &[Some("3")]),
        ];
        let no_portal = [execute("nowhere", 0)];
        groups(
            wire,
            &[&prepare, &twice, &again, &taken, &closed, &no_portal],
        )
        .await
    })
    .await;
}

#[tokio::test]
async fn binary_formats() {
    same(async |wire| {
        let params: [Option<&[u8]>; 2] = [Some(&[0, 0, 0, 7]), Some(b"seven")];
        let mixed = [
            parse(
                "",
                "SELECT $1::int4, $2::text, 1.5::numeric, now() > 'epoch'",
                &[23, 25],
            ),
            bind_formats("", "", &[1, 0], &params, &[1]),
            describe_portal(""),
            execute("", 0),
        ];
        let each = [
            parse(
                "",
                "SELECT id, customer FROM orders ORDER BY id LIMIT 3",
                &[],
            ),
            bind_formats("", "", &[], &[], &[1, 0]),
            execute("", 0),
        ];
        groups(wire, &[&mixed, &each]).await
    })
    .await;
}

#[tokio::test]
async fn row_limits_suspend_and_resume() {
    same(async |wire| {
        let limited = [
            query("BEGIN"),
            parse("", "SELECT n FROM numbers ORDER BY n", &[]),
            bind("some", "", &[]),
            execute("some", 7),
            execute("some", 7),
            execute("some", 100),
            execute("some", 1),
            sync(),
        ];
        wire.send(&limited).await;
        let mut frames = wire.ready().await;
        frames.extend(wire.ready().await);
        // The portal lives on in the transaction, over a Sync.
        let over_sync = [
            parse("", "TABLE numbers", &[]),
            bind("more", "", &[]),
            execute("more", 5),
        ];
        frames.extend(
            groups(
                wire,
                &[&over_sync, &[execute("more", 5)], &[close_portal("more")]],
            )
            .await,
        );
        frames.extend(wire.query("COMMIT").await);
        frames.extend(groups(wire, &[&[execute("more", 5)]]).await);
        frames
    })
    .await;
}

#[tokio::test]
async fn flush_brings_answers_without_sync() {
    same(async |wire| {
        let mut frames = Vec::new();
        wire.send(&[
            parse("f", "SELECT $1::int", &[]),
            describe_statement("f"),
            flush(),
        ])
        .await;
        frames.extend(wire.until(b'T').await);
        wire.send(&[bind("", "f", &[Some("5")]), execute("", 0), flush()])
            .await;
        frames.extend(wire.until(b'C').await);
        wire.silence(50).await;
        frames.extend(wire.ask(&[sync()]).await);
        assert_eq!(transcript(&frames), "1tT2DCZ");
        frames
    })
    .await;
}

#[tokio::test]
async fn errors_at_every_step() {
    same(async |wire| {
        let in_parse = [parse("", "SELEC 1", &[]), bind("", "", &[]), execute("", 0)];
        let in_bind = [
            parse("", "SELECT $1::int", &[]),
            bind("", "", &[Some("not a number")]),
            execute("", 0),
        ];
        let in_count = [
            parse("", "SELECT $1::int", &[]),
            bind("", "", &[]),
            execute("", 0),
        ];
        let in_execute = [
            parse("", "SELECT 1/$1::int", &[]),
            bind("", "", &[Some("0")]),
            execute("", 0),
        ];
        let in_describe = [describe_statement("nowhere")];
        let two_commands = [parse("", "SELECT 1; SELECT 2", &[])];
        let key_taken = [
            parse("", "INSERT INTO numbers VALUES ($1, 'again')", &[]),
            bind("", "", &[Some("1")]),
            execute("", 0),
        ];
        groups(
            wire,
            &[
                &in_parse,
                &in_bind,
                &in_count,
                &in_execute,
                &in_describe,
                &two_commands,
                &key_taken,
            ],
        )
        .await
    })
    .await;
}

#[tokio::test]
async fn trap_34_a_statement_outlives_its_plan() {
    same(async |wire| {
        let mut frames = wire.query("CREATE TEMP TABLE shape (a int)").await;
        frames.extend(groups(wire, &[&[parse("s", "SELECT * FROM shape", &[])]]).await);
        frames.extend(wire.query("ALTER TABLE shape ADD b text").await);
        // 'cached plan must not change result type' is the server's to say.
        frames.extend(groups(wire, &[&[bind("", "s", &[]), execute("", 0)]]).await);
        frames
            .into_iter()
            .filter(|frame| frame.tag != b'T') // a temporary table's OID differs from run to run
            .collect()
    })
    .await;
}
