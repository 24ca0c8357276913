//! The extended protocol.

use crate::peer::world;

#[tokio::test]
async fn a_batch_is_one_transaction_until_sync() {
    let world = world();
    let mut peer = world.peer().await;
    peer.run("INSERT INTO kv VALUES ($1, $2)", &[Some("a"), Some("1")])
        .run("SELECT v FROM kv WHERE k = $1", &[Some("a")])
        .sync();
    assert_eq!(
        peer.go().await,
        [
            "1",
            "2",
            "C INSERT 0 1",
            "1",
            "2",
            "D 1",
            "C SELECT 1",
            "Z I"
        ]
    );
    assert_eq!(
        world.toy.log(),
        ["begin", "execute", "execute last", "commit"]
    );
}

#[tokio::test]
async fn after_an_error_everything_up_to_sync_is_ignored() {
    let world = world();
    let mut peer = world.peer().await;
    peer.run("INSERT INTO kv VALUES ($1, $2)", &[Some("a"), Some("1")])
        .run("SELECT fail()", &[])
        .run("INSERT INTO kv VALUES ($1, $2)", &[Some("b"), Some("1")])
        .sync()
        .run("SELECT v FROM kv WHERE k = $1", &[Some("a")])
        .sync();
    assert_eq!(
        peer.go().await,
        [
            "1",
            "2",
            "C INSERT 0 1",
            "1",
            "2",
            "E 22012 | division by zero",
            "Z I"
        ]
    );
    assert_eq!(peer.go().await, ["1", "2", "C SELECT 0", "Z I"]);
    assert_eq!(
        world.toy.log(),
        [
            "begin",
            "execute",
            "execute",
            "rollback",
            "begin",
            "execute last",
            "commit"
        ]
    );
}

#[tokio::test]
async fn statements_and_portals_are_described() {
    let world = world();
    let mut peer = world.peer().await;
    peer.parse("s", "SELECT v FROM kv WHERE k = $1", &[])
        .describe(b'S', "s")
        .bind_in("p", "s", &[Some("a")], [1])
        .describe(b'P', "p")
        .parse("", "INSERT INTO kv VALUES ('x', 1)", &[])
        .describe(b'S', "")
        .sync();
    assert_eq!(
        peer.go().await,
        [
            "1", "t 25", "T v:20:0", "2", "T v:20:1", "1", "t ", "n", "Z I"
        ]
    );
    assert!(world.toy.log().is_empty());
}

#[tokio::test]
async fn values_go_in_both_formats() {
    let world = world();
    let mut peer = world.peer().await;
    peer.parse("", "SELECT $1", &[23])
        .bind_in("", "", &[Some("77")], [1])
        .execute("", 0)
        .bind("", "", &[None])
        .execute("", 0)
        .sync();
    assert_eq!(
        peer.go().await,
        [
            "1",
            "2",
            "D [0, 0, 0, 77]",
            "C SELECT 1",
            "2",
            "D NULL",
            "C SELECT 1",
            "Z I"
        ]
    );
}

#[tokio::test]
async fn rows_come_in_portions() {
    let world = world();
    let mut peer = world.peer().await;
    peer.parse("", "SELECT * FROM series(3)", &[])
        .bind("p", "", &[])
        .execute("p", 2)
        .execute("p", 2)
        .execute("p", 2)
        .sync();
    assert_eq!(
        peer.go().await,
        [
            "1",
            "2",
            "D 1",
            "D 2",
            "s",
            "D 3",
            "C SELECT 1",
            "C SELECT 0",
            "Z I"
        ]
    );
    // The portal went with its transaction.
    peer.execute("p", 0).sync();
    assert_eq!(
        peer.go().await,
        ["E 34000 | portal \"p\" does not exist", "Z I"]
    );
}

#[tokio::test]
async fn a_portal_lives_as_long_as_its_block() {
    let world = world();
    let mut peer = world.peer().await;
    peer.ask("BEGIN").await;
    peer.parse("", "SELECT * FROM series(3)", &[])
        .bind("p", "", &[])
        .execute("p", 1)
        .sync();
    assert_eq!(peer.go().await, ["1", "2", "D 1", "s", "Z T"]);
    peer.execute("p", 0).sync();
    assert_eq!(peer.go().await, ["D 2", "D 3", "C SELECT 2", "Z T"]);
    peer.ask("COMMIT").await;
    peer.execute("p", 0).sync();
    assert_eq!(peer.go().await[0], "E 34000 | portal \"p\" does not exist");
}

#[tokio::test]
async fn mistakes_are_told_in_postgresqls_words() {
    let world = world();
    let mut peer = world.peer().await;
    peer.parse("s", "SELECT 1", &[]).sync();
    assert_eq!(peer.go().await, ["1", "Z I"]);
    let mut told = Vec::new();
    for step in 0..8 {
        match step {
            0 => peer.parse("s", "SELECT 1", &[]),
            1 => peer.bind("", "none", &[]),
            2 => peer.bind("", "s", &[Some("1")]),
            3 => peer.parse("", "SELECT 1; SELECT 1", &[]),
            4 => peer.parse("", "SELECT nope", &[]),
            5 => peer.bind("p", "s", &[]).bind("p", "s", &[]),
            6 => peer.bind_in("", "s", &[], [0, 0]),
            _ => peer
                .parse("", "SELECT $1", &[23])
                .bind("", "", &[Some("x")]),
        };
        peer.sync();
        let answers = peer.go().await;
        told.push(answers[answers.len() - 2].clone());
    }
    assert_eq!(
        told,
        [
            "E 42P05 | prepared statement \"s\" already exists",
            "E 26000 | prepared statement \"none\" does not exist",
            "E 08P01 | bind message supplies 1 parameters, but prepared statement \"s\" requires 0",
            "E 42601 | cannot insert multiple commands into a prepared statement",
            "E 42703 | column \"nope\" does not exist | P=8",
            "E 42P03 | cursor \"p\" already exists",
            "E 08P01 | bind message has 2 result formats but query has 1 columns",
            "E 22P02 | invalid input syntax for type integer: \"x\"",
        ]
    );
}

#[tokio::test]
async fn a_text_is_understood_once() {
    let world = world();
    let mut peer = world.peer().await;
    for _ in 0..5 {
        peer.run("SELECT 1", &[]).sync();
        assert_eq!(peer.go().await, ["1", "2", "D 1", "C SELECT 1", "Z I"]);
        peer.ask("SELECT 1").await;
    }
    assert_eq!(world.toy.prepared(), 1);
    peer.parse("named", "SELECT 1", &[]).sync();
    peer.go().await;
    peer.ask("PREPARE by_sql AS SELECT 1").await;
    assert_eq!(world.toy.prepared(), 2);
    // Names may mean something else now.
    peer.ask("SET search_path = shop").await;
    peer.ask("SELECT 1").await;
    peer.bind("", "named", &[]).execute("", 0).sync();
    assert_eq!(peer.go().await, ["2", "D 1", "C SELECT 1", "Z I"]);
    assert_eq!(peer.ask("EXECUTE by_sql").await[0], "D 1");
    assert_eq!(world.toy.prepared(), 5);
}

#[tokio::test]
async fn a_failing_commit_is_told_at_sync() {
    let world = world();
    let mut peer = world.peer().await;
    peer.run("DELETE FROM kv", &[]).sync();
    assert_eq!(
        peer.go().await,
        ["1", "2", "C DELETE 0", "E 23503 | no", "Z I"]
    );
}

#[tokio::test]
async fn flush_brings_what_there_is_and_a_commit_may_come_later() {
    let world = world();
    let mut peer = world.peer().await;
    peer.run("SELECT 1", &[]).flush();
    peer.send().await;
    let answers = peer.read_until(|line| line.starts_with('C')).await;
    assert_eq!(answers, ["1", "2", "D 1", "C SELECT 1"]);
    assert_eq!(world.toy.log(), ["begin", "execute"]);
    peer.sync();
    assert_eq!(peer.go().await, ["Z I"]);
    assert_eq!(world.toy.log(), ["commit"]);
}

#[tokio::test]
async fn an_empty_text_is_nothing() {
    let world = world();
    let mut peer = world.peer().await;
    peer.parse("", "", &[])
        .describe(b'S', "")
        .bind("", "", &[])
        .execute("", 0)
        .close(b'S', "")
        .close(b'P', "none")
        .sync();
    assert_eq!(peer.go().await, ["1", "t ", "n", "2", "I", "3", "3", "Z I"]);
}

#[tokio::test]
async fn a_message_that_is_none_ends_the_session() {
    let world = world();
    let mut peer = world.peer().await;
    peer.out.extend_from_slice(b"y\0\0\0\x04");
    assert_eq!(
        peer.go().await,
        ["E FATAL | 08P01 | invalid frontend message type 121"]
    );
    assert!(peer.closed);
}
